"""`rollback`: an earlier config is published again, and frozen."""

from dataclasses import replace
from functools import partial
from typing import Any

import click
from rich.console import RenderableType

from haproxy_ec2_sync import acting, clock
from haproxy_ec2_sync.answers import Fields
from haproxy_ec2_sync.desk import Desk, at_desk, examples
from haproxy_ec2_sync.errors import Failed
from haproxy_ec2_sync.function import Answer, Refused
from haproxy_ec2_sync.views import acted, history
from haproxy_ec2_sync.waiting import Goal

ESSENCE = ("generation", "against", "diff")
PUBLISHED_NOW = 0
NO_PREVIEW = (
    "this function is older than this command line and cannot show what a rollback changes: "
    "deploy the same release, or give --yes"
)


@click.command(
    "rollback",
    epilog=examples(
        "rollback 41 --env staging",
        "rollback 41 --env production --yes --wait --reason 'errors since 42'",
        "rollback --fence 1795630134 --env staging",
    ),
)
@click.argument("generation", type=int, required=False)
@click.option(
    "--fence",
    type=int,
    metavar="N",
    help="Name the config by the fence that a host shows, not by its generation.",
)
@acting.MINUTES
@acting.REASON
@acting.YES
@acting.waits
@at_desk
def command(desk: Desk, *, is_yes: bool, goal: Goal | None, **options: Any) -> None:
    """Publish again what was published at GENERATION (see `history`), and freeze it. Asks first."""
    request = acting.given(options)
    which = acting.only(request, "generation", "fence")
    if len(which) != 1:
        raise click.UsageError("Give either GENERATION or --fence.")
    seen = None if is_yes else _preview(desk, which).agreed("Roll back to this?")
    answer = desk.ask("rollback", **request)
    desk.show(answer, acted.acted)
    acting.warn(_came_between(seen, answer))
    if goal:
        published = Fields.of(answer).count("generation")
        acting.wait(desk, replace(goal, looks=False, generation=published))


def _preview(desk: Desk, which: dict[str, int]) -> acting.Preview:
    return acting.Preview(partial(_diff, desk, which), _shown, ESSENCE)


def _diff(desk: Desk, which: dict[str, int]) -> Answer:
    """What that config changes in the one that is published now."""
    try:
        return desk.ask("diff", **which, against=PUBLISHED_NOW)
    except Refused as error:
        if "unknown action" in str(error.message):
            raise Failed(NO_PREVIEW) from error
        raise


def _shown(answer: Answer) -> RenderableType:
    return history.diff(answer, clock.now())


def _came_between(seen: Answer | None, answer: Answer) -> str:
    """In words, if something else was published in the moment after the second look."""
    if seen is None:
        return ""
    before = Fields.of(seen).count("against")
    if Fields.of(answer).count("generation") == before + 1:
        return ""
    return (
        f"something was published after generation {before}, before this: see history"
    )
