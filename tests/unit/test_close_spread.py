"""How long idle connections stay on an old worker, as a config states it, and whether a drain outlasts that."""

import math

import pytest

from haproxy_sync.config.close_spread import problem, seconds


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("60s", 60),
        ("1500", 1.5),
        ("1500ms", 1.5),
        ("250000us", 0.25),
        ("2m", 120),
        ("1h", 3600),
        ("1d", 86400),
        ('"60s"', 60),
        ("60s # a minute", 60),
        ("0", 0),
        ("infinite", math.inf),
        ("", None),
        ("soon", None),
        ("60S", None),
        ("1m30s", None),
        ("-1s", None),
        ("${SPREAD}", None),
        ("\u0666\u0660s", None),
    ],
)
def test_haproxys_times(word: str, expected: float | None) -> None:
    """A number and a unit, the millisecond unless stated; what HAProxy would refuse, or only a host knows, is none."""
    found = seconds(f"global\n    close-spread-time {word}\n")
    assert found == (pytest.approx(expected) if expected is not None else None)


def test_only_the_global_section_counts() -> None:
    """Of several the longest: which branch counts, only the host knows."""
    text = (
        "global\n.if version_atleast(2.6)\nclose-spread-time 20s\n.else\n close-spread-time 30s\n.endif\n"
        "frontend f\n    close-spread-time 1h\n"
    )
    assert seconds(text) == 30
    assert seconds("global\n    # close-spread-time 60s\n") is None
    assert seconds("") is None


@pytest.mark.fault("F265")
@pytest.mark.parametrize(
    ("word", "drain", "is_wrong"),
    [
        ("60s", 90, False),
        ("60s", 70, False),
        ("60s", 69, True),
        ("infinite", 10**6, True),
        ("soon", 1, False),
    ],
)
def test_a_drain_outlasts_it_by_ten_seconds(
    word: str, drain: float, *, is_wrong: bool
) -> None:
    """Else a sentence says so, with what to set."""
    said = problem(f"global\n    close-spread-time {word}\n", drain)
    assert bool(said) == is_wrong
    assert said == "" or "DrainSeconds" in said


def test_it_says_what_to_set() -> None:
    """The least that fits."""
    said = problem("global\n    close-spread-time 1m\n", 30)
    assert said == (
        "DrainSeconds is 30, close-spread-time 60 s: a client of an old worker may be sent to a server that is gone;"
        " make DrainSeconds 70 or more, or close-spread-time shorter"
    )
