"""What a person can ask, and what the guard makes of a bad day."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from haproxy_sync.errors import BadRequest
from haproxy_sync.state.store import Store
from tests.contract.conftest import settled
from tests.contract.faults import calls
from tests.contract.test_late_output import NEVER, late
from tests.contract.world import World, changed, new_world


def backend_ids(world: World) -> list[str]:
    """The accepted pool."""
    return [backend.instance_id for backend in world.state.backends or ()]


def served_addresses(world: World) -> set[str]:
    """Whom the proxies send traffic to."""
    (key, *_) = world.proxies
    return {
        line.split()[2]
        for line in world.served(key).splitlines()
        if line.split()[:1] == ["server"]
    }


@pytest.mark.fault("F18")
def test_an_empty_answer_changes_nothing(running: World) -> None:
    """The old config stays, and status says why."""
    served = served_addresses(running)
    running.terminate(*backend_ids(running))
    running.pass_time(60)
    running.sweep()
    assert len(backend_ids(running)) == 3
    assert "no backend is left" in running.act("status")["hold"]["reason"]
    assert served_addresses(running) == served


@pytest.mark.fault("F18")
def test_a_mistyped_tag_at_the_first_deploy_leaves_the_proxies_alone(
    world: World,
) -> None:
    """Nothing is known from before and nothing is found: however long that lasts, the playbook's file stays."""
    world.launch("haproxy")
    for _ in range(10):
        world.sweep()
        world.pass_time(60)
    assert world.orders() == 0
    assert "none is known from before" in world.act("status")["hold"]["reason"]
    world.launch()
    world.sweep()
    world.settle()
    assert world.act("status")["converged"]


def six_of_ten(world: World) -> list[str]:
    """Let the three backends become ten, and give six of them, which are too many to lose."""
    world.launch(number=7)
    world.sweep()
    world.settle()
    return backend_ids(world)[:6]


@pytest.mark.fault("F19")
def test_a_mass_loss_is_believed_when_it_lasts(running: World) -> None:
    """Held for five minutes of looks; the look that confirms it comes by itself."""
    gone = six_of_ten(running)
    running.terminate(*gone)
    running.pass_time(60)
    running.sweep()
    assert len(backend_ids(running)) == 10
    running.launch()
    running.pass_time(60)
    running.sweep()
    assert len(backend_ids(running)) == 11
    running.settle(20)
    assert len(served_addresses(running)) == 11
    running.pass_time(300 - 60 - 20 + 2)
    assert len(backend_ids(running)) == 5
    assert running.state.hold is None
    running.settle()
    assert len(served_addresses(running)) == 5


@pytest.mark.fault("F19")
def test_newcomers_do_not_end_a_hold(running: World) -> None:
    """Six of ten are gone by somebody's mistake; two that join a minute later change nothing for the six."""
    lost = six_of_ten(running)
    running.pass_time(60)
    running.clients.ec2.create_tags(
        Resources=lost, Tags=[{"Key": "Environment", "Value": "stagign"}]
    )
    running.sweep()
    since = running.now
    running.pass_time(60)
    new = running.launch(number=2)
    running.deliver(changed(new[0]))
    running.pass_time(120)
    status = running.act("status")
    assert {*lost, *new} <= set(status["backends"])
    assert status["hold"]["ends_at"] == since + 300
    ends = datetime.fromtimestamp(since + 300, UTC)
    assert status["hold"]["ends"].startswith(f"at {ends:%Y-%m-%dT%H:%M:%SZ}; ")
    running.pass_time(300 - 180 + 2)
    assert set(backend_ids(running)) & {*lost, *new} == set(new)


