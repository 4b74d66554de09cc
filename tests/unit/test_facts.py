"""What a template is told about a host follows from what EC2 says, in every partition."""

import botocore.session
import pytest

from haproxy_sync.config.facts import region

SESSION = botocore.session.get_session()
REGIONS = [
    name
    for partition in SESSION.get_available_partitions()
    for name in SESSION.get_available_regions("ec2", partition)
]


@pytest.mark.fault("F111")
@pytest.mark.parametrize("name", REGIONS)
def test_the_region_of_a_zone(name: str) -> None:
    """Of each region's availability, local and wavelength zones."""
    for zone in (f"{name}a", f"{name}f", f"{name}-lax-1a", f"{name}-wl1-bos-wlz-1"):
        assert region(zone) == name


@pytest.mark.parametrize(
    ("zone", "name"),
    [
        ("eusc-de-east-1a", "eusc-de-east-1"),
        ("us-iso-east-1a", "us-iso-east-1"),
        ("us-isob-east-1a", "us-isob-east-1"),
        ("us-gov-west-1a", "us-gov-west-1"),
        ("us-west-2-lax-1a", "us-west-2"),
        ("us-east-1-wl1-bos-wlz-1", "us-east-1"),
        ("usw2-az1", ""),  # the id of a zone is none of its names
        ("none", ""),
    ],
)
def test_the_region_is_all_up_to_the_first_number(zone: str, name: str) -> None:
    """No list of regions is needed, so a new one is no surprise."""
    assert region(zone) == name
