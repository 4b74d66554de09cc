"""An Auto Scaling group of backends: each instance has a machine for as long as EC2 says, and clients reach it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from local.groups import ScalingGroup, machines, make_group
from local.lab import Load, Traffic
from local.system import SERVER_NAME, LocalSystem
from tests.end_to_end.conftest import config

TERMINATING = "autoscaling:EC2_INSTANCE_TERMINATING"
LAUNCHING = "autoscaling:EC2_INSTANCE_LAUNCHING"
DOWNLOAD_SECONDS = 8
"""Longer than from one question about a drain to the next."""


def hook(name: str, transition: str) -> dict[str, Any]:
    """A lifecycle hook."""
    return {
        "LifecycleHookName": name,
        "LifecycleTransition": transition,
        "HeartbeatTimeout": 300,
    }


OTHERS = [hook("wait", TERMINATING)]
OURS = [
    hook("haproxy-ec2-sync-join", LAUNCHING),
    hook("haproxy-ec2-sync-drain", TERMINATING),
]


def test_a_group_has_machines(system: LocalSystem) -> None:
    """They come with the group's instances, serve while somebody else's hook waits, and end when EC2 says so."""
    with _group(system, "web", 2, OTHERS) as group:
        joined = set(group.serving())
        system.wait_until_serving(*system.backends.values())
        group.scale(0)
        system.wait_until(
            "the hook waits",
            lambda: set(group.states().values()) == {"Terminating:Wait"},
        )
        assert joined <= set(system.backends)
        for instance in joined:
            group.client.complete_lifecycle_action(
                AutoScalingGroupName=group.name,
                LifecycleHookName="wait",
                InstanceId=instance,
                LifecycleActionResult="CONTINUE",
            )
    system.wait_until_serving(*system.backends.values())


@pytest.mark.fault("F285")
def test_clients_leave_who_goes_into_standby_and_come_back(system: LocalSystem) -> None:
    """It runs on and stays in both configs, and new clients go to the others as long as it lasts."""
    with _group(system, "resting", 2) as group:
        resting = group.serving()[0]
        system.wait_until_serving(*system.backends.values())
        of_group = {
            "AutoScalingGroupName": group.name,
            "InstanceIds": [resting],
        }
        group.client.enter_standby(ShouldDecrementDesiredCapacity=True, **of_group)
        name = system.backends[resting].name
        _wait_until_serving_all_but(system, resting)
        assert all(
            f"server {name} " in config(each) for each in system.proxies.values()
        )
        group.client.exit_standby(**of_group)
        system.wait_until_serving(*system.backends.values())


@pytest.mark.fault("F274")
def test_no_new_client_meets_a_spot_instance_with_a_notice(system: LocalSystem) -> None:
    """It still runs, and would answer."""
    spot = system.launch_backend(is_spot=True)
    system.wait_until_serving(*system.backends.values())
    system.stack.order(interrupt=spot.instance_id, seconds=3600)
    _wait_until_serving_all_but(system, spot.instance_id)
    assert spot.instance_id in system.stack.instances("running")
    system.terminate(spot.instance_id)
    system.wait_until_serving(*system.backends.values())


@pytest.mark.fault("F286")
def test_no_client_meets_a_warm_pool(system: LocalSystem) -> None:
    """Its instance runs, and would answer; it does when the group has taken it."""
    with _group(system, "warm", 1) as group:
        others = set(system.backends)
        group.client.put_warm_pool(
            AutoScalingGroupName=group.name,
            MaxGroupPreparedCapacity=2,
            PoolState="Running",
        )

        def warmed() -> list[str]:
            pool = group.client.describe_warm_pool(AutoScalingGroupName=group.name)
            return [
                each["InstanceId"]
                for each in pool["Instances"]
                if each["LifecycleState"] == "Warmed:Running"
            ]

        system.wait_until("a warm instance", warmed)
        (warm,) = warmed()
        system.wait_until("machines", lambda: set(system.backends) == others | {warm})
        system.invoke({"action": "sync"})
        _wait_until_serving_all_but(system, warm)
        assert system.backends[warm].host.requests == 0
        group.scale(2)
        system.wait_until("it is taken", lambda: warm in group.serving())
        system.wait_until_serving(
            *(each for key, each in system.backends.items() if key not in warmed())
        )
        group.client.delete_warm_pool(AutoScalingGroupName=group.name, ForceDelete=True)


@pytest.mark.fault("F275")
@pytest.mark.fault("F277")
def test_no_client_notices_a_scale_in(system: LocalSystem) -> None:
    """New instances are in service once proxies see them up; each that goes has finished its last download before."""
    addresses = tuple(proxy.address for proxy in system.proxies.values())
    load = Load(
        addresses,
        443,
        server_name=SERVER_NAME,
        connections_per_second=10,
        keepalive=4,
        downloads=6,
        download_seconds=DOWNLOAD_SECONDS,
    )
    with (
        system.client.traffic(load) as traffic,
        _group(system, "drained", 2, OURS) as group,
    ):
        names = _names(system, group)
        system.wait_until(
            "each has sent a download",
            lambda: names <= _backends(traffic, "download"),
        )
    assert traffic.failed == []
    assert names <= _backends(traffic, "download")


@contextmanager
def _group(
    system: LocalSystem, name: str, size: int, hooks: Sequence[dict[str, Any]] = ()
) -> Iterator[ScalingGroup]:
    """A group whose instances are all in service and have machines; in the end it shrinks to nothing, and they go."""
    with machines(system, print):
        before = set(system.backends)
        group = make_group(system, name, size, hooks)
        system.wait_until("in service", lambda: len(group.serving()) == size)
        there = before | set(group.serving())
        system.wait_until("machines", lambda: set(system.backends) == there)
        yield group
        group.scale(0)
        system.wait_until("nobody is left", lambda: not group.states())
        system.wait_until("no machine is left", lambda: set(system.backends) == before)
        group.client.delete_auto_scaling_group(AutoScalingGroupName=group.name)


def _wait_until_serving_all_but(system: LocalSystem, instance_id: str) -> None:
    backends = system.backends.items()
    system.wait_until_serving(*(each for key, each in backends if key != instance_id))


def _names(system: LocalSystem, group: ScalingGroup) -> set[str]:
    """Of the machines of a group."""
    return {system.backends[instance].name for instance in group.states()}


def _backends(traffic: Traffic, kind: str) -> set[str]:
    """Who has answered requests of that kind."""
    return {attempt.backend for attempt in traffic.of(kind)}
