"""Hosts, fleets and configs as frozen values, checked against allow-lists when they are made.

A value that would have to be escaped in haproxy.cfg is refused here (`RefusedValue`), never cleaned: `haproxy -c`
accepts a newline or ` #` inside a name and means something else by it.
"""

import re
from collections import Counter
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field, replace
from hashlib import md5, sha256
from ipaddress import ip_address
from types import MappingProxyType
from typing import Protocol, Self

from haproxy_sync.errors import RefusedValue
from haproxy_sync.settings import MAX_PORT

INSTANCE_ID = re.compile(r"i-[0-9a-f]{8,32}", re.ASCII)
# The first label of a host name, or one that the instance id makes unique.
NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,126}[A-Za-z0-9])?", re.ASCII)
DNS_NAME = re.compile(
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,62})\.)*[A-Za-z0-9](?:[A-Za-z0-9-]{0,62})",
    re.ASCII,
)
# As EC2 writes it. `ip_address` also takes a scope, which may be any text: `fe80::1%eth0 #`.
ADDRESS = re.compile(r"[0-9A-Fa-f.:]{2,45}", re.ASCII)
ZONE = re.compile(r"[a-z0-9-]{1,64}", re.ASCII)
WEIGHT = re.compile(r"0|[1-9][0-9]{0,2}", re.ASCII)

MAX_WEIGHT = 256  # HAProxy's own limit
MAX_LABEL = 63  # DNS's own limit; a label that two hosts share is cut to it before the instance id follows

NO_TAGS: Mapping[str, str] = MappingProxyType({})
NOBODY: frozenset[str] = frozenset()


def parse_weight(text: str) -> int:
    """The weight a text names, 0 to 256 (`RefusedValue` otherwise)."""
    _require("weight", WEIGHT, text)
    weight = int(text)
    if weight > MAX_WEIGHT:
        raise RefusedValue("weight", text)
    return weight


def _require(what: str, pattern: re.Pattern[str], value: str) -> None:
    if not pattern.fullmatch(value):
        raise RefusedValue(what, value)


def _require_address(value: str) -> None:
    _require("address", ADDRESS, value)
    try:
        ip_address(value)
    except ValueError as error:
        raise RefusedValue("address", value) from error


@dataclass(frozen=True, slots=True)
class Host:
    """A running instance of the environment. Tuples of hosts are sorted by instance id, everywhere.

    Templates read every public attribute of a host but those that `config.views` hides: a new one is a new name there.
    """

    instance_id: str
    type: str  # the value of the type tag
    name: str  # HAProxy server name; unique in a fleet
    address: str  # private IPv4, or IPv6 where there is no IPv4; see `addresses`
    zone: str
    private_dns_name: str = ""
    launched_at: int = 0  # unix seconds
    # The id of its VPC, empty where nobody has said: an address is unique in there only. Hidden from templates.
    vpc: str = field(default="", compare=False, kw_only=True)
    # Whoever may tag an instance writes these, so they are hostile text: a template gets each one checked.
    tags: Mapping[str, str] = field(default=NO_TAGS, hash=False)

    def __post_init__(self) -> None:
        """Refuse what must not reach a config (`RefusedValue`)."""
        _require("instance id", INSTANCE_ID, self.instance_id)
        _require("server name", NAME, self.name)
        _require("zone", ZONE, self.zone)
        if self.private_dns_name:
            _require("private DNS name", DNS_NAME, self.private_dns_name)
        _require_address(self.address)


@dataclass(frozen=True, slots=True)
class Backend(Host):
    """An application server that proxies send traffic to."""

    port: int = 8080
    weight: int | None = None  # 0 to 256; None: HAProxy's default
    backup: bool = False
    # No new client while another server can answer; sessions finish.
    drain: bool = False
    # Its machine is going, and others can answer: nobody gets it any more. In HAProxy's words, maintenance.
    maint: bool = False

    def __post_init__(self) -> None:
        """Refuse what must not reach a config (`RefusedValue`)."""
        Host.__post_init__(self)
        if not 1 <= self.port <= MAX_PORT:
            raise RefusedValue("port", self.port)
        if self.weight is not None and not 0 <= self.weight <= MAX_WEIGHT:
            raise RefusedValue("weight", self.weight)


def endpoint(backend: Backend) -> str:
    """`10.0.0.1:8080`, `[fd00::1]:8080`: by what proxies know it, whatever its name is in a template."""
    address = f"[{backend.address}]" if ":" in backend.address else backend.address
    return f"{address}:{backend.port}"


