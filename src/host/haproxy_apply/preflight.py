"""What has to be so before the file is touched: HAProxy's own check, and what that does not look at."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from haproxy_apply import durable
from haproxy_apply.errors import failed
from haproxy_apply.haproxy import alerts
from haproxy_apply.sockets import held_by_haproxy, spelt

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

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
_SAME_WHEREVER_BOUND = frozenset({"-", "v6only", "v4v6"})


def check_candidate(
    haproxy: HAProxy, live: LiveFile, candidate: str, journal: Journal
) -> None:
    """This host's own `haproxy -c`, with the candidate at that path in the place of the live file.

    Any status but 0 is a no (2: it would not start). `Ended`: `invalid-config`.
    """
    arguments = ["-c", *haproxy.command.options]
    for file in _loaded(haproxy.command.files):
        arguments += ["-f", candidate if live.is_meant_by(file) else file]
    said = haproxy.check(*arguments)
    journal.add(said.output)
    if said.status != 0:
        detail = f"haproxy -c exits {said.status}: {alerts(said)}"
        raise failed(17, "invalid-config", detail)


def _loaded(files: Iterable[str]) -> Iterator[str]:
    """The files as HAProxy reads them."""
    for file in files:
        if os.path.isdir(file):
            yield from _configs_in(file)
        else:
            yield file


def _configs_in(directory: str) -> list[str]:
    """Those that HAProxy reads of a directory, in its order."""
    names = (name for name in sorted(os.listdir(directory)) if name[0] != ".")
    found = [name for name in names if name.endswith(".cfg")]
    # Where there is none, HAProxy says so itself.
    return [os.path.join(directory, name) for name in found or ["*.cfg"]]


def check_directories(new: Model) -> None:
    """HAProxy needs them, and `-c` does not look for them. `Ended`: `missing-directory`."""
    for path in new.directories:
        if not os.path.isdir(path):
            detail = f"{path}, which the new file needs, is not a directory"
            raise failed(19, "missing-directory", detail)


def unbindable(haproxy: HAProxy, old: Model | None, new: Model, file: str) -> str:
    """What HAProxy says of addresses that are new in the file and cannot be bound; empty: all can.

    `-c` does not look, and a reload would pause all listeners for 2 s. `file` is written for HAProxy, and is nobody
    else's. `Ended`: `state-unwritable`.
    """
    binds = _new_binds(old.binds if old else (), new.binds)
    if not binds:
        return ""
    # The last one never binds, so that the process ends in any case, before it accepts anything.
    lines = [*binds, f" bind unix@{_NEVER_BOUND}"]
    try:
        durable.write_text(file, _BINDS_HEAD + "\n".join(lines) + "\n")
    except OSError:
        directory = os.path.dirname(file)
        raise failed(13, "state-unwritable", directory) from None
    said = haproxy.check("-db", "-f", file)
    cannot = [line for line in said.lines_with("cannot") if _NEVER_BOUND not in line]
    return "\n".join(cannot)


def _new_binds(old: tuple[Bind, ...], new: tuple[Bind, ...]) -> list[str]:
    """Those that the old file has not and that no HAProxy on this host holds, whatever the spelling."""
    added = [bind for bind in new if bind not in old]
    if not added:
        return []
    held = held_by_haproxy()
    return [_bind_line(bind) for bind in added if not _is_held(bind, held)]


def _is_held(bind: Bind, held: frozenset[str]) -> bool:
    return bind.extra in _SAME_WHEREVER_BOUND and spelt(bind.address) in held


def _bind_line(bind: Bind) -> str:
    extra = "" if bind.extra == "-" else f" {bind.extra}"
    return f" bind {bind.address}{extra}"
