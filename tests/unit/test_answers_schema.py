"""The schema of answers says what the code says, and says it of every key."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from haproxy_sync.operator.actions import ACTIONS
from haproxy_sync.reconcile.coalesce import Disposition
from haproxy_sync.rollout.agents import Finding
from haproxy_sync.rollout.checks import CheckResult
from haproxy_sync.state.model import Outcome, Purpose
from tests.contract.answers import SCHEMA, part_of, problems, schema

DEFINITIONS = schema()["$defs"]
ARCHITECTURE = SCHEMA.with_name("architecture.md").read_text()
OPERATORS = ARCHITECTURE.split("## What operators get")[1].split("\n## ")[0]


def objects() -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The definitions that have keys of ours."""
    for name, definition in DEFINITIONS.items():
        if "properties" in definition:
            yield name, definition


def test_it_is_a_schema() -> None:
    """Of the draft that it names, and every part that it refers to is there."""
    Draft202012Validator.check_schema(schema())
    text = SCHEMA.read_text()
    referred = set(re.findall(r"#/\$defs/(\w+)", text))
    assert referred == set(DEFINITIONS)
    assert text == json.dumps(schema(), indent=2) + "\n"


@pytest.mark.fault("F152")
@pytest.mark.parametrize(
    ("part", "key", "code"),
    [
        ("purpose", None, set(Purpose)),
        ("outcome", None, set(Outcome)),
        ("finding", "finding", set(Finding)),
        ("reconciled", "result", set(Disposition)),
        ("checked_proxy", "result", set(CheckResult)),
        (
            "reconciled",
            "action",
            ACTIONS.keys() - {"status", "plan", "diff", "check"},
        ),
    ],
)
def test_words_are_those_of_the_code(
    part: str, key: str | None, code: set[str]
) -> None:
    """Each enumeration, whole."""
    definition = DEFINITIONS[part]
    stated = definition["properties"][key] if key else definition
    assert set(stated["enum"]) == set(code)


def test_every_action_has_a_part() -> None:
    """Which names it."""
    for action in ACTIONS:
        stated = DEFINITIONS[part_of(action)]["properties"]["action"]["enum"]
        assert action in stated


def test_every_object_is_closed() -> None:
    """A key that nobody wrote down here is a mistake."""
    for name, definition in objects():
        assert definition["additionalProperties"] is False, name
        assert set(definition["required"]) <= set(definition["properties"]), name


# Not in every one of them: they say more than the rest, each about one thing.
SOMETIMES = {
    "freeze": {"then"},
    "reconciled": {"publishers", "unheard", "publishers_note"},
}


@pytest.mark.fault("F152")
def test_every_key_is_there_in_every_answer() -> None:
    """So that a script need not ask whether it is; what is unknown is null or empty."""
    for name, definition in objects():
        optional = set(definition["properties"]) - set(definition["required"])
        assert optional == SOMETIMES.get(name, set()), name


@pytest.mark.fault("F152")
def test_every_key_is_explained() -> None:
    """In docs/architecture.md, or by words of its own."""
    for name, definition in objects():
        assert definition["description"], name
        for key, stated in definition["properties"].items():
            assert stated.get("description") or f"`{key}`" in OPERATORS, (name, key)


@pytest.mark.fault("F152")
def test_every_time_has_its_iso() -> None:
    """Beside it, and beside nothing else."""
    for name, definition in objects():
        keys = set(definition["properties"])
        times = {
            key
            for key, stated in definition["properties"].items()
            if re.search(r"/time\b|/time_or_null", json.dumps(stated))
        }
        assert {f"{key}_iso" for key in times} == {
            key for key in keys if key.endswith("_iso")
        }, name


ANSWER: Mapping[str, Any] = {
    "action": "diff",
    "environment": "staging",
    "instances": {},
    "generation": 2,
    "against": 1,
    "why": "a test",
    "at": 1795316640.5,
    "at_iso": "2026-11-22T03:04:01Z",
    "diff": [],
}


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"at": "now"}, "$.at: 'now' is not of type 'number'"),
        ({"new": 1}, "Additional properties are not allowed"),
        ({"at_iso": None}, "$.at: 1795316640.5 has None beside it"),
        ({"at_iso": "2026-11-22T03:04:00Z"}, "2026-11-22T03:04:00Z beside it"),
        ({"instances": {"i-1": {}}}, "does not match"),
        ({"against": {"i-0a": 1795316640.5}}, "is not of type"),
    ],
)
def test_what_is_wrong_with_an_answer_is_found(
    wrong: Mapping[str, Any], complaint: str
) -> None:
    """Else the contract tests would find nothing."""
    assert problems(ANSWER) == []
    assert any(complaint in each for each in problems({**ANSWER, **wrong}))


def test_times_by_name_are_found() -> None:
    """At any depth."""
    deep = {"diff": [{"silent": {"a": 1795316640.5}, "silent_iso": {}}]}
    assert any("$.diff[0].silent.a" in each for each in problems({**ANSWER, **deep}))
