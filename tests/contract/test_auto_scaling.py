"""Groups that scale in and out under the real handler: who gets clients when, and how long machines wait for them."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest
from moto.ec2.models import ec2_backends

from haproxy_sync.fleet.model import endpoint
from haproxy_sync.reconcile.lifecycle import UNPROVED_SECONDS
from tests.contract import quick_moto
from tests.contract.faults import Fault, failing
from tests.contract.web import DRAIN, GROUP, HOOK, LAUNCH_HOOK, RETAIN, TRANSITIONS, Web
from tests.contract.world import ACCOUNT, REGION, World, event, new_world


@pytest.mark.fault("F275")
def test_a_machine_waits_for_its_last_session(three: Web) -> None:
    """Nobody new gets there; it goes when the last connection of any worker is over, and leaves the config then."""
    (busy, *_) = three.states()
    for instance_id in three.states():
        three.connect(instance_id, 4)
    leaver = three.leaving(2)
    three.wait_for(lambda: three.draining() == {leaver})
    three.world.pass_time(30)
    status = three.world.act("status")
    (drain,) = status["draining"]
    assert (drain["why"], drain["connections"]) == ("Terminating:Wait", 4)
    (action,) = status["lifecycle_actions"]
    assert (action["hook"], action["behind"], action["result"]) == (HOOK, [], "")
    assert three.in_state("Terminating:Wait") == [leaver]
    three.connect(leaver, 0)
    assert three.ends(leaver, 30)
    three.wait_for(lambda: leaver not in three.served())
    assert not three.has_held()
    assert busy in {leaver, *three.served()}


@pytest.mark.fault("F275")
def test_a_machine_does_not_wait_for_ever(three: Web) -> None:
    """Sessions that do not end have DrainSeconds, and heartbeats keep the hook's own timeout of 60 s away."""
    for instance_id in three.states():
        three.connect(instance_id, 1)
    leaver = three.leaving(2)
    assert not three.ends(leaver, DRAIN - 10)
    assert three.ends(leaver, 30)


@pytest.mark.fault("F281")
def test_the_hooks_own_timeout_is_not_relied_on(web: Web) -> None:
    """The shortest that there is does not cut a drain that takes three times as long."""
    web.create(3)
    web.hook(HOOK, seconds=30)
    for instance_id in web.states():
        web.connect(instance_id, 1)
    leaver = web.leaving(2)
    assert not web.ends(leaver, DRAIN - 10)


@pytest.mark.fault("F276")
@pytest.mark.parametrize("keeps", [False, True])
def test_a_proxy_that_is_offline_delays_a_termination_by_drain_seconds(
    web: Web,
    keeps: bool,  # noqa: FBT001
) -> None:
    """And where the group keeps such instances, this one is kept: its drain could not be proved there."""
    policy: dict[str, Any] = {"InstanceLifecyclePolicy": RETAIN} if keeps else {}
    web.create(3, HOOK, **policy)
    away = min(web.world.proxies)
    web.world.service.disconnect(away)
    web.world.pass_time(120)
    leaver = web.leaving(2)
    assert not web.ends(leaver, DRAIN - 10)
    (action,) = web.world.act("status")["lifecycle_actions"]
    assert [*action["behind"], *action["unreachable"]] == [away]
    assert web.ends(leaver, 30)
    assert (web.states().get(leaver) == "Terminating:Retained") == keeps


@pytest.mark.fault("F276")
def test_a_drain_that_a_freeze_keeps_from_the_proxies_is_told_and_waited_for(
    three: Web,
) -> None:
    """They still send it new clients; unfreeze lets it go."""
    three.world.act("freeze", minutes=120)
    leaver = three.leaving(2)
    assert not three.ends(leaver, DRAIN + 20)
    found = three.causes()["drain-unproved"]
    assert leaver in found["instances"]
    three.world.act("unfreeze")
    assert three.ends(leaver, 60)


