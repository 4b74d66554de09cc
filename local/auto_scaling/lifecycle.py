"""What time does to one instance of a group: its states, one step at a time."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from local.auto_scaling.events import action_detail, activity_detail
from local.auto_scaling.machines import MotoMachines
from local.auto_scaling.model import (
    Action,
    Group,
    Member,
    Result,
    Transition,
)
from local.auto_scaling.states import (
    COOL,
    LAUNCH,
    PASSING,
    PATHS,
    RESTING,
    TERMINATE,
    WARM,
    Path,
    Place,
    State,
)


class World(Protocol):
    """What a step needs of the service."""

    @property
    def machines(self) -> MotoMachines:
        """EC2."""

    @property
    def step_seconds(self) -> float:
        """How long a state lasts that ends by itself."""

    def say(self, group: Group, member: Member, what: str, detail: Any) -> None:
        """An event about them."""


@dataclass(frozen=True, slots=True)
class Step:
    """One look at one instance."""

    world: World
    group: Group
    member: Member
    now: datetime

    @property
    def is_over(self) -> bool:
        """Whether the state has lasted as long as such states do."""
        step = timedelta(seconds=self.world.step_seconds)
        return self.now >= self.member.since + step

    @property
    def machine(self) -> str:
        """EC2's state."""
        return self.world.machines.state(self.member.instance_id)

    def take(self) -> bool:
        """Go on, if anything is due; whether it was."""
        path = PATHS.get(self.member.state)
        if path is None:
            return self.member.state in PASSING and self.is_over and self._pass()
        if self.member.state is path.wait:
            return self._judge(path)
        if not self.is_over or not self._is_up(path):
            return False
        return self._hold(path) or self._finish(path)

    def _pass(self) -> bool:
        if self.member.state is State.ENTERING_STANDBY:
            self.member.enter(State.STANDBY, self.now)
        else:
            self._leave()
            self.world.machines.release(self.member.instance_id)
        return True

    def _is_up(self, path: Path) -> bool:
        """Whether the machine has come so far that hooks may look at it."""
        is_coming = path in (LAUNCH, WARM) and not self.member.is_ordered
        return self.machine == "running" if is_coming else True

    def _hold(self, path: Path) -> bool:
        """Begin the hooks' actions, if there are any: all of them at once."""
        member = self.member
        if member.state is not path.begin or not member.has_hooks or member.is_ordered:
            return False
        hooks = self.group.hooks_at(transition_of(member))
        if not hooks:
            return False
        member.enter(path.wait, self.now)
        member.actions = [Action(hook, self.now, self.now) for hook in hooks]
        for action in member.actions:
            self.world.say(
                self.group, member, *action_detail(self.group, member, action)
            )
        return True

    def _judge(self, path: Path) -> bool:
        """End the wait: when all said CONTINUE, or when the first said ABANDON."""
        results = {action.result_at(self.now) for action in self.member.actions}
        if Result.ABANDON in results:
            self._abandon(path)
            return True
        if None in results:
            return False
        self._proceed(path)
        return True

    def _proceed(self, path: Path) -> None:
        self.member.enter(path.proceed, self.now)
        self.member.actions = []

    def _abandon(self, path: Path) -> None:
        member = self.member
        if transition_of(member) is Transition.LAUNCHING:
            self._say_activity("EC2 Instance Launch Unsuccessful", "Failed")
            begin, place = (
                (TERMINATE.begin, Place.GROUP)
                if path is LAUNCH
                else (COOL.begin, Place.POOL)
            )
            cause = "an instance was taken out of service as its lifecycle action was abandoned."
            member.set_out(begin, (place, Place.EC2), cause, self.now)
        elif self.group.is_retaining:
            member.enter(path.retained, self.now)
            member.actions = []
        elif path is WARM:
            cause = (
                "an instance did not return to the warm pool: its action was abandoned."
            )
            member.set_out(COOL.begin, (Place.POOL, Place.EC2), cause, self.now)
            member.has_hooks = False
        else:
            self._proceed(path)

    def _finish(self, path: Path) -> bool:
        """Tell EC2, and once EC2 has done it, arrive."""
        order, arrived = self._ends(path)
        if not self.member.is_ordered:
            order(self.member.instance_id)
            self.member.is_ordered = True
            return True
        if self.machine not in arrived:
            return False
        _ARRIVALS[path](self)
        return True

    def _ends(self, path: Path) -> tuple[Callable[[str], None], frozenset[str]]:
        """What EC2 is told, and in which states of the machine the way ends."""
        machines = self.world.machines
        if path in (TERMINATE, COOL):
            return machines.terminate, frozenset({"terminated"})
        if path is WARM and self._rest is not State.WARMED_RUNNING:
            return machines.stop, frozenset({"stopped"})
        return _nothing, frozenset({"running"})

    @property
    def _rest(self) -> State:
        return RESTING[self.group.pool.state if self.group.pool else "Running"]

    def serve(self) -> None:
        """In service; who comes back from Standby was not launched, and no event says so."""
        self.member.enter(State.IN_SERVICE, self.now)
        self.member.has_hooks = True
        if self.member.origin is not Place.GROUP:
            self._say_activity("EC2 Instance Launch Successful", "InProgress")

    def rest(self) -> None:
        """In the warm pool."""
        is_back = self.member.origin is Place.GROUP
        verb = "Terminate" if is_back else "Launch"
        self.member.enter(self._rest, self.now)
        self._say_activity(f"EC2 Instance {verb} Successful", "InProgress")

    def vanish(self) -> None:
        """Gone, from the group too."""
        self._leave()
        self._say_activity("EC2 Instance Terminate Successful", "InProgress")

    def _leave(self) -> None:
        del self.group.members[self.member.instance_id]

    def _say_activity(self, what: str, status: str) -> None:
        verb = (
            "Launching a new EC2 instance"
            if " Launch " in what
            else "Terminating EC2 instance"
        )
        detail = activity_detail(self.group, self.member, verb, status, self.now)
        self.world.say(self.group, self.member, what, detail)


def _nothing(_instance_id: str) -> None:
    """EC2 has nothing to do."""


_ARRIVALS: Mapping[Path, Callable[[Step], None]] = {
    LAUNCH: Step.serve,
    TERMINATE: Step.vanish,
    WARM: Step.rest,
    COOL: Step.vanish,
}


def transition_of(member: Member) -> Transition:
    """Whose hooks hold it: on the way back into a warm pool, too, those of the terminating transition."""
    is_leaving = member.destination is Place.EC2 or (
        (member.origin, member.destination) == (Place.GROUP, Place.POOL)
    )
    return Transition.TERMINATING if is_leaving else Transition.LAUNCHING
