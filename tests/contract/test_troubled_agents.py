"""Agents that hang, die, reject and fall silent: nobody else waits for them, nobody is blamed for what is unknown."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from haproxy_sync.rollout import run_command
from haproxy_sync.rollout.progress import WORK_SECONDS
from haproxy_sync.rollout.transitions import LOST_SECONDS
from haproxy_sync.settings import Limit
from haproxy_sync.state.model import Command
from local.run_command import SILENT_SECONDS, WORKER_SECONDS, Trouble
from tests.contract.test_late_output import outcome_of
from tests.contract.test_rollout import breaks, canary, desired, digests, unnoticed
from tests.contract.world import World, changed

DOCUMENT = Path(__file__).parents[2] / "src/host/document.json"
# The first look at a canary comes after fifteen seconds; the end of a command wakes us for the rest.
NOTICED = 15 + WORK_SECONDS


def trouble(world: World, kind: Trouble) -> str:
    """A change of which the first canary is in trouble; gives the canary."""
    for host in world.proxies.values():
        host.agent.trouble = kind
    world.launch()
    world.sweep()
    first = canary(world)
    for key in world.proxies.keys() - {first}:
        world.proxies[key].agent.trouble = Trouble.NONE
    return first


def recover(world: World, first: str, seconds: int) -> None:
    """Its trouble is over, and its next try comes."""
    world.proxies[first].agent.trouble = Trouble.NONE
    world.pass_time(seconds)
    world.sweep()
    world.settle()


def others(world: World, first: str) -> set[str]:
    """What all but that one run."""
    return {host.running for key, host in world.proxies.items() if key != first}


@pytest.mark.fault("F115")
def test_the_time_of_work_is_above_the_document_s() -> None:
    """A program that takes all of its time is not said to hang, nor one whose last reply is a little late."""
    content = json.loads(DOCUMENT.read_text())
    timeouts = [
        step["inputs"].get("timeoutSeconds", 0) for step in content["mainSteps"]
    ]
    assert 10 <= WORK_SECONDS - sum(map(int, timeouts)) <= 60
    assert 2 * SILENT_SECONDS + sum(map(int, timeouts)) < LOST_SECONDS


@pytest.mark.fault("F115")
def test_a_canary_whose_download_hangs_is_replaced(running: World) -> None:
    """By the wakeups alone; it is named, its command stays, and it gets no second one meanwhile."""
    (old,) = digests(running)
    first = trouble(running, Trouble.S3_SILENT)
    running.pass_time(NOTICED - 5)
    assert others(running, first) == {old}
    running.pass_time(15)
    assert others(running, first) == {desired(running)}
    assert outcome_of(running, first) == ("unknown", "download-hanging")
    assert running.state.proxies_in_flight == {first}
    for _ in range(5):
        running.pass_time(60)
        running.sweep()
    assert len(running.proxies[first].agent.orders) == 2


@pytest.mark.fault("F115")
def test_a_download_that_hung_to_its_end_stops_nothing(running: World) -> None:
    """It says nothing about the config, so the rollout of the next one is not stopped; the proxy is asked again."""
    first = trouble(running, Trouble.S3_SILENT)
    running.pass_time(SILENT_SECONDS + 5)
    assert outcome_of(running, first) == ("unknown", "download-hanging")
    assert not running.state.proxies_in_flight
    assert not running.state.proxy_state(first).failed_generation
    running.launch()
    running.sweep()
    running.pass_time(10)
    assert others(running, first) == {desired(running)}
    recover(running, first, 120)
    assert digests(running) == {desired(running)}


@pytest.mark.fault("F115")
@pytest.mark.parametrize("is_newer", [False, True])
def test_a_command_that_runs_late_is_heard(
    running: World,
    is_newer: bool,  # noqa: FBT001 # a column of the table
) -> None:
    """When S3 is back the host does what it was told, and what it says counts; what is newer follows."""
    first = trouble(running, Trouble.S3_SILENT)
    running.pass_time(NOTICED + 15)
    if is_newer:
        running.launch()
        running.sweep()
        running.pass_time(60)
        assert others(running, first) == {desired(running)}
    running.proxies[first].agent.trouble = Trouble.NONE
    running.pass_time(5)
    running.settle()
    assert outcome_of(running, first) == ("installed", "")
    assert digests(running) == {desired(running)}
    assert len(running.proxies[first].agent.orders) == 2 + is_newer


@pytest.mark.fault("F118")
def test_a_canary_that_is_never_listed_is_replaced(
    running: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is shown of it, so it may have the command or not; the others wait no longer than for one that hangs."""
    listed, hidden = run_command.invocations, set[str]()

    def without_hidden(ssm: Any, command: Command) -> list[Mapping[str, Any]]:
        shown = listed(ssm, command)
        return [each for each in shown if each["InstanceId"] not in hidden]

    monkeypatch.setattr(run_command, "invocations", without_hidden)
    hidden.add(trouble(running, Trouble.MUTE))
    (first,) = hidden
    running.pass_time(NOTICED + 15)
    assert others(running, first) == {desired(running)}
    assert outcome_of(running, first) == ("unknown", "no-report")


