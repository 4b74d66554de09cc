"""The private address of an instance as `DescribeInstances` shows it: at the instance, or at its network interfaces.

EC2 promises `PrivateIpAddress` for the primary interface's primary IPv4 address, and nothing about `Ipv6Address` at the
instance. Others found IPv6-only instances with the address at the interface alone (prometheus/prometheus#16047).
"""

from collections.abc import Iterator, Mapping
from itertools import chain
from operator import itemgetter
from typing import Any

type Fields = Mapping[str, Any]

NOTHING: Fields = {}
LAST = (1 << 16, 0)
"""The position of an interface that does not say where it is attached: behind all that do."""


def private_address(instance: Fields) -> str:
    """The address of the best rank that there is; empty where there is none.

    IPv4 comes before IPv6, the primary interface before the others, and the IPv6 address that is marked as primary
    before the first one: it alone cannot change while the interface is attached.
    """
    primary, *others = *_interfaces(instance), NOTHING
    ranked = chain(
        [_text(instance, "PrivateIpAddress")],
        _ipv4(primary),
        _marked_ipv6(primary),
        [_text(instance, "Ipv6Address")],
        _ipv6(primary),
        chain.from_iterable(map(_all, others)),
    )
    return next(filter(None, ranked), "")


def _interfaces(instance: Fields) -> list[Fields]:
    """In the order of their device indexes; the primary interface has index 0."""
    return sorted(_listed(instance, "NetworkInterfaces"), key=_position)


def _position(interface: Fields) -> tuple[int, int]:
    """Network cards count on their own, so two interfaces may have one device index."""
    match interface.get("Attachment"):
        case {"DeviceIndex": int(device), "NetworkCardIndex": int(card)}:
            return device, card
        case {"DeviceIndex": int(device)}:
            return device, 0
        case _:
            return LAST


def _all(interface: Fields) -> Iterator[str]:
    return chain(_ipv4(interface), _marked_ipv6(interface), _ipv6(interface))


def _ipv4(interface: Fields) -> Iterator[str]:
    """The primary address; EC2 names it at the interface, and marks it in the list."""
    listed = _listed(interface, "PrivateIpAddresses")
    marked = filter(itemgetter("Primary"), map(_ranked, listed))
    return map(_ipv4_text, chain([interface], marked))


def _marked_ipv6(interface: Fields) -> Iterator[str]:
    listed = _listed(interface, "Ipv6Addresses")
    marked = filter(itemgetter("IsPrimaryIpv6"), map(_ranked, listed))
    return map(_ipv6_text, marked)


def _ipv6(interface: Fields) -> Iterator[str]:
    return map(_ipv6_text, _listed(interface, "Ipv6Addresses"))


def _ranked(address: Fields) -> Fields:
    """The address with both marks: EC2 leaves out what is not so."""
    unmarked = {"Primary": False, "IsPrimaryIpv6": False}
    return unmarked | dict(address)


def _ipv4_text(fields: Fields) -> str:
    return _text(fields, "PrivateIpAddress")


def _ipv6_text(fields: Fields) -> str:
    return _text(fields, "Ipv6Address")


def _listed(fields: Fields, name: str) -> list[Fields]:
    """The mappings of a list; none where EC2 shows something else."""
    stated = fields.get(name)
    if not isinstance(stated, list):
        return []
    return [each for each in stated if isinstance(each, Mapping)]


def _text(fields: Fields, name: str) -> str:
    return str(fields.get(name) or "")
