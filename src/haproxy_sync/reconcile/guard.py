"""Judges whether a look may take backends out of the config. Removal is dangerous; additions always go through.

The promise: a backend of the config that looks no longer show stays in it until one of these is so.

1. *Its loss is small*, at the first look that misses it: of the backends that were there for the hold time, no more
   than `max_loss_percent` vanished unannounced meanwhile and are not back, or it is the only one. Who has left the
   config already counts, and who joined meanwhile makes no loss smaller.
2. *Time confirms it*: it is held, and no look has shown it for the hold time.
3. *It was announced* (`is_announced`), or its Auto Scaling group let it go: it is no loss, and counts for none.
4. *An operator* lets it go.
5. *Its address* has another owner: requests would go to a stranger.

1 and 3 only while the look shows a backend, and `min_backends` of them; the time of 2 counts only as long as that is
so, unless `publishes_empty`. Nobody leaves during a freeze. Who was held once waits for 2 to 5, or comes back.
"""

from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property
from types import MappingProxyType

from haproxy_sync.fleet.model import Backend, by_id, ids, unique_names
from haproxy_sync.settings import MAX_PERCENT, Settings
from haproxy_sync.state.model import NO_TURNOVER, Hold, Turnover, UnixSeconds

NONE_LEFT = "no backend is left"
NONE_FOUND = "no backend found, and none is known from before"


class Ending(StrEnum):
    """Why somebody is held no more, in words for people."""

    BACK = "back"
    TIME = "missing for HoldMinutes"
    ADDRESS = "the address has another owner"
    OPERATOR = "allow_mass_removal"
    ANNOUNCED = "drained before it vanished"
    FOUND = "enough backends are found"


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


def is_announced(backend: Backend) -> bool:
    """Whether it says now that it will go."""
    return backend.drain


@dataclass(frozen=True)
class Look:
    """What one look found, beside the pool that was accepted before it.

    A backend is *lost* if it was accepted and is not in this look, *missing* while the hold keeps it in the config, and
    *gone* once it leaves.

    `previous` None means that nothing was accepted yet, or that the state was lost. While `is_frozen` nobody is let go.
    `taken_over` are instances whose address EC2 shows on another one.
    """

    previous: tuple[Backend, ...] | None
    present: tuple[Backend, ...]
    hold: Hold | None
    now: UnixSeconds
    turnover: Turnover = field(default=NO_TURNOVER, kw_only=True)
    allow_mass_removal: bool = field(default=False, kw_only=True)
    is_frozen: bool = field(default=False, kw_only=True)
    taken_over: frozenset[str] = field(default=frozenset(), kw_only=True)
    # Who is not shown, because its Auto Scaling group let it go.
    let_go: frozenset[str] = field(default=frozenset(), kw_only=True)

    @cached_property
    def accepted(self) -> Mapping[str, Backend]:
        """The pool of before, by instance id."""
        return by_id(self.previous or ())

    @cached_property
    def shown(self) -> frozenset[str]:
        """Who is there now."""
        return ids(self.present)

    @cached_property
    def lost(self) -> frozenset[str]:
        """Who was there before and is not there now."""
        return frozenset(self.accepted.keys() - self.shown)

    @cached_property
    def unannounced(self) -> frozenset[str]:
        """Whose loss counts: nobody has said before, or says now, that they would go."""
        if self.may_remove_all:
            return frozenset()
        return self.lost - self.announced

    @cached_property
    def announced(self) -> frozenset[str]:
        """Who said so in the last look that had it (the config may not tell, as in a freeze), and whose group does."""
        if self.turnover.announced is None:
            said = filter(is_announced, self.accepted.values())
            return ids(said) | self.let_go
        return self.let_go.union(self.turnover.announced)

    @cached_property
    def displaced(self) -> frozenset[str]:
        """The lost whose address is another one's, in this look or in EC2."""
        owned = frozenset(backend.address for backend in self.present)
        heirless = (key for key in self.lost if self.accepted[key].address not in owned)
        return self.lost.difference(heirless) | self.taken_over

    @property
    def may_remove_all(self) -> bool:
        """Whether an operator lets everybody go who is missing."""
        return self.allow_mass_removal and not self.is_frozen

    def missing_since(self, key: str) -> UnixSeconds:
        """When the first of the looks was that have not shown it since."""
        since = self.turnover.departed.get(key, self.now)
        return self.held_before.get(key, since)

    @property
    def held_before(self) -> Mapping[str, UnixSeconds]:
        """Who was held until this look, missing since when."""
        return self.hold.missing if self.hold else {}


