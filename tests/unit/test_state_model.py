"""The state as values, and as JSON that survives every way of being wrong."""

import json
from dataclasses import fields, replace
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from haproxy_sync.errors import CorruptState, NewerState
from haproxy_sync.fleet.model import Backend, LifecycleAction, Proxy, Skipped
from haproxy_sync.rollout.transitions import next_revision, publish
from haproxy_sync.state import codec
from haproxy_sync.state.history import MAX_ENTRIES
from haproxy_sync.state.model import (
    NEVER_EDITED,
    NEVER_TOLD,
    ActionProgress,
    Agent,
    Assignment,
    BackendServers,
    Command,
    Digest,
    Document,
    Drain,
    EndedHold,
    EnvironmentState,
    Failure,
    Freeze,
    HandEdit,
    HAProxy,
    Hold,
    Inspection,
    LastGood,
    Origin,
    OriginKind,
    Outcome,
    ProxyState,
    Purpose,
    Refusal,
    Serving,
    Turnover,
    Watched,
)

DIGEST = Digest("a" * 64, "b" * 32)
OTHER = Digest("c" * 64, "d" * 32)
BACKEND = Backend(
    "i-0000000a",
    "tomcat",
    "app",
    "10.0.0.1",
    "a",
    "app.x",
    7,
    {"Name": "a\n#\u2028"},
    9000,
    0,
    backup=True,
)
PROXY = Proxy("i-0000000b", "haproxy", "lb", "10.0.0.2", "a")


def full() -> EnvironmentState:
    """A state that uses every field."""
    published = publish(
        EnvironmentState(revision=41), Assignment(DIGEST), "launch", 5.0, (BACKEND,)
    )
    assert published.publication
    return replace(
        published,
        schema=2,
        writer="request-1",
        looked_at=1.5,
        wake_at=2.0,
        advance_at=2.5,
        last_good=LastGood(DIGEST, (5.5, 6.5)),
        converged_at=3.0,
        verify_requested_at=4.0,
        queued="sweep",
        refusal=Refusal(4.5, 9.5),
        look_failure=Failure("DescribeInstances", "Throttling", "no", 4.5, 4.6),
        send_failure=Failure("SendCommand", "InvalidParameters", "no", 4.7, 4.8),
        agents={PROXY.instance_id: Agent("3.3.3572.0", "Online", 4.9)},
        agents_failure=Failure("", "ReadTimeoutError", "late", 5.0, 5.1),
        template_error_since=4.1,
        template_error="haproxy.cfg.j2:3: 'x' is undefined",
        template_origin=Origin(OriginKind.UPLOADED, "0123456789abcdef", 4.2),
        variables_origin=Origin(OriginKind.NONE),
        earlier_uploads=("s3://bucket/vars/staging.yml",),
        proxies=(PROXY,),
        skipped=(Skipped("i-0000000c", "bad-port", "x", "ip-10-0-0-9", "10.0.0.9"),),
        others=("i-0000000e",),
        publication=replace(
            published.publication,
            document=Document("3", "e" * 64, "f" * 64),
            program="d" * 64,
            begun_generation=1,
        ),
        commands=(
            Command(
                "41.0",
                Purpose.WAVE,
                1,
                41,
                DIGEST,
                (PROXY.instance_id,),
                6.0,
                "id",
                silent={"i-1": 6.5},
            ),
        ),
        late=(
            Command(
                "40.0",
                Purpose.CANARY,
                1,
                41,
                DIGEST,
                (PROXY.instance_id,),
                5.0,
                "id",
                silent={"i-1": 5.5},
            ),
        ),
        proxy_states={
            PROXY.instance_id: ProxyState(
                Outcome.INSTALLED,
                installed=DIGEST.md5,
                attempts=2,
                inspection=Inspection(5.0, "running", servers_up=3),
                serving=Serving(
                    5.0,
                    HAProxy.RUNNING,
                    "2.6.12",
                    (BackendServers("app", 1, 2),),
                    3,
                    4.5,
                    style="daemon",
                    old_workers=1,
                    watched=MappingProxyType({"10.0.0.1:8080": Watched("out", 3)}),
                ),
                notes=("no-drop-window",),
                window_ms=40,
                hand_edit=HandEdit(4.9, "/etc/haproxy/haproxy.cfg.bak", 4.5),
            )
        },
        inspect_requested_at=4.2,
        draining=MappingProxyType({BACKEND.instance_id: Drain("Standby", 4.0)}),
        lifecycle_actions=(
            ActionProgress(
                LifecycleAction(
                    BACKEND.instance_id,
                    "web",
                    "drain",
                    joins=False,
                    endpoint="10.0.0.1:8080",
                    heartbeat_seconds=300,
                ),
                4.0,
                heartbeat_at=4.5,
                failure=Failure(
                    "CompleteLifecycleAction", "AccessDenied", "", 4.6, 4.6
                ),
            ),
        ),
        rebalance=MappingProxyType({BACKEND.instance_id: 4.1}),
        publisher="arn:aws:cloudformation:eu-west-1:123456789012:stack/staging/1",
        inspecting=(
            Command(
                "41.inspect.0",
                Purpose.INSPECT,
                1,
                41,
                DIGEST,
                (PROXY.instance_id,),
                6.0,
                document=Document("3", "e" * 64, "f" * 64),
            ),
        ),
        hold=Hold(
            "why",
            7.0,
            {"i-0000000d": 8.0},
            time_counts_since=8.0,
            ends_at=308.0,
            let_go_at={"i-0000000d": 308.0},
        ),
        ended_holds=(EndedHold("why", 1.0, 2.0, "back (i-0000000d)"),),
        turnover=Turnover({"i-0000000d": 8.0}, {"i-0000000e": 9.0}),
        freeze=Freeze(9.0, "deploy", 1),
        first_freeze=True,
    )


