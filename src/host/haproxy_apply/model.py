"""What a config says, as far as a reload or a change at run time has to know.

A line with quotes, escapes or variables, or under a condition, is not understood: it is compared as text, and a server
on it cannot be changed at run time.
"""

from __future__ import annotations

import posixpath
import re
from itertools import chain
from typing import TYPE_CHECKING, Callable, NamedTuple, TypeVar

from haproxy_apply import server_keywords, stats_socket
from haproxy_apply.conditions import read_lines
from haproxy_apply.config_lines import config_lines
from haproxy_apply.stats_socket import NO_SOCKET, StatsSocket, named, native

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from haproxy_apply.conditions import Told
    from haproxy_apply.config_lines import ConfigLine

T = TypeVar("T")

_STATE_LOADED = "load-server-state-from-file"
_GLOBAL = frozenset({"chroot", "pidfile", "server-state-base", "server-state-file"})
_STATES = frozenset({"disabled", "enabled"})
_APART = _STATES | {"weight"}  # of the options of a server
_ADDRESS_AT = {"server": 2, "server-template": 3}
# Options that decide whether an address can be bound, and how many words each of them has.
_BIND_WORDS = {"transparent": 1, "v4v6": 1, "v6only": 1, "interface": 2, "namespace": 2}
_NO_TCP = re.compile(r"(?:fd|unix|abnsz?|udp[46]?|quic[46]|sockpair|rhttp|rev)@|/")
_LISTENS = re.compile(r"(?:(?:dgram-)?bind|stats[ \t]+socket)[ \t]")
_ABSTRACT = re.compile(r"""abnsz?@[^ \t,"']+""")
_NO_BRACKETS = str.maketrans("", "", "[]")
_NO_QUOTES = str.maketrans("", "", "\"'")
_NO_QUOTING = str.maketrans("", "", "\"'\\")


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

    @property
    def is_backup(self) -> bool:
        """Whether it serves only where no other one does."""
        return self.says_last("backup")

    @property
    def tracked(self) -> str:
        """The server (backend/server) whose checks it shares; empty for none."""
        named = dict(self.keywords).get("track", "")
        own, _slash, _name = self.name.partition("/")
        return "/".join([own, *named.split("/")][-2:]) if named else ""

    @property
    def keywords(self) -> tuple[tuple[str, str], ...]:
        """What stands in its options, each with its value."""
        said = "" if self.options == "-" else self.options
        return tuple(server_keywords.keywords(filter(None, said.split(" "))))

    def says_last(self, keyword: str) -> bool:
        """Whether of a keyword and its `no-` this is the last one."""
        both = (keyword, f"no-{keyword}")
        said = [word for word, _value in self.keywords if word in both]
        return said[-1:] == [keyword]


class Bind(NamedTuple):
    """A TCP address to listen on, and what else decides whether it can be bound ("-": nothing).

    Of a `bind` line with several addresses each is one; a range of ports is one, too.
    """

    address: str
    extra: str


class Setting(NamedTuple):
    """A line of the global section that names a file or directory; or `load-server-state-from-file` of any section."""

    keyword: str
    value: str


