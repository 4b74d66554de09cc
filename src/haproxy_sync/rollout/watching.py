"""Servers that hosts are asked about by their endpoint: have they drained, are they up? And what that says together."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain, islice

from haproxy_sync.fleet.model import Backend, LifecycleAction, by_id, endpoint
from haproxy_sync.rollout.agents import is_online
from haproxy_sync.rollout.limits import backoff
from haproxy_sync.rollout.progress import Progress, ProxyProgress
from haproxy_sync.settings import Settings
from haproxy_sync.state.model import (
    ActionProgress,
    EnvironmentState,
    HAProxy,
    Outcome,
    UnixSeconds,
    Watched,
)

MAX_WATCHED = 100  # that the document takes
# A host's words for a server with that endpoint.
UP, OUT, GONE = "up", "out", "gone"
# Between two questions about the same server: a quarter of the time that it has been going on for, within these.
SOON_SECONDS, LATER_SECONDS = 3.0, 15.0
# Where the word of a proxy cannot decide anything yet, it is only asked whether it can be reached.
RARELY_SECONDS = 30.0


class Standing(StrEnum):
    """How far one proxy is with a server that comes or goes."""

    READY = "ready"  # sees it up, or has no connection to it any more
    PROVED = "proved"  # has what is published of it; the rest takes its time
    BEHIND = "behind"
    UNREACHABLE = "unreachable"


def is_open(progress: ActionProgress, now: UnixSeconds) -> bool:
    """Whether it waits for us; one that was ended, and is shown for so long after, may be another one."""
    return not progress.ended_at or now > progress.ended_at + STALE_SECONDS


STALE_SECONDS = 300.0


def endpoints(state: EnvironmentState, now: UnixSeconds) -> tuple[str, ...]:
    """Those that commands ask hosts about: of open actions, the oldest first, then of all who drain."""
    every = (each for each in state.lifecycle_actions if is_open(each, now))
    acted_on = (each.action.endpoint for each in sorted(every, key=_by_age))
    draining = (endpoint(each) for each in state.pool if each.drain)
    return tuple(islice(dict.fromkeys(chain(acted_on, draining)), MAX_WATCHED))


def _by_age(progress: ActionProgress) -> tuple[UnixSeconds, tuple[str, str]]:
    return progress.since, progress.key


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
        told = proxy.state.serving
        is_heard = told.at >= progress.since
        if is_heard and told.haproxy is HAProxy.STOPPED:
            return Standing.READY  # it serves nobody
        if is_heard and proxy.is_settled and self.is_published(progress.action):
            return self._by_word(progress.action, told.watched)
        return self._otherwise(progress, proxy, is_heard=is_heard)

    def _otherwise(
        self, progress: ActionProgress, proxy: ProxyProgress, *, is_heard: bool
    ) -> Standing:
        is_late = self.now >= progress.since + self.settings.drain_seconds
        is_elsewhere = proxy.state.serving.haproxy is HAProxy.CONFIG_NOT_USED
        if is_elsewhere or self._is_away(proxy) or (is_late and not is_heard):
            return Standing.UNREACHABLE
        return Standing.BEHIND

    def _is_away(self, proxy: ProxyProgress) -> bool:
        agent = self.state.agents.get(proxy.instance_id)
        is_offline = agent is not None and not is_online(agent)
        return is_offline or proxy.state.outcome is Outcome.MISSING

    def is_published(self, action: LifecycleAction) -> bool:
        """Whether the config has the server, where it comes, or new clients go elsewhere, where it leaves."""
        backend = by_id(self.state.pool).get(action.instance_id)
        if action.joins:
            return backend is not None
        return backend is None or backend.drain or backend.maint

    def _by_word(
        self, action: LifecycleAction, watched: Mapping[str, Watched]
    ) -> Standing:
        word = watched.get(action.endpoint)
        if word is None:
            return Standing.BEHIND  # it was not asked
        if action.joins:
            # Who cannot ask its worker runs the config, which is all that can be known there.
            return Standing.READY if word.state in {UP, ""} else Standing.PROVED
        return self._drained(word)

    def _drained(self, word: Watched) -> Standing:
        is_out = word.state in {OUT, GONE}
        if is_out and word.connections == 0:
            return Standing.READY
        # Where nobody else is left it serves on, and more cannot be had.
        is_alone = all(map(_is_going, self.state.pool))
        return (
            Standing.PROVED if is_out or is_alone or not word.state else Standing.BEHIND
        )

    def due(self) -> frozenset[str]:
        """The proxies to ask now."""
        return frozenset(key for key, at in self._ask_at() if at <= self.now)

    @property
    def ask_at(self) -> UnixSeconds | None:
        """When the next one is to be asked."""
        return min((at for _, at in self._ask_at()), default=None)

    def _ask_at(self) -> Iterator[tuple[str, UnixSeconds]]:
        """Each proxy whose word is awaited, and when it is asked for it; nobody who has a command already."""
        state = self.state
        inspected = chain.from_iterable(each.targets for each in state.inspecting)
        busy = state.proxies_in_flight.union(inspected)
        actions = [each for each in state.lifecycle_actions if is_open(each, self.now)]
        for proxy in Progress(state).proxies:
            if proxy.instance_id not in busy:
                yield from (
                    (proxy.instance_id, at) for at in self._times(proxy, actions)
                )

    def _times(
        self, proxy: ProxyProgress, actions: Iterable[ActionProgress]
    ) -> Iterator[UnixSeconds]:
        asked_at = max(proxy.state.serving.claimed_at, proxy.state.inspect_sent_at)
        attempts = proxy.state.inspect_attempts  # in vain
        rested_at = asked_at + backoff(attempts) if attempts else asked_at
        for each in actions:
            standing = self.standing(each, proxy)
            if standing in {Standing.PROVED, Standing.BEHIND}:
                asked_again_at = asked_at + self._pause(each, proxy)
                yield max(asked_again_at, rested_at, each.since)

    def _pause(self, progress: ActionProgress, proxy: ProxyProgress) -> float:
        if not (proxy.is_settled and self.is_published(progress.action)):
            return RARELY_SECONDS
        lasted = self.now - progress.since
        return min(max(lasted / 4, SOON_SECONDS), LATER_SECONDS)


def _is_going(backend: Backend) -> bool:
    return backend.drain or backend.maint
