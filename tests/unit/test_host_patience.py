"""How long a load is waited for: as its check foretells, and never so long that no time is left to undo it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from haproxy_apply import patience

SECONDS = st.floats(0, 200)


@pytest.mark.fault("F204")
@given(checked=SECONDS, left=SECONDS)
def test_a_reload_and_a_rollback_fit_into_what_is_left(
    checked: float, left: float
) -> None:
    """Both wait for what the check took at least, and end before the run has to; else nothing is begun."""
    if not patience.is_enough(checked, left):
        assert left < 2 * max(checked, patience.LEAST_SECONDS) + 10.1
        return
    first = patience.for_load(checked, left)
    assert first >= checked - 0.001
    rest = left - first - patience.RELOAD_SECONDS
    second = patience.for_last_load(rest)
    assert second >= checked - 0.001
    assert second + patience.RELOAD_SECONDS <= rest + 0.001


@pytest.mark.fault("F204")
def test_a_quick_check_foretells_a_quick_load() -> None:
    """The usual limit; and one beyond what a slow check took."""
    assert patience.for_load(0.05, 160) == patience.LEAST_SECONDS
    assert patience.for_load(20, 160) > 40
