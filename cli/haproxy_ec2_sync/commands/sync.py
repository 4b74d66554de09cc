"""`sync`: look now, and publish what is to be published."""

from typing import Any

import click

from haproxy_ec2_sync import acting, clock
from haproxy_ec2_sync.desk import Desk, at_desk, examples
from haproxy_ec2_sync.views import acted
from haproxy_ec2_sync.waiting import Goal

DANGEROUS = frozenset({"allow_mass_removal", "adopt"})


@click.command(
    "sync",
    epilog=examples(
        "sync --env staging",
        "sync --env staging --wait",
        "sync --env production --allow-mass-removal --reason 'the old pool is gone'",
    ),
)
@click.option(
    "--allow-mass-removal",
    is_flag=True,
    help="Let go, this once, of all whom the guard holds; asks first.",
)
@acting.ADOPT
@acting.REASON
@acting.YES
@acting.waits
@at_desk
def command(desk: Desk, *, is_yes: bool, goal: Goal | None, **options: Any) -> None:
    """Look at EC2 now, publish what has changed, and send the next commands."""
    request = acting.given(options)
    seen = None
    if DANGEROUS & request.keys() and not is_yes:
        seen = acting.plan(desk, request).agreed("Do this?")
    begin = clock.now()
    answer = desk.ask("sync", **request)
    desk.show(answer, acted.acted)
    acting.compare(desk, seen, answer)
    if goal:
        acting.wait(desk, goal, begin)
