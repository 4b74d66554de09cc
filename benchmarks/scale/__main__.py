"""Runs the benchmark: `python -m benchmarks.scale [--method METHOD]... [--quick]`."""

import argparse
import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.table import Table

from benchmarks.results import Report, write_results
from benchmarks.scale.story import Size, measure
from benchmarks.scale.tally import METHODS, METRICS, Tally, missed

OUTPUT = Path("build/bench/scale.json")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, write."""
    options = _options(arguments)
    if os.geteuid() != 0:
        raise SystemExit("network namespaces and HAProxy need root")
    report = Report()
    size = Size(many=4, warm=1) if options.quick else Size()
    tallies: dict[str, Tally] = {}
    for method in options.method or METHODS:
        tallies[method] = measure(method, report.progress, size)
        results = {name: dataclasses.asdict(tally) for name, tally in tallies.items()}
        write_results(OUTPUT, results)
    report.show(_table(tallies))
    report.conclude(missed(tallies), OUTPUT)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scale", description=main.__doc__
    )
    parser.add_argument(
        "--method",
        action="append",
        choices=METHODS,
        help="only this one, or these (default: all)",
    )
    parser.add_argument(
        "--quick", action="store_true", help="a smaller group: 3, 4, 3 backends"
    )
    return parser.parse_args(arguments)


def _table(tallies: Mapping[str, Tally]) -> Table:
    table = Table(title="requests while backends come and go", title_justify="left")
    table.add_column("method")
    for metric in METRICS:
        table.add_column(metric, justify="right")
    for method, tally in tallies.items():
        shown = (f"{value:g}" if value is not None else "" for value in _values(tally))
        table.add_row(method, *shown)
    return table


def _values(tally: Tally) -> Sequence[float | None]:
    return [getattr(tally, metric) for metric in METRICS]


if __name__ == "__main__":
    main()
