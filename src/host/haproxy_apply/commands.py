"""The host's own programs: found, started, waited for. They inherit none of our open files."""

from __future__ import annotations

import os
from typing import NamedTuple

from haproxy_apply import durable

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
            for line in self.output.splitlines()
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
    argv: list[str], text: str = "", env: dict[str, str] | None = None
) -> Completed:
    """Run a program that ends, with this text to read.

    It runs in `/`, where services run: relative names in a config mean the same to a check and to a start. One that
    cannot be started has status 127.
    """
    from subprocess import PIPE, STDOUT
    from subprocess import run as run_process

    try:
        done = run_process(
            argv,
            input=text.encode("latin-1"),
            stdout=PIPE,
            stderr=STDOUT,
            cwd="/",
            env=env,
            check=False,
        )
    except OSError as error:
        return Completed(NOT_FOUND, str(error))
    return Completed(_shell_status(done.returncode), done.stdout.decode("latin-1"))


def start(
    argv: list[str],
    log: str,
    seconds: float | None = None,
    env: dict[str, str] | None = None,
) -> Completed:
    """The same of a program that leaves a daemon behind, which may keep its output open: that goes to a file.

    It is killed after so many seconds (status 124).
    """
    from subprocess import DEVNULL, STDOUT, TimeoutExpired, call

    try:
        with durable.create(log) as output:
            returned = call(
                argv,
                stdin=DEVNULL,
                stdout=output,
                stderr=STDOUT,
                cwd="/",
                env=env,
                timeout=seconds,
            )
    except OSError as error:
        return Completed(NOT_FOUND, str(error))
    except TimeoutExpired:
        return Completed(TIMED_OUT, durable.read_text(log))
    return Completed(_shell_status(returned), durable.read_text(log))


def _shell_status(returned: int) -> int:
    return _SIGNALLED - returned if returned < 0 else returned
