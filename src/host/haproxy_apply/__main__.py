"""One run of the program: parameters from the environment, the marker and the log to standard output."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from haproxy_apply import report, request
from haproxy_apply.apply import apply
from haproxy_apply.errors import Ended, Interrupted, Verdict
from haproxy_apply.journal import Journal
from haproxy_apply.state import locked

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

INTERRUPTED = 31


SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def main(program: str = "", archive: str = "") -> int:
    """The exit status; docs/host.md lists them.

    `archive` is where the program's bytecode is to be kept; empty where it is already, or nobody wants it.
    """
    findings, journal = report.Findings(), Journal()
    place = os.path.realpath(".")  # a run may go elsewhere
    try:
        _at_signals(_interrupt)
        verdict = _run(findings, journal)
        _at_signals(signal.SIG_IGN)
    except Interrupted as interrupt:
        verdict = Verdict(INTERRUPTED, "failed", "interrupted", str(interrupt))
    hide = partial(_hidden, place, findings)
    verdict = verdict._replace(detail=hide(verdict.detail))
    fence = request.fence_of(os.environ)
    marker = report.marker(verdict, fence, findings, journal)
    _say(marker.encode() + b"\n" + report.behind(findings, hide(journal.log)))
    sys.stderr.write(hide(journal.trace))
    # Who only looks at a host leaves nothing there.
    if archive and verdict.status == 0 and request.installs(os.environ):
        _keep(program, archive)
    return verdict.status


def _keep(program: str, archive: str) -> None:
    """Keep the program's bytecode, unless another run is on its way, which may be doing that.

    All is said and the signals are off: whatever comes between must not become this run's status.
    """
    with suppress(Exception), locked(0):
        from haproxy_apply import bytecode

        bytecode.keep(program, archive)


def _hidden(place: str, findings: report.Findings, text: str) -> str:
    """A text that may quote the config, its secrets masked."""
    if not text:
        return ""
    from haproxy_apply import masks

    return masks.of_command(os.environ, place, findings.backup).said(
        text, report.MAX_LOG
    )


def _run(findings: report.Findings, journal: Journal) -> Verdict:
    """How the run ended, well or not."""
    try:
        wanted = request.parse(os.environ)
        if wanted.checks:
            from haproxy_apply.check import check

            return check(wanted, findings, journal)
        if wanted.inspects:
            from haproxy_apply.inspection import inspect

            return inspect(wanted, findings, journal)
        with locked():
            return apply(wanted, findings, journal)
    except Ended as end:
        return end.verdict
    except Exception as bug:  # noqa: BLE001 - whatever it is, the marker says so
        return _ended_by(bug, journal)


def _at_signals(
    action: Callable[[int, FrameType | None], None] | signal.Handlers,
) -> None:
    for number in SIGNALS:
        signal.signal(number, action)


def _interrupt(number: int, _frame: FrameType | None) -> None:
    _at_signals(signal.SIG_IGN)  # once is enough; the way out takes a moment
    raise Interrupted(f"signal {number}")


def _say(text: bytes) -> None:
    """To standard output, if anybody listens there: the exit status is the verdict's in any case."""
    with suppress(OSError), open(1, "wb", closefd=False) as output:
        output.write(text)


def _ended_by(bug: Exception, journal: Journal) -> Verdict:
    """The verdict; the traceback waits for its secrets to be masked."""
    import traceback

    lines = traceback.format_exception(type(bug), bug, bug.__traceback__)
    journal.trace = "".join(lines)
    return Verdict(INTERRUPTED, "failed", "interrupted", f"{type(bug).__name__}: {bug}")


if __name__ == "__main__":
    sys.exit(main())
