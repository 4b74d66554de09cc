"""Two stacks on one fleet: neither undoes the other unseen, and a proxy changes hands by an operator's word alone."""

import json
from dataclasses import dataclass, replace
from typing import Any

import pytest

from haproxy_apply.state import State
from haproxy_sync.errors import BadRequest, ProgramDiffers
from haproxy_sync.rollout.program import Program
from haproxy_sync.state.model import Purpose
from local.run_command import Trouble
from tests.contract.faults import calls
from tests.contract.test_rollout import breaks
from tests.contract.world import REGION, World, document, stack, wired

OURS, THEIRS = stack("staging"), stack("rival")
STATE = "state/staging.json"


@dataclass
class Rival(World):
    """Another stack on the same fleet, with a bucket and a document of its own."""

    def handle(self, event: Any) -> dict[str, Any]:
        """Its own function."""
        with wired(self):
            return super().handle(event)

    def work(self, rounds: int = 6) -> None:
        """Let it come to rest by its sweeps alone."""
        for _ in range(rounds):
            self.sweep()
            self.pass_time(6)


def rival(world: World, **changes: Any) -> Rival:
    """Deploy it; it begins with nothing."""
    world.clients.s3.create_bucket(
        Bucket="rival", CreateBucketConfiguration={"LocationConstraint": REGION}
    )
    world.clients.ssm.create_document(
        Content=json.dumps(document(world.program)),
        Name="rival",
        DocumentType="Command",
    )
    named: dict[str, Any] = {
        "bucket": "rival",
        "document_name": "rival",
        "publisher": THEIRS,
        "backend_port": 9090,
    }
    settings = replace(world.settings, **(named | changes))
    return Rival(
        settings, world.clients, world.clock, world.service, proxies=world.proxies
    )


def owners(world: World) -> set[str]:
    """Whose the proxies are."""
    return {host.memory.publisher for host in world.proxies.values()}


def configs(world: World) -> dict[str, str]:
    """What each proxy runs."""
    return {key: host.running for key, host in world.proxies.items()}


def pass_minutes(world: World, other: Rival, minutes: int) -> None:
    """Both schedules."""
    for _ in range(minutes):
        for one in (world, other):
            assert one.sweep() == []
            one.pass_time(30)


@pytest.mark.fault("F132")
def test_two_stacks_undo_nothing_and_name_each_other(running: World) -> None:
    """Over many drift checks of both: the second one is refused everywhere, the first one goes on."""
    before = configs(running)
    reloads = sum(host.reloads for host in running.proxies.values())
    other = rival(running)
    pass_minutes(running, other, 90)
    assert configs(running) == before
    assert sum(host.reloads for host in running.proxies.values()) == reloads
    assert owners(running) == {OURS}
    theirs = other.act("status")
    assert not theirs["converged"]
    (refused, *_) = [each for each in theirs["proxies"].values() if each["reason"]]
    assert (refused["outcome"], refused["reason"]) == ("denied", "other-publisher")
    assert OURS in refused["detail"]
    assert refused["publisher"] == OURS
    assert not theirs["publishers"][OURS]["ours"]
    ours = running.act("status")
    assert ours["converged"]
    assert list(ours["publishers"]) == [OURS]
    assert ours["publishers"][OURS]["ours"]
    assert list(ours["other_publishers"]) == [THEIRS]


@pytest.mark.fault("F132")
def test_a_newcomer_of_another_stack_stops_nobody(running: World) -> None:
    """Launched from another one's image, say: it is refused by that one alone, whatever comes first."""
    reloads = {key: host.reloads for key, host in running.proxies.items()}
    (newcomer,) = running.launch("haproxy")
    running.proxies[newcomer].memory = State(fence=1, publisher=THEIRS)
    running.launch()
    running.sweep()
    running.settle(60)
    assert all(running.proxies[key].reloads > reloads[key] for key in reloads)
    status = running.act("status")
    assert not status["converged"]
    assert [
        key for key in status["proxies"] if not status["proxies"][key]["settled"]
    ] == [newcomer]
    assert status["publishers"][THEIRS]["instances"] == [newcomer]
    running.act("sync", adopt=True)
    running.settle()
    assert running.act("status")["converged"]
    assert owners(running) == {OURS}


