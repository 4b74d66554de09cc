"""Several reconciles at once, in every order of their calls: the end state is that of the newest look.

The checker is proved by protocols that are known to be wrong: it finds what they lose.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import count
from random import Random
from typing import Any

import pytest
from moto.s3.models import s3_backends

from haproxy_sync.config.render import Rendering
from haproxy_sync.errors import Superseded
from haproxy_sync.fleet import inventory
from haproxy_sync.fleet.model import Config, Fleet
from haproxy_sync.reconcile.events import (
    Event,
    Home,
    Intent,
    Kind,
    operator,
    parse_event,
)
from haproxy_sync.reconcile.reconciler import Reconciler
from haproxy_sync.reconcile.wakeup import RECHECK_SECONDS
from haproxy_sync.rollout.program import Program
from haproxy_sync.rollout.transitions import next_revision, publish
from haproxy_sync.state import codec, store
from haproxy_sync.state.model import Assignment, Digest, EnvironmentState
from tests.contract.faults import Fault, interposed
from tests.contract.interleaving import Choose, Schedule, Step, Task, every_order
from tests.contract.world import ACCOUNT, REGION, World
from tests.fleet import instance

type Pool = frozenset[int]
type Protocol = Callable[["Stage"], None]

RUNS = count(1)
_OF_STATE = {"s3.GetObject": Step.READ, "s3.PutObject": Step.WRITE}


class MovingEc2:
    """EC2 whose backends come and go between two calls, and that remembers what each look saw."""

    def __init__(self, environment: str, pause: Callable[[Step], None]) -> None:
        self.running = {1, 2, 3}
        self.looks: list[Pool] = []
        self._environment, self._pause = environment, pause

    def describe_instances(self, **request: Any) -> dict[str, Any]:
        """The present, in one page; nobody's environment is mistyped."""
        if "tag-key" in {each["Name"] for each in request["Filters"]}:
            self._pause(Step.OTHER)
            return {"Reservations": []}
        self._pause(Step.LOOK)
        self.looks.append(frozenset(self.running))
        instances = [
            instance(number, tags={"Environment": self._environment})
            for number in self.running
        ]
        return {"Reservations": [{"Instances": instances}]}

    def toggle(self, *numbers: int) -> None:
        """Each of these comes, or goes."""
        for number in numbers:
            self._pause(Step.MOVE)
            self.running ^= {number}


class Stage:
    """One run in an environment of its own: moto's bucket, a moving EC2, and a clock that ticks with every reading.

    Its queue is its own, too, since moto walks through all that was ever sent.
    """

    def __init__(
        self, world: World, choose: Choose, kind: type[MovingEc2] = MovingEc2
    ) -> None:
        environment = f"run-{next(RUNS)}"
        self.schedule = Schedule(choose)
        self.ec2 = kind(environment, self.schedule.pause)
        queue_url = world.clients.sqs.create_queue(QueueName=environment)["QueueUrl"]
        self.settings = replace(
            world.settings, environment=environment, queue_url=queue_url
        )
        self.clients = replace(world.clients, ec2=self.ec2)
        self.ticks = count(1_795_000_000)

    def clock(self) -> float:
        """A later time than ever before."""
        return float(next(self.ticks))

    def look(self) -> Fleet:
        """The fleet now."""
        return inventory.look(self.clients, self.settings)

    def read(self) -> store.Snapshot:
        """The state."""
        return store.Store.of(self.clients, self.settings).read()

    def put(self, fleet: Fleet, snapshot: store.Snapshot) -> None:
        """What a look makes of the state, under the ETag that was read."""
        now = self.clock()
        state = replace(next_revision(snapshot.state, now, str(now)), looked_at=now)
        state = publish(
            state, Assignment(Digest.of(text(fleet))), "test", now, fleet.backends
        )
        store.Store.of(self.clients, self.settings).put(state, snapshot.etag)

    def run(self, protocol: Protocol, workers: int, *moves: int) -> str:
        """Workers and the world, interleaved; what is wrong with the end, empty if nothing."""
        ours(self)  # the beginning: three backends, published
        self.interleave(
            *[lambda: protocol(self)] * workers, lambda: self.ec2.toggle(*moves)
        )
        end = numbers(self.read().state)
        newest = self.ec2.looks[-1]
        return (
            ""
            if end == newest
            else f"ends with {sorted(end)}, the newest look saw {sorted(newest)}"
        )

    def interleave(self, *tasks: Task) -> None:
        """The tasks, with their calls in the order that was chosen."""
        with interposed(self.clients_of_moto, self._gate):
            self.schedule.run(tasks)

    @property
    def clients_of_moto(self) -> Any:
        """Those that can be interposed."""
        return replace(self.clients, ec2=self.clients.s3)

    def _gate(self, operation: str, url: str) -> Fault | None:
        if operation in _OF_STATE and "/state/" in url:
            self.schedule.pause(_OF_STATE[operation])
        return None

    def history(self) -> list[EnvironmentState]:
        """Every state that ever was, oldest first (the bucket keeps versions)."""
        key = f"state/{self.settings.environment}.json"
        # Asked for a list, moto copies whatever lies in the bucket.
        bucket: Any = s3_backends[ACCOUNT]["aws"].get_bucket("bucket")
        return [codec.loads(version.value) for version in bucket.keys.getlist(key)]


