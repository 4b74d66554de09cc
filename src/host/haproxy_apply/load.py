"""The load of a config: when it began, whether it is over, and what HAProxy said of it.

A worker may appear long after its file was read. Where it comes from a master, that is busy meanwhile.
"""

from __future__ import annotations

import re
import signal
import time
from typing import TYPE_CHECKING

from haproxy_apply import admin_socket, commands, durable
from haproxy_apply.haproxy import alerts
from haproxy_apply.processes import MASTER_WORKER
from haproxy_apply.state import began_seconds

if TYPE_CHECKING:
    from haproxy_apply.processes import Service
    from haproxy_apply.state import Identity

POLL_SECONDS = 0.1
SURE_SECONDS = 2
"""Between a file's change and a load, since both times are rounded."""

_FIELD = re.compile(r"^(Start_time_sec|Uptime_sec): ([0-9]+)$", re.MULTILINE)
_MASK = re.compile(r"^Sig(Blk|Cgt):\s*([0-9a-f]+)$", re.MULTILINE)
_RELOADS = 1 << (signal.SIGUSR2 - 1)
_WAITS = re.compile(rb"(?:^|\0)HAPROXY_MWORKER_WAIT_ONLY=")
_HAS_LOADED = re.compile(
    rb"(?:^|\0)HAPROXY_PROCESSES=[^\0]*\|type=m;[^|\0]*failedreloads=0;"
)
_STACK = (
    25  # field of /proc/<pid>/stat after the name, counted from the state (proc(5))
)


def began(info: str) -> int | None:
    """When the load began, in seconds of the epoch, by an answer to `show info`; None: it does not say.

    The clock of 2.6 to 3.0 stands still during a load, so there the uptime is that since its end.
    """
    said = {name: int(seconds) for name, seconds in _FIELD.findall(info)}
    if "Start_time_sec" in said:
        return said["Start_time_sec"]
    return int(time.time()) - said["Uptime_sec"] if "Uptime_sec" in said else None


def began_of(worker: Identity, path: str) -> int:
    """The same of a worker with this stats socket; of one that does not say, when its process began."""
    said = began(admin_socket.answer_of(path, worker.pid)[0])
    return began_seconds(worker.start) if said is None else said


def is_under_way(service: Service) -> bool:
    """Whether the master is busy with a load, so that a signal to reload would be lost (2.2 to 3.0) or late.

    The kernel knows: the master blocks the signal, or has not said yet that it wants it.
    """
    if service.style != MASTER_WORKER:
        return False
    status = durable.read_text(f"/proc/{service.root.pid}/status")
    masks = {name: int(mask, 16) for name, mask in _MASK.findall(status)}
    is_heard = masks.get("Cgt", 0) & ~masks.get("Blk", 0) & _RELOADS
    return masks != {} and not is_heard


def is_over_within(service: Service, seconds: float) -> bool:
    """Wait until the master is not busy with a load any more; false: it still is, after so many seconds."""
    deadline = time.monotonic() + seconds
    while is_under_way(service):
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def last_failure(master: int) -> str:
    """The failed load behind which a master of 2.2 to 3.0 waits, as a word that no other one has; empty for none.

    It executes itself for that, with variables that say so, and at each time the kernel draws where the stack begins.
    From 2.5 on it does so after a good load, too, and says then that none has failed since.
    """
    fields = durable.read_text(f"/proc/{master}/stat").rpartition(") ")[2].split()
    # Read last: if it executes itself in between, the load behind which it waits is a later one still.
    variables = durable.read(f"/proc/{master}/environ") or b""
    has_failed = _WAITS.search(variables) and not _HAS_LOADED.search(variables)
    return fields[_STACK] if has_failed and fields else ""


def said(service: Service, unit: str, since: float) -> str:
    """The first alerts of the last load: by the master (2.7 and later), else by the journal of its unit."""
    log = admin_socket.answer(service.master_socket_path, "show startup-logs")
    told = alerts(commands.Completed(0, log))
    if told or not unit or commands.find("journalctl") is None:
        return told
    journal = ["journalctl", "--no-pager", "-o", "cat", "-u", unit]
    return alerts(commands.run([*journal, f"--since=@{int(since)}"]))
