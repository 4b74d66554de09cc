"""A whole reconcile among odd answers, states and requests: it ends, and nobody is called settled who is not."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example
from hypothesis import strategies as st

from haproxy_sync.errors import BadRequest
from haproxy_sync.operator.actions import ACTIONS
from haproxy_sync.rollout.progress import Progress
from tests.contract import quick_moto
from tests.contract.conftest import settled_before
from tests.contract.world import World
from tests.fuzz.budget import fuzzed
from tests.fuzz.odd import JSON, TEXTS, mutated
from tests.fuzz.test_fuzz_answers import OUTPUTS

STATE_KEY = "state/staging.json"


@pytest.fixture(scope="module", autouse=True)
def _quick_moto() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        quick_moto.install(patch)
        yield


class Lying:
    """Run Command, whose word on each invocation is another one."""

    def __init__(self, ssm: Any, draw: st.DataObject) -> None:
        self.ssm = ssm
        self.draw = draw

    def __getattr__(self, name: str) -> Any:
        """All else is asked of the real one."""
        return getattr(self.ssm, name)

    def list_command_invocations(self, **request: Any) -> Any:
        """What is listed, with something odd instead of what hosts printed."""
        answer = self.ssm.list_command_invocations(**request)
        listed = answer["CommandInvocations"]
        for each in listed:
            for plugin in each.get("CommandPlugins", ()):
                if plugin["Name"] == "apply":
                    plugin["Output"] = self.draw.draw(OUTPUTS)
        return answer | {
            "CommandInvocations": [self.draw.draw(mutated(each)) for each in listed]
        }


@pytest.mark.fault("F295")
@fuzzed(200, data=st.data())
def test_no_proxy_is_settled_that_did_not_say_so(data: st.DataObject) -> None:
    """Its hosts fail, and what arrives of their words is anything."""
    with settled_before().restored() as world:
        for host in world.proxies.values():
            host.breaks = lambda _: ("failed", "install-failed")
        world.launch()
        world.clients = replace(world.clients, ssm=Lying(world.clients.ssm, data))
        assert world.sweep() == []
        for _ in range(3):
            world.pass_time(20)
            assert world.sweep() == []
        state = world.state
        assert state.generation == 2
        assert not any(each.is_settled for each in Progress(state).proxies)
        json.dumps(world.handle({"action": "status"}))


REQUESTS = st.builds(
    lambda action, options: {"action": action, **options},
    st.sampled_from(sorted(ACTIONS)) | JSON,
    st.dictionaries(
        st.sampled_from(
            sorted({option for each in ACTIONS.values() for option in each.options})
        )
        | TEXTS,
        JSON,
        max_size=2,
    ),
) | JSON.filter(
    lambda request: not isinstance(request, dict) or "Records" not in request
)


@pytest.mark.fault("F295")
@fuzzed(300, request=REQUESTS)
@example(request={"action": "check", "\n": None})
def test_a_request_of_any_shape_is_answered_or_refused(request: Any) -> None:
    """And the next one is answered as ever."""
    with settled_before().restored() as world:
        try:
            json.dumps(world.handle(request))
        except BadRequest as refusal:
            assert "\n" not in str(refusal)  # noqa: PT017 - an answer is as good
        assert world.sweep() == []
        assert world.handle({"action": "status"})["sync"]


def stored(world: World) -> bytes:
    """The state object as it lies in the bucket."""
    body: bytes = world.clients.s3.get_object(Bucket="bucket", Key=STATE_KEY)[
        "Body"
    ].read()
    return body


@pytest.mark.fault("F48")
@fuzzed(200, data=st.data())
def test_a_reconcile_lives_with_any_state(data: st.DataObject) -> None:
    """It is read, or rebuilt from what is there; one of a newer release is left alone."""
    with settled_before().restored() as world:
        value = data.draw(mutated(json.loads(stored(world))))
        body = json.dumps(value).encode()
        world.clients.s3.put_object(Bucket="bucket", Key=STATE_KEY, Body=body)
        failed = world.sweep()
        if failed:
            assert value["schema"] > 1
            assert stored(world) == body
            return
        world.pass_time(5)
        assert world.sweep() == []
        status = world.handle({"action": "status"})
        json.dumps(status)
        served = {host.running for host in world.proxies.values()}
        assert len(served) == 1
