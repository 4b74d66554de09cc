"""What is said on EventBridge, how it may go astray, and spot instances."""

from collections.abc import Sequence
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.auto_scaling import Event
from tests.local.auto_scaling_bench import (
    LAUNCHING,
    NAME,
    TERMINATING,
    ScalingBench,
    refused,
)

GROUP_EVENT = {
    "StatusCode",
    "AutoScalingGroupName",
    "ActivityId",
    "Details",
    "RequestId",
    "StatusMessage",
    "EndTime",
    "EC2InstanceId",
    "StartTime",
    "Cause",
    "Description",
    "Origin",
    "Destination",
}
"""The members that the samples of the user guide have."""


def spot_group(bench: ScalingBench, size: int = 1) -> list[str]:
    """A group of spot instances."""
    bench.template("spot", InstanceMarketOptions={"MarketType": "spot"})
    return bench.running(size, LaunchTemplate={"LaunchTemplateName": "spot"})


def code(bench: ScalingBench, instance: str) -> str:
    """The status code of the instance's spot request."""
    request = bench.machine(instance)["SpotInstanceRequestId"]
    answer = bench.ec2.describe_spot_instance_requests(SpotInstanceRequestIds=[request])
    (found,) = answer["SpotInstanceRequests"]
    assert found["InstanceId"] == instance
    return str(found["Status"]["Code"])


def test_launch_and_end(scaling: ScalingBench) -> None:
    """As the user guide shows them: of the group and of the instance."""
    (instance,) = scaling.running(1)
    scaling.scale(0)
    scaling.pass_time(5)
    began, ended = scaling.said(
        "EC2 Instance Launch Successful", "EC2 Instance Terminate Successful"
    )
    assert began["detail-type"] == "EC2 Instance Launch Successful"
    for event, origin, destination in (
        (began, "EC2", "AutoScalingGroup"),
        (ended, "AutoScalingGroup", "EC2"),
    ):
        detail = event["detail"]
        assert set(detail) == GROUP_EVENT
        assert event["source"] == "aws.autoscaling"
        group, machine = event["resources"]
        assert group.endswith(f":autoScalingGroupName/{NAME}")
        assert machine == f"arn:aws:ec2:eu-west-1:123456789012:instance/{instance}"
        assert detail["EC2InstanceId"] == instance
        assert (detail["Origin"], detail["Destination"]) == (origin, destination)
        assert set(detail["Details"]) == {"Availability Zone", "Subnet ID"}


@pytest.mark.parametrize("metadata", ["", "more"])
def test_actions(scaling: ScalingBench, metadata: str) -> None:
    """Of the group alone; with the token, and the hook's metadata if it has any."""
    more = {"NotificationMetadata": metadata} if metadata else {}
    scaling.create(0)
    scaling.hook(LAUNCHING, **more)
    scaling.scale(1)
    scaling.pass_time(5)
    (event,) = scaling.said("EC2 Instance-launch Lifecycle Action")
    (instance,) = scaling.states()
    detail = dict(event["detail"])
    assert len(detail.pop("LifecycleActionToken")) == 36
    assert detail.pop("NotificationMetadata", "") == metadata
    assert event["resources"] == [scaling.group()["AutoScalingGroupARN"]]
    assert detail == {
        "AutoScalingGroupName": NAME,
        "LifecycleHookName": "in",
        "EC2InstanceId": instance,
        "LifecycleTransition": LAUNCHING,
        "Origin": "EC2",
        "Destination": "AutoScalingGroup",
    }


@pytest.mark.parametrize(
    ("fate", "times"),
    [((), []), ((0.0,), [2]), ((30.0,), [32]), ((0.0, 30.0), [2, 32])],
)
def test_events_go_astray(
    scaling: ScalingBench, fate: Sequence[float], times: list[int]
) -> None:
    """Lost, late, or twice, as a test wants it."""
    scaling.running(1)
    scaling.hook()
    scaling.service.mail.fate = lambda _event: fate
    scaling.scale(0)
    came = []
    for second in range(1, 41):
        before = len(scaling.said("EC2 Instance-terminate Lifecycle Action"))
        scaling.pass_time(1)
        after = scaling.said("EC2 Instance-terminate Lifecycle Action")
        came += [second + 1] * (len(after) - before)
    assert came == times


def test_events_overtake_each_other(scaling: ScalingBench) -> None:
    """The order is that of arrival."""

    def fate(event: Event) -> Sequence[float]:
        return (20.0,) if "Launch Successful" in event["detail-type"] else (0.0,)

    scaling.service.mail.fate = fate
    scaling.running(1)
    scaling.scale(0)
    scaling.pass_time(20)
    words = [
        event["detail-type"]
        for event in scaling.events
        if event["source"] == "aws.autoscaling"
    ]
    assert words == [
        "EC2 Instance Terminate Successful",
        "EC2 Instance Launch Successful",
    ]