@pytest.mark.fault("F19")
def test_whose_hold_ends_during_a_rollout_goes_with_the_next_publication(
    running: World,
) -> None:
    """Six of ten were missing for the whole time; that a seventh is held yet, and a canary silent, adds nothing."""
    running.launch(number=7)
    running.sweep()
    running.settle()
    *lost, later = backend_ids(running)[:7]
    running.pass_time(60)
    running.terminate(*lost)
    running.sweep()
    running.pass_time(100)
    running.terminate(later)
    running.sweep()
    running.pass_time(190)
    running.service.delay = late("apply", NEVER)
    running.launch()
    running.sweep()
    running.pass_time(12)  # their time is over, and the rollout is not
    assert {*lost, later} <= {*running.act("status")["hold"]["missing"]} & {
        *backend_ids(running)
    }
    running.pass_time(30)
    assert {*lost, later} & {*backend_ids(running)} == {later}
    assert list(running.act("status")["hold"]["missing"]) == [later]


@pytest.mark.fault("F19")
def test_who_is_back_during_a_rollout_is_no_longer_held(running: World) -> None:
    """Although nothing can be published yet: if it vanishes once more, it has the whole hold time."""
    (back, *_) = lost = six_of_ten(running)
    running.clients.ec2.stop_instances(InstanceIds=lost)
    running.pass_time(60)
    running.sweep()
    running.service.delay = late("apply", NEVER)
    running.launch()
    running.pass_time(60)
    running.sweep()
    running.pass_time(10)
    running.launch()
    running.clients.ec2.start_instances(InstanceIds=[back])
    running.sweep()
    assert running.state.queued
    assert sorted(running.act("status")["hold"]["missing"]) == sorted(
        set(lost) - {back}
    )


@pytest.mark.fault("F19")
def test_a_hold_that_ends_during_a_rollout_waits_for_nothing(running: World) -> None:
    """A newcomer's publication waits for a silent canary; the end of the whole hold does not, and brings it along."""
    running.launch(number=7)
    running.sweep()
    running.settle()
    *lost, later = backend_ids(running)[:7]
    running.pass_time(60)
    running.terminate(*lost)
    running.sweep()
    running.pass_time(17)
    running.terminate(later)
    running.sweep()
    running.pass_time(277)
    running.service.delay = late("apply", NEVER)
    running.launch()
    running.sweep()
    running.pass_time(10)
    (new,) = running.launch()
    running.sweep()
    status = running.act("status")
    assert new not in status["backends"]
    running.pass_time(status["hold"]["ends_at"] - running.now + 1)
    assert {*lost, later, new} & {*backend_ids(running)} == {new}
    assert running.act("status")["hold"] is None


@pytest.mark.fault("F18")
def test_an_emptied_pool_is_never_published_by_time_alone(running: World) -> None:
    """However long it lasts, every proxy keeps its servers, and `status` says what ends that."""
    served = served_addresses(running)
    running.terminate(*backend_ids(running))
    for _ in range(90):
        running.pass_time(60)
        running.sweep()
    assert served_addresses(running) == served
    status = running.act("status")
    assert not status["converged"]
    assert status["hold"]["ends_at"] is None
    assert status["hold"]["ends"].startswith(
        "not by time while so few are left (MinBackends, EmptyPool)"
    )
    old = backend_ids(running)
    (new,) = running.launch()
    running.sweep()
    running.settle(60)
    assert backend_ids(running) == sorted([*old, new])
    running.pass_time(300)
    assert backend_ids(running) == [new]
    running.settle()
    assert running.act("status")["converged"]


@pytest.mark.fault("F18")
@pytest.mark.parametrize("key", ["Type", "Environment"])
def test_a_tag_taken_from_all_empties_no_pool(running: World, key: str) -> None:
    """Without its type each is still an instance of the environment: its address is its own, not somebody else's."""
    served = served_addresses(running)
    running.clients.ec2.delete_tags(Resources=backend_ids(running), Tags=[{"Key": key}])
    running.sweep()
    running.pass_time(60)
    assert running.state.hold
    assert served_addresses(running) == served


