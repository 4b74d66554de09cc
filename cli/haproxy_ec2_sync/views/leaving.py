"""Who drains, and what our lifecycle hooks wait for, a line each; nothing where there is nothing."""

from collections.abc import Iterator, Sequence

from rich.text import Text

from haproxy_ec2_sync.answers import Drain, LifecycleAction
from haproxy_ec2_sync.text import count
from haproxy_ec2_sync.views.words import duration, labelled, relative

SHOWN = 5
"""Of each, unless all are asked for."""


def drains(found: Sequence[Drain], now: float, limit: int | None) -> Iterator[Text]:
    """Each with why, for how long, and what still goes through it; what nobody knows is left out."""
    lines = [labelled("draining", _drain(each, now)) for each in found]
    return _first(lines, "draining", limit)


def _drain(drain: Drain, now: float) -> str:
    left = drain.connections
    connections = "" if left is None else f", {count(int(left), 'connection')} left"
    return f"{drain.name} ({drain.why}){_lasting(drain.since, now)}{connections}"


def actions(
    found: Sequence[LifecycleAction], now: float, limit: int | None
) -> Iterator[Text]:
    """Each with who comes or goes, who keeps it waiting, and what fails."""
    lines = [_line(each, now) for each in found]
    return _first(lines, "lifecycle hook", limit)


def _line(action: LifecycleAction, now: float) -> Text:
    style = "red" if action.failure else ""
    return labelled("lifecycle hook", _action(action, now), style)


def _action(action: LifecycleAction, now: float) -> str:
    way = "joins" if action.joins else "leaves"
    parts = (
        f"{action.name} {way} ({action.hook}){_lasting(action.since, now)}",
        _told("waits for", action.behind),
        _told("cannot reach", action.unreachable),
        _ended(action, now),
        action.failure,
    )
    return "; ".join(filter(None, parts))


def _ended(action: LifecycleAction, now: float) -> str:
    """What became of it: its result, or that it was over without us."""
    at = relative(action.ended_at, now)
    return f"{action.result or 'over'} {at}" if action.ended_at else ""


def _lasting(since: float | None, now: float) -> str:
    return f" for {duration(max(0.0, now - since))}" if since else ""


def _told(what: str, whom: str) -> str:
    return f"{what} {whom}" if whom else ""


def _first(lines: Sequence[Text], label: str, limit: int | None) -> Iterator[Text]:
    """Those, and how many more there are."""
    shown = len(lines) if limit is None else SHOWN
    yield from lines[:shown]
    if rest := len(lines[shown:]):
        yield labelled(label, f"and {rest} more")
