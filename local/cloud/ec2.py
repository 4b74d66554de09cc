"""Stands for EC2's instance life cycle over time, and for the events of EC2 and of tag changes.

moto's instances change state at once and send no event. Here each change takes a second (pending, running;
shutting-down, terminated; ...), each step is an event, and a terminated instance has lost its address and DNS name.
Who names no subnet gets the default one of the zone, as from EC2; moto would invent an address.
Tags given at launch have no event of their own: AWS promises none, so nothing may depend on one.
"""

import threading
from collections.abc import Callable, Iterable
from typing import Any

from moto.ec2.models import ec2_backends
from moto.ec2.models.instances import Instance, InstanceBackend
from moto.ec2.responses.tags import TagResponse

from local.cloud import ACCOUNT, REGION, TRANSITION_SECONDS, eventbridge

CODES = {
    "pending": 0,
    "running": 16,
    "shutting-down": 32,
    "terminated": 48,
    "stopping": 64,
    "stopped": 80,
}
type Tags = dict[str, dict[str, str]]


def install() -> None:
    """Give this process's moto time and events."""
    run = InstanceBackend.run_instances

    def run_instances(self: Any, *args: Any, **kwargs: Any) -> Any:
        named = [nic["SubnetId"] for nic in kwargs["nics"] if "SubnetId" in nic]
        if not (kwargs["subnet_id"] or named):
            kwargs["subnet_id"] = _default_subnet(self, kwargs["placement"])
        reservation = run(self, *args, **kwargs)
        for instance in reservation.instances:
            _change(instance, "pending", "running")
        return reservation

    InstanceBackend.run_instances = run_instances  # type: ignore[method-assign]
    for name, states in {
        "start_instances": ("pending", "running"),
        "stop_instances": ("stopping", "stopped"),
        "terminate_instances": ("shutting-down", "terminated"),
    }.items():
        setattr(
            InstanceBackend, name, _gradual(getattr(InstanceBackend, name), *states)
        )
    for name in ("create_tags", "delete_tags"):
        setattr(TagResponse, name, _with_events(getattr(TagResponse, name)))
    _forget_when_terminated("private_ip", None)
    _forget_when_terminated("private_ip_address", None)
    _forget_when_terminated("private_dns_name", "")
    _forget_when_terminated("network_interfaces", [])


def _default_subnet(backend: Any, zone: str | None) -> str:
    subnets = backend.describe_subnets(
        filters={
            "default-for-az": "true",
            "availability-zone": zone or f"{REGION}a",
        }
    )
    return str(subnets[0].id)


def _gradual(plain: Callable[..., Any], during: str, after: str) -> Callable[..., Any]:
    def call(self: Any, instance_ids: list[str]) -> Any:
        answer = plain(self, instance_ids)
        for instance, previous in answer:
            if previous.name not in (during, after):
                _change(instance, during, after)
        return answer

    return call


def _change(instance: Instance, during: str, after: str) -> None:
    def finish() -> None:
        if instance.state == during:  # a later call may have overtaken this one
            _enter(instance, after)

    _enter(instance, during)
    timer = threading.Timer(TRANSITION_SECONDS, finish)
    timer.daemon = True
    timer.start()


def _enter(instance: Instance, state: str) -> None:
    # Private, but moto offers no setter.
    instance._state.name, instance._state.code = (
        state,
        CODES[state],
    )
    eventbridge.publish(
        "aws.ec2",
        "EC2 Instance State-change Notification",
        {"instance-id": instance.id, "state": state},
        _arn(instance.id),
    )


def _with_events(plain: Callable[..., Any]) -> Callable[..., Any]:
    def call(self: Any) -> Any:
        instance_ids = [
            name for name in self._get_param("ResourceIds", []) if name.startswith("i-")
        ]
        instance_ids += [
            name for name in self._get_param("Resources", []) if name.startswith("i-")
        ]
        before = _tags(instance_ids)
        answer = plain(self)
        _publish_changes(before, _tags(instance_ids))
        return answer

    return call


def _tags(instance_ids: Iterable[str]) -> Tags:
    backend = ec2_backends[ACCOUNT][REGION]
    return {name: dict(backend.tags.get(name, {})) for name in instance_ids}


def _publish_changes(before: Tags, after: Tags) -> None:
    for instance_id, tags in after.items():
        old = before[instance_id]
        changed = sorted(key for key in {*old, *tags} if old.get(key) != tags.get(key))
        if changed:
            detail = {
                "changed-tag-keys": changed,
                "service": "ec2",
                "resource-type": "instance",
                "version": 1.0,
                "tags": tags,
            }
            eventbridge.publish(
                "aws.tag", "Tag Change on Resource", detail, _arn(instance_id)
            )


def _arn(instance_id: str) -> str:
    return f"arn:aws:ec2:{REGION}:{ACCOUNT}:instance/{instance_id}"


def _forget_when_terminated(attribute: str, nothing: Any) -> None:
    plain = getattr(Instance, attribute).fget
    setattr(
        Instance,
        attribute,
        property(lambda self: nothing if self.state == "terminated" else plain(self)),
    )
