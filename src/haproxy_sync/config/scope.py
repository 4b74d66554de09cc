"""The names a template sees, per host, in Ansible's order of precedence, each rendered when it is read.

1. what EC2 says (`facts`), `groups`, `hostvars`: no variable overrides them
2. the user's variables: `host_vars`, then `group_vars`, then the file's own keys (as Ansible's group_vars/all)
3. conveniences of this project (`backends`, `proxy`, `zone`, ...), which any variable of the same name replaces
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial, singledispatch
from itertools import chain
from typing import Any

from haproxy_sync.config.ansible.engine import Engine
from haproxy_sync.config.ansible.lazy import LazyDict, LazyList
from haproxy_sync.config.ansible.raw import Data, Unreadable
from haproxy_sync.config.facts import (
    PROXIES,
    Groups,
    HostIndex,
    TagValue,
    conveniences,
    group_names,
    inventory_hostname,
    is_allowed,
)
from haproxy_sync.config.marked import Reading
from haproxy_sync.config.views import HostVariables, HostVars, Instance
from haproxy_sync.errors import TemplateError
from haproxy_sync.fleet.model import Host
from haproxy_sync.settings import Settings

GROUP_VARS, HOST_VARS = "group_vars", "host_vars"
"""Keys of the variables file whose values are variables by group, and by host."""

ABSENT = object()

FACT_PREFIX = "ansible_"
HOST_PREFIXES = ("ec2_tag_", "ansible_default_")
"""Facts that one host may have and another one lack."""


class World:
    """Everything that one rendering reads, fresh for each: templates may append to lists."""

    def __init__(
        self,
        engine: Engine,
        index: HostIndex,
        variables: Mapping[str, Any],
        settings: Settings,
        reading: Reading,
    ) -> None:
        self.engine = engine
        self.index = index
        self.variables = variables
        self.settings = settings
        self.reading = reading
        self._scopes: dict[str, Scope] = {}
        self.names: Mapping[str, Callable[[], Any]] = {
            "groups": lambda: Groups(
                index,
                (settings.backend_tag_value, settings.proxy_tag_value),
                settings.type_tag_key,
            ),
            "hostvars": lambda: HostVars(index, self.scope),
        }
        fleet = index.fleet
        self.fallback_names: Mapping[str, Callable[[], Any]] = {
            "ansible_managed": lambda: "Ansible managed",
            "backend_port": lambda: settings.backend_port,
            "backends": lambda: [
                Instance(backend, self.checked) for backend in fleet.backends
            ],
            "ansible_play_batch": self._proxy_names,
            "ansible_play_hosts": self._proxy_names,
            "ansible_play_hosts_all": self._proxy_names,
            "environment": lambda: settings.environment,
            "listen_ports": lambda: list(settings.listen_ports),
            "proxies": lambda: [
                Instance(proxy, self.checked) for proxy in fleet.proxies
            ],
            "play_hosts": self._proxy_names,
            "slow_start_seconds": lambda: settings.slow_start_seconds,
            "zone_aware": lambda: settings.zone_aware,
        }

    def _proxy_names(self) -> list[str]:
        """The hosts of the play: the playbook this replaces has `hosts: haproxy` where it renders the config."""
        return list(self.index.groups[PROXIES])

    def checked(self, raw: Any, path: str) -> Any:
        """A value from EC2 as a template may see it. A refused tag is recorded: this rendering will not be used."""
        match raw:
            case TagValue():
                return self._checked_tag(raw)
            case dict():
                return LazyDict(raw, self.checked, path)
            case list():
                return list(raw)
            case _:
                return raw

    def _checked_tag(self, tag: TagValue) -> str:
        if not is_allowed(tag.value):
            self.reading.refused[tag.instance_id] = tag.key
        return tag.value  # as it is, so that the template takes its usual way and reads all that it would read

    def scope(self, host: Host) -> "Scope":
        """The names of a host as `hostvars` shows them."""
        name = inventory_hostname(host)
        if name not in self._scopes:
            self._scopes[name] = Scope(self, host)
        return self._scopes[name]

    def variables_of(self, host: Host) -> Mapping[str, Any]:
        """The user's variables that hold for a host: its own win over its groups', and those over the file's."""
        groups = ("all", *group_names(host))
        aliases = (host.private_dns_name, host.address, host.name, host.instance_id)
        own = [*self._stated(GROUP_VARS, groups), *self._stated(HOST_VARS, aliases)]
        if not own:
            return self.variables
        merged = dict(self.variables)
        for layer in own:
            merged.update(layer)
        return merged

    def _stated(self, key: str, names: Iterable[str]) -> list[Mapping[str, Any]]:
        by_name = self._variables_by(key)
        return [by_name[name] for name in names if name in by_name]

    def depends_on_host(self, name: str) -> bool:
        """Whether a variables file gives hosts different values of this name."""
        layers = chain(
            self._variables_by(GROUP_VARS).values(),
            self._variables_by(HOST_VARS).values(),
        )
        return any(name in layer for layer in layers)

    def _variables_by(self, key: str) -> Mapping[str, Mapping[str, Any]]:
        found: Mapping[str, Mapping[str, Any]] = self.variables.get(key, {})
        return found


@dataclass(frozen=True, slots=True)
class _Layer:
    """Names of one rank."""

    sources: Mapping[str, Any]
    """What stands behind each name."""
    show: Callable[[Any, str], Any]
    """It makes the template's value of that and of the name."""


def _made(make: Callable[[], Any], _name: str) -> Any:
    return make()


def _is_prefixed_fact(name: str) -> bool:
    """Whether `ansible_facts` has it without the prefix."""
    return name.startswith(FACT_PREFIX) and name != "ansible_facts"


