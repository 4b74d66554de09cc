"""`status`: is all well, and if not, what to do."""

import click

from haproxy_ec2_sync.desk import Desk, at_desk, examples
from haproxy_ec2_sync.views import status as view


@click.command("status", epilog=examples("status --env staging"))
@at_desk
def command(desk: Desk) -> None:
    """Is all well, and if not, what to do: in one sentence, then a row for each proxy."""
    desk.show(desk.ask("status"), view.status)
