"""Where template and variables come from, in `plan` and `status`; and what lies in an earlier stack's bucket."""

from collections.abc import Callable
from typing import Any

import pytest

from haproxy_ec2_sync.views import plan, status
from tests.cli import samples, screen
from tests.cli.samples import NOW

VIEWS: dict[str, Callable[..., str]] = {
    "plan": lambda **said: screen.shown(plan.plan(samples.plan(**said)), 200),
    "status": lambda **said: screen.shown(
        status.status(samples.status(**said), NOW), 200
    ),
}
BUNDLED = {"origin": "bundled", "version": "0123456789abcdef", "at": None}


@pytest.mark.parametrize("shown", VIEWS.values(), ids=VIEWS)
def test_both_are_told_in_one_line(shown: Callable[..., str]) -> None:
    """An upload with its time."""
    variables = samples.origins()["template"] | {"version": "ffffffffffffffff"}
    text = shown(template=BUNDLED | {"at_iso": None}, variables=variables)
    assert (
        "\ntemplate: bundled (0123456789abcdef), "
        "variables: uploaded 2026-11-26T01:00:00Z (ffffffffffffffff)\n" in text
    )
    assert "earlier stack" not in text


@pytest.mark.parametrize("shown", VIEWS.values(), ids=VIEWS)
def test_uploads_of_an_earlier_stack_are_told(shown: Callable[..., str]) -> None:
    """They lie in its bucket, and nobody uses them."""
    text = shown(earlier_uploads=[samples.EARLIER])
    assert f"\nuploads of an earlier stack: {samples.EARLIER}\n" in text


@pytest.mark.parametrize("shown", VIEWS.values(), ids=VIEWS)
@pytest.mark.parametrize("nothing", [None, {}, "bucket"])
def test_an_older_function_says_nothing_of_it(
    shown: Callable[..., str], nothing: Any
) -> None:
    """And nothing is made up."""
    text = shown(template=nothing, variables=nothing, earlier_uploads=nothing)
    assert "\ntemplate: " not in text
    assert "earlier stack" not in text
