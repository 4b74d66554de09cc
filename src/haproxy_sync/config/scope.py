"""The names a template sees, per host, in Ansible's order of precedence, each rendered when it is read.

1. what EC2 says (`facts`), `groups`, `hostvars`: no variable overrides them
2. the user's variables: `host_vars`, then `group_vars`, then the file's own keys (as Ansible's group_vars/all)
3. conveniences of this project (`backends`, `proxy`, `zone`, ...), which any variable of the same name replaces
"""

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property, partial
from typing import Any

from haproxy_sync.config.ansible.engine import Engine
from haproxy_sync.config.ansible.lazy import LazyDict, LazyList
from haproxy_sync.config.ansible.raw import Data, Unreadable
from haproxy_sync.config.facts import (
    Groups,
    Inventory,
    TagValue,
    conveniences,
    group_names,
    inventory_name,
    is_allowed,
)
from haproxy_sync.config.views import HostVariables, HostVars, Instance
from haproxy_sync.errors import TemplateError
from haproxy_sync.fleet.model import Host
from haproxy_sync.settings import Settings

GROUP_VARS, HOST_VARS = "group_vars", "host_vars"
"""Keys of the variables file whose values are variables by group, and by host."""

ABSENT = object()


class World:
    """Everything that one rendering reads, fresh for each: templates may append to lists."""

    def __init__(
        self,
        engine: Engine,
        inventory: Inventory,
        variables: Mapping[str, Any],
        settings: Settings,
        refused: dict[str, str],
    ) -> None:
        self.engine = engine
        self.inventory = inventory
        self.variables = variables
        self.settings = settings
        self.refused = refused
        """Gets the tag key by instance id, for each read of a tag that may not stand in a config."""
        self._scopes: dict[str, Scope] = {}
        self.names: Mapping[str, Callable[[], Any]] = {
            "groups": lambda: Groups(inventory, (settings.backend_tag_value, settings.proxy_tag_value)),
            "hostvars": lambda: HostVars(inventory, self.scope),
        }
        fleet = inventory.fleet
        self.fallback_names: Mapping[str, Callable[[], Any]] = {
            "ansible_managed": lambda: "Ansible managed",
            "backend_port": lambda: settings.backend_port,
            "backends": lambda: [Instance(backend, self.checked) for backend in fleet.backends],
            "environment": lambda: settings.environment,
            "listen_ports": lambda: list(settings.listen_ports),
            "proxies": lambda: [Instance(proxy, self.checked) for proxy in fleet.proxies],
            "zone_aware": lambda: settings.zone_aware,
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
        if not by_group and not by_host:
            return self.variables
        groups = [by_group[group] for group in ("all", *group_names(host)) if group in by_group]
        aliases = (host.private_dns_name, host.address, host.name, host.instance_id)
        hosts = [by_host[alias] for alias in aliases if alias in by_host]
        own = {name: value for layer in (*groups, *hosts) for name, value in layer.items()}
        return {**self.variables, **own}

    def depends_on_host(self, name: str) -> bool:
        """Whether a variables file gives hosts different values of this name."""
        return any(name in layer for key in (GROUP_VARS, HOST_VARS) for layer in self.variables.get(key, {}).values())


class Scope(Mapping[str, Any]):
    """The names of one host. Remembers which ones were asked for."""

    def __init__(self, world: World, host: Host) -> None:
        self.reads: set[str] = set()
        self.host = host
        self._world = world
        self._facts = world.inventory.facts(host)
        self._variables = world.variables_of(host)
        self._own: Mapping[str, Callable[[], Any]] = {
            "ansible_facts": self._ansible_facts,
            "vars": lambda: HostVariables(self),
        }
        self._shown: dict[str, Any] = {}
        self._open: list[str] = []

    @cached_property
    def _conveniences(self) -> Mapping[str, Any]:
        return {**conveniences(self.host), "proxy": Instance(self.host, self._world.checked)}

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
