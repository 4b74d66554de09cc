"""What a person can ask by direct invoke. Answers are JSON-able, their keys stable."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from haproxy_sync.aws import FAILURES
from haproxy_sync.config import close_spread
from haproxy_sync.config.sources import Uploads
from haproxy_sync.errors import BadRequest, NewerState, TemplateError
from haproxy_sync.operator import (
    answers,
    comings,
    instances,
    publications,
    publishers,
    told,
)
from haproxy_sync.operator.answers import Answer, summary
from haproxy_sync.operator.publications import Wanted
from haproxy_sync.operator.situation import Situation
from haproxy_sync.operator.verdict import Plan, verdict
from haproxy_sync.reconcile import changes, events
from haproxy_sync.reconcile.changes import Differences
from haproxy_sync.reconcile.publish import Proposal, with_origins
from haproxy_sync.reconcile.reconciler import Reconciler, Result
from haproxy_sync.rollout import driver, next_commands
from haproxy_sync.rollout.progress import Progress
from haproxy_sync.rollout.transitions import (
    changed_servers,
    next_change,
    next_revision,
    roll_out,
    thawed,
)
from haproxy_sync.settings import SECONDS_PER_MINUTE, Settings
from haproxy_sync.state import failures
from haproxy_sync.state.codec import jsonable
from haproxy_sync.state.model import (
    UNKNOWN_ORIGIN,
    Assignment,
    EnvironmentState,
    Freeze,
    UnixSeconds,
)
from haproxy_sync.state.store import Snapshot, Store

FREEZE_MINUTES = 60
MAX_FREEZE_MINUTES = 7 * 24 * 60
REASON_LENGTH = 200
# Of each kind; a server's change and its instance are some 350 bytes, and an answer of Lambda has 6 MB.
SHOWN_CHANGES = 5000


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer, what the reconcile behind it did, and whom it knows; no result where the action only reads."""

    answer: Answer
    result: Result | None = None
    known: instances.Known = instances.NOBODY


@dataclass(frozen=True, slots=True)
class Action:
    """One action, and the options that it takes."""

    run: Callable[[Reconciler, Mapping[str, Any]], Reply]
    options: tuple[str, ...] = ()


def act(reconciler: Reconciler, request: Mapping[str, Any]) -> Reply:
    """Run the action; `BadRequest` says what is wrong and which actions there are.

    What fails after the state was put is the result's `failure`; the caller raises it once the result is logged.
    """
    name = request.get("action") if isinstance(request, Mapping) else None
    if not isinstance(name, str) or name not in ACTIONS:
        raise BadRequest(
            f"unknown action {str(name)[:64]!r}; actions: {', '.join(ACTIONS)}"
        )
    action = ACTIONS[name]
    _check_options(name, action, request)
    reply = action.run(reconciler, request)
    named = {"action": name, "environment": reconciler.settings.environment}
    found = {"instances": instances.named(reply.answer, reply.known)}
    return replace(reply, answer=named | reply.answer | found)


def _check_options(name: str, action: Action, request: Mapping[str, Any]) -> None:
    """`BadRequest` for an option that the action does not take."""
    unknown = sorted(request.keys() - {"action", *action.options})
    if unknown:
        options = ", ".join(action.options) or "none"
        named = repr(", ".join(map(str, unknown))[:64])[1:-1]  # no line breaks
        raise BadRequest(f"{name} has no option {named}; options: {options}")


def _replied(reconciler: Reconciler, result: Result, **more: Any) -> Reply:
    """What the reconcile did, and how the environment is after it."""
    known = instances.of_states(result.before, result.after)
    judged = told.summary(result, reconciler.settings)
    return Reply(summary(result) | judged | more, result, known)


