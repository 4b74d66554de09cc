"""What a config says, as far as a reload or a change at run time has to know."""

from __future__ import annotations

from typing import NamedTuple


class Server(NamedTuple):
    """A server as its line and the `default-server` lines above it say."""

    name: str  # backend/server; backend/prefix* of a server-template
    address: str  # as written, without port and brackets; "*" where there is none
    port: str  # as written; "-" where there is none
    weight: str
    rise: str
    is_checked: bool
    is_disabled: bool
    options: str  # all other keywords in order, or "-"
    is_plain: bool  # a `server` line without quotes, escapes, variables or conditions


class StatsSocket(NamedTuple):
    """A `stats socket` of the global section with a path."""

    path: str
    level: str
    exposes_listeners: bool


class Bind(NamedTuple):
    """A TCP address to listen on, and what else decides whether it can be bound ("-": nothing)."""

    address: str
    extra: str


class Model(NamedTuple):
    """One config."""

    servers: tuple[Server, ...]
    rest: tuple[
        str, ...
    ]  # every line that is no plain server: a difference here needs a new process
    binds: tuple[Bind, ...]
    sockets: tuple[StatsSocket, ...]
