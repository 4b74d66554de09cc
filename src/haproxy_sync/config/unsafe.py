"""What a config makes HAProxy do that its author may not: run code as root, show files of root's, write some.

Whoever writes templates decides what a proxy serves, and nothing else of its host. So the function renders no such
config, and the program on the hosts takes none, unless the parameter `AllowUnsafeKeywords` names the keyword. Both ask
this module. What HAProxy reads counts: quotes and escapes are undone, and variables have each value that the config
itself gives them. Where that cannot be known, the line is unsafe.

The keywords are those of HAProxy's configuration manual, 2.2 to 3.3; `tests/host/test_unsafe_keywords.py` asks each
HAProxy whether it has others.
"""

from __future__ import annotations

import posixpath
import re
from itertools import chain
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

from haproxy_sync.config.language import every_line
from haproxy_sync.config.readings import SETTING, UNKNOWN, read

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from haproxy_sync.config.readings import Read

VARIABLE_KEYWORD = "environment"
"""Names what nobody can know: a line that begins with a variable, or has too many of its own."""

_FILE = "shows a file that root reads, from outside of HAProxy's own directories"
_CODE = "runs code"
_AS_ROOT = "runs a command as root"
FIRST = {
    "program": _AS_ROOT,
    # Of a worker that is root it runs without `insecure-fork-wanted`, too.
    "external-check": "runs a command",
    "lua-load": f"{_CODE} as root",
    "lua-load-per-thread": f"{_CODE} as root",
    "lua-prepend-path": "decides from where code is loaded",
    "ssl-engine": f"{_CODE} of a library",
    "ssl-provider": f"{_CODE} of a library",
    "ssl-provider-path": "decides from where code is loaded",
    "module-load": f"{_CODE} of a library",
    "module-path": "decides from where code is loaded",
    "setcap": "lets the worker keep rights of root",
    "insecure-setuid-wanted": "lets the worker run programs that become root",
    "backing-file": "writes a file as root",
    "shm-stats-file": "writes a file as root",
}
"""What a line begins with, and why it is unsafe."""

FILTERS = {
    f"filter {each}": f"{_CODE} of a library"
    for each in ("opentracing", "opentelemetry", "otel")
}
"""Filters whose own config names a library to load."""

FILES = {
    "errorfile": _FILE,
    "file": _FILE,
    "lf-file": _FILE,
    "map": _FILE,
    "acl-file": _FILE,  # by `show acl` on a stats socket
}
"""What names a file, and why it is unsafe where that lies outside of the directories below."""

_PERHAPS = "decides whether a file is shown"
_SETS = "sets a variable that decides what code a program runs"
# What glibc passes over in a program that becomes root (`unsecvars.h`), and what OpenSSL, Lua and shells look for. A
# master that is reloaded executes itself anew, and so do programs and checks.
_TRUSTED = re.compile(
    rf"""
    (?: {"|".join(SETTING)} ) [ ] (?: .* {UNKNOWN} .*
    | LD_.* | GLIBC_TUNABLES | GCONV_PATH | GETCONF_DIR | HOSTALIASES | LOCALDOMAIN | LOCPATH | MALLOC_.* | NIS_PATH
    | NLSPATH | RESOLV_HOST_CONF | RES_OPTIONS | TMPDIR | TZDIR
    | OPENSSL_.* | SSLKEYLOGFILE | CTLOG_FILE | SSL_CERT_(?:DIR|FILE)
    | LUA_.* | PATH | ENV | BASH_ENV | IFS | PYTHON.* | PERL.* )
    """,
    re.VERBOSE | re.DOTALL,
)

DIRECTORIES = (
    "/etc/haproxy",  # of every distribution
    "/usr/share/haproxy",  # error pages of Fedora's and Red Hat's packages
    "/usr/local/etc/haproxy",  # of the container image, and of builds from source
    "/usr/local/share/haproxy",
    "/var/lib/haproxy",  # HAProxy's home and chroot in the packages
)
"""What HAProxy may show, apart from the directory of the config itself."""

_MAX_ORIGINS = 16  # more than anybody means
# A directory such as `/etc` or `/root` is more than HAProxy's.
_OWN = re.compile(r"/[^/]+/.+", re.DOTALL)
# In HAProxy's directories lie keys of TLS, too.
_KEYS = re.compile(
    r"""
    / (?: \.[^/]* | certs? | certificates | crt | keys? | letsencrypt | pki | private | ssl | tls ) (?: / | \Z )
    | \. (?: pem | key | crt | p12 | pfx | rsa | dsa | ecdsa ) \Z
    """,
    re.VERBOSE | re.IGNORECASE,
)
# Where nothing is to be sent, and a list that has a name and no file.
_NO_FILE = re.compile(r"/dev/null|virt@.*", re.DOTALL)
# A variable that nobody here can fill, or a `..`, which behind a link leads elsewhere than it says.
_UNKNOWN = re.compile(rf".*{UNKNOWN}.*|(?:.*/)?\.\.(?:/.*)?", re.DOTALL)
# Before the name of a map or a list: whether it has to be there.
_PREFIX = re.compile(r"(?:opt|file)@")

