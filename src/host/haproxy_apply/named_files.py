"""Which files a config names that a new process loads and a running one does not look at again.

The words are those of HAProxy's configuration manual, 2.2 to 3.5: sections 3.1 "Process management", 12.7 "crt-store"
(3.12 in 3.0), 12.8 "acme", 4.2 "errorfile", "http-request return", "filter", 5.1 and 5.2 of bind and
server options, 7.1.1 "-f" of ACLs, and 7.3.1 "map", "jwt_verify". One file too many does no harm. Left out is what
HAProxy writes (`pidfile`, `server-state-file`, `backing-file`) and what it only runs (`external-check command`).
"""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING, NamedTuple

from haproxy_sync.config.language import KEYWORDS, words

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from haproxy_apply.model import Model

FILE, CERTIFICATE, CERTIFICATE_LIST = "file", "certificate", "certificate-list"

_CRT, _CA, _KEY, _NONE = "crt-base", "ca-base", "key-base", ""
_BASES = frozenset({_CRT, _CA, _KEY})
# The first word of a line, and which of its words names a file.
# Not `stats-file`: a new process begins with its counters, but no client gets another answer for it.
_LINES = {
    "lua-load": 1, "lua-load-per-thread": 1, "ssl-dh-param-file": 1, "h1-case-adjust-file": 1, "errorfile": 2,
    "51degrees-data-file": 1, "deviceatlas-json-file": 1, "wurfl-data-file": 1, "wurfl-patch-file": 1,
    "httpclient.ssl.ca-file": 1, "issuers-chain-path": 1, "account-key": 1, "eab-key-id": 1,
    "eab-mac-key": 1,
}  # fmt: skip
# Words anywhere else on a line, each with the base of the relative path that follows.
_OPTIONS = {
    "crt": _CRT, "default-crt": _CRT, "crt-list": _NONE, "ech": _NONE, "ca-file": _CA, "ca-verify-file": _CA,
    "crl-file": _CA, "ca-sign-file": _NONE,
    "tls-ticket-keys": _NONE, "-f": _NONE, "file": _NONE, "lf-file": _NONE, "errorfile": _NONE, "config": _NONE,
}  # fmt: skip
_STORED = {"crt": _CRT, "key": _KEY, "ocsp": _CRT, "issuer": _CRT, "sctl": _CRT}
_KINDS = {"crt": CERTIFICATE, "default-crt": CERTIFICATE, "crt-list": CERTIFICATE_LIST}
# Converters and actions: the map or the list, or the key that a signature is verified with.
_CALLS = re.compile(
    r"(?:map|map_[a-z0-9_]+|-acl)\(([^,)]+)|jwt_verify\([^,)]*,([^,)]+)"
)
_PREFIX = re.compile(r"(?:opt|file)@")
_NO_BRACKETS = str.maketrans("[]", "  ")


class Bases(NamedTuple):
    """What relative names count from."""

    origin: str = ""  # of `default-path`: empty, `config`, `parent` or a directory
    crt: str = ""
    ca: str = ""
    key: str = ""

    def below(self, base: str, name: str) -> str:
        """A name below one of them."""
        own = {_CRT: self.crt, _CA: self.ca, _KEY: self.key}.get(base, "")
        return posixpath.join(own, name)


class Named(NamedTuple):
    """A file that a config names."""

    path: str  # below its base; else relative to the origin
    kind: str
    bases: Bases


def named(model: Model) -> tuple[Named, ...]:
    """All of them, none twice."""
    servers = dict.fromkeys(f"server - - {each.options}" for each in model.servers)
    every = (words(line) for line in (*model.rest, "backend -", *servers))
    return tuple(dict.fromkeys(_named(filter(None, every))))


def _named(every: Iterable[Sequence[str]]) -> Iterator[Named]:
    section = ""
    everywhere = bases = Bases()
    for line in every:
        if line[0] in KEYWORDS:
            section, bases = line[0], everywhere
        bases = _after(bases, line)
        everywhere = bases if section == "global" else everywhere
        for path, kind in _files(bases, line):
            if not path.startswith(("@", "virt@")):
                yield Named(_PREFIX.sub("", path, count=1), kind, bases)


def _after(bases: Bases, line: Sequence[str]) -> Bases:
    """The bases below a line."""
    keyword, value = line[0], "".join(line[1:2])
    if keyword in _BASES:
        return bases._replace(**{keyword.partition("-")[0]: value})
    if keyword != "default-path":
        return bases
    origins = {"current": "", "origin": "".join(line[2:3])}
    return bases._replace(origin=origins.get(value, value))


def _files(bases: Bases, line: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Path and kind of each that a line names."""
    at = _LINES.get(line[0], len(line))
    yield from ((path, FILE) for path in line[at : at + 1])
    yield from _optional(bases, line)
    for found in _CALLS.findall(" ".join(line)):
        yield "".join(found).strip(" "), FILE


def _optional(bases: Bases, line: Sequence[str]) -> Iterator[tuple[str, str]]:
    options = _STORED if line[0] == "load" else _OPTIONS
    for word, value in zip(line[1:], line[2:]):
        if word in options and not value.startswith("@"):
            yield bases.below(options[word], value), _KINDS.get(word, FILE)


def listed(text: str, within: Named) -> Iterator[Named]:
    """Those of a list of certificates, whose lines are: certificate, options in brackets, names of servers."""
    for line in text.split("\n"):
        fields = line.translate(_NO_BRACKETS).split()
        if fields and not fields[0].startswith(("#", "@")):
            bases = within.bases
            yield Named(bases.below(_CRT, fields[0]), CERTIFICATE, bases)
            for path, kind in _files(bases, fields):
                yield Named(path, kind, bases)
