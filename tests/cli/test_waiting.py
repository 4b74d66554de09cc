"""Waiting: true when it says so, whatever the state of before looks like, and whatever fails on the way."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import (
    ClientError,
    EndpointConnectionError,
    IncompleteReadError,
    PartialCredentialsError,
    ProfileNotFound,
    ReadTimeoutError,
    UnauthorizedSSOTokenError,
)

from haproxy_ec2_sync import clock
from haproxy_ec2_sync.app import INTERRUPTED
from tests.cli.conftest import Shell, quietly
from tests.cli.test_acting import actions, grown
from tests.contract.world import World


def offline(world: World) -> None:
    """The agents of all proxies are gone, as Run Command knows."""
    for instance_id in world.proxies:
        world.service.deregister(instance_id)


def error_of_aws(code: str) -> ClientError:
    """As boto3 raises it."""
    return ClientError({"Error": {"Code": code, "Message": "no"}}, "Invoke")


def after_first_sleep(
    monkeypatch: pytest.MonkeyPatch, world: World, work: Callable[[], object]
) -> None:
    """Something happens while a command sleeps for the first time."""
    left = [work]

    def sleep(seconds: float) -> None:
        world.pass_time(seconds)
        if left:
            left.pop()()

    monkeypatch.setattr(clock, "sleep", quietly(sleep))


def test_a_change_that_no_event_has_told_yet_is_waited_for(
    shell: Shell, running: World
) -> None:
    """The state of before is synchronised and healthy, too."""
    running.launch()
    typed = shell("wait")
    assert typed.status == 0
    assert running.act("status")["generation"] == 2
    assert len({host.running for host in running.proxies.values()}) == 1
    assert running.state.assignment.shared
    assert {host.running for host in running.proxies.values()} == {
        running.state.assignment.shared.md5
    }
    assert "is healthy, in sync" in typed.out
    assert "3 of 3 proxies" in typed.out


def test_a_change_that_ec2_shows_late_is_waited_for(
    shell: Shell, running: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """EC2's answers are eventually consistent: the first look may not see a tag of a moment ago."""
    after_first_sleep(monkeypatch, running, running.launch)
    assert shell("wait").status == 0
    assert running.act("status")["generation"] == 2
    assert running.act("status")["sync"] == "synced"


