"""One look at EC2 -> the fleet. Whatever does not fit the allow-lists is skipped with a reason, never cleaned."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any

from haproxy_sync.aws import pages
from haproxy_sync.errors import RefusedValue
from haproxy_sync.fleet.model import (
    DNS_NAME,
    Backend,
    Fleet,
    Host,
    Proxy,
    Skipped,
    parse_weight,
    server_name,
    unique_names,
)
from haproxy_sync.settings import Settings, parse_port

PAGE_SIZE = 1000

PORT_TAG = "haproxy:port"
WEIGHT_TAG = "haproxy:weight"
BACKUP_TAG = "haproxy:backup"
DRAIN_TAG = "haproxy:drain"
YES = frozenset({"true", "yes", "1", "on"})
NO = frozenset({"false", "no", "0", "off"})


def strangers(ec2: Any, settings: Settings, instance_ids: Iterable[str]) -> frozenset[str]:
    """Those of the instances that EC2 shows without our environment's tag; one that it does not show may be ours."""
    shown = _shown(ec2, {"Name": "instance-id", "Values": sorted(instance_ids)})
    return frozenset(raw["InstanceId"] for raw in shown if not _is_ours(raw, settings))


def look(ec2: Any, settings: Settings) -> Fleet:
    """The running instances of the environment, now. Any error on any page discards the look (F22, F23)."""
    return parse(describe(ec2, settings), settings)


def describe(ec2: Any, settings: Settings) -> Iterator[Mapping[str, Any]]:
    """`DescribeInstances`, page by page, filtered by the service."""
    return _shown(
        ec2,
        {"Name": f"tag:{settings.environment_tag_key}", "Values": [settings.environment]},
        {"Name": "instance-state-name", "Values": ["running"]},
    )


