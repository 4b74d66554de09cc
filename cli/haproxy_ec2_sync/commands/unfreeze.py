"""`unfreeze`: the end of every freeze, the first one included."""

from typing import Any

import click

from haproxy_ec2_sync import acting, clock
from haproxy_ec2_sync.answers import Fields
from haproxy_ec2_sync.desk import Desk, at_desk, examples
from haproxy_ec2_sync.function import Answer
from haproxy_ec2_sync.views import acted
from haproxy_ec2_sync.waiting import Goal


@click.command(
    "unfreeze",
    epilog=examples("unfreeze --env staging", "unfreeze --env production --yes --wait"),
)
@acting.ADOPT
@acting.YES
@acting.waits
@at_desk
def command(desk: Desk, *, is_yes: bool, goal: Goal | None, **options: Any) -> None:
    """End every freeze, look at EC2, and publish. Asks first if nothing was ever published."""
    request = acting.given(options)
    seen = None if is_yes else _agreed(desk, request)
    begin = clock.now()
    answer = desk.ask("unfreeze", **request)
    desk.show(answer, acted.acted)
    acting.compare(desk, seen, answer)
    if goal:
        acting.wait(desk, goal, begin)


def _agreed(desk: Desk, request: dict[str, Any]) -> Answer | None:
    """The plan that somebody said yes to; None where nobody has to be asked."""
    if not request and not _is_first(desk.ask("status")):
        return None
    return acting.plan(desk, request).agreed("Publish this, and end the freeze?")


def _is_first(status: Answer) -> bool:
    """The freeze of an environment where nothing was ever published has no end of its own."""
    freeze = Fields.of(status).fields("freeze")
    return bool(freeze.values) and freeze.number("until") is None
