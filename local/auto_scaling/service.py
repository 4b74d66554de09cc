"""The service: groups of instances, and what time does to them.

Nothing happens between two calls: `tick` moves every group to the clock's present. Tests call it under a clock of their
own; the local system calls it from a thread, so every public method holds the lock. Events are handed over after the
lock is released.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from local.auto_scaling import events, health, refresh
from local.auto_scaling.capacity import Capacity
from local.auto_scaling.errors import group_not_found
from local.auto_scaling.events import Event, Mail
from local.auto_scaling.lifecycle import Step
from local.auto_scaling.machines import MotoMachines
from local.auto_scaling.model import Group, Member
from local.auto_scaling.spot import Spot
from local.run_command import Clock

MOST_STEPS = 1000
"""At one moment of the clock; more are a fault of the stand-in."""


@dataclass(slots=True)
class AutoScaling:
    """Auto Scaling of one account and region."""

    machines: MotoMachines
    clock: Clock
    account: str
    region: str
    on_event: Callable[[Event], None] = lambda _event: None
    step_seconds: float = 1.0
    """How long a state lasts that ends by itself."""
    health_check_seconds: float = 30.0
    """How long after EC2 a group knows that a machine does not run."""
    hooks_after_standby: bool = False
    """Whether launch hooks hold an instance that comes back from Standby: the user guide does not say."""
    mail: Mail = field(default_factory=Mail)
    groups: dict[str, Group] = field(default_factory=dict)
    spot: Spot = field(init=False)
    lock: threading.RLock = field(default_factory=threading.RLock)
    """Held by whoever reads or changes groups; never while an event is handed over."""

    def __post_init__(self) -> None:
        """What EC2 says goes the same way as what the service says."""
        self.spot = Spot(self.machines)
        self.machines.say = self._announce

    def group(self, name: str) -> Group:
        """The group of that name, or its ARN. Raises ApiError."""
        short = name.rpartition("autoScalingGroupName/")[2]
        if short not in self.groups:
            raise group_not_found(name)
        return self.groups[short]

    def member(self, instance_id: str) -> tuple[Group, Member] | None:
        """The instance and its group; None for one that is nobody's."""
        for group in self.groups.values():
            if instance_id in group.members:
                return group, group.members[instance_id]
        return None

    def interrupt(self, instance_id: str, code: str = "marked-for-termination") -> None:
        """EC2 wants a spot instance back; it ends `spot.notice_seconds` later."""
        with self.lock:
            self.spot.mark(instance_id, code)
        self.tick()

    def recommend_rebalance(self, instance_id: str) -> None:
        """EC2 says that it may want a spot instance back."""
        with self.lock:
            self.spot.recommend_rebalance(instance_id)
        self.tick()

    def tick(self) -> None:
        """Move all to the present, and hand over the events that have come."""
        with self.lock:
            now = self.clock()
            self.machines.tick(now)
            self.spot.tick(now)
            for _ in range(MOST_STEPS):
                if not self._step(now):
                    break
                self.machines.tick(now)
            else:
                raise RuntimeError("groups that never come to rest at one moment")
            arrived = list(self.mail.arrived(now))
        for event in arrived:
            self.on_event(event)

    def _step(self, now: datetime) -> bool:
        """One step of each group; whether anything changed."""
        changed = [self._step_of(group, now) for group in list(self.groups.values())]
        return any(changed)

    def _step_of(self, group: Group, now: datetime) -> bool:
        for member in group.members.values():
            machine = self.machines.state(member.instance_id)
            health.examine(member, machine, self.health_check_seconds, now)
        changed = [
            health.replace(group, now),
            *(
                Step(self, group, each, now).take()
                for each in list(group.members.values())
            ),
            refresh.advance(group, now),
            Capacity(self.machines, group, now).balance(),
        ]
        if group.is_deleting and not group.members:
            del self.groups[group.name]
        return any(changed)

    def say(
        self, group: Group, member: Member, what: str, detail: Mapping[str, Any]
    ) -> None:
        """An event about an instance of a group; of an action it names the group alone."""
        resources = [group.arn]
        if "LifecycleActionToken" not in detail:
            resources.append(self.machines.arn(member.instance_id))
        self._post((events.SOURCE, what), detail, resources)

    def _announce(
        self, source: str, what: str, detail: Mapping[str, Any], arn: str
    ) -> None:
        self._post((source, what), detail, [arn])

    def _post(
        self, what: tuple[str, str], detail: Mapping[str, Any], arns: list[str]
    ) -> None:
        now = self.clock()
        place = (self.account, self.region)
        self.mail.post(events.envelope(place, what, detail, arns, now), now)

    def next_change(self) -> datetime | None:
        """When `tick` has something to do again, if nobody calls before; None for never."""
        with self.lock:
            now = self.clock()
            return min((time for time in self._times() if time > now), default=None)

    def _times(self) -> Iterator[datetime]:
        yield from (move.due for move in self.machines.moves.values())
        yield from filter(None, (each.ends for each in self.spot.requests.values()))
        yield from filter(None, [self.mail.next_arrival])
        for group in self.groups.values():
            for member in group.members.values():
                yield from self._times_of(group, member)

    def _times_of(self, group: Group, member: Member) -> Iterator[datetime]:
        yield member.since + timedelta(seconds=self.step_seconds)
        yield from (action.ends for action in member.actions)
        if member.unwell_since:
            yield member.unwell_since + timedelta(seconds=self.health_check_seconds)
        if group.refresh:
            yield member.since + timedelta(seconds=group.refresh.warmup_seconds)
