"""A run that only reports. It changes nothing on the host and takes no lock, so it neither waits nor is waited for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from haproxy_apply import admin_socket, durable, files, haproxy, ownership
from haproxy_apply.errors import Ended, Verdict
from haproxy_apply.model import read
from haproxy_apply.processes import Discovery
from haproxy_apply.prove import find_proof
from haproxy_apply.server_state import rows, servers
from haproxy_apply.state import Memory, boot_id

if TYPE_CHECKING:
    from haproxy_apply.files import LiveFile
    from haproxy_apply.journal import Journal
    from haproxy_apply.processes import Service
    from haproxy_apply.report import Findings
    from haproxy_apply.request import Request
    from haproxy_apply.server_state import Servers


def inspect(wanted: Request, findings: Findings, journal: Journal) -> Verdict:
    """Say what is so at this moment, perhaps in the middle of another run, whose files are seen whole, old or new."""
    memory = Memory()
    live = files.find_live_file(wanted.config_path)
    findings.md5_before = findings.md5_after = live.md5
    ownership.tell(memory, findings)
    discovery = Discovery(live, boot_id())
    service = discovery.find()
    proof = find_proof(memory, live, service)
    findings.running_md5 = proof.md5 if proof else ""
    findings.see(discovery)
    if service:
        findings.servers = _servers(live, findings.running_md5)
        if findings.servers is None:
            journal.note("servers-unknown")
    return _verdict(wanted, service, discovery, findings)


def _verdict(
    wanted: Request, service: Service | None, discovery: Discovery, findings: Findings
) -> Verdict:
    """How HAProxy is here."""
    try:
        findings.haproxy_version = haproxy.find(wanted, service).version
    except Ended as end:
        return end.verdict._replace(status=0, outcome="inspected")
    if service:
        return Verdict(0, "inspected", "running")
    if discovery.other_file:
        detail = f"HAProxy runs with -f {discovery.other_file}"
        return Verdict(0, "inspected", "config-not-used", detail)
    return Verdict(0, "inspected", "stopped")


def _servers(live: LiveFile, running: str) -> Servers | None:
    """As the worker itself sees them, on the socket of the file that it runs; None where it cannot be asked."""
    ran = files.find_backup(live, running) or live
    stats_socket = read(durable.read_text(ran.path)).stats_socket
    answer = admin_socket.answer(stats_socket.path, "show servers state")
    if not answer.startswith("1\n#"):
        return None
    return servers(rows(answer))
