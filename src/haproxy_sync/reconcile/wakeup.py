"""Our own delayed messages: how a reconcile asks to be run again at a known time, because it never waits itself."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from math import ceil
from typing import Any

from haproxy_sync.reconcile.events import (
    ADVANCE,
    OWN_SOURCE,
    REQUEUED,
    Home,
    Intent,
    Kind,
)
from haproxy_sync.state.model import EnvironmentState, UnixSeconds

SETTLE_SECONDS = 2.0  # EC2 is eventually consistent: a look this long after an event is sure to have seen it
# An event whose look saw nothing new gets a second look then.
SECOND_LOOK_SECONDS = SETTLE_SECONDS + 1
# Another look comes no later than this after an instance joined; the rollout's own often come first.
RECHECK_SECONDS = 10
LISTED_SECONDS = 1  # a command that finished sooner than the service lists it is asked for again then
MAX_DELAY_SECONDS = 900  # the most that SQS delays a message


def requeue(
    home: Home, look_after: UnixSeconds, why: str, detail_type: str = "Requeue"
) -> dict[str, Any]:
    """Our own event: done once a look began at or after `look_after`; `why` says what it is for.

    An `Advance` wants no look; to an earlier release it is like the other.
    """
    return {
        "source": OWN_SOURCE,
        "detail-type": detail_type,
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
        self._send(requeue(self.home, wake_at, why), delay(wake_at, now))

    def advance(self, advance_at: UnixSeconds, now: UnixSeconds, why: str) -> None:
        """Go on with the rollout at that time, without a look."""
        body = requeue(self.home, advance_at, why, ADVANCE)
        self._send(body, delay(advance_at, now))

    def recheck(self, now: UnixSeconds, why: str) -> None:
        """One more look after an instance joined: until the put, an event about it may have been dropped as unrelated.

        Its time counts from the put. It is not in `wake_at`, where a sooner look would replace it.
        """
        self._send(requeue(self.home, now + SETTLE_SECONDS, why), RECHECK_SECONDS)

    def listed(self, now: UnixSeconds) -> None:
        """Run again when Run Command surely lists what it was just given."""
        self.at(now + LISTED_SECONDS, now, REQUEUED)

    def _send(self, body: Mapping[str, Any], delay_seconds: int) -> None:
        self.sqs.send_message(
            QueueUrl=self.queue_url,
            MessageBody=json.dumps(body),
            DelaySeconds=delay_seconds,
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
    wake_at = _message_at(times, (state.wake_at,), now)
    return replace(state, wake_at=wake_at or state.wake_at), wake_at


def advancing(
    state: EnvironmentState, times: Iterable[UnixSeconds | None], now: UnixSeconds
) -> tuple[EnvironmentState, UnixSeconds | None]:
    """The same for a message that wants no look; none has to be sent where a look comes in time."""
    advance_at = _message_at(times, (state.wake_at, state.advance_at), now)
    return replace(state, advance_at=advance_at or state.advance_at), advance_at


def _message_at(
    times: Iterable[UnixSeconds | None],
    scheduled: Iterable[UnixSeconds],
    now: UnixSeconds,
) -> UnixSeconds | None:
    """When the next message has to come; None: one that is scheduled will do, or none is needed."""
    soonest = min((time for time in times if time is not None), default=None)
    if soonest is None or any(_is_sooner(each, soonest, now) for each in scheduled):
        return None
    return now + delay(soonest, now)


def _is_sooner(
    scheduled_at: UnixSeconds, wanted_at: UnixSeconds, now: UnixSeconds
) -> bool:
    """Whether a message comes in time already; whole seconds are all the queue can tell apart."""
    return now < scheduled_at <= wanted_at + 1
