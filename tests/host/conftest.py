"""Proxies and backends of the lab for the tests of the host program."""

import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import Any

import pytest

from local.lab import BackendHost, Client, Network, ProxyHost, Style
from tests.haproxies import binary, numbers, version_of

LONG = {"test_kill_sweep", "test_pythons"}
"""They begin first: what takes a minute, and begins last, is waited for by all other workers."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """The HAProxys to run on."""
    parser.addoption(
        "--haproxy",
        action="append",
        metavar="VERSION",
        help="run each test of the host on this HAProxy, such as 3.0; may be repeated (else: the installed one)",
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each test that has a proxy, once per HAProxy."""
    if "haproxy" in metafunc.fixturenames:
        versions = metafunc.config.getoption("haproxy") or ["installed"]
        metafunc.parametrize("haproxy", versions, indirect=True)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """What is long begins first. Of several HAProxys that are tested at once each has its share of the tests.

    `make test-haproxies` tests one after the other, and each has all.
    """
    items.sort(key=lambda item: item.path.stem not in LONG)
    versions = config.getoption("haproxy") or []
    if len(versions) < 2:
        return
    turns = _turns(items)

    def is_anothers_turn(item: pytest.Item) -> bool:
        able = [each for each in versions if not _lacking(item, each)] or versions
        turn = turns[_function(item), _cell(item)] % len(able)
        return _haproxy_of(item) not in {"", able[turn]}

    # Before anything else is left out: in a run of one test, that is on the same HAProxy as in a run of all.
    others = {item for item in items if is_anothers_turn(item)}
    ours = {(_function(item), _cell(item)) for item in items if item not in others}
    if ours != turns.keys():
        raise pytest.UsageError(f"on no HAProxy: {sorted(turns.keys() - ours)}")
    config.hook.pytest_deselected(items=list(others))
    items[:] = [item for item in items if item not in others]


def _turns(items: list[pytest.Item]) -> dict[tuple[str, str], int]:
    """For each cell of a test which HAProxy has it: one after the other, so that a test of two cells meets two.

    By chance, but always the same: the order of the cells would give all of one method to one HAProxy.
    """
    cells: dict[str, set[str]] = defaultdict(set)
    for item in items:
        cells[_function(item)].add(_cell(item))
    return {
        (function, cell): _drawn(function) + number
        for function, all_of_it in cells.items()
        for number, cell in enumerate(sorted(all_of_it, key=_drawn))
    }


def _drawn(name: str) -> int:
    return int.from_bytes(sha256(name.encode()).digest()[:4], "big")


def _function(item: pytest.Item) -> str:
    return f"{item.path.name}::{getattr(item, 'originalname', '')}"


def _haproxy_of(item: pytest.Item) -> str:
    """The version that a test is to run on; empty: it has no proxy."""
    given = item.callspec.params if hasattr(item, "callspec") else {}
    return str(given.get("haproxy", ""))


def _lacking(item: pytest.Item, version: str) -> list[str]:
    """What a test is about and HAProxy of this version does not have, each with the version that brought it."""
    return [
        f"{what} came with HAProxy {since}"
        for since, what in (mark.args for mark in item.iter_markers("since"))
        if numbers(version) < numbers(since)
    ]


def _cell(item: pytest.Item) -> str:
    """A name that is the same for each HAProxy."""
    version = re.escape(_haproxy_of(item))
    return re.sub(rf"(?<=[\[-]){version}(?=[]-])", "", item.name, count=1)


@pytest.fixture
def haproxy(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Options of a proxy for the HAProxy that this test runs on."""
    if request.param == "installed":
        return {}
    try:
        return {"binary": binary(request.param)}
    except FileNotFoundError as missing:
        pytest.fail(f"no HAProxy {request.param}: {missing}")


@pytest.fixture(name="binary")
def _binary(haproxy: dict[str, Any]) -> str:
    """The program that this test runs, without a proxy."""
    return str(haproxy.get("binary") or "/usr/sbin/haproxy")


@pytest.fixture(autouse=True)
def _since(request: pytest.FixtureRequest) -> None:
    """Skip what is about something that this HAProxy does not have: `@pytest.mark.since(VERSION, WHAT)`."""
    if request.node.get_closest_marker("since"):
        version = version_of(request.getfixturevalue("haproxy"))
        for lacking in _lacking(request.node, version):
            pytest.skip(lacking)


@pytest.fixture(scope="session")
def network() -> Iterator[Network]:
    """One network per test worker."""
    if os.geteuid() != 0:
        pytest.fail(
            "tests/host make network namespaces and run HAProxy: run them as root"
        )
    with Network() as made:
        yield made


@pytest.fixture(scope="session")
def backends(network: Network) -> tuple[BackendHost, ...]:
    """Three application servers; tests leave them answering."""
    return tuple(
        BackendHost(network, f"app-{number}", ipv4=f"10.77.1.{number}")
        for number in (1, 2, 3)
    )


@pytest.fixture(scope="session")
def client(network: Network) -> Client:
    """A machine 40 ms away: without a round-trip time every reload looks free."""
    return Client(network, rtt_ms=40)


@pytest.fixture
def far(network: Network) -> Iterator[Client]:
    """A machine whose handshakes last longer than the load of a small config."""
    with Client(network, f"far-{len(network.hosts)}", rtt_ms=250) as client:
        yield client


@pytest.fixture
def make_proxy(
    network: Network, haproxy: dict[str, Any]
) -> Iterator[Callable[..., ProxyHost]]:
    """Make proxies that are gone after the test."""
    made: list[ProxyHost] = []

    def make(style: Style = Style.SYSV, **options: Any) -> ProxyHost:
        name = f"proxy-{len(network.hosts)}"
        proxy = ProxyHost(network, name, style, **haproxy | options)
        made.append(proxy)
        return proxy

    yield make
    for proxy in made:
        proxy.close()
