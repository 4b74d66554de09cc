"""Ansible's filters for lists and mappings. Sets keep their order: Ansible's depends on the hash seed."""

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from jinja2 import Environment, pass_environment
from jinja2.filters import do_unique

from haproxy_sync.config.ansible.missing import MissingError


def is_list(value: object) -> bool:
    """Whether Ansible takes it for a list."""
    return isinstance(value, list | tuple)


def combine(*terms: Any, recursive: bool = False, list_merge: str = "replace") -> Any:
    """One mapping of many; the later wins."""
    mappings = flatten(terms, levels=1)
    if not mappings:
        return {}
    return functools.reduce(lambda low, high: _merged(low, high, recursive, list_merge), mappings)


def _merged(low: Any, high: Any, recursive: bool, list_merge: str) -> dict[Any, Any]:
    for mapping in (low, high):
        if not isinstance(mapping, Mapping):
            raise TypeError(f"combine takes dictionaries, got {type(mapping).__name__}")
    result = dict(low)
    for key, value in high.items():
        old = result.get(key)
        if recursive and isinstance(old, Mapping) and isinstance(value, Mapping):
            result[key] = _merged(old, value, recursive, list_merge)
        elif is_list(old) and is_list(value):
            result[key] = _MERGE_LISTS[list_merge](list(old), list(value))  # type: ignore[arg-type] # checked above
        else:
            result[key] = value
    return result


_MERGE_LISTS: Mapping[str, Callable[[list[Any], list[Any]], list[Any]]] = {
    "replace": lambda _old, new: new,
    "keep": lambda old, _new: old,
    "append": lambda old, new: old + new,
    "prepend": lambda old, new: new + old,
    "append_rp": lambda old, new: [item for item in old if item not in new] + new,
    "prepend_rp": lambda old, new: new + [item for item in old if item not in new],
}


def flatten(values: Iterable[Any], levels: int | None = None, skip_nulls: bool = True) -> list[Any]:
    """Nested lists as one, `levels` deep."""
    result: list[Any] = []
    for value in values:
        if skip_nulls and (value is None or value in ("None", "null")):
            continue
        if is_list(value) and (levels is None or levels >= 1):
            result += flatten(value, None if levels is None else levels - 1, skip_nulls)
        else:
            result.append(value)
    return result


def dict2items(mapping: Any, key_name: str = "key", value_name: str = "value") -> list[dict[str, Any]]:
    """A list of key and value."""
    if not isinstance(mapping, Mapping):
        raise TypeError(f"dict2items takes a dictionary, got {type(mapping).__name__}")
    return [{key_name: key, value_name: mapping[key]} for key in mapping]


def items2dict(items: Any, key_name: str = "key", value_name: str = "value") -> dict[Any, Any]:
    """The mapping that `dict2items` was made from."""
    if not is_list(items):
        raise TypeError(f"items2dict takes a list, got {type(items).__name__}")
    return {item[key_name]: item[value_name] for item in items}


def subelements(value: Any, path: Any, skip_missing: bool = False) -> list[tuple[Any, Any]]:
    """Each element with each item of a list inside it."""
    pairs: list[tuple[Any, Any]] = []
    for element in value.values() if isinstance(value, Mapping) else value:
        found = element
        for key in path.split(".") if isinstance(path, str) else path:
            if skip_missing and key not in found:
                found = []
                break
            found = found[key]
        pairs += [(element, item) for item in found]
    return pairs


@pass_environment
def extract(environment: Environment, key: Any, container: Any, more: Any = None) -> Any:
    """The item under a key, or under a path of keys."""
    for step in [key, *([] if more is None else more if isinstance(more, list) else [more])]:
        container = environment.getitem(container, step)
    return container


@pass_environment
def unique(
    environment: Environment,
    values: Any,
    case_sensitive: bool | None = None,
    attribute: Any = None,
) -> list[Any]:
    """The values without repetition, in their order."""
    try:
        return list(do_unique(environment, values, case_sensitive=bool(case_sensitive), attribute=attribute))
    except MissingError:
        raise
    except TypeError:  # unhashable
        return [value for index, value in enumerate(values) if value not in values[:index]]


def _first_of(values: Iterable[Any]) -> list[Any]:
    result: list[Any] = []
    for value in values:
        if value not in result:
            result.append(value)
    return result


def union(a: list[Any], b: list[Any]) -> list[Any]:
    """What is in one of both, in order: Ansible's order depends on the hash seed."""
    return _first_of([*a, *b])


def intersect(a: list[Any], b: list[Any]) -> list[Any]:
    """What is in both, in the first one's order."""
    return _first_of(value for value in a if value in b)


def difference(a: list[Any], b: list[Any]) -> list[Any]:
    """What is only in the first one, in its order."""
    return _first_of(value for value in a if value not in b)


def symmetric_difference(a: list[Any], b: list[Any]) -> list[Any]:
    """What is in exactly one of both."""
    return difference(a, b) + difference(b, a)
