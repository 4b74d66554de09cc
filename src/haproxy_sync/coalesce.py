"""Decides whether a batch needs a look of its own. Many events, few looks; the sweep looks anyway."""

from dataclasses import dataclass
from enum import StrEnum
from math import ceil

from haproxy_sync.events import Event, Intent, Kind
from haproxy_sync.pointer import Pointer

MIN_LOOK_INTERVAL = 2.0  # seconds between two looks while events keep coming
SETTLE_SECONDS = 2.0  # EC2 is eventually consistent: a look this long after an event is sure to have seen it
WAKE_MARGIN = 1.0  # an event this long before a scheduled look needs no look of its own


class Action(StrEnum):
    """What to do with a batch."""

    COVERED = "covered"  # a later look saw it all, or a scheduled one will
    DEFERRED = "deferred"  # schedule one look for all that come now
    ADVANCE = "advance"  # no look, only the rollout's next step
    LOOK = "look"


@dataclass(frozen=True, slots=True)
class Decision:
    """The action, and for a deferred batch when to look."""

    action: Action
    wake_at: float = 0.0


def decide(intent: Intent, pointer: Pointer, now: float) -> Decision:
    """The cheapest action that loses nothing."""
    if Kind.OPERATOR in intent.kinds:
        return Decision(Action.LOOK)
    # A clock that was ahead once must not make everything look covered until then (F15).
    looked_at = pointer.looked_at if pointer.looked_at <= now else 0.0
    open_events = [event for event in intent.events if not _is_covered(event, looked_at)]
    kinds = {event.kind for event in open_events}
    is_recent = now - MIN_LOOK_INTERVAL < looked_at
    is_scheduled = now < pointer.wake_at <= now + 2 * MIN_LOOK_INTERVAL
    if not open_events:
        return Decision(Action.COVERED)
    if Kind.REQUEUE in kinds or not (is_recent or is_scheduled):
        return Decision(Action.LOOK)  # a requeue is the look that others wait for
    if Kind.COMMAND in kinds:  # what waited for the rollout may be published now
        return Decision(Action.LOOK if pointer.held_back else Action.ADVANCE)
    if is_scheduled and all(event.sent_at <= pointer.wake_at - WAKE_MARGIN for event in open_events):
        return Decision(Action.COVERED)
    base = pointer.wake_at if is_scheduled else looked_at
    return Decision(Action.DEFERRED, now + delay(max(base + MIN_LOOK_INTERVAL, now + WAKE_MARGIN), now))


def delay(wake_at: float, now: float) -> int:
    """Whole seconds that a message is delayed to arrive no earlier; the queue takes 15 minutes at most."""
    return min(max(1, ceil(wake_at - now)), 900)


def _is_covered(event: Event, looked_at: float) -> bool:
    if event.kind is Kind.REQUEUE:
        return looked_at >= event.look_after
    # Without a time (a bare event) nobody can tell.
    return 0 < event.sent_at <= looked_at - SETTLE_SECONDS
