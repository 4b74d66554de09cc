"""Answers as JSON-able values with stable keys: what scripts and people read, and nothing that decides."""

from datetime import UTC, datetime
from math import ceil
from typing import Any

from haproxy_sync.reconcile.reconciler import Result
from haproxy_sync.rollout import progress
from haproxy_sync.state.codec import jsonable
from haproxy_sync.state.model import Hold, Outcome, Pointer
from haproxy_sync.state.store import Snapshot

type Answer = dict[str, Any]

BACK = "when the vanished are back"
OVERRIDE = "by sync with allow_mass_removal"
FIRST_FREEZE = (
    "first deploy, nothing was ever published here: look at plan, then unfreeze (or deploy StartFrozen=false)"
)


def summary(result: Result) -> Answer:
    """What a reconcile found and did."""
    pointer = result.after
    publication = pointer.publication
    return {
        "result": str(result.action),
        "generation": publication.generation if publication else None,
        "published": result.is_published,
        "converged": progress.is_converged(pointer),
        "hold": hold(pointer, result.now),
        "freeze": freeze(pointer, result.now),
        "template_error": pointer.template_error,
        "commands": [
            {"command_id": command.command_id, "purpose": str(command.purpose), "targets": list(command.targets)}
            for command in result.sent
        ],
        "missing": [
            proxy.instance_id
            for proxy in pointer.proxies
            if pointer.state(proxy.instance_id).outcome is Outcome.MISSING
        ],
        "reports": {report.instance_id: str(report.outcome) for _, report in result.reports},
    }


def status(snapshot: Snapshot, now: float) -> Answer:
    """The pointer, for people: what is published, how far each proxy is, and since when all was well."""
    pointer = snapshot.pointer
    publication = pointer.publication
    return {
        "generation": publication.generation if publication else None,
        "looked_at": pointer.looked_at or None,
        "converged_at": pointer.converged_at or None,
        "age_seconds": round(now - pointer.converged_at, 3) if pointer.converged_at else None,
        "converged": progress.is_converged(pointer),
        "backends": [backend.instance_id for backend in pointer.backends or ()],
        "skipped": jsonable(pointer.skipped),
        "hold": hold(pointer, now),
        "freeze": freeze(pointer, now),
        "template_error": pointer.template_error,
        "corruption": snapshot.corruption,
        "rollout": {
            "proven_by": progress.proven_by(pointer),
            "commands": jsonable(pointer.commands),
        },
        "proxies": {key: _proxy(pointer, key) for key in proxy_ids(pointer)},
        "history": jsonable(tuple(reversed(pointer.history))),
    }


def hold(pointer: Pointer, now: float) -> Answer | None:
    """Who is held since when, when time ends that (`ends_at`, None: time does not), and in words what ends it."""
    if not pointer.hold:
        return None
    held: Answer = jsonable(pointer.hold)
    ends_at, ends = _end(pointer, pointer.hold, now)
    return held | {"ends_at": ends_at, "ends": ends}


def _end(pointer: Pointer, hold: Hold, now: float) -> tuple[float | None, str]:
    """When time ends the hold, and in words what does; the first that applies."""
    if freeze(pointer, now):
        return None, f"not before the freeze ends, but for those who are back; then {OVERRIDE}"
    if pointer.template_error:
        return None, "not before the template renders again"
    if not hold.missing:
        by_time = f"at {_clock(hold.ends_at)}; " if hold.ends_at else ""
        return hold.ends_at, f"{by_time}when enough backends are found (MinBackends); {OVERRIDE}"
    if hold.ends_at is None:
        return None, f"not by time while so few are left (MinBackends, EmptyPool): {BACK}; {OVERRIDE}"
    return hold.ends_at, f"at {_clock(hold.ends_at)}; {BACK}; {OVERRIDE}"


def _clock(seconds: float) -> str:
    return f"{datetime.fromtimestamp(ceil(seconds), UTC):%Y-%m-%dT%H:%M:%SZ}"


def freeze(pointer: Pointer, now: float) -> Answer | None:
    """What keeps configs from the proxies, until when (None: until somebody ends it) and why."""
    frozen = jsonable(pointer.freeze) if pointer.freeze and pointer.freeze.until > now else None
    if pointer.first_freeze:
        return {"until": None, "reason": FIRST_FREEZE, "generation": 0, "then": frozen}
    return frozen


def _proxy(pointer: Pointer, instance_id: str) -> Answer:
    """Digests are MD5s, as `md5sum` on the proxy prints them."""
    state = pointer.state(instance_id)
    desired = pointer.publication.assignment[instance_id] if pointer.publication else None
    return {
        "desired": desired.md5 if desired else "",
        "installed": state.installed,
        "running": state.running,
        "settled": progress.is_settled(pointer, instance_id),
        "outcome": str(state.outcome or Outcome.NOT_TRIED),
        "reason": state.reason,
        "detail": state.detail,
        "backup": state.backup,
        "method": state.method,
        "generation": state.generation or None,
        "at": state.at or None,
    }


def proxy_ids(pointer: Pointer) -> list[str]:
    """The proxies of the last look."""
    return [proxy.instance_id for proxy in pointer.proxies]


def unsettled(pointer: Pointer) -> list[str]:
    """Those that do not have yet what is published."""
    return [key for key in proxy_ids(pointer) if not progress.is_settled(pointer, key)]
