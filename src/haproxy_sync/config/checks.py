"""What `haproxy -c` accepts and nobody wants in production: no listener, lost backends, unsafe keywords."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from haproxy_sync.config import unsafe
from haproxy_sync.config.language import Line, lines, servers
from haproxy_sync.fleet.model import Backend, Config
from haproxy_sync.settings import Settings

PARTIAL = "allow_missing_backends"
"""Variable: the template leaves out backends on purpose."""

SHOWN = 5
"""So many instance ids fit a message that a person reads."""


def problems(
    configs: Iterable[Config],
    backends: Sequence[Backend],
    variables: Mapping[str, Any],
    settings: Settings,
) -> Iterator[str]:
    """What is wrong with the configs of these backends, in sentences; nothing where they can be published."""
    is_partial = variables.get(PARTIAL) is True
    for config in configs:
        yield from _unsafe(config, settings)
        if not _has_listener(config):
            yield "the config has no listener (no bind line; an address behind `listen` or `frontend` is none)"
        lost = _lost(config, backends)
        if lost and not is_partial:
            yield (
                f"{len(lost)} of {len(backends)} backends are in no server line: {', '.join(lost[:SHOWN])}; "
                f"if the template leaves them out on purpose, set the variable {PARTIAL}: true"
            )


def _unsafe(config: Config, settings: Settings) -> Iterator[str]:
    allowed = settings.allow_unsafe_keywords
    refused = unsafe.refused(config.text, settings.config_path, allowed)
    if refused:
        yield f"the config has unsafe keywords: {unsafe.says(refused, allowed)}"


def _has_listener(config: Config) -> bool:
    return any(map(_is_listener, lines(config.text)))


def _is_listener(line: Line) -> bool:
    return line.is_listener


def _lost(config: Config, backends: Iterable[Backend]) -> list[str]:
    """The backends that no server line names in any way, by instance id."""
    named: set[str] = set()
    for server in servers(config.text):
        named.update({server.name, server.host})
    # A backend may have no DNS name, which is no name that a server line could state.
    named.discard("")
    return [
        backend.instance_id for backend in backends if named.isdisjoint(_names(backend))
    ]


def _names(backend: Backend) -> tuple[str, ...]:
    return backend.address, backend.name, backend.instance_id, backend.private_dns_name
