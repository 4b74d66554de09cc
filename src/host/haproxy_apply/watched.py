"""What a command asks about servers, by address and port: how they are, and how much still goes through them.

That is in every process of the service: the worker is asked, and each old one that still lives.
"""

from __future__ import annotations

from collections import Counter
from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING, NamedTuple

from haproxy_apply import admin_socket, server_state, sockets

if TYPE_CHECKING:
    from collections.abc import Iterable

    from haproxy_apply.processes import Discovery, Service
    from haproxy_apply.server_state import Row
    from haproxy_apply.sockets import Place

UP, PART, OUT, GONE = "up", "part", "out", "gone"
UNKNOWN = "?"

_STATES = "show servers state"
_SERVERS = "show stat -1 4 -1"  # 4: servers alone
_CONNECTIONS = "show servers conn"
_NOWHERE = b"", 0


class Worker(NamedTuple):
    """What the worker says of its servers."""

    states: dict[Place, tuple[Row, ...]]
    load: Counter[Place] | None


def words(
    path: str, worker: int, discovery: Discovery, watch: Iterable[str]
) -> tuple[str, ...]:
    """A word for each `address:port`, in their order; none where this worker does not answer at this path.

    The others are looked for afterwards, so that one that comes meanwhile counts as well.
    """
    asked = _asked(path, worker)
    service = discovery.find()
    if asked is None or service is None:
        return ()
    places = tuple(map(_place, watch))
    load = _sum(asked.load, _load_of_others(service, worker, frozenset(places)))
    return tuple(
        f"{state(asked.states.get(place, ()))}/{UNKNOWN if load is None else load[place]}"
        for place in places
    )


def state(servers: tuple[Row, ...]) -> str:
    """Of all that have one address and port."""
    up = sum(server_state.counted(row)[0] for row in servers)
    if up in {0, len(servers)}:
        return GONE if not servers else UP if up else OUT
    return PART


def _place(text: str) -> Place:
    """Of `address:port`, IPv6 in brackets."""
    address, _colon, port = text.rpartition(":")
    return place(address.strip("[]"), port)


def place(address: str, port: str) -> Place:
    """An IPv4-mapped address is the IPv4 address; nowhere is what is no address, such as that of an unknown name."""
    try:
        found = ip_address(address)
    except ValueError:
        return _NOWHERE
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return (mapped or found).packed, server_state.number(port) or 0


# --- the worker ---


def _asked(path: str, worker: int) -> Worker | None:
    """All of it is of one moment."""
    question = f"{_STATES};{_SERVERS};{_CONNECTIONS}"
    _info, said = admin_socket.answer_of(path, worker, question)
    return read(said)


def read(said: str) -> Worker | None:
    """The three answers; None where the states are missing."""
    states, end, rest = said.partition("\n\n")
    if not (states.startswith("1\n#") and end):
        return None
    statistics, _end, connections = rest.partition("\n\n")
    servers: dict[Place, tuple[Row, ...]] = {}
    for row in server_state.rows(states):
        at = place(row.srv_addr, row.srv_port)
        servers[at] = (*servers.get(at, ()), row)
    servers.pop(_NOWHERE, None)
    return Worker(servers, load(connections, statistics))


def load(connections: str, statistics: str = "") -> Counter[Place] | None:
    """Sessions, queue, used and idle connections by place; None where that is no answer to `show servers conn`.

    A session uses a connection, and a connection may carry several sessions, so what counts is the larger number.
    """
    every = server_state.open_connections(connections)
    if every is None:
        return None
    sessions = server_state.sessions(statistics)
    counted: Counter[Place] = Counter()
    for each in every:
        queued, current = sessions.get(each.name, (0, 0))
        busy = max(current, each.used)
        counted[place(each.address, each.port)] += queued + busy + each.idle
    return counted


# --- all others ---


def _load_of_others(
    service: Service, worker: int, places: frozenset[Place]
) -> Counter[Place] | None:
    """Each is asked by way of the master; who is nobody's, or says nothing, by the kernel's list of its connections.

    A master that says nothing is asked no second time: each question may take seconds.
    """
    master = service.master_socket_path
    counted: Counter[Place] | None = Counter()
    for pid in service.workers:
        if pid == worker:
            continue
        said = admin_socket.answer(master, f"@!{pid} {_CONNECTIONS}")
        master = master if said else ""
        own = load(said)
        counted = _sum(counted, _connected(pid, places) if own is None else own)
    return counted


def _connected(pid: int, places: frozenset[Place]) -> Counter[Place] | None:
    try:
        return Counter(sockets.connected(pid, places))
    except OSError:
        return None


def _sum(
    one: Counter[Place] | None, other: Counter[Place] | None
) -> Counter[Place] | None:
    """Unknown where a part of it is."""
    return None if one is None or other is None else one + other
