"""`check`: what each proxy says of the config to come, how long that is waited for, and how it ends."""

import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from botocore.exceptions import ClientError
from rich.console import Console

from haproxy_ec2_sync import clock
from haproxy_ec2_sync.app import INTERRUPTED
from haproxy_ec2_sync.views import check as view
from tests.cli import samples, screen
from tests.cli.conftest import Shell
from tests.cli.samples import FIRST, FOURTH, SECOND, THIRD
from tests.contract.world import World

Rows = dict[str, dict[str, Any]]

SAME: Rows = {FIRST: samples.row(FIRST), SECOND: samples.row(SECOND)}
DIFFERING: Rows = SAME | {THIRD: samples.differing(THIRD)}
WAITING: Rows = SAME | {THIRD: samples.silent(THIRD, "awaited")}


class BadRequest(Exception):  # as the function's own
    """What can never be done."""


@dataclass
class Fleet:
    """A function that checks: every question after the beginning gets the next rows, and the last ones again."""

    rows: list[Rows]
    begun: dict[str, Any] = field(default_factory=samples.begun)

    def act(self, **request: Any) -> dict[str, Any]:
        """Its answer."""
        assert request.pop("action") == "check"
        if not request:
            return self.begun
        assert request.pop("id") == samples.CHECK_ID
        rows = self.rows.pop(0) if len(self.rows) > 1 else self.rows[0]
        wanted = {request["proxy"]} if request else set(rows)
        return samples.check({key: rows[key] for key in rows if key in wanted})


