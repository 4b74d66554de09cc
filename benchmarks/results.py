"""Where a benchmark leaves its numbers."""

import json
import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console


def write_results(path: Path, results: Mapping[str, Any]) -> None:
    """Write the file for whoever owns the directory, who may have called sudo."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results, indent=2) + "\n")
    owner = path.parent.stat()
    os.chown(path, owner.st_uid, owner.st_gid)


def conclude(console: Console, missed: Iterable[str], path: Path, began: float) -> None:
    """Say which targets were missed, where the numbers are, and how long it took since `began`, by `time.monotonic`."""
    for sentence in missed:
        console.print(f"missed: {sentence}", style="red")
    console.print(f"{path}, {time.monotonic() - began:.0f} s")
