"""What the service remembers: groups, their instances and hooks, warm pools and refreshes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import uuid4

from local.auto_scaling.states import COUNTED, Place, State

MOST_SECONDS = 172_800
"""No lifecycle action lasts longer, nor longer than a hundred heartbeats."""

GROUP_TAG = "aws:autoscaling:groupName"


class Transition(StrEnum):
    """What a hook waits at."""

    LAUNCHING = "autoscaling:EC2_INSTANCE_LAUNCHING"
    TERMINATING = "autoscaling:EC2_INSTANCE_TERMINATING"


class Result(StrEnum):
    """How a lifecycle action ends."""

    CONTINUE = "CONTINUE"
    ABANDON = "ABANDON"


@dataclass(frozen=True, slots=True)
class Hook:
    """A lifecycle hook; the group's actions keep the one that they began with."""

    name: str
    transition: Transition
    heartbeat_seconds: int = 3600
    default: Result = Result.ABANDON
    metadata: str = ""
    target: str = ""
    role: str = ""

    @property
    def global_seconds(self) -> int:
        """How long an action may last, whatever is recorded."""
        return min(MOST_SECONDS, 100 * self.heartbeat_seconds)


@dataclass(slots=True)
class Action:
    """One hook's wait for one instance."""

    hook: Hook
    started: datetime
    heard: datetime
    """When the last heartbeat came."""
    token: str = field(default_factory=lambda: str(uuid4()))
    result: Result | None = None

    @property
    def ends(self) -> datetime:
        """When it ends by itself."""
        last = self.started + timedelta(seconds=self.hook.global_seconds)
        return min(last, self.heard + timedelta(seconds=self.hook.heartbeat_seconds))

    def result_at(self, now: datetime) -> Result | None:
        """How it has ended by then; None while it is active."""
        return self.result or (self.hook.default if now >= self.ends else None)


@dataclass(frozen=True, slots=True)
class Launch:
    """What instances are launched from: a version of a launch template, or what another instance was like."""

    template_id: str = ""
    template_name: str = ""
    version: str = ""
    image_id: str = ""
    instance_type: str = "m1.small"
    profile: Mapping[str, str] = field(default_factory=dict)
    is_spot: bool = False


@dataclass(slots=True)
class Member:
    """An instance of a group or of its warm pool."""

    instance_id: str
    zone: str
    launch: Launch
    launched: datetime
    state: State
    since: datetime
    """When it entered the state."""
    origin: Place
    destination: Place
    cause: str
    is_protected: bool = False
    has_hooks: bool = True
    """Whether hooks may hold it on its way."""
    health: str = "Healthy"
    actions: list[Action] = field(default_factory=list)
    is_ordered: bool = False
    """EC2 was told to do what this way ends with."""
    unwell_since: datetime | None = None
    """When EC2 began to say that it does not run."""
    activity_id: str = field(default_factory=lambda: str(uuid4()))
    begun: datetime | None = None
    """When the activity began."""

    @property
    def is_counted(self) -> bool:
        """Whether the desired capacity counts it."""
        return self.state in COUNTED

    def enter(self, state: State, now: datetime) -> None:
        """Move on."""
        self.state, self.since = state, now

    def set_out(
        self, state: State, way: tuple[Place, Place], cause: str, now: datetime
    ) -> None:
        """Begin another way, which is an activity of its own; actions of the last way end with it."""
        self.enter(state, now)
        self.origin, self.destination = way
        self.cause, self.begun, self.activity_id = cause, now, str(uuid4())
        self.actions, self.is_ordered = [], False


@dataclass(slots=True)
class WarmPool:
    """Instances that were launched ahead."""

    state: str = "Stopped"
    min_size: int = 0
    prepared: int | None = None
    """Of group and pool together, at most; None: the group's maximum."""
    is_reused: bool = False
    is_deleting: bool = False


@dataclass(slots=True)
class Refresh:
    """An instance refresh."""

    old: frozenset[str]
    """Those that it replaces."""
    min_healthy: int
    max_healthy: int
    warmup_seconds: float
    started: datetime
    request: Mapping[str, Any]
    refresh_id: str = field(default_factory=lambda: str(uuid4()))
    status: str = "Pending"
    ended: datetime | None = None

    @property
    def is_active(self) -> bool:
        """Whether it still replaces."""
        return self.ended is None


@dataclass(frozen=True, slots=True)
class GroupTag:
    """A tag of a group, which its new instances get or not."""

    key: str
    value: str
    is_propagated: bool


@dataclass(slots=True)
class Group:
    """An Auto Scaling group."""

    name: str
    arn: str
    created: datetime
    request: dict[str, Any]
    """Members of the last requests that are only shown again."""
    launch: Launch
    subnets: Mapping[str, str]
    """Zone by subnet."""
    min_size: int
    max_size: int
    desired: int
    is_retaining: bool = False
    """Whether an abandoned terminate hook keeps the instance."""
    is_deleting: bool = False
    on_demand_base: int | None = None
    """With a mixed policy so many are no spot instances."""
    hooks: dict[str, Hook] = field(default_factory=dict)
    tags: dict[str, GroupTag] = field(default_factory=dict)
    members: dict[str, Member] = field(default_factory=dict)
    pool: WarmPool | None = None
    refreshes: list[Refresh] = field(default_factory=list)

    @property
    def counted(self) -> list[Member]:
        """Those that the desired capacity counts."""
        return [member for member in self.members.values() if member.is_counted]

    @property
    def warmed(self) -> list[Member]:
        """Those of the warm pool."""
        return [each for each in self.members.values() if each.state.is_warmed]

    @property
    def refresh(self) -> Refresh | None:
        """The one that is under way."""
        return next((each for each in self.refreshes if each.is_active), None)

    def hooks_at(self, transition: Transition) -> list[Hook]:
        """Those that wait there."""
        return [hook for hook in self.hooks.values() if hook.transition is transition]
