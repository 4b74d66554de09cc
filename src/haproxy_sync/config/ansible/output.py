"""What the nodes of a template become together: one native value, or the text that Ansible prints."""

from collections.abc import ItemsView, Iterable, Iterator, KeysView, ValuesView
from typing import Any

MAX_CHARACTERS = 16 * 1024 * 1024
"""Cap on one rendered text: ten times the config of 50,000 servers, and far below the function's memory (F41)."""

_VIEWS = (Iterator, KeysView, ValuesView, ItemsView)
_PRINTED_AS_LIST = (list, tuple)


class Refused(Exception):
    """A construct of Ansible that has no meaning without a control node, or output that grew too large."""


def plain(value: Any) -> Any:
    """`value` with every container as plain `dict` and `list`: Ansible prints tuples as lists, too."""
    if isinstance(value, dict):
        return {plain(key): plain(item) for key, item in value.items()}
    if type(value) in _PRINTED_AS_LIST or isinstance(value, list):
        return [plain(item) for item in value]
    return value


def text(value: Any) -> str:
    """What Ansible prints for a value of one node."""
    return value if isinstance(value, str) else str(plain(value))


def concat(nodes: Iterable[Any]) -> Any:
    """The result of a template: nothing is None, a single node keeps its type, more become one text."""
    parts = [node for node in nodes if node is not None]
    if len(parts) <= 1:
        return parts[0] if parts else None
    texts = [part if type(part) is str else text(part) for part in parts]
    if sum(map(len, texts)) > MAX_CHARACTERS:
        raise Refused(f"the output exceeds {MAX_CHARACTERS} characters")
    return "".join(texts)


def listed(value: Any) -> Any:
    """Filters and calls never return an iterator: Ansible makes it a list."""
    return list(value) if isinstance(value, _VIEWS) else value
