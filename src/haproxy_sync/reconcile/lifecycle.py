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
from haproxy_sync.fleet.model import NOBODY, Fleet, by_id, ids, without
from haproxy_sync.fleet.near_miss import DRAIN_TAG
from haproxy_sync.reconcile.events import Intent
from haproxy_sync.reconcile.guard import Verdict, only
from haproxy_sync.rollout import watching
from haproxy_sync.rollout.progress import listening
from haproxy_sync.rollout.watching import (
    AWAITED,
    LEAST_PATIENCE_SECONDS,
    Standing,
    Watch,
    is_open,
)
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
REBALANCE_SECONDS = 3600.0  # for which a recommendation is a note


class Ending(StrEnum):
    """The result of a lifecycle action."""

    CONTINUE = "CONTINUE"
    ABANDON = "ABANDON"


# What a look makes of the fleet and the state.


def among_pool(fleet: Fleet, before: EnvironmentState) -> Fleet:
    """The fleet, where the pool of before decides who drains in it.

    Who waits for its group and is in the pool already, back from standby, drains until it serves. Who is let go and
    never was in the pool, as after a launch that failed, does not come into it now.
    """
    if before.backends is None:
        return fleet
    accepted = by_id(before.pool)
    strangers = {key for key, why in fleet.drains.items() if why != DRAIN_TAG}
    kept = without(fleet.backends, strangers - accepted.keys())
    returning = sorted(fleet.waiting & accepted.keys() - ids(kept))
    back = (replace(accepted[key], drain=True, maint=False) for key in returning)
    backends = sorted([*kept, *back], key=attrgetter("instance_id"))
    reasons = {**fleet.drains, **dict.fromkeys(returning, PENDING)}
    return replace(
        fleet,
        backends=tuple(backends),
        drains=MappingProxyType(only(reasons, ids(backends))),
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
        lifecycle_actions=tuple(_still(known.get(each.key), each) for each in actions),
    )


def _still(before: ActionProgress | None, shown: ActionProgress) -> ActionProgress:
    """What is known of an action, as it is shown now. Its sessions are where the server was when it began to leave."""
    if before is None:
        return shown
    was, action = before.action, shown.action
    is_moved = all((not action.joins, action.is_running, was.endpoint))
    endpoint = was.endpoint if is_moved else action.endpoint
    return replace(before, action=replace(action, endpoint=endpoint))


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
    pool, shown = verdict.pool, ids(fleet.backends)
    disabled = ids(filter(attrgetter("maint"), pool))
    going = (fleet.leaving | disabled) - shown
    drained = fleet.let_go - shown  # held all the same
    has_others = not all(map(attrgetter("drain"), without(pool, going | drained)))
    out = going if has_others else NOBODY
    return replace(
        verdict,
        pool=tuple(
            replace(
                each,
                maint=each.instance_id in out,
                drain=any((each.drain, each.instance_id in drained)),
            )
            for each in pool
        ),
    )


# When an action ends, as a pure function of the state.


def ending(progress: ActionProgress, watch: Watch) -> Ending | None:
    """How the action ends now; None while it goes on."""
    has_clients = all((progress.action.endpoint, progress.action.is_running))
    if any((watch.state.first_freeze, not has_clients)):
        return Ending.CONTINUE  # no proxy will have it, or its machine is gone
    standings = frozenset(watch.standings(progress))
    lasted = watch.now - progress.since
    if progress.action.joins:
        return _joined(standings, lasted, watch)
    return _left(progress, standings, lasted, watch)


type Standings = frozenset[Standing]


def _joined(standings: Standings, lasted: float, watch: Watch) -> Ending | None:
    """Every proxy that can be reached sees it up; who cannot be reached delays it by `DrainSeconds` at most."""
    reachable = standings - {Standing.UNREACHABLE}
    limit = watch.patience if standings > reachable else 0.0
    is_lost = all((not reachable, lasted >= limit))
    is_up = any((reachable == {Standing.READY}, is_lost))
    return Ending.CONTINUE if is_up else None


def _left(
    progress: ActionProgress, standings: Standings, lasted: float, watch: Watch
) -> Ending | None:
    """The last session ended everywhere, or the time is over that sessions and lost proxies have.

    `ABANDON` only where the group keeps such instances, and a proxy did not prove the drain.
    """
    if all((standings <= {Standing.READY}, watch.is_fresh(progress))):
        return Ending.CONTINUE
    limits = {
        Standing.UNREACHABLE: watch.patience,
        Standing.BEHIND: watch.patience + UNPROVED_SECONDS,
    }
    sessions = watch.settings.drain_seconds
    if lasted < max(limits.get(each, sessions) for each in standings):
        return None
    is_proved = standings <= {Standing.READY, Standing.PROVED}
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
        watch = Watch(state, self.settings, self.now)
        going_on = watching.open_actions(state, self.now)
        acted = {each.key: self._acted(each, watch) for each in going_on}
        actions = (acted.get(each.key, each) for each in state.lifecycle_actions)
        return replace(state, lifecycle_actions=tuple(actions))

    def _acted(self, before: ActionProgress, watch: Watch) -> ActionProgress:
        progress = _noted(before, watch)
        if self.now < _tried_again_at(progress):
            return progress
        how = ending(progress, watch)
        after = self._ended(progress, how) if how else progress
        if not self._wants_time(after, watch):
            return after
        return replace(self._prolonged(after), failure=after.failure)

    def _wants_time(self, progress: ActionProgress, watch: Watch) -> bool:
        """Whether a heartbeat is due.

        An instance that all proxies have, and that does not come up, gets none: its hook's timeout is the group's
        verdict.
        """
        action = progress.action
        has_it = set(watch.standings(progress)) <= {Standing.READY, Standing.PROVED}
        is_our_delay = not all((action.joins, has_it))
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


def _noted(progress: ActionProgress, watch: Watch) -> ActionProgress:
    """With the generation that drains it first, and when a proxy was busy with it last."""
    is_published = watch.is_published(progress.action)
    is_first = all((is_published, not progress.generation))
    generation = watch.state.generation if is_first else progress.generation
    noted = replace(progress, generation=generation)
    is_busy = not AWAITED.isdisjoint(watch.standings(noted))
    return replace(noted, busy_at=watch.now) if is_busy else noted


def _tried_again_at(progress: ActionProgress) -> UnixSeconds:
    return progress.failure.at + RETRY_SECONDS if progress.failure else 0.0


def wake_at(
    state: EnvironmentState, settings: Settings, now: UnixSeconds
) -> UnixSeconds | None:
    """When to come back for the actions, if nothing else happens before."""
    going_on = watching.open_actions(state, now)
    deadlines = (_times(each, settings) for each in going_on)
    asked_at = Watch(state, settings, now).ask_at
    # The event of an answer may be lost, or come before Run Command shows the answer.
    asking = map(attrgetter("claimed_at"), state.inspecting) if going_on else ()
    times = chain([asked_at], listening(asking), chain.from_iterable(deadlines))
    soonest = min((time for time in times if time > now), default=inf)
    return None if isinf(soonest) else soonest


def _times(progress: ActionProgress, settings: Settings) -> tuple[UnixSeconds, ...]:
    """When sessions, and then proxies, have had their time, when it wants a heartbeat, and may be tried again."""
    sessions, patience = settings.drain_seconds, LEAST_PATIENCE_SECONDS
    over = progress.since + max(sessions, patience)
    return (
        progress.since + sessions,
        over,
        over + UNPROVED_SECONDS,
        progress.heartbeat_at + progress.action.heartbeat_seconds / 2,
        _tried_again_at(progress),
    )
