"""Ansible's tests, as in `x is version('2.6', '>=')`."""

import math
import operator
import posixpath
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast
from urllib.parse import urlparse

from jinja2.tests import TESTS as JINJA_TESTS

from haproxy_sync.config.ansible.filters import YES
from haproxy_sync.config.ansible.regex import matching, regex
from haproxy_sync.config.ansible.subnets import in_network

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
    return [_number_or_word(part) for part in parts if part not in _SEPARATORS]


_SEPARATORS = ("", ".")


def _number_or_word(part: str) -> int | str:
    return int(part) if part.isdecimal() else part


_STRICT_VERSION = re.compile(
    r"(?P<major>\d+)\.(?P<minor>\d+)(?:\.(?P<patch>\d+))?(?:(?P<stage>[ab])(?P<number>\d+))?",
    re.ASCII,
)
_RELEASED = "z"
"""Sorts a version after its alphas and betas."""


def _strict(version: Any) -> tuple[int, int, int, tuple[str, int]]:
    match = _STRICT_VERSION.fullmatch(str(version))
    if match is None:
        raise ValueError(f"invalid strict version {str(version)!r}")
    numbers = match.groupdict(default="0")
    stage = match["stage"] or _RELEASED
    return (
        int(numbers["major"]),
        int(numbers["minor"]),
        int(numbers["patch"]),
        (stage, int(numbers["number"])),
    )


_PARSERS: Mapping[str | None, Callable[[Any], Any]] = {
    None: _loose,
    "loose": _loose,
    "strict": _strict,
}


def version(
    value: Any,
    other: Any,
    comparison: str = "eq",
    strict: bool | None = None,
    version_type: str | None = None,
) -> bool:
    """Compare versions by their numbers. Raises `ValueError` for what is no version, and for other comparisons."""
    if not (value and other):
        raise ValueError("a version to compare is empty")
    if comparison not in _OPERATORS:
        raise ValueError(f"version knows {', '.join(_OPERATORS)}, not {comparison!r}")
    parse = _parser(version_type, strict=strict)
    return _OPERATORS[comparison](parse(value), parse(other))


def _parser(version_type: str | None, *, strict: bool | None) -> Callable[[Any], Any]:
    if version_type not in _PARSERS:
        raise ValueError(
            f"version_type {version_type!r} is not available here: loose and strict are"
        )
    return _strict if strict else _PARSERS[version_type]


def truthy(value: Any, convert_bool: bool = False) -> bool:
    """Python's truth; with `convert_bool` the words yes, no, on, off count, too."""
    if convert_bool and isinstance(value, str):
        return _WORDS.get(value.strip().lower(), bool(value))
    return bool(value)


_WORDS: Mapping[str, bool] = {
    **dict.fromkeys((*YES, "y", "t"), True),
    **dict.fromkeys(("no", "n", "off", "false", "f", "0"), False),
}


def _contains(sequence: Any, value: Any) -> bool:
    return value in sequence


def _falsy(value: Any, convert_bool: bool = False) -> bool:
    return not truthy(value, convert_bool)


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _subset(a: Iterable[Any], b: Iterable[Any]) -> bool:
    return set(a) <= set(b)


def _superset(a: Iterable[Any], b: Iterable[Any]) -> bool:
    return set(a) >= set(b)


def _is_uri(value: Any, schemes: Any = None) -> bool:
    """Nearly every text is one."""
    try:
        scheme = urlparse(value).scheme
    except (ValueError, AttributeError):
        return False
    return not schemes or scheme in schemes


def _is_url(value: Any, schemes: Any = None) -> bool:
    if not _is_uri(value, schemes):
        return False
    url = urlparse(value)
    return bool(url.netloc) or url.scheme == "file"


def _says(key: str) -> Callable[[Any], bool]:
    """A test of a task's result, which a user may state."""

    def test(result: Any) -> bool:
        if not isinstance(result, Mapping):
            raise TypeError(f"this takes the result of a task, not {result!r}")
        return bool(result.get(key))

    return test


def _not(test: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: not test(value)


_ANSIBLE: Mapping[str, Callable[..., Any]] = {
    **dict.fromkeys(("abs", "is_abs"), posixpath.isabs),
    "all": all,
    "any": any,
    **dict.fromkeys(("change", "changed"), _says("changed")),
    "contains": _contains,
    **dict.fromkeys(("failed", "failure"), _says("failed")),
    "falsy": _falsy,
    "in_network": in_network,
    "isnan": _is_nan,
    "issubset": _subset,
    "issuperset": _superset,
    "match": matching(re.match),
    "nan": _is_nan,
    "reachable": _not(_says("unreachable")),
    "regex": regex,
    "search": matching(re.search),
    **dict.fromkeys(("skip", "skipped"), _says("skipped")),
    "subset": _subset,
    **dict.fromkeys(("succeeded", "success", "successful"), _not(_says("failed"))),
    "superset": _superset,
    "truthy": truthy,
    "unreachable": _says("unreachable"),
    "uri": _is_uri,
    "url": _is_url,
    "urn": lambda value: _is_uri(value, ["urn"]),
    "version": version,
    "version_compare": version,
}

TESTS: Mapping[str, Callable[..., Any]] = {
    **cast("dict[str, Any]", JINJA_TESTS),
    **_ANSIBLE,
}
"""Every test by its short name."""
