"""Warm pools and instance refreshes."""

from collections import Counter
from typing import Any

import pytest

from tests.local.auto_scaling_bench import (
    LAUNCHING,
    NAME,
    TERMINATING,
    ScalingBench,
    refused,
)

LAUNCH_HOOK = {
    "LifecycleHookName": "in",
    "LifecycleTransition": LAUNCHING,
    "HeartbeatTimeout": 60,
}
END_HOOK = {
    "LifecycleHookName": "out",
    "LifecycleTransition": TERMINATING,
    "HeartbeatTimeout": 60,
}


def pool(bench: ScalingBench, **more: Any) -> None:
    """Put a warm pool."""
    bench.scaling.put_warm_pool(AutoScalingGroupName=NAME, **more)


def ways(bench: ScalingBench, *words: str) -> list[tuple[str, str]]:
    """Origin and destination of events with these detail types."""
    details = [event["detail"] for event in bench.said(*words)]
    return [(each["Origin"], each["Destination"]) for each in details]


@pytest.mark.parametrize(
    ("state", "machine"),
    [("Stopped", "stopped"), ("Hibernated", "stopped"), ("Running", "running")],
)
def test_a_pool_holds_what_the_maximum_leaves(
    scaling: ScalingBench, state: str, machine: str
) -> None:
    """Its instances are no part of the group's; they rest in the pool's state."""
    serving = scaling.running(1, MaxSize=3)
    pool(scaling, PoolState=state)
    assert set(scaling.warm().values()) == {"Warmed:Pending"}
    scaling.pass_time(10)
    assert list(scaling.warm().values()) == [f"Warmed:{state}"] * 2
    assert {scaling.machine_state(each) for each in scaling.warm()} == {machine}
    assert sorted(scaling.states()) == serving
    assert scaling.group()["WarmPoolSize"] == 2
    listed = scaling.scaling.describe_auto_scaling_instances()["AutoScalingInstances"]
    assert len(listed) == 3


def test_scale_out_takes_from_the_pool(scaling: ScalingBench) -> None:
    """It starts over Pending, and events say whence it came."""
    scaling.running(1, MaxSize=3)
    pool(scaling)
    scaling.pass_time(10)
    warmed = set(scaling.warm())
    scaling.events.clear()
    scaling.scale(2)
    scaling.pass_time(10)
    (taken,) = warmed & set(scaling.states())
    assert scaling.states()[taken] == "InService"
    assert scaling.machine_state(taken) == "running"
    assert ways(scaling, "EC2 Instance Launch Successful") == [
        ("WarmPool", "AutoScalingGroup")
    ]
    assert len(scaling.warm()) == 1


def test_launch_hooks_run_into_the_pool_and_out_of_it(scaling: ScalingBench) -> None:
    """Once in each state that waits, with a token of its own."""
    scaling.create(0, MaxSize=1, LifecycleHookSpecificationList=[LAUNCH_HOOK])
    pool(scaling)
    scaling.pass_time(5)
    ((instance, state),) = scaling.warm().items()
    assert state == "Warmed:Pending:Wait"
    scaling.complete(instance, hook="in")
    assert scaling.warm() == {instance: "Warmed:Pending:Proceed"}
    scaling.pass_time(5)
    assert scaling.warm() == {instance: "Warmed:Stopped"}
    scaling.scale(1)
    scaling.pass_time(5)
    assert scaling.states() == {instance: "Pending:Wait"}
    scaling.complete(instance, hook="in")
    scaling.pass_time(2)
    assert scaling.states() == {instance: "InService"}
    word = "EC2 Instance-launch Lifecycle Action"
    assert ways(scaling, word) == [
        ("EC2", "WarmPool"),
        ("WarmPool", "AutoScalingGroup"),
    ]
    tokens = {each["detail"]["LifecycleActionToken"] for each in scaling.said(word)}
    assert len(tokens) == 2


