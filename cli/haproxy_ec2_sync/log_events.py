"""The function's log in CloudWatch, an event for each line; read once, or for as long as somebody watches."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from haproxy_ec2_sync.errors import Failed

LATE_MILLISECONDS = 30_000
"""CloudWatch may show an event this much later than one that is younger."""


@dataclass(frozen=True, slots=True)
class LogEvent:
    """A line; `at` in unix milliseconds. No two have the same id."""

    id: str
    at: int
    message: str


@dataclass
class Log:
    """What is in a log group from some time on; each event comes once, however often it is read."""

    client: Any
    group: str
    begin: int  # unix milliseconds
    seen: dict[str, int] = field(default_factory=dict)

    def new(self) -> Iterator[LogEvent]:
        """What is there by now, page by page, by time; `Failed` if there is no such group."""
        newest = max(self.seen.values(), default=self.begin)
        start = max(self.begin, newest - LATE_MILLISECONDS)
        self.seen = {key: at for key, at in self.seen.items() if at >= start}
        for event in self._events(start):
            if event.id not in self.seen:
                self.seen[event.id] = event.at
                yield event

    def _events(self, start: int) -> Iterator[LogEvent]:
        pages = self.client.get_paginator("filter_log_events").paginate(
            logGroupName=self.group, startTime=start
        )
        try:
            for page in pages:  # some are empty, and others come after them
                yield from map(_event, page["events"])
        except self.client.exceptions.ResourceNotFoundException as error:
            raise Failed(
                f"there is no log group {self.group}: deploy the stack again"
            ) from error


def _event(event: dict[str, Any]) -> LogEvent:
    return LogEvent(event["eventId"], event["timestamp"], event["message"])
