"""This host's HAProxy binary, with the options and the environment of the one that runs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from haproxy_apply import commands
from haproxy_apply.command_line import CommandLine
from haproxy_apply.errors import failed
from haproxy_apply.processes import environment
from haproxy_apply.state import START_LOG

if TYPE_CHECKING:
    from haproxy_apply.commands import Completed
    from haproxy_apply.processes import Service
    from haproxy_apply.request import Request

MAX_ALERTS = 3


class HAProxy(NamedTuple):
    """A HAProxy that can be started again the way it ran, also after its death."""

    command: CommandLine
    version: str  # empty where it does not say
    environment: dict[str, str] | None  # None: nothing runs, ours will do

    def is_at_least(self, major: int, minor: int) -> bool:
        """Whether it is this version or a later one; an unknown version is not."""
        numbers = re.match(r"([0-9]+)\.([0-9]+)", self.version)
        if numbers is None:
            return False
        return (int(numbers[1]), int(numbers[2])) >= (major, minor)

    def check(self, *arguments: str) -> Completed:
        """Run it for a check, to its end."""
        return commands.run([self.command.binary, *arguments], env=self.environment)

    def start(self, *arguments: str) -> Completed:
        """Start it as a daemon, with its files and options; status 0: it is ready."""
        started = ["-D", *self.command.options]
        for file in self.command.files:
            started += ["-f", file]
        if self.command.pid_file:
            started += ["-p", self.command.pid_file]
        return commands.start(
            [self.command.binary, *started, *arguments],
            log=START_LOG,
            env=self.environment,
        )


def find(request: Request, service: Service | None) -> HAProxy:
    """The binary that runs, or the one on PATH where HAProxy is stopped. `Ended`: `no-haproxy`."""
    command = service.command if service else _stopped(request)
    said = commands.run([command.binary, "-v"])
    if said.status != 0:
        raise failed(16, "no-haproxy", f"{command.binary} -v fails")
    version = re.search(r"version ([0-9]+\.[0-9]+[^ \n]*)", said.output)
    return HAProxy(
        command=command,
        version=version[1] if version else "",
        environment=(environment(service.root.pid) or None) if service else None,
    )


def _stopped(request: Request) -> CommandLine:
    binary = commands.find("haproxy")
    if binary is None:
        raise failed(16, "no-haproxy", "haproxy is not on PATH and not running")
    return CommandLine(binary, files=(request.config_path,))


def alerts(said: Completed) -> str:
    """The first alerts of what HAProxy said."""
    return "\n".join(said.lines_with("ALERT")[:MAX_ALERTS])
