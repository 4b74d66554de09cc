"""The lifecycle states of an instance, and the four ways through them.

Source: "Amazon EC2 Auto Scaling instance lifecycle" and "Use lifecycle hooks with a warm pool" of the user guide.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """`LifecycleState` as the API spells it."""

    PENDING = "Pending"
    PENDING_WAIT = "Pending:Wait"
    PENDING_PROCEED = "Pending:Proceed"
    IN_SERVICE = "InService"
    TERMINATING = "Terminating"
    TERMINATING_WAIT = "Terminating:Wait"
    TERMINATING_PROCEED = "Terminating:Proceed"
    TERMINATING_RETAINED = "Terminating:Retained"
    DETACHING = "Detaching"
    ENTERING_STANDBY = "EnteringStandby"
    STANDBY = "Standby"
    WARMED_PENDING = "Warmed:Pending"
    WARMED_PENDING_WAIT = "Warmed:Pending:Wait"
    WARMED_PENDING_PROCEED = "Warmed:Pending:Proceed"
    WARMED_PENDING_RETAINED = "Warmed:Pending:Retained"
    WARMED_TERMINATING = "Warmed:Terminating"
    WARMED_TERMINATING_WAIT = "Warmed:Terminating:Wait"
    WARMED_TERMINATING_PROCEED = "Warmed:Terminating:Proceed"
    WARMED_TERMINATING_RETAINED = "Warmed:Terminating:Retained"
    WARMED_STOPPED = "Warmed:Stopped"
    WARMED_RUNNING = "Warmed:Running"
    WARMED_HIBERNATED = "Warmed:Hibernated"

    @property
    def is_warmed(self) -> bool:
        """Whether the instance belongs to the warm pool, and not to the group."""
        return self.startswith("Warmed:")


class Place(StrEnum):
    """Where an instance comes from or goes to, as events say it."""

    EC2 = "EC2"
    GROUP = "AutoScalingGroup"
    POOL = "WarmPool"


@dataclass(frozen=True, slots=True)
class Path:
    """The states of one way: hooks hold an instance in `wait`; `retained` is where an ABANDON may leave it."""

    begin: State
    wait: State
    proceed: State
    retained: State


LAUNCH = Path(
    State.PENDING,
    State.PENDING_WAIT,
    State.PENDING_PROCEED,
    State.TERMINATING_RETAINED,
)
TERMINATE = Path(
    State.TERMINATING,
    State.TERMINATING_WAIT,
    State.TERMINATING_PROCEED,
    State.TERMINATING_RETAINED,
)
WARM = Path(
    State.WARMED_PENDING,
    State.WARMED_PENDING_WAIT,
    State.WARMED_PENDING_PROCEED,
    State.WARMED_PENDING_RETAINED,
)
COOL = Path(
    State.WARMED_TERMINATING,
    State.WARMED_TERMINATING_WAIT,
    State.WARMED_TERMINATING_PROCEED,
    State.WARMED_TERMINATING_RETAINED,
)
"""Out of the warm pool for good."""

PATHS: Mapping[State, Path] = {
    state: path
    for path in (LAUNCH, TERMINATE, WARM, COOL)
    for state in (path.begin, path.wait, path.proceed)
}

RESTING: Mapping[str, State] = {
    "Stopped": State.WARMED_STOPPED,
    "Running": State.WARMED_RUNNING,
    "Hibernated": State.WARMED_HIBERNATED,
}
"""Where an instance of a warm pool waits to be taken, by the pool's state."""

COUNTED = frozenset(
    {
        State.PENDING,
        State.PENDING_WAIT,
        State.PENDING_PROCEED,
        State.IN_SERVICE,
    }
)
"""What the desired capacity counts: neither Standby nor whoever leaves."""

PASSING = frozenset({State.ENTERING_STANDBY, State.DETACHING})
"""States that end by themselves after a step."""