@pytest.mark.fault("F18")
def test_a_mistake_can_be_undone_one_by_one(running: World) -> None:
    """Everybody was retagged and is held without end; the first that is back does not cost the others their traffic."""
    ids = backend_ids(running)
    running.clients.ec2.create_tags(
        Resources=ids, Tags=[{"Key": "Environment", "Value": "stagign"}]
    )
    for _ in range(10):
        running.pass_time(60)
        running.sweep()
    for number, instance_id in enumerate(ids):
        running.clients.ec2.create_tags(
            Resources=[instance_id], Tags=[{"Key": "Environment", "Value": "staging"}]
        )
        running.pass_time(60)
        running.sweep()
        assert backend_ids(running) == ids, number
    assert running.state.hold is None


def test_a_hold_does_not_end_during_a_freeze(running: World) -> None:
    """Neither by time nor by an override, which could not be published; `status` says so."""
    running.act("freeze", minutes=60)
    running.terminate(*backend_ids(running)[:2])
    running.sweep()
    before = running.act("status")["hold"]
    assert before["ends"].startswith("not before the freeze")
    assert before["ends_at"] is None
    running.act("sync", allow_mass_removal=True)
    running.pass_time(600)
    running.sweep()
    assert running.act("status")["hold"]["missing"] == before["missing"]
    running.clock.advance(3600)
    status = running.act("status")
    assert status["freeze"] is None
    assert status["hold"]["ends"].startswith("at ")


def test_a_hold_is_not_said_to_end_while_the_template_is_broken(running: World) -> None:
    """Nothing can be published then."""
    running.terminate(*backend_ids(running)[:2])
    running.sweep()
    running.clients.s3.put_object(
        Bucket="bucket", Key="templates/staging/haproxy.cfg.j2", Body=b"{{ nobody }}"
    )
    running.pass_time(600)
    running.sweep()
    hold = running.act("status")["hold"]
    assert hold["ends_at"] is None
    assert hold["ends"].startswith("not before the template renders")


def test_a_held_address_that_another_kind_of_instance_got_is_given_up(
    running: World,
) -> None:
    """The pool is empty and held without end; a Redis in the environment gets an address of it."""
    (taken, *rest) = running.state.backends or ()
    running.terminate(*backend_ids(running))
    running.pass_time(60)
    running.sweep()
    running.clients.ec2.run_instances(
        ImageId="ami-12345678",
        MinCount=1,
        MaxCount=1,
        PrivateIpAddress=taken.address,
        TagSpecifications=[
            {
                "ResourceType": "instance",
                "Tags": [
                    {"Key": "Environment", "Value": "staging"},
                    {"Key": "Type", "Value": "redis"},
                ],
            }
        ],
    )
    running.pass_time(60)
    running.sweep()
    running.settle(20)
    assert backend_ids(running) == [each.instance_id for each in rest]
    assert taken.address not in {
        address.partition(":")[0] for address in served_addresses(running)
    }


def test_a_plan_never_proceeds_beside_a_template_error(running: World) -> None:
    """It could not."""
    running.launch()
    running.clients.s3.put_object(
        Bucket="bucket", Key="templates/staging/haproxy.cfg.j2", Body=b"{{ nobody }}"
    )
    plan = running.act("plan")
    assert plan["verdict"].startswith("blocked: template error: haproxy.cfg.j2:1: ")
    assert plan["verdict"].endswith(plan["template_error"])


def test_unfreeze_sends_nothing_older_than_what_it_sees(running: World) -> None:
    """A proxy that came during the freeze gets the present config, not the one of before first."""
    running.act("freeze")
    running.launch()
    (late,) = running.launch("haproxy")
    running.pass_time(60)
    running.sweep()
    running.act("unfreeze")
    running.settle()
    digests = {
        order.parameters["Md5"][0] for order in running.proxies[late].agent.orders
    }
    assert digests == {running.proxies[late].running}


