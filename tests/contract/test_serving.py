"""What the state knows of each proxy's HAProxy: its host's own newest word, whatever the host was asked for."""

import pytest

from haproxy_apply.server_state import Backend
from haproxy_sync.rollout import serving
from haproxy_sync.rollout.reports import Report
from haproxy_sync.state.model import (
    NEVER_EDITED,
    NEVER_OBSERVED,
    NEVER_TOLD,
    BackendServers,
    Command,
    Digest,
    HandEdit,
    HAProxy,
    Outcome,
    Purpose,
    Serving,
)
from tests.contract.test_late_output import LOST, SILENCE, late, outcome_of
from tests.contract.test_rollout import canary
from tests.contract.world import World

WELL = (Backend("api", 1, 0), Backend("backend", 3, 0))
ILL = (Backend("backend", 0, 3), Backend("api", 1, 0))


def word(world: World, instance_id: str) -> Serving:
    """What is known of the proxy's HAProxy."""
    return world.state.proxy_state(instance_id).serving


@pytest.mark.fault("F147")
def test_every_run_tells_how_haproxy_serves(running: World) -> None:
    """A rollout, a comparison that changes nothing, a refusal and an inspection alike."""
    one, other = sorted(running.proxies)[:2]
    running.proxies[one].backends = WELL
    running.launch()
    running.sweep()
    running.settle()
    told = word(running, one)
    assert (told.haproxy, told.more_backends) == ("running", 0)
    assert told.backends == tuple(BackendServers(*each) for each in WELL)
    running.proxies[one].backends = ILL
    running.proxies[other].haproxy = "stopped"
    running.pass_time(60)
    running.act("verify")
    running.pass_time(30)
    told, stopped = word(running, one), word(running, other)
    assert told.backends == tuple(BackendServers(*each) for each in ILL)
    assert running.now - 60 < told.at <= running.now
    assert (stopped.haproxy, stopped.backends) == ("stopped", None)
    running.act("freeze", minutes=60, reason="incident")
    running.proxies[one].backends = WELL
    running.proxies[other].haproxy = "config-not-used"
    running.act("inspect")
    running.pass_time(30)
    told, unused = word(running, one), word(running, other)
    assert told.backends == tuple(BackendServers(*each) for each in WELL)
    assert unused.haproxy == "config-not-used"


@pytest.mark.fault("F147")
def test_many_backends_are_told_as_far_as_there_is_room(running: World) -> None:
    """The first ones, which are the worst, and how many more there are."""
    one = min(running.proxies)
    every = tuple(Backend(f"backend-{number:03}", 0, 2) for number in range(100))
    running.proxies[one].backends = every
    running.act("inspect")
    running.pass_time(30)
    told = word(running, one)
    assert told.backends
    shown = len(told.backends)
    assert told.backends == tuple(BackendServers(*each) for each in every[:shown])
    assert told.more_backends == 100 - shown
    assert 20 < shown < 30


@pytest.mark.fault("F149")
def test_a_host_of_an_earlier_release_says_nothing_of_it(running: World) -> None:
    """What was known before keeps its age."""
    one, other = sorted(running.proxies)[:2]
    before = word(running, one)
    assert before != NEVER_TOLD
    for host in running.proxies.values():
        host.haproxy = None
    running.pass_time(3600)
    running.act("verify")
    running.pass_time(30)
    assert word(running, one) == before
    fresh = running.join(running.launch("haproxy")[0])
    fresh.haproxy = None
    running.sweep()
    running.pass_time(30)
    assert running.state.proxy_state(fresh.instance_id).outcome is Outcome.INSTALLED
    assert word(running, fresh.instance_id) == NEVER_TOLD
    assert word(running, other) != NEVER_TOLD


@pytest.mark.fault("F77")
def test_a_hand_edit_that_was_undone_is_remembered(running: World) -> None:
    """When, and where the edited file is; the comparison after it has another outcome."""
    edited = min(running.proxies)
    running.drift(edited)
    running.act("verify")
    running.pass_time(30)
    found = running.state.proxy_state(edited).hand_edit
    assert found.backup.endswith(".bak")
    assert running.now - 60 < found.at <= running.now
    running.pass_time(60)
    running.act("verify")
    running.pass_time(30)
    observed = running.state.proxy_state(edited)
    assert (observed.outcome, observed.hand_edit) == (Outcome.UNCHANGED, found)
    others = set(running.proxies) - {edited}
    assert {running.state.proxy_state(key).hand_edit for key in others} == {
        NEVER_EDITED
    }


