"""The history stays small, whatever size the fleet has: it is in every state, and in every answer of `status`."""

import json
from dataclasses import replace
from functools import cache
from io import BytesIO
from types import SimpleNamespace

import pytest

from haproxy_sync.fleet.model import Backend
from haproxy_sync.operator import answers
from haproxy_sync.rollout.transitions import publish
from haproxy_sync.state import codec
from haproxy_sync.state.history import (
    MAX_BYTES,
    MAX_ENTRIES,
    MAX_NAMED,
    MIN_ENTRIES,
    bounded,
)
from haproxy_sync.state.model import Assignment, Change, Digest, EnvironmentState
from haproxy_sync.state.store import Snapshot, Store

ANSWER_BYTES = 6_291_556  # of Lambda, for a synchronous invoke
FLEET = 5_000


@cache
def pool(number: int) -> tuple[Backend, ...]:
    """So many instances that no other pool has."""
    return tuple(
        Backend(
            instance_id=f"i-{number:08x}{each:09x}",
            type="tomcat",
            name=f"app-{number}-{each}",
            address=f"10.{number % 200}.{each // 250}.{each % 250}",
            zone="ap-southeast-2a",
        )
        for each in range(FLEET)
    )


def digest(number: int) -> Digest:
    """One that no other number has."""
    return Digest(f"{number:064x}", f"{number:032x}")


def history_bytes(state: EnvironmentState) -> int:
    """As it is stored."""
    return len(json.dumps(codec.jsonable(state.history), separators=(",", ":")))


@pytest.mark.fault("F136")
def test_fifty_swaps_of_a_big_fleet_fit_into_an_answer() -> None:
    """Each entry names some of the servers and counts the others; none is lost to roll back to."""
    state = EnvironmentState()
    for number in range(MAX_ENTRIES):
        state = publish(
            state, Assignment(digest(number)), "x", float(number), pool(number % 2)
        )
    assert len(state.history) == MAX_ENTRIES
    newest = state.history[-1]
    assert len(newest.added) == len(newest.removed) == MAX_NAMED
    assert newest.more_added == newest.more_removed == FLEET - MAX_NAMED
    answer = answers.status(Snapshot(state, None), now=100.0)
    assert len(json.dumps(answer)) < ANSWER_BYTES / 4


@pytest.mark.fault("F136")
def test_where_each_proxy_has_its_own_config_the_oldest_entries_go_first() -> None:
    """There is always one to roll back to."""
    state = EnvironmentState()
    for number in range(MAX_ENTRIES):
        by_proxy = {
            f"i-{each:017x}": digest(each + number * 1000) for each in range(200)
        }
        state = publish(state, Assignment(by_proxy=by_proxy), "x", float(number), ())
    assert MIN_ENTRIES < len(state.history) < MAX_ENTRIES
    assert state.history[-1].generation == MAX_ENTRIES
    assert history_bytes(state) < MAX_BYTES + MAX_ENTRIES


@pytest.mark.fault("F136")
def test_an_entry_that_is_too_big_alone_leaves_its_predecessor() -> None:
    """Five thousand configs, one for each proxy."""
    state = EnvironmentState()
    for number in range(4):
        by_proxy = {f"i-{each:017x}": digest(each + number) for each in range(FLEET)}
        state = publish(state, Assignment(by_proxy=by_proxy), "x", float(number), ())
    assert [change.generation for change in state.history] == [3, 4]


@pytest.mark.fault("F136")
def test_what_an_earlier_release_wrote_is_made_smaller_when_it_is_read() -> None:
    """It named everybody, so nobody got an answer until the next publication."""
    names = tuple(backend.instance_id for backend in pool(0))
    entry = Change(1, 1, 1.0, "x", Assignment(digest(1)), names, names)
    written = replace(EnvironmentState(), revision=1, history=(entry,) * MAX_ENTRIES)
    s3 = SimpleNamespace(
        get_object=lambda **_: {"ETag": "x", "Body": BytesIO(codec.dumps(written))}
    )
    snapshot = Store(s3, "bucket", "staging").read()
    answer = answers.status(snapshot, now=100.0)
    assert len(json.dumps(answer)) < ANSWER_BYTES / 4
    assert len(snapshot.state.history) == MAX_ENTRIES
    assert snapshot.state.history[0].more_added == FLEET - MAX_NAMED
    assert bounded(snapshot.state.history) == snapshot.state.history


def test_a_small_change_names_everybody() -> None:
    """Nothing is left out where there is room."""
    state = publish(
        EnvironmentState(), Assignment(digest(1)), "x", 1.0, pool(1)[:MAX_NAMED]
    )
    (entry,) = state.history
    assert (len(entry.added), entry.more_added) == (MAX_NAMED, 0)
