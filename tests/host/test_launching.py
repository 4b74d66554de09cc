"""What the launcher finds on a host, and that nothing has changed where it does not run the program."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from local.agent.host import PRIVATE
from local.lab import BackendHost, ProxyHost, Style
from tests.host.apply_step import (
    CONFIG,
    PLACE,
    ApplyStep,
    config,
    leftovers,
    method_that_adds,
    state_of,
    stateful,
)

type MakeProxy = Callable[..., ProxyHost]

PYTHONS = ("python3", *(f"python3.{minor}" for minor in range(8, 15)))
PROGRAM = f"{PLACE.downloads}/haproxy_apply.zip"


@pytest.mark.fault("F103")
def test_a_host_without_python_is_left_alone(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...]
) -> None:
    """It says so by the same marker as everything else."""
    proxy = make_proxy(Style.MASTER_WORKER, hidden=PYTHONS)
    proxy.start(config(backends[0]))
    worker = proxy.worker
    answer = ApplyStep(proxy).run(config(*backends))
    assert answer.says("failed", "no-python"), answer
    assert (answer.status, answer["generation"]) == (16, 1)
    assert proxy.read(CONFIG) == config(backends[0])
    assert (proxy.worker, leftovers(proxy)) == (worker, [])


@pytest.mark.fault("F98")
@pytest.mark.parametrize(
    ("content", "status", "reason"),
    [
        (None, 14, "program-missing"),
        (b"PK\x05\x06" + bytes(18), 15, "program-mismatch"),
    ],
    ids=["missing", "swapped"],
)
def test_no_other_program_runs(
    make_proxy: MakeProxy,
    backends: tuple[BackendHost, ...],
    content: bytes | None,
    status: int,
    reason: str,
) -> None:
    """Whatever lies in the bucket, and whoever put it there."""
    proxy = make_proxy()
    proxy.start(config(backends[0]))
    step = ApplyStep(proxy)
    proxy.path(PROGRAM).unlink()
    if content is not None:
        proxy.write(PROGRAM, content, mode=PRIVATE)
    answer = step.run(config(*backends))
    assert answer.says("failed", reason), answer
    assert answer.status == status
    assert proxy.read(CONFIG) == config(backends[0])


def test_an_older_python_beside_a_newer_one_is_passed_over(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...]
) -> None:
    """As on a distribution whose own python3 is too old for anybody's programs."""
    proxy = make_proxy()
    proxy.start(config(backends[0]))
    real = proxy.run(["readlink", "-f", "/usr/bin/python3"]).stdout.strip()
    proxy.write("/usr/local/bin/python3.14", f'#!/bin/sh\nexec {real} "$@"\n', 0o755)
    proxy.write("/usr/local/bin/python3", "#!/bin/sh\necho 3.6; exit 1\n", 0o755)
    answer = ApplyStep(proxy).run(config(*backends))
    assert answer["reason"] != "no-python"
    assert answer.stderr == ""


def test_nothing_else_is_needed(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...], haproxy: dict[str, Any]
) -> None:
    """A shell and sha256sum for the launcher, Python, HAProxy: without any tool the step copies, asks and waits."""
    proxy = make_proxy(Style.DAEMON)
    proxy.start(stateful(backends[0]))
    step = ApplyStep(proxy)
    shell = Path("/bin/sh").resolve().name
    needed = {"sh", shell, "env", "kill", "sha256sum", "nft", "haproxy"}
    for directory in ("/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin"):
        for tool in proxy.path(directory).iterdir():
            is_needed = tool.name in needed or tool.name.startswith("python3")
            if not is_needed and not tool.is_dir():
                tool.unlink()
    for hosts, method, done in (
        (backends[:2], "syn-drop", "syn-drop"),
        (backends, "runtime", method_that_adds(haproxy)),
        (backends[1:], "seamless", "seamless"),
    ):
        answer = step.run(stateful(*hosts), ReloadMethod=method)
        assert answer.says("installed", "changed", done), answer
        assert answer["notes"] == ""
    assert set(state_of(proxy)) == {"app-2", "app-3"}
