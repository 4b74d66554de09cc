"""The documents' commands for operators, as they stand there."""

import json
import os
import re
import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from haproxy_ec2_sync.app import app
from haproxy_ec2_sync.desk import NAME, VARIABLES
from local.command_line import COMMAND
from local.demo import PLAN_HAS_CHANGES
from local.deployment import CONFIG_ENVIRONMENT, PROJECT, SAM, settings
from local.system import LocalSystem
from tests.documents import DOCUMENTS, commands

COMMANDS = commands("\n".join(DOCUMENTS.values()), "sam")
OURS = commands("\n".join(DOCUMENTS.values()), NAME)
# The README's table of actions has them without the program's name.
ACTIONS = [
    f"{NAME} {words}"
    for words in re.findall(r"^\| `([^`]+)` \| ", DOCUMENTS["README.md"], re.MULTILINE)
    if words.split()[0] in app.commands
]
TYPED = {*OURS, *(each for each in ACTIONS if f"{each} --env staging" not in OURS)}
READING = {"status", "plan", "check", "history", "diff", "logs", "doctor", "completion"}
ACTING = {command for command in TYPED if command.split()[1] not in READING}
COMPLETION = re.findall(r"^eval .*$", DOCUMENTS["command-line.md"], re.MULTILINE)
SECONDS = 120
ENDLESS = re.compile("--follow|--watch")
"""What goes on until Ctrl-C, which is typed after some seconds."""

INTERRUPTED = 130
PROXIES = ("edge-1", "edge-2")
"""As the documents call proxies."""


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """The project's folder of somebody whose `default` environment is in another region than staging.

    Production is another name for staging there, as the account has one stack.
    """
    text = (PROJECT / "samconfig.toml").read_text()
    name = settings()["stack_name"]
    text = text.replace(name.replace("staging", "production"), name)
    default, rest = text.split("\n[staging.", 1)
    (tmp_path / "samconfig.toml").write_text(
        f"{default.replace(settings()['region'], 'eu-west-1')}\n[staging.{rest}"
    )
    (tmp_path / "events").symlink_to(PROJECT / "events")
    (tmp_path / ".config/fish/completions").mkdir(parents=True)
    return tmp_path


def _typed(
    command: str, desk: Path, system: LocalSystem, answer: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run a command line with the credentials of the account's owner and no other setting of AWS."""
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith("AWS_")
    }
    aws = {
        "HOME": str(desk),
        "SHELL": "/bin/bash",
        f"{VARIABLES}ENV": CONFIG_ENVIRONMENT,
        "PATH": f"{COMMAND.parent}:{SAM.parent}:{os.environ['PATH']}",
        "AWS_ENDPOINT_URL": system.stack.endpoint,
        "AWS_ACCESS_KEY_ID": "owner",
        "AWS_SECRET_ACCESS_KEY": "owner",
        "SAM_CLI_TELEMETRY": "0",
    }
    return subprocess.run(
        ["bash", "-c", command],
        cwd=desk,
        env=inherited | aws,
        input=answer,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


@pytest.mark.parametrize(
    "command",
    [command for command in COMMANDS if command.startswith("sam remote invoke ")],
)
def test_sam_remote_invoke_reaches_the_function(
    command: str, desk: Path, system: LocalSystem
) -> None:
    """Whatever the region of the first table of samconfig.toml, the staging stack answers."""
    done = _typed(command, desk, system)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["environment"] == system.environment


def _filled(command: str, status: Mapping[str, Any]) -> str:
    """With the numbers of a publication and the names of proxies that there are, for those of the document."""
    fence = rf"\g<1>{status['fence']}"
    command = re.sub(r"(--fence )(\d+|\.\.\.|<\w+>)", fence, command)
    command = re.sub(r"(diff )\d+(?= --fence)", fence, command)
    for proxy, named in zip(status["proxies"].values(), PROXIES, strict=False):
        command = command.replace(named, proxy["name"])
    generation = rf"\g<1>{status['generation']}"
    return re.sub(
        r"((?:diff|rollback|--generation) )(\d{1,6}\b|<\w+>)", generation, command
    )


def _ends_well(command: str, desk: Path, system: LocalSystem) -> str:
    """Type it at a terminal, where whoever is asked whether they mean it says yes; what is wrong, or nothing."""
    command = _filled(command, system.status())
    is_endless = ENDLESS.search(command) is not None
    if is_endless:
        command = f"timeout --foreground --preserve-status --signal=INT 8 {command}"
    # Zsh has that folder; bash counts from 0.
    line = shlex.quote(f'fpath=(. "$HOME"); {command}')
    done = _typed(f"script -qec {line} /dev/null", desk, system, "y\n")
    allowed = {INTERRUPTED} if is_endless else {0}
    if command.startswith((f"{NAME} plan", f"{NAME} check")):
        allowed |= {PLAN_HAS_CHANGES}
    return "" if done.returncode in allowed else f"{command}:\n{done.stdout}"


def test_our_own_reading_commands_as_they_stand_there(
    desk: Path, system: LocalSystem
) -> None:
    """One after the other: none leaves anything behind."""
    found = [_ends_well(command, desk, system) for command in TYPED - ACTING]
    assert "".join(found) == ""


@pytest.mark.parametrize("command", sorted(ACTING))
def test_our_own_command_as_it_stands_there(
    command: str, desk: Path, system: LocalSystem
) -> None:
    """From a system at rest."""
    try:
        assert _ends_well(command, desk, system) == ""
    finally:
        system.invoke({"action": "unfreeze"})


def test_completion_is_switched_on_as_it_stands_there(
    desk: Path, system: LocalSystem
) -> None:
    """Bash knows the command then."""
    assert len(COMPLETION) == 1
    done = _typed(f"{COMPLETION[0]}; complete -p {NAME}", desk, system)
    assert done.stdout.endswith(f" {NAME}\n"), done.stderr


@pytest.mark.parametrize(
    "command", [command for command in COMMANDS if command.startswith("sam delete")]
)
def test_sam_delete_means_that_stack(
    command: str, desk: Path, system: LocalSystem
) -> None:
    """It asks before it deletes; the question names the stack and region of staging."""
    done = _typed(command, desk, system, answer="n\n")
    stack = settings()
    asked = re.sub(r"\s+", " ", done.stdout)
    assert f"stack {stack['stack_name']} in the region {stack['region']}" in asked, (
        done.stdout + done.stderr
    )
    assert system.status()["environment"] == system.environment


def test_there_are_such_commands() -> None:
    """The README tells how to ask for a plan and how to end it all."""
    assert {"remote", "delete"} <= {command.split()[1] for command in COMMANDS}
    assert {command.split()[1] for command in OURS} == set(app.commands)
    named = {command.split()[1] for command in ACTIONS}
    assert named == set(app.commands) - {"completion"}
