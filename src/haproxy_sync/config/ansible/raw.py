"""What tags of YAML become in a variables file."""

from collections.abc import Iterator
from typing import Any

from haproxy_sync.config.ansible.names import seen_as


@seen_as("set")
class SortedSet(set[Any]):
    """A `!!set`. A set's own order differs in every process, and so would the config."""

    def __iter__(self) -> Iterator[Any]:
        """The items in the order of how they are written."""
        return iter(sorted(super().__iter__(), key=repr))

    def __repr__(self) -> str:
        """As Ansible prints one."""
        return f"{{{', '.join(map(repr, self))}}}"


class Data:
    """Text of the variables file that is no template (`!unsafe`)."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text


class Unreadable:
    """A value of the variables file that nobody can render; harmless as long as no template reads it."""

    __slots__ = ("file", "line", "reason")

    def __init__(self, file: str, line: int, reason: str) -> None:
        self.file = file
        self.line = line
        self.reason = reason
