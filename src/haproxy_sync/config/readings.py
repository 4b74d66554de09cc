"""What a line of a config may be once HAProxy has put values in the place of its variables.

The config may set them itself (`setenv`, `presetenv`) or give a default (`"${NAME-default}"`); all of these values are
tried. One that only the environment of a host has stays as it is written. In single quotes a variable is none, which
counts for nothing here: the reading without quotes is one too many, never one too few.

The function and the program on the hosts share this module.
"""

from __future__ import annotations

import re
from itertools import chain, islice, product
from typing import TYPE_CHECKING, Dict, Tuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

Words = Tuple[str, ...]
Values = Dict[str, Tuple[str, ...]]
"""What the config itself sets each variable to, wherever it does."""

SETTING = ("setenv", "presetenv")
"""What a line that sets a variable begins with."""
UNREADABLE = ("$",)
"""Stands for a line that may be anything."""

# `$NAME`, `${NAME}`, `${NAME-default}`; `${NAME[*]}` is several words (configuration manual, 2.3).
_VARIABLE = re.compile(r"\$(?:(\w+)|\{([.\w]+)(?:\[\*\])?(?:-([^}]*))?\})", re.ASCII)
_MAX_READINGS = 16  # of one line
_MAX_LENGTH = 1 << 13  # of each, in characters
_MAX_DEPTH = 4  # of variables in values of variables


def values(every: Iterable[Words]) -> Values:
    """By variable."""
    found: Values = {}
    for words in every:
        keyword, name, value, *_rest = (*words, "", "", "")
        if keyword in SETTING:
            found[name] = (*found.get(name, ()), value)
    return found


def readings(words: Words, known: Values) -> Iterable[Words]:
    """The line with each of the values; more than anybody means are `UNREADABLE`."""
    read: tuple[Words, ...] = (words,)
    if "$" not in "".join(words):
        return read
    for _depth in range(_MAX_DEPTH):
        replaced = chain.from_iterable(_replaced(each, known) for each in read)
        read = tuple(dict.fromkeys(islice(replaced, _MAX_READINGS + 1)))
        if _is_too_much(read):
            return words, UNREADABLE
    return read


def _is_too_much(read: Sequence[Words]) -> bool:
    return len(read) > _MAX_READINGS or any(map(_is_long, read))


def _is_long(words: Words) -> bool:
    return sum(map(len, words)) > _MAX_LENGTH


def _replaced(words: Words, known: Values) -> Iterator[Words]:
    """The line with each value of each of its variables; values may have variables again."""
    found = {each[0]: each for each in _VARIABLE.finditer(" ".join(words))}
    choices = [_choices(each, known) for each in found.values()]
    for chosen in product(*choices):
        meant = dict(zip(found, chosen))
        yield tuple(chain.from_iterable(_put(word, meant) for word in words))


def _choices(variable: re.Match[str], known: Values) -> Sequence[str]:
    """The values that are set, and its own default; else it stays as it is."""
    plain, in_braces, default = variable.groups()
    own = () if default is None else (default,)
    return (*known.get(plain or in_braces, ()), *own) or (variable[0],)


def _put(word: str, meant: dict[str, str]) -> Sequence[str]:
    """What a word becomes: several, where a variable says so."""
    said = _VARIABLE.sub(lambda variable: meant[variable[0]], word)
    return said.split() if "[*]" in word else (said,)
