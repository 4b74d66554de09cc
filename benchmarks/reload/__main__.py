"""Runs the benchmark: `python -m benchmarks.reload [--runs N] [--quick]`."""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rich.table import Table

from benchmarks.reload.change import (
    METHODS,
    PATIENCE_SECONDS,
    RTT_MS,
    SCENARIOS,
    change,
    in_a_name,
    stage,
    start_proxies,
)
from benchmarks.reload.harm import METRICS, Harm, medians, missed, ranges, summary
from benchmarks.results import Report, write_results
from local.lab import Client, Load, Network, ProxyHost

OUTPUT = Path("build/bench/reload.json")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, write."""
    options = _options(arguments)
    report = Report()
    harms: dict[str, dict[str, list[Harm]]] = {
        scenario: {method: [] for method in METHODS} for scenario in SCENARIOS
    }
    measured = _at_once() if options.quick else _in_turn(options.runs)
    for scenario, method, harm in measured:
        harms[scenario][method].append(harm)
        report.progress(f"{scenario:7} {method:9} {harm}")
    write_results(OUTPUT, summary(harms))
    for scenario, methods in harms.items():
        report.show(_table(scenario, methods))
    report.conclude(missed(harms), OUTPUT)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.reload", description=main.__doc__
    )
    parser.add_argument(
        "--runs",
        type=int,
        default=3,
        help="of each method in each scenario, in turn (default: 3)",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="one small run: counts say something, times nothing",
    )
    return parser.parse_args(arguments)


AT_ONCE = 5
"""Methods that are measured side by side: more hurt each other on two cores."""


def _in_turn(runs: int) -> Iterator[tuple[str, str, Harm]]:
    for _ in range(runs):
        for name in SCENARIOS:
            with Network() as network:
                scenario = stage(network, name)
                client = Client(network, rtt_ms=RTT_MS)
                for method, proxy in start_proxies(network, {name: scenario})[
                    name
                ].items():
                    load = _load(proxy, connections_per_second=300, keepalive=40)
                    yield name, method, change(proxy, client, method, scenario, load)
                    proxy.close()


def _at_once() -> Iterator[tuple[str, str, Harm]]:
    """One run of everything, some methods of a scenario side by side."""
    with Network() as network, ThreadPoolExecutor(AT_ONCE) as threads:
        scenarios = {name: stage(network, name) for name in SCENARIOS}
        clients = {
            method: Client(network, f"client-{in_a_name(method)}", rtt_ms=RTT_MS)
            for method in METHODS
        }
        for name, proxies in start_proxies(network, scenarios).items():
            runs = {
                method: threads.submit(
                    change,
                    proxy,
                    clients[method],
                    method,
                    scenarios[name],
                    _load(proxy, 40, 4),
                )
                for method, proxy in proxies.items()
            }
            for method, run in runs.items():
                yield name, method, run.result()
            for proxy in proxies.values():
                proxy.close()


def _load(proxy: ProxyHost, connections_per_second: float, keepalive: int) -> Load:
    """New connections, a fifth of them over IPv6, open connections, and two downloads."""
    addresses = (*[str(proxy.ipv4)] * 4, str(proxy.ipv6))
    return Load(
        addresses,
        connections_per_second=connections_per_second,
        keepalive=keepalive,
        downloads=2,
        timeout_seconds=PATIENCE_SECONDS,
    )


def _table(scenario: str, methods: Mapping[str, Sequence[Harm]]) -> Table:
    table = Table(title=f"{scenario}: median \\[least, most]", title_justify="left")
    table.add_column("method")
    for metric in METRICS:
        table.add_column(metric, justify="right")
    for method, runs in methods.items():
        middle, around = medians(runs), ranges(runs)
        table.add_row(
            method,
            *(
                f"{middle[of]:.0f} \\[{around[of][0]:.0f}, {around[of][1]:.0f}]"
                for of in METRICS
            ),
        )
    return table


if __name__ == "__main__":
    main()
