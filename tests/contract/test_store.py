"""The bucket as the arbiter: conditional writes, and what every failure leaves behind."""

from dataclasses import replace

import pytest
from botocore.exceptions import ClientError

from haproxy_sync.errors import Superseded
from haproxy_sync.fleet.model import Config
from haproxy_sync.rollout.transitions import next_revision
from haproxy_sync.state.model import EnvironmentState
from haproxy_sync.state.store import Snapshot, Store, last_good_key
from tests.contract.faults import Fault, failing, interposed
from tests.contract.world import World

ENVIRONMENT = "staging"
KEY = "state/staging.json"


def put(world: World, state: EnvironmentState, etag: str | None) -> str:
    """The state into the bucket."""
    return Store.of(world.clients, world.settings).put(state, etag)


def read(world: World) -> Snapshot:
    """The state from the bucket."""
    return Store.of(world.clients, world.settings).read()


@pytest.mark.fault("F47")
def test_of_two_first_runs_one_wins(world: World) -> None:
    """Without a state it is created, not replaced."""
    assert read(world) == Snapshot(EnvironmentState(), None, is_first=True)
    put(world, EnvironmentState(revision=1, writer="a"), None)
    with pytest.raises(Superseded):
        put(world, EnvironmentState(revision=1, writer="b"), None)
    assert read(world).state.writer == "a"


@pytest.mark.fault("F08")
def test_only_the_version_that_was_read_is_replaced(world: World) -> None:
    """Whoever read an older one starts again."""
    first = put(world, EnvironmentState(revision=1), None)
    put(world, EnvironmentState(revision=2), first)
    with pytest.raises(Superseded):
        put(world, EnvironmentState(revision=3), first)
    assert read(world).state.revision == 2


@pytest.mark.fault("F51")
def test_an_unchanged_world_still_gets_a_new_etag(world: World) -> None:
    """Equal bytes would be an equal ETag, and the check blind."""
    first = put(world, EnvironmentState(revision=7), None)
    second = put(world, next_revision(EnvironmentState(revision=7), 0.0, ""), first)
    assert first != second


def test_a_put_that_the_sdk_repeats_is_still_ours(world: World) -> None:
    """The first answer got lost, the second says 412: it was our own object."""
    etag = put(world, EnvironmentState(revision=1), None)
    state = EnvironmentState(revision=2, writer="me")
    assert put(world, state, etag) == put(world, state, etag)
    with pytest.raises(Superseded):
        put(world, replace(state, writer="another"), etag)


def test_a_state_that_vanished_meanwhile_is_read_again(world: World) -> None:
    """Somebody deleted it between read and put."""
    etag = put(world, EnvironmentState(revision=1), None)
    world.clients.s3.delete_object(Bucket="bucket", Key=KEY)
    with pytest.raises(Superseded):
        put(world, EnvironmentState(revision=2), etag)


@pytest.mark.fault("F48")
@pytest.mark.parametrize("body", [b"", b"not json", b'{"revision": "x"}'])
def test_a_corrupt_state_is_repaired_by_the_next_run(
    running: World, body: bytes
) -> None:
    """What was published is unknown then, so it is published again; the hosts see that nothing changed."""
    reloads = [host.reloads for host in running.proxies.values()]
    running.clients.s3.put_object(Bucket="bucket", Key=KEY, Body=body)
    assert running.act("status")["corruption"]
    running.sweep()
    running.settle()
    assert running.act("status")["converged"]
    assert [host.reloads for host in running.proxies.values()] == reloads


@pytest.mark.fault("F48")
def test_a_corrupt_state_does_not_let_an_empty_look_through(running: World) -> None:
    """The floor still holds."""
    running.terminate(
        *[backend.instance_id for backend in running.state.backends or ()]
    )
    running.clients.s3.put_object(Bucket="bucket", Key=KEY, Body=b"{")
    running.sweep()
    assert running.state.publication is None
    assert running.state.hold


def test_a_config_is_created_once(world: World) -> None:
    """The same text again is the same object, not another version."""
    config, stored = Config("global\n"), Store.of(world.clients, world.settings)
    for _ in range(2):
        stored.put_config(config)
    assert stored.get_config(config.sha256) == "global\n"
    assert stored.get_config("0" * 64) is None


