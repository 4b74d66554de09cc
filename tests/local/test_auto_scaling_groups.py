"""Groups and their instances: sizes, health, standby, and what the API refuses."""

from typing import Any

import boto3
import pytest

from tests.local.auto_scaling_bench import NAME, TERMINATING, ScalingBench, refused

HOOKS = [
    {
        "LifecycleHookName": "out",
        "LifecycleTransition": TERMINATING,
        "HeartbeatTimeout": 60,
    }
]


def test_a_group_launches_its_instances(scaling: ScalingBench) -> None:
    """Spread over its zones, with the group's name and the tags that it propagates."""
    instances = scaling.running(4)
    found = [scaling.machine(each) for each in instances]
    zones = sorted(each["Placement"]["AvailabilityZone"] for each in found)
    assert zones == ["eu-west-1a"] * 2 + ["eu-west-1b"] * 2
    for each in found:
        tags = {tag["Key"]: tag["Value"] for tag in each["Tags"]}
        assert tags["aws:autoscaling:groupName"] == NAME
        assert tags["Environment"] == "staging"
        assert "Owner" not in tags
        assert (each["ImageId"], each["InstanceType"]) == ("ami-12345678", "t3.micro")


def test_an_instance_is_pending_first(scaling: ScalingBench) -> None:
    """In the group as in EC2."""
    scaling.create(1)
    ((instance, state),) = scaling.states().items()
    assert (state, scaling.machine_state(instance)) == ("Pending", "pending")


def test_scale_in_takes_from_the_fuller_zone(scaling: ScalingBench) -> None:
    """And the oldest there; nobody who is protected."""
    scaling.running(3)
    scaling.scale(2)
    scaling.pass_time(5)
    zones = [each["AvailabilityZone"] for each in scaling.group()["Instances"]]
    assert sorted(zones) == ["eu-west-1a", "eu-west-1b"]
    scaling.scaling.set_instance_protection(
        AutoScalingGroupName=NAME,
        InstanceIds=list(scaling.states()),
        ProtectedFromScaleIn=True,
    )
    scaling.scale(0)
    scaling.pass_time(5)
    assert list(scaling.states().values()) == ["InService"] * 2


@pytest.mark.parametrize(
    ("size", "text"), [(0, "is below min value 1"), (4, "is above max value 3")]
)
def test_desired_capacity_keeps_within_bounds(
    scaling: ScalingBench, size: int, text: str
) -> None:
    """The service's own words."""
    scaling.create(2, MinSize=1, MaxSize=3)
    with refused("ValidationError", f"New SetDesiredCapacity value {size} {text}"):
        scaling.scale(size)


def test_bounds_move_the_desired_capacity(scaling: ScalingBench) -> None:
    """When an update leaves it outside of them."""
    scaling.create(2)
    update = scaling.scaling.update_auto_scaling_group
    update(AutoScalingGroupName=NAME, MinSize=3)
    assert scaling.group()["DesiredCapacity"] == 3
    update(AutoScalingGroupName=NAME, MinSize=0, MaxSize=1)
    assert scaling.group()["DesiredCapacity"] == 1
    with refused("ValidationError", "Desired capacity:2 must be between"):
        update(AutoScalingGroupName=NAME, DesiredCapacity=2)


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"MinSize": 3, "MaxSize": 2}, "must be greater than or equal to min bound"),
        ({"DesiredCapacity": 11}, "must be between the specified"),
        ({"LaunchTemplate": {"LaunchTemplateName": "none"}}, "does not exist"),
        (
            {
                "LaunchTemplate": {
                    "LaunchTemplateName": "web",
                    "LaunchTemplateId": "lt-1",
                }
            },
            "launchTemplateId or LaunchTemplateName",
        ),
        ({"AvailabilityZones": []}, "At least one Availability Zone or VPC Subnet"),
        ({"AvailabilityZones": ["eu-west-1x"]}, "Invalid availability zones"),
        ({"InstanceId": "i-0a1b2c3d4e5f60001"}, "Valid requests must contain either"),
        ({"AutoScalingGroupName": "x" * 256}, "length less than or equal to 255"),
        ({"Tags": [{"Key": "aws:x", "Value": "y"}]}, "aws:"),
        (
            {"LifecycleHookSpecificationList": [HOOKS[0] | {"HeartbeatTimeout": 5}]},
            "Heartbeat timeout",
        ),
    ],
)
def test_what_no_group_may_be(
    scaling: ScalingBench, more: dict[str, Any], text: str
) -> None:
    """Refused, and there is no group."""
    with refused("ValidationError", text):
        scaling.create(**more)
    assert scaling.scaling.describe_auto_scaling_groups()["AutoScalingGroups"] == []