def test_a_nightly_shutdown_is_published_where_the_stack_says_so() -> None:
    """`EmptyPool=publish`, after `HoldMinutes`."""
    with new_world(empty_pool="publish") as world:
        settled(world)
        world.terminate(*backend_ids(world))
        world.sweep()
        world.pass_time(299)
        assert len(served_addresses(world)) == 3
        world.pass_time(3)
        world.settle()
        assert served_addresses(world) == set()
        assert world.act("status")["converged"]


@pytest.mark.fault("F19")
def test_a_loss_that_was_a_mistake_leaves_no_trace(running: World) -> None:
    """EC2 shows them again: the hold is gone, and no proxy has noticed."""
    orders = running.orders()
    ids = backend_ids(running)
    running.clients.ec2.stop_instances(InstanceIds=ids)
    running.pass_time(60)
    running.sweep()
    assert running.state.hold
    running.clients.ec2.start_instances(InstanceIds=ids)
    running.pass_time(60)
    running.sweep()
    assert running.state.hold is None
    assert running.orders() == orders


@pytest.mark.fault("F21")
def test_an_override_ends_with_the_look_it_was_for(running: World) -> None:
    """It is an option of one call; there is nothing to forget."""
    running.launch(number=3)
    running.sweep()
    running.pass_time(60)
    running.terminate(*backend_ids(running)[:4])
    answer = running.act("sync", allow_mass_removal=True, reason="shrinking on purpose")
    assert answer["published"]
    assert len(backend_ids(running)) == 2
    running.settle()
    running.terminate(*backend_ids(running))
    running.pass_time(60)
    running.sweep()
    assert running.state.hold


def test_a_plan_says_what_a_sync_would_do_and_does_nothing(running: World) -> None:
    """Servers by instance id, the text's difference, the proxies to be touched."""
    (new,) = running.launch(tags={"haproxy:port": "9000"})
    gone = backend_ids(running)[0]
    running.terminate(gone)
    before = running.state
    with calls(running.clients) as made:
        plan = running.act("plan")
    assert not {call for call in made if "Put" in call or "Send" in call}
    assert running.state == before
    assert plan["changes"]
    assert plan["servers"] == {"added": [new], "removed": [gone], "changed": []}
    assert sorted(plan["proxies"]) == sorted(running.proxies)
    (diff,) = plan["diff"]
    assert [server["instance_id"] for server in diff["added"]] == [new]
    assert [server["instance_id"] for server in diff["removed"]] == [gone]
    assert sorted(diff["proxies"]) == sorted(running.proxies)
    running.act("sync")
    running.settle()
    assert not running.act("plan")["changes"]
    assert running.act("plan")["proxies"] == []


def test_a_plan_shows_what_the_guard_would_say(running: World) -> None:
    """Before anybody has to find out."""
    running.terminate(*backend_ids(running))
    plan = running.act("plan")
    assert plan["verdict"] == f"held: {plan['hold']['reason']}"
    assert "no backend is left" in plan["hold"]["reason"]
    assert not plan["changes"]
    allowed = running.act("plan", allow_mass_removal=True)
    assert (allowed["verdict"], allowed["changes"]) == ("proceed", True)


def test_status_tells_each_proxy_by_its_digests(running: World) -> None:
    """Desired, installed, running, the last outcome and when."""
    running.pass_time(30)  # the last good config was put for the second time
    status = running.act("status")
    assert (
        status["generation"] == running.state.generation
        or status["generation"] < running.state.generation
    )
    for key, proxy in status["proxies"].items():
        assert (
            proxy["desired"]
            == proxy["installed"]
            == proxy["running"]
            == running.proxies[key].running
        )
        assert proxy["outcome"] == "installed"
        assert 0 < running.now - proxy["at"] < 120
    assert status["age_seconds"] == pytest.approx(running.now - status["converged_at"])
    running.pass_time(40)
    assert running.act("status")["age_seconds"] == pytest.approx(
        status["age_seconds"] + 40
    )


