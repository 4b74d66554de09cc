"""What the lines of a config may be once HAProxy has undone quotes and escapes, and put values in place of variables.

The config may set these itself (`setenv`, `presetenv`), or give a default (`"${NAME-default}"`). Where no line above
certainly sets one, the host's own value counts as well, and that may be anything: HAProxy before 3.1 hands on to the
next config what the last one has set.

A word ends where C says so, and a line where HAProxy stops reading it (`parse_line` of `tools.c`); it refuses a config
with a line that cannot be read. The function and the program on the hosts share this module.
"""

from __future__ import annotations

import re
from itertools import product
from math import prod
from typing import TYPE_CHECKING, NamedTuple, Tuple

from haproxy_sync.config.language import KEYWORDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Words = Tuple[str, ...]

SETTING = ("setenv", "presetenv")
"""What a line that sets a variable begins with."""
UNKNOWN = "\udfff"
"""Stands in a word for whatever the host has there, nothing and several words included."""

_CUT, _BETWEEN = "\udffe", "\udffd"  # the end of a word, as C sees it; where words part
_BLANKS = " \t\v\f\r"
_NAME = r"[A-Za-z_.][A-Za-z0-9_]*"
# What begins a default: up to the next brace all is one, quotes and escapes included.
_BRACE = rf"\{{{_NAME}(?:\[\*\])?-"
_PIECE = re.compile(
    rf"""
    ([ \t\v\f][ \t\v\f\r]*)
    | '([^'\r]*)'
    | "((?: [^"\\$\r] | \\[^\r] | \${_BRACE}[^}}]*\}} | \$(?!{_BRACE}) )*)"
    | \\x([0-9A-Fa-f]{{2}})
    | \\([ \\#'"tnr])
    | ([^ \t\v\f\r\\'"\#]+ | \\)
    """,
    re.VERBOSE,
)
_IN_QUOTES = re.compile(
    rf"""
    \\x([0-9A-Fa-f]{{2}})
    | \\([ \\#'"$tnr])
    | \$(?: ({_NAME}) | \{{ ({_NAME}) (\[\*\])? (-[^}}]*)? \}} )
    """,
    re.VERBOSE,
)
_QUOTED = re.compile(r"""["'\\]""")
_WORD = re.compile(rf"[^{_BLANKS}]+")
_ESCAPES = {"t": "\t", "n": "\n", "r": "\r"}
_QUOTING = str.maketrans("\"'\\", "   ")
_PLAIN_END = frozenset({"", "#", "\r"})
# A variable until it has a value: name, whether it is several words, default.
_VARIABLE = re.compile("\0([^\0]*)\0([^\0]*)\0([^\0]*)\0")

_MAX_READINGS = 16  # of one line; values of one variable
_MAX_LENGTH = 1 << 13  # of a value, in characters
_MAX_READ = 1 << 22  # of all lines with variables, in characters
_OURS = "HAPROXY_"  # set by HAProxy itself (`localpeer` and others)
_PREFIXES = {("no",), ("default",)}
_TAKING = ("unsetenv", "resetenv")
_DEEPER = {".if": 1, ".endif": -1}


class Read(NamedTuple):
    """A line, and what it may be; empty readings are a line without words."""

    readings: Sequence[Words]
    is_certain: bool  # under no condition


def read(text: str) -> Iterator[Read]:
    """Every line, in order."""
    variables = _Variables()
    depth, section = 0, ""
    for written in map(words, text.split("\n")):
        readings = variables.readings(written)
        first = "".join(readings[0][:1])
        depth = max(depth + _DEEPER.get(first, 0), 0)
        section = first if first in KEYWORDS else section
        variables.follow(readings, is_certain=not depth and section == "global")
        yield Read(readings, not depth)


