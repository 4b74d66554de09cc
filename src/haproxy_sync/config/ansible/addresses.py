"""`ipaddr`, `ipwrap` and their kin of the collection ansible.utils, on the standard library instead of netaddr."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv6Address,
    IPv6Interface,
    ip_address,
    ip_interface,
)
from socket import AF_INET, AF_INET6, inet_ntop
from typing import Any

from haproxy_sync.config.ansible.containers import is_list
from haproxy_sync.config.ansible.names import require

type Interface = IPv4Interface | IPv6Interface

V4, V6 = 4, 6
_FROM_NUMBER: Mapping[Any, Callable[[int], Any]] = {V6: IPv6Address}
_FAMILIES = {V4: AF_INET, V6: AF_INET6}
_MAX_V4 = 0xFFFF_FFFF
_MAPPED = 0xFFFF_0000_0000
"""What `::ffff:0.0.0.0` is as a number."""
_POINT_TO_POINT = 2
_POINT_TO_POINT_WITH_ENDS = 4


@dataclass(frozen=True, slots=True)
class Address:
    """An address and the network it stands in; without a prefix length, of one address."""

    interface: Interface
    stated: str
    """As the template gave it."""
    has_prefix: bool

    @property
    def number(self) -> int:
        """The address as a number."""
        return int(self.interface.ip)

    @property
    def size(self) -> int:
        """How many addresses its network has."""
        return self.interface.network.num_addresses

    @property
    def ends(self) -> tuple[int, int]:
        """The first and the last address of its network, as numbers."""
        network = self.interface.network
        return int(network.network_address), int(network.broadcast_address)

    @property
    def usable(self) -> range:
        """The addresses that hosts may have, as numbers; none where the network is one address."""
        first, last = self.ends
        margin = self.size > _POINT_TO_POINT
        return range(first + margin, last + 1 - margin) if self.size > 1 else range(0)

    @property
    def is_network(self) -> bool:
        """Whether it is the first address of a network of several."""
        return self.size > 1 and self.number == self.ends[0]

    @property
    def prefix(self) -> int:
        """The length of the network's prefix."""
        return self.interface.network.prefixlen

    def shown(self, number: int) -> str:
        """A number as an address of the same family."""
        version = self.interface.version
        return inet_ntop(
            _FAMILIES[version], number.to_bytes(self.interface.max_prefixlen // 8)
        )

    @property
    def ip(self) -> str:
        """The address alone."""
        return self.shown(self.number)

    @property
    def cidr(self) -> str:
        """The address with the length of the prefix."""
        return f"{self.ip}/{self.prefix}"

    @property
    def network(self) -> str:
        """The first address of its network."""
        return self.shown(self.ends[0])

    @property
    def subnet(self) -> str:
        """Its network."""
        return f"{self.network}/{self.prefix}"


def address(value: Any, version: Any = False) -> Address | None:
    """The address that a text or a number stands for; None for anything else. A small number may be of either family.

    Raises `ValueError` for a network whose address is written as one number.
    """
    stated = str(value)  # True and False are no address then
    if _NUMBERED.fullmatch(stated):
        return _numbered(stated, version)
    try:
        require("%" not in stated, "an address of one interface")
        return Address(ip_interface(stated), stated, has_prefix="/" in stated)
    except ValueError:
        return None


_NUMBERED = re.compile(r"\d+(?:/\d+)?", re.ASCII)


def _numbered(stated: str, version: Any) -> Address | None:
    require(
        "/" not in stated, f"ipaddr takes networks with dots or colons, not {stated!r}"
    )
    number = int(stated)
    try:
        interface = ip_interface(_FROM_NUMBER.get(version, ip_address)(number))
    except ValueError:
        return None
    return Address(interface, str(interface), has_prefix=False)


type _Query = Callable[[Address], Any]
"""What a query answers: None where the address has no such thing."""


def _if(holds: Callable[[Address], object], answer: _Query) -> _Query:
    return lambda one: answer(one) if holds(one) else None


def _stated_if(holds: Callable[[Address], object]) -> _Query:
    return _if(holds, lambda one: one.stated)


def _of_network(name: str, answer: _Query) -> _Query:
    """A query that makes no sense without a prefix length."""

    def query(one: Address) -> Any:
        require(one.has_prefix, f"ipaddr({name!r}): {one.stated!r} is no network")
        return answer(one)

    return query


def _usable(one: Address, number: int) -> str | None:
    return one.shown(number) if number in one.usable else None


def _host_with_prefix(one: Address) -> str | bool:
    is_host = one.size <= _POINT_TO_POINT or one.number not in one.ends
    return is_host and one.cidr


def _is_within_network(one: Address) -> bool:
    """Whether it is one of several, and not the one that names them; of two, both are hosts."""
    return one.size == _POINT_TO_POINT or (one.size > 1 and not one.is_network)


def _is_v4_network(one: Address) -> bool:
    is_named = one.is_network and one.size > _POINT_TO_POINT
    return is_named and one.interface.version == V4


def _is_host(one: Address) -> bool:
    return not one.is_network or one.size == _POINT_TO_POINT


def _peer(one: Address) -> str:
    others = {_POINT_TO_POINT: 1, _POINT_TO_POINT_WITH_ENDS: 3}
    is_end = one.size == _POINT_TO_POINT_WITH_ENDS and one.number in one.ends
    require(
        one.size in others and not is_end,
        f"ipaddr('peer'): {one.stated!r} is no point-to-point address",
    )
    return one.shown(one.number ^ others[one.size])


_V4_PREFIXES = {prefix + 96: prefix for prefix in range(33)}
"""By the prefix length of the IPv6 network that stands for an IPv4 one."""


def _as_v4(one: Address) -> str | bool:
    if one.interface.version == V4:
        return one.stated
    number = one.number - _MAPPED * (one.number > _MAX_V4)
    try:
        return f"{IPv4Address(number)}/{_V4_PREFIXES[one.prefix]}"
    except (ValueError, KeyError):  # it stands for none
        return False


def _as_v6(one: Address) -> str:
    if one.interface.version == V6:
        return one.stated
    mapped = IPv6Address(one.number + _MAPPED)
    return f"{inet_ntop(AF_INET6, mapped.packed)}/{one.prefix + 96}"


def _wrapped(one: Address) -> str:
    if one.interface.version == V4:
        return one.stated
    return f"[{one.ip}]/{one.prefix}" if one.has_prefix else f"[{one.ip}]"


def _is_public(one: Address) -> bool:
    whole = (1 << one.interface.max_prefixlen) - 1
    masks = (one.number & (one.number + 1), -one.number & whole & (-one.number - 1))
    ip = one.interface.ip
    return all((ip.is_global, not ip.is_multicast, *masks))


QUERIES: Mapping[str, _Query] = {
    "": lambda one: one.cidr if one.has_prefix else one.ip,
    **dict.fromkeys(
        ("address", "ip"), _if(lambda one: not _is_v4_network(one), lambda one: one.ip)
    ),
    **dict.fromkeys(
        ("address/prefix", "gateway", "gw", "host/prefix", "hostnet", "router"),
        _host_with_prefix,
    ),
    "bool": lambda _one: True,
    "broadcast": _if(
        lambda one: one.size > _POINT_TO_POINT, lambda one: one.shown(one.ends[1])
    ),
    "cidr": lambda one: one.cidr,
    "first_usable": _of_network(
        "first_usable", lambda one: _usable(one, one.usable.start)
    ),
    "host": _if(_is_host, lambda one: one.cidr),
    **dict.fromkeys(("hostmask", "wildcard"), lambda one: str(one.interface.hostmask)),
    "int": lambda one: f"{one.number}/{one.prefix}" if one.has_prefix else one.number,
    "ip/prefix": _if(_is_within_network, lambda one: one.cidr),
    "ip_netmask": _if(
        _is_within_network, lambda one: f"{one.ip} {one.interface.netmask}"
    ),
    "ipv4": _as_v4,
    "ipv6": _as_v6,
    "last_usable": _of_network(
        "last_usable", lambda one: _usable(one, one.usable.stop - 1)
    ),
    "link-local": _stated_if(lambda one: one.interface.ip.is_link_local),
    **dict.fromkeys(
        ("lo", "loopback"), _stated_if(lambda one: one.interface.ip.is_loopback)
    ),
    "multicast": _stated_if(lambda one: one.interface.ip.is_multicast),
    "net": _if(lambda one: one.is_network, lambda one: one.subnet),
    "netmask": lambda one: str(one.interface.netmask),
    **dict.fromkeys(("network", "network_id"), lambda one: one.network),
    **dict.fromkeys(("network/prefix", "subnet"), lambda one: one.subnet),
    "network_netmask": lambda one: f"{one.network} {one.interface.netmask}",
    "network_wildcard": lambda one: f"{one.network} {one.interface.hostmask}",
    "next_usable": _of_network("next_usable", lambda one: _usable(one, one.number + 1)),
    "peer": _of_network("peer", _peer),
    "prefix": lambda one: one.prefix,
    "previous_usable": _of_network(
        "previous_usable", lambda one: _usable(one, one.number - 1)
    ),
    "private": _stated_if(lambda one: not one.interface.ip.is_global),
    "public": _stated_if(_is_public),
    "range_usable": _of_network(
        "range_usable",
        _if(
            lambda one: one.size > 1,
            lambda one: (
                f"{one.shown(one.usable.start)}-{one.shown(one.usable.stop - 1)}"
            ),
        ),
    ),
    "revdns": lambda one: f"{one.interface.ip.reverse_pointer}.",
    "size": lambda one: one.size,
    "size_usable": lambda one: one.usable.stop - one.usable.start,
    "type": lambda one: "network" if one.is_network else "address",
    "unicast": _stated_if(lambda one: not one.interface.ip.is_multicast),
    "version": lambda one: one.interface.version,
    "wrap": _wrapped,
}
"""Every query that is no network and no index, by name."""


def ipaddr(
    value: Any, query: Any = "", version: Any = False, alias: str = "ipaddr"
) -> Any:
    """What an address answers to the query; False if it is none; of a list, the answers that say something.

    A query may also be a network, which the address must be in, or a number: the address of that index.
    Raises `ValueError` for a query that nobody knows, and `TypeError` for a value that can be no address.
    """
    if is_list(value):
        ask = partial(ipaddr, query=query, version=version, alias=alias)
        return list(filter(None, map(ask, filter(_may_be, value))))
    if not isinstance(value, _KINDS[:2]):
        raise TypeError(f"{alias} takes text, a number or a list, not {value!r}")
    one = _of_family(value, version)
    return False if one is None else _asked(query, alias)(one)


def _of_family(value: Any, version: Any) -> Address | None:
    one = address(value, version) if value else None
    return one if one and version in (False, one.interface.version) else None


_KINDS = (str, int, list, tuple)


def _may_be(value: Any) -> bool:
    """Whether an item of a list can be an address, or a list of some."""
    return isinstance(value, _KINDS)


def _asked(stated: Any, alias: str) -> _Query:
    query = "" if stated is None else str(stated)
    if query in QUERIES:
        return QUERIES[query]
    if re.fullmatch(r"-?\d+", query, re.ASCII):
        return lambda one: _indexed(one, int(query))
    network = address(query)
    if network is None:
        raise ValueError(
            f"{alias}({query!r}) is not known: a network, an index, {', '.join(sorted(filter(None, QUERIES)))}"
        )
    return _stated_if(lambda one: is_within(one, network))


def is_within(one: Address, network: Address) -> bool:
    """Whether the whole network of one address lies in that of another one."""
    (first, last), (low, high) = one.ends, network.ends
    is_same_family = one.interface.version == network.interface.version
    return is_same_family and low <= first <= last <= high


def _indexed(one: Address, index: int) -> str | bool:
    """The address of an index in the network, from its end if negative."""
    if one.size == 1:
        return one.cidr if one.has_prefix else one.ip
    is_there = -one.size <= index < one.size
    return is_there and f"{one.shown(nth(one, index))}/{one.prefix}"


def nth(one: Address, index: int) -> int:
    """The number of the address of an index in the network, from its end if negative."""
    return one.ends[index < 0] + index + (index < 0)


def ipv4(value: Any, query: Any = "") -> Any:
    """As `ipaddr`, IPv4 only."""
    return ipaddr(value, query, V4, "ipv4")


def ipv6(value: Any, query: Any = "") -> Any:
    """As `ipaddr`, IPv6 only."""
    return ipaddr(value, query, V6, "ipv6")


def ipwrap(value: Any) -> Any:
    """An IPv6 address in brackets, as `server` and `bind` lines want it; everything else as it is."""
    if is_list(value):
        return list(map(ipwrap, value))
    # Looking for a colon first spares ten microseconds for each of thousands of servers.
    one = address(value) if ":" in str(value) else None
    return value if one is None else _wrapped(one)
