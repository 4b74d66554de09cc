"""Judges IAM policy documents: what the deployed roles and queue policies allow, and nothing else.

Stands for IAM's evaluation of identity and resource policies (no boundaries, no SCPs). An operator or a
policy variable that it does not know is an error, never a silent yes.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from operator import contains
from typing import Any

NEGATED = "Not"


@dataclass(frozen=True, slots=True)
class Request:
    """One question to IAM: whether this action may be done to this resource, in this context."""

    action: str  # as IAM spells it: s3:GetObject
    resource: str  # an ARN, or * for actions without one
    context: Mapping[str, str] = field(default_factory=dict)
    principal: str = ""  # only read by resource policies


def allows(documents: Iterable[Mapping[str, Any]], request: Request) -> bool:
    """Whether some statement allows the request and none denies it."""
    effects = {
        statement["Effect"]
        for document in documents
        for statement in listed(document["Statement"])
        if _applies(statement, request)
    }
    return effects == {"Allow"}


def _applies(statement: Mapping[str, Any], request: Request) -> bool:
    return (
        _names_principal(statement, request)
        and _covers(statement, "Action", request.action.lower(), lower=True)
        and _covers(statement, "Resource", request.resource)
        and all(
            _holds(operator, key, listed(values), request.context)
            for operator, keys in statement.get("Condition", {}).items()
            for key, values in keys.items()
        )
    )


def _names_principal(statement: Mapping[str, Any], request: Request) -> bool:
    if "NotPrincipal" in statement:
        raise NotImplementedError(
            "NotPrincipal is not judged here: add it to local/cloud/policies.py"
        )
    principal = statement.get("Principal")
    if principal is None or principal == "*":
        return True
    return any(
        request.principal in listed(names) or "*" in listed(names)
        for names in principal.values()
    )


def _covers(
    statement: Mapping[str, Any], element: str, value: str, *, lower: bool = False
) -> bool:
    negated = f"{NEGATED}{element}" in statement
    patterns = listed(statement.get(f"{NEGATED}{element}" if negated else element, "*"))
    matched = any(
        like(pattern.lower() if lower else pattern, value) for pattern in patterns
    )
    return matched != negated


def _holds(
    operator: str, key: str, expected: list[str], context: Mapping[str, str]
) -> bool:
    base = operator.removesuffix("IfExists")
    found = [value for name, value in context.items() if name.lower() == key.lower()]
    if len(found) > 1:
        return False  # a condition on a tag matches one of two keys that differ in case alone, "but not both"
    actual = found[0] if found else None
    is_negated = NEGATED in base
    matches = OPERATORS.get(base.replace(NEGATED, ""))
    if matches is None:
        raise NotImplementedError(
            f"condition operator {operator} is not judged here: add it to local/cloud/policies.py"
        )
    if actual is None:
        return base != operator or is_negated
    return matches(expected, actual) != is_negated


def _is_like_one(patterns: list[str], actual: str) -> bool:
    return any(like(pattern, actual) for pattern in patterns)


def _is_bool(expected: list[Any], actual: str) -> bool:
    return actual.lower() in [str(value).lower() for value in expected]


OPERATORS: Mapping[str, Callable[[list[str], str], bool]] = {
    "StringEquals": contains,
    "StringLike": _is_like_one,
    "ArnLike": _is_like_one,
    "ArnEquals": _is_like_one,
    "Bool": _is_bool,
}


def like(pattern: str, value: str) -> bool:
    """IAM's wildcards: `*` is any text, `?` any one character."""
    if "${" in pattern:
        raise NotImplementedError(
            f"policy variable in {pattern} is not judged here: add it to local/cloud/policies.py"
        )
    expression = "".join(
        {"*": ".*", "?": "."}.get(char, re.escape(char)) for char in pattern
    )
    return re.fullmatch(expression, value, re.DOTALL) is not None


def listed(value: Any) -> list[Any]:
    """One or many, as many."""
    return value if isinstance(value, list) else [value]
