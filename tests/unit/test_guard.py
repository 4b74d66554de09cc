"""No look empties or halves a pool by surprise."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from haproxy_sync.fleet.model import Backend
from haproxy_sync.reconcile import guard
from haproxy_sync.reconcile.guard import Look, Thresholds, Verdict
from haproxy_sync.state.model import Hold

LIMITS = Thresholds(min_backends=1, max_loss_percent=50, hold_seconds=300)
PUBLISHES_EMPTY = replace(LIMITS, publishes_empty=True)


def judge(  # every fact of a look has a default but these
    previous: tuple[Backend, ...] | None,
    present: tuple[Backend, ...],
    hold: Hold | None,
    thresholds: Thresholds,
    now: float,
    **flags: Any,
) -> Verdict:
    """The verdict on one look."""
    return guard.judge(Look(previous, present, hold, now, **flags), thresholds)


def published(verdict: Verdict) -> tuple[Backend, ...] | None:
    """The pool of a verdict that holds nobody."""
    assert verdict.hold is None
    assert verdict.look_again_at is None
    return verdict.pool


def backends(*numbers: int) -> tuple[Backend, ...]:
    """A pool."""
    return tuple(
        Backend(
            f"i-{n:08x}",
            "tomcat",
            f"app-{n}",
            f"10.0.0.{n + 1}",
            "a",
            private_dns_name=f"app-{n}.x",
        )
        for n in sorted(numbers)
    )


def pool(size: int) -> tuple[Backend, ...]:
    """That many."""
    return backends(*range(size))


def ids(verdict: Verdict) -> set[str]:
    """Whom the verdict publishes."""
    return {backend.instance_id for backend in verdict.pool or ()}


@pytest.mark.parametrize(
    ("before", "after", "holds"),
    [
        pytest.param(3, 0, True, marks=pytest.mark.fault("F18")),
        pytest.param(10, 4, True, marks=pytest.mark.fault("F19")),
        (10, 5, False),
        (4, 2, False),
        (3, 1, True),
        pytest.param(2, 1, False, marks=pytest.mark.fault("F20")),
        (1, 0, True),
        (5, 5, False),
        (5, 9, False),
        (0, 0, False),
        (0, 3, False),
    ],
)
def test_when_a_loss_is_held(before: int, after: int, holds: bool) -> None:  # noqa: FBT001 # a column of the table
    """Empty, or more than half and more than one."""
    verdict = judge(pool(before), pool(after), None, LIMITS, now=0)
    assert bool(verdict.hold) is holds
    assert ids(verdict) == {
        backend.instance_id for backend in pool(max(before, after) if holds else after)
    }


def test_the_floor_holds_even_one() -> None:
    """Losing one is allowed above the floor, not through it."""
    verdict = judge(pool(3), pool(2), None, Thresholds(3, 50, 300), now=0)
    assert verdict.hold
    assert "minimum 3" in verdict.hold.reason


def test_growing_below_the_floor_is_no_loss() -> None:
    """A small pool that grows is published."""
    assert published(
        judge(pool(1), pool(2), None, Thresholds(3, 50, 300), now=0)
    ) == pool(2)


@pytest.mark.fault("F48")
def test_nothing_known_from_before_leaves_the_floor_only() -> None:
    """A corrupt state is no reason to hold a healthy pool, nor to publish an empty one."""
    assert published(judge(None, pool(1), None, LIMITS, now=0)) == pool(1)
    empty = judge(None, (), None, LIMITS, now=0)
    assert empty.pool is None
    assert empty.hold
    later = judge(None, (), empty.hold, LIMITS, now=30 * LIMITS.hold_seconds)
    assert later.pool is None
    assert later.hold == empty.hold
    assert (
        published(judge(None, (), later.hold, LIMITS, now=0, allow_mass_removal=True))
        == ()
    )


def test_additions_go_through_a_hold() -> None:
    """The vanished stay beside the new ones."""
    verdict = judge(backends(1, 2, 3, 4), backends(4, 7), None, LIMITS, now=0)
    assert verdict.hold
    assert verdict.pool == backends(1, 2, 3, 4, 7)


def test_a_vanished_backend_whose_address_is_taken_is_not_kept() -> None:
    """Its traffic would go to the new owner twice."""
    heir = Backend("i-0000000f", "tomcat", "app-f", "10.0.0.2", "a")
    verdict = judge(backends(1, 2, 3), (heir,), None, LIMITS, now=0)
    assert ids(verdict) == {"i-0000000f", "i-00000002", "i-00000003"}


def test_names_stay_unique_when_kept_and_new_meet() -> None:
    """A name that comes back while its old owner is held is told apart."""
    heir = Backend(
        "i-0000000f", "tomcat", "app-1", "10.0.0.99", "a", private_dns_name="app-1.x"
    )
    verdict = judge(backends(1, 2, 3), (heir,), None, LIMITS, now=0)
    names = [backend.name for backend in verdict.pool or ()]
    assert len(set(names)) == 4


def test_the_same_loss_is_believed_after_the_hold_time() -> None:
    """And not a second before."""
    first = judge(pool(4), pool(1), None, LIMITS, now=1000)
    assert first.look_again_at == 1300
    second = judge(pool(4), pool(1), first.hold, LIMITS, now=1299)
    assert second.hold == first.hold
    assert published(judge(pool(4), pool(1), second.hold, LIMITS, now=1300)) == pool(1)


def test_a_loss_that_grows_waits_for_the_newest() -> None:
    """Each backend must have been missing for the whole time."""
    first = judge(pool(4), pool(1), None, PUBLISHES_EMPTY, now=0)
    second = judge(pool(4), (), first.hold, PUBLISHES_EMPTY, now=200)
    assert second.hold
    assert (second.look_again_at, second.hold.ends_at) == (300, 500)
    third = judge(pool(4), (), second.hold, PUBLISHES_EMPTY, now=300)
    assert third.pool == pool(1)
    assert third.hold
    assert (third.look_again_at, third.hold.ends_at) == (500, 500)
    assert judge(third.pool, (), third.hold, PUBLISHES_EMPTY, now=500).pool == ()


@pytest.mark.fault("F19")
def test_a_loss_is_made_no_smaller_by_who_joins_meanwhile() -> None:
    """Six of ten are missing; two newcomers make it six of twelve, which is no surprise by itself."""
    present = backends(6, 7, 8, 9)
    joined = backends(6, 7, 8, 9, 20, 21)
    first = judge(pool(10), present, None, LIMITS, now=1000)
    second = judge(first.pool, joined, first.hold, LIMITS, now=1060)
    third = judge(second.pool, joined, second.hold, LIMITS, now=1065)
    assert third.hold
    assert ids(third) == {
        backend.instance_id for backend in backends(*range(10), 20, 21)
    }
    assert third.hold.ends_at == 1300
    assert published(judge(third.pool, joined, third.hold, LIMITS, now=1300)) == joined


def test_a_newcomer_with_the_address_of_one_of_them_does_not_end_the_hold() -> None:
    """It takes that one's place, and only that."""
    heir = replace(backends(20)[0], address=backends(0)[0].address)
    joined = (*backends(6, 7, 8, 9), heir)
    first = judge(pool(10), backends(6, 7, 8, 9), None, LIMITS, now=1000)
    second = judge(first.pool, joined, first.hold, LIMITS, now=1010)
    third = judge(second.pool, joined, second.hold, LIMITS, now=1015)
    assert ids(third) == {
        backend.instance_id for backend in (*backends(*range(1, 10)), heir)
    }


