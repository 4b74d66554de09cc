"""The command line in front of the world of tests/contract: what a person types, and what they read."""

import io
import json
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from haproxy_ec2_sync import clock, function
from haproxy_ec2_sync.app import run
from haproxy_ec2_sync.function import Function
from haproxy_ec2_sync.target import Target
from tests.contract.conftest import _quick_moto, running, world
from tests.contract.world import World

__all__ = ["_quick_moto", "running", "world"]

COLUMNS = "120"
PROJECT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Typed:
    """What a command line came to."""

    status: int
    out: str
    err: str


@dataclass
class Shell:
    """Types commands at a terminal of a fixed width; `asked` are the requests that reached the function."""

    world: World
    capture: pytest.CaptureFixture[str]
    asked: list[dict[str, Any]]
    targets: list[Target]
    patch: pytest.MonkeyPatch

    arriving: Callable[[dict[str, Any]], object] = lambda _request: None
    """Called with each request before the function gets it; what it raises is AWS's error."""

    def __call__(self, *words: str) -> Typed:
        """Type `haproxy-ec2-sync` and these words."""
        self.capture.readouterr()
        status = run(words)
        said = self.capture.readouterr()
        return Typed(status, said.out, said.err)


class _Lambda:
    """The Lambda API in front of the world's function."""

    def __init__(self, shell: Shell) -> None:
        self.shell = shell

    def invoke(self, *, FunctionName: str, Payload: bytes) -> dict[str, Any]:  # noqa: N803 # boto3's names
        """The function's answer, or its error as Lambda tells it."""
        assert FunctionName == "function"
        request = json.loads(Payload)
        self.shell.asked.append(request)
        self.shell.arriving(request)
        try:
            answer = quietly(self.shell.world.act)(**request)
        except Exception as error:  # noqa: BLE001 # Lambda tells any
            told = {
                "errorType": type(error).__name__,
                "errorMessage": str(error),
                "stackTrace": ["..."],
            }
            return {
                "FunctionError": "Unhandled",
                "Payload": io.BytesIO(json.dumps(told).encode()),
            }
        return {"Payload": io.BytesIO(json.dumps(answer).encode())}


@pytest.fixture
def shell(
    world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Shell:
    """A shell in the project's folder, whose every stack is the world's."""
    monkeypatch.chdir(PROJECT)
    monkeypatch.setenv("COLUMNS", COLUMNS)
    made = Shell(world, capsys, [], [], monkeypatch)

    def find(target: Target) -> Function:
        made.targets.append(target)
        clients = {"lambda": _Lambda(made), **vars_of(world)}
        return Function("function", {"BucketName": "bucket"}, clients.__getitem__)

    monkeypatch.setattr(function, "find", find)
    # The operator's clock is the world's; while a command waits, the world goes on.
    monkeypatch.setattr(clock, "now", lambda: world.now)
    monkeypatch.setattr(clock, "sleep", quietly(world.pass_time))
    return made


def quietly(work: Callable[..., Any]) -> Callable[..., Any]:
    """The same work: what the function prints goes to its log, which is not where the command line writes."""

    def quiet(*arguments: Any, **options: Any) -> Any:
        with redirect_stdout(io.StringIO()):
            return work(*arguments, **options)

    return quiet


def vars_of(world: World) -> dict[str, Any]:
    """The world's clients by the names of their services."""
    clients = world.clients
    return {
        "ec2": clients.ec2,
        "s3": clients.s3,
        "ssm": clients.ssm,
        "sqs": clients.sqs,
    }
