"""Hears what came of a command, and waits for the silent.

An agent sends what each step said and the final status apart, in any order, and lost ones come minutes later. So a
final status without output is believed only after a while, and even then a marker still counts.
"""

from collections.abc import Collection, Iterable
from dataclasses import replace
from types import MappingProxyType

from haproxy_sync.fleet.model import ids
from haproxy_sync.rollout import transitions
from haproxy_sync.rollout.progress import LISTEN_SECONDS
from haproxy_sync.rollout.reports import Report
from haproxy_sync.state.model import (
    Command,
    EnvironmentState,
    UnixSeconds,
    with_targets,
)

type Heard = tuple[EnvironmentState, tuple[Report, ...]]


def hear(
    state: EnvironmentState,
    command: Command,
    reports: Iterable[Report],
    now: UnixSeconds,
) -> Heard:
    """The state after what the service shows of a command in flight, and the reports that count by now."""
    fresh = tuple(report for report in reports if report.instance_id in command.targets)
    listening = _listening(command, fresh, now)
    # Nobody waits for what a command of an older publication has to say.
    patience = LISTEN_SECONDS[-1] if command.generation == state.generation else 0
    waited_for = listening.silent.keys() - listening.silent_for(patience, now)
    believed = tuple(
        report
        for report in fresh
        if report.instance_id not in waited_for or not report.is_silent
    )
    state = state.with_command(command.claim_id, lambda _: listening)
    state = transitions.reported(state, listening, believed, now)
    return replace(
        state, late=_joined(state.late, listening, _silent(believed))
    ), believed


def _silent(reports: Iterable[Report]) -> frozenset[str]:
    return frozenset(report.instance_id for report in reports if report.is_silent)


def hear_late(
    state: EnvironmentState,
    command: Command,
    reports: Iterable[Report],
    now: UnixSeconds,
) -> Heard:
    """The same for a command whose silence was believed: only what the host itself says counts.

    Of an older publication not even that, once it is settled what became of a newer one there.
    """
    heard = [
        report
        for report in reports
        if report.is_heard and report.instance_id in command.targets
    ]
    hosts = ids(heard)
    state = replace(state, late=transitions.still_late(state.late, command, hosts))
    counted = tuple(report for report in heard if _is_news(report, command, state))
    after = transitions.reported(state, command, counted, now)
    return _without_second_failure(state, after, counted), counted


def _is_news(report: Report, command: Command, state: EnvironmentState) -> bool:
    observed = state.proxy_state(report.instance_id)
    return observed.observed_generation <= command.generation


def _without_second_failure(
    before: EnvironmentState, after: EnvironmentState, counted: tuple[Report, ...]
) -> EnvironmentState:
    """Its silence was counted as a failure already: what it says of the same command is not another one."""
    states = dict(after.proxy_states)
    for report in counted:
        key = report.instance_id
        attempts = min(
            before.proxy_state(key).attempts, after.proxy_state(key).attempts
        )
        states[key] = replace(after.proxy_state(key), attempts=attempts)
    return replace(after, proxy_states=MappingProxyType(states))


def _listening(
    command: Command, reports: tuple[Report, ...], now: UnixSeconds
) -> Command:
    """The command that remembers since when each target is silent."""
    silent = dict.fromkeys(_silent(reports), now)
    return replace(command, silent=MappingProxyType(silent | dict(command.silent)))


def _joined(
    late: tuple[Command, ...], command: Command, failed: Collection[str]
) -> tuple[Command, ...]:
    """With those targets of the command that have just failed by their silence: one entry per command."""
    entry = command.without(set(command.targets).difference(failed))
    before = {each.claim_id: each for each in late}
    if command.claim_id in before:
        entry = _merged(before[command.claim_id], entry)
    return with_targets((before | {entry.claim_id: entry}).values())


def _merged(before: Command, entry: Command) -> Command:
    return replace(
        before,
        targets=(*before.targets, *entry.targets),
        silent=MappingProxyType({**before.silent, **entry.silent}),
    )
