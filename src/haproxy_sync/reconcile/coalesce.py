"""Decides whether a batch needs a look of its own. Many events, few looks; the sweep looks anyway."""

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

from haproxy_sync.fleet.inventory import MAX_FILTER_VALUES
from haproxy_sync.reconcile.events import Event, Intent, Kind
from haproxy_sync.reconcile.wakeup import SETTLE_SECONDS, delay
from haproxy_sync.rollout import agents, last_good, watching
from haproxy_sync.settings import Settings
from haproxy_sync.state.model import EnvironmentState, UnixSeconds

MIN_LOOK_SECONDS = 2.0  # between two looks while events keep coming
# An event this many seconds before a scheduled look needs no look of its own.
WAKE_MARGIN_SECONDS = 1.0


class Disposition(StrEnum):
    """What is done with a batch."""

    UNRELATED = "unrelated"  # all of it is about instances that are not ours
    COVERED = "covered"  # a later look saw it all, or a scheduled one will
    DEFERRED = "deferred"  # schedule one look for all that come now
    ADVANCE = "advance"  # no look, only the rollout's next commands and what lifecycle actions want
    LOOK = "look"


@dataclass(frozen=True, slots=True)
class Decision:
    """The disposition, and for a deferred batch when to look."""

    disposition: Disposition
    wake_at: UnixSeconds = 0.0


LOOK = Decision(Disposition.LOOK)
COVERED = Decision(Disposition.COVERED)


@dataclass(frozen=True)
class _Batch:
    """A batch, measured against the looks that were and the one that is scheduled."""

    intent: Intent
    state: EnvironmentState
    now: UnixSeconds

    @cached_property
    def looked_at(self) -> UnixSeconds:
        """The last look. A clock that was ahead once must not make everything look covered until then."""
        if self.state.looked_at <= self.now:
            return self.state.looked_at
        return 0.0

    @cached_property
    def open_events(self) -> tuple[Event, ...]:
        """Those that no look has seen yet."""
        return tuple(
            event
            for event in self.intent.events
            if not _is_covered(event, self.looked_at)
        )

    @cached_property
    def kinds(self) -> frozenset[Kind]:
        """Of the open events."""
        return frozenset(event.kind for event in self.open_events)

    @property
    def is_recent(self) -> bool:
        """Whether the last look was a moment ago."""
        return self.now - MIN_LOOK_SECONDS < self.looked_at

    @property
    def is_scheduled(self) -> bool:
        """Whether a message of ours brings a look in a moment."""
        return self.now < self.state.wake_at <= self.now + 2 * MIN_LOOK_SECONDS

    @property
    def is_before_wakeup(self) -> bool:
        """Whether EC2 surely shows every open event when the scheduled look comes."""
        return all(
            event.sent_at <= self.state.wake_at - WAKE_MARGIN_SECONDS
            and not event.rebalance
            for event in self.open_events
        )


type Policy = Callable[[_Batch], Decision | None]
"""What to do with the batch, and None where the policy has no opinion."""


def decide(intent: Intent, state: EnvironmentState, now: UnixSeconds) -> Decision:
    """The cheapest disposition that loses nothing: that of the first policy that has one; the last always does."""
    batch = _Batch(intent, state, now)
    decisions = (policy(batch) for policy in POLICIES)
    return next(decision for decision in decisions if decision is not None)


def _operator(batch: _Batch) -> Decision | None:
    """A person who asks gets an answer from EC2 itself."""
    if Kind.OPERATOR in batch.intent.kinds:
        return LOOK
    return None


def _covered(batch: _Batch) -> Decision | None:
    """A look after the events has seen what they are about."""
    if batch.open_events:
        return None
    return COVERED


def _advanced(batch: _Batch) -> Decision | None:
    """Our own message that wants no look, unless what it was sent for is done."""
    if batch.kinds != {Kind.ADVANCE}:
        return None
    has_young = agents.young_at(batch.state, batch.now) is not None
    reasons = (
        has_young,
        watching.open_actions(batch.state, batch.now),
        last_good.to_put(batch.state, batch.now),
    )
    if any(reasons):
        return Decision(Disposition.ADVANCE)
    return COVERED


