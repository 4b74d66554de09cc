"""`history` and `diff`: what was published, and what it changed."""

import json
from typing import Any

import pytest

from haproxy_ec2_sync.views import history as view
from tests.cli import samples, screen
from tests.cli.conftest import Shell
from tests.cli.samples import NOW
from tests.contract.world import World


def test_a_row_for_each_publication() -> None:
    """Newest first, with what is left out of an entry counted."""
    answer = {"history": samples.history()}
    shown = view.history(answer, NOW, limit=2, is_with_lines=False)
    screen.check("history", shown)


def test_with_the_lines_of_each() -> None:
    """Below each publication."""
    answer = {"history": samples.history()}
    screen.check("history-diff", view.history(answer, NOW, 10, is_with_lines=True))


def test_the_history_of_the_world(shell: Shell, running: World) -> None:
    """One row for its publication."""
    running.launch()
    running.sweep()
    running.settle()
    typed = shell("history", "--limit", "1")
    assert (typed.status, typed.err) == (0, "")
    title, row, more = typed.out.splitlines()
    assert title.split() == ["GENERATION", "WHEN", "AT", "CHANGED", "WHY"]
    assert row.split()[0] == str(running.state.generation)
    assert "+1 ~0 -0" in row
    assert "older not shown: --limit" in more


def test_the_history_as_json_is_that_of_status(shell: Shell, running: World) -> None:
    """As many entries as were asked for."""
    running.launch()
    running.sweep()
    typed = shell("history", "--json", "--limit", "1")
    newest = running.act("status")["history"][:1]
    shown = json.loads(typed.out)
    assert (shown["environment"], shown["history"]) == ("staging", newest)


def test_nothing_was_ever_published(shell: Shell) -> None:
    """It is said in words."""
    typed = shell("history")
    assert (typed.status, typed.out) == (0, "Nothing was ever published here.\n")


def test_what_one_publication_changed() -> None:
    """As in a plan, in the past."""
    screen.check("diff", view.diff(samples.diff(), NOW))


def test_two_that_are_alike() -> None:
    """The first one is against nothing."""
    answer = samples.diff() | {"diff": [], "against": 0}
    screen.check("diff-none", view.diff(answer, NOW))


@pytest.mark.parametrize(
    ("words", "request_"),
    [
        (("12",), {"generation": 12}),
        (("12", "--against", "0"), {"generation": 12, "against": 0}),
        (("1795630134", "--fence"), {"fence": 1795630134}),
    ],
)
def test_diff_asks_for_a_generation_or_a_fence(
    shell: Shell,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    request_: dict[str, Any],
) -> None:
    """Against the one before, where nothing else is said."""
    monkeypatch.setattr(World, "act", lambda _self, **_request: samples.diff())
    typed = shell("diff", *words)
    assert (typed.status, typed.err) == (0, "")
    assert shell.asked == [{"action": "diff", **request_}]
    assert "1 added, 1 changed, 4 removed." in typed.out


def test_diff_of_the_world(shell: Shell, running: World) -> None:
    """A backend that joined; and nothing lies between what is published and itself."""
    (joined,) = running.launch()
    running.sweep()
    generation = str(running.state.generation)
    typed = shell("diff", generation)
    assert (typed.status, typed.err) == (0, "")
    assert f"Generation {generation}, 0 s ago" in typed.out
    (line,) = (line for line in typed.out.splitlines() if joined in line)
    assert line.strip().startswith("+ application/")
    assert "1 added, 0 changed, 0 removed." in typed.out
    assert shell("diff", generation, "--against", "0").out.endswith("No changes.\n")


def test_an_unknown_generation_is_refused_by_the_function(
    shell: Shell, running: World
) -> None:
    """In its own words, which name those that are known."""
    typed = shell("diff", "99")
    assert typed.status == 1
    assert "generation 99" in typed.err
    assert str(running.state.generation) in typed.err


@pytest.mark.parametrize("words", [(), ("0",), ("twelve",), ("1", "--against", "-1")])
def test_what_is_no_generation_is_refused(shell: Shell, words: tuple[str, ...]) -> None:
    """Before anybody is asked."""
    typed = shell("diff", *words)
    assert (typed.status, typed.err.count("\n")) == (1, 1)
    assert shell.asked == []
