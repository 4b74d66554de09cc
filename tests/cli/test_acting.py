"""Commands that change something: what reaches the function, what a person is shown and asked, and what is done."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from tests.cli.conftest import Shell
from tests.cli.terminal import types
from tests.contract.world import World, new_world

DANGEROUS = [
    ("sync", "--allow-mass-removal"),
    ("sync", "--adopt"),
    ("unfreeze", "--adopt"),
    ("rollback", "1"),
    ("rollback", "--fence", "1795316400"),
]


def actions(shell: Shell) -> list[str]:
    """What the function was asked for."""
    return [request["action"] for request in shell.asked]


def grown(world: World) -> World:
    """Generation 2 has a fourth backend."""
    world.launch()
    world.sweep()
    world.settle()
    world.pass_time(60)
    return world


@pytest.mark.parametrize(
    ("words", "request_"),
    [
        (("sync",), {"action": "sync"}),
        (("sync", "--reason", "why"), {"action": "sync", "reason": "why"}),
        (
            ("sync", "--allow-mass-removal", "--adopt", "--yes"),
            {"action": "sync", "allow_mass_removal": True, "adopt": True},
        ),
        (("verify",), {"action": "verify"}),
        (("inspect",), {"action": "inspect"}),
        (("freeze",), {"action": "freeze", "minutes": 60}),
        (
            ("freeze", "--minutes", "0.5", "--reason", "x"),
            {"action": "freeze", "minutes": 0.5, "reason": "x"},
        ),
        (("unfreeze", "--yes"), {"action": "unfreeze"}),
        (("unfreeze", "--adopt", "-y"), {"action": "unfreeze", "adopt": True}),
        (
            ("rollback", "1", "--yes", "--reason", "x"),
            {"action": "rollback", "generation": 1, "minutes": 60, "reason": "x"},
        ),
        (
            ("rollback", "--fence", "1795316400", "--minutes", "5", "-y"),
            {"action": "rollback", "fence": 1795316400, "minutes": 5},
        ),
    ],
)
@pytest.mark.usefixtures("running")
def test_the_function_is_asked_for_what_was_typed(
    shell: Shell, words: tuple[str, ...], request_: dict[str, Any]
) -> None:
    """And for nothing else."""
    typed = shell(*words)
    assert (typed.status, typed.err) == (0, "")
    assert shell.asked == [request_]


def test_a_person_reads_what_came_of_it(shell: Shell, running: World) -> None:
    """The publication, and by name who got a command; nothing is kept from anybody."""
    running.launch()
    typed = shell("sync")
    (target,) = running.state.commands[0].targets
    name = running.act("status")["instances"][target]["name"]
    assert name
    assert "generation: 2, published now" in typed.out
    assert f"commands: canary to {name}" in typed.out
    assert "staging" in typed.out.splitlines()[0]
    assert "held" not in typed.out
    assert "frozen" not in typed.out


@pytest.mark.usefixtures("running")
def test_a_new_generation_of_the_same_config_is_told_as_that(shell: Shell) -> None:
    """A rollback to what is published has a number of its own; nothing else is changed."""
    assert "generation: 1, the config is as before" in shell("sync").out
    out = shell("rollback", "1", "--yes").out
    assert "generation: 2, the config is as before" in out


def test_a_person_reads_what_is_held_and_frozen(shell: Shell, running: World) -> None:
    """And until when, and why."""
    running.terminate(*running.act("status")["backends"])
    assert "held: " in shell("sync").out
    out = shell("freeze", "--reason", "move of\nthe \x1b[2Jdatabase").out
    assert "frozen: until 2026-11-22T04:01:07Z: move of the" in out
    assert "\x1b" not in out


def test_json_is_the_answer_and_nothing_else(
    shell: Shell, running: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a person is asked goes to the standard error stream."""
    grown(running)
    assert json.loads(shell("sync", "--json").out)["result"] == "look"
    types(monkeypatch, "y\n")
    typed = shell("rollback", "1", "--json")
    assert json.loads(typed.out)["generation"] == 3
    assert "Roll back to this?" in typed.err


