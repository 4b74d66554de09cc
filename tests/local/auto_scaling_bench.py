"""A group on moto with a clock of the test's own, asked through boto3 alone."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from local.auto_scaling import AutoScaling, Event, attach, auto_scaling_on_moto
from local.run_command import ManualClock

REGION = "eu-west-1"
NAME = "web"
TAGS = [
    {"Key": "Environment", "Value": "staging", "PropagateAtLaunch": True},
    {"Key": "Owner", "Value": "ops", "PropagateAtLaunch": False},
]
LAUNCHING = "autoscaling:EC2_INSTANCE_LAUNCHING"
TERMINATING = "autoscaling:EC2_INSTANCE_TERMINATING"


@dataclass
class ScalingBench:
    """Clients, the service behind them, its clock and the events that came."""

    service: AutoScaling
    clock: ManualClock
    events: list[Event]
    scaling: Any = field(init=False)
    ec2: Any = field(init=False)

    def __post_init__(self) -> None:
        """The clients, and a launch template."""
        self.scaling = boto3.client("autoscaling", region_name=REGION)
        self.ec2 = boto3.client("ec2", region_name=REGION)
        self.template("web")

    def template(self, name: str, **data: Any) -> None:
        """Make a launch template."""
        content: Any = {"ImageId": "ami-12345678", "InstanceType": "t3.micro", **data}
        self.ec2.create_launch_template(
            LaunchTemplateName=name, LaunchTemplateData=content
        )

    def create(self, size: int = 1, name: str = NAME, **more: Any) -> None:
        """Make a group of that size."""
        request = {
            "AutoScalingGroupName": name,
            "LaunchTemplate": {"LaunchTemplateName": "web"},
            "MinSize": 0,
            "MaxSize": 10,
            "DesiredCapacity": size,
            "AvailabilityZones": ["eu-west-1a", "eu-west-1b"],
            "Tags": TAGS,
        }
        self.scaling.create_auto_scaling_group(**request | more)

    def running(self, size: int = 1, **more: Any) -> list[str]:
        """Make a group whose instances are in service; their ids."""
        self.create(size, **more)
        self.pass_time(10)
        assert set(self.states().values()) <= {"InService"}
        return sorted(self.states())

    def hook(self, transition: str = TERMINATING, **more: Any) -> None:
        """Put a lifecycle hook."""
        name = "out" if transition == TERMINATING else "in"
        request = {
            "AutoScalingGroupName": NAME,
            "LifecycleHookName": name,
            "LifecycleTransition": transition,
            "HeartbeatTimeout": 60,
        }
        self.scaling.put_lifecycle_hook(**request | more)

    def pass_time(self, seconds: float) -> None:
        """Let time pass, as it would without a test: whatever is due happens when it is."""
        for _ in range(round(seconds)):
            self.clock.advance(1)
            self.service.tick()

    def group(self, name: str = NAME) -> Mapping[str, Any]:
        """The group as it is described."""
        answer = self.scaling.describe_auto_scaling_groups(AutoScalingGroupNames=[name])
        (found,) = answer["AutoScalingGroups"]
        return dict(found)

    def states(self, name: str = NAME) -> dict[str, str]:
        """Lifecycle state by instance of the group."""
        return {
            each["InstanceId"]: each["LifecycleState"]
            for each in self.group(name)["Instances"]
        }

    def warm(self) -> dict[str, str]:
        """Lifecycle state by instance of the warm pool."""
        answer = self.scaling.describe_warm_pool(AutoScalingGroupName=NAME)
        return {
            each["InstanceId"]: each["LifecycleState"] for each in answer["Instances"]
        }

    def machine(self, instance_id: str) -> Mapping[str, Any]:
        """The instance as EC2 describes it."""
        answer = self.ec2.describe_instances(InstanceIds=[instance_id])
        return dict(answer["Reservations"][0]["Instances"][0])

    def machine_state(self, instance_id: str) -> str:
        """EC2's state of the instance."""
        return str(self.machine(instance_id)["State"]["Name"])

    def scale(self, size: int) -> None:
        """Another desired capacity."""
        self.scaling.set_desired_capacity(
            AutoScalingGroupName=NAME, DesiredCapacity=size
        )

    def complete(
        self, instance_id: str, result: str = "CONTINUE", hook: str = "out"
    ) -> None:
        """Complete a lifecycle action."""
        self.scaling.complete_lifecycle_action(
            AutoScalingGroupName=NAME,
            LifecycleHookName=hook,
            InstanceId=instance_id,
            LifecycleActionResult=result,
        )

    def heartbeat(self, instance_id: str, hook: str = "out") -> None:
        """Record a heartbeat."""
        self.scaling.record_lifecycle_action_heartbeat(
            AutoScalingGroupName=NAME, LifecycleHookName=hook, InstanceId=instance_id
        )

    def said(self, *words: str) -> list[Event]:
        """Events with one of these detail types, in the order they came."""
        return [event for event in self.events if event["detail-type"] in words]


@contextmanager
def opened() -> Iterator[ScalingBench]:
    """A bench without groups."""
    events: list[Event] = []
    clock = ManualClock(datetime(2026, 1, 1, tzinfo=UTC))
    with mock_aws():
        service = auto_scaling_on_moto(region=REGION, clock=clock)
        service.on_event = events.append
        with attach(service):
            yield ScalingBench(service, clock, events)


@contextmanager
def refused(code: str, text: str = "") -> Iterator[None]:
    """What is done here is refused with that code, and the message has that text."""
    with pytest.raises(ClientError) as caught:
        yield
    error = caught.value.response["Error"]
    assert (error["Code"], text in error["Message"]) == (code, True), error["Message"]