def test_a_program_is_created_once(world: World) -> None:
    """Whoever deploys it again, for whichever environment; what lies there stays."""
    stored = Store.of(world.clients, world.settings)
    for content in (b"program", b"program", b"swapped"):
        stored.put_program("a" * 64, content)
    key = f"program/{'a' * 64}/haproxy_apply.zip"
    answer = world.clients.s3.get_object(Bucket="bucket", Key=key)
    assert (answer["Body"].read(), answer["ContentType"]) == (
        b"program",
        "application/zip",
    )
    conflict = Fault(409, "ConditionalRequestConflict")
    with (
        failing(world.clients, "s3.PutObject", conflict),
        pytest.raises(Superseded),
    ):
        stored.put_program("b" * 64, b"program")


@pytest.mark.fault("F49")
@pytest.mark.parametrize(
    ("status", "code"), [(500, "InternalError"), (503, "SlowDown")]
)
@pytest.mark.parametrize("operation", ["s3.GetObject", "s3.PutObject"])
def test_a_bucket_in_trouble_returns_the_message(
    running: World, operation: str, status: int, code: str
) -> None:
    """The SDK tries three times; then the message comes back and nothing has changed."""
    before = running.state
    with failing(running.clients, operation, Fault(status, code)) as failed:
        assert running.sweep() == ["m-0"]
    assert len(failed) == 3
    assert running.state == before
    assert running.sweep() == []


@pytest.mark.fault("F49")
def test_a_hiccup_of_the_bucket_goes_unnoticed(running: World) -> None:
    """One retry of the SDK is enough."""
    with failing(running.clients, "s3.PutObject", Fault(503, "SlowDown"), times=1):
        assert running.sweep() == []


@pytest.mark.fault("F49")
def test_a_put_whose_answer_got_lost_is_not_somebody_elses(running: World) -> None:
    """The SDK repeats it, meets its own object, and the run goes on with what it claimed."""
    running.launch()
    with failing(running.clients, "s3.PutObject", Fault(500, is_done=True), times=2):
        assert running.sweep() == []
    assert [command.command_id != "" for command in running.state.commands] == [True]


@pytest.mark.fault("F49")
def test_a_409_starts_again_from_the_read(running: World) -> None:
    """Two at the same moment: neither is sure, both look again."""
    before = running.state.revision
    with failing(
        running.clients,
        "s3.PutObject",
        Fault(409, "ConditionalRequestConflict"),
        times=2,
    ) as failed:
        assert running.sweep() == []
    assert len(failed) == 2
    assert running.state.revision > before


@pytest.mark.fault("F52")
@pytest.mark.parametrize("operation", ["s3.GetObject", "s3.PutObject"])
def test_a_bucket_that_denies_leaves_the_proxies_alone(
    running: World, operation: str
) -> None:
    """A missing permission must not read as a missing state."""
    orders = running.orders()
    running.launch(number=2)
    with failing(running.clients, operation, Fault(403, "AccessDenied")):
        assert running.sweep() == ["m-0"]
    assert running.orders() == orders


@pytest.mark.fault("F50")
def test_a_config_without_its_state_harms_nobody(running: World) -> None:
    """Stored, but the state cannot be put: nothing is published, and the next run does it all."""
    before = running.state
    running.launch()

    def choose(operation: str, url: str) -> Fault | None:
        is_state = operation == "s3.PutObject" and KEY in url
        return Fault(403, "AccessDenied") if is_state else None

    with interposed(running.clients, choose):
        assert running.sweep() == ["m-0"]
    listed = running.clients.s3.list_objects_v2(Bucket="bucket", Prefix="configs/")
    keys = {each["Key"] for each in listed["Contents"]}
    assert len(keys - {last_good_key("staging")}) == 2
    assert running.state == before
    assert running.sweep() == []
    running.settle()
    assert len(running.state.backends or ()) == 4


def test_another_error_is_not_hidden(world: World) -> None:
    """Only what means "somebody was faster" restarts."""
    with (
        failing(world.clients, "s3.PutObject", Fault(403, "AccessDenied")),
        pytest.raises(ClientError),
    ):
        put(world, EnvironmentState(), None)


def test_two_that_store_the_same_config_at_once_do_not_fail(world: World) -> None:
    """S3 answers 409 to one of them: it starts again from the read and finds the config there."""
    world.launch()
    raced: list[str] = []

    def choose(operation: str, url: str) -> Fault | None:
        if operation != "s3.PutObject" or "configs/" not in url or raced:
            return None
        raced.append(url)
        return Fault(409, "ConditionalRequestConflict")

    with interposed(world.clients, choose):
        assert world.sweep() == []
    assert raced
    assert world.state.publication
