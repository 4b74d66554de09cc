"""From what clients, backends and proxies saw to the numbers of the benchmark."""

import math
from dataclasses import replace

import pytest

from benchmarks.scale.look import client_ports, taking_new
from benchmarks.scale.tally import (
    OURS,
    PLAYBOOK,
    Fate,
    Killed,
    Spell,
    Tally,
    fate,
    missed,
    slow_start_ratio,
)
from local.lab import Attempt

KILLED = Killed("b", 100.0, frozenset({5000}))


def attempt(
    result: str, backend: str = "", start: float = 0.0, port: int = 4000
) -> Attempt:
    """A request that took ten seconds."""
    return Attempt("new", 4, start, 4, 10_000, result, backend, port)


@pytest.mark.parametrize(
    ("seen", "became"),
    [
        (attempt("ok", "a"), Fate.ANSWERED),
        (attempt("ok", "b", 95), Fate.ANSWERED),
        # No answer had begun.
        (attempt("refused"), Fate.FAILED),
        (attempt("reset"), Fate.FAILED),
        (attempt("closed"), Fate.FAILED),
        (attempt("timeout"), Fate.FAILED),
        # A whole answer, but an error: the proxy's own, or a backend's.
        (attempt("http-503"), Fate.FAILED),
        (attempt("http-500", "a"), Fate.FAILED),
        # An answer that broke off.
        (attempt("closed", "a"), Fate.CUT),
        (attempt("reset", "a"), Fate.CUT),
        (attempt("timeout", "a"), Fate.CUT),
        # In flight when the machine was killed.
        (attempt("timeout", "", 95), Fate.LOST),
        (attempt("closed", "b", 95), Fate.LOST),
        (attempt("closed", "a", 95), Fate.CUT),
        # Over before that, begun after it.
        (attempt("closed", "b", 80), Fate.CUT),
        (attempt("timeout", "", 80), Fate.FAILED),
        (attempt("timeout", "", 101), Fate.FAILED),
        # Begun after it, and sent to the machine: a proxy says so.
        (attempt("timeout", "", 101, port=5000), Fate.LOST),
        (attempt("http-503", "", 80, port=5000), Fate.FAILED),
    ],
)
def test_what_became_of_a_request(seen: Attempt, became: Fate) -> None:
    """Failed, cut and lost are told apart by what had begun, and by whose it was when the machine died."""
    assert fate(seen, KILLED) is became


def test_each_request_is_counted_once() -> None:
    """And the median of the drains is in the file; 0 where there was none."""
    attempts = [
        *[attempt("ok", "a")] * 6,
        *[attempt("http-503")] * 3,
        *[attempt("closed", "a")] * 2,
        attempt("timeout", "", 95),
    ]
    tally = Tally.of(attempts, KILLED, 0.2, [3.0, 30.0, 5.04])
    assert tally == Tally(12, 3, 2, 1, 0.2, 5.0)
    assert Tally.of(attempts, KILLED, None, []).drain_seconds == 0


def test_no_traffic_is_no_result() -> None:
    """A run without a client cannot say that nobody was harmed."""
    with pytest.raises(ValueError, match="no client"):
        Tally.of([], KILLED, 0.2, [])


THERE = [Spell("p", name, -math.inf) for name in ("a", "b")]


def every(seconds: float, began: float = 0, ended: float = 200) -> list[float]:
    """A request at each of these times."""
    return [began + seconds * n for n in range(int((ended - began) / seconds))]


def test_a_new_server_is_measured_in_shares_of_who_is_there() -> None:
    """In the first third of its ramp, by the requests of the same proxy in the same time."""
    logs = {
        ("a", "p"): every(1),
        ("b", "p"): every(1),
        # A quarter of theirs at first, more than all of theirs afterwards.
        ("new", "p"): [*every(4, 100, 110), *every(0.1, 110, 130)],
        ("new", "q"): every(0.1, 100, 110),
    }
    new = Spell("p", "new", 100)
    assert slow_start_ratio([*THERE, new], logs, 30) == pytest.approx(0.2, abs=0.06)
    assert slow_start_ratio([*THERE, replace(new, began=110)], logs, 30) == 10


def test_only_who_has_its_whole_weight_is_compared_with() -> None:
    """Neither who joined within a ramp nor who leaves meanwhile; without anybody left there is no number."""
    logs = {("a", "p"): every(1), ("other", "p"): every(5), ("new", "p"): every(2)}
    new = Spell("p", "new", 100)
    for other in (Spell("p", "other", 80), Spell("p", "other", -math.inf, 105)):
        spells = [THERE[0], other, new]
        found = slow_start_ratio([*spells[:1], new], logs, 30)
        assert found == pytest.approx(0.5)
        assert slow_start_ratio([other, new], logs, 30) is None
    assert slow_start_ratio([Spell("q", "a", -math.inf), new], logs, 30) is None


def test_who_was_there_or_left_at_once_is_not_new() -> None:
    """A share needs a begin that was seen, and the whole of the time."""
    logs = {("a", "p"): every(1), ("b", "p"): every(1)}
    assert slow_start_ratio(THERE, logs, 30) is None
    assert slow_start_ratio([*THERE, Spell("p", "c", 100, 105)], logs, 30) is None


WELL = Tally(1000, 0, 0, 5, 0.34, 20.0)


@pytest.mark.parametrize(
    ("tally", "sentences"),
    [
        (WELL, []),
        (replace(WELL, failed=1), ["no failed request"]),
        (replace(WELL, cut=1), ["no cut answer"]),
        (replace(WELL, slow_start_ratio=0.35), ["a third of a fair share"]),
        (replace(WELL, slow_start_ratio=None), ["a third of a fair share"]),
    ],
)
def test_missed_targets_are_named(tally: Tally, sentences: list[str]) -> None:
    """Of each of our methods, and of the playbook none."""
    for method in OURS:
        found = missed({**dict.fromkeys(OURS, WELL), method: tally})
        assert [line.partition(":")[0] for line in found] == [method] * len(sentences)
        assert all(each in line for each, line in zip(sentences, found, strict=True))
    assert missed({PLAYBOOK: replace(WELL, failed=9, slow_start_ratio=None)}) == []


def test_a_proxys_word_on_its_servers() -> None:
    """Those that are up and have a weight; nobody is one that a worker without backends would have."""
    head = "# pxname,svname,type,status,weight"
    rows = [
        "https,FRONTEND,0,OPEN,",
        "application,up,2,UP,100",
        "application,going,2,UP 1/3,100",
        "application,unchecked,2,no check,1",
        "application,drains,2,DRAIN,0",
        "application,zero,2,UP,0",
        "application,down,2,DOWN,100",
        "application,maint,2,MAINT,100",
        "application,BACKEND,1,UP,300",
    ]
    assert taking_new("\n".join([head, *rows])) == frozenset(
        {"up", "going", "unchecked"}
    )
    assert taking_new(head) is None
    assert taking_new("") is None


def test_whose_requests_a_server_has() -> None:
    """By the port of the client; those of others, and of a server whose name only begins so, are no matter."""
    line = "0x5: proto=tcpv4 src=172.31.255.10:{} fe=https be=application srv={} ts=00"
    lines = [line.format(1, "ip-1"), line.format(2, "ip-10"), line.format(3, "<none>")]
    assert client_ports("\n".join(lines), "ip-1") == {1}
