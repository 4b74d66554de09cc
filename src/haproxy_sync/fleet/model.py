"""The words of the domain as frozen values, checked against allow-lists when they are made.

A value that would have to be escaped in haproxy.cfg is refused here (`RefusedValue`), never cleaned: `haproxy -c`
accepts a newline or ` #` inside a name and means something else by it.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from hashlib import md5, sha256
from ipaddress import ip_address
from types import MappingProxyType

from haproxy_sync.errors import RefusedValue
from haproxy_sync.settings import MAX_PORT

INSTANCE_ID = re.compile(r"i-[0-9a-f]{8,32}", re.ASCII)
# First label of a host name, or one made unique with the instance id.
NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,126}[A-Za-z0-9])?", re.ASCII)
DNS_NAME = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,62})\.)*[A-Za-z0-9](?:[A-Za-z0-9-]{0,62})", re.ASCII)
ZONE = re.compile(r"[a-z0-9-]{1,64}", re.ASCII)
WEIGHT = re.compile(r"0|[1-9][0-9]{0,2}", re.ASCII)

MAX_WEIGHT = 256  # HAProxy's own limit

NO_TAGS: Mapping[str, str] = MappingProxyType({})


def parse_weight(text: str) -> int:
    """The weight a text names, 0 to 256 (`RefusedValue` otherwise)."""
    if not WEIGHT.fullmatch(text) or int(text) > MAX_WEIGHT:
        raise RefusedValue("weight", text)
    return int(text)


def _require(what: str, pattern: re.Pattern[str], value: str) -> None:
    if not pattern.fullmatch(value):
        raise RefusedValue(what, value)


@dataclass(frozen=True, slots=True)
class Host:
    """A running instance of the environment. Tuples of hosts are sorted by instance id, everywhere."""

    instance_id: str
    type: str  # value of the type tag
    name: str  # HAProxy server name; unique in a fleet
    address: str  # private IPv4, or IPv6 where there is no IPv4
    zone: str
    private_dns_name: str = ""
    launched_at: int = 0  # unix seconds
    # Raw tag values: hostile text. Only `render` shows them to a template, one by one, checked.
    tags: Mapping[str, str] = field(default=NO_TAGS, hash=False)

    def __post_init__(self) -> None:
        """Refuse what must not reach a config."""
        _require("instance id", INSTANCE_ID, self.instance_id)
        _require("server name", NAME, self.name)
        _require("zone", ZONE, self.zone)
        if self.private_dns_name:
            _require("private DNS name", DNS_NAME, self.private_dns_name)
        try:
            ip_address(self.address)
        except ValueError as error:
            raise RefusedValue("address", self.address) from error


@dataclass(frozen=True, slots=True)
class Backend(Host):
    """An application server that proxies send traffic to."""

    port: int = 8080
    weight: int | None = None  # 0 to 256; None: HAProxy's default
    backup: bool = False
    drain: bool = False

    def __post_init__(self) -> None:
        """Refuse what must not reach a config."""
        Host.__post_init__(self)
        if not 1 <= self.port <= MAX_PORT:
            raise RefusedValue("port", self.port)
        if self.weight is not None and not 0 <= self.weight <= MAX_WEIGHT:
            raise RefusedValue("weight", self.weight)


@dataclass(frozen=True, slots=True)
class Proxy(Host):
    """A HAProxy host that gets the config."""


@dataclass(frozen=True, slots=True, order=True)
class Skipped:
    """An instance, or one option of it, that was left out, and why (a kebab-case reason)."""

    instance_id: str
    reason: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Fleet:
    """One look at EC2, sorted by instance id."""

    backends: tuple[Backend, ...]
    proxies: tuple[Proxy, ...]
    others: tuple[Host, ...] = ()  # running instances of the environment with another type
    skipped: tuple[Skipped, ...] = ()


def server_name(dns_name: str, instance_id: str) -> str:
    """First label of the host name, or the instance id where there is none (F28, F29)."""
    label = dns_name.partition(".")[0]
    return label if NAME.fullmatch(label) else instance_id


def unique_names[H: Host](hosts: Iterable[H]) -> tuple[H, ...]:
    """The hosts sorted by id, each name its own: a label that two share is made longer by the instance id (F30)."""
    ordered = sorted(hosts, key=lambda host: host.instance_id)
    labels = [server_name(host.private_dns_name, host.instance_id) for host in ordered]
    count = Counter(labels)
    return tuple(
        host if host.name == name else replace(host, name=name)
        for host, label in zip(ordered, labels, strict=True)
        for name in [label if count[label] == 1 else f"{label[:63]}-{host.instance_id}"]
    )


@dataclass(frozen=True, slots=True)
class Config:
    """One rendered haproxy.cfg and its digests."""

    text: str

    @property
    def md5(self) -> str:
        """Hex digest as `md5sum` prints it; what hosts compare, as the playbook did."""
        return md5(self.text.encode(), usedforsecurity=False).hexdigest()

    @property
    def sha256(self) -> str:
        """Hex digest; the config's address in the bucket."""
        return sha256(self.text.encode()).hexdigest()
