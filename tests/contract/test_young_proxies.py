"""A proxy that was launched just now has its config as soon as its agent registers, not at the next sweep."""

from datetime import timedelta

import pytest

from haproxy_sync.rollout.agents import YOUNG_SECONDS
from tests.contract.faults import Fault, calls, failing
from tests.contract.world import World, changed

ASK, LOOK = "ssm.DescribeInstanceInformation", "ec2.DescribeInstances"
MOST = 45
"""Questions about one that never registers."""


def found(world: World, number: int = 1) -> list[str]:
    """New proxies whose launch was told by events, and no agent has registered."""
    ids = world.boot(number)
    for instance_id in ids:
        assert world.deliver(changed(instance_id)) == []
    return ids


def seconds_to_serve(world: World, instance_id: str, most: int = 120) -> int:
    """How long it takes by our own messages alone, with no sweep, until the proxy runs a config."""
    for waited in range(most):
        if world.proxies[instance_id].running:
            return waited
        world.pass_time(1)
    raise AssertionError("it never had one")


def orders(world: World, instance_id: str, action: str) -> int:
    """How many commands its agent was given."""
    given = world.proxies[instance_id].agent.orders
    return sum(order.parameters["Action"] == (action,) for order in given)


@pytest.mark.fault("F266")
@pytest.mark.parametrize("registers_after", [5, 20, 45, 90, 200])
def test_a_proxy_has_its_config_as_soon_as_its_agent_registers(
    running: World, registers_after: int
) -> None:
    """A tenth of its age later at most, and a second for what hosts and messages take."""
    (young,) = found(running)
    running.pass_time(registers_after)
    running.join(young)
    waited = seconds_to_serve(running, young)
    assert waited <= max(3, registers_after / 10) + 4
    assert running.served(young)
    running.settle(10)
    assert running.act("status")["converged"]


@pytest.mark.fault("F266")
def test_waiting_for_an_agent_costs_no_look_at_ec2(running: World) -> None:
    """But for those that every newcomer gets."""
    (young,) = found(running)
    running.pass_time(15)
    with calls(running.clients) as made:
        running.pass_time(40)
        running.join(young)
        seconds_to_serve(running, young)
    assert made.count(ASK) > 3
    assert LOOK not in made


@pytest.mark.fault("F267")
def test_one_that_never_registers_is_left_to_the_sweep(running: World) -> None:
    """It is asked for some dozens of times in five minutes, then as any other; nobody else waits for it."""
    (never,) = found(running)
    with calls(running.clients) as made:
        running.pass_time(YOUNG_SECONDS + 100)
    assert 10 < made.count(ASK) < MOST
    assert running.delayed == []
    (more,) = running.launch()
    running.deliver(changed(more))
    running.settle(20)
    old = [key for key in running.proxies if key != never]
    states = running.act("status")["proxies"]
    assert all(states[key]["settled"] for key in old)
    assert states[never]["reason"] == "agent-not-registered"
    running.pass_time(100)
    assert running.delayed == []
    running.join(never)
    running.sweep()
    assert seconds_to_serve(running, never) <= 3


@pytest.mark.fault("F267")
def test_an_old_proxy_without_an_agent_costs_no_message(running: World) -> None:
    """One that was launched before anybody looked, and was asked for once; and a settled one never did."""
    (old,) = running.boot()
    running.launched(old, running.clock() - timedelta(days=30))
    running.sweep()
    running.pass_time(YOUNG_SECONDS + 60)
    with calls(running.clients) as made:
        for _ in range(3):
            running.sweep()
            running.pass_time(59)
    assert made.count(ASK) <= 2 * 3
    assert made.count("sqs.SendMessage") == 0


@pytest.mark.fault("F267")
def test_a_settled_environment_pays_nothing(running: World) -> None:
    """No message, no question."""
    running.sweep()
    running.pass_time(100)
    assert running.delayed == []
    with calls(running.clients) as made:
        running.sweep()
        running.pass_time(59)
    assert ASK not in made
    assert "sqs.SendMessage" not in made


