"""What every answer keeps: the schema of docs/answers.schema.json, and ISO 8601 beside each time."""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import cache
from math import ceil
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

SCHEMA = Path(__file__).parents[2] / "docs/answers.schema.json"
# What is no number of a time looks like none: from 2000 on, until 2100.
TIMES = range(946_684_800, 4_102_444_800)
# A number for hosts to compare, though it is made of the clock.
NO_TIMES = {"fence"}


@cache
def schema() -> Mapping[str, Any]:
    """The whole of it."""
    loaded: Mapping[str, Any] = json.loads(SCHEMA.read_text())
    return loaded


@cache
def validator(part: str) -> Draft202012Validator:
    """For one of its definitions."""
    ref = {"$ref": f"#/$defs/{part}", "$defs": schema()["$defs"]}
    return Draft202012Validator(ref)


def part_of(action: str) -> str:
    """The definition for the answer to an action."""
    return action if action in {"status", "plan", "diff", "check"} else "reconciled"


def problems(answer: Mapping[str, Any]) -> list[str]:
    """What is wrong with an answer as a script reads it."""
    read = json.loads(json.dumps(answer))
    part = "checked" if "done" in read else part_of(read["action"])
    errors = validator(part).iter_errors(read)
    return [f"{each.json_path}: {each.message}"[:300] for each in errors] + [
        *unreadable_times(read)
    ]


def unreadable_times(value: Any, path: str = "$") -> Iterator[str]:
    """Times at any depth that have no ISO 8601 beside them, or another one."""
    if isinstance(value, list):
        for number, each in enumerate(value):
            yield from unreadable_times(each, f"{path}[{number}]")
    if not isinstance(value, Mapping):
        return
    for key, each in value.items():
        beside = value.get(f"{key}_iso")
        if is_time(key, each) and beside != iso(each):
            yield f"{path}.{key}: {each} has {beside} beside it"
        yield from _in_a_map(each, beside, f"{path}.{key}")


def _in_a_map(value: Any, beside: Any, path: str) -> Iterator[str]:
    """Times by name have their ISO 8601 by the same names; whatever else is in there is looked at, too."""
    if isinstance(value, Mapping) and isinstance(beside, Mapping):
        wrong = {
            name: each for name, each in value.items() if beside.get(name) != iso(each)
        }
        yield from (f"{path}.{name}: {each}" for name, each in wrong.items())
    else:
        yield from unreadable_times(value, path)


def is_time(key: str, value: Any) -> bool:
    """Whether a number can be nothing but a time."""
    is_number = isinstance(value, int | float) and key not in NO_TIMES
    return is_number and int(value) in TIMES


def iso(time: float) -> str:
    """The time as answers write it."""
    return f"{datetime.fromtimestamp(ceil(time), UTC):%Y-%m-%dT%H:%M:%SZ}"
