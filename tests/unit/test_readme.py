"""The README is held to the code: commands, links, tables."""

import json
import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from haproxy_ec2_sync.app import app
from haproxy_sync.operator import actions
from local.__main__ import main
from local.system import newest
from tests import readme
from tests.documents import DOCUMENTS, commands

PROJECT = Path(__file__).parents[2]
README = readme.README
TYPED = set(readme.typed())
COMMANDS = sorted(TYPED | set(re.findall(r"`(make [^`]+)`", README)))

# What runs each command for real, and its words there; a new one needs a line here, and a test.
RUN_BY = {
    "make test": (".ci/run", "make test"),
    "make demo": ("tests/end_to_end/test_sudo_user.py", '"make demo"'),
    # A part of `make test`.
    "make lint": (
        "Makefile",
        "test: $(SETUPS) build lint",
    ),
    "make demo KEEP=1": ("tests/end_to_end/test_demo.py", '"--keep"'),
    "make invoke EVENT=events/status.json": (
        "tests/end_to_end/test_demo.py",
        '"make invoke "',
    ),
    "make invoke EVENT=events/plan.json": (
        "tests/end_to_end/test_demo.py",
        '"make invoke "',
    ),
    "make launch": ("tests/end_to_end/test_demo.py", '"make launch"'),
    "make launch TYPE=haproxy": (
        "tests/end_to_end/test_demo.py",
        '"make launch TYPE=haproxy"',
    ),
    "make retag INSTANCE=ip-172-31-0-7 TAG=haproxy:weight=10": (
        "tests/end_to_end/test_demo.py",
        "make retag INSTANCE=",
    ),
    "make terminate INSTANCE=ip-172-31-0-7": (
        "tests/end_to_end/test_demo.py",
        "make terminate INSTANCE=",
    ),
    "uv tool install .": (
        "tests/end_to_end/test_sudo_user.py",
        '"uv tool install ."',
    ),
    "haproxy-ec2-sync status --env staging": (
        "tests/end_to_end/test_operator_commands.py",
        "OURS = commands(",
    ),
    "sam build": ("tests/end_to_end/test_sudo_user.py", '"sam build"'),
    "sam deploy --config-env staging": (
        "tests/end_to_end/test_demo.py",
        "sam deploy --config-env staging",
    ),
    "make template-test TEMPLATE=haproxy.cfg.j2": (
        "tests/end_to_end/test_sudo_user.py",
        "make template-test",
    ),
    "aws s3 cp haproxy.cfg.j2 s3://<bucket>/templates/staging/haproxy.cfg.j2": (
        "tests/end_to_end/test_demo.py",
        "aws s3 cp ",
    ),
    "aws s3 cp --recursive s3://<old-bucket>/ s3://<bucket>/ --exclude '*' --include 'templates/staging/*'"
    " --include 'vars/staging.yml'": (
        "tests/end_to_end/test_new_stack.py",
        'commands(DOCUMENTS["README.md"], "aws s3 cp --recursive")',
    ),
    "aws cloudformation describe-stacks --stack-name haproxy-ec2-sync-staging --query 'Stacks[0].Outputs'": (
        "tests/end_to_end/test_demo.py",
        "aws cloudformation describe-stacks ",
    ),
}


NEEDS_MORE = {
    "sam local invoke": "Docker",
    "sam sync": "an account",
}
"""Commands that no test runs, and what they need; they stand in docs/local.md alone."""


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