def _shown(ec2: Any, *filters: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for reservation in pages(ec2.describe_instances, "Reservations", Filters=filters, MaxResults=PAGE_SIZE):
        yield from reservation["Instances"]


def parse(instances: Iterable[Mapping[str, Any]], settings: Settings) -> Fleet:
    """Instances as EC2 describes them -> the fleet, sorted, names unique, one instance per address."""
    hosts: list[Host] = []
    skipped: list[Skipped] = []
    for raw in instances:
        if not _is_member(raw, settings):
            continue
        host, reasons = parse_instance(raw, settings)
        skipped += reasons
        if host:
            hosts.append(host)
    hosts, doubles = newest_per_address(hosts)
    named = unique_names(hosts)
    return Fleet(
        backends=tuple(host for host in named if isinstance(host, Backend)),
        proxies=tuple(host for host in named if isinstance(host, Proxy)),
        others=tuple(host for host in named if not isinstance(host, Backend | Proxy)),
        skipped=tuple(sorted([*skipped, *doubles])),
    )


def parse_instance(raw: Mapping[str, Any], settings: Settings) -> tuple[Host | None, list[Skipped]]:
    """One instance -> its typed value, or why not; a bad option is skipped alone."""
    tags = _tags(raw)
    instance_id = str(raw["InstanceId"])
    try:
        common = _common(raw, tags, settings)
        match _role(tags, settings):
            case settings.proxy_tag_value:
                return Proxy(**common), []
            case settings.backend_tag_value:
                return _backend(raw, tags, common, settings)
            case _:
                return Host(**common), []
    except _Unfit as unfit:
        return None, [Skipped(instance_id, unfit.reason, unfit.detail)]
    except RefusedValue as refused:
        return None, [Skipped(instance_id, "bad-" + refused.what.lower().replace(" ", "-"), repr(refused.value)[:64])]


def newest_per_address(hosts: Sequence[Host]) -> tuple[list[Host], list[Skipped]]:
    """An address belongs to the newest launch; the older instance is gone, or soon will be (F31)."""
    by_address: defaultdict[str, list[Host]] = defaultdict(list)
    for host in hosts:
        by_address[host.address].append(host)
    kept, skipped = [], []
    for sharing in by_address.values():
        *older, newest = sorted(sharing, key=lambda host: (host.launched_at, host.instance_id))
        kept.append(newest)
        skipped += [Skipped(host.instance_id, "address-reused", f"by {newest.instance_id}") for host in older]
    return kept, skipped


class _Unfit(Exception):
    def __init__(self, reason: str, detail: str = "") -> None:
        self.reason = reason
        self.detail = detail


def _is_member(raw: Mapping[str, Any], settings: Settings) -> bool:
    """Whatever the filter returned (F32)."""
    return raw["State"]["Name"] == "running" and _is_ours(raw, settings)


def _is_ours(raw: Mapping[str, Any], settings: Settings) -> bool:
    return _tags(raw).get(settings.environment_tag_key) == settings.environment


def _tags(raw: Mapping[str, Any]) -> dict[str, str]:
    return {str(tag["Key"]): str(tag["Value"]) for tag in sorted(raw.get("Tags") or (), key=lambda tag: tag["Key"])}


def _common(raw: Mapping[str, Any], tags: dict[str, str], settings: Settings) -> dict[str, Any]:
    """What every host has."""
    address = raw.get("PrivateIpAddress") or raw.get("Ipv6Address")
    if not address:
        raise _Unfit("no-address")  # F27: `server x :8080` would pass `haproxy -c`
    dns_name = raw.get("PrivateDnsName") or ""
    if not DNS_NAME.fullmatch(dns_name):
        dns_name = ""  # F26: the name falls back to the instance id
    return {
        "instance_id": raw["InstanceId"],
        "type": tags.get(settings.type_tag_key, ""),
        "name": server_name(dns_name, raw["InstanceId"]),
        "address": address,
        "zone": raw["Placement"]["AvailabilityZone"],
        "private_dns_name": dns_name,
        "launched_at": _unix(raw.get("LaunchTime")),
        "tags": MappingProxyType(tags),
    }


def _role(tags: Mapping[str, str], settings: Settings) -> str:
    """The value of the type tag; two of our roles on one instance are none (F33)."""
    ours = {settings.backend_tag_value, settings.proxy_tag_value}
    values = [value for key, value in tags.items() if key.casefold() == settings.type_tag_key.casefold()]
    named = {word.strip() for value in values for word in (value, *value.replace(";", ",").split(","))}
    if ours <= named:
        raise _Unfit("ambiguous", repr(values)[:64])
    return tags.get(settings.type_tag_key, "")


def _backend(
    raw: Mapping[str, Any], tags: Mapping[str, str], common: dict[str, Any], settings: Settings
) -> tuple[Host | None, list[Skipped]]:
    if settings.backend_subnets and raw.get("SubnetId") not in settings.backend_subnets:
        raise _Unfit("foreign-subnet", str(raw.get("SubnetId"))[:64])  # F38
    port = parse_port(tags[PORT_TAG]) if PORT_TAG in tags else settings.backend_port
    options, skipped = _options(str(common["instance_id"]), tags)
    return Backend(**common, port=port, **options), skipped


def _options(instance_id: str, tags: Mapping[str, str]) -> tuple[dict[str, Any], list[Skipped]]:
    """The tags that may be wrong without harm to the instance."""
    options: dict[str, Any] = {}
    skipped = []
    parsers = {"weight": (WEIGHT_TAG, parse_weight), "backup": (BACKUP_TAG, _flag), "drain": (DRAIN_TAG, _flag)}
    for name, (key, parser) in parsers.items():
        if key not in tags:
            continue
        try:
            options[name] = parser(tags[key])
        except RefusedValue as refused:
            skipped.append(Skipped(instance_id, f"bad-{name}", repr(refused.value)[:64]))
    return options, skipped


def _flag(text: str) -> bool:
    if text.lower() not in YES | NO:
        raise RefusedValue("flag", text)
    return text.lower() in YES


def _unix(launch_time: object) -> int:
    """Unix seconds of a launch time, as text (see `aws.clients`) or parsed by the SDK."""
    if isinstance(launch_time, str):
        launch_time = datetime.fromisoformat(launch_time)
    return int(launch_time.timestamp()) if isinstance(launch_time, datetime) else 0
