"""Just enough of HAProxy's configuration language to name sections and servers.

No maintained library reads it: pyhaproxy, the only parser on PyPI, had its last release in 2019 and refuses keywords
that it does not know. What matters here is which line belongs to which section; HAProxy says whether the line is right.

The function and the program on the hosts share this module, so it works with Python 3.8 and imports nothing of ours.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

KEYWORDS = frozenset({
    "acme", "backend", "cache", "crt-store", "defaults", "fcgi-app", "frontend", "global", "http-errors", "listen",
    "log-forward", "log-profile", "mailers", "peers", "program", "resolvers", "ring", "traces", "userlist",
})  # fmt: skip
SERVER_KEYWORDS = frozenset({"server", "server-template"})
LISTENING = ("frontend", "listen")
"""The sections whose bind lines serve clients; those of `peers`, for example, do not."""

_SERVER_WORDS = 3  # keyword, name and address
_BLANKS = " \t\n\v\f\r"
"""What `isspace` of C says, as HAProxy does; in a text read as Latin-1, what Python says splits letters of UTF-8."""
_WORD = re.compile(rf"[^{_BLANKS}]+")
_COMMENTED = re.compile(r"""((?:[^"'\\#]|\\.|"(?:[^"\\]|\\.)*"|'[^']*')*)#""")
# A backslash before any other blank than a space stands for itself.
_ESCAPE = r"\\(x[0-9A-Fa-f]{2}|[^\t\n\v\f\r])?"
_TOKEN = re.compile(
    rf"""(?:[^'"\\{_BLANKS}]|\\[^\t\n\v\f\r]?|"(?:[^"\\]|\\.)*"|'[^']*')+""", re.DOTALL
)
_QUOTED = re.compile(rf"""{_ESCAPE}|'([^']*)'|"((?:[^"\\]|\\.)*)\"""", re.DOTALL)
_ESCAPED = re.compile(_ESCAPE)
# What stands for another character behind a backslash, which else stands for itself (`parse_line` of `tools.c`).
_ESCAPES = {**dict(zip(" \\#'\"$", " \\#'\"$")), "t": "\t", "n": "\n", "r": "\r"}
_PORT = re.compile(r":[+\-0-9]*\Z")


class Line(NamedTuple):
    """One line, its words without quotes and comment, and the section it stands in."""

    section: str  # keyword and name
    words: tuple[str, ...]
    text: str  # as written, without comment and outer blanks

    @property
    def begins_section(self) -> bool:
        """Whether it is the first line of its section."""
        return self.words[0] in KEYWORDS

    @property
    def section_keyword(self) -> str:
        """What kind of section it stands in; empty above the first one."""
        return self.section.partition(" ")[0]

    @property
    def section_name(self) -> str:
        """The name of the section it stands in; empty where there is none."""
        return self.section.partition(" ")[2]

    @property
    def fields(self) -> tuple[str, ...]:
        """What stands between blanks, quotes and escapes included; in quotes, too, a blank is one."""
        return _split(self.text) if _has_quoting(self.text) else self.words

    @property
    def is_server(self) -> bool:
        """Whether it declares a server, with a name and an address."""
        return self.begins_server and len(self.words) >= _SERVER_WORDS

    @property
    def begins_server(self) -> bool:
        """Whether it begins like a line that does."""
        return bool(self.words) and self.words[0] in SERVER_KEYWORDS

    @property
    def server(self) -> Server:
        """The server that it declares."""
        _keyword, name, address, *keywords = self.words
        return Server(self.section, name, address, tuple(keywords))

    @property
    def is_listener(self) -> bool:
        """Whether clients can connect because of it."""
        return self.words[0] == "bind" and self.section.startswith(LISTENING)

    @property
    def is_literal(self) -> bool:
        """Whether it means what it says: no quote, no escape, no variable."""
        return not _has_quoting(self.text) and "$" not in self.text


class Server(NamedTuple):
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
    return _unquoted(_without_comment(line))


def lines(text: str) -> Iterator[Line]:
    """Every line that has words."""
    return (line for line in every_line(text.split("\n")) if line.words)


def every_line(written: Iterable[str]) -> Iterator[Line]:
    """What each line means, of those without words, too."""
    section = ""
    for meant in map(_without_comment, written):
        found = _unquoted(meant)
        if found and found[0] in KEYWORDS:  # indented or not, as HAProxy reads it
            section = " ".join(found[:2])
        yield Line(section, found, meant.strip(_BLANKS))


def servers(text: str) -> Iterator[Server]:
    """Every server, in order."""
    return (line.server for line in lines(text) if line.is_server)


def _split(text: str) -> tuple[str, ...]:
    if text.isprintable():  # has no blank but spaces: quick, and nearly always so
        return tuple(text.split())
    return tuple(_WORD.findall(text))


def _has_quoting(text: str) -> bool:
    return '"' in text or "'" in text or "\\" in text


def _without_comment(line: str) -> str:
    """The line up to the first # that is neither quoted nor escaped."""
    commented = _COMMENTED.match(line) if "#" in line else None
    return commented[1] if commented else line


def _unquoted(text: str) -> tuple[str, ...]:
    if not _has_quoting(text):  # quotes are rare, and reading them is costly
        return _split(text.strip(_BLANKS))
    if _TOKEN.sub("", text).strip(_BLANKS):
        return _split(text)  # a quote stays open, which HAProxy will refuse
    return tuple(_QUOTED.sub(_meant, token) for token in _TOKEN.findall(text))


def _meant(quoted: re.Match[str]) -> str:
    """What an escape or a quoted part says."""
    if quoted[0].startswith("\\"):
        return _character(quoted)
    _escaped, strong, weak = quoted.groups("")  # two of them are empty
    return strong + _ESCAPED.sub(_character, weak)


def _character(escape: re.Match[str]) -> str:
    """What a backslash and what stands behind it mean."""
    code = escape[1] or ""
    if len(code) > 1:
        return chr(int(code[1:], 16))
    return _ESCAPES.get(code, f"\\{code}")
