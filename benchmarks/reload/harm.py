"""From what clients saw to numbers. Pure."""

import dataclasses
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from local.lab import Attempt

DELAYED_MS = 200

type Harms = Mapping[str, Mapping[str, Sequence[Harm]]]
"""Scenario -> method -> one per run."""


@dataclass(frozen=True, slots=True)
class Harm:
    """What one change did to clients."""

    failed: int
    """New connections and downloads without a good answer in time."""
    delayed: int
    """New connections that came up, but only after 200 ms, whatever became of the request then."""
    connect_max_ms: float
    connect_p999_ms: float
    keepalive_lost: int
    """Requests on open connections without a good answer."""
    drop_window_ms: float
    """How long a firewall rule dropped new connections."""

    @classmethod
    def of(cls, attempts: Sequence[Attempt], drop_window_ms: float) -> "Harm":
        """Count what became of the attempts of one run. Raises ValueError if there was no new connection."""
        connected = sorted(
            attempt.connect_ms for attempt in attempts if attempt.kind == "new"
        )
        if not connected:
            raise ValueError("no client asked")
        bad = [
            attempt.kind == "keep-alive" for attempt in attempts if not attempt.is_ok
        ]
        return cls(
            failed=bad.count(False),
            delayed=sum(
                DELAYED_MS < attempt.connect_ms < attempt.total_ms
                for attempt in attempts
                if attempt.kind == "new"
            ),
            connect_max_ms=connected[-1],
            connect_p999_ms=connected[math.ceil(len(connected) * 0.999) - 1],
            keepalive_lost=bad.count(True),
            drop_window_ms=round(drop_window_ms, 1),
        )


METRICS = tuple(field.name for field in dataclasses.fields(Harm))


def summary(
    harms: Harms,
) -> dict[str, dict[str, dict[str, float | tuple[float, float]]]]:
    """What goes into the file: per scenario and method the median of each metric, and beside it `<metric>_range`."""
    return {
        scenario: {
            method: {
                **medians(runs),
                **{f"{metric}_range": seen for metric, seen in ranges(runs).items()},
            }
            for method, runs in methods.items()
        }
        for scenario, methods in harms.items()
    }


def medians(runs: Sequence[Harm]) -> dict[str, float]:
    """Median of each metric."""
    return {
        metric: statistics.median(getattr(run, metric) for run in runs)
        for metric in METRICS
    }


def ranges(runs: Sequence[Harm]) -> dict[str, tuple[float, float]]:
    """Least and most of each metric."""
    values = {metric: [getattr(run, metric) for run in runs] for metric in METRICS}
    return {metric: (min(seen), max(seen)) for metric, seen in values.items()}


SYN_DROP = ("syn-drop", "syn-drop/master-worker")
SEAMLESS = ("seamless", "seamless/master-worker")
RUNTIME = ("runtime", "runtime/master-worker")
OURS = (*SYN_DROP, *SEAMLESS, *RUNTIME, "auto")


@dataclass(frozen=True, slots=True)
class Target:
    """What a median has to be: `limit` gets the medians of all methods of the same scenario."""

    text: str
    methods: Sequence[str]
    metric: str
    limit: Callable[[Mapping[str, Mapping[str, float]]], float]


TARGETS = (
    Target("no failed request", OURS, "failed", lambda _: 0),
    Target(
        "at most a fifth of the playbook's delayed connections",
        SYN_DROP,
        "delayed",
        lambda of: of["playbook"]["delayed"] / 5,
    ),
    Target(
        "no delayed connection",
        (*SEAMLESS, *RUNTIME, "auto"),
        "delayed",
        lambda _: 0,
    ),
    Target("no lost keep-alive request", RUNTIME, "keepalive_lost", lambda _: 0),
    Target(
        "at most a tenth of the plain reload's lost keep-alive requests",
        (*SYN_DROP, *SEAMLESS, "auto"),
        "keepalive_lost",
        lambda of: of["plain"]["keepalive_lost"] / 10,
    ),
)


def missed(harms: Harms) -> list[str]:
    """One sentence for each target that the medians miss."""
    return [
        f"{scenario}, {method}: {seen:g} {target.metric}, but {target.text} ({limit:g})"
        for scenario, methods in harms.items()
        for of in [{method: medians(runs) for method, runs in methods.items()}]
        for target in TARGETS
        for method in target.methods
        if (seen := of[method][target.metric]) > (limit := target.limit(of))
    ]
