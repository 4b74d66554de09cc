"""TCP sockets of this host, as the kernel lists them: who listens, and who waits to be accepted."""

from __future__ import annotations

import os
from contextlib import suppress
from time import monotonic, sleep
from typing import TYPE_CHECKING, NamedTuple, Tuple

from haproxy_apply import bind_addresses, durable
from haproxy_apply.bind_addresses import Held
from haproxy_apply.sock_diag import LISTEN, SYN_RECV, tcp_sockets

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

HANDSHAKE_SECONDS = 0.4
_POLL_SECONDS = 0.01
_BLIND_SECONDS = 0.2
_LISTEN = "0A"
_MAPPED = b"\0" * 10 + b"\xff\xff"  # before an IPv4 address that is written as IPv6
_SIZES = 4, 16  # bytes of an address
_GONE = FileNotFoundError, ProcessLookupError


Place = Tuple[bytes, int]
"""An address in network order, and a port."""


class Listener(NamedTuple):
    """A listening socket."""

    address: str  # as in the kernel's table: hexadecimal, and the port
    inode: str


def listens(pid: int) -> bool:
    """Whether this process holds a listening TCP socket of its network namespace; one that is gone holds none."""
    listening = {each.inode for each in _listeners(str(pid))}
    # HAProxy's listeners are among its first descriptors, before thousands of connections.
    return not listening.isdisjoint(_inodes_of(str(pid)))


def held_by_haproxy() -> frozenset[Held]:
    """The TCP addresses on which some HAProxy of this host listens."""
    held: set[str] = set()
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        if (durable.read(f"/proc/{pid}/comm") or b"").startswith(b"haproxy"):
            held.update(_inodes_of(pid))
    return frozenset(
        _held(each.address) for each in _listeners("self") if each.inode in held
    )


def is_here(host: str) -> bool:
    """Whether this host may listen on this address, on whatever port; true where the kernel does not say no.

    Nothing listens for that: nobody can connect.
    """
    from errno import EADDRNOTAVAIL
    from socket import AF_INET, AF_INET6, socket

    try:
        with socket(AF_INET6 if ":" in host else AF_INET) as trial:
            trial.bind((host, 0))
    except OSError as error:
        return error.errno != EADDRNOTAVAIL
    return True


def _held(address: str) -> Held:
    """The kernel's address as people write it: its words are in the host's byte order."""
    from socket import AF_INET, AF_INET6, inet_ntop
    from struct import pack

    host, _colon, port = address.partition(":")
    words = [int(host[at : at + 8], 16) for at in range(0, len(host), 8)]
    packed = pack(f"={len(words)}I", *words)
    family = AF_INET6 if host[8:] else AF_INET
    return Held(bind_addresses.host(inet_ntop(family, packed)), int(port, 16))


def _inodes_of(pid: str) -> Iterator[str]:
    """The sockets that it holds, lowest descriptor first; none of one that is gone."""
    with suppress(OSError):
        yield from _open_inodes(pid)


def _open_inodes(pid: str) -> Iterator[str]:
    """The same; raises OSError where the kernel does not say."""
    directory = f"/proc/{pid}/fd"
    with suppress(*_GONE):
        for name in os.listdir(directory):
            link = _target(f"{directory}/{name}")
            if link.startswith("socket:["):
                yield link[8:-1]


def _target(link: str) -> str:
    try:
        return os.readlink(link)
    except _GONE:
        return ""  # closed since


def connected(pid: int, places: Collection[Place]) -> tuple[Place, ...]:
    """To which of these places this process has TCP connections, once for each; one that is gone has none.

    Raises OSError where the kernel does not say. Whoever connects to us from such a place is another matter.
    """
    named = {form: place for place in places for form in _forms(place)}
    peers: dict[str, Place] = {}
    for family in ("tcp", "tcp6"):
        peers.update(_peers(f"/proc/{pid}/net/{family}", named))
    if not peers:
        return ()
    return tuple(peers[each] for each in _open_inodes(str(pid)) if each in peers)


def _forms(place: Place) -> Iterator[str]:
    """As the kernel writes it: words in the host's byte order; an IPv4 address may be in the table of IPv6, too."""
    from struct import unpack

    address, port = place
    for packed in (address, _MAPPED + address):
        if len(packed) in _SIZES:
            words = unpack(f"={len(packed) // 4}I", packed)
            yield f"{''.join(f'{word:08X}' for word in words)}:{port:04X}"


def _peers(table: str, named: dict[str, Place]) -> Iterator[tuple[str, Place]]:
    """By inode, those at the other end."""
    with suppress(*_GONE), open(table, "rb") as file:
        for line in file:
            words = line.decode("ascii").split(None, 10)
            if words[2] in named and words[3] != _LISTEN:
                yield words[9], named[words[2]]


def _listeners(pid: str) -> Iterator[Listener]:
    """Those of the process's network namespace, of both families."""
    for family in ("tcp", "tcp6"):
        yield from _listening(f"/proc/{pid}/net/{family}")


def _listening(table: str) -> Iterator[Listener]:
    """Without reading the connections, of which there may be very many.

    The kernel lists all listening sockets first (tcp_get_idx() in net/ipv4/tcp_ipv4.c), in pieces of a page.
    """
    try:
        with open(table, "rb", buffering=4096) as file:
            next(file, None)  # the titles
            for line in file:
                words = line.decode("ascii").split()
                if words[3] != _LISTEN:
                    return
                yield Listener(words[1], words[9])
    except OSError:
        return  # a kernel without this family, or a process that is gone


def let_handshakes_end(ports: str) -> None:
    """Return once nobody is between SYN and accept on these ports ("80,443"), after HANDSHAKE_SECONDS in any case.

    Where the kernel does not say who is, some time is all that there is.
    """
    wanted = {int(port) for port in ports.split(",")}
    deadline = monotonic() + HANDSHAKE_SECONDS
    try:
        while is_anyone_waiting(wanted) and monotonic() < deadline:
            sleep(_POLL_SECONDS)
    except OSError:
        sleep(_BLIND_SECONDS)


def is_anyone_waiting(ports: set[int]) -> bool:
    """Whether somebody is between SYN and accept on one of these ports; raises OSError if the kernel does not say."""
    return any(
        found.port in ports and (found.state == SYN_RECV or found.queue > 0)
        for found in tcp_sockets({SYN_RECV, LISTEN})
    )