def test_the_history_says_when_why_and_whom(running: World) -> None:
    """Newest first; only what changed the config is in it."""
    first = backend_ids(running)
    (new,) = running.launch()
    running.act("sync", reason="black friday")
    running.settle()
    running.pass_time(60)
    running.sweep()
    running.pass_time(10)
    running.terminate(first[0])
    running.pass_time(60)
    running.sweep()
    entries = running.act("status")["history"]
    shown = [(entry["why"], entry["added"], entry["removed"]) for entry in entries]
    assert shown == [
        ("sweep", [], [first[0]]),
        ("operator sync: black friday", [new], []),
        ("sweep", sorted(first), []),
    ]
    assert entries[0]["at"] > entries[1]["at"]


def test_verify_makes_every_proxy_compare_now(running: World) -> None:
    """A hand edit is found without waiting for the drift check."""
    (edited, *_) = running.proxies
    running.drift(edited)
    orders = running.orders()
    answer = running.act("verify")
    assert [command["purpose"] for command in answer["commands"]] == ["verify"]
    running.settle(10)
    assert running.orders() - orders == 3
    outcomes = {
        key: proxy["outcome"] for key, proxy in running.act("status")["proxies"].items()
    }
    assert outcomes == {
        key: "repaired" if key == edited else "unchanged" for key in running.proxies
    }


def test_a_freeze_stops_everything_and_ends_by_itself(running: World) -> None:
    """Looks go on, nothing is published or sent; afterwards everything is caught up."""
    orders, publication = running.orders(), running.state.publication
    answer = running.act("freeze", minutes=10, reason="deploy")
    assert answer["freeze"]["reason"] == "deploy"
    new = running.launch()
    running.act("verify")
    for _ in range(9):
        running.pass_time(60)
        running.sweep()
    assert running.orders() == orders
    assert running.state.publication == publication
    assert running.act("status")["freeze"]
    assert not running.act("status")["converged"]
    running.pass_time(61)
    running.sweep()
    assert running.act("status")["freeze"] is None
    running.settle()
    assert new[0] in backend_ids(running)
    assert len({host.running for host in running.proxies.values()}) == 1


def test_unfreeze_catches_up_at_once(running: World) -> None:
    """Without waiting for the sweep."""
    running.act("freeze")
    running.launch()
    running.pass_time(60)
    running.sweep()
    assert len(backend_ids(running)) == 3
    assert running.act("unfreeze")["published"]
    running.settle()
    assert len(backend_ids(running)) == 4


def test_a_mass_loss_during_a_freeze_is_not_a_surprise_after_it(running: World) -> None:
    """The guard keeps watching what is published."""
    running.act("freeze", minutes=20)
    running.terminate(*backend_ids(running)[:2])
    for _ in range(6):
        running.pass_time(60)
        running.sweep()
    assert running.act("unfreeze")["published"]
    assert len(backend_ids(running)) == 1


@pytest.mark.parametrize("by", ["generation", "fence"])
def test_rollback_brings_an_old_config_back_and_keeps_it(
    running: World, by: str
) -> None:
    """Canary first, as a new generation, frozen; when the freeze ends, the present returns.

    A fence that lies between two is that of the older one: it was current then.
    """
    before = served_addresses(running)
    good = running.act("status")
    wanted = {"generation": good["generation"], "fence": good["fence"] + 1}[by]
    running.launch(number=2)
    running.sweep()
    running.settle()
    assert len(served_addresses(running)) == 5
    running.pass_time(60)
    answer = running.act("rollback", reason="bad release", minutes=5, **{by: wanted})
    assert answer["generation"] == good["generation"] + 2
    assert answer["fence"] > good["fence"] + 1
    assert [command["purpose"] for command in answer["commands"]] == ["canary"]
    running.settle(20)
    assert served_addresses(running) == before
    running.pass_time(120)
    running.sweep()
    assert served_addresses(running) == before
    assert "bad release" in running.act("status")["history"][0]["why"]
    running.pass_time(300)
    running.sweep()
    running.settle()
    assert len(served_addresses(running)) == 5


