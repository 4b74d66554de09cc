"""The texts and numbers in a variable's value, and the same value with others in their place."""

import json
import string
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import date, timedelta
from functools import singledispatch
from itertools import chain, repeat
from typing import Any

from haproxy_sync.config.ansible.lazy import LazyDict, LazyList
from haproxy_sync.config.ansible.raw import Data, SortedSet

_ANOTHER_DAY = timedelta(days=397)  # in another month of another year, too
_LATE = 9000  # whoever means "never" writes 9999, the last year there is


class _Table(dict[int, int]):
    """For `str.translate`: no letter and no digit stays as it is, whatever alphabet it is of."""

    def __missing__(self, code: int) -> int:
        letter = chr(code)
        return (
            code
            if letter.isascii() or letter.isspace()
            else _FOREIGN.get(code, ord("\u00f8"))
        )


def _next(letters: str) -> Mapping[int, int]:
    return str.maketrans(letters, letters[1:] + letters[:1])


_FOREIGN = _next("\u00f8\u00e5\u00fc")
_LETTERS = {**_next(string.ascii_lowercase), **_next(string.ascii_uppercase)}
_DIGITS = str.maketrans(
    "0123456789", "1234567891"
)  # never a zero, which a number would lose in front


type Replacement = Callable[[str], str]
"""Makes another text of the same size."""


def opaque(text: str) -> str:
    """Every character but blanks is another one."""
    return text.translate(_OPAQUE)


def shaped(text: str) -> str:
    """Punctuation stays, for a template that takes the value apart by it."""
    return text.translate(_SHAPED)


def encoded(text: str) -> str:
    """What is JSON or base64 is so again, for a template that decodes it."""
    for decode, encode in _CODES:
        with suppress(ValueError):
            return encode(replaced(decode(text), shaped))
    return shaped(text)


def _from_base64(text: str) -> str:
    return b64decode(text, validate=True).decode()


def _to_base64(text: str) -> str:
    return b64encode(text.encode()).decode()


_OPAQUE = _Table({**_LETTERS, **_DIGITS, **_next(string.punctuation)})
_SHAPED = _Table({**_LETTERS, **_DIGITS})
_CODES: tuple[tuple[Callable[[str], Any], Callable[[Any], str]], ...] = (
    (json.loads, json.dumps),
    (_from_base64, _to_base64),
)


def every(value: Any) -> Iterator[Any]:
    """The value and all that it holds, each once: YAML may repeat a value a million times, or have it hold itself."""
    pending, seen = [value], set[int]()
    while pending:
        each = pending.pop()
        if id(each) not in seen:
            seen.add(id(each))
            yield each
            pending += _held(each)


def texts(value: Any) -> Iterator[str]:
    """The texts and numbers of a value, as they are printed; of truth values and nothing none."""
    return chain.from_iterable(map(_texts, every(value)))


@singledispatch
def _held(_value: Any) -> Iterable[Any]:
    return ()


@_held.register(list)
@_held.register(tuple)
@_held.register(set)
def _held_by_list(value: Iterable[Any]) -> Iterable[Any]:
    return value


@_held.register
def _held_by_mapping(value: dict) -> Iterable[Any]:  # type: ignore[type-arg] # as it is registered
    return value.values()


@_held.register(LazyDict)
@_held.register(LazyList)
def _held_unread(_value: Any) -> Iterable[Any]:
    """What may not be evaluated yet."""
    return ()


@singledispatch
def _texts(_value: Any) -> Iterable[str]:
    return ()


@_texts.register(str)
@_texts.register(int)
@_texts.register(float)
@_texts.register(date)
def _texts_of_one(value: Any) -> Iterable[str]:
    with suppress(ValueError):  # no template can print so many digits either
        return (str(value),)
    return ()


@_texts.register
def _texts_of_truth(_value: bool) -> Iterable[str]:  # noqa: FBT001 - a value like others
    return ()


@_texts.register
def _texts_of_data(value: Data) -> Iterable[str]:
    return (value.text,)


@_texts.register
def _texts_of_bytes(value: bytes) -> Iterable[str]:
    return (value.decode(errors="replace"),)


@singledispatch
def replaced(value: Any, _by: Replacement) -> Any:
    """The value with other texts and numbers of the same size; keys, truth values and nothing stay as they are."""
    return value


@replaced.register
def _replaced_text(value: str, by: Replacement) -> str:
    return by(value)


@replaced.register(int)
@replaced.register(float)
def _replaced_number(value: Any, _by: Replacement) -> Any:
    with suppress(ValueError):  # Python prints no number of so many digits
        return type(value)(str(value).translate(_DIGITS))
    return value + 1


@replaced.register
def _replaced_truth(value: bool, _by: Replacement) -> bool:  # noqa: FBT001 - as above
    return value


@replaced.register
def _replaced_data(value: Data, by: Replacement) -> Data:
    return Data(by(value.text))


@replaced.register
def _replaced_day(value: date, _by: Replacement) -> date:
    return value - _ANOTHER_DAY if value.year > _LATE else value + _ANOTHER_DAY


@replaced.register
def _replaced_bytes(value: bytes, by: Replacement) -> bytes:
    return by(value.decode("latin-1")).encode("latin-1", "replace")


@replaced.register(list)
@replaced.register(tuple)
@replaced.register(SortedSet)
def _replaced_items(value: Any, by: Replacement) -> Any:
    kind = {LazyList: list}.get(type(value), type(value))
    return kind(map(replaced, value, repeat(by)))


@replaced.register
def _replaced_mapping(value: dict, by: Replacement) -> dict[Any, Any]:  # type: ignore[type-arg] # as it is registered
    return {key: replaced(item, by) for key, item in value.items()}