@pytest.mark.fault("F134")
def test_sync_adopts_and_the_former_owner_learns_of_it(running: World) -> None:
    """By its next command; each is told who has the proxies now."""
    other = rival(running)
    other.work()
    assert other.act("sync", adopt=True)["generation"]
    other.work()
    assert owners(running) == {THEIRS}
    assert other.act("status")["converged"]
    assert not any(each["adopting"] for each in other.act("status")["proxies"].values())
    taken = configs(running)
    running.act("verify")
    running.settle(30)
    status = running.act("status")
    assert not status["converged"]
    assert list(status["publishers"]) == [THEIRS]
    assert {each["reason"] for each in status["proxies"].values()} == {
        "other-publisher"
    }
    assert configs(running) == taken
    # What was adopted once is not adopted again by itself.
    running.act("sync", adopt=True)
    running.settle()
    assert owners(running) == {OURS}
    pass_minutes(running, other, 40)
    assert owners(running) == {OURS}
    assert running.act("status")["converged"]
    assert not other.act("status")["converged"]


@pytest.mark.fault("F134")
def test_an_adoption_waits_for_no_spacing(running: World) -> None:
    """Neither for the next try of who was refused for an hour, nor for the drift check of who knows of nothing."""
    other = rival(running)
    pass_minutes(running, other, 60)
    answer = other.act("sync", adopt=True)
    assert [each["purpose"] for each in answer["commands"]]
    other.work()
    assert owners(running) == {THEIRS}
    assert running.act("status")["converged"]
    answer = running.act("sync", adopt=True)
    assert [each["purpose"] for each in answer["commands"]] == ["verify"]
    running.settle()
    assert owners(running) == {OURS}
    assert running.act("status")["converged"]


@pytest.mark.fault("F126")
@pytest.mark.parametrize("is_changed", [False, True])
def test_a_plan_of_who_has_no_proxy_does_not_proceed(
    running: World,
    is_changed: bool,  # noqa: FBT001 # a column of the table
) -> None:
    """Another publication is refused like the one before; adopted, it goes on."""
    other = rival(running)
    other.work()
    other.act("sync", adopt=True)
    other.work()
    running.act("verify")
    running.settle(20)
    if is_changed:
        running.launch()
    verdict = running.act("plan")["verdict"]
    assert verdict.startswith("blocked: the proxies are another stack's")
    assert THEIRS in verdict
    running.act("sync", adopt=True)
    running.settle()
    assert running.act("plan")["verdict"] == "proceed"


@pytest.mark.fault("F134")
def test_a_former_owner_adopts_at_once(running: World) -> None:
    """Refused for hours, and with a fence far below the other stack's: neither back-off nor fence costs a try."""
    other = rival(running)
    other.work()
    other.act("sync", adopt=True)
    other.work()
    running.act("verify")
    pass_minutes(running, other, 60)
    assert owners(running) == {THEIRS}
    generation = running.state.generation
    running.act("sync", adopt=True)
    running.settle(30)
    assert owners(running) == {OURS}
    assert running.act("status")["converged"]
    assert running.state.generation == generation


@pytest.mark.fault("F134")
def test_an_adoption_risks_no_second_proxy_with_a_bad_config(running: World) -> None:
    """Who failed by the config itself stays the only one that tries it."""
    for host in running.proxies.values():
        host.breaks = breaks
    running.launch()
    running.sweep()
    running.pass_time(10)
    orders = running.orders()
    running.act("sync", adopt=True)
    running.pass_time(600)
    bad = [
        each for each in running.state.proxy_states.values() if each.failed_generation
    ]
    assert len(bad) == 1
    assert running.orders() > orders


