"""The commands of docs/auto-scaling.md, run as they stand by AWS's own command line on a group that is there."""

import os
import subprocess
from collections.abc import Iterator

import pytest
from moto.server import ThreadedMotoServer

from local.command_line import OWNER
from local.deployment import AWS
from tests import auto_scaling_document
from tests.auto_scaling_document import Hook, Tag
from tests.local.auto_scaling_bench import REGION, ScalingBench

TOLD = auto_scaling_document.command_line()


@pytest.fixture
def endpoint(scaling: ScalingBench) -> Iterator[str]:
    """The bench's account, as a command line reaches it, with the group and nothing in it."""
    scaling.create(0, name=TOLD.group, Tags=[])
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


@pytest.fixture
def told(endpoint: str) -> None:
    """Each of the commands was typed."""
    environment = os.environ | OWNER
    environment |= {"AWS_DEFAULT_REGION": REGION, "AWS_ENDPOINT_URL": endpoint}
    for command, *words in auto_scaling_document.command_lines():
        assert command == "aws"
        subprocess.run([AWS, *words], env=environment, check=True)


@pytest.mark.usefixtures("told")
def test_the_group_has_what_the_document_says(scaling: ScalingBench) -> None:
    """The tags and the hooks, as Auto Scaling shows them."""
    name = {"AutoScalingGroupName": TOLD.group}
    hooks = scaling.scaling.describe_lifecycle_hooks(**name)["LifecycleHooks"]
    tags = scaling.scaling.describe_tags()["Tags"]
    assert {
        Hook(
            each["LifecycleHookName"],
            each["LifecycleTransition"],
            each["HeartbeatTimeout"],
            each["DefaultResult"],
        )
        for each in hooks
    } == TOLD.hooks
    assert {
        Tag(each["Key"], each["Value"], each["PropagateAtLaunch"]) for each in tags
    } == TOLD.tags


@pytest.mark.usefixtures("told")
def test_its_instances_are_tagged_and_wait(scaling: ScalingBench) -> None:
    """A new one waits until it is seen up, one that leaves until it has drained."""
    group = {"AutoScalingGroupName": TOLD.group}
    scaling.scaling.set_desired_capacity(DesiredCapacity=1, **group)
    scaling.pass_time(10)
    assert [*scaling.states(TOLD.group).values()] == ["Pending:Wait"]
    (instance_id,) = scaling.states(TOLD.group)
    assert {
        each["Key"]: each["Value"]
        for each in scaling.machine(instance_id)["Tags"]
        if not each["Key"].startswith("aws:")
    } == {each.key: each.value for each in TOLD.tags}
    (launch,) = (each for each in TOLD.hooks if each.default_result == "ABANDON")
    scaling.scaling.complete_lifecycle_action(
        LifecycleHookName=launch.name,
        InstanceId=instance_id,
        LifecycleActionResult="CONTINUE",
        **group,
    )
    scaling.pass_time(10)
    assert [*scaling.states(TOLD.group).values()] == ["InService"]
    scaling.scaling.set_desired_capacity(DesiredCapacity=0, **group)
    scaling.pass_time(10)
    assert [*scaling.states(TOLD.group).values()] == ["Terminating:Wait"]
