"""What the agent stand-ins do in trouble: S3 does not answer, the document worker is killed, there is no room."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import (
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
    ReadTimeoutError,
)

from local.agent import Here, HostAgent
from local.lab import wait_until
from local.run_command import (
    NAMELESS_SECONDS,
    REJECTED,
    ROOM,
    SILENT_SECONDS,
    WORKER_SECONDS,
    WORKERS,
    Detail,
    DocumentResult,
    ManualClock,
    Order,
    ScriptedAgent,
    Trouble,
)
from tests.local.agent_runner import NO_S3, Runner, ended, finished, step
from tests.local.run_command_bench import DOCUMENT, Bench, ids
from tests.local.test_agent_download import URL, download

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
NO_ANSWER = ConnectTimeoutError(endpoint_url=URL)
NO_NAME = EndpointConnectionError(endpoint_url=URL)


@dataclass
class HastyClock:
    """Five seconds pass whenever somebody looks at it."""

    now: datetime = BEGIN

    def __call__(self) -> datetime:
        """The time, which is gone."""
        self.now += timedelta(seconds=5)
        return self.now


@dataclass
class Unreachable:
    """An S3 client whose calls end with an error until the time is come, if it comes."""

    error: Exception
    clock: HastyClock
    answers_at: datetime | None = None
    calls: list[str] = field(default_factory=list)

    def list_objects(self, **_: Any) -> dict[str, Any]:
        """Denied by silence."""
        self.calls.append("list")
        raise self.error

    def get_object(self, **_: Any) -> dict[str, Any]:
        """The object, where it can be reached."""
        self.calls.append("get")
        if self.answers_at and self.clock.now >= self.answers_at:
            return {"Body": BytesIO(b"global\n")}
        raise self.error


@pytest.mark.fault("F115")
@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (NO_ANSWER, SILENT_SECONDS),
        (ReadTimeoutError(endpoint_url=URL), SILENT_SECONDS),
        pytest.param(NO_NAME, NAMELESS_SECONDS, marks=pytest.mark.fault("F121")),
        (HTTPClientError(error="broken"), 0),
    ],
    ids=["no answer", "no bytes", "no name", "anything else"],
)
@pytest.mark.parametrize("is_cancelled", [False, True])
def test_a_download_without_answer_fails_late(
    tmp_path: Path,
    error: Exception,
    seconds: int,
    is_cancelled: bool,  # noqa: FBT001 - a column of the table
) -> None:
    """The listing is not what fails it; a cancel does not end it, and leaves it Failed."""
    clock = HastyClock()
    s3: Any = Unreachable(error, clock)
    document = {"mainSteps": [download(URL), step("apply", "true")]}
    document["mainSteps"][0]["inputs"]["onFailure"] = "exit"
    with HostAgent(Here(), s3, data=str(tmp_path), clock=clock) as agent:
        running = agent.start(Order("command-1", "i-1", "Apply", document, {}))
        if is_cancelled and seconds:
            wait_until(lambda: "get" in s3.calls, what="the first try")
            running.cancel()
        result = finished(running)
    assert (result.detail, *ended(result)[:1]) == (Detail.FAILED, ("Failed", 1))
    assert "failed to download" in result.steps[0].stderr
    took = (result.steps[0].finished - result.steps[0].started).total_seconds()
    assert seconds <= took < seconds + 60
    assert s3.calls[0] == "list"


@pytest.mark.fault("F115")
def test_a_download_goes_on_when_s3_answers_again(tmp_path: Path) -> None:
    """The try under way ends in vain, the next one brings the file, and the next step runs, however late."""
    clock = HastyClock()
    s3: Any = Unreachable(NO_ANSWER, clock, BEGIN + timedelta(seconds=300))
    document = {"mainSteps": [download(URL), step("apply", "ls")]}
    with HostAgent(Here(), s3, data=str(tmp_path), clock=clock) as agent:
        order = Order("command-1", "i-1", "Apply", document, {})
        result = finished(agent.start(order))
    assert ended(result) == [("Success", 0)] * 2
    assert "haproxy.cfg" in result.steps[1].stdout
    assert result.steps[0].finished > BEGIN + timedelta(seconds=300)


def test_an_agent_can_be_stopped_while_it_downloads(tmp_path: Path) -> None:
    """Nobody waits thirteen minutes for the end of the local system."""
    clock = ManualClock(BEGIN)
    s3: Any = Unreachable(NO_ANSWER, HastyClock())
    with HostAgent(Here(), s3, data=str(tmp_path), clock=clock) as agent:
        order = Order("command-1", "i-1", "Apply", {"mainSteps": [download(URL)]}, {})
        running = agent.start(order)
        wait_until(lambda: "get" in s3.calls, what="the first try")
    result = running.result()
    assert result
    assert "the agent was stopped" in result.steps[0].stderr


@pytest.mark.fault("F117")
def test_a_killed_worker_leaves_the_script_running(tmp_path: Path) -> None:
    """It does its work, and 62 s later the first step is called failed; what was told before stays told."""
    clock = ManualClock(BEGIN)
    with HostAgent(Here(), NO_S3, data=str(tmp_path / "ssm"), clock=clock) as agent:
        go = tmp_path / "go"
        script = step(
            "apply", f"until [ -e {go} ]; do :; done", f"touch {tmp_path}/done"
        )
        steps = [step("download", "true"), script]
        running = agent.start(
            Order("command-1", "i-1", "Apply", {"mainSteps": steps}, {})
        )
        wait_until(lambda: len(running.steps()) == 1, what="the first step")
        agent.kill_worker("command-1")
        go.touch()
        wait_until((tmp_path / "done").exists, what="the script's end")
        clock.advance(WORKER_SECONDS - 1)
        assert (running.result(), len(running.steps())) == (None, 1)
        clock.advance(1)
        result = running.result()
    assert result
    assert [each.name for each in result.steps] == ["download"]
    assert ended(result) == [("Failed", 1)]
    assert "document process failed unexpectedly" in result.steps[0].stdout


@pytest.mark.fault("F119")
def test_five_run_five_wait_and_more_are_rejected(tmp_path: Path) -> None:
    """Without a step and without a word; the others are run to their end."""
    runner = Runner(tmp_path / "ssm")
    go = tmp_path / "go"
    script = step("apply", "echo >> started", f"until [ -e {go} ]; do sleep 0.01; done")
    script["inputs"]["runCommand"][0] = f"echo >> {tmp_path}/started"
    with runner.agent:
        taken = [
            runner.start(script, command_id=f"command-{number}")
            for number in range(ROOM)
        ]
        rejected = runner.start(script, command_id="one too many")
        assert (rejected.result(), rejected.steps()) == (REJECTED, ())
        assert (REJECTED.steps, REJECTED.trace) == ((), "")
        started = tmp_path / "started"
        wait_until(
            lambda: started.exists() and len(started.read_text()) == WORKERS,
            what="those that run",
        )
        go.touch()
        assert {finished(each).detail for each in taken} == {Detail.SUCCESS}
        assert len(started.read_text()) == ROOM


def shown(bench: Bench, command_id: str) -> tuple[str, str, list[tuple[str, str]]]:
    """Status and trace of the only invocation, and name and status of its steps."""
    [invocation] = bench.invocations(command_id).values()
    steps = [(step["Name"], step["Status"]) for step in invocation["CommandPlugins"]]
    return invocation["Status"], invocation["TraceOutput"], steps


def in_trouble(bench: Bench, trouble: Trouble) -> tuple[ScriptedAgent, str]:
    """A host in trouble, and the command with two steps that it has taken."""
    first = DOCUMENT["mainSteps"][0] | {"name": "download"}
    content = DOCUMENT | {"mainSteps": [first, *DOCUMENT["mainSteps"]]}
    bench.ssm.create_document(
        Name="Two", Content=json.dumps(content), DocumentType="Command"
    )

    def answer(_order: Order) -> DocumentResult:
        apply = bench.answering()(_order)
        return DocumentResult(
            apply.detail, tuple(_named(apply, name) for name in ("download", "apply"))
        )

    agent = ScriptedAgent(bench.clock, answer, trouble=trouble)
    bench.service.register(ids(1)[0], agent)
    command_id = bench.send(ids(1), DocumentName="Two", TimeoutSeconds=900)
    bench.run(3)
    return agent, command_id


def _named(result: DocumentResult, name: str) -> Any:
    step = result.steps[0]
    return type(step)(
        name, step.detail, step.code, step.stdout, "", step.started, step.finished
    )


NOTHING_YET = ("InProgress", "", [("download", "Pending"), ("apply", "Pending")])


@pytest.mark.parametrize(
    ("trouble", "seconds"),
    [
        (Trouble.S3_SILENT, SILENT_SECONDS),
        (Trouble.S3_NAMELESS, NAMELESS_SECONDS),
    ],
)
def test_a_download_under_way_shows_no_step(
    bench: Bench, trouble: Trouble, seconds: int
) -> None:
    """InProgress all the time, as nothing has ended that could be told; then the first step is Failed."""
    _, command_id = in_trouble(bench, trouble)
    assert shown(bench, command_id) == NOTHING_YET
    bench.run(seconds - 5)
    assert shown(bench, command_id) == NOTHING_YET
    bench.run(5)
    assert shown(bench, command_id) == (
        "Failed",
        "",
        [("download", "Failed"), ("apply", "Pending")],
    )


def test_a_scripted_host_works_as_soon_as_s3_answers(bench: Bench) -> None:
    """The command is the old one, and is run to its end."""
    agent, command_id = in_trouble(bench, Trouble.S3_SILENT)
    bench.run(300)
    agent.trouble = Trouble.NONE
    bench.run(3)
    assert shown(bench, command_id)[0] == "Success"


def test_steps_are_told_as_they_end(bench: Bench) -> None:
    """Of a worker that is killed in its second step, the first is there, and is called failed a minute later."""
    _, command_id = in_trouble(bench, Trouble.WORKER_KILLED)
    waiting = ("apply", "Pending")
    assert shown(bench, command_id) == (
        "InProgress",
        "",
        [("download", "Success"), waiting],
    )
    bench.run(WORKER_SECONDS)
    assert shown(bench, command_id) == ("Failed", "", [("download", "Failed"), waiting])


def test_an_agent_may_take_a_command_and_say_nothing(bench: Bench) -> None:
    """In progress until the total timeout."""
    _, command_id = in_trouble(bench, Trouble.MUTE)
    bench.run(900 + 119 - 3)
    assert shown(bench, command_id) == NOTHING_YET
    bench.run(2)
    assert bench.details(command_id) == ["DeliveryTimedOut"]


def test_a_rejected_command_leaves_no_trace(bench: Bench) -> None:
    """Failed, and nothing else, whether the agent refuses it or has no room."""
    agent, command_id = in_trouble(bench, Trouble.REJECTS)
    assert shown(bench, command_id) == ("Failed", "", [])
    agent.trouble = Trouble.MUTE
    for number in range(ROOM + 1):
        command_id = bench.send(ids(1), Comment=str(number))
        bench.run(2)
        assert (shown(bench, command_id)[0] == "Failed") is (number == ROOM)


def test_a_step_without_timeout_may_count_an_hour(bench: Bench) -> None:
    """As nobody knows, the stand-in gives a command its longest possible life."""
    content = DOCUMENT | {"mainSteps": [download(URL), *DOCUMENT["mainSteps"]]}
    bench.ssm.create_document(
        Name="Download", Content=json.dumps(content), DocumentType="Command"
    )
    bench.service.register(
        ids(1)[0], ScriptedAgent(bench.clock, bench.answering(), trouble=Trouble.MUTE)
    )
    sent = bench.ssm.send_command(
        DocumentName="Download",
        InstanceIds=ids(1),
        Parameters={"Md5": ["abcd"]},
        TimeoutSeconds=60,
    )["Command"]
    life = sent["ExpiresAfter"] - sent["RequestedDateTime"]
    assert life == timedelta(seconds=60 + 3600 + 60)
