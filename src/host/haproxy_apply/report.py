"""What the run says to the outside: the marker in one line, and a bounded log behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from haproxy_apply import PROJECT

if TYPE_CHECKING:
    from haproxy_apply.errors import Verdict
    from haproxy_apply.journal import Journal
    from haproxy_apply.processes import Discovery

# In characters; Run Command cuts at 24,000.
MAX_NOTES, MAX_DETAIL, MAX_LOG = 200, 500, 6000


class Findings:
    """What the run has found and done so far, for the marker of whatever end it takes.

    Each field is set where it becomes so. `md5_after` (what is live) and `running_md5` (what the worker is proven to
    run, empty without proof) are also what the rest of the run goes by.
    """

    def __init__(self) -> None:
        self.md5_before = ""
        self.md5_after = ""
        self.running_md5 = ""
        self.method = "none"
        self.window_ms = 0  # of all reloads of the run
        self.backup = ""
        self.old_workers = 0
        self.haproxy_version = ""
        self.style = ""

    def see(self, discovery: Discovery) -> None:
        """How HAProxy ran when it was last looked for."""
        last = discovery.last
        self.old_workers = max(len(last.workers) - 1, 0) if last else 0
        self.style = discovery.style


def marker(verdict: Verdict, fence: int, findings: Findings, journal: Journal) -> str:
    """The marker of docs/architecture.md; its key `generation` is the fence."""
    fields: dict[str, str | int] = {
        "outcome": verdict.outcome,
        "reason": verdict.reason,
        "generation": fence,
        "md5_before": findings.md5_before,
        "md5_after": findings.md5_after,
        "running_md5": findings.running_md5,
        "method": findings.method,
        "window_ms": findings.window_ms,
        "backup": findings.backup,
        "old_workers": findings.old_workers,
        "haproxy_version": findings.haproxy_version,
        "style": findings.style,
        "notes": _printable(" ".join(journal.notes), MAX_NOTES),
        "detail": _printable(verdict.detail, MAX_DETAIL),
    }
    return f"{PROJECT} {{{','.join(map(_field, fields.items()))}}}"


def log(journal: Journal) -> str:
    """The log as far as it is told."""
    return journal.log[:MAX_LOG]


def _printable(text: str, limit: int) -> str:
    """One line of ASCII: whatever else a tool printed is of no use in a marker."""
    shown = [char if char.isascii() and char.isprintable() else " " for char in text]
    return "".join(shown[:limit])


def _field(field: tuple[str, str | int]) -> str:
    """As JSON, for which the json module would cost more time than all else that an unchanged run does."""
    name, value = field
    if isinstance(value, int):
        return f'"{name}":{value}'
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{name}":"{escaped}"'
