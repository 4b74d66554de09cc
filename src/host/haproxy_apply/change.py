"""The change: checked, backed up, installed by one rename, then activated."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from haproxy_apply import checks, durable, files, haproxy, ownership
from haproxy_apply.activate import activate
from haproxy_apply.errors import Ended, Verdict, failed
from haproxy_apply.host import Host
from haproxy_apply.model import read
from haproxy_apply.prove import prove
from haproxy_apply.rollback import restore
from haproxy_apply.state import STATE

if TYPE_CHECKING:
    from haproxy_apply.apply import Run
    from haproxy_apply.files import Backup
    from haproxy_apply.model import Model
    from haproxy_apply.processes import Service
    from haproxy_apply.state import State

NOT_ACTIVATED = Verdict(0, "repaired", "not-activated")


def change(run: Run, service: Service | None, content: bytes) -> Verdict:
    """The content is installed, and run by HAProxy if that runs at all. `Ended`: every end but a good one."""
    host = _checked(run, service, content)
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
    if run.findings.running_md5 == run.request.md5:
        prove(host, service, host.new)
    else:
        activate(host, service)
    return verdict


def _checked(run: Run, service: Service | None, content: bytes) -> Host:
    """The host with a candidate that this host's HAProxy takes. `Ended` says what is wrong with it."""
    # Where services run: relative names in a config mean the same to a check, to a start and to us.
    os.chdir("/")
    binary = haproxy.find(run.request, service)
    run.findings.haproxy_version = binary.version
    files.make_candidate(run.live, content, run.request.sha256)
    checks.check_candidate(binary, run.live, run.journal)
    fallback = _backup_of_what_ran(run)
    host = Host(
        *run,
        haproxy=binary,
        fallback=fallback,
        old=_old_model(run, fallback),
        new=read(content.decode("latin-1")),
    )
    run.discovery.name_pid_files(host.old.pid_file, host.new.pid_file)
    checks.check_directories(host.new)
    if service and run.live.md5:
        _check_binds(host)
    return host


def _backup_of_what_ran(run: Run) -> Backup | None:
    """The file to go back to where the live one was never activated; any other gets a backup of its own."""
    if run.live.md5 != run.request.md5:
        return None
    installed = run.memory.state.installed
    ran = run.findings.running_md5 or (installed[0] if installed else "")
    return files.find_backup(run.live, ran)


def _old_model(run: Run, fallback: Backup | None) -> Model:
    """Of the file that ran before; an empty one where there was none."""
    path = fallback.path if fallback else run.live.path
    return read(durable.read_text(path))


def _check_binds(host: Host) -> None:
    """Every address that is new in the file can be bound. `Ended`: `cannot-bind`."""
    is_known = host.live.md5 != host.request.md5 or host.fallback is not None
    cannot = checks.unbindable(host.haproxy, host.old if is_known else None, host.new)
    if not cannot:
        return
    if host.fallback is None:
        raise failed(19, "cannot-bind", cannot)
    # The host must not start with a file that cannot start.
    try:
        restore(host)
    except OSError:
        raise failed(19, "cannot-bind", cannot) from None
    host.memory.put_if_possible(host.memory.state, host.journal)
    raise Ended(20, "rolled-back", "cannot-bind", cannot)


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
