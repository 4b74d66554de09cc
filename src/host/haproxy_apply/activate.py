"""The installed file comes to run: by a change at run time if it fits, else by a reload, else the old one again."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING

from haproxy_apply import admin_socket, health, units
from haproxy_apply.errors import ReloadFailed, failed
from haproxy_apply.prove import prove
from haproxy_apply.reload import OVERRIDES, reload
from haproxy_apply.reload import method_of as reload_method_of
from haproxy_apply.rollback import roll_back

if TYPE_CHECKING:
    from collections.abc import Callable

    from haproxy_apply.host import Host
    from haproxy_apply.processes import Service
    from haproxy_apply.runtime_change import Step


RUNTIME = "runtime"


def method_of(host: Host, service: Service) -> str:
    """The method that `activate` would use, as far as that is known without doing it."""
    host = host._replace(unit=units.find(service.root.pid))
    if _fitting_steps(host) is not None:
        return RUNTIME
    return reload_method_of(host, service)


def activate(host: Host, service: Service) -> None:
    """The worker is proven to run the new file. `Ended`: `rolled-back`, or worse."""
    host = host._replace(unit=units.find(service.root.pid))
    steps = _fitting_steps(host)
    if steps is not None and _change_at_runtime(host, steps):
        host.findings.method = RUNTIME
        prove(host, service, host.new)
        return
    try:
        after = reload(host, service, host.old, host.new)
    except ReloadFailed as failure:
        is_half_changed = steps is not None
        raise roll_back(
            host, service, failure, is_half_changed=is_half_changed
        ) from None
    if host.findings.overridden:
        # Nothing is proven, so the next run tries again. The old file would be overruled as well.
        host.findings.running_md5 = ""
        raise failed(33, OVERRIDES, host.findings.overridden)
    prove(host, after, host.new)


def _fitting_steps(host: Host) -> tuple[Step, ...] | None:
    """The steps to the new file without a new process; None where it takes one."""
    if not host.request.wants_runtime_change or not _may_change(host):
        return None
    return _possible_steps(host) if _has_loaded_all(host) else None


def _possible_steps(host: Host) -> tuple[Step, ...] | None:
    """Those that the worker is able to take, as it says itself."""
    from haproxy_apply.runtime_change import fitting_steps, is_able, takes_servers

    if not takes_servers(host.old, host.new, _version(host)):
        return None
    steps = fitting_steps(host.old, host.new, _server_state(host))
    return steps if is_able(steps or (), _tell(host)) else None


def _may_change(host: Host) -> bool:
    """Only what is proven to run, over a socket that may, with one file, and where nothing but servers differs."""
    files = host.haproxy.command.files
    return (
        host.findings.running_md5 == host.live.md5
        and host.old.stats_socket.is_admin
        and len(files) == 1
        and os.path.isfile(files[0])
        and host.old.rest == host.new.rest
    )


def _has_loaded_all(host: Host) -> bool:
    """Whether the worker has the files that the config names as they are now: no change at run time brings them."""
    from haproxy_apply import loaded_files

    proof = host.memory.state.proof
    return proof is not None and not loaded_files.differ(host, proof.worker, host.old)


def _change_at_runtime(host: Host, steps: tuple[Step, ...]) -> bool:
    """Whether the worker has the servers of the new file now; else a reload has to do it."""
    from haproxy_apply.runtime_change import Refused, carry_out
    from haproxy_apply.server_state import runs

    # A kill from here on leaves a worker that is proven to run nothing, which the next run repairs.
    host.findings.running_md5 = ""
    try:
        health.touch(health.touched() | {step.name for step in steps})
        host.memory.put(host.memory.state._replace(proof=None))
        staying = carry_out(steps, _tell(host), host.journal)
    except (OSError, Refused):
        return False
    if not runs(_server_state(host), host.new):
        return False
    try:
        health.touch(frozenset(staying))
    except OSError:
        host.journal.note("state-not-saved")
    return True


def _server_state(host: Host) -> str:
    return admin_socket.servers_of(*_worker(host))[1]


def _version(host: Host) -> str:
    """Of the worker: the binary may have been replaced since it began."""
    info = admin_socket.answer_of(*_worker(host))[0]
    said = dict(line.partition(": ")[::2] for line in info.splitlines())
    return said.get("Version", "")


def _worker(host: Host) -> tuple[str, int]:
    """Where it answers, and which process it is: another one may answer there, too."""
    service = host.discovery.last
    return host.old.stats_socket.path, service.worker_pid if service else 0


def _tell(host: Host) -> Callable[[str], str]:
    return partial(admin_socket.ask, host.old.stats_socket.path)