@dataclass(frozen=True, slots=True)
class Verdict:
    """The pool to publish (None: publish nothing), and the hold that keeps vanished backends in it, with its reason."""

    pool: tuple[Backend, ...] | None
    hold: Hold | None = None
    # A look from then on believes that some of the vanished are gone.
    look_again_at: UnixSeconds | None = None
    turnover: Turnover = NO_TURNOVER
    # Who was held before this look and is no more, by the reason.
    ended: Mapping[Ending, tuple[str, ...]] = field(
        default_factory=lambda: MappingProxyType({}), hash=False
    )


def judge(look: Look, thresholds: Thresholds) -> Verdict:
    """The pool after this look, as the promise above says."""
    if look.previous is None:
        return _judged_first(look, thresholds)
    return _Judgement(look, thresholds, turnover(look, thresholds)).verdict


def turnover(look: Look, thresholds: Thresholds) -> Turnover:
    """Who vanished unannounced or joined within the hold time, this look included."""
    recent = _recent(look, thresholds)
    departed, joined = map(recent, (look.turnover.departed, look.turnover.joined))
    # Who is back has not left.
    away = departed.keys() - look.shown - look.lost
    new = look.shown - look.accepted.keys()
    known = look.shown | look.accepted.keys()
    first_seen = look.turnover.joined
    announcing = filter(is_announced, look.present)
    return Turnover(
        announced=tuple(sorted(ids(announcing) | look.lost & look.announced)),
        departed=MappingProxyType(
            only(departed, away)
            | {key: look.missing_since(key) for key in sorted(look.unannounced)}
        ),
        joined=MappingProxyType(
            only(joined, known)
            | {key: first_seen.get(key, look.now) for key in sorted(new)}
        ),
    )


def only[V](values: Mapping[str, V], keys: AbstractSet[str]) -> dict[str, V]:
    """Those of the values that are of these instances."""
    return {key: values[key] for key in sorted(values.keys() & keys)}


def _recent(
    look: Look, thresholds: Thresholds
) -> Callable[[Mapping[str, UnixSeconds]], dict[str, UnixSeconds]]:
    """What leaves only those of times that are within the hold time."""
    return lambda times: {
        key: time
        for key, time in times.items()
        if time + thresholds.hold_seconds > look.now
    }


def _judged_first(look: Look, thresholds: Thresholds) -> Verdict:
    """Where nothing was accepted before, nobody can be missing; but a pool of nobody may be a mistyped tag."""
    reason = _too_few(look, thresholds)
    if not reason:
        return _first_pool(look, Ending.FOUND)
    if look.may_remove_all:
        return _first_pool(look, Ending.OPERATOR)
    hold = replace(look.hold or Hold(reason, look.now), reason=reason)
    # An empty look lasts as long as the mistake, so only one that finds some is believed.
    if not (thresholds.publishes_empty and look.present):
        return Verdict(None, replace(hold, time_counts_since=None, ends_at=None))
    since = _time_counts_since(look, hold)
    end = since + thresholds.hold_seconds
    return _timed_first(look, replace(hold, time_counts_since=since, ends_at=end), end)


def _timed_first(look: Look, hold: Hold, end: UnixSeconds) -> Verdict:
    """Of a pool that is too small, and that time confirms at the end."""
    if look.is_frozen:
        return Verdict(None, hold)
    if look.hold and end <= look.now:
        return _first_pool(look, Ending.TIME)
    return Verdict(None, hold, look_again_at=end)


def _first_pool(look: Look, ending: Ending) -> Verdict:
    """What the look shows is accepted; if nothing was before, `ending` says why it is now."""
    ended = {ending: ()} if look.hold else {}
    return Verdict(look.present, ended=MappingProxyType(ended))


def _too_few(look: Look, thresholds: Thresholds) -> str:
    """A pool of nobody, or of fewer than the operator wants, is a mistake more often than a wish."""
    left = len(look.present)
    if left == 0:
        return NONE_FOUND if look.previous is None else NONE_LEFT
    if left < thresholds.min_backends:
        return f"{left} backends would be left (minimum {thresholds.min_backends})"
    return ""


def _time_counts_since(look: Look, hold: Hold) -> UnixSeconds:
    """Since when enough are there, or need not be, for time to let somebody go."""
    if hold.time_counts_since is None:
        return look.now
    return hold.time_counts_since


