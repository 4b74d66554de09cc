"""The diff of live file and candidate as a check prints it: secrets masked, strange bytes named, cut at whole lines."""

from __future__ import annotations

import re
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from haproxy_apply import difference, masks
from haproxy_apply.difference import ADDED, REMOVED, SAME

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from haproxy_apply.difference import Edit, Hunk
    from haproxy_apply.masks import Masks

HEAD = ("--- live file", "+++ candidate")
NO_NEWLINE = "\\ No newline at end of file"

_ROOM_FOR_CUT = 60  # bytes
# What no terminal should get: control characters but the tab, and those that turn the direction of writing.
_STRANGE = re.compile(
    "[\0-\b\n-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]"
)


class Printed(NamedTuple):
    """A diff as it is printed."""

    text: bytes  # UTF-8, each line with its newline
    lines: int  # of the whole diff
    shown: int  # of them


def printed(old: str, new: str, hidden: Masks, room: int) -> Printed:
    """The diff of two texts, bytes read as Latin-1, in at most so many bytes."""
    files = _Files(difference.lines(old), difference.lines(new), hidden)
    every = difference.edits(files.old, files.new)
    hunks = list(difference.hunks(every))
    if not hunks:
        return Printed(b"", 0, 0)
    count = len(HEAD) + sum(files.count(hunk) for hunk in hunks)
    replaced = frozenset(files.replaced(every))
    wanted = chain(HEAD, *(files.printed(hunk, replaced) for hunk in hunks))
    return _cut(wanted, count, room)


class _Files(NamedTuple):
    old: Sequence[str]
    new: Sequence[str]
    hidden: Masks

    def text(self, edit: Edit) -> str:
        """The line, with its newline."""
        return self.old[edit.old] if edit.sign == REMOVED else self.new[edit.new]

    def count(self, hunk: Hunk) -> int:
        """How many lines it has: also one for each that lacks its newline."""
        ends = (self.text(edit).endswith("\n") for edit in hunk.edits)
        return 1 + sum(1 if has_newline else 2 for has_newline in ends)

    def replaced(self, every: Sequence[Edit]) -> Iterator[int]:
        """The places of live lines which a secret line replaces, perhaps with others."""
        for block in difference.blocks(every):
            if any(self._is_secret_line(edit) for edit in block):
                yield from (edit.old for edit in block if edit.sign == REMOVED)

    def printed(self, hunk: Hunk, replaced: frozenset[int]) -> Iterator[str]:
        """The lines of a hunk."""
        yield hunk.head
        for edit in hunk.edits:
            text = self.text(edit)
            line = text.rstrip("\n")
            is_secret = self._is_secret(edit, line, replaced)
            yield edit.sign + _harmless(masks.shown(line, is_secret=is_secret))
            if not text.endswith("\n"):
                yield NO_NEWLINE

    def _is_secret(self, edit: Edit, line: str, replaced: frozenset[int]) -> bool:
        if edit.sign == REMOVED:
            return edit.old in replaced or self.hidden.has_secret(line)
        return self._is_secret_line(edit)

    def _is_secret_line(self, edit: Edit) -> bool:
        """Whether it is a secret line of the candidate."""
        is_new = edit.sign in {SAME, ADDED}
        return is_new and edit.new + 1 in self.hidden.secret_lines


def _cut(wanted: Iterator[str], count: int, room: int) -> Printed:
    """As many lines as there is room for, and how many are not shown."""
    shown: list[bytes] = []
    left = room
    for line in wanted:
        encoded = f"{line}\n".encode()
        left -= len(encoded)
        # What is behind it has to have room, if only for that.
        if left < (_ROOM_FOR_CUT if len(shown) + 1 < count else 0):
            break
        shown.append(encoded)
    missing = count - len(shown)
    end = f"... {missing} of {count} lines are not shown\n" if missing else ""
    return Printed(b"".join(shown) + end.encode(), count, len(shown))


def _harmless(line: str) -> str:
    r"""The line as text: what is no UTF-8, and what controls a terminal, as `\xff`."""
    text = line.encode("latin-1").decode("utf-8", "backslashreplace")
    return _STRANGE.sub(_named, text)


def _named(found: re.Match[str]) -> str:
    number = ord(found[0])
    return f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}"  # noqa: PLR2004
