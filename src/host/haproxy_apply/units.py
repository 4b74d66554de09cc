"""The systemd unit of the running HAProxy, where systemd runs."""

from __future__ import annotations

import os
import re

from haproxy_apply import commands, durable
from haproxy_apply.state import START_LOG

SYSTEMCTL_SECONDS = 15
_USUAL = "haproxy.service"


def find(pid: int) -> str:
    """The unit of this process; empty for none."""
    if not os.path.isdir("/run/systemd/system") or commands.find("systemctl") is None:
        return ""
    groups = durable.read_text(f"/proc/{pid}/cgroup")
    named = re.findall(r"/([^/\n]*haproxy[^/\n]*\.service)$", groups, re.MULTILINE)
    if named:
        return str(named[-1])
    said = commands.run(["systemctl", "show", "-p", "MainPID", _USUAL])
    return _USUAL if f"MainPID={pid}" in said.output.splitlines() else ""


def reload(unit: str) -> None:
    """Let systemd reload it; whether it did, the new worker says."""
    _systemctl("reload", unit)


def restart(unit: str) -> None:
    """Let systemd start it again; whether it did, the new worker says."""
    _systemctl("restart", unit)


def _systemctl(verb: str, unit: str) -> None:
    commands.start(["systemctl", verb, unit], START_LOG, SYSTEMCTL_SECONDS)
