"""Measures a command on a host, which needs no file for it: `python3 -c "$(cat meter.py)" REPORT AFTERMATH COMMAND...`.

The file REPORT gets how long the command ran, in seconds, and how much CPU it and all that it started took: also what
nobody waited for, but not a process that lives on for more than AFTERMATH seconds, as a daemon does.
"""

from __future__ import annotations

import ctypes
import os
import resource
import sys
import time

_SET_CHILD_SUBREAPER = 36


def main(report: str, aftermath: str, *command: str) -> int:
    """Run the command and write the report; its exit status."""
    ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    began = time.monotonic()
    pid = os.posix_spawnp(command[0], command, os.environ)
    _, status = os.waitpid(pid, 0)
    seconds = time.monotonic() - began
    _reap(began + seconds + float(aftermath))
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    with open(report, "w") as file:  # noqa: PTH123 - what imports pathlib starts late
        file.write(f"{seconds} {used.ru_utime + used.ru_stime}\n")
    return os.WEXITSTATUS(status) if os.WIFEXITED(status) else 1


def _reap(deadline: float) -> None:
    """Wait for what the command left behind, as long as there is any."""
    while time.monotonic() < deadline:
        try:
            os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        time.sleep(0.01)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
