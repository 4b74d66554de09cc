"""Values as JSON and YAML text, and back."""

import json
from collections.abc import Mapping
from typing import Any

from haproxy_sync.config.ansible.containers import is_list


def _ready(value: Any) -> Any:
    """The value in containers that every serializer knows."""
    if isinstance(value, Mapping):
        return {key: _ready(item) for key, item in value.items()}
    return list(map(_ready, value)) if is_list(value) else value


def to_json(value: Any, **options: Any) -> str:
    """One line of JSON."""
    return json.dumps(_ready(value), **options)


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
