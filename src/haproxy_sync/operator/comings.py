"""Backends that come and go, in answers: who drains, what our lifecycle actions wait for, whom EC2 may take back."""

from typing import Any

from haproxy_sync.fleet.model import by_id, endpoint
from haproxy_sync.operator.answers import failure, iso
from haproxy_sync.rollout.watching import Standing, Watch
from haproxy_sync.state.model import ActionProgress, EnvironmentState

type Answer = dict[str, Any]

SHOWN = 200  # of each kind, so that the answer fits


def draining(state: EnvironmentState) -> list[Answer]:
    """Who drains, why, since when, and how many connections proxies said last that they have to it."""
    pool = by_id(state.pool)
    drains = sorted(state.draining.keys() & pool.keys())
    return [
        {
            "instance_id": instance_id,
            "why": state.draining[instance_id].why,
            "since": state.draining[instance_id].since,
            "since_iso": iso(state.draining[instance_id].since),
            "connections": connections(state, endpoint(pool[instance_id])),
        }
        for instance_id in drains[:SHOWN]
    ]


def connections(state: EnvironmentState, server: str) -> int | None:
    """To the server, through all proxies; None where one could not count them, or none was asked."""
    told = (state.proxy_state(key).serving.watched for key in state.proxy_ids)
    words = [watched[server] for watched in told if server in watched]
    counted = [word.connections for word in words] or [None]
    return None if None in counted else sum(filter(None, counted))


def actions(watch: Watch) -> list[Answer]:
    """What each of our lifecycle actions waits for, and the proxies that keep it waiting."""
    return [_action(watch, each) for each in watch.state.lifecycle_actions[:SHOWN]]


def _action(watch: Watch, progress: ActionProgress) -> Answer:
    action = progress.action
    return {
        "instance_id": action.instance_id,
        "group": action.group,
        "hook": action.hook,
        "joins": action.joins,
        "since": progress.since,
        "since_iso": iso(progress.since),
        "heartbeat_at": progress.heartbeat_at or None,
        "heartbeat_at_iso": iso(progress.heartbeat_at),
        "ended_at": progress.ended_at or None,
        "ended_at_iso": iso(progress.ended_at),
        "result": progress.result,
        "failure": failure(progress.failure),
        "behind": list(proxies(watch, progress, Standing.BEHIND)),
        "unreachable": list(proxies(watch, progress, Standing.UNREACHABLE)),
    }


def proxies(
    watch: Watch, progress: ActionProgress, standing: Standing
) -> tuple[str, ...]:
    """Those of that standing."""
    found = zip(watch.state.proxy_ids, watch.standings(progress), strict=True)
    return tuple(key for key, each in found if each is standing)


def rebalance(state: EnvironmentState) -> list[Answer]:
    """Spot instances that EC2 recommended to replace, and when."""
    shown = list(state.rebalance.items())[:SHOWN]
    return [{"instance_id": key, "at": at, "at_iso": iso(at)} for key, at in shown]
