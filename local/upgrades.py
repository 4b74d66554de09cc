"""What a config says, or leaves out, that another version of HAProxy refuses or takes otherwise.

Each row is of HAProxy's own words: its CHANGELOG, by the release whose development brought it, the messages of its
parser, and its configuration manual. What HAProxy refused before 2.2, the oldest that this project is for, is no row:
every `haproxy -c` at hand says so itself.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile

from haproxy_sync.config.language import Line, every_line

PROXIES = frozenset({"defaults", "frontend", "backend", "listen"})
BALANCING = frozenset({"backend", "listen"})


@dataclass(frozen=True, slots=True)
class Row:
    """One change of HAProxy's: what a line of a config begins with, in which sections, and what becomes of it."""

    keyword: str  # words of the line, or the section itself
    sections: frozenset[str]
    since: str  # the first version that refuses it
    instead: str
    source: str
    is_anywhere: bool = False  # a keyword on a `bind` line, and not the beginning of it


@dataclass(frozen=True, slots=True)
class Warned:
    """One line of a config, from 1, that is a matter of the version; `text` is what there is to know of it."""

    number: int
    text: str


GLOBAL = frozenset({"global"})

REMOVED: Sequence[Row] = (
    Row(
        "debug",
        GLOBAL,
        "2.3",
        "take it out",
        'CHANGELOG 2.3-dev6: remove the deprecated and dangerous global "debug"',
    ),
    Row(
        "mode health",
        PROXIES,
        "2.3",
        "`http-request return status 200`",
        'CHANGELOG 2.3-dev7: remove obsolete "mode health"',
    ),
    Row(
        "monitor-net",
        PROXIES,
        "2.3",
        "`http-request return status 200 if { src ... }`",
        'CHANGELOG 2.3-dev7: remove obsolete "monitor-net"',
    ),
    Row(
        "nbproc",
        GLOBAL,
        "2.5",
        "take it out: there are threads",
        'CHANGELOG 2.5-dev1: remove parsing of the global "nbproc" directive',
    ),
    Row(
        "tune.chksize",
        GLOBAL,
        "2.5",
        "take it out: `tune.bufsize` counts",
        'CHANGELOG 2.5-dev1: remove support for deprecated option "tune.chksize"',
    ),
    Row(
        "grace",
        PROXIES,
        "2.5",
        "take it out",
        'CHANGELOG 2.5-dev1: remove the deprecated "grace" keyword',
    ),
    Row(
        "option forceclose",
        PROXIES,
        "2.5",
        "take it out, or `option httpclose`",
        'CHANGELOG 2.5-dev1: reject long-deprecated "option forceclose"',
    ),
    Row(
        "option http-tunnel",
        PROXIES,
        "2.5",
        "take it out",
        'CHANGELOG 2.5-dev1: remove deprecated option "http-tunnel"',
    ),
    Row(
        "option http-use-htx",
        PROXIES,
        "2.5",
        "take it out",
        'CHANGELOG 2.5-dev1: completely remove support for "no option http-use-htx"',
    ),
    Row(
        "option http_proxy",
        PROXIES,
        "2.5",
        "`http-request set-dst` and `set-uri`",
        "CHANGELOG 2.5-dev3: remove long-broken 'option http_proxy'",
    ),
    Row(
        "bind-process",
        PROXIES,
        "2.7",
        "take it out",
        'CHANGELOG 2.7-dev2: remove deprecated "bind-process" directives from frontends',
    ),
    Row(
        "process",
        PROXIES,
        "2.7",
        "`thread`",
        'CHANGELOG 2.7-dev2: remove the "process" keyword on "bind" lines',
        is_anywhere=True,
    ),
    Row(
        "program",
        frozenset({"program"}),
        "3.3",
        "a unit of its own",
        "CHANGELOG 3.3-dev2: remove program section support",
    ),
    Row(
        "master-worker",
        GLOBAL,
        "3.5",
        "`-W` or `-Ws` where HAProxy is started",
        'CHANGELOG 3.5-dev2: remove deprecated "master-worker" global keyword',
    ),
    Row(
        "dispatch",
        PROXIES,
        "3.5",
        "a `server` with that address",
        'CHANGELOG 3.5-dev2: remove support for "dispatch" and "transparent" proxy keywords',
    ),
    Row(
        "transparent",
        PROXIES,
        "3.5",
        "a `server` with the address 0.0.0.0",
        'CHANGELOG 3.5-dev2: remove support for "dispatch" and "transparent" proxy keywords',
    ),
    Row(
        "option transparent",
        PROXIES,
        "3.5",
        "a `server` with the address 0.0.0.0",
        'CHANGELOG 3.5-dev2: remove support for "dispatch" and "transparent" proxy keywords',
    ),
    Row(
        "filter opentracing",
        PROXIES,
        "3.5",
        "`filter opentelemetry`, which 3.4 has",
        "CHANGELOG 3.5-dev2: remove deprecated OpenTracing support",
    ),
)
"""HAProxy refuses a config that has it."""

HTTPCHK = Row(
    "option httpchk",
    PROXIES,
    "2.7",
    "`http-check send`",
    'CHANGELOG 2.7-dev6: Remove support for headers/body in "option httpchk" version',
)
"""Refused with more than the version behind the path."""

BALANCE = Row(
    "balance",
    BALANCING,
    "3.3",
    "`balance roundrobin`",
    'CHANGELOG 3.3-dev8: switch the default balancing algo to "random"',
)
ALPN = Row(
    "alpn",
    frozenset({"frontend", "listen"}),
    "2.8",
    "`alpn h2,http/1.1`, or `alpn http/1.1`",
    "CHANGELOG 2.8-dev8: set useful ALPN defaults for HTTPS and QUIC",
)
SNI = Row(
    "sni",
    BALANCING,
    "3.3",
    "`sni`; 3.3 has `no-sni-auto`, too",
    "CHANGELOG 3.3-dev9: Base the SNI value to the HTTP host header by default",
)
DEFAULTS: Sequence[Row] = (BALANCE, ALPN, SNI)
"""What it is without the keyword is another thing from that version on."""


