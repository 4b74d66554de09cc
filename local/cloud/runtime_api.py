"""Stands for Lambda's Runtime API: one server for one execution environment, which does one invocation at a time.

Checked: an answer belongs to the invocation in hand; payloads keep Lambda's 6 MB limit; an environment that fails to
start, ends or overruns its timeout gives the error that Lambda gives.
"""

import json
import queue
import threading
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import MappingProxyType
from typing import Any

PAYLOAD_LIMIT = 6 * 1024 * 1024
API = "/2018-06-01/runtime"
NO_HEADERS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class InvocationResult:
    """What a function returned, or the error object in its place."""

    payload: bytes
    is_error: bool = False

    @classmethod
    def of_error(cls, kind: str, message: str) -> "InvocationResult":
        """An error that Lambda itself reports, such as a timeout."""
        return cls(
            json.dumps({"errorType": kind, "errorMessage": message}).encode(),
            is_error=True,
        )


class RuntimeApi:
    """The HTTP server that a runtime polls for its next invocation."""

    def __init__(self, function_arn: str, timeout: float) -> None:
        self.function_arn = function_arn
        self.timeout = timeout
        self.invocations: queue.Queue[tuple[str, bytes]] = queue.Queue()
        self.results: queue.Queue[tuple[str, InvocationResult]] = queue.Queue()
        self._server = _Server(self)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def address(self) -> str:
        """The value of AWS_LAMBDA_RUNTIME_API."""
        return f"127.0.0.1:{self._server.server_port}"

    def send(self, payload: bytes) -> str:
        """Hand an event to the runtime; the id of the request."""
        if len(payload) > PAYLOAD_LIMIT:
            raise ValueError(
                f"event of {len(payload)} bytes: Lambda takes {PAYLOAD_LIMIT}"
            )
        request_id = str(uuid.uuid4())
        self.invocations.put((request_id, payload))
        return request_id

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, api: RuntimeApi) -> None:
        self.api = api
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, *_: Any) -> None:
        """Say nothing: the function's own log says it."""

    def do_GET(self) -> None:  # the name that http.server calls
        if self.path != f"{API}/invocation/next":
            self._reply(404)
            return
        api = self.server.api
        request_id, payload = api.invocations.get()
        deadline = int((time.time() + api.timeout) * 1000)
        headers = {
            "Lambda-Runtime-Aws-Request-Id": request_id,
            "Lambda-Runtime-Deadline-Ms": str(deadline),
            "Lambda-Runtime-Invoked-Function-Arn": api.function_arn,
        }
        self._reply(200, payload, headers)

    def do_POST(self) -> None:  # the name that http.server calls
        body = _body(self)
        request_id, _, kind = (
            self.path.removeprefix(f"{API}/").removeprefix("invocation/").partition("/")
        )
        if kind not in ("response", "error"):
            self._reply(404)
            return
        self.server.api.results.put((request_id, _result(kind, body)))
        self._reply(202)

    def _reply(
        self, status: int, body: bytes = b"{}", headers: Mapping[str, str] = NO_HEADERS
    ) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _result(kind: str, body: bytes) -> InvocationResult:
    if kind == "response" and len(body) > PAYLOAD_LIMIT:
        return InvocationResult.of_error(
            "Function.ResponseSizeTooLarge", f"response of {len(body)} bytes"
        )
    return InvocationResult(body, is_error=kind == "error")


def _body(request: BaseHTTPRequestHandler) -> bytes:
    if request.headers.get("Transfer-Encoding") != "chunked":
        return request.rfile.read(int(request.headers.get("Content-Length") or 0))
    chunks = []
    while size := int(request.rfile.readline(), 16):
        chunks.append(request.rfile.read(size))
        request.rfile.readline()
    request.rfile.readline()
    return b"".join(chunks)
