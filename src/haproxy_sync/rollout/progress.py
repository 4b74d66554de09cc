"""How far the rollout is, as changes of the state: what was claimed, sent, reported, given up.

A proxy is settled when it proved its digest running and no older command can still reach it.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType

from haproxy_sync.rollout.reports import Report
from haproxy_sync.state.model import APPLIED, BROKEN, Command, EnvironmentState, Outcome, ProxyState

VOID_SECONDS = 75  # a claim without command id is void then: longer than the function may run (F10, F11)
HARMLESS = APPLIED | {Outcome.NOT_TRIED}
OFFLINE = ", agent-offline"
STALL_SECONDS = 15  # an agent that is well takes a command within a second or two
LOST_SECONDS = 3600  # a command nobody reports on is given up then
# When to look for output that a final status came without; at the last of these its absence is believed.
LISTEN_SECONDS = (1, 3, 7, 15, 30)
LATE_SECONDS = 600  # longer than an agent takes to send again what got lost


def claim(state: EnvironmentState, claims: tuple[Command, ...], now: float) -> EnvironmentState:
    """The state that says so before anything is sent: whoever reads it next keeps off."""
    states = dict(state.proxy_states)
    for command in claims:
        for target in command.targets:
            states[target] = replace(state.proxy_state(target), sent_generation=command.generation, sent_at=now)
    return replace(state, commands=(*state.commands, *claims), proxy_states=MappingProxyType(states))


def merge_sent(state: EnvironmentState, sent: Mapping[str, Command | None]) -> EnvironmentState:
    """Each claim replaced by the command it became (None: nothing was sent); a claim that is gone stays gone."""
    states, commands = dict(state.proxy_states), []
    for claim in state.commands:
        command = sent.get(claim.claim, claim)
        commands += [command] if command else []
        for target in set(claim.targets).difference(command.targets if command else ()):
            states[target] = replace(state.proxy_state(target), sent_at=0.0)  # it had its turn on paper only
    return replace(state, commands=tuple(commands), proxy_states=MappingProxyType(states))


def absorb(state: EnvironmentState, command: Command, reports: Iterable[Report], now: float) -> EnvironmentState:
    """The state after proxies reported on the command; each report counts once."""
    fresh = [report for report in reports if report.instance_id in command.targets]
    states = {
        report.instance_id: _after(state.proxy_state(report.instance_id), command, report, now) for report in fresh
    }
    reported = {report.instance_id for report in fresh}
    heard = {report.instance_id for report in fresh if report.is_heard}
    commands = tuple(_without(each, reported) if each.claim == command.claim else each for each in state.commands)
    state = replace(
        state,
        proxy_states=MappingProxyType({**state.proxy_states, **states}),
        commands=tuple(each for each in commands if each.targets),
        late=_after_word(state.late, command, heard),
    )
    is_behind = any(report.outcome is Outcome.SUPERSEDED for report in fresh)
    return _overtake(state) if is_behind and command.generation == _generation(state) else state


def hear(
    state: EnvironmentState, command: Command, reports: Iterable[Report], now: float
) -> tuple[EnvironmentState, tuple[Report, ...]]:
    """The state after what the service shows of a command, and the reports that count by now.

    Who is silent is remembered, and believed to have failed only after a while; even then a marker still counts.
    Nobody waits for what a command of an older publication has to say.
    """
    patience = LISTEN_SECONDS[-1] if command.generation == _generation(state) else 0
    fresh = tuple(report for report in reports if report.instance_id in command.targets)
    silent = {report.instance_id: now for report in fresh if report.is_silent} | dict(command.silent)
    known = replace(command, silent=MappingProxyType(silent))
    given_up = _unheard_for(known, patience, now)
    believed = tuple(report for report in fresh if not report.is_silent or report.instance_id in given_up)
    commands = tuple(known if each.claim == command.claim else each for each in state.commands)
    state = absorb(replace(state, commands=commands), known, believed, now)
    failed = {report.instance_id for report in believed if report.is_silent}
    return replace(state, late=_joined(state.late, known, failed)), believed


def hear_late(
    state: EnvironmentState, command: Command, reports: Iterable[Report], now: float
) -> tuple[EnvironmentState, tuple[Report, ...]]:
    """The same for a command whose silence was believed: only what the host itself says counts.

    Of an older publication not even that, once it is known what became of a newer one there.
    """
    said = [report for report in reports if report.is_heard and report.instance_id in command.targets]
    heard = tuple(each for each in said if state.proxy_state(each.instance_id).generation <= command.generation)
    state = replace(state, late=_after_word(state.late, command, {report.instance_id for report in said}))
    attempts = {report.instance_id: state.proxy_state(report.instance_id).attempts for report in heard}
    state = absorb(state, command, heard, now)
    # It was counted as a failure already: it is not another one.
    again = {
        key: replace(state.proxy_state(key), attempts=min(attempts[key], state.proxy_state(key).attempts))
        for key in attempts
    }
    return replace(state, proxy_states=MappingProxyType({**state.proxy_states, **again})), heard


def listen_again_at(state: EnvironmentState, now: float) -> float | None:
    """When to look again for what the silent have to say."""
    silences = (since for command in state.commands for since in command.silent.values())
    times = (since + seconds for since in silences for seconds in LISTEN_SECONDS)
    return min((time for time in times if time > now), default=None)


def _joined(late: tuple[Command, ...], command: Command, failed: Collection[str]) -> tuple[Command, ...]:
    """With those targets of the command that have just failed by their silence: one entry per command."""
    entry = _without(command, set(command.targets).difference(failed))
    for before in late:
        if before.claim == command.claim:
            silent = MappingProxyType({**before.silent, **entry.silent})
            entry = replace(before, targets=(*before.targets, *entry.targets), silent=silent)
    others = tuple(each for each in late if each.claim != command.claim)
    return (*others, entry) if entry.targets else others


def _after_word(late: tuple[Command, ...], command: Command, heard: Collection[str]) -> tuple[Command, ...]:
    """Those that are listened for after hosts said something of the command: of an older one it is old news now."""
    left = (_without(each, heard) if each.claimed_at <= command.claimed_at else each for each in late)
    return tuple(each for each in left if each.targets)


def _all_without(commands: Iterable[Command], gone: Collection[str]) -> tuple[Command, ...]:
    """The commands that have other targets left."""
    return tuple(left for left in (_without(command, gone) for command in commands) if left.targets)


def _without(command: Command, gone: Collection[str]) -> Command:
    silent = {target: since for target, since in command.silent.items() if target not in gone}
    targets = tuple(target for target in command.targets if target not in gone)
    return replace(command, targets=targets, silent=MappingProxyType(silent))


def _overtake(state: EnvironmentState) -> EnvironmentState:
    """A host knows a higher number than we gave, so the state was lost once: publish the same under a new one."""
    publication, freeze = state.publication, state.freeze
    if publication and freeze and freeze.generation == publication.generation:
        freeze = replace(freeze, generation=state.generation)
    return replace(state, publication=publication and replace(publication, generation=state.generation), freeze=freeze)


def _generation(state: EnvironmentState) -> int:
    return state.publication.generation if state.publication else 0


def _after(proxy_state: ProxyState, command: Command, report: Report, now: float) -> ProxyState:
    """The proxy's proxy_state after the report; what it did not say stays as it was known."""
    is_answered = report.is_heard or report.outcome in BROKEN
    is_unproven = _is_unproven(command, report)
    return replace(
        proxy_state,
        outcome=report.outcome,
        reason="unproven" if is_unproven else report.reason,
        detail=report.detail,
        generation=command.generation if is_answered else proxy_state.generation,
        installed=report.installed if report.is_heard else proxy_state.installed,
        running=report.running if report.is_heard else proxy_state.running,
        backup=report.backup or proxy_state.backup,
        method=report.method or proxy_state.method,
        at=now,
        attempts=0 if report.outcome in HARMLESS and not is_unproven else proxy_state.attempts + 1,
        failed_generation=_failed_generation(proxy_state, command, report),
    )


