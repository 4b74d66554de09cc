"""A settled world is made once and copied: what happens in a copy is nobody else's."""

from typing import Any

from tests.contract.conftest import settled_before
from tests.contract.world import World


def seen_of(world: World) -> tuple[Any, ...]:
    """All that services and the function know."""
    described = world.clients.ec2.describe_instances()["Reservations"]
    listed = world.clients.s3.list_objects_v2(Bucket="bucket")["Contents"]
    return described, listed, world.state, world.act("status")


def test_each_copy_has_a_future_of_its_own() -> None:
    """Another copy begins where the first one did, also after changes of every kind."""
    with settled_before().restored() as world:
        first = seen_of(world)
        world.launch(number=2)
        world.sweep()
        world.settle()
        world.act("freeze", reason="a test")
        world.texts.clear()
        assert seen_of(world) != first
    with settled_before().restored() as world:
        assert seen_of(world) == first
        assert world.texts