def test_scale_in_may_return_to_the_pool(scaling: ScalingBench) -> None:
    """The terminate hook waits in the pool's state, and the machine stops instead of ending."""
    (instance,) = scaling.running(
        1, MaxSize=1, LifecycleHookSpecificationList=[END_HOOK]
    )
    pool(scaling, InstanceReusePolicy={"ReuseOnScaleIn": True})
    scaling.scale(0)
    scaling.pass_time(3)
    assert scaling.states() == {}
    assert scaling.warm() == {instance: "Warmed:Pending:Wait"}
    assert scaling.machine_state(instance) == "running"
    word = "EC2 Instance-terminate Lifecycle Action"
    assert ways(scaling, word) == [("AutoScalingGroup", "WarmPool")]
    scaling.complete(instance)
    scaling.pass_time(5)
    assert scaling.warm() == {instance: "Warmed:Stopped"}
    assert ways(scaling, "EC2 Instance Terminate Successful") == [
        ("AutoScalingGroup", "WarmPool")
    ]


def test_without_reuse_it_ends(scaling: ScalingBench) -> None:
    """And another one is warmed."""
    (instance,) = scaling.running(1, MaxSize=1)
    pool(scaling)
    scaling.scale(0)
    scaling.pass_time(10)
    assert scaling.machine_state(instance) == "terminated"
    assert list(scaling.warm().values()) == ["Warmed:Stopped"]


def test_leaving_the_pool_runs_the_terminate_hook(scaling: ScalingBench) -> None:
    """In states of its own, by events of its own."""
    scaling.create(0, MaxSize=1, LifecycleHookSpecificationList=[END_HOOK])
    pool(scaling)
    scaling.pass_time(10)
    (instance,) = scaling.warm()
    delete = scaling.scaling.delete_warm_pool
    with refused("ResourceInUse"):
        delete(AutoScalingGroupName=NAME)
    delete(AutoScalingGroupName=NAME, ForceDelete=True)
    scaling.pass_time(3)
    assert scaling.warm() == {instance: "Warmed:Terminating:Wait"}
    assert ways(scaling, "EC2 Instance-terminate Lifecycle Action") == [
        ("WarmPool", "EC2")
    ]
    scaling.complete(instance)
    scaling.pass_time(5)
    answer = scaling.scaling.describe_warm_pool(AutoScalingGroupName=NAME)
    assert (answer["Instances"], "WarmPoolConfiguration" in answer) == ([], False)


def test_a_pool_has_its_own_size(scaling: ScalingBench) -> None:
    """MinSize and MaxGroupPreparedCapacity, which -1 takes away."""
    scaling.running(2, MaxSize=10)
    pool(scaling, MaxGroupPreparedCapacity=3)
    scaling.pass_time(10)
    assert len(scaling.warm()) == 1
    pool(scaling, MinSize=2)
    scaling.pass_time(10)
    assert len(scaling.warm()) == 2
    pool(scaling, MinSize=0)
    scaling.pass_time(10)
    assert len(scaling.warm()) == 1
    with refused("ValidationError", "MaxGroupPreparedCapacity"):
        pool(scaling, MinSize=4)
    pool(scaling, MaxGroupPreparedCapacity=-1)
    scaling.pass_time(10)
    assert len(scaling.warm()) == 8


def test_what_pools_refuse(scaling: ScalingBench) -> None:
    """Spot instances, other states, and that somebody terminates what is warmed."""
    scaling.template("spot", InstanceMarketOptions={"MarketType": "spot"})
    scaling.create(0, name="spot", LaunchTemplate={"LaunchTemplateName": "spot"})
    with refused("ValidationError", "Spot Instances"):
        scaling.scaling.put_warm_pool(AutoScalingGroupName="spot")
    scaling.create(0, MaxSize=1)
    with refused("ValidationError", "enum value set"):
        pool(scaling, PoolState="Asleep")
    pool(scaling)
    scaling.pass_time(10)
    (instance,) = scaling.warm()
    with refused("ValidationError", "warm pool"):
        scaling.scaling.terminate_instance_in_auto_scaling_group(
            InstanceId=instance, ShouldDecrementDesiredCapacity=False
        )


def refresh(bench: ScalingBench, **preferences: Any) -> str:
    """Start an instance refresh."""
    answer = bench.scaling.start_instance_refresh(
        AutoScalingGroupName=NAME, Preferences=preferences
    )
    return str(answer["InstanceRefreshId"])


def status(bench: ScalingBench) -> tuple[str, int]:
    """Of the newest refresh: the status, and how many are left."""
    answer = bench.scaling.describe_instance_refreshes(AutoScalingGroupName=NAME)
    newest = answer["InstanceRefreshes"][0]
    return newest["Status"], newest["InstancesToUpdate"]