_ANSWERS = re.compile(
    rf"""
    (?: http-error
    | (?: stats [ ] )? http-(?: request | response ) [ ] (?: return | deny | tarpit | \S*{UNKNOWN}\S* )
    | stats [ ] \S*{UNKNOWN}\S* )
    (?: [ ] .* )?
    """,
    re.VERBOSE | re.DOTALL,
)
"""Lines that describe an answer, by their first words."""
_ANYWHERE = {"errorfile": "errorfile", "-f": "acl-file"}
_IN_ANSWERS = {**_ANYWHERE, "file": "file", "lf-file": "lf-file"}
"""Words before the name of a file, and how the parameter calls them."""
# A converter follows a comma or a blank. Its argument may be quoted once more, wholly or in part.
_MAP = re.compile(
    r"""(?<![^,\s]) map (?:_[a-z0-9_]+)? \( \s* (?: "([^"\\]*)" | '([^'\\]*)' | ([^"'\\,)]*) ) ([,)]?)""",
    re.VERBOSE,
)

# So does one whose name a variable decides, wholly or in part; a run of letters is looked at once.
_NAMES = re.compile(rf"[-.\w{UNKNOWN}]+\(?")


class Unsafe(NamedTuple):
    """A keyword as the parameter names it, where it stands, from 1, and why it is not for everybody."""

    keyword: str
    line: int
    reason: str

    def __str__(self) -> str:
        """In words."""
        return f"line {self.line}: {self.keyword}: {self.reason}"


def found(text: str, config_path: str) -> tuple[Unsafe, ...]:
    """Every unsafe keyword of the config that is to lie there, with each line that it stands on."""
    places = _Places(config_path)
    unsafe: dict[Unsafe, None] = {}
    for number, line in enumerate(read(text), 1):
        judged = places.judged(line)
        unsafe.update((Unsafe(each, number, why), None) for each, why in judged)
    return tuple(unsafe)


def refused(
    text: str, config_path: str, allowed: Collection[str]
) -> tuple[Unsafe, ...]:
    """Those of them that are not allowed."""
    every = found(text, config_path)
    return tuple(each for each in every if each.keyword not in allowed)


def names(unsafe: Iterable[Unsafe]) -> tuple[str, ...]:
    """The keywords, each once, in the order of the alphabet."""
    return tuple(sorted(set(map(attrgetter("keyword"), unsafe))))


def says(unsafe: Sequence[Unsafe], allowed: Iterable[str]) -> str:
    """Where the first one stands and why it is refused, and the parameter that allows them all."""
    wanted = ",".join(sorted({*allowed, *names(unsafe)}))
    others = len(unsafe) - 1
    more = f" (and {others} more)" if others else ""
    return f"{unsafe[0]}{more}; if that is meant, set AllowUnsafeKeywords={wanted}"


def exposures(text: str) -> Iterable[str]:
    """What makes a break-in worse: a worker that stays root, or sees the whole disk; a word each."""
    said = {
        line.words[0]: "".join(line.words[1:2])
        for line in every_line(text.split("\n"))
        if line.words and line.section_keyword == "global"
    }
    user = said.get("user", said.get("uid", "0"))
    words = {"runs-as-root": user in {"root", "0"}, "no-chroot": "chroot" not in said}
    return [word for word, is_so in words.items() if is_so]


