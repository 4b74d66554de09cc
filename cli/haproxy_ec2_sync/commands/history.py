"""`history`: what was published, when and why."""

from functools import partial

import click

from haproxy_ec2_sync import clock
from haproxy_ec2_sync.desk import Desk, at_desk, examples
from haproxy_ec2_sync.views import history as view

SHOWN = 10
KEYS = ("environment", "history", "instances")


@click.command(
    "history",
    epilog=examples(
        "history --env staging",
        "history --env staging --limit 3 --diff",
        "history --env staging --json | jq -r '.history[].why'",
    ),
)
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=SHOWN,
    show_default=True,
    help="How many publications, the newest first.",
)
@click.option("--diff", is_flag=True, help="With the lines that each one changed.")
@at_desk
def command(desk: Desk, *, limit: int, diff: bool) -> None:
    """What was published, newest first: when, why, and what it changed."""
    answer = desk.ask("status")
    history = {name: answer.get(name) for name in KEYS}
    if desk.is_json:
        history["history"] = answer.get("history", [])[:limit]
    shown = partial(view.history, now=clock.now(), limit=limit, is_with_lines=diff)
    desk.show(history, shown)
