"""`status`: the headline first, then what else is the matter, then the proxies."""

import json
from typing import Any

import pytest
from rich.console import Console

from haproxy_ec2_sync import clock
from haproxy_ec2_sync.views import status as view
from tests.cli import samples, screen
from tests.cli.conftest import Shell
from tests.cli.samples import NOW
from tests.contract.world import World


class Interrupted:
    """An operator who presses Ctrl-C while the command waits for so many a time."""

    def __init__(self, after: int) -> None:
        self.left = after
        self.waited: list[float] = []

    def __call__(self, seconds: float) -> None:
        """Wait."""
        self.waited.append(seconds)
        self.left -= 1
        if self.left <= 0:
            raise KeyboardInterrupt


@pytest.mark.parametrize("width", [80, 100, 200])
def test_a_fleet_in_trouble(width: int) -> None:
    """Worst first; each line fits."""
    screen.check(f"status-{width}", view.status(samples.status(), NOW), width)
    text = screen.shown(view.status(samples.status(), NOW), width)
    assert max(map(len, text.splitlines())) <= width


@pytest.mark.parametrize("width", [36, *range(40, 80, 6), 72, 78])
def test_a_narrow_terminal_leaves_columns_out(width: int) -> None:
    """Rather than to break each word of all of them into letters."""
    text = screen.shown(view.status(samples.status(), NOW), width)
    lines = text.splitlines()
    (begin,) = (at for at, line in enumerate(lines) if line.startswith("PROXY "))
    assert {"HAPROXY", "LAST"} <= set(lines[begin].split())
    for name in ("edge-1", "edge-2", "edge-3", "edge-4"):
        row = next(line for line in lines[begin:] if line.startswith(f"{name} "))
        assert {"running", "stopped"} & set(row.split())


def test_all_is_well() -> None:
    """The headline says so, and notes are shown all the same."""
    first = samples.condition("frozen until 04:00:00 UTC", "healthy")
    second = samples.condition("HAProxy on edge-2 was edited by hand", "healthy")
    answer = samples.status(
        health="healthy",
        sync="synced",
        headline="staging is healthy, in sync: frozen until 04:00:00 UTC; and 1 more",
        conditions=[first, second],
        proxies={key: samples.proxy(key) for key in samples.NAMES},
        freeze={"until": NOW + 3600, "reason": "maintenance"},
    )
    screen.check("status-healthy", view.status(answer, NOW))


@pytest.mark.fault("F221")
def test_what_a_host_could_not_do_stands_in_its_row() -> None:
    """Its notes below the outcome; old workers below HAProxy; on a wide terminal version and style, too."""
    told = samples.proxy(
        samples.FIRST,
        notes=["no-drop-window", "state-not-saved"],
        window_ms=40,
        old_workers=3,
        haproxy_version="2.6.12",
        style="master-worker",
    )
    answer = samples.status(proxies={samples.FIRST: told})
    text = screen.shown(view.status(answer, NOW), 180)
    for words in (
        "no-drop-window",
        "state-not-saved",
        "3 old workers",
        "2.6.12 master-worker",
        "window 40 ms",
    ):
        assert words in text
    older = samples.status(proxies={samples.FIRST: samples.proxy(samples.FIRST)})
    assert "old worker" not in screen.shown(view.status(older, NOW), 180)


def test_a_hold_a_freeze_and_a_broken_template() -> None:
    """What keeps changes from the proxies is told in words."""
    ends = "at 2026-11-26T03:05:00Z; when the vanished are back"
    answer = samples.status(
        hold={"missing": {"i-1": 1, "i-2": 2}, "reason": "too many", "ends": ends},
        freeze={"until": None, "reason": "first deploy"},
        template_error="haproxy.cfg.j2:7: 'adress' is undefined",
    )
    screen.check("status-kept", view.status(answer, NOW))


def test_a_bucket_that_cannot_be_read() -> None:
    """Every key but the headline is empty."""
    empty: dict[str, Any] = {
        "sync": "unknown",
        "health": "unknown",
        "headline": "staging is unknown, sync unknown: the state cannot be read from s3://b/state/staging.json",
        "conditions": [],
        "proxies": {},
        "backends": [],
        "history": [],
        "looked_at": None,
        "next_look_at": None,
    }
    screen.check("status-unreadable", view.status(samples.status(**empty), NOW))


