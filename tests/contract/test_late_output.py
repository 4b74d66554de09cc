"""The final status of a command and what the host said of it come apart, in any order, and either may get lost."""

import json
from collections.abc import Callable, Iterator
from itertools import chain, repeat
from types import SimpleNamespace
from typing import Any

import pytest

from haproxy_sync.rollout import driver
from haproxy_sync.rollout.limits import RETRY_SECONDS
from haproxy_sync.rollout.progress import LISTEN_SECONDS
from haproxy_sync.rollout.transitions import LATE_SECONDS, STALL_SECONDS, given_up
from haproxy_sync.state.model import (
    Assignment,
    Command,
    Digest,
    EnvironmentState,
    Publication,
    Purpose,
)
from local.run_command import FINAL, Delay, Detail, DocumentResult, StepResult
from tests.contract.faults import Fault, calls, failing
from tests.contract.test_rollout import canary, desired, digests
from tests.contract.world import World

SILENCE = LISTEN_SECONDS[-1]
NEVER = 1e6
# The slowest seen, and the period by which an older agent sends lost replies again.
SLOW, LOST = (
    0.023,
    300.0,
)

DIGEST = Digest("a" * 64, "b" * 32)


def late(name: str, *seconds: float) -> Delay:
    """The replies of that name take so long, one after the other; all others come at once."""
    delays: Iterator[float] = chain(seconds, repeat(0.0))
    return lambda reply, _version: next(delays) if reply == name else 0.0


def outcome_of(world: World, instance_id: str) -> tuple[str, str]:
    """Outcome and reason that status shows."""
    proxy = world.act("status")["proxies"][instance_id]
    return proxy["outcome"], proxy["reason"]


@pytest.fixture
def changing(running: World) -> Callable[[Delay], str]:
    """Begins a rollout whose replies come like that, and gives its canary."""

    def begin(delay: Delay) -> str:
        running.service.delay = delay
        running.launch()
        running.sweep()
        return canary(running)

    return begin


def test_a_canary_whose_status_comes_first_does_not_stop_the_rollout(
    running: World, changing: Callable[[Delay], str], capsys: pytest.CaptureFixture[str]
) -> None:
    """The output is a moment late, as in half of all commands: we look again within a second, by ourselves."""
    changing(late("apply", *[SLOW] * 3))
    running.pass_time(1 + SLOW + 2)
    assert all(len(host.agent.orders) == 2 for host in running.proxies.values())
    running.settle(5)
    assert digests(running) == {desired(running)}
    assert '"outcome":"failed"' not in capsys.readouterr().out


@pytest.mark.fault("F68")
def test_output_that_never_comes_is_a_failure_after_half_a_minute(
    running: World, changing: Callable[[Delay], str]
) -> None:
    """Not earlier; until then nobody else gets the config, and few looks are spent on it."""
    first = changing(late("apply", NEVER))
    with calls(running.clients) as made:
        running.pass_time(1 + SILENCE - 1)
    assert made.count("ec2.DescribeInstances") <= len(LISTEN_SECONDS)
    assert outcome_of(running, first) == ("installed", "")
    assert not running.act("status")["converged"]
    running.pass_time(3)
    assert outcome_of(running, first) == ("failed", "no-marker")
    assert (
        sum(len(host.agent.orders) for host in running.proxies.values())
        == len(running.proxies) + 1
    )
    running.pass_time(RETRY_SECONDS + 5)
    assert digests(running) == {desired(running)}


def test_a_marker_counts_although_its_absence_was_believed(
    running: World, changing: Callable[[Delay], str]
) -> None:
    """The next look finds it, and the rollout goes on without a retry."""
    first = changing(late("apply", SILENCE + 15.0))
    running.pass_time(SILENCE + 5)
    assert outcome_of(running, first) == ("failed", "no-marker")
    running.pass_time(15)
    running.sweep()
    assert outcome_of(running, first) == ("installed", "")
    running.settle(10)
    assert [len(host.agent.orders) for host in running.proxies.values()] == [2, 2, 2]


