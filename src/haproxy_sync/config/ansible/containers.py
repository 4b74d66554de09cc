"""Ansible's filters for lists and mappings. Sets keep their order: Ansible's depends on the hash seed."""

import itertools
import math
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial, reduce
from typing import Any

from jinja2 import Environment, pass_environment
from jinja2.filters import do_unique

_LISTS = (list, tuple)
_NULLS = ("None", "null")


def is_list(value: object) -> bool:
    """Whether Ansible takes it for a list."""
    return isinstance(value, _LISTS)


def _are(kinds: type | tuple[type, ...], one: object, other: object) -> bool:
    return isinstance(one, kinds) and isinstance(other, kinds)


def _require(kinds: type | tuple[type, ...], value: object, rule: str) -> None:
    """Raise `TypeError`, which says the rule, for a value of another kind."""
    if not isinstance(value, kinds):
        raise TypeError(f"{rule}, got {type(value).__name__}")


def combine(
    *terms: Any,
    recursive: bool = False,
    list_merge: str = "replace",
) -> Any:
    """One mapping of many; the later wins. Raises `TypeError` if one of several is no mapping."""
    mappings = flatten(terms, levels=1)
    if not mappings:
        return {}
    return reduce(_Merge(recursive, list_merge).mappings, mappings)


@dataclass(frozen=True, slots=True)
class _Merge:
    """The options of `combine`: what becomes of a key that both mappings have."""

    recursive: bool
    list_merge: str

    def mappings(self, low: Any, high: Any) -> dict[Any, Any]:
        """Both as one new mapping."""
        _require(Mapping, low, "combine takes dictionaries")
        _require(Mapping, high, "combine takes dictionaries")
        result = dict(low)
        for key, value in high.items():
            result[key] = self._values(result.get(key), value)
        return result

    def _values(self, low: Any, high: Any) -> Any:
        if self.recursive and _are(Mapping, low, high):
            return self.mappings(low, high)
        if _are(_LISTS, low, high):
            return _MERGED_LISTS[self.list_merge](list(low), list(high))
        return high


def _within(values: Iterable[Any], wanted: Any) -> Iterator[Any]:
    return filter(partial(operator.contains, wanted), values)


def _without(values: Iterable[Any], excluded: Any) -> Iterator[Any]:
    return itertools.filterfalse(partial(operator.contains, excluded), values)


_MERGED_LISTS: Mapping[str, Callable[[list[Any], list[Any]], list[Any]]] = {
    "replace": lambda _low, high: high,
    "keep": lambda low, _high: low,
    "append": lambda low, high: low + high,
    "prepend": lambda low, high: high + low,
    "append_rp": lambda low, high: [*_without(low, high), *high],
    "prepend_rp": lambda low, high: [*high, *_without(low, high)],
}


def flatten(
    values: Iterable[Any],
    levels: float | None = None,
    skip_nulls: bool = True,
) -> list[Any]:
    """Nested lists as one, `levels` deep."""
    deepest = math.inf if levels is None else levels
    is_dropped = _is_null if skip_nulls else _never
    return list(_leaves(values, deepest, is_dropped))


def _leaves(
    values: Iterable[Any],
    levels: float,
    is_dropped: Callable[[Any], bool],
) -> Iterator[Any]:
    for value in itertools.filterfalse(is_dropped, values):
        if is_list(value) and levels >= 1:
            yield from _leaves(value, levels - 1, is_dropped)
        else:
            yield value


def _is_null(value: object) -> bool:
    return value is None or value in _NULLS


def _never(_value: object) -> bool:
    return False


def dict2items(
    mapping: Any,
    key_name: str = "key",
    value_name: str = "value",
) -> list[dict[str, Any]]:
    """A list of key and value. Raises `TypeError` if it is no mapping."""
    _require(Mapping, mapping, "dict2items takes a dictionary")
    return [{key_name: key, value_name: mapping[key]} for key in mapping]


def items2dict(
    items: Any,
    key_name: str = "key",
    value_name: str = "value",
) -> dict[Any, Any]:
    """The mapping that `dict2items` was made from. Raises `TypeError` if it is no list."""
    _require(_LISTS, items, "items2dict takes a list")
    return {item[key_name]: item[value_name] for item in items}


def subelements(
    value: Any,
    path: Any,
    skip_missing: bool = False,
) -> list[tuple[Any, Any]]:
    """Each element with each item of a list inside it."""
    elements = value.values() if isinstance(value, Mapping) else value
    step = _item_or_nothing if skip_missing else operator.getitem
    return [
        (element, item)
        for element in elements
        for item in reduce(step, _keys(path), element)
    ]


def _keys(path: Any) -> list[Any]:
    return path.split(".") if isinstance(path, str) else list(path)


def _item_or_nothing(container: Any, key: Any) -> Any:
    return container[key] if key in container else []  # noqa: SIM401 - a list has no `get`


@pass_environment
def extract(
    environment: Environment,
    key: Any,
    container: Any,
    more: Any = None,
) -> Any:
    """The item under a key, or under a path of keys."""
    keys = [key, *_more_keys(more)]
    return reduce(environment.getitem, keys, container)


def _more_keys(more: Any) -> list[Any]:
    if more is None:
        return []
    return more if isinstance(more, list) else [more]


@pass_environment
def unique(
    environment: Environment,
    values: Any,
    case_sensitive: bool | None = None,
    attribute: Any = None,
) -> list[Any]:
    """The values without repetition, in their order."""
    try:
        return list(
            do_unique(
                environment,
                values,
                case_sensitive=bool(case_sensitive),
                attribute=attribute,
            )
        )
    except TypeError:  # a value has no hash
        return _first_of(values)


def _first_of(values: Iterable[Any]) -> list[Any]:
    """The first of equal values; compared one by one, for mappings and lists have no hash."""
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
    return _first_of(_within(a, b))


def difference(a: list[Any], b: list[Any]) -> list[Any]:
    """What is only in the first one, in its order."""
    return _first_of(_without(a, b))


def symmetric_difference(a: list[Any], b: list[Any]) -> list[Any]:
    """What is in exactly one of both."""
    return difference(a, b) + difference(b, a)