def watch(bench: ScalingBench, seconds: int = 200) -> tuple[int, int]:
    """Let a refresh end, completing every hook; the fewest in service and the most that counted meanwhile."""
    fewest, most = 100, 0
    for _ in range(seconds):
        states = bench.states()
        counts = Counter(states.values())
        fewest = min(fewest, counts["InService"])
        most = max(
            most, sum(not state.startswith("Terminating") for state in states.values())
        )
        for instance, state in states.items():
            if state == "Terminating:Wait":
                bench.complete(instance)
        if status(bench)[0] == "Successful":
            return fewest, most
        bench.pass_time(1)
    raise AssertionError(status(bench))


@pytest.mark.parametrize(
    ("preferences", "bounds"),
    [
        ({"MinHealthyPercentage": 50}, (2, 4)),
        ({"MinHealthyPercentage": 90}, (3, 4)),
        ({"MinHealthyPercentage": 0}, (0, 4)),
        ({"MinHealthyPercentage": 100, "MaxHealthyPercentage": 150}, (4, 6)),
    ],
)
def test_a_refresh_replaces_all_within_bounds(
    scaling: ScalingBench, preferences: dict[str, int], bounds: tuple[int, int]
) -> None:
    """Through the hooks, no more at a time than the percentages allow; all machines are new."""
    old = scaling.running(4, LifecycleHookSpecificationList=[END_HOOK])
    refresh(scaling, InstanceWarmup=3, **preferences)
    assert watch(scaling) == bounds
    assert not set(old) & set(scaling.states())
    assert list(scaling.states().values()) == ["InService"] * 4
    assert status(scaling) == ("Successful", 0)


def test_a_refresh_waits_for_the_warmup(scaling: ScalingBench) -> None:
    """A new instance counts only then."""
    scaling.running(2)
    refresh(scaling, MinHealthyPercentage=50, InstanceWarmup=60)
    scaling.pass_time(50)
    assert status(scaling) == ("InProgress", 1)
    scaling.pass_time(100)
    assert status(scaling) == ("Successful", 0)


def test_one_refresh_at_a_time(scaling: ScalingBench) -> None:
    """A second one is refused until the first has ended or was cancelled."""
    scaling.running(2)
    refresh(scaling, InstanceWarmup=1000)
    with refused("InstanceRefreshInProgress"):
        refresh(scaling)
    cancel = scaling.scaling.cancel_instance_refresh
    cancel(AutoScalingGroupName=NAME)
    assert status(scaling)[0] == "Cancelled"
    with refused("ActiveInstanceRefreshNotFound"):
        cancel(AutoScalingGroupName=NAME)
    refresh(scaling)


@pytest.mark.parametrize(
    ("preferences", "text"),
    [
        ({"MaxHealthyPercentage": 110}, "must also specify MinHealthyPercentage"),
        (
            {"MaxHealthyPercentage": 200, "MinHealthyPercentage": 50},
            "cannot be greater than 100",
        ),
        ({"MinHealthyPercentage": 101}, "less than or equal to 100"),
        ({"SkipMatching": True}, "not played: SkipMatching"),
        ({"StandbyInstances": "Terminate"}, "not played: StandbyInstances"),
    ],
)
def test_what_a_refresh_refuses(
    scaling: ScalingBench, preferences: dict[str, Any], text: str
) -> None:
    """Before it replaces anybody."""
    scaling.running(1)
    if "StandbyInstances" in preferences:
        scaling.scaling.enter_standby(
            AutoScalingGroupName=NAME,
            InstanceIds=list(scaling.states()),
            ShouldDecrementDesiredCapacity=True,
        )
        scaling.pass_time(2)
    with refused("ValidationError", text):
        refresh(scaling, **preferences)


def test_a_refresh_waits_for_standby(scaling: ScalingBench) -> None:
    """An hour; then it fails."""
    first, _ = scaling.running(2)
    scaling.scaling.enter_standby(
        AutoScalingGroupName=NAME,
        InstanceIds=[first],
        ShouldDecrementDesiredCapacity=True,
    )
    scaling.pass_time(2)
    refresh(scaling)
    scaling.pass_time(20)
    assert status(scaling) == ("InProgress", 1)
    scaling.clock.advance(3600)
    assert status(scaling) == ("Failed", 1)
