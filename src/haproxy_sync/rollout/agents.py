"""What is wrong with the proxies' SSM agents, by what Run Command says of them; and when to ask again."""

import re
from collections.abc import Mapping
from enum import StrEnum

from haproxy_sync.fleet.model import Proxy
from haproxy_sync.settings import Settings
from haproxy_sync.state.model import Agent, EnvironmentState, UnixSeconds

ONLINE = "Online"
ASK_AGAIN_SECONDS = 50.0  # a little less than a sweep
# AWS promises no event when an agent registers. Most do within a minute of the launch, so a proxy that is young is
# asked for again and again: after a tenth of its age, some thirty times in all.
YOUNG_SECONDS = 300.0
ASK_YOUNG_SECONDS = 3.0
UNASKED = Agent("", ONLINE, 0.0)  # where nobody could ask, nothing is against it
VERSION = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9}){0,5}", re.ASCII)


class Finding(StrEnum):
    """What is wrong with an agent; the first two are also why a proxy is `missing`."""

    NOT_REGISTERED = "agent-not-registered"
    OFFLINE = "agent-offline"
    VERSION_UNKNOWN = "agent-version-unknown"
    TOO_OLD = "agent-too-old"
    OUTDATED = "agent-outdated"


# Why no command reaches a proxy.
AWAY = frozenset({Finding.NOT_REGISTERED, Finding.OFFLINE})

# What is below the version, the lowest first. AWS's documentation of `interpolationType` names the first as the oldest
# agent that knows it. The release notes of the second (aws/amazon-ssm-agent) say that it repairs such parameters, and
# sends a reply that got lost again at once: before, a rollout waits up to five minutes for one.
FLOORS: Mapping[Finding, str] = {
    Finding.TOO_OLD: "3.3.2746.0",
    Finding.OUTDATED: "3.3.3572.0",
}

ADVICE: Mapping[Finding, str] = {
    Finding.NOT_REGISTERED: (
        "no command reaches it: its role lacks AmazonSSMManagedInstanceCore, or it cannot reach the SSM endpoints"
    ),
    Finding.OFFLINE: "no command reaches it: restart amazon-ssm-agent on it",
    Finding.VERSION_UNKNOWN: f"see that its agent is {FLOORS[Finding.OUTDATED]} or newer",
    Finding.TOO_OLD: (
        f"older than {FLOORS[Finding.TOO_OLD]}, no command works on it: update it (AWS-UpdateSSMAgent)"
    ),
    Finding.OUTDATED: (
        f"older than {FLOORS[Finding.OUTDATED]}, a lost reply costs minutes: update it (AWS-UpdateSSMAgent)"
    ),
}


def findings(agent: Agent) -> tuple[Finding, ...]:
    """What is wrong with the agent; nothing where all is well."""
    if not agent.ping:
        return (Finding.NOT_REGISTERED,)
    offline = () if is_online(agent) else (Finding.OFFLINE,)
    return (*offline, *_of_version(agent.version))


def is_online(agent: Agent) -> bool:
    """Whether the service can reach it."""
    return agent.ping == ONLINE


def _of_version(version: str) -> tuple[Finding, ...]:
    if not VERSION.fullmatch(version):
        return (Finding.VERSION_UNKNOWN,)
    numbers = _numbers(version)
    too_low = (
        finding for finding, floor in FLOORS.items() if numbers < _numbers(floor)
    )
    return tuple(too_low)[:1]


def _numbers(version: str) -> tuple[int, ...]:
    """The version as it compares: `3.3` like `3.3.0.0`."""
    return (*map(int, version.split(".")), 0, 0, 0, 0)[:4]


def unasked(
    state: EnvironmentState, settings: Settings, now: UnixSeconds
) -> frozenset[str]:
    """Proxies of whose agent nothing is known, or nothing new: what is wrong is asked for sooner than what is well.

    When an operator asks how the proxies are, nothing older is new.
    """
    if now < _unanswered_until(state):
        return frozenset()
    return frozenset(
        proxy.instance_id
        for proxy in state.proxies
        if _ask_at(state, proxy, settings, now) <= now
    )


def _unanswered_until(state: EnvironmentState) -> UnixSeconds:
    """After a question that failed nothing is asked for a while."""
    failure = state.agents_failure
    return failure.at + ASK_AGAIN_SECONDS if failure else 0.0


def _ask_at(
    state: EnvironmentState, proxy: Proxy, settings: Settings, now: UnixSeconds
) -> UnixSeconds:
    agent = state.agents.get(proxy.instance_id)
    if agent is None or agent.at < state.inspect_requested_at:
        return 0.0
    if is_awaited(proxy, agent, now):
        return _young_at(proxy, agent)
    if findings(agent):
        return agent.at + ASK_AGAIN_SECONDS
    return agent.at + settings.drift_check_seconds


def young_at(state: EnvironmentState, now: UnixSeconds) -> UnixSeconds | None:
    """When to ask again for the agents of those that are young; None: all have theirs, or are no longer young."""
    every = {
        each: state.agents.get(each.instance_id, UNASKED) for each in state.proxies
    }
    times = (
        _young_at(proxy, agent)
        for proxy, agent in every.items()
        if is_awaited(proxy, agent, now)
    )
    soonest = min(times, default=None)
    # Also where a step asks nobody: it is not run again at once.
    return soonest and max(soonest, _unanswered_until(state), now + ASK_YOUNG_SECONDS)


def is_awaited(proxy: Proxy, agent: Agent, now: UnixSeconds) -> bool:
    """Whether the proxy is young, and its agent has yet to come."""
    return not is_online(agent) and now < _born_at(proxy, agent) + YOUNG_SECONDS


def _born_at(proxy: Proxy, agent: Agent) -> UnixSeconds:
    """When it was launched, or found without an agent, should that be later: it may have been tagged late."""
    found_at = 0.0 if agent.ping else agent.since
    return max(proxy.launched_at, found_at)


def _young_at(proxy: Proxy, agent: Agent) -> UnixSeconds:
    age = agent.at - _born_at(proxy, agent)
    return agent.at + max(age / 10, ASK_YOUNG_SECONDS)
