"""The health of servers across a reload: saved for the new worker just before, forgotten just after."""

from __future__ import annotations

from typing import TYPE_CHECKING

from haproxy_apply import admin_socket, durable
from haproxy_apply.state import PROVEN_MODEL, TOUCHED, Proof

if TYPE_CHECKING:
    from haproxy_apply.host import Host
    from haproxy_apply.model import Model
    from haproxy_apply.processes import Service

_NOTHING = "1\n"
"""A server-state file without servers: its format version alone."""
_MAX_DIFFERENCES = 3
_NO_WARNING = "-dW"
"""The option that means what `zero-warning` does."""


def save(host: Host, service: Service, present: Model, awaited: Model) -> None:
    """The new worker shall believe of the servers what the present one knows."""
    forget(awaited)  # a run that was killed leaves one
    if not present.stats_socket.path:
        host.journal.note("server-state-not-saved")
    elif not awaited.server_state_file:
        host.journal.note("server-state-not-configured")
    else:
        _save_unless_warned_of(host, service, present, awaited)


def _save_unless_warned_of(
    host: Host, service: Service, present: Model, awaited: Model
) -> None:
    from haproxy_apply.leaving import names_told
    from haproxy_apply.other_files import OtherFiles
    from haproxy_apply.saved_state import merged

    files = OtherFiles.of(host)
    whole = files.whole(awaited)
    # HAProxy warns of each server that a saved state takes out, and then loads nothing.
    if whole.allows_no_warning or _NO_WARNING in host.haproxy.command.options:
        host.journal.note("zero-warning-no-state")
        return
    path = present.stats_socket.path
    _info, answer = admin_socket.servers_of(path, service.worker_pid)
    proven = _proven_model(host, service)
    old = files.beside(proven) if proven else None
    ours = touched() | names_told(service)
    if not answer or not _write(
        awaited.server_state_file, merged(answer, old, whole, ours)
    ):
        host.journal.note("server-state-not-saved")


def differences(host: Host, awaited: Model, service: Service) -> list[str]:
    """What the worker of this file has otherwise than the file; nothing where it cannot be asked."""
    from haproxy_apply.contradictions import contradictions
    from haproxy_apply.other_files import OtherFiles

    path, pid = awaited.stats_socket.path, service.worker_pid
    _info, answer = admin_socket.servers_of(path, pid)
    return contradictions(answer, OtherFiles.of(host).whole(awaited))


def overridden(host: Host, awaited: Model, differing: list[str]) -> str:
    """What a saved state that is not ours makes of the file; empty where it is somebody else's doing at run time."""
    if not differing:
        return ""
    path = awaited.server_state_file
    is_written = bool(path) and durable.read_text(path) != _NOTHING
    if is_written or awaited.loads_own_states:
        return "; ".join(differing[:_MAX_DIFFERENCES])
    host.journal.note("servers-changed-meanwhile")
    return ""


def forget(awaited: Model) -> None:
    """A start much later must not believe it."""
    if awaited.server_state_file and durable.read(awaited.server_state_file):
        _write(awaited.server_state_file, _NOTHING)


def leave(present: Model, awaited: Model) -> None:
    """The file of states of which the new config knows nothing is gone, where nothing of somebody else's is in it."""
    path = present.server_state_file
    is_named = path in {"", awaited.server_state_file}
    if not is_named and durable.read_text(path) == _NOTHING:
        durable.remove(path)


def _write(path: str, text: str) -> bool:
    try:
        durable.write_text(path, text, mode=durable.PUBLIC)
    except OSError:
        return False
    return True


def _proven_model(host: Host, service: Service) -> Model | None:
    """What the worker is proven to run; None if nobody knows."""
    worker = service.worker
    if worker is None:
        return None
    if host.memory.state.proof == Proof(host.ran, worker):
        return host.old
    # Somebody edited the file since, or a change at run time stopped half-way: what that one did is in TOUCHED.
    from haproxy_apply.model import load

    head, _newline, text = durable.read_text(PROVEN_MODEL).partition("\n")
    kind, _tab, proof = head.partition("\t")
    md5, _blank, identity = proof.partition(" ")
    if kind != "M" or identity != str(worker):
        return None
    return load(text) if host.findings.running_md5 in {"", md5} else None


def remember_model(proof: Proof, model: Model) -> None:
    """What the worker was proven to run, for the day when somebody has edited the file since (`OSError`)."""
    from haproxy_apply.model import dump

    durable.write_text(PROVEN_MODEL, f"M\t{proof}\n{dump(model)}")


def touched() -> frozenset[str]:
    """The servers of which the worker says what is our own doing, so that no reload may carry it over."""
    return frozenset(durable.read_text(TOUCHED).split())


def touch(servers: frozenset[str]) -> None:
    """Remember these, and only these, as touched; on the disk when it returns (`OSError`)."""
    durable.write_text(TOUCHED, "".join(f"{server}\n" for server in sorted(servers)))


def untouch() -> None:
    """A new worker has nothing of our doing."""
    durable.remove(TOUCHED)
