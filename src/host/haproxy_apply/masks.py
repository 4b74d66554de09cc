"""Secrets of the candidate and of the live file, masked in whatever a run prints.

By place: on a secret line of the candidate, and on a live line that it replaces or shares a word with. And by keyword,
as `haproxy_sync.secrets` knows them. Whatever quotes such a line is cut off behind the number of the line.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, NamedTuple

from haproxy_apply import durable, request
from haproxy_apply.files import DOWNLOAD, is_candidate
from haproxy_sync.config.keywords import FIRST, hidden
from haproxy_sync.config.language import words as unquoted
from haproxy_sync.secrets import (
    MASK,
    NAMING,
    is_secret_name,
    masked,
    masked_alert,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from haproxy_apply.request import Ranges

_MIN_WORD = 4  # characters; a shorter one says nothing, and stands everywhere
_LONG_WORD = 8  # one that stands within no other word by chance
_HEAD = 3  # words that say what a line is about
_BETWEEN_WORDS = re.compile(r"[\s\"'\\,;=:(){}]+")
_ENVIRONMENT = re.compile(r"\$\{?(\w+)")
_QUOTED = re.compile(r"'([^'\n]+)'")
# As each message of HAProxy begins; a stack trace of Lua may begin with a bracket, too.
_MESSAGE = re.compile(r"\[(?:ALERT|WARNING|NOTICE|DIAG)\]")
# As HAProxy names a line, in brackets or by an absolute path.
_REFERENCE = re.compile(
    r"""\[(?P<file>[^\[\]\n]+):(?P<line>[0-9]{1,7})\]|(?P<path>/[^\s\[\]()'"]*):(?P<at>[0-9]{1,7})\b"""
)


class Masks(NamedTuple):
    """What is secret in a candidate, and how it is told in another text. Texts are bytes as Latin-1."""

    candidate: Sequence[str]  # lines
    live: Sequence[str]
    secret_lines: frozenset[int]  # of the candidate, from 1
    words: tuple[str, ...]  # that stand on those lines alone, the longest first
    public: frozenset[str]  # those of the other lines
    heads: frozenset[tuple[str, ...]]  # what those lines are about

    def has_secret(self, line: str) -> bool:
        """Whether a line of another file has a secret of the candidate, or is about the same, as far as words tell."""
        words = line.split()
        heads = {_head(line), tuple(words[: _HEAD - 1]), tuple(words[:_HEAD])}
        return (
            not self.heads.isdisjoint(heads)
            or any(word in line for word in self.words)
            or any(map(self._is_part, _words(line)))
        )

    def _is_part(self, word: str) -> bool:
        """Whether it is a part of a word that only secret lines have."""
        if len(word) < _MIN_WORD or word in self.public:
            return False
        return any(word in secret for secret in self.words)

    def said(self, text: str, room: int) -> str:
        """What a program said, without what it quotes of a secret line, and without a secret by itself.

        Its first lines: those that fill so many characters, and the one that does not fit.
        """
        told = []
        for line in self._said(text.split("\n")):
            told.append(line)
            room -= len(line)
            if room < 0:
                break
        return masked_alert("\n".join(told))

    def _said(self, every: Iterable[str]) -> Iterator[str]:
        # How what follows is told: it goes on with what the line before is about.
        shown: Callable[[str], str] = self._free
        for line in every:
            found = list(_REFERENCE.finditer(line))
            if found:
                is_secret = any(map(self._is_secret_place, found))
                shown = _nothing_of if is_secret else self._free
                yield self._until(found[0]) + shown(line[found[0].end() :])
                continue
            if _MESSAGE.match(line):
                shown = self._free
            yield shown(line)

    def _until(self, found: re.Match[str]) -> str:
        """The line up to its reference to a line; what has no path may be an address."""
        before, reference = found.string[: found.start()], found[0]
        return self._free(before) + (
            reference if "/" in reference else self._free(reference)
        )

    def _is_secret_place(self, found: re.Match[str]) -> bool:
        number = int(found["line"] or found["at"])
        others = self._lines_of_others(found["file"] or found["path"], number)
        every = (_line(self.candidate, number), *others)
        secret = (*map(self.has_secret, others), *map(_has_more, every))
        return number in self.secret_lines or any(secret)

    def _lines_of_others(self, file: str, number: int) -> tuple[str, ...]:
        """What a line of this number may be, if not the candidate's: of what was live, or in the file as it is now."""
        if is_candidate(file):
            return ()
        # Whatever else has a name may never end.
        now = durable.read_text(file) if os.path.isfile(file) else ""
        return _line(self.live, number), _line(now.split("\n"), number)

    def _free(self, line: str) -> str:
        """A line that quotes no known one."""
        for word in self.words:
            if word in line:
                line = _without(word, line)
        return masked(_QUOTED.sub(self._quoted, line))

    def _quoted(self, found: re.Match[str]) -> str:
        return f"'{MASK}'" if self._is_part(found[1]) else found[0]


def of(candidate: str, live: str, ranges: Ranges) -> Masks:
    """The masks of a candidate whose secret lines are those of the command."""
    lines = candidate.split("\n")
    secret_lines = frozenset(_numbers(ranges, len(lines)))
    secret: set[str] = set()
    public = set(FIRST | NAMING)
    heads = set()
    for number, line in enumerate(lines, 1):
        if number in secret_lines:
            secret |= _words(line)
            heads.add(_head(line))
        else:
            public |= _words(line)
    return Masks(
        candidate=lines,
        live=live.split("\n"),
        secret_lines=secret_lines,
        words=tuple(sorted(secret - public, key=len, reverse=True)),
        public=frozenset(public),
        heads=frozenset(filter(None, heads)),
    )


def shown(line: str, *, is_secret: bool = False) -> str:
    """The line, everything behind its keyword masked if it is secret, else behind the first keyword of a secret."""
    if is_secret:
        return hidden(line)
    if not _has_keyword(line):
        return line
    return masked(line).partition(MASK)[0] + MASK


def of_command(environ: Mapping[str, str], place: str, backup: str) -> Masks:
    """Those of a command that is over: with its candidate in this directory, and what was live, perhaps a backup."""
    live = backup or request.config_path_of(environ)
    return of(
        durable.read_text(os.path.join(place, DOWNLOAD)),
        durable.read_text(live),
        request.secret_lines_of(environ),
    )


def _numbers(ranges: Ranges, count: int) -> Iterator[int]:
    """Those that a file of so many lines has."""
    for one, other in ranges:
        yield from range(min(one, other), min(max(one, other), count) + 1)


def _words(line: str) -> set[str]:
    """Whatever counts as a word to somebody: between blanks, without quotes, and between other marks."""
    every = (*line.split(), *unquoted(line), *_BETWEEN_WORDS.split(line))
    return {word for word in every if len(word) >= _MIN_WORD}


def _without(word: str, line: str) -> str:
    """The line without a secret word; a short one may stand within others by chance."""
    if len(word) >= _LONG_WORD:
        return line.replace(word, MASK)
    return re.sub(rf"(?<!\w){re.escape(word)}(?!\w)", MASK, line)


def _nothing_of(line: str) -> str:
    return f" {MASK}" if line.strip() else line


def _head(line: str) -> tuple[str, ...]:
    """The words that say what a line is about; the last one is its value."""
    return tuple(line.split()[:-1][:_HEAD])


def _has_keyword(line: str) -> bool:
    return masked(line) != line


def _has_more(line: str) -> bool:
    """Whether HAProxy may quote a secret that a line has by keyword, or by the name of an environment variable."""
    named = map(is_secret_name, map(str.lower, _ENVIRONMENT.findall(line)))
    return _has_keyword(line) or any(named)


def _line(every: Sequence[str], number: int) -> str:
    return every[number - 1] if 0 < number <= len(every) else ""
