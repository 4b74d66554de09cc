"""What Auto Scaling says of a group's instances and hooks, and what a lifecycle state means for the pool.

Lifecycle states and hooks: the Auto Scaling user guide, "Amazon EC2 Auto Scaling instance lifecycle".
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import batched
from types import MappingProxyType
from typing import Any

from botocore.exceptions import ClientError

from haproxy_sync.aws import error_code, pages
from haproxy_sync.fleet.model import LifecycleAction

GROUP_TAG = "aws:autoscaling:groupName"  # nobody else can set a tag that begins so
MAX_NAMES = 50  # of groups that one question takes
VALIDATION = "ValidationError"  # of a group that is gone, too
HEARTBEAT_SECONDS = 3600  # the service's default
RETAIN = {"RetentionTriggers": {"TerminateHookAbandon": "retain"}}

WARMED = "Warmed:"
TERMINATING, TERMINATED = "Terminating", "Terminated"
PENDING = "Pending"
WAITING = ":Wait"  # how the states end in which hooks are waited for
HOOKED = (WAITING, "Pending:Proceed")
STANDBY = frozenset({"EnteringStandby", "Standby"})


class Transition(StrEnum):
    """What a lifecycle hook holds up."""

    LAUNCHING = "autoscaling:EC2_INSTANCE_LAUNCHING"
    TERMINATING = "autoscaling:EC2_INSTANCE_TERMINATING"


class Stage(StrEnum):
    """What a lifecycle state makes of a running instance."""

    JOINS = "joins"
    WAITS = "waits"  # is no backend yet, or none any more
    DRAINS = "drains"


@dataclass(frozen=True, slots=True)
class Hook:
    """A lifecycle hook that is ours."""

    name: str
    transition: Transition
    heartbeat_seconds: int


@dataclass(frozen=True, slots=True)
class Group:
    """One Auto Scaling group, its instances' lifecycle states, and our hooks where somebody may wait for one."""

    name: str
    states: Mapping[str, str]
    keeps_abandoned: bool = (
        False  # an instance whose terminate hook ends with ABANDON stays
    )
    hooks: tuple[Hook, ...] = ()

    def hooks_of(self, instance_id: str) -> tuple[Hook, ...]:
        """Our hooks that wait for the instance, or may: on its way into a warm pool either transition does."""
        state = self.states.get(instance_id, "")
        if not state.endswith(WAITING):
            return ()
        begins = {PENDING: Transition.LAUNCHING, TERMINATING: Transition.TERMINATING}
        wanted = begins.get(state.removesuffix(WAITING))
        return tuple(each for each in self.hooks if wanted in {each.transition, None})

    @property
    def waits(self) -> Iterator[LifecycleAction]:
        """What hooks of ours hold up, wherever the instances' servers are."""
        pairs = ((key, hook) for key in self.states for hook in self.hooks_of(key))
        return (
            LifecycleAction(
                instance_id=instance_id,
                group=self.name,
                hook=hook.name,
                joins=self.states[instance_id] == f"{PENDING}{WAITING}",
                endpoint="",
                heartbeat_seconds=hook.heartbeat_seconds,
                keeps_abandoned=self.keeps_abandoned,
            )
            for instance_id, hook in pairs
        )

    def stage(self, instance_id: str, *, joins_when_running: bool) -> Stage:
        """What becomes of the instance; one that the group does not name is as any running instance."""
        state = self.states.get(instance_id, "")
        if self.drains(instance_id):
            return Stage.DRAINS
        is_in = any((joins_when_running, self._is_proved_by_us(state)))
        is_pending = all((state.startswith(PENDING), not is_in))
        is_out = any((state.startswith(WARMED), is_pending))
        return Stage.WAITS if is_out else Stage.JOINS

    @property
    def draining(self) -> frozenset[str]:
        """Those that it lets go, or has put aside."""
        return frozenset(filter(self.drains, self.states))

    def drains(self, instance_id: str) -> bool:
        """Whether the group lets it go, or has put it aside."""
        state = self.states.get(instance_id, "")
        return any((state.startswith((TERMINATING, TERMINATED)), state in STANDBY))

    def _is_proved_by_us(self, state: str) -> bool:
        """Whether a launch hook of ours holds it, or just did, until proxies see it up."""
        transitions = {each.transition for each in self.hooks}
        return all((Transition.LAUNCHING in transitions, state != PENDING))


