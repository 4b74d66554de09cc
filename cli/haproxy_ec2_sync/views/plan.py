"""The answer of `plan`."""

from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from haproxy_ec2_sync.changes import Plan
from haproxy_ec2_sync.changes import plan as parse
from haproxy_ec2_sync.text import listed as some
from haproxy_ec2_sync.views.changes import COLOURS, changes, totals
from haproxy_ec2_sync.views.origins import origins
from haproxy_ec2_sync.views.words import labelled

SHOWN = 10
"""Of each kind of thing that has a line of its own."""

VERDICTS = (
    ("proceed", "green", "This would happen now: with the next look, or by sync."),
    (
        "waits: frozen until unfreeze",
        "yellow",
        "Nothing was ever published here. If this is right: unfreeze.",
    ),
    ("waits: frozen until", "yellow", "unfreeze ends the freeze at once."),
    ("waits: queued", "yellow", "sync does not wait."),
    ("waits:", "yellow", "It goes on by itself."),
    ("held:", "yellow", "--allow-mass-removal shows what sync with it would do."),
    ("blocked: template error", "red", "Mend the template or the variables."),
    ("blocked: the proxies are another", "red", "Look who owns them before."),
    ("blocked: rollout stopped", "red", "status says what is wrong there."),
    ("blocked:", "red", "status says more, and doctor looks for the cause."),
    ("", "yellow", ""),
)
"""Beginnings of verdicts, the first that fits: its colour, and what to do."""


def plan(answer: Any) -> Group:
    """The changes, their totals, and whether they would happen now."""
    parsed = parse(answer)
    return Group(*_changes(parsed), _totals(parsed), *_verdict(parsed), *more(parsed))


def _changes(parsed: Plan) -> Iterator[RenderableType]:
    """Line by line; the instances alone where no config could be rendered."""
    yield from changes(parsed.changes)
    if not parsed.changes.diffs:
        for sign, instances in parsed.servers.items():
            names = map(parsed.changes.names.__getitem__, instances)
            yield from (Text(f"{sign} {name}", COLOURS[sign]) for name in names)


def _totals(parsed: Plan) -> Text:
    numbers = parsed.changes.totals
    is_of_servers = any(numbers.values())
    if not (parsed.is_change or is_of_servers):
        return Text("No changes.", "bold")
    words = totals(numbers, "to add", "to change", "to remove")
    other = "" if is_of_servers else "\nOther lines of the config change."
    return Text.assemble((f"Plan: {words}.", "bold"), other)


def _verdict(parsed: Plan) -> Iterator[Text]:
    """In words, and what to do."""
    row = next(row for row in VERDICTS if parsed.verdict.startswith(row[0]))
    _, colour, advice = row
    if parsed.verdict != "proceed":
        yield Text(f"{parsed.verdict}.", colour)
        yield Text(advice)
    elif parsed.is_change:
        yield Text(advice, colour)


def more(parsed: Plan) -> Iterator[Text]:
    """What else an operator should know before they say yes."""
    listed = parsed.changes.names.listed
    drains = [f"{each.name} ({each.why})" for each in parsed.draining]
    lines = (
        *_each("warning", parsed.warnings),
        labelled("the hold ends", parsed.hold_ends),
        labelled("what is published already goes to", listed(parsed.rolling_out)),
        labelled("draining", some(drains, SHOWN)),
        *_each("left out", parsed.skipped),
        *origins(parsed.origins),
    )
    yield from filter(None, lines)


def _each(label: str, found: Sequence[str]) -> Iterator[Text]:
    """A line for each of the first, and one for how many more there are."""
    rest = len(found) - SHOWN
    more = (f"{rest} more",) if rest > 0 else ()
    for one in (*found[:SHOWN], *more):
        yield labelled(label, one, "yellow")