def test_a_state_survives_the_bucket() -> None:
    """What is written is what is read."""
    assert codec.loads(codec.dumps(full())) == full()
    assert codec.loads(codec.dumps(full())).proxy_states == full().proxy_states
    assert codec.loads(codec.dumps(EnvironmentState())) == EnvironmentState()


def test_the_full_state_has_no_default_left() -> None:
    """The test above would otherwise not see a field that is never written."""
    assert all(
        getattr(full(), each.name) != getattr(EnvironmentState(), each.name)
        for each in fields(EnvironmentState)
    )


def test_a_state_of_another_release_is_readable() -> None:
    """A field more or less is no corruption, so that a deployment can be rolled back."""
    body = json.loads(codec.dumps(full()))
    body["from_the_future"] = {"x": 1}
    del body["verify_requested_at"]
    assert codec.loads(json.dumps(body).encode()) == replace(
        full(), verify_requested_at=0.0
    )


def test_a_state_from_before_there_were_programs_is_readable() -> None:
    """Its document names none, which is another one than that of any release since."""
    body = json.loads(codec.dumps(full()))
    del body["publication"]["document"]["program"]
    del body["publication"]["begun_generation"]
    del body["publication"]["program"]
    del body["refusal"]
    read = codec.loads(json.dumps(body).encode())
    assert read.document == Document("3", "e" * 64, "")
    assert read.program == ""
    assert read.refusal is None


def test_a_state_from_before_hosts_told_how_they_serve_is_readable() -> None:
    """Nothing is known of it then."""
    body = json.loads(codec.dumps(full()))
    observed = body["proxy_states"][PROXY.instance_id]
    del observed["serving"]
    del observed["hand_edit"]
    read = codec.loads(json.dumps(body).encode()).proxy_state(PROXY.instance_id)
    assert (read.serving, read.hand_edit) == (NEVER_TOLD, NEVER_EDITED)
    assert read.installed == DIGEST.md5