@pytest.mark.fault("F276")
def test_what_is_never_proved_ends_all_the_same(three: Web) -> None:
    """A group must not be stopped for ever by a proxy that answers and refuses."""
    three.world.act("freeze", minutes=120)
    leaver = three.leaving(2)
    assert not three.ends(leaver, DRAIN + UNPROVED_SECONDS - 20)
    assert three.ends(leaver, 60)


@pytest.mark.fault("F282")
def test_a_call_that_is_refused_is_told_and_tried_again(three: Web) -> None:
    """As without the environment's tag on the group: in AWS's own words, until it is allowed."""
    fault = Fault(403, "AccessDenied")
    operation = "auto-scaling.CompleteLifecycleAction"
    with failing(three.world.clients, operation, fault) as failed:
        leaver = three.leaving(2)
        assert not three.ends(leaver, 60)
        found = three.causes()["lifecycle-action-failed"]
        assert "AccessDenied" in found["what"]
        assert (found["health"], found["instances"]) == ("degraded", [leaver])
        assert 2 <= len(failed) <= 8
    assert three.ends(leaver, 30)
    assert "lifecycle-action-failed" not in three.causes()


@pytest.mark.fault("F282")
def test_a_call_whose_answer_is_lost_is_made_once_more(three: Web) -> None:
    """The second time the service knows no such action, which is as good."""
    fault = Fault(500, "InternalFailure", is_done=True)
    operation = "auto-scaling.CompleteLifecycleAction"
    with failing(three.world.clients, operation, fault, times=3):
        leaver = three.leaving(2)
        assert three.ends(leaver, 30)
    three.wait_for(lambda: "lifecycle-action-failed" not in three.causes())


@pytest.mark.fault("F282")
def test_one_that_somebody_else_completed_is_over(three: Web) -> None:
    """An operator who was faster: nothing fails, and nothing is left of it."""
    for instance_id in three.states():
        three.connect(instance_id, 1)
    leaver = three.leaving(2)
    three.client.complete_lifecycle_action(
        AutoScalingGroupName=GROUP,
        LifecycleHookName=HOOK,
        InstanceId=leaver,
        LifecycleActionResult="CONTINUE",
    )
    three.wait_for(lambda: leaver not in three.served())
    status = three.world.act("status")
    assert (status["lifecycle_actions"], status["look_failure"]) == ([], None)


@pytest.mark.fault("F281")
def test_a_hook_that_timed_out_is_over(three: Web) -> None:
    """Nobody of us ran meanwhile: the machine went by the hook's default, and we find it gone."""
    begin = three.world.now
    three.scale(2)
    while three.world.now < begin + 90:  # the hook's timeout is 60 s
        three.world.clock.advance(1)
        three.world.groups.tick()
        three.world.inbox.clear()
    assert len(three.states()) == 2
    three.world.delayed.clear()
    three.world.sweep()
    three.wait_for(lambda: three.served().keys() == three.states().keys())
    assert three.world.act("status")["lifecycle_actions"] == []


@pytest.mark.fault("F278")
@pytest.mark.parametrize("lost", ["events", "messages", "state"])
def test_a_drain_goes_on_whatever_is_lost(three: Web, lost: str) -> None:
    """All of it follows from what Auto Scaling and the proxies say; each sweep asks them."""
    for instance_id in three.states():
        three.connect(instance_id, 1)
    leaver = three.leaving(2)
    three.wait_for(lambda: leaver in three.draining())
    world = three.world
    lose: Mapping[str, Callable[[], None]] = {
        "events": world.inbox.clear,
        "messages": world.delayed.clear,
        "state": lambda: _spoil_state(three),
    }
    lose[lost]()
    for proxy in world.proxies.values():
        proxy.connections.clear()
    for _ in range(12):
        if lost != "state":
            lose[lost]()
        three.world.sweep()
        three.world.pass_time(10)
    assert leaver not in three.states()
    assert leaver not in three.served()


