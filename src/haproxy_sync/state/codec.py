"""The state as JSON and back: strict where a value has the wrong shape, lenient where a field is new or gone.

One walk over the dataclasses' own annotations, so a field is written down once, where it is declared.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass, replace
from enum import StrEnum
from functools import cache
from types import MappingProxyType, NoneType
from typing import Any, TypeAliasType, cast, get_args, get_origin, get_type_hints

from haproxy_sync.errors import CorruptState, NewerState, SyncError
from haproxy_sync.state.model import SCHEMA, EnvironmentState, UnixSeconds


def dumps(state: EnvironmentState) -> bytes:
    """Compact, keys in declared order, the schema of this release first."""
    return serialized(replace(state, schema=SCHEMA))


def serialized(value: Any) -> bytes:
    """The same of any dataclass."""
    return json.dumps(jsonable(value), separators=(",", ":")).encode()


def loads(body: bytes) -> EnvironmentState:
    """The state that JSON says; `CorruptState` if it is none, `NewerState` if this release may not know all of it."""
    return parsed(EnvironmentState, body)


def parsed[T](kind: type[T], body: bytes) -> T:
    """The same of any dataclass."""
    try:
        value = json.loads(body)
        _check_schema(value)
        return cast("T", _decoder(cast("Any", kind))(value))
    except NewerState:
        raise
    except (
        ValueError,
        KeyError,
        TypeError,
        RecursionError,
        OverflowError,  # a whole number of hundreds of digits is no time
        SyncError,
    ) as error:
        raise CorruptState(f"{type(error).__name__}: {error}"[:200]) from error


def _check_schema(value: Any) -> None:
    """First of all: nothing else of a newer schema need have the shape that is known here."""
    schema = value.get("schema") if isinstance(value, dict) else None
    if type(schema) is int and schema > SCHEMA:
        raise NewerState(schema, SCHEMA)


def jsonable(value: Any) -> Any:
    """Dataclasses, mappings and tuples as what `json.dumps` takes."""
    if is_dataclass(value):
        return _jsonable_fields(value)
    if isinstance(value, Mapping):
        return {key: jsonable(item) for key, item in value.items()}
    if isinstance(value, tuple | list | frozenset):
        return list(map(jsonable, value))
    return value


def _jsonable_fields(value: Any) -> dict[str, Any]:
    names = _names(cast("Any", type(value)))
    return {name: jsonable(getattr(value, name)) for name in names}


@cache
def _names(kind: Any) -> tuple[str, ...]:
    return tuple(each.name for each in fields(kind))


def time_fields(value: Any) -> tuple[str, ...]:
    """Names of the value's fields that hold times: those annotated with `UnixSeconds`, alone, optional or by name."""
    return _time_fields(cast("Any", type(value)))


@cache
def _time_fields(kind: Any) -> tuple[str, ...]:
    hints = get_type_hints(kind)
    return tuple(
        name
        for name, hint in hints.items()
        if hint is UnixSeconds or UnixSeconds in get_args(hint)
    )


type Decoder = Callable[[Any], Any]


@cache
def _decoder(kind: Any) -> Decoder:
    """The function that turns JSON into a value of the annotated type, or raises."""
    if isinstance(kind, TypeAliasType):
        return _decoder(kind.__value__)
    if is_dataclass(kind):
        return _dataclass(kind)
    arguments = get_args(kind)
    if not arguments:
        return _plain(kind)
    container = CONTAINERS.get(get_origin(kind), _optional)
    return container(arguments)


def _optional(arguments: tuple[Any, ...]) -> Decoder:
    (some,) = set(arguments) - {NoneType}
    decode = _decoder(some)
    return lambda value: None if value is None else decode(value)


def _tuple(arguments: tuple[Any, ...]) -> Decoder:
    item = _decoder(arguments[0])
    return lambda value: tuple(map(item, _expect(list, value)))


def _mapping(arguments: tuple[Any, ...]) -> Decoder:
    key, item = map(_decoder, arguments)
    return lambda value: MappingProxyType(
        {key(name): item(each) for name, each in _expect(dict, value).items()}
    )


CONTAINERS: Mapping[Any, Callable[[tuple[Any, ...]], Decoder]] = {
    tuple: _tuple,
    Mapping: _mapping,
}


def _plain(kind: Any) -> Decoder:
    if issubclass(kind, StrEnum):
        return cast("Decoder", kind)
    if kind is float:
        return lambda value: (
            float(value) if type(value) is int else _expect(float, value)
        )
    return lambda value: _expect(kind, value)


def _dataclass(kind: Any) -> Decoder:
    hints = get_type_hints(kind)
    decoders = {each.name: _decoder(hints[each.name]) for each in fields(kind)}
    required = frozenset(
        each.name
        for each in fields(kind)
        if each.default is MISSING and each.default_factory is MISSING
    )

    def decode(value: Any) -> Any:
        present = _expect(dict, value)
        if missing := required - present.keys():
            raise ValueError(f"{kind.__name__} lacks {', '.join(sorted(missing))}")
        return kind(
            **{
                name: decode(present[name])
                for name, decode in decoders.items()
                if name in present
            }
        )

    return decode


def _expect[T](kind: type[T], value: Any) -> T:
    if type(value) is not kind:  # exactly: True is no int here
        raise ValueError(f"{kind.__name__} expected, got {type(value).__name__}")
    return value
