"""aws:runShellScript: the script as a file, `sh -c` on it in a process group of its own, SIGKILL at the deadline."""

import os
import posixpath
import signal
import subprocess
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from local.agent.host import Host, make_directory
from local.run_command import Detail

DEFAULT_SECONDS = 3600
_SECONDS = range(5, 172_801)
_AGENT_DIRECTORY = "/usr/bin"
_POLL_SECONDS = 0.05
_AFTERMATH_SECONDS = 1
"""How long output is awaited after a kill: a process in another session may hold the streams for ever."""

EXIT_SUCCESS, EXIT_FAILED, REBOOT, KILLED = 168, 169, 194, 137
_DETAILS = {
    0: Detail.SUCCESS,
    EXIT_SUCCESS: Detail.SUCCESS,
    REBOOT: Detail.SUCCESS,
    KILLED: Detail.EXECUTION_TIMED_OUT,
}

_REFUSAL = (
    "Invalid format in plugin properties {inputs};\n"
    "error json: cannot unmarshal {found} into Go struct field RunScriptPluginInput.RunCommand of type {wanted}"
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a step ended, before the document's flow control looked at it."""

    detail: Detail
    code: int
    stdout: str = ""
    stderr: str = ""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the agent keeps what belongs to one command."""

    orchestration: str

    @property
    def downloads(self) -> str:
        """Relative downloads land here, and scripts start here."""
        return posixpath.join(self.orchestration, "downloads")


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

    def run(self, step: str, inputs: Mapping[str, Any]) -> Outcome:
        """Write the script, run it to its end, its deadline or the cancel, and keep its output."""
        commands = inputs.get("runCommand", [])
        if misfit := _misfit(commands):
            return Outcome(Detail.FAILED, 1, "", _REFUSAL.format(inputs=inputs, **misfit))
        directory = posixpath.join(self.place.orchestration, step)
        script = posixpath.join(directory, "_script.sh")
        self._write(script, "\n".join(commands) + "\n")
        working_directory = self._working_directory(str(inputs.get("workingDirectory") or ""))
        if working_directory is None:
            return Outcome(Detail.FAILED, 1, "", f"chdir {inputs['workingDirectory']}: no such file or directory")
        environment = {**self.environment, **{k: str(v) for k, v in inputs.get("environment", {}).items()}}
        process = self.host.popen(
            ["sh", "-c", script],
            cwd=working_directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            umask=0o022,
        )
        outcome = self._wait(process, timeout_seconds(inputs.get("timeoutSeconds", DEFAULT_SECONDS)))
        for name, text in (("stdout", outcome.stdout), ("stderr", outcome.stderr)):
            self.host.path(posixpath.join(directory, name)).write_text(text)
        return outcome

    def _write(self, script: str, text: str) -> None:
        path = self.host.path(script)
        make_directory(path.parent)
        path.write_bytes(text.encode())
        path.chmod(0o700)

    def _working_directory(self, wanted: str) -> str | None:
        """An absolute one must exist; a relative one is looked for below the downloads."""
        if wanted.startswith("/"):
            return wanted if self.host.path(wanted).is_dir() else None
        below = posixpath.normpath(posixpath.join(self.place.downloads, wanted))
        return below if self.host.path(below).is_dir() else _AGENT_DIRECTORY

    def _wait(self, process: "subprocess.Popen[bytes]", seconds: int) -> Outcome:
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


def _misfit(commands: Any) -> Mapping[str, str] | None:
    """What the agent's strict reading finds where it wants a list of strings."""
    if not isinstance(commands, list):
        return {"found": _kind(commands), "wanted": "[]string"}
    odd = next((item for item in commands if not isinstance(item, str)), None)
    return None if odd is None else {"found": _kind(odd), "wanted": "string"}


def _kind(value: Any) -> str:
    """Go's word for a JSON value."""
    return {str: "string", dict: "object", list: "array", bool: "bool"}.get(type(value), "number")


def _killed(process: "subprocess.Popen[bytes]", detail: Detail) -> Outcome:
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
    return Outcome(detail, KILLED, _text(stdout), _text(stderr))


def _ended(status: int, stdout: str, stderr: str) -> Outcome:
    if status < 0:
        cause = signal.strsignal(-status) or str(-status)
        return Outcome(Detail.FAILED, -1, stdout, f"{stderr}failed to run commands: signal: {cause.lower()}")
    detail = _DETAILS.get(status, Detail.FAILED)
    if detail is Detail.FAILED:
        stderr += f"failed to run commands: exit status {status}"
    return Outcome(detail, status, stdout, stderr)


def _text(output: bytes) -> str:
    return output.decode(errors="replace")