def _spoil_state(web: Web) -> None:
    web.world.clients.s3.put_object(
        Bucket="bucket", Key="state/staging.json", Body=b"rubbish"
    )


@pytest.mark.fault("F283")
def test_a_group_that_is_deleted_takes_its_instances_along(three: Web) -> None:
    """Its hooks and actions go with it; no look fails by that."""
    for instance_id in three.states():
        three.connect(instance_id, 1)
    three.leaving(2)
    three.client.delete_auto_scaling_group(AutoScalingGroupName=GROUP, ForceDelete=True)
    three.world.launch(number=2)
    three.world.pass_time(120)
    status = three.world.act("status")
    assert (status["lifecycle_actions"], status["look_failure"]) == ([], None)
    assert len(three.served()) == 2


@pytest.mark.fault("F284")
def test_a_hook_of_somebody_else_is_left_alone(web: Web) -> None:
    """It is neither completed nor prolonged, though the instance drains."""
    web.create(3)
    web.hook("other-tool", TRANSITIONS[HOOK], seconds=40)
    leaver = web.leaving(2)
    web.wait_for(lambda: leaver in web.draining())
    assert not web.ends(leaver, 25)
    assert web.ends(leaver, 30)
    assert web.world.act("status")["lifecycle_actions"] == []


@pytest.mark.fault("F284")
def test_beside_a_hook_of_somebody_else_ours_is_completed_once(web: Web) -> None:
    """The instance waits on for the other one."""
    web.create(3, HOOK)
    web.hook("other-tool", TRANSITIONS[HOOK], seconds=200)
    leaver = web.leaving(2)
    web.wait_for(lambda: _results(web) == ["CONTINUE"])
    ended = web.world.act("status")["lifecycle_actions"][0]["ended_at"]
    assert not web.ends(leaver, 60)
    assert web.world.act("status")["lifecycle_actions"][0]["ended_at"] == ended


def _results(web: Web) -> list[str]:
    return [each["result"] for each in web.world.act("status")["lifecycle_actions"]]


@pytest.mark.fault("F273")
def test_a_group_that_scales_in_is_no_mass_loss(web: Web) -> None:
    """By most of its instances, at once, without any hook, and without a look before they shut down."""
    web.create(10)
    web.world.groups.step_seconds = (
        10  # an instance takes that long to shut down, or longer
    )
    web.scale(3)
    web.wait_for(lambda: len(web.served()) == 3)
    assert not web.has_held()


@pytest.mark.fault("F273")
def test_machines_that_somebody_ends_behind_their_group_are_a_mass_loss(
    web: Web,
) -> None:
    """The group has not let them go; whoever did may have been wrong."""
    web.create(5)
    some = list(web.states())[:3]
    web.world.terminate(*some)
    web.world.pass_time(5)
    web.world.sweep()
    assert web.world.state.hold
    assert set(web.world.state.hold.missing) == set(some)


@pytest.mark.fault("F285")
def test_an_instance_in_standby_drains_and_comes_back(three: Web) -> None:
    """It is in the config all the time, and no new generation takes it out for a moment."""
    (aside, *_) = three.states()
    three.client.enter_standby(
        AutoScalingGroupName=GROUP,
        InstanceIds=[aside],
        ShouldDecrementDesiredCapacity=True,
    )
    three.world.sweep()  # no event tells of it
    three.wait_for(lambda: three.draining() == {aside})
    three.world.pass_time(60)
    before = three.world.state.generation
    three.client.exit_standby(AutoScalingGroupName=GROUP, InstanceIds=[aside])
    three.world.sweep()
    three.world.pass_time(60)
    three.world.sweep()
    three.wait_for(lambda: aside in three.served() and not three.draining())
    changes = [each for each in three.world.state.history if each.generation > before]
    assert [each.removed for each in changes] == [()]


