"""Whose the proxies are, in answers: which stack published to them by their own word, and who else tries."""

from typing import Any

from haproxy_sync.errors import BadRequest
from haproxy_sync.reconcile.endings import shown
from haproxy_sync.rollout import ownership
from haproxy_sync.rollout.inspections import has_told
from haproxy_sync.state.model import EnvironmentState

type Answer = dict[str, Any]

NOBODY_YET = "no proxy has said yet who published to it"


def owners(state: EnvironmentState) -> Answer:
    """The proxies of each stack, by their own word."""
    return {
        stack: {"ours": stack == state.publisher, "instances": list(instances)}
        for stack, instances in sorted(ownership.publishers(state).items())
    }


def rivals(state: EnvironmentState) -> Answer:
    """The other stacks that proxies refused within a day, and the proxies that did."""
    return {
        stack: list(instances)
        for stack, instances in sorted(ownership.refused(state).items())
    }


def heard(state: EnvironmentState) -> Answer:
    """Who published to the proxies before, and who of them has not said so yet."""
    unheard = [key for key in state.proxy_ids if not has_told(state.proxy_state(key))]
    is_nobody_heard = len(unheard) == len(state.proxy_ids)
    return {
        "publishers": owners(state),
        "unheard": unheard,
        "publishers_note": NOBODY_YET if is_nobody_heard else "",
    }


def check(state: EnvironmentState) -> None:
    """No proxy is another stack's, as far as they have said; `BadRequest` names the stacks and the way."""
    others = dict(ownership.publishers(state))
    others.pop(state.publisher, None)
    if not others:
        return
    named = "; ".join(
        f"{shown(instances)} by {stack}" for stack, instances in sorted(others.items())
    )
    raise BadRequest(
        f"another stack published here: {named}; "
        "delete it, or take its proxies with unfreeze and adopt: true"
    )