def test_the_return_of_some_does_not_end_the_hold_of_the_others() -> None:
    """Each is back, or missing for the whole time: one flickering answer proves nothing about the rest."""
    first = judge(pool(10), pool(4), None, LIMITS, now=0)
    second = judge(first.pool, pool(8), first.hold, LIMITS, now=60)
    assert second.hold
    assert set(second.hold.missing) == {"i-00000008", "i-00000009"}
    assert (
        second.hold.reason
        == "2 of 10 backends are missing, not for the whole hold time yet"
    )
    assert published(
        judge(second.pool, pool(10), second.hold, LIMITS, now=120)
    ) == pool(10)
    assert published(judge(second.pool, pool(8), second.hold, LIMITS, now=300)) == pool(
        8
    )


def test_another_loss_when_the_held_are_back_is_a_loss_of_its_own() -> None:
    """With a time of its own."""
    first = judge(pool(10), pool(4), None, LIMITS, now=0)
    second = judge(first.pool, backends(4, 5, 6, 7, 8, 9), first.hold, LIMITS, now=299)
    assert published(second) == backends(4, 5, 6, 7, 8, 9)
    strict = replace(LIMITS, max_loss_percent=30)
    assert (
        judge(
            first.pool, backends(4, 5, 6, 7, 8, 9), first.hold, strict, now=299
        ).look_again_at
        == 599
    )


