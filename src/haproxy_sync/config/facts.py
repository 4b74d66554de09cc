"""What a template may know about the fleet, under Ansible's names: groups, facts and `ec2_*`.

All of it is data: `fleet.model` has checked names, addresses and zones; tag values are checked when they are read.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache, cached_property, lru_cache
from typing import Any

from haproxy_sync.config.ansible.names import lacks, seen_as
from haproxy_sync.fleet.model import Backend, Fleet, Host, Proxy

BACKENDS, PROXIES = "backends", "haproxy"
"""The two groups of the Ansible playbook this replaces."""

_ROLE_GROUPS: Mapping[type[Host], frozenset[str]] = {
    Backend: frozenset({BACKENDS}),
    Proxy: frozenset({PROXIES}),
    Host: frozenset(),
}

# "%[" begins an expression where HAProxy takes a format; spaces around a value would be lost in a line of words.
_REFUSED = re.compile(r"""\A | \Z|[#"'\\$`{}%]""")


def is_allowed(text: str) -> bool:
    """Whether a tag may stand in a config: one line of visible characters, none that HAProxy or Jinja treats specially.

    Letters of any script are fine. Control, format, surrogate, private and unassigned characters are not: they can
    end the line, or hide what it says.
    """
    return text.isprintable() and not _REFUSED.search(text)


class TagValue:
    """A raw tag value. The class is what distinguishes it from text that was checked already."""

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
    return {
        key: TagValue(host.instance_id, key, host.tags[key])
        for key in sorted(host.tags)
    }


@lru_cache(maxsize=1024)
def variable_name(text: str) -> str:
    """A tag key or value as a part of the name of a variable or group, as EC2 inventories spell it."""
    return re.sub(r"[^A-Za-z0-9_]", "_", text, flags=re.ASCII)


def inventory_hostname(host: Host) -> str:
    """The host's name in `groups` and `hostvars`: a proxy's is its private address, any other host's is its label.

    The Ansible playbook this replaces named them so.
    """
    if isinstance(host, Proxy):
        return host.address
    return host.name


@lru_cache(maxsize=64)
def region(zone: str) -> str:
    """The region of an availability, local or wavelength zone: all up to its first number, in every partition."""
    match = re.match(r"[a-z]+(?:-[a-z]+)+-\d+", zone)
    if match:
        return match.group()
    return ""


def group_names(host: Host) -> list[str]:
    """The groups of a host, sorted, without `all`: its role's, and its type's where that may stand in a config."""
    of_type = filter(is_allowed, filter(None, [host.type]))
    return sorted(_ROLE_GROUPS[type(host)].union(of_type))


def facts(host: Host) -> dict[str, Any]:
    """What EC2 says about a host. A user's variable cannot have one of these names."""
    name = inventory_hostname(host)
    fqdn = host.private_dns_name or host.name
    label, _, domain = fqdn.partition(".")
    family = "ipv6" if ":" in host.address else "ipv4"
    return {
        "inventory_hostname": name,
        "inventory_hostname_short": name,  # labels have no dot, and an address is not cut
        "group_names": group_names(host),
        "ansible_host": host.address,
        "ansible_hostname": label,
        "ansible_fqdn": fqdn,
        "ansible_domain": domain,
        f"ansible_default_{family}": {"address": host.address},
        f"ansible_all_{family}_addresses": [host.address],
        "ec2_id": host.instance_id,
        "ec2_placement": host.zone,
        "ec2_region": region(host.zone),
        "ec2_private_dns_name": host.private_dns_name,
        "ec2_private_ip_address": host.address,
        **{
            f"ec2_tag_{variable_name(key)}": value
            for key, value in tag_values(host).items()
        },
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
    ipv4 = Host("i-00000000", "none", "none", "192.0.2.1", "none")
    ipv6 = replace(ipv4, address="2001:db8::1")
    return frozenset({*facts(ipv4), *facts(ipv6), "groups", "hostvars", "vars"})


class HostIndex:
    """The hosts of a fleet by their names: backends, proxies, the others, each sorted by instance id."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.hosts: dict[str, Host] = {}
        for host in (*fleet.backends, *fleet.proxies, *fleet.others):
            self.hosts.setdefault(inventory_hostname(host), host)
        self._facts: dict[str, Mapping[str, Any]] = {}

    def facts(self, host: Host) -> Mapping[str, Any]:
        """As the function `facts`, once per host however many proxies are rendered for."""
        if host.instance_id not in self._facts:
            self._facts[host.instance_id] = facts(host)
        return self._facts[host.instance_id]

    @cached_property
    def groups(self) -> Mapping[str, tuple[str, ...]]:
        """Inventory host names by group, in the order of `hosts`. The playbook's groups exist without members, too."""
        empty: dict[str, tuple[str, ...]] = dict.fromkeys(
            ("ungrouped", BACKENDS, PROXIES), ()
        )
        memberships = (
            (group, name)
            for name, host in self.hosts.items()
            for group in group_names(host)
        )
        return {"all": tuple(self.hosts)} | empty | _members(memberships)

    @cached_property
    def tag_groups(self) -> Mapping[str, tuple[str, ...]]:
        """Inventory host names by `tag_<key>_<value>`, as EC2 inventories name groups."""
        return _members(
            (group, name)
            for name, host in self.hosts.items()
            for group in _tag_groups(host)
        )

    @cached_property
    def _aliases(self) -> Mapping[str, Host]:
        aliases = dict(self.hosts)
        for host in self.hosts.values():
            for alias in _names(host):
                aliases.setdefault(alias, host)
        return aliases

    def find(self, name: str) -> Host:
        """The host of an inventory host name, instance id, label, address or DNS name (`KeyError` otherwise)."""
        return self._aliases[name]


def _names(host: Host) -> Iterable[str]:
    """What a template may call a host by. A host may have no DNS name."""
    return filter(
        None, (host.instance_id, host.name, host.address, host.private_dns_name)
    )


def _tag_groups(host: Host) -> list[str]:
    return [
        f"tag_{variable_name(key)}_{variable_name(value)}"
        for key, value in host.tags.items()
    ]


def _members(memberships: Iterable[tuple[str, str]]) -> dict[str, tuple[str, ...]]:
    """Groups with their members, from pairs of both; groups and members stay in the order of the pairs."""
    members: defaultdict[str, list[str]] = defaultdict(list)
    for group, name in memberships:
        members[group].append(name)
    return {group: tuple(names) for group, names in members.items()}


@seen_as("dict")
class Groups(dict[str, list[str]]):
    """`groups`: all, the playbook's two and one per value of the type tag.

    It also has `tag_<key>_<value>`; those are made when the first one is asked for.
    """

    def __init__(
        self, index: HostIndex, types: Iterable[str], type_tag_key: str
    ) -> None:
        super().__init__({group: list(names) for group, names in index.groups.items()})
        for name in types:
            self.setdefault(name, [])
        self._index = index
        self._type_tag_key = type_tag_key

    def __missing__(self, group: str) -> list[str]:
        """A group of a tag (`KeyError` where no host has the tag)."""
        return list(self._index.tag_groups[group])

    def get(self, group: str, default: Any = None) -> Any:
        """The group, or the default."""
        try:
            return self[group]
        except KeyError:
            return default

    def __contains__(self, group: object) -> bool:
        """Whether there is such a group."""
        return self.get(str(group)) is not None


@lacks.register
def _(groups: Groups, name: object) -> str:
    return (
        f"groups has no {name!r}: there are {', '.join(groups)}, and tag_<key>_<value>; a group is a value of the tag"
        f" {groups._type_tag_key}"  # noqa: SLF001 - this module's own
    )
