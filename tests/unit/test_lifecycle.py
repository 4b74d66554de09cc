"""When a lifecycle action of ours ends, by what proxies said: a table of standings."""

from collections.abc import Mapping
from dataclasses import replace
from math import inf
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from haproxy_sync.fleet.model import Backend, Fleet, LifecycleAction, Proxy, endpoint
from haproxy_sync.reconcile import lifecycle
from haproxy_sync.reconcile.guard import Verdict
from haproxy_sync.reconcile.lifecycle import UNPROVED_SECONDS, Ending, ending, wake_at
from haproxy_sync.rollout import watching
from haproxy_sync.rollout.transitions import publish
from haproxy_sync.rollout.watching import MAX_WATCHED, Standing, Watch
from haproxy_sync.settings import Settings
from haproxy_sync.state.model import (
    ActionProgress,
    Agent,
    Assignment,
    Digest,
    EnvironmentState,
    HAProxy,
    Outcome,
    ProxyState,
    Serving,
    UnixSeconds,
    Watched,
)

SETTINGS = Settings("staging", "ap-southeast-2", "bucket", "https://queue", "doc", "me")
DRAIN = SETTINGS.drain_seconds
BEGIN = 1000.0
DIGEST = Digest("a" * 64, "b" * 32)
ACTION = LifecycleAction(
    "i-00000001",
    "web",
    "ours",
    joins=False,
    endpoint="10.0.0.1:8080",
    heartbeat_seconds=300,
)
LAUNCH = replace(ACTION, joins=True)


def backend(number: int, **changes: Any) -> Backend:
    """One of the pool."""
    name = f"app-{number}"
    return Backend(
        f"i-{number:08x}", "tomcat", name, f"10.0.0.{number}", "a", **changes
    )


def proxy(number: int) -> Proxy:
    """A proxy."""
    return Proxy(f"i-{number:08x}", "haproxy", f"p-{number}", f"10.0.1.{number}", "a")


PROXIES = (proxy(0xA1), proxy(0xA2))
FIRST, SECOND = (each.instance_id for each in PROXIES)


def told(
    word: str | None, connections: int | None = 0, at: UnixSeconds = BEGIN + 1
) -> ProxyState:
    """A settled proxy, and what it said of the server; None: it was not asked."""
    watched = {} if word is None else {ACTION.endpoint: Watched(word, connections)}
    serving = Serving(
        at, HAProxy.RUNNING, watched=MappingProxyType(watched), claimed_at=at
    )
    return ProxyState(
        outcome=Outcome.UNCHANGED,
        observed_generation=1,
        sent_generation=1,
        installed=DIGEST.md5,
        running=DIGEST.md5,
        at=at,
        serving=serving,
    )


def state(
    *proxies: ProxyState, drain: bool = True, pool: tuple[Backend, ...] | None = None
) -> EnvironmentState:
    """What is published, with a backend that leaves and one that stays, and what the proxies said."""
    backends = pool if pool is not None else (backend(1, drain=drain), backend(2))
    seen = replace(
        EnvironmentState(),
        proxies=PROXIES[: len(proxies)],
        lifecycle_actions=(ActionProgress(ACTION, BEGIN),),
    )
    published = publish(seen, Assignment(DIGEST), "test", BEGIN, backends)
    named = dict(zip((FIRST, SECOND), proxies, strict=False))
    return published.with_proxy_states(named)


def ends(
    found: EnvironmentState, after: float, action: LifecycleAction = ACTION
) -> Ending | None:
    """How the action ends so long after it was seen."""
    return ending(ActionProgress(action, BEGIN), found, SETTINGS, BEGIN + after)


IDLE, BUSY = told("out"), told("out", 3)
UNTOLD, NEW_CLIENTS = told("", None), told("up", 2)
OFFLINE = replace(
    told(None, at=BEGIN - 60), outcome=Outcome.MISSING, reason="agent-offline"
)