@pytest.mark.fault("F286")
def test_a_warm_pool_is_no_pool_of_ours(web: Web) -> None:
    """Whoever waits there, even running, gets no clients until it is in service; to go back there is no loss."""
    web.create(2)
    web.client.put_warm_pool(
        AutoScalingGroupName=GROUP,
        MinSize=2,
        PoolState="Running",
        InstanceReusePolicy={"ReuseOnScaleIn": True},
    )
    web.world.pass_time(60)
    web.world.sweep()
    web.world.settle()
    assert len(web.served()) == 2
    reasons = {each["reason"] for each in web.world.act("status")["skipped"]}
    assert reasons == {"not-in-service"}
    web.scale(4)
    web.wait_for(lambda: len(web.served()) == 4)
    web.scale(1)
    web.wait_for(lambda: len(web.served()) == 1)
    assert not web.has_held()


@pytest.mark.fault("F286")
def test_hooks_on_the_way_into_a_warm_pool_end_at_once(web: Web) -> None:
    """No client ever gets there, so there is nothing to wait for."""
    web.create(2, HOOK, LAUNCH_HOOK)
    web.client.put_warm_pool(
        AutoScalingGroupName=GROUP, MaxGroupPreparedCapacity=3, PoolState="Running"
    )
    web.wait_for(lambda: list(web.warm().values()) == ["Warmed:Running"])
    assert len(web.served()) == 2


@pytest.mark.fault("F277")
def test_a_new_instance_is_in_service_when_every_proxy_sees_it_up(web: Web) -> None:
    """It joins while the hook waits, and the hook ends when it is up everywhere."""
    web.create(2, LAUNCH_HOOK)
    slow = min(web.world.proxies)
    before = set(web.states())
    web.scale(3)
    web.wait_for(lambda: web.states().keys() > before)
    (newcomer,) = web.states().keys() - before
    web.wait_for(
        lambda: newcomer in {each.instance_id for each in web.world.state.pool}
    )
    (server,) = [
        endpoint(each) for each in web.world.state.pool if each.instance_id == newcomer
    ]
    web.world.proxies[slow].down.add(server)
    if web.states()[newcomer] == "Pending:Wait":
        web.world.pass_time(20)
        assert web.states()[newcomer] == "Pending:Wait"
        assert newcomer in web.served()
    web.world.proxies[slow].down.clear()
    web.wait_for(lambda: web.states()[newcomer] == "InService", seconds=40)


@pytest.mark.fault("F287")
def test_a_freeze_does_not_make_a_group_replace_what_it_launched(web: Web) -> None:
    """The delay is ours, so the hook is prolonged; one that all have and that stays down is the group's matter."""
    web.create(2, LAUNCH_HOOK)
    before = set(web.states())
    web.world.act("freeze", minutes=30)
    web.scale(3)
    web.wait_for(lambda: web.in_state("Pending:Wait"))
    (newcomer,) = web.states().keys() - before
    web.world.pass_time(300)  # the hook's timeout is 60 s
    assert web.states()[newcomer] == "Pending:Wait"
    for proxy in web.world.proxies.values():
        proxy.down.add(_address(web, newcomer))
    web.world.act("unfreeze")
    web.wait_for(lambda: newcomer not in web.states(), seconds=150)


def _address(web: Web, instance_id: str) -> str:
    answer = web.world.clients.ec2.describe_instances(InstanceIds=[instance_id])
    return f"{answer['Reservations'][0]['Instances'][0]['PrivateIpAddress']}:8080"