def test_a_freeze_after_a_rollback_lets_it_finish(running: World) -> None:
    """Longer frozen, and every proxy on the old config: not some of each."""
    good = running.act("status")["generation"]
    (old,) = {host.running for host in running.proxies.values()}
    running.launch()
    running.sweep()
    running.settle()
    running.pass_time(60)
    running.act("rollback", generation=good, minutes=5)
    running.act("freeze", minutes=240, reason="longer")
    for _ in range(7):
        running.pass_time(60)
        running.sweep()
    assert {host.running for host in running.proxies.values()} == {old}


def test_a_proxy_that_joins_during_a_rollback_gets_what_the_others_have(
    running: World,
) -> None:
    """One environment, one config."""
    good = running.act("status")["generation"]
    running.launch()
    running.sweep()
    running.settle()
    running.pass_time(60)
    running.act("rollback", generation=good)
    running.settle(10)
    (late,) = running.launch("haproxy")
    running.pass_time(60)
    running.sweep()
    running.settle(10)
    assert len({host.running for host in running.proxies.values()}) == 1
    assert running.proxies[late].running


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"action": "rollback"}, "generation must be int"),
        ({"action": "rollback", "generation": "41"}, "generation must be int"),
        ({"action": "rollback", "generation": True}, "generation must be int"),
        ({"action": "rollback", "generation": 41}, "no config is known"),
        ({"action": "rollback", "generation": 2**40}, "no config is known"),
        (
            {"action": "rollback", "fence": 1},
            "at fence 1; newest fences: [0-9]{10}",
        ),
        ({"action": "rollback", "fence": 2**40}, "no config is known"),
        ({"action": "rollback", "fence": "41"}, "fence must be int"),
        ({"action": "rollback", "generation": 1, "fence": 1}, "not both"),
        ({"action": "freeze", "minutes": 0}, "minutes must be"),
        ({"action": "freeze", "minutes": "60"}, "minutes must be"),
        ({"action": "freeze", "minutes": float("nan")}, "minutes must be"),
        (
            {"action": "sync", "allow_mass_removal": "yes"},
            "allow_mass_removal must be bool",
        ),
        ({"action": "status", "verbose": True}, "options: none"),
    ],
)
def test_a_request_nobody_can_act_on_is_told_why(
    running: World, request_: dict[str, Any], message: str
) -> None:
    """And changes nothing."""
    before = running.state
    with pytest.raises(BadRequest, match=message):
        running.act(**request_)
    assert running.state == before


def test_an_expired_config_cannot_be_rolled_back_to(running: World) -> None:
    """The bucket's lifecycle may have removed it; nothing is published then."""
    good = running.state.publication
    assert good
    assert good.assignment.shared
    running.launch()
    running.sweep()
    running.settle()
    key = f"configs/staging/{good.assignment.shared.sha256}/haproxy.cfg"
    running.clients.s3.delete_object(Bucket="bucket", Key=key)
    before = running.state
    with pytest.raises(BadRequest, match="no longer in the bucket"):
        running.act("rollback", generation=good.generation)
    assert running.state == before


@pytest.mark.parametrize("looked_at", [1e18, -1e18])
def test_a_time_that_no_clock_shows_hides_nothing_else(
    running: World, looked_at: float
) -> None:
    """Somebody wrote it by hand: the rest of the state is still told."""
    store = Store.of(running.clients, running.settings)
    read = store.read()
    store.put(replace(read.state, looked_at=looked_at), read.etag)
    status = running.act("status")
    assert (status["looked_at"], status["looked_at_iso"]) == (looked_at, None)
    assert status["generation"] == 1
