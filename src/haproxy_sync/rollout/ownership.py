"""Whose the proxies are, by their own word: one that is another stack's refuses us until it is adopted."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import replace
from operator import attrgetter

from haproxy_sync.rollout.reports import Report
from haproxy_sync.state.model import EnvironmentState, Outcome, ProxyState, UnixSeconds


def heard(
    before: ProxyState, report: Report, ours: str, claimed_at: UnixSeconds
) -> ProxyState:
    """What is known of the proxy's owner after a report on a command; what it did not say stays as it was.

    An adoption ends when the proxy says that it is ours, or that the other stack came with something newer since.
    """
    if report.publisher is None:
        return before
    after = replace(
        before,
        publisher=report.publisher,
        other_publisher=report.other_publisher,
        other_publisher_at=report.other_publisher_at,
    )
    if report.other_publisher == ours:
        after = replace(after, other_publisher="", other_publisher_at=0.0)
    is_over = report.publisher == ours or report.outcome is Outcome.SUPERSEDED
    if is_over and claimed_at >= before.adopt_since:
        after = replace(after, adopt_since=0.0)
    return after


def adopting(state: EnvironmentState, now: UnixSeconds) -> EnvironmentState:
    """The next command to each proxy of the last look adopts it, and those after it until it says that it is ours.

    What it failed by before is over, so its back-off begins anew.
    """
    return state.with_each_proxy_state(
        state.proxy_ids,
        lambda observed: replace(observed, adopt_since=now, attempts=0),
    )


def publishers(state: EnvironmentState) -> Mapping[str, tuple[str, ...]]:
    """Which proxies each stack has, by their own word."""
    return _by_stack(state, attrgetter("publisher"))


def refused(state: EnvironmentState) -> Mapping[str, tuple[str, ...]]:
    """Which proxies refused each other stack within a day."""
    return _by_stack(state, attrgetter("other_publisher"))


def _by_stack(
    state: EnvironmentState, stack_of: Callable[[ProxyState], str]
) -> Mapping[str, tuple[str, ...]]:
    found: defaultdict[str, tuple[str, ...]] = defaultdict(tuple)
    for instance_id in state.proxy_ids:
        found[stack_of(state.proxy_state(instance_id))] += (instance_id,)
    found.pop("", None)
    return found
