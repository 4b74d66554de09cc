"""Whatever happens, in whatever order: once it is over, every proxy runs the config of the world as it is.

Backends and proxies come, go and change their tags, and others' instances become ours and ours theirs; events are
delivered, doubled, late or lost, and name whomever; the function dies at any call of AWS, before or after the deed;
messages come back; deploys bring another program, half by half. Then only the sweep is left, and it must be enough.
"""

from collections.abc import Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from haproxy_sync.config.render import Renderer, Rendering
from haproxy_sync.fleet.model import NO_TAGS, Config, Fleet
from haproxy_sync.settings import EMPTY_POOLS, Limit
from haproxy_sync.state.model import EnvironmentState
from tests.contract.faults import Death, Fault, interposed
from tests.contract.world import (
    SWEEP,
    World,
    another_program,
    changed,
    new_world,
)
from tests.fleet import instance

FILTERED = {
    "instance-id": "InstanceId",
    "network-interface.addresses.private-ip-address": "PrivateIpAddress",
}


class Ec2:
    """EC2 as far as a look needs it."""

    def __init__(self) -> None:
        self.instances: dict[str, dict[str, Any]] = {}

    def describe_instances(self, **request: Any) -> dict[str, Any]:
        """Everything, in no particular order, whatever the filter, unless it is for ids or addresses."""
        (first, *_) = request["Filters"]
        field = FILTERED.get(first["Name"])
        found = [
            each
            for each in self.instances.values()
            if field is None or each[field] in first["Values"]
        ]
        return {"Reservations": [{"Instances": [each]} for each in reversed(found)]}


class EachServer(Renderer):
    """A config that differs whenever the pool does."""

    def __call__(self, _uploads: object, fleet: Fleet) -> Rendering:
        """A line of each backend."""
        lines = [
            f"server {each.name} {each.address}:{each.port} weight {each.weight}\n"
            for each in fleet.backends
        ]
        return Rendering({}, Config("".join(lines)), ())


