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


def save(host: Host, service: Service, present: Model, awaited: Model) -> None:
    """The new worker shall believe of the servers what the present one knows."""
    forget(awaited)  # a run that was killed leaves one
    if not present.stats_socket.path:
        host.journal.note("server-state-not-saved")
    elif not awaited.server_state_file:
        host.journal.note("server-state-not-configured")
    elif not _save(host, service, present, awaited):
        host.journal.note("server-state-not-saved")


def _save(host: Host, service: Service, present: Model, awaited: Model) -> bool:
    from haproxy_apply.leaving import names_told
    from haproxy_apply.saved_state import merged

    answer = admin_socket.answer(present.stats_socket.path, "show servers state")
    if not answer.startswith("1\n#"):
        return False
    proven = _proven_model(host, service)
    ours = touched() | names_told(service)
    return _write(awaited.server_state_file, merged(answer, proven, awaited, ours))


def forget(awaited: Model) -> None:
    """A start much later must not believe it."""
    if awaited.server_state_file and durable.read(awaited.server_state_file):
        _write(awaited.server_state_file, _NOTHING)


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
