"""What AWS refuses is told by `status`, in AWS's own words, until it succeeds."""

from dataclasses import replace

import pytest
from botocore.exceptions import ClientError

from haproxy_sync.config import bounded
from haproxy_sync.config.bounded import Bounds
from haproxy_sync.state.failures import MESSAGE_LENGTH, REFRESH_SECONDS, failure
from haproxy_sync.state.model import Outcome
from haproxy_sync.state.store import Store
from tests.contract.faults import Fault, apart_from_failure, calls, failing
from tests.contract.world import World, new_world

LOOKS = [
    ("ec2.DescribeInstances", "UnauthorizedOperation"),
    ("s3.ListObjectsV2", "AccessDenied"),
]
"""What each look asks."""

STEPS = [
    ("ssm.DescribeInstanceInformation", "AccessDeniedException"),
    ("ssm.DescribeDocument", "AccessDeniedException"),
]
"""What a look asks that has something to send."""


def operation(name: str) -> str:
    """As AWS names it."""
    return name.partition(".")[2]


@pytest.mark.fault("F125")
@pytest.mark.parametrize(("name", "code"), LOOKS)
def test_status_names_a_look_that_fails(running: World, name: str, code: str) -> None:
    """What failed, since when and when last; the batch comes back, and nothing else is written."""
    before, since = running.state, running.now
    with failing(running.clients, name, Fault(403, code)):
        for _ in range(7):
            assert running.sweep() == ["m-0"]
            running.clock.advance(60)
        status = running.act("status")
        plan = running.act("plan")
    assert apart_from_failure(running.state, before) == before
    assert not status["converged"]
    told = status["look_failure"]
    assert (told["operation"], told["code"]) == (operation(name), code)
    assert told["since"] == since
    assert told["since_iso"]
    assert told["at"] >= since + REFRESH_SECONDS
    assert plan["verdict"].startswith(f"blocked: {operation(name)}: {code}")
    assert plan["look_failure"]["since"] == since
    assert plan["template"]["origin"] == "unknown"
    running.sweep()
    after = running.act("status")
    assert (after["converged"], after["look_failure"]) == (True, None)


@pytest.mark.fault("F125")
@pytest.mark.parametrize(("name", "code"), STEPS)
def test_status_names_what_a_rollout_could_not_ask(
    running: World, name: str, code: str
) -> None:
    """Where something is to be sent, that is as much as a look."""
    running.launch()
    with failing(running.clients, name, Fault(400, code)):
        assert running.sweep() == ["m-0"]
        status = running.act("status")
    assert not status["converged"]
    assert status["look_failure"]["operation"] == operation(name)
    running.sweep()
    running.settle()
    assert running.act("status")["look_failure"] is None


@pytest.mark.fault("F125")
def test_a_failure_that_lasts_is_seldom_put(running: World) -> None:
    """Each sweep fails; the state is not written each time."""
    fault = Fault(403, "UnauthorizedOperation")
    with (
        failing(running.clients, "ec2.DescribeInstances", fault),
        calls(running.clients) as made,
    ):
        for _ in range(8):
            running.sweep()
            running.clock.advance(60)
    assert made.count("s3.PutObject") == 2


