"""The proxies as a table, a row each: those that are not well first."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from os.path import commonprefix

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from haproxy_ec2_sync.answers import Proxy, Servers
from haproxy_ec2_sync.text import count
from haproxy_ec2_sync.views.words import RANKS, colour, relative

SHOWN = 30
"""Rows, unless all are asked for: they fit on a screen."""

MD5_SHOWN = 8

OUTCOME_COLOURS = {
    "failed": "red",
    "rolled-back": "red",
    "denied": "red",
    "missing": "red",
    "not-running": "red",
    "unknown": "magenta",
}
"""Of outcomes that are no good news."""


PROCESS_COLOURS = {"running": "green", "": "magenta"}
"""By how HAProxy is; all else is no good news."""


@dataclass(frozen=True, slots=True)
class Cells:
    """What a row needs beside the proxy."""

    published: frozenset[str]
    zone_prefix: str
    now: float

    def name(self, proxy: Proxy) -> Text:
        """In the colour of its health."""
        return Text(proxy.name, colour(proxy.health))

    def instance(self, proxy: Proxy) -> Text:
        """For `aws ssm start-session`."""
        return Text(proxy.instance_id)

    def address(self, proxy: Proxy) -> Text:
        """Which proxies are reached at."""
        return Text(proxy.address)

    def zone(self, proxy: Proxy) -> Text:
        """Without what all zones here begin with."""
        return Text(proxy.zone.removeprefix(self.zone_prefix))

    def config(self, proxy: Proxy) -> Text:
        """The file that it has, and whether that is an older one of ours (behind), or none of ours (own)."""
        shown = Text(proxy.has[:MD5_SHOWN] or "-")
        if proxy.has in {"", proxy.desired}:
            return shown
        is_ours = proxy.has in self.published
        return shown.append(" behind" if is_ours else " own", "yellow")

    def haproxy(self, proxy: Proxy) -> Text:
        """Its process, with the age of a word that is too old; and each backend that has servers down."""
        style = PROCESS_COLOURS.get(proxy.haproxy, "red")
        shown = Text(proxy.haproxy or "unknown", style)
        if proxy.haproxy and proxy.health == "unknown":
            shown.append(f" {relative(proxy.heard_at, self.now)}")
            shown.stylize("magenta")
        for servers in proxy.backends:
            shown.append_text(_down(servers))
        if proxy.old_workers:
            shown.append(f"\n{count(proxy.old_workers, 'old worker')}", "dim")
        return shown

    def last(self, proxy: Proxy) -> Text:
        """What its last command came to, and when it gets the next one."""
        style = OUTCOME_COLOURS.get(proxy.outcome, "")
        shown = Text(f"{proxy.outcome} {proxy.reason}".strip(), style)
        if proxy.next not in {"", "verify"}:  # that comes by itself, whatever is so
            due = relative(proxy.next_at, self.now).strip("-")
            shown.append(f"\n{proxy.next} {due}".rstrip(), "cyan")
        for note in proxy.notes:
            shown.append(f"\n{note}", "yellow")
        return shown

    def build(self, proxy: Proxy) -> Text:
        """Which HAProxy it is, how it was started, and how long its last change held new connections up."""
        shown = Text(f"{proxy.haproxy_version} {proxy.style}".strip())
        if proxy.window_ms:
            shown.append(f"\nwindow {proxy.window_ms} ms", "dim")
        return shown

    def when(self, proxy: Proxy) -> Text:
        """That was."""
        return Text(relative(proxy.at, self.now))


def _down(servers: Servers) -> Text:
    """A line for a backend with servers down."""
    words = f"\n{servers.backend} {servers.up} up {servers.down} down"
    style = "yellow" if servers.up else "red"
    return Text(words if servers.down else "", style)


@dataclass(frozen=True, slots=True)
class Column:
    """One column, on terminals that are wide enough for it."""

    title: str
    cell: Callable[[Cells, Proxy], Text]
    is_short: bool = False  # never broken into lines
    from_width: int = 0


COLUMNS = (
    Column("PROXY", Cells.name),
    Column("INSTANCE", Cells.instance, is_short=True, from_width=130),
    Column("ADDRESS", Cells.address, is_short=True, from_width=72),
    Column("ZONE", Cells.zone, is_short=True, from_width=78),
    Column("CONFIG", Cells.config, from_width=60),
    Column("HAPROXY", Cells.haproxy),
    Column("VERSION", Cells.build, is_short=True, from_width=160),
    Column("LAST", Cells.last),
    Column("WHEN", Cells.when, is_short=True, from_width=48),
)


@dataclass(frozen=True, slots=True)
class ProxyTable:
    """As wide as the terminal."""

    proxies: tuple[Proxy, ...]
    cells: Cells

    def __rich_console__(
        self, _console: Console, options: ConsoleOptions
    ) -> RenderResult:
        """What rich asks for."""
        columns = [
            column for column in COLUMNS if column.from_width <= options.max_width
        ]
        table = Table(box=None, pad_edge=False, header_style="dim")
        for column in columns:
            table.add_column(column.title, no_wrap=column.is_short, overflow="fold")
        for proxy in self.proxies:
            table.add_row(*(column.cell(self.cells, proxy) for column in columns))
        yield table


def table(
    proxies: Iterable[Proxy], published: frozenset[str], now: float, limit: int | None
) -> list[RenderableType]:
    """Those that are not well first, at most so many; and how many more there are."""
    every = sorted(proxies, key=_order)
    shown = tuple(every[:limit])
    zones = {proxy.zone for proxy in every} - {""}
    cells = Cells(published, _common_prefix(zones), now)
    return [ProxyTable(shown, cells), *_left_out(every[len(shown) :])]


def _order(proxy: Proxy) -> tuple[int, bool, str]:
    # What has no health comes from an older function.
    rank = RANKS.get(proxy.health, len(RANKS))
    return rank, proxy.sync == "synced", proxy.name


def _left_out(rest: list[Proxy]) -> Iterator[Text]:
    by_health = Counter(proxy.health or "of unknown health" for proxy in rest)
    counted = ", ".join(f"{number} {health}" for health, number in by_health.items())
    if rest:
        words = f"{len(rest)} more are not shown ({counted}): --all shows them"
        yield Text(words, "dim")


def _common_prefix(zones: Iterable[str]) -> str:
    """What all begin with, to its last hyphen: `ap-southeast-` of `ap-southeast-2a` and `ap-southeast-2b`."""
    prefix = commonprefix(list(zones))  # noqa: RUF071 # no paths: by character is what is meant
    return prefix[: prefix.rfind("-") + 1]
