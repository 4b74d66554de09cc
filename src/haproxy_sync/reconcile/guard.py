"""Judges whether a look may take backends out of the config. Removal is dangerous; additions always go through."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from haproxy_sync.fleet.model import Backend, unique_names
from haproxy_sync.settings import Settings
from haproxy_sync.state.model import Hold

PERCENT = 100
UNKNOWN = ""  # whoever was there before, where nobody knows


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
    look_again_at: float | None = None  # a look from then on believes that some of the vanished are gone


def judge(  # noqa: PLR0913 # the whole decision, and nothing but values
    previous: tuple[Backend, ...] | None,
    present: tuple[Backend, ...],
    hold: Hold | None,
    limits: Limits,
    now: float,
    *,
    allow_mass_removal: bool = False,
    is_frozen: bool = False,
    occupied: frozenset[str] = frozenset(),
) -> Verdict:
    """The pool after this look. `previous` None means that nothing was accepted yet, or nobody knows what.

    Who is held stays until it is back, was missing for the whole hold time, or an operator lets it go: who joins
    meanwhile, and which others come back, changes nothing for it. While `is_frozen` nobody is let go. `occupied` are
    addresses that belong to instances which are no backends.
    """
    known = {backend.instance_id: backend for backend in previous or ()}
    lost = sorted(known.keys() - {backend.instance_id for backend in present})
    is_known = previous is not None
    if hold and is_known and hold.missing.keys().isdisjoint(lost):
        hold = None  # all are back; whoever is missing now is another loss
    reason = suspicion(len(known), len(lost), len(present), limits, is_known=is_known)
    if not reason and hold and is_known:
        reason = f"{len(lost)} of {len(known)} backends are missing, not for the whole hold time yet"
    if not reason or (allow_mass_removal and not is_frozen):
        return Verdict(present)
    held = _held(reason, lost, present, hold, limits, now)
    ends = _ends(held, limits)
    may_end = hold is not None and not is_frozen  # one look alone never takes many out
    over = {key for key, end in ends.items() if may_end and end <= now}
    if over and over == ends.keys():
        return Verdict(present)
    later = [end for key, end in ends.items() if key not in over]
    missing = MappingProxyType({key: time for key, time in held.missing.items() if key not in over})
    held = replace(held, missing=missing, ends_at=max(later, default=None))
    pool = keep(present, tuple(known[key] for key in missing), occupied) if is_known else None
    return Verdict(pool, held, None if is_frozen else min(later, default=None))


def _held(  # noqa: PLR0913, PLR0917 # as above
    reason: str, lost: list[str], present: tuple[Backend, ...], hold: Hold | None, limits: Limits, now: float
) -> Hold:
    """Those of before and those of now, each with the time when it was missed first."""
    before = hold or Hold(reason, now)
    is_enough = len(present) >= max(1, limits.min_backends)
    # Where nothing is known and nothing found, nothing was lost: a mistyped tag looks like this, and lasts.
    may_pass = is_enough or (limits.publishes_empty and bool(lost or present))
    first = now if before.time_counts_since is None else before.time_counts_since
    missing = MappingProxyType({key: before.missing.get(key, now) for key in lost})
    return Hold(reason, before.since, missing, first if may_pass else None)


def _ends(hold: Hold, limits: Limits) -> Mapping[str, float]:
    """When time lets each of the vanished go; nobody goes for as long as too few would be left."""
    if hold.time_counts_since is None:
        return {}
    times = hold.missing or {UNKNOWN: hold.since}
    return {key: max(time, hold.time_counts_since) + limits.hold_seconds for key, time in times.items()}


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


def keep(
    present: tuple[Backend, ...], vanished: tuple[Backend, ...], occupied: frozenset[str] = frozenset()
) -> tuple[Backend, ...]:
    """The present backends and the vanished ones, unless their address has a new owner (F31)."""
    taken = occupied.union(backend.address for backend in present)
    return unique_names([*present, *(backend for backend in vanished if backend.address not in taken)])