def test_a_spot_instance_is_taken_back(scaling: ScalingBench) -> None:
    """A notice, two minutes, the end; the group notices, and its hook waits for nobody."""
    (instance,) = spot_group(scaling)
    scaling.hook()
    assert scaling.machine(instance)["InstanceLifecycle"] == "spot"
    assert code(scaling, instance) == "fulfilled"
    scaling.service.interrupt(instance)
    assert code(scaling, instance) == "marked-for-termination"
    (notice,) = scaling.said("EC2 Spot Instance Interruption Warning")
    assert notice["detail"] == {
        "instance-id": instance,
        "instance-action": "terminate",
    }
    assert notice["resources"] == [f"arn:aws:ec2:eu-west-1a:instance/{instance}"]
    scaling.pass_time(119)
    assert scaling.machine_state(instance) == "running"
    scaling.pass_time(5)
    assert scaling.machine_state(instance) == "terminated"
    assert code(scaling, instance) == "instance-terminated-no-capacity"
    scaling.pass_time(40)
    assert scaling.states()[instance] == "Terminating:Wait"


def test_a_spot_instance_may_be_stopped(scaling: ScalingBench) -> None:
    """Where its request says so."""
    (instance,) = spot_group(scaling)
    scaling.service.spot.notice_seconds = 10
    scaling.service.interrupt(instance, "marked-for-stop")
    (notice,) = scaling.said("EC2 Spot Instance Interruption Warning")
    assert notice["detail"]["instance-action"] == "stop"
    scaling.pass_time(12)
    assert scaling.machine_state(instance) == "stopped"


def test_a_rebalance_recommendation(scaling: ScalingBench) -> None:
    """An event, and nothing else."""
    (instance,) = spot_group(scaling)
    scaling.service.recommend_rebalance(instance)
    (event,) = scaling.said("EC2 Instance Rebalance Recommendation")
    assert event["detail"] == {"instance-id": instance}
    assert event["resources"] == [
        f"arn:aws:ec2:eu-west-1:123456789012:instance/{instance}"
    ]
    scaling.pass_time(300)
    assert code(scaling, instance) == "fulfilled"
    assert scaling.states() == {instance: "InService"}


def test_spot_instances_of_no_group(scaling: ScalingBench) -> None:
    """Whoever runs one has a request; others have none, and unknown requests are refused."""
    run: Any = {"ImageId": "ami-12345678", "MinCount": 1, "MaxCount": 1}
    market = {"MarketType": "spot"}
    spot = scaling.ec2.run_instances(**run, InstanceMarketOptions=market)
    bought = scaling.ec2.run_instances(**run)
    assert code(scaling, spot["Instances"][0]["InstanceId"]) == "fulfilled"
    instance = bought["Instances"][0]["InstanceId"]
    assert "SpotInstanceRequestId" not in scaling.machine(instance)
    with pytest.raises(ClientError) as caught:
        scaling.ec2.describe_spot_instance_requests(
            SpotInstanceRequestIds=["sir-00000000"]
        )
    error = caught.value.response["Error"]
    assert error["Code"] == "InvalidSpotInstanceRequestID.NotFound"


def test_a_mixed_group(scaling: ScalingBench) -> None:
    """The base is bought, the rest is spot."""
    template = {"LaunchTemplateSpecification": {"LaunchTemplateName": "web"}}
    spread = {"OnDemandBaseCapacity": 1, "OnDemandPercentageAboveBaseCapacity": 0}
    policy = {"LaunchTemplate": template, "InstancesDistribution": spread}
    scaling.scaling.create_auto_scaling_group(
        AutoScalingGroupName=NAME,
        MixedInstancesPolicy=policy,
        MinSize=3,
        MaxSize=3,
        AvailabilityZones=["eu-west-1a"],
    )
    found = [scaling.machine(each) for each in scaling.states()]
    kinds = sorted(each.get("InstanceLifecycle", "") for each in found)
    assert kinds == ["", "spot", "spot"]
    with refused("ValidationError", "not played: OnDemandPercentage"):
        scaling.create(
            name="b",
            LaunchTemplate={},
            MixedInstancesPolicy=policy
            | {"InstancesDistribution": {"OnDemandPercentageAboveBaseCapacity": 50}},
        )


def test_the_next_change_is_when_something_happens(scaling: ScalingBench) -> None:
    """A clock that jumps from change to change misses none."""
    scaling.create(1)
    scaling.hook(TERMINATING, HeartbeatTimeout=7200)
    moments = []
    for _ in range(20):
        due = scaling.service.next_change()
        if due is None:
            break
        scaling.clock.now = due
        scaling.service.tick()
        moments.append(list(scaling.states().values()))
    assert moments[-1] == ["InService"]
    assert scaling.service.next_change() is None
    scaling.scale(0)
    begun = scaling.clock.now
    while scaling.states():
        due = scaling.service.next_change()
        assert due
        scaling.clock.now = due
        scaling.service.tick()
    assert 7200 <= (scaling.clock.now - begun).total_seconds() <= 7210