def _failed_generation(proxy_state: ProxyState, command: Command, report: Report) -> int:
    """Kept until the proxy itself succeeds: that it cannot be reached meanwhile says nothing new about the config."""
    if report.outcome in BROKEN or _is_unproven(command, report):
        return command.generation
    return 0 if report.outcome in APPLIED else proxy_state.failed_generation


def _is_unproven(command: Command, report: Report) -> bool:
    """A success that nothing runs to prove; a HAProxy that somebody stopped cannot prove anything (F68, F90)."""
    return report.outcome in APPLIED - {Outcome.NOT_RUNNING} and report.running != command.digest.md5


def note_stalled(state: EnvironmentState, command: Command, taken: bool, now: float) -> EnvironmentState:  # noqa: FBT001 # one fact
    """A command that no agent has taken for long: it stays in flight for its own proxies, nobody else waits for it."""
    is_stalled = not taken and now - command.claimed_at >= STALL_SECONDS
    commands = (
        replace(each, is_stalled=is_stalled) if each.claim == command.claim else each for each in state.commands
    )
    return replace(state, commands=tuple(commands))


def give_up(state: EnvironmentState, now: float) -> EnvironmentState:
    """Without void claims and without commands that nobody will report on any more."""
    late = (_without(command, _unheard_for(command, LATE_SECONDS, now)) for command in state.late)
    state = replace(state, late=tuple(command for command in late if command.targets))
    for command in state.commands:
        age = now - command.claimed_at
        if not command.command_id and age >= VOID_SECONDS:
            state = replace(state, commands=tuple(each for each in state.commands if each is not command))
        elif age >= LOST_SECONDS:
            lost = (Report(target, Outcome.MISSING, "no-report") for target in command.targets)
            state = absorb(state, command, lost, now)
    return state