C, A = Ending.CONTINUE, Ending.ABANDON
SOON, AT_LAST, NEVER = 1.0, DRAIN, DRAIN + UNPROVED_SECONDS
# What two proxies said; then how a terminate action ends at once, after DrainSeconds, and when patience is over;
# and where the group keeps instances whose drain could not be proved.
LEAVING: Mapping[
    str, tuple[ProxyState, ProxyState, tuple[Ending | None, ...], Ending]
] = {
    "idle": (IDLE, IDLE, (C, C, C), C),
    "gone": (told("gone"), IDLE, (C, C, C), C),
    "sessions": (IDLE, BUSY, (None, C, C), C),
    "uncounted": (IDLE, told("out", None), (None, C, C), C),
    "cannot-ask-its-worker": (IDLE, UNTOLD, (None, C, C), C),
    "new-clients": (IDLE, NEW_CLIENTS, (None, None, C), A),
    "not-asked": (IDLE, told(None), (None, None, C), A),
    "offline": (IDLE, OFFLINE, (None, C, C), A),
    "silent-since": (IDLE, told("out", at=BEGIN - 1), (None, C, C), A),
    "unsettled": (IDLE, replace(BUSY, running=""), (None, None, C), A),
    "stopped": (
        IDLE,
        replace(BUSY, serving=replace(BUSY.serving, haproxy=HAProxy.STOPPED)),
        (C, C, C),
        C,
    ),
    "other-files": (
        IDLE,
        replace(
            BUSY,
            running="",
            serving=replace(BUSY.serving, haproxy=HAProxy.CONFIG_NOT_USED),
        ),
        (None, C, C),
        A,
    ),
}


@pytest.mark.fault("F275")
@pytest.mark.fault("F276")
@pytest.mark.parametrize("case", LEAVING)
def test_an_instance_goes_when_its_drain_is_over(case: str) -> None:
    """Or could not be proved in time."""
    first, second, expected, kept = LEAVING[case]
    found = state(first, second)
    assert tuple(ends(found, after) for after in (SOON, AT_LAST, NEVER)) == expected
    keeping = replace(ACTION, keeps_abandoned=True)
    assert ends(found, NEVER, keeping) is kept


@pytest.mark.fault("F275")
def test_a_drain_that_is_not_published_is_not_proved() -> None:
    """As in a freeze: a server that is down for a moment takes nobody, and comes back."""
    found = state(IDLE, IDLE, drain=False)
    assert (ends(found, SOON), ends(found, AT_LAST)) == (None, None)


def test_where_nothing_was_ever_published_nobody_is_held_up() -> None:
    """No proxy sends it anybody."""
    first_freeze = replace(state(IDLE), publication=None)
    assert ends(first_freeze, 0.0) is C
    assert ends(first_freeze, 0.0, LAUNCH) is C


def test_the_last_backend_of_a_template_without_drains_goes_after_its_time() -> None:
    """Nobody else can answer, so proxies go on with it; more cannot be proved."""
    found = state(NEW_CLIENTS, IDLE, pool=(backend(1, drain=True),))
    assert (ends(found, SOON), ends(found, AT_LAST)) == (None, C)


# What two proxies said; how a launch action ends, whenever that is.
COMING: Mapping[str, tuple[ProxyState, ProxyState, Ending | None]] = {
    "up": (told("up"), told("up"), C),
    "down": (told("up"), told("out"), None),
    "part": (told("up"), told("part"), None),
    "not-there": (told("up"), told("gone"), None),
    "not-asked": (told("up"), told(None), None),
    "cannot-ask-its-worker": (told("up"), UNTOLD, C),
    "offline": (told("up"), OFFLINE, C),
    "nobody-is-reachable": (OFFLINE, OFFLINE, None),
    "unsettled": (told("up"), replace(told("up"), running=""), None),
}


@pytest.mark.fault("F277")
@pytest.mark.parametrize("case", COMING)
def test_an_instance_is_in_service_when_every_reachable_proxy_sees_it_up(
    case: str,
) -> None:
    """However long that takes: its hook has a timeout for what never comes up."""
    first, second, expected = COMING[case]
    found = state(first, second, drain=False)
    assert {ends(found, after, LAUNCH) for after in (SOON, AT_LAST)} == {expected}


def test_without_proxies_nobody_is_waited_for() -> None:
    """Nothing sends it requests."""
    assert (ends(state(), SOON), ends(state(), SOON, LAUNCH)) == (C, C)


@given(
    st.lists(st.sampled_from([IDLE, BUSY, UNTOLD, NEW_CLIENTS, OFFLINE]), max_size=2),
    st.booleans(),
)
def test_every_termination_ends(proxies: list[ProxyState], keeps: bool) -> None:  # noqa: FBT001
    """Whatever proxies say; and not before one that answers has proved the drain or patience is over."""
    action = replace(ACTION, keeps_abandoned=keeps)
    found = state(*proxies)
    assert ends(found, NEVER, action) is not None
    if NEW_CLIENTS in proxies:
        assert ends(found, NEVER - 1, action) is None