def numbers(state: EnvironmentState) -> Pool:
    """The accepted pool."""
    return frozenset(
        int(backend.instance_id.removeprefix("i-"), 16)
        for backend in state.backends or ()
    )


def text(fleet: Fleet) -> Config:
    """A config that differs with the pool."""
    return Config(
        "".join(f"server {backend.instance_id}\n" for backend in fleet.backends)
    )


class TaggedEc2(MovingEc2):
    """EC2 whose instances always run; what comes and goes is the tag that makes them ours."""

    def describe_instances(self, **request: Any) -> dict[str, Any]:
        """Those that are ours, or those that are asked for by id, whoever's they are."""
        (first, *_) = request["Filters"]
        if first["Name"] != "instance-id":
            return super().describe_instances(**request)
        self._pause(Step.LOOK)
        asked = [
            int(instance_id.removeprefix("i-"), 16) for instance_id in first["Values"]
        ]
        owner = {
            number: self._environment if number in self.running else "somebody-elses"
            for number in asked
        }
        instances = [
            instance(number, tags={"Environment": owner[number]}) for number in asked
        ]
        return {"Reservations": [{"Instances": instances}]}


def ours(stage: Stage, intent: Intent | None = None) -> None:
    """The real reconcile; of a person who wants a look, if nothing else is asked for."""
    Reconciler(
        stage.settings,
        stage.clients,
        Home(ACCOUNT, REGION),
        f"writer-{next(stage.ticks)}",
        stage.clock,
        lambda _uploads, fleet: Rendering({}, text(fleet), ()),  # type: ignore[arg-type]  # it is called, no more
        Program.packed,
    ).reconcile(intent or operator("test"))


def plain_put(stage: Stage) -> None:
    """Wrong: describe, then put over whatever is there."""
    fleet = stage.look()
    while True:
        try:
            stage.put(fleet, stage.read())
        except Superseded:
            continue
        return


def look_before_read(stage: Stage) -> None:
    """Wrong: describe, then read the ETag, then put under it."""
    while True:
        fleet = stage.look()
        try:
            stage.put(fleet, stage.read())
        except Superseded:
            continue
        return


def skip_unchanged(stage: Stage) -> None:
    """Wrong: read, describe, but put only if something changed."""
    while True:
        snapshot = stage.read()
        fleet = stage.look()
        if Assignment(Digest.of(text(fleet))) == snapshot.state.history[-1].assignment:
            return
        try:
            stage.put(fleet, snapshot)
        except Superseded:
            continue
        return


def give_up(stage: Stage) -> None:
    """Wrong: read, describe, put, and be content with 412."""
    snapshot = stage.read()
    fleet = stage.look()
    try:
        stage.put(fleet, snapshot)
    except Superseded:
        return


@pytest.mark.fault("F08")
@pytest.mark.fault("F09")
@pytest.mark.parametrize("moves", [(), (4,)])
def test_in_every_order_of_two_the_newest_look_wins(
    world: World, moves: tuple[int, ...]
) -> None:
    """All interleavings of two reconciles, with the world standing still and moving."""
    runs = 0
    for choose in every_order():
        assert Stage(world, choose).run(ours, 2, *moves) == ""
        runs += 1
    # Of two and three calls each; restarts add more.
    assert runs >= (12 if not moves else 140)


