"""Servers that hosts are asked about by their endpoint: have they drained, are they up? And what that says together."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from itertools import product
from math import inf
from operator import attrgetter

from haproxy_sync.fleet.model import Backend, LifecycleAction, by_id, endpoint
from haproxy_sync.rollout.agents import UNASKED, is_online
from haproxy_sync.rollout.limits import backoff
from haproxy_sync.rollout.progress import Progress, ProxyProgress
from haproxy_sync.settings import Settings
from haproxy_sync.state.model import (
    ActionProgress,
    EnvironmentState,
    HAProxy,
    Outcome,
    Serving,
    UnixSeconds,
    Watched,
)

MAX_WATCHED = 100  # that the document takes
# A host's words for a server with that endpoint, empty where it could say none; ours where it was not asked.
UP, PART, OUT, GONE, UNKNOWN, NOT_ASKED = "up", "part", "out", "gone", "", "not-asked"
ASKED = frozenset({UP, PART, OUT, GONE, UNKNOWN})
# Between two questions about the same server: a quarter of the time that it has been going on for, within these.
SOON_SECONDS, LATER_SECONDS = 3.0, 15.0
# Where the word of a proxy cannot decide anything yet, it is only asked whether it can be reached.
RARELY_SECONDS = 30.0
# An action that was ended, and is shown for so long after, may be another one.
STALE_SECONDS = 300.0


class Standing(StrEnum):
    """How far one proxy is with a server that comes or goes."""

    READY = "ready"  # sees it up, or has no connection to it any more
    PROVED = "proved"  # has what is published of it; the rest takes its time
    BEHIND = "behind"  # answers, and has not proved that
    UNREACHABLE = "unreachable"  # no command reaches it, or it said nothing in time


AWAITED = frozenset({Standing.PROVED, Standing.BEHIND})


def is_open(now: UnixSeconds, progress: ActionProgress) -> bool:
    """Whether it waits for us."""
    return not progress.ended_at or now > progress.ended_at + STALE_SECONDS


def open_actions(
    state: EnvironmentState, now: UnixSeconds
) -> tuple[ActionProgress, ...]:
    """Those that wait for us, the oldest first."""
    such = filter(partial(is_open, now), state.lifecycle_actions)
    return tuple(sorted(such, key=attrgetter("since", "key")))


def endpoints(state: EnvironmentState, now: UnixSeconds) -> tuple[str, ...]:
    """Those that commands ask hosts about: of open actions, the oldest first, then of all who drain."""
    acted_on = [each.action.endpoint for each in open_actions(state, now)]
    draining = map(endpoint, filter(attrgetter("drain"), state.pool))
    return tuple(dict.fromkeys([*acted_on, *draining]))[:MAX_WATCHED]


@dataclass(frozen=True, slots=True)
class Watch:
    """The proxies of a state, measured against servers that come and go."""

    state: EnvironmentState
    settings: Settings
    now: UnixSeconds

    def standings(self, progress: ActionProgress) -> tuple[Standing, ...]:
        """Of every proxy."""
        proxies = Progress(self.state).proxies
        return tuple(self.standing(progress, proxy) for proxy in proxies)

    def standing(self, progress: ActionProgress, proxy: ProxyProgress) -> Standing:
        """Of one proxy, by what it said since the action was seen."""
        return _Case(self, progress, proxy).standing

    def is_published(self, action: LifecycleAction) -> bool:
        """Whether the config has the server, where it comes, or new clients go elsewhere, where it leaves."""
        backend = by_id(self.state.pool).get(action.instance_id)
        if action.joins:
            return backend is not None
        return backend is None or _gives_way(backend)

    @property
    def all_drain(self) -> bool:
        """Whether the pool has nobody to whom new clients could go instead."""
        return all(map(_gives_way, self.state.pool))

    def due(self) -> frozenset[str]:
        """The proxies to ask now."""
        return frozenset(
            each.proxy.instance_id
            for each in self._awaited()
            if each.ask_at <= self.now
        )

    @property
    def ask_at(self) -> UnixSeconds:
        """When the next one is to be asked; never: infinity."""
        return min(map(attrgetter("ask_at"), self._awaited()), default=inf)

    def _awaited(self) -> "list[_Case]":
        """The proxies whose word is awaited; nobody who has a command already."""
        state = self.state
        inspected = (each.targets for each in state.inspecting)
        busy = state.proxies_in_flight.union(*inspected)
        free = [
            each for each in Progress(state).proxies if each.instance_id not in busy
        ]
        pairs = product(open_actions(state, self.now), free)
        cases = (_Case(self, action, proxy) for action, proxy in pairs)
        return [case for case in cases if case.standing in AWAITED]


def _gives_way(backend: Backend) -> bool:
    """Whether new clients go to others, while there are any."""
    return backend.drain or backend.maint


@dataclass(frozen=True, slots=True)
class _Case:
    """One proxy, measured against one server."""

    watch: Watch
    progress: ActionProgress
    proxy: ProxyProgress

    @property
    def standing(self) -> Standing:
        """By the first rule that applies."""
        return next(standing for applies, standing in RULES if applies(self))

    @property
    def told(self) -> Serving:
        """What the proxy said last."""
        return self.proxy.state.serving

    @property
    def is_heard(self) -> bool:
        """Whether it said that since the action was seen."""
        return self.told.at >= self.progress.since

    @property
    def has_config(self) -> bool:
        """Whether it runs what is published of the server."""
        is_published = self.watch.is_published(self.progress.action)
        return all((self.proxy.is_settled, is_published))

    @property
    def word(self) -> Watched:
        """What it said of the server since then, by the config that is published."""
        counts = all((self.is_heard, self.has_config))
        said = self.told.watched if counts else {}
        return said.get(self.progress.action.endpoint, Watched(NOT_ASKED))

    def is_stopped(self) -> bool:
        """Whether HAProxy is stopped there: it serves nobody."""
        return all((self.is_heard, self.told.haproxy is HAProxy.STOPPED))

    def has_arrived(self) -> bool:
        """Whether the server is up there; who cannot ask its worker runs the config, which is all there is to know."""
        return all((self.progress.action.joins, self.word.state in {UP, UNKNOWN}))

    def has_left(self) -> bool:
        """Whether nothing goes to the server any more, from any process."""
        word = self.word
        is_out = word.state in {OUT, GONE}
        return all((not self.progress.action.joins, is_out, word.connections == 0))

    def is_proved(self) -> bool:
        """Whether it does with the server what is published; where nobody else is left it serves on."""
        is_enough = any((self.progress.action.joins, self.watch.all_drain))
        return self.word.state in (ASKED if is_enough else {OUT, GONE, UNKNOWN})

    def is_unreachable(self) -> bool:
        """Whether no command reaches it, or HAProxy runs other files there; after `DrainSeconds` who said nothing."""
        since, seconds = self.progress.since, self.watch.settings.drain_seconds
        is_late = self.watch.now >= since + seconds
        is_elsewhere = self.told.haproxy is HAProxy.CONFIG_NOT_USED
        return any((is_elsewhere, self._is_away, all((is_late, not self.is_heard))))

    @property
    def _is_away(self) -> bool:
        agent = self.watch.state.agents.get(self.proxy.instance_id, UNASKED)
        is_missing = self.proxy.state.outcome is Outcome.MISSING
        return any((not is_online(agent), is_missing))

    def is_behind(self) -> bool:
        """Whatever else it may be."""
        return True

    @property
    def ask_at(self) -> UnixSeconds:
        """When it is asked for its word again."""
        observed = self.proxy.state
        asked_at = max(self.told.claimed_at, observed.inspect_sent_at)
        attempts = observed.inspect_attempts  # in vain
        pause = backoff(attempts) if attempts else self._pause
        return max(asked_at + pause, self.progress.since)

    @property
    def _pause(self) -> float:
        lasted = self.watch.now - self.progress.since
        soon = min(max(lasted / 4, SOON_SECONDS), LATER_SECONDS)
        return soon if self.has_config else RARELY_SECONDS


RULES: tuple[tuple[Callable[[_Case], bool], Standing], ...] = (
    (_Case.is_stopped, Standing.READY),
    (_Case.has_arrived, Standing.READY),
    (_Case.has_left, Standing.READY),
    (_Case.is_proved, Standing.PROVED),
    (_Case.is_unreachable, Standing.UNREACHABLE),
    (_Case.is_behind, Standing.BEHIND),
)
