"""Old workers that did not hear that they are to finish: who still listens is told once more."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING

from haproxy_apply import sockets
from haproxy_apply.processes import DAEMON, process_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from haproxy_apply.journal import Journal
    from haproxy_apply.processes import Process, Service
    from haproxy_apply.state import Identity

SIGNALLED_AGAIN = "old-worker-signalled-again"
_TICKS = 100  # a second, in which /proc counts: with `nbproc` several workers begin at a time


def signal_again(journal: Journal, after: Service, before: Service) -> None:
    """After a reload: those of before that still accept what the new worker should."""
    _signal(journal, after, set(before.workers) - {after.root.pid})


def signal_later(journal: Journal, service: Service, proven: Identity) -> None:
    """In a later run: those that began before the worker, which an earlier run has seen at work."""
    if service.worker == proven:
        found = filter(None, map(process_of, service.workers))
        older = {each.pid for each in found if each.start + _TICKS < proven.start}
        _signal(journal, service, older)


def _signal(journal: Journal, service: Service, pids: Iterable[int]) -> None:
    for process in filter(None, map(process_of, pids)):
        if _is_old(process, service) and sockets.listens(process.pid):
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGUSR1)
            journal.note(SIGNALLED_AGAIN)


def _is_old(process: Process, service: Service) -> bool:
    """Whether it is a worker of this master, or a daemon beside this one; to a master it would be the service's end."""
    worker = service.worker
    if worker is None or process.pid == worker.pid:
        return False
    if service.style == DAEMON:
        return process.pid in service.roots and process.pid not in service.masters
    return process.parent == service.root.pid