def _requeued(batch: _Batch) -> Decision | None:
    """Our own message is the look that others were covered by."""
    if Kind.REQUEUE in batch.kinds:
        return LOOK
    return None


def _answered(batch: _Batch) -> Decision | None:
    """Proxies were only asked for a lifecycle action, as they are again and again: no look is wanted for that."""
    state = batch.state
    is_awaited = any((state.commands, state.queued))
    is_for_actions = all((state.inspecting, watching.open_actions(state, batch.now)))
    is_alone = all((batch.kinds == {Kind.COMMAND}, is_for_actions, not is_awaited))
    return Decision(Disposition.ADVANCE) if is_alone else None


def _quiet(batch: _Batch) -> Decision | None:
    """Nobody looked lately and nobody will: an event alone is answered at once."""
    if batch.is_recent or batch.is_scheduled:
        return None
    return LOOK


def _reported(batch: _Batch) -> Decision | None:
    """A proxy reported: the rollout goes on without a look, unless a change is queued behind it."""
    if Kind.COMMAND not in batch.kinds:
        return None
    if batch.state.queued:
        return LOOK
    return Decision(Disposition.ADVANCE)


def _awaited(batch: _Batch) -> Decision | None:
    """The scheduled look comes late enough to see all of them."""
    if batch.is_scheduled and batch.is_before_wakeup:
        return COVERED
    return None


def _deferred(batch: _Batch) -> Decision:
    """One look for all that come now."""
    base = batch.state.wake_at if batch.is_scheduled else batch.looked_at
    wanted_at = max(base + MIN_LOOK_SECONDS, batch.now + WAKE_MARGIN_SECONDS)
    return Decision(Disposition.DEFERRED, batch.now + delay(wanted_at, batch.now))


POLICIES: tuple[Policy, ...] = (
    _operator,
    _covered,
    _advanced,
    _requeued,
    _answered,
    _quiet,
    _reported,
    _awaited,
    _deferred,
)


def doubtful(
    intent: Intent, state: EnvironmentState, settings: Settings, now: UnixSeconds
) -> tuple[Event, ...]:
    """Events about instances that are not ours yet, so EC2 is asked whose they are; none where asking saves nothing."""
    ours = state.instance_ids
    unrelated = tuple(
        event for event in intent.events if _may_be_unrelated(event, ours, settings)
    )
    without = decide(intent.without(unrelated), state, now).disposition
    if without in {Disposition.LOOK, Disposition.DEFERRED}:
        return ()  # the other events want a look anyway
    is_covered = decide(intent, state, now) == COVERED
    if is_covered or len(named(unrelated)) > MAX_FILTER_VALUES:
        return ()
    return unrelated


def _may_be_unrelated(event: Event, ours: AbstractSet[str], settings: Settings) -> bool:
    """A tag that makes the instance ours is believed at once: EC2 may show it a little later than the event says."""
    is_claimed = event.tags.get(settings.environment_tag_key) == settings.environment
    names_others = event.instance_ids != () and ours.isdisjoint(event.instance_ids)
    return names_others and not is_claimed


def named(events: tuple[Event, ...]) -> frozenset[str]:
    """The instances that the events name."""
    return frozenset(
        instance_id for event in events for instance_id in event.instance_ids
    )


def _is_covered(event: Event, looked_at: UnixSeconds) -> bool:
    if event.rebalance:
        return False  # no look can show what it says
    if event.kind is Kind.REQUEUE:
        return looked_at >= event.look_after
    if event.kind is Kind.ADVANCE:
        return False  # what it is about is in the state
    # An event without a time, as a bare one, may be newer than any look.
    return 0 < event.sent_at <= looked_at - SETTLE_SECONDS
