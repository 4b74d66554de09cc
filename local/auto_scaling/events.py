"""What the service says on EventBridge, in the formats of the user guide, and how such events reach anybody.

AWS promises "best effort": an event may come late, twice, after a later one, or never. `Fate` decides that.
"""

import heapq
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from local.auto_scaling.model import Action, Group, Member, Transition

type Event = dict[str, Any]
type Fate = Callable[[Event], Sequence[float]]
"""After how many seconds an event comes: once for each number, not at all for none."""

SOURCE = "aws.autoscaling"

_ACTIONS: Mapping[Transition, str] = {
    Transition.LAUNCHING: "EC2 Instance-launch Lifecycle Action",
    Transition.TERMINATING: "EC2 Instance-terminate Lifecycle Action",
}


def at_once(_event: Event) -> Sequence[float]:
    """Each once, and in order."""
    return (0.0,)


@dataclass(slots=True)
class Mail:
    """Events on their way."""

    fate: Fate = at_once
    _coming: list[tuple[datetime, int, Event]] = field(default_factory=list)
    _posted: int = 0

    def post(self, event: Event, now: datetime) -> None:
        """It happens now, and comes when its fate says."""
        for seconds in self.fate(event):
            self._posted += 1
            due = now + timedelta(seconds=seconds)
            heapq.heappush(self._coming, (due, self._posted, event))

    def arrived(self, now: datetime) -> Iterator[Event]:
        """Whatever has come, first arrival first."""
        while self._coming and self._coming[0][0] <= now:
            yield heapq.heappop(self._coming)[2]

    @property
    def next_arrival(self) -> datetime | None:
        """When the next one comes."""
        return self._coming[0][0] if self._coming else None


def envelope(
    place: tuple[str, str],
    what: tuple[str, str],
    detail: Mapping[str, Any],
    resources: Sequence[str],
    now: datetime,
) -> Event:
    """An event of this account and region, from this source and of this detail type."""
    return {
        "version": "0",
        "id": str(uuid4()),
        "detail-type": what[1],
        "source": what[0],
        "account": place[0],
        "time": moment(now),
        "region": place[1],
        "resources": list(resources),
        "detail": dict(detail),
    }


def moment(time: datetime) -> str:
    """As events write it."""
    return f"{time:%Y-%m-%dT%H:%M:%SZ}"


def action_detail(
    group: Group, member: Member, action: Action
) -> tuple[str, dict[str, Any]]:
    """Detail type and detail of a lifecycle action that begins."""
    hook = action.hook
    detail = {
        "LifecycleActionToken": action.token,
        "AutoScalingGroupName": group.name,
        "LifecycleHookName": hook.name,
        "EC2InstanceId": member.instance_id,
        "LifecycleTransition": hook.transition.value,
        "Origin": member.origin.value,
        "Destination": member.destination.value,
    }
    if hook.metadata:
        detail["NotificationMetadata"] = hook.metadata
    return _ACTIONS[hook.transition], detail


def activity_detail(
    group: Group, member: Member, verb: str, status: str, now: datetime
) -> dict[str, Any]:
    """Detail of an activity that ends, in the order of the samples."""
    subnets = [name for name, zone in group.subnets.items() if zone == member.zone]
    return {
        "Description": f"{verb}: {member.instance_id}",
        "Details": {
            "Subnet ID": subnets[0] if subnets else "",
            "Availability Zone": member.zone,
        },
        "EndTime": moment(now),
        "RequestId": member.activity_id,
        "ActivityId": member.activity_id,
        "Cause": member.cause,
        "AutoScalingGroupName": group.name,
        "StartTime": moment(member.begun or member.launched),
        "EC2InstanceId": member.instance_id,
        "StatusCode": status,
        "StatusMessage": "",
        "Origin": member.origin.value,
        "Destination": member.destination.value,
    }
