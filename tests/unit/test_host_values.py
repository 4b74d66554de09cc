"""The host program's small values: parameters, state, marker, command lines, versions, addresses."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from haproxy_apply import durable, request, serving, state
from haproxy_apply.command_line import CommandLine, parse
from haproxy_apply.errors import Ended, Interrupted, Verdict
from haproxy_apply.haproxy import HAProxy
from haproxy_apply.journal import Journal
from haproxy_apply.ownership import Refused
from haproxy_apply.report import Findings, marker
from haproxy_apply.server_state import Backend, Servers
from haproxy_sync.config import unsafe
from haproxy_sync.errors import SettingsError
from haproxy_sync.rollout.reports import parse_marker, reports_of
from haproxy_sync.settings import MAX_PORT, Settings
from haproxy_sync.state import model

PATHS = (Path("src/host"), Path("src"))

STACK = (
    "arn:aws:cloudformation:ap-southeast-2:123456789012:stack/haproxy-backends-staging/"
    "0f3c1a60-cbd5-11f0-8f2e-0a1b2c3d4e5f"
)
GOOD = {
    "SSM_Md5": "0" * 32,
    "SSM_Sha256": "f" * 64,
    "SSM_Generation": "000000000001234",
    "SSM_ConfigPath": "/etc/haproxy/haproxy.cfg",
    "SSM_ReloadMethod": "auto",
    "SSM_ListenPorts": "80,443",
    "SSM_Publisher": STACK,
    "SSM_Adopt": "false",
    "SSM_Action": "apply",
    "SSM_SecretLines": "3,17-19",
    "SSM_AllowUnsafeKeywords": "acl-file,program",
    "SSM_Watch": "10.77.1.1:8080,[fd00::1]:80",
}


def ended(environ: Mapping[str, str]) -> Verdict:
    """How a run with this environment ends."""
    with pytest.raises(Ended) as end:
        request.parse(environ)
    return end.value.verdict


def test_good_parameters_are_taken() -> None:
    """Leading zeros are those of a decimal number, never of an octal one."""
    found = request.parse(GOOD)
    assert found == request.Request(
        md5="0" * 32,
        sha256="f" * 64,
        fence=1234,
        config_path="/etc/haproxy/haproxy.cfg",
        reload_method="auto",
        listen_ports="80,443",
        publisher=STACK,
        adopts=False,
        inspects=False,
        checks=False,
        secret_lines=((3, 3), (17, 19)),
        allowed=frozenset({"acl-file", "program"}),
        watch=("10.77.1.1:8080", "[fd00::1]:80"),
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Md5", "0" * 31),
        ("Md5", "0" * 32 + "\n"),
        ("Sha256", "F" * 64),
        ("Generation", "-1"),
        ("Generation", ""),
        ("Generation", "1" * 16),
        ("Generation", "\u0663"),
        ("ConfigPath", "/etc/../etc/passwd"),
        ("ConfigPath", "etc/haproxy.cfg"),
        ("ConfigPath", "/"),
        ("ConfigPath", "/etc/haproxy.cfg;id"),
        ("ReloadMethod", "AUTO"),
        ("ListenPorts", "80,"),
        ("ListenPorts", "0"),
        ("ListenPorts", "80,99999"),
        ("ListenPorts", "65536"),
        ("ListenPorts", ",".join(["80"] * 16)),
        ("Publisher", STACK.replace("stack/", "")),
        ("Adopt", "1"),
        ("Action", ""),
        ("SecretLines", ""),
        ("SecretLines", "0,3"),
        ("AllowUnsafeKeywords", ""),
        ("AllowUnsafeKeywords", "program,"),
        ("AllowUnsafeKeywords", "program lua-load"),
        ("AllowUnsafeKeywords", ",".join(["program"] * 41)),
        ("ConfigPath", "/var/lib/haproxy-ec2-sync/haproxy.cfg"),
        ("ConfigPath", "/var//lib/haproxy-ec2-sync/x/haproxy.cfg"),
        ("ConfigPath", "/var/./cache/haproxy-ec2-sync/haproxy.cfg"),
        ("SecretLines", "3-"),
        ("SecretLines", ",".join(["3"] * 201)),
        ("Watch", ""),
        ("Watch", "0,10.77.1.1:80"),
        ("Watch", "10.77.1.1:0"),
        ("Watch", "app-1:80"),
        ("Watch", ",".join(["10.77.1.1:80"] * 101)),
    ],
)
def test_a_malformed_parameter_ends_the_run_by_its_name(name: str, value: str) -> None:
    """Before anything is touched."""
    verdict = ended({**GOOD, f"SSM_{name}": value})
    assert verdict == Verdict(10, "failed", "bad-parameter", name)


@pytest.mark.parametrize("name", sorted(GOOD))
def test_an_unset_parameter_is_the_agents_age(name: str) -> None:
    """An agent that does not know ENV_VAR parameters sets none."""
    verdict = ended({key: value for key, value in GOOD.items() if key != name})
    assert (verdict.status, verdict.reason) == (11, "agent-too-old")
    assert name in verdict.detail


@pytest.mark.fault("F222")
@given(st.integers(0, 99_999))
def test_a_port_is_one_that_exists(port: int) -> None:
    """To the host as to the function."""
    given = {**GOOD, "SSM_ListenPorts": f"443,{port}"}
    if 0 < port <= MAX_PORT:
        assert request.parse(given).listen_ports == f"443,{port}"
        return
    assert ended(given) == Verdict(10, "failed", "bad-parameter", "ListenPorts")
    line = f"^LISTEN_PORTS='{port}': port '{port}' is not allowed$"
    with pytest.raises(SettingsError, match=line):
        Settings.variables()["listen_ports"].read({"LISTEN_PORTS": str(port)})


WORDS = st.text("0123456789abcdef-", min_size=1)
IDENTITIES = st.builds(
    state.Identity,
    pid=st.integers(1, 1 << 22),
    start=st.integers(0, 1 << 60),
    boot=WORDS,
)
STATES = st.builds(
    state.State,
    fence=st.integers(0, 10**15 - 1),
    installed=st.lists(WORDS, max_size=2).map(tuple),
    proof=st.none() | st.builds(state.Proof, md5=WORDS, worker=IDENTITIES),
    publisher=st.just("")
    | st.from_regex(request.PATTERNS["Publisher"], fullmatch=True),
)


@given(STATES)
def test_a_state_is_read_as_it_was_written(written: state.State) -> None:
    """Nothing is lost on the way to the disk and back."""
    assert state.parse(state.serialized(written)) == written


@given(st.text() | st.from_regex(r"(generation|installed|running|publisher)[ -~\n]*"))
def test_a_state_that_is_none_is_not_known(text: str) -> None:
    """Whatever an editor or a full disk left there, the run goes on."""
    found = state.parse(text)
    assert found.fence >= 0
    assert not found.publisher or request.is_publisher(found.publisher)


TEXTS = st.text() | st.text('"\\\n\té\x00 a')


@given(TEXTS, TEXTS, st.integers(0, 10**15))
def test_a_marker_is_one_line_of_json(detail: str, note: str, fence: int) -> None:
    """Whatever HAProxy and the tools said, as short as Run Command wants it; the function reads it."""
    journal = Journal()
    journal.note(note)
    line = marker(
        Verdict(17, "failed", "invalid-config", detail), fence, Findings(), journal
    )
    assert "\n" not in line
    assert line.isascii()
    fields: dict[str, Any] = json.loads(line.removeprefix("haproxy-ec2-sync "))
    assert fields["generation"] == fence
    assert len(fields["detail"]) <= 500
    assert len(fields["notes"]) <= 200
    if detail.isascii() and detail.isprintable():
        assert fields["detail"] == detail[:500]
    assert parse_marker(f"{line}\nlog") is not None


@given(st.lists(st.text("abc-", min_size=9, max_size=31), min_size=5, max_size=30))
def test_no_note_is_cut(notes: list[str]) -> None:
    """Those for which there is no room are left out, as the function reads words and no halves."""
    journal = Journal()
    for note in notes:
        journal.note(note)
    line = marker(Verdict(0, "unchanged", ""), 1, Findings(), journal)
    told = json.loads(line.removeprefix("haproxy-ec2-sync "))["notes"]
    kept = told.split()
    assert kept == journal.notes[: len(kept)]
    assert kept == journal.notes or len(f"{told} {journal.notes[len(kept)]}") > 200


NAMES = st.text(
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.:-",
    min_size=1,
    max_size=500,
)
COUNTS = st.integers(0, 10**6)
BACKENDS = st.lists(
    st.builds(Backend, NAMES, COUNTS, COUNTS),
    max_size=60,
    unique_by=lambda each: each.name,
)


@pytest.mark.fault("F298")
def test_a_marker_has_room_for_every_unsafe_keyword() -> None:
    """Whole names, and the detail gets what is left of the bytes."""
    journal, findings = Journal(), Findings()
    journal.note("n" * 48)
    findings.publisher = STACK
    findings.refused = Refused(STACK, 1_700_000_000)
    findings.haproxy, findings.would = "running", "refused"
    findings.unsafe = tuple(
        sorted({*unsafe.FIRST, *unsafe.FILES, "setenv", "presetenv"})
    )
    line = marker(Verdict(0, "checked", "r", "d" * 500), 41, findings, journal)
    assert len(line) <= 2000
    (report,) = reports_of([over(line)])
    assert report.unsafe == findings.unsafe
    assert len(report.detail) > 200


@pytest.mark.fault("F148")
@given(BACKENDS, TEXTS, TEXTS, st.sampled_from(["inspected", "unchanged"]))
def test_a_marker_has_room_for_the_worst_backends(
    backends: list[Backend], detail: str, note: str, outcome: str
) -> None:
    """Whole ones in their order, and how many are left out; the first words of the detail, too."""
    journal, findings = Journal(), Findings()
    journal.note(note)
    findings.haproxy = "running"
    down = tuple(f"{each.name}/s" for each in backends)
    findings.servers = Servers(10**6, down, tuple(backends))
    line = marker(Verdict(0, outcome, "reason", detail), 41, findings, journal)
    assert len(line) <= 2000
    fields: dict[str, Any] = json.loads(line.removeprefix("haproxy-ec2-sync "))
    (report,) = reports_of([over(line)])
    assert report.haproxy == "running"
    assert report.backends is not None
    assert len(fields["backends"]) <= 400
    told = [Backend(each.name, each.up, each.down) for each in report.backends]
    assert told == [each for each in backends if each in told]
    assert len(told) + report.more_backends == len(backends)
    room = 400 - len(fields["backends"])
    left_out = [each for each in backends if each not in told]
    assert all(len(f" {name} {up}/{down}") > room for name, up, down in left_out)
    assert len(fields["detail"]) >= min(len(detail), 90)
    assert ("servers_up" in fields) == (outcome == "inspected")


@pytest.mark.fault("F147")
def test_the_function_knows_every_word_for_haproxy() -> None:
    """Another one would be unknown to it."""
    said = {serving.RUNNING, serving.STOPPED, serving.OTHER_FILE}
    assert said == set(model.HAProxy) - {model.HAProxy.UNKNOWN}


def over(line: str) -> dict[str, Any]:
    """The invocation of a command that said this."""
    step = {"Name": "apply", "Status": "Success", "Output": line}
    return {"InstanceId": "i-1", "Status": "Success", "CommandPlugins": [step]}


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (
            "/usr/sbin/haproxy -Ws -f /etc/haproxy/haproxy.cfg -p /run/haproxy.pid -S /run/m.sock,level,admin",
            CommandLine(
                "/usr/sbin/haproxy",
                files=("/etc/haproxy/haproxy.cfg",),
                pid_file="/run/haproxy.pid",
                master_socket="/run/m.sock,level,admin",
                master_mode="-Ws",
            ),
        ),
        (
            "haproxy -D -q -f a b -f c -n 500 -dM -sf 1 2 3 -x /run/s.sock -C /etc",
            CommandLine(
                "haproxy",
                files=("a", "b", "c"),
                options=("-n", "500", "-dM", "-C", "/etc"),
                stays=False,
            ),
        ),
        ("haproxy -db -f a", CommandLine("haproxy", files=("a",), stays=True)),
        ("haproxy -D -db -f a", CommandLine("haproxy", files=("a",))),
        (
            "haproxy -st -W -- -f",
            CommandLine("haproxy", files=("-f",), master_mode="-W"),
        ),
        ("haproxy -p", CommandLine("haproxy")),
        ("haproxy -c -f a", None),
        ("haproxy -vv", None),
        ("", None),
    ],
)
def test_command_lines_are_read_as_haproxy_reads_them(
    words: str, found: CommandLine | None
) -> None:
    """What is needed to start it so again; nothing of one that only checks a file."""
    assert parse(words.split()) == found


@given(st.lists(st.sampled_from(["-f", "-sf", "-p", "--", "-x", "-D", "-W", "7", "a"])))
def test_every_word_of_a_command_line_belongs_somewhere(words: list[str]) -> None:
    """No order of words is an error or an endless loop; a file is a word of the line."""
    found = parse(["haproxy", *words])
    assert found is not None
    assert set(found.files) | set(found.options) <= set(words)


@pytest.mark.parametrize(
    ("version", "is_newer"),
    [
        ("2.6", True),
        ("2.6.12-1+deb12u4", True),
        ("2.10-dev3", True),
        ("3.0.1", True),
        ("2.5.9", False),
        ("2.2", False),
        ("1.8.30", False),
        ("", False),
    ],
)
def test_versions_are_numbers(version: str, *, is_newer: bool) -> None:
    """2.10 is later than 2.6; an unknown version can nothing."""
    haproxy = HAProxy(CommandLine("haproxy"), version, None)
    assert haproxy.is_at_least(2, 6) is is_newer


def test_the_document_s_defaults_are_good_parameters() -> None:
    """The document's patterns and the program's agree on them."""
    document = json.loads(Path("src/host/document.json").read_text())
    defaults = {
        f"SSM_{name}": declared["default"]
        for name, declared in document["parameters"].items()
        if "default" in declared
    }
    defaults["SSM_Publisher"] = STACK  # whoever sends a command names himself
    found = request.parse(defaults)
    assert found.reload_method == "syn-drop"
    assert (found.adopts, found.inspects, found.checks) == (False, False, False)
    assert found.secret_lines == ()


LATE = {
    "dataclasses", "json", "pathlib", "shlex", "shutil", "socket", "subprocess", "tempfile", "traceback",
    "haproxy_apply.change", "haproxy_apply.drop_window", "haproxy_apply.model", "haproxy_apply.reload",
    "haproxy_apply.watched", "ipaddress",
}  # fmt: skip
"""What a run that changes nothing has no use for: each costs it milliseconds."""


def test_a_run_that_changes_nothing_loads_nothing_for_a_change() -> None:
    """The program is compiled at each start, and its imports are most of what such a run takes."""
    program = "import haproxy_apply.__main__, sys; print(*sys.modules)"
    paths = f"import sys; sys.path[:0] = {[str(path.resolve()) for path in PATHS]}; "
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", paths + program],
        capture_output=True,
        text=True,
        check=True,
    )
    assert LATE.intersection(done.stdout.split()) == set()


@pytest.mark.fault("F185")
def test_a_write_that_is_interrupted_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody would remove a half candidate of a check, which has the secrets of the whole."""

    def interrupt(_descriptor: int) -> None:
        raise Interrupted("signal 15")

    monkeypatch.setattr("os.fsync", interrupt)
    with pytest.raises(Interrupted):
        durable.write_text(str(tmp_path / "candidate.cfg"), "text")
    assert not list(tmp_path.iterdir())


@pytest.mark.fault("F232")
@pytest.mark.parametrize("link", ["symlink_to", "hardlink_to"])
def test_a_link_in_the_place_of_a_new_file_leads_nowhere(
    tmp_path: Path, link: str
) -> None:
    """The name can be guessed: who else may write there must not choose what root overwrites."""
    target, path = tmp_path / "shadow", tmp_path / "server-state"
    target.write_text("root")
    target.chmod(0o640)
    getattr(tmp_path / "server-state.new", link)(target)
    durable.write_text(str(path), "text", mode=durable.PUBLIC)
    assert (target.read_text(), target.stat().st_mode & 0o777) == ("root", 0o640)
    assert path.read_text() == "text"
    assert not path.is_symlink()
    assert sorted(tmp_path.iterdir()) == [path, target]


@pytest.mark.fault("F232")
def test_a_link_that_is_there_again_at_once_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever is quick enough makes the write fail, and nothing else."""
    target, path = tmp_path / "shadow", tmp_path / "file"
    target.write_text("root")
    path.symlink_to(target)
    monkeypatch.setattr(durable, "remove", lambda *_paths: None)
    with pytest.raises(FileExistsError):
        durable.create(str(path))
    assert target.read_text() == "root"
