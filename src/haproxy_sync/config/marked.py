"""Which variables are marked secret, what a rendering read of them, and twins: renderings with other values for them.

Marked is what the variables file names under `secret_variables`, and what has a name that says so, at any depth: all
below such a key is secret. So is what a reference stands for, by itself. Whatever a template makes of it differs in a
twin.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import Any

from haproxy_sync.config.ansible.raw import Secret
from haproxy_sync.config.keywords import COMMON
from haproxy_sync.config.leaves import (
    Replacement,
    encoded,
    every,
    opaque,
    replaced,
    shaped,
    texts,
)
from haproxy_sync.errors import TemplateError
from haproxy_sync.secrets import MASK, is_secret_name

SECRET_VARIABLES = "secret_variables"  # noqa: S105 - a name
"""Key of the variables file that lists names; no variable of the template."""

MIN_TEXT = 4
MIN_DIGITS = 6
"""A shorter value stands in many lines by chance; those that depend on it differ in the twin all the same."""

UNQUOTED = "what is wrong depends on a secret variable, so it is not quoted"
# Functions, and the lookups that are named as their first argument.
_CALLED = re.compile(r"""\w+(?=\s*\()|(?<=\(['"])\w+""")
_WORD = re.compile(rf"\w{{{MIN_TEXT},}}")


@dataclass(frozen=True, slots=True)
class Marks:
    """The names that the variables file marks, beside those that say themselves that they are secret."""

    names: frozenset[str] = frozenset()

    @classmethod
    def of(cls, variables: Mapping[str, Any]) -> "Marks":
        """As the file states them."""
        return cls(frozenset(variables.get(SECRET_VARIABLES) or ()))

    def cover(self, path: str) -> bool:
        """Whether the value of this path, as `app.users[0].password`, is secret."""
        return _covered(self.names, path)

    def stated(self, variables: Mapping[str, Any]) -> frozenset[str]:
        """The texts and numbers that are marked as the file has them, line by line, that are worth a search."""
        marked = chain(self._below(variables), _secrets(variables))
        return _sought(chain.from_iterable(map(texts, marked)))

    def _below(self, variables: Mapping[str, Any]) -> Iterator[Any]:
        """What stands below a marked key."""
        mappings = (each for each in every(variables) if isinstance(each, dict))
        for key, value in chain.from_iterable(map(dict.items, mappings)):
            if self.cover(str(key)):
                yield value


def _secrets(variables: Mapping[str, Any]) -> Iterator[Secret]:
    """What references stand for, wherever it is."""
    return (each for each in every(variables) if isinstance(each, Secret))


@lru_cache(maxsize=10_000)
def _covered(names: frozenset[str], path: str) -> bool:
    keys = re.split(r"[.\[\]]", path)
    return any(key in names or is_secret_name(key) for key in keys)


def _sought(values: Iterable[str]) -> frozenset[str]:
    """The lines of the values, without those that stand in a config by chance."""
    lines = chain.from_iterable(map(str.splitlines, values))
    return frozenset(filter(_is_telling, map(str.strip, lines)))


def _is_telling(line: str) -> bool:
    least = MIN_DIGITS if line.isdecimal() else MIN_TEXT
    return len(line) >= least and line not in COMMON


def readable(variables: Mapping[str, Any]) -> Mapping[str, Any]:
    """The variables that a template sees."""
    return {name: raw for name, raw in variables.items() if name != SECRET_VARIABLES}


class Reading:
    """What a rendering has read of marked variables and of tags."""

    def __init__(self, marks: Marks) -> None:
        self.refused: dict[str, str] = {}
        """The tag key by instance id, for each read of a tag that may not stand in a config."""
        self.has_read = False
        self._marks = marks
        self._values: set[str] = set()

    @property
    def values(self) -> frozenset[str]:
        """The lines of the values that can be told from others by their text."""
        return _sought(self._values)

    def shown(self, raw: Any, path: str, evaluate: Callable[[], Any]) -> Any:
        """What the template sees of the raw value; its own errors are those of `evaluate`."""
        if not (isinstance(raw, Secret) or self._marks.cover(path)):
            return evaluate()
        self.has_read = True
        return self._secret(raw, evaluate())

    def _secret(self, _raw: Any, value: Any) -> Any:
        """Of a container that the file states each value comes by itself, when it is read."""
        self._values.update(texts(value))
        return value


class TwinReading(Reading):
    """It reads another value, so that whatever depends on one is another text."""

    def __init__(self, marks: Marks, replacement: Replacement) -> None:
        super().__init__(marks)
        self._replacement = replacement

    def _secret(self, raw: Any, value: Any) -> Any:
        if isinstance(raw, dict | list):
            return value
        return replaced(value, self._replacement)


def twins(marks: Marks) -> Iterator[TwinReading]:
    """The first one changes every character; the others keep what a template may need of a value."""
    return (
        TwinReading(marks, replacement) for replacement in (opaque, shaped, encoded)
    )


def unquoted(
    error: TemplateError, twin: TemplateError | None, stated: frozenset[str]
) -> TemplateError:
    """The error without what depends on a secret: only words that the same error of the twin has, too.

    None: the twin has no error. A template in a secret value is part of the value, but for what it calls.
    """
    words, others = error.reason.split(" "), (twin.reason if twin else "").split(" ")
    if twin is None or (twin.file, twin.line, len(others)) != (
        error.file,
        error.line,
        len(words),
    ):
        return TemplateError(error.file, error.line, UNQUOTED)
    alike = (
        word if word == other else MASK
        for word, other in zip(words, others, strict=True)
    )
    shown = _WORD.sub(lambda word: _named(word[0], _said(stated)), " ".join(alike))
    return TemplateError(error.file, error.line, shown)


def _named(word: str, said: frozenset[str]) -> str:
    return MASK if word in said else word


def _said(stated: frozenset[str]) -> frozenset[str]:
    """The words of the values themselves, without names of secrets and of functions."""
    every = chain.from_iterable(map(_WORD.findall, stated))
    called = frozenset(chain.from_iterable(map(_CALLED.findall, stated)))
    return frozenset(word for word in every if not is_secret_name(word)) - called
