"""Which publication of the history is meant."""

import pytest

from haproxy_sync.errors import BadRequest
from haproxy_sync.operator.publications import Wanted, against
from haproxy_sync.state.model import (
    NO_ASSIGNMENT,
    Change,
    EnvironmentState,
    Publication,
)


def state(*generations: int) -> EnvironmentState:
    """One whose history knows these generations."""
    history = tuple(
        Change(number, 1000 + number, 0.0, "why", NO_ASSIGNMENT)
        for number in generations
    )
    newest = history[-1]
    publication = Publication(newest.generation, newest.fence, 0.0, NO_ASSIGNMENT)
    return EnvironmentState(history=history, publication=publication)


def test_the_one_before_is_the_entry_before() -> None:
    """Whatever its number is: some generations only raised the fence."""
    known = state(3, 7)
    assert against(known, known.history[1], None).generation == 3
    first = state(1, 2)
    assert against(first, first.history[0], None).generation == 0


def test_what_was_before_the_oldest_entry_is_not_made_up() -> None:
    """The history is bounded; it was something, but nobody knows what."""
    known = state(3, 7)
    with pytest.raises(BadRequest, match="before generation 3: say against which"):
        against(known, known.history[0], None)
    assert against(known, known.history[0], 0).generation == 7


def test_between_two_entries_the_older_one_was_current() -> None:
    """By generation and by fence."""
    known = state(3, 7)
    assert Wanted("generation", 5).among(known).generation == 3
    assert Wanted("fence", 1007).among(known).generation == 7
