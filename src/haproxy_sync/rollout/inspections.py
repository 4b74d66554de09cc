"""Commands that only ask proxies how they are: in any freeze too, waited for by nobody, and no proof of anything."""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from itertools import batched, chain

from haproxy_sync.fleet.model import ids
from haproxy_sync.rollout import ownership, serving, watching, word
from haproxy_sync.rollout.agents import is_online
from haproxy_sync.rollout.limits import MAX_INSTANCES, VOID_SECONDS, backoff
from haproxy_sync.rollout.reports import Report
from haproxy_sync.settings import Settings
from haproxy_sync.state.model import (
    Command,
    Digest,
    Document,
    EnvironmentState,
    Inspection,
    Outcome,
    ProxyState,
    Purpose,
    UnixSeconds,
    with_targets,
)
from haproxy_sync.state.store import PLACEHOLDER

MAX_COMMANDS = 20  # for all whom an earlier one asked in vain
REQUEST_SECONDS = 600  # who could not be asked by then is not asked any more
# An answer is not waited for any longer: above the document's own timeout.
ANSWER_SECONDS = 300
NOTHING_FOUND = Inspection(0.0, has_answered=False)


def due(state: EnvironmentState, now: UnixSeconds) -> frozenset[str]:
    """The proxies to ask now: all that an operator asked for, and in the first freeze whoever has not answered yet."""
    return frozenset(filter(lambda key: _is_due(state, key, now), _unasked(state)))


def _unasked(state: EnvironmentState) -> frozenset[str]:
    """Who is not being asked."""
    return frozenset(state.proxy_ids) - _asked(state)


def _asked(state: EnvironmentState) -> frozenset[str]:
    return frozenset(chain.from_iterable(each.targets for each in state.inspecting))


def _is_due(state: EnvironmentState, instance_id: str, now: UnixSeconds) -> bool:
    observed = state.proxy_state(instance_id)
    requested_at = _requested_at(state, now)
    if observed.inspect_sent_at < requested_at:
        return True
    is_wanted = requested_at > 0 or state.first_freeze
    if not is_wanted or _has_answered(observed, requested_at):
        return False
    return _is_rested(observed, now)


def _is_rested(observed: ProxyState, now: UnixSeconds) -> bool:
    return now >= observed.inspect_sent_at + backoff(observed.inspect_attempts)


def overdue(
    state: EnvironmentState, settings: Settings, now: UnixSeconds
) -> frozenset[str]:
    """Whom no command has made speak for a drift period, nor does now: in a freeze, or behind a stopped rollout.

    Who said that something is down is asked sooner, for it may be over: soon, then after as long again as it was so.
    """
    patience = word.due_within(settings)

    def is_overdue(instance_id: str) -> bool:
        observed = state.proxy_state(instance_id)
        since = word.heard_at(observed) or state.published_at
        lasted = serving.trouble_seconds(observed.serving)
        soon = max(lasted, settings.sweep_seconds / 2)
        return now >= since + min(soon, patience)

    return frozenset(filter(is_overdue, _unasked(state) - state.proxies_in_flight))


def rested(
    state: EnvironmentState, instance_ids: Iterable[str], now: UnixSeconds
) -> frozenset[str]:
    """Those that may be asked again, should they have been asked in vain."""
    return frozenset(
        filter(lambda key: _is_rested(state.proxy_state(key), now), instance_ids)
    )


def one_by_one(state: EnvironmentState, waiting: frozenset[str]) -> frozenset[str]:
    """One of them, or nobody while another one is asked: by a program that is not proven, all of whom nobody wants.

    Who was asked in vain is asked again before the next one is.
    """
    if state.inspecting:
        return frozenset()
    ramp = sorted(waiting, key=lambda key: (-_attempts(state, key), key))
    return frozenset(ramp[:1])


def _attempts(state: EnvironmentState, instance_id: str) -> int:
    return state.proxy_state(instance_id).inspect_attempts


def _requested_at(state: EnvironmentState, now: UnixSeconds) -> UnixSeconds:
    """When an operator asked for all of them; 0 where nobody did, or too long ago."""
    is_recent = now - state.inspect_requested_at <= REQUEST_SECONDS
    return state.inspect_requested_at if is_recent else 0.0


def unanswered(state: EnvironmentState, now: UnixSeconds) -> tuple[str, ...]:
    """The proxies whose answer to an operator's last request is awaited yet; who cannot be reached is not."""
    requested_at = state.inspect_requested_at
    awaited = _asked(state) | _to_ask(state, now)
    return tuple(
        key
        for key in state.proxy_ids
        if key in awaited and not _has_replied(state.proxy_state(key), requested_at)
    )


def _to_ask(state: EnvironmentState, now: UnixSeconds) -> frozenset[str]:
    """Who is asked, for the first time or once more, as soon as possible."""
    if not _requested_at(state, now):
        return frozenset()
    offline = {key for key, agent in state.agents.items() if not is_online(agent)}
    return frozenset(state.proxy_ids) - offline