class Model(NamedTuple):
    """One config; of each kind of thing all that it says, in order."""

    servers: tuple[Server, ...]
    # Every line that is no plain server: a difference here needs a new process. It holds all of the following, too.
    rest: tuple[str, ...]
    binds: tuple[Bind, ...]
    sockets: tuple[StatsSocket, ...]
    settings: tuple[Setting, ...] = ()

    @property
    def stats_socket(self) -> StatsSocket:
        """The one to ask; without a path where there is none."""
        return stats_socket.asked(self.sockets)

    @property
    def exposing_socket(self) -> StatsSocket:
        """The last one that hands listeners over; without a path where there is none."""
        exposing = [each for each in self.sockets if each.exposes_listeners]
        return named([NO_SOCKET, *exposing][-1])

    @property
    def pid_file(self) -> str:
        """As written, or empty."""
        return native(self._last("pidfile"))

    @property
    def pid_files(self) -> tuple[str, ...]:
        """All that it names, where nobody knows under which condition."""
        return tuple(
            native(each.value) for each in self.settings if each.keyword == "pidfile"
        )

    @property
    def server_state_file(self) -> str:
        """The file whose states a new process loads, below `server-state-base`; empty if it loads none."""
        file = self._last("server-state-file")
        if Setting(_STATE_LOADED, "global") not in self.settings or not file:
            return ""
        return native(posixpath.join(self._last("server-state-base"), file))

    @property
    def loads_own_states(self) -> bool:
        """Whether a backend loads states from a file that is its own, of which the program knows nothing."""
        return Setting(_STATE_LOADED, "local") in self.settings

    @property
    def directories(self) -> tuple[str, ...]:
        """Those that HAProxy needs at its start and `haproxy -c` does not look for."""
        needed = [each.path.rpartition("/")[0] for each in self.sockets]
        needed += [each.value for each in self.settings if each.keyword == "chroot"]
        return tuple(native(each) for each in needed if each.startswith("/"))

    @property
    def abstract_sockets(self) -> frozenset[str]:
        """The abstract sockets that it listens on, `abns@name`."""
        listening = filter(_LISTENS.match, self.rest)
        return frozenset(_ABSTRACT.findall(" ".join(listening)))

    @property
    def reuses_ports(self) -> bool:
        """Whether another process can listen on the same TCP addresses."""
        return not any(text.startswith("noreuseport") for text in self.rest)

    @property
    def allows_no_warning(self) -> bool:
        """Whether HAProxy loads nothing that it warns of; under a condition it may be so."""
        return self._says("zero-warning")

    @property
    def has_master(self) -> bool:
        """Whether it gives HAProxy a master, whatever the command line says; under a condition it may be so."""
        return self._says("master-worker")

    def _says(self, keyword: str) -> bool:
        return any(text.split()[:1] == [keyword] for text in self.rest)

    def _last(self, keyword: str) -> str:
        said = [each.value for each in self.settings if each.keyword == keyword]
        return ["", *said][-1]


def cannot_share(old: Model, new: Model) -> bool:
    """Whether processes of both cannot listen at a time: no SO_REUSEPORT, or both want one abstract socket."""
    if not (old.reuses_ports and new.reuses_ports):
        return True
    return not old.abstract_sockets.isdisjoint(new.abstract_sockets)


# --- from a config ---


def read(text: str, told: Told | None = None) -> Model:
    """The model of a config; one that HAProxy would refuse has a model, too.

    `told` is what HAProxy says of its conditions; without that, all branches are read.
    """
    read_text = read_lines(text, told.taken) if told else text
    every = tuple(config_lines(read_text))
    addresses = told.addresses if told else {}
    return Model(
        servers=_found(_server, every),
        rest=tuple(line.text for line in every if not line.is_plain_server),
        binds=tuple(chain.from_iterable(_binds(line, addresses) for line in every)),
        sockets=_found(_stats_socket, every),
        settings=_found(_setting, every),
    )


def _found(
    of_line: Callable[[ConfigLine], T | None], every: Iterable[ConfigLine]
) -> tuple[T, ...]:
    return tuple(found for found in map(of_line, every) if found is not None)


def _stats_socket(line: ConfigLine) -> StatsSocket | None:
    path = line.field(2).translate(_NO_QUOTES)
    if path.startswith("unix@"):
        path = path[len("unix@") :]
    if not line.is_global or line.fields[:2] != ("stats", "socket") or path[:1] != "/":
        return None
    options = line.fields[3:]
    levels = [level for word, level in _pairs(options) if word == "level"]
    return StatsSocket(
        path=path,
        level=["operator", *levels][-1],
        exposes_listeners="expose-fd" in options,
    )


def _setting(line: ConfigLine) -> Setting | None:
    keyword, value = line.fields[0], line.field(1)
    if keyword == _STATE_LOADED:
        return Setting(keyword, value)
    if keyword in _GLOBAL and line.is_global:
        return Setting(keyword, value.translate(_NO_QUOTES))
    return None


def _binds(line: ConfigLine, addresses: Mapping[str, str]) -> Iterator[Bind]:
    if line.fields[0] != "bind":
        return
    written = line.field(1)
    every = addresses.get(written, written).translate(_NO_QUOTES).split(",")
    extra = _bind_options(line) or "-"
    yield from (Bind(each, extra) for each in every if not _NO_TCP.match(each))


