"""A run that only compares: what an apply would do with the candidate, and the diff. It touches nothing.

It takes no lock and writes nothing but files of its own in the command's working directory. What it judges by is what
an apply is judged by.
"""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING

from haproxy_apply import (
    activate,
    apply,
    durable,
    files,
    haproxy,
    masks,
    ownership,
    relative_names,
    report,
    serving,
)
from haproxy_apply.errors import Ended, Verdict, failed
from haproxy_apply.examination import examine, is_activation, unbindable
from haproxy_apply.state import STATE_DIR
from haproxy_sync.config.readings import read
from haproxy_sync.config.unsafe import exposures, found, names

if TYPE_CHECKING:
    from haproxy_apply.apply import Run
    from haproxy_apply.journal import Journal
    from haproxy_apply.processes import Service
    from haproxy_apply.report import Findings
    from haproxy_apply.request import Request
    from haproxy_sync.config.readings import Read

# HAProxy's own check makes this file anew where there is one (`sink.c`).
_BACKING_FILE = "backing-file"

SAME, DIFFERS, REFUSED = "same", "differs", "refused"

_STATE_BYTES = 4096  # more than the state has
_NOT_ACTIVATED = "the live file is the candidate, and no worker is proven to run it"


def check(wanted: Request, findings: Findings, journal: Journal) -> Verdict:
    """Say what an apply of the same candidate would do. `Ended`: there is no candidate."""
    place = os.getcwd()
    live = files.find_live_file(wanted.config_path)
    # Read once, so that the diff is of the file that the marker names.
    before = durable.read(live.path)
    run = apply.begin(
        wanted, live._replace(md5=files.md5_of(before)), findings, journal
    )
    service = run.discovery.find()
    apply.recall(run, service)
    content = durable.read(files.DOWNLOAD)
    if content is None:
        raise failed(14, "download-missing", f"no {files.DOWNLOAD} in {place}")
    verdict = _verdict(run, service, content, place)
    _see(run, service)
    _look_at_live_file(run, before or b"")
    # Which lines are secret is known of what was published, and of nothing else.
    if verdict.reason != files.MISMATCH:
        _compare(run, before or b"", content)
    findings.would = {SAME: SAME, DIFFERS: DIFFERS}.get(verdict.reason, REFUSED)
    return verdict


def _verdict(run: Run, service: Service | None, content: bytes, place: str) -> Verdict:
    """Same, different, or refused and why."""
    try:
        detail = _difference(run, service, content, place)
    except Ended as end:
        return end.verdict._replace(status=0, outcome="checked")
    finally:
        durable.remove(*_scratch(place))
    reason = SAME if detail is None else DIFFERS
    return Verdict(0, "checked", reason, detail or "")


def _difference(
    run: Run, service: Service | None, content: bytes, place: str
) -> str | None:
    """What is to be known of the difference; None: there is none. `Ended`: an apply would refuse the candidate."""
    refusal = ownership.refusal(run.request, run.memory.state)
    if refusal is not None:
        raise refusal
    files.check_md5(content, run.request.md5)
    if apply.settled(run, service):
        return None
    candidate, binds = _scratch(place)
    started_with = service.command.files if service else ()
    directory = os.path.dirname(files.name_of(run.live, started_with))
    make = partial(_make, run, content, candidate, directory)
    host = examine(run, service, content, make)
    cannot = unbindable(host, service, binds)
    if cannot:
        raise failed(19, "cannot-bind", cannot)
    if not files.has_room(STATE_DIR, _STATE_BYTES):
        raise failed(13, "state-unwritable", STATE_DIR)
    if service and is_activation(host):
        run.findings.method = activate.method_of(host, service)
    return _NOT_ACTIVATED if run.live.md5 == run.request.md5 else ""


def _scratch(place: str) -> tuple[str, str]:
    """Files of our own: a candidate, and the addresses that are tried."""
    return f"{place}/{files.CHECKED}", f"{place}/{files.TRIED}"


def _make(run: Run, content: bytes, candidate: str, directory: str) -> str:
    """The candidate as HAProxy is to read it, away from the live file. `Ended`: `cannot-write`, `checksum-mismatch`."""
    files.check_sha256(content, run.request.sha256)
    live = run.live
    before = durable.read(live.path) or b""
    if not files.has_room_for(live, len(content), len(before)):
        raise files.cannot_write(live)
    durable.write(candidate, _to_try(directory, content))
    files.set_owner_and_mode(candidate, live)
    return candidate


def _to_try(directory: str, content: bytes) -> bytes:
    """The candidate without what HAProxy would write; relative paths are as in that directory. No line moves."""
    text = relative_names.as_in(directory, content).decode("latin-1")
    every = zip(text.split("\n"), read(text))
    kept = ("" if _writes(line) else written for written, line in every)
    return "\n".join(kept).encode("latin-1")


def _writes(line: Read) -> bool:
    """Whether it may name a file that is written, however it is spelled."""
    return any(_BACKING_FILE in words[:2] for words in line.readings)


def _see(run: Run, service: Service | None) -> None:
    """How HAProxy is, as an inspection says it."""
    apply.end(run)
    serving.tell(run.live, run.discovery, run.findings)
    if not run.findings.haproxy_version:
        try:
            version = haproxy.find(run.request, service, run.live).version
        except Ended:
            version = ""
        run.findings.haproxy_version = version


def _look_at_live_file(run: Run, live: bytes) -> None:
    """What it may not have any more once we write it, and what makes a break-in worse."""
    text = live.decode("latin-1")
    every = found(text, run.request.config_path)
    run.findings.unsafe = names(every)
    for note in exposures(text) if text else ():
        run.journal.note(note)


def _compare(run: Run, before: bytes, content: bytes) -> None:
    """The diff, in what is left of all that is told of a command."""
    from haproxy_apply.unified_diff import printed

    old, new = before.decode("latin-1"), content.decode("latin-1")
    hidden = masks.of(new, old, run.request.secret_lines)
    room = report.MAX_OUTPUT - report.MAX_MARKER - len("\n")
    run.findings.diff = printed(old, new, hidden, room)
