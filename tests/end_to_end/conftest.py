"""One whole system for all tests of this folder: deployed stack, two proxies, a pool that each test finds settled."""

import os
from collections.abc import Iterator

import pytest

from local.lab import Style
from local.system import LocalSystem, Proxy

PARAMETERS = {"DriftCheckMinutes": "0.25", "HoldMinutes": "2"}
POOL = (2, 3)
"""A test may rely on two backends and finds no more than three."""


@pytest.hookimpl(tryfirst=True)  # pytest-xdist reads the marks in the same hook
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All tests that share the system run in one worker."""
    for item in items:
        if "system" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("system"))


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
