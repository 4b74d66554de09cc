"""What `doctor` found."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from haproxy_ec2_sync.errors import one_line

MARKS = {
    True: Text("✔", style="green"),
    False: Text("✘", style="bold red"),
    None: Text("?", style="yellow"),
}


def doctor(found: Sequence[Mapping[str, Any]]) -> RenderableType:
    """A line for each: right or not, the check, what was found, and what to do."""
    table = Table.grid(padding=(0, 1))
    table.add_column()
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for each in found:
        table.add_row(MARKS[each["ok"]], each["check"], _words(each))
    return table


def _words(line: Mapping[str, Any]) -> Text:
    words = Text(one_line(line["detail"]))
    if line["advice"]:
        words.append(f"; to do: {one_line(line['advice'])}", style="italic")
    return words
