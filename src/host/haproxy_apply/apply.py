"""The story of one run: the downloaded config becomes this host's running one, or the host stays as it was."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from haproxy_apply import durable, files, ownership, serving
from haproxy_apply.errors import Verdict, failed
from haproxy_apply.processes import Discovery
from haproxy_apply.prove import find_proof
from haproxy_apply.state import DROP_MARK, Memory, boot_id

if TYPE_CHECKING:
    from haproxy_apply.journal import Journal
    from haproxy_apply.processes import Service
    from haproxy_apply.report import Findings
    from haproxy_apply.request import Request


class Run(NamedTuple):
    """What a run has to do, what it found, and where it says so."""

    request: Request
    live: files.LiveFile
    discovery: Discovery
    memory: Memory
    findings: Findings
    journal: Journal


def apply(request: Request, findings: Findings, journal: Journal) -> Verdict:
    """Do what the command asks for, alone on this host. `Ended`: every end but a good one."""
    memory = Memory()
    if os.path.exists(DROP_MARK):
        from haproxy_apply.drop_window import sweep

        sweep(journal)
    live = files.find_live_file(request.config_path)
    findings.md5_before = findings.md5_after = live.md5
    discovery = Discovery(live, boot_id())
    run = Run(request, live, discovery, memory, findings, journal)
    try:
        return _compare(run)
    finally:
        findings.see(discovery)
        ownership.tell(memory, findings)
        durable.remove(live.candidate, live.saved)
        serving.tell(live, discovery, findings)


def _compare(run: Run) -> Verdict:
    """Nothing is to be done, or nothing can be, or it is done."""
    service = run.discovery.find()
    _recall(run, service)
    ownership.check(run.request, run.memory.state)
    content = files.download(run.request)
    if run.findings.running_md5 == run.live.md5 == run.request.md5:
        return _remembered(run, Verdict(0, "unchanged", "same-digest"))
    if service is None:
        if run.discovery.other_file:
            detail = f"HAProxy runs with -f {run.discovery.other_file}"
            raise failed(16, "config-not-used", detail)
        if run.live.md5 == run.request.md5:
            return _remembered(run, Verdict(0, "not-running", "stopped"))
    from haproxy_apply.change import change

    try:
        return change(run, service, content)
    finally:
        run.discovery.find()  # whatever became of it: the end is told as it is now


def _recall(run: Run, service: Service | None) -> None:
    """What the present worker is proven to run, by our own record or by its age."""
    proof = find_proof(run.memory, run.live, service)
    if proof:
        run.findings.running_md5 = proof.md5
        run.memory.take(run.memory.state._replace(proof=proof))


def _remembered(run: Run, verdict: Verdict) -> Verdict:
    """Nothing is to be done: writes only what the state does not say yet, such as a newer fence, or another owner."""
    known = run.memory.state
    wanted = ownership.taken(known, run.request)._replace(installed=(run.request.md5,))
    if wanted != known:
        run.memory.put_if_possible(wanted, run.journal)
    return verdict
