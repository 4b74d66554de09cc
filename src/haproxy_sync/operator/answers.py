"""Answers as JSON-able values with stable keys: what scripts and people read, and nothing that decides."""

from dataclasses import fields, is_dataclass, replace
from datetime import UTC, datetime
from itertools import islice
from math import ceil
from typing import Any

from haproxy_sync.fleet.model import Proxy
from haproxy_sync.operator import publishers
from haproxy_sync.reconcile.reconciler import Result
from haproxy_sync.rollout import inspections
from haproxy_sync.rollout.agents import ADVICE, findings
from haproxy_sync.rollout.progress import Progress
from haproxy_sync.state.codec import jsonable, time_fields
from haproxy_sync.state.model import (
    Change,
    Document,
    EnvironmentState,
    Failure,
    Hold,
    Origin,
    Outcome,
    ProxyState,
    Refusal,
    UnixSeconds,
)
from haproxy_sync.state.store import Snapshot

type Answer = dict[str, Any]

# Of very many, so that the answer fits.
SHOWN_HELD = 1000
SHOWN_SKIPPED = 1000
NOT_PINNED, UNREFUSED = Document("", ""), Refusal(0.0, 0.0)
BACK = "when the vanished are back"
OVERRIDE = "by sync with allow_mass_removal"
FIRST_FREEZE = (
    "first deploy, nothing was ever published here: "
    "look at plan, then unfreeze (or deploy StartFrozen=false)"
)


def iso(time: UnixSeconds | None) -> str | None:
    """The time as ISO 8601, rounded up to a second: a clock that shows it has passed it. None for never."""
    if not time:
        return None
    try:
        return f"{datetime.fromtimestamp(ceil(time), UTC):%Y-%m-%dT%H:%M:%SZ}"
    except (ValueError, OverflowError, OSError):
        return None  # no clock shows it: somebody wrote the state by hand


def _or_none[T](value: T) -> T | None:
    """None where nothing was written yet."""
    return value or None


def _age(time: UnixSeconds, now: UnixSeconds) -> float | None:
    """Seconds since then; None for never."""
    return round(now - time, 3) if time else None


def readable(value: Any) -> Any:
    """A value of the state as JSON, every time in unix seconds with its ISO 8601 beside it, as `<name>_iso`."""
    if isinstance(value, tuple):
        return [readable(each) for each in value]
    if not is_dataclass(value):
        return jsonable(value)
    shown = {each.name: readable(getattr(value, each.name)) for each in fields(value)}
    times = {f"{name}_iso": _isos(getattr(value, name)) for name in time_fields(value)}
    return shown | times


def _isos(times: Any) -> Any:
    """Of one time, or of several by name."""
    if hasattr(times, "items"):
        return {key: iso(time) for key, time in times.items()}
    return iso(times)


def summary(result: Result) -> Answer:
    """What a reconcile found and did."""
    state = result.after
    return {
        "result": str(result.disposition),
        "generation": _or_none(state.generation),
        "fence": _or_none(state.fence),
        "published": result.is_published,
        "converged": Progress(state).is_converged,
        "hold": hold(state, result.now),
        "freeze": freeze(state, result.now),
        "template_error": state.template_error,
        "commands": [
            {
                "command_id": command.command_id,
                "purpose": str(command.purpose),
                "targets": list(command.targets),
            }
            for command in result.sent
        ],
        "missing": [
            key
            for key in state.proxy_ids
            if state.proxy_state(key).outcome is Outcome.MISSING
        ],
        "reports": {
            report.instance_id: str(report.outcome) for _, report in result.reports
        },
    }


