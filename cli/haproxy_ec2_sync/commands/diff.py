"""`diff`: what one publication changed."""

from functools import partial

import click

from haproxy_ec2_sync import clock
from haproxy_ec2_sync.desk import Desk, at_desk, examples
from haproxy_ec2_sync.views import history as view


@click.command(
    "diff",
    epilog=examples(
        "diff 12 --env staging",
        "diff 12 --against 0 --env staging",
        "diff 1795630134 --fence --env staging",
    ),
)
@click.argument("generation", type=click.IntRange(min=1))
@click.option(
    "--against",
    type=click.IntRange(min=0),
    help="This generation instead of the one before; 0: what is published now.",
)
@click.option(
    "--fence",
    is_flag=True,
    help="GENERATION is a fence: the number that a host's log shows.",
)
@at_desk
def command(desk: Desk, *, generation: int, against: int | None, fence: bool) -> None:
    """What the publication GENERATION changed; `history` has their numbers."""
    options = {"fence" if fence else "generation": generation}
    if against is not None:
        options["against"] = against
    answer = desk.ask("diff", **options)
    desk.show(answer, partial(view.diff, now=clock.now()))