@pytest.mark.parametrize("words", DANGEROUS)
@pytest.mark.usefixtures("running")
def test_without_a_terminal_nothing_dangerous_is_asked_for(
    shell: Shell, words: tuple[str, ...]
) -> None:
    """It is one line that names the way."""
    typed = shell(*words)
    assert typed.status == 1
    assert typed.err == (
        "haproxy-ec2-sync: this asks first, and here is no terminal to ask at: give --yes\n"
    )
    assert shell.asked == []


@pytest.mark.parametrize("words", DANGEROUS)
@pytest.mark.usefixtures("running")
def test_a_no_changes_nothing(
    shell: Shell, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does an empty answer."""
    for answer in ("n\n", "\n"):
        types(monkeypatch, answer)
        typed = shell(*words)
        assert typed.status == 1
        assert typed.err.endswith("haproxy-ec2-sync: nothing was done\n")
    assert set(actions(shell)) <= {"plan", "diff", "status"}


def test_the_end_of_the_input_is_an_interrupt(
    shell: Shell, running: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Ctrl-C at the question."""
    types(monkeypatch)
    assert shell("rollback", "1").status == 130
    assert running.state.generation == 1


def test_a_rollback_is_shown_against_what_is_published(
    shell: Shell, running: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the fourth backend that would go, and does."""
    grown(running)
    (newest,) = running.act("status")["history"][0]["added"]
    types(monkeypatch, "y\n")
    typed = shell("rollback", "1")
    assert typed.status == 0
    address = running.act("status")["instances"][newest]["address"]
    (removed,) = (
        line for line in typed.err.splitlines() if line.strip().startswith("- ")
    )
    assert address in removed
    assert "generation: 3, published now" in typed.out
    assert running.state.assignment == running.state.history[0].assignment


def test_a_removal_is_shown_before_it_is_allowed(
    shell: Shell, running: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that would go, and then it goes."""
    gone = running.act("status")["backends"][:2]
    running.terminate(*gone)
    running.sweep()
    assert running.act("status")["hold"]
    types(monkeypatch, "y\n")
    typed = shell("sync", "--allow-mass-removal")
    assert typed.status == 0
    lines = [line for line in typed.err.splitlines() if line.strip().startswith("- ")]
    assert len(lines) == 2
    assert "generation: 2, published now" in typed.out
    assert "not what you saw" not in typed.err


def test_what_is_no_longer_what_was_shown_is_not_done(
    shell: Shell, running: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another backend vanishes while a person thinks."""
    first, second, _ = running.act("status")["backends"]
    running.terminate(first)
    running.sweep()

    def answer() -> str:
        running.terminate(second)
        return "y\n"

    types(monkeypatch, answer)
    typed = shell("sync", "--allow-mass-removal")
    assert typed.status == 1
    assert "no longer what you saw: nothing was done" in typed.err
    assert "sync" not in actions(shell)


def test_a_rollback_whose_base_moved_is_not_done(
    shell: Shell, running: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A publication comes while a person thinks."""

    def answer() -> str:
        grown(running)
        return "y\n"

    types(monkeypatch, answer)
    typed = shell("rollback", "1")
    assert typed.status == 1
    assert "nothing was done" in typed.err
    assert running.state.generation == 2


def test_what_moves_in_the_last_moment_is_said(
    shell: Shell, running: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the second look and the deed there is no lock: whoever said yes learns of it."""
    grown(running)

    def arriving(request: dict[str, Any]) -> None:
        if request["action"] == "rollback":
            grown(running)

    shell.arriving = arriving
    types(monkeypatch, "y\n")
    typed = shell("rollback", "1")
    assert typed.status == 0
    assert "something was published after generation 2, before this" in typed.err

    def vanishing(request: dict[str, Any]) -> None:
        if request["action"] == "sync":
            running.terminate(running.act("status")["backends"][-1])

    running.act("unfreeze")
    running.settle()
    running.terminate(running.act("status")["backends"][0])
    shell.arriving = vanishing
    types(monkeypatch, "y\n")
    typed = shell("sync", "--allow-mass-removal")
    assert "what was published is not what you saw before" in typed.err


@pytest.fixture
def fresh() -> Iterator[World]:
    """An environment where nothing was ever published."""
    with new_world(start_frozen=True) as made:
        made.launch(number=3)
        made.launch("haproxy", 2)
        made.sweep()
        made.pass_time(60)
        yield made


@pytest.fixture
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """That of the shell: where `fresh` is wanted, that one."""
    if "fresh" in request.fixturenames:
        yield request.getfixturevalue("fresh")
        return
    with new_world() as made:
        yield made


def test_the_first_freeze_is_ended_by_a_yes_to_its_plan(
    shell: Shell, fresh: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a terminal it goes on, in one line; an operator's own freeze ends without a question."""
    assert shell("unfreeze").status == 1
    assert actions(shell) == ["status"]
    types(monkeypatch, "n\n", "y\n")
    assert shell("unfreeze").status == 1
    assert fresh.state.generation == 0
    typed = shell("unfreeze")
    assert typed.status == 0
    assert fresh.state.generation == 1
    assert "Publish this, and end the freeze?" in typed.err


def test_an_operators_freeze_ends_without_a_question(
    shell: Shell, running: World
) -> None:
    """There is nobody to ask in a pipeline."""
    running.act("freeze")
    assert shell("unfreeze").status == 0
    assert running.state.freeze is None


def test_whose_proxies_would_be_taken_is_shown(
    shell: Shell, running: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the stack's id, and their names."""
    host = next(iter(running.proxies.values()))
    host.memory = host.memory.__class__(publisher="arn:another", fence=1)
    running.act("inspect")
    running.pass_time(30)
    types(monkeypatch, "n\n")
    typed = shell("sync", "--adopt")
    name = running.act("status")["instances"][host.instance_id]["name"]
    assert f"{name} from arn:another" in typed.err


@pytest.mark.usefixtures("running")
def test_wrong_use_reaches_nobody(shell: Shell) -> None:
    """A rollback names one config, by one number."""
    for words in ((), ("1", "--fence", "2"), ("one",)):
        typed = shell("rollback", *words, "--yes")
        assert typed.status == 1
        assert len(typed.err.splitlines()) == 1
    assert shell.asked == []


@pytest.mark.usefixtures("running")
def test_what_the_function_refuses_is_its_own_one_line(shell: Shell) -> None:
    """Such as a generation that nobody knows."""
    typed = shell("rollback", "77", "--yes")
    assert typed.status == 1
    assert typed.err.startswith("haproxy-ec2-sync: no config is known")
    assert shell("freeze", "--minutes", "0").status == 1


def test_a_big_removal_that_is_what_was_shown_warns_of_nothing(
    shell: Shell, running: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The history names a hundred servers of each kind, and counts the others."""
    running.launch(number=150)
    running.sweep()
    running.settle()
    running.pass_time(60)
    running.terminate(*running.act("status")["backends"][:120])
    types(monkeypatch, "y\n")
    typed = shell("sync", "--allow-mass-removal")
    assert typed.status == 0
    assert running.act("status")["history"][0]["more_removed"] == 20
    assert "not what you saw" not in typed.err


def test_what_is_done_is_no_error_if_nobody_can_say_whether_it_was_seen(
    shell: Shell, running: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The function did it, and the connection breaks a moment later."""
    running.terminate(*running.act("status")["backends"][:2])
    running.sweep()

    def arriving(request: dict[str, Any]) -> None:
        if "sync" in actions(shell) and request["action"] == "status":
            raise EndpointConnectionError(endpoint_url="https://lambda")

    shell.arriving = arriving
    types(monkeypatch, "y\n")
    typed = shell("sync", "--allow-mass-removal")
    assert typed.status == 0
    assert "whether it is what you saw is not known" in typed.err
    assert "Could not connect to the endpoint" in typed.err