@pytest.mark.fault("F125")
def test_an_older_look_that_fails_does_not_hide_a_newer_one(
    running: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody's look succeeds while ours still fails: what we would write loses."""
    real = running.clients.ec2.describe_instances

    def slow(**_request: object) -> None:
        monkeypatch.setattr(running.clients.ec2, "describe_instances", real)
        assert running.sweep() == []
        raise ConnectionError

    monkeypatch.setattr(running.clients.ec2, "describe_instances", slow)
    assert running.sweep() == ["m-0"]
    assert running.act("status")["converged"]


@pytest.mark.fault("F125")
def test_a_failure_that_cannot_be_written_does_no_harm(running: World) -> None:
    """The batch comes back, as ever."""
    before = running.state
    denied = Fault(403, "AccessDenied")
    with (
        failing(running.clients, "ec2.DescribeInstances", denied),
        failing(running.clients, "s3.PutObject", denied),
    ):
        assert running.sweep() == ["m-0"]
    assert running.state == before
    assert running.sweep() == []


@pytest.mark.fault("F125")
def test_a_corrupt_state_outlives_a_look_that_fails(running: World) -> None:
    """`status` still says that it is none."""
    running.clients.s3.put_object(
        Bucket="bucket", Key="state/staging.json", Body=b"{}x"
    )
    fault = Fault(403, "UnauthorizedOperation")
    with failing(running.clients, "ec2.DescribeInstances", fault):
        assert running.sweep() == ["m-0"]
    assert running.act("status")["corruption"]


@pytest.mark.fault("F125")
def test_a_look_that_fails_ends_no_first_freeze() -> None:
    """Nothing was ever looked at, and the first thing that is written is a failure."""
    with new_world(start_frozen=True) as world:
        world.launch()
        world.launch("haproxy")
        fault = Fault(403, "UnauthorizedOperation")
        with failing(world.clients, "ec2.DescribeInstances", fault):
            assert world.sweep() == ["m-0"]
        assert world.act("status")["look_failure"]
        world.sweep()
        assert world.act("status")["freeze"]["until"] is None
        assert world.orders() == 0


def test_a_step_without_a_look_does_not_end_what_looks_failed_with(
    running: World,
) -> None:
    """It puts the state; nobody has looked all the same."""
    fault = Fault(403, "UnauthorizedOperation")
    with failing(running.clients, "ec2.DescribeInstances", fault):
        running.sweep()
        running.act("verify")
        assert running.act("status")["look_failure"]


@pytest.mark.fault("F124")
@pytest.mark.parametrize(
    ("code", "status_code"),
    [
        ("InvalidDocument", 400),
        ("InvalidDocumentVersion", 400),
        ("ThrottlingException", 400),
        ("InternalServerError", 500),
    ],
)
def test_a_refused_send_command_is_told_until_one_is_taken(
    running: World, code: str, status_code: int
) -> None:
    """In the words of the service."""
    running.launch()
    since = running.now
    with failing(running.clients, "ssm.SendCommand", Fault(status_code, code)):
        assert running.sweep() == ["m-0"]
        running.clock.advance(90)
        assert running.sweep() == ["m-0"]
        status, plan = running.act("status"), running.act("plan")
    told = status["send_failure"]
    assert (told["operation"], told["code"], told["message"]) == (
        "SendCommand",
        code,
        "no",
    )
    assert (told["since"], told["at"]) == (since, since + 90)
    assert not status["converged"]
    assert plan["verdict"] == f"blocked: SendCommand: {code}: no"
    assert plan["send_failure"] == told
    running.pass_time(90)
    running.sweep()
    running.settle()
    status = running.act("status")
    assert (status["send_failure"], status["converged"]) == (None, True)
    assert running.act("plan")["verdict"] == "proceed"


@pytest.mark.fault("F124")
def test_a_refused_parameter_is_told_by_its_name(running: World) -> None:
    """No log has to be read."""
    running.settings = replace(running.settings, listen_ports=tuple(range(8000, 8016)))
    running.launch()
    assert running.sweep() == ["m-0"]
    assert "ListenPorts" in running.act("status")["send_failure"]["message"]
    assert "ListenPorts" in running.act("plan")["verdict"]


@pytest.mark.fault("F124")
def test_a_function_that_may_not_send_says_so(running: World) -> None:
    """It reads as if each proxy were at fault, so the words of the service stand beside it."""
    running.launch()
    fault = Fault(400, "AccessDeniedException")
    with failing(running.clients, "ssm.SendCommand", fault):
        running.sweep()
        running.pass_time(30)
        status = running.act("status")
        denied = [
            proxy
            for proxy in status["proxies"].values()
            if proxy["outcome"] == Outcome.DENIED
        ]
        assert {proxy["detail"] for proxy in denied} == {"no"}
        assert status["send_failure"]["code"] == "AccessDeniedException"
        verdict = running.act("plan")["verdict"]
        assert verdict == "blocked: SendCommand: AccessDeniedException: no"
    running.pass_time(120)
    running.sweep()
    running.settle()
    assert running.act("status")["send_failure"] is None


@pytest.mark.fault("F124")
@pytest.mark.fault("F126")
def test_a_plan_waits_while_the_document_takes_no_command(running: World) -> None:
    """It is not the function's; a freeze ends the tries, and what they brought."""
    running.update_document(replace(running.program, sha256="a" * 64))
    running.launch()
    running.sweep()
    plan = running.act("plan")
    assert plan["verdict"].startswith("waits: the document of the stack is not the one")
    running.act("freeze")
    assert running.act("plan")["verdict"].startswith("waits: frozen")
    assert running.act("status")["document"] is None


def test_what_is_kept_of_an_error_is_bounded() -> None:
    """Whatever a service says."""
    error = ClientError({"Error": {"Code": "X", "Message": "y" * 9999}}, "Z")
    kept = failure(error, 1.0, None)
    assert (kept.operation, kept.code, len(kept.message)) == ("Z", "X", MESSAGE_LENGTH)
    other = failure(ConnectionError("gone"), 2.0, kept)
    assert str(other) == "ConnectionError: gone"
    assert (other.since, other.at) == (1.0, 2.0)


def test_a_failure_ends_a_rollout_no_second_time(
    running: World, capsys: pytest.CaptureFixture[str]
) -> None:
    """`Rollouts` counts rollouts."""
    fault = Fault(403, "UnauthorizedOperation")
    with failing(running.clients, "ec2.DescribeInstances", fault):
        running.sweep()
    capsys.readouterr()
    running.sweep()
    assert Store.of(running.clients, running.settings).read().state.converged_at
    assert "Rollouts" not in capsys.readouterr().out


@pytest.mark.fault("F41")
def test_a_machine_that_was_busy_once_blocks_nothing_for_good(
    running: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same process looks again at the same fleet and template, and publishes."""
    running.launch()
    with monkeypatch.context() as busy:
        busy.setattr(bounded, "BOUNDS", Bounds(seconds=0))
        running.sweep()
        assert "rendering takes more than" in running.state.template_error
    before = running.state.generation
    running.pass_time(60)
    running.sweep()
    assert not running.state.template_error
    assert running.state.generation == before + 1
