"""What is wrong with the proxies' SSM agents is told before a rollout needs them."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from haproxy_sync.rollout.agents import FLOORS, Finding, findings
from haproxy_sync.state.model import Agent
from tests.contract.faults import Fault, calls, failing
from tests.contract.world import World, new_world

ASK = "ssm.DescribeInstanceInformation"


@pytest.fixture
def fresh() -> Iterator[World]:
    """The first freeze: nothing was ever sent."""
    with new_world(start_frozen=True) as made:
        made.launch(number=2)
        made.launch("haproxy", 4)
        yield made


def found(answer: dict[str, Any]) -> dict[str, str]:
    """What is wrong, by proxy."""
    return {
        each["instance_id"]: each["finding"] for each in answer["agents"]["findings"]
    }


def spoil(world: World) -> dict[str, str]:
    """One agent too old, one outdated, one gone, one never there; what should be said of each."""
    too_old, outdated, offline, unregistered = sorted(world.proxies)
    world.proxies[too_old].agent.version = "3.2.985.0"
    world.proxies[outdated].agent.version = "3.3.3185.0"
    world.service.disconnect(offline)
    world.service.deregister(unregistered)
    world.clock.advance(400)  # the service needs some minutes to notice
    return {
        too_old: "agent-too-old",
        outdated: "agent-outdated",
        offline: "agent-offline",
        unregistered: "agent-not-registered",
    }


@pytest.mark.fault("F123")
def test_bad_agents_are_named_before_anything_is_sent(fresh: World) -> None:
    """By a plan before the first look, by status after it."""
    expected = spoil(fresh)
    assert found(fresh.act("plan")) == expected
    fresh.sweep()
    status = fresh.act("status")
    assert found(status) == expected
    assert all(each["advice"] for each in status["agents"]["findings"])
    assert fresh.orders() == 0


@pytest.mark.fault("F123")
def test_a_mended_agent_is_seen_by_the_next_sweep(fresh: World) -> None:
    """Nobody waits for a drift check to see that an update worked."""
    (too_old, *_) = spoil(fresh)
    fresh.sweep()
    fresh.proxies[too_old].agent.version = "3.3.3572.0"
    fresh.pass_time(60)
    fresh.sweep()
    assert too_old not in found(fresh.act("status"))


@pytest.mark.fault("F123")
def test_a_missing_proxy_is_called_what_it_is(world: World) -> None:
    """Whether its agent is away, or was never there."""
    world.launch()
    away, never, _ = world.launch("haproxy", 3)
    world.service.disconnect(away)
    world.service.deregister(never)
    world.clock.advance(400)
    world.sweep()
    world.settle(20)
    proxies = world.act("status")["proxies"]
    assert [
        (proxies[key]["outcome"], proxies[key]["reason"]) for key in (away, never)
    ] == [
        ("missing", "agent-offline"),
        ("missing", "agent-not-registered"),
    ]


@pytest.mark.fault("F123")
def test_events_cost_no_question_about_agents_that_are_well(running: World) -> None:
    """What a step has learned is enough until the drift check."""
    running.sweep()
    with calls(running.clients) as made:
        for _ in range(5):
            running.pass_time(60)
            running.sweep()
    assert ASK not in made


@pytest.mark.fault("F123")
def test_a_question_that_fails_stops_nobody_where_nothing_is_sent(
    fresh: World,
) -> None:
    """The look goes on, and says why it does not know; it does not ask again with each event."""
    with failing(fresh.clients, ASK, Fault(400, "AccessDeniedException")) as failed:
        assert fresh.sweep() == []
        assert fresh.sweep() == []
        assert len(failed) == 1
        status, plan = fresh.act("status"), fresh.act("plan")
    assert status["looked_at"]
    assert status["look_failure"] is None
    assert status["agents"]["failure"]["code"] == "AccessDeniedException"
    assert plan["verdict"] == "waits: frozen until unfreeze"
    assert plan["agents"]["failure"]["operation"] == "DescribeInstanceInformation"
    fresh.pass_time(60)
    fresh.sweep()
    assert fresh.act("status")["agents"]["failure"] is None


@pytest.mark.fault("F126")
def test_a_plan_that_cannot_ask_for_agents_does_not_proceed(running: World) -> None:
    """No command is sent without that answer."""
    running.launch()
    with failing(running.clients, ASK, Fault(400, "AccessDeniedException")):
        verdict = running.act("plan")["verdict"]
    assert verdict.startswith("blocked: DescribeInstanceInformation: AccessDenied")


@pytest.mark.fault("F123")
@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("3.3.3572.0", ()),
        ("3.3.10000.0", ()),
        ("3.10.0.0", ()),
        ("4", ()),
        ("3.3.3571.9", (Finding.OUTDATED,)),
        ("3.3.2746.0", (Finding.OUTDATED,)),
        ("3.3.2745.9", (Finding.TOO_OLD,)),
        ("3.3", (Finding.TOO_OLD,)),
        ("2.3.1319.0", (Finding.TOO_OLD,)),
        ("", (Finding.VERSION_UNKNOWN,)),
        ("3.3.x", (Finding.VERSION_UNKNOWN,)),
        ("3.3.3572.0-beta", (Finding.VERSION_UNKNOWN,)),
        ("٣.٣", (Finding.VERSION_UNKNOWN,)),
    ],
)
def test_versions_compare_as_numbers(
    version: str, expected: tuple[Finding, ...]
) -> None:
    """Those that are none are named, too."""
    assert findings(Agent(version, "Online", 1.0)) == expected


@pytest.mark.fault("F123")
@given(
    st.one_of(st.text(), st.from_regex(r"[0-9.]*", fullmatch=True)),
    st.sampled_from(["Online", "ConnectionLost", "Inactive", "", "Unheard"]),
)
def test_no_version_makes_it_fail(version: str, ping: str) -> None:
    """Whatever the service says."""
    assert set(findings(Agent(version, ping, 1.0))) <= {*Finding}
    assert list(FLOORS) == [Finding.TOO_OLD, Finding.OUTDATED]
