"""How the agent stand-in runs a script: its surroundings, its end by itself, by signal, at the deadline."""

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from local.agent import Here
from local.agent.script import timeout_seconds
from local.lab import wait_until
from local.run_command import Detail
from tests.local.agent_runner import Runner, ended, step

if TYPE_CHECKING:
    import subprocess

SCRIPT = "ssm/i-1/document/orchestration/command-1/apply/_script.sh"


def alive(pid_file: Path) -> bool:
    """Whether the process that wrote its id there still lives."""
    try:
        state = Path(f"/proc/{pid_file.read_text().strip()}/stat").read_text()
    except FileNotFoundError:
        return False
    return state.rpartition(")")[2].split()[0] != "Z"


def test_the_script_is_a_file_of_joined_lines(runner: Runner, tmp_path: Path) -> None:
    """The strings are joined by newlines, with one at the end, into a file that only root may touch."""
    runner.run(step("apply", "#!/bin/bash", "echo one", "echo two"))
    script = tmp_path / SCRIPT
    assert script.read_bytes() == b"#!/bin/bash\necho one\necho two\n"
    assert script.stat().st_mode & 0o777 == 0o700
    assert script.parent.stat().st_mode & 0o777 == 0o700
    assert (script.parent / "stdout").read_text() == "one\ntwo\n"


@pytest.mark.parametrize(
    ("commands", "kind"),
    [("echo one", "string"), ({"a": "b"}, "object"), (["echo", 1], "number")],
)
def test_a_script_that_is_no_list_of_strings_fails(
    runner: Runner, tmp_path: Path, commands: Any, kind: str
) -> None:
    """The agent reads the step's inputs strictly: not even a bare string is taken, and nothing runs."""
    result = runner.run({**step("apply"), "inputs": {"runCommand": commands}})
    assert ended(result) == [("Failed", 1)]
    assert f"cannot unmarshal {kind} into Go struct field" in result.steps[0].stderr
    assert not (tmp_path / SCRIPT).exists()


def test_the_shebang_of_the_first_line_is_obeyed(runner: Runner) -> None:
    """With one in the first line bash runs the script, without one `sh` does, and a later one is a comment."""
    bash = runner.run(
        step("apply", "#!/bin/bash", 'echo "${BASH_VERSION:+bash}"'), command_id="with"
    )
    plain = runner.run(
        step("apply", "", "#!/usr/bin/env python3", "echo sh"), command_id="without"
    )
    assert (bash.steps[0].stdout, plain.steps[0].stdout) == ("bash\n", "sh\n")


@pytest.mark.fault("F96")
def test_windows_line_ends_do_not_start(runner: Runner) -> None:
    """A script with CRLF ends in 127, and the report says so."""
    result = runner.run(step("apply", "#!/bin/bash\r", "true\r"))
    assert ended(result) == [("Failed", 127)]
    assert "exit status 127" in result.steps[0].stderr


def test_the_surroundings_of_a_script(runner: Runner) -> None:
    """Root, umask 022, no stdin, no HOME, in /usr/bin when nothing was downloaded; the agent says who and where."""
    lines = (
        "pwd; umask; id -u; cat; echo ${HOME-none}",
        'echo "$SSM_COMMAND_ID $AWS_SSM_INSTANCE_ID"',
    )
    result = runner.run(step("apply", *lines))
    assert (
        result.steps[0].stdout
        == f"/usr/bin\n0022\n{os.getuid()}\nnone\ncommand-1 i-1\n"
    )


def test_output_keeps_its_beginning(runner: Runner) -> None:
    """Each stream is cut at 24,000 bytes and says so at its end."""
    on_stdout, on_stderr = (
        "head -c 24000 /dev/zero | tr '\\0' o",
        "head -c 23999 /dev/zero | tr '\\0' e >&2",
    )
    result = runner.run(step("apply", on_stdout, on_stderr))
    [done] = result.steps
    assert len(done.stdout) == 24_000
    assert done.stdout.startswith("ooo")
    assert done.stdout.endswith("o--output truncated--")
    assert done.stderr == "e" * 23_999


def test_output_need_not_be_utf8(runner: Runner) -> None:
    """Bytes that are no UTF-8 are replaced, not fatal."""
    assert runner.run(step("apply", "printf 'a\\377b'")).steps[0].stdout == "a\ufffdb"


@pytest.mark.parametrize(
    ("script", "detail", "code"),
    [
        ("exit 0", "Success", 0),
        ("exit 5", "Failed", 5),
        ("exit 137", "ExecutionTimedOut", 137),
    ],
)
def test_exit_codes(runner: Runner, script: str, detail: str, code: int) -> None:
    """137 always reads as a timeout; other codes pass through."""
    result = runner.run(
        step("apply", "#!/bin/bash", script), step("next", "true", onFailure="exit")
    )
    assert ended(result) == [(detail, code), ("Success", 0)]


