"""Just enough of HAProxy's configuration language to name sections and servers.

No maintained library reads it: pyhaproxy, the only parser on PyPI, had its last release in 2019 and refuses keywords
that it does not know. What matters here is which line belongs to which section; HAProxy says whether the line is right.
"""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

KEYWORDS = frozenset({
    "backend", "cache", "crt-store", "defaults", "fcgi-app", "frontend", "global", "http-errors", "listen",
    "log-forward", "log-profile", "mailers", "peers", "program", "resolvers", "ring", "traces", "userlist",
})  # fmt: skip
SERVER_KEYWORDS = frozenset({"server", "server-template"})
LISTENING = ("frontend", "listen")
"""The sections whose bind lines serve clients; those of `peers`, for example, do not."""

_SERVER_WORDS = 3  # keyword, name and address
_QUOTING = re.compile(r"""['"\\#]""")
_PORT = re.compile(r":[+\-0-9]*\Z")


@dataclass(frozen=True, slots=True)
class Line:
    """One line, its words without quotes and comment, and the section it stands in."""

    section: str
    words: tuple[str, ...]

    @property
    def is_server(self) -> bool:
        """Whether it declares a server, with a name and an address."""
        return self.words[0] in SERVER_KEYWORDS and len(self.words) >= _SERVER_WORDS

    @property
    def is_listener(self) -> bool:
        """Whether clients can connect because of it."""
        return self.words[0] == "bind" and self.section.startswith(LISTENING)


@dataclass(frozen=True, slots=True)
class Server:
    """A `server` line."""

    section: str
    name: str
    address: str
    keywords: tuple[str, ...]

    @property
    def host(self) -> str:
        """The address without family, port and brackets."""
        address = self.address.rpartition("@")[2]  # ipv4@, ipv6@
        if address.startswith("["):
            return address[1:].partition("]")[0]
        return _PORT.sub("", address)


def words(line: str) -> tuple[str, ...]:
    """The words of a line, without quotes and comment."""
    if not _QUOTING.search(line):  # quotes are rare, and reading them is costly
        return tuple(line.split())
    try:
        return tuple(shlex.split(line, comments=True))
    except ValueError:  # a quote stays open, which HAProxy will refuse
        return tuple(line.split())


def lines(text: str) -> Iterator[Line]:
    """Every line that has words."""
    section = ""
    for found in filter(None, map(words, text.splitlines())):
        if found[0] in KEYWORDS:  # indented or not, as HAProxy reads it
            section = " ".join(found[:2])
        yield Line(section, found)


def servers(text: str) -> Iterator[Server]:
    """Every server, in order."""
    for line in lines(text):
        if line.is_server:
            _keyword, name, address, *keywords = line.words
            yield Server(
                section=line.section,
                name=name,
                address=address,
                keywords=tuple(keywords),
            )
