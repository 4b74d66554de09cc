"""The address of an instance, wherever EC2 shows it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from haproxy_sync.fleet import inventory
from haproxy_sync.fleet.addresses import private_address
from haproxy_sync.settings import Settings
from tests.fleet import instance

SETTINGS = Settings(
    "staging", "ap-southeast-2", "bucket", "https://queue", "document", "stack"
)
WITHOUT = {"PrivateIpAddress": None, "PrivateDnsName": ""}


def interface(
    index: int, *six: str, primary: str = "", four: str = "", card: int = 0
) -> dict[str, Any]:
    """A network interface as DescribeInstances shows it."""
    addresses = [{"PrivateIpAddress": four, "Primary": True}] if four else []
    return {
        "Attachment": {
            "DeviceIndex": index,
            "NetworkCardIndex": card,
            "Status": "attached",
        },
        "Status": "in-use",
        "PrivateIpAddresses": addresses,
        "Ipv6Addresses": [
            {"Ipv6Address": each, "IsPrimaryIpv6": each == primary} for each in six
        ],
    } | ({"PrivateIpAddress": four} if four else {})


@pytest.mark.fault("F110")
@pytest.mark.parametrize(
    ("fields", "address"),
    [
        pytest.param(
            {"NetworkInterfaces": [interface(0, "2001:db8:2::1:1")]},
            "2001:db8:2::1:1",
            id="at the interface only",
        ),
        pytest.param(
            {
                "NetworkInterfaces": [
                    interface(1, "2001:db8::b"),
                    interface(0, "2001:db8::a"),
                ]
            },
            "2001:db8::a",
            id="the primary interface's, whatever the order",
        ),
        pytest.param(
            {
                "NetworkInterfaces": [
                    interface(0, "2001:db8::a", card=1),
                    interface(0, "2001:db8::b"),
                ]
            },
            "2001:db8::b",
            id="of two with one device index that of the first network card",
        ),
        pytest.param(
            {
                "NetworkInterfaces": [
                    interface(0, "2001:db8::a", "2001:db8::b", primary="2001:db8::b")
                ]
            },
            "2001:db8::b",
            id="the one that is marked as primary",
        ),
        pytest.param(
            {
                "Ipv6Address": "2001:db8::a",
                "NetworkInterfaces": [
                    interface(0, "2001:db8::a", "2001:db8::b", primary="2001:db8::b")
                ],
            },
            "2001:db8::b",
            id="also where the instance shows another",
        ),
        pytest.param(
            {
                "Ipv6Address": "2001:db8::b",
                "NetworkInterfaces": [interface(0, "2001:db8::a", "2001:db8::b")],
            },
            "2001:db8::b",
            id="none is marked, so the one that the instance shows",
        ),
        pytest.param(
            {
                "NetworkInterfaces": [
                    interface(0),
                    interface(2, "2001:db8::c"),
                    interface(1, "2001:db8::b"),
                ]
            },
            "2001:db8::b",
            id="the first interface that has one",
        ),
        pytest.param(
            {
                "NetworkInterfaces": [
                    interface(0, "2001:db8::a"),
                    interface(1, four="10.0.0.2"),
                ]
            },
            "2001:db8::a",
            id="an IPv4 of another interface is not the instance's",
        ),
        pytest.param(
            {"NetworkInterfaces": [interface(0, "2001:db8::a", four="10.0.0.2")]},
            "10.0.0.2",
            id="IPv4 before IPv6",
        ),
        pytest.param(
            {
                "PrivateIpAddress": "10.0.0.1",
                "NetworkInterfaces": [interface(0, "2001:db8::a", four="10.0.0.2")],
            },
            "10.0.0.1",
            id="the instance's own IPv4 before all",
        ),
        pytest.param(
            {
                "NetworkInterfaces": [
                    interface(0, "2001:db8::a") | {"Attachment": None},
                    interface(3, "2001:db8::b"),
                ]
            },
            "2001:db8::b",
            id="an interface that says no device index comes last",
        ),
    ],
)
def test_the_primary_address_of_the_primary_interface(
    fields: dict[str, Any], address: str
) -> None:
    """And the instance is served by it."""
    fleet = inventory.parse([instance(1, **(WITHOUT | fields))], SETTINGS)
    assert [host.address for host in fleet.backends] == [address]
    assert fleet.skipped == ()


@pytest.mark.fault("F110")
@pytest.mark.parametrize(
    ("interfaces", "reason"),
    [
        ([interface(0)], "no-address"),
        (None, "no-address"),
        ("eni-1", "no-address"),
        ([None, "eni-1"], "no-address"),
        ([{"Ipv6Addresses": None}], "no-address"),
        ([{"Ipv6Addresses": [None, {"IsPrimaryIpv6": True}]}], "no-address"),
        ([{"Attachment": {"DeviceIndex": "0"}}], "no-address"),
        ([interface(0, "2001:db8::/56")], "bad-address"),
        ([interface(0, "fe80::1%eth0 #")], "bad-address"),
        ([interface(0, "::1\n")], "bad-address"),
    ],
)
def test_an_interface_without_an_address_skips_its_instance(
    interfaces: object, reason: str
) -> None:
    """With the reason, and nobody else."""
    broken = instance(1, **WITHOUT, NetworkInterfaces=interfaces)
    fleet = inventory.parse([broken, instance(2)], SETTINGS)
    assert len(fleet.backends) == 1
    assert [skipped.reason for skipped in fleet.skipped] == [reason]


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["Attachment", "DeviceIndex", "Ipv6Addresses", "PrivateIpAddresses"]
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=12,
)


@given(anything)
def test_whatever_an_interface_shows_there_is_a_text(interfaces: object) -> None:
    """A crash would discard the whole look."""
    assert isinstance(private_address({"NetworkInterfaces": interfaces}), str)
