"""From what clients, backends and proxies saw to numbers. Pure."""

import dataclasses
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from local.lab import Attempt

PLAYBOOK = "playbook"
OURS = ("auto", "seamless", "syn-drop")
METHODS = (*OURS, PLAYBOOK)

FIRST_PART = 1 / 3
"""Of its ramp, in which a new server is measured."""


class Fate(StrEnum):
    """What became of a request."""

    ANSWERED = "answered"
    FAILED = "failed"
    """No answer, an error of the proxy, or the connection ended before an answer began."""
    CUT = "cut"
    """The answer had begun, and did not come to its end."""
    LOST = "lost"
    """It was in flight on the machine that was killed without notice."""


@dataclass(frozen=True, slots=True)
class Killed:
    """The machine that was killed without notice, and when."""

    backend: str
    at: float
    ports: frozenset[int] = frozenset()
    """Of clients whose requests proxies had given to it, and had no answer to, from then on."""


def fate(attempt: Attempt, killed: Killed) -> Fate:
    """What became of it."""
    if attempt.is_ok:
        return Fate.ANSWERED
    if _was_there(attempt, killed):
        return Fate.LOST
    has_begun = bool(attempt.backend) and not attempt.result.startswith("http-")
    return Fate.CUT if has_begun else Fate.FAILED


def _was_there(attempt: Attempt, killed: Killed) -> bool:
    """Whether it was on its way through that machine when that died, or was sent there before anybody knew."""
    is_its = attempt.backend in {"", killed.backend} and killed.at <= attempt.end
    return is_its and (attempt.start <= killed.at or attempt.port in killed.ports)


@dataclass(frozen=True, slots=True)
class Spell:
    """How long a proxy saw a server up that takes new clients."""

    proxy: str
    """By address, as the log of a backend has it."""
    server: str
    began: float
    """Unix times. Endless are those of who was there when the look began, or is when it ends."""
    ended: float = math.inf

    def spans(self, began: float, ended: float) -> bool:
        """Whether it was up for all of that time."""
        return self.began <= began and ended <= self.ended


type Logs = Mapping[tuple[str, str], Sequence[float]]
"""By server and proxy: when the server was asked, by its own log."""


def slow_start_ratio(
    spells: Sequence[Spell], logs: Logs, ramp_seconds: float
) -> float | None:
    """The requests of new servers in the first part of their ramps, in fair shares; None where nothing can be compared.

    A fair share is what a server gets in the same time from the same proxy that has its whole weight since before.
    """
    new = fair = 0.0
    for spell in spells:
        began, ended = spell.began, spell.began + ramp_seconds * FIRST_PART
        others = [
            _asked(logs, other, began, ended)
            for other in spells
            if other.proxy == spell.proxy and other.spans(began - ramp_seconds, ended)
        ]
        if others and spell.spans(began, ended) and math.isfinite(began):
            new += _asked(logs, spell, began, ended)
            fair += statistics.fmean(others)
    return round(new / fair, 3) if fair else None


def _asked(logs: Logs, spell: Spell, began: float, ended: float) -> int:
    log = logs.get((spell.server, spell.proxy), ())
    return sum(began <= at < ended for at in log)


@dataclass(frozen=True, slots=True)
class Tally:
    """One method's numbers."""

    requests: int
    failed: int
    cut: int
    lost_with_machine: int
    slow_start_ratio: float | None
    drain_seconds: float
    """Median, from the begin of a terminating action to its completion; 0 where there is no such action."""

    @classmethod
    def of(
        cls,
        attempts: Iterable[Attempt],
        killed: Killed,
        ratio: float | None,
        drains: Sequence[float],
    ) -> "Tally":
        """Count. Raises ValueError if nobody asked."""
        fates = [fate(attempt, killed) for attempt in attempts]
        if not fates:
            raise ValueError("no client asked")
        return cls(
            requests=len(fates),
            failed=fates.count(Fate.FAILED),
            cut=fates.count(Fate.CUT),
            lost_with_machine=fates.count(Fate.LOST),
            slow_start_ratio=ratio,
            drain_seconds=round(statistics.median(drains or [0.0]), 1),
        )


METRICS = tuple(field.name for field in dataclasses.fields(Tally))


@dataclass(frozen=True, slots=True)
class Target:
    """What a number of our methods may be at most."""

    metric: str
    most: float
    text: str


TARGETS = (
    Target("failed", 0, "no failed request"),
    Target("cut", 0, "no cut answer"),
    Target("slow_start_ratio", 0.34, "a third of a fair share"),
)


def missed(tallies: Mapping[str, Tally]) -> list[str]:
    """One sentence for each target that one of our methods misses; what was not measured misses its target."""
    return [
        f"{method}: {target.metric} is {seen}, but the target is {target.text} ({target.most:g})"
        for method, tally in tallies.items()
        if method in OURS
        for target in TARGETS
        for seen in [getattr(tally, target.metric)]
        if seen is None or seen > target.most
    ]
