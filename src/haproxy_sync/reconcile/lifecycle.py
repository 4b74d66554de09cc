"""Instances that come and go by Auto Scaling's and EC2's word: who drains, and when a lifecycle action of ours ends.

All of it follows from what the last look found and what proxies said since, so nothing is lost with a process or an
event. Calls are made before the state is put: each is harmless when it is repeated.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from types import MappingProxyType
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from haproxy_sync.aws import error_code
from haproxy_sync.fleet.auto_scaling import PENDING, VALIDATION
from haproxy_sync.fleet.model import Fleet, by_id, ids
from haproxy_sync.reconcile.events import Intent
from haproxy_sync.reconcile.guard import Verdict
from haproxy_sync.rollout.watching import Standing, Watch, is_open
from haproxy_sync.settings import Settings
from haproxy_sync.state import failures
from haproxy_sync.state.model import (
    ActionProgress,
    Drain,
    EnvironmentState,
    UnixSeconds,
)

# For so long a proxy that answers, and does not prove the drain (a freeze, a stopped rollout), holds a termination up.
UNPROVED_SECONDS = 900.0
RETRY_SECONDS = 15.0  # after a call that failed
REBALANCE_SECONDS = 3600.0  # for which a recommendation is a note


class Ending(StrEnum):
    """The result of a lifecycle action."""

    CONTINUE = "CONTINUE"
    ABANDON = "ABANDON"


# What a look makes of the fleet and the state.


def with_returning(fleet: Fleet, before: EnvironmentState) -> Fleet:
    """The fleet with who waits for service and is in the pool already, back from standby: it drains until it serves."""
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
    known = {each.key: each for each in state.lifecycle_actions}
    actions = (ActionProgress(action, now) for action in fleet.actions)
    return replace(
        with_rebalance(state, intent, now),
        draining=MappingProxyType(
            {
                key: Drain(why, _since(state, key, now))
                for key, why in sorted(fleet.drains.items())
            }
        ),
        lifecycle_actions=tuple(
            replace(known.get(each.key, each), action=each.action) for each in actions
        ),
    )


def _since(state: EnvironmentState, instance_id: str, now: UnixSeconds) -> UnixSeconds:
    drain = state.draining.get(instance_id)
    return drain.since if drain else now


def with_rebalance(
    state: EnvironmentState, intent: Intent, now: UnixSeconds
) -> EnvironmentState:
    """The state with the recommendations that events brought, as long as they are of interest."""
    recommended = dict(state.rebalance) | {
        instance_id: now
        for event in intent.events
        if event.rebalance
        for instance_id in event.instance_ids
    }
    ours = ids(state.pool)
    kept = {
        key: at
        for key, at in recommended.items()
        if key in ours and at + REBALANCE_SECONDS > now
    }
    return replace(state, rebalance=MappingProxyType(kept))


def out_of_balance(verdict: Verdict, fleet: Fleet) -> Verdict:
    """The verdict whose pool sends nobody to machines that go, as long as somebody else can answer."""
    if verdict.pool is None:
        return verdict
    shown = ids(fleet.backends)
    going = {
        each.instance_id
        for each in verdict.pool
        if each.instance_id in fleet.leaving
        or (each.maint and each.instance_id not in shown)
    }
    has_others = any(
        not each.drain and each.instance_id not in going for each in verdict.pool
    )
    return replace(
        verdict,
        pool=tuple(
            replace(each, maint=has_others and each.instance_id in going)
            for each in verdict.pool
        ),
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
        return Ending.CONTINUE  # no proxy has a config of ours
    standings = Watch(state, settings, now).standings(progress)
    if progress.action.joins:
        return _joined(standings)
    return _left(progress, standings, settings, now)


def _joined(standings: Iterable[Standing]) -> Ending | None:
    """Every proxy that can be reached sees it up."""
    reachable = [each for each in standings if each is not Standing.UNREACHABLE]
    is_up = all(each is Standing.READY for each in reachable)
    has_nobody = not reachable and standings
    return Ending.CONTINUE if is_up and not has_nobody else None


def _left(
    progress: ActionProgress,
    standings: Iterable[Standing],
    settings: Settings,
    now: UnixSeconds,
) -> Ending | None:
    """The last session ended everywhere, or the time is over that sessions and lost proxies have."""
    found = set(standings)
    if found <= {Standing.READY}:
        return Ending.CONTINUE
    lasted = now - progress.since
    if lasted < settings.drain_seconds:
        return None
    if Standing.BEHIND in found and lasted < settings.drain_seconds + UNPROVED_SECONDS:
        return None
    is_proved = found <= {Standing.READY, Standing.PROVED}
    if progress.action.keeps_abandoned and not is_proved:
        return Ending.ABANDON
    return Ending.CONTINUE


def _wants_time(
    progress: ActionProgress,
    state: EnvironmentState,
    settings: Settings,
    now: UnixSeconds,
) -> bool:
    """Whether a heartbeat is due.

    An instance that all proxies have, and that does not come up, gets none: its hook's timeout is the group's verdict.
    """
    action = progress.action
    if now < progress.heartbeat_at + action.heartbeat_seconds / 2:
        return False
    if not action.joins:
        return True
    return Standing.BEHIND in Watch(state, settings, now).standings(progress)


# Acting on it.


@dataclass(frozen=True, slots=True)
class Acting:
    """Ends and prolongs the actions of a state. `auto_scaling` makes the client where there is something to say."""

    auto_scaling: Callable[[], Any]
    settings: Settings
    now: UnixSeconds

    def acted(self, state: EnvironmentState) -> EnvironmentState:
        """The state after every call that is due; what fails is in it, and tried again."""
        if not state.lifecycle_actions:
            return state
        return replace(
            state,
            lifecycle_actions=tuple(
                self._acted(each, state) for each in state.lifecycle_actions
            ),
        )

    def _acted(
        self, progress: ActionProgress, state: EnvironmentState
    ) -> ActionProgress:
        if not is_open(progress, self.now) or self.now < _tried_again_at(progress):
            return progress
        how = ending(progress, state, self.settings, self.now)
        after = self._ended(progress, how) if how else progress
        is_over = not is_open(after, self.now)
        if is_over or not _wants_time(after, state, self.settings, self.now):
            return after
        return replace(self._prolonged(after), failure=after.failure)

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
        except (ClientError, BotoCoreError) as error:
            if isinstance(error, ClientError) and error_code(error) == VALIDATION:
                return replace(progress, ended_at=self.now, failure=None)
            failure = failures.failure(error, self.now, progress.failure)
            return replace(progress, failure=failure)
        return after


def _tried_again_at(progress: ActionProgress) -> UnixSeconds:
    return progress.failure.at + RETRY_SECONDS if progress.failure else 0.0


def wake_at(
    state: EnvironmentState, settings: Settings, now: UnixSeconds
) -> UnixSeconds | None:
    """When to come back for the actions, if nothing else happens before."""
    going_on = [each for each in state.lifecycle_actions if is_open(each, now)]
    times = [time for each in going_on for time in _times(each, settings)]
    asked_at = Watch(state, settings, now).ask_at if going_on else None
    later = [time for time in [*times, asked_at] if time is not None and time > now]
    return min(later, default=None)


def _times(progress: ActionProgress, settings: Settings) -> tuple[UnixSeconds, ...]:
    """When it has lasted long enough, wants a heartbeat, and may be tried again."""
    over = progress.since + settings.drain_seconds
    return (
        over,
        over + UNPROVED_SECONDS,
        progress.heartbeat_at + progress.action.heartbeat_seconds / 2,
        _tried_again_at(progress),
    )
