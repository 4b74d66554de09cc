"""What `status` says is so: no false green, no alarm that stays, no wrong time, and what comes next does come."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from haproxy_apply.server_state import Backend
from haproxy_sync.settings import Limit
from local.run_command import Trouble
from tests.contract.faults import Fault, failing
from tests.contract.test_headlines import headline, minutes, name
from tests.contract.test_two_stacks import pass_minutes, rival
from tests.contract.world import World, new_world


@pytest.fixture
def one_subnet() -> Iterator[World]:
    """Backends come from one subnet, on purpose."""
    with new_world(backend_subnets=frozenset({"subnet-0123456789abcdef0"})) as made:
        made.launch(number=2)
        made.launch("haproxy")
        minutes(made, 1)
        yield made


def found(world: World, cause: str) -> dict[str, Any]:
    """The condition with that cause; empty if there is none."""
    every = world.act("status")["conditions"]
    return next((each for each in every if each["cause"] == cause), {})


@pytest.mark.fault("F157")
def test_what_is_left_out_on_purpose_wants_no_attention(one_subnet: World) -> None:
    """Somebody configured the subnets."""
    assert found(one_subnet, "skipped")["health"] == "healthy"


@pytest.mark.fault("F157")
def test_what_is_left_out_by_mistake_wants_attention(running: World) -> None:
    """Whatever else is left out on purpose."""
    running.launch(tags={"haproxy:weight": "heavy"})
    running.sweep()
    assert found(running, "skipped")["health"] == "attention"


@pytest.mark.fault("F153")
def test_a_success_that_nothing_proves_is_not_green(running: World) -> None:
    """Within MaxErrors nobody else is kept from it, and that one proxy does not run what is published."""
    running.settings = replace(running.settings, max_errors=Limit(1), canary=False)
    odd = min(running.proxies)
    host = running.proxies[odd]

    def unproven(_: object) -> tuple[str, str]:
        host.installed = "0" * 32
        return "installed", ""

    host.breaks = unproven
    running.launch()
    minutes(running, 3)
    assert running.state.proxy_states[odd].reason == "unproven"
    answer = running.act("status")
    assert (answer["sync"], answer["health"]) == ("out-of-sync", "degraded")
    assert answer["conditions"][0]["instances"] == [odd]


@pytest.mark.fault("F155")
def test_what_was_said_of_backends_does_not_outlive_a_newer_word(
    running: World,
) -> None:
    """A program of before, gone back to, says nothing of backends: that one was down is not known any more."""
    for host in running.proxies.values():
        host.backends = (Backend("api", 0, 2),)
    minutes(running, 11)
    assert found(running, "backend-down")
    for host in running.proxies.values():
        host.haproxy = None
    minutes(running, 11)
    assert not found(running, "backend-down")
    for proxy in running.act("status")["proxies"].values():
        assert proxy["haproxy"] == "running"
        assert proxy["backends"] is None
    minutes(running, 60)
    assert headline(running).startswith("staging is healthy, in sync")


@pytest.mark.fault("F153")
def test_a_proxy_that_boots_is_no_alarm(running: World) -> None:
    """Its agent registers some seconds after EC2 shows it; if that lasts, it is one."""
    (new,) = running.launch("haproxy")
    running.service.deregister(new)
    running.sweep()
    minutes(running, 2)
    answer = running.act("status")
    assert (answer["sync"], answer["health"]) == ("out-of-sync", "healthy")
    assert found(running, "unreachable")["instances"] == [new]
    minutes(running, 4)
    assert found(running, "unreachable")["health"] == "degraded"
    running.join(new)
    minutes(running, 3)
    assert headline(running).startswith("staging is healthy, in sync: 4 proxies")


@pytest.mark.fault("F153")
def test_a_proxy_that_lost_its_role_is_one_at_once(running: World) -> None:
    """It was there."""
    lost = min(running.proxies)
    running.service.deregister(lost)
    minutes(running, 12)
    assert found(running, "unreachable")["health"] == "degraded"


@pytest.mark.fault("F159")
def test_an_agent_that_is_back_in_a_freeze(running: World) -> None:
    """No command brings it up to date yet; that none reaches it is not so any more."""
    away = min(running.proxies)
    running.service.disconnect(away)
    running.launch()
    minutes(running, 12)
    assert found(running, "unreachable")["instances"] == [away]
    running.act("freeze", minutes=600)
    running.join(away)
    minutes(running, 15)
    assert not found(running, "unreachable")
    assert running.act("status")["sync"] == "out-of-sync"
    running.act("unfreeze")
    minutes(running, 3)
    assert headline(running).startswith("staging is healthy, in sync: 3 proxies")


@pytest.mark.fault("F153")
def test_what_comes_next_is_never_over(running: World) -> None:
    """A command that its agent took and hangs with is not delivered any more, and that was long ago."""
    hanging = min(running.proxies)
    running.proxies[hanging].agent.trouble = Trouble.S3_SILENT
    running.launch()
    running.sweep()
    for _ in range(30):
        minutes(running, 1)
        for each in running.act("status")["conditions"]:
            assert (each["next_at"] or running.now) >= running.now, each
            assert (each["since"] or 0) <= running.now, each


@pytest.mark.fault("F160")
def test_a_drift_check_comes_with_a_look(running: World) -> None:
    """Where sweeps are rare, it is told for the sweep that will see it is due."""
    running.settings = replace(running.settings, sweep_seconds=3600.0)
    looked_at = running.state.looked_at
    for proxy in running.act("status")["proxies"].values():
        assert (proxy["next"], proxy["next_at"]) == ("verify", looked_at + 3600)


@pytest.mark.fault("F158")
def test_a_hand_edit_in_a_freeze(running: World) -> None:
    """Nothing undoes it before the freeze ends; it is as old as when it was seen first, however often it is seen."""
    edited = min(running.proxies)
    running.drift(edited)
    running.act("inspect")
    running.act("freeze", minutes=60)
    until = running.state.freeze
    assert until
    minutes(running, 1)
    first = found(running, "hand-edit")
    assert first["next_at"] == until.until
    minutes(running, 30)
    assert found(running, "hand-edit") == first
    minutes(running, 35)
    assert not found(running, "hand-edit")
    assert found(running, "repaired")


@pytest.mark.fault("F155")
def test_servers_are_down_since_they_were_seen_so(running: World) -> None:
    """However long all was well before, and however often they are seen."""
    minutes(running, 30)
    for host in running.proxies.values():
        host.backends = (Backend("backend", 2, 1),)
    before = running.now
    running.act("inspect")
    minutes(running, 1)
    since = found(running, "servers-down")["since"]
    assert before < since <= running.now
    minutes(running, 30)
    assert found(running, "servers-down")["since"] == since


@pytest.mark.fault("F153")
@pytest.mark.parametrize("cause", ["unknown-outcome", "denied"])
def test_nobody_knows_or_may_since_then(running: World, cause: str) -> None:
    """Since when does not move with the tries, and does not begin before them."""
    minutes(running, 5)
    before = running.now
    broken = min(running.proxies)
    if cause == "denied":
        running.proxies[broken].breaks = lambda _: ("failed", "other-publisher")
    else:
        running.proxies[broken].agent.trouble = Trouble.S3_SILENT
    running.launch()
    running.sweep()
    minutes(running, 6)
    since = found(running, cause)["since"]
    assert before <= since <= running.now
    minutes(running, 10)
    assert found(running, cause)["since"] == since


@pytest.mark.fault("F157")
def test_a_rival_that_is_gone_is_a_note_soon(running: World) -> None:
    """One that is there tries again and again; nobody has to wait a day for the word of one that was deleted."""
    other = rival(running)
    pass_minutes(running, other, 12)
    assert found(running, "rival")["health"] == "attention"
    minutes(running, 70)
    assert found(running, "rival")["health"] == "healthy"
    assert headline(running).startswith("staging is healthy, in sync")


@pytest.mark.fault("F159")
def test_hanging_agents_keep_nobody_else_unknown() -> None:
    """In a freeze all are asked by one command at first; whoever is behind those that hang is asked without them."""
    with new_world() as world:
        world.launch()
        well = set(world.launch("haproxy", 9))
        minutes(world, 2)
        world.act("freeze", minutes=600)
        hanging = set(sorted(well)[:5])
        for key in hanging:
            world.proxies[key].agent.trouble = Trouble.S3_SILENT
        minutes(world, 30)
        proxies = world.act("status")["proxies"]
        unknown = {key for key, each in proxies.items() if each["sync"] == "unknown"}
        assert unknown == hanging
        orders = sum(len(host.agent.orders) for host in world.proxies.values())
        minutes(world, 60)
        spent = sum(len(host.agent.orders) for host in world.proxies.values()) - orders
        assert spent < 60


@pytest.mark.fault("F155")
def test_servers_that_were_down_for_a_moment(running: World) -> None:
    """As after a reload or a launch, before they passed their checks: the proxies are asked again at once."""
    for host in running.proxies.values():
        host.backends = (Backend("backend", 3, 1),)
    running.launch()
    running.sweep()
    running.pass_time(30)
    assert found(running, "servers-down")
    for host in running.proxies.values():
        host.backends = (Backend("backend", 4, 0),)
    minutes(running, 2)
    assert headline(running).startswith("staging is healthy, in sync: 3 proxies")


@pytest.mark.fault("F155")
def test_servers_that_stay_down_cost_little(running: World) -> None:
    """The proxies are asked less and less often, and then once per drift check."""
    for host in running.proxies.values():
        host.backends = (Backend("backend", 3, 1),)
    minutes(running, 60)
    asked = [host.inspections for host in running.proxies.values()]
    assert max(asked) < 8
    minutes(running, 60)
    later = [host.inspections for host in running.proxies.values()]
    assert later == asked


@pytest.mark.fault("F158")
def test_an_edit_that_runs_while_its_file_is_back(running: World) -> None:
    """HAProxy was reloaded with it: the file is right, and what is published does not run."""
    edited = min(running.proxies)
    running.proxies[edited].running = "0" * 32
    running.act("inspect")
    running.pass_time(10)
    assert running.act("status")["sync"] == "out-of-sync"
    assert found(running, "hand-edit")["instances"] == [edited]
    minutes(running, 11)
    assert running.act("status")["sync"] == "synced"


@pytest.mark.fault("F155")
def test_a_worker_that_hangs_is_not_green(running: World) -> None:
    """Its process runs what is published; whether it serves, nobody knows, until it says so again."""
    hung = min(running.proxies)
    told = running.proxies[hung].backends
    running.proxies[hung].backends = None
    running.act("inspect")
    running.pass_time(5)
    assert headline(running) == (
        f"staging is unknown, in sync: HAProxy runs on {name(running, hung)} and does not answer on its stats socket"
        " any more, since 03:01:11 UTC; next drift check at 03:10:11 UTC; see whether HAProxy still serves there,"
        " see docs/runbook.md#haproxy-does-not-answer"
    )
    running.proxies[hung].backends = told
    minutes(running, 12)
    assert running.act("status")["health"] == "healthy"


@pytest.mark.fault("F155")
def test_a_config_without_a_stats_socket_is_no_alarm(running: World) -> None:
    """Its first worker tells of no servers, and so do the later ones."""
    for proxy in running.proxies.values():
        proxy.backends = None
    running.launch()
    minutes(running, 25)
    assert running.act("status")["health"] == "healthy"


@pytest.mark.fault("F157")
def test_a_fence_of_the_future_is_named(running: World) -> None:
    """Such a proxy refuses whatever is published, again and again."""
    ahead = min(running.proxies)
    running.proxies[ahead].breaks = lambda _: ("superseded", "older-generation")
    running.launch()
    minutes(running, 5)
    assert found(running, "superseded")["instances"] == [ahead]
    assert running.act("status")["health"] == "degraded"


@pytest.mark.fault("F157")
def test_a_throttled_inspection_is_no_alarm(running: World) -> None:
    """Nobody waits for it, and it is sent again."""
    throttled = Fault(400, "ThrottlingException")
    with failing(running.clients, "ssm.SendCommand", throttled):
        running.act("inspect")
    assert running.act("status")["health"] == "healthy"
    assert running.act("status")["send_failure"] is None
    minutes(running, 2)
    assert running.act("status")["inspect"]["unanswered"] == []