@pytest.mark.parametrize(
    "more",
    [
        {"HealthCheckType": "ELB"},
        {"CapacityRebalance": True},
        {"TerminationPolicies": ["OldestInstance"]},
        {"TargetGroupARNs": ["arn:aws:elasticloadbalancing:eu-west-1:1:targetgroup/x"]},
    ],
)
def test_what_is_not_played(scaling: ScalingBench, more: dict[str, Any]) -> None:
    """Said, and not taken without effect."""
    with refused("ValidationError", "not played: "):
        scaling.create(**more)


def test_operations_that_are_not_played(scaling: ScalingBench) -> None:
    """They do not reach moto's own groups."""
    with refused("ValidationError", "not played: DescribePolicies"):
        scaling.scaling.describe_policies()


def test_a_name_is_taken_once(scaling: ScalingBench) -> None:
    """AlreadyExists."""
    scaling.create(0)
    with refused("AlreadyExists"):
        scaling.create(0)


def test_subnets_decide_the_zone(scaling: ScalingBench) -> None:
    """VPCZoneIdentifier; one that does not exist is refused."""
    (subnet, *_) = scaling.ec2.describe_subnets()["Subnets"]
    (instance,) = scaling.running(
        1, AvailabilityZones=[], VPCZoneIdentifier=subnet["SubnetId"]
    )
    assert scaling.machine(instance)["SubnetId"] == subnet["SubnetId"]
    with refused("ValidationError", "The subnet ID 'subnet-1' does not exist"):
        scaling.create(name="b", AvailabilityZones=[], VPCZoneIdentifier="subnet-1")


def test_an_instance_may_be_the_model(scaling: ScalingBench) -> None:
    """InstanceId in the place of a template."""
    answer = scaling.ec2.run_instances(
        ImageId="ami-87654321", InstanceType="m5.large", MinCount=1, MaxCount=1
    )
    model = answer["Instances"][0]["InstanceId"]
    request = {
        "AutoScalingGroupName": "like",
        "InstanceId": model,
        "MinSize": 1,
        "MaxSize": 1,
        "AvailabilityZones": ["eu-west-1a"],
    }
    scaling.scaling.create_auto_scaling_group(**request)
    (instance,) = scaling.states("like")
    assert scaling.machine(instance)["ImageId"] == "ami-87654321"


def test_groups_that_do_not_exist_are_left_out(scaling: ScalingBench) -> None:
    """Silently; so are instances of nobody."""
    scaling.create(0)
    answer = scaling.scaling.describe_auto_scaling_groups(
        AutoScalingGroupNames=["gone", NAME]
    )
    assert [g["AutoScalingGroupName"] for g in answer["AutoScalingGroups"]] == [NAME]
    answer = scaling.scaling.describe_auto_scaling_instances(
        InstanceIds=["i-0a1b2c3d4e5f60001"]
    )
    assert answer["AutoScalingInstances"] == []


def test_groups_come_in_pages(scaling: ScalingBench) -> None:
    """Fifty at a time, or as many as are asked for; a token that nobody gave is refused."""
    for number in range(53):
        scaling.create(0, name=f"g{number:02}")
    describe = scaling.scaling.describe_auto_scaling_groups
    first = describe()
    assert len(first["AutoScalingGroups"]) == 50
    rest = describe(NextToken=first["NextToken"])
    assert len(rest["AutoScalingGroups"]) == 3
    assert "NextToken" not in rest
    assert len(describe(MaxRecords=100)["AutoScalingGroups"]) == 53
    with refused("InvalidNextToken"):
        describe(NextToken="more")
    with refused("ValidationError", "less than or equal to 100"):
        describe(MaxRecords=101)


def test_no_more_than_fifty_names(scaling: ScalingBench) -> None:
    """Unless MaxRecords allows more."""
    names = [f"g{number}" for number in range(51)]
    describe = scaling.scaling.describe_auto_scaling_groups
    with refused("ValidationError"):
        describe(AutoScalingGroupNames=names)
    assert describe(AutoScalingGroupNames=names, MaxRecords=51)
    with refused("ValidationError"):
        scaling.scaling.describe_auto_scaling_instances(
            InstanceIds=[f"i-{number:017x}" for number in range(51)]
        )


