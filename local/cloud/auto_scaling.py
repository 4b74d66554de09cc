"""Stands for Auto Scaling in the account: `local.auto_scaling` in real time, with EC2's life cycle and events of here.

Tests order what only AWS decides: that a spot instance is taken back, and when.
"""

from collections.abc import Mapping
from typing import Any

from local.auto_scaling import ApiError, AutoScaling, auto_scaling_on_moto
from local.cloud import ACCOUNT, PARTITION, REGION, TRANSITION_SECONDS, eventbridge

STEP_SECONDS = TRANSITION_SECONDS / 4
"""How long a lifecycle state lasts that ends by itself."""
HEALTH_CHECK_SECONDS = 5.0
"""How long after EC2 a group knows that an instance does not run."""

SERVICE: AutoScaling = auto_scaling_on_moto(
    ACCOUNT,
    REGION,
    machine_seconds=None,
    step_seconds=STEP_SECONDS,
    health_check_seconds=HEALTH_CHECK_SECONDS,
    on_event=eventbridge.put,
)


def obey(order: Mapping[str, Any]) -> bool:
    """`{"interrupt": id, "seconds": s}`: the spot instance is told to end then; or `{"rebalance": id}`; whether it was.

    A spot instance may get less notice than EC2's two minutes.
    """
    match order:
        case {"interrupt": str(instance_id), "seconds": seconds}:
            SERVICE.spot.notice_seconds = seconds
            SERVICE.interrupt(instance_id)
        case {"rebalance": str(instance_id)}:
            SERVICE.recommend_rebalance(instance_id)
        case _:
            return False
    return True


def resource(name: str) -> tuple[str, dict[str, str]]:
    """ARN and tags of the group, as IAM asks for them; of a group that does not exist one that no policy names."""
    try:
        group = SERVICE.group(name)
    except ApiError:
        place = f"arn:{PARTITION}:autoscaling:{REGION}:{ACCOUNT}:autoScalingGroup"
        return f"{place}:none:autoScalingGroupName/{name}", {}
    tags = {
        f"{prefix}:ResourceTag/{tag.key}": tag.value
        for tag in group.tags.values()
        for prefix in ("autoscaling", "aws")
    }
    return group.arn, tags
