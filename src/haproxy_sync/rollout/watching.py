"""Servers that hosts are asked about by their endpoint: have they drained, are they up? And what that says together."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property, partial
from itertools import chain, islice
from math import floor, inf
from operator import attrgetter

from haproxy_sync.fleet.model import Backend, LifecycleAction, by_id, endpoint
from haproxy_sync.rollout.agents import UNASKED, is_online
from haproxy_sync.rollout.limits import backoff
from haproxy_sync.rollout.progress import Progress, ProxyProgress
from haproxy_sync.settings import Settings
from haproxy_sync.state.model import (
    APPLIED,
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
# By whether any will do.
WORDS_OF_PROOF = {True: ASKED, False: frozenset({OUT, GONE, UNKNOWN})}
# Words that the state has of all proxies together, and servers that each is asked about all the same.
MAX_WORDS, LEAST_WATCHED = 20_000, 10
# Between two questions about the same server, for the first minute and later.
SOON_SECONDS, SOON_FOR_SECONDS, LATER_SECONDS = 3.0, 60.0, 15.0
# However little time sessions are given.
LEAST_PATIENCE_SECONDS = 30.0
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
    """Those that wait for us, the oldest first; in the first freeze none that leaves: others' configs are at work."""
    joining = filter(attrgetter("action.joins"), state.lifecycle_actions)
    actions = joining if state.first_freeze else state.lifecycle_actions
    return tuple(sorted(filter(partial(is_open, now), actions), key=_BY_AGE))


_BY_AGE = attrgetter("since", "key")


def endpoints(state: EnvironmentState, now: UnixSeconds) -> tuple[str, ...]:
    """Those that commands ask hosts about: of open actions, the oldest first, then of all who drain.

    The more proxies there are, the fewer: the state has a word of each about each.
    """
    acted_on = [each.action.endpoint for each in open_actions(state, now)]
    draining = map(endpoint, filter(attrgetter("drain"), state.pool))
    every = filter(None, dict.fromkeys([*acted_on, *draining]))
    most = MAX_WORDS // max(len(state.proxies), 1)
    return tuple(islice(every, max(LEAST_WATCHED, min(most, MAX_WATCHED))))


@dataclass(frozen=True)
class Watch:
    """The proxies of a state, measured against servers that come and go."""

    state: EnvironmentState
    settings: Settings
    now: UnixSeconds

    @cached_property
    def proxies(self) -> tuple[ProxyProgress, ...]:
        """All of them."""
        return tuple(Progress(self.state).proxies)

    @cached_property
    def settled(self) -> frozenset[str]:
        """Those that have what is published."""
        return frozenset(each.instance_id for each in self.proxies if each.is_settled)

    @cached_property
    def backends(self) -> Mapping[str, Backend]:
        """The pool, by instance."""
        return by_id(self.state.pool)

    @cached_property
    def staying(self) -> frozenset[str]:
        """Those of the pool to whom new clients go."""
        return frozenset(
            each.instance_id
            for each in self.state.pool
            if not any((each.drain, each.maint))
        )

    @property
    def all_drain(self) -> bool:
        """Whether the pool has nobody to whom new clients could go instead."""
        return not self.staying

    @property
    def patience(self) -> float:
        """Seconds for a proxy to prove a drain, or to be heard at all: sessions may be given less."""
        return max(self.settings.drain_seconds, LEAST_PATIENCE_SECONDS)

    @cached_property
    def may_ask(self) -> bool:
        """Whether commands are taken: else that a proxy says nothing says nothing of the proxy."""
        state = self.state
        return (state.send_failure, state.refusal, state.agents_failure) == (None,) * 3

    @cached_property
    def _known(self) -> dict[tuple[str, str, bool], "tuple[_Case, ...]"]:
        return {}

    def cases(self, progress: ActionProgress) -> "tuple[_Case, ...]":
        """Every proxy, measured against the server of the action."""
        if progress.key not in self._known:
            is_published = self.is_published(progress.action)
            self._known[progress.key] = tuple(
                _Case(self, progress, proxy, is_published) for proxy in self.proxies
            )
        return self._known[progress.key]

    def standings(self, progress: ActionProgress) -> tuple[Standing, ...]:
        """Of every proxy, by what it said since the action was seen."""
        return tuple(case.standing for case in self.cases(progress))

    def is_fresh(self, progress: ActionProgress) -> bool:
        """Whether no proxy may have got a session since it said that it has none: all spoke after the last busy one."""
        return not any(case.is_stale for case in self.cases(progress))

    def is_published(self, action: LifecycleAction) -> bool:
        """Whether the config has the server, where it comes, or new clients go elsewhere, where it leaves."""
        known = self.backends.keys() if action.joins else self.staying
        return (action.instance_id in known) is action.joins

    def takes_nobody(self, action: LifecycleAction) -> bool:
        """Whether the backend gets no clients by its own tags, so that no proxy will ever call it up."""
        backend = self.backends.get(action.instance_id)
        weight = getattr(backend, "weight", None)
        is_staying = action.instance_id in self.staying
        return all((backend is not None, any((weight == 0, not is_staying))))

    def due(self) -> frozenset[str]:
        """The proxies to ask now."""
        return frozenset(
            each.proxy.instance_id for each in self._to_ask if each.ask_at <= self.now
        )

    @property
    def ask_at(self) -> UnixSeconds:
        """When the next one is to be asked; never: infinity."""
        return min(map(attrgetter("ask_at"), self._to_ask), default=inf)

    @cached_property
    def _to_ask(self) -> "list[_Case]":
        """The proxies whose word is awaited; nobody who has a command already."""
        inspected = (each.targets for each in self.state.inspecting)
        busy = self.state.proxies_in_flight.union(*inspected)
        actions = open_actions(self.state, self.now)
        awaited = chain.from_iterable(map(self._awaited, actions))
        return [case for case in awaited if case.proxy.instance_id not in busy]

    def _awaited(self, progress: ActionProgress) -> "list[_Case]":
        """Those of an action; once all are ready, in a last round those that were so before the last one."""
        cases = self.cases(progress)
        awaited = [case for case in cases if case.standing in AWAITED]
        return awaited or [case for case in cases if case.is_stale]


