"""Ansible's filters, as far as they make sense in a config that is a function of its inputs.

Left out on purpose: what reads the control node's disk, its clock or its secrets. Where Ansible's answer depends on
the hash seed or on chance (`union`, `random`), the answer here is the same in every run.
"""

import base64
import functools
import hashlib
import itertools
import json
import math
import posixpath
import re
import shlex
import uuid
from collections.abc import Callable, Iterable, Mapping
from random import Random
from typing import Any
from urllib.parse import urlsplit

from jinja2 import Environment, pass_environment
from jinja2.filters import FILTERS as JINJA_FILTERS
from jinja2.filters import do_unique

from haproxy_sync.ansible.addresses import ipaddr, ipv4, ipv6, ipwrap
from haproxy_sync.ansible.missing import Missing, MissingError

YES = ("yes", "on", "true", "1")


def _is_list(value: object) -> bool:
    return isinstance(value, list | tuple)


def to_bool(value: Any) -> bool:
    """Ansible's words for true; everything else is false."""
    return str(value).lower() in YES if isinstance(value, str | int) else value == 1


def _flags(*, ignorecase: bool, multiline: bool) -> re.RegexFlag:
    return (re.IGNORECASE if ignorecase else re.NOFLAG) | (re.MULTILINE if multiline else re.NOFLAG)


def regex_replace(
    value: Any = "",
    pattern: str = "",
    replacement: str = "",
    ignorecase: bool = False,
    multiline: bool = False,
    count: int = 0,
    mandatory_count: int = 0,
) -> str:
    """Replace every match of the pattern."""
    flags = _flags(ignorecase=ignorecase, multiline=multiline)
    result, replaced = re.subn(pattern, replacement, str(value), count=count, flags=flags)
    if mandatory_count and replaced != mandatory_count:
        raise ValueError(f"{pattern!r} should match {mandatory_count} times, matches {replaced} times in {value!r}")
    return result


def regex_search(value: Any, pattern: str, *groups: str, ignorecase: bool = False, multiline: bool = False) -> Any:
    r"""The first match, or the groups asked for as `\1` or `\g<name>`; None where nothing matches."""
    match = re.search(pattern, str(value), _flags(ignorecase=ignorecase, multiline=multiline))
    if match is None:
        return None
    if not groups:
        return match.group()
    return [_group(match, group) for group in groups]


def _group(match: re.Match[str], reference: str) -> Any:
    named = re.fullmatch(r"\\g<(\S+)>", reference)
    numbered = re.fullmatch(r"\\(\d+)", reference)
    if named:
        return match.group(named[1])
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
    return re.findall(pattern, str(value), _flags(ignorecase=ignorecase, multiline=multiline))


def regex_escape(value: Any, re_type: str = "python") -> str:
    """The text with the pattern characters escaped."""
    if re_type == "python":
        return re.escape(str(value))
    if re_type == "posix_basic":
        return re.sub(r"([].[^$*\\])", r"\\\1", str(value))
    raise ValueError(f"regex_escape knows python and posix_basic, not {re_type!r}")


def ternary(value: Any, true_value: Any, false_value: Any, none_value: Any = None) -> Any:
    """One of the three."""
    if value is None and none_value is not None:
        return none_value
    return true_value if value else false_value


def mandatory(value: Any, message: str | None = None) -> Any:
    """The value; an error that names it where it is undefined."""
    if not isinstance(value, Missing):
        return value
    raise ValueError(message or f"mandatory variable: {value._undefined_message}")  # noqa: SLF001 - the only way to it


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
        elif _is_list(old) and _is_list(value):
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

_COMMENT_STYLES: Mapping[str, tuple[str, str, str]] = {  # beginning, decoration, end
    "plain": ("", "# ", ""),
    "erlang": ("", "% ", ""),
    "c": ("", "// ", ""),
    "cblock": ("/*", " * ", " */"),
    "xml": ("<!--", " - ", "-->"),
}


def comment(text: str, style: str = "plain", **options: Any) -> str:
    """The text as a comment, an empty comment line above and below it."""
    if style not in _COMMENT_STYLES:
        raise ValueError(f"comment knows the styles {', '.join(_COMMENT_STYLES)}, not {style!r}")
    beginning, decoration, end = _COMMENT_STYLES[style]
    edge = options.get("decoration", decoration).rstrip()
    option = {
        "newline": "\n", "beginning": beginning, "decoration": decoration, "end": end,
        "prefix": edge, "prefix_count": 1, "postfix": edge, "postfix_count": 1, **options,
    }  # fmt: skip
    newline, decoration = option["newline"], option["decoration"]
    prefix = option["prefix"] if option["prefix"] == newline else option["prefix"] + newline
    body = (decoration + text.replace(newline, newline + decoration)).replace(
        decoration + newline, decoration.rstrip() + newline
    )
    return "".join(
        (
            option["beginning"] + newline if option["beginning"] else "",
            prefix * int(option["prefix_count"]) if option["prefix"] else "",
            body,
            (newline + option["postfix"]) * option["postfix_count"],
            newline + option["end"] if option["end"] else "",
        )
    )


