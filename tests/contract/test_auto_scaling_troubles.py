"""What would cut a session, hold a group up for too long, or replace instances for ever, and does not."""

from collections import Counter
from collections.abc import Collection, Iterator
from typing import Any

import pytest

from haproxy_sync.fleet.model import endpoint
from tests.contract.faults import Fault, calls, failing
from tests.contract.web import (
    DRAIN,
    GROUP,
    HOOK,
    LAUNCH_HOOK,
    TRANSITIONS,
    Web,
)
from tests.contract.world import World, new_world


def everywhere(web: Web, connections: int) -> None:
    """So many connections to every backend, through every proxy."""
    for host in web.world.proxies.values():
        for each in web.world.state.pool:
            host.connections[endpoint(each)] = connections


def launched_for(web: Web, size: int, seconds: int = 400) -> int:
    """How many instances a group launches until it has, or tries to have, so many."""
    seen = before = set(web.states())
    web.scale(size)
    for number in range(seconds // 5):
        web.world.pass_time(5)
        seen = seen | set(web.states())
        if number % 12 == 0:
            web.world.sweep()
    return len(seen - before)


def tag_group(web: Web, key: str, value: str) -> None:
    """Of every instance that it launches from now on."""
    tag = {"Key": key, "Value": value, "PropagateAtLaunch": True}
    group = {"ResourceId": GROUP, "ResourceType": "auto-scaling-group"}
    web.client.create_or_update_tags(Tags=[{**group, **tag}])


@pytest.mark.fault("F275")
def test_a_session_that_begins_after_a_proxy_had_none_is_not_cut(three: Web) -> None:
    """A sticky client comes back through one proxy while another still has a session."""
    first, second = three.world.proxies.values()
    everywhere(three, 1)
    first.connections.clear()
    leaver = three.leaving(2)
    three.wait_for(lambda: three.draining() == {leaver})
    three.world.pass_time(20)
    first.connections.update(second.connections)
    second.connections.clear()
    assert not three.ends(leaver, 30)
    first.connections.clear()
    assert three.ends(leaver, 40)


@pytest.mark.fault("F275")
def test_in_the_first_freeze_no_hook_is_touched() -> None:
    """The proxies run what somebody else gave them, and may send clients there."""
    with new_world(start_frozen=True) as world:
        web = Web(world)
        web.make(3, HOOK)
        world.launch("haproxy", 2)
        world.pass_time(30)
        world.sweep()
        leaver = web.leaving(2)
        assert not web.ends(leaver, 40)
        assert not any(host.checks or host.installed for host in world.proxies.values())


@pytest.mark.fault("F275")
def test_a_lost_state_that_cannot_be_published_anew_ends_no_drain(three: Web) -> None:
    """Proxies go on with the config of before, and its sessions."""
    everywhere(three, 5)
    s3 = three.world.clients.s3
    s3.put_object(Bucket="bucket", Key="state/staging.json", Body=b"rubbish")
    template = "templates/staging/haproxy.cfg.j2"
    s3.put_object(Bucket="bucket", Key=template, Body=b"{{ nonsense( }}")
    leaver = three.leaving(2)
    assert not three.ends(leaver, DRAIN - 10)


@pytest.mark.fault("F276")
@pytest.mark.parametrize("code", ["ThrottlingException", "AccessDeniedException"])
def test_while_no_command_is_taken_nobody_goes(three: Web, code: str) -> None:
    """The proxies do not know yet that it drains."""
    everywhere(three, 7)
    with failing(three.world.clients, "ssm.SendCommand", Fault(400, code), times=9999):
        three.world.inbox.clear()
        three.scale(2)
        _pass_whatever_fails(three.world, DRAIN + 60)
        assert three.in_state("Terminating:Wait")


def _pass_whatever_fails(world: World, seconds: int) -> None:
    """Batches that fail come again."""
    for number in range(seconds):
        world.clock.advance(1)
        world.groups.tick()
        world.service.tick()
        bodies, world.inbox[:] = world.inbox[:10], []
        due = [each for each in world.delayed if each[0] <= world.now]
        world.delayed[:] = [each for each in world.delayed if each not in due]
        bodies += [body for _, _, body in due]
        if bodies and world.deliver(*bodies):
            world.inbox += bodies
        if number % 60 == 0:
            world.sweep()


@pytest.mark.fault("F276")
def test_drain_seconds_of_0_drain_all_the_same() -> None:
    """Sessions are cut then, as somebody wants it; new clients still go elsewhere first."""
    with new_world(drain_seconds=0.0) as world:
        web = Web(world)
        web.create(3, HOOK)
        everywhere(web, 3)
        leaver = web.leaving(2)
        while web.states().get(leaver) == "Terminating:Wait":
            world.pass_time(0.5)
        assert leaver in web.draining() or leaver not in web.served()


@pytest.mark.fault("F281")
@pytest.mark.parametrize("how", ["terminate_instances", "stop_instances"])
def test_a_machine_that_is_gone_holds_nobody_up(web: Web, how: str) -> None:
    """Its group finds out later, and runs the hook for nobody."""
    web.create(3)
    web.hook(HOOK, seconds=1800)
    (gone, *_) = web.states()
    getattr(web.world.clients.ec2, how)(InstanceIds=[gone])
    web.world.pass_time(5)
    web.world.sweep()
    web.wait_for(lambda: gone not in web.states(), seconds=120)


@pytest.mark.fault("F281")
@pytest.mark.parametrize(
    ("key", "value"),
    [("Type", "other"), ("haproxy:port", "99999"), ("Environment", "production")],
)
def test_tags_that_change_during_a_drain_keep_nobody(
    web: Web, key: str, value: str
) -> None:
    """Sessions have DrainSeconds as before; the hook's own timeout of 20 minutes is not waited for."""
    web.create(3)
    web.hook(HOOK, seconds=1200)
    everywhere(web, 1)
    leaver = web.leaving(2)
    web.wait_for(lambda: leaver in web.draining())
    tag = {"Key": key, "Value": value}
    web.world.clients.ec2.create_tags(Resources=[leaver], Tags=[tag])
    web.world.sweep()
    assert web.ends(leaver, DRAIN + 60)


@pytest.mark.fault("F287")
@pytest.mark.parametrize(
    ("key", "value"),
    [("haproxy:weight", "0"), ("haproxy:drain", "true"), ("haproxy:port", "http")],
)
def test_what_takes_no_clients_by_its_tags_is_not_launched_again_and_again(
    web: Web, key: str, value: str
) -> None:
    """It never comes up anywhere, and nobody should wait for that."""
    web.create(2, LAUNCH_HOOK)
    tag_group(web, key, value)
    assert launched_for(web, 3) == 1


@pytest.mark.fault("F287")
def test_without_a_proxy_that_can_be_reached_launches_go_on(web: Web) -> None:
    """As in an outage of Run Command."""
    web.create(2, LAUNCH_HOOK)
    for proxy in list(web.world.proxies):
        web.world.service.disconnect(proxy)
    web.world.pass_time(120)
    assert launched_for(web, 3) == 1


@pytest.mark.fault("F272")
def test_launches_that_fail_change_no_config(web: Web) -> None:
    """Who never was in service is no server, neither on its way out."""
    web.create(2, HOOK)
    web.hook("other-tool", TRANSITIONS[LAUNCH_HOOK], seconds=30)
    before = web.world.state.generation
    assert launched_for(web, 3) > 1
    assert web.world.state.generation == before


@pytest.mark.fault("F286")
def test_one_that_goes_back_into_a_warm_pool_and_is_held_drains() -> None:
    """Too few would be left, so the guard keeps it in the config; the hook waits for its sessions."""
    with new_world(min_backends=2) as world:
        web = Web(world)
        web.create(2, HOOK)
        web.client.put_warm_pool(
            AutoScalingGroupName=GROUP,
            MinSize=0,
            PoolState="Stopped",
            InstanceReusePolicy={"ReuseOnScaleIn": True},
        )
        everywhere(web, 3)
        before = set(web.states())
        web.scale(1)
        web.wait_for(lambda: before - web.states().keys())
        (gone,) = before - web.states().keys()
        web.wait_for(lambda: web.draining() == {gone})
        assert world.state.hold


@pytest.mark.fault("F286")
def test_a_launch_hook_waits_on_the_way_into_a_warm_pool_and_again(web: Web) -> None:
    """No look may fall between: the second wait is another action than the first."""
    web.create(2, LAUNCH_HOOK)
    web.hook(LAUNCH_HOOK, seconds=200)
    web.client.put_warm_pool(
        AutoScalingGroupName=GROUP,
        MinSize=1,
        MaxGroupPreparedCapacity=3,
        PoolState="Running",
    )
    world = web.world
    web.wait_for(lambda: _has_ended(web, web.warm()), step=0.25)
    late: list[dict[str, Any]] = []
    for size, wanted in ((2, "Warmed:Running"), (3, "Pending:Wait")):
        web.scale(size)
        _wait_unseen(web, wanted, late)
    world.inbox.extend(late)
    web.wait_for(lambda: len(web.in_state("InService")) == 3, seconds=60)


def _has_ended(web: Web, instance_ids: Collection[str]) -> bool:
    """Whether an action of one of these is over."""
    return any(
        each.ended_at and each.action.instance_id in instance_ids
        for each in web.world.state.lifecycle_actions
    )


def _wait_unseen(web: Web, state: str, late: list[dict[str, Any]]) -> None:
    """Until an instance is in that state; events of it come later."""
    world = web.world
    for _ in range(60):
        if state in {*web.warm().values(), *web.states().values()}:
            return
        world.clock.advance(0.5)
        world.groups.tick()
        late += world.inbox
        world.inbox.clear()
    raise AssertionError(state)


@pytest.fixture
def long_drain() -> Iterator[Web]:
    """A drain that takes two hours, seen by twelve proxies."""
    with new_world(drain_seconds=7200.0) as world:
        web = Web(world)
        web.create(3, HOOK)
        world.launch("haproxy", 10)
        world.sweep()
        world.settle(300)
        yield web


@pytest.mark.fault("F278")
def test_a_long_drain_costs_few_calls(long_drain: Web) -> None:
    """Proxies are asked together, each quarter of a minute, and EC2 by sweeps alone."""
    world = long_drain.world
    everywhere(long_drain, 1)
    leaver = long_drain.leaving(2)
    world.pass_time(120)
    with calls(world.clients) as made:
        for _ in range(5):
            world.pass_time(60)
            world.sweep()
    assert leaver in long_drain.states()
    counted = Counter(made)
    assert counted["ssm.SendCommand"] <= 30
    assert counted["ec2.DescribeInstances"] <= 15
