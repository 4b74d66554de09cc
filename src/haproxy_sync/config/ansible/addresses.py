"""`ipaddr`, `ipwrap` and their kin, as far as the standard library answers them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv6Interface, ip_interface
from typing import Any

from haproxy_sync.config.ansible.containers import is_list

type _Interface = IPv4Interface | IPv6Interface


def _interface(value: Any) -> _Interface | None:
    if not isinstance(value, str):
        return None
    try:
        return ip_interface(str(value))
    except ValueError:
        return None


def _is_host(interface: _Interface) -> bool:
    return interface.network.num_addresses == 1 or not _is_network(interface)


def _is_network(interface: _Interface) -> bool:
    return interface.ip == interface.network.network_address


@dataclass(frozen=True, slots=True)
class _Kind:
    """A query that returns the address itself, provided that it is of one kind."""

    includes: Callable[[_Interface], bool]
    shown: Callable[[_Interface], str] = str

    def answer(self, interface: _Interface, value: str) -> str | bool:
        """The address, with a prefix length only if the value states one; False if it is of another kind."""
        if not self.includes(interface):
            return False
        shown = self.shown(interface)
        return shown if "/" in value else shown.partition("/")[0]


_KINDS: Mapping[str, _Kind] = {
    "host": _Kind(_is_host),
    "ipv4": _Kind(lambda interface: interface.version == 4),  # noqa: PLR2004 - IPv4
    "ipv6": _Kind(lambda interface: interface.version == 6),  # noqa: PLR2004 - IPv6
    "net": _Kind(_is_network, shown=lambda interface: str(interface.network)),
    "private": _Kind(lambda interface: interface.is_private),
    "public": _Kind(lambda interface: interface.is_global),
}

_PROPERTIES: Mapping[str, Callable[[_Interface], Any]] = {
    "address": lambda interface: str(interface.ip),
    "broadcast": lambda interface: str(interface.network.broadcast_address),
    "cidr": str,
    "ip": lambda interface: str(interface.ip),
    "netmask": lambda interface: str(interface.netmask),
    "network": lambda interface: str(interface.network.network_address),
    "prefix": lambda interface: interface.network.prefixlen,
    "size": lambda interface: interface.network.num_addresses,
    "subnet": lambda interface: str(interface.network),
    "version": lambda interface: interface.version,
}

_IS_ADDRESS = ""
_QUERIES = {*_KINDS, *_PROPERTIES}


def ipaddr(value: Any, query: str = _IS_ADDRESS) -> Any:
    """What an address answers to the query; False if it is none; of a list, the items that have an answer.

    Raises `ValueError` for a query that the standard library does not answer.
    """
    if is_list(value):
        return [
            answer for item in value if (answer := ipaddr(item, query)) is not False
        ]
    if query and query not in _QUERIES:
        raise ValueError(
            f"ipaddr({query!r}) is not known here: {', '.join(sorted(_QUERIES))}"
        )
    interface = _interface(value)
    return False if interface is None else _answer(interface, value, query)


def _answer(interface: _Interface, value: str, query: str) -> Any:
    if query == _IS_ADDRESS:
        return value
    if query in _KINDS:
        return _KINDS[query].answer(interface, value)
    return _PROPERTIES[query](interface)


def ipv4(value: Any, query: str = _IS_ADDRESS) -> Any:
    """As `ipaddr`, IPv4 only."""
    return ipaddr(ipaddr(value, "ipv4"), query)


def ipv6(value: Any, query: str = _IS_ADDRESS) -> Any:
    """As `ipaddr`, IPv6 only."""
    return ipaddr(ipaddr(value, "ipv6"), query)


def ipwrap(value: Any) -> Any:
    """An IPv6 address in brackets, as `server` and `bind` lines want it; everything else as it is."""
    if is_list(value):
        return list(map(ipwrap, value))
    # Looking for a colon first spares ten microseconds for each of thousands of servers.
    if ":" not in str(value) or _interface(value) is None:
        return value
    address, slash, prefix = str(value).partition("/")
    return f"[{address}]{slash}{prefix}"
