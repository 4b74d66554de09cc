"""Back to the file that ran before, and to a worker that runs it."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from haproxy_apply import files, patience, sockets
from haproxy_apply.errors import Ended, ReloadFailed, failed
from haproxy_apply.prove import prove
from haproxy_apply.reload import is_silent, reload, start_again
from haproxy_apply.waiting import NO_NEW_WORKER

if TYPE_CHECKING:
    from haproxy_apply.host import Host
    from haproxy_apply.processes import Service


def roll_back(
    host: Host, before: Service, failure: ReloadFailed, *, is_half_changed: bool
) -> Ended:
    """How the run ends after a reload that failed, to be raised.

    With the old file and its behaviour, proven again; or with `rollback-failed`, if it is worse than before now.
    """
    try:
        restore(host)
    except OSError:
        detail = f"{failure.reason}; {host.live.path} could not be restored"
        return failed(30, "rollback-failed", detail)
    try:
        service = _back_to_old(host, before, failure, is_half_changed=is_half_changed)
    except ReloadFailed as worse:
        _forget_proof(host)
        return failed(30, "rollback-failed", f"{failure.reason}; {worse.reason}")
    findings = host.findings
    # A worker that stayed is proven now only if it was before.
    if service.worker != before.worker or findings.running_md5 == findings.md5_after:
        prove(host, service, host.old)
    else:
        host.memory.put_if_possible(host.memory.state, host.journal)
    if findings.md5_after == host.request.md5:
        return failed(32, failure.reason, failure.detail)
    return Ended(20, "rolled-back", failure.reason, failure.detail)


def restore(host: Host) -> None:
    """The file that ran before is live again, where there is one to go back to (`OSError`)."""
    if host.fallback is None and host.live.md5 == host.request.md5:
        return
    files.restore(host.live, host.fallback)
    md5 = host.fallback.md5 if host.fallback else ""
    host.findings.md5_after = md5
    host.memory.take(host.memory.state._replace(installed=tuple(filter(None, [md5]))))


def _forget_proof(host: Host) -> None:
    """Nobody knows what runs, or will in a moment."""
    host.findings.running_md5 = ""
    state = host.memory.state._replace(proof=None)
    host.memory.put_if_possible(state, host.journal)


def _back_to_old(
    host: Host, before: Service, failure: ReloadFailed, *, is_half_changed: bool
) -> Service:
    """The service, running the old file again. `ReloadFailed` says what HAProxy does not do."""
    host = _with_all_time(host)
    service = host.discovery.find()
    if service is None:
        return _started_again(host, before)
    # The master may be at the refused file still, and fork a worker that runs it: the old one has to come behind that.
    is_pending = failure.reason == NO_NEW_WORKER
    must_load = is_pending or is_half_changed or not _listens(service)
    if must_load or service.worker != before.worker:
        return _reloaded(host, before, service)
    if _has_lost_stats_socket(host, service):
        return _with_stats_socket(host, service)
    return service


def _with_all_time(host: Host) -> Host:
    """With all that is left of the run for a load, since nothing comes behind it."""
    seconds = patience.for_last_load(patience.left())
    return host._replace(load_seconds=seconds, is_rollback=True)


def _started_again(host: Host, before: Service) -> Service:
    try:
        return start_again(host, before)
    except ReloadFailed:
        raise ReloadFailed("HAProxy does not start with the old file") from None


def _reloaded(host: Host, before: Service, service: Service) -> Service:
    present = host.old if service.worker == before.worker else host.new
    try:
        return reload(host, service, present, host.old)
    except ReloadFailed as failure:
        # One that dies again and again may have died of the refused file once more.
        if host.discovery.find() is None:
            return _started_again(_with_all_time(host), before)
        said = f"HAProxy does not reload the old file: {failure.reason}"
        raise ReloadFailed(said) from None


def _listens(service: Service) -> bool:
    return service.worker is not None and sockets.listens(service.worker.pid)


def _has_lost_stats_socket(host: Host, service: Service) -> bool:
    """A failed start takes it away from the old process."""
    path = host.old.stats_socket.path
    return _is_socket(path) and is_silent(service, host.old)


def _is_socket(path: str) -> bool:
    try:
        return stat.S_ISSOCK(os.stat(path).st_mode)
    except OSError:
        return False


def _with_stats_socket(host: Host, service: Service) -> Service:
    """The old file once more, for its stats socket; else the service goes on without."""
    try:
        return reload(host, service, host.old, host.old)
    except ReloadFailed:
        host.journal.note("stats-socket-lost")
        return host.discovery.find() or service
