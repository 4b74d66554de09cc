"""The greatest answers still fit through Lambda."""

import json

from haproxy_sync.config.diff import semantic_diff
from haproxy_sync.fleet.model import Backend
from haproxy_sync.operator import instances
from haproxy_sync.operator.actions import SHOWN_CHANGES
from haproxy_sync.reconcile.publish import Proposal
from haproxy_sync.state.model import EnvironmentState

LAMBDA = 6_291_556  # bytes of an answer


def backends(first: int, number: int) -> tuple[Backend, ...]:
    """As EC2 names them."""
    return tuple(
        Backend(
            f"i-{key:017x}",
            "tomcat",
            f"ip-10-200-{key // 256}-{key % 256}",
            f"10.200.{key // 256}.{key % 256}",
            "ap-southeast-2a",
        )
        for key in range(first, first + number)
    )


def config(fleet: tuple[Backend, ...], weight: int) -> str:
    """As the bundled template has servers."""
    lines = (
        f"    server {each.name} {each.address}:8080 check observe layer7 weight {weight}"
        for each in fleet
    )
    return "\n".join(["backend application", *lines, ""])


def test_a_plan_that_changes_more_than_it_shows() -> None:
    """As many as fit of each kind: who leaves, who comes and who changes, with names and addresses."""
    number = SHOWN_CHANGES + 100
    gone, kept, new = (backends(each * number, number) for each in range(3))
    diff = semantic_diff(
        config((*gone, *kept), 100), config((*kept, *new), 200), (*gone, *kept, *new)
    )
    shown = diff.as_json(SHOWN_CHANGES)
    assert len(shown["added"]) == len(shown["changed"]) == SHOWN_CHANGES
    before = EnvironmentState(backends=(*gone, *kept))
    known = instances.of_plan(before, Proposal(before, pool=(*kept, *new)))
    named = instances.named(shown, known)
    assert len(named) == 3 * SHOWN_CHANGES
    # A megabyte is left for all else that a plan says.
    assert len(json.dumps(shown | {"instances": named})) < LAMBDA - 1_000_000
