"""All that is judged of a candidate before the live file is touched, alike for an apply and for a check."""

from __future__ import annotations

import os
import time
from functools import partial
from itertools import takewhile
from typing import TYPE_CHECKING

from haproxy_apply import (
    conditions,
    durable,
    files,
    haproxy,
    patience,
    preflight,
    replacement,
)
from haproxy_apply.errors import Ended, failed
from haproxy_apply.host import Host
from haproxy_apply.model import read
from haproxy_apply.other_files import OtherFiles
from haproxy_sync.config.unsafe import refused, says

if TYPE_CHECKING:
    from collections.abc import Callable

    from haproxy_apply.apply import Run
    from haproxy_apply.conditions import Told
    from haproxy_apply.files import Backup, LiveFile
    from haproxy_apply.haproxy import HAProxy
    from haproxy_apply.model import Model
    from haproxy_apply.processes import Service


def examine(
    run: Run, service: Service | None, content: bytes, make: Callable[[], str]
) -> Host:
    """The host with a candidate that this host's HAProxy takes. `Ended` says what is wrong with it.

    `make` puts the candidate where HAProxy is to read it, and gives its path.
    """
    text = content.decode("latin-1")
    _check_keywords(run, text)
    if service and run.findings.running_md5 != run.request.md5:
        replacement.check(service)
    binary = haproxy.find(run.request, service, run.live)
    run.findings.haproxy_version = binary.version
    candidate = make()
    # Where it runs: relative names in a config mean the same to a check, to a start and to us.
    os.chdir(binary.surroundings.directory)
    began = time.monotonic()
    _check(run, binary, candidate)
    checked = time.monotonic() - began
    fallback = _backup_of_what_ran(run)
    told = partial(binary.told, _read_before(binary, run.live))
    # The environment of a HAProxy that is stopped is not known: nothing is judged that stands under a condition.
    judged = told(text) if service else None
    host = Host(
        *run,
        haproxy=binary,
        fallback=fallback,
        old=_old_model(run, fallback, told),
        new=read(text, judged or conditions.NONE_TAKEN),
        check_seconds=checked,
        load_seconds=patience.for_load(checked, patience.left()),
    )
    if service and is_activation(host):
        # Of conditions that HAProxy does not decide, any may hold.
        whole = OtherFiles.of(host, text).whole(read(text, judged))
        replacement.check_master(service, whole)
    run.discovery.name_pid_files(*_pid_files(host))
    preflight.check_directories(host.new, is_running=service is not None)
    return host


def _check_keywords(run: Run, text: str) -> None:
    """`Ended`: `unsafe-keyword`, before HAProxy reads any of it: already its check runs code and writes files."""
    request = run.request
    unsafe = refused(text, request.config_path, request.allowed)
    if unsafe:
        raise failed(17, "unsafe-keyword", says(unsafe, request.allowed))


def _pid_files(host: Host) -> tuple[str, ...]:
    """Those that name the service; none where the next worker writes none: the old one's names the old one for ever."""
    named = host.new.pid_file
    return (host.old.pid_file, named) if named else ()


def _check(run: Run, binary: HAProxy, candidate: str) -> None:
    """`Ended`: `invalid-config`, unless that may be for want of files that nobody knows of."""
    try:
        preflight.check_candidate(binary, run.live, candidate, run.journal)
    except Ended:
        if binary.is_known:
            raise
        run.journal.note("not-checked-with-its-other-files")


def unbindable(host: Host, service: Service | None, file: str) -> str:
    """What HAProxy says of addresses that are new and cannot be bound; empty: all can, or nothing runs.

    `file` is written for HAProxy. `Ended`: `state-unwritable`.
    """
    if service is None or not host.live.md5:
        return ""
    is_known = host.live.md5 != host.request.md5 or host.fallback is not None
    old = host.old if is_known else None
    return preflight.unbindable(host.haproxy, old, host.new, file)


def is_activation(host: Host) -> bool:
    """Whether the running worker is not proven to run the candidate already."""
    return host.findings.running_md5 != host.request.md5


def _backup_of_what_ran(run: Run) -> Backup | None:
    """The file to go back to where the live one was never activated; any other gets a backup of its own."""
    if run.live.md5 != run.request.md5:
        return None
    installed = run.memory.state.installed
    ran = run.findings.running_md5 or (installed[0] if installed else "")
    return files.find_backup(run.live, ran)


def _read_before(binary: HAProxy, live: LiveFile) -> tuple[str, ...]:
    """The files that HAProxy reads before the live one."""
    names = files.loaded(binary.command.files, live)
    first = takewhile(lambda name: not live.is_meant_by(name), names)
    return tuple(map(durable.read_text, first))


def _old_model(
    run: Run, fallback: Backup | None, told: Callable[[str], Told | None]
) -> Model:
    """Of the file that ran before; an empty one where there was none."""
    text = durable.read_text(fallback.path if fallback else run.live.path)
    return read(text, told(text))
