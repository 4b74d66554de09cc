"""Templates, variables and a fleet -> one config per distinct text. Pure: same input, same bytes.

Values from EC2 are data and never rendered as templates. A config that lacks a listener or a backend is refused before
anything is stored.
"""

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from haproxy_sync.config.ansible.engine import Engine
from haproxy_sync.config.facts import Inventory
from haproxy_sync.config.language import lines, servers
from haproxy_sync.config.scope import Scope, World
from haproxy_sync.errors import TemplateError
from haproxy_sync.fleet.model import Backend, Config, Fleet, Host, Proxy, Skipped
from haproxy_sync.settings import Settings

LISTENING = ("frontend", "listen")
PARTIAL = "allow_missing_backends"
"""Variable: the template leaves out backends on purpose."""

# Stands in for the rendering host while there is no proxy; a config that would show it is not returned.
_NOBODY = Proxy(instance_id="i-00000000", type="none", name="nobody", address="0.0.0.0", zone="none")  # noqa: S104 - no bind


@dataclass(frozen=True, slots=True)
class TemplateSet:
    """The main template and the files that it may include, by path."""

    main: str
    files: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Rendering:
    """What every proxy gets.

    `shared` is the one config of a template that does not read the rendering host: it fits every proxy, also future
    ones. Otherwise `by_proxy` has one per instance id, equal texts being one object.
    """

    by_proxy: Mapping[str, Config]
    shared: Config | None
    skipped: tuple[Skipped, ...]
    completed: bool = False
    """A final newline was appended, which Ansible would not do: HAProxy 2.3 and later refuse a file without."""

    @property
    def configs(self) -> tuple[Config, ...]:
        """Each distinct config once."""
        configs = [self.shared] if self.shared else self.by_proxy.values()
        return tuple({id(config): config for config in configs}.values())


def render_fleet(templates: TemplateSet, variables: Mapping[str, Any], fleet: Fleet, settings: Settings) -> Rendering:
    """Render for every proxy, without the instances whose tag was read and refused, and check the result.

    Raises `TemplateError`: the template or its variables are at fault, or the config lacks a listener or a backend.
    """
    rendering = render_unchecked(templates, variables, fleet, settings)
    if problem := next(problems(rendering, variables, fleet), None):
        raise TemplateError(templates.main, None, problem)
    return rendering


def render_unchecked(
    templates: TemplateSet, variables: Mapping[str, Any], fleet: Fleet, settings: Settings
) -> Rendering:
    """As `render_fleet`, whatever the result is worth."""
    engine = _engine(templates.main, tuple(sorted(templates.files.items())))
    skipped: list[Skipped] = []
    while True:
        attempt = _Attempt(engine, Inventory(fleet), variables, settings)
        try:
            configs = attempt.configs()
        except TemplateError:
            if not attempt.refused:
                raise
        if not attempt.refused:
            break
        # Exactly the tags that were read: the values were shown as they are, so the template took its usual way.
        skipped += [Skipped(instance_id, "refused-tag", key) for instance_id, key in sorted(attempt.refused.items())]
        fleet = _without(fleet, attempt.refused)
    shared = None if attempt.reads_host else next(iter(configs.values()))
    by_proxy = {} if shared else {proxy.instance_id: configs[proxy.instance_id] for proxy in fleet.proxies}
    return Rendering(by_proxy, shared, tuple(skipped), attempt.completed)


def problems(rendering: Rendering, variables: Mapping[str, Any], fleet: Fleet) -> Iterator[str]:
    """What `haproxy -c` accepts and nobody wants: no listener, or a backend that no server line names (F46)."""
    backends = _without(fleet, {skipped.instance_id for skipped in rendering.skipped}).backends
    for config in rendering.configs:
        if not any(line.words[0] == "bind" and line.section.startswith(LISTENING) for line in lines(config.text)):
            yield "the config has no listener (no bind line)"
        named = {name for server in servers(config.text) for name in (server.name, server.host) if name}
        lost = [backend.instance_id for backend in backends if named.isdisjoint(_names(backend))]
        if lost and variables.get(PARTIAL) is not True:
            yield (
                f"{len(lost)} of {len(backends)} backends are in no server line: {', '.join(lost[:5])}; "
                f"if the template leaves them out on purpose, set the variable {PARTIAL}: true"
            )


def _names(backend: Backend) -> tuple[str, ...]:
    return backend.address, backend.name, backend.instance_id, backend.private_dns_name


def _without(fleet: Fleet, refused: Container[str]) -> Fleet:
    return replace(
        fleet,
        backends=tuple(host for host in fleet.backends if host.instance_id not in refused),
        proxies=tuple(host for host in fleet.proxies if host.instance_id not in refused),
        others=tuple(host for host in fleet.others if host.instance_id not in refused),
    )


@lru_cache(maxsize=2)
def _engine(main: str, files: tuple[tuple[str, str], ...]) -> Engine:
    return Engine(main, {path: _normalised(source) for path, source in files})


def _normalised(source: str) -> str:
    """LF and no byte order mark, as editors on other systems leave them (F45)."""
    return source.removeprefix("\ufeff").replace("\r\n", "\n")


class _Attempt:
    """A config for every proxy; an earlier one where nothing that was read tells two proxies apart."""

    def __init__(self, engine: Engine, inventory: Inventory, variables: Mapping[str, Any], settings: Settings) -> None:
        self._engine = engine
        self._inventory = inventory
        self._variables = variables
        self._settings = settings
        self._known: list[tuple[Scope, Config]] = []
        self.refused: dict[str, str] = {}
        self.completed = False

    @property
    def reads_host(self) -> bool:
        """Whether any text depends on the host it is for."""
        return any(scope.is_own(name) for scope, _ in self._known for name in scope.reads)

    def configs(self) -> Mapping[str, Config]:
        """A config by instance id; with no proxy, one for nobody."""
        proxies = self._inventory.fleet.proxies or (_NOBODY,)
        configs = {proxy.instance_id: self._config(proxy) for proxy in proxies}
        first, config = self._known[0]
        # Two renders: what depends on chance must not reach a proxy, it would differ in every run (F44).
        if not self.refused and self._text(self._scope(first.host)) != config.text:
            raise TemplateError(self._engine.main, None, "two renders of the same fleet differ: it depends on chance")
        return configs

    def _config(self, proxy: Proxy) -> Config:
        scope = self._scope(proxy)
        for known, config in self._known:
            if all(scope.raw(name) == known.raw(name) for name in known.reads):
                return config
        config = Config(self._text(scope))
        same = next((known for _, known in self._known if known.text == config.text), config)
        self._known.append((scope, same))
        return same

    def _scope(self, host: Host) -> Scope:
        return Scope(World(self._engine, self._inventory, self._variables, self._settings, self.refused), host)

    def _text(self, scope: Scope) -> str:
        text = self._engine.render(scope)
        if text.endswith("\n"):
            return text
        self.completed = True
        return text + "\n"
