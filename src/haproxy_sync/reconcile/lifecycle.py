"""Instances that come and go by Auto Scaling's and EC2's word: who drains, and when a lifecycle action of ours ends.

All of it follows from what the last look found and what proxies said since, so nothing is lost with a process or an
event. Calls are made before the state is put: each is harmless when it is repeated.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from itertools import chain
from math import inf, isinf
from operator import attrgetter
from types import MappingProxyType
from typing import Any

from haproxy_sync.aws import FAILURES
from haproxy_sync.fleet.auto_scaling import PENDING, VALIDATION
from haproxy_sync.fleet.model import Fleet, by_id, ids, without
from haproxy_sync.reconcile.events import Intent
from haproxy_sync.reconcile.guard import Verdict, only
from haproxy_sync.rollout import watching
from haproxy_sync.rollout.watching import Standing, Watch, is_open
from haproxy_sync.settings import Settings
from haproxy_sync.state import failures
from haproxy_sync.state.model import (
    ActionProgress,
    Drain,
    EnvironmentState,
    UnixSeconds,
)

# For so long after DrainSeconds a proxy that answers, and does not prove the drain (a freeze, a stopped rollout), holds
# a termination up.
UNPROVED_SECONDS = 900.0
RETRY_SECONDS = 15.0  # after a call that failed
NOBODY: frozenset[str] = frozenset()
REBALANCE_SECONDS = 3600.0  # for which a recommendation is a note


class Ending(StrEnum):
    """The result of a lifecycle action."""

    CONTINUE = "CONTINUE"
    ABANDON = "ABANDON"


# What a look makes of the fleet and the state.


def with_returning(fleet: Fleet, before: EnvironmentState) -> Fleet:
    """The fleet with who waits for its group and is in the pool already, back from standby: it drains until then."""
    accepted = by_id(before.pool)
    returning = sorted(fleet.waiting & accepted.keys() - ids(fleet.backends))
    back = (replace(accepted[key], drain=True, maint=False) for key in returning)
    return replace(
        fleet,
        backends=tuple(
            sorted([*fleet.backends, *back], key=lambda each: each.instance_id)
        ),
        drains=MappingProxyType({**fleet.drains, **dict.fromkeys(returning, PENDING)}),
    )


def seen(
    state: EnvironmentState, fleet: Fleet, intent: Intent, now: UnixSeconds
) -> EnvironmentState:
    """The state with who drains, and with the actions that Auto Scaling shows."""
    begins = Drain("", now)
    draining = {
        key: replace(state.draining.get(key, begins), why=why)
        for key, why in sorted(fleet.drains.items())
    }
    known = {each.key: each for each in state.lifecycle_actions}
    actions = [ActionProgress(action, now) for action in fleet.actions]
    return replace(
        with_rebalance(state, intent, now),
        draining=MappingProxyType(draining),
        lifecycle_actions=tuple(
            replace(known.get(each.key, each), action=each.action) for each in actions
        ),
    )


def with_rebalance(
    state: EnvironmentState, intent: Intent, now: UnixSeconds
) -> EnvironmentState:
    """The state with the recommendations that events brought, as long as they are of interest."""
    said = (event.instance_ids for event in intent.events if event.rebalance)
    recommended = dict(state.rebalance) | dict.fromkeys(chain.from_iterable(said), now)
    ours = only(recommended, ids(state.pool))
    kept = {key: at for key, at in ours.items() if at + REBALANCE_SECONDS > now}
    return replace(state, rebalance=MappingProxyType(kept))


def out_of_balance(verdict: Verdict, fleet: Fleet) -> Verdict:
    """The verdict whose pool sends nobody to machines that go, as long as somebody else can answer."""
    if verdict.pool is None:
        return verdict
    pool = verdict.pool
    disabled = ids(filter(attrgetter("maint"), pool))
    going = (fleet.leaving | disabled) - ids(fleet.backends)
    has_others = not all(map(attrgetter("drain"), without(pool, going)))
    out = going if has_others else NOBODY
    return replace(
        verdict,
        pool=tuple(replace(each, maint=each.instance_id in out) for each in pool),
    )


# When an action ends, as a pure function of the state.


def ending(
    progress: ActionProgress,
    state: EnvironmentState,
    settings: Settings,
    now: UnixSeconds,
) -> Ending | None:
    """How the action ends now; None while it goes on."""
    if state.publication is None:
        return Ending.CONTINUE  # no proxy has a config of ours, as in the first freeze
    standings = Watch(state, settings, now).standings(progress)
    if progress.action.joins:
        return _joined(standings)
    return _left(progress, standings, settings, now)


def _joined(standings: tuple[Standing, ...]) -> Ending | None:
    """Every proxy that can be reached sees it up; without any proxy nobody is waited for.

    Where there are some and none can be reached, nobody can say so: the hook's timeout decides.
    """
    reachable = set(standings) - {Standing.UNREACHABLE}
    is_up = reachable == {Standing.READY} or not standings
    return Ending.CONTINUE if is_up else None


def _left(
    progress: ActionProgress,
    standings: tuple[Standing, ...],
    settings: Settings,
    now: UnixSeconds,
) -> Ending | None:
    """The last session ended everywhere, or the time is over that sessions and lost proxies have.

    `ABANDON` only where the group keeps such instances, and a proxy did not prove the drain.
    """
    found = set(standings)
    if found <= {Standing.READY}:
        return Ending.CONTINUE
    grace = UNPROVED_SECONDS if Standing.BEHIND in found else 0.0
    if now - progress.since < settings.drain_seconds + grace:
        return None
    is_proved = found <= {Standing.READY, Standing.PROVED}
    is_kept = all((progress.action.keeps_abandoned, not is_proved))
    return Ending.ABANDON if is_kept else Ending.CONTINUE


# Acting on it.


@dataclass(frozen=True, slots=True)
class Acting:
    """Ends and prolongs the actions of a state. `auto_scaling` makes the client where there is something to say."""

    auto_scaling: Callable[[], Any]
    settings: Settings
    now: UnixSeconds

    def acted(self, state: EnvironmentState) -> EnvironmentState:
        """The state after every call that is due; what fails is in it, and tried again."""
        actions = (self._acted(each, state) for each in state.lifecycle_actions)
        return replace(state, lifecycle_actions=tuple(actions))

    def _acted(
        self, progress: ActionProgress, state: EnvironmentState
    ) -> ActionProgress:
        is_rested = self.now >= _tried_again_at(progress)
        if not all((is_rested, is_open(self.now, progress))):
            return progress
        how = ending(progress, state, self.settings, self.now)
        after = self._ended(progress, how) if how else progress
        if not self._wants_time(after, state):
            return after
        return replace(self._prolonged(after), failure=after.failure)

    def _wants_time(self, progress: ActionProgress, state: EnvironmentState) -> bool:
        """Whether a heartbeat is due.

        An instance that all proxies have, and that does not come up, gets none: its hook's timeout is the group's
        verdict.
        """
        action = progress.action
        standings = Watch(state, self.settings, self.now).standings(progress)
        is_our_delay = any((not action.joins, Standing.BEHIND in standings))
        is_due = self.now >= progress.heartbeat_at + action.heartbeat_seconds / 2
        return all((is_open(self.now, progress), is_due, is_our_delay))

    def _ended(self, progress: ActionProgress, how: Ending) -> ActionProgress:
        complete = partial(
            self.auto_scaling().complete_lifecycle_action,
            LifecycleActionResult=str(how),
        )
        ended = replace(progress, ended_at=self.now, result=str(how), failure=None)
        return self._called(progress, complete, ended)

    def _prolonged(self, progress: ActionProgress) -> ActionProgress:
        heartbeat = self.auto_scaling().record_lifecycle_action_heartbeat
        prolonged = replace(progress, heartbeat_at=self.now, failure=None)
        return self._called(progress, heartbeat, prolonged)

    def _called(
        self,
        progress: ActionProgress,
        call: Callable[..., Any],
        after: ActionProgress,
    ) -> ActionProgress:
        """What became of it; an action that Auto Scaling does not know any more is over, by whomever."""
        action = progress.action
        try:
            call(
                AutoScalingGroupName=action.group,
                LifecycleHookName=action.hook,
                InstanceId=action.instance_id,
            )
        except FAILURES as error:
            failure = failures.failure(error, self.now, progress.failure)
            if failure.code == VALIDATION:
                return replace(progress, ended_at=self.now, failure=None)
            return replace(progress, failure=failure)
        return after


def _tried_again_at(progress: ActionProgress) -> UnixSeconds:
    return progress.failure.at + RETRY_SECONDS if progress.failure else 0.0


def wake_at(
    state: EnvironmentState, settings: Settings, now: UnixSeconds
) -> UnixSeconds | None:
    """When to come back for the actions, if nothing else happens before."""
    deadlines = (_times(each, settings) for each in watching.open_actions(state, now))
    asked_at = Watch(state, settings, now).ask_at
    times = chain([asked_at], chain.from_iterable(deadlines))
    soonest = min((time for time in times if time > now), default=inf)
    return None if isinf(soonest) else soonest


def _times(progress: ActionProgress, settings: Settings) -> tuple[UnixSeconds, ...]:
    """When sessions, and then proxies, have had their time, when it wants a heartbeat, and may be tried again."""
    over = progress.since + settings.drain_seconds
    return (
        over,
        over + UNPROVED_SECONDS,
        progress.heartbeat_at + progress.action.heartbeat_seconds / 2,
        _tried_again_at(progress),
    )
