"""Judges whether a look may take backends out of the config. Removal is dangerous; additions always go through."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from types import MappingProxyType

from haproxy_sync.model import Backend, unique_names
from haproxy_sync.pointer import Hold
from haproxy_sync.settings import Settings

PERCENT = 100
NO_TIMES = MappingProxyType[str, float]({})


@dataclass(frozen=True, slots=True)
class Limits:
    """When a loss is suspicious, and how long it must be seen to be believed."""

    min_backends: int
    max_loss_percent: int
    hold_seconds: float
    publishes_empty: bool = False  # whether time alone lets a pool be empty, or smaller than `min_backends`

    @classmethod
    def of(cls, settings: Settings) -> "Limits":
        """As the stack is configured."""
        publishes_empty = settings.empty_pool == "publish"
        return cls(settings.min_backends, settings.max_loss_percent, settings.hold_seconds, publishes_empty)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The pool to publish (None: publish nothing), and the hold that keeps vanished backends in it, with its reason."""

    pool: tuple[Backend, ...] | None
    hold: Hold | None = None

    @property
    def confirmable_at(self) -> float | None:
        """A look from then on believes the same loss."""
        return self.hold.ends_at if self.hold else None


def judge(  # noqa: PLR0913 # the whole decision, and nothing but values
    previous: tuple[Backend, ...] | None,
    present: tuple[Backend, ...],
    hold: Hold | None,
    limits: Limits,
    now: float,
    *,
    allow_mass_removal: bool = False,
) -> Verdict:
    """The pool after this look. `previous` None means that nothing was accepted yet, or nobody knows what.

    A loss is judged against the pool before it, at every look: who joins meanwhile makes it no smaller. So a hold lasts
    until its time, the return of the vanished, or an override.
    """
    known = {backend.instance_id: backend for backend in previous or ()}
    lost = sorted(known.keys() - {backend.instance_id for backend in present})
    if hold and previous is not None and hold.missing.keys().isdisjoint(lost):
        hold = None  # they are back; whoever is missing now is another loss
    before = hold.before if hold else len(known)
    reason = suspicion(before, len(lost), len(present), limits, is_known=previous is not None)
    if not reason or allow_mass_removal:
        return Verdict(present)
    times, since = (hold.missing, hold.since) if hold else (NO_TIMES, now)
    missing = MappingProxyType({key: times.get(key, now) for key in lost})
    held = Hold(reason, since, missing, before, _ends_at(since, missing, present, limits))
    if hold and held.ends_at is not None and now >= held.ends_at:
        return Verdict(present)
    pool = None if previous is None else keep(present, tuple(known[key] for key in lost))
    return Verdict(pool, held)


def _ends_at(since: float, missing: Mapping[str, float], present: tuple[Backend, ...], limits: Limits) -> float | None:
    """When time alone ends the hold: each of the vanished was missing for the whole hold time by then. None: never."""
    if not present and not missing:
        return None  # nothing is known and nothing found: a mistyped tag looks like this, and lasts
    if len(present) < max(1, limits.min_backends) and not limits.publishes_empty:
        return None
    ends_at = max(missing.values(), default=since) + limits.hold_seconds
    return ends_at if ends_at < inf else None


def suspicion(before: int, lost: int, after: int, limits: Limits, *, is_known: bool) -> str:
    """Why the loss needs confirmation; empty if it does not."""
    if is_known and not lost:
        return ""
    if after == 0:
        return "no backend is left" if is_known else "no backend found, and none is known from before"
    if after < limits.min_backends:
        return f"{after} backends would be left (minimum {limits.min_backends})"
    # Losing one is always allowed: a pool of two must be able to lose one (F20).
    if lost > 1 and lost * PERCENT > limits.max_loss_percent * before:
        return f"{lost} of {before} backends would vanish (limit {limits.max_loss_percent} %)"
    return ""


def keep(present: tuple[Backend, ...], vanished: tuple[Backend, ...]) -> tuple[Backend, ...]:
    """The present backends and the vanished ones, unless their address has a new owner (F31)."""
    taken = {backend.address for backend in present}
    return unique_names([*present, *(backend for backend in vanished if backend.address not in taken)])
