"""What changes a state on its way from published to proven everywhere: each function gives the state afterwards."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import Any

from haproxy_sync.fleet.model import Backend, by_id
from haproxy_sync.rollout import ownership, serving
from haproxy_sync.rollout.agents import Finding, findings
from haproxy_sync.rollout.limits import VOID_SECONDS
from haproxy_sync.rollout.progress import Progress, ProxyProgress
from haproxy_sync.rollout.reports import NO_REPORT, Report
from haproxy_sync.state import history
from haproxy_sync.state.model import (
    APPLIED,
    BROKEN,
    Agent,
    Assignment,
    Change,
    Command,
    EnvironmentState,
    Outcome,
    ProxyState,
    Publication,
    Refusal,
    UnixSeconds,
    with_targets,
    without,
    without_targets,
)

STALL_SECONDS = 15  # an agent that is well takes a command within a second or two
LOST_SECONDS = 1800  # a command nobody reports on is given up then: two downloads that hang have failed before
LATE_SECONDS = 600  # longer than an agent takes to send again what got lost
# Between two tries of a document that is not ours, or takes no command: it is so for the seconds of a deploy.
REFUSED_SECONDS = 5.0
MAX_REFUSED_SECONDS = 60.0
# After these nothing is counted against the proxy.
HARMLESS = APPLIED | {Outcome.NOT_TRIED}
NEVER_HEARD_OF = Agent("", "unknown", 0.0)


def next_revision(
    previous: EnvironmentState, now: UnixSeconds, writer: str
) -> EnvironmentState:
    """The state that this invocation writes next: what is over by now is gone.

    Every write gets a higher revision, so two states never have equal bytes and an ETag is never seen twice.
    """
    return replace(
        previous,
        revision=previous.revision + 1,
        writer=writer,
        freeze=previous.freeze_at(now),
        wake_at=previous.wake_at if previous.wake_at > now else 0.0,
    )


def thawed(state: EnvironmentState) -> EnvironmentState:
    """As if nothing were frozen."""
    return replace(state, freeze=None, first_freeze=False)


def publish(
    state: EnvironmentState,
    assignment: Assignment,
    why: str,
    now: UnixSeconds,
    pool: tuple[Backend, ...],
) -> EnvironmentState:
    """The pool is accepted and its configs are published; the same assignment again is no new generation.

    What is secret in it may be other lines than before.
    """
    accepted = replace(state, backends=pool)
    if state.publication and state.publication.assignment == assignment:
        newest = [replace(each, assignment=assignment) for each in state.history[-1:]]
        marked = accepted.with_publication(assignment=assignment)
        return replace(marked, history=(*state.history[:-1], *newest))
    return roll_out(accepted, _change(state, assignment, why, now, pool))


def _change(
    state: EnvironmentState,
    assignment: Assignment,
    why: str,
    now: UnixSeconds,
    pool: tuple[Backend, ...],
) -> Change:
    servers = changed_servers(state.pool, pool)
    return replace(
        next_change(state, assignment, why, now),
        added=servers.added,
        removed=servers.removed,
        changed=servers.changed,
    )


@dataclass(frozen=True, slots=True)
class ChangedServers:
    """The instances that differ from one pool to another, by id."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]


def changed_servers(
    before: tuple[Backend, ...], after: tuple[Backend, ...]
) -> ChangedServers:
    """Who joins, who leaves, and whose address, port or options change."""
    old, new = by_id(before), by_id(after)
    both = old.keys() & new.keys()
    return ChangedServers(
        added=tuple(sorted(new.keys() - old.keys())),
        removed=tuple(sorted(old.keys() - new.keys())),
        changed=tuple(sorted(key for key in both if new[key] != old[key])),
    )


def next_change(
    state: EnvironmentState, assignment: Assignment, why: str, now: UnixSeconds
) -> Change:
    """The history entry that the assignment gets when it is rolled out as the next generation."""
    return Change(
        generation=state.generation + 1,
        fence=_next_fence(state, now),
        at=now,
        why=why,
        assignment=assignment,
    )


def _next_fence(state: EnvironmentState, now: UnixSeconds) -> int:
    """The clock's seconds, so that a state that was lost starts above what hosts have; never less than one more."""
    return max(state.fence + 1, int(now))


