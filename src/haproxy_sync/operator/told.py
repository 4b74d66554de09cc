"""What answers say of sync and health: the headline, the conditions behind it, and each proxy in a few words."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from haproxy_sync.operator import comings
from haproxy_sync.operator.answers import iso
from haproxy_sync.operator.conditions import Condition, conditions
from haproxy_sync.operator.headline import headline
from haproxy_sync.operator.health import Health, Sync, sync, sync_of, worst
from haproxy_sync.operator.situation import Situation, Upcoming, haproxy, last_word
from haproxy_sync.reconcile.reconciler import Result
from haproxy_sync.rollout import word
from haproxy_sync.rollout.progress import ProxyProgress
from haproxy_sync.settings import Settings
from haproxy_sync.state.model import BackendServers, ProxyState
from haproxy_sync.state.store import Snapshot

type Answer = dict[str, Any]

# Of all proxies together: a host names some twenty, and thousand proxies have to fit into an answer.
SHOWN_BACKENDS = 10_000


def summary(result: Result, settings: Settings) -> Answer:
    """How the environment is after a reconcile."""
    snapshot = Snapshot(result.after, etag=None)
    return environment(Situation.of(snapshot, settings, result.now))


def environment(situation: Situation) -> Answer:
    """How the environment is, in one sentence, in two words, and cause by cause."""
    return _judged(situation, conditions(situation))


def _judged(situation: Situation, found: tuple[Condition, ...]) -> Answer:
    return {
        "headline": headline(situation, found),
        "sync": str(sync(situation)),
        "health": str(worst(each.health for each in found)),
        "conditions": [_condition(each) for each in found],
    }


def _condition(found: Condition) -> Answer:
    return {
        "cause": found.cause,
        "health": str(found.health),
        "what": found.what,
        "since": found.since or None,
        "since_iso": iso(found.since),
        "next": found.next,
        "next_at": found.next_at,
        "next_at_iso": iso(found.next_at),
        "advice": found.advice,
        "runbook": found.runbook,
        "instances": list(found.instances),
    }


def status(answer: Answer, situation: Situation) -> Answer:
    """The answer of `status` with all that, and the same of each proxy in it."""
    found = conditions(situation)
    concerned = _concerned(found)
    proxies = {
        proxy.instance_id: answer["proxies"][proxy.instance_id]
        | _proxy(situation, proxy, concerned[proxy.instance_id])
        for proxy in situation.proxies
    }
    look = situation.next_look_at
    return answer | {
        "draining": comings.draining(situation.state),
        "lifecycle_actions": comings.actions(situation.watch),
        "rebalance": comings.rebalance(situation.state),
        "proxies": proxies,
        "next_look_at": look,
        "next_look_at_iso": iso(look),
        **_judged(situation, found),
    }


def _concerned(found: Iterable[Condition]) -> Mapping[str, list[Health]]:
    """The health of all that concerns each instance."""
    healths: defaultdict[str, list[Health]] = defaultdict(list)
    for each in found:
        for instance_id in each.instances:
            healths[instance_id].append(each.health)
    return healths


def _proxy(
    situation: Situation, proxy: ProxyProgress, concerning: list[Health]
) -> Answer:
    """What concerns it alone or with others; a proxy whose word is too old is never healthy."""
    instance_id = proxy.instance_id
    heard_at = word.heard_at(proxy.state)
    coming = situation.upcoming.get(instance_id, Upcoming())
    how = sync_of(situation, proxy)
    by_age = Health.UNKNOWN if how is Sync.UNKNOWN else Health.HEALTHY
    return {
        "sync": str(how),
        "health": str(worst([*concerning, by_age])),
        **_haproxy(proxy.state, SHOWN_BACKENDS // len(situation.proxies)),
        "heard_at": heard_at or None,
        "heard_at_iso": iso(heard_at),
        "heard_age_seconds": round(situation.now - heard_at, 3) if heard_at else None,
        "next": str(coming.purpose),
        "next_at": coming.at,
        "next_at_iso": iso(coming.at),
    }


def _haproxy(observed: ProxyState, most: int) -> Answer:
    """How HAProxy is there, and the servers of so many backends, the worst first, by the host's own words."""
    told = last_word(observed)
    shown = told.backends and told.backends[:most]
    left_out = len(told.backends or ()) - len(shown or ())
    return {
        "haproxy": str(haproxy(observed)),
        "haproxy_version": observed.serving.haproxy_version,
        "style": observed.serving.style,
        "old_workers": observed.serving.old_workers,
        "backends": None if shown is None else _counts(shown),
        "more_backends": told.more_backends + left_out,
    }


def _counts(backends: Iterable[BackendServers]) -> Answer:
    return {each.name: {"up": each.up, "down": each.down} for each in backends}
