"""What HAProxy itself makes of a config's conditions, and of the variables in its addresses.

It is asked with a copy of nothing but the conditions and what they depend on, where it says which branches it takes
(`.notice`, as old as `.if`). So its version, its options and its environment decide, and nothing is guessed here.
"""

from __future__ import annotations

import re
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from haproxy_apply import PROJECT
from haproxy_sync.config.language import every_line, lines

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from haproxy_sync.config.language import Line

_BEGIN, _END = ".if", ".endif"
_BRANCHES = frozenset({_BEGIN, ".elif", ".else"})
_DIRECTIVES = _BRANCHES | {_END}
# What `defined`, `streq`, `enabled` and others look at (configuration manual, 2.4 "Conditional blocks").
_DEPENDED_ON = frozenset({
    "setenv", "presetenv", "unsetenv", "resetenv", "noepoll", "nokqueue", "noevports", "nopoll", "nosplice",
    "nogetaddrinfo", "noreuseport", "ssl-server-verify", "tune.disable-fast-forward",
    "tune.disable-zero-copy-forwarding",
})  # fmt: skip
_SAID = re.compile(rf"'{PROJECT} (taken|address|end) ([0-9]*) ?([^']*)'")
_QUOTING = str.maketrans("", "", "\"'\\")


class Told(NamedTuple):
    """What HAProxy reads."""

    taken: frozenset[
        int
    ]  # the numbers, from 1, of `.if`, `.elif` and `.else` lines whose branch it takes
    addresses: Mapping[
        str, str
    ]  # of `bind` lines: as written with variables -> without


NONE_TAKEN = Told(frozenset(), {})
"""As if no condition held: nothing that stands under one is judged."""


def question(before: Iterable[str], text: str) -> str:
    """The copy of a config that is read after others, with what HAProxy is to say; empty: there is nothing to ask."""
    if _BEGIN not in text and "$" not in text:
        return ""
    copy = [*_copied(text)]
    if not any(line.startswith(".notice") for line in copy):
        return ""
    return _joined(["global", *_deciding(before), *copy, f'.notice "{PROJECT} end "'])


def answered(text: str, said: str) -> Told | None:
    """What HAProxy says of a config; None where it did not come to the end."""
    found = _SAID.findall(said)
    kinds = {kind for kind, _number, _address in found}
    return _told(text, found) if "end" in kinds else None


def _deciding(before: Iterable[str]) -> Iterator[str]:
    """All that other files decide."""
    every = chain.from_iterable(map(lines, before))
    return (line.text for line in every if _decides(line))


def _joined(written: Iterable[str]) -> str:
    return "".join(f"{each}\n" for each in written)


def _told(text: str, found: Iterable[tuple[str, str, str]]) -> Told:
    written = text.split("\n")
    addresses = {
        _address(written[int(number) - 1]): address
        for kind, number, address in found
        if kind == "address"
    }
    taken = (int(number) for kind, number, _address in found if kind == "taken")
    return Told(frozenset(taken), addresses)


def _address(written: str) -> str:
    """The address of a `bind` line, as `ConfigLine.field` has it."""
    return next(lines(written)).fields[1]


def _copied(text: str) -> Iterator[str]:
    for number, line in _numbered(text):
        if _decides(line):
            yield line.text
        if _is_branch(line):
            yield f'.notice "{PROJECT} taken {number}"'
        if _has_variable_address(line):
            address = line.fields[1].translate(_QUOTING)
            yield f'.notice "{PROJECT} address {number} {address}"'


def _numbered(text: str) -> Iterator[tuple[int, Line]]:
    """Every line that has words, with its number from 1."""
    every = enumerate(every_line(text.split("\n")), 1)
    return ((number, line) for number, line in every if line.words)


def _decides(line: Line) -> bool:
    return line.words[0] in _DIRECTIVES | _DEPENDED_ON


def _is_branch(line: Line) -> bool:
    return line.words[0] in _BRANCHES


def _has_variable_address(line: Line) -> bool:
    return line.words[0] == "bind" and "$" in "".join(line.fields[1:2])


def read_lines(text: str, taken: Collection[int]) -> str:
    """The text as HAProxy reads it: empty are the lines of branches that it does not take. Conditions stay."""
    if _BEGIN not in text:
        return text
    written = text.split("\n")
    branches: tuple[bool, ...] = ()
    for number, line in _numbered(text):
        keyword = line.words[0]
        if keyword in _DIRECTIVES:
            branches = _inside(keyword, branches, is_taken=number in taken)
        elif not all(branches):
            written[number - 1] = ""
    return "\n".join(written)


def _inside(
    keyword: str, branches: tuple[bool, ...], *, is_taken: bool
) -> tuple[bool, ...]:
    """The branches that the next line stands in, outermost first."""
    outer = branches if keyword == _BEGIN else branches[:-1]
    return outer if keyword == _END else (*outer, is_taken)
