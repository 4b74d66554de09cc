"""The names a template sees, per host, in Ansible's order of precedence, each rendered when it is read.

1. what EC2 says (`facts`), `groups`, `hostvars`: no variable overrides them
2. the user's variables: `host_vars`, then `group_vars`, then the file's own keys (as Ansible's group_vars/all)
3. conveniences of this project (`backends`, `proxy`, `zone`, ...), which any variable of the same name replaces
"""

from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from typing import Any, Protocol

from haproxy_sync.ansible.engine import Engine
from haproxy_sync.ansible.lazy import LazyDict, LazyList
from haproxy_sync.errors import TemplateError
from haproxy_sync.facts import (
    Groups,
    Inventory,
    TagValue,
    conveniences,
    facts,
    group_names,
    inventory_name,
    is_allowed,
    tag_values,
)
from haproxy_sync.model import Host

GROUP_VARS, HOST_VARS = "group_vars", "host_vars"
"""Keys of the variables file whose values are variables by group, and by host."""

ABSENT = object()


class Parameters(Protocol):
    """What `render` needs of the settings."""

    @property
    def environment(self) -> str: ...  # noqa: D102
    @property
    def backend_tag_value(self) -> str: ...  # noqa: D102
    @property
    def proxy_tag_value(self) -> str: ...  # noqa: D102
    @property
    def backend_port(self) -> int: ...  # noqa: D102
    @property
    def listen_ports(self) -> tuple[int, ...]: ...  # noqa: D102
    @property
    def zone_aware(self) -> bool: ...  # noqa: D102


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
        return getattr(self._host, name)

    def __repr__(self) -> str:
        """Its name, as the playbook's group would hold it."""
        return self._host.name


class World:
    """Everything that one rendering reads, fresh for each: templates may append to lists."""

    def __init__(
        self,
        engine: Engine,
        inventory: Inventory,
        variables: Mapping[str, Any],
        parameters: Parameters,
        refused: dict[str, str],
    ) -> None:
        self.engine = engine
        self.inventory = inventory
        self.variables = variables
        self.parameters = parameters
        self.refused = refused
        """Gets the tag key by instance id, for each read of a tag that may not stand in a config."""
        self._scopes: dict[str, Scope] = {}
        self.names: Mapping[str, Callable[[], Any]] = {
            "groups": lambda: Groups(inventory, (parameters.backend_tag_value, parameters.proxy_tag_value)),
            "hostvars": lambda: HostVars(self),
        }
        fleet = inventory.fleet
        self.fallback_names: Mapping[str, Callable[[], Any]] = {
            "ansible_managed": lambda: "Ansible managed",
            "backend_port": lambda: parameters.backend_port,
            "backends": lambda: [Instance(backend, self.checked) for backend in fleet.backends],
            "environment": lambda: parameters.environment,
            "listen_ports": lambda: list(parameters.listen_ports),
            "proxies": lambda: [Instance(proxy, self.checked) for proxy in fleet.proxies],
            "zone_aware": lambda: parameters.zone_aware,
        }

    def checked(self, raw: Any, path: str) -> Any:
        """A value from EC2 as a template may see it. A refused tag is noted; this rendering will not be used."""
        match raw:
            case TagValue(value=value):
                if not is_allowed(value):
                    self.refused[raw.instance_id] = raw.key
                return value
            case dict():
                return LazyDict(raw, self.checked, path)
            case list():
                return list(raw)
            case _:
                return raw

    def scope(self, host: Host) -> "Scope":
        """The names of a host as `hostvars` shows them."""
        name = inventory_name(host)
        if name not in self._scopes:
            self._scopes[name] = Scope(self, host)
        return self._scopes[name]

    def variables_of(self, host: Host) -> Mapping[str, Any]:
        """The user's variables that hold for a host."""
        by_group, by_host = (self.variables.get(key, {}) for key in (GROUP_VARS, HOST_VARS))
        groups = [by_group[group] for group in ("all", *group_names(host)) if group in by_group]
        aliases = (host.private_dns_name, host.address, host.name, host.instance_id)
        hosts = [by_host[alias] for alias in aliases if alias in by_host]
        own = {name: value for layer in (*groups, *hosts) for name, value in layer.items()}
        return {**self.variables, **own} if own else self.variables

    def depends_on_host(self, name: str) -> bool:
        """Whether a variables file gives hosts different values of this name."""
        return any(name in layer for key in (GROUP_VARS, HOST_VARS) for layer in self.variables.get(key, {}).values())


