"""What a template may know about the fleet, under Ansible's names: groups, facts and `ec2_*`.

Everything here is data: names, addresses and zones were checked by `model`, tag values are checked when they are read.
"""

import re
from collections.abc import Iterable, Mapping
from functools import cache, cached_property, lru_cache
from typing import Any

from haproxy_sync.fleet.model import Backend, Fleet, Host, Proxy

BACKENDS, PROXIES = "backends", "haproxy"
"""The playbook's two groups."""

_SPECIAL = re.compile(r"""[#"'\\$`{}%]""")  # "%[" begins an expression where HAProxy takes a format


def is_allowed(text: str) -> bool:
    """Whether a tag may stand in a config: one line of visible characters, none that HAProxy or Jinja treats specially.

    Letters of any script are fine; control, format, surrogate, private and unassigned characters are not (F25, F26).
    """
    return text.isprintable() and text == text.strip() and not _SPECIAL.search(text)


class TagValue:
    """A raw tag value, so that it is told apart from text that was checked already."""

    __slots__ = ("instance_id", "key", "value")

    def __init__(self, instance_id: str, key: str, value: str) -> None:
        self.instance_id = instance_id
        self.key = key
        self.value = value

    def __eq__(self, other: object) -> bool:
        """Equal where the text is: two proxies with the same value may share a config."""
        return isinstance(other, TagValue) and self.value == other.value

    def __hash__(self) -> int:
        """As `__eq__`."""
        return hash(self.value)


def tag_values(host: Host) -> dict[str, TagValue]:
    """The tags of a host, sorted by key."""
    return {key: TagValue(host.instance_id, key, host.tags[key]) for key in sorted(host.tags)}


@lru_cache(maxsize=1024)
def variable_name(text: str) -> str:
    """A tag key or value as a part of the name of a variable or group, as EC2 inventories spell it."""
    return re.sub(r"[^A-Za-z0-9_]", "_", text, flags=re.ASCII)


def inventory_name(host: Host) -> str:
    """The name in `groups`, as the playbook gave it: a proxy is its private address, every other host its label."""
    return host.address if isinstance(host, Proxy) else host.name


@lru_cache(maxsize=64)
def region(zone: str) -> str:
    """The region of an availability, local or wavelength zone."""
    match = re.match(r"[a-z]{2}(?:-[a-z]+)+-\d+", zone)
    return match.group() if match else ""


def group_names(host: Host) -> list[str]:
    """The groups of a host, sorted, without `all`."""
    own = {host.type} if host.type and is_allowed(host.type) else set()
    if isinstance(host, Backend | Proxy):
        own.add(BACKENDS if isinstance(host, Backend) else PROXIES)
    return sorted(own)


def facts(host: Host) -> dict[str, Any]:
    """What EC2 says about a host. A user's variable cannot have one of these names."""
    name = inventory_name(host)
    dns = host.private_dns_name
    family = "ipv6" if ":" in host.address else "ipv4"
    return {
        "inventory_hostname": name,
        "inventory_hostname_short": name if isinstance(host, Proxy) else name.partition(".")[0],
        "group_names": group_names(host),
        "ansible_host": host.address,
        "ansible_hostname": dns.partition(".")[0] or host.name,
        "ansible_fqdn": dns or host.name,
        "ansible_domain": dns.partition(".")[2],
        f"ansible_default_{family}": {"address": host.address},
        f"ansible_all_{family}_addresses": [host.address],
        "ec2_id": host.instance_id,
        "ec2_placement": host.zone,
        "ec2_region": region(host.zone),
        "ec2_private_dns_name": dns,
        "ec2_private_ip_address": host.address,
        **{f"ec2_tag_{variable_name(key)}": value for key, value in tag_values(host).items()},
    }


def conveniences(host: Host) -> dict[str, Any]:
    """More names of a host, too common to be taken: a user's variable of the same name replaces them."""
    return {
        "instance_id": host.instance_id,
        "placement": {"availability_zone": host.zone, "region": region(host.zone)},
        "private_dns_name": host.private_dns_name,
        "private_ip_address": host.address,
        "server_name": host.private_dns_name,
        "tags": tag_values(host),
        "zone": host.zone,
    }


@cache
def reserved() -> frozenset[str]:
    """Names that no variable can have: EC2 decides them."""
    hosts = (Host("i-00000000", "none", "none", address, "none") for address in ("192.0.2.1", "2001:db8::1"))
    return frozenset(name for host in hosts for name in facts(host)) | {"groups", "hostvars", "vars"}


class Inventory:
    """The hosts of a fleet by name: backends, proxies, the others, each sorted by instance id."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.hosts: dict[str, Host] = {}
        for host in (*fleet.backends, *fleet.proxies, *fleet.others):
            self.hosts.setdefault(inventory_name(host), host)
        self._facts: dict[str, Mapping[str, Any]] = {}

    def facts(self, host: Host) -> Mapping[str, Any]:
        """As the function `facts`, once per host however many proxies are rendered for."""
        if host.instance_id not in self._facts:
            self._facts[host.instance_id] = facts(host)
        return self._facts[host.instance_id]

    @cached_property
    def groups(self) -> Mapping[str, tuple[str, ...]]:
        """Inventory names by group, in inventory order."""
        members: dict[str, list[str]] = {BACKENDS: [], PROXIES: []}
        for name, host in self.hosts.items():
            for group in group_names(host):
                members.setdefault(group, []).append(name)
        return {"all": tuple(self.hosts), "ungrouped": ()} | {group: tuple(names) for group, names in members.items()}

    @cached_property
    def tag_groups(self) -> Mapping[str, tuple[str, ...]]:
        """Inventory names by `tag_<key>_<value>`, as EC2 inventories name groups."""
        members: dict[str, list[str]] = {}
        for name, host in self.hosts.items():
            for key, value in host.tags.items():
                members.setdefault(f"tag_{variable_name(key)}_{variable_name(value)}", []).append(name)
        return {group: tuple(names) for group, names in members.items()}

    @cached_property
    def _aliases(self) -> Mapping[str, Host]:
        aliases: dict[str, Host] = {}
        for host in self.hosts.values():
            for alias in (host.instance_id, host.name, host.address, host.private_dns_name or host.name):
                aliases.setdefault(alias, host)
        return aliases

    def find(self, name: str) -> Host:
        """The host of an inventory name, instance id, label, address or DNS name (`KeyError` otherwise)."""
        return self.hosts.get(name) or self._aliases[name]


class Groups(dict[str, list[str]]):
    """`groups`: all, the playbook's two and one per value of the type tag.

    Also knows `tag_<key>_<value>`; those are made when the first one is asked for.
    """

    def __init__(self, inventory: Inventory, types: Iterable[str]) -> None:
        super().__init__({group: list(names) for group, names in inventory.groups.items()})
        for name in types:
            self.setdefault(name, [])
        self._inventory = inventory

    def __missing__(self, group: str) -> list[str]:
        """A group of a tag (`KeyError` where no host has the tag)."""
        return list(self._inventory.tag_groups[group])

    def get(self, group: str, default: Any = None) -> Any:
        """The group, or the default."""
        try:
            return self[group]
        except KeyError:
            return default

    def __contains__(self, group: object) -> bool:
        """Whether there is such a group."""
        return self.get(str(group)) is not None
