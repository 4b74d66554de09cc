"""The systemd unit of HAProxy, where systemd runs: of the one that runs, or of one that is stopped."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, NamedTuple

from haproxy_apply import commands, durable
from haproxy_apply.state import START_LOG
from haproxy_apply.stats_socket import native
from haproxy_apply.surroundings import Account

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pwd import struct_passwd

_OF_SYSTEMD = "/proc/1/environ"
_USUAL = "haproxy.service"
_HAPROXY = re.compile(r"/([^/\n]*haproxy[^/\n]*\.service)$", re.MULTILINE)
_OF_USER = re.compile(r"/(user@[^/\n]*/(?:[^\n]*/)?[^/\n]*\.service)$", re.MULTILINE)
_CHANGING = {"ActiveState=activating", "ActiveState=deactivating"}
_ASKED = (
    "LoadState",
    "ExecStart",
    "Environment",
    "EnvironmentFiles",
    "PassEnvironment",
    "User",
    "Group",
    "SupplementaryGroups",
    "WorkingDirectory",
)


class Definition(NamedTuple):
    """How a unit is started."""

    words: list[str]  # of the command line, the binary first
    environment: dict[str, str]  # read as Latin-1
    account: Account | None  # None: root
    directory: str


def _has_systemd() -> bool:
    return os.path.isdir("/run/systemd/system") and (
        commands.find("systemctl") is not None
    )


def find(pid: int) -> str:
    """The system's unit of this process; empty for none."""
    groups = _groups(pid)
    if not _has_systemd() or users(groups):
        return ""
    named = systems(groups)
    if named:
        return named
    said = commands.run(["systemctl", "show", "-p", "MainPID", _USUAL])
    return _USUAL if f"MainPID={pid}" in said.output.splitlines() else ""


def of_user(pid: int) -> str:
    """The unit of this process, if it is one of a user's own systemd, which does not answer us; empty for none."""
    return users(_groups(pid))


def _groups(pid: int) -> str:
    return durable.read_text(f"/proc/{pid}/cgroup")


def systems(groups: str) -> str:
    """The system's unit that control groups name; empty for none."""
    return "" if users(groups) else _last(_HAPROXY, groups)


def users(groups: str) -> str:
    """The unit of a user's own systemd that they name, behind the name of that; empty for none."""
    return _last(_OF_USER, groups)


def _last(pattern: re.Pattern[str], groups: str) -> str:
    found: list[str] = pattern.findall(groups)
    return ["", *found][-1]


def is_loaded(unit: str) -> bool:
    """Whether systemd runs, and knows of such a unit."""
    if not _has_systemd():
        return False
    said = commands.run(["systemctl", "show", "-p", "LoadState", unit])
    return "LoadState=loaded" in said.output.splitlines()


def definition(unit: str) -> Definition | None:
    """How systemd would start this unit; None: there is none, or it is not understood."""
    if not _has_systemd():
        return None
    asked = [word for name in _ASKED for word in ("-p", name)]
    said = commands.run(["systemctl", "show", *asked, unit])
    properties: dict[str, list[str]] = {}
    for line in said.output.split("\n"):
        name, _equals, value = line.partition("=")
        properties.setdefault(name, []).append(value)
    try:
        return _definition(properties)
    except (LookupError, OSError, ValueError):
        return None


def _definition(said: dict[str, list[str]]) -> Definition:
    """By what systemd says. `LookupError`, `OSError`, `ValueError`: it is not understood, or would not start."""
    from haproxy_apply import unit_syntax

    if said.get("LoadState") != ["loaded"]:
        raise LookupError
    (command,) = said["ExecStart"]
    binary, argv = unit_syntax.command(command)
    variables = _passed_on(_value(said, "PassEnvironment").split())
    variables.update(unit_syntax.environment(_value(said, "Environment")))
    for file in said.get("EnvironmentFiles", []):
        variables.update(_variables(file))
    # A unit may call its binary by another name.
    words = [binary, *unit_syntax.words(argv, variables)[1:]]
    named = native(_value(said, "WorkingDirectory").lstrip("!"))
    directory = named if os.path.isdir(named) else "/"
    return Definition(list(map(native, words)), variables, _account(said), directory)


def _value(said: dict[str, list[str]], name: str) -> str:
    return said.get(name, [""])[0]


def _passed_on(names: Sequence[str]) -> dict[str, str]:
    """The variables of systemd's own that have one of these names."""
    own = durable.read_text(_OF_SYSTEMD).split("\0")
    pairs = (each.partition("=") for each in own)
    return {name: value for name, equals, value in pairs if equals and name in names}


def _variables(said: str) -> dict[str, str]:
    """Of one entry of `EnvironmentFiles`, which may be a pattern. `OSError`: a file that is needed is missing."""
    from glob import glob

    from haproxy_apply import unit_syntax

    pattern, is_optional = unit_syntax.environment_path(said)
    paths = sorted(glob(native(pattern)))
    if not paths and not is_optional:
        raise FileNotFoundError(pattern)
    variables: dict[str, str] = {}
    for path in paths:
        with open(path, encoding="latin-1") as file:
            variables.update(unit_syntax.file_variables(file.read()))
    return variables


def _account(said: dict[str, list[str]]) -> Account | None:
    """`LookupError`: there is no such user."""
    name = _value(said, "User")
    if name in {"", "root", "0"}:
        return None
    user = _user(name)
    named = _value(said, "Group")
    group = _group(named) if named else user.pw_gid
    more = map(_group, _value(said, "SupplementaryGroups").split())
    groups = {*os.getgrouplist(user.pw_name, group), *more}
    return Account(user.pw_uid, group, tuple(sorted(groups)))


def _user(name: str) -> struct_passwd:
    """By name or by number."""
    from pwd import getpwnam, getpwuid

    return getpwuid(int(name)) if name.isdecimal() else getpwnam(name)


def _group(name: str) -> int:
    """By name or by number."""
    from grp import getgrgid, getgrnam

    found = getgrgid(int(name)) if name.isdecimal() else getgrnam(name)
    return found.gr_gid


def can_reload(unit: str) -> bool:
    """Whether systemd knows how to reload it."""
    said = commands.run(["systemctl", "show", "-p", "CanReload", unit])
    return "CanReload=no" not in said.output.splitlines()


def is_changing(unit: str) -> bool:
    """Whether systemd starts or stops it at the moment; a pause after it died (`RestartSec`) is neither."""
    asked = ["-p", "ActiveState", "-p", "SubState"]
    said = commands.run(["systemctl", "show", *asked, unit]).output
    return "SubState=auto-restart" not in said and not _CHANGING.isdisjoint(
        said.splitlines()
    )


def reload(unit: str, seconds: float) -> None:
    """Let systemd reload it, within so many seconds; whether it did, the new worker says."""
    _systemctl("reload", unit, seconds)


def restart(unit: str, seconds: float) -> None:
    """Let systemd start it again, within so many seconds; whether it did, the new worker says.

    Also a unit that it has given up, since it died too often (`StartLimitBurst`).
    """
    commands.run(["systemctl", "reset-failed", unit])
    _systemctl("restart", unit, seconds)


def _systemctl(verb: str, unit: str, seconds: float) -> None:
    commands.start(["systemctl", verb, unit], START_LOG, seconds)
