"""Lifecycle hooks: who waits, what ends the wait, and what the service says to a call that comes too late."""

from typing import Any

import pytest

from tests.local.auto_scaling_bench import (
    LAUNCHING,
    NAME,
    TERMINATING,
    ScalingBench,
    refused,
)

RETAIN = {"RetentionTriggers": {"TerminateHookAbandon": "retain"}}


def leaving(bench: ScalingBench, **more: object) -> str:
    """A group of one with a terminate hook, whose instance was told to leave; its id."""
    (instance,) = bench.running(1, **more)
    bench.hook()
    bench.scale(0)
    bench.pass_time(2)
    assert bench.states() == {instance: "Terminating:Wait"}
    return instance


def test_a_terminate_hook_holds_until_it_is_completed(scaling: ScalingBench) -> None:
    """The machine runs on while it waits; then it ends, and leaves the group when it has."""
    instance = leaving(scaling)
    scaling.pass_time(50)
    assert scaling.states() == {instance: "Terminating:Wait"}
    assert scaling.machine_state(instance) == "running"
    scaling.complete(instance)
    assert scaling.states() == {instance: "Terminating:Proceed"}
    scaling.pass_time(1)
    assert scaling.machine_state(instance) == "shutting-down"
    assert scaling.states() == {instance: "Terminating:Proceed"}
    scaling.pass_time(2)
    assert scaling.machine_state(instance) == "terminated"
    assert scaling.states() == {}


def test_a_launch_hook_holds_before_service(scaling: ScalingBench) -> None:
    """Pending, Pending:Wait, Pending:Proceed, InService."""
    scaling.create(0)
    scaling.hook(LAUNCHING)
    scaling.scale(1)
    assert list(scaling.states().values()) == ["Pending"]
    scaling.pass_time(5)
    ((instance, state),) = scaling.states().items()
    assert (state, scaling.machine_state(instance)) == ("Pending:Wait", "running")
    scaling.complete(instance, hook="in")
    assert scaling.states() == {instance: "Pending:Proceed"}
    scaling.pass_time(1)
    assert scaling.states() == {instance: "InService"}


@pytest.mark.parametrize("default", ["CONTINUE", "ABANDON"])
def test_the_timeout_ends_a_terminate_hook(scaling: ScalingBench, default: str) -> None:
    """Whatever the default result, the instance goes."""
    (instance,) = scaling.running(1)
    scaling.hook(DefaultResult=default)
    scaling.scale(0)
    scaling.pass_time(60)
    assert scaling.states() == {instance: "Terminating:Wait"}
    scaling.pass_time(5)
    assert scaling.states() == {}


def test_the_timeout_of_a_launch_hook_replaces_the_instance(
    scaling: ScalingBench,
) -> None:
    """ABANDON, the default result, takes it away; another one is launched."""
    scaling.create(0)
    scaling.hook(LAUNCHING)
    scaling.scale(1)
    scaling.pass_time(5)
    (first,) = scaling.states()
    scaling.pass_time(65)
    (second,) = scaling.states()
    assert first != second
    assert scaling.machine_state(first) == "terminated"
    assert len(scaling.said("EC2 Instance Launch Unsuccessful")) == 1


def test_a_launch_hook_may_let_all_pass(scaling: ScalingBench) -> None:
    """With CONTINUE as the default the timeout puts it in service."""
    scaling.create(0)
    scaling.hook(LAUNCHING, DefaultResult="CONTINUE")
    scaling.scale(1)
    scaling.pass_time(70)
    assert list(scaling.states().values()) == ["InService"]


def test_a_heartbeat_begins_the_timeout_again(scaling: ScalingBench) -> None:
    """Sixty seconds each time."""
    instance = leaving(scaling)
    for _ in range(3):
        scaling.pass_time(50)
        scaling.heartbeat(instance)
    scaling.pass_time(58)
    assert scaling.states() == {instance: "Terminating:Wait"}
    scaling.pass_time(5)
    assert scaling.states() == {}