@pytest.mark.fault("F134")
def test_an_adoption_that_another_one_overtook_is_over(running: World) -> None:
    """A proxy that was away for both is the later stack's, whichever comes to it last."""
    other = rival(running)
    other.work()
    away = max(running.proxies)
    running.service.disconnect(away)
    running.pass_time(301)
    running.sweep()
    running.act("sync", adopt=True)
    running.settle(30)
    assert running.act("status")["proxies"][away]["adopting"]
    running.pass_time(60)
    other.act("sync", adopt=True)
    other.work()
    running.service.reconnect(away)
    other.work(3)
    assert running.proxies[away].memory.publisher == THEIRS
    pass_minutes(running, other, 10)
    assert running.proxies[away].memory.publisher == THEIRS
    assert not running.act("status")["proxies"][away]["adopting"]


@pytest.mark.fault("F134")
def test_an_older_inspection_does_not_unsay_an_adoption(running: World) -> None:
    """Both are heard in one step; what the newer command found is so."""
    other = rival(running)
    other.work()
    other.act("sync", adopt=True)
    other.work()
    running.act("inspect")
    running.clock.advance(0.2)
    running.act("sync", adopt=True)
    running.finish_unnoticed()
    running.sweep()
    running.settle()
    assert owners(running) == {OURS}
    assert running.act("status")["converged"]


@pytest.mark.fault("F134")
def test_an_adoption_waits_for_a_proxy_that_cannot_be_reached(running: World) -> None:
    """It is kept until that host itself said that it is ours; a command has one set of parameters."""
    other = rival(running)
    other.work()
    away = max(running.proxies)
    running.service.disconnect(away)
    running.pass_time(301)
    other.act("sync", adopt=True)
    other.work()
    assert running.proxies[away].memory.publisher == OURS
    adopting = other.act("status")["proxies"]
    assert [key for key, each in adopting.items() if each["adopting"]] == [away]
    running.service.reconnect(away)
    other.work()
    assert owners(running) == {THEIRS}
    assert other.act("status")["converged"]


@pytest.mark.fault("F134")
def test_a_stack_that_is_deleted_and_deployed_anew(running: World) -> None:
    """It has another id, an empty bucket and the first freeze; its proxies are its own again by one word."""
    fresh = rival(
        running, start_frozen=True, publisher=stack("staging", 2), backend_port=8080
    )
    before = sum(host.reloads for host in running.proxies.values())
    fresh.work(3)
    with pytest.raises(BadRequest, match=OURS):
        fresh.act("unfreeze")
    assert fresh.act("status")["freeze"]
    assert fresh.act("unfreeze", adopt=True)["published"]
    fresh.work()
    assert fresh.act("status")["converged"]
    assert owners(running) == {stack("staging", 2)}
    assert sum(host.reloads for host in running.proxies.values()) == before


@pytest.mark.fault("F133")
def test_unfreeze_names_who_published(running: World) -> None:
    """And who of the proxies has not said so yet; nothing was published when it is refused."""
    other = rival(running, start_frozen=True)
    early = other.act("unfreeze", adopt=False)
    assert sorted(early["unheard"]) == sorted(running.proxies)
    assert early["publishers_note"] == "no proxy has said yet who published to it"
    assert early["publishers"] == {}
    other.work()
    assert owners(running) == {OURS}


@pytest.mark.fault("F133")
def test_unfreeze_wants_a_word_where_a_proxy_is_another_stacks(running: World) -> None:
    """The error names stack, proxies and the way."""
    other = rival(running, start_frozen=True)
    other.work(3)
    with pytest.raises(BadRequest, match=r"adopt: true") as refused:
        other.act("unfreeze")
    assert OURS in str(refused.value)
    assert min(running.proxies) in str(refused.value)
    answer = other.act("unfreeze", adopt=True)
    assert answer["unheard"] == []
    assert sorted(answer["publishers"][OURS]["instances"]) == sorted(running.proxies)
    assert answer["publishers_note"] == ""
    other.work()
    assert owners(running) == {THEIRS}


@pytest.mark.fault("F133")
def test_start_frozen_false_adopts_nothing(running: World) -> None:
    """A deploy is no word of an operator."""
    other = rival(running, start_frozen=True)
    other.work(3)
    other.settings = replace(other.settings, start_frozen=False)
    other.work()
    assert owners(running) == {OURS}
    assert "other-publisher" in {
        each["reason"] for each in other.act("status")["proxies"].values()
    }


