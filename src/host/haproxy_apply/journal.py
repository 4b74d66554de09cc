"""What a run says besides its verdict."""

from __future__ import annotations


class Journal:
    """Notes, which are no failures, and the log that follows the marker. Both only grow."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.log = ""
        self.trace = ""  # of a bug, for standard error

    def note(self, word: str) -> None:
        """Add a note of docs/host.md; a second time it says nothing new."""
        if word not in self.notes:
            self.notes.append(word)

    def add(self, text: str) -> None:
        """Add lines to the log."""
        self.log += text.rstrip("\n") + "\n"
