"""The answer of `status`."""

from collections.abc import Iterator
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from haproxy_ec2_sync import answers
from haproxy_ec2_sync.answers import Condition, Fields, Status
from haproxy_ec2_sync.views import leaving, proxies
from haproxy_ec2_sync.views.origins import origins
from haproxy_ec2_sync.views.words import (
    clock,
    colour,
    due,
    labelled,
    relative,
    since,
    when,
)

OLDER = "this function is older than this command line, and says nothing of health: deploy the same release"


def status(answer: Any, now: float, limit: int | None = proxies.SHOWN) -> Group:
    """The headline, the other conditions, a row for each proxy, and what the environment is."""
    parsed = answers.status(answer)
    parts: list[RenderableType] = [headline(answer), *_conditions(parsed, now)]
    if parsed.proxies:
        table = proxies.table(parsed.proxies, parsed.published, now, limit)
        parts += [Text(), *table]
    return Group(*parts, Text(), *_environment(parsed, now, limit))


def headline(answer: Any) -> Text:
    """In one sentence: is all well, and if not, what to do."""
    parsed = answers.status(answer)
    words = parsed.headline or f"{parsed.environment}: {OLDER}"
    return Text(words, f"bold {colour(parsed.health)}")


def line(answer: Any, now: float) -> Text:
    """For a log."""
    return Text(f"{clock(now, now)}  ").append_text(headline(answer))


def _conditions(parsed: Status, now: float) -> Iterator[RenderableType]:
    """All but the one that the headline is about."""
    others = parsed.conditions[1:]
    if not others:
        return
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column()
    for condition in others:
        grid.add_row(_mark(condition), _condition(condition, now))
    yield Padding(grid, (0, 0, 0, 2), expand=False)


def _mark(condition: Condition) -> Text:
    """Of the four healths; a healthy condition is a note."""
    word = {"healthy": "note"}.get(condition.health, condition.health)
    return Text(word, colour(condition.health))


def _condition(condition: Condition, now: float) -> Text:
    """What is wrong; what happens next; what to do."""
    what = condition.what.rstrip(".")
    parts = (
        Text(what + since(condition.since, now)),
        Text(condition.next + due(condition.next_at, now)),
        labelled("to do", condition.advice),
        labelled("see", condition.runbook),
    )
    return Text("; ").join(filter(None, parts))


def _environment(parsed: Status, now: float, limit: int | None) -> Iterator[Text]:
    sync = "green" if parsed.sync == "synced" else "yellow"
    coming = relative(parsed.next_look_at, now)
    yield _line(
        labelled("sync", parsed.sync or "-", sync),
        labelled("looked", f"{when(parsed.looked_at, now)}, next due {coming}"),
    )
    if parsed.looked_at:
        yield from _keeping(parsed, now)
        yield from leaving.drains(parsed.draining, now, limit)
        yield from leaving.actions(parsed.lifecycle_actions, now, limit)
        yield labelled("published", _publication(parsed, now))
    yield from origins(parsed.origins)


def _line(*parts: Text) -> Text:
    return Text("   ").join(parts)


def _keeping(parsed: Status, now: float) -> Iterator[Text]:
    """What keeps changes from the proxies, a line each; and what does not, in one."""
    words = {
        "hold": _hold(parsed.hold),
        "freeze": _freeze(parsed.freeze, now),
        "template error": parsed.template_error,
    }
    pool = labelled("backends in the pool", str(parsed.backends))
    told = [labelled(label, words[label], "yellow") for label in words]
    nothing = (labelled(label, "none") for label in words if not words[label])
    yield _line(pool, *nothing)
    yield from filter(None, told)


def _hold(hold: Fields) -> str:
    if not hold.values:
        return ""
    held = len(hold.fields("missing").values)
    return f"{held} held ({hold.text('reason')}); ends {hold.text('ends')}"


def _freeze(freeze: Fields, now: float) -> str:
    if not freeze.values:
        return ""
    until = freeze.number("until")
    ends = when(until, now) if until else "unfreeze"
    return f"until {ends}: {freeze.text('reason')}"


def _publication(parsed: Status, now: float) -> str:
    latest = parsed.publication
    if latest is None:
        return "nothing yet"
    return f"generation {latest.generation}, {when(latest.at, now)}: {latest.why}"