@dataclass(frozen=True)
class _Case:
    """One proxy, measured against one server."""

    watch: Watch
    progress: ActionProgress
    proxy: ProxyProgress
    is_published: bool

    @cached_property
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

    @cached_property
    def has_config(self) -> bool:
        """Whether it runs a config that has the server as it is published; a drain need not be the newest one."""
        observed, first = self.proxy.state, self.progress.generation
        leaves, is_applied = not self.progress.action.joins, observed.outcome in APPLIED
        has_first = observed.observed_generation >= first > 0
        is_drained = all((leaves, is_applied, has_first))
        is_settled = self.proxy.instance_id in self.watch.settled
        return all((self.is_published, any((is_settled, is_drained))))

    @property
    def is_after_config(self) -> bool:
        """Whether it said that when it had its config: what was asked before may have been answered before."""
        observed = self.proxy.state
        asked_at = self.told.claimed_at
        return any((asked_at >= observed.at, asked_at == observed.sent_at))

    @cached_property
    def word(self) -> Watched:
        """What it said of the server since then, by the config that is published."""
        counts = all((self.is_heard, self.has_config, self.is_after_config))
        said = self.told.watched if counts else {}
        return said.get(self.progress.action.endpoint, Watched(NOT_ASKED))

    @property
    def is_stale(self) -> bool:
        """Whether it may have got a session since it said that it has none, while another proxy still had one."""
        leaves = not self.progress.action.joins
        is_old = self.told.at < self.progress.busy_at
        return all((leaves, is_old, self.standing is Standing.READY))

    def is_stopped(self) -> bool:
        """Whether HAProxy is stopped there: it serves nobody."""
        return all((self.is_heard, self.told.haproxy is HAProxy.STOPPED))

    def has_arrived(self) -> bool:
        """Whether the server is up there; who cannot ask its worker runs the config, which is all there is to know."""
        takes_nobody = self.watch.takes_nobody(self.progress.action)
        is_as_good = all((takes_nobody, self.word.state in ASKED))
        is_in = any((self.word.state in {UP, UNKNOWN}, is_as_good))
        return all((self.progress.action.joins, is_in))

    def has_left(self) -> bool:
        """Whether nothing goes to the server any more, from any process."""
        word, leaves = self.word, not self.progress.action.joins
        return all((leaves, word.state in {OUT, GONE}, word.connections == 0))

    def is_proved(self) -> bool:
        """Whether it does with the server what is published; where nobody else is left it serves on."""
        is_enough = any((self.progress.action.joins, self.watch.all_drain))
        return self.word.state in WORDS_OF_PROOF[is_enough]

    def is_unreachable(self) -> bool:
        """Whether no command reaches it, or HAProxy runs other files there; in the end also who was asked in vain."""
        is_elsewhere = self.told.haproxy is HAProxy.CONFIG_NOT_USED
        return any((is_elsewhere, self._is_away, self._is_mute))

    @property
    def _is_away(self) -> bool:
        agent = self.watch.state.agents.get(self.proxy.instance_id, UNASKED)
        is_missing = self.proxy.state.outcome is Outcome.MISSING
        return any((not is_online(agent), is_missing))

    @property
    def _is_mute(self) -> bool:
        """Whether it was asked since, has said nothing, and had time enough."""
        since, watch = self.progress.since, self.watch
        asked_at = max(self.proxy.state.sent_at, self.proxy.state.inspect_sent_at)
        is_asked = all((asked_at >= since, watch.may_ask))
        is_late = watch.now >= since + watch.patience
        return all((is_late, is_asked, not self.is_heard))

    def is_behind(self) -> bool:
        """Whatever else it may be."""
        return True

    @property
    def ask_at(self) -> UnixSeconds:
        """When it is asked for its word again: on a beat, so that one command asks many."""
        observed = self.proxy.state
        asked_at = max(self.told.claimed_at, observed.inspect_sent_at)
        attempts = observed.inspect_attempts  # in vain
        pause = backoff(attempts) if attempts else self._pause
        next_beat = (floor(asked_at / pause) + 1) * pause
        return max(next_beat, self.progress.since)

    @property
    def _pause(self) -> float:
        is_new = self.watch.now < self.progress.since + SOON_FOR_SECONDS
        beat = SOON_SECONDS if any((is_new, self.is_stale)) else LATER_SECONDS
        return beat if self.has_config else RARELY_SECONDS


RULES: tuple[tuple[Callable[[_Case], bool], Standing], ...] = (
    (_Case.is_stopped, Standing.READY),
    (_Case.has_arrived, Standing.READY),
    (_Case.has_left, Standing.READY),
    (_Case.is_proved, Standing.PROVED),
    (_Case.is_unreachable, Standing.UNREACHABLE),
    (_Case.is_behind, Standing.BEHIND),
)
