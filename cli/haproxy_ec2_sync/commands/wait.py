"""`wait`: until all is synchronised and healthy."""

from dataclasses import replace

import click
from rich.console import Group, RenderableType
from rich.text import Text

from haproxy_ec2_sync import acting, waiting
from haproxy_ec2_sync.desk import Desk, at_desk, examples
from haproxy_ec2_sync.function import Answer
from haproxy_ec2_sync.views.status import headline


@click.command(
    "wait",
    epilog=examples(
        "wait --env staging",
        "wait --env production --timeout 1800 --allow-attention",
        "wait --env staging --generation 42",
    ),
)
@acting.TIMEOUT
@acting.ALLOW_ATTENTION
@click.option(
    "--generation",
    type=click.IntRange(min=1),
    metavar="N",
    help="Wait for this publication, or a later one; this makes nobody look.",
)
@click.option(
    "--no-sync",
    "is_looking",
    flag_value=False,
    default=True,
    help="Do not make the function look at EC2 first: a change of a moment ago may not be in it.",
)
@at_desk
def command(
    desk: Desk,
    *,
    timeout: float,
    allow_attention: bool,
    generation: int | None,
    is_looking: bool,
) -> None:
    """Wait until every proxy has what is published, and all is well; exit code 1 if that is too late.

    It makes the function look at EC2 first, and again some seconds later, so that what was changed before it began is
    in. In a freeze nothing is published: one that ends too late is an error at once.
    """
    goal = acting.wanted(timeout, allow_attention=allow_attention)
    looks = is_looking and generation is None
    goal = replace(goal, looks=looks, generation=generation or 0)
    outcome = acting.wait(desk, goal)

    def view(status: Answer) -> RenderableType:
        of = waiting.progress(status, goal)
        return Group(
            headline(status), Text(f"{of} after {outcome.seconds:.0f} s", "dim")
        )

    desk.show(outcome.status, view)
