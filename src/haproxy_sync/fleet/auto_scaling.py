"""What Auto Scaling says of a group's instances and hooks, and what a lifecycle state means for the pool.

Lifecycle states and hooks: the Auto Scaling user guide, "Amazon EC2 Auto Scaling instance lifecycle".
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import batched
from types import MappingProxyType
from typing import Any

from botocore.exceptions import ClientError

from haproxy_sync.aws import error_code, pages

GROUP_TAG = "aws:autoscaling:groupName"  # nobody else can set a tag that begins so
MAX_NAMES = 50  # of groups that one question takes
VALIDATION = "ValidationError"  # of a group that is gone, too
HEARTBEAT_SECONDS = 3600  # the service's default
RETAIN = {"RetentionTriggers": {"TerminateHookAbandon": "retain"}}

WARMED = "Warmed:"
TERMINATING = "Terminating"
PENDING = "Pending"
WAITING = ":Wait"  # how the states end in which hooks are waited for
PROCEEDING = "Pending:Proceed"
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

    def stage(self, instance_id: str, *, joins_when_running: bool) -> Stage:
        """What becomes of the instance; one that the group does not name is as any running instance."""
        state = self.states.get(instance_id, "")
        if self.drains(instance_id):
            return Stage.DRAINS
        if state.startswith(WARMED):
            return Stage.WAITS
        is_in = joins_when_running or self._is_proved_by_us(state)
        if state.startswith(PENDING) and not is_in:
            return Stage.WAITS
        return Stage.JOINS

    def drains(self, instance_id: str) -> bool:
        """Whether the group lets it go, or has put it aside."""
        state = self.states.get(instance_id, "")
        return state.startswith(TERMINATING) or state in STANDBY

    def _is_proved_by_us(self, state: str) -> bool:
        """Whether it waits, or waited, until proxies see it up."""
        has_hook = any(each.transition is Transition.LAUNCHING for each in self.hooks)
        return has_hook and state != PENDING


NO_GROUP = Group("", MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Groups:
    """The groups of a look by name."""

    by_name: Mapping[str, Group] = field(
        default_factory=lambda: MappingProxyType({}), hash=False
    )

    def of(self, tags: Mapping[str, str]) -> Group:
        """That of an instance with these tags; one that Auto Scaling does not show any more says nothing."""
        return self.by_name.get(tags.get(GROUP_TAG, ""), NO_GROUP)


NO_GROUPS = Groups()


def look(auto_scaling: Any, names: Iterable[str], prefix: str) -> Groups:
    """The groups with these names, and our hooks of those where an instance waits (`ClientError`, `BotoCoreError`)."""
    groups: dict[str, Group] = {}
    for each in batched(sorted(names), MAX_NAMES, strict=False):
        listed = pages(
            auto_scaling.describe_auto_scaling_groups,
            "AutoScalingGroups",
            AutoScalingGroupNames=list(each),
        )
        groups |= {raw["AutoScalingGroupName"]: _group(raw) for raw in listed}
    with_hooks = (_with_hooks(auto_scaling, group, prefix) for group in groups.values())
    return Groups(MappingProxyType({group.name: group for group in with_hooks}))


def _group(raw: Mapping[str, Any]) -> Group:
    instances = raw.get("Instances") or ()
    states = {each["InstanceId"]: each["LifecycleState"] for each in instances}
    return Group(
        name=raw["AutoScalingGroupName"],
        states=MappingProxyType(states),
        keeps_abandoned=raw.get("InstanceLifecyclePolicy") == RETAIN,
    )


def _with_hooks(auto_scaling: Any, group: Group, prefix: str) -> Group:
    """Also while one that waited goes on (`Pending:Proceed`): it has joined, and must not leave for a moment."""
    states = set(group.states.values())
    if PROCEEDING not in states and not any(each.endswith(WAITING) for each in states):
        return group
    return replace(group, hooks=tuple(_hooks(auto_scaling, group.name, prefix)))


def _hooks(auto_scaling: Any, group: str, prefix: str) -> Iterator[Hook]:
    """Those that are ours; none of a group that was deleted meanwhile."""
    try:
        answer = auto_scaling.describe_lifecycle_hooks(AutoScalingGroupName=group)
    except ClientError as error:
        if error_code(error) != VALIDATION:
            raise
        return
    for raw in answer["LifecycleHooks"]:
        name = raw["LifecycleHookName"]
        if name.startswith(prefix):
            transition = Transition(raw["LifecycleTransition"])
            yield Hook(name, transition, raw.get("HeartbeatTimeout", HEARTBEAT_SECONDS))
