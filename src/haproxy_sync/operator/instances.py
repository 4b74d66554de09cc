"""Names and addresses beside the instance ids of an answer: what the state and the look know of each."""

import re
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Protocol

from haproxy_sync.fleet.model import INSTANCE_ID, Fleet, Proxy
from haproxy_sync.reconcile.publish import Proposal
from haproxy_sync.state.model import EnvironmentState

type Known = Mapping[str, Mapping[str, Any]]
"""What is known of instances, by id, as answers show it."""

NOBODY: Known = MappingProxyType({})
UNKNOWN: Mapping[str, Any] = {"name": "", "address": None, "zone": "", "role": ""}

_MENTIONED = re.compile(rf"\b{INSTANCE_ID.pattern}\b", INSTANCE_ID.flags)


class _Instance(Protocol):
    """A host, or one that was skipped."""

    @property
    def instance_id(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def address(self) -> str: ...
    @property
    def zone(self) -> str: ...


def of_states(*states: EnvironmentState) -> Known:
    """The proxies, the accepted backends and the skipped; of an instance that is more than one, the first of these.

    A later state knows better.
    """
    known: dict[str, Mapping[str, Any]] = {}
    for state in states:
        known |= _shown("skipped", state.skipped)
        known |= _shown("backend", state.pool)
        known |= _shown("proxy", state.proxies)
    return known


def of_proxies(proxies: Iterable[Proxy]) -> Known:
    """Proxies alone."""
    return _shown("proxy", proxies)


def of_plan(before: EnvironmentState, proposal: Proposal) -> Known:
    """Those of a plan, with who would join."""
    fleet = proposal.fleet or Fleet(backends=(), proxies=())
    found = _shown("backend", fleet.backends)
    joining = _shown("backend", proposal.pool or ())
    return {**found, **of_states(before, proposal.state), **joining}


def named(answer: Mapping[str, Any], known: Known) -> Known:
    """Every instance that the answer names, by id: in a list, as a key or within a text."""
    mentioned = {key for text in _texts(answer) for key in _MENTIONED.findall(text)}
    return {key: known.get(key, UNKNOWN) for key in sorted(mentioned)}


def _shown(role: str, hosts: Iterable[_Instance]) -> dict[str, Mapping[str, Any]]:
    return {
        host.instance_id: {
            "name": host.name,
            "address": host.address or None,
            "zone": host.zone,
            "role": role,
        }
        for host in hosts
    }


def _texts(value: Any) -> Iterator[str]:
    """Every text at any depth, the keys included."""
    match value:
        case str():
            yield value
        case Mapping():
            yield from _texts([*value.keys(), *value.values()])
        case list():
            for each in value:
                yield from _texts(each)