def test_an_unhealthy_instance_is_replaced(scaling: ScalingBench) -> None:
    """With the hook; the new one does not wait for it."""
    (instance,) = scaling.running(1, LifecycleHookSpecificationList=HOOKS)
    scaling.scaling.set_instance_health(InstanceId=instance, HealthStatus="Unhealthy")
    scaling.pass_time(5)
    assert sorted(scaling.states().values()) == ["InService", "Terminating:Wait"]
    assert scaling.states()[instance] == "Terminating:Wait"
    assert scaling.machine_state(instance) == "running"
    with refused("ValidationError", "[Healthy, Unhealthy]"):
        scaling.scaling.set_instance_health(InstanceId=instance, HealthStatus="Ill")


def test_the_grace_period_is_respected(scaling: ScalingBench) -> None:
    """Unless the caller does not want it."""
    (instance,) = scaling.running(1, HealthCheckGracePeriod=300)
    request: Any = {"InstanceId": instance, "HealthStatus": "Unhealthy"}
    scaling.scaling.set_instance_health(**request)
    scaling.pass_time(5)
    assert scaling.states() == {instance: "InService"}
    scaling.scaling.set_instance_health(**request, ShouldRespectGracePeriod=False)
    scaling.pass_time(5)
    assert instance not in scaling.states()


def test_a_machine_that_ends_outside_is_noticed_later(scaling: ScalingBench) -> None:
    """EC2 ends it at once; the group takes its time, then replaces it, and the hook waits for nobody."""
    (instance,) = scaling.running(1, LifecycleHookSpecificationList=HOOKS)
    scaling.ec2.terminate_instances(InstanceIds=[instance])
    scaling.pass_time(5)
    assert scaling.machine_state(instance) == "terminated"
    assert scaling.states() == {instance: "InService"}
    scaling.pass_time(40)
    assert scaling.states().pop(instance) == "Terminating:Wait"
    assert sorted(scaling.states().values()) == ["InService", "Terminating:Wait"]
    scaling.complete(instance)
    scaling.pass_time(5)
    assert list(scaling.states().values()) == ["InService"]


def test_standby_and_back(scaling: ScalingBench) -> None:
    """It runs, does not count, and no event says so; the way back leads over Pending."""
    first, second = scaling.running(2, LifecycleHookSpecificationList=HOOKS)
    scaling.events.clear()
    scaling.scaling.enter_standby(
        AutoScalingGroupName=NAME,
        InstanceIds=[first],
        ShouldDecrementDesiredCapacity=True,
    )
    assert scaling.states() == {first: "EnteringStandby", second: "InService"}
    scaling.pass_time(100)
    assert scaling.states() == {first: "Standby", second: "InService"}
    assert scaling.group()["DesiredCapacity"] == 1
    scaling.scaling.exit_standby(AutoScalingGroupName=NAME, InstanceIds=[first])
    assert scaling.states()[first] == "Pending"
    scaling.pass_time(2)
    assert scaling.states() == {first: "InService", second: "InService"}
    assert scaling.events == []


def test_standby_without_decrement_is_replaced(scaling: ScalingBench) -> None:
    """The desired capacity stays, so somebody else comes."""
    (instance,) = scaling.running(1)
    scaling.scaling.enter_standby(
        AutoScalingGroupName=NAME,
        InstanceIds=[instance],
        ShouldDecrementDesiredCapacity=False,
    )
    scaling.pass_time(5)
    assert sorted(scaling.states().values()) == ["InService", "Standby"]


def test_what_standby_refuses(scaling: ScalingBench) -> None:
    """Whom it does not know, who is elsewhere, and a size below the minimum."""
    (instance,) = scaling.running(1, MinSize=1, MaxSize=1)
    enter, leave = scaling.scaling.enter_standby, scaling.scaling.exit_standby
    mine: Any = {"AutoScalingGroupName": NAME, "InstanceIds": [instance]}
    with refused("ValidationError", "To place into standby 1 instance, please update"):
        enter(**mine, ShouldDecrementDesiredCapacity=True)
    with refused("ValidationError", f"The instance {instance} is not in Standby."):
        leave(**mine)
    enter(**mine, ShouldDecrementDesiredCapacity=False)
    scaling.pass_time(5)
    with refused("ValidationError", f"The instance {instance} is not in InService."):
        enter(**mine, ShouldDecrementDesiredCapacity=False)
    with refused("ValidationError", "To return to service 1 instance"):
        leave(**mine)
    with refused("ValidationError", "is not part of Auto Scaling group web."):
        leave(AutoScalingGroupName=NAME, InstanceIds=["i-0a1b2c3d4e5f60001"])