@pytest.mark.fault("F278")
@given(st.floats(0, NEVER + 10), st.sampled_from([IDLE, BUSY, NEW_CLIENTS, OFFLINE]))
def test_there_is_always_a_time_to_come_back(after: float, second: ProxyState) -> None:
    """Nothing but our own message may come, so what goes on has one; and it is never the past."""
    found, now = state(IDLE, second), BEGIN + after
    goes_on = ends(found, after) is None
    at = wake_at(found, SETTINGS, now)
    assert at is None or at > now
    assert not goes_on or (at is not None and at <= BEGIN + NEVER)


def test_who_is_asked_again_and_when() -> None:
    """Soon at first, then less often; nobody who has nothing more to say."""
    watch = Watch(state(IDLE, BUSY), SETTINGS, BEGIN + 4.5)
    assert watch.due() == {SECOND}
    later = Watch(state(IDLE, BUSY), SETTINGS, BEGIN + 3.5)
    assert (later.due(), later.ask_at) == (frozenset(), BEGIN + 4)
    offline = Watch(state(IDLE, OFFLINE), SETTINGS, BEGIN + 60)
    assert offline.standings(ActionProgress(ACTION, BEGIN))[1] is Standing.UNREACHABLE
    assert (offline.due(), offline.ask_at) == (frozenset(), inf)


def test_an_agent_that_is_offline_keeps_nobody_waiting_for_longer() -> None:
    """Its last word may be a good one."""
    found = state(told("up"), told("out", at=BEGIN - 1), drain=False)
    away = replace(found, agents={SECOND: Agent("3.3.0.0", "ConnectionLost", BEGIN)})
    assert (ends(found, SOON, LAUNCH), ends(away, SOON, LAUNCH)) == (None, C)


def test_a_command_asks_about_so_many_servers() -> None:
    """Those of actions first, the oldest first; each once."""
    many = tuple(backend(number, drain=True) for number in range(1, 151))
    found = replace(
        state(IDLE, pool=many),
        lifecycle_actions=tuple(
            ActionProgress(
                replace(ACTION, hook=hook, endpoint=endpoint(many[which])), at
            )
            for hook, which, at in (
                ("b", 149, 20.0),
                ("a", 120, 10.0),
                ("c", 120, 30.0),
            )
        ),
    )
    asked = watching.endpoints(found, BEGIN)
    assert asked[:3] == ("10.0.0.121:8080", "10.0.0.150:8080", "10.0.0.1:8080")
    assert len(asked) == len(set(asked)) == MAX_WATCHED


# Instances in a pool; which of them machines leave; which are out of the balance.
@pytest.mark.fault("F279")
@pytest.mark.parametrize(
    ("pool", "leaving", "expected"),
    [
        ((backend(1), backend(2)), {1}, {1}),
        ((backend(1), backend(2)), {1, 2}, set()),
        ((backend(1), backend(2, drain=True)), {1}, set()),
        ((backend(1, maint=True), backend(2)), set(), {1}),
        ((backend(1, maint=True), backend(2)), {2}, set()),
        ((backend(1), backend(2)), set(), set()),
    ],
)
def test_a_machine_that_goes_is_out_of_the_balance_while_others_answer(
    pool: tuple[Backend, ...], leaving: set[int], expected: set[int]
) -> None:
    """Also once EC2 shows it no more, as long as the guard holds it."""
    going = frozenset(backend(each).instance_id for each in leaving)
    shown = tuple(
        each for each in pool if not each.maint and each.instance_id not in going
    )
    fleet = Fleet(shown, (), leaving=going)
    after = lifecycle.out_of_balance(Verdict(pool), fleet).pool
    assert after is not None
    out = {each.instance_id for each in after if each.maint}
    assert out == {backend(each).instance_id for each in expected}


def test_who_is_back_in_the_pool_is_in_the_balance() -> None:
    """A machine that was stopped and started again."""
    fleet = Fleet((backend(1), backend(2)), ())
    after = lifecycle.out_of_balance(
        Verdict((backend(1, maint=True), backend(2))), fleet
    )
    assert after.pool == (backend(1), backend(2))


@pytest.mark.fault("F280")
def test_who_comes_back_from_standby_drains_until_it_serves() -> None:
    """It is `Pending` on its way back, and must not leave the pool for that moment."""
    waiting = Fleet((backend(2),), (), waiting=frozenset({backend(1).instance_id}))
    back = lifecycle.with_returning(waiting, state(IDLE))
    assert back.backends == (backend(1, drain=True), backend(2))
    assert dict(back.drains) == {backend(1).instance_id: "Pending"}
    newcomer = replace(waiting, waiting=frozenset({backend(3).instance_id}))
    assert lifecycle.with_returning(newcomer, state(IDLE)) == newcomer