@pytest.mark.fault("F221")
def test_a_state_from_before_hosts_told_how_they_were_changed_is_readable() -> None:
    """It has no notes, no drop window, no style and no old workers; all else of the proxy is kept."""
    body = json.loads(codec.dumps(full()))
    observed = body["proxy_states"][PROXY.instance_id]
    for name in ("notes", "window_ms"):
        del observed[name]
    for name in ("style", "old_workers"):
        del observed["serving"][name]
    read = codec.loads(json.dumps(body).encode()).proxy_state(PROXY.instance_id)
    known = full().proxy_state(PROXY.instance_id)
    serving = replace(known.serving, style="", old_workers=None)
    assert read == replace(known, notes=(), window_ms=0, serving=serving)


@pytest.mark.fault("F48")
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"7",
        b"\xff\xfe",
        b'{"revision": "41"}',
        b'{"revision": true}',
        b"[" * 9999,
        b'{"looked_at": 1%s}' % (b"0" * 400),
    ],
)
def test_what_is_no_state_says_so(body: bytes) -> None:
    """And nothing else is raised."""
    with pytest.raises(CorruptState):
        codec.loads(body)


@pytest.mark.fault("F48")
@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["backends", 0, "address"], "10.0.0.1 #"),
        (["backends", 0, "port"], 0),
        (["backends", 0, "name"], None),
        (["commands", 0, "purpose"], "fun"),
        (["publication", "assignment"], None),
        (["proxy_states"], []),
        (["hold", "missing"], {"i-1": "x"}),
    ],
)
def test_an_edited_value_is_corruption(path: list[str | int], value: object) -> None:
    """What an editor broke never reaches a config or a command."""
    body: Any = json.loads(codec.dumps(full()))
    place = body
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    with pytest.raises(CorruptState):
        codec.loads(json.dumps(body).encode())


@given(st.data())
def test_any_broken_state_is_corrupt_or_sound(data: st.DataObject) -> None:
    """Bytes cut out, doubled or changed anywhere: read or refused."""
    body = bytearray(codec.dumps(full()))
    at = data.draw(st.integers(0, len(body) - 1))
    end = data.draw(st.integers(at, min(at + 40, len(body))))
    body[at:end] = data.draw(st.binary(max_size=8))
    try:
        assert isinstance(codec.loads(bytes(body)), EnvironmentState)
    except (CorruptState, NewerState) as unread:
        assert str(unread)  # noqa: PT017 # either way is right


@pytest.mark.fault("F51")
@given(st.integers(0, 2**40), st.floats(0, 2**33))
def test_the_next_revision_is_never_the_same(revision: int, now: float) -> None:
    """Its number only grows, so its bytes differ, so its ETag does."""
    before = EnvironmentState(revision=revision)
    after = next_revision(before, now, "w")
    assert after.revision > before.revision
    assert codec.dumps(after) != codec.dumps(before)


@pytest.mark.fault("F15")
def test_a_clock_that_is_behind_does_not_let_numbers_fall() -> None:
    """The previous number wins over the clock; a lost state starts at the clock."""
    ahead = publish(
        EnvironmentState(), Assignment(DIGEST), "launch", 2_000_000_000.0, ()
    )
    behind = publish(ahead, Assignment(OTHER), "tag", 1_000.0, ())
    assert behind.publication
    assert (behind.publication.generation, behind.publication.fence) == (
        2,
        2_000_000_001,
    )
    lost = publish(
        EnvironmentState(), Assignment(DIGEST), "launch", 1_900_000_000.9, ()
    )
    assert lost.publication
    assert (lost.publication.generation, lost.publication.fence) == (1, 1_900_000_000)


def test_a_freeze_ends_by_itself() -> None:
    """Nobody has to remember it."""
    frozen = EnvironmentState(freeze=Freeze(100.0, "deploy"))
    assert next_revision(frozen, 99.9, "w").freeze
    assert next_revision(frozen, 100.0, "w").freeze is None