def test_a_detached_instance_is_nobodys(scaling: ScalingBench) -> None:
    """It runs on without the group's name; no hook holds it."""
    (instance,) = scaling.running(1, LifecycleHookSpecificationList=HOOKS)
    scaling.scaling.detach_instances(
        AutoScalingGroupName=NAME,
        InstanceIds=[instance],
        ShouldDecrementDesiredCapacity=True,
    )
    assert scaling.states() == {instance: "Detaching"}
    scaling.pass_time(2)
    assert scaling.states() == {}
    found = scaling.machine(instance)
    assert found["State"]["Name"] == "running"
    assert "aws:autoscaling:groupName" not in {tag["Key"] for tag in found["Tags"]}
    with refused("ValidationError", "Instance Id not found - No managed instance"):
        scaling.scaling.terminate_instance_in_auto_scaling_group(
            InstanceId=instance, ShouldDecrementDesiredCapacity=True
        )


def test_terminating_one_instance(scaling: ScalingBench) -> None:
    """With its hook; it is replaced unless the desired capacity goes down with it, which the minimum may forbid."""
    (instance,) = scaling.running(1, MinSize=1, LifecycleHookSpecificationList=HOOKS)
    terminate = scaling.scaling.terminate_instance_in_auto_scaling_group
    with refused("ValidationError", "Currently, desiredSize equals minSize (1)."):
        terminate(InstanceId=instance, ShouldDecrementDesiredCapacity=True)
    answer = terminate(InstanceId=instance, ShouldDecrementDesiredCapacity=False)
    assert answer["Activity"]["StatusCode"] == "InProgress"
    scaling.pass_time(5)
    assert sorted(scaling.states().values()) == ["InService", "Terminating:Wait"]
    with refused("ScalingActivityInProgress"):
        terminate(InstanceId=instance, ShouldDecrementDesiredCapacity=False)


def test_deleting_a_group_needs_force(scaling: ScalingBench) -> None:
    """With force no hook is waited for, and the group goes with its last instance."""
    (instance,) = scaling.running(1, LifecycleHookSpecificationList=HOOKS)
    delete = scaling.scaling.delete_auto_scaling_group
    with refused("ResourceInUse"):
        delete(AutoScalingGroupName=NAME)
    delete(AutoScalingGroupName=NAME, ForceDelete=True)
    assert scaling.group()["Status"] == "Delete in progress"
    with refused("ValidationError", "pending delete"):
        scaling.scale(2)
    scaling.pass_time(5)
    assert scaling.machine_state(instance) == "terminated"
    assert scaling.scaling.describe_auto_scaling_groups()["AutoScalingGroups"] == []
    with refused("ValidationError", "AutoScalingGroup name not found"):
        delete(AutoScalingGroupName=NAME)


def test_tags_of_a_group(scaling: ScalingBench) -> None:
    """New instances get those that are propagated; those that run keep theirs."""
    (old,) = scaling.running(1)
    tag = {
        "ResourceId": NAME,
        "ResourceType": "auto-scaling-group",
        "Key": "Type",
        "Value": "tomcat",
        "PropagateAtLaunch": True,
    }
    scaling.scaling.create_or_update_tags(Tags=[tag])
    scaling.scale(2)
    scaling.pass_time(5)
    (new,) = set(scaling.states()) - {old}
    assert "Type" in {each["Key"] for each in scaling.machine(new)["Tags"]}
    assert "Type" not in {each["Key"] for each in scaling.machine(old)["Tags"]}
    filters: Any = [{"Name": "key", "Values": ["Type"]}]
    answer = scaling.scaling.describe_tags(Filters=filters)
    assert answer["Tags"] == [tag]
    scaling.scaling.delete_tags(Tags=[tag])
    assert scaling.scaling.describe_tags(Filters=filters)["Tags"] == []
    with refused("ValidationError", "Only auto-scaling-group"):
        scaling.scaling.create_or_update_tags(Tags=[tag | {"ResourceType": "instance"}])


@pytest.mark.usefixtures("scaling")
def test_another_region_is_another_service() -> None:
    """The stand-in serves one."""
    with refused("ValidationError", "not played: us-east-1"):
        boto3.client("autoscaling", region_name="us-east-1").describe_policies()