def test_output_that_got_lost_counts_when_it_is_sent_again(
    running: World, changing: Callable[[Delay], str]
) -> None:
    """Five minutes later, if nothing else was heard of the proxy."""
    first = changing(late("apply", LOST))
    running.act("freeze", minutes=60)
    running.pass_time(LOST - 60)
    running.sweep()
    assert outcome_of(running, first) == ("failed", "no-marker")
    running.pass_time(65)
    running.sweep()
    assert outcome_of(running, first) == ("installed", "")
    assert not running.state.late


def test_a_late_marker_is_not_the_word_on_a_newer_command(
    running: World, changing: Callable[[Delay], str]
) -> None:
    """The retry has reported meanwhile: what it said stays."""
    first = changing(late("apply", LOST))
    running.pass_time(SILENCE + RETRY_SECONDS + 10)
    assert outcome_of(running, first) == ("unchanged", "")
    before = running.state.proxy_state(first)
    running.pass_time(LOST)
    running.sweep()
    assert running.state.proxy_state(first) == before


def test_a_late_marker_is_not_the_word_on_a_newer_publication(
    running: World, changing: Callable[[Delay], str]
) -> None:
    """The newer config could not be downloaded: that what came before was installed does not make it well."""
    first = changing(late("apply", LOST))
    running.pass_time(20)
    running.proxies[first].agent.behaviour = lambda _: DocumentResult(
        Detail.FAILED,
        (
            StepResult(
                "download",
                Detail.FAILED,
                1,
                "403",
                "",
                running.clock(),
                running.clock(),
            ),
        ),
    )
    running.launch()
    running.act("sync")
    running.pass_time(60)
    running.sweep()
    before = running.state.proxy_state(first)
    assert (before.reason, before.failed_generation) == (
        "download-failed",
        before.sent_generation,
    )
    running.act("freeze", minutes=60)
    running.pass_time(LOST)
    running.sweep()
    assert running.state.proxy_state(first) == before
    assert not running.state.late


def test_a_late_marker_does_not_make_us_deaf_for_a_newer_command(
    running: World, changing: Callable[[Delay], str]
) -> None:
    """The output of the retry got lost too, and comes after that of the first command: each is heard."""
    first = changing(late("apply", 150.0, 150.0))
    running.proxies[first].breaks = lambda _: ("rolled-back", "bind-failed")
    running.pass_time(SILENCE + 5)
    running.proxies[first].breaks = lambda _: None
    running.pass_time(RETRY_SECONDS)
    assert len(running.proxies[first].agent.orders) == 3
    running.pass_time(SILENCE + 5)
    running.act("freeze", minutes=60)
    running.pass_time(55)
    running.sweep()
    assert outcome_of(running, first) == ("rolled-back", "bind-failed")
    running.pass_time(60)
    running.sweep()
    assert outcome_of(running, first) == ("installed", "")
    assert not running.state.late


def test_of_two_late_markers_the_newer_one_is_the_last_word() -> None:
    """Both come between two looks, whichever of their commands fell silent last."""
    markers = {"old": "rolled-back", "new": "installed"}
    commands = {
        name: Command(
            f"{at}.0",
            Purpose.RETRY,
            1,
            1,
            DIGEST,
            ("i-1",),
            at,
            name,
            silent={"i-1": 60.0},
        )
        for name, at in (("new", 2.0), ("old", 1.0))
    }

    def list_command_invocations(**request: Any) -> dict[str, Any]:
        said = {
            "outcome": markers[request["CommandId"]],
            "generation": 1,
            "md5_after": "",
            "running_md5": "b" * 32,
        }
        apply = {
            "Name": "apply",
            "Status": "Success",
            "Output": f"haproxy-ec2-sync {json.dumps(said)}",
        }
        return {
            "CommandInvocations": [
                {"InstanceId": "i-1", "Status": "Success", "CommandPlugins": [apply]}
            ]
        }

    ssm = SimpleNamespace(list_command_invocations=list_command_invocations)
    state, _ = driver.collect(
        ssm, EnvironmentState(late=tuple(commands.values())), 100.0
    )
    assert state.proxy_state("i-1").outcome == "installed"
    assert not state.late


