"""For how long idle clients stay on an old worker: `close-spread-time`, which a drain has to outlast."""

import math
import re
from collections.abc import Iterator

from haproxy_sync.config.language import lines

KEYWORD = "close-spread-time"
MARGIN_SECONDS = 10
"""By so much at least a drain is longer: the last of those clients may still ask for something."""

_TIME = re.compile(r"([0-9]{1,10})(us|ms|s|m|h|d)?")
_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600, "d": 86400}
_DEFAULT_UNIT = "ms"


def seconds(text: str) -> float | None:
    """The longest that the config states, `inf` for `infinite`; None where it states none that can be read.

    Which branch of an `.if` counts, only the host knows.
    """
    return max(filter(_is_stated, _stated(text)), default=None)


def problem(text: str, drain_seconds: float) -> str:
    """What is wrong with a drain of so many seconds where a proxy runs this config; empty where nothing is."""
    stated = seconds(text)
    if stated is None or drain_seconds >= stated + MARGIN_SECONDS:
        return ""
    if math.isinf(stated):
        return (
            f"{KEYWORD} is infinite: a drain cannot outlast it; set a time {MARGIN_SECONDS} s below DrainSeconds"
            f" ({drain_seconds:g}) or less"
        )
    return (
        f"DrainSeconds is {drain_seconds:g}, {KEYWORD} {stated:g} s: a client of an old worker may be sent to a"
        f" server that is gone; make DrainSeconds {math.ceil(stated) + MARGIN_SECONDS} or more, or {KEYWORD} shorter"
    )


def _stated(text: str) -> Iterator[float]:
    for line in lines(text):
        if line.section_keyword == "global" and line.words[0] == KEYWORD:
            yield _duration(" ".join(line.words[1:2]))


def _is_stated(duration: float) -> bool:
    return not math.isnan(duration)


def _duration(word: str) -> float:
    """Seconds of one of HAProxy's times, whose unit is the millisecond unless stated; NaN for what is none."""
    if word == "infinite":
        return math.inf
    time = _TIME.fullmatch(word)
    if time is None:
        return math.nan
    return int(time[1]) * _SECONDS[time[2] or _DEFAULT_UNIT]
