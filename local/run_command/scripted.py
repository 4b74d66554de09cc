"""Hosts played by a Python callable under the caller's clock, and the troubles that hosts and agents have.

Measured on the real agent, all of them: how long a download without an answer takes, and that a cancel does not end it;
what is said where the document worker was killed; that only the agent's log says why parameters were refused.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum, auto

from local.run_command.agents import (
    NEW_AGENT,
    REJECTED,
    ROOM,
    Clock,
    DocumentResult,
    Execution,
    Order,
    StepResult,
    after_worker_died,
)
from local.run_command.statuses import Detail

SILENT_SECONDS = 770
"""How long the agent tries a download whose packets are dropped: HEADs, listings and GETs time out one by one."""

NAMELESS_SECONDS = 50
"""The same where the bucket's name does not resolve."""

WORKER_SECONDS = 62
"""How long after the death of its document worker an agent says that the document failed."""

type Behaviour = Callable[[Order], DocumentResult]
"""What a scripted host does with an order, and reports."""


class Trouble(Enum):
    """What comes between a host and its work; that of the moment when the order is taken counts."""

    NONE = auto()
    S3_SILENT = auto()
    """S3 does not answer: 770 s, then the first step fails. The host works late if it answers before."""
    S3_NAMELESS = auto()
    """Its name does not resolve: the same after 50 s."""
    WORKER_KILLED = auto()
    """Something kills the document worker while the script runs, which goes on and does its work."""
    MUTE = auto()
    """The order is taken, and nothing is heard of it, nor done."""
    REJECTS = auto()
    """The agent refuses the parameters, or has no room: no step, no trace."""


_DOWNLOAD_SECONDS = {
    Trouble.S3_SILENT: SILENT_SECONDS,
    Trouble.S3_NAMELESS: NAMELESS_SECONDS,
}


@dataclass(slots=True)
class ScriptedAgent:
    """A host played by a Python callable under the caller's clock: `behaviour` is called once `seconds` have passed.

    Orders are kept in `orders` in the order they arrived, those that are rejected too.
    """

    clock: Clock
    behaviour: Behaviour
    seconds: float = 1.0
    version: str = NEW_AGENT
    orders: list[Order] = field(default_factory=list)
    trouble: Trouble = Trouble.NONE
    _taken: list["_Scripted"] = field(default_factory=list)

    def start(self, order: Order) -> Execution:
        """Take the order; the report is due later."""
        self.orders.append(order)
        self._taken = [each for each in self._taken if each.result() is None]
        is_full = len(self._taken) >= ROOM
        trouble = Trouble.REJECTS if is_full else self.trouble
        scripted = _Scripted(self, order, self.clock(), trouble)
        self._taken.append(scripted)
        return scripted


@dataclass(slots=True)
class _Scripted:
    agent: ScriptedAgent
    order: Order
    taken: datetime
    trouble: Trouble
    worked: DocumentResult | None = None
    report: DocumentResult | None = None

    def steps(self) -> tuple[StepResult, ...]:
        """A host that is not in trouble does all at once. A worker that is killed has reported what came before."""
        if self.trouble is Trouble.WORKER_KILLED and self._has_passed(1):
            return self._work().steps[:-1]
        return ()

    def result(self) -> DocumentResult | None:
        if self.report is None:
            self.report = _COURSES[self.trouble](self)
        return self.report

    def cancel(self) -> None:
        """A download goes on all the same."""
        if self.trouble not in _DOWNLOAD_SECONDS:
            self.report = self.report or DocumentResult(Detail.CANCELLED)

    def works(self) -> DocumentResult | None:
        return self._work() if self._has_passed(self.agent.seconds) else None

    def downloads(self) -> DocumentResult | None:
        """Fails after all tries; a try that S3 answers is the last one."""
        if self.agent.trouble is not self.trouble:
            return self.works()
        if not self._has_passed(_DOWNLOAD_SECONDS[self.trouble]):
            return None
        return DocumentResult(
            Detail.FAILED,
            (self._first_step("failed to download: http request failed."),),
        )

    def loses_worker(self) -> DocumentResult | None:
        if not self.works() or not self._has_passed(
            self.agent.seconds + WORKER_SECONDS
        ):
            return None
        return after_worker_died(self.order, self.agent.clock())

    def _work(self) -> DocumentResult:
        self.worked = self.worked or self.agent.behaviour(self.order)
        return self.worked

    def _first_step(self, stderr: str) -> StepResult:
        name, now = self.order.content["mainSteps"][0]["name"], self.agent.clock()
        return StepResult(name, Detail.FAILED, 1, "", stderr, self.taken, now)

    def _has_passed(self, seconds: float) -> bool:
        return self.agent.clock() >= self.taken + timedelta(seconds=seconds)


_COURSES: Mapping[Trouble, Callable[[_Scripted], DocumentResult | None]] = {
    Trouble.NONE: _Scripted.works,
    Trouble.S3_SILENT: _Scripted.downloads,
    Trouble.S3_NAMELESS: _Scripted.downloads,
    Trouble.WORKER_KILLED: _Scripted.loses_worker,
    Trouble.MUTE: lambda _: None,
    Trouble.REJECTS: lambda _: REJECTED,
}