def test_nobody_listens_for_ever(
    running: World, changing: Callable[[Delay], str]
) -> None:
    """Once no agent would send it again, its command is forgotten."""
    changing(late("apply", NEVER))
    running.act("freeze", minutes=60)
    running.pass_time(SILENCE + 5)
    assert running.state.late
    running.pass_time(LATE_SECONDS)
    running.sweep()
    assert not running.state.late


def test_nobody_listens_for_a_proxy_that_is_gone(
    running: World, changing: Callable[[Delay], str]
) -> None:
    """What it would have said is of no use."""
    first = changing(late("apply", NEVER))
    running.pass_time(SILENCE + 5)
    assert [command.targets for command in running.state.late] == [(first,)]
    running.terminate(first)
    running.sweep()
    assert not running.state.late


@pytest.mark.fault("F67")
def test_a_final_status_that_got_lost_holds_up_nobody(
    running: World, changing: Callable[[Delay], str]
) -> None:
    """What the host said is there, and proves all that is asked; no event comes, so the sweep finds it."""
    first = changing(late(FINAL, LOST))
    running.pass_time(5)
    running.sweep()
    assert outcome_of(running, first) == ("installed", "")
    running.settle(10)
    assert digests(running) == {desired(running)}


def test_a_silent_host_in_the_wave_is_waited_for_and_then_stops_the_rest(
    running: World, changing: Callable[[Delay], str]
) -> None:
    """It alone has failed; the others of its wave are settled as soon as they report."""
    first = changing(late("apply", 0.0, NEVER))
    running.pass_time(8)
    one, other = (key for key in sorted(running.proxies) if key != first)
    assert running.state.proxies_in_flight == {one}
    assert outcome_of(running, other) == ("installed", "")
    running.pass_time(SILENCE)
    assert outcome_of(running, one) == ("failed", "no-marker")
    assert not running.state.proxies_in_flight


def test_a_host_that_crashed_is_believed_as_late(
    running: World, changing: Callable[[Delay], str]
) -> None:
    """Its agent reports a failure without any step, which looks the same at first; then the host is asked again."""
    first = changing(late(FINAL))
    running.service.disconnect(first, crash=True)
    running.pass_time(5)
    running.service.reconnect(first)
    running.pass_time(61)
    assert running.state.proxies_in_flight == {first}
    running.pass_time(SILENCE - 2)
    assert running.orders() == len(running.proxies) + 1
    running.pass_time(10)
    assert outcome_of(running, first) == ("installed", "")
    assert digests(running) == {desired(running)}


def test_a_retry_that_no_host_got_does_not_make_us_deaf(
    running: World, changing: Callable[[Delay], str]
) -> None:
    """What the service says of it is not the host's word: the first command's marker still counts."""
    first = changing(late("apply", 100.0))
    running.pass_time(SILENCE + 5)
    running.service.refuses = lambda each: each == first
    running.pass_time(RETRY_SECONDS + 5)
    assert outcome_of(running, first) == ("denied", "access-denied")
    running.pass_time(40)
    running.sweep()
    assert outcome_of(running, first) == ("installed", "")


def test_a_retry_that_was_not_delivered_does_not_make_us_deaf(
    running: World, changing: Callable[[Delay], str]
) -> None:
    """The connection is lost with the output; when it is back, the agent sends what it still has."""
    first = changing(late("apply", LOST + 40))
    running.pass_time(SILENCE + 5)
    running.service.disconnect(first)
    for _ in range(30):
        running.pass_time(10)
        running.sweep()
    running.service.reconnect(first)
    running.pass_time(20)
    running.sweep()
    assert outcome_of(running, first) == ("installed", "")
    assert len(running.proxies[first].agent.orders) == 2


def test_whoever_only_listens_fails_nothing(
    running: World, changing: Callable[[Delay], str]
) -> None:
    """Run Command does not say what became of a late command; looks and publications go on."""
    changing(late("apply", NEVER))
    running.pass_time(SILENCE + 6)
    assert running.state.late
    assert not running.state.commands
    (new,) = running.launch()
    with failing(
        running.clients, "ssm.ListCommandInvocations", Fault(400, "ThrottlingException")
    ):
        assert running.sweep() == []
    assert new in {backend.instance_id for backend in running.state.backends or ()}


