"""What every view says alike: times, and healths by colour."""

from datetime import UTC, datetime
from math import ceil

from rich.text import Text

COLOURS = {
    "healthy": "green",
    "attention": "yellow",
    "unknown": "magenta",
    "degraded": "red",
}
"""By health, from the best to the worst."""

RANKS = {health: rank for rank, health in enumerate(reversed(COLOURS))}
"""The worst is 0."""

UNITS = ((2 * 86400, 86400, "d"), (2 * 3600, 3600, "h"), (120, 60, "min"))
"""From so many seconds on, a time is told in a unit of so many."""


def colour(health: str) -> str:
    """Of a health; plain where an older function says none."""
    return COLOURS.get(health, "default")


def labelled(label: str, value: str, style: str = "") -> Text:
    """`label: value`, the label set back."""
    return Text.assemble((f"{label}: ", "dim"), (value, style))


def duration(seconds: float) -> str:
    """`18 s`, `4 min`, `5 h` or `3 d`."""
    for least, unit, name in UNITS:
        if seconds >= least:
            return f"{int(seconds // unit)} {name}"
    return f"{int(seconds)} s"


def relative(time: float | None, now: float) -> str:
    """`18 s ago` or `in 4 min`; `-` for never."""
    if not time:
        return "-"
    if time > now:
        return f"in {duration(time - now)}"
    return f"{duration(now - time)} ago"


def clock(time: float | None, now: float) -> str:
    """UTC, `03:14:20Z`, with the date if it is not today's; rounded up, as ISO times of answers are."""
    moment, today = _utc(ceil(time or 0)), _utc(now)
    if not time or moment is None or today is None:
        return "-"
    if moment.date() == today.date():
        return f"{moment:%H:%M:%SZ}"
    return f"{moment:%Y-%m-%d %H:%M:%SZ}"


def when(time: float | None, now: float) -> str:
    """Both: `18 s ago (03:14:20Z)`; `never` for none."""
    if not time:
        return "never"
    return f"{relative(time, now)} ({clock(time, now)})"


def since(time: float | None, now: float) -> str:
    """`, since 03:14:20Z (18 s ago)`, to be put behind what is so; empty where nobody knows."""
    return f", since {clock(time, now)} ({relative(time, now)})" if time else ""


def _utc(time: float) -> datetime | None:
    """None for a time that no calendar has."""
    try:
        return datetime.fromtimestamp(time, UTC)
    except (ValueError, OverflowError, OSError):
        return None
