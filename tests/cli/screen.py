"""What a person sees, held to files: `UPDATE_GOLDEN=1 pytest tests/cli` writes them anew, for a reader's eyes."""

import io
import os
from pathlib import Path

from rich.console import Console, RenderableType

FOLDER = Path(__file__).parent / "golden"


def shown(view: RenderableType, width: int = 100) -> str:
    """As on a screen without colours, and no blanks at the ends of lines."""
    console = Console(file=io.StringIO(), width=width, highlight=False)
    with console.capture() as capture:
        console.print(view)
    return "".join(f"{line.rstrip()}\n" for line in capture.get().splitlines())


def check(name: str, view: RenderableType, width: int = 100) -> None:
    """The view is what the file of that name says."""
    file = FOLDER / f"{name}.txt"
    if "UPDATE_GOLDEN" in os.environ:
        FOLDER.mkdir(exist_ok=True)
        file.write_text(shown(view, width))
    assert shown(view, width) == file.read_text()
