"""Ansible's tests, as in `x is version('2.6', '>=')`."""

import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

from jinja2.tests import TESTS as JINJA_TESTS

from haproxy_sync.config.ansible.filters import YES
from haproxy_sync.config.ansible.regex import matching, regex

_OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {
    **dict.fromkeys(("==", "=", "eq"), operator.eq),
    **dict.fromkeys(("<", "lt"), operator.lt),
    **dict.fromkeys(("<=", "le"), operator.le),
    **dict.fromkeys((">", "gt"), operator.gt),
    **dict.fromkeys((">=", "ge"), operator.ge),
    **dict.fromkeys(("!=", "<>", "ne"), operator.ne),
}


def _loose(version: Any) -> list[int | str]:
    parts = re.split(r"(\d+|[a-z]+|\.)", str(version))
    return [int(part) if part.isdecimal() else part for part in parts if part and part != "."]


def _strict(version: Any) -> tuple[int, int, int, tuple[str, int]]:
    match = re.fullmatch(r"(\d+)\.(\d+)(?:\.(\d+))?(?:([ab])(\d+))?", str(version), re.ASCII)
    if match is None:
        raise ValueError(f"invalid strict version {str(version)!r}")
    major, minor, patch, stage, number = match.groups()
    return int(major), int(minor), int(patch or 0), (stage or "z", int(number or 0))


def version(
    value: Any,
    other: Any,
    comparison: str = "eq",
    strict: bool | None = None,
    version_type: str | None = None,
) -> bool:
    """Compare versions by their numbers."""
    if not value or not other:
        raise ValueError("a version to compare is empty")
    if comparison not in _OPERATORS:
        raise ValueError(f"version knows {', '.join(_OPERATORS)}, not {comparison!r}")
    if version_type not in {None, "loose", "strict"}:
        raise ValueError(f"version_type {version_type!r} is not available here: loose and strict are")
    parse: Callable[[Any], Any] = _strict if strict or version_type == "strict" else _loose
    return _OPERATORS[comparison](parse(value), parse(other))


def truthy(value: Any, convert_bool: bool = False) -> bool:
    """Python's truth; with `convert_bool` the words yes, no, on, off count, too."""
    word = value.strip().lower() if isinstance(value, str) else None
    if convert_bool and word is not None and word in _WORDS:
        return _WORDS[word]
    return bool(value)


_WORDS: Mapping[str, bool] = {
    **dict.fromkeys((*YES, "y", "t"), True),
    **dict.fromkeys(("no", "n", "off", "false", "f", "0"), False),
}


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _subset(a: Iterable[Any], b: Iterable[Any]) -> bool:
    return set(a) <= set(b)


def _superset(a: Iterable[Any], b: Iterable[Any]) -> bool:
    return set(a) >= set(b)


_ANSIBLE: Mapping[str, Callable[..., Any]] = {
    "all": all,
    "any": any,
    "contains": lambda sequence, value: value in sequence,
    "falsy": lambda value, convert_bool=False: not truthy(value, convert_bool),
    "isnan": _is_nan,
    "issubset": _subset,
    "issuperset": _superset,
    "match": matching(re.match),
    "nan": _is_nan,
    "regex": regex,
    "search": matching(re.search),
    "subset": _subset,
    "superset": _superset,
    "truthy": truthy,
    "version": version,
    "version_compare": version,
}

TESTS: Mapping[str, Callable[..., Any]] = {**cast("dict[str, Any]", JINJA_TESTS), **_ANSIBLE}
"""Every test by its short name."""
