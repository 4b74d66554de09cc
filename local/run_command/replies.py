"""How an agent's report reaches the service: a reply for each step when it ends, and one with the final status.

Measured on the real agent: its senders run in parallel, so replies overtake each other; in half of all commands the
final status came before the last step's, by up to 4 ms, once by 23. A lost reply comes again: from 3.3.3572.0 on at
once, before that with the next five-minute job.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from random import Random

from local.run_command.agents import DocumentResult, StepResult

FINAL = ""
"""What the reply with the final status is called, where those of the steps have the steps' names."""

RESEND_SECONDS = 300
"""Period of the job by which an older agent sends lost replies again."""

SLOW_SHARE, SLOW_SECONDS = 0.05, 0.023
"""So many replies take that long instead of some milliseconds."""
RETRY_SECONDS = 1
"""A newer agent misses the acknowledgement that long, then repeats the reply."""

_RETRIES_SINCE = (3, 3, 3572, 0)

type Delay = Callable[[str, str], float]
"""Name of a reply and version of its agent -> seconds until the service has it."""


@dataclass(frozen=True, slots=True)
class Reply:
    """One message on its way: a step, or the end, which holds no steps."""

    arrives: datetime
    said: StepResult | DocumentResult


def at_once(_name: str, _version: str) -> float:
    """All replies in one piece: for tests of what has nothing to do with their order."""
    return 0.0


@dataclass(slots=True)
class Unordered:
    """Replies overtake each other, and some are lost; the same seed gives the same delays."""

    seed: int = 1
    loss: float = 0.05
    _random: Random = field(init=False)

    def __post_init__(self) -> None:
        """Begin the row of delays."""
        self._random = Random(self.seed)

    def __call__(self, _name: str, version: str) -> float:
        """The next delay."""
        is_slow = self._random.random() < SLOW_SHARE
        seconds = SLOW_SECONDS if is_slow else self._random.uniform(0.0002, 0.004)
        return seconds + (self._again(version) or 0.0)

    def repeated(self, replies: Iterable[Reply], version: str) -> list[Reply]:
        """Those whose acknowledgement gets lost: the agent sends them a second time."""
        times = [(reply, self._again(version)) for reply in replies]
        return [
            replace(reply, arrives=reply.arrives + timedelta(seconds=after))
            for reply, after in times
            if after
        ]

    def _again(self, version: str) -> float | None:
        """How long after something got lost it is sent again; None where nothing does."""
        if self._random.random() >= self.loss:
            return None
        is_new = tuple(map(int, version.split("."))) >= _RETRIES_SINCE
        return RETRY_SECONDS if is_new else self._random.uniform(0, RESEND_SECONDS)


def sent(
    steps: Iterable[StepResult],
    result: DocumentResult | None,
    version: str,
    delay: Delay,
    now: datetime,
) -> tuple[Reply, ...]:
    """What an agent of that version tells of the steps that ended, and of the end if it has come."""
    parts: list[tuple[str, StepResult | DocumentResult]] = [
        (step.name, step) for step in steps
    ]
    if result:
        parts.append((FINAL, replace(result, steps=())))
    replies = [
        Reply(now + timedelta(seconds=delay(name, version)), said)
        for name, said in parts
    ]
    if isinstance(delay, Unordered):
        replies += delay.repeated(replies, version)
    return tuple(replies)


def in_order(*replies: Reply) -> tuple[Reply, ...]:
    """First arrival first."""
    return tuple(sorted(replies, key=lambda reply: reply.arrives))
