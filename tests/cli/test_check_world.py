"""`check` of a world whose proxies answer: what is read is theirs, and nothing moves."""

import json
from collections.abc import Iterator

import pytest

from local.run_command.scripted import Trouble
from tests.cli.conftest import Shell
from tests.contract import answers
from tests.contract.world import World, new_world

THEIRS = "global\n    maxconn 7\n"


@pytest.fixture
def world() -> Iterator[World]:
    """A live fleet in its first freeze, on whose hosts somebody else's config runs."""
    with new_world(start_frozen=True) as made:
        made.launch(number=2)
        made.launch("haproxy", 3)
        for host in made.proxies.values():
            made.drift(host.instance_id, THEIRS)
            host.running = host.installed
        yield made


def _files(world: World) -> list[tuple[str, str, int]]:
    """What proxies have, run, and how often they reloaded."""
    hosts = world.proxies.values()
    return [(host.installed, host.running, host.reloads) for host in hosts]


@pytest.mark.fault("F162")
def test_a_fleet_is_checked_in_its_first_freeze(shell: Shell, world: World) -> None:
    """Each would take the config: their own lines go, the pool comes; and nothing of it happens."""
    before = _files(world)
    typed = shell("check")
    assert typed.status == 2
    assert typed.out.count(" differs, would be taken") == 3
    assert typed.out.count("\n  -    maxconn 7\n") == 1
    assert typed.out.count("the same diff as ") == 2
    assert "Check: 0 the same, 3 to change, 0 refused." in typed.out
    assert "publisher: none yet" in typed.out
    assert _files(world) == before
    assert world.act("status")["generation"] is None
    shell("unfreeze", "--yes", "--wait")
    typed = shell("check")
    assert (typed.status, typed.out.count("\n  --- live file")) == (0, 0)


@pytest.mark.fault("F162")
def test_one_refuses_and_one_is_not_there(shell: Shell, world: World) -> None:
    """Each is named, with why; `--proxy` asks about the others alone."""
    refusing, gone, other = sorted(world.proxies)
    world.proxies[refusing].refusal = ("cannot-bind", "0.0.0.0:443: in use")
    world.service.disconnect(gone)
    world.clock.advance(400)
    typed = shell("check")
    assert typed.status == 1
    assert "would be refused: cannot-bind: 0.0.0.0:443: in use" in typed.out
    assert typed.err.count("no command reaches ") == 1
    typed = shell("check", "--proxy", other, "--json")
    answer = json.loads(typed.out)
    assert typed.status == 2
    assert list(answer["proxies"]) == [other]
    assert answers.problems(answer) == []
    name = answer["proxies"][other]["name"]
    assert shell("check", "--proxy", name).status == 2


def test_a_proxy_that_does_not_answer_is_named(shell: Shell, world: World) -> None:
    """Its agent is there, and works on something else."""
    busy = max(world.proxies)  # who is asked last keeps nobody waiting
    world.proxies[busy].agent.trouble = Trouble.MUTE
    typed = shell("check", "--timeout", "20")
    assert typed.status == 1
    assert "within 20 s there was no answer from " in typed.err
    assert (
        "Check: 0 the same, 2 to change, 0 refused, 1 without an answer." in typed.out
    )
