"""The README is held to the code: commands, links, tables."""

import json
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from haproxy_ec2_sync.app import app
from haproxy_sync.operator import actions

PROJECT = Path(__file__).parents[2]
README = (PROJECT / "README.md").read_text()
CONSOLE = re.findall(r"```console\n(.*?)```", README, re.DOTALL)
TYPED = {
    line[2:].split(" #")[0].strip() for block in CONSOLE for line in block.splitlines()
}
COMMANDS = sorted(TYPED | set(re.findall(r"`(make [^`]+)`", README)))

# What runs each command for real, and its words there; a new one needs a line here, and a test.
RUN_BY = {
    "make test": (".ci/run", "make test"),
    "make demo": ("tests/end_to_end/test_sudo_user.py", '"make demo"'),
    # A part of `make test`.
    "make lint": (
        "Makefile",
        "test: setup setup-ansible setup-pythons build lint",
    ),
    "make demo KEEP=1": ("tests/end_to_end/test_demo.py", '"--keep"'),
    "make invoke EVENT=events/status.json": (
        "tests/end_to_end/test_demo.py",
        "events/status.json",
    ),
    "make invoke EVENT=events/plan.json": (
        "tests/end_to_end/test_demo.py",
        "events/plan.json",
    ),
    "uv tool install .": (
        "tests/end_to_end/test_sudo_user.py",
        '"uv tool install ."',
    ),
    "haproxy-ec2-sync status --env staging": (
        "tests/end_to_end/test_operator_commands.py",
        "OURS = commands(",
    ),
    "sam build": ("Makefile", "$(SAM) build"),  # a part of `make test`
    # By each end-to-end test.
    "sam deploy --config-env staging": (
        "local/deployment.py",
        '"deploy"',
    ),
    "make template-test TEMPLATE=haproxy.cfg.j2": (
        "tests/end_to_end/test_sudo_user.py",
        "make template-test",
    ),
    "aws s3 cp haproxy.cfg.j2 s3://<bucket>/templates/staging/haproxy.cfg.j2": (
        "tests/end_to_end/test_template.py",
        "put_object",
    ),
    "aws cloudformation describe-stacks --stack-name haproxy-ec2-sync-staging --query 'Stacks[0].Outputs'": (
        "local/stack.py",
        "describe_stacks",
    ),
}


class _Cloudformation(yaml.SafeLoader):
    """Reads a template; what an intrinsic says does not matter here."""


_Cloudformation.add_multi_constructor(
    "!", lambda _loader, _suffix, node: str(node.value)
)


def _table(heading: str) -> list[list[str]]:
    """Cells of the first table after the heading."""
    section = README.split(f"{heading}\n", 1)[1].split("\n## ", 1)[0]
    rows = [line for line in section.splitlines() if line.startswith("| ")][1:]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def test_every_command_is_run_by_a_test() -> None:
    """No command stands in the README that nobody runs."""
    assert sorted(RUN_BY) == COMMANDS
    assert [
        path
        for path, words in RUN_BY.values()
        if words not in (PROJECT / path).read_text()
    ] == []


@pytest.mark.parametrize(
    "command", [command for command in COMMANDS if command.startswith("make ")]
)
def test_make_knows_the_target(command: str) -> None:
    """Every make command names a target and variables that exist."""
    subprocess.run(
        [*shlex.split(command), "--dry-run"],
        cwd=PROJECT,
        check=True,
        capture_output=True,
    )
    variables = re.findall(r"\b([A-Z]+)=", command)
    assert all(
        re.search(rf"\b{name}\)", (PROJECT / "Makefile").read_text())
        for name in variables
    )


def test_every_link_leads_somewhere() -> None:
    """Links and named samples exist."""
    paths = [
        *re.findall(r"\]\(([^)#]+)\)", README),
        *re.findall(r"events/[a-z-]+\.json", README),
    ]
    assert paths
    assert [path for path in paths if not (PROJECT / path).exists()] == []


def test_parameters_are_those_of_the_template() -> None:
    """Names and defaults in the parameter table are the template's."""
    text = (PROJECT / "template.yaml").read_text()
    template = yaml.load(text, _Cloudformation)  # noqa: S506 # ours
    parameters = template["Parameters"]
    for names, defaults, _ in _table("## Deploy to AWS"):
        for name, default in zip(names.split(", "), defaults.split(", "), strict=True):
            parameter: dict[str, Any] = parameters[name.strip("`")]
            assert str(parameter.get("Default", "none")) == default.strip("`"), name


def test_actions_are_those_of_the_function() -> None:
    """The table has every action, with options that it takes."""
    seen = set()
    for _, cell, _ in _table("## Operator actions"):
        for text in re.findall(r"`(\{.*?\})`", cell):
            request = json.loads(text)
            action = actions.ACTIONS[request.pop("action")]
            assert set(request) <= set(action.options)
            seen.add(json.loads(text)["action"])
    assert seen == set(actions.ACTIONS)


def test_commands_are_those_of_the_command_line() -> None:
    """The table has every command but that for shells, with options that it has."""
    seen = set()
    for cell, _, _ in _table("## Operator actions"):
        name, *words = cell.strip("`").split()
        known = {option for each in app.commands[name].params for option in each.opts}
        assert {word for word in words if word.startswith("--")} <= known
        seen.add(name)
    assert seen == set(app.commands) - {"completion"}
