"""The committed document: the launcher byte for byte, and nothing that an agent would misread."""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import re2  # type: ignore[import-untyped]

import ssm_document as document
from haproxy_apply import patience, reload, request, runtime_change, state, watch
from haproxy_apply.errors import Ended
from haproxy_sync.rollout.program import Program
from tests.host.apply_step import DOCUMENT, STACK

SERVICE_LIMIT = 64 * 1024
"""Bytes that the service allows for a document and the parameters of a command together."""

PROGRAM = Program.packed().sha256
PACKAGE = Path("src/host/haproxy_apply")

GOOD = {
    "ProgramUrl": f"https://stack-bucket-1.s3.cn-north-1.amazonaws.com.cn/program/{PROGRAM}/haproxy_apply.zip",
    "SourceUrl": f"https://stack-bucket-1.s3.cn-north-1.amazonaws.com.cn/configs/staging/{'a' * 64}/haproxy.cfg",
    "Md5": "0123456789abcdef" * 2,
    "Sha256": "0123456789abcdef" * 4,
    "Generation": "1700000000",
    "ConfigPath": "/etc/haproxy/haproxy.cfg",
    "ReloadMethod": "seamless",
    "ListenPorts": "80,443,8443",
    "Publisher": STACK,
    "Adopt": "true",
    "Action": "inspect",
    "SecretLines": "3,17-19",
    "AllowUnsafeKeywords": "acl-file,program",
    "Watch": "10.77.1.1:8080,[fd00::1]:80",
}
BAD = {
    "ProgramUrl": [
        "",
        f"https://stack-bucket-1.s3.eu-west-1.amazonaws.com/program/{'0' * 64}/haproxy_apply.zip",
        f"https://example.org/program/{PROGRAM}/haproxy_apply.zip",
        "{{ssm:x}}",
    ],
    "SourceUrl": [
        "s3://bucket/key",
        "https://example.org/configs/x/y/haproxy.cfg",
        "{{ssm:x}}",
    ],
    "Md5": ["", "0" * 31, "G" * 32, "0" * 32 + "\n"],
    "Sha256": ["0" * 63, "$(id)" + "0" * 59],
    "Generation": ["", "-1", "1" * 16, "1;id"],
    "ConfigPath": [
        "haproxy.cfg",
        "/etc/haproxy.cfg;id",
        "/etc/../passwd",
        "/etc/ haproxy.cfg",
        "/",
    ],
    "ReloadMethod": ["none", "auto\n", "AUTO"],
    "ListenPorts": ["", "80,", "0", "80,99999", "80 -j ACCEPT", ",".join(["80"] * 16)],
    "Publisher": [
        "",
        "haproxy-backends-staging",
        STACK.replace("cloudformation", "iam"),
        STACK.replace("stack/", "stack/1"),
        STACK.replace("haproxy", "h" * 129),
        STACK.replace("haproxy", '"; id; "'),
    ],
    "Adopt": ["", "yes", "TRUE", "true;id"],
    "Action": ["", "install", "Inspect"],
    "SecretLines": ["", "0,1", "3-", "03", "3;id", ",".join(["3"] * 201)],
    "AllowUnsafeKeywords": [
        "",
        "0,program",
        "program;id",
        "program, map",
        "-f",
        ",".join(["program"] * 41),
    ],
    "Watch": [
        "",
        "0,10.77.1.1:80",
        "10.77.1.1",
        "10.77.1.256:80",
        "10.77.1.1:0",
        "10.77.1.1:80,",
        "fd00::1:80",
        "[fd00::1]",
        "app-1:80",
        "10.77.1.1:80;id",
        ",".join(["10.77.1.1:80"] * 101),
    ],
}


def step(name: str) -> dict[str, Any]:
    """A step's inputs."""
    inputs: dict[str, Any] = next(
        step for step in DOCUMENT["mainSteps"] if step["name"] == name
    )["inputs"]
    return inputs


def test_the_document_is_the_launcher_byte_for_byte() -> None:
    """What the agent writes to its script file is `launcher.sh`, with one word replaced.

    It joins the strings and adds the last newline. One string: with one per line it took seven times longer to start.
    """
    (text,) = step("apply")["runCommand"]
    launcher = document.LAUNCHER.read_text().replace(document.PLACEHOLDER, PROGRAM)
    assert f"{text}\n" == launcher


def test_the_committed_document_is_the_generated_one() -> None:
    """`make document` was run after the last change of launcher or program."""
    assert document.DOCUMENT.read_text() == document.text()


@pytest.mark.fault("F222")
def test_the_placeholder_names_a_bucket_that_nobody_can_have() -> None:
    """S3 gives no bucket a name with two adjacent periods, and no name of a host has an empty label."""
    address = urlsplit(DOCUMENT["parameters"]["SourceUrl"]["default"])
    bucket = str(address.hostname).partition(".s3.")[0]
    assert ".." in bucket


@pytest.mark.fault("F96")
def test_the_agent_can_start_the_launcher() -> None:
    """The interpreter is in the very first line, and every line end is LF: CRLF would be exit 127."""
    script = document.LAUNCHER.read_bytes()
    assert script.startswith(b"#!/bin/sh\n")
    assert b"\r" not in script
    assert document.LAUNCHER.stat().st_mode & 0o111


