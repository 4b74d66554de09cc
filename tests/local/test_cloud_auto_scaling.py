"""Auto Scaling in the local system: real time, EC2's life cycle, events by the account's rules, and IAM."""

import io
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from local import deployment
from local.stack import client, instances
from tests.local.auto_scaling_bench import TERMINATING, refused

DEADLINE_SECONDS = 60
REGION = "ap-southeast-2"
QUEUE = f"arn:aws:sqs:{REGION}:123456789012:events"
ROLE = "arn:aws:iam::123456789012:role/drainer"
OWN = {"StringEquals": {"autoscaling:ResourceTag/Environment": "staging"}}
POLICY = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Action": "autoscaling:Describe*", "Resource": "*"},
        {
            "Effect": "Allow",
            "Action": [
                "autoscaling:CompleteLifecycleAction",
                "autoscaling:RecordLifecycleActionHeartbeat",
            ],
            "Resource": f"arn:aws:autoscaling:{REGION}:123456789012:autoScalingGroup:*",
            "Condition": OWN,
        },
    ],
}


@dataclass(frozen=True)
class Cloud:
    """The AWS process, as the account's owner sees it."""

    endpoint: str
    process: "subprocess.Popen[str]"

    def client(self, service: str) -> Any:
        """The owner's."""
        return client(self.endpoint, service)

    def order(self, **order: Any) -> None:
        """As `local.stack` does."""
        print(json.dumps(order), file=self.process.stdin, flush=True)

    def drainer(self) -> Any:
        """A client of Auto Scaling in a session of the role."""
        keys = self.client("sts").assume_role(RoleArn=ROLE, RoleSessionName="drainer")
        return boto3.client(
            "autoscaling",
            region_name=REGION,
            endpoint_url=self.endpoint,
            aws_access_key_id=keys["Credentials"]["AccessKeyId"],
            aws_secret_access_key=keys["Credentials"]["SecretAccessKey"],
            aws_session_token=keys["Credentials"]["SessionToken"],
        )

    def group(self, name: str, environment: str, **more: Any) -> None:
        """One instance, and a hook where it ends."""
        self.client("ec2").create_launch_template(
            LaunchTemplateName=name,
            LaunchTemplateData={"ImageId": "ami-12c6146b", **more},
        )
        hook = {"LifecycleHookName": "out", "LifecycleTransition": TERMINATING}
        tag = {"Key": "Environment", "Value": environment, "PropagateAtLaunch": True}
        self.client("autoscaling").create_auto_scaling_group(
            AutoScalingGroupName=name,
            LaunchTemplate={"LaunchTemplateName": name},
            MinSize=0,
            MaxSize=3,
            DesiredCapacity=1,
            AvailabilityZones=["ap-southeast-2a"],
            LifecycleHookSpecificationList=[hook],
            Tags=[tag],
        )

    def states(self, name: str) -> dict[str, str]:
        """Lifecycle state by instance."""
        answer = self.client("autoscaling").describe_auto_scaling_groups(
            AutoScalingGroupNames=[name]
        )
        return {
            each["InstanceId"]: each["LifecycleState"]
            for each in answer["AutoScalingGroups"][0]["Instances"]
        }

    def await_state(self, name: str, state: str) -> str:
        """Wait until its only instance is in that state; its id."""
        wait_for(lambda: list(self.states(name).values()) == [state])
        (instance,) = self.states(name)
        return instance

    def told(self) -> list[dict[str, Any]]:
        """The events that have reached the queue."""
        url = self.client("sqs").get_queue_url(QueueName="events")["QueueUrl"]
        answer = self.client("sqs").receive_message(
            QueueUrl=url, MaxNumberOfMessages=10
        )
        return [json.loads(each["Body"]) for each in answer.get("Messages", [])]

    def await_event(self, detail_type: str) -> dict[str, Any]:
        """Wait for an event of that type."""
        heard: list[dict[str, Any]] = []

        def is_heard() -> bool:
            heard.extend(e for e in self.told() if e["detail-type"] == detail_type)
            return bool(heard)

        wait_for(is_heard)
        return heard[0]


