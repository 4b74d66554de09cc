"""Where a benchmark leaves its numbers, and how it tells of them."""

import json
import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table


def write_results(path: Path, results: Mapping[str, Any]) -> None:
    """Write the file for whoever owns the directory, who may have called sudo."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results, indent=2) + "\n")
    owner = path.parent.stat()
    os.chown(path, owner.st_uid, owner.st_gid)


class Report:
    """What a benchmark says to whoever runs it, from when it is made."""

    def __init__(self) -> None:
        self._console = Console(width=140)
        self._began = time.monotonic()

    def progress(self, line: str) -> None:
        """A line, after the seconds since the beginning."""
        text = f"{self._seconds:5.0f} s  {line}"
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def show(self, shown: Table | str) -> None:
        """As it is."""
        self._console.print(shown)

    def conclude(self, missed: Iterable[str], path: Path) -> None:
        """Which targets were missed, where the numbers are, and how long it took."""
        for sentence in missed:
            self._console.print(f"missed: {sentence}", style="red")
        self._console.print(f"{path}, {self._seconds:.0f} s")

    @property
    def _seconds(self) -> float:
        return time.monotonic() - self._began