def status(snapshot: Snapshot, now: UnixSeconds) -> Answer:
    """The state, for people: what is published, how far each proxy is, and when all was well last."""
    # A freeze that is over may still be stored: it is taken out by the next write.
    state = replace(snapshot.state, freeze=snapshot.state.freeze_at(now))
    progress = Progress(state)
    return {
        "generation": _or_none(state.generation),
        "fence": _or_none(state.fence),
        "looked_at": _or_none(state.looked_at),
        "looked_at_iso": iso(state.looked_at),
        "converged_at": _or_none(state.converged_at),
        "converged_at_iso": iso(state.converged_at),
        "age_seconds": _age(state.converged_at, now),
        "converged": progress.is_converged,
        "backends": [backend.instance_id for backend in state.pool],
        "skipped": skipped(state),
        "hold": hold(state, now),
        "ended_holds": readable(tuple(reversed(state.ended_holds))),
        "freeze": freeze(state, now),
        "template_error": state.template_error,
        **origins(state),
        "earlier_uploads": list(state.earlier_uploads),
        "look_failure": failure(state.look_failure),
        "send_failure": failure(state.send_failure),
        "agents": agents(state),
        "corruption": snapshot.corruption,
        "document": document(state),
        "inspect": inspect(state, now),
        "rollout": {
            "proven_by": progress.proven_by,
            "commands": readable((*state.commands, *state.inspecting)),
        },
        "publishers": publishers.owners(state),
        "other_publishers": publishers.rivals(state),
        "proxies": {host.instance_id: _proxy(progress, host) for host in state.proxies},
        "history": list(map(_entry, reversed(state.history))),
    }


def skipped(state: EnvironmentState) -> list[Answer]:
    """Who is left out; the last of very many says how many more there are."""
    shown = list(state.skipped[:SHOWN_SKIPPED])
    more = len(state.skipped) - len(shown)
    if more:
        last = shown.pop()
        shown.append(replace(last, detail=f"{last.detail} (and {more} more)"))
    return [jsonable(each) for each in shown]


def _entry(change: Change) -> Answer:
    """One of the history; `diff` is what its configs changed, in lines."""
    answer: Answer = readable(change)
    answer["diff"] = answer.pop("lines")
    return answer


def publication(entry: Change, against: int) -> Answer:
    """One of the history, and the generation that it is compared with; null where nothing was published before."""
    return {
        "generation": entry.generation,
        "against": _or_none(against),
        "why": entry.why,
        "at": entry.at,
        "at_iso": iso(entry.at),
    }


def origins(state: EnvironmentState) -> Answer:
    """Where template and variables came from."""
    return {
        "template": _origin(state.template_origin),
        "variables": _origin(state.variables_origin),
    }


def _origin(origin: Origin) -> Answer:
    return {
        "origin": str(origin.kind),
        "version": origin.version,
        "at": _or_none(origin.at),
        "at_iso": iso(origin.at),
    }


def failure(what: Failure | None) -> Answer | None:
    """What failed, in the words of who refused it, since when, and when last."""
    return None if what is None else readable(what)


def agents(state: EnvironmentState) -> Answer:
    """What is wrong with which proxy's agent, and what to do; `failure` says why nobody could ask last."""
    found = [
        {"instance_id": key, "finding": str(finding), "advice": ADVICE[finding]}
        | readable(agent)
        for key, agent in sorted(state.agents.items())
        for finding in findings(agent)
    ]
    return {"findings": found, "failure": failure(state.agents_failure)}


def document(state: EnvironmentState) -> Answer | None:
    """What the newest commands ran, or would have: version of the document and SHA-256 of the program.

    `refused_since` says since when none is sent, because function and document are not of one release.
    """
    if state.document is None and state.refusal is None:
        return None
    pinned, since = state.document or NOT_PINNED, (state.refusal or UNREFUSED).since
    return {
        "version": pinned.version,
        "program": pinned.program,
        "refused_since": _or_none(since),
        "refused_since_iso": iso(since),
        "refusal": state.difference,
    }


def inspect(state: EnvironmentState, now: UnixSeconds) -> Answer:
    """When an operator asked all proxies last, and whose answer since then is awaited yet."""
    requested_at = state.inspect_requested_at
    awaited = inspections.unanswered(state, now) if requested_at else ()
    return {
        "requested_at": _or_none(requested_at),
        "requested_at_iso": iso(requested_at),
        "unanswered": list(awaited),
    }