def sync(reconciler: Reconciler, request: Mapping[str, Any]) -> Reply:
    """Reconcile now. `allow_mass_removal` is for this one look: it cannot be left behind.

    `adopt` takes the proxies that it finds from another stack.
    """
    allow = _option(request, "allow_mass_removal", bool, default=False)
    adopt = _option(request, "adopt", bool, default=False)
    why = _why("operator sync", request)
    intent = events.operator(why, allow_mass_removal=allow, adopt=adopt)
    return _replied(reconciler, reconciler.reconcile(intent))


def plan(reconciler: Reconciler, request: Mapping[str, Any]) -> Reply:
    """What a sync would do, or while frozen what `unfreeze` would; changes nothing."""
    allow = _option(request, "allow_mass_removal", bool, default=False)
    now = reconciler.clock()
    state = next_revision(reconciler.read().state, now, reconciler.writer)
    intent = events.operator("plan", allow_mass_removal=allow)
    try:
        proposal = reconciler.propose(thawed(state), intent, now)
        known = _told_of_uploads(reconciler, proposal.state, state)
        proposal = replace(proposal, state=known)
    except FAILURES as error:  # what is known without a look is still told
        look_failure = failures.failure(error, now, state.look_failure)
        proposal = Proposal(
            replace(_of_unknown_origin(state), look_failure=look_failure)
        )
    planned = driver.all_agents_asked(reconciler.clients.ssm, proposal.state, now)
    proposal = replace(proposal, state=planned)
    answer = _planned(reconciler, state, proposal, now)
    return Reply(answer, known=instances.of_plan(state, proposal))


def _planned(
    reconciler: Reconciler,
    state: EnvironmentState,
    proposal: Proposal,
    now: UnixSeconds,
) -> Answer:
    planned, settings = proposal.state, reconciler.settings
    is_changed = planned.is_published_since(state)
    return {
        "changes": is_changed,
        "servers": _servers(state, proposal),
        "diff": _diffs(reconciler, state, proposal) if is_changed else [],
        "proxies": list(Progress(planned).unsettled),
        "rolling_out": next_commands.rolling_out(state, now),
        "verdict": verdict(Plan(state, planned, settings, now), reconciler.program),
        "hold": answers.hold(planned, now),
        "freeze": answers.freeze(state, now),
        "template_error": planned.template_error,
        "look_failure": answers.failure(planned.look_failure),
        "send_failure": answers.failure(state.send_failure),
        "agents": answers.agents(planned),
        **answers.origins(planned),
        "earlier_uploads": list(planned.earlier_uploads),
        "skipped": answers.skipped(planned),
        "draining": comings.draining(planned),
        "warnings": _warnings(proposal, settings),
    }


def _warnings(proposal: Proposal, settings: Settings) -> list[str]:
    """What is wrong between the stack's parameters and the configs, each once."""
    found = (
        close_spread.problem(config.text, settings.drain_seconds)
        for config in proposal.rendered
    )
    return sorted(set(filter(None, found)))


def _servers(before: EnvironmentState, proposal: Proposal) -> Answer:
    """All the instances that the plan would add, remove and change, were the template at fault, too."""
    pool = before.pool if proposal.pool is None else proposal.pool
    servers: Answer = jsonable(changed_servers(before.pool, pool))
    return servers


def _of_unknown_origin(state: EnvironmentState) -> EnvironmentState:
    """As if nobody knew of uploads."""
    unknown = UNKNOWN_ORIGIN
    return replace(
        state,
        template_origin=unknown,
        variables_origin=unknown,
        earlier_uploads=(),
    )


def _told_of_uploads(
    reconciler: Reconciler, planned: EnvironmentState, before: EnvironmentState
) -> EnvironmentState:
    """With where template and variables come from, and what is wrong with an upload, though nobody may have rendered.

    In the first freeze with what earlier stacks left, too. Raises `ClientError` and `BotoCoreError`.
    """
    uploads = Uploads(reconciler.clients, reconciler.settings)
    told = with_origins(planned, uploads, is_first=before.first_freeze)
    if planned.template_error or planned.backends is not None:
        return told
    return replace(told, template_error=_unreadable(reconciler, uploads))


