"""Whether a new process can take the place of the HAProxy that runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from haproxy_apply import durable, units
from haproxy_apply.errors import failed
from haproxy_apply.processes import MASTER_WORKER
from haproxy_apply.sockets import listens

if TYPE_CHECKING:
    from haproxy_apply.model import Model
    from haproxy_apply.processes import Process, Service

REASON = "not-replaceable"
_NO_MASTER = (
    "HAProxy runs with a master by the line master-worker alone, which the new file lacks:"
    " restart HAProxy with that file, or start it with -W"
)


def check(service: Service) -> None:
    """`Ended`: `not-replaceable`."""
    found = obstacle(service)
    if found:
        raise failed(16, REASON, found)


def check_master(service: Service, loaded: Model) -> None:
    """`Ended`: `not-replaceable`: a reload makes no daemon of a master. `loaded` is all that the next worker reads."""
    is_by_file = service.style == MASTER_WORKER and not service.root.command.master_mode
    if is_by_file and not loaded.has_master:
        raise failed(16, REASON, _NO_MASTER)


def obstacle(service: Service) -> str:
    """What keeps a new process from taking its place; empty: nothing does."""
    if service.style == MASTER_WORKER:
        return ""  # it replaces its workers itself, and leaves everybody else alone
    held = service.root if service.root in service.held else _beside(service)
    return _held(held) if held else _of_unit(service.root)


def _beside(service: Service) -> Process | None:
    """Another one in the foreground; one that finishes its connections holds nobody up."""
    return next((each for each in service.held if listens(each.pid)), None)


def _of_unit(daemon: Process) -> str:
    """A daemon that systemd started can be replaced by systemd alone, and a user's own is not ours to ask."""
    users = units.of_user(daemon.pid)
    if users:
        return f"{users} is a unit of a user's own systemd: start it by one of the system's, or with -W"
    unit = units.find(daemon.pid)
    if not unit or units.can_reload(unit):
        return ""
    return f"{unit} cannot be reloaded: it has no ExecReload"


def _held(process: Process) -> str:
    """Whoever started it would start it again, beside the new one."""
    name = durable.read_text(f"/proc/{process.parent}/comm").strip()
    parent = f", a child of {process.parent} ({name})" if name else ""
    return f"process {process.pid} runs in the foreground{parent}: start it with -W, which can be reloaded there"
