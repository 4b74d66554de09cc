"""Answers as JSON-able values with stable keys: what scripts and people read, and nothing that decides."""

from datetime import UTC, datetime
from math import ceil
from typing import Any

from haproxy_sync.reconcile.reconciler import Result
from haproxy_sync.rollout import progress
from haproxy_sync.state.codec import jsonable
from haproxy_sync.state.model import EnvironmentState, Hold, Outcome
from haproxy_sync.state.store import Snapshot

type Answer = dict[str, Any]

BACK = "when the vanished are back"
OVERRIDE = "by sync with allow_mass_removal"
FIRST_FREEZE = (
    "first deploy, nothing was ever published here: look at plan, then unfreeze (or deploy StartFrozen=false)"
)


def summary(result: Result) -> Answer:
    """What a reconcile found and did."""
    state = result.after
    publication = state.publication
    return {
        "result": str(result.action),
        "generation": publication.generation if publication else None,
        "published": result.is_published,
        "converged": progress.is_converged(state),
        "hold": hold(state, result.now),
        "freeze": freeze(state, result.now),
        "template_error": state.template_error,
        "commands": [
            {"command_id": command.command_id, "purpose": str(command.purpose), "targets": list(command.targets)}
            for command in result.sent
        ],
        "missing": [
            proxy.instance_id
            for proxy in state.proxies
            if state.proxy_state(proxy.instance_id).outcome is Outcome.MISSING
        ],
        "reports": {report.instance_id: str(report.outcome) for _, report in result.reports},
    }


def status(snapshot: Snapshot, now: float) -> Answer:
    """The state, for people: what is published, how far each proxy is, and since when all was well."""
    state = snapshot.state
    publication = state.publication
    return {
        "generation": publication.generation if publication else None,
        "looked_at": state.looked_at or None,
        "converged_at": state.converged_at or None,
        "age_seconds": round(now - state.converged_at, 3) if state.converged_at else None,
        "converged": progress.is_converged(state),
        "backends": [backend.instance_id for backend in state.backends or ()],
        "skipped": jsonable(state.skipped),
        "hold": hold(state, now),
        "freeze": freeze(state, now),
        "template_error": state.template_error,
        "corruption": snapshot.corruption,
        "rollout": {
            "proven_by": progress.proven_by(state),
            "commands": jsonable(state.commands),
        },
        "proxies": {key: _proxy(state, key) for key in proxy_ids(state)},
        "history": jsonable(tuple(reversed(state.history))),
    }


def hold(state: EnvironmentState, now: float) -> Answer | None:
    """Who is held since when, when time ends that (`ends_at`, None: time does not), and in words what ends it."""
    if not state.hold:
        return None
    held: Answer = jsonable(state.hold)
    ends_at, ends = _end(state, state.hold, now)
    return held | {"ends_at": ends_at, "ends": ends}


def _end(state: EnvironmentState, hold: Hold, now: float) -> tuple[float | None, str]:
    """When time ends the hold, and in words what does; the first that applies."""
    if freeze(state, now):
        return None, f"not before the freeze ends, but for those who are back; then {OVERRIDE}"
    if state.template_error:
        return None, "not before the template renders again"
    if not hold.missing:
        by_time = f"at {_clock(hold.ends_at)}; " if hold.ends_at else ""
        return hold.ends_at, f"{by_time}when enough backends are found (MinBackends); {OVERRIDE}"
    if hold.ends_at is None:
        return None, f"not by time while so few are left (MinBackends, EmptyPool): {BACK}; {OVERRIDE}"
    return hold.ends_at, f"at {_clock(hold.ends_at)}; {BACK}; {OVERRIDE}"


def _clock(seconds: float) -> str:
    return f"{datetime.fromtimestamp(ceil(seconds), UTC):%Y-%m-%dT%H:%M:%SZ}"


def freeze(state: EnvironmentState, now: float) -> Answer | None:
    """What keeps configs from the proxies, until when (None: until somebody ends it) and why."""
    frozen = jsonable(state.freeze) if state.freeze and state.freeze.until > now else None
    if state.first_freeze:
        return {"until": None, "reason": FIRST_FREEZE, "generation": 0, "then": frozen}
    return frozen


def _proxy(state: EnvironmentState, instance_id: str) -> Answer:
    """Digests are MD5s, as `md5sum` on the proxy prints them."""
    proxy_state = state.proxy_state(instance_id)
    desired = state.publication.assignment[instance_id] if state.publication else None
    return {
        "desired": desired.md5 if desired else "",
        "installed": proxy_state.installed,
        "running": proxy_state.running,
        "settled": progress.is_settled(state, instance_id),
        "outcome": str(proxy_state.outcome or Outcome.NOT_TRIED),
        "reason": proxy_state.reason,
        "detail": proxy_state.detail,
        "backup": proxy_state.backup,
        "method": proxy_state.method,
        "generation": proxy_state.generation or None,
        "at": proxy_state.at or None,
    }


def proxy_ids(state: EnvironmentState) -> list[str]:
    """The proxies of the last look."""
    return [proxy.instance_id for proxy in state.proxies]


def unsettled(state: EnvironmentState) -> list[str]:
    """Those that do not have yet what is published."""
    return [key for key in proxy_ids(state) if not progress.is_settled(state, key)]
