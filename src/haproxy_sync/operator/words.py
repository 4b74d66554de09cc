"""Words of a sentence for people: times, names, and texts that templates, hosts and tags wrote."""

from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from math import ceil

from haproxy_sync.state.model import UnixSeconds

MAX_NAMED = 3  # of many
MAX_TEXT = 160  # characters of a text that somebody else wrote


def clean(text: str) -> str:
    """The text in one line of printable ASCII: line breaks become blanks, and control characters are cut out."""
    line = " ".join(text.split())
    escaped = line.encode("ascii", "backslashreplace").decode()
    return "".join(filter(str.isprintable, escaped))


def clip(text: str, length: int = MAX_TEXT) -> str:
    """The beginning of a clean text, if it is longer."""
    line = clean(text)
    return line if len(line) <= length else f"{line[: length - 3]}..."


def clock(time: UnixSeconds, now: UnixSeconds) -> str:
    """`03:14:20 UTC`, with the date where that is another day; empty for what no clock shows."""
    try:
        shown, today = (datetime.fromtimestamp(ceil(each), UTC) for each in (time, now))
    except (ValueError, OverflowError, OSError):
        return ""
    day = "" if shown.date() == today.date() else f"{shown:%Y-%m-%d} "
    return f"{day}{shown:%H:%M:%S} UTC"


def several(names: Collection[str]) -> str:
    """`a, b and c`, or the first of many and how many more there are."""
    shown = list(names)[:MAX_NAMED]
    more = len(names) - len(shown)
    if more:
        return f"{', '.join(shown)} and {more} more"
    return " and ".join(filter(None, [", ".join(shown[:-1]), *shown[-1:]]))


def count(number: int, what: str) -> str:
    """`1 proxy`, `2 proxies`."""
    plural = f"{what[:-1]}ies" if what.endswith("xy") else f"{what}s"
    return f"{number} {what if number == 1 else plural}"


def joined(parts: Iterable[str], separator: str = ", ") -> str:
    """Those that say something."""
    return separator.join(filter(None, parts))
