"""The story of one run: the downloaded config becomes this host's running one, or the host stays as it was."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from haproxy_apply import durable, files, ownership, serving
from haproxy_apply.errors import Verdict, failed
from haproxy_apply.processes import Discovery
from haproxy_apply.prove import find_proof
from haproxy_apply.state import DROP_MARK, STAND_INS, TOLD, Memory, boot_id

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
    if os.path.exists(DROP_MARK):
        from haproxy_apply.drop_window import sweep

        sweep(journal)
    live = files.find_live_file(request.config_path)
    run = begin(request, live, findings, journal)
    try:
        return _compare(run)
    finally:
        end(run)
        durable.remove(*live.scratch, *STAND_INS)
        serving.tell(live, run.discovery, findings, request.watch)


def begin(
    request: Request, live: files.LiveFile, findings: Findings, journal: Journal
) -> Run:
    """A run on this live file."""
    findings.md5_before = findings.md5_after = live.md5
    discovery = Discovery(live, boot_id())
    return Run(request, live, discovery, Memory(), findings, journal)


def end(run: Run) -> None:
    """What the marker says at any end: how HAProxy ran, and whose the host is."""
    run.findings.see(run.discovery)
    ownership.tell(run.memory, run.findings)


def _compare(run: Run) -> Verdict:
    """Nothing is to be done, or nothing can be, or it is done."""
    service = run.discovery.find()
    _clean_up(run, service)
    recall(run, service)
    ownership.check(run.request, run.memory.state)
    content = files.download(run.request)
    verdict = settled(run, service)
    if verdict:
        _look_at_named_files(run, verdict)
        return _remembered(run, verdict)
    from haproxy_apply.change import change

    try:
        return change(run, service, content)
    finally:
        run.discovery.find()  # whatever became of it: the end is told as it is now


def _clean_up(run: Run, service: Service | None) -> None:
    """What a killed run told the worker, and old workers that did not hear that they are to finish."""
    if os.path.exists(TOLD):
        from haproxy_apply.leaving import recover

        recover(run.journal)
    proof = run.memory.state.proof
    if service and proof and len(service.workers) > 1:
        from haproxy_apply.old_workers import signal_later

        signal_later(run.journal, service, proof.worker)


def settled(run: Run, service: Service | None) -> Verdict | None:
    """How the run ends where nothing is to be done; None: there is something. `Ended`: `config-not-used`."""
    if run.findings.running_md5 == run.live.md5 == run.request.md5:
        return Verdict(0, "unchanged", "same-digest")
    if service is not None:
        return None
    if run.discovery.other_file:
        detail = f"HAProxy runs with -f {run.discovery.other_file}"
        raise failed(16, "config-not-used", detail)
    if run.live.md5 == run.request.md5:
        return Verdict(0, "not-running", "stopped")
    return None


def recall(run: Run, service: Service | None) -> None:
    """What the present worker is proven to run, by our own record or by its age."""
    proof = find_proof(run.memory, run.live, service)
    if proof:
        run.findings.running_md5 = proof.md5
        run.memory.take(run.memory.state._replace(proof=proof))


def _look_at_named_files(run: Run, verdict: Verdict) -> None:
    """A note where one changed since the worker loaded it: whoever changed it may have told HAProxy, or may yet."""
    if verdict.outcome == "unchanged":
        from haproxy_apply import loaded_files

        loaded_files.tell(run.memory.state.proof, run.journal)


def _remembered(run: Run, verdict: Verdict) -> Verdict:
    """Nothing is to be done: writes only what the state does not say yet, such as a newer fence, or another owner."""
    known = run.memory.state
    wanted = ownership.taken(known, run.request)._replace(installed=(run.request.md5,))
    if wanted != known:
        run.memory.put_if_possible(wanted, run.journal)
    return verdict