@pytest.mark.fault("F221")
def test_what_hosts_say_beside_the_outcome_reaches_status(running: World) -> None:
    """Until the next change: a comparison that finds nothing to do has no more to say of the last one."""
    for host in running.proxies.values():
        host.more = {
            "notes": "no-drop-window servers-not-up-yet",
            "window_ms": 40,
            "old_workers": 2,
            "haproxy_version": "3.0.11",
            "style": "master-worker",
        }
    running.launch()
    running.sweep()
    running.pass_time(60)
    for host in running.proxies.values():
        host.more = {
            "old_workers": 1,
            "haproxy_version": "3.0.11",
            "style": "master-worker",
        }
    running.act("verify")
    running.pass_time(30)
    for told in running.act("status")["proxies"].values():
        assert told["outcome"] == "unchanged"
        assert told["notes"] == ["no-drop-window", "servers-not-up-yet"]
        assert (told["window_ms"], told["old_workers"]) == (40, 1)
        assert (told["haproxy_version"], told["style"]) == ("3.0.11", "master-worker")
    for host in running.proxies.values():
        host.more = {}
    running.launch()
    running.sweep()
    running.pass_time(60)
    for told in running.act("status")["proxies"].values():
        assert (told["notes"], told["window_ms"]) == ([], 0)


@pytest.mark.fault("F221")
def test_what_is_so_now_is_no_note_of_the_last_change(running: World) -> None:
    """A comparison adds what it noted, and the next one takes that away; those of the change stay."""

    def noted(notes: str) -> list[list[str]]:
        for host in running.proxies.values():
            host.more = {"notes": notes}
        running.act("verify")
        running.pass_time(30)
        told = running.act("status")["proxies"].values()
        return [each["notes"] for each in told]

    for host in running.proxies.values():
        host.more = {"notes": "no-drop-window"}
    running.launch()
    running.sweep()
    running.pass_time(60)
    both = ["no-drop-window", "named-files-changed"]
    assert noted("named-files-changed") == [both] * len(running.proxies)
    assert noted("") == [["no-drop-window"]] * len(running.proxies)


@pytest.mark.fault("F221")
def test_a_file_that_is_installed_while_nothing_runs_has_its_own_notes(
    running: World,
) -> None:
    """It is the last change, though nothing was activated."""
    for host in running.proxies.values():
        host.more = {"notes": "no-drop-window", "window_ms": 40}
    running.launch()
    running.sweep()
    running.pass_time(60)
    for host in running.proxies.values():
        host.haproxy = "stopped"
        host.more = {}
    running.launch()
    running.sweep()
    running.pass_time(60)
    for told in running.act("status")["proxies"].values():
        assert told["outcome"] == "not-running"
        assert (told["notes"], told["window_ms"], told["method"]) == ([], 0, "none")


def report(haproxy: HAProxy, up: int, reason: str = "") -> Report:
    """A host's word."""
    outcome = Outcome.REPAIRED if reason else Outcome.UNCHANGED
    backends = (BackendServers("app", up, 0),)
    backup = f"backup {up}"
    return Report(
        "i-1",
        outcome,
        reason,
        backup=backup,
        haproxy=haproxy,
        haproxy_version=f"2.6.{up}" if up else "",
        backends=backends,
    )


def command(claimed_at: float) -> Command:
    """One that was claimed then."""
    digest = Digest("", "")
    return Command("claim", Purpose.VERIFY, 1, 1, digest, (), claimed_at)


@pytest.mark.fault("F149")
def test_the_newest_command_s_word_stays() -> None:
    """One that comes late is old news, also of a hand edit; of one command the last word counts."""
    newer = serving.heard(
        NEVER_OBSERVED, report(HAProxy.RUNNING, 3, "hand-edit"), command(20.0), 21.0
    )
    assert newer.serving.backends == (BackendServers("app", 3, 0),)
    assert newer.hand_edit == HandEdit(21.0, "backup 3", 20.0)
    assert newer.serving.haproxy_version == "2.6.3"
    late = serving.heard(
        newer, report(HAProxy.STOPPED, 0, "hand-edit"), command(19.0), 22.0
    )
    assert late == newer
    same = serving.heard(newer, report(HAProxy.STOPPED, 0), command(20.0), 22.0)
    assert (same.serving.haproxy, same.serving.at) == ("stopped", 22.0)
    assert same.serving.haproxy_version == "2.6.3"  # a stopped one says none
    assert same.hand_edit == newer.hand_edit


@pytest.mark.fault("F149")
def test_a_late_word_does_not_hide_a_newer_inspection(running: World) -> None:
    """What became of the older command counts; how HAProxy is, the inspection after it told."""
    for host in running.proxies.values():
        host.haproxy = "stopped"
    running.service.delay = late("apply", LOST)
    running.launch()
    running.sweep()
    first = canary(running)
    running.act("freeze", minutes=60, reason="incident")
    running.pass_time(SILENCE + 5)
    assert outcome_of(running, first) == ("failed", "no-marker")
    for host in running.proxies.values():
        host.haproxy = "running"
    running.act("inspect")
    running.pass_time(30)
    before = word(running, first)
    assert before.haproxy == "running"
    running.pass_time(LOST)
    running.sweep()
    assert outcome_of(running, first) == ("not-running", "stopped")
    assert word(running, first) == before
