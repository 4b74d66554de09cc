"""How far the rollout is, as changes of the pointer: what was claimed, sent, reported, given up.

A proxy is settled when it proved its digest running and no older command can still reach it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType

from haproxy_sync.pointer import APPLIED, BROKEN, Command, Outcome, Pointer, ProxyState, Publication
from haproxy_sync.report import Report

VOID_SECONDS = 75  # a claim without command id is void then: longer than the function may run (F10, F11)
LOST_SECONDS = 3600  # a command nobody reports on is given up then


def claim(pointer: Pointer, claims: tuple[Command, ...], now: float) -> Pointer:
    """The pointer that says so before anything is sent: whoever reads it next keeps off."""
    states = dict(pointer.states)
    for command in claims:
        for target in command.targets:
            states[target] = replace(pointer.state(target), sent_generation=command.generation, sent_at=now)
    return replace(pointer, commands=(*pointer.commands, *claims), states=MappingProxyType(states))


def merge_sent(pointer: Pointer, sent: Mapping[str, tuple[Command, ...]]) -> Pointer:
    """Each claim replaced by the commands it became (none: nothing was sent); a claim that is gone stays gone."""
    commands: list[Command] = []
    for command in pointer.commands:
        commands += sent.get(command.claim, (command,))
    return replace(pointer, commands=tuple(commands))


def absorb(pointer: Pointer, command: Command, reports: Iterable[Report], now: float) -> Pointer:
    """The pointer after proxies reported on the command; each report counts once."""
    fresh = [report for report in reports if report.instance_id in command.targets]
    states = {report.instance_id: _after(pointer.state(report.instance_id), command, report, now) for report in fresh}
    reported = {report.instance_id for report in fresh}
    rest = replace(command, targets=tuple(target for target in command.targets if target not in reported))
    commands = tuple(rest if each.claim == command.claim else each for each in pointer.commands)
    return replace(
        pointer,
        publication=_learnt(pointer, command, fresh),
        states=MappingProxyType({**pointer.states, **states}),
        commands=tuple(each for each in commands if each.targets),
    )


def _learnt(pointer: Pointer, command: Command, reports: list[Report]) -> Publication | None:
    """What the reports say about the publication itself."""
    publication = pointer.publication
    if not publication or command.generation != publication.generation:
        return publication
    proofs = [report.instance_id for report in reports if report.running == command.digest.md5]
    if proofs and not publication.proven_by:
        publication = replace(publication, proven_by=proofs[0])
    if any(report.outcome is Outcome.SUPERSEDED for report in reports):
        # A host knows a higher number than we gave, so the pointer was lost once: overtake it.
        publication = replace(publication, generation=pointer.generation)
    return publication


def _after(state: ProxyState, command: Command, report: Report, now: float) -> ProxyState:
    """The proxy's state after the report; what it did not say stays as it was known."""
    is_answered = report.is_heard or report.outcome in BROKEN
    return replace(
        state,
        outcome=report.outcome,
        reason=report.reason,
        detail=report.detail,
        generation=command.generation if is_answered else state.generation,
        installed=report.installed if report.is_heard else state.installed,
        running=report.running if report.is_heard else state.running,
        backup=report.backup or state.backup,
        method=report.method or state.method,
        at=now,
        attempts=0 if report.outcome in APPLIED | {Outcome.NOT_TRIED} else state.attempts + 1,
    )


def give_up(pointer: Pointer, now: float) -> Pointer:
    """Without void claims and without commands that nobody will report on any more."""
    for command in pointer.commands:
        age = now - command.claimed_at
        if not command.command_id and age >= VOID_SECONDS:
            pointer = replace(pointer, commands=tuple(each for each in pointer.commands if each is not command))
        elif age >= LOST_SECONDS:
            lost = (Report(target, Outcome.MISSING, "no-report") for target in command.targets)
            pointer = absorb(pointer, command, lost, now)
    return pointer


def forget_gone(pointer: Pointer) -> Pointer:
    """Without proxies that the last look no longer has: gone, not failed (F66)."""
    present = {proxy.instance_id for proxy in pointer.proxies}
    commands = (
        replace(command, targets=tuple(target for target in command.targets if target in present))
        for command in pointer.commands
    )
    return replace(
        pointer,
        states=MappingProxyType({key: state for key, state in pointer.states.items() if key in present}),
        commands=tuple(command for command in commands if command.targets),
    )


def note_unreachable(pointer: Pointer, instance_ids: Iterable[str]) -> Pointer:
    """Proxies that should get a command and cannot are `missing`, by name (F53, F55)."""
    missing = {
        each: replace(pointer.state(each), outcome=Outcome.MISSING, reason="agent-offline", attempts=0)
        for each in instance_ids
    }
    return replace(pointer, states=MappingProxyType({**pointer.states, **missing}))


def is_settled(pointer: Pointer, instance_id: str) -> bool:
    """Whether the proxy has what is published, and nothing older can still arrive there."""
    state = pointer.state(instance_id)
    desired = pointer.publication.assignment[instance_id] if pointer.publication else None
    if not desired or state.outcome not in APPLIED or state.generation < state.sent_generation:
        return False
    # HAProxy was stopped by somebody: the file is there, and nothing runs that could prove it (F90).
    proof = state.installed if state.outcome is Outcome.NOT_RUNNING else state.running
    return proof == desired.md5


def is_converged(pointer: Pointer) -> bool:
    """Whether every proxy has the config of the last look."""
    is_current = not (pointer.hold or pointer.freeze or pointer.template_error)
    return (
        is_current
        and bool(pointer.proxies)
        and all(is_settled(pointer, proxy.instance_id) for proxy in pointer.proxies)
    )
