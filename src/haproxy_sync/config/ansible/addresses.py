"""`ipaddr`, `ipwrap` and their kin, as far as the standard library answers them."""

from collections.abc import Callable, Mapping
from ipaddress import IPv4Interface, IPv6Interface, ip_interface
from typing import Any

type _Interface = IPv4Interface | IPv6Interface


def _interface(value: Any) -> _Interface | None:
    try:
        return ip_interface(str(value)) if isinstance(value, str) and value else None
    except ValueError:
        return None


def _is_host(interface: _Interface) -> bool:
    return interface.network.num_addresses == 1 or interface.ip != interface.network.network_address


_QUERIES: Mapping[str, Callable[[_Interface], Any]] = {
    "address": lambda i: str(i.ip),
    "broadcast": lambda i: str(i.network.broadcast_address),
    "cidr": str,
    "host": lambda i: str(i) if _is_host(i) else None,
    "ip": lambda i: str(i.ip),
    "ipv4": lambda i: str(i) if i.version == 4 else None,  # noqa: PLR2004 - IPv4
    "ipv6": lambda i: str(i) if i.version == 6 else None,  # noqa: PLR2004 - IPv6
    "net": lambda i: str(i.network) if i.ip == i.network.network_address else None,
    "netmask": lambda i: str(i.netmask),
    "network": lambda i: str(i.network.network_address),
    "prefix": lambda i: i.network.prefixlen,
    "private": lambda i: str(i) if i.is_private else None,
    "public": lambda i: str(i) if i.is_global else None,
    "size": lambda i: i.network.num_addresses,
    "subnet": lambda i: str(i.network),
    "version": lambda i: i.version,
}


def ipaddr(value: Any, query: str = "") -> Any:
    """What an address says about the query; False where it is none; of a list, the items that have an answer."""
    if isinstance(value, list | tuple):
        return [answer for item in value if (answer := ipaddr(item, query)) is not False]
    if query and query not in _QUERIES:
        raise ValueError(f"ipaddr({query!r}) is not known here: {', '.join(_QUERIES)}")
    interface = _interface(value)
    if interface is None:
        return False
    if query == "":
        return value
    answer = _QUERIES[query](interface)
    if isinstance(answer, str) and "/" not in str(value) and query not in {"cidr", "subnet"}:
        return answer.partition("/")[0]
    return False if answer is None else answer


def ipv4(value: Any, query: str = "") -> Any:
    """As `ipaddr`, IPv4 only."""
    return ipaddr(ipaddr(value, "ipv4"), query)


def ipv6(value: Any, query: str = "") -> Any:
    """As `ipaddr`, IPv6 only."""
    return ipaddr(ipaddr(value, "ipv6"), query)


def ipwrap(value: Any) -> Any:
    """An IPv6 address in brackets, as `server` and `bind` lines want it; everything else as it is."""
    if isinstance(value, list | tuple):
        return [ipwrap(item) for item in value]
    # Looking for a colon first spares ten microseconds for each of thousands of servers.
    if ":" not in str(value) or _interface(value) is None:
        return value
    address, slash, prefix = str(value).partition("/")
    return f"[{address}]{slash}{prefix}"
