"""One look at EC2 -> the fleet. Whatever does not fit the allow-lists is skipped with a reason, never cleaned."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from ipaddress import ip_address
from itertools import batched, chain, groupby, islice
from operator import attrgetter
from types import MappingProxyType
from typing import Any

from haproxy_sync.aws import FAILURES, Clients, pages
from haproxy_sync.errors import RefusedValue, SyncError
from haproxy_sync.fleet import auto_scaling, near_miss, spot
from haproxy_sync.fleet.addresses import private_address
from haproxy_sync.fleet.auto_scaling import (
    GROUP_TAG,
    NO_GROUPS,
    WARMED,
    Group,
    Groups,
    Stage,
)
from haproxy_sync.fleet.model import (
    DNS_NAME,
    NOBODY,
    Backend,
    Fleet,
    Host,
    LifecycleAction,
    Proxy,
    Skipped,
    endpoint,
    parse_weight,
    server_name,
    unique_names,
)
from haproxy_sync.fleet.near_miss import (
    BACKUP_TAG,
    DRAIN_TAG,
    PORT_TAG,
    WEIGHT_TAG,
    exactly,
)
from haproxy_sync.settings import Settings, parse_port

PAGE_SIZE = 1000
MAX_FILTER_VALUES = 200  # that EC2 takes in one request
MAX_DETAIL = 64  # characters of a hostile text that a reason repeats

NEAR_MISS = "near-miss"
NOT_IN_SERVICE = "not-in-service"
SPOT_NOTICE = "spot interruption notice"
RUNS = "running"  # of JoinWhen
FOREIGN_SUBNET = "foreign-subnet"
MAX_NEAR_MISSES = 50  # the state keeps them
MAX_SEARCHED = 5000  # instances of other environments that a look goes through

RUNNING: Mapping[str, Any] = {"Name": "instance-state-name", "Values": ["running"]}
LEAVING = ("shutting-down", "stopping")
SEEN: Mapping[str, Any] = {
    "Name": "instance-state-name",
    "Values": ["running", *LEAVING],
}
# In these states an instance has its addresses; one that shuts down gives them back.
HAS_ADDRESS = frozenset({"pending", "running", "stopping", "stopped"})
# By the version of IP: the filter that finds every instance with an address, on whichever of its interfaces.
ADDRESS_FILTERS = {
    4: "network-interface.addresses.private-ip-address",
    6: "network-interface.ipv6-addresses.ipv6-address",
}
YES = frozenset({"true", "yes", "1", "on"})
NO = frozenset({"false", "no", "0", "off"})


@dataclass(frozen=True, slots=True)
class Signals:
    """What others than the instances themselves say of them."""

    groups: Groups = NO_GROUPS
    interrupted: frozenset[str] = NOBODY  # has a spot interruption notice


NO_SIGNALS = Signals()


def look(clients: Clients, settings: Settings, waited_for: Iterable[str] = ()) -> Fleet:
    """The running instances of the environment, now, and what their Auto Scaling groups and spot requests say of them.

    Groups of `waited_for` are asked about, too: an action may wait for their last instance, which is gone.
    Where no backend or no proxy is found, `skipped` also has the near misses of the environment; they cost a question
    more, which may fail without harm.
    Raises botocore's `ClientError` and `BotoCoreError` where any page fails: half a list looks like a lost fleet.
    """
    described = list(describe(clients.ec2, settings))
    said = signals(clients, described, settings, waited_for)
    fleet = parse(described, settings, said)
    if fleet.backends and fleet.proxies:
        return fleet
    try:
        near = near_environment(clients.ec2, settings)
    except FAILURES:
        return fleet
    return replace(fleet, skipped=tuple(sorted([*fleet.skipped, *near])))


def signals(
    clients: Clients,
    described: Iterable[Mapping[str, Any]],
    settings: Settings,
    waited_for: Iterable[str],
) -> Signals:
    """What groups and spot requests say of the environment's backends (`ClientError`, `BotoCoreError`)."""
    backends = [raw for raw in described if _is_backend(raw, settings)]
    tags = {str(raw["InstanceId"]): _tags(raw) for raw in backends}
    named = {key: each[GROUP_TAG] for key, each in tags.items() if GROUP_TAG in each}
    prefix = settings.lifecycle_hook_prefix
    groups = auto_scaling.look(clients.auto_scaling, named, waited_for, prefix)
    return Signals(groups, spot.interrupted(clients.ec2, backends))


