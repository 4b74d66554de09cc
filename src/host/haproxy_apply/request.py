"""What the command asks for: the document's parameters, which the agent gives as environment variables."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple, Tuple

from haproxy_apply.errors import failed

if TYPE_CHECKING:
    from collections.abc import Mapping

Ranges = Tuple[Tuple[int, int], ...]
"""First and last line of each range, from 1."""

# 1 to 65535: a firewall refuses a rule with any other, and the drop window would be none.
_PORT = "([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
_LINES = "[1-9][0-9]{0,5}(-[1-9][0-9]{0,5})?"
_OCTET = "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_ADDRESS = rf"({_OCTET}(\.{_OCTET}){{3}}|\[[0-9a-f:]+\]):{_PORT}"
_KEYWORD = "[a-z][a-z0-9._-]{0,23}"
PATTERNS = {
    "Md5": "[0-9a-f]{32}",
    "Sha256": "[0-9a-f]{64}",
    "Generation": "[0-9]{1,15}",
    # Not one of our own files.
    "ConfigPath": r"(?!/+var/+(lib|cache)/+haproxy-ec2-sync/)/(?!.*(\.\.|/\./))[A-Za-z0-9._/-]*[A-Za-z0-9]",
    "ReloadMethod": "syn-drop|seamless|runtime|auto",
    "ListenPorts": f"{_PORT}(,{_PORT}){{0,14}}",
    "Publisher": (
        "arn:aws[a-z-]{0,12}:cloudformation:[a-z0-9-]{1,32}:[0-9]{12}:stack/[A-Za-z][A-Za-z0-9-]{0,127}/[0-9a-f-]{36}"
    ),
    "Adopt": "true|false",
    "Action": "apply|inspect|check",
    "SecretLines": f"0|{_LINES}(,{_LINES}){{0,199}}",
    "AllowUnsafeKeywords": f"0|{_KEYWORD}(,{_KEYWORD}){{0,39}}",
    "Watch": f"0|{_ADDRESS}(,{_ADDRESS}){{0,99}}",
}


class Request(NamedTuple):
    """The parameters, each of which has its form."""

    md5: str
    sha256: str
    fence: int  # the parameter `Generation`: a host never goes back to a lower one
    config_path: str
    reload_method: str
    listen_ports: str  # comma separated
    publisher: str  # the stack that sends it, by its id
    adopts: bool  # whether it takes the host from another stack
    inspects: bool  # whether it only reports
    checks: bool  # whether it only compares
    secret_lines: Ranges  # of the config
    allowed: frozenset[str]  # unsafe keywords that the config may have
    watch: tuple[str, ...]  # `address:port` of the servers that it asks about

    @property
    def wants_runtime_change(self) -> bool:
        """Whether a change without a new process is tried first."""
        return self.reload_method in {"runtime", "auto"}


def fence_of(environ: Mapping[str, str]) -> int:
    """The fence for the marker: what is no number must not reach it; 0 stands for none."""
    given = environ.get("SSM_Generation", "0")
    return int(given) if _fits("Generation", given) else 0


def config_path_of(environ: Mapping[str, str]) -> str:
    """The live file's path; empty where none is given in its form."""
    given = environ.get("SSM_ConfigPath", "")
    return given if _fits("ConfigPath", given) else ""


def installs(environ: Mapping[str, str]) -> bool:
    """Whether the command is to change the host, if it needs to."""
    return environ.get("SSM_Action") == "apply"


def is_publisher(text: str) -> bool:
    """Whether it is the id of a stack."""
    return _fits("Publisher", text)


def parse(environ: Mapping[str, str]) -> Request:
    """The request of this environment.

    `Ended`: `bad-parameter` for what is malformed, `agent-too-old` for what is unset, as an agent leaves it that does
    not know ENV_VAR parameters.
    """
    if not _fits("Generation", environ.get("SSM_Generation", "0")):
        raise failed(10, "bad-parameter", "Generation")
    for name in PATTERNS:
        if f"SSM_{name}" not in environ:
            detail = f"SSM_{name} is unset: update the SSM agent to 3.3.2746.0 or later"
            raise failed(11, "agent-too-old", detail)
    given = {name: environ[f"SSM_{name}"] for name in PATTERNS}
    for name, value in given.items():
        if not _fits(name, value):
            raise failed(10, "bad-parameter", name)
    return Request(
        md5=given["Md5"],
        sha256=given["Sha256"],
        fence=int(given["Generation"]),
        config_path=given["ConfigPath"],
        reload_method=given["ReloadMethod"],
        listen_ports=given["ListenPorts"],
        publisher=given["Publisher"],
        adopts=given["Adopt"] == "true",
        inspects=given["Action"] == "inspect",
        checks=given["Action"] == "check",
        secret_lines=secret_lines_of(environ),
        allowed=frozenset(given["AllowUnsafeKeywords"].split(",")) - {"0"},
        watch=() if given["Watch"] == "0" else tuple(given["Watch"].split(",")),
    )


def secret_lines_of(environ: Mapping[str, str]) -> Ranges:
    """The lines of the config that hold a secret; none where that is not said in its form."""
    given = environ.get("SSM_SecretLines", "0")
    if given == "0" or not _fits("SecretLines", given):
        return ()
    bounds = (item.split("-") for item in given.split(","))
    return tuple((int(each[0]), int(each[-1])) for each in bounds)


def _fits(name: str, value: str) -> bool:
    return re.fullmatch(PATTERNS[name], value) is not None
