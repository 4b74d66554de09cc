"""A new process runs the file: by the master, beside the daemon, or by systemd."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from haproxy_apply import (
    admin_socket,
    commands,
    durable,
    health,
    leaving,
    load,
    loaded_files,
    old_workers,
    patience,
    sockets,
    units,
)
from haproxy_apply.drop_window import (
    DropWindow,
    can_migrate_handshakes,
    migrate_handshakes,
)
from haproxy_apply.errors import Interrupted, ReloadFailed
from haproxy_apply.haproxy import alerts
from haproxy_apply.model import cannot_share
from haproxy_apply.processes import DAEMON, MASTER_WORKER
from haproxy_apply.state import START_LOG
from haproxy_apply.surroundings import let_read
from haproxy_apply.waiting import NO_NEW_WORKER, Waiting
from haproxy_apply.watch import watch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from haproxy_apply.host import Host
    from haproxy_apply.model import Model
    from haproxy_apply.processes import Service

POLL_SECONDS = 0.02
STOP_SECONDS = 1
SUPERVISOR_SECONDS = (
    30  # most of them wait for a second or a few before they start it again
)

SYN_DROP, SEAMLESS = "syn-drop", "seamless"
OVERRIDES = "state-overrides-file"
_MAX_LOG = 2000  # characters of what a start says
_NO_HANDOVER = "sockets from the old process"


class Method(NamedTuple):
    """How the listening sockets go from the old process to the new one."""

    name: str
    takes_sockets: bool = False  # by -x; else the master or the kernel hands them over


class Reload(NamedTuple):
    """One reload, with what was there before it."""

    host: Host
    before: Service
    present: Model  # of the process that is there
    awaited: Model  # of the worker which comes next
    method: Method

    @property
    def drops(self) -> bool:
        """Whether new SYNs are dropped while the old process stops."""
        return self.method.name == SYN_DROP


def reload(host: Host, service: Service, expected: Model, awaited: Model) -> Service:
    """HAProxy runs this one of the host's files, and its new worker has lived through its watch: the service then.

    `expected` is the file that the present worker most likely runs. `ReloadFailed` leaves whatever processes there are.
    A worker whose servers are not the file's is reloaded once more, without a saved state.
    """
    host, service = _behind_other_loads(host, service)
    present = _present_model(host, service, expected)
    let_read(host.haproxy.surroundings.account, awaited.server_state_file)
    loaded_files.before_load(host, awaited)
    try:
        health.save(host, service, present, awaited)
        after, differences = _reloaded(host, service, present, awaited)
    finally:
        health.forget(awaited)
    if differences:
        host.journal.note(OVERRIDES)
        after, differences = _reloaded(host, after, awaited, awaited)
        host.findings.overridden = health.overridden(host, awaited, differences)
    health.leave(present, awaited)
    health.untouch()
    if is_silent(after, awaited):
        host.journal.note("stats-socket-gone")
    return after


def _reloaded(
    host: Host, service: Service, present: Model, awaited: Model
) -> tuple[Service, list[str]]:
    """The service with its new worker, and what that had otherwise than its file when it was ready."""
    can_migrate = partial(migrate_handshakes, host.journal)
    method = _choose_method(host, service, present, can_migrate)
    this = Reload(host, service, present, awaited, method)
    window = DropWindow(host.request.listen_ports, host.journal)
    try:
        leaving.settle(host, service, present, awaited)
        with window:
            after = _perform(this, window)
        # At once: later it would be hard to tell from what somebody sets at run time.
        differences = health.differences(host, awaited, after)
        after = watch(host, awaited, service, after)
    except (ReloadFailed, Interrupted):
        leaving.undo(host.journal)
        raise
    finally:
        host.findings.window_ms += window.milliseconds
    leaving.forget()
    old_workers.signal_again(host.journal, after, service)
    return after, differences


def _behind_other_loads(host: Host, service: Service) -> tuple[Host, Service]:
    """The service once its master can hear a signal, and the host with the time that is left for the load."""
    if not load.is_under_way(service):
        return host, service
    began = time.monotonic()
    if not load.is_over_within(service, host.load_seconds):
        raise ReloadFailed(NO_NEW_WORKER, "the master is at another load")
    left = host.load_seconds - (time.monotonic() - began)
    host = host._replace(load_seconds=max(left, patience.LEAST_SECONDS))
    return host, host.discovery.find() or service


def is_silent(service: Service, model: Model) -> bool:
    """Whether there is a worker of this file with a stats socket on which it cannot be asked."""
    path = model.stats_socket.path
    return path != "" and service.worker is not None and not service.answers_on(path)


def method_of(host: Host, service: Service) -> str:
    """The method that `reload` would use for the host's new file, as far as that is known without doing it."""
    present = _present_model(host, service, host.old)
    return _choose_method(host, service, present, can_migrate_handshakes).name


def start_again(host: Host, before: Service) -> Service:
    """HAProxy died: the service, started the way it ran before. `ReloadFailed`: it does not start."""
    waiting = Waiting.of(host, before, host.old)
    command = before.command
    if host.unit:
        units.restart(host.unit, waiting.left)
    elif before.root.has_supervisor and os.path.isdir(f"/proc/{before.root.parent}"):
        _wait_for_supervisor(host)
    else:
        master = [command.master_mode] if command.master_mode else []
        socket = ["-S", command.master_socket] if command.master_socket else []
        with suppress(ReloadFailed):  # somebody else may start it meanwhile
            start(host, *master, *socket)
    return waiting.for_new_worker()


def _wait_for_supervisor(host: Host) -> None:
    """Whoever started it starts it again; a second one beside that would be nobody's."""
    deadline = time.monotonic() + SUPERVISOR_SECONDS
    while host.discovery.find() is None and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)


