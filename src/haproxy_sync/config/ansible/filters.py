"""Ansible's filters, as far as they make sense in a config that is a function of its inputs.

Left out on purpose: what reads the control node's disk, its clock or its secrets. Where Ansible's answer depends on
the hash seed or on chance (`union`, `random`), the answer here is the same in every run.
"""

import base64
import hashlib
import itertools
import json
import math
import ntpath
import posixpath
import shlex
import uuid
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from random import Random
from typing import Any
from urllib.parse import unquote_plus, urlsplit

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
    from_yaml_all,
    to_json,
    to_nice_json,
    to_nice_yaml,
    to_yaml,
)
from haproxy_sync.config.ansible.missing import Missing
from haproxy_sync.config.ansible.output import octets, text
from haproxy_sync.config.ansible.regex import (
    regex_escape,
    regex_findall,
    regex_replace,
    regex_search,
)
from haproxy_sync.config.ansible.sizes import human_readable, human_to_bytes
from haproxy_sync.config.ansible.subnets import ipmath, ipsubnet, nthhost

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


def default(value: Any, default_value: Any = "", boolean: bool = False) -> Any:
    """The other value where this one is undefined; `('a' if x)` without `else` is empty, as Ansible has it."""
    is_absent = isinstance(value, Missing) or (boolean and not value)
    return default_value if is_absent else value


def mandatory(value: Any, msg: str | None = None) -> Any:
    """The value. Raises `ValueError`, which names it, where it is undefined."""
    if not isinstance(value, Missing):
        return value
    raise ValueError(msg or f"mandatory variable: {value._undefined_message}")  # noqa: SLF001 - the only way to it


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
    digest = hashlib.new(algorithm, octets(value), usedforsecurity=False)
    return digest.hexdigest()


def password_hash(password: Any, *args: Any, **options: Any) -> str:
    """As `passwords.password_hash`."""
    from haproxy_sync.config.ansible import passwords  # noqa: PLC0415 - rare

    return passwords.password_hash(password, *args, **options)


def rekey_on_member(values: Any, key: Any, duplicates: str = "error") -> dict[Any, Any]:
    """Mappings by one of their values. Raises `ValueError` where two have the same, unless the last shall win."""
    items = values.values() if isinstance(values, Mapping) else values
    by_key = {item[key]: item for item in items}
    if duplicates == "error" and len(by_key) != len(items):
        raise ValueError(f"rekey_on_member: {key!r} is not unique")
    return by_key


def to_datetime(value: str, format: str = "%Y-%m-%d %H:%M:%S") -> datetime:  # noqa: A002 - Ansible's name
    """The moment that a text says, in no time zone, as Ansible has it."""
    return datetime.strptime(value, format)  # noqa: DTZ007 - see above


def to_uuid(value: Any, namespace: str = "361E6D51-FAEC-444A-9079-341386DA8E2E") -> str:
    """A UUID that is the same for the same text."""
    return str(uuid.uuid5(uuid.UUID(namespace), text(value)))


def b64decode(value: Any, encoding: str = "utf-8", urlsafe: bool = False) -> str:
    """The text that Base64 stands for."""
    decode = base64.urlsafe_b64decode if urlsafe else base64.b64decode
    return decode(octets(value)).decode(encoding)


def b64encode(value: Any, encoding: str = "utf-8", urlsafe: bool = False) -> str:
    """Text as Base64."""
    encode = base64.urlsafe_b64encode if urlsafe else base64.b64encode
    return encode(octets(value, encoding)).decode()


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
    "b64decode": b64decode,
    "b64encode": b64encode,
    "basename": posixpath.basename,
    "bool": to_bool,
    "checksum": hash_of,
    "combinations": itertools.combinations,
    "combine": combine,
    "comment": comment,
    "commonpath": posixpath.commonpath,
    "dict2items": dict2items,
    **dict.fromkeys(("d", "default"), default),
    "difference": difference,
    "dirname": posixpath.dirname,
    "extract": extract,
    "flatten": flatten,
    "from_json": json.loads,
    "from_yaml": from_yaml,
    "from_yaml_all": from_yaml_all,
    "hash": hash_of,
    "human_readable": human_readable,
    "human_to_bytes": human_to_bytes,
    "intersect": intersect,
    "ipaddr": ipaddr,
    "ipmath": ipmath,
    "ipsubnet": ipsubnet,
    "ipv4": ipv4,
    "ipv6": ipv6,
    "ipwrap": ipwrap,
    "items2dict": items2dict,
    "log": logarithm,
    "mandatory": mandatory,
    "md5": lambda value: hash_of(value, "md5"),
    "normpath": posixpath.normpath,
    "nthhost": nthhost,
    "password_hash": password_hash,
    "path_join": lambda parts: (
        parts if isinstance(parts, str) else posixpath.join(*parts)
    ),
    "permutations": itertools.permutations,
    "pow": math.pow,
    "product": itertools.product,
    "quote": lambda value: shlex.quote("" if value is None else text(value)),
    "random": random_item,
    "regex_escape": regex_escape,
    "regex_findall": regex_findall,
    "regex_replace": regex_replace,
    "regex_search": regex_search,
    "rekey_on_member": rekey_on_member,
    "root": root,
    "sha1": hash_of,
    "shuffle": shuffle,
    "split": lambda value, *args: value.split(*args),
    "splitext": posixpath.splitext,
    "subelements": subelements,
    "symmetric_difference": symmetric_difference,
    "ternary": ternary,
    "to_datetime": to_datetime,
    "to_json": to_json,
    "to_nice_json": to_nice_json,
    "to_nice_yaml": to_nice_yaml,
    "to_yaml": to_yaml,
    "to_uuid": to_uuid,
    "type_debug": lambda value: type(value).__name__,
    "union": union,
    "unique": unique,
    "urldecode": unquote_plus,
    "urlsplit": split_url,
    "win_basename": ntpath.basename,
    "win_dirname": ntpath.dirname,
    "win_splitdrive": ntpath.splitdrive,
    "zip": zip,
    "zip_longest": itertools.zip_longest,
}

FILTERS: Mapping[str, Callable[..., Any]] = {**JINJA_FILTERS, **_ANSIBLE}
"""Every filter by its short name."""
