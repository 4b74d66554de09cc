"""An Auto Scaling group of backends: each instance has a machine for as long as EC2 says, and clients reach it."""

from typing import Any

import pytest

from local.groups import ScalingGroup, machines, make_group
from local.lab import Load, Traffic
from local.system import SERVER_NAME, LocalSystem

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
    with machines(system, print):
        before = set(system.backends)
        group = make_group(system, "web", 2, OTHERS)
        system.wait_until("in service", lambda: len(group.serving()) == 2)
        joined = set(group.serving())
        system.wait_until("machines", lambda: set(system.backends) == before | joined)
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
        system.wait_until("nobody is left", lambda: not group.states())
        system.wait_until("no machine is left", lambda: set(system.backends) == before)
        group.client.delete_auto_scaling_group(AutoScalingGroupName=group.name)
    system.wait_until_serving(*system.backends.values())


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
    with machines(system, print):
        before = set(system.backends)
        group = make_group(system, "drained", 2, OURS)
        system.wait_until("in service", lambda: len(group.serving()) == 2)
        with system.client.traffic(load) as traffic:
            names = _names(system, group)
            system.wait_until(
                "each has sent a download",
                lambda: names <= _backends(traffic, "download"),
            )
            group.scale(0)
            system.wait_until("nobody is left", lambda: not group.states())
            system.wait_until(
                "no machine is left", lambda: set(system.backends) == before
            )
        group.client.delete_auto_scaling_group(AutoScalingGroupName=group.name)
    assert traffic.failed == []
    assert names <= _backends(traffic, "download")


def _names(system: LocalSystem, group: ScalingGroup) -> set[str]:
    """Of the machines of a group."""
    return {system.backends[instance].name for instance in group.states()}


def _backends(traffic: Traffic, kind: str) -> set[str]:
    """Who has answered requests of that kind."""
    return {attempt.backend for attempt in traffic.of(kind)}
