"""The two output streams: a terminal's lines are as wide as it is; in a pipe each line is whole, for `grep`."""

import io
import os
import sys

from rich.console import Console

WHOLE = 50_000
"""Columns where nothing has a width: longer than a line of ours, of which that of a diff may have 24,000 wide ones."""


def screen(*, is_error: bool = False) -> Console:
    """For answers; for previews and progress on the standard error stream."""
    made = Console(stderr=is_error, soft_wrap=is_error, highlight=False)
    if not (made.width and (made.file.isatty() or "COLUMNS" in os.environ)):
        made.width = WHOLE
    return made


def escape() -> None:
    """What a stream's encoding does not have is written as Python writes it, and is no error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
