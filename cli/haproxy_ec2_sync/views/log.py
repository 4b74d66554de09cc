"""A line of the function's log, as a person reads it."""

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from rich.text import Text

from haproxy_ec2_sync.answers import Fields
from haproxy_ec2_sync.log_events import LogEvent
from haproxy_ec2_sync.text import plain

COLOURS = {"DEBUG": "dim", "WARNING": "yellow", "ERROR": "red", "CRITICAL": "bold red"}
BAD = frozenset({"WARNING", "ERROR", "CRITICAL"})
PLATFORM = ("START ", "END ", "REPORT ", "INIT_START ", "EXTENSION\t", "XRAY ")
"""How Lambda's own lines begin."""

HIDDEN = frozenset(
    {
        # Said already, or by every line.
        *("level", "message", "timestamp", "result", "location", "service"),
        *("environment", "request_id", "xray_trace_id", "sampling_rate"),
        *("cold_start", "function_name", "function_memory_size", "function_arn"),
        *("function_request_id", "fence", "converged", "is_heard", "is_silent"),
        # More than a line holds.
        *("stack_trace", "conditions", "instances", "publisher"),
    }
)
"""What only `--json` shows."""

METRICS = "_aws"  # the embedded metric format's own key
LONGEST = 200  # characters of a value


def line(event: LogEvent) -> Text:
    """Time, level, message and what else it says that matters; a line that is no JSON object as it is."""
    at = _at(event)
    logged = _parsed(event.message)
    if logged is None:
        return Text.assemble((at, "dim"), " ", _lines(event.message))
    if METRICS in logged:
        return Text("  ", "dim").join(map(Text, (f"{at} METRICS", *_metrics(logged))))
    level = plain(logged.get("level", ""))
    message = Text(plain(logged.get("message", "")), "bold")
    shown = Text.assemble((f"{at} ", "dim"), (f"{level:<8} ", COLOURS.get(level, "")))
    return Text("  ").join([shown.append_text(message), *map(Text, _fields(logged))])


def json_line(event: LogEvent) -> str:
    """The function's own line as it is; any other as an object of its time and its text."""
    told = {"at": _at(event), "message": event.message.rstrip()}
    return json.dumps(_parsed(event.message) or told)


def _at(event: LogEvent) -> str:
    return f"{datetime.fromtimestamp(event.at / 1000, UTC):%Y-%m-%d %H:%M:%SZ}"


def is_bad(event: LogEvent) -> bool:
    """Whether it tells of trouble: a warning or worse, or what a runtime says that fails."""
    logged = _parsed(event.message)
    if logged is not None:
        return plain(logged.get("level")) in BAD
    return not event.message.startswith(PLATFORM) or "\tStatus: " in event.message


def _parsed(message: str) -> dict[str, Any] | None:
    try:
        value = json.loads(message)
    except (ValueError, RecursionError):  # an abyss of brackets
        return None
    return value if isinstance(value, dict) else None


def _lines(message: str) -> str:
    """As it is, but for what a terminal obeys."""
    return "\n".join(map(plain, message.splitlines()))


def _fields(logged: dict[str, Any]) -> Iterator[str]:
    """All that says something."""
    for name, value in logged.items():
        if value and name not in HIDDEN:
            yield f"{plain(name)}={_short(name, value)}"


def _metrics(logged: dict[str, Any]) -> Iterator[str]:
    """Those that are not zero, each of which is a list of its values; and their dimensions."""
    for name, value in logged.items():
        values = value if isinstance(value, list) else [value]
        if any(values) and name not in {METRICS, *HIDDEN}:
            yield f"{plain(name)}={', '.join(map(_text, values))}"


def _short(name: str, value: Any) -> str:
    shown = FORMS.get(name, _text)(value)
    return shown if len(shown) <= LONGEST else f"{shown[: LONGEST - 3]}..."


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.10g}"
    return plain(value if isinstance(value, str) else json.dumps(value))


def _commands(commands: Any) -> str:
    """`canary to i-1, wave to i-2 i-3`."""
    return ", ".join(map(_command, Fields.of({"all": commands}).many("all")))


def _command(command: Fields) -> str:
    return f"{command.text('purpose')} to {' '.join(command.texts('targets'))}"


FORMS: Mapping[str, Callable[[Any], str]] = {"commands": _commands}
"""How a field is told that JSON tells badly."""
