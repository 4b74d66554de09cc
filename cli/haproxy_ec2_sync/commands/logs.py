"""`logs`: what the function wrote into its log."""

import re
from collections.abc import Callable, Iterator

import click

from haproxy_ec2_sync import acting, clock
from haproxy_ec2_sync.desk import Desk, at_desk, examples
from haproxy_ec2_sync.errors import Failed, one_line
from haproxy_ec2_sync.log_events import Log, LogEvent
from haproxy_ec2_sync.views import log as view
from haproxy_ec2_sync.waiting import is_passing

POLL_SECONDS = 2.0
MOST_LINES = 20_000
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}

Wanted = Callable[[LogEvent], bool]


def _seconds(_context: object, _option: object, text: str) -> float:
    """Of a time that is so long ago: `90s`, `10m`, `2h`, `1d`."""
    parts = re.fullmatch(r"(\d{1,6})([smhd])", text)
    if parts is None:
        raise click.BadParameter(f"{text!r} is no time: say 90s, 10m, 2h or 1d.")
    return float(parts[1]) * SECONDS[parts[2]]


def _pattern(_context: object, _option: object, text: str) -> re.Pattern[str]:
    """A regular expression, to be found anywhere and in any case."""
    try:
        return re.compile(text, re.IGNORECASE)
    except re.error as error:
        raise click.BadParameter(
            f"{text!r} is no regular expression: {error}."
        ) from error


@click.command(
    "logs",
    epilog=examples(
        "logs --env staging",
        "logs --env staging --errors --since 1d",
        "logs --env staging --follow --grep published",
    ),
)
@click.option(
    "--since",
    callback=_seconds,
    default="10m",
    show_default=True,
    help="How far back: 90s, 10m, 2h, 1d.",
)
@click.option("--follow", "-f", is_flag=True, help="Go on until Ctrl-C.")
@click.option(
    "--all/--errors",
    "is_all",
    default=True,
    help="Every line, or only warnings and errors.",
)
@click.option(
    "--grep",
    default="",
    callback=_pattern,
    help="Only lines in which this expression is found, in any case.",
)
@at_desk
def command(
    desk: Desk,
    *,
    since: float,
    follow: bool,
    is_all: bool,
    grep: re.Pattern[str],
) -> None:
    """Show the function's log, a line for each event; --json prints JSON lines, those of the function as they are."""
    group = desk.function.outputs.get("LogGroupName")
    if group is None:
        raise Failed("the stack has no output LogGroupName: deploy it again")
    begin = int(max(0.0, clock.now() - since) * 1000)
    log = Log(desk.function.client("logs"), group, begin)

    def is_wanted(event: LogEvent) -> bool:
        is_told = is_all or view.is_bad(event)
        return is_told and grep.search(event.message) is not None

    if follow:
        _follow(desk, log, is_wanted)
    else:
        _show(desk, _bounded(log.new()), is_wanted)


def _show(desk: Desk, events: Iterator[LogEvent], is_wanted: Wanted) -> None:
    for event in filter(is_wanted, events):
        if desk.is_json:
            click.echo(view.json_line(event))
        else:
            desk.console.print(view.line(event), soft_wrap=True)


def _bounded(events: Iterator[LogEvent]) -> Iterator[LogEvent]:
    """`Failed` after so many that nobody reads them."""
    for number, event in enumerate(events):
        if number == MOST_LINES:
            raise Failed(
                f"only the first {MOST_LINES} lines were read: say less --since"
            )
        yield event


def _follow(desk: Desk, log: Log, is_wanted: Wanted) -> None:
    """Until Ctrl-C, whatever goes wrong meanwhile that may pass."""
    while True:
        try:
            _show(desk, log.new(), is_wanted)
        except Exception as error:
            if not is_passing(error):
                raise
            acting.warn(one_line(error))
        clock.sleep(POLL_SECONDS)
