"""`inspect`: every proxy says how it is."""

import click

from haproxy_ec2_sync.desk import Desk, at_desk, examples
from haproxy_ec2_sync.views import acted


@click.command("inspect", epilog=examples("inspect --env staging"))
@at_desk
def command(desk: Desk) -> None:
    """Ask every proxy now how it is, in a freeze too; this installs nothing. `status` shows what they say."""
    desk.show(desk.ask("inspect"), acted.acted)
