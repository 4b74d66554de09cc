"""Stands for CloudWatch Logs of functions: what an execution environment prints lands in the function's log group.

A stream for each environment, an event for each line, and Lambda's own lines around each invocation; times ascend.
Checked, as the services do: the group that `LoggingConfig` names exists, and the function's role may write to it.
`FilterLogEvents` answers as AWS does where moto is kinder: the events of all streams by time, pages that are smaller
than was asked for, and empty ones with a token.
"""

import logging
import secrets
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from moto.awslambda.models import LambdaFunction
from moto.logs.exceptions import InvalidParameterException
from moto.logs.models import LogGroup, logs_backends

from local.cloud import ACCOUNT, REGION
from local.cloud.access import policies_of
from local.cloud.policies import Request, allows

log = logging.getLogger(__name__)

PAGE_EVENTS = 100  # AWS's is as many as fit into 1 MB
KEPT_EVENTS = 10_000  # of a stream, and
KEPT_STREAMS = 32  # of a group: this machine's memory is the bound
BEGIN = "@begin"

_writing = threading.Lock()  # moto counts its event ids without one
_newest = 0


def install() -> None:
    """Let this process's moto answer FilterLogEvents and `!GetAtt LogGroup.Arn` as AWS does."""
    plain = LogGroup.filter_log_events

    def filter_log_events(self: LogGroup, group: str, *query: Any) -> Any:
        streams, start, end, limit, token, pattern, _interleaved = query
        if pattern:
            raise InvalidParameterException("not played: filterPattern")
        if not token:
            return [], f"{group}{BEGIN}", []
        most = min(limit or PAGE_EVENTS, PAGE_EVENTS)
        after = None if token.endswith(BEGIN) else token
        return plain(self, group, streams, start, end, most, after, pattern, True)  # noqa: FBT003 # moto's

    LogGroup.filter_log_events = filter_log_events  # type: ignore[method-assign, assignment]
    attribute = LogGroup.get_cfn_attribute

    def get_cfn_attribute(self: LogGroup, attribute_name: str) -> str:
        return f"{attribute(self, attribute_name)}:*"

    LogGroup.get_cfn_attribute = get_cfn_attribute  # type: ignore[method-assign]


class Output:
    """What one execution environment prints: it goes to a file, and to a stream of the function's log group."""

    def __init__(self, deployed: LambdaFunction, file: Path) -> None:
        self._file = file
        self._put = _stream(deployed)

    def keep(self, printed: IO[bytes]) -> None:
        """Read until the environment ends, beside whatever else is done."""
        threading.Thread(target=self._read, args=(printed,), daemon=True).start()

    def say(self, line: str) -> None:
        """A line of Lambda's own."""
        self._put(line)

    def _read(self, printed: IO[bytes]) -> None:
        with self._file.open("ab", buffering=0) as file, printed:
            for line in printed:
                file.write(line)
                self._put(line.decode(errors="replace").rstrip("\r\n"))


def put(group: LogGroup, stream: str, line: str) -> None:
    """One event of now, later than any before it; the oldest ones are forgotten."""
    global _newest  # noqa: PLW0603 # one clock for all streams
    with _writing:
        _newest = max(_newest + 1, int(time.time() * 1000))
        kept = group.streams[stream]
        kept.put_log_events([{"timestamp": _newest, "message": line}])
        del kept.events[:-KEPT_EVENTS]


def _stream(deployed: LambdaFunction) -> Callable[[str], None]:
    """Writes into a new stream; nowhere, where AWS could not write."""
    wanted = deployed.logging_config.get("LogGroup", "")  # type: ignore[attr-defined]
    group = logs_backends[ACCOUNT][REGION].groups.get(wanted)
    name = f"{datetime.now(UTC):%Y/%m/%d}/[$LATEST]{secrets.token_hex(16)}"
    if group is None or not _may_write(deployed, f"{group.arn}:log-stream:{name}"):
        log.error("%s cannot log to %r", deployed.function_name, wanted)
        return lambda _line: None
    with _writing:
        group.create_log_stream(name)
        for oldest in list(group.streams)[:-KEPT_STREAMS]:
            del group.streams[oldest]
    return lambda line: put(group, name, line) if name in group.streams else None


def _may_write(deployed: LambdaFunction, stream_arn: str) -> bool:
    policies = policies_of(deployed.role)
    actions = ("logs:CreateLogStream", "logs:PutLogEvents")
    return all(allows(policies, Request(action, stream_arn)) for action in actions)