def _present_model(host: Host, service: Service, expected: Model) -> Model:
    """The file on whose socket the worker answers; of several, or of none, the one that was expected."""
    every = (expected, host.old, host.new)
    answering = (each for each in every if service.answers_on(each.stats_socket.path))
    return next(answering, expected)


def _choose_method(
    host: Host, service: Service, present: Model, can_migrate: Callable[[], bool]
) -> Method:
    """What was asked for, as far as this host can."""
    if host.request.reload_method == SYN_DROP:
        return Method(SYN_DROP)
    if service.style == MASTER_WORKER and _hands_over(host, present):
        return Method(SEAMLESS)
    if service.style == DAEMON and not host.unit and _exposes(present):
        return Method(SEAMLESS, takes_sockets=True)
    return _without_sockets(host, service, can_migrate)


def _without_sockets(
    host: Host, service: Service, can_migrate: Callable[[], bool]
) -> Method:
    """The kernel moves what waits on a daemon's listeners, or there is a drop window."""
    if service.style == DAEMON and not _must_go_first(host) and can_migrate():
        return Method(SEAMLESS)
    return Method(SYN_DROP)


def _must_go_first(host: Host) -> bool:
    """Whether a daemon has to end before the next one can listen. A unit's own reload knows what it does."""
    return not host.unit and cannot_share(host.old, host.new)


def _hands_over(host: Host, present: Model) -> bool:
    """Whether the master hands its listening sockets to a new worker: from 2.6 on (docs/host.md) it always does."""
    return bool(present.exposing_socket.path) or host.haproxy.is_at_least(2, 6)


def _exposes(present: Model) -> bool:
    return admin_socket.answer(present.exposing_socket.path, "show info") != ""


def _perform(this: Reload, window: DropWindow) -> Service:
    """By whoever is in charge of the process."""
    this.host.findings.method = this.method.name
    if this.before.style == MASTER_WORKER:
        return _reload_master(this, window)
    if this.host.unit:
        return _reload_unit(this, window)
    return _reload_daemon(this, window)


def _reload_master(this: Reload, window: DropWindow) -> Service:
    """USR2: the master loads the file and hands its sockets to a new worker."""
    waiting = _waiting(this, window)
    # Where it hands them over, the drop window waits for the new worker: parsing takes most of a reload.
    if this.drops and not _hands_over(this.host, this.present):
        _open(this, window)
    _signal([this.before.root.pid], signal.SIGUSR2)
    return waiting.for_new_worker()


def _waiting(this: Reload, window: DropWindow) -> Waiting:
    return Waiting.of(
        this.host,
        this.before,
        this.awaited,
        window if this.drops else None,
        answers=not _is_lost(this),
    )


def _is_lost(this: Reload) -> bool:
    """Whether the new worker will not answer either: a master hands over also a socket whose file is gone."""
    is_same = this.awaited.stats_socket.path == this.present.stats_socket.path
    is_master = this.before.style == MASTER_WORKER
    return is_same and is_master and is_silent(this.before, this.present)


def _reload_unit(this: Reload, window: DropWindow) -> Service:
    """A daemon that systemd started must stay in its unit."""
    waiting = _waiting(this, window)
    if this.drops:
        _open(this, window)
    units.reload(this.host.unit, waiting.left)
    return waiting.for_new_worker()


def _reload_daemon(this: Reload, window: DropWindow) -> Service:
    """The new process first, so that the drop window covers only the old one's stop."""
    waiting = _waiting(this, window)
    if this.method.takes_sockets:
        if _start_with_sockets(this):
            return _replace(this, window, waiting)
        can_migrate = partial(migrate_handshakes, this.host.journal)
        method = _without_sockets(this.host, this.before, can_migrate)
        return _perform(this._replace(method=method), window)
    if _must_go_first(this.host):
        _open(this, window)
        start(this.host, "-sf", *map(str, this.before.roots))
        return waiting.for_new_worker()
    start(this.host)
    return _replace(this, window, waiting)


def _start_with_sockets(this: Reload) -> bool:
    """Start beside the old process, with its sockets; false where it hands none over: it runs another file."""
    try:
        start(this.host, "-x", this.present.exposing_socket.path)
    except ReloadFailed:
        if _NO_HANDOVER not in durable.read_text(START_LOG):
            raise
        return False
    return True


def _replace(this: Reload, window: DropWindow, waiting: Waiting) -> Service:
    """The new process serves; then the old ones finish what they have."""
    after = waiting.for_new_worker()
    # To a master, SIGUSR1 is the end of a service that systemd then starts again.
    others = {*this.before.roots} - {after.root.pid, *after.masters}
    if this.drops:
        _open(this, window)
    _signal(others, signal.SIGUSR1)
    for pid in others:
        _wait_until_deaf(pid)
    return after


def _open(this: Reload, window: DropWindow) -> None:
    """Open the drop window in time for an old process that takes its listeners with it, and all who wait on them."""
    window.open()
    sockets.let_handshakes_end(this.host.request.listen_ports)


def start(host: Host, *arguments: str) -> None:
    """A new process beside the old one, which nobody signals yet. `ReloadFailed`: at once where it cannot bind."""
    said = host.haproxy.start(*arguments, seconds=host.load_seconds)
    if said.status == commands.TIMED_OUT:
        detail = f"no load within {host.load_seconds:.0f} s"
        raise ReloadFailed("start-failed", detail)
    if said.status != 0:
        host.journal.add(said.output[:_MAX_LOG])
        raise ReloadFailed("start-failed", alerts(said))


def _signal(pids: Iterable[int], number: int) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def _wait_until_deaf(pid: int) -> None:
    """It accepts nothing any more, or has had its second."""
    deadline = time.monotonic() + STOP_SECONDS
    while sockets.listens(pid) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
