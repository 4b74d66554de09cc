"""The proof that a worker runs the live file: what is proven is written last."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from haproxy_apply.state import Proof, began_seconds

if TYPE_CHECKING:
    from haproxy_apply.files import LiveFile
    from haproxy_apply.host import Host
    from haproxy_apply.model import Model
    from haproxy_apply.processes import Service
    from haproxy_apply.state import Memory

FORK_SECONDS = 2  # a worker reads the file before it is forked


def find_proof(memory: Memory, live: LiveFile, service: Service | None) -> Proof | None:
    """What the present worker is proven to run: our own record says so, or it began after the file's last change."""
    if service is None or service.worker is None:
        return None
    recorded = memory.state.proof
    if recorded and recorded.worker == service.worker:
        return recorded
    return Proof(live.md5, service.worker) if _is_aged(memory, live, service) else None


def _is_aged(memory: Memory, live: LiveFile, service: Service) -> bool:
    """Whether the worker can only have read the live file, since it began after the last change of that."""
    # A run that was killed on its way may have left a worker that read the other file.
    if not live.md5 or memory.state.was_interrupted or _others_serve(service):
        return False
    began = began_seconds(service.worker) if service.worker else 0
    return began >= _changed_seconds(live) + FORK_SECONDS


def _others_serve(service: Service) -> bool:
    """A run that was killed before it stopped the old process leaves two that serve."""
    from haproxy_apply.sockets import listens

    return any(pid != service.root.pid and listens(pid) for pid in service.roots)


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
