"""The world as a fixture, small and fresh for every test."""

from collections.abc import Iterator
from functools import cache

import pytest

from tests.contract import quick_moto
from tests.contract.web import HOOK, Web
from tests.contract.world import Saved, World, new_world


@pytest.fixture(scope="session", autouse=True)
def _quick_moto() -> Iterator[None]:
    """Moto answers what it always does, sooner."""
    with pytest.MonkeyPatch.context() as patch:
        quick_moto.install(patch)
        yield


@cache
def settled_before() -> Saved:
    """The world that many tests begin with, made once."""
    with new_world() as made:
        return Saved.of(settled(made))


@pytest.fixture
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """An empty environment; the test that wants it running gets it so from the beginning."""
    is_settled = "running" in request.fixturenames
    with settled_before().restored() if is_settled else new_world() as made:
        yield made


@pytest.fixture
def fresh() -> Iterator[World]:
    """A fleet that is tagged already, the bucket of a first deploy, and the template's own `StartFrozen`."""
    with new_world(start_frozen=True) as made:
        made.launch(number=3)
        made.launch("haproxy", 2)
        yield made


@pytest.fixture
def running(world: World) -> World:
    """Three backends, three proxies, all of them settled."""
    return world if world.invocations else settled(world)


def settled(world: World) -> World:
    """The same, for fixtures of a wider scope."""
    world.launch(number=3)
    world.launch("haproxy", 3)
    world.sweep()
    world.settle()
    assert world.act("status")["converged"]
    world.pass_time(60)
    return world


@pytest.fixture
def web(world: World) -> Web:
    """A group that is yet to be made."""
    return Web(world)


@pytest.fixture
def three(web: Web) -> Web:
    """Three in service, with a terminate hook of ours."""
    web.create(3, HOOK)
    return web