def test_a_function_of_an_older_release(running: World) -> None:
    """Its answer lacks all that is about health: the rest is shown, and one line says so."""
    answer = running.act("status")
    new = {"headline", "sync", "health", "conditions", "instances", "inspect"}
    old = {key: answer[key] for key in answer if key not in new}
    lines = screen.shown(view.status(old, running.now), 200).splitlines()
    assert "says nothing of health: deploy the same release" in lines[0]
    assert sum("i-" in line for line in lines[1:]) >= len(running.proxies)


def test_a_big_fleet_shows_those_that_are_not_well() -> None:
    """Thirty rows, and how many more there are; `--all` lifts that."""
    every = {f"i-{number:017x}": number for number in range(500)}
    well, ill = (samples.proxy(samples.FIRST), {"health": "degraded"})
    proxies = {
        key: well | {"name": f"edge-{number}"} | (ill if number % 200 == 199 else {})
        for key, number in every.items()
    }
    answer = samples.status(proxies=proxies)
    text = screen.shown(view.status(answer, NOW))
    rows = [line for line in text.splitlines() if line.startswith("edge-")]
    assert [row.split()[0] for row in rows[:2]] == ["edge-199", "edge-399"]
    assert len(rows) == 30
    assert "470 more are not shown (470 healthy): --all shows them" in text
    unlimited = screen.shown(view.status(answer, NOW, limit=None))
    assert "not shown" not in unlimited
    assert sum(line.startswith("edge-") for line in unlimited.splitlines()) == 500


@pytest.mark.parametrize("width", [80, 100])
def test_who_drains_and_what_hooks_wait_for(width: int) -> None:
    """A line each, the oldest first; what Auto Scaling refuses before the rest."""
    answer = samples.status(**samples.leaving())
    screen.check(f"status-leaving-{width}", view.status(answer, NOW), width)


@pytest.mark.parametrize("empty", [{"draining": [], "lifecycle_actions": []}, {}])
def test_nobody_who_comes_or_goes_takes_no_line(empty: dict[str, Any]) -> None:
    """Nor does an answer of a release that says nothing of them."""
    text = screen.shown(view.status(samples.status(**empty), NOW))
    assert "draining" not in text
    assert "lifecycle hook" not in text


def test_many_who_come_and_go_take_few_lines() -> None:
    """Five of each, the failing ones among them, and how many more there are; `--all` lifts that."""
    ids = [f"i-{number:017x}" for number in range(40)]
    failure = {"operation": "CompleteLifecycleAction", "code": "AccessDenied"}
    actions = [samples.action(each, behind=list(samples.NAMES)) for each in ids]
    actions[-1]["failure"] = failure | {"message": "no"}
    drains = [samples.drain(each) for each in ids[:6]]
    answer = samples.status(draining=drains, lifecycle_actions=actions)
    lines = screen.shown(view.status(answer, NOW), 200).splitlines()
    hooks = [line for line in lines if line.startswith("lifecycle hook: ")]
    assert ids[-1] in hooks[0]
    assert hooks[0].endswith("; CompleteLifecycleAction: AccessDenied: no")
    assert "; waits for edge-1, edge-2, edge-3 and 1 more" in hooks[1]
    assert (len(hooks), hooks[-1]) == (6, "lifecycle hook: and 35 more")
    drained = [line for line in lines if line.startswith("draining: ")]
    assert (len(drained), drained[-1]) == (6, "draining: and 1 more")
    every = screen.shown(view.status(answer, NOW, limit=None), 200)
    assert every.count("lifecycle hook: ") == 40
    assert every.count("draining: ") == 6


def test_who_drains_in_the_world(shell: Shell, running: World) -> None:
    """By the function's own answer: the name, the tag, and for how long."""
    (leaving, *_) = running.state.pool
    running.clients.ec2.create_tags(
        Resources=[leaving.instance_id],
        Tags=[{"Key": "haproxy:drain", "Value": "true"}],
    )
    assert f"draining: {leaving.name} (haproxy:drain)" in shell("plan").out
    running.sweep()
    running.pass_time(30)
    told = [
        line for line in shell("status").out.splitlines() if line.startswith("draining")
    ]
    assert len(told) == 1
    assert told[0].startswith(f"draining: {leaving.name} (haproxy:drain) for ")