def test_a_hold_lets_each_go_at_its_own_time() -> None:
    """A pool that breathes while two are held: nobody is kept for longer than the hold time because of others."""
    verdict = judge(pool(2), (), None, LIMITS, now=0)
    present, now = list(range(100, 120)), 10.0
    verdict = judge(verdict.pool, backends(*present), verdict.hold, LIMITS, now)
    for step in range(24):
        now += 240
        present = [*present[1:], 120 + step]
        verdict = judge(verdict.pool, backends(*present), verdict.hold, LIMITS, now)
        assert len(verdict.pool or ()) <= len(present) + 4


def test_an_address_that_something_else_has_is_given_up() -> None:
    """A hold without end must not send requests to whatever got the address."""
    first = judge(pool(4), (), None, LIMITS, now=0)
    taken_over = frozenset({backends(2)[0].instance_id})
    assert ids(
        judge(first.pool, (), first.hold, LIMITS, now=60, taken_over=taken_over)
    ) == {backend.instance_id for backend in backends(0, 1, 3)}


def test_nobody_is_let_go_during_a_freeze() -> None:
    """Neither by time nor by an override that could not be published; and the record stays."""
    first = judge(pool(4), pool(1), None, LIMITS, now=0, is_frozen=True)
    assert first.look_again_at is None
    later = judge(
        pool(4),
        pool(1),
        first.hold,
        LIMITS,
        now=900,
        allow_mass_removal=True,
        is_frozen=True,
    )
    assert later.hold == first.hold
    assert published(judge(pool(4), pool(1), later.hold, LIMITS, now=901)) == pool(1)


def test_who_vanishes_during_a_hold_is_held_too() -> None:
    """One after the other is no way round the limit while one loss is in doubt."""
    first = judge(pool(10), pool(4), None, LIMITS, now=0)
    second = judge(first.pool, pool(3), first.hold, LIMITS, now=60)
    assert ids(second) == {backend.instance_id for backend in pool(10)}


@pytest.mark.fault("F18")
@pytest.mark.parametrize(
    ("thresholds", "left"),
    [
        (LIMITS, 0),
        (replace(LIMITS, min_backends=3), 2),
        (replace(LIMITS, min_backends=0), 0),
    ],
)
def test_an_empty_or_too_small_pool_is_never_believed_by_time_alone(
    thresholds: Thresholds, left: int
) -> None:
    """A role that may no longer describe, or a tag renamed in Terraform, lasts longer than any patience."""
    first = judge(pool(4), pool(left), None, thresholds, now=0)
    assert first.hold
    assert (first.look_again_at, first.hold.ends_at) == (None, None)
    month = judge(first.pool, pool(left), first.hold, thresholds, now=30 * 24 * 3600)
    assert month.hold == first.hold
    assert ids(month) == {backend.instance_id for backend in pool(4)}
    assert published(
        judge(
            month.pool,
            pool(left),
            month.hold,
            thresholds,
            now=1,
            allow_mass_removal=True,
        )
    ) == pool(left)


@pytest.mark.fault("F18")
def test_an_emptied_pool_is_let_go_when_enough_others_were_there_for_the_hold_time() -> (
    None
):
    """Its time begins then: the first one that comes back, or a newcomer that is not even up, must not end many."""
    first = judge(pool(4), (), None, LIMITS, now=0)
    morning = judge(first.pool, backends(3, 10), first.hold, LIMITS, now=36000)
    assert morning.hold
    assert morning.hold.ends_at == 36300
    assert ids(morning) == {backend.instance_id for backend in backends(0, 1, 2, 3, 10)}
    empty = judge(morning.pool, (), morning.hold, LIMITS, now=36100)
    again = judge(empty.pool, backends(10), empty.hold, LIMITS, now=36400)
    assert again.hold
    assert again.hold.ends_at == 36700
    assert published(
        judge(again.pool, backends(10), again.hold, LIMITS, now=36700)
    ) == backends(10)


