"""What the run says to the outside: the marker in one line, and a bounded log behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from haproxy_apply import PROJECT

if TYPE_CHECKING:
    from collections.abc import Iterable

    from haproxy_apply.errors import Verdict
    from haproxy_apply.journal import Journal
    from haproxy_apply.ownership import Refused
    from haproxy_apply.processes import Discovery
    from haproxy_apply.server_state import Backend, Servers
    from haproxy_apply.unified_diff import Printed

# In bytes, of which Run Command shows the first 2,500.
MAX_MARKER = 2000
# In bytes; Run Command cuts at 24,000 characters.
MAX_OUTPUT = 23_900
# In characters.
MAX_NOTES, MAX_DETAIL, MAX_DOWN, MAX_BACKENDS, MAX_LOG = 200, 500, 200, 400, 6000
MAX_UNSAFE = 300

_KEPT_DETAIL = 200  # that no backend takes the room of
_AROUND_BACKENDS = len(',"backends":"","more_backends":1234567')
_AROUND_TEXT = len(',"servers_up":1234567,"servers_down":1234567,"down":""')
_AROUND_DETAIL = len(',"detail":""}')


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
        # what the worker has otherwise than its file, because of a state that is not ours
        self.overridden = ""
        self.old_workers = 0
        self.haproxy_version = ""
        self.style = ""
        self.publisher: str | None = (
            None  # the stack whose host this is; None: not known yet
        )
        self.refused: Refused | None = None
        self.haproxy = ""  # how it is at the end; empty: not known yet
        self.servers: Servers | None = None  # of the worker that runs then
        self.watched: tuple[
            str, ...
        ] = ()  # a word for each server that it is asked about
        self.would = ""  # of a check: what an apply would find
        # of a check: keywords of the live file that have to be allowed
        self.unsafe: tuple[str, ...] = ()
        self.diff: Printed | None = None  # of a check: live file and candidate

    def see(self, discovery: Discovery) -> None:
        """How HAProxy ran when it was last looked for."""
        last = discovery.last
        self.old_workers = max(len(last.workers) - 1, 0) if last else 0
        self.style = discovery.style


def marker(verdict: Verdict, fence: int, findings: Findings, journal: Journal) -> str:
    """The marker of docs/architecture.md; its key `generation` is the fence. `detail` gets the bytes that are left."""
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
        "notes": _names(journal.notes, MAX_NOTES),
        **_ownership(findings),
        **_haproxy(findings),
        **_compared(findings),
    }
    said = f"{PROJECT} {{{_joined(fields)}"
    said += _more(_watched(findings, _room(said)))
    said += _more(_servers(findings, verdict, _room(said)))
    detail = _escaped(_printable(verdict.detail, MAX_DETAIL))
    if findings.servers:
        kept = min(len(detail), _KEPT_DETAIL) + _AROUND_BACKENDS + _AROUND_DETAIL
        room = min(MAX_MARKER - len(said) - kept, MAX_BACKENDS)
        said += _more(backends(findings.servers.backends, room))
    said += ',"detail":"'
    return f'{said}{_cut(detail, MAX_MARKER - len(said) - 2)}"}}'


def _room(said: str) -> int:
    """For a text that backends and detail give way to, and nothing else."""
    return MAX_MARKER - len(said) - _AROUND_TEXT - _AROUND_BACKENDS - _AROUND_DETAIL


def _more(fields: dict[str, str | int]) -> str:
    return f",{_joined(fields)}" if fields else ""


def _ownership(findings: Findings) -> dict[str, str | int]:
    """Whose host this is, where that was found out, and who was refused last, if anybody."""
    if findings.publisher is None:
        return {}
    owner: dict[str, str | int] = {"publisher": findings.publisher}
    if findings.refused:
        owner["other_publisher"] = findings.refused.publisher
        owner["other_publisher_at"] = findings.refused.at
    return owner


def _haproxy(findings: Findings) -> dict[str, str | int]:
    """How HAProxy is, where that was found out."""
    return {"haproxy": findings.haproxy} if findings.haproxy else {}


def _compared(findings: Findings) -> dict[str, str | int]:
    """Of a check: what an apply would find, and how much of the diff follows."""
    if not findings.would:
        return {}
    diff = findings.diff
    lines, shown = (diff.lines, diff.shown) if diff else (0, 0)
    names = _names(findings.unsafe, MAX_UNSAFE)
    unsafe: dict[str, str | int] = {"unsafe": names} if names else {}
    return {
        "would": findings.would,
        "diff_lines": lines,
        "diff_shown": shown,
        **unsafe,
    }


def backends(
    every: Iterable[Backend], room: int = MAX_BACKENDS
) -> dict[str, str | int]:
    """As many backends as there is room for, in their order and by whole names, and how many are left out."""
    told: list[str] = []
    left_out = 0
    for each in every:
        text = f"{each.name} {each.up}/{each.down}"
        if len(text) <= room:
            told.append(text)
            room -= len(text) + 1
        else:
            left_out += 1
    said: dict[str, str | int] = {"backends": " ".join(told)}
    return {**said, "more_backends": left_out} if left_out else said


def _watched(findings: Findings, room: int) -> dict[str, str | int]:
    """A word for each server that the command asks about, from the first on, as long as there is room."""
    words = findings.watched
    return {"watched": _names(words, max(room, 0))} if words else {}


def _servers(findings: Findings, verdict: Verdict, room: int) -> dict[str, str | int]:
    """Of an inspection: how many there are of each kind, and the first of those that are down."""
    servers = findings.servers
    if not servers or verdict.outcome != "inspected":
        return {}
    return {
        "servers_up": servers.up,
        "servers_down": len(servers.down),
        "down": _names(servers.down, min(max(room, 0), MAX_DOWN)),
    }


def _names(names: Iterable[str], limit: int) -> str:
    """As many as there is room for, each of them whole."""
    shown = _printable(" ".join((*names, "")), limit + 1)
    return shown.rpartition(" ")[0]


def behind(findings: Findings, said: str) -> bytes:
    """What follows the marker: of a check the diff alone, of any other run what it said, as far as that is told."""
    if findings.would:
        return findings.diff.text if findings.diff else b""
    return said[:MAX_LOG].encode("latin-1", "replace")


def _printable(text: str, limit: int) -> str:
    """One line of ASCII: whatever else a tool printed is of no use in a marker."""
    shown = [char if char.isascii() and char.isprintable() else " " for char in text]
    return "".join(shown[:limit])


def _joined(fields: dict[str, str | int]) -> str:
    return ",".join(map(_field, fields.items()))


def _field(field: tuple[str, str | int]) -> str:
    """As JSON, for which the json module would cost more time than all else that an unchanged run does."""
    name, value = field
    if isinstance(value, int):
        return f'"{name}":{value}'
    return f'"{name}":"{_escaped(value)}"'


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _cut(escaped: str, room: int) -> str:
    """As much of it as there is room for, and no half an escape."""
    cut = escaped[: max(room, 0)]
    backslashes = len(cut) - len(cut.rstrip("\\"))
    return cut[: len(cut) - backslashes % 2]
