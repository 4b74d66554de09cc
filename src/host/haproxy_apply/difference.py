"""What differs between two files, as a unified diff. Pure; of any two files it ends soon.

Lines that each side has once are matched first, as in a patience diff, then what is left between those. difflib alone
takes minutes for a few thousand lines of which many are alike.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

CONTEXT = 3
"""Equal lines that are shown around a change."""

SAME, REMOVED, ADDED = " ", "-", "+"

_MAX_PRODUCT = 10_000  # of the lines of both sides, for difflib
_LINE = re.compile(r"[^\n]*\n|[^\n]+")


class Edit(NamedTuple):
    """A line of the diff, by its place in both files, counted from 0: where it is, or would be."""

    sign: str
    old: int
    new: int


class Gap(NamedTuple):
    """A part of each file, of which nothing is matched yet: from the first line up to before the last."""

    old: int
    old_end: int
    new: int
    new_end: int


class Hunk(NamedTuple):
    """Edits in a row."""

    edits: Sequence[Edit]

    @property
    def head(self) -> str:
        """The line that says where it is."""
        first = self.edits[0]
        removed = sum(edit.sign != ADDED for edit in self.edits)
        added = sum(edit.sign != REMOVED for edit in self.edits)
        return f"@@ -{_range(first.old, removed)} +{_range(first.new, added)} @@"


def _range(begin: int, count: int) -> str:
    """Lines as a unified diff counts them: from 1; of none, the line before."""
    return f"{begin + (count > 0)},{count}"


def lines(text: str) -> list[str]:
    """Each with its newline, which the last one may lack."""
    return _LINE.findall(text)


def edits(old: Sequence[str], new: Sequence[str]) -> list[Edit]:
    """The way from one file to the other; in each block of changes what is removed comes first."""
    found: list[Edit] = []
    at = Gap(0, len(old), 0, len(new))
    for place, other in [*_matched(old, new), (len(old), len(new))]:
        found += (Edit(REMOVED, line, at.new) for line in range(at.old, place))
        found += (Edit(ADDED, place, line) for line in range(at.new, other))
        found.append(Edit(SAME, place, other))
        at = at._replace(old=place + 1, new=other + 1)
    return found[:-1]


def hunks(every: Sequence[Edit]) -> Iterator[Hunk]:
    """The changes, each with the lines around it; those that touch are one."""
    shown: list[Edit] = []
    last = -1
    for place in _shown(every):
        if place != last + 1 and shown:
            yield Hunk(shown)
            shown = []
        shown.append(every[place])
        last = place
    if shown:
        yield Hunk(shown)


def blocks(every: Iterable[Edit]) -> Iterator[list[Edit]]:
    """Changes that nothing equal stands between."""
    block: list[Edit] = []
    for edit in every:
        if edit.sign != SAME:
            block.append(edit)
        elif block:
            yield block
            block = []
    yield block


def _shown(every: Sequence[Edit]) -> Iterator[int]:
    """The places of changes and of what is near one."""
    end = 0
    for place, edit in enumerate(every):
        if edit.sign != SAME:
            yield from range(
                max(end, place - CONTEXT), min(place + CONTEXT + 1, len(every))
            )
            end = min(place + CONTEXT + 1, len(every))


def _matched(old: Sequence[str], new: Sequence[str]) -> list[tuple[int, int]]:
    """The places of lines that stay, ascending on both sides."""
    found: list[tuple[int, int]] = []
    gaps = [Gap(0, len(old), 0, len(new))]
    while gaps:
        gap = gaps.pop()
        middle = _trimmed(old, new, gap)
        found += zip(range(gap.old, middle.old), range(gap.new, middle.new))
        found += zip(
            range(middle.old_end, gap.old_end), range(middle.new_end, gap.new_end)
        )
        anchors = _anchors(old, new, middle)
        if anchors:
            gaps += _between(middle, anchors)
            found += anchors
        else:
            found += _few(old, new, middle)
    return sorted(found)


def _trimmed(old: Sequence[str], new: Sequence[str], gap: Gap) -> Gap:
    """Without what both begin and end with."""
    begin, other, end, other_end = gap.old, gap.new, gap.old_end, gap.new_end
    while begin < end and other < other_end and old[begin] == new[other]:
        begin, other = begin + 1, other + 1
    while begin < end and other < other_end and old[end - 1] == new[other_end - 1]:
        end, other_end = end - 1, other_end - 1
    return Gap(begin, end, other, other_end)


def _anchors(old: Sequence[str], new: Sequence[str], gap: Gap) -> list[tuple[int, int]]:
    """Lines that each side has once, as many as keep their order."""
    theirs = _once(new, gap.new, gap.new_end)
    ours = _once(old, gap.old, gap.old_end)
    both = [(place, theirs[text]) for text, place in ours.items() if text in theirs]
    return _longest_ascending(both)


def _once(every: Sequence[str], begin: int, end: int) -> dict[str, int]:
    """The places of lines that are there once, ascending."""
    counted = Counter(every[begin:end])
    return {
        every[place]: place for place in range(begin, end) if counted[every[place]] == 1
    }


def _longest_ascending(pairs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The most of these that ascend on the second side, too."""
    ends: list[int] = []  # of the best way of each length
    last: list[int] = []  # its pair
    before: list[int] = []  # the pair before each
    for number, (_place, other) in enumerate(pairs):
        length = bisect_left(ends, other)
        before.append(last[length - 1] if length else -1)
        ends[length : length + 1] = [other]
        last[length : length + 1] = [number]
    found = []
    number = last[-1] if last else -1
    while number >= 0:
        found.append(pairs[number])
        number = before[number]
    return found[::-1]


def _between(gap: Gap, anchors: Sequence[tuple[int, int]]) -> Iterator[Gap]:
    """What is left before, between and behind them."""
    old, new = gap.old, gap.new
    for place, other in [*anchors, (gap.old_end, gap.new_end)]:
        yield Gap(old, place, new, other)
        old, new = place + 1, other + 1


def _few(old: Sequence[str], new: Sequence[str], gap: Gap) -> Iterator[tuple[int, int]]:
    """What stays of a few lines; of many that are alike, nothing."""
    ours, theirs = old[gap.old : gap.old_end], new[gap.new : gap.new_end]
    if not 0 < len(ours) * len(theirs) <= _MAX_PRODUCT:
        return
    from difflib import SequenceMatcher

    matcher = SequenceMatcher(None, ours, theirs, autojunk=False)
    for place, other, size in matcher.get_matching_blocks():
        yield from zip(
            range(gap.old + place, gap.old + place + size),
            range(gap.new + other, gap.new + other + size),
        )
