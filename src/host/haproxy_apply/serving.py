"""How HAProxy serves at the end of a run: whether it runs, and its servers as its worker sees them.

Every run says so, also one that has nothing to do, so this asks once and loads little.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING

from haproxy_apply import admin_socket, durable, files, stats_socket
from haproxy_apply.errors import Interrupted
from haproxy_apply.state import PROVEN_MODEL

if TYPE_CHECKING:
    from haproxy_apply.files import LiveFile
    from haproxy_apply.processes import Discovery
    from haproxy_apply.report import Findings
    from haproxy_apply.state import Identity
    from haproxy_apply.stats_socket import StatsSocket

RUNNING, STOPPED, OTHER_FILE = "running", "stopped", "config-not-used"

_VERSION = re.compile(r"^Version: ([0-9]+\.[0-9]+[0-9A-Za-z.+~-]{0,60})", re.MULTILINE)
_MAX_SOCKETS = 32


def tell(
    live: LiveFile,
    discovery: Discovery,
    findings: Findings,
    watch: tuple[str, ...] = (),
) -> None:
    """How HAProxy was when it was looked for last, and what its worker says of the servers, most of those to `watch`.

    It says nothing of them where it cannot be asked within seconds, or answers something else.
    """
    service = discovery.last
    if service and service.worker:
        findings.haproxy = RUNNING
        # Whoever ends the run now has waited long enough for the servers; what the run did stays done.
        with suppress(Interrupted):
            path = _ask(live, service.worker, findings)
            if path and watch:
                from haproxy_apply import watched

                pid = service.worker.pid
                findings.watched = watched.words(path, pid, discovery, watch)
    elif service is None and discovery.other_file:
        findings.haproxy = OTHER_FILE
    else:
        findings.haproxy = STOPPED


def _ask(live: LiveFile, worker: Identity, findings: Findings) -> str:
    """Where it answers; empty: nowhere, or not to that."""
    answers = (
        (path, *admin_socket.servers_of(path, worker.pid))
        for path in _paths(live, findings)
    )
    path, info, answer = next((said for said in answers if said[1]), ("", "", ""))
    if not answer:
        return ""
    from haproxy_apply.server_state import rows, servers

    findings.servers = servers(rows(answer))
    if not findings.haproxy_version:
        version = _VERSION.search(info)
        findings.haproxy_version = version[1] if version else ""
    return path


def _paths(live: LiveFile, findings: Findings) -> tuple[str, ...]:
    """The sockets to ask, by the file that the worker runs; the live one, where nobody knows.

    Under which condition each stands is not known here: the one that answers is the worker's.
    """
    md5 = findings.running_md5
    sockets = _remembered(md5) if md5 else None
    if sockets is None:
        from haproxy_apply.model import read

        now = live._replace(md5=findings.md5_after)
        ran = files.find_backup(now, md5) or live
        sockets = read(durable.read_text(ran.path)).sockets
    return stats_socket.paths(sockets)


def _remembered(md5: str) -> tuple[StatsSocket, ...] | None:
    """Those of the file with this digest, without reading it; None unless it was the last that we proved."""
    head, *lines = durable.read_text(PROVEN_MODEL).split("\n", _MAX_SOCKETS)
    if not head.startswith(f"M\t{md5} "):
        return None
    found = (stats_socket.of_row(line.split("\t")) for line in lines[:-1])
    return tuple(filter(None, found))
