"""A plan says what would happen, and what keeps it from happening: never `proceed` beside that."""

import pytest

from haproxy_sync.rollout.program import Program
from tests.contract.test_late_output import NEVER, late
from tests.contract.test_operator import backend_ids
from tests.contract.test_rollout import breaks
from tests.contract.world import World, another_program

BROKEN = b"{{ nobody }}"


def upload(world: World, body: bytes = BROKEN) -> None:
    """A template of one's own."""
    world.clients.s3.put_object(
        Bucket="bucket", Key="templates/staging/haproxy.cfg.j2", Body=body
    )


@pytest.mark.fault("F126")
def test_during_a_freeze_it_shows_what_comes_after_it(running: World) -> None:
    """Until when, by the clock; nothing rolls out meanwhile."""
    running.act("freeze", minutes=10, reason="deploy")
    (new,) = running.launch()
    plan = running.act("plan")
    until = running.act("status")["freeze"]["until_iso"]
    assert plan["verdict"] == f"waits: frozen until {until}"
    assert plan["changes"]
    assert plan["servers"]["added"] == [new]
    assert sorted(plan["proxies"]) == sorted(running.proxies)
    assert plan["rolling_out"] == []


@pytest.mark.fault("F126")
def test_during_a_rollback_it_shows_both(running: World) -> None:
    """What rolls out yet, and what is published once the freeze ends."""
    good = running.act("status")["generation"]
    (new,) = running.launch()
    running.sweep()
    running.settle()
    running.pass_time(60)
    running.act("rollback", generation=good, minutes=10)
    plan = running.act("plan")
    until = running.act("status")["freeze"]["until_iso"]
    assert plan["verdict"] == f"waits: frozen until {until}"
    assert sorted(plan["rolling_out"]) == sorted(running.proxies)
    assert plan["changes"]
    assert plan["diff"][0]["added"][0]["instance_id"] == new
    running.settle(30)
    assert running.act("plan")["rolling_out"] == []


@pytest.mark.fault("F126")
def test_during_a_hold_it_shows_what_goes_through_and_who_would_go(
    running: World,
) -> None:
    """The held ones stay, the new one comes."""
    gone = backend_ids(running)[:2]
    running.terminate(*gone)
    (new,) = running.launch()
    plan = running.act("plan")
    assert plan["verdict"] == f"held: {plan['hold']['reason']}"
    assert sorted(plan["hold"]["missing"]) == gone
    assert plan["servers"] == {"added": [new], "removed": [], "changed": []}
    assert plan["changes"]


@pytest.mark.fault("F126")
def test_beside_a_template_error_it_shows_who_would_come_and_go(
    running: World,
) -> None:
    """Nothing is rendered, so there is no text to compare."""
    upload(running)
    (gone, *_) = backend_ids(running)
    running.terminate(gone)
    (new,) = running.launch()
    plan = running.act("plan")
    assert plan["verdict"] == f"blocked: template error: {plan['template_error']}"
    assert plan["servers"] == {"added": [new], "removed": [gone], "changed": []}
    assert (plan["changes"], plan["diff"]) == (False, [])


@pytest.mark.fault("F126")
def test_a_freeze_comes_first(running: World) -> None:
    """Whatever else is wrong has its own key."""
    running.act("freeze")
    upload(running)
    plan = running.act("plan")
    assert plan["verdict"].startswith("waits: frozen until 2")
    assert plan["template_error"]


@pytest.mark.fault("F126")
def test_a_stopped_rollout_is_ended_by_a_change_only(running: World) -> None:
    """Who failed is named; another publication begins with a canary."""
    running.pass_time(60)
    first = min(running.proxies)
    running.proxies[first].breaks = breaks
    running.launch()
    running.sweep()
    running.pass_time(10)
    plan = running.act("plan")
    assert plan["verdict"] == f"blocked: rollout stopped: {first} failed"
    assert not plan["changes"]
    running.launch()
    plan = running.act("plan")
    assert (plan["verdict"], plan["changes"]) == ("proceed", True)


@pytest.mark.fault("F126")
@pytest.mark.parametrize("is_changed", [False, True])
def test_a_failed_program_stays_stopped_whatever_is_published(
    running: World,
    is_changed: bool,  # noqa: FBT001 # a column of the table
) -> None:
    """Only another deploy ends that."""
    running.deploy(another_program())
    for host in running.proxies.values():
        host.breaks = breaks
    running.act("verify")
    running.settle(20)
    if is_changed:
        running.launch()
    plan = running.act("plan")
    assert plan["changes"] is is_changed
    assert plan["verdict"].startswith("blocked: rollout stopped: i-")
    running.deploy(another_program("mended"))
    assert running.act("plan")["verdict"] == "proceed"


@pytest.mark.fault("F126")
def test_a_change_behind_a_rollout_waits(running: World) -> None:
    """For its end, or for half a minute; an operator's sync does not."""
    running.service.delay = late("apply", NEVER)
    running.launch()
    running.sweep()
    running.pass_time(10)
    (new,) = running.launch()
    plan = running.act("plan")
    assert plan["verdict"].startswith("waits: queued behind the rollout under way")
    assert plan["servers"]["added"] == [new]
    assert running.act("sync")["published"]


@pytest.mark.fault("F126")
def test_a_plan_whose_program_is_as_it_was_proceeds(running: World) -> None:
    """Where nothing keeps it, and where nothing is to be done."""
    assert running.program == Program.packed()
    assert running.act("plan")["verdict"] == "proceed"
    running.launch()
    assert running.act("plan")["verdict"] == "proceed"
