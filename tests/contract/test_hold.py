"""What a hold waits for and why it ended, as `status` and the history tell it; and whose address somebody else got."""

from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.contract.world import World


def pool(world: World) -> list[str]:
    """The accepted backends."""
    return [backend.instance_id for backend in world.state.pool]


def retag(world: World, instances: list[str], environment: str) -> None:
    """Somebody's tool moves them to another environment, or back."""
    tags = [{"Key": "Environment", "Value": environment}]
    world.clients.ec2.create_tags(Resources=instances, Tags=tags)
    world.pass_time(10)
    world.sweep()


def newest(world: World) -> dict[str, Any]:
    """The last entry of the history."""
    entry: dict[str, Any] = world.act("status")["history"][0]
    return entry


@pytest.mark.fault("F107")
def test_a_hold_says_of_each_what_it_waits_for(running: World) -> None:
    """Until when, and that its return ends it; not the time of what cannot happen during a freeze."""
    lost = pool(running)[:2]
    retag(running, lost, "stagign")
    hold = running.act("status")["hold"]
    for key in lost:
        assert hold["let_go_at"][key] == hold["missing"][key] + 300
        assert hold["waits_for"][key] == f"its return, or {hold['let_go_at_iso'][key]}"
    running.act("freeze")
    frozen = running.act("status")["hold"]
    assert frozen["let_go_at"] == {}
    assert frozen["waits_for"] == dict.fromkeys(lost, "its return")


@pytest.mark.fault("F107")
def test_the_history_says_whom_time_let_go(running: World) -> None:
    """The entry that takes them out names them and why; so does the end of the hold."""
    lost = pool(running)[:2]
    retag(running, lost, "stagign")
    since = running.now
    running.pass_time(302)
    ended = f"missing for HoldMinutes ({', '.join(lost)})"
    assert newest(running)["removed"] == lost
    assert newest(running)["why"].endswith(f"; no longer held: {ended}")
    (last,) = running.act("status")["ended_holds"]
    assert (last["since"], last["why"]) == (since, ended)
    assert last["ended_at"] >= since + 300


@pytest.mark.fault("F107")
def test_a_hold_that_ends_without_a_publication_says_why(running: World) -> None:
    """They are back, and nothing changed for anybody."""
    lost = pool(running)[:2]
    retag(running, lost, "stagign")
    before = running.state.generation
    retag(running, lost, "staging")
    assert running.state.generation == before
    (last,) = running.act("status")["ended_holds"]
    assert last["why"] == f"back ({', '.join(lost)})"


@pytest.mark.fault("F107")
def test_the_history_says_whom_an_operator_let_go(running: World) -> None:
    """Beside the operator's own reason."""
    lost = pool(running)[:2]
    retag(running, lost, "stagign")
    running.act("sync", allow_mass_removal=True, reason="on purpose")
    ended = f"allow_mass_removal ({', '.join(lost)})"
    why = f"operator sync: on purpose; no longer held: {ended}"
    assert newest(running)["why"] == why


@pytest.mark.fault("F108")
def test_who_is_back_while_the_template_is_broken_begins_anew(running: World) -> None:
    """Nothing can be published then, but who is missing or back is seen."""
    lost = pool(running)[:2]
    retag(running, lost, "stagign")
    key = {"Bucket": "bucket", "Key": "templates/staging/haproxy.cfg.j2"}
    running.clients.s3.put_object(**key, Body=b"{{ nobody }}")
    running.pass_time(100)
    retag(running, lost, "staging")
    running.pass_time(100)
    retag(running, lost, "stagign")
    running.pass_time(100)
    running.clients.s3.delete_object(**key)
    running.sweep()
    running.pass_time(10)
    assert set(lost) <= set(pool(running))
    running.pass_time(300)
    assert set(lost).isdisjoint(pool(running))