class Scope(Mapping[str, Any]):
    """The names of one host. Remembers which ones were asked for."""

    def __init__(self, world: World, host: Host) -> None:
        self.reads: set[str] = set()
        self.host = host
        self._world = world
        self._facts = world.index.facts(host)
        self._variables = world.variables_of(host)
        self._own: Mapping[str, Callable[[], Any]] = {
            "ansible_facts": self._ansible_facts,
            "vars": lambda: HostVariables(self),
        }
        self._values: dict[str, Any] = {}
        self._open: list[str] = []

    @cached_property
    def _conveniences(self) -> Mapping[str, Any]:
        return {
            **conveniences(self.host),
            "proxy": Instance(self.host, self._world.checked),
        }

    def _layers(self) -> Iterator[_Layer]:
        """The precedence: the first layer that has a name gives its value. The last ones are seldom needed."""
        yield _Layer(self._facts, self._world.checked)
        yield _Layer(self._world.names, _made)
        yield _Layer(self._own, _made)
        yield _Layer(self._variables, self.show)
        yield _Layer(self._conveniences, self._world.checked)
        yield _Layer(self._world.fallback_names, _made)

    @property
    def fallbacks(self) -> frozenset[str]:
        """The names of the last rank, which any variable replaces."""
        return frozenset({*self._conveniences, *self._world.fallback_names})

    def __getitem__(self, name: str) -> Any:
        """The value (`KeyError` where there is none)."""
        self.reads.add(name)
        if name not in self._values:
            self._values[name] = self._value(name)
        return self._values[name]

    def _value(self, name: str) -> Any:
        for layer in self._layers():
            if name in layer.sources:
                return layer.show(layer.sources[name], name)
        raise KeyError(name)

    def show(self, raw: Any, path: str) -> Any:
        """A user's value, which may be a template or hold some.

        Raises `TemplateError` where the value is encrypted, refers to itself or cannot be evaluated.
        """
        return self._world.reading.shown(raw, path, partial(_shown, raw, self, path))

    def evaluated(self, source: str, path: str) -> Any:
        """The value of a text that may be a template (`TemplateError` where it refers to itself, or has none)."""
        if path in self._open:
            circle = " -> ".join([*self._open, path])
            raise TemplateError(
                f"variable {path}", None, f"it refers to itself: {circle}"
            )
        self._open.append(path)
        try:
            return self._world.engine.evaluate(source, self, path)
        finally:
            self._open.pop()

    def _ansible_facts(self) -> LazyDict:
        """Facts without their prefix, those that the user states as variables too."""
        sources = {
            **self._stated_facts(),
            **{
                name.removeprefix(FACT_PREFIX): partial(self.__getitem__, name)
                for name in self._fact_names()
            },
        }
        return LazyDict(sources, _made, "ansible_facts")

    def _stated_facts(self) -> Mapping[str, Callable[[], Any]]:
        """What the user's variable `ansible_facts` holds."""
        stated = self._variables.get("ansible_facts")
        if not isinstance(stated, dict):
            return {}
        return {
            name: partial(self.show, raw, f"ansible_facts.{name}")
            for name, raw in stated.items()
        }

    def _fact_names(self) -> Iterator[str]:
        return filter(_is_prefixed_fact, chain(self._variables, self._facts))

    def raw(self, name: str) -> Any:
        """What distinguishes this host from another one under this name."""
        return self._distinguishing.get(name, ABSENT)

    @cached_property
    def _distinguishing(self) -> Mapping[str, Any]:
        """All raw values by name. The later ones win, as in `_layers`; what is made of the host stands for it."""
        own = dict.fromkeys(self._own, self.host)
        return {**self._conveniences, **self._variables, **self._facts, **own}

    def is_own(self, name: str) -> bool:
        """Whether the value of a name may differ between hosts."""
        reasons = (
            self._is_from_ec2(name),
            self._world.depends_on_host(name),
            name in self._conveniences.keys() - self._variables.keys(),
        )
        return any(reasons)

    def _is_from_ec2(self, name: str) -> bool:
        """Whether the name is a fact of this host, or can be one of another host."""
        return name in self._facts.keys() | self._own.keys() or name.startswith(
            HOST_PREFIXES
        )

    def __contains__(self, name: object) -> bool:
        """Whether this host has the name. Reads no value."""
        found = any(name in layer.sources for layer in self._layers())
        if not found:
            self.reads.add(str(name))  # another host may have it
        return found

    def __iter__(self) -> Iterator[str]:
        """Every name but the fallbacks."""
        return iter(self._names())

    def __len__(self) -> int:
        """How many names `__iter__` gives."""
        return len(self._names())

    def _names(self) -> dict[str, None]:
        layers = (
            self._facts,
            self._own,
            self._variables,
            self._conveniences,
            self._world.names,
        )
        return dict.fromkeys(chain.from_iterable(layers))


@singledispatch
def _shown(raw: Any, _scope: Scope, _path: str) -> Any:
    """A user's value by its type; numbers, dates and the like stand for themselves."""
    return raw


@_shown.register(Data)
def _show_data(raw: Data, _scope: Scope, _path: str) -> str:
    return raw.text


@_shown.register(str)
def _show_text(raw: str, scope: Scope, path: str) -> Any:
    return scope.evaluated(raw, path)


@_shown.register(dict)
def _show_mapping(raw: dict[Any, Any], scope: Scope, path: str) -> LazyDict:
    return LazyDict(raw, scope.show, path)


@_shown.register(list)
def _show_list(raw: list[Any], scope: Scope, path: str) -> LazyList:
    return LazyList(raw, scope.show, path)


@_shown.register(Unreadable)
def _refuse(raw: Unreadable, _scope: Scope, path: str) -> Any:
    raise TemplateError(raw.file, raw.line, f"{path}: {raw.reason}")