def _unreadable(reconciler: Reconciler, uploads: Uploads) -> str:
    """What is wrong with an upload."""
    try:
        reconciler.renderer.source(uploads)
    except TemplateError as error:
        return str(error)
    return ""


def _diffs(
    reconciler: Reconciler, before: EnvironmentState, proposal: Proposal
) -> list[Answer]:
    """What changes in each distinct config, and for whom; all together show so much that the answer fits."""
    store = Store.of(reconciler.clients, reconciler.settings)
    return _shown(changes.differences(store, before, proposal.state, proposal.configs))


def _shown(found: Differences) -> list[Answer]:
    limit = max(1, SHOWN_CHANGES // max(1, len(found)))
    return [{"proxies": proxies} | diff.as_json(limit) for proxies, diff in found]


def check(reconciler: Reconciler, request: Mapping[str, Any]) -> Reply:
    """Ask every proxy what a sync would do to it, or with `id` say what they found; nothing is changed anywhere."""
    from haproxy_sync.operator import checks  # noqa: PLC0415 - a cold start does without

    proxy = _option(request, "proxy", str, "")
    if "id" in request:
        check_id = _option(request, "id", str)
        answer, known = checks.found(reconciler, check_id, proxy)
    elif proxy:
        raise BadRequest("check takes proxy together with the id of a check only")
    else:
        answer, known = checks.begin(reconciler)
    return Reply(answer, known=known)


def status(reconciler: Reconciler, _request: Mapping[str, Any]) -> Reply:
    """Where things stand; reads the state and nothing else, and says so where that fails."""
    now, failure = reconciler.clock(), None
    try:
        snapshot = reconciler.read()
    except FAILURES as error:
        failure = failures.failure(error, now, None)
        snapshot = Snapshot(EnvironmentState(), etag=None)
    except NewerState as error:
        snapshot = Snapshot(EnvironmentState(), etag=None, newer=error.what)
    situation = Situation.of(snapshot, reconciler.settings, now, failure)
    answer = told.status(answers.status(snapshot, now), situation)
    return Reply(answer, known=instances.of_states(snapshot.state))


def verify(reconciler: Reconciler, _request: Mapping[str, Any]) -> Reply:
    """Make every proxy compare now; frozen, it waits for the end of the freeze."""
    return _replied(
        reconciler,
        reconciler.amend(
            "verify", lambda state, now: replace(state, verify_requested_at=now)
        ),
    )


def inspect(reconciler: Reconciler, _request: Mapping[str, Any]) -> Reply:
    """Ask every proxy now how it is, in a freeze too; `status` shows what it says."""
    return _replied(
        reconciler,
        reconciler.amend(
            "inspect", lambda state, now: replace(state, inspect_requested_at=now)
        ),
    )


def freeze(reconciler: Reconciler, request: Mapping[str, Any]) -> Reply:
    """Publish and send nothing for some minutes; ends by itself."""
    seconds, reason = _seconds(request), _reason(request)

    def change(state: EnvironmentState, now: UnixSeconds) -> EnvironmentState:
        # A rollback under way may still finish.
        allowed = state.freeze.generation if state.freeze else 0
        return replace(
            state, freeze=Freeze(now + seconds, reason or "operator", allowed)
        )

    return _replied(reconciler, reconciler.amend("operator freeze", change))


def unfreeze(reconciler: Reconciler, request: Mapping[str, Any]) -> Reply:
    """End every freeze and reconcile: one look, so that nothing older than what it sees is sent before.

    A new environment whose proxies are another stack's needs `adopt`.
    """
    adopt = _option(request, "adopt", bool, default=False)

    def change(state: EnvironmentState, _now: UnixSeconds) -> EnvironmentState:
        if state.first_freeze and not adopt:
            publishers.check(state)
        return thawed(state)

    intent = events.operator("operator unfreeze", adopt=adopt)
    result = reconciler.reconcile(intent, change)
    return _replied(reconciler, result, **publishers.heard(result.after))


def rollback(reconciler: Reconciler, request: Mapping[str, Any]) -> Reply:
    """Publish an earlier config as a new generation, and freeze it. It is named by its generation, or by its fence."""
    wanted = _wanted(request)
    seconds = _seconds(request)
    why = _why(f"operator rollback to {wanted}", request)

    def change(state: EnvironmentState, now: UnixSeconds) -> EnvironmentState:
        entry = wanted.among(state)
        _check_stored(reconciler, entry.assignment)
        again = next_change(state, entry.assignment, why, now)
        return replace(
            roll_out(state, again), freeze=Freeze(now + seconds, why, again.generation)
        )

    return _replied(reconciler, reconciler.amend("operator rollback", change))


def diff(reconciler: Reconciler, request: Mapping[str, Any]) -> Reply:
    """What a publication changed against the one before it, or against another one; `against` 0: what is now."""
    wanted = _wanted(request)
    against = _option(request, "against", int) if "against" in request else None
    state = reconciler.read().state
    entry = wanted.among(state)
    former = publications.against(state, entry, against)
    for publication in (former, entry):
        _check_stored(reconciler, publication.assignment)
    proxies = publications.proxies(state, entry.assignment)
    found = changes.explained(
        Store.of(reconciler.clients, reconciler.settings),
        changes.moves(former.assignment, entry.assignment, proxies),
        state.pool,
    )
    answer = answers.publication(entry, former.generation) | {"diff": _shown(found)}
    return Reply(answer, known=instances.of_states(state))


def _wanted(request: Mapping[str, Any]) -> Wanted:
    if "fence" not in request:
        return Wanted("generation", _option(request, "generation", int))
    if "generation" in request:
        raise BadRequest(f"{request['action']} takes generation or fence, not both")
    return Wanted("fence", _option(request, "fence", int))


def _check_stored(reconciler: Reconciler, assignment: Assignment) -> None:
    store = Store.of(reconciler.clients, reconciler.settings)
    for digest in assignment.digests:
        if store.get_config(digest.sha256) is None:
            raise BadRequest(
                f"config {digest.sha256} of that generation is no longer in the bucket"
            )


def _option[T](
    request: Mapping[str, Any], name: str, kind: type[T], default: T | None = None
) -> T:
    value = request.get(name, default)
    if type(value) is not kind:
        raise BadRequest(f"{name} must be {kind.__name__}, not {str(value)[:64]!r}")
    return value


def _seconds(request: Mapping[str, Any]) -> float:
    """The option `minutes`, in seconds."""
    minutes = request.get("minutes", FREEZE_MINUTES)
    is_number = isinstance(minutes, int | float) and not isinstance(minutes, bool)
    if not is_number or not 0 < minutes <= MAX_FREEZE_MINUTES:
        raise BadRequest(
            f"minutes must be a number above 0, at most {MAX_FREEZE_MINUTES}"
        )
    return float(minutes) * SECONDS_PER_MINUTE


def _reason(request: Mapping[str, Any]) -> str:
    return _option(request, "reason", str, "")[:REASON_LENGTH]


def _why(what: str, request: Mapping[str, Any]) -> str:
    """What is written into the history: what was asked, and the reason that was given."""
    reason = _reason(request)
    if reason:
        return f"{what}: {reason}"
    return what


ACTIONS: Mapping[str, Action] = {
    "sync": Action(sync, ("allow_mass_removal", "adopt", "reason")),
    "plan": Action(plan, ("allow_mass_removal",)),
    "check": Action(check, ("id", "proxy")),
    "status": Action(status),
    "diff": Action(diff, ("generation", "fence", "against")),
    "verify": Action(verify),
    "inspect": Action(inspect),
    "freeze": Action(freeze, ("minutes", "reason")),
    "unfreeze": Action(unfreeze, ("adopt",)),
    "rollback": Action(rollback, ("generation", "fence", "minutes", "reason")),
}