@pytest.mark.fault("F288")
@pytest.mark.parametrize(
    "operation",
    [
        "auto-scaling.DescribeAutoScalingGroups",
        "auto-scaling.DescribeLifecycleHooks",
        "auto-scaling.DescribeWarmPool",
        "ec2.DescribeSpotInstanceRequests",
    ],
)
def test_what_aws_does_not_say_of_instances_is_not_guessed(
    web: Web, operation: str
) -> None:
    """A look that cannot ask about groups or spot requests changes nothing, as one that cannot ask EC2."""
    is_spot = operation.startswith("ec2.")  # Auto Scaling keeps no spot instance warm
    web.create(3, HOOK, is_spot=is_spot)
    if not is_spot:
        web.keep_warm(1)
    for instance_id in web.states():
        web.connect(instance_id, 1)
    web.leaving(2)
    before = web.world.state
    fault = Fault(503, "ServiceUnavailable")
    with failing(web.world.clients, operation, fault) as failed:
        assert _swept(web, failed) != []
    after = web.world.state
    assert after.look_failure
    assert after.look_failure.operation == operation.partition(".")[2]
    assert replace(after, look_failure=None).publication == before.publication


@pytest.mark.fault("F283")
@pytest.mark.parametrize("operation", ["DescribeLifecycleHooks", "DescribeWarmPool"])
def test_a_group_that_is_deleted_in_the_middle_of_a_look_fails_none(
    web: Web, operation: str
) -> None:
    """It was listed, and has nothing more to say."""
    web.create(2, HOOK)
    web.keep_warm(1)
    for instance_id in web.states():
        web.connect(instance_id, 1)
    web.leaving(1)
    gone = Fault(400, "ValidationError")
    with failing(web.world.clients, f"auto-scaling.{operation}", gone) as failed:
        assert _swept(web, failed) == []
    assert web.world.state.look_failure is None


def _swept(web: Web, failed: list[str]) -> list[str]:
    """The messages that come again of the first sweep in which something failed: one right after a look makes none."""
    for _ in range(30):
        web.world.clock.advance(1)
        again = web.world.sweep()
        if failed:
            return again
    raise AssertionError("nothing failed")


@pytest.mark.fault("F282")
def test_a_completion_that_comes_too_late_is_no_failure(three: Web) -> None:
    """The hook timed out while the call was on its way: Auto Scaling knows no such action any more."""
    late = Fault(400, "ValidationError")
    operation = "auto-scaling.CompleteLifecycleAction"
    with failing(three.world.clients, operation, late) as failed:
        three.leaving(2)
        three.wait_for(lambda: failed)
        three.world.pass_time(5)
    (action,) = three.world.act("status")["lifecycle_actions"]
    assert (action["ended_at"] is None, action["failure"]) == (False, None)
    assert "lifecycle-action-failed" not in three.causes()


@pytest.mark.fault("F272")
def test_a_launch_joins_by_its_event(web: Web) -> None:
    """Within seconds of service, and without a sweep."""
    web.create(2)
    before = set(web.states())
    web.scale(3)
    web.wait_for(lambda: len(web.in_state("InService")) == 3, step=0.25)
    (newcomer,) = web.states().keys() - before
    web.wait_for(lambda: newcomer in web.served(), seconds=15)


@pytest.mark.fault("F274")
def test_a_spot_notice_whose_event_is_lost_is_found_by_the_sweep(web: Web) -> None:
    """It drains, and its end is no loss."""
    web.create(3, is_spot=True)
    (taken, *_) = web.states()
    web.world.groups.interrupt(taken)
    web.world.inbox.clear()
    web.world.sweep()
    web.wait_for(lambda: web.draining() == {taken})
    (drain,) = web.world.act("status")["draining"]
    assert drain["why"] == "spot interruption notice"


def test_a_rebalance_recommendation_is_a_note(three: Web) -> None:
    """In `status`, for an hour; nobody drains by it."""
    (recommended, *_) = three.states()
    arn = f"arn:aws:ec2:eu-west-1a:instance/{recommended}"
    said = event(
        "aws.ec2",
        "EC2 Instance Rebalance Recommendation",
        {"instance-id": recommended},
        arn,
    )
    assert three.world.deliver(said) == []
    status = three.world.act("status")
    assert [each["instance_id"] for each in status["rebalance"]] == [recommended]
    assert "rebalance-recommended" in three.causes()
    three.world.settle()
    assert three.draining() == set()
    for _ in range(7):
        three.world.pass_time(600)
        three.world.sweep()
    assert three.world.act("status")["rebalance"] == []