def roll_out(state: EnvironmentState, change: Change) -> EnvironmentState:
    """What the change says is the publication from now on, and is remembered in the history."""
    return replace(
        state,
        publication=Publication(
            generation=change.generation,
            fence=change.fence,
            at=change.at,
            assignment=change.assignment,
            program=state.program,
            begun_generation=_untried_since(state),
        ),
        history=history.extended(state.history, change),
    )


def _untried_since(state: EnvironmentState) -> int:
    """Since when there is a program that no proxy has run yet: what ran before says nothing about it."""
    if state.publication is None or Progress(state).proven_by:
        return 0
    return state.publication.begun_generation


def adopting(state: EnvironmentState, now: UnixSeconds) -> EnvironmentState:
    """The proxies are to be adopted, with a fence above all that another stack gave them by now.

    The generation stays: who failed by the config itself is still the only one that tries it.
    """
    raised = state.with_publication(fence=_next_fence(state, now))
    return ownership.adopting(raised, now)


def overtaken(state: EnvironmentState, now: UnixSeconds) -> EnvironmentState:
    """A host knows a higher fence than we gave, so the state was lost once: publish the same as a new generation."""
    publication = state.publication
    if publication is None:
        return state
    generation = publication.generation + 1
    freeze = state.freeze
    if freeze and freeze.generation == publication.generation:
        freeze = replace(freeze, generation=generation)
    again = replace(publication, generation=generation, fence=_next_fence(state, now))
    return replace(state, publication=again, freeze=freeze)


def begun_anew(
    state: EnvironmentState, program: str, now: UnixSeconds
) -> EnvironmentState:
    """A deploy brought another program: the same is published again, and it is one proxy that tries it first."""
    raised = overtaken(state, now)
    return raised.with_publication(
        document=None, program=program, begun_generation=raised.generation
    )


def unpinned(state: EnvironmentState) -> EnvironmentState:
    """The next command asks for the document's newest version; which program was sent last is still known."""
    return state.with_publication(document=None, program=state.program)


def unrefused(state: EnvironmentState) -> EnvironmentState:
    """Without a refusal, and without the words in which it was told."""
    if state.refusal is None:
        return state
    return replace(state, refusal=None, send_failure=None)


def unrefused_before(state: EnvironmentState, program: str) -> EnvironmentState:
    """Without a refusal that was about another program."""
    if state.refusal is None or state.refusal.program == program:
        return state
    return unrefused(state)


def refused(
    state: EnvironmentState, program: str, reason: str, now: UnixSeconds
) -> EnvironmentState:
    """It counts from the first time on; the next try has as long again as it has had."""
    since = state.refusal.since if state.refusal else now
    patience = min(max(now - since, REFUSED_SECONDS), MAX_REFUSED_SECONDS)
    return replace(state, refusal=Refusal(since, now + patience, program, reason))


def learned(state: EnvironmentState, agents: Mapping[str, Agent]) -> EnvironmentState:
    """What Run Command says of some agents is known; as it is where nothing was asked."""
    if not agents:
        return state
    dated = {key: _dated(each, state.agents.get(key)) for key, each in agents.items()}
    known = MappingProxyType({**state.agents, **dated})
    return replace(state, agents=known, agents_failure=None)


def _dated(agent: Agent, before: Agent | None) -> Agent:
    """Since when it is as it is."""
    is_same = before is not None and before.ping == agent.ping
    since = before.since if before and is_same else 0.0
    return replace(agent, since=since or agent.at)


def claimed(
    state: EnvironmentState, claims: tuple[Command, ...], now: UnixSeconds
) -> EnvironmentState:
    """The claims are put before anything is sent, so that no other run sends them too."""
    after = replace(state, commands=(*state.commands, *claims))
    for command in claims:
        mark = partial(replace, sent_generation=command.generation, sent_at=now)
        after = after.with_each_proxy_state(command.targets, mark)
    return after


