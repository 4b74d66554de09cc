"""`nthhost`, `ipsubnet`, `ipmath` and the test `in_network` of the collection ansible.utils."""

import re
from ipaddress import ip_interface, ip_network
from typing import Any

from haproxy_sync.config.ansible.addresses import Address, address, is_within, nth
from haproxy_sync.config.ansible.names import require

_INDEX = re.compile(r"-?\d+", re.ASCII)


def nthhost(value: Any, index: Any = "") -> str | bool:
    """The address of an index in a network, from its end if negative; False where there is none.

    Raises `ValueError` for an index before the beginning.
    """
    one = address(value)
    if one is None or not _INDEX.fullmatch(str(index)):
        return False
    position = int(index)
    require(
        position >= -one.size,
        f"nthhost({index}): {value!r} has {one.size} addresses",
    )
    return position < one.size and one.shown(nth(one, position))


def ipsubnet(value: Any, query: Any = "", index: Any = None) -> str | bool:
    """The network of an address; how many networks of a prefix length it has; the one of an index; the rank in one.

    Raises `ValueError` for a query that makes no sense for the value.
    """
    one = address(value)
    if one is None:
        return False
    if query in ("", None):
        return one.subnet
    if str(query).isdecimal():
        return _split(one, int(query), index)
    return _rank(one, str(query))


def _split(one: Address, prefix: int, index: Any) -> str | bool:
    """The networks of one prefix length, inside a network or around an address."""
    if prefix > one.interface.max_prefixlen:
        return False
    if one.size == 1:
        return _around(one, prefix, int(index or 0))
    require(prefix >= one.prefix, f"ipsubnet({prefix}): {one.subnet} is smaller")
    number = 1 << (prefix - one.prefix)
    if index is None:
        return str(number)
    return _inside(one, prefix, number, int(index))


def _inside(one: Address, prefix: int, number: int, index: int) -> str | bool:
    position = index + number if index < 0 else index
    if position not in range(number):
        return False
    shift = one.interface.max_prefixlen - prefix
    return f"{one.shown(one.ends[0] + (position << shift))}/{prefix}"


def _around(one: Address, prefix: int, index: int) -> str:
    """The network that holds the address, `index` bits smaller than the given one."""
    lengths = range(prefix, one.interface.max_prefixlen)
    require(
        index in range(-len(lengths), len(lengths)),
        f"ipsubnet({prefix}, {index}): {one.ip} has no such network",
    )
    length = lengths[index]
    shift = one.interface.max_prefixlen - length
    return f"{one.shown(one.number >> shift << shift)}/{length}"


def _rank(one: Address, query: str) -> str:
    """The position, from 1, among the networks of its size in the given one."""
    whole = address(query)
    if whole is None:
        raise ValueError(
            f"ipsubnet({query!r}) is neither a prefix length nor a network"
        )
    require(is_within(one, whole), f"{one.subnet} is not in the network {whole.subnet}")
    shift = one.interface.max_prefixlen - one.prefix
    return str(((one.ends[0] - whole.ends[0]) >> shift) + 1)


def ipmath(value: Any, amount: Any) -> str:
    """The address so many further on. Raises `ValueError` for what is no address, and where there is none."""
    one = address(value) if isinstance(value, str) else None
    if one is None:
        raise ValueError(f"ipmath takes an address, not {value!r}")
    number = one.number + int(amount)
    require(
        0 <= number < 1 << one.interface.max_prefixlen,
        f"ipmath: there is no address {amount} after {one.ip}",
    )
    return one.shown(number)


def in_network(value: Any, other: Any) -> bool:
    """Whether an address or network lies in a network; what is neither lies nowhere."""
    try:
        inner, outer = map(_network, (value, other))
    except ValueError:
        return False
    return is_within(inner, outer)


def _network(value: Any) -> Address:
    """A whole network (`ValueError` for what is none, or an address inside one)."""
    network = str(ip_network(str(value)))
    return Address(ip_interface(network), network, has_prefix=True)