def words(line: str) -> Words:
    """What HAProxy makes of a line, its variables still to be replaced."""
    line = line.partition("\0")[0].lstrip(_BLANKS)
    if not _QUOTED.search(line):  # quick, and nearly always so
        return tuple(_WORD.findall(line.partition("#")[0]))
    end, parts = 0, []
    for piece in _PIECE.finditer(line):
        if piece.start() != end:
            break
        end = piece.end()
        parts.append(_meant(piece))
    if line[end : end + 1] not in _PLAIN_END:
        return tuple(line.translate(_QUOTING).split())
    return _split("".join(parts).rstrip(_BETWEEN))


def _meant(piece: re.Match[str]) -> str:
    blank, strong, weak, code, escaped, plain = piece.groups("")
    said = strong + _IN_QUOTES.sub(_in_quotes, weak) + _character(code, escaped) + plain
    return _BETWEEN if blank else said


def _in_quotes(piece: re.Match[str]) -> str:
    code, escaped, plain, in_braces, several, default = piece.groups("")
    name = plain + in_braces
    coded = f"\0{name}\0{several}\0{default}\0"
    return coded if name else _character(code, escaped)


def _character(code: str, escaped: str) -> str:
    """What an escape says. C's words end at a NUL."""
    said = bytes.fromhex(code).decode("latin-1") + _ESCAPES.get(escaped, escaped)
    return said.replace("\0", _CUT)


class _Variables:
    """What they may be, where the next line stands."""

    def __init__(self) -> None:
        self._values: dict[str, Words] = {}
        self._host: Words = ()  # what each may be besides
        self._room = _MAX_READ

    def readings(self, written: Words) -> Sequence[Words]:
        """The line with each of their values; one that has more than anybody means may be anything."""
        line = _BETWEEN.join(written)
        every: list[Words] = [each.groups() for each in _VARIABLE.finditer(line)]
        if not every:
            return (written,)
        choices = {each: self._choices(*each) for each in every}
        count = prod(map(len, choices.values()))
        longest = {each: max(map(len, values)) for each, values in choices.items()}
        self._room -= count * (len(line) + sum(map(longest.__getitem__, every)))
        if count > _MAX_READINGS or self._room < 0:
            return (_split(_VARIABLE.sub(UNKNOWN, line)), (UNKNOWN,))
        return [
            _split(_put(line, dict(zip(choices, chosen))))
            for chosen in product(*choices.values())
        ]

    def _choices(self, name: str, several: str, default: str) -> Words:
        """What a variable may be, and what it is without a value."""
        own = (default[1:],) if default else ()
        known = self._values.get(name, (UNKNOWN,))
        every = tuple(dict.fromkeys((*known, *self._host, *own)))
        return tuple(map(_several, every)) if several else every

    def follow(self, readings: Sequence[Words], *, is_certain: bool) -> None:
        """What the line sets, or takes away."""
        is_certain = is_certain and len(readings) == 1
        for line in readings:
            keyword, *rest = (*line[line[:1] in _PREFIXES :], "")
            if keyword in SETTING:
                self._set(line, *(*rest, "")[:2], is_certain=is_certain)
            if keyword in _TAKING:
                self._host = (UNKNOWN,)

    def _set(self, line: Words, name: str, value: str, *, is_certain: bool) -> None:
        """Sure of it is who reads nothing but this, which HAProxy takes and does not change."""
        is_plain = line == ("setenv", name, value) and all(line)
        if all((is_certain, is_plain, not name.startswith(_OURS))):
            self._values[name] = ()
        self._add(name, value)

    def _add(self, name: str, value: str) -> None:
        every = dict.fromkeys((*self._values.get(name, (UNKNOWN,)), value))
        is_much = len(every) > _MAX_READINGS or len(value) > _MAX_LENGTH
        self._values[name] = (UNKNOWN,) if is_much else tuple(every)


def _split(line: str) -> Words:
    return tuple(each.partition(_CUT)[0] for each in line.split(_BETWEEN))


def _several(value: str) -> str:
    """As several words; what nobody knows may be more than one."""
    return _BETWEEN.join(value.replace(UNKNOWN, f"{UNKNOWN} {UNKNOWN}").split())


def _put(line: str, meant: dict[Words, str]) -> str:
    return _VARIABLE.sub(lambda variable: meant[variable.groups()], line)
