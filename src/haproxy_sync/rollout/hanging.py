"""Targets that work on a command for longer than they may, and those that no agent has taken in time.

A download that S3 does not answer keeps a command in progress for 770 s, twice that for both, and a cancel is ignored
(measured on the agent). So nobody else waits for it, and it stays in flight: what the host says at last still counts.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from haproxy_sync.rollout import transitions
from haproxy_sync.rollout.progress import WORK_SECONDS
from haproxy_sync.rollout.reports import (
    DELIVERY_TIMED_OUT,
    DOWNLOAD_HANGING,
    DOWNLOADS,
    NO_REPORT,
    Report,
    awaits_download,
)
from haproxy_sync.state.model import Command, EnvironmentState, Outcome, UnixSeconds

WAITING = frozenset({"Pending", "Delayed"})  # no agent has taken it yet
IN_RAMP = "Pending"  # detail of a target whose turn has not come; "Delayed" is one whose agent is away
# Of a target that hangs, by whether its downloads are under way.
HANGING = {True: DOWNLOAD_HANGING, False: NO_REPORT}

type Invocations = Iterable[Mapping[str, Any]]


def explained(
    command: Command, reports: Iterable[Report], now: UnixSeconds
) -> tuple[Report, ...]:
    """The reports, where those of targets that hung, or were never heard of, say so: nothing of it is proof."""
    hanging = command.at_work_for(WORK_SECONDS, now)
    return tuple(
        _explained(report, hanging, command.at_work.keys()) for report in reports
    )


def _explained(
    report: Report, hanging: Collection[str], taken: Collection[str]
) -> Report:
    if report.instance_id in hanging and report.reason in DOWNLOADS.values():
        return replace(report, outcome=Outcome.UNKNOWN, reason=DOWNLOAD_HANGING)
    if report.instance_id in taken and report.reason == DELIVERY_TIMED_OUT:
        return replace(report, outcome=Outcome.UNKNOWN, reason=NO_REPORT)
    return report


def judged(
    state: EnvironmentState,
    command: Command,
    invocations: Invocations,
    silent: Collection[str],
    now: UnixSeconds,
) -> tuple[EnvironmentState, tuple[Report, ...]]:
    """The state that knows who works on the command, who hangs and whether others wait; reports of who never got it.

    `command` has the targets that have not reported, `silent` those whose final status is there.
    """
    left = frozenset(command.targets).difference(silent)
    shown = {each["InstanceId"]: each for each in invocations}
    waiting = frozenset(
        key for key in left & shown.keys() if str(shown[key].get("Status")) in WAITING
    )
    # One that is not listed may have it all the same.
    at_work = left - waiting
    since = {key: command.at_work.get(key, now) for key in at_work}
    command = replace(command, at_work=MappingProxyType(since))
    hanging = command.at_work_for(WORK_SECONDS, now)
    is_idle = hanging | waiting == left != frozenset()
    is_stalled = is_idle and (hanging or transitions.is_slow(command, now))
    state = state.with_command(
        command.claim_id,
        lambda each: replace(
            each, at_work=command.at_work, is_stalled=bool(is_stalled)
        ),
    )
    downloading = {key for key in hanging & shown.keys() if awaits_download(shown[key])}
    for key in sorted(hanging):
        reason = HANGING[key in downloading]
        state = transitions.overdue(state, key, reason, now)
    reports = _released(command, waiting, shown, now) if is_idle else ()
    return transitions.reported(state, command, reports, now), reports


def _released(
    command: Command,
    waiting: Collection[str],
    shown: Mapping[str, Mapping[str, Any]],
    now: UnixSeconds,
) -> tuple[Report, ...]:
    """Who gets another command: those whose turn does not come, and those whom nobody brings it any more."""
    if command.at_work:
        is_next = {key: shown[key]["StatusDetails"] == IN_RAMP for key in waiting}
        behind = filter(is_next.__getitem__, waiting)
        return _reports(behind, Outcome.NOT_TRIED, "behind-others")
    if transitions.is_undelivered(command, now):
        return _reports(waiting, Outcome.MISSING, DELIVERY_TIMED_OUT)
    return ()


def _reports(
    instance_ids: Iterable[str], outcome: Outcome, reason: str
) -> tuple[Report, ...]:
    return tuple(Report(key, outcome, reason) for key in sorted(instance_ids))
