"""The answer of `status`."""

from typing import Any

from rich.console import RenderableType
from rich.text import Text


def status(answer: Any) -> RenderableType:
    """The headline."""
    return Text(str(answer.get("headline", "")))