@pytest.mark.fault("F266")
def test_a_young_proxy_behind_a_rollout_gets_it_when_that_lets_it(
    running: World,
) -> None:
    """The canary is not cut short, nobody overtakes it, and the newcomer waits for no sweep."""
    for host in running.proxies.values():
        host.agent.seconds = 30
    (young,) = found(running)
    running.deliver(changed(*running.launch()))
    running.pass_time(10)
    (canary,) = running.state.commands
    assert canary.purpose == "canary"
    for instance_id in running.proxies.keys() - set(canary.targets):
        running.proxies[instance_id].agent.seconds = 1
    running.join(young)
    running.pass_time(10)
    assert orders(running, young, "apply") == 0
    assert seconds_to_serve(running, young) <= 20
    running.settle()
    assert running.act("status")["converged"]
    assert len({host.running for host in running.proxies.values()}) == 1


@pytest.mark.fault("F266")
def test_nothing_is_sent_to_a_young_proxy_in_a_freeze(running: World) -> None:
    """Its config comes when the freeze ends."""
    running.act("freeze", minutes=10)
    (young,) = found(running)
    running.pass_time(20)
    running.join(young)
    running.pass_time(30)
    assert running.proxies[young].agent.orders == []
    running.act("unfreeze")
    assert seconds_to_serve(running, young) <= 3


@pytest.mark.fault("F266")
def test_a_young_proxy_is_inspected_in_the_first_freeze(fresh: World) -> None:
    """As soon as its agent registers."""
    fresh.sweep()
    fresh.pass_time(5)
    (young,) = found(fresh)
    fresh.pass_time(20)
    fresh.join(young)
    fresh.pass_time(8)
    assert orders(fresh, young, "inspect") == 1
    assert fresh.act("status")["proxies"][young]["inspection"]["has_answered"]
    assert fresh.orders() == 0


@pytest.mark.fault("F266")
def test_a_proxy_that_is_started_again_is_young(running: World) -> None:
    """Its agent was online before, so the service knows it: it has lost the connection."""
    again = min(running.proxies)
    running.service.disconnect(again, silent_seconds=3600)
    running.pass_time(60)
    running.sweep()
    running.pass_time(60)
    running.launched(again, running.clock())
    running.deliver(changed(*running.launch()))
    running.pass_time(20)
    assert running.act("status")["proxies"][again]["reason"] == "agent-offline"
    before = running.proxies[again].running
    running.service.reconnect(again)
    running.pass_time(8)
    assert running.proxies[again].running != before


@pytest.mark.fault("F267")
def test_a_message_that_comes_again_makes_no_more_of_them(running: World) -> None:
    """Queues repeat messages; there is one on its way at a time."""
    found(running)
    running.pass_time(20)
    for _ in range(5):
        (own,) = [each for _, _, each in running.delayed]
        for _ in range(3):
            running.deliver(own)
        assert len(running.delayed) == 1
        running.pass_time(6)


@pytest.mark.fault("F267")
def test_a_message_that_is_lost_is_made_up_for_by_the_sweep(running: World) -> None:
    """The chain goes on from there."""
    (young,) = found(running)
    running.pass_time(20)
    running.delayed.clear()
    running.pass_time(30)
    assert running.delayed == []
    running.sweep()
    running.join(young)
    assert seconds_to_serve(running, young) <= 10


@pytest.mark.fault("F267")
def test_a_question_that_fails_is_not_asked_again_at_once(running: World) -> None:
    """In a freeze nobody needs the answer: the steps go on, at the pace of a question that failed."""
    running.act("freeze", minutes=10)
    found(running)
    with failing(running.clients, ASK, Fault(400, "AccessDeniedException")) as failed:
        running.pass_time(100)
    assert len(failed) <= 3


@pytest.mark.fault("F267")
def test_what_is_done_is_not_done_again(running: World) -> None:
    """A message that comes when the agent is there costs one read of the state."""
    (young,) = found(running)
    running.pass_time(20)
    own = running.delayed[-1][2]
    running.join(young)
    seconds_to_serve(running, young)
    running.settle()
    running.pass_time(100)
    with calls(running.clients) as made:
        running.deliver(own)
    assert made == ["s3.GetObject"]