@dataclass(frozen=True)
class _Judgement:
    """One look at a known pool, on the way to its verdict."""

    look: Look
    thresholds: Thresholds
    turnover: Turnover

    @property
    def verdict(self) -> Verdict:
        """The pool, who is held in it, and why others are held no more."""
        kept = only(self.missing, self.missing.keys() - self.gone)
        later = only(self.ends, kept.keys())
        pool = [*self.look.present, *(self.look.accepted[key] for key in kept)]
        soonest = min(later.values(), default=None)
        return Verdict(
            pool=unique_names(pool),
            hold=self._hold(kept, later) if kept else None,
            look_again_at=None if self.look.is_frozen else soonest,
            turnover=self.turnover,
            ended=self._ended(kept),
        )

    @cached_property
    def shortage(self) -> str:
        """Why nobody may go because of who is left; empty where nobody went, or enough are left."""
        return _too_few(self.look, self.thresholds) if self.look.lost else ""

    @cached_property
    def doubtful(self) -> frozenset[str]:
        """Who may have to be held. What was announced is in doubt only where too few would be left."""
        return self.look.lost if self.shortage else self.look.unannounced

    @cached_property
    def ongoing(self) -> Hold | None:
        """The hold that goes on; where all are back, whoever is missing now is another loss."""
        hold = self.look.hold
        if hold and not self.doubtful.isdisjoint(hold.missing):
            return hold
        return None

    @cached_property
    def reason(self) -> str:
        """Why the doubtful are held; empty if they are not."""
        if self.look.may_remove_all:
            return ""
        return self.shortage or self.mass_loss or self.lasting_doubt

    @property
    def mass_loss(self) -> str:
        """Losing one is always allowed: a pool of two must be able to lose one."""
        vanished = self.turnover.departed.keys()
        stayed = (
            self.look.accepted.keys() & self.look.shown - self.turnover.joined.keys()
        )
        lost, before = len(vanished), len(vanished | stayed)
        limit = self.thresholds.max_loss_percent
        is_much = lost > 1 and lost * MAX_PERCENT > limit * before
        if self.look.unannounced and is_much:
            return f"{lost} of {before} backends vanished within HoldMinutes (limit {limit} %)"
        return ""

    @property
    def lasting_doubt(self) -> str:
        """Why those stay held whose loss would not be suspicious by itself; empty if nobody is held."""
        if not self.ongoing:
            return ""
        missing, before = len(self.doubtful), len(self.look.accepted)
        return f"{missing} of {before} backends are missing, not for the whole hold time yet"

    @cached_property
    def missing(self) -> Mapping[str, UnixSeconds]:
        """Those in doubt, if there is a reason, each with the time when it was missed first."""
        doubtful = self.doubtful if self.reason else ()
        return {key: self.look.missing_since(key) for key in sorted(doubtful)}

    @cached_property
    def time_counts_since(self) -> UnixSeconds | None:
        """Since when time may let somebody go; None while too few would be left."""
        if self.shortage and not self.thresholds.publishes_empty:
            return None
        return _time_counts_since(self.look, self.base)

    @property
    def base(self) -> Hold:
        """The hold that goes on, or begins."""
        return self.ongoing or Hold(self.reason, self.look.now)

    @cached_property
    def ends(self) -> Mapping[str, UnixSeconds]:
        """When time lets each of the missing go; nobody goes for as long as too few would be left."""
        begin = self.time_counts_since
        if begin is None:
            return {}
        return {
            key: max(since, begin) + self.thresholds.hold_seconds
            for key, since in self.missing.items()
        }

    @cached_property
    def confirmed(self) -> frozenset[str]:
        """Those whom time lets go; one look alone never takes many out."""
        ends = self.ends if self.ongoing else {}
        return frozenset(key for key, end in ends.items() if end <= self.look.now)

    @cached_property
    def gone(self) -> AbstractSet[str]:
        """Those of the missing who leave the config with this look."""
        if self.look.is_frozen:
            return frozenset()
        return self.missing.keys() & (self.confirmed | self.look.displaced)

    def _hold(
        self, kept: Mapping[str, UnixSeconds], ends: Mapping[str, UnixSeconds]
    ) -> Hold:
        return replace(
            self.base,
            reason=self.reason,
            missing=MappingProxyType(dict(kept)),
            time_counts_since=self.time_counts_since,
            ends_at=max(ends.values(), default=None),
            let_go_at=MappingProxyType(dict(ends)),
        )

    def _ended(self, kept: Iterable[str]) -> Mapping[Ending, tuple[str, ...]]:
        """Those who were held and are not kept, by the first reason that applies."""
        left = set(self.look.held_before).difference(kept)
        allowed = self.look.lost if self.look.may_remove_all else frozenset[str]()
        ended: dict[Ending, tuple[str, ...]] = {}
        for ending, whose in (
            (Ending.BACK, self.look.shown),
            (Ending.OPERATOR, allowed),
            (Ending.ADDRESS, self.gone & self.look.displaced),
            (Ending.TIME, self.gone),
            (Ending.ANNOUNCED, self.look.lost),
        ):
            if named := left & whose:
                ended[ending] = tuple(sorted(named))
                left -= named
        return MappingProxyType(ended)
