"""What an answer of `status` is made from: the state, what was known of it, the settings and now. Questions only."""

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from operator import attrgetter
from types import MappingProxyType

from haproxy_sync.rollout import agents, inspections, next_commands, word
from haproxy_sync.rollout.next_commands import Due
from haproxy_sync.rollout.progress import Progress, ProxyProgress
from haproxy_sync.rollout.watching import Watch, open_actions
from haproxy_sync.settings import Settings
from haproxy_sync.state.model import (
    APPLIED,
    NEVER_TOLD,
    ActionProgress,
    EnvironmentState,
    Failure,
    HAProxy,
    Outcome,
    ProxyState,
    Purpose,
    Serving,
    UnixSeconds,
)
from haproxy_sync.state.store import Snapshot

# Of commands to come that are worked out: thousands of proxies share a few.
MAX_TIMES = 24
NOT_LOOKED_SECONDS = 300  # without a look, and three sweeps where they are rare
SWEEPS = 3


@dataclass(frozen=True, slots=True)
class Upcoming:
    """The next command to a proxy, if nothing happens before; empty where nobody knows."""

    purpose: str = ""
    at: UnixSeconds | None = None


@dataclass(frozen=True)
class Situation:
    """An environment as it is known now. `failure`: the state cannot be read, so that nothing is known."""

    state: EnvironmentState
    settings: Settings
    now: UnixSeconds
    corruption: str = ""
    newer: str = ""
    failure: Failure | None = None

    @classmethod
    def of(
        cls,
        snapshot: Snapshot,
        settings: Settings,
        now: UnixSeconds,
        failure: Failure | None = None,
    ) -> "Situation":
        """Of the state as it was read. A freeze that is over may still be stored: the next write takes it out."""
        state = replace(snapshot.state, freeze=snapshot.state.freeze_at(now))
        unread = (snapshot.corruption, snapshot.newer, failure)
        return cls(state, settings, now, *unread)

    @property
    def is_known(self) -> bool:
        """Whether there is a state to judge."""
        return (self.failure, self.corruption, self.newer) == (None, "", "")

    @cached_property
    def progress(self) -> Progress:
        """How far the rollout is."""
        return Progress(self.state)

    @cached_property
    def proxies(self) -> tuple[ProxyProgress, ...]:
        """Those of the last look."""
        return tuple(self.progress.proxies)

    @cached_property
    def _names(self) -> Mapping[str, str]:
        hosts = (*self.state.pool, *self.state.proxies)
        return {host.instance_id: host.name for host in hosts}

    @cached_property
    def watch(self) -> Watch:
        """The proxies, measured against servers that come and go."""
        return Watch(self.state, self.settings, self.now)

    @property
    def open_actions(self) -> tuple[ActionProgress, ...]:
        """Our lifecycle actions that wait, the oldest first."""
        return open_actions(self.state, self.now)

    def name(self, instance_id: str) -> str:
        """What people call it; its id where nothing else is known."""
        return self._names.get(instance_id, instance_id)

    @property
    def next_look_at(self) -> UnixSeconds | None:
        """When the next sweep is expected; None where nobody has looked yet."""
        if not self.state.looked_at:
            return None
        return self.state.looked_at + self.settings.sweep_seconds

    @property
    def is_looked_after(self) -> bool:
        """Whether somebody has looked lately."""
        patience = max(NOT_LOOKED_SECONDS, SWEEPS * self.settings.sweep_seconds)
        return self.now <= self.state.looked_at + patience

    def is_old(self, instance_id: str) -> bool:
        """Whether the proxy's word says nothing about now."""
        observed = self.state.proxy_state(instance_id)
        return word.is_too_old(observed, self.settings, self.now)

    @cached_property
    def serving(self) -> Mapping[str, Serving]:
        """What the hosts say of their backends, as long as their word counts and HAProxy runs."""
        current = itertools.filterfalse(self.is_old, self.state.proxy_ids)
        told = {key: last_word(self.state.proxy_state(key)) for key in current}
        return {
            key: each for key, each in told.items() if each.haproxy is HAProxy.RUNNING
        }

    def is_reachable(self, instance_id: str) -> bool:
        """Whether a command reaches it, as far as anybody knows."""
        agent = self.state.agents.get(instance_id)
        is_online = agent is None or agents.is_online(agent)
        return is_online and not self._is_missing(instance_id)

    def _is_missing(self, instance_id: str) -> bool:
        """Whether a command did not get there, and nothing newer says that one would."""
        observed = self.state.proxy_state(instance_id)
        is_by_agent = (
            observed.reason in agents.AWAY and instance_id in self.state.agents
        )
        has_spoken = word.heard_at(observed) > observed.at
        is_mended = is_by_agent or has_spoken
        return observed.outcome is Outcome.MISSING and not is_mended

    def is_edited(self, proxy: ProxyProgress) -> bool:
        """Whether an inspection found another config there, or at work, than the proxy was settled with."""
        observed = proxy.state
        found = observed.inspection or inspections.NOTHING_FOUND
        is_newer = min(observed.inspect_sent_at, found.at) > observed.at
        # The file may be back in its place while HAProxy runs what was edited; empty: the host cannot tell.
        seen = {found.installed, found.running or found.installed}
        is_other = seen != {proxy.desired_md5}
        return all((proxy.is_settled, is_newer, found.has_answered, is_other))

    @property
    def held(self) -> Mapping[str, UnixSeconds]:
        """The backends that vanished and are kept, since when each is missing."""
        return self.state.hold.missing if self.state.hold else {}

    @property
    def is_pool_empty(self) -> bool:
        """Whether nobody is in the pool but who has vanished."""
        pool = {backend.instance_id for backend in self.state.pool}
        return self.state.backends is not None and pool <= self.held.keys()

    @cached_property
    def stoppers(self) -> frozenset[str]:
        """Those that failed and keep what is published from all others: by themselves, or with more than MaxErrors."""
        return frozenset(self.progress.stoppers(self.settings))

    @cached_property
    def upcoming(self) -> Mapping[str, Upcoming]:
        """The next command to each proxy that gets one by time, as the code that sends them decides it.

        The state is taken as it is: who waits for what a host will say is not here.
        """
        wanted = next_commands.due(self.state, self.settings, self.now)
        reachable = frozenset(
            filter(self.is_reachable, map(attrgetter("instance_id"), wanted))
        )
        times = sorted(set(map(self._soon, wanted)))[:MAX_TIMES]
        found: dict[str, Upcoming] = {}
        for at in times:
            left = tuple(each for each in wanted if each.instance_id not in found)
            found |= self._claimed_at(at, left, reachable)
            # Comparisons come chunk by chunk, each as soon as the one before is over.
            chunk = {each.instance_id for each in left if self._soon(each) <= at}
            if Upcoming(Purpose.VERIFY, at) in found.values():
                rest = (chunk & reachable) - found.keys()
                found |= dict.fromkeys(rest, Upcoming(Purpose.VERIFY, at))
        return MappingProxyType(found)

    def _claimed_at(
        self, at: UnixSeconds, wanted: tuple[Due, ...], reachable: frozenset[str]
    ) -> dict[str, Upcoming]:
        """Those that get a command at that time, of those that want one."""
        chosen = next_commands.next_commands(
            self.state, wanted, reachable, self.settings, at
        )
        return {
            target: Upcoming(claim.purpose, at)
            for claim in chosen.claims
            for target in claim.targets
        }

    def _soon(self, each: Due) -> UnixSeconds:
        """What is due by now comes with the next look; nothing comes while the document refuses."""
        refused_until = self.state.refusal.until if self.state.refusal else 0.0
        wanted = max(each.at, refused_until)
        if each.is_drift_check:
            return self._sweep_after(wanted)
        awaited = (self.state.wake_at, self.next_look_at or self.now)
        coming = [time for time in awaited if time >= self.now]
        return wanted if wanted > self.now else min(coming, default=self.now)

    def _sweep_after(self, at: UnixSeconds) -> UnixSeconds:
        """The first sweep from then on: only sweeps see that somebody has to compare."""
        sweep, first = self.settings.sweep_seconds, self.next_look_at or self.now
        begin = max(first, self.now)
        sweeps = -(-max(0.0, at - begin) // sweep)
        return begin + sweeps * sweep

    def earliest(self, instance_ids: Iterable[str]) -> Upcoming | None:
        """The first command to any of them."""
        coming = filter(None, map(self.upcoming.get, instance_ids))
        return min(coming, key=attrgetter("at"), default=None)


def haproxy(observed: ProxyState) -> HAProxy:
    """How HAProxy is there, as the host said last."""
    return last_word(observed).haproxy or _of_earlier_release(observed)


def last_word(observed: ProxyState) -> Serving:
    """What the host said of HAProxy, unless its last word, of an earlier release, says nothing of it."""
    told = observed.serving
    return told if told.at >= word.heard_at(observed) else NEVER_TOLD


def _of_earlier_release(observed: ProxyState) -> HAProxy:
    """As a host says it that has no word of its own for it."""
    asked = observed.inspection
    if asked and asked.has_answered and asked.at >= observed.at:
        return HAProxy.read(asked.reason)
    return HAProxy.read(BY_OUTCOME.get(observed.outcome, observed.reason))


BY_OUTCOME: Mapping[Outcome | None, str] = {
    Outcome.NOT_RUNNING: HAProxy.STOPPED,
    **dict.fromkeys(APPLIED - {Outcome.NOT_RUNNING}, HAProxy.RUNNING),
}
"""What a command that was done says of it."""
