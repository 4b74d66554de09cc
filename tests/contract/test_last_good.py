"""What a proxy takes at boot, before its agent is there: the config at a fixed key is one that was proven."""

import re
from collections.abc import Mapping
from typing import Any

import pytest
from moto.ec2.models import ec2_backends

import ssm_document
from haproxy_sync.state.store import Store, last_good_key
from tests.contract.faults import Death, Fault, interposed
from tests.contract.world import ACCOUNT, REGION, SWEEP, World, changed, new_world

KEY = "configs/staging/last-good/haproxy.cfg"
SURE_SECONDS = 80
"""Until nobody is at work any more who knows of another one."""

CALM_SECONDS = 6
"""After so long no sweep relies on a look of just now."""


def at_boot(world: World) -> str:
    """What a proxy would take now; empty: it keeps what it has."""
    s3, bucket = world.clients.s3, world.settings.bucket
    listed = s3.list_objects_v2(Bucket=bucket, Prefix=KEY)
    if not listed.get("Contents"):
        return ""
    return str(s3.get_object(Bucket=bucket, Key=KEY)["Body"].read().decode())


def versions(world: World) -> int:
    """How often it was put."""
    s3, bucket = world.clients.s3, world.settings.bucket
    return len(s3.list_object_versions(Bucket=bucket, Prefix=KEY).get("Versions", ()))


def versioned(world: World) -> None:
    """As the template makes the bucket."""
    world.clients.s3.put_bucket_versioning(
        Bucket=world.settings.bucket, VersioningConfiguration={"Status": "Enabled"}
    )


def published(world: World) -> str:
    """The config that all shall run."""
    shared = world.state.assignment.shared
    assert shared
    return (
        Store.of(world.clients, world.settings).get_config(shared.sha256) or "deleted"
    )


def rest(world: World) -> None:
    """Nothing is left to be put."""
    world.pass_time(SURE_SECONDS)
    assert world.sweep() == []
    world.pass_time(CALM_SECONDS)


def join(world: World) -> str:
    """Another backend joins, as its event says; its address."""
    (new,) = world.launch()
    assert world.deliver(changed(new)) == []
    instances = world.clients.ec2.describe_instances(InstanceIds=[new])
    return str(instances["Reservations"][0]["Instances"][0]["PrivateIpAddress"])


def broken(_parameters: Mapping[str, str]) -> tuple[str, ...]:
    """HAProxy refuses every config."""
    return "failed", "config-rejected"


@pytest.mark.fault("F268")
def test_what_all_proxies_run_is_what_a_new_one_takes(running: World) -> None:
    """Byte for byte, seconds after the rollout; and each later one."""
    assert at_boot(running) == published(running) != ""
    address = join(running)
    running.settle()
    running.pass_time(3)
    assert address in at_boot(running)
    assert at_boot(running) == published(running)


@pytest.mark.fault("F268")
def test_it_is_put_only_where_it_changed(running: World) -> None:
    """Twice, then never again."""
    versioned(running)
    join(running)
    running.settle()
    for _ in range(15):
        running.pass_time(60)
        running.sweep()
    assert versions(running) == 2 + 1  # that from before is one, too


@pytest.mark.fault("F268")
def test_a_config_that_a_canary_refuses_is_not_taken(running: World) -> None:
    """However long it stays published."""
    before = at_boot(running)
    for host in running.proxies.values():
        host.breaks = broken
    address = join(running)
    running.settle(20)
    for _ in range(3):
        running.sweep()
        running.pass_time(60)
    assert address in published(running)
    assert at_boot(running) == before


@pytest.mark.fault("F268")
def test_a_canary_alone_is_not_enough(running: World) -> None:
    """The others may refuse it yet, and then most do."""
    before = at_boot(running)
    for host in running.proxies.values():
        host.agent.seconds = 8
    address = join(running)
    running.pass_time(12)  # the wave is under way
    assert running.act("status")["rollout"]["proven_by"]
    assert at_boot(running) == before
    (canary,) = {key for key in running.proxies if address in running.served(key)}
    for key in running.proxies.keys() - {canary}:
        running.proxies[key].breaks = broken
    running.settle(20)
    running.sweep()
    running.pass_time(60)
    assert at_boot(running) == before


@pytest.mark.fault("F268")
def test_one_bad_host_among_many_keeps_nobody_from_it(running: World) -> None:
    """Nor does one whose agent is away."""
    bad, *_ = sorted(running.proxies)
    running.boot()
    running.sweep()
    running.proxies[bad].breaks = broken
    address = join(running)
    for _ in range(5):
        running.settle(20)
        running.sweep()
    if address not in at_boot(running):
        join(running)  # who failed is not the canary of the next one
        running.settle(40)
        running.pass_time(3)
    assert at_boot(running) == published(running)


@pytest.mark.fault("F268")
def test_after_a_rollback_it_is_what_was_rolled_back_to(running: World) -> None:
    """Also while the rollback's freeze lasts, in which nothing new is proven."""
    first = at_boot(running)
    generation = running.state.generation
    join(running)
    running.settle()
    running.pass_time(3)
    assert at_boot(running) != first
    running.act("rollback", generation=generation)
    running.settle(20)
    assert at_boot(running) == first
    join(running)
    running.sweep()
    running.pass_time(SURE_SECONDS)
    assert at_boot(running) == first


