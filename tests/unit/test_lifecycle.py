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
from haproxy_sync.reconcile.lifecycle import (
    UNPROVED_SECONDS,
    Acting,
    Ending,
    ending,
    wake_at,
)
from haproxy_sync.rollout import watching
from haproxy_sync.rollout.transitions import publish
from haproxy_sync.rollout.watching import MAX_WATCHED, Standing, Watch
from haproxy_sync.settings import Settings
from haproxy_sync.state.model import (
    ActionProgress,
    Agent,
    Assignment,
    Command,
    Digest,
    EnvironmentState,
    Failure,
    HAProxy,
    Outcome,
    ProxyState,
    Purpose,
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
    return ending(ActionProgress(action, BEGIN), Watch(found, SETTINGS, BEGIN + after))


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
    "silent-since": (
        IDLE,
        replace(told("out", at=BEGIN - 1), inspect_sent_at=BEGIN + 1),
        (None, C, C),
        A,
    ),
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


def test_in_the_first_freeze_hooks_are_left_alone() -> None:
    """The proxies may serve by somebody else's configs, so nobody of us knows who has sessions where."""
    frozen = replace(state(IDLE), publication=None, first_freeze=True)

    def never() -> None:
        raise AssertionError("Auto Scaling was asked")

    assert Acting(never, SETTINGS, BEGIN + NEVER).acted(frozen) == frozen
    assert wake_at(frozen, SETTINGS, BEGIN) is None
    assert ends(frozen, 0.0, LAUNCH) is C  # no proxy gets a config that has it
    assert watching.endpoints(frozen, BEGIN) == (ACTION.endpoint,)  # it drains, too


def test_where_the_publication_was_lost_nobody_has_proved_anything() -> None:
    """Proxies run what was published before."""
    lost = replace(state(BUSY, BUSY), publication=None)
    assert (ends(lost, SOON), ends(lost, AT_LAST)) == (None, None)
    assert ends(lost, NEVER) is C


@pytest.mark.fault("F275")
def test_a_proxy_that_was_ready_first_is_asked_once_more() -> None:
    """A client may have come back there while another proxy still had one: the last round decides."""
    early, late = told("out", at=BEGIN + 10), told("out", at=BEGIN + 40)
    found = state(early, late)
    progress = replace(found.lifecycle_actions[0], busy_at=BEGIN + 30)
    found = replace(found, lifecycle_actions=(progress,))
    watch = Watch(found, SETTINGS, BEGIN + 43)
    assert ending(progress, watch) is None
    assert watch.due() == {FIRST}
    again = replace(found, proxy_states=state(late, late).proxy_states)
    assert ending(progress, Watch(again, SETTINGS, BEGIN + 43)) is C


@pytest.mark.fault("F275")
def test_what_was_asked_before_the_config_came_proves_nothing() -> None:
    """An answer may be older than its command, where the host was busy with another one."""
    word = told("out", at=BEGIN + 5)
    older = replace(word, at=BEGIN + 8, sent_at=BEGIN + 3)
    found = state(
        IDLE, replace(older, serving=replace(word.serving, claimed_at=BEGIN + 4))
    )
    assert ends(found, 10.0) is None
    by_apply = replace(older, serving=replace(word.serving, claimed_at=BEGIN + 3))
    assert ends(state(IDLE, by_apply), 10.0) is C


@pytest.mark.fault("F276")
def test_a_drain_counts_also_where_newer_changes_are_on_their_way() -> None:
    """A rollout may be slower than the changes, so that nobody ever has the newest config."""
    on_the_way = replace(
        IDLE, running="e" * 32, observed_generation=4, sent_generation=5
    )
    found = state(on_the_way, on_the_way)
    assert ends(found, 10.0) is None
    progress = replace(found.lifecycle_actions[0], generation=3)
    assert ending(progress, Watch(found, SETTINGS, BEGIN + 10)) is C


@pytest.mark.fault("F276")
@pytest.mark.parametrize("what", ["send_failure", "agents_failure"])
def test_who_could_not_be_asked_is_not_unreachable(what: str) -> None:
    """Commands are refused, so its silence says nothing: it still sends new clients there."""
    silent = replace(told("out", at=BEGIN - 1), inspect_sent_at=BEGIN + 1)
    found = state(IDLE, silent)
    assert ends(found, AT_LAST) is C
    failure: Any = {what: Failure("SendCommand", "Throttling", "no", BEGIN, BEGIN)}
    assert ends(replace(found, **failure), AT_LAST) is None
    never_asked = state(IDLE, told("out", at=BEGIN - 1))
    assert ends(never_asked, AT_LAST) is None


def test_however_short_drains_are_proxies_have_time_to_prove_them() -> None:
    """`DrainSeconds` is for sessions."""
    stack = replace(SETTINGS, drain_seconds=0.0)
    progress = ActionProgress(ACTION, BEGIN)

    def after(found: EnvironmentState, seconds: float) -> Ending | None:
        return ending(progress, Watch(found, stack, BEGIN + seconds))

    assert after(state(BUSY, BUSY), 0.0) is C
    assert after(state(BUSY, OFFLINE), 20.0) is None
    assert after(state(BUSY, OFFLINE), 30.0) is C
    assert after(state(BUSY, NEW_CLIENTS), UNPROVED_SECONDS) is None


@pytest.mark.parametrize("changes", [{"is_running": False}, {"endpoint": ""}])
def test_nobody_is_waited_for_whom_no_client_reaches(changes: dict[str, Any]) -> None:
    """Its machine is gone, or it is no backend by its tags."""
    action = replace(ACTION, **changes)
    assert ends(state(NEW_CLIENTS), 0.0, action) is C
    assert ends(state(NEW_CLIENTS), 0.0, replace(action, joins=True)) is C


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


@pytest.mark.parametrize(
    "changes", [{"weight": 0}, {"drain": True}], ids=["weight", "drain"]
)
def test_one_that_takes_no_clients_by_its_tags_never_comes_up(
    changes: dict[str, Any],
) -> None:
    """So it is in service when every proxy has it."""
    pool = (backend(1, **changes), backend(2))
    assert ends(state(told("out"), told("out"), pool=pool), SOON, LAUNCH) is C
    assert ends(state(told("out"), told(None), pool=pool), SOON, LAUNCH) is None


def test_where_no_proxy_can_be_reached_a_launch_waits_drain_seconds() -> None:
    """Longer, and the group would replace it, again and again."""
    found = state(OFFLINE, OFFLINE, drain=False)
    assert (ends(found, SOON, LAUNCH), ends(found, AT_LAST, LAUNCH)) == (None, C)


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
    watch = Watch(state(IDLE, BUSY), SETTINGS, BEGIN + 2.5)
    assert watch.due() == {SECOND}
    sooner = Watch(state(IDLE, BUSY), SETTINGS, BEGIN + 1.5)
    assert (sooner.due(), sooner.ask_at) == (frozenset(), BEGIN + 2)
    later = Watch(state(IDLE, BUSY), SETTINGS, BEGIN + 70)
    assert later.ask_at == BEGIN + 5
    command = Command(
        "claim", Purpose.INSPECT, 1, 1, DIGEST, (SECOND,), BEGIN + 2, "id"
    )
    asked = replace(state(IDLE, BUSY), inspecting=(command,))
    assert Watch(asked, SETTINGS, BEGIN + 70).due() == frozenset()
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
    back = lifecycle.among_pool(waiting, state(IDLE))
    assert back.backends == (backend(1, drain=True), backend(2))
    assert dict(back.drains) == {backend(1).instance_id: "Pending"}
    newcomer = replace(waiting, waiting=frozenset({backend(3).instance_id}))
    assert lifecycle.among_pool(newcomer, state(IDLE)) == newcomer


@pytest.mark.fault("F272")
def test_who_never_was_in_service_does_not_come_to_drain() -> None:
    """A launch that is abandoned is `Terminating`, and no server of anybody; who drains by its tag joins."""
    key = backend(3).instance_id
    fleet = Fleet((backend(2), backend(3, drain=True)), (), drains={key: "Terminating"})
    assert lifecycle.among_pool(fleet, state(IDLE)).backends == (backend(2),)
    tagged = replace(fleet, drains={key: "haproxy:drain"})
    assert lifecycle.among_pool(tagged, state(IDLE)) == tagged
    lost = replace(state(IDLE), backends=None)
    assert lifecycle.among_pool(fleet, lost) == fleet


@pytest.mark.fault("F286")
def test_who_is_held_on_its_way_into_a_warm_pool_drains() -> None:
    """The guard keeps it, since too few are left; new clients go to others all the same."""
    fleet = Fleet((backend(2),), (), let_go=frozenset({backend(1).instance_id}))
    after = lifecycle.out_of_balance(Verdict((backend(1), backend(2))), fleet)
    assert after.pool == (backend(1, drain=True), backend(2))
