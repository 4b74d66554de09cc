"""Just enough of HAProxy's configuration language to name sections and servers.

No kept library reads it: pyhaproxy, the only parser on PyPI, had its last release in 2019 and refuses keywords that it
does not know. What matters here is which line belongs to which section; whether the line is right, HAProxy says.
"""

import shlex
from collections.abc import Iterator
from dataclasses import dataclass

KEYWORDS = frozenset({
    "backend", "cache", "crt-store", "defaults", "fcgi-app", "frontend", "global", "http-errors", "listen",
    "log-forward", "log-profile", "mailers", "peers", "program", "resolvers", "ring", "traces", "userlist",
})  # fmt: skip
SERVER_KEYWORDS = frozenset({"server", "server-template"})
_QUOTING = ("'", '"', "\\", "#")


@dataclass(frozen=True, slots=True)
class Line:
    """One line, its words without quotes and comment, and the section it stands in."""

    section: str
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Server:
    """A `server` line."""

    section: str
    name: str
    address: str
    keywords: tuple[str, ...]

    @property
    def host(self) -> str:
        """The address without port and brackets."""
        address = self.address.rpartition("@")[2]  # ipv4@, ipv6@
        if address.startswith("["):
            return address[1:].partition("]")[0]
        host, colon, port = address.rpartition(":")
        return host if colon and not port.strip("+-0123456789") else address


def words(line: str) -> tuple[str, ...]:
    """The words of a line. Quotes are rare and costly to read."""
    if not any(mark in line for mark in _QUOTING):
        return tuple(line.split())
    try:
        return tuple(shlex.split(line, comments=True))
    except ValueError:  # an open quote, which HAProxy will refuse
        return tuple(line.split())


def lines(text: str) -> Iterator[Line]:
    """Every line that says something."""
    section = ""
    for line in text.splitlines():
        found = words(line)
        if not found:
            continue
        if found[0] in KEYWORDS:  # indented or not, as HAProxy reads it
            section = " ".join(found[:2])
        yield Line(section, found)


def servers(text: str) -> Iterator[Server]:
    """Every server, in order."""
    for line in lines(text):
        if line.words[0] in SERVER_KEYWORDS and len(line.words) > 2:  # noqa: PLR2004 - keyword, name, address
            yield Server(line.section, line.words[1], line.words[2], line.words[3:])
