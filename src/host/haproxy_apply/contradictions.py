"""Whether a worker's servers have what their file plainly says: address, port, check settings, TLS.

Variables, conditions, quotes, names and keywords that are not known here are left out: whatever they mean, a difference
would prove nothing.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from haproxy_apply.server_keywords import KNOWN
from haproxy_apply.server_state import columns, number, spelt_out

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from haproxy_apply.model import Model, Server

_IPV4 = re.compile(r"(?:(?:0|[1-9][0-9]{0,2})\.){3}(?:0|[1-9][0-9]{0,2})")
_IPV6 = re.compile(r"[0-9A-Fa-f:]*:[0-9A-Fa-f:]*(?:[0-9]+(?:\.[0-9]+){3})?")
_MAX_PORT = 65535


def contradictions(answer: str, model: Model) -> list[str]:
    """What the worker that gave this answer to `show servers state` has otherwise than the file; empty: nothing."""
    shown = columns(answer)
    times = Counter(server.name for server in model.servers)
    plain = (server for server in model.servers if server.is_plain)
    return [
        f"{server.name}: {difference}"
        for server in plain
        if times[server.name] == 1
        for difference in _differences(server, shown.get(server.name, {}))
    ]


def _differences(server: Server, shown: Mapping[str, str]) -> Iterator[str]:
    """Only what the version shows is compared, and only where it and the file say something that is comparable."""
    for column, (what, expected) in _said(server).items():
        if column in shown and expected != _comparable(column, shown[column]):
            yield f"{what} {shown[column]}, not {expected}"


def _comparable(column: str, value: str) -> str:
    if column.endswith("_addr"):
        return spelt_out(value)
    is_flag = column == "srv_use_ssl"  # -1 is `no-ssl`
    return str(int(number(value) == 1)) if is_flag else value


def _said(server: Server) -> dict[str, tuple[str, str]]:
    """By column: what it is about, and what the file plainly says there."""
    said = {"srv_addr": ("address", _plain_address(server.address))}
    said["srv_port"] = ("port", _plain_number(server.port))
    return {
        column: (what, value)
        for column, (what, value) in {**said, **_options(server)}.items()
        if value
    }


def _options(server: Server) -> dict[str, tuple[str, str]]:
    last = dict(server.keywords)
    if not KNOWN.issuperset(last):
        return {}
    # An agent has the check's address and port where it has none of its own.
    agent_port = last.get("agent-port", last.get("port", "-"))
    agent_address = last.get("agent-addr", last.get("addr", "-"))
    tls = "" if "no-ssl" in last else str(int("ssl" in last))
    return {
        "srv_use_ssl": ("TLS", tls),
        "srv_check_port": ("check port", _plain_number(last.get("port", "-"))),
        "srv_check_addr": ("check address", _shown_address(last.get("addr", "-"))),
        "srv_agent_port": ("agent port", _plain_number(agent_port)),
        "srv_agent_addr": ("agent address", _shown_address(agent_address)),
    }


def _shown_address(said: str) -> str:
    return "-" if said == "-" else _plain_address(said)


def _plain_address(address: str) -> str:
    """In the spelling of `spelt_out`; empty for a name, a socket and whatever else is shown in a way of its own."""
    if _IPV4.fullmatch(address):
        return address
    bare = address[1:-1] if address.startswith("[") else address
    return spelt_out(bare) if _IPV6.fullmatch(bare) and bare != ":" else ""


def _plain_number(said: str) -> str:
    """A port as it is shown; empty for what is no plain one (HAProxy takes 70000, too, as another one)."""
    if said == "-":
        return "0"
    port = int(said) if said.isdecimal() else _MAX_PORT + 1
    return str(port) if port <= _MAX_PORT else ""