@pytest.mark.fault("F190")
@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("invoke", "which event? make invoke EVENT=events/status.json"),
        ("invoke EVENT=missing.json", "missing.json: No such file or directory"),
        ("invoke EVENT=README.md", "README.md:1: is no JSON"),
        ("invoke EVENT=docs", "docs: Is a directory"),
        ("invoke EVENT=docs/pictures/plan.svg", "plan.svg:1: is no JSON"),
        ("launch TYPE=nginx", "TYPE is tomcat or haproxy, not 'nginx'"),
        ("retag TAG=weight", "TAG is key=value"),
        ("deploy ENV=nowhere", "ENV is one of: default staging production"),
        ("deploy ENV=", "ENV is one of: default staging production"),
        ('deploy "ENV=no\'pe"', "ENV is one of: default staging production"),
        ("invoke PYTHON=nowhere/python", "start it with `make demo KEEP=1`"),
    ],
)
def test_what_is_wrong_is_one_line(typed: str, said: str) -> None:
    """It says what to do, before anything is built or asked; make adds its own line."""
    done = subprocess.run(
        ["make", "--no-print-directory", *shlex.split(typed)],
        cwd=PROJECT,
        env=os.environ | {"AWS_PROFILE": "nobody"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert said in readme.refusal(done)


@pytest.mark.fault("F190")
@pytest.mark.parametrize(
    "typed",
    [
        "invoke EVENT=events/status.json",
        "launch",
        "terminate INSTANCE=i-1",
        "retag INSTANCE=i-1 TAG=a=b",
    ],
)
def test_where_nothing_runs(
    typed: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Neither without a system, nor with one that just went."""
    name, *given = shlex.split(typed)
    options = [
        f"--{key.lower()}={value}"
        for key, _, value in (each.partition("=") for each in given)
    ]
    monkeypatch.setattr("local.system.FOLDERS", tmp_path)
    assert main([name, *options]) == 1
    gone = tmp_path / str(os.getpid()) / "current.json"
    gone.parent.mkdir()
    gone.write_text(
        json.dumps(
            {
                "endpoint": "http://localhost:1",
                "function": "f",
                "urls": {},
                "started_at": 0,
            }
        )
    )
    assert main([name, *options]) == 1
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2
    assert all("start it with `make demo KEEP=1`" in line for line in said)


@pytest.mark.fault("F190")
def test_of_several_systems_the_one_kept_that_was_started_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever of them has launched or lost a machine since, and whatever tests run beside it."""
    monkeypatch.setattr("local.system.FOLDERS", tmp_path)
    running: list[tuple[int, dict[str, Any]]] = [
        (os.getppid(), {"started_at": 1, "urls": {}}),
        (os.getpid(), {"started_at": 2, "urls": {}}),
        (1, {"started_at": 3, "urls": None}),
    ]
    for age, (pid, current) in enumerate(running):
        file = tmp_path / str(pid) / "current.json"
        file.parent.mkdir()
        file.write_text(json.dumps(current))
        os.utime(file, (9 - age, 9 - age))
    assert newest() == running[1][1]


@pytest.mark.fault("F192")
def test_what_needs_more_than_this_machine_is_not_in_the_readme() -> None:
    """Named here and in docs/local.md with what it needs, in the README not at all."""
    local = commands(DOCUMENTS["local.md"], "sam")
    for command, needed in NEEDS_MORE.items():
        assert [each for each in local if each.startswith(command)]
        assert re.search(rf"`{command}[^`]*` needs {needed}", DOCUMENTS["local.md"])
        assert command not in README


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


def test_every_document_is_linked() -> None:
    """Whoever reads from top to bottom finds each."""
    paths = {str(path.relative_to(PROJECT)) for path in PROJECT.glob("docs/*.md")}
    assert sorted(paths - {*re.findall(r"\]\(([^)#]+)[)#]", README)}) == []


def test_parameters_are_those_of_the_template() -> None:
    """Names and defaults in the parameter table are the template's."""
    text = (PROJECT / "template.yaml").read_text()
    template = yaml.load(text, _Cloudformation)  # noqa: S506 # ours
    parameters = template["Parameters"]
    for names, defaults, _ in _table("## Deploy to AWS"):
        for name, default in zip(names.split(", "), defaults.split(", "), strict=True):
            parameter: dict[str, Any] = parameters[name.strip("`")]
            stated = str(parameter.get("Default", "none")) or "empty"
            assert stated == default.strip("`"), name


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
