"""Values as JSON and YAML text, and back."""

import json
from collections.abc import Mapping
from datetime import date, time
from functools import singledispatch
from typing import Any

_LISTS = (list, tuple, range, set)


class _Copies:
    """Values in containers that every serializer knows; what is one container stays one, for YAML says that."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[Any, Any]] = {}
        """What was made of a container by its id, and the container itself: the id of one that is gone comes again."""

    def of(self, value: Any) -> Any:
        if not isinstance(value, (Mapping, *_LISTS)):
            return value
        known = self._known.get(id(value))
        if known is None:
            known = self._known[id(value)] = (value, self._copied(value))
        return known[1]

    def _copied(self, value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: self.of(item) for key, item in value.items()}
        return list(map(self.of, value))


@singledispatch
def _as_json(value: Any) -> Any:
    """What stands in JSON for a value that JSON does not have."""
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


@_as_json.register(date)
@_as_json.register(time)
def _(value: date | time) -> str:
    return value.isoformat()


def to_json(value: Any, **options: Any) -> str:
    """One line of JSON."""
    return json.dumps(_Copies().of(value), default=_as_json, **options)


def to_nice_json(
    value: Any,
    indent: int = 4,
    sort_keys: bool = True,
    **options: Any,
) -> str:
    """Indented JSON with sorted keys."""
    nice: dict[str, Any] = {**options, "separators": (",", ": ")}
    return to_json(value, indent=indent, sort_keys=sort_keys, **nice)


def to_yaml(
    value: Any,
    *,
    default_flow_style: bool | None = None,
    **options: Any,
) -> str:
    """YAML, lists and mappings inside on one line."""
    import yaml  # noqa: PLC0415 - rare, and costly to import

    class Dumper(yaml.CSafeDumper):
        """libyaml's, as Ansible's: the other one ends a text alone with `...`."""

        def ignore_aliases(self, data: Any) -> bool:
            return not isinstance(data, dict | list)

    options = {"allow_unicode": True, **options}
    dumped = yaml.dump(
        _Copies().of(value),
        Dumper=Dumper,
        default_flow_style=default_flow_style,
        **options,
    )
    return str(dumped)


def to_nice_yaml(value: Any, indent: int = 4, **options: Any) -> str:
    """Indented YAML."""
    nice: dict[str, Any] = {"indent": indent, "default_flow_style": False, **options}
    return to_yaml(value, **nice)


def from_yaml(text: Any) -> Any:
    """What YAML text says; what is no text says itself."""
    import yaml  # noqa: PLC0415 - rare, and costly to import

    return yaml.safe_load(text) if isinstance(text, str) else text


def from_yaml_all(text: Any) -> Any:
    """What each document of YAML text says; what is no text says itself."""
    import yaml  # noqa: PLC0415 - rare, and costly to import

    return (
        list(yaml.safe_load_all(text or "")) if isinstance(text, str | None) else text
    )