def wait_for(condition: Callable[[], bool]) -> None:
    """At most so long."""
    end = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """With a rule that lets every event of Auto Scaling and EC2 into a queue, and a role with a condition."""
    folder = tmp_path_factory.mktemp("cloud")
    process = subprocess.Popen(
        [sys.executable, "-m", "local.cloud", str(folder), "1"],
        cwd=deployment.PROJECT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    endpoint = (process.stdout or io.StringIO()).readline().strip()
    made = Cloud(endpoint, process)
    try:
        _furnish(made)
        yield made
    finally:
        process.communicate(timeout=20)


def _furnish(cloud: Cloud) -> None:
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": QUEUE,
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    cloud.client("sqs").create_queue(QueueName="events", Attributes={"Policy": policy})
    pattern = json.dumps({"source": ["aws.autoscaling", "aws.ec2"]})
    cloud.client("events").put_rule(Name="all", EventPattern=pattern)
    cloud.client("events").put_targets(Rule="all", Targets=[{"Id": "q", "Arn": QUEUE}])
    iam = cloud.client("iam")
    iam.create_role(RoleName="drainer", AssumeRolePolicyDocument="{}")
    iam.put_role_policy(
        RoleName="drainer", PolicyName="p", PolicyDocument=json.dumps(POLICY)
    )


def test_a_life_in_real_time(cloud: Cloud) -> None:
    """Launched, drained and ended: EC2's states, the events in the queue, and the role that may end the wait."""
    cloud.group("web", "staging")
    instance = cloud.await_state("web", "InService")
    assert cloud.await_event("EC2 Instance Launch Successful")
    cloud.client("autoscaling").set_desired_capacity(
        AutoScalingGroupName="web", DesiredCapacity=0
    )
    cloud.await_state("web", "Terminating:Wait")
    event = cloud.await_event("EC2 Instance-terminate Lifecycle Action")
    assert event["detail"]["EC2InstanceId"] == instance
    assert instance in instances(cloud.client("ec2"), "running")
    action = {
        "AutoScalingGroupName": "web",
        "LifecycleHookName": "out",
        "InstanceId": instance,
    }
    drainer = cloud.drainer()
    drainer.record_lifecycle_action_heartbeat(**action)
    drainer.complete_lifecycle_action(**action, LifecycleActionResult="CONTINUE")
    wait_for(lambda: not cloud.states("web"))
    assert instance in instances(cloud.client("ec2"), "terminated")
    assert cloud.await_event("EC2 Instance Terminate Successful")
    with refused("ValidationError", "No active Lifecycle Action found"):
        drainer.complete_lifecycle_action(**action, LifecycleActionResult="CONTINUE")


def test_groups_of_others_are_fenced_off(cloud: Cloud) -> None:
    """By the tag of the group; so is a group that does not exist, and what the policy does not name."""
    cloud.group("other", "production")
    drainer = cloud.drainer()
    answer = drainer.describe_auto_scaling_groups(AutoScalingGroupNames=["other"])
    assert answer["AutoScalingGroups"]
    for group in ("other", "none"):
        with refused("AccessDenied"):
            drainer.complete_lifecycle_action(
                AutoScalingGroupName=group,
                LifecycleHookName="out",
                InstanceId="i-0a1b2c3d4e5f60001",
                LifecycleActionResult="CONTINUE",
            )
    with refused("AccessDenied"):
        drainer.set_desired_capacity(AutoScalingGroupName="other", DesiredCapacity=0)


def test_a_spot_instance_is_taken_back(cloud: Cloud) -> None:
    """By an order: the notice, the request's status, the end, and the replacement."""
    cloud.group("spot", "staging", InstanceMarketOptions={"MarketType": "spot"})
    instance = cloud.await_state("spot", "InService")
    found = instances(cloud.client("ec2"), "running")[instance]
    assert found["InstanceLifecycle"] == "spot"
    cloud.order(rebalance=instance)
    cloud.order(interrupt=instance, seconds=3)
    request = {"SpotInstanceRequestIds": [found["SpotInstanceRequestId"]]}
    describe = cloud.client("ec2").describe_spot_instance_requests

    def code() -> str:
        return str(describe(**request)["SpotInstanceRequests"][0]["Status"]["Code"])

    wait_for(lambda: code() == "marked-for-termination")
    assert cloud.await_event("EC2 Spot Instance Interruption Warning")
    wait_for(lambda: instance in instances(cloud.client("ec2"), "terminated"))
    assert code() == "instance-terminated-no-capacity"
    wait_for(lambda: cloud.states("spot").get(instance) == "Terminating:Wait")


def test_unknown_spot_requests_are_refused(cloud: Cloud) -> None:
    """As EC2 does."""
    with pytest.raises(ClientError) as caught:
        cloud.client("ec2").describe_spot_instance_requests(
            SpotInstanceRequestIds=["sir-00000000"]
        )
    code = caught.value.response["Error"]["Code"]
    assert code == "InvalidSpotInstanceRequestID.NotFound"
