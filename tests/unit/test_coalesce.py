"""Many events, few looks, and none of them lost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from haproxy_sync.reconcile.coalesce import MIN_LOOK_SECONDS, Disposition, decide
from haproxy_sync.reconcile.events import Event, Intent, Kind, operator
from haproxy_sync.reconcile.wakeup import SETTLE_SECONDS, delay
from haproxy_sync.state.model import EnvironmentState


def batch(*sent: float, kind: Kind = Kind.CHANGE) -> Intent:
    """Events that the queue got then."""
    return Intent(tuple(Event(kind, "x", at) for at in sent))


def test_the_first_event_on_a_quiet_queue_is_acted_on_at_once() -> None:
    """No window, no wait."""
    assert (
        decide(batch(100), EnvironmentState(looked_at=90), now=100).disposition
        is Disposition.LOOK
    )
    assert (
        decide(batch(100), EnvironmentState(), now=100).disposition is Disposition.LOOK
    )


def test_what_a_later_look_has_surely_seen_needs_none() -> None:
    """All of a batch must be older than the look by EC2's margin."""
    seen = EnvironmentState(looked_at=100)
    assert decide(batch(90, 98), seen, now=110).disposition is Disposition.COVERED
    assert decide(batch(90, 98.1), seen, now=110).disposition is Disposition.LOOK


def test_events_right_after_a_look_share_the_next_one() -> None:
    """The first of them schedules it, the rest rely on it."""
    decision = decide(batch(100.3), EnvironmentState(looked_at=100), now=100.4)
    assert decision.disposition is Disposition.DEFERRED
    assert decision.wake_at == pytest.approx(102.4)
    scheduled = EnvironmentState(looked_at=100, wake_at=102.4)
    assert (
        decide(batch(100.5, 101.3), scheduled, now=101.5).disposition
        is Disposition.COVERED
    )


def test_an_event_just_before_the_scheduled_look_gets_another() -> None:
    """EC2 might not show it yet."""
    decision = decide(
        batch(102.0), EnvironmentState(looked_at=100, wake_at=102.4), now=102.1
    )
    assert decision.disposition is Disposition.DEFERRED
    assert decision.wake_at >= 102.4 + MIN_LOOK_SECONDS


def test_a_look_far_in_the_future_swallows_nothing() -> None:
    """A retry in five minutes is no look for an event of now."""
    assert (
        decide(
            batch(200), EnvironmentState(looked_at=100, wake_at=500), now=200
        ).disposition
        is Disposition.LOOK
    )


def test_our_own_message_is_the_look_it_promised() -> None:
    """Unless somebody looked since."""
    requeue = Intent((Event(Kind.REQUEUE, "requeue", 100.4, look_after=102.4),))
    assert (
        decide(
            requeue, EnvironmentState(looked_at=101.9, wake_at=104), now=102.4
        ).disposition
        is Disposition.LOOK
    )
    assert (
        decide(requeue, EnvironmentState(looked_at=102.4), now=103).disposition
        is Disposition.COVERED
    )


def test_a_proxy_that_reports_needs_no_look() -> None:
    """The rollout goes on without one, if there was one just now."""
    assert (
        decide(
            batch(100.5, kind=Kind.COMMAND), EnvironmentState(looked_at=100), now=100.6
        ).disposition
        is Disposition.ADVANCE
    )
    assert (
        decide(
            batch(100.5, kind=Kind.COMMAND), EnvironmentState(looked_at=80), now=100.6
        ).disposition
        is Disposition.LOOK
    )


def test_a_person_is_never_put_off() -> None:
    """An operator's sync looks now."""
    assert (
        decide(
            operator("sync"), EnvironmentState(looked_at=100, wake_at=101), now=100.1
        ).disposition
        is Disposition.LOOK
    )


@pytest.mark.fault("F15")
def test_a_look_in_the_future_covers_nothing() -> None:
    """A clock that was ahead once must not stop the sweeps until that time."""
    assert (
        decide(batch(100), EnvironmentState(looked_at=700), now=101).disposition
        is Disposition.LOOK
    )
    assert (
        decide(
            batch(100, kind=Kind.SWEEP),
            EnvironmentState(looked_at=700, wake_at=800),
            now=101,
        ).disposition
        is Disposition.LOOK
    )


def test_delays_are_what_the_queue_takes() -> None:
    """Whole seconds, one at least, fifteen minutes at most."""
    assert (delay(100.2, 100), delay(100, 100), delay(5000, 100)) == (1, 1, 900)


@pytest.mark.fault("F04")
@given(st.lists(st.floats(0, 10), min_size=1, max_size=300), st.integers(1, 10))
def test_any_storm_is_a_handful_of_looks_and_none_is_forgotten(
    times: list[float], size: int
) -> None:
    """Events of ten seconds in batches: looks stay two seconds apart, and every event has a look after it."""
    events = sorted(1000 + at for at in times)
    queue = [
        (batch_events[-1], batch(*batch_events))
        for batch_events in _batches(events, size)
    ]
    looks: list[float] = []
    state = EnvironmentState()
    while queue:
        queue.sort(key=lambda message: message[0])
        now, intent = queue.pop(0)
        decision = decide(intent, state, now)
        if decision.disposition is Disposition.LOOK:
            looks.append(now)
            state = EnvironmentState(looked_at=now, wake_at=state.wake_at)
        elif decision.disposition is Disposition.DEFERRED:
            state = EnvironmentState(
                looked_at=state.looked_at, wake_at=decision.wake_at
            )
            wake = Event(Kind.REQUEUE, "requeue", now, look_after=decision.wake_at)
            queue.append((decision.wake_at, Intent((wake,))))
    assert len(looks) <= 8
    assert looks[0] == events[min(size, len(events)) - 1]
    assert looks[-1] >= events[-1]
    assert looks[-1] <= events[-1] + 2 * MIN_LOOK_SECONDS + SETTLE_SECONDS


def _batches(events: list[float], size: int) -> list[list[float]]:
    return [events[start : start + size] for start in range(0, len(events), size)]
