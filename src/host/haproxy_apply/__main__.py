"""One run of the program: parameters from the environment, the marker and the log to standard output."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
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


def main() -> int:
    """The exit status; docs/host.md lists them."""
    findings, journal = report.Findings(), Journal()
    try:
        _at_signals(_interrupt)
        verdict = _run(findings, journal)
        _at_signals(signal.SIG_IGN)
    except Interrupted as interrupt:
        verdict = Verdict(INTERRUPTED, "failed", "interrupted", str(interrupt))
    fence = request.fence_of(os.environ)
    _say(f"{report.marker(verdict, fence, findings, journal)}\n{report.log(journal)}")
    return verdict.status


def _run(findings: report.Findings, journal: Journal) -> Verdict:
    """How the run ended, well or not."""
    try:
        wanted = request.parse(os.environ)
        if wanted.inspects:
            from haproxy_apply.inspection import inspect

            return inspect(wanted, findings, journal)
        with locked():
            return apply(wanted, findings, journal)
    except Ended as end:
        return end.verdict
    except Exception as bug:  # noqa: BLE001 - whatever it is, the marker says so
        return _say_bug(bug)


def _at_signals(
    action: Callable[[int, FrameType | None], None] | signal.Handlers,
) -> None:
    for number in SIGNALS:
        signal.signal(number, action)


def _interrupt(number: int, _frame: FrameType | None) -> None:
    _at_signals(signal.SIG_IGN)  # once is enough; the way out takes a moment
    raise Interrupted(f"signal {number}")


def _say(text: str) -> None:
    """To standard output, if anybody listens there: the exit status is the verdict's in any case."""
    with suppress(OSError), open(1, "wb", closefd=False) as output:
        output.write(text.encode("latin-1", "replace"))


def _say_bug(bug: Exception) -> Verdict:
    import traceback

    traceback.print_exception(type(bug), bug, bug.__traceback__)
    return Verdict(INTERRUPTED, "failed", "interrupted", f"{type(bug).__name__}: {bug}")


if __name__ == "__main__":
    sys.exit(main())
