"""A release that is older than the state of its environment touches nothing, and says so in one line."""

import json
import logging
from collections.abc import Mapping
from typing import Any

import pytest

from haproxy_sync.errors import NewerState
from haproxy_sync.operator.actions import ACTIONS
from tests.contract.faults import calls
from tests.contract.test_rollout import digests
from tests.contract.world import SWEEP, World, changed

KEY = "state/staging.json"
REFUSED = (
    "the state in the bucket has schema 3, of a newer release than this one, which knows 2 and changes nothing: "
    "deploy the newer release again, or see docs/runbook.md#newer-state"
)
OPTIONS: Mapping[str, dict[str, Any]] = {
    "rollback": {"generation": 1},
    "diff": {"generation": 1},
}


def upgrade(world: World) -> None:
    """A newer release has written the state, with fields that nobody here knows."""
    body = world.clients.s3.get_object(Bucket="bucket", Key=KEY)["Body"].read()
    state = json.loads(body) | {"schema": 3, "proxies": {"i-1": {"new": "shape"}}}
    world.clients.s3.put_object(Bucket="bucket", Key=KEY, Body=json.dumps(state))


def objects(world: World) -> list[tuple[str, str]]:
    """All objects of the bucket."""
    listed = world.clients.s3.list_objects_v2(Bucket="bucket")["Contents"]
    return [(each["Key"], each["ETag"]) for each in listed]


@pytest.fixture
def older(running: World) -> World:
    """An environment that a newer release has worked on."""
    upgrade(running)
    running.launch()
    return running


WRITES = {"s3.PutObject", "s3.DeleteObject", "ssm.SendCommand", "sqs.SendMessage"}


@pytest.mark.fault("F177")
@pytest.mark.parametrize("event", [SWEEP, changed()], ids=["sweep", "change"])
def test_no_event_touches_a_newer_state(
    older: World, event: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """The messages come back, for the newer release may be there again by then; the log has one line."""
    before = objects(older)
    caplog.clear()
    with calls(older.clients) as made:
        assert older.deliver(event, event) == ["m-0", "m-1"]
        with pytest.raises(NewerState):
            older.handle(event)
    assert objects(older) == before
    assert not WRITES & set(made)
    lines = [each for each in caplog.records if each.levelno >= logging.WARNING]
    assert {vars(line)["reason"] for line in lines} == {REFUSED}
    assert [line.levelname for line in lines] == ["ERROR", "WARNING"]
    assert not any(line.exc_info for line in lines)


@pytest.mark.fault("F177")
@pytest.mark.parametrize("action", sorted(set(ACTIONS) - {"status"}))
def test_no_action_touches_a_newer_state(older: World, action: str) -> None:
    """Those that only read would tell half of it."""
    before = objects(older)
    with calls(older.clients) as made, pytest.raises(NewerState) as refused:
        older.handle({"action": action, **OPTIONS.get(action, {})})
    assert str(refused.value) == REFUSED
    assert objects(older) == before
    assert not WRITES & set(made)


@pytest.mark.fault("F177")
def test_status_of_a_newer_state(older: World) -> None:
    """Nobody can say how it is, and nothing is made up."""
    status = older.act("status")
    assert status["headline"] == (
        "staging is unknown, sync unknown: the state in the bucket has schema 3, of a newer release than this one,"
        " which knows 2 and changes nothing; each sweep is refused; deploy the newer release again,"
        " see docs/runbook.md#newer-state"
    )
    (told,) = status["conditions"]
    assert (told["cause"], told["health"]) == ("newer-state", "unknown")
    assert (status["sync"], status["health"]) == ("unknown", "unknown")
    assert (status["proxies"], status["history"]) == ({}, [])
    assert status["corruption"] == ""


@pytest.mark.fault("F177")
def test_the_newer_release_goes_on_where_it_was(older: World) -> None:
    """Once it is deployed again: here, the state is one that this release knows."""
    assert older.sweep() == ["m-0"]
    body = older.clients.s3.get_object(Bucket="bucket", Key=KEY)["Body"].read()
    state = json.loads(body) | {"schema": 2, "proxies": []}
    older.clients.s3.put_object(Bucket="bucket", Key=KEY, Body=json.dumps(state))
    assert older.sweep() == []
    older.settle()
    assert older.act("status")["converged"]
    assert older.state.generation == 2


@pytest.mark.fault("F177")
def test_whoever_stays_with_the_older_release_moves_the_state_away(
    older: World,
) -> None:
    """The way down of the runbook: what the fleet is now is published as generation 1, and hosts take it."""
    s3 = older.clients.s3
    s3.copy_object(
        Bucket="bucket", Key=f"{KEY}.newer", CopySource={"Bucket": "bucket", "Key": KEY}
    )
    s3.delete_object(Bucket="bucket", Key=KEY)
    older.pass_time(60)
    assert older.sweep() == []
    older.settle()
    status = older.act("status")
    assert (status["converged"], status["generation"]) == (True, 1)
    assert len(status["backends"]) == 4
    assert len(digests(older)) == 1


@pytest.mark.fault("F177")
def test_a_state_of_an_earlier_release_is_taken_over(running: World) -> None:
    """It has no schema; from the next put on it has ours."""
    s3 = running.clients.s3
    state = json.loads(s3.get_object(Bucket="bucket", Key=KEY)["Body"].read())
    assert state.pop("schema") == 2
    s3.put_object(Bucket="bucket", Key=KEY, Body=json.dumps(state))
    assert running.act("status")["converged"]
    running.launch()
    running.sweep()
    running.settle()
    assert running.act("status")["converged"]
    assert running.state.schema == 2
