"""How a HAProxy that is stopped would be started.

Whoever started it last is asked how it would start it now: its unit, or the init script. Where it was started by
somebody else, or that is gone, how it ran then is what is known best. Where no run of ours saw it running, the usual
unit is asked, or the init script.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

from haproxy_apply import command_line, durable, init_script, surroundings, units
from haproxy_apply.command_line import CommandLine
from haproxy_apply.files import is_same_file
from haproxy_apply.state import LAST_RUN
from haproxy_apply.stats_socket import native
from haproxy_apply.surroundings import Account, Surroundings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from haproxy_apply.files import LiveFile
    from haproxy_apply.haproxy import HAProxy

_BY_SCRIPT = "init-script"
_USUAL = "haproxy.service"
_KEPT = "PATH", "LANG"


class Start(NamedTuple):
    """All that a check has to know of a start."""

    command: CommandLine
    environment: dict[str, str]
    surroundings: Surroundings


class LastRun(NamedTuple):
    """How HAProxy ran when it was last seen, and by whom it was started: a unit, the init script, or somebody else."""

    starter: str
    start: Start


def find(live: LiveFile) -> Start | None:
    """How it would be started; None: nobody knows, or it would not read the live file."""
    found = _start(live)
    return found if found and _reads(found, live) else None


def _start(live: LiveFile) -> Start | None:
    last = _last_run()
    if last is None:
        return _of_unit(_USUAL, live) or _of_script(live)
    if _is_there(last.starter):
        return _asked(last.starter, live)
    is_whole = all(map(os.path.exists, _paths(last.start)))
    return last.start if is_whole else None


def _is_there(starter: str) -> bool:
    """Whether it would still start HAProxy; what it did once says nothing then."""
    if starter == _BY_SCRIPT:
        return os.path.exists(init_script.SCRIPT)
    return starter != "" and units.is_loaded(starter)


def _asked(starter: str, live: LiveFile) -> Start | None:
    return _of_script(live) if starter == _BY_SCRIPT else _of_unit(starter, live)


def _of_script(live: LiveFile) -> Start | None:
    """By the init script, which systemd does not use where there is a unit of that name."""
    found = init_script.find(live.config_path)
    if found is None or units.is_loaded(_USUAL):
        return None
    command, variables = found
    return Start(command, _environment(variables), surroundings.OURS)


def _of_unit(unit: str, live: LiveFile) -> Start | None:
    """As systemd would start it; it makes a unit of an init script, too."""
    found = units.definition(unit)
    if found is None:
        return None
    if found.words[0] == init_script.SCRIPT:
        script = init_script.find(live.config_path)
        return script and Start(script[0], _environment(script[1]), surroundings.OURS)
    if not _is_haproxy(found.words[0]):
        return None
    command = command_line.parse(found.words)
    if command is None:
        return None
    around = Surroundings(found.account, found.directory)
    return Start(command, _environment(found.environment), around)


def _is_haproxy(binary: str) -> bool:
    """By its name; what a script of that name makes of its words, only it knows."""
    has_name = os.path.basename(binary).startswith("haproxy")
    return has_name and not durable.read_text(binary).startswith("#!")


def _environment(variables: dict[str, str]) -> dict[str, str]:
    """These, which are read as Latin-1, and what every service has."""
    least = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return {**least, **{name: native(value) for name, value in variables.items()}}


def _paths(start: Start) -> Iterator[str]:
    """The files and directories of the command line."""
    for file in start.command.files:
        yield os.path.join(start.surroundings.directory, file)


def _reads(start: Start, live: LiveFile) -> bool:
    """Whether one of its -f is the live file, or the directory where that is."""
    is_there = live.md5 != ""
    return any(
        live.is_meant_by(path) or (is_there and is_same_file(path, live.directory))
        for path in _paths(start)
    )


def remember(haproxy: HAProxy, pid: int, live: LiveFile) -> None:
    """How it runs now; written only where that is new (`OSError`)."""
    import json

    command, around = haproxy.command, haproxy.surroundings
    unit = units.find(pid)
    said = {
        "starter": unit or _script_of(command, live),
        "binary": command.binary,
        "files": command.files,
        "options": command.options,
        "environment": haproxy.environment or {},
        "directory": around.directory,
        "account": around.account,
    }
    text = f"{json.dumps(said)}\n"
    if durable.read_text(LAST_RUN) != text:
        durable.write_text(LAST_RUN, text)


def _script_of(command: CommandLine, live: LiveFile) -> str:
    """The init script, if that would start it with the same files and options."""
    found = init_script.find(live.config_path)
    is_alike = found and found[0][1:3] == command[1:3]
    return _BY_SCRIPT if is_alike else ""


def _last_run() -> LastRun | None:
    """What was remembered; None: nothing, or nothing that can be read."""
    text = durable.read_text(LAST_RUN)
    if not text:
        return None
    import json

    try:
        return _of_json(json.loads(text))
    except (KeyError, TypeError, ValueError):
        return None


def _of_json(said: dict[str, Any]) -> LastRun:
    command = CommandLine(said["binary"], tuple(said["files"]), tuple(said["options"]))
    account = said["account"]
    if account:
        user, group, groups, capabilities = account
        account = Account(user, group, tuple(groups), capabilities)
    around = Surroundings(account, said["directory"])
    return LastRun(said["starter"], Start(command, said["environment"], around))
