"""Every command of `haproxy-ec2-sync`, typed against the deployed stack with the part of the policy that it needs."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from haproxy_ec2_sync.app import app
from haproxy_ec2_sync.desk import VARIABLES
from local.demo import PLAN_HAS_CHANGES
from local.deployment import CONFIG_ENVIRONMENT, PROJECT
from local.system import LocalSystem
from tests.end_to_end.conftest import credentials, running

SECONDS = 180


@dataclass(frozen=True)
class Command:
    """What is typed, how it ends, and a part of what is read then."""

    words: str
    shows: str
    status: int = 0


COMMANDS = (
    Command("status", " is healthy, in sync"),
    Command("status --fresh", " is healthy, in sync"),
    Command("plan", "No changes."),
    Command("check", "Check: 2 the same, 0 to change, 0 refused."),
    Command("check --proxy {proxy}", "Check: 1 the same, 0 to change"),
    Command("history --diff", "Generation {generation}, "),
    Command("diff {generation}", "Generation {generation}, "),
    Command("diff {fence} --fence --against 0", "No changes."),
    Command("doctor", "every agent is online"),
    Command("completion fish", "_HAPROXY_EC2_SYNC_COMPLETE=fish_complete"),
    Command("sync --reason tidy", "commands: "),
    Command("sync --wait", "generation: "),
    # To which proxies depends on the drift checks: none within the spacing of the last command.
    Command("verify", "commands: "),
    Command("verify --wait", "commands: "),
    Command("inspect", "generation: "),
    Command("wait", "2 of 2 proxies after "),
    Command("wait --no-sync --allow-attention", "2 of 2 proxies after "),
    Command("freeze --minutes 5 --reason move", ": move"),
    Command("unfreeze --wait", "generation: "),
    Command("rollback {generation} --yes", "generation: "),
    Command("logs --since 1h", " INFO     look  why="),
    Command("logs --since 1h --grep START", " START RequestId: "),
    Command("logs --since 1h --errors --json", ""),
    Command("rollback 1000000000 --yes", "", status=1),
    Command("rollback 1", "", status=1),
    Command("unfreeze --adopt", "", status=1),
)
"""In a pipeline, where nobody can be asked."""

ALLOWED = ("FindStack", "Operate")
"""Statements of the policy in docs/command-line.md that all commands do with but these."""

ALLOWED_MORE = {"logs": ("FindStack", "Logs"), "doctor": ()}
"""Doctor takes the whole policy, of which test_doctor.py has more."""

OWNER = {"AWS_ACCESS_KEY_ID": "owner", "AWS_SECRET_ACCESS_KEY": "owner"}


def type_(
    system: LocalSystem,
    words: str,
    stdin: int = subprocess.DEVNULL,
    credentials: Mapping[str, str] = OWNER,
) -> subprocess.CompletedProcess[str]:
    """Run one command in the project's folder, with no setting of AWS but these keys."""
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith("AWS_")
    }
    screen = {"PYTHONPATH": str(PROJECT / "cli"), "COLUMNS": "160"}
    target = {
        f"{VARIABLES}ENV": CONFIG_ENVIRONMENT,
        f"{VARIABLES}ENDPOINT_URL": system.stack.endpoint,
    }
    return subprocess.run(
        [sys.executable, "-m", "haproxy_ec2_sync", *words.split()],
        cwd=PROJECT,
        env=inherited | {**credentials} | screen | target,
        stdin=stdin,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def _known(system: LocalSystem) -> dict[str, Any]:
    """What commands name: the numbers of the status, and a proxy."""
    status = system.status()
    return status | {"proxy": min(status["proxies"])}


@pytest.fixture
def thawed(system: LocalSystem) -> Iterator[LocalSystem]:
    """The system at rest, in which no freeze is left behind."""
    yield system
    system.invoke({"action": "unfreeze"})


@pytest.fixture(scope="module")
def operators(deployed: LocalSystem) -> Mapping[str, Mapping[str, str]]:
    """Credentials of a role for each command that needs rights of its own, and one for the others."""
    return {
        name: credentials(deployed, f"operates-{name}", *statements)
        for name, statements in {"others": ALLOWED, **ALLOWED_MORE}.items()
    }


@contextmanager
def terminal(answer: str) -> Iterator[int]:
    """A terminal at which somebody has typed this."""
    person, program = os.openpty()
    os.write(person, answer.encode())
    yield program
    os.close(person)
    os.close(program)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: str(command.words))
def test_a_command_does_what_it_says(
    command: Command,
    thawed: LocalSystem,
    operators: Mapping[str, Mapping[str, str]],
) -> None:
    """With its part of the policy of docs/command-line.md. A person reads it; what goes wrong is one line."""
    known = _known(thawed)
    name = command.words.split()[0]
    keys = operators.get(name, operators["others"])
    done = type_(thawed, command.words.format_map(known), credentials=keys)
    assert done.returncode == command.status, done.stdout + done.stderr
    assert command.shows.format_map(known) in done.stdout, done.stdout + done.stderr
    if done.returncode:
        assert len(done.stderr.splitlines()) == 1


def test_every_command_is_typed() -> None:
    """A new one needs a line here."""
    assert {each.words.split()[0] for each in COMMANDS} == set(app.commands)


def test_plan_of_changes_has_an_exit_code_of_its_own(thawed: LocalSystem) -> None:
    """And totals; `status` goes on as before, since nothing is done."""
    thawed.invoke({"action": "freeze", "minutes": 5})
    backend = thawed.launch_backend()

    def is_planned() -> bool:
        """EC2 shows it as running."""
        planned = thawed.invoke({"action": "plan"})["servers"]["added"]
        return backend.instance_id in planned

    thawed.wait_until("the launched backend in the plan", is_planned)
    plan = type_(thawed, "plan")
    assert plan.returncode == PLAN_HAS_CHANGES, plan.stderr
    assert f"+ application/{backend.name}" in plan.stdout
    assert "Plan: 1 to add, 0 to change, 0 to remove." in plan.stdout
    assert type_(thawed, "status").returncode == 0


def test_without_its_part_of_the_policy_a_command_is_refused(
    thawed: LocalSystem, operators: Mapping[str, Mapping[str, str]]
) -> None:
    """By AWS, which is told in a line."""
    refused = type_(thawed, "logs", credentials=operators["others"])
    assert refused.returncode == 1
    assert "AccessDenied" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


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