class Scope(Mapping[str, Any]):
    """The names of one host. Remembers which ones were asked for."""

    def __init__(self, world: World, host: Host) -> None:
        self.reads: set[str] = set()
        self.host = host
        self._world = world
        self._facts = facts(host)
        self._variables = world.variables_of(host)
        self._conveniences = {**conveniences(host), "proxy": Instance(host, world.checked)}
        self._own: Mapping[str, Callable[[], Any]] = {
            "ansible_facts": self._ansible_facts,
            "vars": lambda: HostVariables(self),
        }
        self._shown: dict[str, Any] = {}
        self._open: list[str] = []

    def __getitem__(self, name: str) -> Any:
        """The value (`KeyError` where there is none)."""
        self.reads.add(name)
        if name not in self._shown:
            self._shown[name] = self._source(name)()
        return self._shown[name]

    def _source(self, name: str) -> Callable[[], Any]:
        """Where the value of a name comes from; the order is the precedence."""
        if name in self._facts:
            return partial(self._world.checked, self._facts[name], name)
        for names in (self._world.names, self._own):
            if name in names:
                return names[name]
        if name in self._variables:
            return partial(self.show, self._variables[name], name)
        if name in self._conveniences:
            return partial(self._world.checked, self._conveniences[name], name)
        return self._world.fallback_names[name]

    def show(self, raw: Any, path: str) -> Any:
        """A user's value, which may be a template or hold some."""
        match raw:
            case Data():
                return raw.text
            case str():
                return self._evaluated(raw, path)
            case dict():
                return LazyDict(raw, self.show, path)
            case list():
                return LazyList(raw, self.show, path)
            case Unreadable():
                raise TemplateError(raw.file, raw.line, f"{path}: {raw.reason}")
            case _:
                return raw

    def _evaluated(self, source: str, path: str) -> Any:
        if path in self._open:
            raise TemplateError(f"variable {path}", None, f"it refers to itself: {' -> '.join([*self._open, path])}")
        self._open.append(path)
        try:
            return self._world.engine.evaluate(source, self, path)
        finally:
            self._open.pop()

    def _ansible_facts(self) -> LazyDict:
        """Facts without their prefix, those that the user states as variables too."""
        stated = self._variables.get("ansible_facts")
        sources: dict[str, Callable[[], Any]] = {}
        if isinstance(stated, dict):
            sources |= {name: partial(self.show, raw, f"ansible_facts.{name}") for name, raw in stated.items()}
        for name in (*self._variables, *self._facts):
            if name.startswith("ansible_") and name != "ansible_facts":
                sources[name.removeprefix("ansible_")] = partial(self.__getitem__, name)
        return LazyDict(sources, lambda source, _path: source(), "ansible_facts")

    def raw(self, name: str) -> Any:
        """What distinguishes this host from another one under this name."""
        if name in self._own:
            return self.host
        return next((m[name] for m in (self._facts, self._variables, self._conveniences) if name in m), ABSENT)

    def is_own(self, name: str) -> bool:
        """Whether the value of a name may differ between hosts."""
        own = name in self._facts or name in self._own or name.startswith(("ec2_tag_", "ansible_default_"))
        if own or self._world.depends_on_host(name):
            return True
        return name in self._conveniences and name not in self._variables

    def __contains__(self, name: object) -> bool:
        """Whether this host has the name. Reads no value."""
        layers = (self._facts, self._variables, self._conveniences, self._own)
        found = any(name in layer for layer in (*layers, self._world.names, self._world.fallback_names))
        if not found:
            self.reads.add(str(name))  # another host may have it
        return found

    def __iter__(self) -> Iterator[str]:
        """Every name but the fallbacks."""
        layers = (self._facts, self._own, self._variables, self._conveniences)
        return iter(dict.fromkeys(name for layer in (*layers, self._world.names) for name in layer))

    def __len__(self) -> int:
        """How many `__iter__` gives."""
        return sum(1 for _ in self)


class HostVariables(Mapping[str, Any]):
    """`hostvars[host]`: nothing but the names, for a template takes methods before keys."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

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
    """`hostvars`: by inventory name, and also by address, label, DNS name and instance id."""

    def __init__(self, world: World) -> None:
        self._world = world

    def __getitem__(self, name: str) -> HostVariables:
        """The variables of a host (`KeyError` where there is none)."""
        return HostVariables(self._world.scope(self._world.inventory.find(name)))

    def __iter__(self) -> Iterator[str]:
        """Inventory names, in order."""
        return iter(self._world.inventory.hosts)

    def __len__(self) -> int:
        """How many hosts."""
        return len(self._world.inventory.hosts)


class Data:
    """Text of the variables file that is no template (`!unsafe`)."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text


class Unreadable:
    """A value of the variables file that nobody can render; harmless as long as no template reads it."""

    __slots__ = ("file", "line", "reason")

    def __init__(self, file: str, line: int, reason: str) -> None:
        self.file = file
        self.line = line
        self.reason = reason


@cache
def reserved() -> frozenset[str]:
    """Names that no variable can have: EC2 decides them."""
    hosts = (Host("i-00000000", "none", "none", address, "none") for address in ("192.0.2.1", "2001:db8::1"))
    return frozenset(name for host in hosts for name in facts(host)) | {"groups", "hostvars", "vars"}
