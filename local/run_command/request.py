"""Requests checked against the service's own model: the limits that the SDK's client leaves to the server.

botocore checks types, required members and minimum lengths before it sends; maximum lengths, patterns and enumerations
are checked by the service alone, so a stand-in without this would accept what AWS refuses.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import botocore.session
from botocore.model import ListShape, MapShape, ServiceModel, Shape, StructureShape

from local.run_command.errors import validation_error


@cache
def service_model() -> ServiceModel:
    """The model of the SSM API that ships with botocore."""
    return ServiceModel(
        botocore.session.get_session()
        .get_component("data_loader")
        .load_service_model("ssm", "service-2")
    )


def check(operation: str, request: Mapping[str, Any]) -> None:
    """Raise ValidationException naming every member of the request that breaks the model."""
    shape = service_model().operation_model(operation).input_shape
    if said := complaint(shape, request):
        raise validation_error(said)


def complaint(shape: Any, request: Mapping[str, Any]) -> str:
    """What a service says of a request that breaks its model; empty for one that does not."""
    problems = list(_problems(shape, request, ""))
    count = (
        f"{len(problems)} validation error{'s' if len(problems) > 1 else ''} detected: "
    )
    return count + "; ".join(problems) if problems else ""


def _problems(shape: Any, value: Any, path: str) -> Iterator[str]:
    """What is wrong with a value of the model's shape; shapes without limits, such as booleans, have nothing wrong."""
    judge = _JUDGES.get(shape.type_name)
    return judge(shape, value, path) if judge else iter(())


def _structure(
    shape: StructureShape, value: Mapping[str, Any], path: str
) -> Iterator[str]:
    for name in shape.required_members:
        if name not in value:
            yield _problem(None, f"{path}.{name}", "Member must not be null")
    for name, item in value.items():
        if name in shape.members:
            yield from _problems(shape.members[name], item, f"{path}.{name}")


def _list(shape: ListShape, value: Sequence[Any], path: str) -> Iterator[str]:
    yield from _length(shape, value, path)
    for index, item in enumerate(value, start=1):
        yield from _problems(shape.member, item, f"{path}.{index}.member")


def _map(shape: MapShape, value: Mapping[str, Any], path: str) -> Iterator[str]:
    for key, item in value.items():
        yield from _problems(shape.key, key, f"{path}.key")
        yield from _problems(shape.value, item, f"{path}.{key}")


def _string(shape: Shape, value: str, path: str) -> Iterator[str]:
    yield from _length(shape, value, path)
    pattern = shape.metadata.get("pattern")
    if pattern and not _pattern(pattern).search(value):
        yield _problem(
            value, path, f"Member must satisfy regular expression pattern: {pattern}"
        )
    choices = shape.metadata.get("enum")
    if choices and value not in choices:
        yield _problem(value, path, f"Member must satisfy enum value set: {choices}")


_NEAR: Mapping[str, str] = {
    r"\p{L}": r"\w",
    r"\p{Z}": r"\s",
    r"\p{N}": r"\d",
    # A range of pairs of surrogates, as Java has them.
    r"\uD800\uDC00-\uDBFF\uDFFF": r"\U00010000-\U0010FFFF",
}


@cache
def _pattern(pattern: str) -> re.Pattern[str]:
    # Python's `re` knows no \p classes; the nearest are wide enough for tag keys.
    for name, near in _NEAR.items():
        pattern = pattern.replace(name, near)
    return re.compile(rf"\A(?:{pattern})\Z")


def _integer(shape: Shape, value: int, path: str) -> Iterator[str]:
    if value < shape.metadata.get("min", value):
        yield _problem(
            value,
            path,
            f"Member must have value greater than or equal to {shape.metadata['min']}",
        )
    if value > shape.metadata.get("max", value):
        yield _problem(
            value,
            path,
            f"Member must have value less than or equal to {shape.metadata['max']}",
        )


def _length(shape: Shape, value: Any, path: str) -> Iterator[str]:
    if len(value) < shape.metadata.get("min", 0):
        yield _problem(
            value,
            path,
            f"Member must have length greater than or equal to {shape.metadata['min']}",
        )
    if len(value) > shape.metadata.get("max", len(value)):
        yield _problem(
            value,
            path,
            f"Member must have length less than or equal to {shape.metadata['max']}",
        )


def _problem(value: Any, path: str, constraint: str) -> str:
    name = path.removeprefix(".")
    return f"Value '{value}' at '{name[:1].lower()}{name[1:]}' failed to satisfy constraint: {constraint}"


_JUDGES: Mapping[str, Callable[[Any, Any, str], Iterator[str]]] = {
    "structure": _structure,
    "list": _list,
    "map": _map,
    "string": _string,
    "integer": _integer,
}
