"""A proxy's word: what its host itself said last, by any command. It has an age, and counts for a while only."""

from haproxy_sync.settings import Settings
from haproxy_sync.state.model import APPLIED, ProxyState, UnixSeconds

PERIODS = 2  # of the drift check, for which a word counts
# Where sweeps are rarer than drift checks: one brings the check, one is missed, one brings what came of it.
SWEEPS = 3


def heard_at(observed: ProxyState) -> UnixSeconds:
    """When the host itself spoke last; 0: never."""
    asked = observed.inspection
    answered = asked.at if asked and asked.has_answered else 0.0
    applied = observed.at if observed.outcome in APPLIED else 0.0
    return max(answered, applied, observed.serving.at)


def counts_for(settings: Settings) -> float:
    """Seconds for which a word counts: two drift periods, or as long as a drift check and its answer may take."""
    period = settings.drift_check_seconds
    return max(PERIODS * period, period + SWEEPS * settings.sweep_seconds)


def is_too_old(observed: ProxyState, settings: Settings, now: UnixSeconds) -> bool:
    """Whether what the host said says nothing about now any more, or it never said anything."""
    return now > heard_at(observed) + counts_for(settings)


def due_within(settings: Settings) -> float:
    """Seconds after a word in which a drift check makes the host speak again."""
    return settings.drift_check_seconds + settings.sweep_seconds
