"""TCP addresses as `bind` lines have them and as the kernel lists them: which of them meet on a port."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ANY = "*"
_FAMILY = re.compile(r"[a-z0-9]+@")
_PORTS = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?")
_NO_BRACKETS = str.maketrans("", "", "[]")


class Held(NamedTuple):
    """An address on which a process listens."""

    host: str  # as in `Address`
    port: int


class Address(NamedTuple):
    """One of those of a `bind` line, which may be a range of ports."""

    host: str  # ANY of either family; an address in the kernel's spelling; else a name
    low: int
    high: int
    written: str  # all before the ports

    @property
    def is_numeric(self) -> bool:
        """Whether it is an address, and no name."""
        return _ip(self.host) != ""

    def ports(self, low: int, high: int) -> str:
        """The same address with some of its ports, as a `bind` line has it."""
        return f"{self.written}:{low}" + (f"-{high}" if high > low else "")


def parse(text: str) -> Address | None:
    """The address of a config; None of one that says nothing before a variable is known, or nothing at all."""
    written, _colon, ports = text.rpartition(":")
    found = _PORTS.fullmatch(ports)
    if found is None or "$" in text:
        return None
    low = int(found[1])
    return Address(host(written), low, int(found[2] or low), written)


def host(written: str) -> str:
    """A host in one spelling."""
    plain = _FAMILY.sub("", written, count=1).translate(_NO_BRACKETS)
    return (_ip(plain) or plain) if plain else ANY


def _ip(text: str) -> str:
    """An address in the kernel's spelling, ANY for all of a family; empty for a name."""
    from ipaddress import IPv6Address, ip_address

    if text == ANY:
        return ""
    try:
        address = ip_address(text)
    except ValueError:
        return ""
    if address.is_unspecified:
        return ANY
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)


def free_ports(address: Address, held: Iterable[Held]) -> Iterator[tuple[int, int]]:
    """The ranges of its ports on which it meets none of those.

    A listener takes the connections of a less special one, and some of those of its like.
    """
    ports = {each.port for each in held if _meet(address, each.host)}
    inside = sorted(port for port in ports if address.low <= port <= address.high)
    edges = [address.low - 1, *inside, address.high + 1]
    for before, after in zip(edges, edges[1:]):
        if after - before > 1:
            yield before + 1, after - 1


def _meet(address: Address, other: str) -> bool:
    """Whether one packet may be for both; of a name nobody knows what it means to HAProxy."""
    return (
        ANY in {address.host, other} or address.host == other or not address.is_numeric
    )