def sent(
    state: EnvironmentState,
    by_claim: Mapping[str, Command | None],
    before: EnvironmentState,
) -> EnvironmentState:
    """Each claim became the command it was sent as (None: nothing was sent); a claim that is gone stays gone.

    `before` is the state that had no claims yet: who is left out is as it was there.
    """
    sent_as = (by_claim.get(each.claim_id, each) for each in state.commands)
    commands = tuple(filter(None, sent_as))
    left_out = state.proxies_in_flight.difference(
        *(command.targets for command in commands)
    )
    # Their place in the wave was on paper only: they need not wait for any spacing.
    unsent = {
        key: _unsent(state.proxy_state(key), before.proxy_state(key))
        for key in left_out
    }
    return replace(state.with_proxy_states(unsent), commands=commands)


def _unsent(claimed_for: ProxyState, before: ProxyState) -> ProxyState:
    """What is known of a proxy whose claim came to nothing."""
    return replace(
        claimed_for, sent_generation=before.sent_generation, sent_at=before.sent_at
    )


def reported(
    state: EnvironmentState,
    command: Command,
    reports: Iterable[Report],
    now: UnixSeconds,
) -> EnvironmentState:
    """Proxies reported on the command; each report counts once, and who has reported is no target any more."""
    fresh = {
        report.instance_id: report
        for report in reports
        if report.instance_id in command.targets
    }
    states = {
        key: ownership.heard(
            _observed(state.proxy_state(key), command, report, now),
            report,
            state.publisher,
            command.claimed_at,
        )
        for key, report in fresh.items()
    }
    heard = frozenset(key for key, report in fresh.items() if report.is_heard)
    after = replace(
        state.with_proxy_states(states),
        late=still_late(state.late, command, heard),
    )
    after = after.with_command(command.claim_id, lambda each: each.without(fresh))
    is_behind = Outcome.SUPERSEDED in {report.outcome for report in fresh.values()}
    if is_behind and command.generation == state.generation:
        return overtaken(after, now)
    return after


def still_late(
    late: tuple[Command, ...], command: Command, hosts: frozenset[str]
) -> tuple[Command, ...]:
    """The late commands once those hosts were heard on a command: what an older one brings is old news there now."""
    return with_targets(
        each.without(hosts) if each.claimed_at <= command.claimed_at else each
        for each in late
    )


def _observed(
    before: ProxyState, command: Command, report: Report, now: UnixSeconds
) -> ProxyState:
    """What is known of the proxy after the report; what it did not say stays as it was."""
    is_unproven = _is_unproven(command, report)
    failed_generation = _failed_generation(before, command, report)
    after = replace(
        before,
        outcome=report.outcome,
        outcome_since=_since(before, report.outcome, now),
        reason="unproven" if is_unproven else report.reason,
        detail=report.detail,
        backup=report.backup or before.backup,
        **_last_change(before, report),
        at=now,
        attempts=before.attempts + 1,
        failed_generation=failed_generation,
        failed_since=(before.failed_since or now) if failed_generation else 0.0,
    )
    if report.is_heard or report.outcome in BROKEN:
        after = replace(after, observed_generation=command.generation)
    if report.is_heard:
        after = replace(after, installed=report.installed, running=report.running)
    if report.outcome in HARMLESS and not is_unproven:
        after = replace(after, attempts=0)
    return serving.heard(after, report, command, now)


def _last_change(before: ProxyState, report: Report) -> dict[str, Any]:
    """What there is to say of the last change: whatever changed nothing lets it not be forgotten.

    Empty where the report that would have said so got lost.
    """
    if _has_changed(before, report):
        return {
            "method": report.method,
            "notes": report.notes,
            "window_ms": report.window_ms,
        }
    if _is_other_file(before, report):
        return {"method": "", "notes": (), "window_ms": 0}
    return {}


def _has_changed(before: ProxyState, report: Report) -> bool:
    if report.outcome is Outcome.NOT_RUNNING and _is_other_file(before, report):
        return True
    is_success = report.outcome in {Outcome.INSTALLED, Outcome.REPAIRED}
    return is_success or report.method not in {"", "none"}


def _is_other_file(before: ProxyState, report: Report) -> bool:
    return report.is_heard and report.installed != before.installed


def _since(before: ProxyState, outcome: Outcome, now: UnixSeconds) -> UnixSeconds:
    """Since when that is its outcome, whatever the reason."""
    is_same = before.outcome is outcome
    return before.outcome_since or before.at if is_same else now