def test_the_history_tells_what_changed_by_instance() -> None:
    """Added, removed and changed servers; an equal config is no entry."""
    one = publish(EnvironmentState(), Assignment(DIGEST), "launch", 1.0, (BACKEND,))
    same = publish(one, Assignment(DIGEST), "sweep", 2.0, (BACKEND,))
    assert same.history == one.history
    assert same.publication == one.publication
    moved = replace(BACKEND, port=9001)
    new = replace(BACKEND, instance_id="i-0000000e", name="app-2", address="10.0.0.7")
    two = publish(same, Assignment(OTHER), "tag", 3.0, (moved, new))
    entry = two.history[-1]
    assert (entry.generation, entry.why, entry.at) == (2, "tag", 3.0)
    assert (entry.added, entry.removed, entry.changed) == (
        ("i-0000000e",),
        (),
        ("i-0000000a",),
    )
    gone = publish(two, Assignment(DIGEST), "end", 4.0, (new,)).history[-1]
    assert gone.removed == ("i-0000000a",)


def test_the_history_keeps_the_newest_fifty() -> None:
    """More would only make every read slower."""
    state = EnvironmentState()
    for number in range(MAX_ENTRIES + 9):
        digest = Digest(f"{number:064x}", f"{number:032x}")
        state = publish(state, Assignment(digest), "x", float(number), ())
    assert [change.generation for change in state.history] == list(
        range(10, MAX_ENTRIES + 10)
    )


def test_each_proxy_may_have_its_own_config() -> None:
    """A template that mentions the rendering host assigns one per proxy."""
    assignment = Assignment(by_proxy={"i-0000000b": DIGEST})
    assert assignment["i-0000000b"] == DIGEST
    assert assignment["i-0000000f"] is None
    assert Assignment(OTHER)["i-0000000f"] == OTHER


@pytest.mark.fault("F150")
def test_who_was_skipped_by_an_earlier_release_has_no_name() -> None:
    """The name comes with the next look; what is there is kept whole."""
    named = EnvironmentState(skipped=(Skipped("i-1", "a", "b", "c", "10.0.0.1", "d"),))
    (kept,) = codec.loads(codec.dumps(named)).skipped
    assert (kept.name, kept.address, kept.zone) == ("c", "10.0.0.1", "d")
    earlier = b'{"skipped":[{"instance_id":"i-1","reason":"a","detail":"b"}]}'
    (kept,) = codec.loads(earlier).skipped
    assert (kept.name, kept.address, kept.zone) == ("", "", "")


@pytest.mark.fault("F177")
def test_a_state_says_of_which_schema_it_is() -> None:
    """First of all, by whatever release it was read; one that says nothing is of the first."""
    assert codec.dumps(EnvironmentState()).startswith(b'{"schema":2,')
    body = json.loads(codec.dumps(full()))
    del body["schema"]
    read = codec.loads(json.dumps(body).encode())
    assert (read, read.schema) == (full(), 1)
    assert codec.loads(codec.dumps(read)).schema == 2


@pytest.mark.fault("F177")
@given(schema=st.integers(3), more=st.dictionaries(st.text(), st.integers()))
def test_a_newer_schema_is_refused_whatever_else_it_says(
    schema: int, more: dict[str, int]
) -> None:
    """It need not have one field of those known here."""
    body = json.dumps({"revision": "r41", **more, "schema": schema}).encode()
    with pytest.raises(NewerState, match=f"schema {schema}, of a newer release"):
        codec.loads(body)


@pytest.mark.fault("F177")
@pytest.mark.parametrize("schema", ['"3"', "true", "3.0", "null", "[]"])
def test_a_schema_that_is_none_is_corruption(schema: str) -> None:
    """No release writes it."""
    with pytest.raises(CorruptState):
        codec.loads(f'{{"schema": {schema}}}'.encode())
