"""What was published, newest first; and what one publication changed."""

from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from haproxy_ec2_sync import answers
from haproxy_ec2_sync.answers import Fields, Publication
from haproxy_ec2_sync.changes import changes as parse
from haproxy_ec2_sync.views.changes import COLOURS, INDENT, changes, totals, unified
from haproxy_ec2_sync.views.words import clock, relative, when


def history(answer: Any, now: float, limit: int, *, is_with_lines: bool) -> Group:
    """A row for each publication; or each with the lines that it changed."""
    every = answers.history(answer)
    left_out = len(every[limit:])
    more = Text(f"{left_out} older not shown: --limit", "dim")
    shown = _with_lines if is_with_lines else _table
    parts = [*shown(every[:limit], now), *[more][: bool(left_out)]]
    return Group(*parts) if every else Group(Text("Nothing was ever published here."))


def diff(answer: Any, now: float) -> Group:
    """What a publication changed, against which one."""
    fields, changed = Fields.of(answer), parse(answer)
    generation, against = fields.count("generation"), fields.count("against")
    at, why = when(fields.number("at"), now), changed.names.told(fields.text("why"))
    words = totals(changed.totals, "added", "changed", "removed")
    before = f"generation {against}" if against else "nothing"
    return Group(
        Text(f"Generation {generation}, {at}: {why}", "bold"),
        Text(f"against {before}\n", "dim"),
        *changes(changed),
        Text(f"{words}." if changed.diffs else "No changes.", "bold"),
    )


def _table(shown: tuple[Publication, ...], now: float) -> list[RenderableType]:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for title in ("GENERATION", "WHEN", "AT", "CHANGED"):
        table.add_column(title, no_wrap=True)
    table.add_column("WHY", overflow="fold")
    for each in shown:
        at = (relative(each.at, now), clock(each.at, now))
        table.add_row(str(each.generation), *at, _totals(each), Text(each.why))
    return [table]


def _with_lines(shown: tuple[Publication, ...], now: float) -> list[RenderableType]:
    parts: list[RenderableType] = []
    for each in shown:
        title = f"Generation {each.generation}, {when(each.at, now)}: {each.why}  "
        parts.append(Text(title, "bold").append_text(_totals(each)))
        parts += [Padding(line, INDENT, expand=False) for line in unified(each.lines)]
    return parts


def _totals(publication: Publication) -> Text:
    """`+1 ~0 -2`."""
    numbers = publication.totals.items()
    parts = (Text(f"{sign}{number}", COLOURS[sign]) for sign, number in numbers)
    return Text(" ").join(parts)
