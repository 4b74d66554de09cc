"""The watch: a new worker has to live for a while before it counts."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from haproxy_apply import load, patience, units
from haproxy_apply.errors import ReloadFailed

if TYPE_CHECKING:
    from haproxy_apply.host import Host
    from haproxy_apply.model import Model
    from haproxy_apply.processes import Service

WATCH_SECONDS = 2
POLL_SECONDS = 0.2
MAX_REPLACEMENTS = 2

# How often nothing may be found: somebody else's reload has a moment without a command line, a unit that died comes
# back at once.
_GAPS, _GAPS_OF_UNIT = 1, 5


def watch(host: Host, awaited: Model, before: Service, after: Service) -> Service:
    """The service whose new worker has lived through the watch. `ReloadFailed`: it died."""
    polls = round(WATCH_SECONDS / POLL_SECONDS)
    # Who cannot be asked is watched for longer than HAProxy tries to bind (2.1 s).
    if not after.answers_on(awaited.stats_socket.path):
        polls = polls * 3 // 2
    gaps = _GAPS_OF_UNIT if host.unit else _GAPS
    patient_until = time.monotonic() + _patience(host) - (gaps + 1) * POLL_SECONDS
    left, replacements = polls, 0
    began = time.time()
    while left > 0:
        time.sleep(POLL_SECONDS)
        service = host.discovery.find()
        if service is None or service.worker is None:
            gaps -= not _is_awaited(host, patient_until)
        elif service.worker != after.worker:
            # Somebody else's reload: a worker that is younger still is the one to watch.
            _check_younger(service, after, before)
            replacements += 1
            after, left = service, polls - 1
        else:
            left -= 1
        if gaps < 0 or replacements > MAX_REPLACEMENTS:
            raise ReloadFailed("worker-died", load.said(before, host.unit, began))
    return after


def _patience(host: Host) -> float:
    """How long somebody else's restart may take: as long as our load, but a rollback has to fit behind it."""
    left = patience.left()
    if not host.is_rollback:
        left = patience.before_rollback(host.check_seconds, left)
    return min(host.load_seconds, left)


def _is_awaited(host: Host, until: float) -> bool:
    """Whether systemd starts or stops the unit, for somebody, and we can wait for that."""
    return host.unit != "" and time.monotonic() < until and units.is_changing(host.unit)


def _check_younger(service: Service, than: Service, before: Service) -> None:
    """`ReloadFailed` of a worker that was there before, or that began before the one that was watched."""
    is_younger = _began(service) > _began(than) > 0
    if not is_younger or not service.has_new_worker(before):
        raise ReloadFailed("worker-died")


def _began(service: Service) -> int:
    """When its worker did, in ticks of /proc; 0 without one."""
    return service.worker.start if service.worker else 0