@pytest.mark.parametrize(
    ("changes", "cell"),
    [
        ({}, "de9cde9c"),
        ({"running": samples.OLD}, "0c9f0c9f behind"),
        ({"running": samples.STRANGE}, "7a117a11 own"),
        ({"desired": "", "running": "", "installed": samples.STRANGE}, "7a117a11 own"),
        ({"running": "", "installed": samples.NEW}, "de9cde9c"),
        ({"running": "", "installed": ""}, "-"),
        # An edit by hand that nobody has activated.
        ({"inspection": {"at": NOW, "installed": samples.STRANGE}}, "7a117a11 own"),
        ({"inspection": {"at": NOW - 90, "installed": samples.STRANGE}}, "de9cde9c"),
    ],
)
def test_which_config_a_proxy_has(changes: dict[str, Any], cell: str) -> None:
    """By its newest word: what it runs or has, behind for an older one of ours, own for none of ours."""
    proxy = samples.proxy(samples.FIRST, **changes)
    answer = samples.status(proxies={samples.FIRST: proxy})
    (row,) = (
        line
        for line in screen.shown(view.status(answer, NOW), 200).splitlines()
        if line.startswith("edge-1")
    )
    assert row.split("2a")[1].split("running")[0].strip() == cell


@pytest.mark.parametrize(
    ("health", "code"),
    [("healthy", 32), ("attention", 33), ("unknown", 35), ("degraded", 31)],
)
def test_the_headline_has_the_colour_of_its_health(health: str, code: int) -> None:
    """On a terminal."""
    console = Console(force_terminal=True, width=100, color_system="standard")
    with console.capture() as capture:
        console.print(view.headline(samples.status(health=health)))
    assert capture.get().startswith(f"\x1b[1;{code}mstaging is ")


@pytest.mark.parametrize(
    ("environment", "is_coloured"),
    [
        ({}, False),
        ({"FORCE_COLOR": "1"}, True),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
    ],
)
def test_colours_are_for_terminals_that_want_them(
    shell: Shell,
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    *,
    is_coloured: bool,
) -> None:
    """As everywhere: none in a pipe, and none with NO_COLOR."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(World, "act", lambda _self, **_request: samples.status())
    assert ("\x1b[31m" in shell("status").out) is is_coloured


def test_the_answer_as_json_is_the_function_s(shell: Shell, running: World) -> None:
    """To the letter."""
    typed = shell("status", "--json")
    assert (typed.status, typed.err) == (0, "")
    assert json.loads(typed.out) == running.act("status")


def test_a_row_for_each_proxy_of_the_world(shell: Shell, running: World) -> None:
    """Nothing is coloured where nobody looks, and the exit code is 0 whatever is so."""
    typed = shell("status")
    assert (typed.status, typed.err) == (0, "")
    assert "\x1b" not in typed.out
    assert sum("installed" in line for line in typed.out.splitlines()) == 3
    assert len(running.proxies) == 3


def test_a_function_that_fails_is_told_in_one_line(
    shell: Shell, running: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With exit code 1."""

    def fail(_self: World, **_request: Any) -> dict[str, Any]:
        raise RuntimeError("no\x1b[31m state\nhere")

    monkeypatch.setattr(type(running), "act", fail)
    typed = shell("status")
    assert (typed.status, typed.out) == (1, "")
    assert "RuntimeError: no\N{REPLACEMENT CHARACTER}[31m state here;" in typed.err
    assert typed.err.count("\n") == 1


