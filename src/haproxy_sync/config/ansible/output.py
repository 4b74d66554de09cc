"""What the nodes of a template become together: one native value, or the text that Ansible prints."""

from collections.abc import ItemsView, Iterable, Iterator, KeysView, ValuesView
from functools import cache
from typing import Any

from haproxy_sync.errors import SyncError

MAX_CHARACTERS = 2 * 1024 * 1024
"""Cap on one rendered text, the config of 27,000 servers; who parses, compares and tells it takes seconds."""

MAX_BITS = 100_000
"""Of a power of whole numbers; Python prints a seventh of that at most."""

_VIEWS = (Iterator, KeysView, ValuesView, ItemsView)


class OutputTooLarge(SyncError):
    """A template writes more than `MAX_CHARACTERS`, or makes a number of more than `MAX_BITS`: it has lost count."""


def plain(value: Any) -> Any:
    """`value` with every container as plain `dict` and `list`: Ansible prints tuples as lists, too."""
    if isinstance(value, dict):
        return {plain(key): plain(item) for key, item in value.items()}
    # Named tuples print their names, so only the tuple itself counts.
    if isinstance(value, list) or type(value) is tuple:
        return list(map(plain, value))
    return value


def text(value: Any) -> str:
    """What Ansible prints for a value of one node, and hands to a filter that takes text."""
    if isinstance(value, str):
        return value
    return value.decode() if isinstance(value, bytes) else str(plain(value))


def octets(value: Any, encoding: str = "utf-8") -> bytes:
    """What Ansible hashes and encodes."""
    return value if isinstance(value, bytes) else text(value).encode(encoding)


def concat(nodes: Iterable[Any]) -> Any:
    """The result of a template: nothing is None, a single node keeps its type, more become one text.

    Raises `OutputTooLarge`.
    """
    parts = [node for node in nodes if node is not None]
    if len(parts) <= 1:
        return next(iter(parts), None)
    texts = list(map(text, parts))
    if sum(map(len, texts)) > MAX_CHARACTERS:
        raise OutputTooLarge(f"the output exceeds {MAX_CHARACTERS} characters")
    return "".join(texts)


def listed(value: Any) -> Any:
    """Filters and calls never return an iterator: Ansible makes it a list."""
    is_view = _is_view(type(value))  # type: ignore[arg-type] # mypy looks for the hash of an instance
    return list(value) if is_view else value


@cache
def _is_view(kind: type) -> bool:
    """Remembered by type, for each filter of each line asks, and abstract classes answer slowly."""
    return issubclass(kind, _VIEWS)
