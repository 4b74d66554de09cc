"""Lambda as the local system plays it: the runtime's own view, its errors, and what stays in the queue."""

import io
import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from moto.awslambda.models import LambdaFunction

from local.cloud.event_source import failed_ids
from local.cloud.eventbridge import seconds_of
from local.cloud.function import ExecutionEnvironment, Functions
from local.cloud.runtime_api import InvocationResult
from local.cloud.runtime_path import link_runtime

HANDLER = """
import json, os, time

def handler(event, context):
    match event["do"]:
        case "echo": return {"event": event, "left": context.get_remaining_time_in_millis(), "env": dict(os.environ)}
        case "raise": raise RuntimeError("no")
        case "import": __import__(event["name"])
        case "exit": os._exit(3)
        case "hang": time.sleep(60)
"""


def sample_function(handler: str) -> LambdaFunction:
    """A deployed function with this handler."""
    deployed: Any = LambdaFunction.__new__(LambdaFunction)
    properties: dict[str, Any] = {
        "function_arn": "arn:aws:lambda:eu-west-1:123456789012:function:sample",
        "function_name": "sample",
        "handler": handler,
        "timeout": 3,
        "memory_size": 128,
        "role": "arn:aws:iam::123456789012:role/sample",
        "environment_vars": {"COLOUR": "blue"},
        "logging_config": {},
        "layers": [],
        "code_bytes": b"",
    }
    for name, value in properties.items():
        setattr(deployed, name, value)
    function: LambdaFunction = deployed
    return function


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[Callable[[str], ExecutionEnvironment]]:
    """Starts execution environments for a handler of the module above, with a timeout of three seconds."""
    made: list[ExecutionEnvironment] = []
    (tmp_path / "task").mkdir()
    (tmp_path / "task" / "sample.py").write_text(HANDLER)
    link_runtime(tmp_path / "runtime")

    def start(handler: str) -> ExecutionEnvironment:
        deployed = sample_function(handler)
        made.append(ExecutionEnvironment(deployed, tmp_path, "http://127.0.0.1:1"))
        return made[-1]

    yield start
    for each in made:
        each.kill()


def ask(environment: ExecutionEnvironment, **event: Any) -> tuple[Any, bool]:
    """The answer to an event, and whether it is an error."""
    answer = environment.invoke(json.dumps(event).encode())
    return json.loads(answer.payload), answer.is_error


def test_a_function_sees_its_own_environment(
    environment: Callable[[str], ExecutionEnvironment],
) -> None:
    """The deployed variables, session credentials and a deadline; and the same process again when it is warm."""
    warm = environment("sample.handler")
    for _ in range(2):
        answer, is_error = ask(warm, do="echo")
        assert not is_error
        assert answer["env"]["COLOUR"] == "blue"
        assert answer["env"]["AWS_SESSION_TOKEN"]
        assert 0 < answer["left"] <= 3000
    assert warm.is_alive


def _zipped(source: str) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("sample.py", source)
    return packed.getvalue()


def _answered(functions: Functions, deployed: LambdaFunction) -> Any:
    return json.loads(functions.invoke(deployed, b'{"do": "echo"}').payload)


@pytest.mark.fault("F191")
def test_a_deploy_ends_what_ran_before_it(tmp_path: Path) -> None:
    """A warm process answers again; once a variable or the code has changed, a new process has the new ones."""
    deployed = sample_function("sample.handler")
    deployed.code_bytes = _zipped(HANDLER)
    functions = Functions(tmp_path, "http://127.0.0.1:1")
    try:
        assert _answered(functions, deployed)["env"]["COLOUR"] == "blue"
        deployed.environment_vars = {"COLOUR": "green"}
        assert _answered(functions, deployed)["env"]["COLOUR"] == "green"
        deployed.code_bytes = _zipped("def handler(event, context): return 'new'\n")
        assert _answered(functions, deployed) == "new"
    finally:
        functions.close()


def test_a_function_cannot_import_what_only_the_developer_has(
    environment: Callable[[str], ExecutionEnvironment],
) -> None:
    """boto3 comes with the runtime; pytest does not."""
    warm = environment("sample.handler")
    assert ask(warm, do="import", name="boto3") == (None, False)
    answer, is_error = ask(warm, do="import", name="pytest")
    assert is_error
    assert answer["errorType"] == "ModuleNotFoundError"


@pytest.mark.parametrize(
    ("handler", "do", "kind"),
    [
        ("sample.handler", "raise", "RuntimeError"),
        ("sample.handler", "exit", "Runtime.ExitError"),
        ("sample.handler", "hang", "Sandbox.Timedout"),
        ("missing.handler", "echo", "Runtime.ImportModuleError"),
    ],
)
def test_errors_are_those_of_lambda(
    environment: Callable[[str], ExecutionEnvironment], handler: str, do: str, kind: str
) -> None:
    """A raised error leaves the environment alive; an exit, an overrun timeout and a failed start do not."""
    used = environment(handler)
    if do == "hang":
        # A cold start has more time than the timeout, which is waited for here.
        ask(used, do="echo")
    answer, is_error = ask(used, do=do)
    assert is_error
    assert answer["errorType"] == kind
    assert used.is_alive == (do == "raise")


@pytest.mark.parametrize(
    ("response", "partial", "failed"),
    [
        ({"batchItemFailures": []}, True, set()),
        (None, True, set()),
        ({"batchItemFailures": [{"itemIdentifier": "b"}]}, True, {"b"}),
        ({"batchItemFailures": [{"itemIdentifier": "b"}]}, False, set()),
        ({"batchItemFailures": [{"itemIdentifier": "unknown"}]}, True, {"a", "b"}),
        ({"batchItemFailures": [{"itemIdentifier": ""}]}, True, {"a", "b"}),
    ],
)
def test_what_stays_in_the_queue(
    response: Any, *, partial: bool, failed: set[str]
) -> None:
    """A batch response names the messages that come back; one that names another brings all of them back."""
    assert (
        failed_ids(
            InvocationResult(json.dumps(response).encode()), {"a", "b"}, partial=partial
        )
        == failed
    )


def test_an_error_brings_the_whole_batch_back() -> None:
    """Whatever the mapping says about partial responses."""
    assert failed_ids(
        InvocationResult.of_error("Sandbox.Timedout", ""), {"a", "b"}, partial=True
    ) == {"a", "b"}


@pytest.mark.parametrize(
    ("expression", "seconds"),
    [("rate(1 minute)", 60), ("rate(5 minutes)", 300), ("rate(1 hour)", 3600)],
)
def test_rates(expression: str, seconds: int) -> None:
    """A rate expression has one period."""
    assert seconds_of(expression) == seconds


@pytest.mark.parametrize(
    "expression",
    ["rate(1 minutes)", "rate(5 minute)", "rate(0.5 minutes)", "every minute", ""],
)
def test_rates_that_eventbridge_refuses(expression: str) -> None:
    """The singular goes with one, the plural with the others."""
    with pytest.raises(ValueError, match="schedule expression"):
        seconds_of(expression)
