"""Command documents: what the service checks when one is created, and when it is sent with parameters."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from local.run_command.errors import ApiError, NotPlayed
from local.run_command.played import check_document, check_value

MAX_BYTES = 64 * 1024
"""Size of a document; what its parameters are given at run time counts too."""

DEFAULT_STEP_SECONDS = 3600

_KEYS = frozenset({"schemaVersion", "description", "parameters", "mainSteps"})
_STEP_KEYS = frozenset({"action", "name", "inputs", "precondition"})
_PARAMETER_KEYS = frozenset(
    {
        "type",
        "description",
        "default",
        "allowedValues",
        "allowedPattern",
        "displayType",
        "interpolationType",
    }
    | {"minItems", "maxItems", "minChars", "maxChars"}
)
_PARAMETER_TYPES = frozenset(
    {"String", "StringList", "Boolean", "Integer", "MapList", "StringMap"}
)
_ACTIONS = frozenset({"aws:downloadContent", "aws:runShellScript"})

type Declaration = Mapping[str, Any]
type Parameters = Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class DocumentVersion:
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
    def parameters(self) -> Mapping[str, Declaration]:
        """Declarations of the parameters, by name."""
        return self.content.get("parameters") or {}

    @property
    def steps(self) -> tuple[str, ...]:
        """Names of the steps; the API reports results by them."""
        return tuple(step["name"] for step in self.content["mainSteps"])

    @property
    def execution_seconds(self) -> int:
        """Sum of the steps' timeouts; one without any counts an hour: not known, but the longest wait."""
        given = (
            str(step["inputs"].get("timeoutSeconds"))
            for step in self.content["mainSteps"]
        )
        return sum(
            int(seconds) if seconds.isdigit() else DEFAULT_STEP_SECONDS
            for seconds in given
        )


def parse(text: str, document_format: str) -> Mapping[str, Any]:
    """Content that passed the checks of CreateDocument. Raises the ApiError that it answers, or NotPlayed."""
    if len(text.encode()) > MAX_BYTES:
        raise ApiError(
            "MaxDocumentSizeExceeded",
            f"The size limit of a document is {MAX_BYTES} bytes",
        )
    content = _read(text, document_format)
    if content.get("schemaVersion") != "2.2":
        raise ApiError(
            "InvalidDocumentSchemaVersion",
            "This stand-in plays schemaVersion 2.2 of Command documents",
        )
    _only(content, _KEYS, "document")
    for name, declaration in (content.get("parameters") or {}).items():
        _check_declaration(name, declaration)
    _check_steps(content.get("mainSteps"))
    check_document(content)
    return content


def _read(text: str, document_format: str) -> Mapping[str, Any]:
    if document_format != "JSON":
        raise NotPlayed(f"documents as {document_format}")
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise _bad(f"not valid JSON: {error}") from error
    if not isinstance(content, dict):
        raise _bad("must be a mapping")
    return content


def _bad(reason: str) -> ApiError:
    return ApiError(
        "InvalidDocumentContent", f"The content for the document is not valid: {reason}"
    )


def _only(mapping: Mapping[str, Any], allowed: frozenset[str], where: str) -> None:
    if unknown := sorted(set(mapping) - allowed):
        raise _bad(f"{where} has unknown keys {unknown}")


def _check_declaration(name: str, declaration: Declaration) -> None:
    if not re.fullmatch(r"[a-zA-Z0-9_]+", name):
        raise _bad(f"parameter name {name!r}")
    _only(declaration, _PARAMETER_KEYS, f"parameter {name}")
    if declaration.get("type") not in _PARAMETER_TYPES:
        raise _bad(f"parameter {name} has type {declaration.get('type')!r}")
    interpolation = declaration.get("interpolationType", "ENV_VAR")
    is_text = declaration["type"] == "String" or "interpolationType" not in declaration
    if interpolation != "ENV_VAR" or not is_text:
        raise _bad(f"parameter {name} has interpolationType {interpolation!r}")
    _check_pattern(name, declaration)


def _check_pattern(name: str, declaration: Declaration) -> None:
    """The pattern must compile, and the default must match it."""
    pattern = declaration.get("allowedPattern", "")
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise _bad(f"parameter {name} has a broken allowedPattern: {error}") from error
    if "default" in declaration and not compiled.search(str(declaration["default"])):
        raise _bad(
            f"the default of parameter {name} does not match allowedPattern {pattern}"
        )


def _check_steps(steps: Any) -> None:
    if not isinstance(steps, list) or not steps:
        raise _bad("mainSteps must be a list of at least one step")
    names = [step.get("name") for step in steps]
    if len(set(names)) != len(names):
        raise _bad("two steps have one name")
    for step in steps:
        _check_step(step)


def _check_step(step: Mapping[str, Any]) -> None:
    name = step.get("name")
    _only(step, _STEP_KEYS, f"step {name}")
    if not re.fullmatch(r"[a-zA-Z0-9_-]{1,128}", str(name)):
        raise _bad(f"step name {name!r}")
    if step.get("action") not in _ACTIONS:
        raise _bad(
            f"step {name} has an action this stand-in does not play: {step.get('action')!r}"
        )
    if not isinstance(step.get("inputs"), dict):
        raise _bad(f"step {name} has no inputs")


def check_parameters(document: DocumentVersion, given: Parameters) -> None:
    """Raise what SendCommand answers to unknown, missing or refused parameters, or to too much of them."""
    if unknown := sorted(set(given) - set(document.parameters)):
        raise _invalid(f"Parameters {unknown} are not defined in the document")
    for name, declaration in document.parameters.items():
        if name in given:
            _check_given(name, declaration, given[name])
        elif "default" not in declaration:
            raise _invalid(f"Parameter {name} is required")
    _check_size(document, given)


def _check_size(document: DocumentVersion, given: Parameters) -> None:
    size = len(document.text.encode()) + sum(
        len(value.encode()) for values in given.values() for value in values
    )
    if size > MAX_BYTES:
        raise ApiError(
            "MaxDocumentSizeExceeded",
            f"Document and parameters are {size} bytes, limit {MAX_BYTES}",
        )


def _check_given(name: str, declaration: Declaration, values: Sequence[str]) -> None:
    if len(values) != 1:
        raise _invalid(f"Parameter {name} takes exactly one value")
    value = values[0]
    pattern = declaration.get("allowedPattern", "")
    # A search, not a full match: an unanchored pattern lets anything around it through, here as in the service.
    if not re.search(pattern, value):
        raise _invalid(f"Parameter {name} does not match allowedPattern {pattern}")
    check_value(name, value)


def _invalid(reason: str) -> ApiError:
    return ApiError("InvalidParameters", reason)
