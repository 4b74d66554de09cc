"""Instances as DescribeInstances shows them, for tests that need no EC2."""

from typing import Any


def instance(
    number: int = 1, kind: str | None = "tomcat", /, **changes: Any
) -> dict[str, Any]:
    """A running instance of staging; `tags` are added to the usual two, any other field is replaced."""
    tags = (
        {"Environment": "staging"}
        | ({"Type": kind} if kind is not None else {})
        | changes.pop("tags", {})
    )
    return {
        "InstanceId": f"i-{number:017x}",
        "State": {"Name": "running"},
        "PrivateIpAddress": f"10.0.{number // 250}.{number % 250 + 1}",
        "PrivateDnsName": f"ip-10-0-{number // 250}-{number % 250 + 1}.ap-southeast-2.compute.internal",
        "LaunchTime": f"2026-11-22T03:{number % 60:02d}:05+00:00",
        "Placement": {"AvailabilityZone": "ap-southeast-2a"},
        "SubnetId": "subnet-0a1b2c3d4e5f60001",
        "VpcId": "vpc-0a1b2c3d4e5f60001",
        "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
    } | changes
