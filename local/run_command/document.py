"""Command documents: what the service checks when one is created, and when it is sent with parameters."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from local.run_command.errors import ApiError

MAX_BYTES = 64 * 1024
"""Size of a document; what its parameters are given at run time counts too."""

DEFAULT_STEP_SECONDS = 3600

_KEYS = frozenset({"schemaVersion", "description", "parameters", "mainSteps"})
_STEP_KEYS = frozenset({"action", "name", "inputs", "precondition"})
_PARAMETER_KEYS = frozenset(
    {"type", "description", "default", "allowedValues", "allowedPattern", "displayType", "interpolationType"}
    | {"minItems", "maxItems", "minChars", "maxChars"}
)
_PARAMETER_TYPES = frozenset({"String", "StringList", "Boolean", "Integer", "MapList", "StringMap"})
_ACTIONS = frozenset({"aws:downloadContent", "aws:runShellScript"})

Parameters = Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class Document:
    """One version of a document."""

    name: str
    version: str
    text: str
    content: Mapping[str, Any]

    @property
    def sha256(self) -> str:
        """The hash that SendCommand's DocumentHash is compared with."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def steps(self) -> tuple[str, ...]:
        """Names of the steps; the API reports results by them."""
        return tuple(step["name"] for step in self.content["mainSteps"])

    @property
    def execution_seconds(self) -> int:
        """Sum of the steps' timeouts; the default when none says any."""
        given = [step["inputs"].get("timeoutSeconds") for step in self.content["mainSteps"]]
        numbers = [int(seconds) for seconds in given if str(seconds).isdigit()]
        return sum(numbers) or DEFAULT_STEP_SECONDS


def parse(text: str, document_format: str) -> Mapping[str, Any]:
    """Content that passed the checks of CreateDocument, or the ApiError that it answers."""
    if len(text.encode()) > MAX_BYTES:
        raise ApiError("MaxDocumentSizeExceeded", f"The size limit of a document is {MAX_BYTES} bytes")
    try:
        content = json.loads(text) if document_format == "JSON" else yaml.safe_load(text)
    except (json.JSONDecodeError, yaml.YAMLError) as error:
        raise _bad(f"not valid {document_format}: {error}") from error
    if not isinstance(content, dict):
        raise _bad("must be a mapping")
    if content.get("schemaVersion") != "2.2":
        raise ApiError("InvalidDocumentSchemaVersion", "This stand-in knows schemaVersion 2.2 of Command documents")
    _only(content, _KEYS, "document")
    for name, parameter in (content.get("parameters") or {}).items():
        _check_declaration(name, parameter)
    _check_steps(content.get("mainSteps"))
    return content


def _bad(reason: str) -> ApiError:
    return ApiError("InvalidDocumentContent", f"The content for the document is not valid: {reason}")


def _only(mapping: Mapping[str, Any], allowed: frozenset[str], where: str) -> None:
    if unknown := sorted(set(mapping) - allowed):
        raise _bad(f"{where} has unknown keys {unknown}")


def _check_declaration(name: str, parameter: Mapping[str, Any]) -> None:
    if not re.fullmatch(r"[a-zA-Z0-9_]+", name):
        raise _bad(f"parameter name {name!r}")
    _only(parameter, _PARAMETER_KEYS, f"parameter {name}")
    if parameter.get("type") not in _PARAMETER_TYPES:
        raise _bad(f"parameter {name} has type {parameter.get('type')!r}")
    interpolation = parameter.get("interpolationType")
    if interpolation not in {None, "ENV_VAR"} or (interpolation and parameter["type"] != "String"):
        raise _bad(f"parameter {name} has interpolationType {interpolation!r}")
    try:
        re.compile(parameter.get("allowedPattern", ""))
    except re.error as error:
        raise _bad(f"parameter {name} has a broken allowedPattern: {error}") from error
    if "default" in parameter:
        default = parameter["default"]
        values = default if isinstance(default, list) else [default]
        if reason := _refusal(parameter, [str(value) for value in values]):
            raise _bad(f"the default of parameter {name} {reason}")


def _check_steps(steps: Any) -> None:
    if not isinstance(steps, list) or not steps:
        raise _bad("mainSteps must be a list of at least one step")
    names = [step.get("name") for step in steps]
    if len(set(names)) != len(names):
        raise _bad("two steps have one name")
    for step in steps:
        _only(step, _STEP_KEYS, f"step {step.get('name')}")
        if not re.fullmatch(r"[a-zA-Z0-9_-]{1,128}", str(step.get("name"))):
            raise _bad(f"step name {step.get('name')!r}")
        if step.get("action") not in _ACTIONS:
            raise _bad(f"step {step['name']} has an action this stand-in does not know: {step.get('action')!r}")
        if not isinstance(step.get("inputs"), dict):
            raise _bad(f"step {step['name']} has no inputs")


def check_parameters(document: Document, given: Parameters) -> None:
    """Raise what SendCommand answers to unknown, missing or refused parameters, or to too much of them."""
    declared = document.content.get("parameters") or {}
    if unknown := sorted(set(given) - set(declared)):
        raise ApiError("InvalidParameters", f"Parameters {unknown} are not defined in the document")
    for name, parameter in declared.items():
        if name not in given:
            if "default" not in parameter:
                raise ApiError("InvalidParameters", f"Parameter {name} is required")
        elif reason := _refusal(parameter, given[name]):
            raise ApiError("InvalidParameters", f"Parameter {name} {reason}")
    size = len(document.text.encode()) + sum(len(value.encode()) for values in given.values() for value in values)
    if size > MAX_BYTES:
        raise ApiError("MaxDocumentSizeExceeded", f"Document and parameters are {size} bytes, limit {MAX_BYTES}")


def _refusal(parameter: Mapping[str, Any], values: Sequence[str]) -> str | None:
    if parameter["type"] == "String" and len(values) != 1:
        return "takes exactly one value"
    if not parameter.get("minItems", 0) <= len(values) <= parameter.get("maxItems", len(values)):
        return "has too few or too many items"
    pattern = parameter.get("allowedPattern")
    for value in values:
        # A search, not a full match: an unanchored pattern lets anything around it through, here as in the service.
        if pattern and not re.search(pattern, value):
            return f"does not match allowedPattern {pattern}"
        if "allowedValues" in parameter and value not in map(str, parameter["allowedValues"]):
            return f"is not one of {parameter['allowedValues']}"
        if not int(parameter.get("minChars", 0)) <= len(value) <= int(parameter.get("maxChars", len(value))):
            return "is too short or too long"
    return None
