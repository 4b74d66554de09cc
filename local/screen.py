"""What a person sees: steps with a spinner and live traffic on a terminal, plain lines elsewhere."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

MARKS = {"running": "", "done": "[green]✓[/]", "failed": "[red]✗[/]"}


class Screen:
    """A context manager that shows steps as they happen; `footer` is asked for its line again and again."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(soft_wrap=True)
        self.footer: Callable[[], str] = lambda: ""
        self._start = time.monotonic()
        self._steps: list[list[str]] = []
        self._spinner = Spinner("dots")
        self._live = Live(
            get_renderable=self._picture, console=self.console, refresh_per_second=8
        )

    def __enter__(self) -> Self:
        """Begin to draw."""
        if self.console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the last picture."""
        if self.console.is_terminal:
            self._live.stop()

    @contextmanager
    def step(self, title: str) -> Iterator[Callable[[str], None]]:
        """One step: what is given to the result is shown beside it when it is over. Failures are shown and go on up."""
        row = ["running", title, ""]
        self._steps.append(row)
        self._line(f"{title} ...")

        def say(result: str) -> None:
            row[2] = result

        try:
            yield say
        except BaseException:
            row[0] = "failed"
            self._line(f"FAILED: {title}")
            raise
        row[0] = "done"
        self._line(f"{title}: {row[2] or 'done'}")

    def _line(self, text: str) -> None:
        if not self.console.is_terminal:
            self.console.print(
                f"[{time.monotonic() - self._start:6.1f} s] {text}",
                markup=False,
                highlight=False,
            )

    def _picture(self) -> RenderableType:
        grid = Table.grid(padding=(0, 1))
        for state, title, result in self._steps:
            mark = (
                self._spinner if state == "running" else Text.from_markup(MARKS[state])
            )
            grid.add_row(mark, title, f"[dim]{result}[/]")
        return Group(grid, Text(self.footer(), style="cyan"))
