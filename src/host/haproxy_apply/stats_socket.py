"""The `stats socket` lines of a config: which one to ask. Apart from the rest of a config, as every run asks."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class StatsSocket(NamedTuple):
    """A `stats socket` of the global section with a path."""

    path: str
    level: str
    exposes_listeners: bool

    @property
    def is_admin(self) -> bool:
        """Whether whoever asks there may change servers."""
        return self.level == "admin"


NO_SOCKET = StatsSocket("", "", exposes_listeners=False)
_ROW = "G", "socket"
_ROW_SIZE = 5


def asked(sockets: Iterable[StatsSocket]) -> StatsSocket:
    """The one to ask: the first with level admin, else the last; without a path where there is none."""
    every = [NO_SOCKET, *sockets]
    admins = (each for each in every if each.is_admin)
    return named(next(admins, every[-1]))


def paths(sockets: Iterable[StatsSocket]) -> tuple[str, ...]:
    """Of all of them, in the order in which to ask; none twice."""
    every = tuple(sockets)
    ordered = (asked(every), *map(named, every))
    return tuple(dict.fromkeys(each.path for each in ordered if each.path))


def named(socket: StatsSocket) -> StatsSocket:
    """With the name of its file."""
    return socket._replace(path=native(socket.path))


def native(name: str) -> str:
    """The file that a config names: its text is read as Latin-1, a name has the bytes of the filesystem."""
    return os.fsdecode(name.encode("latin-1"))


def row(socket: StatsSocket) -> tuple[str, ...]:
    """The fields of its line in a dumped model."""
    exposes = "expose" if socket.exposes_listeners else "-"
    return (*_ROW, socket.path, socket.level, exposes)


def of_row(fields: Sequence[str]) -> StatsSocket | None:
    """The socket of such a line; None where it is a line about something else."""
    if tuple(fields[:2]) != _ROW or len(fields) != _ROW_SIZE:
        return None
    path, level, exposes = fields[2:]
    return StatsSocket(path, level, exposes == "expose")
