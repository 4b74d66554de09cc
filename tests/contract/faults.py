"""Makes AWS calls fail: with an error instead of the deed, with an error after it, or with the death of the caller."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch

from moto.core.botocore_stubber import BotocoreStubber

from haproxy_sync.aws import Clients
from haproxy_sync.state.model import EnvironmentState

type HttpResponse = tuple[int, dict[str, str], bytes]
type Chooser = Callable[[str, str], "Fault | None"]


class Death(BaseException):
    """The function's process ends here: nothing catches it."""


@dataclass(frozen=True)
class Fault:
    """What happens to one request."""

    status: int = 500
    code: str = "InternalError"
    is_done: bool = False  # the service did it, only the answer is lost
    is_death: bool = False
    message: str = "no"  # of a service that speaks JSON

    def response(self, operation: str) -> HttpResponse:
        """As the service would word it."""
        if self.is_death:
            raise Death(operation)
        if operation.startswith(("ssm.", "secrets-manager.")):
            body = json.dumps({"__type": self.code, "message": self.message})
        elif operation.startswith("auto-scaling."):
            error = f"<Code>{self.code}</Code><Message>no</Message>"
            body = f"<ErrorResponse><Error>{error}</Error></ErrorResponse>"
        elif operation.startswith("ec2."):
            body = f"<Response><Errors><Error><Code>{self.code}</Code></Error></Errors></Response>"
        else:
            body = f"<Error><Code>{self.code}</Code><Message>no</Message></Error>"
        return self.status, {"Content-Type": "text/xml"}, body.encode()


@contextmanager
def interposed(clients: Clients, choose: Chooser) -> Iterator[None]:
    """Every call of the clients first asks `choose(operation, url)`; operations read `s3.PutObject`."""
    sending = threading.local()  # outputs are read by several threads at a time
    real = BotocoreStubber.process_request

    def process(stubber: BotocoreStubber, request: Any) -> Any:
        operation = vars(sending).pop("operation", "")
        fault = choose(operation, request.url)
        if fault and not fault.is_done:
            return fault.response(operation)
        done = real(stubber, request)
        return fault.response(operation) if fault else done

    def observe(event_name: str, **_: Any) -> None:
        sending.operation = event_name.removeprefix("before-send.")

    every = (
        clients.ec2,
        clients.s3,
        clients.ssm,
        clients.sqs,
        clients.commands,
        clients.auto_scaling(),
        clients.secrets_manager(),
    )
    for client in every:
        client.meta.events.register_first("before-send", observe)
    try:
        with (
            patch.object(BotocoreStubber, "process_request", process),
            patch("botocore.endpoint.time.sleep", lambda _seconds: None),
        ):
            yield
    finally:
        for client in every:
            client.meta.events.unregister("before-send", observe)


@contextmanager
def failing(
    clients: Clients, operation: str, fault: Fault, times: int = 99
) -> Iterator[list[str]]:
    """The operation fails that many times; the list grows with each."""
    failed: list[str] = []

    def choose(called: str, _url: str) -> Fault | None:
        if called != operation or len(failed) >= times:
            return None
        failed.append(called)
        return fault

    with interposed(clients, choose):
        yield failed


@contextmanager
def calls(clients: Clients) -> Iterator[list[str]]:
    """Every call that is made, by operation."""
    made: list[str] = []

    def choose(called: str, _url: str) -> Fault | None:
        made.append(called)
        return None

    with interposed(clients, choose):
        yield made


def apart_from_failure(
    after: EnvironmentState, before: EnvironmentState
) -> EnvironmentState:
    """The state without what a look that failed writes into it: the failure alone, by a put of its own."""
    assert after.look_failure
    return replace(
        after,
        look_failure=None,
        advance_at=before.advance_at,  # one that is over is gone
        revision=before.revision,
        writer=before.writer,
    )
