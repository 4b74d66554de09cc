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
_SESSIONS = "show stat -1 4 -1"  # 4: servers alone
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
    if not servers:
        return GONE
    if up == len(servers):
        return UP
    return PART if up else OUT


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
    """Both answers are of one moment."""
    _info, said = admin_socket.answer_of(path, worker, f"{_STATES};{_SESSIONS}")
    return read(said)


def read(said: str) -> Worker | None:
    """The two answers; None where the states are missing.

    Connections are not counted here: the pool keeps one to whom it checks for ever, and 2.2 takes a check for another.
    """
    states, end, statistics = said.partition("\n\n")
    if not (states.startswith("1\n#") and end):
        return None
    servers: dict[Place, tuple[Row, ...]] = {}
    for row in server_state.rows(states):
        at = place(row.srv_addr, row.srv_port)
        servers[at] = (*servers.get(at, ()), row)
    servers.pop(_NOWHERE, None)
    return Worker(servers, _load(servers, server_state.sessions(statistics)))


def _load(
    servers: dict[Place, tuple[Row, ...]], sessions: dict[str, int] | None
) -> Counter[Place] | None:
    if sessions is None:
        return None
    return Counter(
        {
            at: sum(sessions.get(row.name, 0) for row in rows)
            for at, rows in servers.items()
        }
    )


# --- all others ---


def _load_of_others(
    service: Service, worker: int, places: frozenset[Place]
) -> Counter[Place] | None:
    """By the kernel's word, or the process's own, by way of the master, where that is more.

    A server in another network namespace is not the kernel's matter here, and HAProxy counts no connection that only
    one client may use. A master that says nothing is asked no second time: each question may take seconds.
    """
    master = service.master_socket_path
    counted: Counter[Place] | None = Counter()
    for pid in service.workers:
        if pid == worker:
            continue
        said = admin_socket.answer(master, f"@!{pid} {_CONNECTIONS}")
        master = master if said else ""
        counted = _sum(counted, _most(_connected(pid, places), own_load(said)))
    return counted


def _most(
    connected: Counter[Place] | None, own: Counter[Place]
) -> Counter[Place] | None:
    return None if connected is None else connected | own


def own_load(connections: str) -> Counter[Place]:
    """Used and idle ones; whoever answers something else counts none."""
    counted: Counter[Place] = Counter()
    for each in server_state.open_connections(connections):
        counted[place(each.address, each.port)] += each.number
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