class AnyWorld(RuleBasedStateMachine):
    """The rules are what may happen."""

    @initialize(
        backends=st.integers(0, 5),
        proxies=st.integers(0, 3),
        empty_pool=st.sampled_from(EMPTY_POOLS),
    )
    def begin(self, backends: int, proxies: int, empty_pool: str) -> None:
        """An environment that was never reconciled."""
        self.context = new_world(
            max_concurrency=Limit(2), drift_check_seconds=600.0, empty_pool=empty_pool
        )
        self.world: World = self.context.__enter__()
        self.ec2 = Ec2()
        self.world.clients = replace(self.world.clients, ec2=self.ec2)
        self.world.renderer = EachServer()
        self.number = 0
        self.batches: list[tuple[float, list[dict[str, Any]]]] = []
        self.newest = EnvironmentState()
        for _ in range(2):
            self._launch("tomcat", {"Environment": "production"})
        for _ in range(backends):
            self.launch_backend()
        for _ in range(proxies):
            self.launch_proxy(is_registered=True)

    @rule()
    def launch_backend(self) -> None:
        """A backend comes up."""
        self._launch("tomcat")

    @rule(is_registered=st.booleans())
    def launch_proxy(self, *, is_registered: bool) -> None:
        """A proxy comes up; its agent may need longer."""
        instance_id = self._launch("haproxy")
        if is_registered:
            self.world.join(instance_id)

    def _launch(self, kind: str, tags: Mapping[str, str] = NO_TAGS) -> str:
        self.number += 1
        made = instance(self.number, kind, tags=dict(tags))
        self.ec2.instances[made["InstanceId"]] = made
        return str(made["InstanceId"])

    @precondition(lambda self: self.ec2.instances)
    @rule(data=st.data())
    def terminate(self, data: st.DataObject) -> None:
        """One goes for good."""
        instance_id = data.draw(st.sampled_from(sorted(self.ec2.instances)))
        del self.ec2.instances[instance_id]
        self.world.proxies.pop(instance_id, None)
        self.world.service.deregister(instance_id)

    @precondition(lambda self: self.ec2.instances)
    @rule()
    def terminate_all_backends(self) -> None:
        """A bad day, or a bad answer."""
        gone = [
            key
            for key, each in self.ec2.instances.items()
            if {"Key": "Type", "Value": "tomcat"} in each["Tags"]
        ]
        for key in gone:
            del self.ec2.instances[key]

    @precondition(lambda self: self.ec2.instances)
    @rule(data=st.data(), weight=st.sampled_from(["7", "seven"]))
    def retag(self, data: st.DataObject, weight: str) -> None:
        """Somebody sets a weight, or something that is none."""
        instance_id = data.draw(st.sampled_from(sorted(self.ec2.instances)))
        self.ec2.instances[instance_id]["Tags"].append(
            {"Key": "haproxy:weight", "Value": weight}
        )

    @precondition(lambda self: self.ec2.instances)
    @rule(
        data=st.data(),
        environment=st.sampled_from(["staging", "production"]),
        is_told=st.booleans(),
    )
    def hand_over(
        self, data: st.DataObject, environment: str, *, is_told: bool
    ) -> None:
        """One becomes ours, or somebody else's."""
        instance_id = data.draw(st.sampled_from(sorted(self.ec2.instances)))
        tags = dict(_tags(self.ec2.instances[instance_id])) | {
            "Environment": environment
        }
        self.ec2.instances[instance_id]["Tags"] = [
            {"Key": key, "Value": value} for key, value in tags.items()
        ]
        if is_told:
            assert self.world.deliver(changed(instance_id)) == []

    @rule(
        data=st.data(),
        number=st.integers(1, 10),
        fate=st.sampled_from(["at once", "late", "lost"]),
    )
    def events(self, data: st.DataObject, number: int, fate: str) -> None:
        """Events of whatever happened, to anybody; they say nothing anyway."""
        name = data.draw(
            st.sampled_from([*sorted(self.ec2.instances), "i-0a1b2c3d4e5f60001"])
        )
        batch = [changed(name) for _ in range(number)]
        if fate == "at once":
            assert self.world.deliver(*batch) == []
        elif fate == "late":
            self.batches.append((self.world.now, batch))

    @precondition(lambda self: self.batches)
    @rule(is_kept=st.booleans(), which=st.integers(0, 20))
    def deliver(self, which: int, *, is_kept: bool) -> None:
        """Some batch arrives; perhaps it will again."""
        at = which % len(self.batches)
        sent, bodies = self.batches[at] if is_kept else self.batches.pop(at)
        self.world.deliver(*bodies, sent_at=sent)

    @rule(at=st.integers(0, 9), is_done=st.booleans())
    def die(self, at: int, *, is_done: bool) -> None:
        """The function is killed at one of its calls; the message comes back."""
        calls = 0

        def choose(_operation: str, _url: str) -> Fault | None:
            nonlocal calls
            calls += 1
            return Fault(is_death=True, is_done=is_done) if calls > at else None

        with interposed(replace(self.world.clients, ec2=self.world.clients.s3), choose):
            try:
                self.world.deliver(SWEEP)
            except Death:
                self.batches.append((self.world.now, [SWEEP]))

    @rule(seconds=st.sampled_from([0.1, 1, 3, 10, 80, 400]))
    def wait(self, seconds: float) -> None:
        """Hosts work, our own messages arrive."""
        self.world.pass_time(seconds)

    @rule()
    def sweep(self) -> None:
        """The schedule fires."""
        assert self.world.sweep() == []

    @rule(seconds=st.sampled_from([1, 5]))
    def lose_what_is_under_way(self, seconds: int) -> None:
        """Command events and our own messages vanish."""
        self.world.clock.advance(seconds)
        self.world.service.tick()
        self.world.inbox.clear()
        self.world.delayed.clear()

    @rule(release=st.integers(1, 3), what=st.sampled_from(["document", "function"]))
    def deploy(self, release: int, what: str) -> None:
        """Of a deploy, or of its rollback: one half is new, the other may follow."""
        program = another_program(f"release {release}")
        if what == "document":
            self.world.update_document(program)
        else:
            self.world.program = program

    @precondition(lambda self: self.world.proxies)
    @rule(data=st.data())
    def edit_by_hand(self, data: st.DataObject) -> None:
        """Somebody knows better."""
        self.world.drift(data.draw(st.sampled_from(sorted(self.world.proxies))))

    @invariant()
    def never_backwards(self) -> None:
        """No number ever falls, and no state is of an older look."""
        if not hasattr(self, "world"):
            return
        state = self.world.state
        assert state.revision >= self.newest.revision
        assert state.generation >= self.newest.generation
        assert state.fence >= self.newest.fence
        assert state.looked_at >= self.newest.looked_at
        self.newest = state

    def teardown(self) -> None:
        """It is over: agents register, and from now on there are only sweeps."""
        if not hasattr(self, "world"):
            return
        try:
            self._converges()
        finally:
            self.context.__exit__(None, None, None)

    def _converges(self) -> None:
        backends, proxies = self._members("tomcat"), self._members("haproxy")
        for key in sorted(proxies - self.world.proxies.keys()):
            self.world.join(key)
        self.world.update_document(self.world.program)
        self._sweep_until_all_is_quiet()
        state = self.world.state
        is_held = not backends and bool(state.backends)
        if is_held:  # the last ones to leave are kept, whatever time has passed
            assert self.world.settings.empty_pool == "hold"
            assert state.hold
        else:
            assert {backend.instance_id for backend in state.backends or ()} == backends
        assert {proxy.instance_id for proxy in state.proxies} == proxies
        running = {
            host.running for key, host in self.world.proxies.items() if key in proxies
        }
        # None was ever seen: that is not believed, however long it lasts.
        if state.backends is None:
            assert not backends
            assert self.world.orders() == 0
            return
        text = EachServer()(None, SimpleNamespace(backends=state.backends)).shared  # type: ignore[arg-type]
        assert text
        installed = {
            host.installed for key, host in self.world.proxies.items() if key in proxies
        }
        assert running | installed <= {text.md5}
        assert self.world.act("status")["converged"] == (bool(proxies) and not is_held)

    def _members(self, kind: str) -> set[str]:
        """What EC2 has of the environment."""
        wanted = {("Environment", "staging"), ("Type", kind)}
        return {
            key
            for key, each in self.ec2.instances.items()
            if wanted <= set(_tags(each))
        }

    def _sweep_until_all_is_quiet(self) -> None:
        """Twenty minutes in which no event arrives."""
        for second in range(1200):
            self.world.clock.advance(1)
            if second % 10 == 0:
                self.world.service.tick()
                self.world.inbox.clear()
                self.world.delayed.clear()
            if second % 60 == 0:
                assert self.world.sweep() == []


def _tags(raw: dict[str, Any]) -> list[tuple[str, str]]:
    return [(tag["Key"], tag["Value"]) for tag in raw["Tags"]]


TestAnyWorld = AnyWorld.TestCase
# A failure is printed as found: making it smaller would take longer than the whole suite.
TestAnyWorld.settings = settings(
    max_examples=12, stateful_step_count=25, derandomize=True, phases=[Phase.generate]
)
