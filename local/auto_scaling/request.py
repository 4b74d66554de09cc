"""Requests checked against the service's own model, then against what is played.

What AWS refuses is refused with AWS's error; what it would take without effect here, as not played.
"""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import botocore.session
from botocore.model import ServiceModel

from local.auto_scaling.errors import ApiError, NotPlayed, validation_error
from local.run_command.request import complaint

_GROUP = {"AutoScalingGroupName"}
_HOOK = _GROUP | {"LifecycleHookName"}
_PAGE = {"MaxRecords", "NextToken"}
_SIZES = {"MinSize", "MaxSize", "DesiredCapacity"}
_SHAPE = (
    _GROUP
    | _SIZES
    | {"LaunchTemplate", "MixedInstancesPolicy", "DefaultCooldown", "AvailabilityZones"}
    | {"HealthCheckType", "HealthCheckGracePeriod", "VPCZoneIdentifier"}
    | {"NewInstancesProtectedFromScaleIn", "DefaultInstanceWarmup"}
    | {"InstanceLifecyclePolicy", "TerminationPolicies", "CapacityRebalance"}
)
_ACTION = _HOOK | {"LifecycleActionToken", "InstanceId"}
_STANDBY = _GROUP | {"InstanceIds", "ShouldDecrementDesiredCapacity"}

MEMBERS: Mapping[str, set[str]] = {
    "CreateAutoScalingGroup": _SHAPE
    | {"InstanceId", "LifecycleHookSpecificationList", "Tags"},
    "UpdateAutoScalingGroup": _SHAPE,
    "SetDesiredCapacity": _GROUP | {"DesiredCapacity", "HonorCooldown"},
    "DeleteAutoScalingGroup": _GROUP | {"ForceDelete"},
    "DescribeAutoScalingGroups": _PAGE | {"AutoScalingGroupNames", "IncludeInstances"},
    "DescribeAutoScalingInstances": _PAGE | {"InstanceIds"},
    "CreateOrUpdateTags": {"Tags"},
    "DeleteTags": {"Tags"},
    "DescribeTags": _PAGE | {"Filters"},
    "EnterStandby": _STANDBY,
    "ExitStandby": _GROUP | {"InstanceIds"},
    "DetachInstances": _STANDBY,
    "TerminateInstanceInAutoScalingGroup": {
        "InstanceId",
        "ShouldDecrementDesiredCapacity",
    },
    "SetInstanceHealth": {"InstanceId", "HealthStatus", "ShouldRespectGracePeriod"},
    "SetInstanceProtection": _GROUP | {"InstanceIds", "ProtectedFromScaleIn"},
    "PutLifecycleHook": _HOOK
    | {"LifecycleTransition", "NotificationMetadata"}
    | {"HeartbeatTimeout", "DefaultResult"},
    "DescribeLifecycleHooks": _GROUP | {"LifecycleHookNames"},
    "DeleteLifecycleHook": _HOOK,
    "CompleteLifecycleAction": _ACTION | {"LifecycleActionResult"},
    "RecordLifecycleActionHeartbeat": _ACTION,
    "PutWarmPool": _GROUP
    | {"MaxGroupPreparedCapacity", "MinSize", "PoolState", "InstanceReusePolicy"},
    "DescribeWarmPool": _GROUP | _PAGE,
    "DeleteWarmPool": _GROUP | {"ForceDelete"},
    "StartInstanceRefresh": _GROUP | {"Strategy", "Preferences"},
    "CancelInstanceRefresh": _GROUP,
    "DescribeInstanceRefreshes": _GROUP | _PAGE | {"InstanceRefreshIds"},
}
"""Of each operation that is played the members that are."""

_VALUES: Mapping[str, tuple[Any, ...]] = {
    "HealthCheckType": ("EC2",),
    "TerminationPolicies": (["Default"],),
    "CapacityRebalance": (False,),
    "HonorCooldown": (False,),
    "Strategy": ("Rolling",),
}
"""Of some members the values that are played."""

PREFERENCES = frozenset(
    {
        "MinHealthyPercentage",
        "MaxHealthyPercentage",
        "InstanceWarmup",
        "StandbyInstances",
    }
)


@cache
def service_model() -> ServiceModel:
    """The model of the API that ships with botocore."""
    loader = botocore.session.get_session().get_component("data_loader")
    return ServiceModel(loader.load_service_model("autoscaling", "service-2"))


def check(operation: str, request: Mapping[str, Any]) -> None:
    """Raise ValidationError for what breaks the model, NotPlayed for what has no effect here."""
    if operation not in MEMBERS:
        raise NotPlayed(operation)
    shape = service_model().operation_model(operation).input_shape
    if said := complaint(shape, request):
        raise validation_error(said)
    for unplayed in _unplayed(operation, request):
        raise NotPlayed(f"{unplayed} of {operation}")


def _unplayed(operation: str, request: Mapping[str, Any]) -> Iterator[str]:
    for name, value in request.items():
        if name not in MEMBERS[operation]:
            yield name
        elif value not in _VALUES.get(name, (value,)):
            yield f"{name} {value}"
    yield from sorted(set(request.get("Preferences", ())) - PREFERENCES)


def page(
    name: str, items: list[Any], request: Mapping[str, Any], *, most: int = 100
) -> dict[str, Any]:
    """One page of what is listed."""
    size = request.get("MaxRecords", 50)
    if not 1 <= size <= most:
        bound = f"{'less' if size > most else 'greater'} than or equal to {most if size > most else 1}"
        raise validation_error(
            f"1 validation error detected: Value '{size}' at 'maxRecords' failed to satisfy constraint: "
            f"Member must have value {bound}"
        )
    start = _start(request.get("NextToken", "0"))
    answer: dict[str, Any] = {name: items[start : start + size]}
    if start + size < len(items):
        answer["NextToken"] = str(start + size)
    return answer


def _start(token: str) -> int:
    if not token.isdigit():
        raise ApiError("InvalidNextToken", "The NextToken value is not valid.")
    return int(token)
