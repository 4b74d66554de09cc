"""The publications of the history, as operators name them: by a generation, or by the fence that a host's log shows."""

from dataclasses import dataclass

from haproxy_sync.errors import BadRequest
from haproxy_sync.state.model import (
    NO_ASSIGNMENT,
    Assignment,
    Change,
    EnvironmentState,
)

SHOWN_GENERATIONS = 10
NOW = 0


@dataclass(frozen=True, slots=True)
class Wanted:
    """The publication that was current at a generation, or at a host's fence."""

    by: str  # the field of a history entry: "generation" or "fence"
    number: int

    def among(self, state: EnvironmentState) -> Change:
        """Its history entry; `BadRequest` if there is none."""
        older = [change for change in state.history if self._of(change) <= self.number]
        if not older or self.number > self._of(state):
            raise BadRequest(
                f"no config is known that was current at {self}; {self._newest(state)}"
            )
        return older[-1]

    def _newest(self, state: EnvironmentState) -> str:
        """Those that are known, for who mistyped one."""
        newest = [str(self._of(change)) for change in state.history]
        shown = ", ".join(newest[-SHOWN_GENERATIONS:])
        return f"newest {self.by}s: {shown or 'none'}"

    def _of(self, entry: Change | EnvironmentState) -> int:
        return int(getattr(entry, self.by))

    def __str__(self) -> str:
        """`generation 3`."""
        return f"{self.by} {self.number}"


@dataclass(frozen=True, slots=True)
class Former:
    """What a publication is compared with; generation 0: nothing was published before it."""

    generation: int
    assignment: Assignment


def against(state: EnvironmentState, entry: Change, generation: int | None) -> Former:
    """The publication of that generation, 0 for what is published now; None: the one before the entry.

    `BadRequest` if it is not known.
    """
    if generation is None:
        return _before(state, entry)
    if generation == NOW:
        return Former(state.generation, state.assignment)
    other = Wanted("generation", generation).among(state)
    return Former(other.generation, other.assignment)


def _before(state: EnvironmentState, entry: Change) -> Former:
    if entry.generation == 1:
        return Former(0, NO_ASSIGNMENT)
    position = state.history.index(entry)
    if position == 0:
        raise BadRequest(
            f"nothing is known any more of what was before generation {entry.generation}: "
            "say against which generation, 0 for what is published now"
        )
    former = state.history[position - 1]
    return Former(former.generation, former.assignment)


def proxies(state: EnvironmentState, assignment: Assignment) -> tuple[str, ...]:
    """Those that the assignment names; of one that fits all, the proxies of the last look."""
    return tuple(sorted(assignment.by_proxy)) or state.proxy_ids
