"""A run that only reports. It changes nothing on the host and takes no lock, so it neither waits nor is waited for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from haproxy_apply import files, haproxy, ownership, replacement, serving
from haproxy_apply.errors import Ended, Verdict
from haproxy_apply.processes import Discovery
from haproxy_apply.prove import find_proof
from haproxy_apply.state import Memory, boot_id

if TYPE_CHECKING:
    from haproxy_apply.files import LiveFile
    from haproxy_apply.journal import Journal
    from haproxy_apply.report import Findings
    from haproxy_apply.request import Request


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
    serving.tell(live, discovery, findings, wanted.watch)
    if service and findings.servers is None:
        journal.note("servers-unknown")
    obstacle = replacement.obstacle(service) if service else ""
    if obstacle:
        journal.note(replacement.REASON)
    verdict = _verdict(wanted, discovery, live, findings)
    return verdict._replace(detail=verdict.detail or obstacle)


def _verdict(
    wanted: Request, discovery: Discovery, live: LiveFile, findings: Findings
) -> Verdict:
    """How HAProxy is here."""
    service = discovery.last
    try:
        findings.haproxy_version = haproxy.find(wanted, service, live).version
    except Ended as end:
        return end.verdict._replace(status=0, outcome="inspected")
    if service:
        return Verdict(0, "inspected", "running")
    if discovery.other_file:
        detail = f"HAProxy runs with -f {discovery.other_file}"
        return Verdict(0, "inspected", "config-not-used", detail)
    return Verdict(0, "inspected", "stopped")
