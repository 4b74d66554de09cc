"""`plan`: what a sync would change."""

import click

from haproxy_ec2_sync import changes
from haproxy_ec2_sync.desk import Desk, at_desk, examples
from haproxy_ec2_sync.errors import Failed
from haproxy_ec2_sync.views import plan as view

CHANGES = 2  # as `terraform plan -detailed-exitcode`


@click.command(
    "plan",
    epilog=examples(
        "plan --env staging",
        "plan --env staging --allow-mass-removal",
        "plan --env staging --json | jq .servers",
    ),
)
@click.option(
    "--allow-mass-removal",
    is_flag=True,
    help="As a sync with that option, which holds nobody in the config.",
)
@at_desk
def command(desk: Desk, *, allow_mass_removal: bool) -> int:
    """What a sync would change; this changes nothing.

    Exit code 0: no changes; 2: there are some; 1: an error, such as a template that does not render.
    """
    answer = desk.ask("plan", allow_mass_removal=allow_mass_removal)
    desk.show(answer, view.plan)
    plan = changes.plan(answer)
    if plan.error:
        raise Failed(plan.error)
    return CHANGES if plan.is_change else 0
