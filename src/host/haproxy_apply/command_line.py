"""How a HAProxy was started, from the words of its command line."""

from __future__ import annotations

from itertools import chain, takewhile
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_ONLY_CHECKS = frozenset({"-c", "-v", "-vv"})
_MASTER_MODES = frozenset({"-W", "-Ws"})
_HOW_IT_BEGAN = frozenset({"-D", "-db", "-q", "-V", "-d", "-x", "-sf", "-st"})
_FILES = frozenset({"-f", "--"})
_STAYS, _LEAVES = frozenset({"-db", "-d"}), frozenset({"-D"})
_HAVE_FIELDS = _MASTER_MODES | _HOW_IT_BEGAN | _FILES | {"-p", "-S"}
_ONE_VALUE = frozenset({"-p", "-S", "-x", "-C", "-L", "-m", "-n", "-N"})


class CommandLine(NamedTuple):
    """How a HAProxy was started, as far as it is needed to start it so again."""

    binary: str
    files: tuple[str, ...] = ()
    options: tuple[str, ...] = ()  # without those that have a field of their own
    pid_file: str = ""
    master_socket: str = ""  # the value of -S: a path, and its options after commas
    master_mode: str = ""  # -W, -Ws or nothing
    stays: bool | None = None  # in the foreground; None: it does not say


def parse(words: list[str]) -> CommandLine | None:
    """The command line of a HAProxy; None of one that only checks a file, or ends at once."""
    options = tuple(_options(words[1:]))
    names = {name for name, _values in options}
    if not words or not _ONLY_CHECKS.isdisjoint(names):
        return None
    last = {name: values[0] for name, values in options if values}
    modes = [name for name, _values in options if name in _MASTER_MODES]
    kept = [(name, *values) for name, values in options if name not in _HAVE_FIELDS]
    files = [values for name, values in options if name in _FILES]
    return CommandLine(
        binary=words[0],
        files=tuple(chain.from_iterable(files)),
        options=tuple(chain.from_iterable(kept)),
        pid_file=last.get("-p", ""),
        master_socket=last.get("-S", ""),
        master_mode=modes[-1] if modes else "",
        stays=_stays(names),
    )


def _stays(names: set[str]) -> bool | None:
    """Whether it stays where it was started; None where its options say nothing, or both: versions differ in that."""
    stays, leaves = (not names.isdisjoint(each) for each in (_STAYS, _LEAVES))
    return None if stays == leaves else stays


def _options(words: list[str]) -> Iterator[tuple[str, list[str]]]:
    """Each option with its values."""
    rest = words
    while rest:
        count = _values_of(rest[0], rest[1:])
        yield rest[0], rest[1 : 1 + count]
        rest = rest[1 + count :]


def _values_of(option: str, after: list[str]) -> int:
    """How many of the words after an option are its values."""
    if option == "--":
        return len(after)
    if option in {"-sf", "-st"}:
        return _leading(word.isdecimal() for word in after)
    if option == "-f":
        return _leading(not word.startswith("-") for word in after)
    return int(option in _ONE_VALUE)


def _leading(wanted: Iterable[bool]) -> int:
    """How many are true before the first that is not."""
    return sum(1 for _each in takewhile(bool, wanted))