@dataclass(frozen=True, slots=True)
class LifecycleAction:
    """A hook of ours waits for an instance: until proxies see it up, or have drained it."""

    instance_id: str
    group: str
    hook: str
    joins: bool  # it comes into the pool; else it leaves it, or never was in it
    endpoint: str  # empty: no proxy can have clients for it
    heartbeat_seconds: int
    # Auto Scaling keeps the instance if the action ends with ABANDON.
    keeps_abandoned: bool = False
    is_running: bool = True  # as EC2 shows it, and ours


@dataclass(frozen=True, slots=True)
class Proxy(Host):
    """A HAProxy host that gets the config."""


@dataclass(frozen=True, slots=True, order=True)
class Skipped:
    """An instance, or one option of it, that was left out, and why (a kebab-case reason).

    Also a near miss: a tag that seems to be mistyped. Its instance may be served all the same.
    """

    instance_id: str
    reason: str
    detail: str = ""
    # Whom to look for, as far as the look knows; empty where it does not.
    name: str = field(default="", compare=False)
    address: str = field(default="", compare=False)
    zone: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Fleet:
    """One look at EC2, sorted by instance id."""

    backends: tuple[Backend, ...]
    proxies: tuple[Proxy, ...]
    # Running instances of the environment with another type.
    others: tuple[Host, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    # Instances with the tags of a backend that are none now: whose machines shut down or stop, who wait for their group
    # to bring them into service, and who are no loss: let go by their group or a spot notice, or kept warm.
    leaving: frozenset[str] = frozenset()
    waiting: frozenset[str] = frozenset()
    let_go: frozenset[str] = frozenset()
    # Why each backend that drains does.
    drains: Mapping[str, str] = field(default=NO_TAGS, hash=False)
    actions: tuple[LifecycleAction, ...] = ()

    def without(self, instance_ids: Container[str]) -> Self:
        """The fleet as it is when these instances are left out."""
        return replace(
            self,
            backends=without(self.backends, instance_ids),
            proxies=without(self.proxies, instance_ids),
            others=without(self.others, instance_ids),
        )


class _AboutInstance(Protocol):
    @property
    def instance_id(self) -> str: ...


def by_id[T: _AboutInstance](values: Iterable[T]) -> dict[str, T]:
    """The values by the instance that each is about."""
    return {value.instance_id: value for value in values}


def ids(values: Iterable[_AboutInstance]) -> frozenset[str]:
    """The instances that the values are about."""
    return frozenset(value.instance_id for value in values)


def without[T: _AboutInstance](
    values: Iterable[T], instance_ids: Container[str]
) -> tuple[T, ...]:
    """The values that are about other instances."""
    return tuple(value for value in values if value.instance_id not in instance_ids)


def server_name(dns_name: str, instance_id: str) -> str:
    """The first label of the host name, whatever domain follows it, or the instance id where there is no label."""
    label = dns_name.partition(".")[0]
    if NAME.fullmatch(label):
        return label
    return instance_id


def unique_names[H: Host](hosts: Iterable[H]) -> tuple[H, ...]:
    """The hosts sorted by id, each name its own.

    Two VPCs may know the same host name. HAProxy refuses two servers with one name, so a label that hosts share is
    followed by the instance id, in all of them: the names do not depend on who comes first.
    """
    ordered = sorted(hosts, key=_by_instance_id)
    uses = Counter(map(_label, ordered))
    shared = {label for label, count in uses.items() if count > 1}
    return tuple(_named(host, shared) for host in ordered)


def _by_instance_id(host: Host) -> str:
    return host.instance_id


def _label(host: Host) -> str:
    return server_name(host.private_dns_name, host.instance_id)


def _named[H: Host](host: H, shared: Container[str]) -> H:
    label = _label(host)
    name = f"{label[:MAX_LABEL]}-{host.instance_id}" if label in shared else label
    if host.name == name:
        return host
    return replace(host, name=name)


@dataclass(frozen=True, slots=True)
class Config:
    """One rendered haproxy.cfg and its digests."""

    text: str
    # The numbers of its secret lines, from 1, ascending: a text is the same config, whatever is secret in it.
    secret_lines: tuple[int, ...] = field(default=(), compare=False)

    @property
    def md5(self) -> str:
        """The hex digest as `md5sum` prints it. Hosts compare it, as the Ansible playbook this replaces did."""
        return md5(self.text.encode(), usedforsecurity=False).hexdigest()

    @property
    def sha256(self) -> str:
        """The hex digest, which is the config's address in the bucket."""
        return sha256(self.text.encode()).hexdigest()
