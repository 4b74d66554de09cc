"""aws:runShellScript: the script as a file, `sh -c` on it in a process group of its own, SIGKILL at the deadline."""

import fcntl
import os
import posixpath
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.agent.host import PRIVATE, Host, make_directory
from local.lab import wait_until
from local.run_command import Detail

DATA = "/var/lib/amazon/ssm"
"""Where the agent keeps its files."""

DEFAULT_SECONDS = 3600
_SECONDS = range(5, 172_801)
_AGENT_DIRECTORY = "/usr/bin"
_POLL_SECONDS = 0.05
_AFTERMATH_SECONDS = 1
"""How long output is awaited after a kill: a process in another session may hold the streams for ever."""

KILLED = 137
_DETAILS = {0: Detail.SUCCESS, KILLED: Detail.EXECUTION_TIMED_OUT}

_NOT_PLAYED = {
    168: "ends the document as a success",
    169: "ends the document as a failure",
    194: "reboots the host and runs the step again",
}
"""What the agent would do at these exit codes. Here the step fails and says so."""

_REFUSAL = (
    "Invalid format in plugin properties {inputs};\n"
    "error json: cannot unmarshal {found} into Go struct field RunScriptPluginInput.RunCommand of type {wanted}"
)


@dataclass(frozen=True, slots=True)
class StepExit:
    """How a step ended, before the document's flow control looked at it."""

    detail: Detail
    code: int
    stdout: str = ""
    stderr: str = ""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the agent keeps what belongs to one command."""

    orchestration: str

    @classmethod
    def of(cls, data: str, instance_id: str, command_id: str) -> "Place":
        """The place of a command below the agent's directory."""
        return cls(
            posixpath.join(data, instance_id, "document", "orchestration", command_id)
        )

    @property
    def downloads(self) -> str:
        """Downloads land here, and scripts start here."""
        return posixpath.join(self.orchestration, "downloads")

    def directory(self, step: str) -> str:
        """What belongs to one step."""
        return posixpath.join(self.orchestration, step)

    def script(self, step: str) -> str:
        """The step's script."""
        return posixpath.join(self.directory(step), "_script.sh")


def script_text(lines: Sequence[str]) -> str:
    """The script of a step as the agent writes it, executable by root alone (`PRIVATE`)."""
    return "\n".join(lines) + "\n"


def script_command(script: str) -> tuple[str, ...]:
    """The command that runs a script file."""
    return ("sh", "-c", script)


def variable(parameter: str) -> str:
    """The environment variable in which a script finds an ENV_VAR parameter."""
    return f"SSM_{parameter}"


def timeout_seconds(given: Any) -> int:
    """The step's timeout; whatever is not a number from 5 to 172800 silently means an hour."""
    try:
        seconds = int(float(given))
    except (TypeError, ValueError):
        return DEFAULT_SECONDS
    return seconds if seconds in _SECONDS else DEFAULT_SECONDS


@dataclass(frozen=True, slots=True)
class ScriptRunner:
    """Runs the scripts of one command on one host."""

    host: Host
    place: Place
    environment: Mapping[str, str]
    cancelled: threading.Event

    def run(self, step: str, inputs: Mapping[str, Any]) -> StepExit:
        """Write the script, run it to its end, its deadline or the cancel, and keep its output."""
        lines = inputs.get("runCommand", [])
        if misfit := _misfit(lines):
            return StepExit(
                Detail.FAILED, 1, "", _REFUSAL.format(inputs=inputs, **misfit)
            )
        script = self.place.script(step)
        self._write(script, script_text(lines))
        process = self.host.popen(
            script_command(script),
            cwd=self._working_directory(),
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            umask=0o022,
        )
        ended = self._wait(
            process, timeout_seconds(inputs.get("timeoutSeconds", DEFAULT_SECONDS))
        )
        for name, text in (("stdout", ended.stdout), ("stderr", ended.stderr)):
            self.host.path(posixpath.join(self.place.directory(step), name)).write_text(
                text
            )
        return ended

    def _write(self, script: str, text: str) -> None:
        path = self.host.path(script)
        make_directory(path.parent)
        path.write_bytes(text.encode())
        path.chmod(PRIVATE)
        wait_until(lambda: _has_no_writer(path), what="no writer of a script")

    def _working_directory(self) -> str:
        """The downloads, if a step made any."""
        downloads = self.place.downloads
        return downloads if self.host.path(downloads).is_dir() else _AGENT_DIRECTORY

    def _wait(self, process: "subprocess.Popen[bytes]", seconds: int) -> StepExit:
        """Wait for the end of the output, not of the script: a child left behind with it keeps the step running."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                stdout, stderr = process.communicate(timeout=_POLL_SECONDS)
            except subprocess.TimeoutExpired:
                if self.cancelled.is_set():
                    return _killed(process, Detail.CANCELLED)
                if time.monotonic() > deadline:
                    return _killed(process, Detail.EXECUTION_TIMED_OUT)
            else:
                return _ended(process.returncode, _text(stdout), _text(stderr))


def _has_no_writer(path: Path) -> bool:
    """Whether nobody has it open for writing, so that it can be run.

    Another thread's fork may have, until it executes its own program; the real agent has a process for each command.
    """
    with path.open("rb") as file, suppress(BlockingIOError):
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        return True
    return False


def _misfit(commands: Any) -> Mapping[str, str] | None:
    """What the agent's strict reading finds where it wants a list of strings."""
    if not isinstance(commands, list):
        return {"found": _kind(commands), "wanted": "[]string"}
    odd = next((item for item in commands if not isinstance(item, str)), None)
    return None if odd is None else {"found": _kind(odd), "wanted": "string"}


def _kind(value: Any) -> str:
    """Go's word for a JSON value."""
    return {str: "string", dict: "object", list: "array", bool: "bool"}.get(
        type(value), "number"
    )


def _killed(process: "subprocess.Popen[bytes]", detail: Detail) -> StepExit:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    try:
        stdout, stderr = process.communicate(timeout=_AFTERMATH_SECONDS)
    except subprocess.TimeoutExpired as rest:
        stdout, stderr = rest.stdout or b"", rest.stderr or b""
        for stream in (process.stdout, process.stderr):
            if stream:
                stream.close()
    process.wait()
    return StepExit(detail, KILLED, _text(stdout), _text(stderr))


def _ended(status: int, stdout: str, stderr: str) -> StepExit:
    if status < 0:
        cause = signal.strsignal(-status) or str(-status)
        return StepExit(
            Detail.FAILED,
            -1,
            stdout,
            f"{stderr}failed to run commands: signal: {cause.lower()}",
        )
    if status in _NOT_PLAYED:
        return StepExit(
            Detail.FAILED,
            status,
            stdout,
            f"{stderr}not played: exit {status} {_NOT_PLAYED[status]}",
        )
    detail = _DETAILS.get(status, Detail.FAILED)
    if detail is Detail.FAILED:
        stderr += f"failed to run commands: exit status {status}"
    return StepExit(detail, status, stdout, stderr)


def _text(output: bytes) -> str:
    return output.decode(errors="replace")