def near_environment(ec2: Any, settings: Settings) -> list[Skipped]:
    """Running instances that were meant for a role in our environment, and whose tag of it has a slip in key or value.

    Goes through 5,000 instances of all environments at most. Raises botocore's `ClientError` and `BotoCoreError`.
    """
    patterns = near_miss.key_patterns(settings.type_tag_key)
    described = _described(ec2, RUNNING, {"Name": "tag-key", "Values": patterns})
    found: list[Skipped] = []
    for raw in islice(described, MAX_SEARCHED):
        if not _is_ours(raw, settings):
            found += _near(raw, near_miss.in_environment(_tags(raw), settings))
    return _bounded(found)


def describe(ec2: Any, settings: Settings) -> Iterator[Mapping[str, Any]]:
    """`DescribeInstances`, page by page, filtered by the service.

    Raises botocore's `ClientError` and `BotoCoreError` where the items of the page that failed would have come.
    """
    return _described(
        ec2,
        {
            "Name": f"tag:{settings.environment_tag_key}",
            "Values": [exactly(settings.environment)],
        },
        SEEN,
    )


def not_ours(
    ec2: Any, settings: Settings, instance_ids: Iterable[str]
) -> frozenset[str]:
    """Those of the instances that EC2 shows without our environment's tag; one that it does not show may be ours.

    Raises botocore's `ClientError` and `BotoCoreError`.
    """
    by_id = {"Name": "instance-id", "Values": sorted(instance_ids)}
    return frozenset(
        raw["InstanceId"]
        for raw in _described(ec2, by_id)
        if not _is_ours(raw, settings)
    )


def taken_over(ec2: Any, hosts: Iterable[Host]) -> frozenset[str]:
    """Those of the hosts whose address EC2 shows on another instance, whosever it is, and no longer on the host itself.

    Addresses are unique in a VPC only, so the other one must be in the host's; of a host without one nothing is known.
    Raises botocore's `ClientError` and `BotoCoreError`.
    """
    sites = {(host.vpc, host.address): host.instance_id for host in hosts if host.vpc}
    by_site = defaultdict[tuple[str, str], set[str]](set)
    for raw in _owners(ec2, {address for _, address in sites}):
        for site in _sites(raw):
            by_site[site].add(raw["InstanceId"])
    owners = {sites[site]: by_site[site] for site in sites.keys() & by_site.keys()}
    return frozenset(key for key, others in owners.items() if key not in others)


def _owners(ec2: Any, addresses: Iterable[str]) -> Iterator[Mapping[str, Any]]:
    """The instances that have one of the addresses (`ClientError`, `BotoCoreError`)."""
    by_version = groupby(sorted(addresses, key=_version), _version)
    for version, alike in by_version:
        for values in batched(alike, MAX_FILTER_VALUES, strict=False):
            by_address = {"Name": ADDRESS_FILTERS[version], "Values": list(values)}
            yield from _described(ec2, by_address)


def _version(address: str) -> int:
    return ip_address(address).version


def _sites(raw: Mapping[str, Any]) -> set[tuple[str, str]]:
    """The VPC and the address, for every address that the instance has; an interface may be in a VPC of its own."""
    if raw["State"]["Name"] not in HAS_ADDRESS:
        return set()
    interfaces = (raw, *raw.get("NetworkInterfaces", ()))
    return set[tuple[str, str]]().union(*map(_sites_of_interface, interfaces))


def _sites_of_interface(interface: Mapping[str, Any]) -> set[tuple[str, str]]:
    vpc = str(interface.get("VpcId"))
    listed = [
        interface,
        *interface.get("PrivateIpAddresses", ()),
        *interface.get("Ipv6Addresses", ()),
    ]
    ipv4 = {(vpc, str(each.get("PrivateIpAddress"))) for each in listed}
    ipv6 = {(vpc, str(each.get("Ipv6Address"))) for each in listed}
    return ipv4 | ipv6


