"""Decides whether a batch needs a look of its own. Many events, few looks; the sweep looks anyway."""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from enum import StrEnum
from math import ceil

from haproxy_sync.reconcile.events import Event, Intent, Kind
from haproxy_sync.settings import Settings
from haproxy_sync.state.model import EnvironmentState

MIN_LOOK_INTERVAL = 2.0  # seconds between two looks while events keep coming
SETTLE_SECONDS = 2.0  # EC2 is eventually consistent: a look this long after an event is sure to have seen it
WAKE_MARGIN = 1.0  # an event this long before a scheduled look needs no look of its own
MAX_ASKED = 200  # values that a filter of EC2 takes


class Action(StrEnum):
    """What to do with a batch."""

    UNRELATED = "unrelated"  # all of it is about instances that are not ours
    COVERED = "covered"  # a later look saw it all, or a scheduled one will
    DEFERRED = "deferred"  # schedule one look for all that come now
    ADVANCE = "advance"  # no look, only the rollout's next step
    LOOK = "look"


@dataclass(frozen=True, slots=True)
class Decision:
    """The action, and for a deferred batch when to look."""

    action: Action
    wake_at: float = 0.0


def decide(intent: Intent, state: EnvironmentState, now: float) -> Decision:
    """The cheapest action that loses nothing."""
    if Kind.OPERATOR in intent.kinds:
        return Decision(Action.LOOK)
    # A clock that was ahead once must not make everything look covered until then (F15).
    looked_at = state.looked_at if state.looked_at <= now else 0.0
    open_events = [event for event in intent.events if not _is_covered(event, looked_at)]
    kinds = {event.kind for event in open_events}
    is_recent = now - MIN_LOOK_INTERVAL < looked_at
    is_scheduled = now < state.wake_at <= now + 2 * MIN_LOOK_INTERVAL
    if not open_events:
        return Decision(Action.COVERED)
    if Kind.REQUEUE in kinds or not (is_recent or is_scheduled):
        return Decision(Action.LOOK)  # a requeue is the look that others wait for
    if Kind.COMMAND in kinds:  # what waited for the rollout may be published now
        return Decision(Action.LOOK if state.held_back else Action.ADVANCE)
    if is_scheduled and all(event.sent_at <= state.wake_at - WAKE_MARGIN for event in open_events):
        return Decision(Action.COVERED)
    base = state.wake_at if is_scheduled else looked_at
    return Decision(Action.DEFERRED, now + delay(max(base + MIN_LOOK_INTERVAL, now + WAKE_MARGIN), now))


def doubtful(intent: Intent, state: EnvironmentState, settings: Settings, now: float) -> tuple[Event, ...]:
    """Events about instances of which none is known: EC2 is asked whose they are. None where that saves nothing."""
    known = state.instance_ids
    unknown = tuple(event for event in intent.events if _is_of_unknown(event, known, settings))
    is_look_due = decide(intent.without(unknown), state, now).action in {Action.LOOK, Action.DEFERRED}
    is_covered = decide(intent, state, now).action is Action.COVERED
    return () if is_look_due or is_covered or len(named(unknown)) > MAX_ASKED else unknown


def _is_of_unknown(event: Event, known: AbstractSet[str], settings: Settings) -> bool:
    """A tag that makes the instance ours is believed at once: EC2 may show it a little later than the event tells."""
    is_claimed = event.tags.get(settings.environment_tag_key) == settings.environment
    return bool(event.instance_ids) and known.isdisjoint(event.instance_ids) and not is_claimed


def named(events: tuple[Event, ...]) -> frozenset[str]:
    """The instances that the events name."""
    return frozenset(instance_id for event in events for instance_id in event.instance_ids)


def delay(wake_at: float, now: float) -> int:
    """Whole seconds that a message is delayed to arrive no earlier; the queue takes 15 minutes at most."""
    return min(max(1, ceil(wake_at - now)), 900)


def _is_covered(event: Event, looked_at: float) -> bool:
    if event.kind is Kind.REQUEUE:
        return looked_at >= event.look_after
    # Without a time (a bare event) nobody can tell.
    return 0 < event.sent_at <= looked_at - SETTLE_SECONDS