def test_a_nightly_shutdown_is_believed_where_the_stack_says_so() -> None:
    """After the hold time, with `EmptyPool=publish`; but not where nothing was ever known."""
    first = judge(pool(4), (), None, PUBLISHES_EMPTY, now=0)
    assert first.look_again_at == 300
    assert published(judge(first.pool, (), first.hold, PUBLISHES_EMPTY, now=300)) == ()
    unknown = judge(None, (), None, PUBLISHES_EMPTY, now=0)
    assert judge(None, (), unknown.hold, PUBLISHES_EMPTY, now=30000).pool is None
    floor = replace(PUBLISHES_EMPTY, min_backends=3)
    few = judge(None, pool(1), None, floor, now=0)
    assert few.pool is None
    assert published(judge(None, pool(1), few.hold, floor, now=300)) == pool(1)


def test_a_backend_that_came_back_starts_anew() -> None:
    """Flapping is not confirmation."""
    first = judge(pool(4), pool(1), None, LIMITS, now=0)
    back = judge(pool(4), backends(0, 3), first.hold, LIMITS, now=100)
    again = judge(back.pool, pool(1), back.hold, LIMITS, now=200)
    assert again.hold
    assert again.hold.missing["i-00000003"] == 200
    assert again.hold.ends_at == 500


def test_a_hold_time_of_zero_still_needs_a_second_look() -> None:
    """One look alone never empties a pool."""
    thresholds = Thresholds(1, 50, 0, publishes_empty=True)
    first = judge(pool(4), (), None, thresholds, now=0)
    assert first.hold
    assert judge(pool(4), (), first.hold, thresholds, now=0).pool == ()


@pytest.mark.fault("F21")
def test_an_override_is_for_one_look() -> None:
    """It leaves nothing behind that a later look could find."""
    verdict = judge(pool(4), (), None, LIMITS, now=0, allow_mass_removal=True)
    assert published(verdict) == ()
    assert judge(pool(4), (), verdict.hold, LIMITS, now=1).hold


@given(
    st.lists(
        st.tuples(st.frozensets(st.integers(0, 7)), st.floats(0.1, 400)),
        min_size=1,
        max_size=25,
    )
)
def test_no_sequence_of_looks_takes_many_out_unconfirmed(
    looks: list[tuple[frozenset[int], float]],
) -> None:
    """Whatever EC2 answers: who leaves together with too many others was missing in every look for the hold time."""
    accepted, hold, now = backends(*range(8)), None, 0.0
    missing_since: dict[str, float] = {}
    for present_numbers, gap in looks:
        now += gap
        present = backends(*present_numbers)
        here = {backend.instance_id for backend in present}
        recorded = {backend.instance_id for backend in accepted}
        missing_since = {key: missing_since.get(key, now) for key in recorded - here}
        verdict = judge(accepted, present, hold, LIMITS, now)
        assert verdict.pool
        removed = recorded - ids(verdict)
        surprising = len(removed) > 1 and len(removed) * 100 > 50 * len(recorded)
        is_held = hold is not None and not hold.missing.keys().isdisjoint(
            recorded - here
        )
        if removed and (surprising or is_held):
            assert all(
                now - missing_since[key] >= LIMITS.hold_seconds for key in removed
            )
        assert here <= ids(verdict)
        accepted, hold = verdict.pool, verdict.hold


def test_a_hold_says_why_and_since_when() -> None:
    """The operator reads who is missing since when."""
    verdict = judge(pool(4), pool(1), None, LIMITS, now=7)
    missing = {f"i-{n:08x}": 7 for n in (1, 2, 3)}
    assert verdict.hold == Hold(
        "3 of 4 backends vanished within HoldMinutes (limit 50 %)",
        7,
        missing,
        time_counts_since=7,
        ends_at=307,
        let_go_at=dict.fromkeys(missing, 307),
    )
