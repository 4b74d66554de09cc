"""Waiting for a worker that was not there before a reload."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, NamedTuple

from haproxy_apply import admin_socket, sockets
from haproxy_apply.errors import ReloadFailed
from haproxy_apply.processes import MASTER_WORKER

if TYPE_CHECKING:
    from haproxy_apply.drop_window import DropWindow
    from haproxy_apply.model import Model
    from haproxy_apply.processes import Discovery, Service

# For a new worker to be ready; 2.1 s of it go to HAProxy's own bind retries.
RELOAD_SECONDS = 15
# A second or more: a master that executes itself anew has no command line for a moment, a longer one on a busy host.
GONE_POLLS = 50
SILENT_SECONDS = 2.2  # longer than those bind retries
POLL_SECONDS = 0.02
COUNT_POLLS = 10  # the master is asked for its failures less often than /proc


class Waiting(NamedTuple):
    """For a worker that was not there before the reload."""

    discovery: Discovery
    before: Service
    awaited: Model  # the file that the new worker runs
    window: DropWindow | None  # that a new master's worker opens; None: none is wanted
    failures: int  # of the master's reloads, before this one

    @classmethod
    def of(
        cls,
        discovery: Discovery,
        before: Service,
        awaited: Model,
        window: DropWindow | None = None,
    ) -> Waiting:
        """To be made before anything is signalled or started."""
        return cls(discovery, before, awaited, window, _failed_reloads(before) or 0)

    def for_new_worker(self) -> Service:
        """The service once the new worker is ready. `ReloadFailed`: it never is, or the master says so."""
        now = time.monotonic()
        deadline = now + RELOAD_SECONDS
        new_since = None  # when the new worker was first seen
        gone = polls = 0
        while now < deadline:
            service = self.discovery.find()
            gone = 0 if service else gone + 1
            if gone > GONE_POLLS:
                raise ReloadFailed("master-died")
            if service and service.has_new_worker(self.before):
                self._open_window(service)
                new_since = new_since or now
                if self._is_ready(service, silent=now - new_since):
                    return service
            else:
                new_since = None
                polls += 1
                self._look_at_master(polls)
            time.sleep(POLL_SECONDS)
            now = time.monotonic()
        raise ReloadFailed("no-new-worker")

    def _is_ready(self, service: Service, *, silent: float) -> bool:
        """Whether the new worker serves: it answers, or listens where there is nobody to ask."""
        pid = service.worker.pid if service.worker else 0
        socket = self.awaited.stats_socket.path
        return admin_socket.is_answered_by(socket, pid) or self._listens(
            pid, silent=silent
        )

    def _listens(self, pid: int, *, silent: float) -> bool:
        """Whether it listens; of one that should answer that is believed only after seconds of silence.

        A worker that cannot bind everything holds some sockets for 2.1 s before it gives up.
        """
        should_answer = self.awaited.stats_socket.path != ""
        if should_answer and silent <= SILENT_SECONDS:
            return False
        return sockets.listens(pid)

    def _open_window(self, service: Service) -> None:
        """Late, where the master hands its sockets over."""
        if self.window and service.style == MASTER_WORKER:
            self.window.open()

    def _look_at_master(self, polls: int) -> None:
        if polls % COUNT_POLLS == 0:
            failed = _failed_reloads(self.before)
            if failed is not None and failed > self.failures:
                raise ReloadFailed("reload-failed")


def _failed_reloads(service: Service) -> int | None:
    """The master's own count since its last good reload; None where it cannot be asked."""
    said = re.search(
        "failed: ([0-9]+)", admin_socket.answer(service.master_socket_path, "show proc")
    )
    return int(said[1]) if said else None
