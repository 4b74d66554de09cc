"""What has to be so before the file is touched: HAProxy's own check, and what that does not look at."""

from __future__ import annotations

import os
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from haproxy_apply import (
    bind_addresses,
    durable,
    files,
    relative_names,
)
from haproxy_apply.errors import failed
from haproxy_apply.haproxy import alerts
from haproxy_apply.sockets import held_by_haproxy, is_here
from haproxy_apply.state import STAND_IN
from haproxy_sync.config.language import lines

if TYPE_CHECKING:
    from haproxy_apply.bind_addresses import Held
    from haproxy_apply.files import LiveFile
    from haproxy_apply.haproxy import HAProxy
    from haproxy_apply.journal import Journal
    from haproxy_apply.model import Bind, Model

_NEVER_BOUND = "/dev/null/never"
_BINDS_HEAD = """\
defaults
 mode tcp
 timeout connect 1s
 timeout client 1s
 timeout server 1s
listen new-addresses
"""


def check_candidate(
    haproxy: HAProxy, live: LiveFile, candidate: str, journal: Journal
) -> None:
    """This host's own `haproxy -c`, with the candidate at that path in the place of the live file.

    Any status but 0 is a no (2: it would not start). `Ended`: `invalid-config`.
    """
    tried = [
        _to_try(candidate, file) if live.is_meant_by(file) else file
        for file in files.loaded(haproxy.command.files, live)
    ]
    # Only a master takes programs. Of one HAProxy does not say that no listener is there: it has one of its own.
    needs_master = haproxy.command.master_mode and any(map(_has_program, tried))
    master = [haproxy.command.master_mode] if needs_master else []
    options = chain.from_iterable(("-f", file) for file in tried)
    said = haproxy.check("-c", *master, *haproxy.command.options, *options)
    durable.remove(STAND_IN)
    journal.add(said.output)
    if said.status != 0:
        detail = f"haproxy -c exits {said.status}: {alerts(said)}"
        raise failed(17, "invalid-config", detail)


def _has_program(file: str) -> bool:
    """Whether a file has a section of that kind."""
    return any(
        line.section_keyword == "program" for line in lines(durable.read_text(file))
    )


def _to_try(candidate: str, file: str) -> str:
    """What HAProxy is to read in the place of a file that it has by this name.

    `Ended`: `state-unwritable`.
    """
    directory = os.path.dirname(file)
    content = durable.read(candidate) or b""
    moved = relative_names.as_in(directory, content)
    if moved == content or os.path.dirname(candidate) == directory:
        return candidate
    try:
        durable.write(STAND_IN, moved)
    except OSError:
        raise failed(13, "state-unwritable", STAND_IN) from None
    return STAND_IN


def check_directories(new: Model, *, is_running: bool) -> None:
    """HAProxy needs them, and `-c` does not look for them. `Ended`: `missing-directory`.

    What is made anew after each boot whoever starts a stopped one makes: its unit, its init script, systemd-tmpfiles.
    """
    for path in new.directories:
        is_made_by_start = not is_running and os.path.realpath(path).startswith("/run/")
        if not (is_made_by_start or os.path.isdir(path)):
            detail = f"{path}, which the new file needs, is not a directory"
            raise failed(19, "missing-directory", detail)


def unbindable(haproxy: HAProxy, old: Model | None, new: Model, file: str) -> str:
    """What HAProxy says of addresses that are new in the file and cannot be bound; empty: all can.

    `-c` does not look, and a reload would pause all listeners for 2 s. `file` is written for HAProxy, and is nobody
    else's. `Ended`: `state-unwritable`.
    """
    added = [bind for bind in new.binds if old is None or bind not in old.binds]
    held = held_by_haproxy() if added else frozenset()
    looks = [_look_at(bind, held) for bind in added]
    missing = list(filter(None, (each.missing for each in looks)))
    lines = list(chain.from_iterable(each.lines for each in looks))
    return "\n".join(missing + (_cannot_bind(haproxy, lines, file) if lines else []))


def _cannot_bind(haproxy: HAProxy, lines: list[str], file: str) -> list[str]:
    """What HAProxy says of lines that it cannot bind. `Ended`: `state-unwritable`."""
    # The last one never binds, so that the process ends in any case, before it accepts anything.
    every = [*lines, f" bind unix@{_NEVER_BOUND}"]
    try:
        durable.write_text(file, _BINDS_HEAD + "\n".join(every) + "\n")
    except OSError:
        directory = os.path.dirname(file)
        raise failed(13, "state-unwritable", directory) from None
    said = haproxy.check("-db", "-f", file)
    return [line for line in said.lines_with("cannot") if _NEVER_BOUND not in line]


class _Look(NamedTuple):
    """What there is to know of an address before HAProxy has it."""

    lines: tuple[str, ...]  # that HAProxy is to try: what no HAProxy here holds
    missing: str = ""  # why what one holds on another address cannot be bound


def _look_at(bind: Bind, held: frozenset[Held]) -> _Look:
    """Nothing where nobody knows what HAProxy holds of it: it has a variable, or is in another namespace.

    On a port that a HAProxy here holds nothing may listen for a moment: it would take connections, and end with them.
    """
    address = bind_addresses.parse(bind.address)
    words = bind.extra.split()
    if address is None or "namespace" in words:
        return _Look(())
    extra = "" if bind.extra == "-" else f" {bind.extra}"
    free = tuple(bind_addresses.free_ports(address, held))
    lines = tuple(f" bind {address.ports(*ports)}{extra}" for ports in free)
    if free == ((address.low, address.high),) or "transparent" in words:
        return _Look(lines)
    is_missing = address.is_numeric and not is_here(address.host)
    return _Look(
        lines,
        f"cannot bind {bind.address}: the address is not on this host"
        if is_missing
        else "",
    )
