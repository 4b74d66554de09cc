"""Filters of `DescribeInstances` that moto lacks: by an address of any interface, as EC2 has them."""

from typing import Any

from moto.ec2.models.instances import Instance
from moto.ec2.utils import filter_dict_attribute_mapping


def install() -> None:
    """Teach this process's moto."""
    Instance.every_ipv4 = property(_every_ipv4)  # type: ignore[attr-defined]
    Instance.every_ipv6 = property(_every_ipv6)  # type: ignore[attr-defined]
    filter_dict_attribute_mapping.update(
        {
            "network-interface.addresses.private-ip-address": "every_ipv4",
            "network-interface.ipv6-addresses.ipv6-address": "every_ipv6",
        }
    )


def _every_ipv4(instance: Any) -> list[str]:
    """A terminated instance has given its addresses back."""
    if instance.state == "terminated":
        return []
    return [
        each["PrivateIpAddress"]
        for interface in instance.nics.values()
        for each in interface.private_ip_addresses
    ]


def _every_ipv6(instance: Any) -> list[str]:
    if instance.state == "terminated":
        return []
    return [
        each
        for interface in instance.nics.values()
        for each in getattr(interface, "ipv6_addresses", ())
    ]
