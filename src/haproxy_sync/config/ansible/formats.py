"""Values as JSON and YAML text, and back."""

import json
from collections.abc import Mapping
from datetime import date, time
from functools import singledispatch
from typing import Any

from haproxy_sync.config.ansible.containers import is_list


def _ready(value: Any) -> Any:
    """The value in containers that every serializer knows."""
    if isinstance(value, Mapping):
        return {key: _ready(item) for key, item in value.items()}
    return list(map(_ready, value)) if is_list(value) else value


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
    return json.dumps(_ready(value), default=_as_json, **options)


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

    options = {"allow_unicode": True, **options}
    dumped = yaml.dump(
        _ready(value),
        Dumper=yaml.SafeDumper,
        default_flow_style=default_flow_style,
        **options,
    )
    return str(dumped)


def to_nice_yaml(value: Any, indent: int = 4, **options: Any) -> str:
    """Indented YAML."""
    nice: dict[str, Any] = {"indent": indent, "default_flow_style": False, **options}
    return to_yaml(value, **nice)


def from_yaml(text: str | None) -> Any:
    """What YAML text says."""
    import yaml  # noqa: PLC0415 - rare, and costly to import

    return None if text is None else yaml.safe_load(text)


def from_yaml_all(text: str | None) -> list[Any]:
    """What each document of YAML text says."""
    import yaml  # noqa: PLC0415 - rare, and costly to import

    return list(yaml.safe_load_all(text or ""))