def test_heartbeats_do_not_move_the_global_timeout(scaling: ScalingBench) -> None:
    """A hundred times the heartbeat's, whoever records any."""
    (instance,) = scaling.running(1)
    scaling.hook(HeartbeatTimeout=30)
    scaling.scale(0)
    scaling.pass_time(2)
    for _ in range(149):
        scaling.clock.advance(20)
        scaling.heartbeat(instance)
    assert scaling.states() == {instance: "Terminating:Wait"}
    scaling.pass_time(25)
    assert scaling.states() == {}
    with refused(
        "ValidationError",
        f"No active Lifecycle Action found with instance ID {instance}",
    ):
        scaling.heartbeat(instance)


def test_completing_twice_or_late_is_refused(scaling: ScalingBench) -> None:
    """There is no active action then."""
    instance = leaving(scaling)
    scaling.complete(instance)
    text = f"No active Lifecycle Action found with instance ID {instance}"
    with refused("ValidationError", text):
        scaling.complete(instance)
    scaling.pass_time(10)
    with refused("ValidationError", text):
        scaling.complete(instance)


def test_completing_after_the_timeout_is_refused(scaling: ScalingBench) -> None:
    """Even before anything else has noticed it."""
    instance = leaving(scaling)
    scaling.clock.advance(60)
    with refused("ValidationError", "No active Lifecycle Action found"):
        scaling.complete(instance)


def test_a_token_names_an_action(scaling: ScalingBench) -> None:
    """The one of the event; another one names none, also beside the instance's id."""
    instance = leaving(scaling)
    (event,) = scaling.said("EC2 Instance-terminate Lifecycle Action")
    request = {
        "AutoScalingGroupName": NAME,
        "LifecycleHookName": "out",
        "LifecycleActionResult": "CONTINUE",
    }
    other = "12345678-1234-1234-1234-123456789012"
    with refused(
        "ValidationError", f"No active Lifecycle Action found with token {other}"
    ):
        scaling.scaling.complete_lifecycle_action(
            **request, LifecycleActionToken=other, InstanceId=instance
        )
    with refused("ValidationError"):
        scaling.scaling.complete_lifecycle_action(**request)
    scaling.scaling.complete_lifecycle_action(
        **request, LifecycleActionToken=event["detail"]["LifecycleActionToken"]
    )
    assert scaling.states() == {instance: "Terminating:Proceed"}


def test_all_hooks_must_continue(scaling: ScalingBench) -> None:
    """Each has an action of its own; the instance waits for the last."""
    (instance,) = scaling.running(1)
    scaling.hook()
    scaling.hook(LifecycleHookName="logs")
    scaling.scale(0)
    scaling.pass_time(2)
    assert len(scaling.said("EC2 Instance-terminate Lifecycle Action")) == 2
    scaling.complete(instance)
    assert scaling.states() == {instance: "Terminating:Wait"}
    with refused("ValidationError", "No active Lifecycle Action found"):
        scaling.complete(instance)
    scaling.complete(instance, hook="logs")
    assert scaling.states() == {instance: "Terminating:Proceed"}


def test_abandon_stops_the_other_hooks(scaling: ScalingBench) -> None:
    """The instance goes on at once."""
    (instance,) = scaling.running(1)
    scaling.hook()
    scaling.hook(LifecycleHookName="logs")
    scaling.scale(0)
    scaling.pass_time(2)
    scaling.complete(instance, "ABANDON")
    assert scaling.states() == {instance: "Terminating:Proceed"}
    with refused("ValidationError", "No active Lifecycle Action found"):
        scaling.complete(instance, hook="logs")


def test_abandon_retains_where_the_group_says_so(scaling: ScalingBench) -> None:
    """It runs, counts for nothing, and stays until somebody terminates it."""
    instance = leaving(scaling, InstanceLifecyclePolicy=RETAIN)
    scaling.complete(instance, "ABANDON")
    assert scaling.states() == {instance: "Terminating:Retained"}
    scaling.scale(1)
    scaling.pass_time(5000)
    assert sorted(scaling.states().values()) == ["InService", "Terminating:Retained"]
    assert scaling.machine_state(instance) == "running"
    scaling.scaling.terminate_instance_in_auto_scaling_group(
        InstanceId=instance, ShouldDecrementDesiredCapacity=False
    )
    scaling.pass_time(5)
    assert list(scaling.states().values()) == ["InService"]
    assert scaling.machine_state(instance) == "terminated"


