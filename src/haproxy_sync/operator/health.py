"""Two words for how an environment is: `sync`, whether all run what is published, and `health`, whether all is well."""

from collections.abc import Iterable
from enum import StrEnum

from haproxy_sync.operator.situation import Situation
from haproxy_sync.rollout.progress import ProxyProgress


class Health(StrEnum):
    """How well something is, the best first."""

    HEALTHY = "healthy"
    ATTENTION = "attention"
    UNKNOWN = "unknown"
    DEGRADED = "degraded"

    @property
    def rank(self) -> int:
        """Higher is worse."""
        return list(Health).index(self)


class Sync(StrEnum):
    """Whether what is published is what runs."""

    SYNCED = "synced"
    OUT_OF_SYNC = "out-of-sync"
    UNKNOWN = "unknown"
    NOTHING_PUBLISHED = "nothing-published"


def worst(found: Iterable[Health]) -> Health:
    """Healthy where nothing was found."""
    return max(found, key=lambda each: each.rank, default=Health.HEALTHY)


def sync_of(situation: Situation, proxy: ProxyProgress) -> Sync:
    """Of one proxy: what its host proved, as long as its word counts."""
    if proxy.desired is None:
        return Sync.NOTHING_PUBLISHED
    if not proxy.is_settled or situation.is_edited(proxy):
        return Sync.OUT_OF_SYNC
    if situation.is_old(proxy.instance_id):
        return Sync.UNKNOWN
    return Sync.SYNCED


def sync(situation: Situation) -> Sync:
    """Of the environment: that of the proxy that is furthest from it."""
    if not situation.is_known:
        return Sync.UNKNOWN
    if situation.state.publication is None:
        return Sync.NOTHING_PUBLISHED
    found = {sync_of(situation, proxy) for proxy in situation.proxies}
    found.add(Sync.SYNCED if situation.proxies else Sync.UNKNOWN)
    return next(word for proxy_is, word in _FURTHEST if proxy_is in found)


# A proxy without a config joined after the publication.
_FURTHEST = (
    (Sync.NOTHING_PUBLISHED, Sync.OUT_OF_SYNC),
    (Sync.OUT_OF_SYNC, Sync.OUT_OF_SYNC),
    (Sync.UNKNOWN, Sync.UNKNOWN),
    (Sync.SYNCED, Sync.SYNCED),
)
