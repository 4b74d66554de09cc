"""What is played of SSM: what the application and its tests use; else it would be accepted without effect.

A check here comes after the service's own: what AWS refuses is refused with AWS's error.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from operator import eq
from typing import Any

from local.run_command.errors import NotPlayed

LINUX = {"StringEquals": ["platformType", "Linux"]}

_SEND_MEMBERS = frozenset(
    {
        "DocumentName",
        "DocumentVersion",
        "DocumentHash",
        "DocumentHashType",
        "InstanceIds",
        "Parameters",
    }
    | {"TimeoutSeconds", "MaxConcurrency", "MaxErrors", "Comment"}
)
_MEMBERS: Mapping[str, frozenset[str]] = {
    "SendCommand": _SEND_MEMBERS,
    "ListCommandInvocations": frozenset(
        {"CommandId", "Details", "MaxResults", "NextToken"}
    ),
    "GetCommandInvocation": frozenset({"CommandId", "InstanceId", "PluginName"}),
    "DescribeInstanceInformation": frozenset({"Filters", "MaxResults", "NextToken"}),
    "CreateDocument": frozenset({"Name", "Content", "DocumentType", "DocumentFormat"}),
    "UpdateDocument": frozenset(
        {"Name", "Content", "DocumentVersion", "DocumentFormat"}
    ),
    "UpdateDocumentDefaultVersion": frozenset({"Name", "DocumentVersion"}),
    "DescribeDocument": frozenset({"Name", "DocumentVersion"}),
    "GetDocument": frozenset({"Name", "DocumentVersion", "DocumentFormat"}),
    # Parameter Store, to which variables files refer; commands do not.
    "GetParameters": frozenset({"Names", "WithDecryption"}),
    "PutParameter": frozenset({"Name", "Value", "Type", "Overwrite"}),
    "LabelParameterVersion": frozenset({"Name", "ParameterVersion", "Labels"}),
    "DeleteParameter": frozenset({"Name"}),
}

_VALUES: Mapping[str, tuple[str, tuple[str | None, ...]]] = {
    "DescribeDocument": ("DocumentVersion", (None, "$LATEST")),
    "GetDocument": ("DocumentFormat", (None, "JSON")),
}
"""Of one member of an operation the values that are played; None: it may be left out."""

_PARAMETER_NAME = re.compile(r"[a-zA-Z0-9]+")
_PARAMETER_KEYS = frozenset(
    {"type", "description", "default", "allowedPattern", "interpolationType"}
)
_PARAMETER_STORE = re.compile(r"\{\{\s*ssm:")

type Accepts = Callable[[Any], bool]


def _anything(_value: Any) -> bool:
    """The agent judges the value itself."""
    return True


def _is_plain_name(value: Any) -> bool:
    return re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]*", str(value)) is not None


def _is_mapping(value: Any) -> bool:
    return isinstance(value, Mapping)


_INPUTS: Mapping[str, Mapping[str, Accepts]] = {
    "aws:downloadContent": {
        "sourceType": partial(eq, "S3"),
        "sourceInfo": _is_mapping,
        "destinationPath": _is_plain_name,
        "onFailure": partial(eq, "exit"),
    },
    "aws:runShellScript": {
        "runCommand": _anything,
        "timeoutSeconds": _anything,
        "onFailure": partial(eq, "exit"),
    },
}


def check_request(operation: str, request: Mapping[str, Any]) -> None:
    """Raise NotPlayed for an operation, a member or a filter that the application does not use."""
    if operation not in _MEMBERS:
        raise NotPlayed(operation)
    for member in sorted(set(request) - _MEMBERS[operation]):
        raise NotPlayed(f"{member} of {operation}")
    for each in request.get("Filters", ()):
        if each.get("Key") != "InstanceIds":
            raise NotPlayed(f"filter {each.get('Key')} of {operation}")
    member, played = _VALUES.get(operation, ("", (None,)))
    if request.get(member) not in played:
        raise NotPlayed(f"{member} {request[member]} of {operation}")


def check_document(content: Mapping[str, Any]) -> None:
    """Raise NotPlayed for the first feature of a valid document that the application's own does not use."""
    for feature in _unplayed_features(content):
        raise NotPlayed(feature)


def check_value(name: str, value: str) -> None:
    """Raise NotPlayed for a parameter's value that the host would look up in Parameter Store."""
    if _PARAMETER_STORE.search(value):
        raise NotPlayed(f"Parameter Store, in the value of parameter {name}")


def _unplayed_features(content: Mapping[str, Any]) -> Iterator[str]:
    if _PARAMETER_STORE.search(json.dumps(content)):
        yield "Parameter Store, in the document"
    for name, declaration in (content.get("parameters") or {}).items():
        yield from _unplayed_declaration(name, declaration)
    for step in content["mainSteps"]:
        yield from _unplayed_step(step)


def _unplayed_declaration(name: str, declaration: Mapping[str, Any]) -> Iterator[str]:
    if not _PARAMETER_NAME.fullmatch(name):
        yield f"parameter {name}: the agent drops values for such names"
    if declaration["type"] != "String":
        yield f"type {declaration['type']} of parameter {name}"
    for key in sorted(set(declaration) - _PARAMETER_KEYS):
        yield f"{key} of parameter {name}"


def _unplayed_step(step: Mapping[str, Any]) -> Iterator[str]:
    if step.get("precondition", LINUX) != LINUX:
        yield f"precondition {step['precondition']} of step {step['name']}"
    played = _INPUTS[step["action"]]
    for name, value in step["inputs"].items():
        if name not in played or not played[name](value):
            yield f"{name}: {value!r} of step {step['name']}"
