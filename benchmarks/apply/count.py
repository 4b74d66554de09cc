"""Counts the processes that a command starts: `python -m benchmarks.apply.count REPORT COMMAND...`.

The file REPORT gets a line per process, in order: the programs that it became, none for one that stayed a copy of its
parent. The command itself, which only enters the host, is none of them. Exact, but tracing costs time.
"""

import sys
from pathlib import Path

from local.lab.ptrace import Traced


def processes(command: Traced) -> dict[int, list[str]]:
    """By process that the command started, itself or through others: the programs that it became."""
    found: dict[int, list[str]] = {}
    for stop in command.stops():
        if stop.is_first and not _is_thread(stop.pid):
            found[stop.pid] = []
        elif stop.is_exec and stop.pid in found:
            found[stop.pid].append(_comm(stop.pid))
        command.go_on(stop)
    return found


def _comm(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text().strip()


def _is_thread(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status").read_text()
    return f"\nTgid:\t{pid}\n" not in status


def main(report: str, *command: str) -> int:
    """Run the command and write the report; its exit status."""
    traced = Traced(command)
    lines = [" ".join(programs) for programs in processes(traced).values()]
    Path(report).write_text("".join(f"{line}\n" for line in lines))
    return abs(traced.status or 0)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
