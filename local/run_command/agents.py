"""The border between the service and the agents of the hosts: what is ordered and what is reported."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from local.run_command.statuses import Detail

type Clock = Callable[[], datetime]

NEW_AGENT = "3.3.3572.0"
"""Knows `interpolationType: ENV_VAR`."""

OUTPUT_LIMIT = 2500
"""Bytes of a step's combined output that ListCommandInvocations shows."""

WORKERS, BUFFER = 5, 5
ROOM = WORKERS + BUFFER
"""Commands that an agent takes at a time: so many run, so many wait; the next one is rejected."""


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
        """Both streams in one text of at most 2,500 bytes; the beginnings are kept."""
        return combined(self.stdout, self.stderr)


@dataclass(frozen=True, slots=True)
class DocumentResult:
    """What an agent reports at the end; no steps when it refused the document before running any."""

    detail: Detail
    steps: tuple[StepResult, ...] = ()
    trace: str = ""


REJECTED = DocumentResult(Detail.FAILED)
"""Of an order that the agent does not take, as it refuses the parameters or has no room: the reason is in its log.

What the service shows where there was no room is not known; this is the reading that tells least.
"""


class Execution(Protocol):
    """One order being carried out."""

    def steps(self) -> tuple[StepResult, ...]:
        """The steps that have ended while it runs: each is reported at once."""

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
    out, err = stdout.encode(), stderr.encode()
    title = b"\n----------ERROR-------\n" if err else b""
    room = OUTPUT_LIMIT - len(title)
    if len(out) + len(err) > room:
        out = _cut(out, max(room // 2, room - len(err)), b"\n---Output truncated---")
        err = _cut(err, room - len(out), b"\n---Error truncated----")
    return readable(out + title + err)


def _cut(content: bytes, size: int, mark: bytes) -> bytes:
    return content if len(content) <= size else content[: size - len(mark)] + mark


def readable(content: bytes) -> str:
    """Bytes as the service shows them: what is no UTF-8, such as half a character, is replaced."""
    return content.decode(errors="replace")


def after_worker_died(order: Order, now: datetime) -> DocumentResult:
    """What an agent says of a document whose worker was killed: its first step failed, whatever the script does."""
    words = "document process failed unexpectedly, check [ssm-document-worker] log for crash reason"
    name = order.content["mainSteps"][0]["name"]
    step = StepResult(name, Detail.FAILED, 1, words, "", now, now)
    return DocumentResult(Detail.FAILED, (step,))


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
