"""The samples of these tests are answers as docs/answers.schema.json describes them."""

from collections.abc import Mapping
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tests.cli import samples
from tests.contract import answers

WHOLE = {"begun": samples.begun(), "check": samples.check()}
PARTS = {
    "status": samples.status(**samples.leaving()),
    "plan": samples.plan(draining=samples.leaving()["draining"], warnings=["a"]),
    "diff": samples.diff(),
}


@pytest.mark.parametrize("name", WHOLE)
def test_a_whole_sample(name: str) -> None:
    """Nothing is missing in it."""
    assert answers.problems(WHOLE[name]) == []


@pytest.mark.parametrize("name", PARTS)
def test_a_sample_of_what_a_view_reads(name: str) -> None:
    """It may lack keys, and has no other ones than answers have, nor other values."""
    defined = _without_required(answers.schema()["$defs"])
    validator = Draft202012Validator({"$ref": f"#/$defs/{name}", "$defs": defined})
    errors = validator.iter_errors(PARTS[name])
    assert [f"{each.json_path}: {each.message}"[:200] for each in errors] == []


def _without_required(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_without_required(each) for each in schema]
    if not isinstance(schema, Mapping):
        return schema
    return {
        key: _without_required(value)
        for key, value in schema.items()
        if key != "required"
    }
