"""This host's HAProxy binary, with the options and the environment of the one that runs."""

from __future__ import annotations

import os
import re
from typing import IO, TYPE_CHECKING, NamedTuple

from haproxy_apply import commands, conditions, files, surroundings
from haproxy_apply.command_line import CommandLine
from haproxy_apply.errors import failed
from haproxy_apply.processes import environment
from haproxy_apply.state import BINDS, START_LOG
from haproxy_apply.surroundings import OURS, Surroundings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from haproxy_apply.commands import Completed
    from haproxy_apply.conditions import Told
    from haproxy_apply.files import LiveFile
    from haproxy_apply.processes import Service
    from haproxy_apply.request import Request

MAX_ALERTS = 3


class HAProxy(NamedTuple):
    """A HAProxy that can be started again the way it ran, also after its death."""

    command: CommandLine
    version: str = ""  # empty where it does not say
    environment: dict[str, str] | None = None  # None: ours will do
    surroundings: Surroundings = OURS
    is_known: bool = True  # else nobody knows its other files and options

    def is_at_least(self, major: int, minor: int) -> bool:
        """Whether it is this version or a later one; an unknown version is not."""
        numbers = re.match(r"([0-9]+)\.([0-9]+)", self.version)
        if numbers is None:
            return False
        return (int(numbers[1]), int(numbers[2])) >= (major, minor)

    def check(self, *arguments: str) -> Completed:
        """Run it for a check, to its end."""
        argv = [self.command.binary, *arguments]
        account = self.surroundings.account
        ours = next(filter(_is_ours, arguments), "") if account else ""
        if not ours:
            return self._run(argv)
        # It may not enter the directory, so the open file is handed to it, and opened anew by its name.
        with open(ours, "rb") as file:
            if account and not ours.endswith(files.CHECKED):
                os.fchown(file.fileno(), account.user, account.group)
            name = f"/proc/self/fd/{file.fileno()}"
            said = self._run([name if word == ours else word for word in argv], file)
        return said._replace(output=said.output.replace(name, ours))

    def told(self, before: Iterable[str], text: str) -> Told | None:
        """What it says of the conditions of a config that it reads after others; None where it does not say."""
        question = conditions.question(before, text)
        if question == "":
            return conditions.NONE_TAKEN
        environment = os.environ if self.environment is None else self.environment
        # What a master has beside the environment that it was started with.
        mode = {"HAPROXY_MWORKER": "1"} if self.command.master_mode else {}
        command = [self.command.binary, *self.command.options]
        argv = [*command, "-c", "-f", "/dev/stdin"]
        said = commands.run(argv, question, env={**environment, **mode})
        return conditions.answered(text, said.output)

    def _run(self, argv: list[str], *inherited: IO[bytes]) -> Completed:
        return commands.run(
            argv,
            env=self.environment,
            enter=surroundings.entering(self.surroundings),
            descriptors=[file.fileno() for file in inherited],
        )

    def start(self, *arguments: str, seconds: float | None = None) -> Completed:
        """Start it as a daemon, with its files and options, within so many seconds; status 0: it is ready."""
        started = ["-D", *self.command.options]
        for file in self.command.files:
            started += ["-f", file]
        if self.command.pid_file:
            started += ["-p", self.command.pid_file]
        return commands.start(
            [self.command.binary, *started, *arguments],
            log=START_LOG,
            seconds=seconds,
            env=self.environment,
            enter=surroundings.entering(self.surroundings),
        )


def _is_ours(path: str) -> bool:
    """Whether this is a file that we wrote for a check, where only root reads."""
    return path == BINDS or os.path.basename(path) in {files.CHECKED, files.TRIED}


def find(request: Request, service: Service | None, live: LiveFile) -> HAProxy:
    """The binary that runs, or that would be started where HAProxy is stopped. `Ended`: `no-haproxy`."""
    found = _running(service) if service else _stopped(request, live)
    said = found.check("-v")
    if said.status != 0:
        raise failed(16, "no-haproxy", f"{found.command.binary} -v fails")
    version = re.search(r"version ([0-9]+\.[0-9]+[^ \n]*)", said.output)
    return found._replace(version=version[1] if version else "")


def _running(service: Service) -> HAProxy:
    pid = service.root.pid
    return HAProxy(
        service.command,
        environment=environment(pid) or None,
        surroundings=surroundings.of(pid),
    )


def _stopped(request: Request, live: LiveFile) -> HAProxy:
    from haproxy_apply import standby

    known = standby.find(live)
    if known:
        return HAProxy(
            known.command,
            environment=known.environment,
            surroundings=known.surroundings,
        )
    binary = commands.find("haproxy")
    if binary is None:
        raise failed(16, "no-haproxy", "haproxy is not on PATH and not running")
    command = CommandLine(binary, files=(request.config_path,))
    return HAProxy(command, is_known=False)


def alerts(said: Completed) -> str:
    """The first alerts of what HAProxy said."""
    return "\n".join(said.lines_with("ALERT")[:MAX_ALERTS])
