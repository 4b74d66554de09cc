"""Every command of `haproxy-ec2-sync`, typed against the deployed stack with the credentials of the account's owner."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from local.deployment import CONFIG_ENVIRONMENT, PROJECT
from local.system import LocalSystem
from tests.end_to_end.conftest import running

SECONDS = 180


@dataclass(frozen=True)
class Command:
    """What is typed, how it ends, and a part of what is read then."""

    words: str
    shows: str
    status: int = 0


COMMANDS = (
    Command("sync --reason tidy", "commands: "),
    Command("sync --wait", "generation: "),
    Command("verify", "commands: verify to "),
    Command("verify --wait", "commands: verify to "),
    Command("inspect", "generation: "),
    Command("wait", "2 of 2 proxies after "),
    Command("wait --no-sync --allow-attention", "2 of 2 proxies after "),
    Command("freeze --minutes 5 --reason move", ": move"),
    Command("unfreeze --wait", "generation: "),
    Command("logs --since 1h", " INFO     look  why="),
    Command("logs --since 1h --grep START", " START RequestId: "),
    Command("logs --since 1h --errors --json", ""),
    Command("rollback 1000000000 --yes", "", status=1),
    Command("rollback 1", "", status=1),
    Command("unfreeze --adopt", "", status=1),
)
"""In a pipeline, where nobody can be asked."""


def type_(
    system: LocalSystem, words: str, stdin: int = subprocess.DEVNULL
) -> subprocess.CompletedProcess[str]:
    """Run one command in the project's folder, with no setting of AWS but the owner's keys."""
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith("AWS_")
    }
    owner = {"AWS_ACCESS_KEY_ID": "owner", "AWS_SECRET_ACCESS_KEY": "owner"}
    program = [sys.executable, "-m", "haproxy_ec2_sync", *words.split()]
    return subprocess.run(
        [
            *program,
            *("--env", CONFIG_ENVIRONMENT),
            *("--endpoint-url", system.stack.endpoint),
        ],
        cwd=PROJECT,
        env=inherited | owner | {"PYTHONPATH": str(PROJECT / "cli"), "COLUMNS": "160"},
        stdin=stdin,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


@pytest.fixture
def thawed(system: LocalSystem) -> Iterator[LocalSystem]:
    """The system at rest, in which no freeze is left behind."""
    yield system
    system.invoke({"action": "unfreeze"})


@contextmanager
def terminal(answer: str) -> Iterator[int]:
    """A terminal at which somebody has typed this."""
    person, program = os.openpty()
    os.write(person, answer.encode())
    yield program
    os.close(person)
    os.close(program)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: str(command.words))
def test_a_command_does_what_it_says(command: Command, thawed: LocalSystem) -> None:
    """A person reads it; what goes wrong is one line."""
    done = type_(thawed, command.words)
    assert done.returncode == command.status, done.stdout + done.stderr
    assert command.shows in done.stdout, done.stdout + done.stderr
    if done.returncode:
        assert len(done.stderr.splitlines()) == 1


def test_wait_after_a_change_ends_when_clients_have_it(thawed: LocalSystem) -> None:
    """As in a pipeline: the instance is there a moment ago, and no event has told of it yet."""
    backend = thawed.launch_backend()
    done = type_(thawed, "wait --json")
    assert done.returncode == 0, done.stderr
    status = json.loads(done.stdout)
    assert backend.instance_id in status["backends"]
    assert {proxy["sync"] for proxy in status["proxies"].values()} == {"synced"}
    for config, _ in running(thawed).values():
        assert backend.host.ipv4.compressed in config


def test_rollback_asks_at_a_terminal_and_waits(thawed: LocalSystem) -> None:
    """A no changes nothing; a yes brings the config that was shown to every proxy."""
    before = {key: config for key, (config, _) in running(thawed).items()}
    generation = thawed.status()["generation"]
    backend = thawed.launch_backend()
    assert type_(thawed, "sync --wait").returncode == 0
    with terminal("n\n") as stdin:
        refused = type_(thawed, f"rollback {generation}", stdin)
    assert refused.returncode == 1
    assert "nothing was done" in refused.stderr
    with terminal("y\n") as stdin:
        done = type_(thawed, f"rollback {generation} --wait", stdin)
    assert done.returncode == 0, done.stderr
    assert f"- application/{backend.name}" in done.stderr
    assert {key: config for key, (config, _) in running(thawed).items()} == before
