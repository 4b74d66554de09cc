"""Instance refresh: replaces all instances that a group had when it began, a part of them at a time."""

from datetime import datetime, timedelta
from math import ceil

from local.auto_scaling.model import Group, Member, Refresh
from local.auto_scaling.states import TERMINATE, Place, State

STANDBY_SECONDS = 3600
"""How long a refresh waits for instances in Standby to come back."""


def surge(group: Group) -> int:
    """How many more instances than desired a refresh wants now: it launches before it terminates."""
    refresh = group.refresh
    if refresh is None or refresh.status != "InProgress":
        return 0
    return min(_extra(group, refresh), len(_old(group, refresh)))


def _extra(group: Group, refresh: Refresh) -> int:
    if refresh.max_healthy <= 100:  # noqa: PLR2004 - percent
        return 0
    return max(1, group.desired * (refresh.max_healthy - 100) // 100)


def _old(group: Group, refresh: Refresh) -> list[Member]:
    return [each for each in group.counted if each.instance_id in refresh.old]


def remaining(group: Group, refresh: Refresh) -> int:
    """How many are still to be replaced."""
    return sum(instance_id in group.members for instance_id in refresh.old)


def advance(group: Group, now: datetime) -> bool:
    """Go on with the refresh; whether there was anything to do."""
    refresh = group.refresh
    if refresh is None:
        return False
    if refresh.status == "Pending":
        refresh.status = "InProgress"
        return True
    if refresh.status == "Cancelling":
        _end(refresh, "Cancelled", now)
        return True
    return _replace(group, refresh, now) or _is_finished(group, refresh, now)


def _replace(group: Group, refresh: Refresh, now: datetime) -> bool:
    ready = _ready(group, refresh, now)
    room = len(ready) - ceil(group.desired * refresh.min_healthy / 100)
    if not surge(group) and len(ready) >= group.desired:
        room = max(room, 1)
    old = [each for each in ready if each.instance_id in refresh.old]
    leaving = sorted(old, key=lambda each: each.launched)[: max(room, 0)]
    for member in leaving:
        cause = "an instance was taken out of service in response to an instance refresh request."
        member.set_out(TERMINATE.begin, (Place.GROUP, Place.EC2), cause, now)
    return bool(leaving)


def _ready(group: Group, refresh: Refresh, now: datetime) -> list[Member]:
    """Those in service that are warmed up."""
    warmup = timedelta(seconds=refresh.warmup_seconds)
    return [
        each
        for each in group.counted
        if each.state is State.IN_SERVICE
        and (each.instance_id in refresh.old or now >= each.since + warmup)
    ]


def _is_finished(group: Group, refresh: Refresh, now: datetime) -> bool:
    if not remaining(group, refresh):
        is_full = len(_ready(group, refresh, now)) >= group.desired
        if is_full:
            _end(refresh, "Successful", now)
        return is_full
    return _is_stuck(group, refresh, now)


def _is_stuck(group: Group, refresh: Refresh, now: datetime) -> bool:
    """Whether it has waited long enough for somebody in Standby."""
    stands_by = any(
        each.state is State.STANDBY and each.instance_id in refresh.old
        for each in group.members.values()
    )
    if stands_by and now >= refresh.started + timedelta(seconds=STANDBY_SECONDS):
        _end(refresh, "Failed", now)
        return True
    return False


def _end(refresh: Refresh, status: str, now: datetime) -> None:
    refresh.status, refresh.ended = status, now
