"""How many instances a group has: what is short is launched or taken from the warm pool, what is too much leaves."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from local.auto_scaling.machines import MotoMachines
from local.auto_scaling.model import GROUP_TAG, Group, Launch, Member, WarmPool
from local.auto_scaling.refresh import surge
from local.auto_scaling.states import (
    COOL,
    LAUNCH,
    RESTING,
    TERMINATE,
    WARM,
    Place,
    State,
)

_KEPT = frozenset(RESTING.values()) | {WARM.begin, WARM.wait, WARM.proceed}
"""The states that count as the pool's size."""


@dataclass(frozen=True, slots=True)
class Capacity:
    """One look at one group."""

    machines: MotoMachines
    group: Group
    now: datetime

    def balance(self) -> bool:
        """Make up for what is short or too much; whether anything was."""
        group = self.group
        if group.is_deleting:
            return False
        short = group.desired + surge(group) - len(group.counted)
        for _ in range(short):
            self._grow()
        shrunk = sum(map(self._shrink, self._surplus(-short)))
        is_pool_changed = self._balance_pool(group.pool) if group.pool else False
        return short > 0 or shrunk > 0 or is_pool_changed

    def _grow(self) -> None:
        cause = "a difference between desired and actual capacity increased the capacity of the group."
        resting = [each for each in self.group.warmed if each.state in RESTING.values()]
        if not resting:
            self._launch(LAUNCH.begin, Place.GROUP, cause)
            return
        taken = min(resting, key=lambda each: each.launched)
        taken.set_out(LAUNCH.begin, (Place.POOL, Place.GROUP), cause, self.now)
        self.machines.start(taken.instance_id)

    def _launch(self, state: State, destination: Place, cause: str) -> None:
        group = self.group
        subnet, zone = self._place()
        launch = self._what()
        tags = {tag.key: tag.value for tag in group.tags.values() if tag.is_propagated}
        instance_id = self.machines.launch(
            launch, subnet, {**tags, GROUP_TAG: group.name}
        )
        group.members[instance_id] = Member(
            instance_id,
            zone,
            launch,
            self.now,
            state,
            self.now,
            Place.EC2,
            destination,
            cause,
            is_protected=bool(group.request.get("NewInstancesProtectedFromScaleIn")),
        )

    def _place(self) -> tuple[str, str]:
        """Subnet and zone that have the fewest instances."""
        used = Counter(member.zone for member in self.group.counted)
        places = self.group.subnets.items()
        return min(places, key=lambda place: (used[place[1]], place[1]))

    def _what(self) -> Launch:
        """Of a mixed group the first ones are no spot instances."""
        base = self.group.on_demand_base
        launch = self.machines.template(self.group.launch)
        if base is None:
            return launch
        bought = sum(not member.launch.is_spot for member in self.group.counted)
        return replace(launch, is_spot=bought >= base)

    def _surplus(self, number: int) -> Iterator[Member]:
        """The default termination policy: the fullest zone, then who was launched first; never the protected."""
        for _ in range(number):
            used = Counter(member.zone for member in self.group.counted)
            free = [each for each in self.group.counted if not each.is_protected]
            if not free:
                return
            yield min(
                free,
                key=lambda each: (
                    each.state is not State.IN_SERVICE,
                    -used[each.zone],
                    each.launched,
                    each.instance_id,
                ),
            )

    def _shrink(self, member: Member) -> bool:
        cause = "a difference between desired and actual capacity shrank the capacity of the group."
        pool = self.group.pool
        is_reused = pool and pool.is_reused and member.state is State.IN_SERVICE
        if is_reused and self._free_places(pool):
            member.set_out(WARM.begin, (Place.GROUP, Place.POOL), cause, self.now)
        else:
            member.set_out(TERMINATE.begin, (Place.GROUP, Place.EC2), cause, self.now)
        return True

    def _balance_pool(self, pool: WarmPool) -> bool:
        if pool.is_deleting:
            return self._empty_pool()
        free = self._free_places(pool)
        cause = "the warm pool needs another size."
        for _ in range(free):
            self._launch(WARM.begin, Place.POOL, cause)
        resting = [each for each in self.group.warmed if each.state in RESTING.values()]
        leaving = sorted(resting, key=lambda each: each.launched)[: max(0, -free)]
        for member in leaving:
            member.set_out(COOL.begin, (Place.POOL, Place.EC2), cause, self.now)
        return free > 0 or bool(leaving)

    def _empty_pool(self) -> bool:
        if not self.group.warmed:
            self.group.pool = None
            return True
        kept = [each for each in self.group.warmed if each.state in _KEPT]
        for member in kept:
            cause = "the warm pool was deleted."
            member.set_out(COOL.begin, (Place.POOL, Place.EC2), cause, self.now)
        return bool(kept)

    def _free_places(self, pool: WarmPool | None) -> int:
        """How many instances the pool lacks; less than none if it has too many."""
        if pool is None or pool.is_deleting:
            return 0
        group = self.group
        whole = group.max_size if pool.prepared is None else pool.prepared
        wanted = max(pool.min_size, whole - group.desired)
        return wanted - sum(each.state in _KEPT for each in group.warmed)
