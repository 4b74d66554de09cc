"""What tags of YAML become in a variables file."""

from collections.abc import Iterator
from dataclasses import dataclass
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


class Secret(Data):
    """What a reference stands for: no template, and secret by itself, whatever the name of its variable."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Address:
    """One thing to ask for: a parameter of SSM (`ssm`), or a secret of Secrets Manager (`secret`), by its name."""

    store: str
    name: str


@dataclass(frozen=True, slots=True)
class Reference:
    """A value of the variables file that is kept elsewhere: `!ssm /path`, `!secret name#key`; and where it stands."""

    address: Address
    key: str
    """Of the secret's JSON object; empty: the whole text."""
    file: str
    line: int

    def __str__(self) -> str:
        """As the file has it."""
        text = f"!{self.address.store} {self.address.name}"
        return f"{text}#{self.key}" if self.key else text
