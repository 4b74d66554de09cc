"""`status`: is all well, and if not, what to do."""

import json
from collections.abc import Iterator
from functools import partial

import click
from rich.live import Live

from haproxy_ec2_sync import acting, clock
from haproxy_ec2_sync.answers import Fields, names
from haproxy_ec2_sync.desk import Desk, at_desk, examples
from haproxy_ec2_sync.errors import one_line
from haproxy_ec2_sync.function import Answer
from haproxy_ec2_sync.parameters import Finite
from haproxy_ec2_sync.views import proxies
from haproxy_ec2_sync.views import status as view

POLL_SECONDS = 2.0
WATCH_SECONDS = 5.0
FRESH_SECONDS = 60.0
LEAST_SECONDS = 1.0


@click.command(
    "status",
    epilog=examples(
        "status --env staging",
        "status --env staging --fresh",
        "status --env staging --watch 10",
        "status --env staging --json | jq -r .headline",
    ),
)
@click.option(
    "--fresh",
    is_flag=True,
    help="Ask each proxy now how it is, and wait for what they say; this installs nothing.",
)
@acting.timeout_option(FRESH_SECONDS, "How long --fresh waits.")
@click.option(
    "--watch",
    type=Finite(min=LEAST_SECONDS),
    is_flag=False,
    flag_value=WATCH_SECONDS,
    metavar="[SECONDS]",
    help=f"Ask again every so many seconds ({WATCH_SECONDS:.0f}), until Ctrl-C.",
)
@click.option("--all", "is_all", is_flag=True, help="Show every proxy of a big fleet.")
@at_desk
def command(
    desk: Desk, *, fresh: bool, timeout: float, watch: float | None, is_all: bool
) -> None:
    """Is all well, and if not, what to do: in one sentence, then a row for each proxy."""
    limit = None if is_all else proxies.SHOWN
    if fresh:
        _freshen(desk, timeout)
    if watch is None:
        desk.show(
            desk.ask("status"), partial(view.status, now=clock.now(), limit=limit)
        )
    else:
        _watch(desk, watch, limit)


def _freshen(desk: Desk, timeout: float) -> None:
    """Ask every proxy how it is; returns when all have said so, or the time is over."""
    deadline = clock.now() + timeout
    desk.ask("inspect")
    said = ""
    while words := _waiting_for(desk.ask("status")):
        if clock.now() >= deadline:
            acting.warn(f"within {timeout:.0f} s there was no answer from {words}")
            return
        if words != said:
            acting.notes().print(f"waiting for the answer of {words}", markup=False)
        said = words
        clock.sleep(POLL_SECONDS)


def _waiting_for(answer: Answer) -> str:
    """Whose answer is awaited, by name; empty for nobody, and where an older function does not say."""
    fields = Fields.of(answer)
    unanswered = fields.fields("inspect").texts("unanswered")
    return names(fields).listed(unanswered) if unanswered else ""


def _watch(desk: Desk, seconds: float, limit: int | None) -> None:
    """Until Ctrl-C: redrawn in place on a terminal, a line each time elsewhere."""
    answers = _again_and_again(desk, seconds)
    if desk.is_json or not desk.console.is_terminal:
        for answer in answers:
            _print_line(desk, answer)
    else:
        with Live(console=desk.console, auto_refresh=False) as live:
            for answer in answers:
                live.update(view.status(answer, clock.now(), limit), refresh=True)


def _again_and_again(desk: Desk, seconds: float) -> Iterator[Answer]:
    """The first failure ends the command, as something is wrong with it; a later one may pass, and is told."""
    yield desk.ask("status")
    while True:
        clock.sleep(seconds)
        try:
            yield desk.ask("status")
        except Exception as error:  # noqa: BLE001 # AWS's own words, or the function's
            click.echo(f"no answer: {one_line(error)}", err=True)


def _print_line(desk: Desk, answer: Answer) -> None:
    if desk.is_json:
        click.echo(json.dumps(answer))
    else:
        line = view.line(answer, clock.now())
        desk.console.print(line, soft_wrap=True)
