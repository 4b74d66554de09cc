"""How many examples each fuzz target gets: all of them in `make fuzz`, a hundredth in `make test`."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from hypothesis import given, settings
from hypothesis.strategies import SearchStrategy

PROFILE = "fuzz"
FRACTION = 100
LEAST = 5

RUN: list[None] = []
"""One for each example of the test that runs, shrinking included."""


def fuzzed(
    examples: int, **strategies: SearchStrategy[Any]
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A test of so many examples, drawn from the strategies by the names of its parameters."""
    is_all = settings.get_current_profile_name() == PROFILE
    number = examples if is_all else max(LEAST, examples // FRACTION)

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        @wraps(test)
        def counted(*args: Any, **kwargs: Any) -> None:
            RUN.append(None)
            test(*args, **kwargs)

        drawn: Callable[..., None] = given(**strategies)(counted)
        drawn.__dict__["examples"] = examples
        return settings(max_examples=number)(drawn)

    return decorate