@pytest.mark.fault("F59")
def test_nothing_is_pasted_into_the_launcher() -> None:
    """No `{{`, which the agent replaces even in comments; only the addresses of the downloads are in braces."""
    assert "{{" not in document.LAUNCHER.read_text()
    downloads = ["{{ SourceUrl }}", "{{ ProgramUrl }}"]
    assert re.findall(r"{{.*?}}", document.text()) == downloads
    kinds = {
        name: declaration.get("interpolationType")
        for name, declaration in DOCUMENT["parameters"].items()
    }
    assert (kinds.pop("SourceUrl"), kinds.pop("ProgramUrl")) == (None, None)
    assert set(kinds.values()) == {"ENV_VAR"}


@pytest.mark.parametrize("name", GOOD)
def test_patterns_are_anchored_and_strict(name: str) -> None:
    """Each pattern compiles in RE2, matches the default and the good value, and no bad one, newlines included.

    All but two have a default: the service refuses who does not name the program or himself.
    """
    declaration = DOCUMENT["parameters"][name]
    pattern = re2.compile(declaration["allowedPattern"])
    assert name.isalnum()
    is_named = name in {"ProgramUrl", "Publisher"}
    assert is_named or pattern.search(declaration["default"])
    assert is_named == ("default" not in declaration)
    assert pattern.search(GOOD[name])
    for value in [
        *BAD[name],
        f"{GOOD[name]} ",
        f"x {GOOD[name]}",
        f"{GOOD[name]}\nx",
        f"{GOOD[name]}'",
    ]:
        assert not pattern.search(value), value


def test_the_program_refuses_what_the_document_refuses() -> None:
    """Both have patterns of their own, since whoever starts the program need not be the agent."""
    good = {f"SSM_{name}": value for name, value in GOOD.items()}
    assert request.parse(good).fence == int(GOOD["Generation"])
    for name in request.PATTERNS:
        for value in BAD[name]:
            with pytest.raises(Ended, match=f"bad-parameter.*{name}"):
                request.parse({**good, f"SSM_{name}": value})


def test_the_document_fits() -> None:
    """With room for the parameters."""
    given = json.dumps(GOOD)
    assert len(document.text()) + len(given) < SERVICE_LIMIT / 4


def test_the_step_ends_before_the_agent_kills_it() -> None:
    """With a moment to spare; and a reload takes no longer beside its load than the program reckons with."""
    limit = int(step("apply")["timeoutSeconds"])
    assert limit > patience.RUN_SECONDS + patience.RELOAD_SECONDS
    assert reload.STOP_SECONDS + watch.WATCH_SECONDS * 3 / 2 < patience.RELOAD_SECONDS


def test_a_run_that_had_to_wait_for_another_has_time_for_a_reload_and_a_rollback() -> (
    None
):
    """The lock and a change at run time at their limits, and a check that is no slower than most."""
    spent = state.LOCK_SECONDS + runtime_change.WARM_SECONDS
    assert patience.is_enough(patience.LEAST_SECONDS, patience.RUN_SECONDS - spent)


@pytest.mark.parametrize(
    ("name", "file"),
    [("download", "haproxy.cfg"), ("download-program", "haproxy_apply.zip")],
)
def test_a_failed_download_ends_the_command(name: str, file: str) -> None:
    """Without it the agent would go on to the next step; the destination is relative, so no old file is ever found."""
    download = step(name)
    assert download["onFailure"] == "exit"
    assert download["destinationPath"] == file


ENDINGS = {"Ended": 2, "Verdict": 2, "failed": 1, "ReloadFailed": 0, "note": 0}
"""Calls whose argument at this place is a word of the marker."""


def words_of(program: str) -> Iterator[str]:
    """The reasons and notes that a module of the program gives."""
    for node in ast.walk(ast.parse(program)):
        if not isinstance(node, ast.Call):
            continue
        place = ENDINGS.get(getattr(node.func, "id", getattr(node.func, "attr", "")))
        if place is None or len(node.args) <= place:
            continue
        match node.args[place]:
            case ast.Constant(value=str() as word) if re.fullmatch("[a-z-]+", word):
                yield word


def test_every_reason_and_note_is_documented() -> None:
    """Whoever reads a marker finds each of its words in docs/host.md."""
    launcher = document.LAUNCHER.read_text()
    words = set(re.findall(r"failed \d+ ([a-z-]+)", launcher))
    for module in PACKAGE.glob("*.py"):
        words.update(words_of(module.read_text()))
    described = Path("docs/host.md").read_text()
    assert len(words) > 35
    assert [word for word in sorted(words) if f"`{word}`" not in described] == []


def test_every_reason_and_note_of_the_document_is_given() -> None:
    """A word that no program says any more helps nobody."""
    modules = [*PACKAGE.glob("*.py"), Path("src/haproxy_sync/config/unsafe.py")]
    said = document.LAUNCHER.read_text() + "".join(
        module.read_text() for module in modules
    )
    tables = Path("docs/host.md").read_text().split("## What it reports")[1]
    rows = tables.split("## If it is killed")[0]
    words = set(re.findall(r"`([a-z]+(?:-[a-z]+)+)`", rows)) - {"tcp-migrate-req"}
    assert [word for word in sorted(words) if word not in said] == []
