"""The border between the service and the agents of the hosts: what is ordered and what is reported."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from local.run_command.statuses import Detail

type Clock = Callable[[], datetime]

NEW_AGENT = "3.3.3572.0"
"""Knows `interpolationType: ENV_VAR`."""

OUTPUT_LIMIT = 2500
"""Characters of a step's combined output that ListCommandInvocations shows."""


@dataclass(frozen=True, slots=True)
class Order:
    """One command as one host receives it."""

    command_id: str
    instance_id: str
    document_name: str
    content: Mapping[str, Any]
    parameters: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class StepResult:
    """What became of one step; `stdout` and `stderr` already cut by the agent."""

    name: str
    detail: Detail
    code: int
    stdout: str
    stderr: str
    started: datetime
    finished: datetime

    @property
    def output(self) -> str:
        """Both streams in one text of at most 2,500 characters; the beginnings are kept."""
        return combined(self.stdout, self.stderr)


@dataclass(frozen=True, slots=True)
class DocumentResult:
    """What an agent reports at the end; no steps when it refused the document before running any."""

    detail: Detail
    steps: tuple[StepResult, ...] = ()
    trace: str = ""


class Execution(Protocol):
    """One order being carried out."""

    def result(self) -> DocumentResult | None:
        """The report, or None while it runs."""

    def cancel(self) -> None:
        """Kill what runs, as a crash of the host does; the report says what was reached."""


class Agent(Protocol):
    """Whatever runs documents on a host."""

    @property
    def version(self) -> str:
        """As the service shows it."""

    def start(self, order: Order) -> Execution:
        """Begin and return at once."""


def combined(stdout: str, stderr: str) -> str:
    """The agent's short output of a step: stdout, a title, stderr, each cut with a mark when both do not fit."""
    title = "\n----------ERROR-------\n" if stderr else ""
    room = OUTPUT_LIMIT - len(title)
    if len(stdout) + len(stderr) <= room:
        return stdout + title + stderr
    half = room // 2
    for_stdout = max(half, room - len(stderr))
    kept = _cut(stdout, for_stdout, "\n---Output truncated---")
    return kept + title + _cut(stderr, room - len(kept), "\n---Error truncated----")


def _cut(text: str, size: int, mark: str) -> str:
    return text if len(text) <= size else text[: size - len(mark)] + mark


type Behaviour = Callable[[Order], DocumentResult]
"""What a scripted host does with an order, and reports."""


@dataclass(slots=True)
class ScriptedAgent:
    """A host played by a Python callable under the caller's clock: `behaviour` is called once `seconds` have passed.

    Orders are kept in `orders` in the order they arrived.
    """

    clock: Clock
    behaviour: Behaviour
    seconds: float = 1.0
    version: str = NEW_AGENT
    orders: list[Order] = field(default_factory=list)

    def start(self, order: Order) -> Execution:
        """Take the order; the report is due later."""
        self.orders.append(order)
        return _Scripted(
            order,
            self.clock,
            self.behaviour,
            self.clock() + timedelta(seconds=self.seconds),
        )


@dataclass(slots=True)
class _Scripted:
    order: Order
    clock: Clock
    behaviour: Behaviour
    due: datetime
    report: DocumentResult | None = None

    def result(self) -> DocumentResult | None:
        if self.report is None and self.clock() >= self.due:
            self.report = self.behaviour(self.order)
        return self.report

    def cancel(self) -> None:
        self.report = self.report or DocumentResult(Detail.CANCELLED)


@dataclass(slots=True)
class ManualClock:
    """A clock that moves by `advance` alone."""

    now: datetime

    def __call__(self) -> datetime:
        """The present."""
        return self.now

    def advance(self, seconds: float) -> None:
        """Let that much time pass."""
        self.now += timedelta(seconds=seconds)