class _Places:
    """Which files HAProxy may show, and from where relative names count."""

    def __init__(self, config_path: str) -> None:
        self._directory = posixpath.dirname(config_path)
        own = filter(_OWN.fullmatch, (self._directory,))
        allowed = "|".join(map(re.escape, (*DIRECTORIES, *own)))
        self._allowed = re.compile(rf"(?:{allowed})(/.+)", re.DOTALL)
        # Of `default-path`; one under a condition counts beside what was before. Empty: nobody knows.
        self._origins: tuple[str, ...] = ("",)

    def judged(self, line: Read) -> Iterator[tuple[str, str]]:
        """The unsafe keywords of the next line, and why."""
        every = [_without_prefix(words) for words in line.readings if words]
        self._follow(every, is_certain=line.is_certain)
        return chain.from_iterable(map(self._judged, every))

    def _judged(self, words: Sequence[str]) -> Iterator[tuple[str, str]]:
        first, *rest = words
        yield from _by_first_words(first, next(iter(rest), ""))
        named = chain(_named(first, rest), _maps(words))
        perhaps = filter(self._is_file, _perhaps_named(first, rest))
        files = chain(
            ((keyword, path, FILES[keyword]) for keyword, path in named),
            ((VARIABLE_KEYWORD, path, _PERHAPS) for path in perhaps),
        )
        yield from (
            (each, why) for each, path, why in files if not self._may_show(path)
        )

    def _follow(self, every: Sequence[Sequence[str]], *, is_certain: bool) -> None:
        """What `default-path` means for what follows."""
        own = self._directory
        known = {"config": own, "parent": f"{own}/.."}
        new = [
            {**known, "origin": "".join(words[2:3])}.get("".join(words[1:2]), "")
            for words in every
            if words[0] == "default-path"
        ]
        before = () if is_certain else self._origins
        origins = tuple(dict.fromkeys((*before, *new))) or self._origins
        self._origins = origins if len(origins) <= _MAX_ORIGINS else ("",)

    def _is_file(self, word: str) -> bool:
        """Whether it looks like the name of a file, below the directory that HAProxy was started in."""
        return any((*self._origins, "/" in word, UNKNOWN in word))

    def _may_show(self, name: str) -> bool:
        """Whether it is one of HAProxy's own files, from wherever it counts."""
        name = _PREFIX.sub("", name, count=1)
        if _UNKNOWN.fullmatch(name):
            return False
        paths = (posixpath.join(origin, name) for origin in self._origins)
        return _NO_FILE.fullmatch(name) is not None or all(map(self._is_own, paths))

    def _is_own(self, path: str) -> bool:
        inside = self._allowed.fullmatch(posixpath.normpath(path))
        return inside is not None and not _KEYS.search(inside[1])


def _without_prefix(words: Sequence[str]) -> Sequence[str]:
    """The line from its keyword on, one word at least; `no` and `default` may stand before it."""
    if words[0] in {"no", "default"}:
        return words[1:] or ("",)
    return words


def _by_first_words(first: str, second: str) -> Iterable[tuple[str, str]]:
    """What a line is, whichever files it names."""
    both = f"{first} {second}"
    decides = both if first == "filter" else first
    said = (
        (first, FIRST.get(first)),
        (second, FILTERS.get(both)),
        (first, _TRUSTED.fullmatch(both) and _SETS),
        (VARIABLE_KEYWORD, UNKNOWN in decides and "decides what the line is"),
    )
    return ((keyword, why) for keyword, why in said if why)


def _named(first: str, rest: Sequence[str]) -> Iterable[tuple[str, str]]:
    """The files that a line names behind a word, with that word."""
    options = _IN_ANSWERS if _is_answer(first, rest) else _ANYWHERE
    # `errorfile <code> <file>`, else a word and the next one.
    pairs = chain(zip((first,), rest[1:2]), zip(rest, rest[1:]))
    return ((options[word], file) for word, file in pairs if word in options)


def _perhaps_named(first: str, rest: Sequence[str]) -> Iterable[str]:
    """What stands behind a word that a variable may make one of those: in an answer, or in a condition."""
    options, words = _IN_ANSWERS, rest
    if not _is_answer(first, rest):
        options, words = _ANYWHERE, _condition(first, rest)
    pairs = zip(words, words[1:])
    return (file for word, file in pairs if _may_be(word, options))


def _is_answer(first: str, rest: Sequence[str]) -> bool:
    return _ANSWERS.fullmatch(" ".join((first, *rest[:2]))) is not None


def _condition(first: str, rest: Sequence[str]) -> Sequence[str]:
    """What a list of patterns may stand in."""
    return rest if first == "acl" else rest[[*rest, "{"].index("{") :]


def _may_be(word: str, options: Iterable[str]) -> bool:
    pattern = ".*".join(map(re.escape, re.split(f"{UNKNOWN}+", word)))
    return UNKNOWN in word and any(re.fullmatch(pattern, each) for each in options)


def _maps(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The files of converters; of one that cannot be told, what nobody knows."""
    line = " ".join(words)
    for argument in _MAP.finditer(line):
        *name, end = argument.groups("")
        yield "map", "".join(name).strip() if end else UNKNOWN
    if UNKNOWN in line:
        names = filter(_decides_converter, _NAMES.findall(line))
        yield from (("map", UNKNOWN) for _name in names)


def _decides_converter(name: str) -> bool:
    return UNKNOWN in name and name.endswith("(")
