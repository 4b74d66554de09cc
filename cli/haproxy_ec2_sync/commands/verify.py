"""`verify`: every proxy compares what it has with what is published."""

from dataclasses import replace

import click

from haproxy_ec2_sync import acting, waiting
from haproxy_ec2_sync.desk import Desk, at_desk, examples
from haproxy_ec2_sync.views import acted
from haproxy_ec2_sync.waiting import Goal


@click.command(
    "verify", epilog=examples("verify --env staging", "verify --env staging --wait")
)
@acting.waits
@at_desk
def command(desk: Desk, *, goal: Goal | None) -> None:
    """Make every proxy compare now what it runs with what is published, and mend it where that differs."""
    before = waiting.heard(desk.ask("status")) if goal else {}
    desk.show(desk.ask("verify"), acted.acted)
    if goal:
        acting.wait(desk, replace(goal, looks=False, heard_before=before))
