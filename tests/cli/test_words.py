"""Times as a person reads them: how long ago, and on the clock."""

import pytest

from haproxy_ec2_sync.views.words import clock, duration, relative, when
from tests.cli.samples import NOW


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (18.9, "18 s"),
        (119, "119 s"),
        (120, "2 min"),
        (7199, "119 min"),
        (7200, "2 h"),
        (172_799, "47 h"),
        (172_800, "2 d"),
    ],
)
def test_durations_have_two_digits_or_three(seconds: float, words: str) -> None:
    """The unit grows once there are two of the next one."""
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("time", "relatively", "absolutely"),
    [
        (NOW - 18, "18 s ago", "02:59:42 UTC"),
        (NOW + 240, "in 4 min", "03:04:00 UTC"),
        # As in answers: a clock that shows it has passed it.
        (NOW + 0.2, "in 0 s", "03:00:01 UTC"),
        (NOW - 86400, "24 h ago", "2026-11-25 03:00:00 UTC"),
        (None, "-", "-"),
        (0, "-", "-"),
        (NOW + 86400e9, "in 1000000000 d", "-"),
    ],
)
def test_a_time(time: float | None, relatively: str, absolutely: str) -> None:
    """Both by the operator's clock; the date where it is another one."""
    assert (relative(time, NOW), clock(time, NOW)) == (relatively, absolutely)


def test_both_ways() -> None:
    """And a word for never."""
    assert when(NOW - 18, NOW) == "18 s ago (02:59:42 UTC)"
    assert when(None, NOW) == "never"
