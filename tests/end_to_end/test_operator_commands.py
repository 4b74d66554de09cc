"""The documents' commands for operators, as they stand there."""

import json
import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from local.command_line import COMMAND
from local.demo import PLAN_HAS_CHANGES
from local.deployment import PROJECT, SAM, settings
from local.system import LocalSystem
from tests.documents import DOCUMENTS, commands

COMMANDS = commands("\n".join(DOCUMENTS.values()), "sam")
# Those of docs/command-line.md are its own tests' matter.
OURS = commands(
    "\n".join(text for name, text in DOCUMENTS.items() if name != "command-line.md"),
    "haproxy-ec2-sync",
)


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """The project's folder of somebody whose `default` environment is in another region than staging."""
    text = (PROJECT / "samconfig.toml").read_text()
    default, rest = text.split("\n[staging.", 1)
    (tmp_path / "samconfig.toml").write_text(
        f"{default.replace(settings()['region'], 'eu-west-1')}\n[staging.{rest}"
    )
    (tmp_path / "events").symlink_to(PROJECT / "events")
    return tmp_path


def _typed(
    command: str, desk: Path, system: LocalSystem, answer: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run a command line with the credentials of the account's owner and no other setting of AWS."""
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith("AWS_")
    }
    aws = {
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
        timeout=120,
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


@pytest.mark.parametrize("command", OURS)
def test_our_own_command_as_it_stands_there(
    command: str, desk: Path, system: LocalSystem
) -> None:
    """At a terminal, where whoever is asked whether they mean it says yes."""
    if "rollback" in command:
        command = re.sub(
            r"rollback \d+", f"rollback {system.status()['generation']}", command
        )
    try:
        done = _typed(
            f"script -qec {shlex.quote(command)} /dev/null", desk, system, "y\n"
        )
    finally:
        system.invoke({"action": "unfreeze"})
    has_changes = command.split()[1] == "plan" and done.returncode == PLAN_HAS_CHANGES
    assert done.returncode == 0 or has_changes, done.stdout


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
    assert {"status", "plan"} <= {command.split()[1] for command in OURS}