def test_the_timeout_retains_too(scaling: ScalingBench) -> None:
    """Its result is ABANDON as well."""
    instance = leaving(scaling, InstanceLifecyclePolicy=RETAIN)
    scaling.pass_time(61)
    assert scaling.states() == {instance: "Terminating:Retained"}


def test_continue_does_not_retain(scaling: ScalingBench) -> None:
    """The policy is about what was abandoned."""
    instance = leaving(scaling, InstanceLifecyclePolicy=RETAIN)
    scaling.complete(instance)
    scaling.pass_time(5)
    assert scaling.states() == {}


def test_an_active_action_keeps_its_hook(scaling: ScalingBench) -> None:
    """Another timeout is for those who come later."""
    instance = leaving(scaling)
    scaling.hook(HeartbeatTimeout=7200)
    scaling.pass_time(65)
    assert instance not in scaling.states()


def test_deleting_a_hook_ends_its_actions(scaling: ScalingBench) -> None:
    """As by CONTINUE for those who leave."""
    instance = leaving(scaling)
    request = {"AutoScalingGroupName": NAME, "LifecycleHookName": "out"}
    scaling.scaling.delete_lifecycle_hook(**request)
    assert scaling.states() == {instance: "Terminating:Proceed"}
    with refused("ValidationError"):
        scaling.scaling.delete_lifecycle_hook(**request)


def test_deleting_a_launch_hook_abandons(scaling: ScalingBench) -> None:
    """Whoever waits for it is replaced."""
    scaling.create(0)
    scaling.hook(LAUNCHING)
    scaling.scale(1)
    scaling.pass_time(5)
    (first,) = scaling.states()
    scaling.scaling.delete_lifecycle_hook(
        AutoScalingGroupName=NAME, LifecycleHookName="in"
    )
    scaling.pass_time(10)
    assert first not in scaling.states()
    assert list(scaling.states().values()) == ["InService"]


@pytest.mark.parametrize(
    "more",
    [
        {"HeartbeatTimeout": 29},
        {"HeartbeatTimeout": 7201},
        {"DefaultResult": "STAY"},
        {"LifecycleTransition": "autoscaling:EC2_INSTANCE_SLEEPING"},
        {"LifecycleHookName": "a b"},
        {"LifecycleHookName": "x" * 256},
    ],
)
def test_what_no_hook_may_be(scaling: ScalingBench, more: dict[str, Any]) -> None:
    """Refused, and there is no hook."""
    scaling.create(0)
    with refused("ValidationError"):
        scaling.hook(**more)
    answer = scaling.scaling.describe_lifecycle_hooks(AutoScalingGroupName=NAME)
    assert answer["LifecycleHooks"] == []


def test_hooks_are_described_with_their_global_timeout(scaling: ScalingBench) -> None:
    """A hundred heartbeats, 48 hours at most; an update keeps what it leaves out."""
    scaling.create(0)
    scaling.hook()
    scaling.hook(LAUNCHING, HeartbeatTimeout=7200)
    scaling.scaling.put_lifecycle_hook(
        AutoScalingGroupName=NAME, LifecycleHookName="out", DefaultResult="CONTINUE"
    )
    answer = scaling.scaling.describe_lifecycle_hooks(AutoScalingGroupName=NAME)
    launch, end = answer["LifecycleHooks"]
    assert (launch["GlobalTimeout"], end["GlobalTimeout"]) == (172_800, 6000)
    assert (launch["DefaultResult"], end["DefaultResult"]) == ("ABANDON", "CONTINUE")
    assert end["HeartbeatTimeout"] == 60
    assert end["LifecycleTransition"] == TERMINATING


def test_hooks_of_a_group_that_does_not_exist(scaling: ScalingBench) -> None:
    """Refused, unlike a look at groups."""
    with refused("ValidationError", "AutoScalingGroup name not found"):
        scaling.scaling.describe_lifecycle_hooks(AutoScalingGroupName="gone")
    with refused("ValidationError", "AutoScalingGroup name not found"):
        scaling.complete("i-0a1b2c3d4e5f60001")


def test_no_more_than_fifty_hooks(scaling: ScalingBench) -> None:
    """The fifty-first is over the limit."""
    scaling.create(0)
    for number in range(50):
        scaling.hook(LifecycleHookName=f"hook-{number}")
    with refused("LimitExceeded"):
        scaling.hook(LifecycleHookName="one-more")
