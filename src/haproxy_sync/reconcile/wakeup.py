"""Our own delayed messages: how a reconcile asks to be run again at a known time, because it never waits itself."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import ceil
from typing import Any

from haproxy_sync.reconcile.events import OWN_SOURCE, REQUEUED, Home, Intent, Kind
from haproxy_sync.state.model import EnvironmentState, UnixSeconds

SETTLE_SECONDS = 2.0  # EC2 is eventually consistent: a look this long after an event is sure to have seen it
# An event whose look saw nothing new gets a second look then.
SECOND_LOOK_SECONDS = SETTLE_SECONDS + 1
# Another look comes no later than this after an instance joined; the rollout's own often come first.
RECHECK_SECONDS = 10
LISTED_SECONDS = 1  # a command that finished sooner than the service lists it is asked for again then
MAX_DELAY_SECONDS = 900  # the most that SQS delays a message


def requeue(home: Home, look_after: UnixSeconds, why: str) -> dict[str, Any]:
    """Our own event: done once a look began at or after `look_after`; `why` says what it is for."""
    return {
        "source": OWN_SOURCE,
        "detail-type": "Requeue",
        "account": home.account,
        "region": home.region,
        "detail": {"look_after": look_after, "why": why},
    }


def delay(wake_at: UnixSeconds, now: UnixSeconds) -> int:
    """Whole seconds to delay a message: it arrives no earlier than `wake_at`, or as late as SQS can delay it."""
    return min(max(1, ceil(wake_at - now)), MAX_DELAY_SECONDS)


@dataclass(frozen=True, slots=True)
class Wakeup:
    """Sends the messages; the sweep makes up for a lost one. `ClientError` or `BotoCoreError` if SQS fails."""

    sqs: Any
    queue_url: str
    home: Home

    def at(self, wake_at: UnixSeconds, now: UnixSeconds, why: str) -> None:
        """Run again at that time."""
        self._send(wake_at, delay(wake_at, now), why)

    def recheck(self, now: UnixSeconds, why: str) -> None:
        """One more look after an instance joined: until the put, an event about it may have been dropped as unrelated.

        Its time counts from the put. It is not in `wake_at`, where a sooner look would replace it.
        """
        self._send(now + SETTLE_SECONDS, RECHECK_SECONDS, why)

    def listed(self, now: UnixSeconds) -> None:
        """Run again when Run Command surely lists what it was just given."""
        self.at(now + LISTED_SECONDS, now, REQUEUED)

    def _send(self, look_after: UnixSeconds, delay_seconds: int, why: str) -> None:
        body = json.dumps(requeue(self.home, look_after, why))
        self.sqs.send_message(
            QueueUrl=self.queue_url, MessageBody=body, DelaySeconds=delay_seconds
        )


def second_look_at(
    intent: Intent, before: EnvironmentState, after: EnvironmentState, now: UnixSeconds
) -> UnixSeconds | None:
    """When to look once more because EC2 or Run Command does not show yet what an event was about; None if it does."""
    if Kind.COMMAND in intent.kinds and _brought_nothing(before, after):
        return now + LISTED_SECONDS
    was = (before.backends, before.proxies)
    shown = (after.backends, after.proxies)
    if Kind.CHANGE in intent.kinds and was == shown:
        return now + SECOND_LOOK_SECONDS
    return None


def _brought_nothing(before: EnvironmentState, after: EnvironmentState) -> bool:
    return after.commands != () and _awaited(before) == _awaited(after)


def _awaited(state: EnvironmentState) -> list[object]:
    """Who has not reported on which command; that one is at work was to be expected."""
    return [(each.claim_id, each.targets, each.silent) for each in state.commands]


def scheduled(
    state: EnvironmentState, times: Iterable[UnixSeconds | None], now: UnixSeconds
) -> tuple[EnvironmentState, UnixSeconds | None]:
    """The state with the soonest wake-up, and when, if a message has to be sent for it."""
    soonest = min((time for time in times if time is not None), default=None)
    if soonest is None or _is_sooner(state.wake_at, soonest, now):
        return state, None
    wake_at = now + delay(soonest, now)
    return replace(state, wake_at=wake_at), wake_at


def _is_sooner(
    scheduled_at: UnixSeconds, wanted_at: UnixSeconds, now: UnixSeconds
) -> bool:
    """Whether a message comes in time already; whole seconds are all the queue can tell apart."""
    return now < scheduled_at <= wanted_at + 1
