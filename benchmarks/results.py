"""Where a benchmark leaves its numbers."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def write_results(path: Path, results: Mapping[str, Any]) -> None:
    """Write the file for whoever owns the directory, who may have called sudo."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results, indent=2) + "\n")
    owner = path.parent.stat()
    os.chown(path, owner.st_uid, owner.st_gid)