@pytest.mark.fault("F108")
def test_no_hold_ends_while_the_template_is_broken(running: World) -> None:
    """Whatever time says, nobody can leave the config then; afterwards they do at once."""
    lost = pool(running)[:2]
    retag(running, lost, "stagign")
    key = {"Bucket": "bucket", "Key": "templates/staging/haproxy.cfg.j2"}
    running.clients.s3.put_object(**key, Body=b"{{ nobody }}")
    for _ in range(2):
        running.pass_time(200)
        running.sweep()
    status = running.act("status")
    assert status["hold"]["missing"].keys() == set(lost)
    assert status["ended_holds"] == []
    running.clients.s3.delete_object(**key)
    running.pass_time(10)
    running.sweep()
    assert set(lost).isdisjoint(pool(running))


def stranger(world: World, address: str, subnet: str = "") -> None:
    """An instance that has nothing to do with us gets the address."""
    where = {"SubnetId": subnet} if subnet else {}
    world.clients.ec2.run_instances(
        ImageId="ami-12345678",
        MinCount=1,
        MaxCount=1,
        PrivateIpAddress=address,
        **where,
    )
    world.pass_time(10)
    world.sweep()


@pytest.mark.fault("F109")
def test_an_address_that_a_strangers_instance_got_is_given_up(running: World) -> None:
    """It has no tag of ours; the others stay held, and the history says why the one left."""
    taken, *rest = running.state.pool
    running.terminate(*pool(running))
    running.pass_time(60)
    running.sweep()
    stranger(running, taken.address)
    running.settle(20)
    assert pool(running) == [each.instance_id for each in rest]
    ended = f"the address has another owner ({taken.instance_id})"
    assert newest(running)["why"].endswith(f"; no longer held: {ended}")


@pytest.mark.fault("F109")
def test_the_same_address_in_another_vpc_is_somewhere_else(running: World) -> None:
    """Addresses are unique in a VPC only."""
    ec2, (taken, *_) = running.clients.ec2, running.state.pool
    block = taken.address.rpartition(".")[0] + ".0/24"
    vpc = ec2.create_vpc(CidrBlock=block)["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock=block)["Subnet"]["SubnetId"]
    running.terminate(*pool(running))
    running.pass_time(60)
    running.sweep()
    before = pool(running)
    stranger(running, taken.address, subnet)
    assert pool(running) == before


@pytest.mark.fault("F109")
def test_while_ec2_cannot_say_whose_an_address_is_nobody_is_let_go(
    running: World,
) -> None:
    """The look itself goes on, and the next one asks again."""
    taken, *_ = running.state.pool
    running.terminate(*pool(running))
    running.pass_time(60)
    running.sweep()
    before, ec2 = pool(running), running.clients.ec2

    class Throttled:
        """EC2, but for the question whose an address is."""

        def describe_instances(self, **request: Any) -> Any:
            if request["Filters"][0]["Name"].startswith("network-interface."):
                error = {"Error": {"Code": "RequestLimitExceeded", "Message": ""}}
                raise ClientError(error, "DescribeInstances")  # type: ignore[arg-type]
            return ec2.describe_instances(**request)

        def __getattr__(self, name: str) -> Any:
            return getattr(ec2, name)

    healthy = running.clients
    running.clients = replace(healthy, ec2=Throttled())
    stranger(running, taken.address)
    assert pool(running) == before
    running.clients = healthy
    running.pass_time(10)
    running.sweep()
    assert taken.instance_id not in pool(running)


@pytest.mark.fault("F109")
def test_ec2_is_asked_for_addresses_only_while_somebody_is_held(
    running: World,
) -> None:
    """A look that holds nobody costs one question."""
    asked: list[str] = []

    def note(params: dict[str, Any], **_: Any) -> None:
        asked.append(params["Filters"][0]["Name"])

    events = running.clients.ec2.meta.events
    events.register("provide-client-params.ec2.DescribeInstances", note)
    try:
        running.sweep()
        assert asked == ["tag:Environment"]
        running.terminate(*pool(running))
        running.pass_time(60)
        running.sweep()
    finally:
        events.unregister("provide-client-params.ec2.DescribeInstances", note)
    assert asked.count("network-interface.addresses.private-ip-address") == 1