def test_all_that_drain_are_told(three: Web) -> None:
    """`status` says that new clients get one of them."""
    every = list(three.states())
    three.client.enter_standby(
        AutoScalingGroupName=GROUP,
        InstanceIds=every,
        ShouldDecrementDesiredCapacity=True,
    )
    three.wait_for(lambda: three.draining() == set(every))
    assert three.causes()["all-drain"]["health"] == "attention"
    assert three.world.state.hold is None


@pytest.fixture
def running_joins() -> Iterator[Web]:
    """A stack that takes instances as soon as they run."""
    with new_world(join_when="running") as world:
        yield Web(world)


def test_with_join_when_running_nobody_waits_for_the_group(running_joins: Web) -> None:
    """A hook of somebody else may hold it: it runs, so it gets clients, as with the playbook."""
    running_joins.create(2)
    running_joins.hook("other-tool", TRANSITIONS[LAUNCH_HOOK], seconds=600)
    running_joins.scale(3)
    running_joins.wait_for(lambda: len(running_joins.served()) == 3)
    assert len(running_joins.in_state("Pending:Wait")) == 1


def test_by_default_an_instance_waits_for_everybodys_hooks(web: Web) -> None:
    """It is not in service before."""
    web.create(2)
    web.hook("other-tool", TRANSITIONS[LAUNCH_HOOK], seconds=60)
    web.scale(3)
    web.wait_for(lambda: web.in_state("Pending:Wait"))
    web.world.pass_time(20)
    assert len(web.served()) == 2


@pytest.mark.fault("F279")
@pytest.mark.parametrize("state", ["shutting-down", "stopping"])
def test_a_machine_that_goes_while_it_is_held_is_out_of_the_balance(
    running: World, state: str
) -> None:
    """By EC2's own word, whoever ended it; it stays in the config until the guard lets it go."""
    ids = [each.instance_id for each in running.state.pool]
    _end(ids[:2], state)
    running.sweep()
    running.settle()
    lines = _server_lines(running)
    assert [" disabled" in lines[key] for key in ids] == [True, True, False]
    assert running.state.hold
    _end(ids[2:], state)
    running.sweep()
    running.settle()
    assert not any(" disabled" in line for line in _server_lines(running).values())


def _end(instance_ids: list[str], state: str) -> None:
    """Their machines go, without anybody who said so before."""
    for instance_id in instance_ids:
        instance: Any = ec2_backends[ACCOUNT][REGION].get_instance(instance_id)
        instance._state.name = state  # noqa: SLF001 # moto has no such time
    quick_moto.forget(ACCOUNT, REGION)


def _server_lines(world: World) -> dict[str, str]:
    """By instance, as every proxy runs them."""
    texts = {world.served(key) for key in world.proxies}
    (text,) = texts
    return {
        each.instance_id: line
        for each in world.state.pool
        for line in text.splitlines()
        if line.split()[:1] == ["server"] and line.split()[2] == endpoint(each)
    }


def test_a_plan_says_that_a_drain_is_shorter_than_connections_live(
    world: World,
) -> None:
    """`close-spread-time` of the bundled template is 60 s."""
    world.launch(number=2)
    world.launch("haproxy", 1)
    assert world.act("plan")["warnings"] == []
    world.settings = replace(world.settings, drain_seconds=65.0)
    (warning,) = world.act("plan")["warnings"]
    assert warning.startswith("DrainSeconds is 65, close-spread-time 60 s")


def test_the_log_says_which_actions_ended(
    three: Web, caplog: pytest.LogCaptureFixture
) -> None:
    """And how."""
    leaver = three.leaving(2)
    assert three.ends(leaver, 60)
    (said,) = [
        vars(record)
        for record in caplog.records
        if record.message == "lifecycle-action-ended"
    ]
    assert said["action"]["instance_id"] == leaver
    assert said["result"] == "CONTINUE"