def hold(state: EnvironmentState, now: UnixSeconds) -> Answer | None:
    """Who is held since when, when time ends that (`ends_at`, None: time does not), and in words what ends it.

    `waits_for` says of each who is held until when that is, or that time does not let it go; of many, of the first.
    """
    if not state.hold:
        return None
    ends_at, ends = _end(state, state.hold, now)
    let_go_at = dict(islice(state.hold.let_go_at.items(), SHOWN_HELD if ends_at else 0))
    going = replace(state.hold, let_go_at=let_go_at)
    held: Answer = readable(going)
    shown = islice(going.missing, SHOWN_HELD)
    waits_for = {key: _waits_for(going, key) for key in shown}
    return held | {
        "ends_at": ends_at,
        "ends_at_iso": iso(ends_at),
        "ends": ends,
        "waits_for": waits_for,
    }


def _waits_for(hold: Hold, instance_id: str) -> str:
    """What the guard waits for before it lets this one go."""
    until = iso(hold.let_go_at.get(instance_id))
    return f"its return, or {until}" if until else "its return"


def _end(
    state: EnvironmentState, hold: Hold, now: UnixSeconds
) -> tuple[UnixSeconds | None, str]:
    """When time ends the hold, and in words what does; the first that applies."""
    if freeze(state, now):
        return (
            None,
            f"not before the freeze ends, but for those who are back; then {OVERRIDE}",
        )
    if state.template_error:
        return None, "not before the template renders again"
    if not hold.missing:
        by_time = f"at {iso(hold.ends_at)}; " if hold.ends_at else ""
        return (
            hold.ends_at,
            f"{by_time}when enough backends are found (MinBackends); {OVERRIDE}",
        )
    if hold.ends_at is None:
        return (
            None,
            f"not by time while so few are left (MinBackends, EmptyPool): {BACK}; {OVERRIDE}",
        )
    return hold.ends_at, f"at {iso(hold.ends_at)}; {BACK}; {OVERRIDE}"


def freeze(state: EnvironmentState, now: UnixSeconds) -> Answer | None:
    """What keeps configs from the proxies, until when (None: until somebody ends it) and why."""
    going_on = state.freeze_at(now)
    frozen = readable(going_on) if going_on else None
    if state.first_freeze:
        return {
            "until": None,
            "until_iso": None,
            "reason": FIRST_FREEZE,
            "generation": 0,
            "then": frozen,
        }
    return frozen


def _proxy(progress: Progress, host: Proxy) -> Answer:
    """Digests are MD5s, as `md5sum` on the proxy prints them."""
    proxy = progress.proxy(host.instance_id)
    observed = proxy.state
    return {
        "name": host.name,
        "address": host.address,
        "zone": host.zone,
        "desired": proxy.desired_md5,
        "installed": observed.installed,
        "running": observed.running,
        "settled": proxy.is_settled,
        "outcome": str(observed.outcome or Outcome.NOT_TRIED),
        "reason": observed.reason,
        "detail": observed.detail,
        "backup": observed.backup,
        "method": observed.method,
        "notes": _notes(observed),
        "window_ms": observed.window_ms,
        "observed_generation": _or_none(observed.observed_generation),
        "at": _or_none(observed.at),
        "at_iso": iso(observed.at),
        "publisher": observed.publisher,
        "other_publisher": observed.other_publisher,
        "other_publisher_at": _or_none(observed.other_publisher_at),
        "other_publisher_at_iso": iso(observed.other_publisher_at),
        "adopting": observed.adopt_since > 0,
        "inspection": readable(observed.inspection) if observed.inspection else None,
    }


def _notes(observed: ProxyState) -> list[str]:
    """Those of the last change, and those of the host's last word, none twice."""
    return [*dict.fromkeys(observed.notes + observed.serving.notes)]
