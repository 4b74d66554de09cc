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
    """`label: value`, the label set back; empty without a value."""
    return Text.assemble((f"{label}: ", "dim"), (value, style)) if value else Text()


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
    """`03:14:20 UTC`, with the date if it is not today's; rounded up, as ISO times of answers are."""
    try:
        moment = datetime.fromtimestamp(ceil(time or 0), UTC)
    except (ValueError, OverflowError, OSError):
        return "-"  # a time that no calendar has
    shown = f"{moment:%Y-%m-%d %H:%M:%S} UTC" if time else "-"
    return shown.removeprefix(f"{datetime.fromtimestamp(now, UTC):%Y-%m-%d} ")


def when(time: float | None, now: float) -> str:
    """Both: `18 s ago (03:14:20 UTC)`; `never` for none."""
    return f"{relative(time, now)} ({clock(time, now)})" if time else "never"


def since(time: float | None, now: float) -> str:
    """`, since 03:14:20 UTC (18 s ago)`, to be put behind what is so; empty where nobody knows."""
    return f", since {clock(time, now)} ({relative(time, now)})" if time else ""


def due(time: float | None, now: float) -> str:
    """` in 18 s (03:14:20 UTC)`, to be put behind what will be; empty where nobody knows."""
    return f" {when(time, now)}" if time else ""