def test_a_command_is_asked_for_once_however_many_are_silent() -> None:
    """Fifty hosts of a ramp fall silent one after the other: one command, one entry, one call."""
    targets = tuple(f"i-{number:08x}" for number in range(50))
    command = Command("1.0", Purpose.WAVE, 0, 0, DIGEST, targets, 0.0, "id")
    asked: list[str] = []

    def list_command_invocations(**request: Any) -> dict[str, Any]:
        asked.append(request["CommandId"])
        silent = {"Status": "Success", "StatusDetails": "Success", "CommandPlugins": []}
        ended = int(now * 2 / 3)
        return {
            "CommandInvocations": [
                {"InstanceId": target, **silent} for target in targets[:ended]
            ]
        }

    ssm = SimpleNamespace(list_command_invocations=list_command_invocations)
    publication = Publication(0, 0, 0.0, Assignment(command.digest))
    state = EnvironmentState(commands=(command,), publication=publication)
    for now in range(0, 120, 3):
        state, _ = driver.collect(ssm, state, float(now))
    assert [sorted(each.targets) for each in state.late] == [list(targets)]
    asked.clear()
    driver.collect(ssm, state, 121.0)
    assert asked == ["id"]


def test_a_rollback_does_not_wait_for_silence(world: World) -> None:
    """What an older command has to say is of no use to it."""
    world.launch(number=3)
    world.launch("haproxy")
    world.sweep()
    world.settle()
    world.pass_time(60)
    world.service.delay = late("apply", NEVER)
    world.launch()
    world.sweep()
    only = canary(world)
    world.pass_time(3)
    orders = len(world.proxies[only].agent.orders)
    world.act("rollback", generation=world.act("status")["history"][1]["generation"])
    world.pass_time(6)
    assert len(world.proxies[only].agent.orders) == orders + 1


def test_a_failure_that_was_believed_already_is_not_another_one(
    running: World, changing: Callable[[Delay], str]
) -> None:
    """Its back-off does not grow by being said."""
    first = changing(late("apply", SILENCE + 15.0))
    running.proxies[first].breaks = lambda _: ("rolled-back", "bind-failed")
    running.pass_time(SILENCE + 18)
    running.sweep()
    assert outcome_of(running, first) == ("rolled-back", "bind-failed")
    assert running.state.proxy_state(first).attempts == 1


def test_a_silent_host_does_not_hide_that_nobody_took_the_command() -> None:
    """Others go on after the time that an agent may take, not after the silence is believed."""
    command = Command("1.0", Purpose.WAVE, 0, 0, DIGEST, ("i-1", "i-2"), 0.0, "id")
    silent = {
        "InstanceId": "i-1",
        "Status": "Success",
        "StatusDetails": "Success",
        "CommandPlugins": [],
    }
    waiting = {
        "InstanceId": "i-2",
        "Status": "Pending",
        "StatusDetails": "Pending",
        "CommandPlugins": [],
    }
    ssm = SimpleNamespace(
        list_command_invocations=lambda **_: {"CommandInvocations": [silent, waiting]}
    )
    state = EnvironmentState(
        commands=(command,),
        publication=Publication(0, 0, 0.0, Assignment(command.digest)),
    )
    state, _ = driver.collect(ssm, state, 2.0)
    state, _ = driver.collect(ssm, state, float(STALL_SECONDS))
    assert state.commands[0].is_stalled


def test_each_silence_has_a_time_of_its_own() -> None:
    """A retry that was silent too is listened for its whole time, not only for what is left of the first command's."""
    first, retry = (
        Command(
            f"{number}.0",
            Purpose.RETRY,
            0,
            0,
            DIGEST,
            ("i-1",),
            since,
            "id",
            silent={"i-1": since},
        )
        for number, since in ((1, 0.0), (2, 300.0))
    )
    state = given_up(EnvironmentState(late=(first, retry)), float(LATE_SECONDS))
    assert [command.claim_id for command in state.late] == [retry.claim_id]
    assert not given_up(state, 300.0 + LATE_SECONDS).late
