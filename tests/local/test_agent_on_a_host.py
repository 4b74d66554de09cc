"""The agent stand-in on a host of the lab: other files, other network, other processes than this machine's."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from local.lab import Host, Network, wait_until
from tests.local.agent_runner import Runner, ended, finished, step

DATA = "/var/lib/amazon/ssm"


@pytest.fixture
def host() -> Iterator[Host]:
    """A machine of its own."""
    with Network() as network, Host(network, "proxy") as machine:
        yield machine


def test_a_script_runs_where_the_host_is(host: Host) -> None:
    """It sees the host's name, address and files, in the agent's surroundings, and leaves its script there."""
    runner = Runner(Path(DATA), host)
    with runner.agent:
        result = runner.run(
            step("apply", "hostname; pwd; echo ${HOME-none}; umask", "ip -4 -o address")
        )
    output = result.steps[0].stdout
    assert output.startswith("proxy\n/usr/bin\nnone\n0022\n")
    assert str(host.ipv4) in output
    assert "hostname" in host.read(
        f"{DATA}/i-1/document/orchestration/command-1/apply/_script.sh"
    )
    assert not Path(f"{DATA}/i-1/document/orchestration/command-1").exists()


@pytest.mark.fault("F62")
def test_a_kill_reaches_everything_on_the_host(host: Host) -> None:
    """A cancel kills the script and its background children there; what has a session of its own goes on."""
    runner = Runner(Path(DATA), host)
    lines = (
        # It says itself when it has left the group: before, the kill would rightly reach it.
        "setsid sh -c 'touch /run/left; exec sleep 4321' >/dev/null 2>&1 </dev/null &",
        "sleep 1234 & sleep 1235 & touch /run/started",
        "wait",
    )
    with runner.agent:
        execution = runner.start(step("apply", *lines))
        for name in ("left", "started"):
            wait_until(host.path(f"/run/{name}").exists, what=name)
        wait_until(lambda: len(_sleeping(host)) == 3, what="three sleeps")
        execution.cancel()
        result = finished(execution)
    assert ended(result) == [("Cancelled", 137)]
    wait_until(lambda: len(_sleeping(host)) == 1, what="the end of the group")
    assert _sleeping(host) == ["sleep 4321"]


def _sleeping(host: Host) -> list[str]:
    lines = host.run(["pgrep", "-a", "-x", "sleep"], check=False).stdout.splitlines()
    return [line.split(maxsplit=1)[1] for line in lines]


@pytest.mark.fault("F96")
def test_a_noexec_data_directory_shows_in_the_report(host: Host) -> None:
    """The script cannot start: code 126."""
    host.run(["mount", "-t", "tmpfs", "-o", "noexec", "agent", "/var/lib"])
    runner = Runner(Path(DATA), host)
    with runner.agent:
        assert ended(runner.run(step("apply", "#!/bin/bash", "true"))) == [
            ("Failed", 126)
        ]
