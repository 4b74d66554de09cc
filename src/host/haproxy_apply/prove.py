"""The proof that a worker runs the live file: what is proven is written last."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from haproxy_apply import admin_socket, durable, load
from haproxy_apply.state import Proof, began_seconds

if TYPE_CHECKING:
    from haproxy_apply.files import LiveFile
    from haproxy_apply.host import Host
    from haproxy_apply.model import Model
    from haproxy_apply.processes import Service
    from haproxy_apply.state import Memory

_STAYS_IN_FOREGROUND = "-Ws"


def find_proof(memory: Memory, live: LiveFile, service: Service | None) -> Proof | None:
    """What the present worker is proven to run: our own record says so, or its load began after the file's change."""
    if service is None or service.worker is None:
        return None
    recorded = _recorded(memory, service)
    if recorded:
        return recorded
    return Proof(live.md5, service.worker) if _is_aged(memory, live, service) else None


def _recorded(memory: Memory, service: Service) -> Proof | None:
    """Our own record of this worker, unless a run that was killed left its master at the load of the other file."""
    proof = memory.state.proof
    if proof is None or proof.worker != service.worker:
        return None
    is_passing = memory.state.was_interrupted and load.is_under_way(service)
    return None if is_passing else proof


def _is_aged(memory: Memory, live: LiveFile, service: Service) -> bool:
    """Whether the worker can only have read the live file, since its load began after the last change of that."""
    # A run that was killed on its way may have left a worker that read the other file.
    if not live.md5 or memory.state.was_interrupted or _others_serve(service):
        return False
    began = _load_began(live, service)
    return began is not None and began >= _changed_seconds(live) + load.SURE_SECONDS


def _load_began(live: LiveFile, service: Service) -> int | None:
    """In seconds of the epoch: as the worker says, or not before its master was started; None: nobody knows.

    A worker is no older than the end of its load, nor is what goes into the background after that.
    """
    from haproxy_apply.model import read

    path = read(durable.read_text(live.path)).stats_socket.path
    began = load.began(admin_socket.answer_of(path, service.worker_pid)[0])
    if began is None and service.command.master_mode == _STAYS_IN_FOREGROUND:
        began = began_seconds(service.root.start)
    return began


def _others_serve(service: Service) -> bool:
    """A run that was killed before it stopped the old process leaves two that serve."""
    from haproxy_apply.sockets import listens

    others = {*service.roots} - {service.root.pid}
    return any(map(listens, others))


def _changed_seconds(live: LiveFile) -> int:
    """When the file, or the link to it, was last changed."""
    return max(int(os.lstat(path).st_ctime) for path in (live.path, live.config_path))


def prove(host: Host, service: Service, model: Model) -> None:
    """The present worker runs the live file, and this is what that says."""
    from haproxy_apply.health import remember_model
    from haproxy_apply.loaded_files import remember

    md5 = host.findings.md5_after
    host.findings.running_md5 = md5
    if service.worker is None:
        return
    proof = Proof(md5, service.worker)
    installed = (md5,) if md5 else ()
    state = host.memory.state._replace(installed=installed, proof=proof)
    host.memory.put_if_possible(state, host.journal)
    try:
        remember_model(proof, model)
        remember(host, proof, model)
    except OSError:
        host.journal.note("state-not-saved")
