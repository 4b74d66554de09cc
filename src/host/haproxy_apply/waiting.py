"""Waiting for a worker that was not there before a reload."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, NamedTuple

from haproxy_apply import admin_socket, load, sockets
from haproxy_apply.errors import ReloadFailed
from haproxy_apply.processes import MASTER_WORKER

if TYPE_CHECKING:
    from haproxy_apply.drop_window import DropWindow
    from haproxy_apply.host import Host
    from haproxy_apply.model import Model
    from haproxy_apply.processes import Service

NO_NEW_WORKER = "no-new-worker"

# A second or more: a master that executes itself anew has no command line for a moment, a longer one on a busy host.
GONE_POLLS = 50
SILENT_SECONDS = 2.2  # longer than HAProxy's own bind retries
POLL_SECONDS = 0.02
COUNT_POLLS = 10  # the master is asked for its failures less often than /proc


class Waiting(NamedTuple):
    """For a worker that was not there before the reload."""

    host: Host
    before: Service
    awaited: Model  # the file that the new worker runs
    answers: bool  # whether the new worker will, on the stats socket of that file
    window: DropWindow | None  # that a new master's worker opens; None: none is wanted
    failures: int | None  # of the master's reloads, before this; None: it does not tell
    last_failure: str  # the one that is seen from outside then
    began: float  # in seconds of the epoch
    deadline: float  # of the monotonic clock

    @classmethod
    def of(
        cls,
        host: Host,
        before: Service,
        awaited: Model,
        window: DropWindow | None = None,
        *,
        answers: bool = True,
    ) -> Waiting:
        """To be made before anything is signalled or started."""
        return cls(
            host=host,
            before=before,
            awaited=awaited,
            answers=answers and awaited.stats_socket.path != "",
            window=window,
            failures=_failed_reloads(before),
            last_failure=load.last_failure(before.root.pid),
            began=time.time(),
            deadline=time.monotonic() + host.load_seconds,
        )

    @property
    def left(self) -> float:
        """Seconds for which the new worker is still waited for."""
        return max(self.deadline - time.monotonic(), 0)

    def for_new_worker(self) -> Service:
        """The service once the new worker is ready. `ReloadFailed`: it never is, or the master says so."""
        listening_since = None  # when the new worker was first seen to listen
        gone = polls = 0
        while self.left > 0:
            service = self.host.discovery.find()
            gone = 0 if service else gone + 1
            if gone > GONE_POLLS:
                raise self._failed("master-died")
            if service and self._has_listening_worker(service):
                self._open_window(service)
                listening_since = listening_since or time.monotonic()
            else:
                listening_since = None
            if service and self._is_ready(service, listening_since):
                return service
            polls += 1
            self._look_at_master(polls)
            time.sleep(POLL_SECONDS)
        raise self._failed(NO_NEW_WORKER)

    def _has_listening_worker(self, service: Service) -> bool:
        """Whether the new worker has its listeners: from 3.1 on it is there before it loads the file."""
        return service.has_new_worker(self.before) and sockets.listens(
            service.worker_pid
        )

    def _is_ready(self, service: Service, listening_since: float | None) -> bool:
        """Whether the new worker serves: it answers, or listens where there is nobody to ask."""
        if not service.has_new_worker(self.before):
            return False
        path = self.awaited.stats_socket.path
        info = admin_socket.answer_of(path, service.worker_pid)[0]
        if info:
            return self._is_awaited(info)
        return listening_since is not None and self._is_believed(listening_since)

    def _is_awaited(self, info: str) -> bool:
        """Whether it has read the awaited file: somebody's earlier reload may have been under way."""
        began = load.began(info)
        return began is None or began >= int(self.began)

    def _is_believed(self, listening_since: float) -> bool:
        """Of one that should answer, that it listens is believed only after seconds of silence.

        A worker that cannot bind everything holds some sockets for 2.1 s before it gives up.
        """
        silent = time.monotonic() - listening_since
        return not self.answers or silent > SILENT_SECONDS

    def _open_window(self, service: Service) -> None:
        """Late, where the master hands its sockets over."""
        if self.window and service.style == MASTER_WORKER:
            self.window.open()

    def _look_at_master(self, polls: int) -> None:
        if polls % COUNT_POLLS == 0 and self._has_failed():
            raise self._failed("reload-failed")

    def _has_failed(self) -> bool:
        """Whether the master says so. One that does not tell is seen to wait behind a load that failed."""
        if self.failures is None:
            last = load.last_failure(self.before.root.pid)
            return last not in {"", self.last_failure}
        failed = _failed_reloads(self.before)
        return failed is not None and failed > self.failures

    def _failed(self, reason: str) -> ReloadFailed:
        """What became of the reload, to be raised, with what HAProxy said of it."""
        detail = load.said(self.before, self.host.unit, self.began)
        return ReloadFailed(reason, detail)


def _failed_reloads(service: Service) -> int | None:
    """The master's own count since its last good reload; None where it cannot be asked."""
    said = re.search(
        "failed: ([0-9]+)", admin_socket.answer(service.master_socket_path, "show proc")
    )
    return int(said[1]) if said else None
