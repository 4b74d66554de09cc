"""A person at a terminal, who is asked and answers."""

from collections.abc import Callable, Iterator

import pytest


class Terminal:
    """A standard input that is a terminal; each line may do something before it is there."""

    def __init__(self, *lines: str | Callable[[], str]) -> None:
        self.lines: Iterator[str | Callable[[], str]] = iter(lines)

    def isatty(self) -> bool:
        """Somebody sits there."""
        return True

    def readline(self, *_: int) -> str:
        """Their next answer; the end of the input after the last one."""
        line = next(self.lines, "")
        return line if isinstance(line, str) else line()


def types(monkeypatch: pytest.MonkeyPatch, *lines: str | Callable[[], str]) -> None:
    """The next command is typed at a terminal, and these are the answers to what it asks."""
    monkeypatch.setattr("sys.stdin", Terminal(*lines))
