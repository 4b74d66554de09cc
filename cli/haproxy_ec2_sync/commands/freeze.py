"""`freeze`: nothing is published or sent for some time."""

from typing import Any

import click

from haproxy_ec2_sync import acting
from haproxy_ec2_sync.desk import Desk, at_desk, examples
from haproxy_ec2_sync.views import acted


@click.command(
    "freeze",
    epilog=examples(
        "freeze --env staging --reason 'database move'",
        "freeze --env production --minutes 240",
    ),
)
@acting.MINUTES
@acting.REASON
@at_desk
def command(desk: Desk, **options: Any) -> None:
    """Publish and send nothing for some time; that ends by itself, or by `unfreeze`."""
    desk.show(desk.ask("freeze", **acting.given(options)), acted.acted)