def test_watch_prints_a_line_each_time_where_no_terminal_is(
    shell: Shell, running: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until Ctrl-C, which is exit code 130."""
    waits = Interrupted(3)
    monkeypatch.setattr(clock, "sleep", waits)
    typed = shell("status", "--watch", "7")
    assert (typed.status, waits.waited) == (130, [7, 7, 7])
    assert len(typed.out.splitlines()) == 3
    assert "staging" in typed.out
    assert len(running.proxies) == 3


def test_watch_prints_json_a_line_each_time(
    shell: Shell, running: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For a program that reads lines; the interval may be left out."""
    waits = Interrupted(2)
    monkeypatch.setattr(clock, "sleep", waits)
    typed = shell("status", "--json", "--watch")
    assert (typed.status, waits.waited) == (130, [5, 5])
    assert [json.loads(line) for line in typed.out.splitlines()] == [
        running.act("status")
    ] * 2


def test_watch_redraws_in_place_on_a_terminal(
    shell: Shell, running: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cursor goes up, and the answer is drawn over the one before."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setattr(clock, "sleep", Interrupted(2))
    typed = shell("status", "--watch")
    assert typed.status == 130
    assert typed.out.count("\x1b[1A") > len(running.proxies)


@pytest.mark.parametrize("environment", [{}, {"FORCE_COLOR": "1"}])
def test_watch_goes_on_after_a_failure(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]
) -> None:
    """Of a call that AWS throttles, say; but one that never worked ends with it."""
    outcomes = iter([False, True, False])

    def act(_self: World, **_request: Any) -> dict[str, Any]:
        if next(outcomes, True):
            raise RuntimeError("throttled")
        return samples.status()

    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(World, "act", act)
    monkeypatch.setattr(clock, "sleep", Interrupted(3))
    typed = shell("status", "--watch")
    assert typed.status == 130
    assert (typed.out + typed.err).count("RuntimeError: throttled") == 1
    assert typed.out.count("staging is degraded") >= 2
    assert shell("status", "--watch").status == 1


@pytest.mark.parametrize("words", [("--watch", "0"), ("--timeout", "-1")])
def test_no_interval_is_too_short(shell: Shell, words: tuple[str, ...]) -> None:
    """It is said at once."""
    assert shell("status", *words).status == 1
    assert shell.asked == []


def answering(shell: Shell, *unanswered: list[str]) -> list[float]:
    """A function whose `status` awaits these proxies, one time after the other; gives how long was waited."""
    awaited = iter(unanswered)
    last: list[str] = []
    waited: list[float] = []

    def act(_self: World, action: str, **_options: Any) -> dict[str, Any]:
        nonlocal last
        if action != "status":
            return {"action": action}
        last = next(awaited, last)
        return samples.status(inspect={"requested_at": NOW, "unanswered": last})

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        shell.world.pass_time(seconds)

    shell.patch.setattr(World, "act", act)
    shell.patch.setattr(clock, "sleep", sleep)
    return waited


def test_fresh_asks_every_proxy_and_waits_for_the_answers(shell: Shell) -> None:
    """Progress goes to the error stream, so that the answer can be piped."""
    waited = answering(
        shell, [samples.FIRST, samples.SECOND], [samples.FIRST], [samples.FIRST], []
    )
    typed = shell("status", "--fresh", "--json")
    assert typed.status == 0
    assert [each["action"] for each in shell.asked] == ["inspect"] + ["status"] * 5
    assert waited == [2, 2, 2]
    assert typed.err.splitlines() == [
        "waiting for the answer of edge-1, edge-2",
        "waiting for the answer of edge-1",
    ]
    assert json.loads(typed.out)["inspect"]["unanswered"] == []


def test_fresh_says_who_did_not_answer_in_time(shell: Shell) -> None:
    """And shows what is known."""
    waited = answering(shell, [samples.SECOND])
    typed = shell("status", "--fresh", "--timeout", "10")
    assert typed.status == 0
    assert sum(waited) == 10
    assert "within 10 s there was no answer from edge-2\n" in typed.err
    assert "degraded, out of sync: the rollout" in typed.out


def test_fresh_asks_the_world_s_hosts_and_installs_nothing(
    shell: Shell, running: World
) -> None:
    """They say how they are, and no more."""
    orders = running.orders()
    typed = shell("status", "--fresh", "--json")
    assert typed.status == 0
    assert json.loads(typed.out)["action"] == "status"
    running.pass_time(30)
    assert [host.inspections for host in running.proxies.values()] == [1, 1, 1]
    assert running.orders() == orders
