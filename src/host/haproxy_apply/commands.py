"""The host's own programs: found, started, waited for. They inherit none of our open files."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from haproxy_apply import durable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from subprocess import Popen

NOT_FOUND = 127
TIMED_OUT = 124
_SIGNALLED = 128


class Completed(NamedTuple):
    """What a program said on both of its outputs, and its exit status as a shell has it."""

    status: int
    output: str

    def lines_with(self, *words: str) -> list[str]:
        """The lines that have all of these words."""
        return [
            line
            for line in self.output.split("\n")
            if all(word in line for word in words)
        ]


def find(program: str) -> str | None:
    """Where PATH has this program, if it has it."""
    for directory in os.environ.get("PATH", os.defpath).split(os.pathsep):
        path = os.path.join(directory or ".", program)
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    return None


def run(
    argv: list[str],
    text: str = "",
    env: dict[str, str] | None = None,
    enter: Callable[[], None] | None = None,
    descriptors: Sequence[int] = (),
) -> Completed:
    """Run a program to its end, with this text to read. One that cannot be started has status 127.

    Also where this run is interrupted: half of a reload is worse than a moment more. `enter` is called in the child
    before it becomes the program, which inherits these open files.
    """
    from subprocess import PIPE, STDOUT, Popen, SubprocessError

    try:
        process = Popen(
            argv,
            stdin=PIPE,
            stdout=PIPE,
            stderr=STDOUT,
            env=env,
            preexec_fn=enter,  # noqa: PLW1509  # there are no threads
            pass_fds=descriptors,
        )
    except (OSError, SubprocessError) as error:
        return Completed(NOT_FOUND, str(error))
    with process:
        output, _nothing = process.communicate(text.encode("latin-1"))
    return Completed(_shell_status(process.returncode), output.decode("latin-1"))


def start(
    argv: list[str],
    log: str,
    seconds: float | None = None,
    env: dict[str, str] | None = None,
    enter: Callable[[], None] | None = None,
) -> Completed:
    """The same of a program that leaves a daemon behind, which may keep its output open: that goes to a file.

    It is killed after so many seconds (status 124).
    """
    from subprocess import DEVNULL, STDOUT, Popen, SubprocessError

    try:
        with durable.create(log) as output:
            process = Popen(
                argv,
                stdin=DEVNULL,
                stdout=output,
                stderr=STDOUT,
                env=env,
                preexec_fn=enter,  # noqa: PLW1509  # there are no threads
            )
    except (OSError, SubprocessError) as error:
        return Completed(NOT_FOUND, str(error))
    with process:
        status = _status(process, seconds)
    return Completed(status, durable.read_text(log))


def _status(process: Popen[bytes], seconds: float | None) -> int:
    from subprocess import TimeoutExpired

    try:
        return _shell_status(process.wait(seconds))
    except TimeoutExpired:
        process.kill()
        return TIMED_OUT


def _shell_status(returned: int) -> int:
    return _SIGNALLED - returned if returned < 0 else returned
