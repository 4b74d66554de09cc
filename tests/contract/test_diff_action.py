"""What a publication of the history changed, and what a rollback to it would."""

from typing import Any

import pytest

from haproxy_sync.errors import BadRequest
from tests.contract.world import World

TEMPLATE = "templates/staging/haproxy.cfg.j2"
PER_HOST = """frontend web
    bind :80 name {{ inventory_hostname }}
    default_backend app
backend app
{% for host in groups['tomcat'] %}
    server {{ host }} {{ hostvars[host].ansible_host }}:8080 weight 7
{% endfor %}
"""


def publish(world: World) -> None:
    """What a sweep finds is rolled out."""
    world.pass_time(60)
    world.sweep()
    world.settle()


def test_it_shows_what_the_plan_showed(running: World) -> None:
    """The same as before it was published, now by its generation or by its fence."""
    running.launch(tags={"haproxy:weight": "10"})
    planned = running.act("plan")["diff"]
    publish(running)
    state = running.state
    shown = running.act("diff", generation=state.generation)
    assert shown["diff"] == planned
    assert shown["against"] == state.generation - 1
    assert (shown["why"], shown["at"]) == (state.history[-1].why, state.history[-1].at)
    assert running.act("diff", fence=state.fence)["diff"] == planned


def test_the_first_publication_adds_all_there_is(running: World) -> None:
    """Nothing was there before."""
    shown = running.act("diff", generation=1)
    assert shown["against"] is None
    (change,) = shown["diff"]
    assert sorted(change["proxies"]) == sorted(running.proxies)
    assert len(change["added"]) == len(running.state.pool)
    named = shown["instances"]
    assert set(named) >= {each["instance_id"] for each in change["added"]}


def test_against_now_it_is_what_a_rollback_changes(running: World) -> None:
    """Looked at first, then done: the new generation changed just that."""
    first = running.state.generation
    running.launch()
    publish(running)
    preview = running.act("diff", generation=first, against=0)
    assert preview["against"] == running.state.generation
    (change,) = preview["diff"]
    assert len(change["removed"]) == 1
    running.act("rollback", generation=first)
    running.settle()
    done = running.act("diff", generation=running.state.generation)
    assert done["diff"] == preview["diff"]
    assert done["why"] == f"operator rollback to generation {first}"


def test_against_another_generation(running: World) -> None:
    """From that one to this one, whichever is older."""
    first = running.state.generation
    for _ in range(2):
        running.launch()
        publish(running)
    last = running.state.generation
    (forth,) = running.act("diff", generation=last, against=first)["diff"]
    (back,) = running.act("diff", generation=first, against=last)["diff"]
    assert len(forth["added"]) == len(back["removed"]) == 2
    assert running.act("diff", generation=last, against=last)["diff"] == []


def test_each_proxy_may_have_a_config_of_its_own(running: World) -> None:
    """The proxies of each change are those that got it."""
    running.clients.s3.put_object(Bucket="bucket", Key=TEMPLATE, Body=PER_HOST)
    planned = running.act("plan")["diff"]
    publish(running)
    shown = running.act("diff", generation=running.state.generation)["diff"]
    assert len(shown) == len(running.proxies)
    assert shown == planned


def test_it_changes_nothing(running: World) -> None:
    """Neither the state nor a host."""
    before = running.state, running.orders()
    running.act("diff", generation=1)
    assert (running.state, running.orders()) == before


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "generation must be int"),
        ({"generation": 99}, "newest generations: 1"),
        ({"fence": 1}, "newest fences"),
        ({"generation": 1, "fence": 1}, "diff takes generation or fence, not both"),
        ({"generation": 1, "against": 99}, "newest generations: 1"),
        ({"generation": 1, "against": -1}, "newest generations: 1"),
        ({"generation": 1, "against": "x"}, "against must be int"),
    ],
)
def test_what_is_not_known_is_said(
    running: World, options: dict[str, Any], words: str
) -> None:
    """As for a rollback."""
    with pytest.raises(BadRequest, match=words):
        running.act("diff", **options)


def test_a_config_that_was_deleted_is_no_empty_one(running: World) -> None:
    """Else all of it would seem to be new."""
    running.launch()
    publish(running)
    digest = running.state.history[0].assignment.shared
    assert digest
    key = f"configs/staging/{digest.sha256}/haproxy.cfg"
    running.clients.s3.delete_object(Bucket="bucket", Key=key)
    with pytest.raises(BadRequest, match="no longer in the bucket"):
        running.act("diff", generation=running.state.generation)