@pytest.mark.fault("F268")
def test_in_the_first_freeze_there_is_none(fresh: World) -> None:
    """Nothing was proven; a proxy keeps what it has."""
    for _ in range(3):
        fresh.sweep()
        fresh.pass_time(60)
    assert at_boot(fresh) == ""
    fresh.act("unfreeze")
    fresh.settle()
    fresh.pass_time(3)
    assert at_boot(fresh) == published(fresh)


@pytest.mark.fault("F268")
def test_where_each_zone_has_its_own_it_is_one_of_them() -> None:
    """Right enough until the first command; the same one as long as it is good."""
    with new_world(zone_aware=True) as world:
        world.launch(number=2)
        world.launch("haproxy", 2)
        zones = iter(("eu-west-1a", "eu-west-1b"))
        for key in world.proxies:
            place(key, next(zones))
        world.sweep()
        world.settle()
        world.pass_time(3)
        served = {world.served(key) for key in world.proxies}
        assert len(served) == 2
        assert at_boot(world) in served


def place(instance_id: str, zone: str) -> None:
    """The instance is in that zone."""
    instance: Any = ec2_backends[ACCOUNT][REGION].get_instance(instance_id)
    instance._placement.zone = zone  # noqa: SLF001 # moto puts all of a call into one


@pytest.mark.fault("F269")
@pytest.mark.parametrize("is_done", [False, True])
def test_a_death_at_the_put_is_made_up_for_by_the_next_reconcile(
    running: World, *, is_done: bool
) -> None:
    """Whether the object was put or not."""
    rest(running)
    join(running)
    deaths: list[str] = []

    def choose(operation: str, url: str) -> Fault | None:
        if operation != "s3.PutObject" or KEY not in url or deaths:
            return None
        deaths.append(url)
        return Fault(is_death=True, is_done=is_done)

    with interposed(running.clients, choose):
        for _ in range(20):
            try:
                running.settle(5)
                running.sweep()
            except Death:
                break
    assert deaths
    running.clock.advance(CALM_SECONDS)
    running.sweep()
    assert at_boot(running) == published(running)


@pytest.mark.fault("F269")
def test_an_older_writer_has_not_the_last_word(running: World) -> None:
    """It put what it had found named while others had come further; a minute later the newest is there."""
    stalled: list[str] = []

    def choose(operation: str, url: str) -> Fault | None:
        if operation == "s3.PutObject" and KEY in url and not stalled:
            stalled.append(url)
            join(running)  # all of this while the put of before is on its way
            for _ in range(30):
                running.clock.advance(1)
                running.service.tick()
                running.deliver(SWEEP)
                running.deliver_inbox()
            stalled.append(at_boot(running))
        return None

    first = join(running)
    with interposed(running.clients, choose):
        running.settle()
        running.pass_time(5)
    newest = published(running)
    assert stalled[1:] == [newest]
    assert at_boot(running) != newest
    assert first in at_boot(running)
    running.pass_time(SURE_SECONDS)
    running.sweep()
    assert at_boot(running) == newest


@pytest.mark.fault("F269")
def test_a_refused_put_keeps_no_proxy_from_its_config(running: World) -> None:
    """The batch comes again, and an alarm with it; it is put as soon as that is allowed."""

    def choose(operation: str, url: str) -> Fault | None:
        is_it = operation == "s3.PutObject" and KEY in url
        return Fault(403, "AccessDenied") if is_it else None

    rest(running)
    first = join(running)
    while not running.act("status")["converged"]:
        running.finish_unnoticed()
        running.deliver_inbox()
    with interposed(running.clients, choose):
        running.clock.advance(CALM_SECONDS)
        assert running.sweep() != []
        (second,) = running.launch()
        running.clock.advance(CALM_SECONDS)
        assert running.deliver(changed(second)) != []
        while not running.act("status")["converged"]:
            running.finish_unnoticed()
            running.deliver(*running.inbox)
            running.inbox.clear()
    assert len({host.running for host in running.proxies.values()}) == 1
    assert first in running.served(min(running.proxies)) == published(running)
    running.clock.advance(CALM_SECONDS)
    assert running.sweep() == []
    assert at_boot(running) == published(running)


@pytest.mark.fault("F268")
def test_another_text_at_its_address_is_not_taken(running: World) -> None:
    """Somebody has overwritten a stored config: hosts would refuse it, too."""
    before = at_boot(running)
    join(running)
    shared = running.state.assignment.shared
    assert shared
    running.settle()
    running.clients.s3.put_object(
        Bucket="bucket", Key=f"configs/staging/{shared.sha256}/haproxy.cfg", Body=b"x"
    )
    running.pass_time(SURE_SECONDS)
    assert at_boot(running) in {before, running.texts[shared.md5]}


def test_the_key_is_below_what_proxies_may_read() -> None:
    """And no digest: no command can name it."""
    assert last_good_key("staging") == KEY
    address = f"https://bucket.s3.eu-west-1.amazonaws.com/{KEY}"
    pattern = ssm_document.document("0" * 64)["parameters"]["SourceUrl"]
    assert not re.search(pattern["allowedPattern"], address)
    assert re.search(pattern["allowedPattern"], address.replace("last-good", "0" * 64))
