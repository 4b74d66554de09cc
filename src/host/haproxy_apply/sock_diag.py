"""The kernel's list of TCP sockets over netlink: sock_diag(7), layouts of linux/netlink.h and linux/inet_diag.h."""

from __future__ import annotations

import os
import socket
import struct
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

SYN_RECV = 3  # net/tcp_states.h
LISTEN = 10

_SECONDS = 0.2  # for an answer of the kernel, which is not late
_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_NLM_F_REQUEST_DUMP = 0x301
_NLMSG_ERROR = 2
_NLMSG_DONE = 3
_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_ERROR = struct.Struct("=i")  # negative errno, or 0
_REQUEST = struct.Struct("=BBBxI48x")  # family, protocol, extensions, states, any id
_MESSAGE = struct.Struct("=BBxx2s46x4xI")  # family, state, sport, expires, rqueue


class TcpSocket(NamedTuple):
    """One socket. The queue of a listening one are those who wait to be accepted."""

    state: int
    port: int  # the local one
    queue: int


def tcp_sockets(states: set[int]) -> Iterator[TcpSocket]:
    """All IPv4 and IPv6 sockets in these states in this network namespace; raises OSError if the kernel refuses."""
    for family in (socket.AF_INET, socket.AF_INET6):
        with socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG
        ) as kernel:
            kernel.settimeout(_SECONDS)
            kernel.send(_request(family, states))
            for message in _messages(kernel):
                _, state, port, queue = _MESSAGE.unpack_from(message)
                yield TcpSocket(state, int.from_bytes(port, "big"), queue)


def _request(family: int, states: set[int]) -> bytes:
    bits = sum(1 << state for state in states)
    body = _REQUEST.pack(family, socket.IPPROTO_TCP, 0, bits)
    length = _HEADER.size + len(body)
    return _HEADER.pack(length, _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST_DUMP, 1, 0) + body


def _messages(kernel: socket.socket) -> Iterator[bytes]:
    """The bodies of the messages of a dump, up to its end."""
    while True:
        rest = kernel.recv(65536)
        while len(rest) >= _HEADER.size:
            length, kind, *_ = _HEADER.unpack_from(rest)
            body = rest[_HEADER.size : length]
            if kind in {_NLMSG_ERROR, _NLMSG_DONE}:
                return _raise_refusal(body)
            yield body
            rest = rest[(length + 3) & ~3 :]


def _raise_refusal(body: bytes) -> None:
    """Raise what an error message or the end of a dump says, if it is an error."""
    status = _ERROR.unpack_from(body)[0] if len(body) >= _ERROR.size else 0
    if status < 0:
        raise OSError(-status, os.strerror(-status))
