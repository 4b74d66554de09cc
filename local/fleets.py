"""Fleets as `aws ec2 describe-instances` prints them: what template tests render, and the way from JSON to a fleet."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from haproxy_sync.fleet import inventory
from haproxy_sync.fleet.model import Fleet
from haproxy_sync.settings import Settings

REGION = "ap-southeast-2"
BACKEND, PROXY = "tomcat", "haproxy"


class NotInstances(Exception):
    """The file is not what `aws ec2 describe-instances` prints."""


@dataclass(frozen=True, slots=True)
class Fixture:
    """A fleet worth trying a template with."""

    name: str
    instances: tuple[Mapping[str, Any], ...]


def settings(environment: str, **options: Any) -> Settings:
    """Settings of a stack without AWS behind it."""
    nothing = {
        "region": REGION,
        "bucket": "none",
        "queue_url": "https://none",
        "document_name": "none",
        "publisher": "none",
    }
    return Settings(environment=environment, **{**nothing, **options})


def fleet_of(instances: Iterable[Mapping[str, Any]], stack: Settings) -> Fleet:
    """Instances -> fleet, by the function's own code."""
    return inventory.parse(instances, stack)


def read_instances(path: Path) -> tuple[Mapping[str, Any], ...]:
    """The instances of a file in any Unicode encoding: PowerShell's `>` writes UTF-16.

    Raises `NotInstances` with one short line if it holds something else.
    """
    try:
        instances = tuple(_instances(json.loads(path.read_bytes())))
    except UnicodeDecodeError as error:
        raise NotInstances(f"{path}: it is not Unicode text: {error.reason}") from error
    except json.JSONDecodeError as error:
        raise NotInstances(
            f"{path}:{error.lineno}: not what `aws ec2 describe-instances` prints with `--output json`: {error.msg}"
        ) from error
    except RecursionError as error:
        raise NotInstances(f"{path}: nested too deeply") from error
    except (KeyError, TypeError) as error:
        raise NotInstances(
            f"{path}: not what `aws ec2 describe-instances` prints: no reservations of instances"
        ) from error
    if not all(isinstance(each, dict) and "InstanceId" in each for each in instances):
        raise NotInstances(f"{path}: an instance has no InstanceId")
    return instances


def _instances(content: Any) -> Iterator[Any]:
    for reservation in content["Reservations"]:
        yield from reservation["Instances"]


def environments(instances: Iterable[Mapping[str, Any]], tag_key: str) -> list[str]:
    """The environments of running instances, sorted."""
    running = [
        instance
        for instance in instances
        if instance.get("State", {}).get("Name") == "running"
    ]
    tags = [tag for instance in running for tag in instance.get("Tags") or ()]
    return sorted({tag["Value"] for tag in tags if tag["Key"] == tag_key})


def instance(number: int, role: str, **tags: str) -> dict[str, Any]:
    """A running instance of the environment `staging`, as the API describes it."""
    address = f"10.{number // 65536}.{number // 256 % 256}.{number % 256}"
    all_tags = {
        "Environment": "staging",
        "Type": role,
        "Name": f"{role}-{number}",
        **tags,
    }
    return {
        "InstanceId": f"i-{number:017x}",
        "State": {"Code": 16, "Name": "running"},
        "PrivateIpAddress": address,
        "PrivateDnsName": f"ip-{address.replace('.', '-')}.{REGION}.compute.internal",
        "LaunchTime": "2026-01-01T00:00:00+00:00",
        "Placement": {"AvailabilityZone": f"{REGION}{'abc'[number % 3]}"},
        "SubnetId": f"subnet-{number % 3:08x}",
        "Tags": [{"Key": key, "Value": value} for key, value in all_tags.items()],
    }


def _proxies() -> list[dict[str, Any]]:
    return [instance(60_000 + number, PROXY) for number in range(2)]


def _backends(count: int) -> list[dict[str, Any]]:
    return [instance(256 + number, BACKEND) for number in range(count)]


def _odd() -> list[dict[str, Any]]:
    """Names and tags that a template has to live with: no DNS name, IPv6 only, a name in use, every option."""
    no_dns, ipv6, same, *_ = odd = _backends(3)
    no_dns["PrivateDnsName"] = ""
    del ipv6["PrivateIpAddress"]
    ipv6["Ipv6Address"] = "2001:db8::12"
    same["PrivateDnsName"] = "ip-10-0-1-4.other.internal"
    options = {"haproxy:port": "9090", "haproxy:weight": "10"}
    odd += [instance(260, BACKEND, Name="größer 世界", **options)]
    odd += [instance(262, BACKEND, **{"haproxy:drain": "true"})]
    odd += [
        instance(
            261, BACKEND, Name="two\nlines # {{ evil }}", **{"haproxy:backup": "true"}
        )
    ]
    return [*odd, instance(500, "database", Name="another type")]


def fixtures() -> tuple[Fixture, ...]:
    """The fleets that a template must survive."""
    counts = [
        Fixture(f"{count} backends", tuple(_backends(count) + _proxies()))
        for count in (0, 1, 3, 300)
    ]
    alone = Fixture("3 backends, no proxy", tuple(_backends(3)))
    return (
        *counts,
        Fixture("odd names and options", tuple(_odd() + _proxies())),
        alone,
    )