class WithShell(Here):
    """This machine with another `sh`."""

    def __init__(self, shell: str) -> None:
        self.shell = shell

    def popen(self, command: Sequence[str], **options: Any) -> "subprocess.Popen[Any]":
        """Start the command with the other shell."""
        return super().popen([self.shell, *command[1:]], **options)


@pytest.mark.parametrize(
    ("shell", "signal", "detail", "code"),
    [
        ("dash", "KILL", "ExecutionTimedOut", 137),
        ("dash", "TERM", "Failed", 143),
        ("bash", "KILL", "Failed", -1),
        ("bash", "TERM", "Failed", -1),
    ],
)
def test_a_script_killed_by_a_signal(
    tmp_path: Path, shell: str, signal: str, detail: str, code: int
) -> None:
    """What a signal reads as depends on the host's `sh`: dash reports 128 + n, bash is replaced by the script."""
    runner = Runner(tmp_path, WithShell(shell))
    with runner.agent:
        assert ended(
            runner.run(step("apply", "#!/bin/bash", f"kill -{signal} $$"))
        ) == [(detail, code)]


def test_exit_137_ignores_on_failure(runner: Runner) -> None:
    """After a timeout the next step runs even with `onFailure: exit`, and the document is TimedOut."""
    result = runner.run(
        step("first", "exit 137", onFailure="exit"), step("second", "echo ran")
    )
    assert result.steps[1].stdout == "ran\n"
    assert result.detail is Detail.EXECUTION_TIMED_OUT


@pytest.mark.parametrize("code", [168, 169, 194])
def test_codes_that_steer_the_agent_are_not_played(runner: Runner, code: int) -> None:
    """They would end the document or reboot the host: here they fail the step, which says why."""
    result = runner.run(step("apply", f"exit {code}"))
    assert ended(result) == [("Failed", code)]
    assert f"not played: exit {code}" in result.steps[0].stderr


def test_a_child_that_holds_the_output_keeps_the_step_running(runner: Runner) -> None:
    """The step ends when its streams are closed, not when the script ends."""
    started = time.monotonic()
    result = runner.run(step("apply", "(sleep 1; echo late) &", "echo early"))
    assert result.steps[0].stdout == "early\nlate\n"
    assert time.monotonic() - started >= 1
    detached = runner.run(
        step("apply", "sleep 30 >/dev/null 2>&1 </dev/null &", "echo $!"),
        command_id="command-2",
    )
    os.kill(int(detached.steps[0].stdout), 9)
    assert (detached.steps[0].finished - detached.steps[0].started).total_seconds() < 30


@pytest.mark.fault("F62")
def test_the_deadline_is_a_sigkill_to_the_group(runner: Runner, tmp_path: Path) -> None:
    """No trap runs and background children die; a child in a session of its own survives and cleans up."""
    wait = f"until [ -e {tmp_path}/go ]; do sleep 0.05; done"
    survivor = f"echo $$ > {tmp_path}/survivor; {wait}; touch {tmp_path}/cleaned"
    result = runner.run(
        step(
            "apply",
            "#!/bin/bash",
            f"trap 'touch {tmp_path}/trapped' EXIT TERM",
            f"setsid timeout 60 sh -c '{survivor}' >/dev/null 2>&1 </dev/null &",
            f"sleep 60 & echo $! > {tmp_path}/child",
            "echo before",
            "wait",
            timeoutSeconds="5",
            onFailure="exit",
        ),
        step("next", "echo ran"),
    )
    assert ended(result) == [("ExecutionTimedOut", 137), ("Success", 0)]
    assert (result.steps[0].stdout, result.steps[1].stdout) == ("before\n", "ran\n")
    assert not (tmp_path / "trapped").exists()
    wait_until(lambda: not alive(tmp_path / "child"), what="the child's end")
    assert alive(tmp_path / "survivor")
    (tmp_path / "go").touch()
    wait_until((tmp_path / "cleaned").exists, what="the survivor's last deed")


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        ("60", 60),
        (60, 60),
        ("5", 5),
        (172_800, 172_800),
        (3, 3600),
        ("172801", 3600),
        ("soon", 3600),
        (None, 3600),
    ],
)
def test_odd_timeouts_silently_mean_an_hour(given: object, seconds: int) -> None:
    """Only 5 to 172800 is a timeout."""
    assert timeout_seconds(given) == seconds
