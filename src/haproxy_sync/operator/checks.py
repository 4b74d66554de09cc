"""The action `check`: asks every proxy what a sync would do to it, and reads later what each found; no state changes.

Whoever dies after a command was sent leaves an id that nobody knows: hosts did nothing but look.
"""

import re
from collections import deque
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import accumulate
from json import dumps
from typing import Any

from haproxy_sync.aws import FAILURES
from haproxy_sync.errors import BadRequest, NewerState, SyncError
from haproxy_sync.operator import answers, instances
from haproxy_sync.operator.answers import Answer, iso
from haproxy_sync.operator.instances import Known
from haproxy_sync.reconcile import events
from haproxy_sync.reconcile.publish import Proposal
from haproxy_sync.reconcile.reconciler import Reconciler, restarting
from haproxy_sync.rollout import checks, run_command
from haproxy_sync.rollout.checks import CheckResult, Row
from haproxy_sync.rollout.program import Program
from haproxy_sync.rollout.transitions import next_revision, thawed
from haproxy_sync.state.check import Check
from haproxy_sync.state.model import Agent, Digest, EnvironmentState, UnixSeconds
from haproxy_sync.state.store import Store

CHECK_ID = re.compile(r"[0-9]{1,12}-[A-Za-z0-9-]{1,100}", re.ASCII)
# Of all diffs of one answer, as JSON; an answer of Lambda has 6 MB.
DIFF_BYTES = 4_000_000


@dataclass(frozen=True, slots=True)
class _Looked:
    """What a check is about: the state as it is and as a sync would leave it, and whose agent is how."""

    before: EnvironmentState
    proposal: Proposal
    candidates: Mapping[str, Digest]  # by proxy
    agents: Mapping[str, Agent]
    now: UnixSeconds


def begin(reconciler: Reconciler) -> tuple[Answer, Known]:
    """Ask all proxies (`BadRequest` where nobody can be asked, in one line; `NewerState`)."""
    try:
        looked = _look(reconciler)
        program = reconciler.program()
        name = reconciler.settings.document_name
        document = run_command.document(reconciler.clients.ssm, name, program.sha256)
        restarting(lambda: _store(reconciler, looked.proposal, program))
    except (BadRequest, NewerState):
        raise
    except (*FAILURES, SyncError) as error:
        raise _nothing(error) from error
    offline = checks.offline(looked.agents)
    reached = {k: each for k, each in looked.candidates.items() if k not in offline}
    claims = checks.claims(looked.proposal.state, reached, document, looked.now)
    ssm, settings = reconciler.clients.commands, reconciler.settings
    sent = checks.send(ssm, settings, claims, document)
    if sent.error and not sent.commands:
        raise _nothing(sent.error) from sent.error
    check = Check(
        check_id=f"{int(looked.now)}-{reconciler.writer}",
        at=looked.now,
        proxies=looked.proposal.state.proxies,
        candidates=looked.candidates,
        agents=looked.agents,
        commands=sent.commands,
        not_asked={**offline, **sent.not_asked},
    )
    Store.of(reconciler.clients, settings).put_check(check)
    return _begun(check, looked), instances.of_plan(looked.before, looked.proposal)


def _look(reconciler: Reconciler) -> _Looked:
    """As a plan looks: as if nothing were frozen."""
    now, clients = reconciler.clock(), reconciler.clients
    before = next_revision(reconciler.read().state, now, reconciler.writer)
    proposal = reconciler.propose(thawed(before), events.operator("check"), now)
    candidates = _candidates(proposal)
    return _Looked(
        before=before,
        proposal=proposal,
        candidates=candidates,
        agents=run_command.agents(clients.ssm, candidates, now),
        now=now,
    )


def _candidates(proposal: Proposal) -> Mapping[str, Digest]:
    """The config that a sync would give each proxy."""
    state = proposal.state
    if not proposal.rendered:
        raise _nothing(_why_not(state))
    given = {key: proposal.assignment[key] for key in state.proxy_ids}
    candidates = {key: digest for key, digest in given.items() if digest}
    if not candidates:
        raise _nothing("no proxy was found; `skipped` of plan says who was left out")
    return candidates