@dataclass(frozen=True, slots=True)
class _Written:
    """A line with words, and its number from 1."""

    number: int
    line: Line
    is_by_version: bool  # whether it stands below a condition that asks for the version


@dataclass(frozen=True, slots=True)
class _Section:
    """A section, and the lines of the defaults that it has."""

    number: int
    keyword: str
    body: Sequence[_Written]
    inherited: Sequence[_Written]

    @property
    def lines(self) -> Sequence[_Written]:
        """All that counts in it."""
        return [*self.inherited, *self.body]


def warnings(text: str) -> Iterator[Warned]:
    """Every line that another version refuses or takes otherwise, but for what stands below an `.if` about versions."""
    written = list(_written(text))
    found = [*_removed(written), *_balance(written), *_alpn(written), *_sni(written)]
    left_alone = {each.number for each in written if each.is_by_version}
    for each in sorted(found, key=lambda each: each.number):
        if each.number not in left_alone:
            yield each


def _written(text: str) -> Iterator[_Written]:
    """All but the conditions themselves."""
    conditions: list[bool] = []
    for number, line in enumerate(every_line(text.split("\n")), 1):
        first = line.words[:1]
        if first == (".if",):
            conditions.append("version_" in line.text)
        elif first == (".endif",):
            del conditions[-1:]
        elif first:
            yield _Written(number, line, any(conditions))


def _removed(written: Sequence[_Written]) -> Iterator[Warned]:
    for each in written:
        for row in REMOVED:
            if each.line.section_keyword in row.sections and _has(each.line, row):
                yield _refused(each.number, row)
        if _hides_headers(each.line):
            yield _refused(each.number, HTTPCHK)


def _refused(number: int, row: Row) -> Warned:
    text = f"`{row.keyword}`: HAProxy {row.since} and later refuse it; instead: {row.instead} ({row.source})"
    return Warned(number, text)


def _has(line: Line, row: Row) -> bool:
    if row.is_anywhere:
        return line.words[0] == "bind" and row.keyword in line.words[2:]
    words = line.words[1:] if line.words[0] == "no" else line.words
    expected = tuple(row.keyword.split())
    return words[: len(expected)] == expected


def _hides_headers(line: Line) -> bool:
    """Whether a health check's version has a header behind it, as was the custom."""
    return line.words[:2] == ("option", "httpchk") and r"\r\n" in line.text


def _balance(written: Sequence[_Written]) -> Iterator[Warned]:
    """Where a backend has several servers and nobody says who is next, its defaults neither."""
    for section in _sections(written):
        servers = [each for each in section.body if each.line.begins_server]
        is_said = any(each.line.words[0] == "balance" for each in section.lines)
        several = len(servers) > 1 or any(
            each.line.words[0] == "server-template" for each in servers
        )
        if section.keyword in BALANCING and several and not is_said:
            text = (
                f"no `balance`: the servers take turns; from HAProxy {BALANCE.since} on chance decides; "
                f"write {BALANCE.instead} ({BALANCE.source})"
            )
            yield Warned(section.number, text)


def _alpn(written: Sequence[_Written]) -> Iterator[Warned]:
    for section in filter(_is_http, _sections(written)):
        for each in section.body:
            words = {*each.line.words}
            is_silent = "ssl" in words and not {"alpn", "npn", "no-alpn"} & words
            if each.line.is_listener and is_silent:
                text = (
                    f"`bind` with `ssl` and no `alpn`: HTTP/1.1 alone; HAProxy {ALPN.since} and later offer HTTP/2, "
                    f"too; write {ALPN.instead} ({ALPN.source})"
                )
                yield Warned(each.number, text)


def _is_http(section: _Section) -> bool:
    """Whether it has the defaults of HTTP; without a word it is TCP."""
    modes = [
        each.line.words[1:2] for each in section.lines if each.line.words[0] == "mode"
    ]
    return [("tcp",), *modes][-1] == ("http",)


def _sni(written: Sequence[_Written]) -> Iterator[Warned]:
    for section in filter(_is_http, _sections(written)):
        given = {
            word
            for each in section.lines
            if each.line.words[0] == "default-server"
            for word in each.line.words
        }
        for each in section.body:
            words = given | {*each.line.words}
            is_silent = "ssl" in words and not {"sni", "no-sni-auto"} & words
            if each.line.begins_server and is_silent:
                text = (
                    f"`server` with `ssl` and no `sni`: none is sent; from HAProxy {SNI.since} on it is the request's "
                    f"Host; write {SNI.instead} ({SNI.source})"
                )
                yield Warned(each.number, text)


def _sections(written: Sequence[_Written]) -> Iterator[_Section]:
    """Each with the defaults that it names (`from`), else with those that stand last above it."""
    by_name: dict[str, Sequence[_Written]] = {}
    last: Sequence[_Written] = ()
    for index, each in enumerate(written):
        if not each.line.begins_section:
            continue
        rest = written[index + 1 :]
        body = list(takewhile(lambda one: not one.line.begins_section, rest))
        words = each.line.words
        named = words[words.index("from") + 1 :][:1] if "from" in words else ()
        inherited = by_name.get(named[0], ()) if named else last
        keyword = words[0]
        if keyword == "defaults":
            last = [*(inherited if named else ()), *body]
            by_name[words[1] if words[1:] else ""] = last
        else:
            yield _Section(each.number, keyword, body, inherited)