def _has_replied(observed: ProxyState, requested_at: UnixSeconds) -> bool:
    """Whether it was asked since then, and has said how it is, or why it cannot say."""
    found = observed.inspection
    if found is None or observed.inspect_sent_at < requested_at:
        return False
    # What came along with the request answers an older one.
    return found.at > requested_at


def has_told(observed: ProxyState) -> bool:
    """Whether the host has said itself whose it is, which may be nobody's."""
    return observed.publisher != "" or _has_answered(observed, 0.0)


def _has_answered(observed: ProxyState, since: UnixSeconds) -> bool:
    found = observed.inspection
    return found is not None and found.has_answered and found.at >= since


def claims(
    state: EnvironmentState,
    targets: frozenset[str],
    document: Document,
    now: UnixSeconds,
) -> tuple[Command, ...]:
    """The commands that ask them.

    Who was asked in vain is asked by commands of few: one that hangs keeps those that stand behind it waiting.
    """
    tried = frozenset(filter(partial(_attempts, state), targets))
    size = -(-len(tried) // MAX_COMMANDS) or 1
    chunks = chain(
        batched(sorted(tried ^ frozenset(targets)), MAX_INSTANCES, strict=False),
        batched(_ramp(state, tried), min(size, MAX_INSTANCES), strict=False),
    )
    return tuple(
        Command(
            claim_id=f"{state.writer}.{state.revision}.inspect.{number}",
            purpose=Purpose.INSPECT,
            generation=state.generation,
            fence=state.fence,
            digest=Digest.of(PLACEHOLDER),
            targets=chunk,
            claimed_at=now,
            watch=watching.endpoints(state, now),
            document=document,
        )
        for number, chunk in enumerate(chunks)
    )


def _ramp(state: EnvironmentState, targets: Iterable[str]) -> Iterable[str]:
    """The order of the targets: with each try another one is first, as one that hangs keeps those behind it waiting."""
    ramp = deque(sorted(targets))
    ramp.rotate(-max((_attempts(state, each) for each in ramp), default=0))
    return ramp


def claimed(
    state: EnvironmentState, commands: tuple[Command, ...], now: UnixSeconds
) -> EnvironmentState:
    """They are put before anything is sent, like every claim."""
    targets = [target for command in commands for target in command.targets]
    after = state.with_each_proxy_state(
        targets,
        lambda observed: replace(
            observed,
            inspect_sent_at=now,
            inspect_attempts=observed.inspect_attempts + 1,
        ),
    )
    return replace(after, inspecting=(*state.inspecting, *commands))


def sent(
    state: EnvironmentState, by_claim: Mapping[str, Command | None]
) -> EnvironmentState:
    """Each claim became the command it was sent as (None: nothing was sent)."""
    became = (by_claim.get(each.claim_id, each) for each in state.inspecting)
    return replace(state, inspecting=tuple(filter(None, became)))


def given_up(state: EnvironmentState, now: UnixSeconds) -> EnvironmentState:
    """Without void claims, and without commands that nobody will answer any more."""
    left = (each for each in state.inspecting if now < _over_at(each))
    return replace(state, inspecting=tuple(left))


def _over_at(command: Command) -> UnixSeconds:
    seconds = ANSWER_SECONDS if command.command_id else VOID_SECONDS
    return command.claimed_at + seconds


def reported(
    state: EnvironmentState,
    command: Command,
    reports: Iterable[Report],
    now: UnixSeconds,
) -> tuple[EnvironmentState, tuple[Report, ...]]:
    """What the targets said, and the reports that count. What settles a rollout stays as it was."""
    counted = tuple(
        report
        for report in reports
        if report.instance_id in command.targets and not report.is_silent
    )
    after = state.with_proxy_states(
        {each.instance_id: _observed(state, command, each, now) for each in counted}
    )
    answered = ids(counted)
    left = (
        each.without(answered) if each.claim_id == command.claim_id else each
        for each in state.inspecting
    )
    return replace(after, inspecting=with_targets(left)), counted


def _observed(
    state: EnvironmentState, command: Command, report: Report, now: UnixSeconds
) -> ProxyState:
    before = state.proxy_state(report.instance_id)
    after = serving.heard(before, report, command, now)
    if command.claimed_at > before.sent_at:  # whose it is, a newer command tells
        after = ownership.heard(after, report, state.publisher, command.claimed_at)
    if report.outcome is not Outcome.INSPECTED:
        told = Inspection(now, reason=report.reason, has_answered=False)
        return replace(after, inspection=told)
    return replace(
        after,
        inspect_attempts=0,
        inspection=_told(report, now),
        found_since=_found_since(before, report, now),
    )


def _found_since(before: ProxyState, report: Report, now: UnixSeconds) -> UnixSeconds:
    """Since when inspections find that file there, with no command between them."""
    found = before.inspection or NOTHING_FOUND
    is_same = found.at > before.at and found.installed == report.installed
    return before.found_since if is_same else now


def _told(report: Report, now: UnixSeconds) -> Inspection:
    return Inspection(
        at=now,
        reason=report.reason,
        installed=report.installed,
        running=report.running,
        haproxy_version=report.haproxy_version,
        style=report.style,
        servers_up=report.servers_up,
        servers_down=report.servers_down,
        down=report.down,
    )