def _bind_options(line: ConfigLine) -> str:
    pairs = (pair for pair in _pairs(line.fields[2:]) if pair[0] in _BIND_WORDS)
    return " ".join(" ".join(pair[: _BIND_WORDS[pair[0]]]) for pair in pairs)


def _server(line: ConfigLine) -> Server | None:
    if line.is_plain_server:
        return _declared(line, line.field(1), line.field(2), line.fields[3:])
    unquoted = (field.translate(_NO_QUOTING) for field in line.fields)
    words = tuple(filter(None, unquoted))
    keyword = "".join(words[:1])
    at = _ADDRESS_AT.get(keyword, len(words))
    if not line.is_of_backend or at >= len(words):
        return None
    name = words[1] + ("*" if keyword == "server-template" else "")
    return _declared(line, name, words[at], words[at + 1 :])


def _declared(
    line: ConfigLine, name: str, address: str, options: Sequence[str]
) -> Server:
    host, port = _host_and_port(address)
    pairs = [*server_keywords.keywords((*line.defaults, *options))]
    said = dict(pairs)
    others = chain.from_iterable(pair for pair in pairs if pair[0] not in _APART)
    states = [word for word, _value in pairs if word in _STATES]
    server = Server(
        name=f"{line.section_name}/{name}",
        address=host,
        port=port,
        weight=said.get("weight", "1"),
        rise=said.get("rise", "2"),
        is_checked=False,
        is_disabled=states[-1:] == ["disabled"],
        options=" ".join(filter(None, others)) or "-",
        is_plain=line.is_plain_server,
    )
    return server._replace(is_checked=server.says_last("check"))


def _host_and_port(address: str) -> tuple[str, str]:
    host, colon, port = address.rpartition(":")
    if not colon or address.endswith("]"):
        host, port = address, ""
    return host.translate(_NO_BRACKETS) or "*", port or "-"


def _pairs(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Each word with the one after it, the last one with an empty one."""
    return zip(words, (*words[1:], ""))


# --- as lines ---

_SIZES = {"G": 5, "B": 3, "S": 9, "T": 9}
_KEYWORDS = {"load": _STATE_LOADED}
_KEYS = {keyword: key for key, keyword in _KEYWORDS.items()}


def dump(model: Model) -> str:
    """The model as lines with tabs between their fields, which `load` and earlier releases read."""
    rows = [*_facts(model)]
    rows += [("B", *each) for each in model.binds]
    rows += [_row(each) for each in model.servers]
    rows += [("R", text) for text in model.rest]
    return "".join("\t".join(row) + "\n" for row in rows)


def _facts(model: Model) -> Iterator[tuple[str, ...]]:
    yield from map(stats_socket.row, model.sockets)
    for keyword, value in model.settings:
        yield "G", _KEYS.get(keyword, keyword), value, "-", "-"


def _row(server: Server) -> tuple[str, ...]:
    kind = "S" if server.is_plain else "T"
    flags = str(int(server.is_checked)), str(int(server.is_disabled))
    return (kind, *server[:5], *flags, server.options)


def load(text: str) -> Model:
    """The model of such lines. Lines of another kind are skipped, and so are those that lack a field."""
    rows = [tuple(line.split("\t")) for line in text.split("\n")]
    whole = [row for row in rows if len(row) == _SIZES.get(row[0])]
    facts = [row for row in whole if row[0] == "G"]
    return Model(
        servers=tuple(_server_of(row) for row in whole if row[0] in {"S", "T"}),
        rest=tuple("\t".join(row[1:]) for row in rows if row[0] == "R"),
        binds=tuple(Bind(*row[1:]) for row in whole if row[0] == "B"),
        sockets=tuple(filter(None, map(stats_socket.of_row, facts))),
        settings=tuple(
            Setting(_KEYWORDS.get(key, key), value)
            for _kind, key, value, _, _ in facts
            if key != "socket"
        ),
    )


def _server_of(row: Sequence[str]) -> Server:
    kind, name, address, port, weight, rise, is_checked, is_disabled, options = row
    return Server(
        name=name,
        address=address,
        port=port,
        weight=weight,
        rise=rise,
        is_checked=is_checked == "1",
        is_disabled=is_disabled == "1",
        options=options,
        is_plain=kind == "S",
    )
