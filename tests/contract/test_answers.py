"""Answers have the keys that docs/architecture.md lists, no more and no fewer."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.contract.world import World

DOCUMENT = Path(__file__).parents[2] / "docs/architecture.md"
SECTION = DOCUMENT.read_text().split("## What operators get")[1].split("\n## ")[0]
EVERYWHERE = {"action", "environment", "instances"}
# Named by instance or stack, so no names of ours.
BY_ID = {"missing", "let_go_at", "waits_for", "assignment", "publishers"}
# Of a proxy, named as in its config.
BY_NAME = {"backends"}


def listed(action: str) -> set[str]:
    """The keys that the first table has for the action, in one row or several."""
    rows = SECTION.split("\n\n")[2].replace("\n| |", "").splitlines()
    cells = [row.strip("|").partition("|") for row in rows]
    found = {name.strip(" `"): named for name, _, named in cells}
    return set(re.findall(r"`([a-z_]+)`", found[action]))


def keys(answer: Mapping[str, Any]) -> set[str]:
    """Without those that every answer has, and the ISO times beside others."""
    return {key for key in answer if not key.endswith("_iso")} - EVERYWHERE


def names(value: Any) -> Iterator[str]:
    """Of all mappings at any depth."""
    if isinstance(value, list):
        for each in value:
            yield from names(each)
    if isinstance(value, Mapping):
        yield from keys(value)
        for key in keys(value) - BY_ID - BY_NAME:
            yield from names(value[key])


@pytest.mark.parametrize(
    ("action", "options"),
    [("status", {}), ("plan", {}), ("diff", {"generation": 1})],
)
def test_an_answer_has_the_keys_of_its_row(
    running: World, action: str, options: Mapping[str, Any]
) -> None:
    """Of those that only read."""
    assert keys(running.act(action, **options)) == listed(action)


@pytest.mark.parametrize("action", ["sync", "verify", "inspect", "freeze", "unfreeze"])
def test_answers_of_what_changes_something_are_alike(
    running: World, action: str
) -> None:
    """But `unfreeze`, which says more."""
    more = {"publishers", "unheard", "publishers_note"}
    expected = listed("all others") - {"unfreeze"}
    if action != "unfreeze":
        expected -= more
    assert keys(running.act(action)) == expected


def test_what_stands_inside_is_explained(running: World) -> None:
    """While as much of it is there as can be: a hold, a freeze and an inspection."""
    running.act("inspect")
    running.pass_time(5)
    running.sweep()
    running.terminate(*(each.instance_id for each in running.state.pool))
    running.pass_time(60)
    running.sweep()
    running.act("freeze", minutes=60, reason="a test")
    status = running.act("status")
    assert status["hold"]
    assert status["freeze"]
    proxies = status.pop("proxies").values()
    assert all(each["inspection"] for each in proxies)
    unexplained = {
        name for name in names([status, *proxies]) if f"`{name}`" not in SECTION
    }
    assert unexplained == set()
