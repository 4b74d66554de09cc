"""Judges whether a look may take backends out of the config. Removal is dangerous; additions always go through."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType

from haproxy_sync.fleet.model import Backend, by_id, ids, unique_names
from haproxy_sync.settings import MAX_PERCENT, Settings
from haproxy_sync.state.model import Hold, UnixSeconds

NONE_LEFT = "no backend is left"
NONE_FOUND = "no backend found, and none is known from before"
UNKNOWN = ""  # whoever was there before, where the state cannot say who


@dataclass(frozen=True, slots=True)
class Thresholds:
    """When a loss is suspicious, and how long it must be seen to be believed."""

    min_backends: int
    max_loss_percent: int
    hold_seconds: float
    # Whether time alone lets a pool be empty, or smaller than `min_backends`.
    publishes_empty: bool = False

    @classmethod
    def of(cls, settings: Settings) -> "Thresholds":
        """As the stack is configured."""
        publishes_empty = settings.empty_pool == "publish"
        return cls(
            settings.min_backends,
            settings.max_loss_percent,
            settings.hold_seconds,
            publishes_empty,
        )


@dataclass(frozen=True)
class Look:
    """What one look found, beside the pool that was accepted before it.

    A backend is *lost* if it was accepted and is not in this look, *missing* while the hold keeps it in the config, and
    *gone* once time, or an operator, lets it go.

    `previous` None means that nothing was accepted yet, or that the state was lost. While `is_frozen` nobody is let go.
    `occupied` are addresses that belong to instances which are no backends.
    """

    previous: tuple[Backend, ...] | None
    present: tuple[Backend, ...]
    hold: Hold | None
    now: UnixSeconds
    allow_mass_removal: bool = field(default=False, kw_only=True)
    is_frozen: bool = field(default=False, kw_only=True)
    occupied: frozenset[str] = field(default=frozenset(), kw_only=True)

    @cached_property
    def accepted(self) -> Mapping[str, Backend]:
        """The pool of before, by instance id."""
        return by_id(self.previous or ())

    @cached_property
    def lost(self) -> list[str]:
        """Who was there before and is not there now."""
        return sorted(self.accepted.keys() - ids(self.present))

    @property
    def has_previous(self) -> bool:
        """Whether the state says what was there before."""
        return self.previous is not None

    @cached_property
    def ongoing_hold(self) -> Hold | None:
        """The hold that goes on; where all are back, whoever is missing now is another loss."""
        if (
            self.hold
            and self.has_previous
            and self.hold.missing.keys().isdisjoint(self.lost)
        ):
            return None
        return self.hold

    @property
    def may_remove_all(self) -> bool:
        """Whether an operator lets everybody go who is missing."""
        return self.allow_mass_removal and not self.is_frozen


@dataclass(frozen=True, slots=True)
class Verdict:
    """The pool to publish (None: publish nothing), and the hold that keeps vanished backends in it, with its reason."""

    pool: tuple[Backend, ...] | None
    hold: Hold | None = None
    # A look from then on believes that some of the vanished are gone.
    look_again_at: UnixSeconds | None = None


def judge(look: Look, thresholds: Thresholds) -> Verdict:
    """The pool after this look.

    Who is held stays until it is back, was missing for the whole hold time, or an operator lets it go: who joins
    meanwhile, and which others come back, changes nothing for it.
    """
    reason = _reason(look, thresholds)
    if not reason:
        return Verdict(look.present)
    hold = _hold(look, reason, thresholds)
    ends = _ends(hold, thresholds)
    gone = _gone(look, ends)
    if gone and gone == ends.keys():
        return Verdict(look.present)
    return _keeping(look, hold, ends, gone)


def _reason(look: Look, thresholds: Thresholds) -> str:
    """Why the missing are held; empty if they are not."""
    if look.may_remove_all:
        return ""
    return _suspicion(look, thresholds) or _ongoing(look)


def _suspicion(look: Look, thresholds: Thresholds) -> str:
    """Why the loss needs confirmation; empty if it does not."""
    if look.has_previous and not look.lost:
        return ""
    return _too_few(look, thresholds) or _mass_loss(look, thresholds)


def _too_few(look: Look, thresholds: Thresholds) -> str:
    """A pool of nobody, or of fewer than the operator wants, is a mistake more often than a wish."""
    left = len(look.present)
    if left == 0:
        return NONE_LEFT if look.has_previous else NONE_FOUND
    if left < thresholds.min_backends:
        return f"{left} backends would be left (minimum {thresholds.min_backends})"
    return ""


def _mass_loss(look: Look, thresholds: Thresholds) -> str:
    """Losing one is always allowed: a pool of two must be able to lose one."""
    before, lost = len(look.accepted), len(look.lost)
    if lost > 1 and lost * MAX_PERCENT > thresholds.max_loss_percent * before:
        return f"{lost} of {before} backends would vanish (limit {thresholds.max_loss_percent} %)"
    return ""


def _ongoing(look: Look) -> str:
    """Why those stay held whose loss would not be suspicious by itself; empty if nobody is held."""
    if not look.ongoing_hold or not look.has_previous:
        return ""
    return f"{len(look.lost)} of {len(look.accepted)} backends are missing, not for the whole hold time yet"


def _hold(look: Look, reason: str, thresholds: Thresholds) -> Hold:
    """Those of before and those of now, each with the time when it was missed first."""
    before = look.ongoing_hold or Hold(reason, look.now)
    missing = {key: before.missing.get(key, look.now) for key in look.lost}
    return Hold(
        reason=reason,
        since=before.since,
        missing=MappingProxyType(missing),
        time_counts_since=_time_counts_since(look, before, thresholds),
    )


def _time_counts_since(
    look: Look, hold: Hold, thresholds: Thresholds
) -> UnixSeconds | None:
    """Since when time may let somebody go; None while too few would be left."""
    if not _time_may_decide(look, thresholds):
        return None
    if hold.time_counts_since is None:
        return look.now
    return hold.time_counts_since


def _time_may_decide(look: Look, thresholds: Thresholds) -> bool:
    """Whether a loss that lasts is believed in the end."""
    if len(look.present) >= max(1, thresholds.min_backends):
        return True
    # Where nothing was there before and nothing is found, nothing was lost: a mistyped tag looks like this, and lasts.
    is_loss = bool(look.lost or look.present)
    return thresholds.publishes_empty and is_loss


def _ends(hold: Hold, thresholds: Thresholds) -> Mapping[str, UnixSeconds]:
    """When time lets each of the vanished go; nobody goes for as long as too few would be left."""
    if hold.time_counts_since is None:
        return {}
    times = hold.missing or {UNKNOWN: hold.since}
    return {
        key: max(time, hold.time_counts_since) + thresholds.hold_seconds
        for key, time in times.items()
    }


def _gone(look: Look, ends: Mapping[str, UnixSeconds]) -> frozenset[str]:
    """Those whom time lets go; one look alone never takes many out."""
    if look.ongoing_hold is None or look.is_frozen:
        return frozenset()
    return frozenset(key for key, end in ends.items() if end <= look.now)


def _keeping(
    look: Look, hold: Hold, ends: Mapping[str, UnixSeconds], gone: frozenset[str]
) -> Verdict:
    """The verdict that keeps all the missing but those whom time let go."""
    later = [end for key, end in ends.items() if key not in gone]
    missing = {key: since for key, since in hold.missing.items() if key not in gone}
    kept = replace(
        hold, missing=MappingProxyType(missing), ends_at=max(later, default=None)
    )
    vanished = tuple(look.accepted[key] for key in missing)
    return Verdict(
        pool=_keep(look.present, vanished, look.occupied)
        if look.has_previous
        else None,
        hold=kept,
        look_again_at=None if look.is_frozen else min(later, default=None),
    )


def _keep(
    present: tuple[Backend, ...],
    vanished: tuple[Backend, ...],
    occupied: frozenset[str] = frozenset(),
) -> tuple[Backend, ...]:
    """The present backends and the vanished ones, unless their address has a new owner."""
    taken = occupied.union(backend.address for backend in present)
    return unique_names(
        [*present, *(backend for backend in vanished if backend.address not in taken)]
    )
