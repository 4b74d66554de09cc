"""Whatever a state says: health is the worst condition, no green is older than it may be, the headline is a line."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from haproxy_sync.fleet.model import Backend, Proxy, Skipped
from haproxy_sync.operator import told, words
from haproxy_sync.operator.health import Health
from haproxy_sync.operator.situation import Situation
from haproxy_sync.rollout import word
from haproxy_sync.rollout.progress import Progress
from haproxy_sync.settings import Settings
from haproxy_sync.state.model import (
    NEVER_TOLD,
    Agent,
    Assignment,
    BackendServers,
    Command,
    Digest,
    EnvironmentState,
    Failure,
    Freeze,
    HandEdit,
    HAProxy,
    Hold,
    Inspection,
    Outcome,
    ProxyState,
    Publication,
    Purpose,
    Refusal,
    Serving,
)
from tests.unit.test_settings import GOOD

SETTINGS = Settings.from_env(GOOD)
NOW = 1_800_000_000.0
NEW, OLD = Digest("a" * 64, "b" * 32), Digest("c" * 64, "d" * 32)
PROXIES = tuple(
    Proxy(f"i-0000000{number}", "haproxy", f"lb-{number}", f"10.0.1.{number}", "a")
    for number in range(3)
)
POOL = tuple(
    Backend(f"i-1000000{number}", "tomcat", f"app-{number}", f"10.0.2.{number}", "a")
    for number in range(2)
)

times = st.one_of(
    st.just(0.0), st.floats(NOW - 4000, NOW), st.floats(allow_nan=False, width=32)
)
texts = st.one_of(
    st.just(""), st.text(max_size=40), st.text(min_size=200, max_size=900)
)
reasons = st.one_of(
    texts, st.sampled_from(["stopped", "rollback-failed", "cannot-write", "hand-edit"])
)
digests = st.sampled_from(["", NEW.md5, OLD.md5])
generations = st.integers(0, 3)
failures = st.none() | st.builds(Failure, texts, texts, texts, times, times)
counts = st.integers(0, 3)
servings = st.builds(
    Serving,
    at=times,
    haproxy=st.sampled_from(HAProxy),
    haproxy_version=texts,
    backends=st.none()
    | st.lists(st.builds(BackendServers, texts, counts, counts), max_size=3).map(tuple),
    more_backends=counts,
    since=times,
)
observed = st.builds(
    ProxyState,
    outcome=st.none() | st.sampled_from(Outcome),
    reason=reasons,
    detail=texts,
    observed_generation=generations,
    sent_generation=generations,
    installed=digests,
    running=digests,
    at=times,
    sent_at=times,
    attempts=counts,
    failed_generation=generations,
    failed_since=times,
    publisher=st.sampled_from(["", "ours", "theirs"]),
    other_publisher=texts,
    inspection=st.none()
    | st.builds(
        Inspection, times, reasons, st.booleans(), installed=digests, running=digests
    ),
    inspect_attempts=counts,
    serving=st.just(NEVER_TOLD) | servings,
    hand_edit=st.builds(HandEdit, times, texts),
)
commands = st.builds(
    Command,
    claim_id=st.just("1.0"),
    purpose=st.sampled_from(Purpose),
    generation=generations,
    fence=generations,
    digest=st.just(NEW),
    targets=st.just((PROXIES[0].instance_id,)),
    claimed_at=times,
    is_stalled=st.booleans(),
    deliver_by=times,
)
addresses = texts.map("s3://{0}/templates/{0}/".format)
publications = st.builds(
    Publication,
    generation=st.integers(1, 3),
    fence=st.integers(1, 3),
    at=times,
    assignment=st.sampled_from(
        [Assignment(NEW), Assignment(by_proxy={PROXIES[0].instance_id: NEW})]
    ),
    begun_generation=generations,
)


@st.composite
def states(draw: st.DrawFn) -> EnvironmentState:
    """Whatever may be remembered, whether or not it could have come so."""
    proxies = PROXIES[: draw(counts)]
    keys = [proxy.instance_id for proxy in proxies]
    pool = draw(st.sampled_from([None, (), POOL[:1], POOL]))
    gone = tuple(each.instance_id for each in pool or ())
    return EnvironmentState(
        looked_at=draw(times),
        wake_at=draw(times),
        publisher="ours",
        template_error=draw(texts),
        template_error_since=draw(times),
        earlier_uploads=draw(st.lists(addresses, max_size=4).map(tuple)),
        queued=draw(texts),
        refusal=draw(st.none() | st.builds(Refusal, times, times)),
        look_failure=draw(failures),
        send_failure=draw(failures),
        agents={
            key: draw(st.builds(Agent, texts, st.sampled_from(["", "Online"]), times))
            for key in draw(st.sets(st.sampled_from(keys)) if keys else st.just(set()))
        },
        agents_failure=draw(failures),
        backends=pool,
        proxies=proxies,
        skipped=tuple(
            draw(
                st.lists(
                    st.builds(
                        Skipped, texts, st.just("near-miss") | reasons, detail=texts
                    ),
                    max_size=2,
                )
            )
        ),
        publication=draw(st.none() | publications),
        commands=tuple(draw(st.lists(commands, max_size=1))) if proxies else (),
        proxy_states={key: draw(observed) for key in keys},
        hold=draw(
            st.none()
            | st.builds(
                Hold,
                texts,
                times,
                st.sampled_from([{}, dict.fromkeys(gone, NOW)]),
                ends_at=st.none() | times,
            )
        ),
        freeze=draw(st.none() | st.builds(Freeze, times, texts, generations)),
        first_freeze=draw(st.booleans()),
    )


situations = st.builds(
    Situation,
    states(),
    st.sampled_from([SETTINGS, replace(SETTINGS, canary=False, empty_pool="publish")]),
    st.just(NOW),
    corruption=st.just("") | texts,
    newer=st.just("") | texts,
    failure=st.none() | failures,
)


@pytest.mark.fault("F161")
@given(situations)
def test_the_headline_is_one_bounded_line(situation: Situation) -> None:
    """Whatever templates, hosts and tags wrote."""
    headline = told.environment(situation)["headline"]
    assert headline.isascii()
    assert headline.isprintable()
    assert len(headline) <= 400
    assert headline.startswith("staging ")


@pytest.mark.fault("F161")
@given(situations)
def test_health_is_the_worst_condition(situation: Situation) -> None:
    """And conditions come in that order."""
    answer = told.environment(situation)
    ranks = [Health(each["health"]).rank for each in answer["conditions"]]
    assert ranks == sorted(ranks, reverse=True)
    assert Health(answer["health"]).rank == max([0, *ranks])


@pytest.mark.fault("F161")
@given(situations)
def test_synced_needs_the_proof_of_every_proxy(situation: Situation) -> None:
    """By a word that counts."""
    if told.environment(situation)["sync"] != "synced":
        return
    state = situation.state
    assert state.publication
    assert state.proxies
    assert Progress(state).unsettled == ()
    for observed_ in map(state.proxy_state, state.proxy_ids):
        assert not word.is_too_old(observed_, situation.settings, NOW)


@pytest.mark.fault("F161")
@given(situations)
def test_no_old_word_is_green(situation: Situation) -> None:
    """Neither of the environment nor of the proxy."""
    settings = situation.settings
    old = {
        key
        for key in situation.state.proxy_ids
        if 0 < word.heard_at(situation.state.proxy_state(key)) < NOW - 1200
    }
    answer = told.status(
        {"proxies": {key: {} for key in situation.state.proxy_ids}}, situation
    )
    assert word.counts_for(settings) == 1200
    if old:
        assert answer["health"] != "healthy"
        assert answer["sync"] != "synced"
    if situation.is_known:
        assert all(answer["proxies"][key]["health"] != "healthy" for key in old)


ages = st.floats(0, 4000)


@st.composite
def well(draw: st.DrawFn) -> dict[str, ProxyState]:
    """Proxies of which nothing is wrong, and what each of them said how long ago."""
    return {
        proxy.instance_id: ProxyState(
            outcome=Outcome.UNCHANGED,
            observed_generation=1,
            sent_generation=1,
            installed=NEW.md5,
            running=NEW.md5,
            at=NOW - draw(ages),
            inspection=draw(
                st.none()
                | st.builds(
                    Inspection,
                    ages.map(lambda age: NOW - age),
                    has_answered=st.booleans(),
                    installed=st.just(NEW.md5),
                )
            ),
            serving=Serving(NOW - draw(ages), HAProxy.RUNNING, "2.8"),
        )
        for proxy in PROXIES
    }


@pytest.mark.fault("F161")
@given(well(), st.booleans())
def test_green_lasts_two_drift_periods(
    observed_: dict[str, ProxyState],
    is_frozen: bool,  # noqa: FBT001 # drawn
) -> None:
    """To the second, whatever the host was asked for, frozen or not; then nothing is known of it any more."""
    state = EnvironmentState(
        looked_at=NOW - 30,
        backends=POOL,
        proxies=PROXIES,
        publication=Publication(1, 1, NOW - 90000, Assignment(NEW)),
        proxy_states=observed_,
        freeze=Freeze(NOW + 60, "incident") if is_frozen else None,
    )
    answer = told.status(
        {"proxies": {key: {} for key in observed_}}, Situation(state, SETTINGS, NOW)
    )
    is_known = {
        key: word.heard_at(each) >= NOW - 1200 for key, each in observed_.items()
    }
    assert {
        key: each["sync"] == "synced" for key, each in answer["proxies"].items()
    } == is_known
    assert {
        key: each["health"] == "healthy" for key, each in answer["proxies"].items()
    } == is_known
    expected = (
        ("synced", "healthy") if all(is_known.values()) else ("unknown", "unknown")
    )
    assert (answer["sync"], answer["health"]) == expected


@pytest.mark.fault("F158")
@pytest.mark.parametrize(("asked_at", "is_edit"), [(10.0, True), (-10.0, False)])
def test_what_was_seen_before_the_last_command_is_no_hand_edit(
    asked_at: float,
    is_edit: bool,  # noqa: FBT001 # a column of the table
) -> None:
    """An inspection that was under way while the config was installed may have seen the file of before."""
    said_at = NOW - 100
    (first, *_) = PROXIES
    settled = ProxyState(
        outcome=Outcome.INSTALLED,
        observed_generation=1,
        sent_generation=1,
        installed=NEW.md5,
        running=NEW.md5,
        at=said_at,
        inspect_sent_at=said_at + asked_at,
        inspection=Inspection(said_at + 15, installed=OLD.md5),
    )
    state = EnvironmentState(
        looked_at=NOW - 30,
        backends=POOL,
        proxies=(first,),
        publication=Publication(1, 1, NOW - 90000, Assignment(NEW)),
        proxy_states={first.instance_id: settled},
    )
    answer = told.environment(Situation(state, SETTINGS, NOW))
    assert answer["sync"] == ("out-of-sync" if is_edit else "synced")


def test_each_of_many_proxies_is_told_when_it_compares_next() -> None:
    """However many chunks that takes."""
    many = tuple(
        Proxy(f"i-{number:08x}", "haproxy", f"lb-{number}", "10.0.1.1", "a")
        for number in range(120)
    )
    each = ProxyState(
        outcome=Outcome.UNCHANGED,
        observed_generation=1,
        sent_generation=1,
        installed=NEW.md5,
        running=NEW.md5,
        at=NOW - 50,
        sent_at=NOW - 55,
    )
    state = EnvironmentState(
        looked_at=NOW - 30,
        proxies=many,
        publication=Publication(1, 1, NOW - 90000, Assignment(NEW)),
        proxy_states={proxy.instance_id: each for proxy in many},
    )
    upcoming = Situation(state, SETTINGS, NOW).upcoming
    assert {(coming.purpose, coming.at) for coming in upcoming.values()} == {
        ("verify", NOW - 30 + 600)
    }
    assert len(upcoming) == len(many)


def test_a_text_of_others_is_one_line_of_ascii() -> None:
    """Line breaks become blanks, control characters vanish, letters of other languages become escapes."""
    assert words.clean("a\nb\x1b[31m \u00fc") == "a b[31m \\xfc"
    assert words.clip("x" * 9, 8) == "xxxxx..."


@pytest.mark.parametrize(
    ("items", "sentence"),
    [
        ([], ""),
        (["a"], "a"),
        (["a", "b"], "a and b"),
        (["a", "b", "c"], "a, b and c"),
        (["a", "b", "c", "d"], "a, b, c and 1 more"),
    ],
)
def test_names_are_listed_as_people_do(items: list[Any], sentence: str) -> None:
    """And of many the first ones."""
    assert words.several(items) == sentence


def test_a_time_of_another_day_has_its_date() -> None:
    """One that no clock shows is none."""
    assert words.clock(NOW, NOW) == "08:00:00 UTC"
    assert words.clock(NOW - 86400, NOW) == "2027-01-14 08:00:00 UTC"
    assert words.clock(1e300, NOW) == ""
