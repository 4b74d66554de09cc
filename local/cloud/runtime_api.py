"""Stands for Lambda's Runtime API: one server for one execution environment, which does one invocation at a time.

Checked: an answer belongs to the invocation in hand; payloads keep Lambda's 6 MB limit; an environment that fails to
start, ends or overruns its timeout gives the error that Lambda gives.
"""

import json
import queue
import threading
import time
import uuid
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PAYLOAD_LIMIT = 6 * 1024 * 1024
API = "/2018-06-01/runtime"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a function returned, or the error object in its place."""

    payload: bytes
    is_error: bool = False

    @classmethod
    def of_error(cls, kind: str, message: str) -> "Answer":
        """An error that Lambda itself reports, such as a timeout."""
        return cls(json.dumps({"errorType": kind, "errorMessage": message}).encode(), is_error=True)


class RuntimeApi:
    """The HTTP server that a runtime polls for its next invocation."""

    def __init__(self, function_arn: str, timeout: float) -> None:
        self.function_arn = function_arn
        self.timeout = timeout
        self.invocations: queue.Queue[tuple[str, bytes]] = queue.Queue()
        self.answers: queue.Queue[tuple[str, Answer]] = queue.Queue()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def address(self) -> str:
        """The value of AWS_LAMBDA_RUNTIME_API."""
        return f"127.0.0.1:{self._server.server_port}"

    def send(self, payload: bytes) -> str:
        """Hand an event to the runtime; the id of the request."""
        if len(payload) > PAYLOAD_LIMIT:
            raise ValueError(f"event of {len(payload)} bytes: Lambda takes {PAYLOAD_LIMIT}")
        request_id = str(uuid.uuid4())
        self.invocations.put((request_id, payload))
        return request_id

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()


def _handler(api: RuntimeApi) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            """Say nothing: the function's own log says it."""

        def do_GET(self) -> None:  # the name that http.server calls
            if self.path != f"{API}/invocation/next":
                self._reply(404)
                return
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
            request_id, _, kind = self.path.removeprefix(f"{API}/").removeprefix("invocation/").partition("/")
            if kind not in ("response", "error"):
                self._reply(404)
                return
            if kind == "response" and len(body) > PAYLOAD_LIMIT:
                answer = Answer.of_error("Function.ResponseSizeTooLarge", f"response of {len(body)} bytes")
            else:
                answer = Answer(body, is_error=kind == "error")
            api.answers.put((request_id, answer))
            self._reply(202)

        def _reply(self, status: int, body: bytes = b"{}", headers: dict[str, str] | None = None) -> None:
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return Handler


def _body(request: BaseHTTPRequestHandler) -> bytes:
    if request.headers.get("Transfer-Encoding") != "chunked":
        return request.rfile.read(int(request.headers.get("Content-Length") or 0))
    chunks = []
    while size := int(request.rfile.readline(), 16):
        chunks.append(request.rfile.read(size))
        request.rfile.readline()
    request.rfile.readline()
    return b"".join(chunks)
