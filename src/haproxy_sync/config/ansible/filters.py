"""Ansible's filters, as far as they make sense in a config that is a function of its inputs.

Left out on purpose: what reads the control node's disk, its clock or its secrets. Where Ansible's answer depends on
the hash seed or on chance (`union`, `random`), the answer here is the same in every run.
"""

import base64
import hashlib
import itertools
import json
import math
import posixpath
import shlex
import uuid
from collections.abc import Callable, Iterable, Mapping
from random import Random
from typing import Any
from urllib.parse import urlsplit

from jinja2.filters import FILTERS as JINJA_FILTERS

from haproxy_sync.config.ansible.addresses import ipaddr, ipv4, ipv6, ipwrap
from haproxy_sync.config.ansible.comments import comment
from haproxy_sync.config.ansible.containers import (
    combine,
    dict2items,
    difference,
    extract,
    flatten,
    intersect,
    items2dict,
    subelements,
    symmetric_difference,
    union,
    unique,
)
from haproxy_sync.config.ansible.formats import (
    from_yaml,
    to_json,
    to_nice_json,
    to_nice_yaml,
    to_yaml,
)
from haproxy_sync.config.ansible.missing import Missing
from haproxy_sync.config.ansible.regex import (
    regex_escape,
    regex_findall,
    regex_replace,
    regex_search,
)

YES = ("yes", "on", "true", "1")


def to_bool(value: Any) -> bool:
    """Ansible's words for true; everything else is false."""
    return str(value).lower() in YES if isinstance(value, str | int) else value == 1


def ternary(
    value: Any,
    true_value: Any,
    false_value: Any,
    none_value: Any = None,
) -> Any:
    """One of the three."""
    if value is None and none_value is not None:
        return none_value
    return true_value if value else false_value


def mandatory(value: Any, message: str | None = None) -> Any:
    """The value. Raises `ValueError`, which names it, where it is undefined."""
    if not isinstance(value, Missing):
        return value
    raise ValueError(message or f"mandatory variable: {value._undefined_message}")  # noqa: SLF001 - the only way to it


def random_item(
    values: Any,
    start: int = 0,
    step: int = 1,
    seed: Any = None,
) -> Any:
    """An item or number chosen by the seed. Raises `ValueError` without one."""
    if seed is None:
        raise ValueError(
            "random needs a seed: a config that is left to chance would differ in every run"
        )
    chance = Random(seed)
    if isinstance(values, int):
        return chance.randrange(start or 0, values, step or 1)
    return chance.choice(values)


def shuffle(values: Iterable[Any], seed: Any = None) -> list[Any]:
    """The values in an order chosen by the seed. Raises `ValueError` without one."""
    if not seed:
        raise ValueError(
            "shuffle needs a seed: a config that is left to chance would differ in every run"
        )
    result = list(values)
    Random(seed).shuffle(result)
    return result


def hash_of(value: Any, algorithm: str = "sha1") -> str:
    """Hex digest of the text."""
    digest = hashlib.new(algorithm, str(value).encode(), usedforsecurity=False)
    return digest.hexdigest()


_URL_PARTS = (
    "fragment",
    "hostname",
    "netloc",
    "password",
    "path",
    "port",
    "query",
    "scheme",
    "username",
)


def split_url(value: str, query: str = "") -> Any:
    """The parts of a URL, or one of them."""
    url = urlsplit(value)
    parts = {name: getattr(url, name) for name in _URL_PARTS}
    return parts[query] if query else parts


def logarithm(value: float, base: float = math.e) -> float:
    """The logarithm."""
    return math.log10(value) if base == 10 else math.log(value, base)  # noqa: PLR2004 - exact where `log` rounds


def root(value: float, base: float = 2) -> float:
    """The root."""
    return math.sqrt(value) if base == 2 else math.pow(value, 1 / base)  # noqa: PLR2004 - exact where `pow` rounds


_ANSIBLE: Mapping[str, Callable[..., Any]] = {
    "b64decode": lambda value, encoding="utf-8": base64.b64decode(value).decode(
        encoding
    ),
    "b64encode": lambda value, encoding="utf-8": base64.b64encode(
        str(value).encode(encoding)
    ).decode(),
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
    "from_yaml": from_yaml,
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
    "path_join": lambda parts: (
        parts if isinstance(parts, str) else posixpath.join(*parts)
    ),
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
    "to_nice_yaml": to_nice_yaml,
    "to_yaml": to_yaml,
    "to_uuid": lambda value: str(
        uuid.uuid5(uuid.UUID("361E6D51-FAEC-444A-9079-341386DA8E2E"), value)
    ),
    "type_debug": lambda value: type(value).__name__,
    "union": union,
    "unique": unique,
    "urlsplit": split_url,
    "zip": zip,
    "zip_longest": itertools.zip_longest,
}

FILTERS: Mapping[str, Callable[..., Any]] = {**JINJA_FILTERS, **_ANSIBLE}
"""Every filter by its short name."""
