"""Why does nothing happen, typed by an operator: all is right, then some parts are not."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from local.deployment import CONFIG_ENVIRONMENT, PROJECT, settings
from local.system import DEADLINE_SECONDS, LocalSystem
from tests.end_to_end.conftest import credentials

SECONDS = 120

type Lines = list[dict[str, Any]]


OWNER: dict[str, str] = {"AWS_ACCESS_KEY_ID": "owner", "AWS_SECRET_ACCESS_KEY": "owner"}


def _doctor(system: LocalSystem, keys: dict[str, str] = OWNER) -> tuple[int, Lines]:
    """The exit code and the lines of the command, with these credentials and no other setting of AWS."""
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith("AWS_")
    }
    done = subprocess.run(
        [
            *(sys.executable, "-m", "haproxy_ec2_sync", "doctor", "--json"),
            *("--env", CONFIG_ENVIRONMENT, "--endpoint-url", system.stack.endpoint),
        ],
        cwd=PROJECT,
        env=inherited | {"PYTHONPATH": str(PROJECT / "cli")} | keys,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.stderr == ""
    return done.returncode, json.loads(done.stdout)


def _not_right(found: Lines) -> dict[str, str]:
    """The first of each check that is not."""
    return {line["check"]: line["detail"] for line in reversed(found) if not line["ok"]}


def _all_is_right(system: LocalSystem) -> bool:
    status, found = _doctor(system)
    assert (status == 0) == (not _not_right(found))
    return status == 0


def _wait_until_named(
    system: LocalSystem, check: str, words: str, seconds: float = DEADLINE_SECONDS
) -> None:
    """Wait until a check says the words, with what to do, and the command fails."""

    def is_named() -> bool:
        status, found = _doctor(system)
        lines = [line for line in found if line["check"] == check and not line["ok"]]
        named = [line for line in lines if words in line["detail"]]
        return status == 1 and any(line["advice"] for line in named)

    system.wait_until(f"{check}: {words}", is_named, seconds)


@contextmanager
def _undone(undo: Callable[[], object]) -> Iterator[None]:
    """The tests that follow find all as it was."""
    try:
        yield
    finally:
        undo()


def test_each_trouble_is_named(system: LocalSystem) -> None:
    """A disabled rule, a mistyped tag and an agent that stops; before and after, all is right and the exit code 0."""
    system.wait_until("all is right", lambda: _all_is_right(system))
    events, cloudformation = (
        system.stack.client("events"),
        system.stack.client("cloudformation"),
    )
    resources = cloudformation.describe_stack_resource(
        StackName=settings()["stack_name"], LogicalResourceId="UploadRule"
    )
    rule = resources["StackResourceDetail"]["PhysicalResourceId"]
    with _undone(lambda: events.enable_rule(Name=rule)):
        events.disable_rule(Name=rule)
        _wait_until_named(system, "rules", f"{rule} is DISABLED")

    backend = next(iter(system.backends.values()))
    with _undone(lambda: system.tag({"Type": "tomcat"}, backend.instance_id)):
        system.tag({"Type": "Tomcat"}, backend.instance_id)
        _wait_until_named(
            system, "tags", "near-miss 'Type'='Tomcat', expected 'tomcat'"
        )

    proxy = next(iter(system.proxies.values()))
    with _undone(lambda: system.start_agent(proxy)):
        system.stop_agent(proxy)
        _wait_until_named(system, "agents", f"ConnectionLost: {proxy.host.name}")

    system.wait_until("all is right again", lambda: _all_is_right(system))


def test_the_documents_policy_is_enough(system: LocalSystem) -> None:
    """An operator who has it alone finds all right, too; without doctor's part each line says what is missing."""
    system.wait_until("all is right", lambda: _all_is_right(system))
    operator = credentials(system, "operator")
    status, found = _doctor(system, operator)
    assert (status, _not_right(found)) == (0, {})
    little = credentials(system, "who-asks", "FindStack", "Operate")
    status, found = _doctor(system, little)
    refused = {line["check"] for line in found if line["ok"] is None}
    assert status == 1
    assert {line["check"] for line in found if line["ok"]} >= {"stack", "health"}
    assert refused >= {"function", "rules", "queue", "bucket", "agents", "endpoints"}
    assert {line["advice"][:18] for line in found if line["ok"] is None} == {
        "ask for the right "
    }
