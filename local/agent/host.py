"""What the agent needs of a machine."""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

PRIVATE = 0o700
"""Mode of all that the agent makes for root alone: directories, scripts, downloads."""


class Host(Protocol):
    """A machine that commands can be started on and whose files can be reached from here."""

    def popen(
        self,
        command: Sequence[str],
        *,
        cwd: str,
        env: Mapping[str, str],
        **options: Any,
    ) -> "subprocess.Popen[Any]":
        """Start a command in a process group of its own; `options` are those of `subprocess.Popen`."""

    def path(self, path: str) -> Path:
        """Where this process sees a file of the machine."""


class Here:
    """This machine, with nothing in the environment but what the agent's systemd unit would have."""

    def popen(
        self,
        command: Sequence[str],
        *,
        cwd: str,
        env: Mapping[str, str],
        **options: Any,
    ) -> "subprocess.Popen[Any]":
        """Start a command in a session of its own."""
        environment = {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            **env,
        }
        return subprocess.Popen(
            command, cwd=cwd, env=environment, start_new_session=True, **options
        )

    def path(self, path: str) -> Path:
        """The path itself."""
        return Path(path)


def make_directory(path: Path) -> None:
    """Make a directory and the missing ones above it, for root alone."""
    if path.is_dir():
        return
    make_directory(path.parent)
    path.mkdir(mode=PRIVATE, exist_ok=True)
