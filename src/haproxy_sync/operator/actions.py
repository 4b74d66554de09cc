"""What a person can ask by direct invoke. Answers are JSON-able, their keys stable."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from haproxy_sync.config import sources
from haproxy_sync.errors import BadRequest, TemplateError
from haproxy_sync.operator import answers
from haproxy_sync.operator.answers import Answer, summary, unsettled
from haproxy_sync.reconcile import events
from haproxy_sync.reconcile.changes import differences
from haproxy_sync.reconcile.publish import Observation
from haproxy_sync.reconcile.reconciler import Reconciler
from haproxy_sync.state import store
from haproxy_sync.state.codec import jsonable
from haproxy_sync.state.model import Assignment, Change, EnvironmentState, Freeze, enact, successor

type Action = Callable[[Reconciler, Mapping[str, Any]], Answer]

FREEZE_MINUTES = 60
MAX_FREEZE_MINUTES = 7 * 24 * 60
REASON_LENGTH = 200


def act(reconciler: Reconciler, request: Mapping[str, Any]) -> Answer:
    """Run the action; `BadRequest` says what is wrong and which actions there are."""
    name = request.get("action") if isinstance(request, Mapping) else None
    if not isinstance(name, str) or name not in ACTIONS:
        raise BadRequest(f"unknown action {str(name)[:64]!r}; actions: {', '.join(ACTIONS)}")
    action, allowed = ACTIONS[name]
    if unknown := sorted(request.keys() - {"action", *allowed}):
        options = ", ".join(allowed) or "none"
        raise BadRequest(f"{name} has no option {', '.join(map(str, unknown))[:64]}; options: {options}")
    return {"action": name, "environment": reconciler.settings.environment} | action(reconciler, request)


def sync(reconciler: Reconciler, request: Mapping[str, Any]) -> Answer:
    """Reconcile now. `allow_mass_removal` is for this one look: it cannot be left behind (F21)."""
    allow = _option(request, "allow_mass_removal", bool, default=False)
    reason = _reason(request)
    why = f"operator sync{': ' + reason if reason else ''}"
    return summary(reconciler.reconcile(events.operator(why, allow_mass_removal=allow)))


def plan(reconciler: Reconciler, request: Mapping[str, Any]) -> Answer:
    """What a sync would do, or while frozen what `unfreeze` would; does nothing."""
    allow = _option(request, "allow_mass_removal", bool, default=False)
    now = reconciler.clock()
    state = successor(reconciler.read().state, now, reconciler.writer)
    intent = events.operator("plan", allow_mass_removal=allow)
    observation = reconciler.observe(_thawed(state), intent, now)
    planned = observation.state
    template_error = planned.template_error
    if planned.backends is None:  # no pool, so nobody rendered
        template_error = template_error or _unreadable(reconciler)
    origins = sources.origins(reconciler.clients.s3, reconciler.settings)
    before, after = state.publication, planned.publication
    changes = after is not None and (before is None or before.assignment != after.assignment)
    entry = planned.history[-1] if changes else None
    return {
        "changes": changes,
        "servers": {key: list(getattr(entry, key, ())) for key in ("added", "removed", "changed")},
        "diff": _diffs(reconciler, state, observation) if changes else [],
        "proxies": unsettled(planned),
        "verdict": _verdict(state, planned, template_error),
        "hold": answers.hold(planned, now),
        "freeze": answers.freeze(state, now),
        "template_error": template_error,
        "template": {"origin": origins.template},
        "variables": {"origin": origins.variables},
        "skipped": jsonable(planned.skipped),
    }


def _thawed(state: EnvironmentState) -> EnvironmentState:
    """As if nothing were frozen."""
    return replace(state, freeze=None, first_freeze=False)


def _verdict(state: EnvironmentState, planned: EnvironmentState, template_error: str) -> str:
    """Whether the plan would happen now, and if not, what it waits for."""
    if state.is_frozen:
        return "waits: frozen"
    if template_error:
        return "blocked: template error"
    return "hold" if planned.hold else "proceed"


def _unreadable(reconciler: Reconciler) -> str:
    """What is wrong with an upload."""
    try:
        reconciler.renderer.source(reconciler.clients.s3, reconciler.settings)
    except TemplateError as error:
        return str(error)
    return ""


def _diffs(reconciler: Reconciler, before: EnvironmentState, planned: Observation) -> list[Answer]:
    """What changes in each distinct config, and for whom."""
    s3, settings = reconciler.clients.s3, reconciler.settings
    found = differences(s3, settings, before, planned.state, planned.configs)
    return [{"proxies": proxies} | diff.as_json() for proxies, diff in found]


def status(reconciler: Reconciler, _request: Mapping[str, Any]) -> Answer:
    """Where things stand; reads the state and nothing else."""
    return answers.status(reconciler.read(), reconciler.clock())


def verify(reconciler: Reconciler, _request: Mapping[str, Any]) -> Answer:
    """Make every proxy compare now; frozen, it waits for the end of the freeze."""
    return summary(reconciler.amend("verify", lambda state, now: replace(state, verify_requested_at=now)))


def freeze(reconciler: Reconciler, request: Mapping[str, Any]) -> Answer:
    """Publish and send nothing for some minutes; ends by itself."""
    minutes, reason = _minutes(request), _reason(request)

    def change(state: EnvironmentState, now: float) -> EnvironmentState:
        allowed = state.freeze.generation if state.freeze else 0  # a rollback under way is finished
        return replace(state, freeze=Freeze(now + minutes * 60, reason or "operator", allowed))

    return summary(reconciler.amend("freeze", change))


def unfreeze(reconciler: Reconciler, _request: Mapping[str, Any]) -> Answer:
    """End every freeze and reconcile: one look, so that nothing older than what it sees is sent before."""
    return summary(reconciler.reconcile(events.operator("operator unfreeze"), _thawed))


def rollback(reconciler: Reconciler, request: Mapping[str, Any]) -> Answer:
    """Publish the config that was current at a generation as a new generation, and freeze it."""
    wanted = _option(request, "generation", int)
    minutes, reason = _minutes(request), _reason(request)

    def change(state: EnvironmentState, now: float) -> EnvironmentState:
        entry = _current_at(state, wanted)
        _check_stored(reconciler, entry.assignment)
        why = f"operator rollback to {wanted}{': ' + reason if reason else ''}"
        frozen = replace(state, freeze=Freeze(now + minutes * 60, why, state.generation))
        return enact(frozen, Change(state.generation, now, why, entry.assignment))

    return summary(reconciler.amend("rollback", change))


def _current_at(state: EnvironmentState, generation: int) -> Change:
    """The publication that was current when the state had that generation."""
    older = [change for change in state.history if change.generation <= generation]
    if not older or generation > state.generation:
        known = ", ".join(str(change.generation) for change in state.history[-10:]) or "none"
        raise BadRequest(f"no config is known that was current at generation {generation}; newest known: {known}")
    return older[-1]


def _check_stored(reconciler: Reconciler, assignment: Assignment) -> None:
    settings = reconciler.settings
    for digest in assignment.digests:
        if store.get_config(reconciler.clients.s3, settings.bucket, settings.environment, digest.sha256) is None:
            raise BadRequest(f"config {digest.sha256} of that generation has expired from the bucket")


def _option[T](request: Mapping[str, Any], name: str, kind: type[T], default: T | None = None) -> T:
    value = request.get(name, default)
    if type(value) is not kind:
        raise BadRequest(f"{name} must be {kind.__name__}, not {str(value)[:64]!r}")
    return value


def _minutes(request: Mapping[str, Any]) -> float:
    minutes = request.get("minutes", FREEZE_MINUTES)
    if isinstance(minutes, bool) or not isinstance(minutes, int | float) or not 0 < minutes <= MAX_FREEZE_MINUTES:
        raise BadRequest(f"minutes must be a number above 0, at most {MAX_FREEZE_MINUTES}")
    return float(minutes)


def _reason(request: Mapping[str, Any]) -> str:
    return _option(request, "reason", str, "")[:REASON_LENGTH]


ACTIONS: Mapping[str, tuple[Action, tuple[str, ...]]] = {
    "sync": (sync, ("allow_mass_removal", "reason")),
    "plan": (plan, ("allow_mass_removal",)),
    "status": (status, ()),
    "verify": (verify, ()),
    "freeze": (freeze, ("minutes", "reason")),
    "unfreeze": (unfreeze, ()),
    "rollback": (rollback, ("generation", "minutes", "reason")),
}
