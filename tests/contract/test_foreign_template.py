"""A template as the playbook's, which does not show who drains: what the proxies get, and what is remembered."""

import pytest

from tests.contract.world import World

KEY = {"Bucket": "bucket", "Key": "templates/staging/haproxy.cfg.j2"}
PLAYBOOK = b"""listen app
    bind *:80
{% for backend in groups['backends'] %}
    server {{ backend }} {{ backend }}:8080 check
{% endfor %}
"""
DRAIN = "haproxy:drain"


def served(world: World) -> set[str]:
    """The backends that the proxies send new clients to, by instance id."""
    names = {each.name: each.instance_id for each in world.state.pool}
    texts = {world.served(proxy) for proxy in world.proxies}
    assert len(texts) == 1
    words = [line.split() for line in texts.pop().splitlines() if "server" in line]
    return {names[each[1]] for each in words}


def tag(world: World, instances: list[str], value: str) -> None:
    """Somebody drains them, or ends that."""
    tags = [{"Key": DRAIN, "Value": value}]
    world.clients.ec2.create_tags(Resources=instances, Tags=tags)
    world.pass_time(10)
    world.sweep()
    world.settle()


@pytest.mark.fault("F262")
def test_who_drains_leaves_the_config_and_stays_in_the_pool(running: World) -> None:
    """It is back when its drain ends; where all drain, all are there."""
    running.clients.s3.put_object(**KEY, Body=PLAYBOOK)
    running.sweep()
    running.settle()
    every = {each.instance_id for each in running.state.pool}
    assert served(running) == every
    leaving = sorted(every)[:1]
    tag(running, leaving, "true")
    assert served(running) == every - set(leaving)
    assert {each.instance_id for each in running.state.pool} == every
    assert running.act("status")["hold"] is None
    tag(running, sorted(every), "true")
    assert served(running) == every
    tag(running, sorted(every), "false")
    assert served(running) == every
