"""Of two stacks that command one host, which one it obeys: the program's own decision, without a host."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from haproxy_apply import durable, ownership, report, request, state
from haproxy_apply.errors import Ended, Verdict
from haproxy_apply.journal import Journal
from haproxy_apply.server_state import Backend, Servers
from haproxy_apply.state import Memory, State
from haproxy_sync.rollout.reports import parse_marker
from tests.unit.test_host_values import GOOD

LONGEST = (
    f"arn:aws-iso-europe:cloudformation:{'r' * 32}:123456789012:stack/{'S' * 128}/"
    "0f3c1a60-cbd5-11f0-8f2e-0a1b2c3d4e5f"
)
STACKS = ("", "ours", "theirs")
FENCES = st.integers(0, 3)

type Step = tuple[str, int, bool]


def wanted(publisher: str, fence: int, *, adopts: bool = False) -> request.Request:
    """A command."""
    good = request.parse(GOOD)
    return good._replace(publisher=publisher, fence=fence, adopts=adopts)


def verdict(refused: Ended | None) -> tuple[int, str]:
    """Exit status and reason; of what is not refused, none."""
    if refused is None:
        return 0, ""
    return refused.verdict.status, refused.verdict.reason


@pytest.mark.fault("F127")
@pytest.mark.parametrize(
    ("owner", "fence", "adopts", "expected"),
    [
        ("", 7, False, (0, "")),
        ("", 6, False, (0, "older-generation")),
        ("ours", 7, False, (0, "")),
        ("ours", 6, False, (0, "older-generation")),
        ("ours", 7, True, (0, "")),
        ("theirs", 9, False, (12, "other-publisher")),
        ("theirs", 6, False, (12, "other-publisher")),
        ("theirs", 8, True, (0, "")),
        # Two stacks may have published in the same second: who is there already stays.
        ("theirs", 7, True, (0, "older-generation")),
        ("theirs", 6, True, (0, "older-generation")),
    ],
)
def test_whose_the_host_is_comes_before_the_fence(
    owner: str, fence: int, expected: tuple[int, str], *, adopts: bool
) -> None:
    """Nobody's host is anybody's; an adoption has to be newer than all that the host had."""
    known = State(fence=7, publisher=owner)
    refused = ownership.refusal(wanted("ours", fence, adopts=adopts), known)
    assert verdict(refused) == expected


@pytest.mark.fault("F127")
@given(st.lists(st.tuples(st.sampled_from(STACKS[1:]), FENCES, st.booleans())))
def test_fence_and_publisher_are_always_of_one_command(steps: list[Step]) -> None:
    """In whatever order commands come: the fence never falls, and only who adopts with a newer one takes a host."""
    known = State()
    for publisher, fence, adopts in steps:
        command = wanted(publisher, fence, adopts=adopts)
        if ownership.refusal(command, known):
            continue
        after = ownership.taken(known, command)
        assert (after.publisher, after.fence) == (publisher, fence)
        assert after.fence >= known.fence
        if known.publisher not in {"", publisher}:
            assert adopts
            assert after.fence > known.fence
        known = after


@pytest.mark.fault("F130")
def test_a_state_of_an_earlier_release_is_nobodys() -> None:
    """It has no publisher; one that no stack has is none either."""
    text = "generation 7\ninstalled abc\nrunning \n"
    assert state.parse(text).publisher == ""
    assert state.parse(f"{text}publisher somebody\n").publisher == ""
    assert state.parse(f"{text}publisher {LONGEST}\n").publisher == LONGEST


@pytest.fixture
def at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Set the clock of a host whose state is in a folder of the test."""
    monkeypatch.setattr(state, "STATE", f"{tmp_path}/state")
    monkeypatch.setattr(ownership, "REFUSED", f"{tmp_path}/refused")

    def set_clock(now: float) -> None:
        monkeypatch.setattr("haproxy_apply.ownership.time.time", lambda: now)

    return set_clock


@pytest.mark.fault("F128")
def test_who_was_refused_last_is_named_for_a_day(at: Callable[[float], None]) -> None:
    """By whoever works on the host afterwards; not as its own rival once it owns the host."""
    at(1_000_000.0)
    known = State(fence=7, publisher=GOOD["SSM_Publisher"])
    with pytest.raises(Ended):
        ownership.check(wanted(LONGEST, 8), known)
    assert ownership.last_refused(known.publisher) == (LONGEST, 1_000_000)
    assert ownership.last_refused(LONGEST) is None
    at(1_000_000.0 + 24 * 3600)
    assert ownership.last_refused(known.publisher)
    at(1_000_001.0 + 24 * 3600)
    assert ownership.last_refused(known.publisher) is None


@pytest.mark.parametrize("text", ["", "x", "stack now\n", f"{LONGEST} soon\n", LONGEST])
def test_a_file_that_names_nobody_is_passed_over(
    at: Callable[[float], None], text: str
) -> None:
    """Whatever a full disk left there."""
    at(0.0)
    durable.write_text(ownership.REFUSED, text)
    assert ownership.last_refused("") is None


def test_what_could_not_be_written_is_not_said(
    at: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The marker names who owns the host by what the disk has: a crash would leave that."""
    at(0.0)
    memory = Memory()

    def full(path: str, text: str) -> None:
        raise OSError(path, text)

    monkeypatch.setattr(durable, "write_text", full)
    memory.put_if_possible(State(publisher=LONGEST), Journal())
    assert memory.state.publisher == LONGEST
    assert memory.publisher == ""


@pytest.mark.fault("F127")
@pytest.mark.parametrize("text", ["x" * 600, '"' * 600, "\\" * 600, '\\"x' * 200])
def test_the_longest_marker_is_short_enough(text: str) -> None:
    """The longest ids and names leave room for the first words of the detail."""
    findings = report.Findings()
    findings.md5_before = findings.md5_after = findings.running_md5 = "0" * 32
    findings.haproxy_version = "2.8.16-0ubuntu0.24.04.1"
    findings.style = "master-worker"
    findings.backup = "/etc/haproxy/haproxy.cfg.20261122T030405Z.01234567.bak"
    findings.publisher = LONGEST
    findings.refused = ownership.Refused(LONGEST.replace("S", "T"), 1_800_000_000)
    findings.haproxy = "running"
    findings.servers = Servers(
        4000,
        tuple(f"backend/i-{n:017x}" for n in range(1000)),
        tuple(Backend(f"backend-{n}", 4000, 1000) for n in range(1000)),
    )
    journal = Journal()
    for number in range(40):
        journal.note(f"servers-unknown-{number}")
    line = report.marker(
        Verdict(0, "inspected", "config-not-used", text), 10**15 - 1, findings, journal
    )
    assert len(line) <= 2000
    said = parse_marker(line)
    assert said is not None
    assert len(said["detail"]) > 80
    assert text.startswith(said["detail"])
    fields = json.loads(line.removeprefix("haproxy-ec2-sync "))
    assert (fields["publisher"], fields["servers_down"]) == (LONGEST, 1000)
    assert fields["down"].startswith("backend/i-00000000000000000 backend/i-")
    assert set(fields["down"].split()) <= set(findings.servers.down)
    assert fields["backends"].startswith("backend-0 4000/1000 backend-1 4000/1000 ")
    assert len(fields["backends"].split()) // 2 + fields["more_backends"] == 1000