def _unheard_for(command: Command, seconds: float, now: float) -> Collection[str]:
    """The command's targets that have been silent for so long."""
    return {target for target, since in command.silent.items() if since + seconds <= now}


def forget_gone(state: EnvironmentState) -> EnvironmentState:
    """Without proxies that the last look no longer has: gone, not failed (F66)."""
    present = {proxy.instance_id for proxy in state.proxies}
    gone = {*state.proxy_states, *state.in_flight} - present
    return replace(
        state,
        proxy_states=MappingProxyType(
            {key: proxy_state for key, proxy_state in state.proxy_states.items() if key in present}
        ),
        commands=_all_without(state.commands, gone),
        late=_all_without(state.late, gone),
    )


def note_unreachable(state: EnvironmentState, instance_ids: Iterable[str]) -> EnvironmentState:
    """Proxies that should get a command and cannot are `missing`, by name (F53, F55)."""
    missing = {each: _unreachable(state, state.proxy_state(each)) for each in instance_ids}
    return replace(state, proxy_states=MappingProxyType({**state.proxy_states, **missing}))


def _unreachable(state: EnvironmentState, proxy_state: ProxyState) -> ProxyState:
    if has_failed(state, proxy_state):  # what it failed with is what people want to know
        return replace(proxy_state, reason=f"{proxy_state.reason.removesuffix(OFFLINE)}{OFFLINE}")
    return replace(proxy_state, outcome=Outcome.MISSING, reason="agent-offline", attempts=0)


def has_failed(state: EnvironmentState, proxy_state: ProxyState) -> bool:
    """Whether it tried what is published and did not succeed since."""
    return bool(proxy_state.failed_generation) and proxy_state.failed_generation == _generation(state)


def is_settled(state: EnvironmentState, instance_id: str) -> bool:
    """Whether the proxy has what is published, and nothing older can still arrive there."""
    proxy_state = state.proxy_state(instance_id)
    desired = state.publication.assignment[instance_id] if state.publication else None
    if not desired or proxy_state.outcome not in APPLIED or proxy_state.generation < proxy_state.sent_generation:
        return False
    # HAProxy was stopped by somebody: the file is there, and nothing runs that could prove it (F90).
    proof = proxy_state.installed if proxy_state.outcome is Outcome.NOT_RUNNING else proxy_state.running
    return proof == desired.md5


def proven_by(state: EnvironmentState) -> str:
    """A proxy that runs what is published, so that the others may have it too; empty while there is none.

    Who has a config of its own proves it only by what it did since: the others' were never tried.
    """
    publication = state.publication
    if not publication:
        return ""
    for proxy in state.proxies:
        proxy_state, desired = state.proxy_state(proxy.instance_id), publication.assignment[proxy.instance_id]
        is_tried = publication.assignment.shared is not None or proxy_state.generation == publication.generation
        if desired and is_tried and proxy_state.running == desired.md5 and is_settled(state, proxy.instance_id):
            return proxy.instance_id
    return ""


def is_converged(state: EnvironmentState) -> bool:
    """Whether every proxy has the config of the last look."""
    is_current = not (state.hold or state.is_frozen or state.template_error or state.held_back)
    return is_current and bool(state.proxies) and all(is_settled(state, proxy.instance_id) for proxy in state.proxies)