def _described(ec2: Any, *filters: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The instances that pass the filters (`ClientError`, `BotoCoreError`)."""
    reservations = pages(
        ec2.describe_instances,
        "Reservations",
        Filters=filters,
        MaxResults=PAGE_SIZE,
    )
    for reservation in reservations:
        yield from reservation["Instances"]


def parse(
    instances: Iterable[Mapping[str, Any]],
    settings: Settings,
    signals: Signals = NO_SIGNALS,
) -> Fleet:
    """Instances as EC2 describes them -> the fleet, sorted, names unique, one instance per address."""
    ours = [raw for raw in instances if _is_ours(raw, settings)]
    members = [raw for raw in ours if raw["State"]["Name"] == "running"]
    entries = [_entry(raw, settings, signals) for raw in members]
    near = [_near(raw, near_miss.in_tags(_tags(raw), settings)) for raw in members]
    fit = [entry.host for entry in entries if entry.host]
    unfit = chain.from_iterable(map(attrgetter("skipped"), entries))
    hosts, reused = newest_per_address(fit)
    named = unique_names(hosts)
    leaving = frozenset(_id(raw) for raw in ours if _is_leaving(raw, settings))
    released = signals.interrupted | signals.groups.draining
    waits = _by_instance(entries, "waits_for")
    warm = frozenset(key for key, state in waits.items() if state.startswith(WARMED))
    return Fleet(
        backends=_of_kind(Backend, named),
        proxies=_of_kind(Proxy, named),
        others=_of_kind(Host, named),
        skipped=tuple(sorted([*unfit, *reused, *_bounded(chain.from_iterable(near))])),
        leaving=leaving,
        waiting=frozenset(waits) - warm,
        let_go=leaving & released | warm,
        drains=_by_instance(entries, "drains"),
        actions=tuple(_actions(signals.groups, entries)),
    )


def _actions(groups: Groups, entries: Iterable["_Entry"]) -> Iterator[LifecycleAction]:
    """What our hooks wait for, whatever became of the instance. One that is new may be shown by EC2 a little later."""
    endpoints = {entry.instance_id: entry.endpoint for entry in entries}
    every = chain.from_iterable(group.waits for group in groups.by_name.values())
    actions = (
        replace(
            action,
            endpoint=endpoints.get(action.instance_id, ""),
            is_running=action.instance_id in endpoints,
        )
        for action in every
    )
    return (each for each in actions if any((each.is_running, not each.joins)))


def _by_instance(entries: Iterable["_Entry"], said: str) -> Mapping[str, str]:
    """What is said of each instance of which something is."""
    words = ((entry.instance_id, getattr(entry, said)) for entry in entries)
    return MappingProxyType({key: word for key, word in words if word})


def _id(raw: Mapping[str, Any]) -> str:
    return str(raw["InstanceId"])


def _is_leaving(raw: Mapping[str, Any], settings: Settings) -> bool:
    """Whether the machine of a backend goes: it may still have connections, and will not have them long."""
    return raw["State"]["Name"] in LEAVING and _is_backend(raw, settings)


def _is_backend(raw: Mapping[str, Any], settings: Settings) -> bool:
    """Whether its type tag says so; it may be unfit yet."""
    kind = _tags(raw).get(settings.type_tag_key)
    return _is_ours(raw, settings) and kind == settings.backend_tag_value


def _near(raw: Mapping[str, Any], details: Iterable[str]) -> list[Skipped]:
    """The slips in the tags of one instance."""
    return [_left_out(raw, NEAR_MISS, detail) for detail in details]


def _left_out(raw: Mapping[str, Any], reason: str, detail: str) -> Skipped:
    """The instance as EC2 shows it, and why it is skipped."""
    instance_id = str(raw["InstanceId"])
    return Skipped(
        instance_id=instance_id,
        reason=reason,
        detail=detail,
        name=server_name(raw.get("PrivateDnsName") or "", instance_id),
        address=private_address(raw),
        zone=raw.get("Placement", {}).get("AvailabilityZone", ""),
    )


def _bounded(near: Iterable[Skipped]) -> list[Skipped]:
    """The first 50; the last of them says how many more there are."""
    every = sorted(near)
    shown, rest = every[:MAX_NEAR_MISSES], every[MAX_NEAR_MISSES:]
    if rest:
        last = shown.pop()
        shown.append(replace(last, detail=f"{last.detail} (and {len(rest)} more)"))
    return shown


def _of_kind[H: Host](kind: type[H], hosts: Iterable[Host]) -> tuple[H, ...]:
    """The hosts of exactly this class: every backend and proxy is a `Host` too."""
    return tuple(host for host in hosts if type(host) is kind)


def newest_per_address(hosts: Sequence[Host]) -> tuple[list[Host], list[Skipped]]:
    """One host per address, the newest launch: EC2 reuses an address, so the older instance is gone or soon will be."""
    # The last one of an address counts.
    newest = {host.address: host for host in sorted(hosts, key=_by_launch)}
    older = [host for host in hosts if host is not newest[host.address]]
    skipped = [_reused(host, newest[host.address]) for host in older]
    return list(newest.values()), skipped


def _reused(older: Host, newest: Host) -> Skipped:
    return Skipped(
        instance_id=older.instance_id,
        reason="address-reused",
        detail=f"by {newest.instance_id}",
        name=older.name,
        address=older.address,
        zone=older.zone,
    )


def _by_launch(host: Host) -> tuple[int, str]:
    return host.launched_at, host.instance_id


def _is_ours(raw: Mapping[str, Any], settings: Settings) -> bool:
    """Whether it is, whatever the service's filter let through."""
    return _tags(raw).get(settings.environment_tag_key) == settings.environment


def _tags(raw: Mapping[str, Any]) -> dict[str, str]:
    """The tags by key, in the order of the keys, so that the order of EC2's answer decides nothing."""
    stated = raw.get("Tags") or ()
    tags = {str(tag["Key"]): str(tag["Value"]) for tag in stated}
    return dict(sorted(tags.items()))


@dataclass(frozen=True, slots=True)
class _Description:
    """One instance as `DescribeInstances` shows it, and what our settings make of it."""

    raw: Mapping[str, Any]
    tags: Mapping[str, str]
    settings: Settings
    signals: Signals

    @property
    def group(self) -> Group:
        """Its Auto Scaling group, if it has one."""
        return self.signals.groups.of(self.tags)

    @property
    def lifecycle_state(self) -> str:
        """In its group; empty where it has none."""
        return self.group.states.get(self.instance_id, "")

    @property
    def waits_for(self) -> str:
        """The lifecycle state in which it is no backend; empty where it is one."""
        joins_when_running = self.settings.join_when == RUNS
        stage = self.group.stage(
            self.instance_id, joins_when_running=joins_when_running
        )
        return self.lifecycle_state if stage is Stage.WAITS else ""

    @property
    def drains(self) -> str:
        """Why it drains, apart from its tags; empty where it does not."""
        if self.instance_id in self.signals.interrupted:
            return SPOT_NOTICE
        return self.lifecycle_state if self.group.drains(self.instance_id) else ""

    @property
    def instance_id(self) -> str:
        """The id, which names the instance also where nothing else of it is fit."""
        return str(self.raw["InstanceId"])

    @property
    def address(self) -> str:
        """The private IPv4 address, or the IPv6 one where there is no IPv4. `_Unfit` where there is none of both.

        `server x :8080` would pass `haproxy -c`.
        """
        address = private_address(self.raw)
        if not address:
            raise _Unfit("no-address")
        return address

    @property
    def private_dns_name(self) -> str:
        """The host name, empty where it is none: the server's name then falls back to the instance id."""
        stated = self.raw.get("PrivateDnsName") or ""
        if DNS_NAME.fullmatch(stated):
            return stated
        return ""

    @property
    def launched_at(self) -> int:
        """Unix seconds, 0 where EC2 does not say. The time is text (see `aws.clients`) or parsed by the SDK."""
        match self.raw.get("LaunchTime"):
            case str() as text:
                return int(datetime.fromisoformat(text).timestamp())
            case datetime() as parsed:
                return int(parsed.timestamp())
            case _:
                return 0

    @property
    def subnet(self) -> str:
        """The id of its subnet, for the allow-list and for the reason."""
        return str(self.raw.get("SubnetId"))

    @property
    def vpc(self) -> str:
        """The id of its VPC, empty where EC2 does not say."""
        return str(self.raw.get("VpcId") or "")

    @property
    def type(self) -> str:
        """The value of the type tag, empty where there is none."""
        return self.tags.get(self.settings.type_tag_key, "")

    @property
    def role(self) -> str:
        """The value of the type tag. An instance that names both of our roles has none (`_Unfit`)."""
        type_key = self.settings.type_tag_key.casefold()
        values = [
            value for key, value in self.tags.items() if key.casefold() == type_key
        ]
        named = set[str]().union(*map(_listed, values))
        if named.issuperset(
            {self.settings.backend_tag_value, self.settings.proxy_tag_value}
        ):
            raise _Unfit("ambiguous", repr(values))
        return self.type

    @property
    def port(self) -> int:
        """The tag's port, else the stack's (`RefusedValue`): traffic to a guessed port would be worse than none."""
        stated = self.tags.get(PORT_TAG)
        if stated is None:
            return self.settings.backend_port
        return parse_port(stated)

    @property
    def is_in_foreign_subnet(self) -> bool:
        """Whether the stack lists the subnets that backends come from, and this one is not among them."""
        allowed = self.settings.backend_subnets
        return bool(allowed) and self.subnet not in allowed

    def host_fields(self) -> dict[str, Any]:
        """The fields that every host has (`_Unfit` where it cannot have one)."""
        dns_name = self.private_dns_name
        return {
            "address": self.address,
            "instance_id": self.raw["InstanceId"],
            "type": self.type,
            "name": server_name(dns_name, self.raw["InstanceId"]),
            "zone": self.raw["Placement"]["AvailabilityZone"],
            "private_dns_name": dns_name,
            "launched_at": self.launched_at,
            "vpc": self.vpc,
            "tags": MappingProxyType(self.tags),
        }


def _listed(value: str) -> set[str]:
    """What a type tag names: its whole value, and each part where it is a list."""
    parts = value.replace(";", ",").split(",")
    return set(map(str.strip, [value, *parts]))


@dataclass(frozen=True, slots=True)
class _Entry:
    """One instance of the answer: its host, if it can be one, and what was left out."""

    instance_id: str
    host: Host | None  # also None of a backend that waits
    skipped: tuple[Skipped, ...] = ()
    waits_for: str = ""  # its lifecycle state
    drains: str = ""  # why it does
    endpoint: str = ""  # of a backend


class _Unfit(SyncError):
    """The instance cannot be a host. Only `_entry` sees it, and makes it the reason why the instance is skipped."""

    def __init__(self, reason: str, detail: str = "") -> None:
        self.reason = reason
        self.detail = detail[:MAX_DETAIL]
        super().__init__(reason)


def _entry(raw: Mapping[str, Any], settings: Settings, signals: Signals) -> _Entry:
    """One instance -> its typed value, or why not; a bad option is skipped alone."""
    described = _Description(raw, _tags(raw), settings, signals)
    try:
        return _read(described)
    except _Unfit as unfit:
        left_out = _left_out(raw, unfit.reason, unfit.detail)
        return _Entry(_id(raw), None, (left_out,))
    except RefusedValue as refused:
        what = refused.what.lower().replace(" ", "-")
        return _Entry(_id(raw), None, (_skipped(described, what, refused),))


def _read(described: _Description) -> _Entry:
    """The host of its role (`_Unfit`, `RefusedValue`)."""
    fields = described.host_fields()
    readers: Mapping[str, Callable[[_Description, dict[str, Any]], _Entry]] = {
        described.settings.backend_tag_value: _backend,
        described.settings.proxy_tag_value: _proxy,
    }
    read = readers.get(described.role, _other)
    return read(described, fields)


def _proxy(_described: _Description, fields: dict[str, Any]) -> _Entry:
    return _Entry(fields["instance_id"], Proxy(**fields))


def _other(_described: _Description, fields: dict[str, Any]) -> _Entry:
    return _Entry(fields["instance_id"], Host(**fields))


def _backend(described: _Description, fields: dict[str, Any]) -> _Entry:
    if described.is_in_foreign_subnet:
        # Whoever may set the tag could join, unless the stack says from where.
        raise _Unfit(FOREIGN_SUBNET, described.subnet)
    options, skipped = _options(described)
    backend = Backend(**fields, port=described.port, **options)
    by_tag = DRAIN_TAG if backend.drain else ""
    drains = described.drains or by_tag
    waits_for = described.waits_for
    if waits_for:
        skipped += (_left_out(described.raw, NOT_IN_SERVICE, waits_for),)
    return _Entry(
        instance_id=described.instance_id,
        host=None if waits_for else replace(backend, drain=drains != ""),
        skipped=skipped,
        waits_for=waits_for,
        drains=drains,
        endpoint=endpoint(backend),
    )


def _flag(text: str) -> bool:
    word = text.lower()
    if word not in YES | NO:
        raise RefusedValue("flag", text)
    return word in YES


OPTIONS: Mapping[str, tuple[str, Callable[[str], Any]]] = {
    "weight": (WEIGHT_TAG, parse_weight),
    "backup": (BACKUP_TAG, _flag),
    "drain": (DRAIN_TAG, _flag),
}
"""Fields of a backend whose tags may be wrong without harm to the instance: the tag, and what reads its text."""


def _options(described: _Description) -> tuple[dict[str, Any], tuple[Skipped, ...]]:
    """The options that are stated and right, and those that are stated and wrong."""
    stated = [
        (name, parser, described.tags[tag])
        for name, (tag, parser) in OPTIONS.items()
        if tag in described.tags
    ]
    options: dict[str, Any] = {}
    skipped: list[Skipped] = []
    for name, parser, text in stated:
        try:
            options[name] = parser(text)
        except RefusedValue as refused:
            skipped.append(_skipped(described, name, refused))
    return options, tuple(skipped)


def _skipped(described: _Description, what: str, refused: RefusedValue) -> Skipped:
    detail = repr(refused.value)[:MAX_DETAIL]
    return _left_out(described.raw, f"bad-{what}", detail)
