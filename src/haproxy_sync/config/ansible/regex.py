"""Ansible's regular expressions, as filters and as tests."""

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from haproxy_sync.config.ansible.output import text


def _flags(*, ignorecase: bool, multiline: bool) -> re.RegexFlag:
    case = re.IGNORECASE if ignorecase else re.NOFLAG
    lines = re.MULTILINE if multiline else re.NOFLAG
    return case | lines


def regex_replace(
    value: Any = "",
    pattern: str = "",
    replacement: str = "",
    ignorecase: bool = False,
    multiline: bool = False,
    count: int = 0,
    mandatory_count: int = 0,
) -> str:
    """Replace every match of the pattern. Raises `ValueError` if it matches not as often as it must."""
    flags = _flags(ignorecase=ignorecase, multiline=multiline)
    result, replaced = re.subn(
        pattern, replacement, text(value), count=count, flags=flags
    )
    if mandatory_count and replaced != mandatory_count:
        raise ValueError(
            f"{pattern!r} should match {mandatory_count} times, matches {replaced} times in {value!r}"
        )
    return result


def regex_search(
    value: Any,
    pattern: str,
    *groups: str,
    ignorecase: bool = False,
    multiline: bool = False,
) -> Any:
    r"""The first match, or the groups asked for as `\1` or `\g<name>`; None where nothing matches.

    Raises `ValueError` for a group that is asked for in another way.
    """
    flags = _flags(ignorecase=ignorecase, multiline=multiline)
    match = re.search(pattern, text(value), flags)
    if match is None:
        return None
    if not groups:
        return match.group()
    return list(map(partial(_group, match), groups))


def _group(match: re.Match[str], reference: str) -> Any:
    named = re.fullmatch(r"\\g<(\S+)>", reference)
    if named:
        return match.group(named[1])
    numbered = re.fullmatch(r"\\(\d+)", reference)
    if numbered:
        return match.group(int(numbered[1]))
    raise ValueError(rf"regex_search takes groups as \1 or \g<name>, not {reference!r}")


def regex_findall(
    value: Any,
    pattern: str,
    multiline: bool = False,
    ignorecase: bool = False,
) -> list[Any]:
    """Every match."""
    flags = _flags(ignorecase=ignorecase, multiline=multiline)
    return re.findall(pattern, text(value), flags)


def regex_escape(value: Any, re_type: str = "python") -> str:
    """The text with the pattern characters escaped. Raises `ValueError` for another kind of pattern."""
    if re_type == "python":
        return re.escape(text(value))
    if re_type == "posix_basic":
        return re.sub(r"([].[^$*\\])", r"\\\1", text(value))
    raise ValueError(f"regex_escape knows python and posix_basic, not {re_type!r}")


def matching(method: Callable[..., Any]) -> Callable[..., bool]:
    """A test by one of the functions of `re`."""

    def test(
        value: Any,
        pattern: str = "",
        ignorecase: bool = False,
        multiline: bool = False,
    ) -> bool:
        flags = _flags(ignorecase=ignorecase, multiline=multiline)
        return method(pattern, text(value), flags) is not None

    return test


_METHODS: Mapping[str, Callable[..., Any]] = {
    "search": re.search,
    "match": re.match,
    "fullmatch": re.fullmatch,
}


def regex(
    value: Any,
    pattern: str = "",
    ignorecase: bool = False,
    multiline: bool = False,
    match_type: str = "search",
) -> bool:
    """Whether the pattern fits, by `search`, `match` or `fullmatch`."""
    test = matching(_METHODS[match_type])
    return test(value, pattern, ignorecase, multiline)
