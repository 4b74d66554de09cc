"""The text of an SSM document as CloudFormation submits it: its limits and its hash are those of this text.

The resource's handler writes the content with Jackson, indented (aws-cloudformation-resource-providers-ssm,
`DocumentModelTranslator`): two blanks for each object within objects, blanks around colons, and no line break in an
array but those of the objects in it. Before that CloudFormation has made numbers and booleans of a template strings.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

INDENT = "  "


def submitted(content: Mapping[str, Any]) -> str:
    """The text that CreateDocument or UpdateDocument gets; keys keep their order."""
    return _written(content, "")


def _written(node: Any, margin: str) -> str:
    """The node behind so many blanks; the first line is where the caller is."""
    match node:
        case Mapping():
            return _object(node, margin)
        case list() | tuple():
            return _array(_written(each, margin) for each in node)
        case str():
            return json.dumps(node, ensure_ascii=False)
        case _:
            return json.dumps(json.dumps(node))


def _object(node: Mapping[str, Any], margin: str) -> str:
    if not node:
        return "{ }"
    inner = margin + INDENT
    lines = (
        f"{inner}{json.dumps(key, ensure_ascii=False)} : {_written(value, inner)}"
        for key, value in node.items()
    )
    return "{\n" + ",\n".join(lines) + f"\n{margin}}}"


def _array(items: Iterable[str]) -> str:
    written = ", ".join(items)
    return f"[ {written} ]" if written else "[ ]"
