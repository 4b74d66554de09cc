"""Who drains, for a template that shows no drain: as long as others remain, it is not told of them at all."""

from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import replace

from haproxy_sync.fleet.model import Backend, Fleet, ids
from haproxy_sync.fleet.near_miss import DRAIN_TAG

type Texts = Mapping[str, str]
"""What each proxy would get, by instance id."""
type Render = Callable[[Fleet], Texts | None]
"""The texts of a fleet; None where the template gives none."""


def unseen(fleet: Fleet, texts: Texts, render: Render) -> frozenset[str]:
    """The draining backends that the template shows as any other: its `texts` are the same if they do not drain.

    Nobody where no other backend remains. Nor one with `maint`: when that leaves is the guard's decision.
    """
    found = frozenset[str]()
    for kind in _kinds(fleet.backends):
        if render(_staying(fleet, kind)) == texts:
            found |= kind
    return found


def _kinds(backends: Iterable[Backend]) -> list[frozenset[str]]:
    """Who drains by the tag, which a template may read itself, and who without; none where no other backend remains."""
    staying = [each for each in backends if not each.maint]
    draining = [each for each in staying if each.drain]
    if len(draining) == len(staying):
        return []
    tagged = ids(each for each in draining if DRAIN_TAG in each.tags)
    return [kind for kind in (tagged, ids(draining) - tagged) if kind]


def _staying(fleet: Fleet, instance_ids: Container[str]) -> Fleet:
    """The fleet as it is if these do not drain."""
    return replace(fleet, backends=tuple(_stay(fleet.backends, instance_ids)))


def _stay(
    backends: Iterable[Backend], instance_ids: Container[str]
) -> Iterable[Backend]:
    for each in backends:
        tags = {key: value for key, value in each.tags.items() if key != DRAIN_TAG}
        is_meant = each.instance_id in instance_ids
        yield replace(each, drain=False, tags=tags) if is_meant else each
