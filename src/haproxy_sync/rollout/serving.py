"""What a host said last of its HAProxy, by any command: the newest command's word stays."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from math import inf
from types import MappingProxyType

from haproxy_sync.rollout.reports import Report
from haproxy_sync.state.model import (
    BackendServers,
    Command,
    HandEdit,
    HAProxy,
    Outcome,
    ProxyState,
    Serving,
    UnixSeconds,
    Watched,
)

HAND_EDIT = "hand-edit"  # the host's reason of a repair


def heard(
    before: ProxyState, report: Report, command: Command, now: UnixSeconds
) -> ProxyState:
    """What is known of the proxy after a report on a command.

    A run that does not say how HAProxy is (an earlier release, one that ended before it looked) leaves the word of
    before as it is, with its age.
    """
    after = _with_serving(before, report, command, now)
    return _with_hand_edit(after, report, command.claimed_at, now)


def _with_serving(
    before: ProxyState, report: Report, command: Command, now: UnixSeconds
) -> ProxyState:
    if not report.haproxy or before.serving.claimed_at > command.claimed_at:
        return before
    told = Serving(
        at=now,
        haproxy=report.haproxy,
        # A run that has nothing to do does not ask for it.
        haproxy_version=report.haproxy_version or before.serving.haproxy_version,
        style=report.style or before.serving.style,
        old_workers=report.old_workers,
        notes=report.notes,
        backends=report.backends,
        more_backends=report.more_backends,
        since=_since(before.serving, report, now),
        mute_since=_mute_since(before.serving, report, now),
        weak_since=_weak_since(before.serving, report, now),
        claimed_at=command.claimed_at,
        watched=_watched(command, report),
    )
    return replace(before, serving=told)


def _watched(command: Command, report: Report) -> Mapping[str, Watched]:
    """By endpoint; of those that the host had no room for, or could not ask about, nothing is known."""
    unknown = dict.fromkeys(command.watch, Watched())
    said = zip(command.watch, report.watched, strict=False)
    return MappingProxyType(unknown | dict(said))


def _since(before: Serving, report: Report, now: UnixSeconds) -> UnixSeconds:
    """Since when it is so: from the first word on that said the same of HAProxy and of the backends that are down."""
    was, is_now = ((each.haproxy, dead(each.backends)) for each in (before, report))
    return before.since if was == is_now else now


def _weak_since(before: Serving, report: Report, now: UnixSeconds) -> UnixSeconds:
    """The same of the backends that are weak."""
    was, is_now = weak(before.backends), weak(report.backends)
    return before.weak_since if before.at and was == is_now else now


def _mute_since(before: Serving, report: Report, now: UnixSeconds) -> UnixSeconds:
    """Since when a worker of which nothing else is new does not tell of its servers, though it did before."""
    is_new = report.outcome not in {Outcome.UNCHANGED, Outcome.INSPECTED}
    is_asked_in_vain = (report.haproxy, report.backends) == (HAProxy.RUNNING, None)
    if is_new or not is_asked_in_vain:
        return 0.0
    return now if before.backends is not None else before.mute_since


def dead(backends: Iterable[BackendServers] | None) -> frozenset[str]:
    """The names of those that are."""
    return frozenset(each.name for each in filter(is_dead, backends or ()))


def is_dead(backend: BackendServers) -> bool:
    """Whether it has servers, and not one that is UP."""
    return backend.down > 0 and backend.up == 0


def weak(backends: Iterable[BackendServers] | None) -> frozenset[str]:
    """The names of those that are."""
    return frozenset(each.name for each in filter(is_weak, backends or ()))


def is_weak(backend: BackendServers) -> bool:
    """Whether some of its servers are DOWN, and others UP."""
    return backend.up > 0 and backend.down > 0


def trouble_seconds(told: Serving) -> float:
    """For how long something of what the host said last is down; infinite where nothing is, or it never said."""
    if not _has_trouble(told):
        return inf
    return told.at - max(told.since, told.weak_since)


def _has_trouble(told: Serving) -> bool:
    is_down = dead(told.backends) | weak(told.backends)
    is_stopped = told.haproxy not in {HAProxy.RUNNING, HAProxy.UNKNOWN}
    return is_stopped or is_down != frozenset()


def _with_hand_edit(
    before: ProxyState, report: Report, claimed_at: UnixSeconds, now: UnixSeconds
) -> ProxyState:
    found = report.outcome, report.reason
    is_undone = found == (Outcome.REPAIRED, HAND_EDIT)
    if not is_undone or before.hand_edit.claimed_at > claimed_at:
        return before
    return replace(before, hand_edit=HandEdit(now, report.backup, claimed_at))