@pytest.mark.fault("F118")
def test_an_end_that_is_listed_late_costs_a_second(
    running: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The event may be faster than the list, which shows the command at work: it is read again, before any sweep."""
    listed, read = run_command.invocations, Counter[str]()

    def behind(ssm: Any, command: Command) -> list[Mapping[str, Any]]:
        read[command.command_id] += 1
        shown = listed(ssm, command)
        if read[command.command_id] > 1:
            return list(shown)
        at_work = {"Status": "InProgress", "StatusDetails": "InProgress"}
        return [{**each, **at_work, "CommandPlugins": []} for each in shown]

    monkeypatch.setattr(run_command, "invocations", behind)
    running.launch()
    running.sweep()
    running.pass_time(12)
    assert digests(running) == {desired(running)}
    assert running.act("status")["converged"]


@pytest.mark.fault("F115")
def test_a_comparison_that_hangs_is_named(running: World) -> None:
    """Nobody waits for comparisons; that this one hangs is said all the same, and the next change goes on."""
    for host in running.proxies.values():
        host.agent.trouble = Trouble.S3_SILENT
    running.act("verify")
    running.pass_time(20)
    running.sweep()
    running.pass_time(WORK_SECONDS + 5)
    assert {outcome_of(running, key) for key in running.proxies} >= {
        ("unknown", "download-hanging")
    }
    assert not running.act("status")["converged"]


@pytest.mark.fault("F115")
def test_a_comparison_that_hangs_holds_up_no_other(running: World) -> None:
    """What somebody edits on another proxy meanwhile is repaired."""
    first, edited, _ = sorted(running.proxies)
    running.proxies[first].agent.trouble = Trouble.MUTE
    running.act("verify")
    for _ in range(6):
        running.pass_time(50)
        running.sweep()
    assert running.state.proxies_in_flight == {first}
    running.drift(edited)
    running.act("verify")
    running.pass_time(10)
    assert running.proxies[edited].installed == desired(running)


@pytest.mark.fault("F116")
def test_those_behind_a_hanging_proxy_get_another_command(running: World) -> None:
    """One at a time: their turn would come after thirteen minutes, and then the service would send to nobody."""
    running.settings = replace(running.settings, max_concurrency=Limit.parse("1"))
    running.launch()
    running.sweep()
    first = canary(running)
    second = min(running.proxies.keys() - {first})
    running.proxies[second].agent.trouble = Trouble.S3_SILENT
    for _ in range(6):
        running.pass_time(55)
        running.sweep()
    assert others(running, second) == {desired(running)}
    assert outcome_of(running, second) == ("unknown", "download-hanging")
    assert running.state.proxies_in_flight == {second}


@pytest.mark.fault("F116")
def test_those_who_work_are_waited_for_beside_one_that_hangs(running: World) -> None:
    """Whoever is at work in the same command is not given another one; the service lets one more begin per end."""
    running.launch("haproxy", 2)
    running.sweep()
    running.settle()
    running.pass_time(5)
    running.launch()
    running.sweep()
    first = canary(running)
    _, second, third, fourth = sorted(running.proxies.keys() - {first})
    running.proxies[second].agent.trouble = Trouble.S3_SILENT
    running.proxies[third].agent.seconds = 100.0
    running.proxies[fourth].agent.seconds = 170.0
    before = len(running.proxies[fourth].agent.orders)
    for _ in range(6):
        running.pass_time(50)
        running.sweep()
    assert len(running.proxies[fourth].agent.orders) == before + 1
    assert others(running, second) == {desired(running)}
    assert outcome_of(running, fourth) == ("installed", "")


@pytest.mark.fault("F117")
def test_a_host_whose_worker_died_is_asked_again_at_once(running: World) -> None:
    """It has the config already, and says so: no failure, no stop, no second proxy at risk before."""
    first = trouble(running, Trouble.WORKER_KILLED)
    running.pass_time(WORKER_SECONDS)
    assert running.proxies[first].running == desired(running)
    assert others(running, first) != {desired(running)}
    running.proxies[first].agent.trouble = Trouble.NONE
    running.pass_time(8)
    assert outcome_of(running, first) == ("unchanged", "")
    assert others(running, first) == {desired(running)}
    assert not running.state.proxy_state(first).failed_generation


@pytest.mark.fault("F117")
def test_a_host_whose_worker_dies_again_makes_room_for_another(running: World) -> None:
    """The canary is no deadlock: the second death lets another proxy go first."""
    first = trouble(running, Trouble.WORKER_KILLED)
    running.pass_time(2 * (WORKER_SECONDS + 10))
    assert len(running.proxies[first].agent.orders) == 3
    assert others(running, first) == {desired(running)}
    assert outcome_of(running, first) == ("unknown", "agent-died")


@pytest.mark.fault("F118")
def test_a_proxy_that_never_reports_holds_up_nobody_for_long(running: World) -> None:
    """As long as a download that hangs; given up at last it is `no-report`, and gets another command."""
    first = trouble(running, Trouble.MUTE)
    running.pass_time(NOTICED + 15)
    assert others(running, first) == {desired(running)}
    running.pass_time(LOST_SECONDS - NOTICED)
    running.sweep()
    assert outcome_of(running, first) == ("unknown", "no-report")
    recover(running, first, 60)
    assert digests(running) == {desired(running)}


@pytest.mark.fault("F118")
def test_a_taken_command_that_the_service_gives_up_is_no_offline_agent(
    running: World,
) -> None:
    """A service that counts less for the downloads ends it as `DeliveryTimedOut`, although it was delivered."""
    first = trouble(running, Trouble.MUTE)
    running.pass_time(20)
    (command,) = [each for each in running.service.commands if not each.detail.is_final]
    running.clock.advance((command.expires - running.clock()).total_seconds())
    state = running.state
    assert set(state.commands[0].at_work) == {first}
    # Our own patience is shorter than the service's here, and would answer first.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("haproxy_sync.rollout.transitions.LOST_SECONDS", 1e6)
        running.service.tick()
        running.sweep()
    assert outcome_of(running, first) == ("unknown", "no-report")


@pytest.mark.fault("F119")
def test_an_agent_that_rejects_a_command_is_asked_again(running: World) -> None:
    """Without a word there is nobody to blame: it is tried again, then another proxy goes first."""
    first = trouble(running, Trouble.REJECTS)
    running.pass_time(34)
    assert outcome_of(running, first) == ("unknown", "no-step")
    running.pass_time(40)
    assert len(running.proxies[first].agent.orders) == 3
    assert others(running, first) == {desired(running)}
    recover(running, first, 60)
    assert digests(running) == {desired(running)}
    assert running.proxies[first].reloads == 2


@pytest.mark.fault("F119")
def test_a_host_that_fails_is_still_the_only_one_at_risk(running: World) -> None:
    """If it did fail, and only its words got lost, it says so when it is asked again."""
    (old,) = digests(running)
    first = trouble(running, Trouble.REJECTS)
    running.pass_time(20)
    for host in running.proxies.values():
        host.breaks = breaks
    running.proxies[first].agent.trouble = Trouble.NONE
    running.pass_time(30)
    assert outcome_of(running, first) == ("rolled-back", "bind-failed")
    running.deliver(changed())
    assert others(running, first) == {old}
    assert running.orders() == len(running.proxies) + 2


@pytest.mark.fault("F121")
def test_a_bucket_whose_name_does_not_resolve_fails_the_download(
    running: World,
) -> None:
    """After 50 s, with the reason of any download that fails."""
    first = trouble(running, Trouble.S3_NAMELESS)
    running.pass_time(55)
    assert outcome_of(running, first) == ("failed", "download-failed")


@pytest.mark.fault("F122")
def test_a_command_that_nobody_takes_any_more_is_given_up(running: World) -> None:
    """The service says so only after its total timeout, hours later; who is back before that is served before."""
    gone = unnoticed(running)
    assert canary(running) == gone
    for _ in range(2):
        running.pass_time(40)
        running.sweep()
    assert outcome_of(running, gone) == ("missing", "delivery-timed-out")
    running.service.reconnect(gone)
    running.pass_time(60)
    running.sweep()
    running.settle()
    assert digests(running) == {desired(running)}