def test_sync_and_wait_look_twice_as_well(
    shell: Shell, running: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sync itself is the first look."""
    after_first_sleep(monkeypatch, running, running.launch)
    assert shell("sync", "--wait").status == 0
    assert actions(shell)[:2] == ["sync", "status"]
    assert running.act("status")["generation"] == 2


def test_without_a_sync_what_is_known_will_do(shell: Shell, running: World) -> None:
    """That is what --no-sync is for."""
    running.launch()
    assert shell("wait", "--no-sync").status == 0
    assert actions(shell) == ["status"]
    assert running.act("status")["generation"] == 1


def test_progress_is_a_line_for_each_change(shell: Shell, running: World) -> None:
    """Elsewhere than on a terminal; the answer alone is on the standard output stream."""
    running.launch()
    typed = shell("wait", "--json")
    lines = typed.err.splitlines()
    assert lines[0].startswith("0 of 3 proxies: staging is healthy, out of sync")
    assert lines[-1].startswith("3 of 3 proxies: staging is healthy, in sync")
    assert len(set(lines)) == len(lines)
    assert json.loads(typed.out)["action"] == "status"


def test_too_late_is_one_line_with_the_headline(shell: Shell, running: World) -> None:
    """And exit code 1, at the deadline."""
    offline(running)
    running.launch()
    begin = running.now
    typed = shell("wait", "--timeout", "30")
    assert typed.status == 1
    assert 30 <= running.now - begin <= 32
    last = typed.err.splitlines()[-1]
    headline = running.act("status")["headline"].partition(";")[0]
    assert last.startswith(
        "haproxy-ec2-sync: within 30 s not synchronised and healthy (0 of 3 proxies): "
    )
    assert headline.partition(":")[0] in last


@pytest.mark.parametrize("option", [(), ("--allow-attention",)])
def test_attention_is_enough_for_who_says_so(
    shell: Shell, running: World, option: tuple[str, ...]
) -> None:
    """A hold is nothing that a rollout mends."""
    running.terminate(*running.act("status")["backends"][:2])
    typed = shell("wait", "--timeout", "30", *option)
    assert running.act("status")["health"] == "attention"
    assert typed.status == (0 if option else 1)


def test_what_passes_is_borne_until_the_deadline(shell: Shell, running: World) -> None:
    """Throttling, a deploy under way, a broken connection, a function that fails; said at the end."""
    running.launch()
    troubles = [
        error_of_aws("TooManyRequestsException"),
        error_of_aws("ResourceConflictException"),
        EndpointConnectionError(endpoint_url="https://lambda"),
        IncompleteReadError(actual_bytes=1, expected_bytes=2),
        ReadTimeoutError(endpoint_url="https://lambda"),
    ]

    def arriving(_request: dict[str, Any]) -> None:
        if troubles:
            raise troubles.pop()

    shell.arriving = arriving
    typed = shell("wait")
    assert typed.status == 0
    assert running.act("status")["generation"] == 2
    assert "5 questions failed, the last one: " in typed.err
    assert "TooManyRequestsException" in typed.err.splitlines()[-1]


def test_what_never_passes_ends_the_wait_at_once(shell: Shell, running: World) -> None:
    """Nobody waits ten minutes for a right that is missing."""

    def arriving(_request: dict[str, Any]) -> None:
        raise error_of_aws("AccessDeniedException")

    shell.arriving = arriving
    begin = running.now
    typed = shell("wait")
    assert typed.status == 1
    assert len(typed.err.splitlines()) == 1
    assert "AccessDeniedException" in typed.err
    assert running.now == begin


def test_no_answer_at_all_is_said_at_the_deadline(shell: Shell, running: World) -> None:
    """With the last error."""

    def arriving(_request: dict[str, Any]) -> None:
        raise error_of_aws("ThrottlingException")

    shell.arriving = arriving
    begin = running.now
    typed = shell("wait", "--timeout", "20")
    assert typed.status == 1
    assert 20 <= running.now - begin <= 22
    last = typed.err.splitlines()[-1]
    assert "within 20 s the function gave no status; " in last
    assert "ThrottlingException" in last


@pytest.mark.parametrize("minutes", [60, 1])
def test_a_freeze_is_waited_for_if_it_ends_in_time(
    shell: Shell, running: World, minutes: int
) -> None:
    """What is frozen looks synchronised: success would say of a change that it is live."""
    running.act("freeze", minutes=minutes, reason="move")
    running.launch()
    begin = running.now
    typed = shell("wait", "--timeout", "300")
    if minutes == 1:
        assert typed.status == 0
        assert running.act("status")["generation"] == 2
        assert running.act("status")["sync"] == "synced"
        return
    assert typed.status == 1
    assert running.now == begin
    assert "frozen until 2026-11-22T04:01:07Z" in typed.err.splitlines()[-1]
    assert "(move)" in typed.err.splitlines()[-1]


def test_a_rollback_is_waited_for_under_its_own_freeze(
    shell: Shell, running: World
) -> None:
    """Until all have it."""
    grown(running)
    typed = shell("rollback", "1", "--yes", "--wait")
    assert typed.status == 0
    status = running.act("status")
    assert (status["generation"], status["sync"]) == (3, "synced")
    assert status["freeze"]


def test_a_verification_is_waited_for(shell: Shell, running: World) -> None:
    """Until every proxy has spoken since; the state is synchronised all the time."""
    last = max(proxy["heard_at"] for proxy in running.act("status")["proxies"].values())
    edited = next(iter(running.proxies))
    running.drift(edited)
    assert shell("verify", "--wait").status == 0
    heard = [proxy["heard_at"] for proxy in running.act("status")["proxies"].values()]
    assert min(heard) > last
    assert running.proxies[edited].installed == running.proxies[edited].running


def test_a_generation_is_waited_for(
    shell: Shell, running: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever publishes it."""
    after_first_sleep(monkeypatch, running, lambda: grown(running))
    assert shell("wait", "--generation", "2").status == 0
    assert set(actions(shell)) == {"status"}
    assert running.act("status")["generation"] == 2
    typed = shell("wait", "--generation", "3", "--timeout", "10")
    assert typed.status == 1
    assert "within 10 s generation 3 was not published, but 2: " in typed.err


def test_an_older_function_cannot_be_waited_for(
    shell: Shell, running: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has no word for it: one line, at once."""
    act = running.act

    def older(action: str, **options: Any) -> dict[str, Any]:
        answer = act(action, **options)
        return {name: answer[name] for name in answer if name not in {"sync", "health"}}

    monkeypatch.setattr(running, "act", older)
    typed = shell("wait")
    assert typed.status == 1
    assert typed.err.splitlines()[-1].startswith(
        "haproxy-ec2-sync: this function is older than this command line"
    )


def test_an_interrupt_ends_it(
    shell: Shell, running: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C, as shells say it."""
    running.launch()

    def interrupted(_seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(clock, "sleep", interrupted)
    assert shell("wait").status == INTERRUPTED


def test_on_a_terminal_progress_is_one_line_that_goes(
    shell: Shell, running: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is drawn over, and the cursor is back at the end."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    running.launch()
    typed = shell("wait")
    assert typed.status == 0
    assert "0 of 3 proxies: " in typed.err
    hidden, shown, erased = "\x1b[?25l", "\x1b[?25h", "\x1b[2K"
    assert typed.err.index(hidden) < typed.err.rindex(erased)
    assert typed.err.index(hidden) < typed.err.rindex(shown)


def test_the_answer_of_what_was_done_stays_the_only_json(
    shell: Shell, running: World
) -> None:
    """A script reads the same with --wait and without, and the exit code tells the rest."""
    running.launch()
    typed = shell("sync", "--wait", "--json")
    assert typed.status == 0
    assert json.loads(typed.out)["action"] == "sync"
    assert running.act("status")["sync"] == "synced"


def test_a_clock_that_is_fast_does_not_end_a_freeze(
    shell: Shell, running: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the operator's clock it is over, by the function's it is not: only the function knows."""
    running.act("freeze", minutes=2)
    running.launch()
    monkeypatch.setattr(clock, "now", lambda: running.now + 100)
    assert shell("wait", "--timeout", "300").status == 0
    assert running.act("status")["freeze"] is None
    assert running.act("status")["generation"] == 2
    assert running.act("status")["sync"] == "synced"


def test_a_freeze_that_somebody_lengthens_is_seen(
    shell: Shell, running: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it is waited for."""
    running.act("freeze", minutes=1)
    running.launch()
    after_first_sleep(monkeypatch, running, lambda: running.act("freeze", minutes=60))
    typed = shell("wait", "--timeout", "300")
    assert typed.status == 1
    assert "frozen until" in typed.err.splitlines()[-1]


def test_less_time_than_ec2_needs_is_said(shell: Shell, running: World) -> None:
    """All is well, but nobody knows whether by a look that saw the change."""
    typed = shell("wait", "--timeout", "3")
    assert typed.status == 1
    last = typed.err.splitlines()[-1]
    assert "EC2 shows a change some 5 s late" in last
    assert "--timeout" in last
    assert "not synchronised" not in last
    assert running.state.generation == 1


@pytest.mark.parametrize(
    "error",
    [
        error_of_aws("ValidationError"),
        error_of_aws("UnauthorizedOperation"),
        error_of_aws("RequestExpired"),
        UnauthorizedSSOTokenError(),
        PartialCredentialsError(provider="env", cred_var="secret"),
        ProfileNotFound(profile="nobody"),
    ],
    ids=repr,
)
def test_a_wait_does_not_hide_what_only_the_operator_mends(
    shell: Shell, running: World, error: Exception
) -> None:
    """A sign-in that is over, a name that no stack can have: at once, in one line."""

    def arriving(_request: dict[str, Any]) -> None:
        raise error

    shell.arriving = arriving
    begin = running.now
    typed = shell("wait")
    assert (typed.status, running.now) == (1, begin)
    assert len(typed.err.splitlines()) == 1
