"""What a publication changes, as `+ ~ -`: for `plan`, `diff` and `history`."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain

from rich.cells import cell_len, set_cell_size
from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from haproxy_ec2_sync.answers import Names
from haproxy_ec2_sync.changes import Changes, Diff, Keyword, Server

COLOURS = {"+": "green", "~": "yellow", "-": "red", "@": "cyan"}
"""By the first character of a line."""

INDENT = (0, 0, 0, 2)


def changes(changed: Changes) -> Iterator[RenderableType]:
    """Each distinct diff below the names of its proxies."""
    for diff in changed.diffs:
        yield Text(_whose(diff, changed.names), "bold")
        yield Padding(_servers(diff), INDENT, expand=False)
        yield from (Padding(text, INDENT, expand=False) for text in _rest(diff))
        yield Text()


def unified(lines: Iterable[str]) -> Iterator[Text]:
    """Lines of a diff in its colours."""
    for line in lines:
        yield Text(line, COLOURS.get(line[:1], ""))


def totals(numbers: Mapping[str, int], added: str, changed: str, removed: str) -> str:
    """`1 to add, 0 to change, 2 to remove`."""
    return f"{numbers['+']} {added}, {numbers['~']} {changed}, {numbers['-']} {removed}"


def _whose(diff: Diff, names: Names) -> str:
    """The proxies whose config it is."""
    return f"for {names.listed(diff.proxies) or 'the proxies to come'}"


def _servers(diff: Diff) -> Table:
    """A line for each server, in columns; what has no room goes on below."""
    grid = Table.grid(padding=(0, 1, 0, 0))
    every = tuple(chain.from_iterable(diff.servers.values()))
    widths = (
        _width(each.place for each in every),
        _width(each.address for each in every),
    )
    for sign, servers in diff.servers.items():
        for server in servers:
            grid.add_row(sign, _server(sign, server, *widths), style=COLOURS[sign])
    return grid


def _width(texts: Iterable[str]) -> int:
    return max(map(cell_len, texts), default=0)


def _server(sign: str, server: Server, place: int, address: int) -> Text:
    # Of one that goes its options say nothing.
    words = "" if sign == "-" else ", ".join(map(_keyword, server.keywords))
    columns = (
        set_cell_size(server.place, place),
        set_cell_size(server.address, address),
        server.instance_id or "no instance",
        words,
    )
    return Text("  ".join(columns).rstrip())


def _keyword(keyword: Keyword) -> str:
    """`weight 10`, `weight 10 -> 20`, `no backup`: what is so, or was and is."""
    if keyword.after is None:
        return f"no {keyword.name}"
    values = " -> ".join(filter(None, (keyword.before, keyword.after)))
    return f"{keyword.name} {values}".rstrip()


def _rest(diff: Diff) -> Iterator[Text]:
    """What is left out, and all other lines."""
    more = sum(diff.left_out.values())
    if more:
        yield Text(f"and {more} more servers, which the answer leaves out", "dim")
    yield from unified(diff.other)
    if diff.other_left_out:
        words = f"and {diff.other_left_out} more lines, which the answer leaves out"
        yield Text(words, "dim")
