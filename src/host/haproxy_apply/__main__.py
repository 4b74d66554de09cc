"""One run of the program: parameters from the environment, the marker and the log to standard output."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

from haproxy_apply import report, request
from haproxy_apply.apply import apply
from haproxy_apply.errors import Ended, Verdict
from haproxy_apply.journal import Journal
from haproxy_apply.state import locked

if TYPE_CHECKING:
    from types import FrameType

INTERRUPTED = 31


class Interrupted(BaseException):
    """Somebody ends the run: it still opens the ports and says so. SIGKILL leaves no time for that."""


def main() -> int:
    """The exit status; docs/host.md lists them."""
    findings, journal = report.Findings(), Journal()
    try:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, _interrupt)
        wanted = request.parse(os.environ)
        with locked():
            verdict = apply(wanted, findings, journal)
    except Ended as end:
        verdict = end.verdict
    except Interrupted as interrupt:
        verdict = Verdict(INTERRUPTED, "failed", "interrupted", str(interrupt))
    except Exception as bug:  # noqa: BLE001 - whatever it is, the marker says so
        verdict = _say_bug(bug)
    fence = request.fence_of(os.environ)
    said = f"{report.marker(verdict, fence, findings, journal)}\n{report.log(journal)}"
    sys.stdout.buffer.write(said.encode("latin-1", "replace"))
    sys.stdout.flush()
    return verdict.status


def _interrupt(number: int, _frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_IGN)  # once is enough; the way out takes a moment
    raise Interrupted(f"signal {number}")


def _say_bug(bug: Exception) -> Verdict:
    import traceback

    traceback.print_exception(type(bug), bug, bug.__traceback__)
    return Verdict(INTERRUPTED, "failed", "interrupted", f"{type(bug).__name__}: {bug}")


if __name__ == "__main__":
    sys.exit(main())