def inspections(world: World) -> int:
    """How many the proxies had."""
    return sum(host.inspections for host in world.proxies.values())


@pytest.mark.fault("F135")
def test_the_first_freeze_asks_every_proxy_once(fresh: World) -> None:
    """Nothing is published by it, and a bucket with what it downloads is still new."""
    for _ in range(10):
        assert fresh.sweep() == []
        fresh.pass_time(60)
    assert inspections(fresh) == 2
    assert fresh.orders() == 0
    status = fresh.act("status")
    assert status["freeze"]["until"] is None
    for each in status["proxies"].values():
        assert each["inspection"]["reason"] == "running"
        assert (each["inspection"]["servers_up"], each["publisher"]) == (3, "")
        assert (each["outcome"], each["settled"]) == ("not-tried", False)
    fresh.clients.s3.delete_object(Bucket="bucket", Key=STATE)
    assert fresh.act("status")["freeze"]["until"] is None
    answer = fresh.act("unfreeze")
    assert answer["published"]
    fresh.settle()
    assert fresh.act("status")["converged"]


@pytest.mark.fault("F135")
def test_who_does_not_answer_is_asked_again_with_growing_spacing(fresh: World) -> None:
    """And holds up nobody: the rollout takes it like any other."""
    bad = min(fresh.proxies)
    fresh.proxies[bad].breaks = lambda _: ("failed", "no-python")
    for _ in range(30):
        fresh.sweep()
        fresh.pass_time(60)
    assert 4 <= len(fresh.proxies[bad].agent.orders) <= 8
    shown = fresh.act("status")["proxies"][bad]
    assert shown["inspection"]["reason"] == "no-python"
    assert not shown["inspection"]["has_answered"]
    assert shown["outcome"] == "not-tried"
    answer = fresh.act("unfreeze")
    assert answer["unheard"] == [bad]
    fresh.proxies[bad].breaks = lambda _: None
    fresh.settle()
    assert fresh.act("status")["converged"]


@pytest.mark.fault("F135")
def test_an_inspection_in_an_operators_freeze_settles_nothing(running: World) -> None:
    """It shows the drift that the freeze leaves alone; outcome and proof stay those of the rollout."""
    running.act("freeze", minutes=60, reason="incident")
    before = running.state.proxy_states
    edited = min(running.proxies)
    running.drift(edited)
    running.proxies[edited].servers = (1, 2)
    orders = running.orders()
    answer = running.act("inspect")
    assert {each["purpose"] for each in answer["commands"]} == {"inspect"}
    running.pass_time(30)
    assert inspections(running) == 3
    assert running.orders() == orders
    for key, observed in running.state.proxy_states.items():
        was = before[key]
        assert observed.inspection
        assert (observed.outcome, observed.at) == (was.outcome, was.at)
        assert observed.observed_generation == was.observed_generation
        assert (observed.installed, observed.running) == (was.installed, was.running)
    shown = running.act("status")["proxies"][edited]
    assert shown["inspection"]["installed"] != shown["installed"]
    assert shown["inspection"]["servers_down"] == 2
    assert shown["inspection"]["down"] == "backend/s0 backend/s1"
    assert running.state.inspecting == ()


@pytest.mark.fault("F132")
def test_an_inspection_tells_that_a_proxy_was_lost(running: World) -> None:
    """Before the next drift check does: what was settled is converged no more."""
    other = rival(running)
    other.act("sync", adopt=True)
    other.work()
    assert running.act("status")["converged"]
    running.act("inspect")
    running.pass_time(30)
    status = running.act("status")
    assert not status["converged"]
    assert list(status["publishers"]) == [THEIRS]


@pytest.mark.fault("F135")
def test_nobody_waits_for_an_inspection(running: World) -> None:
    """A proxy that answers none gets the next config all the same, at once."""
    deaf = min(running.proxies)
    running.service.disconnect(deaf)
    running.act("inspect")
    running.pass_time(5)
    assert [each.purpose for each in running.state.inspecting] == [Purpose.INSPECT]
    assert running.act("status")["rollout"]["commands"][0]["purpose"] == "inspect"
    running.service.reconnect(deaf)
    running.launch()
    running.sweep()
    running.settle(20)
    assert running.act("status")["converged"]
    running.pass_time(330)
    running.sweep()
    assert running.state.inspecting == ()