NO_GROUP = Group("", MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Groups:
    """The groups of a look, by name."""

    by_name: Mapping[str, Group] = field(
        default_factory=lambda: MappingProxyType({}), hash=False
    )

    def of(self, tags: Mapping[str, str]) -> Group:
        """That of an instance with these tags; one that Auto Scaling does not show any more says nothing."""
        return self.by_name.get(tags.get(GROUP_TAG, ""), NO_GROUP)

    @property
    def draining(self) -> frozenset[str]:
        """Those that any group lets go, or has put aside."""
        return NO_GROUP.draining.union(
            *(each.draining for each in self.by_name.values())
        )


NO_GROUPS = Groups()


def look(
    auto_scaling: Callable[[], Any],
    named: Mapping[str, str],
    others: Iterable[str],
    prefix: str,
) -> Groups:
    """The groups that are named, by instance id, and others; where an instance waits also our hooks, by their prefix.

    Nobody is asked where none is named. Raises botocore's `ClientError` and `BotoCoreError`.
    """
    listed: list[Group] = []
    every = sorted({*named.values(), *others})
    for names in batched(every, MAX_NAMES, strict=False):
        found = pages(
            auto_scaling().describe_auto_scaling_groups,
            "AutoScalingGroups",
            AutoScalingGroupNames=list(names),
        )
        listed += [_with_warm_pool(auto_scaling(), raw, named) for raw in found]
    groups = {
        group.name: _with_hooks(auto_scaling(), group, prefix) for group in listed
    }
    return Groups(MappingProxyType(groups))


def _with_warm_pool(
    auto_scaling: Any, raw: Mapping[str, Any], named: Mapping[str, str]
) -> Group:
    """The group. Of its warm pool, which another call shows, only who runs is of interest."""
    name, states = raw["AutoScalingGroupName"], _states(raw.get("Instances", ()))
    unlisted = {key for key in named.keys() - states.keys() if named[key] == name}
    if all(("WarmPoolConfiguration" in raw, unlisted)):
        warm = pages(
            auto_scaling.describe_warm_pool, "Instances", AutoScalingGroupName=name
        )
        with _if_it_exists():
            states = _states(warm) | states
    return Group(
        name=name,
        states=MappingProxyType(states),
        keeps_abandoned=raw.get("InstanceLifecyclePolicy") == RETAIN,
    )


def _states(instances: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    return {each["InstanceId"]: each["LifecycleState"] for each in instances}


def _with_hooks(auto_scaling: Any, group: Group, prefix: str) -> Group:
    """With our hooks, if somebody waits for one or has just waited (`Pending:Proceed`): that one has joined already."""
    if not any(each.endswith(HOOKED) for each in group.states.values()):
        return group
    return replace(group, hooks=tuple(_hooks(auto_scaling, group.name, prefix)))


def _hooks(auto_scaling: Any, group: str, prefix: str) -> Iterator[Hook]:
    """Those that are ours; none of a group that was deleted meanwhile."""
    with _if_it_exists():
        answer = auto_scaling.describe_lifecycle_hooks(AutoScalingGroupName=group)
        yield from (
            Hook(
                name=raw["LifecycleHookName"],
                transition=Transition(raw["LifecycleTransition"]),
                heartbeat_seconds=raw.get("HeartbeatTimeout", HEARTBEAT_SECONDS),
            )
            for raw in answer["LifecycleHooks"]
            if raw["LifecycleHookName"].startswith(prefix)
        )


@contextmanager
def _if_it_exists() -> Iterator[None]:
    """A group that was deleted since it was listed has nothing more to say."""
    try:
        yield
    except ClientError as error:
        if error_code(error) != VALIDATION:
            raise