@pytest.fixture
def fleet(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> Fleet:
    """Of the shell's function."""
    made = Fleet([DIFFERING])
    monkeypatch.setattr(World, "act", lambda _self, **request: made.act(**request))
    assert shell.asked == []
    return made


@pytest.mark.parametrize("width", [80, 100, 200])
def test_a_fleet_of_every_kind(width: int) -> None:
    """Those with trouble last, a diff that two have once, and what was checked."""
    shown = view.check(samples.check(), samples.begun())
    screen.check(f"check-{width}", shown, width)
    assert max(map(len, screen.shown(shown, width).splitlines())) <= width


def test_a_diff_has_its_colours() -> None:
    """On a terminal, as that of `plan`."""
    console = Console(force_terminal=True, width=120, color_system="standard")
    with console.capture() as capture:
        console.print(view.check(samples.check(), samples.begun()))
    shown = capture.get()
    assert "\x1b[31m-    server ip-10-77-9-9" in shown
    assert "\x1b[32m+    server ip-10-77-16-4" in shown
    assert "\x1b[36m@@ -12,7 +12,8 @@" in shown


@pytest.mark.fault("F162")
@pytest.mark.parametrize(
    ("rows", "status", "words"),
    [
        (SAME, 0, ""),
        (DIFFERING, 2, ""),
        (
            DIFFERING | {FOURTH: samples.row(FOURTH, result="refused")},
            1,
            "edge-4 would refuse the change",
        ),
        (
            SAME | {FOURTH: samples.row(FOURTH, result="failed")},
            1,
            "edge-4 could not check",
        ),
        (
            SAME | {FOURTH: samples.silent(FOURTH, "unreachable")},
            1,
            "no command reaches edge-4 (doctor looks for the cause)",
        ),
        (
            SAME | {FOURTH: samples.row(FOURTH, result="of a later release")},
            1,
            "the answer is none that this command line knows",
        ),
        ({}, 1, "the answer is none that this command line knows"),
    ],
)
@pytest.mark.parametrize("is_json", [False, True])
def test_the_exit_code_is_the_verdict(
    shell: Shell, fleet: Fleet, rows: Rows, status: int, words: str, *, is_json: bool
) -> None:
    """0: all the same; 2: some differ, and all would be taken; 1: anything else, in one line."""
    fleet.rows = [rows]
    typed = shell("check", *["--json"][: int(is_json)])
    assert typed.status == status
    said = [line for line in typed.err.splitlines() if " checked" not in line]
    assert said == [f"haproxy-ec2-sync: {words}"][: int(bool(words))]
    if is_json:
        assert json.loads(typed.out) == samples.check(rows)
    else:
        assert "Check: " in typed.out


@pytest.mark.fault("F162")
def test_it_waits_until_each_has_answered(shell: Shell, fleet: Fleet) -> None:
    """Nothing but `check` is asked for; progress is a line for each change, and the answer stands alone."""
    fleet.rows = [WAITING, WAITING, DIFFERING]
    begin = clock.now()
    typed = shell("check", "--json")
    assert typed.status == 2
    assert clock.now() - begin == 4
    first, *others = shell.asked
    assert first == {"action": "check"}
    assert others == [{"action": "check", "id": samples.CHECK_ID}] * 3
    assert typed.err.splitlines() == [
        "2 of 3 proxies checked, waiting for edge-3",
        "3 of 3 proxies checked",
    ]
    assert json.loads(typed.out) == samples.check(DIFFERING)


@pytest.mark.fault("F162")
def test_too_late_is_told_with_what_there_is(shell: Shell, fleet: Fleet) -> None:
    """Who has not answered is named; what the others said is shown."""
    fleet.rows = [WAITING]
    begin = clock.now()
    typed = shell("check", "--timeout", "15")
    assert typed.status == 1
    assert 15 <= clock.now() - begin < 16
    assert typed.err.splitlines()[-1] == (
        "haproxy-ec2-sync: within 15 s there was no answer from edge-3"
    )
    assert "Check: 2 the same, 0 to change, 0 refused, 1 without an answer." in (
        typed.out
    )
    assert shell("check", "--deadline", "0").status == 1


def _error(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no"}}, "Invoke")


def _failing(shell: Shell, code: str, *numbers: int) -> None:
    """These questions are refused by AWS."""

    def arriving(_request: dict[str, Any]) -> None:
        if len(shell.asked) in numbers:
            raise _error(code)

    shell.arriving = arriving


def test_what_passes_is_waited_for(shell: Shell, fleet: Fleet) -> None:
    """Throttling, say; what no waiting mends ends it at once."""
    fleet.rows = [WAITING, DIFFERING]
    _failing(shell, "TooManyRequestsException", 2, 4)
    typed = shell("check")
    assert typed.status == 2
    assert "TooManyRequestsException" in typed.err
    _failing(shell, "ExpiredTokenException", len(shell.asked) + 2)
    typed = shell("check")
    assert (typed.status, typed.out) == (1, "")
    assert "ExpiredTokenException" in typed.err


@pytest.mark.usefixtures("fleet")
def test_no_answer_at_all_is_one_line(shell: Shell) -> None:
    """With the last error."""
    _failing(shell, "ServiceException", *range(2, 99))
    typed = shell("check", "--timeout", "9")
    assert (typed.status, typed.out) == (1, "")
    assert typed.err.splitlines()[-1].startswith(
        "haproxy-ec2-sync: within 9 s no answer: "
    )


@pytest.mark.usefixtures("fleet")
def test_an_interrupt_ends_it(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C, as shells say it; the proxies go on, and touch nothing."""

    def interrupted(_seconds: float) -> None:
        raise KeyboardInterrupt

    _failing(shell, "ServiceException", 2)
    monkeypatch.setattr(clock, "sleep", interrupted)
    assert shell("check").status == INTERRUPTED


def _asked_about(shell: Shell) -> list[str]:
    """Whom the questions were about, each of them alone."""
    named = (request.get("proxy") for request in shell.asked)
    return list(filter(None, named))


def test_some_proxies_by_name_or_id(shell: Shell, fleet: Fleet) -> None:
    """Each is asked about alone, which gives all of its diff; one answer comes of it, and the verdict is theirs."""
    fleet.rows = [DIFFERING | {FOURTH: samples.silent(FOURTH, "unreachable")}]
    typed = shell("check", "--proxy", "edge-3", "--proxy", FIRST, "--json")
    assert typed.status == 2
    assert _asked_about(shell) == [THIRD, FIRST]
    assert json.loads(typed.out) == samples.check(
        {THIRD: DIFFERING[THIRD], FIRST: SAME[FIRST]}
    )
    assert shell("check", "--proxy", "edge-1").status == 0
    # One that cannot be asked is a proxy all the same.
    assert shell("check", "--proxy", "edge-4").status == 1


@pytest.mark.parametrize("names", [("edge-1", "edge-3"), ("edge-3", "edge-1")])
def test_one_answer_is_done_when_each_is(
    shell: Shell, fleet: Fleet, names: tuple[str, str]
) -> None:
    """In whatever order they are asked about."""
    fleet.rows = [WAITING]
    words = [word for name in names for word in ("--proxy", name)]
    typed = shell("check", *words, "--timeout", "0", "--json")
    assert len(shell.asked) == 4
    assert typed.status == 1
    assert json.loads(typed.out)["done"] is False


def test_a_name_that_two_proxies_have_means_both(shell: Shell, fleet: Fleet) -> None:
    """As instances of a group have."""
    both = {key: samples.row(key, name="edge") for key in (FIRST, THIRD)}
    fleet.rows = [SAME | both]
    shell("check", "--proxy", "edge", "--proxy", THIRD)
    assert _asked_about(shell) == [FIRST, THIRD]


@pytest.mark.usefixtures("fleet")
def test_a_name_that_nobody_has_is_told_with_those_that_there_are(shell: Shell) -> None:
    """In one line."""
    typed = shell("check", "--proxy", "edge-9")
    assert (typed.status, typed.out) == (1, "")
    assert typed.err == (
        "haproxy-ec2-sync: no proxy is called 'edge-9'; there are: "
        f"edge-1 ({FIRST}), edge-2 ({SECOND}), edge-3 ({THIRD})\n"
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("nothing to check: no proxy is running", "nothing to check: no proxy"),
        ("unknown action 'check': there are diff, plan", "deploy the same release"),
    ],
)
def test_what_the_function_refuses_is_one_line(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, words: str, said: str
) -> None:
    """Nothing to check; and a function that is older than `check`."""

    def act(_self: World, **_request: Any) -> dict[str, Any]:
        raise BadRequest(words)

    monkeypatch.setattr(World, "act", act)
    typed = shell("check")
    assert (typed.status, typed.out) == (1, "")
    assert said in typed.err
    assert typed.err.count("\n") == 1


@pytest.mark.fault("F162")
def test_a_cut_diff_is_told_with_counts() -> None:
    """Once, whether the host left lines out or the function, which drops the host's own word on it."""
    shown = samples.DIFF.count("\n")
    row = samples.differing(FIRST, diff=samples.DIFF, diff_lines=412)
    text = screen.shown(view.check(samples.check({FIRST: row}), samples.begun()))
    assert f"  {412 - shown} of 412 lines of this diff are not shown\n" in text
    assert text.count("not shown") == 1


def test_a_diff_of_two_proxies_is_shown_once() -> None:
    """Where all of it is the same: of a cut one nobody knows."""
    same = {key: samples.differing(key) for key in (FIRST, SECOND)}
    text = screen.shown(view.check(samples.check(same), samples.begun()))
    assert text.count("--- live file") == 1
    assert "the same diff as edge-1" in text
    same[SECOND] |= {"diff_lines": 99}
    text = screen.shown(view.check(samples.check(same), samples.begun()))
    assert text.count("--- live file") == 2


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"running": samples.STRANGE}, "runs another config: 7a117a11"),
        ({"running": ""}, "live: de9cde9c  candidate: de9cde9c\n  publisher"),
        ({"publisher": ""}, "publisher: none yet"),
        ({"publisher": "arn:aws:cloudformation:r:1:stack/s/u"}, "publisher: stack/s/u"),
        ({"style": "daemon"}, "haproxy: 3.0.11 running, daemon"),
        ({"haproxy": "stopped", "style": ""}, "haproxy: 3.0.11 stopped  agent"),
        ({"result": "differs", "method": "none"}, "would be taken without a reload\n"),
        ({"result": "differs", "method": "syn-drop"}, "would be taken by syn-drop\n"),
        (
            {"result": "refused", "reason": "cannot-bind"},
            "would be refused: cannot-bind\n",
        ),
    ],
)
def test_what_else_a_proxy_says(changes: dict[str, Any], words: str) -> None:
    """In its block."""
    rows = {FIRST: samples.row(FIRST, **changes)}
    assert words in screen.shown(view.check(samples.check(rows), samples.begun()), 150)


def test_in_a_pipe_a_long_line_of_a_diff_is_whole(
    shell: Shell, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As long as a host may print, of characters as wide as two."""
    monkeypatch.delenv("COLUMNS")
    line = "+" + "\N{FULLWIDTH LATIN SMALL LETTER A}" * 23_000
    fleet.rows = [{FIRST: samples.differing(FIRST, diff=line, diff_lines=1)}]
    shown = shell("check").out.splitlines()
    assert f"  {line}" in shown
    assert sum(map(len, shown)) < len(line) + 1000


@pytest.mark.usefixtures("fleet")
def test_what_is_held_or_left_out_is_told(shell: Shell, fleet: Fleet) -> None:
    """It is not in the config that was checked."""
    skipped = [{"instance_id": FIRST, "reason": "bad-port", "detail": "'80a'"}]
    fleet.begun = samples.begun(
        skipped=skipped, hold={"ends": "when the vanished are back"}
    )
    out = shell("check").out
    assert "the hold ends: when the vanished are back" in out
    assert "left out: edge-1: bad-port '80a'" in out
    assert "template: uploaded 2026-11-26T01:00:00Z (1a2b3c4d5e6f7081)" in out