@pytest.mark.fault("F135")
def test_a_document_that_takes_no_inspection_is_asked_later(fresh: World) -> None:
    """Function and document of two releases: nothing fails, and the proxies are asked once they agree."""
    content = document(fresh.program)
    for name in ("Publisher", "Adopt", "Action", "SecretLines", "AllowUnsafeKeywords"):
        del content["parameters"][name]
    fresh.update_document(parameters=content["parameters"])
    for _ in range(3):
        assert fresh.sweep() == []
        fresh.pass_time(60)
    assert inspections(fresh) == 0
    fresh.update_document()
    for _ in range(6):
        assert fresh.sweep() == []
        fresh.pass_time(60)
    assert inspections(fresh) == 2


@pytest.mark.fault("F135")
def test_a_proxy_that_hangs_hides_no_other_one(fresh: World) -> None:
    """The service sends to nobody else before the first of a command has answered."""
    first, second = sorted(fresh.proxies)
    fresh.proxies[first].agent.trouble = Trouble.MUTE
    for _ in range(8):
        fresh.sweep()
        fresh.pass_time(60)
    assert fresh.proxies[second].inspections == 1


@pytest.mark.fault("F102")
@pytest.mark.fault("F135")
def test_a_release_that_was_built_wrong_asks_nobody(fresh: World) -> None:
    """It looks all the same, and whatever sends nothing works."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("haproxy_sync.handler.program", differs)
        assert fresh.sweep() == []
        fresh.act("inspect")
        fresh.act("freeze", minutes=5)
    status = fresh.act("status")
    assert status["looked_at"]
    assert status["look_failure"] is None
    assert inspections(fresh) == 0
    fresh.sweep()
    fresh.pass_time(60)
    assert inspections(fresh) == 2


def differs() -> Program:
    """What the function's files make is not what its document names."""
    raise ProgramDiffers("a" * 64, "b" * 64)


@pytest.mark.fault("F135")
def test_an_agent_that_is_away_costs_no_question_with_each_event(fresh: World) -> None:
    """It cannot be asked how its host is, so nobody looks for the document either; once a minute is enough."""
    away = min(fresh.proxies)
    fresh.service.disconnect(away)
    fresh.pass_time(301)
    fresh.sweep()
    fresh.pass_time(60)
    with calls(fresh.clients) as made:
        for _ in range(20):
            fresh.pass_time(3)
            fresh.sweep()
    assert made.count("ssm.DescribeInstanceInformation") <= 2
    assert "ssm.DescribeDocument" not in made
    fresh.service.reconnect(away)
    for _ in range(3):
        fresh.pass_time(60)
        fresh.sweep()
    assert fresh.proxies[away].inspections == 1


@pytest.mark.fault("F130")
def test_a_state_and_proxies_of_an_earlier_release(running: World) -> None:
    """Nothing names a publisher: the proxies are ours by the next comparison, without a reload."""
    for host in running.proxies.values():
        host.memory = State(fence=host.memory.fence)
    answer = running.clients.s3.get_object(Bucket="bucket", Key=STATE)
    state = json.loads(answer["Body"].read())
    new = {"publisher", "inspections", "inspect_requested_at"}
    kept = {key: value for key, value in state.items() if key not in new}
    for observed in kept["proxy_states"].values():
        for name in [
            name for name in observed if "publisher" in name or "inspect" in name
        ]:
            del observed[name]
        del observed["adopt_since"]
    body = json.dumps(kept).encode()
    running.clients.s3.put_object(Bucket="bucket", Key=STATE, Body=body)
    assert running.act("status")["converged"]
    assert running.act("status")["publishers"] == {}
    reloads = sum(host.reloads for host in running.proxies.values())
    running.act("verify")
    running.settle()
    assert owners(running) == {OURS}
    assert list(running.act("status")["publishers"]) == [OURS]
    assert sum(host.reloads for host in running.proxies.values()) == reloads
