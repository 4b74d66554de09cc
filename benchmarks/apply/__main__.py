"""Runs the benchmark: `python -m benchmarks.apply [--runs N] [--quick]`."""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rich.table import Table

from benchmarks.apply.figures import METRICS, Figures, Summary, missed, summary
from benchmarks.apply.measure import CASES, FORMER, STYLES, Subject, subjects
from benchmarks.results import Report, write_results
from local.lab import Style

OUTPUT = Path("build/bench/apply.json")

type Subjects = Mapping[Style, Mapping[str, Subject]]
type Measured = Iterator[tuple[Style, str, str, Figures]]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, write."""
    options = _options(arguments)
    report = Report()
    with subjects() as proxies:
        runs: dict[str, dict[str, dict[str, list[Figures]]]] = {
            style: {case: {name: [] for name in proxies[style]} for case in CASES}
            for style in STYLES
        }
        for style, case, name, figures in _measured(proxies, options):
            runs[style][case][name].append(figures)
            report.progress(f"{style:13} {case:9} {name:6} {figures}")
        if "before" not in proxies[STYLES[0]]:
            report.show(f"nothing to compare with: git has no commit {FORMER}")
    results = summary(runs)
    write_results(OUTPUT, results)
    report.show(_table(results))
    report.conclude(missed(results), OUTPUT)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.apply", description=main.__doc__
    )
    parser.add_argument(
        "--runs", type=int, default=7, help="of each program in each case (default: 7)"
    )
    parser.add_argument("--quick", action="store_true", help="count processes only")
    return parser.parse_args(arguments)


def _measured(proxies: Subjects, options: argparse.Namespace) -> Measured:
    yield from _counted(proxies)
    for number in range(0 if options.quick else options.runs):
        yield from _timed(proxies, slice(None, None, -1 if number % 2 else 1))


def _counted(proxies: Subjects) -> Measured:
    """Counts do not depend on what else the machine does: all proxies side by side."""
    with ThreadPoolExecutor() as threads:
        for case in CASES:
            counts = [
                (style, name, threads.submit(subject.count, case))
                for style, of in proxies.items()
                for name, subject in of.items()
            ]
            for style, name, count in counts:
                yield style, case, name, count.result()


def _timed(proxies: Subjects, turn: slice) -> Measured:
    """Both programs by turns, so that a busy minute of the machine slows both alike."""
    for style, of in proxies.items():
        for case in CASES:
            for name in list(of)[turn]:
                yield style, case, name, of[name].time(case)


def _table(results: Summary) -> Table:
    table = Table(title="before → after (ratio), medians", title_justify="left")
    for name in ("style", "case", *METRICS):
        table.add_column(name, justify="right" if name in METRICS else "left")
    for style, cases in results.items():
        for case, of in cases.items():
            table.add_row(style, case, *(_cell(of, metric) for metric in METRICS))
    return table


def _cell(of: Mapping[str, Figures], metric: str) -> str:
    both = [of[name].get(metric) for name in ("before", "after") if name in of]
    if None in both:
        return ""
    ratio = of.get("ratio", {}).get(metric)
    arrow = " → ".join(f"{value:g}" for value in both)
    return arrow if ratio is None else f"{arrow} ({ratio:.2f})"


if __name__ == "__main__":
    main()
