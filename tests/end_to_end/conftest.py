"""One whole system for all tests of this folder: deployed stack, two proxies, a pool that each test finds settled."""

import os
from collections.abc import Iterator
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]  # ships no types

from local.lab import Style
from local.system import LocalSystem, Proxy

PARAMETERS = {"DriftCheckMinutes": "0.25", "HoldMinutes": "2"}
POOL = (2, 3)
"""A test may rely on two backends and finds no more than three."""


class TwoGroups(LoadScopeScheduling):  # type: ignore[misc]  # as above
    """The demo in one worker, all tests that share the system in another."""

    def _split_scope(self, nodeid: str) -> str:
        return "demo" if "test_demo" in nodeid else "system"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> TwoGroups:
    """Pytest-xdist's own marks for groups do nothing with this pytest."""
    return TwoGroups(config, log)


@pytest.fixture(scope="session")
def deployed() -> Iterator[LocalSystem]:
    """The system: SysV and master-worker HAProxy, each in a zone of its own."""
    if os.geteuid() != 0:
        pytest.fail("tests/end_to_end make network namespaces and run HAProxy: run them as root")
    with LocalSystem(PARAMETERS) as system:
        system.launch_proxy(Style.SYSV)
        system.launch_proxy(Style.MASTER_WORKER, "ap-southeast-2b")
        yield system


@pytest.fixture
def system(deployed: LocalSystem) -> LocalSystem:
    """The system at rest, serving a pool of two or three backends through both proxies."""
    fewest, most = POOL
    for instance_id in list(deployed.backends)[most:]:
        deployed.terminate(instance_id)
    while len(deployed.backends) < fewest:
        deployed.launch_backend()
    deployed.wait_until_serving(*deployed.backends.values())
    deployed.wait_until("rest", lambda: is_at_rest(deployed))
    return deployed


def is_at_rest(system: LocalSystem) -> bool:
    """Nothing is held, frozen or under way, and the pool is what was launched."""
    status = system.status()
    is_calm = status["converged"] and not (status["hold"] or status["freeze"] or status["rollout"]["commands"])
    return is_calm and set(status["backends"]) == set(system.backends) and set(status["proxies"]) == set(system.proxies)


def workers(system: LocalSystem) -> dict[str, int]:
    """The HAProxy process that serves on each proxy; another one after each reload."""
    return {proxy.instance_id: proxy.host.worker for proxy in system.proxies.values()}


def config(proxy: Proxy) -> str:
    """The live file."""
    return proxy.host.read("/etc/haproxy/haproxy.cfg")
