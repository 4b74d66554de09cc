"""The change: checked, backed up, installed by one rename, then activated."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from haproxy_apply import files, ownership, patience, standby
from haproxy_apply.activate import activate
from haproxy_apply.errors import Ended, Verdict, failed
from haproxy_apply.examination import examine, is_activation, unbindable
from haproxy_apply.prove import prove
from haproxy_apply.rollback import restore
from haproxy_apply.state import BINDS, STATE

if TYPE_CHECKING:
    from haproxy_apply.apply import Run
    from haproxy_apply.host import Host
    from haproxy_apply.processes import Service
    from haproxy_apply.state import State

NOT_ACTIVATED = Verdict(0, "repaired", "not-activated")


def change(run: Run, service: Service | None, content: bytes) -> Verdict:
    """The content is installed, and run by HAProxy if that runs at all. `Ended`: every end but a good one."""
    make = partial(files.make_candidate, run.live, content, run.request.sha256)
    host = examine(run, service, content, make)
    if service:
        _check_time(host)
        _remember(host, service)
    cannot = unbindable(host, service, BINDS)
    if cannot:
        raise _cannot_bind(host, cannot)
    # A full disk stops the run here, before there is a backup.
    _put(run, run.memory.state)
    verdict = _verdict(run)
    if verdict != NOT_ACTIVATED:
        host = host._replace(fallback=files.back_up(run.live))
        run.findings.backup = host.fallback.path if host.fallback else ""
    _install(host)
    if service is None:
        state = run.memory.state._replace(proof=None, installed=(run.request.md5,))
        run.memory.put_if_possible(state, run.journal)
        return Verdict(0, "not-running", "stopped")
    if is_activation(host):
        activate(host, service)
    else:
        prove(host, service, host.new)
    return verdict


def _remember(host: Host, service: Service) -> None:
    """How it runs, for the day when it is stopped."""
    try:
        standby.remember(host.haproxy, service.root.pid, host.live)
    except OSError:
        host.journal.note("state-not-saved")


def _check_time(host: Host) -> None:
    """`Ended`: a run that the agent kills in a load would leave nobody to undo it."""
    left = patience.left()
    if is_activation(host) and not patience.is_enough(host.check_seconds, left):
        detail = (
            f"haproxy -c took {host.check_seconds:.0f} s, and {left:.0f} s are left for a load as long, and another "
            "one to undo it"
        )
        raise failed(17, "slow-config", detail)


def _cannot_bind(host: Host, cannot: str) -> Ended:
    """How the run ends then, to be raised: the host must not start with a file that cannot start."""
    if host.fallback is None:
        return failed(19, "cannot-bind", cannot)
    try:
        restore(host)
    except OSError:
        return failed(19, "cannot-bind", cannot)
    host.memory.put_if_possible(host.memory.state, host.journal)
    return Ended(20, "rolled-back", "cannot-bind", cannot)


def _verdict(run: Run) -> Verdict:
    """What the marker says if all goes well."""
    installed = run.memory.state.installed
    if run.live.md5 == run.request.md5:
        return NOT_ACTIVATED
    if installed and run.live.md5 not in installed:
        return Verdict(0, "repaired", "hand-edit")
    reason = "changed" if run.live.md5 else "no-file-before"
    return Verdict(0, "installed", reason)


def _install(host: Host) -> None:
    """The intent first, so that an older command cannot come back after a kill here. `Ended`: nothing is installed."""
    known = host.memory.state
    both = tuple(filter(None, (host.live.md5, host.request.md5)))
    _put(host, ownership.taken(known, host.request)._replace(installed=both))
    files.install(host.live)
    host.findings.md5_after = host.request.md5


def _put(run: Run | Host, state: State) -> None:
    """Remember this before anything else is done. `Ended`: `state-unwritable`."""
    try:
        run.memory.put(state)
    except OSError:
        raise failed(13, "state-unwritable", STATE) from None
