"""From runs to numbers. Pure."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

METRICS = ("processes", "cpu_ms", "wall_ms", "window_ms")

type Figures = Mapping[str, float]
"""By metric; a run that counts processes is not timed, and one that is timed does not count."""
type Runs = Mapping[str, Mapping[str, Mapping[str, Sequence[Figures]]]]
"""Style -> case -> program -> one per run."""
type Summary = Mapping[str, Mapping[str, Mapping[str, Figures]]]


def medians(runs: Sequence[Figures]) -> dict[str, float]:
    """Median of each metric that any run has."""
    values = {
        metric: [run[metric] for run in runs if metric in run] for metric in METRICS
    }
    return {
        metric: round(statistics.median(seen), 1)
        for metric, seen in values.items()
        if seen
    }


def ratios(before: Figures, after: Figures) -> dict[str, float]:
    """After divided by before, of each metric that both have and that is not 0 before."""
    return {
        metric: round(value / before[metric], 2)
        for metric, value in after.items()
        if before.get(metric)
    }


def summary(runs: Runs) -> Summary:
    """What goes into the file: the medians of each program, and `ratio`."""
    return {
        style: {case: _compared(programs) for case, programs in cases.items()}
        for style, cases in runs.items()
    }


def _compared(programs: Mapping[str, Sequence[Figures]]) -> Mapping[str, Figures]:
    middle = {program: medians(runs) for program, runs in programs.items()}
    both = ratios(middle.get("before", {}), middle["after"])
    return {**middle, **({"ratio": both} if "before" in middle else {})}


@dataclass(frozen=True, slots=True)
class Target:
    """What the present program has to keep to: `limit` gets the medians of the same case."""

    text: str
    cases: Sequence[str]
    metric: str
    limit: Callable[[Mapping[str, Figures]], float | None]
    styles: Sequence[str] = ("sysv", "master-worker")


def _before(of: Mapping[str, Figures], metric: str) -> float | None:
    return of.get("before", {}).get(metric)


TARGETS = (
    Target("at most 8 processes", ["unchanged"], "processes", lambda _: 8),
    Target("at most 25 processes", ["syn-drop"], "processes", lambda _: 25),
    Target("at most 100 ms on a quiet core", ["unchanged"], "wall_ms", lambda _: 100),
    Target(
        "no slower than before",
        ["syn-drop", "runtime"],
        "wall_ms",
        lambda of: _before(of, "wall_ms"),
    ),
    Target(
        "no slower than before",
        ["seamless"],
        "wall_ms",
        lambda of: _before(of, "wall_ms"),
        styles=["master-worker"],  # the time of the other one is chance
    ),
)


def missed(results: Summary) -> list[str]:
    """One sentence for each target that the medians miss; what was not measured misses none."""
    return [
        f"{style}, {case}: {seen:g} {target.metric}, but {target.text} ({limit:g})"
        for style, cases in results.items()
        for target in TARGETS
        if style in target.styles
        for case in target.cases
        for seen in [cases[case]["after"].get(target.metric)]
        for limit in [target.limit(cases[case])]
        if seen is not None and limit is not None and seen > limit
    ]