def _failed_generation(before: ProxyState, command: Command, report: Report) -> int:
    """Kept until the proxy itself succeeds: that it cannot be reached meanwhile says nothing new about the config."""
    if report.outcome in BROKEN or _is_unproven(command, report):
        return command.generation
    if report.outcome in APPLIED:
        return 0
    return before.failed_generation


def _is_unproven(command: Command, report: Report) -> bool:
    """A success that nothing runs to prove; a HAProxy that somebody stopped cannot prove anything."""
    return (
        report.outcome in APPLIED - {Outcome.NOT_RUNNING}
        and report.running != command.digest.md5
    )


def is_slow(command: Command, now: UnixSeconds) -> bool:
    """Whether an agent that is well would have taken it by now."""
    return _is_over(command, STALL_SECONDS, now)


def is_undelivered(command: Command, now: UnixSeconds) -> bool:
    """Whether the service does not deliver it any more; it may say so only an hour or two later."""
    return 0 < command.deliver_by <= now - STALL_SECONDS


def given_up(state: EnvironmentState, now: UnixSeconds) -> EnvironmentState:
    """Without void claims and without commands that nobody will report on any more."""
    late = (
        command.without(command.silent_for(LATE_SECONDS, now)) for command in state.late
    )
    commands = [command for command in state.commands if not _is_void(command, now)]
    after = replace(
        state,
        late=with_targets(late),
        commands=tuple(commands),
    )
    for command in commands:
        if _is_over(command, LOST_SECONDS, now):
            after = reported(after, command, map(_lost, command.targets), now)
    return after


def _is_void(command: Command, now: UnixSeconds) -> bool:
    return not command.command_id and _is_over(command, VOID_SECONDS, now)


def _lost(instance_id: str) -> Report:
    return Report(instance_id, Outcome.UNKNOWN, NO_REPORT)


def _is_over(command: Command, seconds: float, now: UnixSeconds) -> bool:
    return now - command.claimed_at >= seconds


def forgotten(state: EnvironmentState) -> EnvironmentState:
    """Without proxies that the last look no longer has: they are gone, they did not fail."""
    known = {*state.proxy_states, *state.proxies_in_flight, *state.agents}
    gone = known.difference(state.proxy_ids)
    return replace(
        state,
        agents=without(state.agents, gone),
        proxy_states=without(state.proxy_states, gone),
        commands=without_targets(state.commands, gone),
        late=without_targets(state.late, gone),
        inspecting=without_targets(state.inspecting, gone),
    )


def unreachable(
    state: EnvironmentState, instance_ids: Iterable[str], now: UnixSeconds
) -> EnvironmentState:
    """Proxies that should get a command and cannot are `missing`, by name."""
    for instance_id in instance_ids:
        proxy = Progress(state).proxy(instance_id)
        finding = _whereabouts(state, instance_id)
        state = _noted(state, proxy, Outcome.MISSING, str(finding), now)
    return state


def _whereabouts(state: EnvironmentState, instance_id: str) -> Finding:
    """Whether the agent is away, or was never there."""
    return findings(state.agents.get(instance_id, NEVER_HEARD_OF))[0]


def overdue(
    state: EnvironmentState, instance_id: str, reason: str, now: UnixSeconds
) -> EnvironmentState:
    """The proxy is at work for longer than it may be, and has its command still: `unknown`, for that reason."""
    proxy = Progress(state).proxy(instance_id)
    return _noted(state, proxy, Outcome.UNKNOWN, reason, now)


def _noted(
    state: EnvironmentState,
    proxy: ProxyProgress,
    outcome: Outcome,
    reason: str,
    now: UnixSeconds,
) -> EnvironmentState:
    """With what is known of a proxy that says nothing itself."""
    observed = proxy.state
    if proxy.has_failed:  # what it failed with is what people want to know
        word = observed.reason.partition(", ")[0]
        noted = replace(observed, reason=f"{word}, {reason}")
    else:
        # It was not tried, so it is due at once when its agent is back.
        noted = replace(
            observed,
            outcome=outcome,
            outcome_since=_since(observed, outcome, now),
            reason=reason,
            attempts=0,
        )
    return state.with_proxy_states({proxy.instance_id: noted})
