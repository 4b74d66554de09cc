"""How templates see hosts: objects with fields, and `hostvars`."""

from collections.abc import Callable, Iterator, Mapping
from itertools import filterfalse
from typing import Any

from haproxy_sync.config.ansible.lazy import LazyDict
from haproxy_sync.config.ansible.names import lacks, seen_as
from haproxy_sync.config.facts import HostIndex, tag_values
from haproxy_sync.fleet.model import Host

HIDDEN = frozenset({"vpc"})
"""Fields of a host that are none of a template's names."""


class Instance:
    """A typed view of a host: `backends`, `proxies` and `proxy` are made of these."""

    __slots__ = ("_host", "_show")

    def __init__(self, host: Host, show: Callable[[Any, str], Any]) -> None:
        self._host = host
        self._show = show

    @property
    def tags(self) -> LazyDict:
        """The tags by key, each checked when it is read."""
        return LazyDict(tag_values(self._host), self._show, f"{self._host.name}.tags")

    def __getattr__(self, name: str) -> Any:
        """A field of the host: name, address, port, weight, backup, drain, zone, instance_id and so on."""
        if name in HIDDEN:
            raise AttributeError(name)
        return getattr(self._host, name)

    def __repr__(self) -> str:
        """Its name, as the playbook's group would hold it."""
        return self._host.name


@seen_as("HostVarsVars")
class HostVariables(Mapping[str, Any]):
    """`hostvars[host]`: nothing but the names, for a template takes methods before keys."""

    def __init__(self, scope: Mapping[str, Any], name: str | None = None) -> None:
        self._scope = scope
        self._name = name
        """How a template names the host; None for the one that it is rendered for."""

    def __getitem__(self, name: str) -> Any:
        """The value of a name, rendered for that host."""
        return self._scope[name]

    def __contains__(self, name: object) -> bool:
        """Whether the host has the name."""
        return name in self._scope

    def __iter__(self) -> Iterator[str]:
        """The names."""
        return iter(self._scope)

    def __len__(self) -> int:
        """How many names."""
        return len(self._scope)


class HostVars(Mapping[str, HostVariables]):
    """`hostvars`: by inventory host name, and also by address, label, DNS name and instance id."""

    def __init__(
        self, index: HostIndex, scope: Callable[[Host], Mapping[str, Any]]
    ) -> None:
        self._index = index
        self._scope = scope

    def __getitem__(self, name: str) -> HostVariables:
        """The variables of a host (`KeyError` where there is none)."""
        return HostVariables(self._scope(self._index.find(name)), name)

    def __iter__(self) -> Iterator[str]:
        """The inventory host names, in order."""
        return iter(self._index.hosts)

    def __len__(self) -> int:
        """How many hosts."""
        return len(self._index.hosts)


@lacks.register
def _(variables: HostVariables, name: object) -> str:
    host = variables._name  # noqa: SLF001 - this module's own
    expression = "vars" if host is None else f"hostvars[{host!r}]"
    return (
        f"{expression} has no {name!r}: EC2 does not know it; state it in the variables file,"
        " in group_vars or host_vars where hosts differ"
    )


@lacks.register
def _(_hosts: HostVars, name: object) -> str:
    return f"hostvars has no host {name!r}: only running instances of the environment"


@lacks.register
def _(instance: Instance, name: object) -> str:
    fields = instance._host.__dataclass_fields__  # noqa: SLF001 - this module's own
    known = ", ".join(filterfalse(HIDDEN.__contains__, fields))
    return f"{instance!r} has no attribute {name!r}, but {known}"