def _why_not(state: EnvironmentState) -> str:
    """Why a look has no config for anybody."""
    if state.template_error:
        return f"template error: {state.template_error}"
    return state.hold.reason if state.hold else "no backend was found"


def _nothing(why: object) -> BadRequest:
    return BadRequest(f"nothing is checked: {' '.join(str(why).split())}")


def _store(reconciler: Reconciler, proposal: Proposal, program: Program) -> None:
    """What hosts download."""
    store = Store.of(reconciler.clients, reconciler.settings)
    with ThreadPoolExecutor(checks.WORKERS) as writers:
        deque(writers.map(store.put_candidate, proposal.rendered), maxlen=0)
    store.put_program(program.sha256, program.content)


def _begun(check: Check, looked: _Looked) -> Answer:
    planned = looked.proposal.state
    return _named(check) | {
        "asked": sorted(check.asked),
        "unreachable": sorted(check.unreachable),
        **answers.origins(planned),
        "hold": answers.hold(planned, looked.now),
        "skipped": answers.skipped(planned),
    }


def _named(check: Check) -> Answer:
    return {"id": check.check_id, "at": check.at, "at_iso": iso(check.at)}


def found(
    reconciler: Reconciler, check_id: str, instance_id: str
) -> tuple[Answer, Known]:
    """What the proxies, or the one that is named, found so far (`BadRequest` for an unknown one, or an unknown id)."""
    check = _stored(reconciler, check_id)
    if instance_id and instance_id not in check.candidates:
        raise BadRequest(f"check {check_id} is not about {instance_id[:64]!r}")
    wanted = [instance_id] if instance_id else list(check.candidates)
    now, ssm = reconciler.clock(), reconciler.clients.ssm
    rows = checks.rows(ssm, check, wanted, now)
    awaited = [key for key, row in rows.items() if row.result is CheckResult.AWAITED]
    answer = _named(check) | {"done": not awaited, "proxies": shown(check, rows)}
    return answer, instances.of_proxies(check.proxies)


def _stored(reconciler: Reconciler, check_id: str) -> Check:
    store = Store.of(reconciler.clients, reconciler.settings)
    is_one = CHECK_ID.fullmatch(check_id)
    check = store.get_check(check_id) if is_one else None
    if check is None:
        raise BadRequest(
            f"there is no check {check_id[:64]!r}, or it is a week old: begin one by check without id"
        )
    return check


def shown(check: Check, rows: Mapping[str, Row]) -> Answer:
    """The rows by proxy; the diffs of very many are cut, each to its share."""
    hosts = {each.instance_id: each for each in check.proxies}
    share = DIFF_BYTES // max(1, len(rows))
    return {
        key: {
            "name": hosts[key].name,
            "address": hosts[key].address,
            "zone": hosts[key].zone,
            "candidate": check.candidates[key].md5,
            "agent_version": check.agents[key].version,
        }
        | _row(row, share)
        for key, row in rows.items()
    }


def _row(row: Row, share: int) -> Answer:
    report, lines = row.report, _first(row.diff, share)
    return {
        "result": str(row.result),
        "reason": report.reason,
        "detail": report.detail,
        "live": report.installed,
        "running": report.running,
        "method": report.method,
        "diff": "".join(f"{line}\n" for line in lines),
        "diff_lines": report.diff_lines,
        "diff_shown": len(lines),
        "haproxy": str(report.haproxy),
        "haproxy_version": report.haproxy_version,
        "style": report.style,
        "publisher": report.publisher or "",
        "unsafe_keywords": list(report.unsafe),
        "notes": list(report.notes),
    }


def _first(lines: tuple[str, ...], size: int) -> tuple[str, ...]:
    """The first lines, as many as have that size together as JSON."""
    sizes: Any = accumulate(len(dumps(line)) for line in lines)
    return tuple(line for line, end in zip(lines, sizes, strict=True) if end <= size)
