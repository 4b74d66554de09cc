"""Auto Scaling groups of the local system: backends that come and go as AWS decides, each with a machine."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from local.follow import followed
from local.system import IMAGE, LocalSystem

NOTICE_SECONDS = 120
"""EC2's, before it takes a spot instance back."""
HOOKS = tuple(
    {
        "LifecycleHookName": f"haproxy-ec2-sync-{name}",
        "LifecycleTransition": f"autoscaling:EC2_INSTANCE_{transition}",
        "HeartbeatTimeout": 300,
    }
    for name, transition in (("launch", "LAUNCHING"), ("drain", "TERMINATING"))
)
"""Those of docs/auto-scaling.md."""
LOOK_SECONDS = 0.25
"""How soon after EC2 a machine of a group comes or ends."""


@dataclass(frozen=True, slots=True)
class ScalingGroup:
    """A group of backends."""

    system: LocalSystem
    name: str

    @property
    def client(self) -> Any:
        """Of the account's owner."""
        return self.system.stack.client("autoscaling")

    def scale(self, size: int) -> None:
        """Another desired capacity."""
        self.client.set_desired_capacity(
            AutoScalingGroupName=self.name, DesiredCapacity=size
        )

    def states(self) -> dict[str, str]:
        """Lifecycle state by instance; those of the warm pool are no part of it."""
        answer = self.client.describe_auto_scaling_groups(
            AutoScalingGroupNames=[self.name]
        )
        return {
            each["InstanceId"]: each["LifecycleState"]
            for group in answer["AutoScalingGroups"]
            for each in group["Instances"]
        }

    def serving(self) -> list[str]:
        """The instances in service."""
        states = self.states().items()
        return sorted(name for name, state in states if state == "InService")

    def refresh(self, min_healthy: int = 50, warmup: int = 0) -> str:
        """Replace all instances; the refresh's id."""
        preferences = {"MinHealthyPercentage": min_healthy, "InstanceWarmup": warmup}
        answer = self.client.start_instance_refresh(
            AutoScalingGroupName=self.name, Preferences=preferences
        )
        return str(answer["InstanceRefreshId"])

    def is_refreshing(self) -> bool:
        """Whether a refresh still replaces instances."""
        answer = self.client.describe_instance_refreshes(AutoScalingGroupName=self.name)
        return any("EndTime" not in each for each in answer["InstanceRefreshes"])

    def interrupt(self, instance_id: str, seconds: float = NOTICE_SECONDS) -> None:
        """EC2 takes a spot instance back after this notice."""
        self.system.stack.order(interrupt=instance_id, seconds=seconds)

    def recommend_rebalance(self, instance_id: str) -> None:
        """EC2 says that it may take a spot instance back."""
        self.system.stack.order(rebalance=instance_id)


def make_group(
    system: LocalSystem,
    name: str,
    size: int,
    hooks: Sequence[Mapping[str, Any]] = (),
    template: Mapping[str, Any] | None = None,
    **more: Any,
) -> ScalingGroup:
    """A group of so many backends of the environment in two zones; its machines come while `machines` lasts.

    `template` is what its launch template has beside the image, `more` are members of the request.
    """
    content = {"ImageId": IMAGE, "InstanceType": "t3.micro", **(template or {})}
    system.stack.ec2.create_launch_template(
        LaunchTemplateName=name,
        LaunchTemplateData=content,  # type: ignore[arg-type] # whatever the caller gave
    )
    tags = {"Environment": system.environment, "Type": "tomcat"}
    request = {
        "MinSize": 0,
        "MaxSize": 20,
        "AvailabilityZones": ["ap-southeast-2a", "ap-southeast-2b"],
        "Tags": [
            {"Key": key, "Value": value, "PropagateAtLaunch": True}
            for key, value in tags.items()
        ],
    }
    group = ScalingGroup(system, name)
    group.client.create_auto_scaling_group(
        AutoScalingGroupName=name,
        LaunchTemplate={"LaunchTemplateName": name},
        DesiredCapacity=size,
        LifecycleHookSpecificationList=list(hooks),
        **request | more,
    )
    return group


@contextmanager
def machines(system: LocalSystem, say: Callable[[str], None]) -> Iterator[None]:
    """While this lasts, each instance of a group has a machine with its private address from pending to terminated."""
    with followed(system, say, seconds=LOOK_SECONDS):
        yield
