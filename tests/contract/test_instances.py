"""Beside every instance id of an answer stand the name and the address of the instance."""

import json
import re
from collections.abc import Mapping
from typing import Any

import pytest

from tests.contract.world import World

ID = re.compile(r"i-[0-9a-f]{8,32}")


def described(world: World, instance_id: str) -> Mapping[str, Any]:
    """The instance as EC2 shows it."""
    answer = world.clients.ec2.describe_instances(InstanceIds=[instance_id])
    instance: Mapping[str, Any] = answer["Reservations"][0]["Instances"][0]
    return instance


def is_told(world: World, answer: Mapping[str, Any], role: str, key: str) -> None:
    """The answer says which machine that is, in EC2's words."""
    instance = described(world, key)
    told = answer["instances"][key]
    assert told["address"] == instance["PrivateIpAddress"]
    assert told["name"] == instance["PrivateDnsName"].partition(".")[0]
    assert told["role"] == role
    assert told["zone"] == instance["Placement"]["AvailabilityZone"]


@pytest.mark.fault("F150")
@pytest.mark.parametrize(
    "action", ["status", "plan", "sync", "verify", "inspect", "freeze", "unfreeze"]
)
def test_every_answer_has_one_for_each_id(running: World, action: str) -> None:
    """And for nobody else."""
    running.terminate(running.state.pool[0].instance_id)
    running.launch("Tomcat")
    running.sweep()
    answer = running.act(action)
    told = answer.pop("instances")
    assert set(ID.findall(json.dumps(answer))) == set(told)


@pytest.mark.fault("F150")
def test_a_status_names_proxies_backends_and_who_was_skipped(running: World) -> None:
    """A mistyped tag is found by the machine's name, one beside our environment, too."""
    misspelt = running.launch("Tomcat")
    ported = running.launch(tags={"haproxy:port": "x"})
    running.sweep()
    status = running.act("status")
    for key in status["proxies"]:
        is_told(running, status, "proxy", key)
    for key in status["backends"]:
        is_told(running, status, "backend", key)
    for key in [*misspelt, *ported]:
        is_told(running, status, "skipped", key)
    shown = {each["instance_id"]: each for each in status["skipped"]}
    told = status["instances"][misspelt[0]]
    assert shown[misspelt[0]]["address"] == told["address"]
    assert shown[misspelt[0]]["name"] == told["name"]


def test_a_backend_whose_option_is_wrong_is_a_backend(running: World) -> None:
    """It is served, though its weight is named among what was skipped."""
    (key,) = running.launch(tags={"haproxy:weight": "300"})
    running.sweep()
    is_told(running, running.act("status"), "backend", key)


@pytest.mark.fault("F150")
def test_a_slip_in_the_environment_is_named_too(world: World) -> None:
    """Where nobody else is found: this is who was meant."""
    (key,) = world.launch(tags={"Environment": "Staging"})
    world.sweep()
    is_told(world, world.act("status"), "skipped", key)


@pytest.mark.fault("F150")
def test_a_plan_names_who_would_join_and_who_would_leave(running: World) -> None:
    """Before anything of them is in the state."""
    running.act("freeze", minutes=5)
    joining = running.launch(number=2)
    plan = running.act("plan")
    assert plan["servers"]["added"] == sorted(joining)
    for key in joining:
        is_told(running, plan, "backend", key)


@pytest.mark.fault("F150")
def test_who_is_held_is_still_named(running: World) -> None:
    """EC2 shows them no more; the state knows them."""
    gone = running.state.pool
    running.terminate(*(each.instance_id for each in gone))
    running.sweep()
    told = running.act("status")["instances"]
    for backend in gone:
        assert told[backend.instance_id]["address"] == backend.address
        assert told[backend.instance_id]["name"] == backend.name


@pytest.mark.fault("F150")
def test_who_is_known_no_more_has_no_address(running: World) -> None:
    """The history still names who left; nothing is made up."""
    leaving = running.state.pool[0].instance_id
    running.terminate(leaving)
    running.sweep()
    running.settle()
    status = running.act("status")
    assert status["history"][0]["removed"] == [leaving]
    unknown = {"name": "", "address": None, "zone": "", "role": ""}
    assert status["instances"][leaving] == unknown
