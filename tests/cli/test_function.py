"""What Lambda may answer, the function's own words aside: one line each."""

import io
import json
from typing import Any

import pytest

from haproxy_ec2_sync.errors import Failed
from haproxy_ec2_sync.function import Function, FunctionFailed, Refused

TIMED_OUT = "2026-11-26T03:00:00Z request-1 Task timed out after 60.00 seconds"
TOO_LARGE = "Response payload size (7000000 bytes) exceeded maximum allowed payload"


class Lambda:
    """A client whose function says this."""

    def __init__(self, payload: bytes, **answer: Any) -> None:
        self.answer = answer | {"Payload": io.BytesIO(payload)}

    def invoke(self, **_request: Any) -> dict[str, Any]:
        """Boto3's own answer."""
        return self.answer


@pytest.mark.parametrize(
    ("payload", "is_error", "words"),
    [
        (b"<html>\n<b>", False, "the function's answer is no JSON: <html> <b>"),
        (b"\xff\x1b[2J", True, "the function's answer is no JSON: "),
        (b"", True, "the function failed: None"),
        (b"", False, "deploy the same release"),
        (b"[]", False, "deploy the same release"),
        (json.dumps({"errorMessage": TIMED_OUT}).encode(), True, TIMED_OUT),
        (
            json.dumps(
                {
                    "errorType": "Function.ResponseSizeTooLarge",
                    "errorMessage": TOO_LARGE,
                }
            ).encode(),
            True,
            f"Function.ResponseSizeTooLarge: {TOO_LARGE}",
        ),
        (
            json.dumps(
                {
                    "errorType": "Runtime.ImportModuleError",
                    "errorMessage": "Unable to import module 'handler': No module\n named x",
                    "stackTrace": [],
                }
            ).encode(),
            True,
            "Runtime.ImportModuleError: Unable to import module 'handler': No module named x; see its log",
        ),
    ],
)
def test_what_is_no_answer_is_one_line(
    payload: bytes, words: str, *, is_error: bool
) -> None:
    """Whoever said it."""
    error = {"FunctionError": "Unhandled"} if is_error else {}
    function = Function("f", {}, lambda _service: Lambda(payload, **error))
    with pytest.raises(Failed) as failed:
        function.ask("status")
    assert words in failed.value.message
    assert str(failed.value.message).isprintable()


def test_no_json_may_pass() -> None:
    """A proxy on the way may say so once; a wait asks again."""
    function = Function("f", {}, lambda _service: Lambda(b"<html>"))
    with pytest.raises(FunctionFailed):
        function.ask("status")


@pytest.mark.fault("F177")
@pytest.mark.parametrize("kind", ["BadRequest", "NewerState"])
def test_what_the_function_refuses_is_its_own_line(kind: str) -> None:
    """It is said as it is, without a word of the log."""
    told = json.dumps({"errorType": kind, "errorMessage": "no", "stackTrace": ["..."]})
    client = Lambda(told.encode(), FunctionError="Unhandled")
    with pytest.raises(Refused) as refused:
        Function("f", {}, lambda _service: client).ask("sync")
    assert refused.value.message == "no"