@pytest.mark.fault("F09")
def test_three_at_once_in_a_moving_world_never_go_backwards(world: World) -> None:
    """A sample of the orders of three, backends coming and going; and no state is older than the one before."""
    world.clients.s3.put_bucket_versioning(
        Bucket="bucket", VersioningConfiguration={"Status": "Enabled"}
    )
    for seed in range(40):
        stage = Stage(world, Random(seed).randrange)
        assert stage.run(ours, 3, 4, 4, 5) == ""
        looked = [state.looked_at for state in stage.history()]
        revisions = [state.revision for state in stage.history()]
        assert looked == sorted(looked)
        assert revisions == sorted(set(revisions))
        numbers_ = [(state.generation, state.fence) for state in stage.history()]
        assert numbers_ == sorted(numbers_)
        assert len(set(numbers_)) == len({fence for _, fence in numbers_})


@pytest.mark.parametrize(
    ("protocol", "moves"),
    [
        (plain_put, (4,)),
        (look_before_read, (4,)),
        (skip_unchanged, (4, 4)),
        (give_up, (4,)),
    ],
)
def test_a_wrong_protocol_is_caught(
    world: World, protocol: Protocol, moves: tuple[int, ...]
) -> None:
    """Each loses an update in some order, and the checker finds it."""
    assert any(_violations(world, protocol, moves))


def test_of_two_that_read_either_is_the_first_to_know_the_time() -> None:
    """Before anything is written: else a protocol that compares times would be judged by half of the orders."""

    def task(name: str, schedule: Schedule, done: list[str]) -> None:
        for step in (Step.READ, Step.WRITE):
            schedule.pause(step)
            done.append(f"{name} {step.name}")

    began = set()
    for choose in every_order():
        schedule, done = Schedule(choose), list[str]()
        schedule.run([partial(task, name, schedule, done) for name in ("one", "two")])
        began.add(tuple(done[:2]))
    assert {("one READ", "two READ"), ("two READ", "one READ")} <= began


def _violations(
    world: World, protocol: Protocol, moves: tuple[int, ...]
) -> Iterator[str]:
    for choose in every_order():
        yield Stage(world, choose).run(protocol, 2, *moves)


def deliver_late(stage: Stage, *numbers: int) -> None:
    """Tags come and go, one after the other; then an event tells of it that claims nothing."""
    stage.ec2.toggle(*numbers)
    event = Event(
        Kind.CHANGE,
        "test",
        instance_ids=tuple(f"i-{number:017x}" for number in sorted({*numbers})),
    )
    ours(stage, Intent((event,)))


@pytest.mark.fault("F09")
@pytest.mark.parametrize("changes", [(4,), (4, 4), (4, 4, 4)])
def test_a_dropped_event_loses_nothing(world: World, changes: tuple[int, ...]) -> None:
    """An instance joins and leaves while another worker looks: what that one saw, and puts later, does not stay.

    There is no sweep; what the workers asked the queue for comes at the end.
    """
    runs = 0
    for choose in every_order():
        world.delayed.clear()
        stage = Stage(world, choose, TaggedEc2)
        ours(stage)
        stage.interleave(partial(ours, stage), partial(deliver_late, stage, *changes))
        for _, _, body in list(world.delayed):
            ours(stage, Intent((parse_event(body, Home(ACCOUNT, REGION)),)))
        assert numbers(stage.read().state) == stage.ec2.running
        runs += 1
    assert runs >= 20


@pytest.mark.fault("F09")
def test_a_dropped_event_loses_nothing_however_long_the_run_took(world: World) -> None:
    """It leaves right before a put that comes late; the look after that asks an EC2 that does not show it yet."""
    stage = Stage(world, lambda _: 0, TaggedEc2)
    ours(stage)
    world.delayed.clear()
    stage.ec2.toggle(4)

    def leaves_meanwhile(operation: str, url: str) -> None:
        if operation == "s3.PutObject" and "/state/" in url and 4 in stage.ec2.running:
            stage.ticks = count(next(stage.ticks) + 5, 0.1)
            deliver_late(stage, 4)

    with interposed(stage.clients_of_moto, leaves_meanwhile):
        ours(stage)
    # EC2 is eventually consistent: it shows to one what it no longer showed to another.
    stage.ec2.toggle(4)
    ours(stage)
    stage.ec2.toggle(4)
    for _, _, body in list(world.delayed):
        stage.ticks = count(next(stage.ticks) + RECHECK_SECONDS)
        ours(stage, Intent((parse_event(body, Home(ACCOUNT, REGION)),)))
    assert numbers(stage.read().state) == stage.ec2.running
