"""The host's own programs: found, started, waited for."""

from __future__ import annotations

import os
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from subprocess import Popen

NOT_FOUND = 127
TIMED_OUT = 124
_POLL_SECONDS = 0.05


class Completed(NamedTuple):
    """What a program said on both of its outputs, in order, and its exit status (negative: the signal)."""

    status: int
    output: str


def find(program: str) -> str | None:
    """Where PATH has this program, if it has it."""
    for directory in os.environ.get("PATH", os.defpath).split(os.pathsep):
        path = os.path.join(directory or ".", program)  # noqa: PTH118  # pathlib costs milliseconds
        if os.path.isfile(path) and os.access(path, os.X_OK):  # noqa: PTH113
            return path
    return None


def run(
    argv: list[str],
    input: str | None = None,  # noqa: A002  # the name that subprocess.run has for it
    seconds: float | None = None,
    env: dict[str, str] | None = None,
) -> Completed:
    """Run a program to its end, or kill it after `seconds` (status 124); one that cannot start has status 127.

    It has none of our open files. What it leaves running, like a daemon, is not waited for, even if that keeps the
    output open. `input` is at most 4,096 bytes: it has to fit into a pipe that nobody reads yet.
    """
    from subprocess import PIPE, STDOUT, Popen

    deadline = None if seconds is None else monotonic() + seconds
    stdin = _readable(input)
    try:
        process = Popen(argv, stdin=stdin, stdout=PIPE, stderr=STDOUT, env=env)
    except OSError as error:
        return Completed(NOT_FOUND, str(error))
    finally:
        os.close(stdin)
    with process.stdout or open(os.devnull, "rb") as stdout:  # noqa: PTH123
        output = _read(process, stdout.fileno(), deadline)
    return Completed(_status(process, deadline), output.decode("latin-1"))


def _readable(text: str | None) -> int:
    """A descriptor that has this text and then ends."""
    if text is None:
        return os.open(os.devnull, os.O_RDONLY)
    reader, writer = os.pipe()
    os.write(writer, text.encode("latin-1"))
    os.close(writer)
    return reader


def _left(deadline: float | None) -> float | None:
    return None if deadline is None else max(deadline - monotonic(), 0)


def _read(process: Popen[bytes], stdout: int, deadline: float | None) -> bytes:
    """What the process says until it ends, closes its output or is late."""
    from select import select

    chunks = []
    while _left(deadline) != 0:
        # Read after the end is seen: what it said last is in the pipe by then.
        is_over = process.poll() is not None
        if select([stdout], [], [], 0 if is_over else _POLL_SECONDS)[0]:
            chunks.append(os.read(stdout, 65536))
            if chunks[-1]:
                continue
            break
        if is_over:
            break
    return b"".join(chunks)


def _status(process: Popen[bytes], deadline: float | None) -> int:
    from subprocess import TimeoutExpired

    try:
        return process.wait(_left(deadline))
    except TimeoutExpired:
        process.kill()
        process.wait()
        return TIMED_OUT