def flatten(values: Iterable[Any], levels: int | None = None, skip_nulls: bool = True) -> list[Any]:
    """Nested lists as one, `levels` deep."""
    result: list[Any] = []
    for value in values:
        if skip_nulls and (value is None or value in ("None", "null")):
            continue
        if _is_list(value) and (levels is None or levels >= 1):
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
    if not _is_list(items):
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


def _json_value(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _json_value(item) for key, item in value.items()}
    return [_json_value(item) for item in value] if _is_list(value) else value


def to_json(value: Any, **options: Any) -> str:
    """One line of JSON."""
    return json.dumps(_json_value(value), **options)


def to_nice_json(value: Any, indent: int = 4, sort_keys: bool = True, **options: Any) -> str:
    """Indented JSON with sorted keys."""
    return to_json(value, indent=indent, sort_keys=sort_keys, **{**options, "separators": (",", ": ")})


def random_item(values: Any, start: int = 0, step: int = 1, seed: Any = None) -> Any:
    """An item or number chosen by the seed."""
    if seed is None:
        raise ValueError("random needs a seed: a config that is left to chance would differ in every run")
    chance = Random(seed)
    return chance.randrange(start or 0, values, step or 1) if isinstance(values, int) else chance.choice(values)


def shuffle(values: Iterable[Any], seed: Any = None) -> list[Any]:
    """The values in an order chosen by the seed."""
    if not seed:
        raise ValueError("shuffle needs a seed: a config that is left to chance would differ in every run")
    result = list(values)
    Random(seed).shuffle(result)
    return result


def hash_of(value: Any, algorithm: str = "sha1") -> str:
    """Hex digest of the text."""
    return hashlib.new(algorithm, str(value).encode(), usedforsecurity=False).hexdigest()


def split_url(value: str, query: str = "") -> Any:
    """The parts of a URL, or one of them."""
    names = ("fragment", "hostname", "netloc", "password", "path", "port", "query", "scheme", "username")
    parts = {name: getattr(urlsplit(value), name) for name in names}
    return parts[query] if query else parts


def logarithm(value: float, base: float = math.e) -> float:
    """The logarithm."""
    return math.log10(value) if base == 10 else math.log(value, base)  # noqa: PLR2004 - exact where `log` rounds


def root(value: float, base: float = 2) -> float:
    """The root."""
    return math.sqrt(value) if base == 2 else math.pow(value, 1 / base)  # noqa: PLR2004 - exact where `pow` rounds


_ANSIBLE: Mapping[str, Callable[..., Any]] = {
    "b64decode": lambda value, encoding="utf-8": base64.b64decode(value).decode(encoding),
    "b64encode": lambda value, encoding="utf-8": base64.b64encode(str(value).encode(encoding)).decode(),
    "basename": posixpath.basename,
    "bool": to_bool,
    "checksum": hash_of,
    "combinations": itertools.combinations,
    "combine": combine,
    "comment": comment,
    "dict2items": dict2items,
    "difference": difference,
    "dirname": posixpath.dirname,
    "extract": extract,
    "flatten": flatten,
    "from_json": json.loads,
    "hash": hash_of,
    "intersect": intersect,
    "ipaddr": ipaddr,
    "ipv4": ipv4,
    "ipv6": ipv6,
    "ipwrap": ipwrap,
    "items2dict": items2dict,
    "log": logarithm,
    "mandatory": mandatory,
    "md5": lambda value: hash_of(value, "md5"),
    "normpath": posixpath.normpath,
    "path_join": lambda parts: parts if isinstance(parts, str) else posixpath.join(*parts),
    "permutations": itertools.permutations,
    "pow": math.pow,
    "product": itertools.product,
    "quote": lambda value: shlex.quote("" if value is None else str(value)),
    "random": random_item,
    "regex_escape": regex_escape,
    "regex_findall": regex_findall,
    "regex_replace": regex_replace,
    "regex_search": regex_search,
    "root": root,
    "sha1": hash_of,
    "shuffle": shuffle,
    "split": lambda value, *args: value.split(*args),
    "splitext": posixpath.splitext,
    "subelements": subelements,
    "symmetric_difference": symmetric_difference,
    "ternary": ternary,
    "to_json": to_json,
    "to_nice_json": to_nice_json,
    "to_uuid": lambda value: str(uuid.uuid5(uuid.UUID("361E6D51-FAEC-444A-9079-341386DA8E2E"), value)),
    "type_debug": lambda value: type(value).__name__,
    "union": union,
    "unique": unique,
    "urlsplit": split_url,
    "zip": zip,
    "zip_longest": itertools.zip_longest,
}

FILTERS: Mapping[str, Callable[..., Any]] = {**JINJA_FILTERS, **_ANSIBLE}
"""Every filter by its short name."""
