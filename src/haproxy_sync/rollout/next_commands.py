"""Who gets a command next: a state + whose agent is online + now -> the commands to claim. Nothing here waits.

Whoever is not settled is due: one canary first, then waves of the healthy, those that failed again with growing
spacing, and everybody once per drift check.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial

from haproxy_sync.fleet.model import ids
from haproxy_sync.rollout import watching
from haproxy_sync.rollout.limits import MAX_INSTANCES, backoff
from haproxy_sync.rollout.progress import Progress, ProxyProgress
from haproxy_sync.rollout.reports import AGENT_DIED, NO_STEP
from haproxy_sync.rollout.transitions import STALL_SECONDS
from haproxy_sync.settings import Settings
from haproxy_sync.state.model import (
    BROKEN,
    Command,
    Digest,
    EnvironmentState,
    Outcome,
    Purpose,
    UnixSeconds,
)

# Worth another try, but not at once; a superseded one was just given a fence that was too low.
UNLUCKY = frozenset(
    {Outcome.MISSING, Outcome.UNKNOWN, Outcome.DENIED, Outcome.SUPERSEDED}
)
# After these the host is asked once more before others are: it may have what it was sent, and says so at once then.
ASKED_AGAIN = frozenset({AGENT_DIED, NO_STEP})


@dataclass(frozen=True, slots=True)
class Due:
    """A proxy that wants a command, why, and from when it may have one."""

    proxy: ProxyProgress
    digest: Digest
    purpose: Purpose
    at: UnixSeconds
    is_healthy: bool = True
    is_drift_check: bool = False  # nobody waits for it: the sweep sees it is time

    @property
    def instance_id(self) -> str:
        """The proxy."""
        return self.proxy.instance_id

    @property
    def waits_since(self) -> tuple[UnixSeconds, str]:
        """Orders a wave: whoever got a command least recently is first, so that nobody is always last."""
        return self.proxy.state.sent_at, self.instance_id

    @property
    def canary_rank(self) -> tuple[bool, bool, bool, bool, UnixSeconds, str]:
        """A bad record last; who lacks the config before who would compare; first of all who may have it already.

        So no second one is at risk, and nobody who was broken before a new program came is asked to prove it.
        """
        return (
            self.proxy.is_broken,
            not self.is_healthy,
            self.purpose is Purpose.VERIFY,
            not self.proxy.may_have_it,
            *self.waits_since,
        )


@dataclass(frozen=True, slots=True)
class NextCommands:
    """The commands to claim now, and when to come back if nothing else happens before."""

    claims: tuple[Command, ...] = ()
    wake_at: UnixSeconds | None = None


def _must_not_send(state: EnvironmentState, now: UnixSeconds) -> bool:
    """Whether nothing may be sent: not even what is published already, unless a rollback published and froze it."""
    if state.first_freeze:
        return True
    freeze = state.freeze_at(now)
    if freeze is None:
        return False
    return freeze.generation != state.generation


def rolling_out(state: EnvironmentState, now: UnixSeconds) -> list[str]:
    """The proxies that get what is published already as the state stands: during a freeze, a rollback's."""
    if _must_not_send(state, now):
        return []
    return list(Progress(state).unsettled)


def due(
    state: EnvironmentState, settings: Settings, now: UnixSeconds
) -> tuple[Due, ...]:
    """Every proxy that wants a command, now or later; those with one in flight are left alone."""
    if _must_not_send(state, now):
        return ()
    in_flight = state.proxies_in_flight
    progress = Progress(state)
    must_compare = settings.canary and progress.awaits_healthy_canary
    return tuple(
        _due(proxy, proxy.desired, state, settings, must_compare=must_compare)
        for proxy in progress.proxies
        if proxy.desired and proxy.instance_id not in in_flight
    )


def _due(
    proxy: ProxyProgress,
    digest: Digest,
    state: EnvironmentState,
    settings: Settings,
    *,
    must_compare: bool,
) -> Due:
    """`must_compare`: whoever is settled is wanted at once, to be the canary of a new program."""
    observed = proxy.state
    spaced = observed.sent_at + settings.rollout_spacing_seconds
    want = partial(Due, proxy, digest)
    if proxy.has_failed or _is_unlucky(proxy):
        return want(
            purpose=Purpose.RETRY,
            at=max(spaced, _rested_at(proxy)),
            is_healthy=_is_asked_again(proxy),
        )
    if not proxy.is_settled:
        return want(
            purpose=Purpose.WAVE,
            at=spaced,
            is_healthy=observed.outcome not in BROKEN,
        )
    if must_compare:
        return want(purpose=Purpose.VERIFY, at=0.0)
    if observed.sent_at < max(state.verify_requested_at, observed.adopt_since):
        return want(
            purpose=Purpose.VERIFY,
            at=spaced,
        )
    return want(
        purpose=Purpose.VERIFY,
        at=max(spaced, observed.sent_at + settings.drift_check_seconds),
        is_drift_check=True,
    )


def _is_unlucky(proxy: ProxyProgress) -> bool:
    return proxy.state.outcome in UNLUCKY and proxy.state.attempts > 0


def _is_asked_again(proxy: ProxyProgress) -> bool:
    return proxy.state.reason in ASKED_AGAIN and proxy.state.attempts == 1


def _rested_at(proxy: ProxyProgress) -> UnixSeconds:
    """When it has waited long enough since it failed; at once for a publication that it has not tried."""
    is_untried = proxy.has_failed and not proxy.may_have_it
    if is_untried or _is_asked_again(proxy):
        return 0.0
    if proxy.state.sent_at < proxy.state.adopt_since:
        return 0.0  # an operator has just ended what it failed by
    return proxy.state.at + backoff(proxy.state.attempts)


def is_at_rest(state: EnvironmentState, settings: Settings, now: UnixSeconds) -> bool:
    """Whether nothing would be cut short by another publication: the rollout came to its end, or stopped at a failure.

    One publication after the other, or those in the last wave would never get any while changes keep coming.
    """
    progress = Progress(state)
    if progress.has_stopped(settings.max_errors):
        return True
    return not progress.under_way and not any(
        map(_is_left_in_wave, due(state, settings, now))
    )


def _is_left_in_wave(each: Due) -> bool:
    is_reachable = each.proxy.state.outcome is not Outcome.MISSING
    return each.purpose is Purpose.WAVE and each.is_healthy and is_reachable


@dataclass(frozen=True)
class _Choice:
    """Those that may have a command now, and how the rollout stands: what the policies below decide on."""

    progress: Progress
    settings: Settings
    ready: tuple[Due, ...]

    def of(self, purpose: Purpose) -> list[Due]:
        """Those that are ready for the purpose."""
        return [each for each in self.ready if each.purpose is purpose]

    @cached_property
    def failed(self) -> tuple[str, ...]:
        """Those that failed with what is published."""
        return self.progress.failed

    @cached_property
    def unsettled(self) -> list[Due]:
        """Those that are ready and not settled."""
        return [each for each in self.ready if each.purpose is not Purpose.VERIFY]

    @property
    def candidates(self) -> Sequence[Due]:
        """Those of whom one is to be the canary: who compares tries nothing new, unless by a new program."""
        if self.progress.has_new_program:
            return self.ready
        return self.unsettled

    @cached_property
    def wave(self) -> list[Due]:
        """The next wave. Those with a bad record come last and alone: MaxErrors must not stop the healthy for them."""
        wave = self.of(Purpose.WAVE)
        healthy = [each for each in wave if each.is_healthy]
        return sorted(healthy, key=lambda each: each.waits_since) or wave

    @cached_property
    def serving(self) -> frozenset[str]:
        """Those that run some config, so that a bad one would cost something."""
        states = self.progress.state.proxy_states
        return frozenset(key for key, observed in states.items() if observed.running)


def next_commands(
    state: EnvironmentState,
    wanted: tuple[Due, ...],
    online: frozenset[str],
    settings: Settings,
    now: UnixSeconds,
) -> NextCommands:
    """What to send now, to whom. `wanted` is what is `due`, `online` the proxies whose agent can be reached."""
    if not wanted:
        return NextCommands()
    ready = tuple(
        each for each in wanted if each.at <= now and each.instance_id in online
    )
    choice = _Choice(Progress(state), settings, ready)
    policies = BEFORE_PROOF if _needs_canary(choice, wanted) else AFTER_PROOF
    claims = _claims(state, _first(choice, policies), settings, now)
    return NextCommands(
        claims, _wake_at(wanted, (*claims, *choice.progress.under_way), now)
    )


def _needs_canary(choice: _Choice, wanted: tuple[Due, ...]) -> bool:
    """Whether somebody shall get what no proxy has proven yet; who only compares has it, unless by a new program."""
    purposes = {each.purpose for each in wanted}
    is_new = purposes != {Purpose.VERIFY} or choice.progress.has_new_program
    return is_new and choice.settings.canary and not choice.progress.proven_by


def _wake_at(
    wanted: tuple[Due, ...], commands: Iterable[Command], now: UnixSeconds
) -> UnixSeconds | None:
    """When the next proxy may have a command, or a canary that no agent takes stops blocking the others."""
    times = [each.at for each in wanted if not each.is_drift_check]
    times += [
        command.claimed_at + STALL_SECONDS
        for command in commands
        if command.purpose is Purpose.CANARY
    ]
    return min((time for time in times if time > now), default=None)


type Policy = Callable[[_Choice], list[Due] | None]
"""Those that get a command next, which may be nobody; None leaves it to the next policy."""


def _first(choice: _Choice, policies: Iterable[Policy]) -> list[Due]:
    """What the first policy says that has something to say."""
    answers = (policy(choice) for policy in policies)
    return next((answer for answer in answers if answer is not None), [])


def _wait_for_command(choice: _Choice) -> list[Due] | None:
    """A canary or a wave is under way: nobody until its end."""
    if choice.progress.under_way:
        return []
    return None


def _failed_canary(choice: _Choice) -> list[Due] | None:
    """The one that failed must succeed itself: no second proxy is risked with a config that failed on one."""
    if not choice.failed:
        return None
    return [each for each in choice.ready if each.instance_id in choice.failed][:1]


def _new_canary(choice: _Choice) -> list[Due] | None:
    """One proxy, nobody else, until it proved the config running."""
    if not choice.candidates:
        return None
    best = min(choice.candidates, key=lambda each: each.canary_rank)
    return [replace(best, purpose=Purpose.CANARY)]


def _compare_meanwhile(choice: _Choice) -> list[Due] | None:
    """No unsettled proxy may get a command now, so those that only compare need not wait."""
    return _comparing(choice, choice.ready)


def _next_wave(choice: _Choice) -> list[Due] | None:
    """The healthy, one chunk at a time, unless too many failed."""
    if not choice.wave or choice.progress.has_stopped(choice.settings.max_errors):
        return None
    return choice.wave[:MAX_INSTANCES]


def _newcomer(choice: _Choice) -> list[Due] | None:
    """The stop protects who serves something: proxies without any config go on, one by one, until one fails."""
    new = [
        each
        for each in choice.wave
        if each.is_healthy and each.instance_id not in choice.serving
    ]
    if not new or not choice.serving.issuperset(choice.failed):
        return None
    return new[:1]


def _retry(choice: _Choice) -> list[Due] | None:
    """Those that failed, when their time has come."""
    return choice.of(Purpose.RETRY)[:MAX_INSTANCES] or None


def _compare(choice: _Choice) -> list[Due] | None:
    """Whoever must compare what it has with what is published."""
    return _comparing(choice, choice.of(Purpose.VERIFY))


def _comparing(choice: _Choice, ready: Iterable[Due]) -> list[Due]:
    """One chunk after the other: each command has a MaxConcurrency of its own. One that hangs is waited for no more."""
    commands = choice.progress.state.commands
    if (Purpose.VERIFY, False) in {
        (each.purpose, each.is_stalled) for each in commands
    }:
        return []
    return list(ready)[:MAX_INSTANCES]


BEFORE_PROOF: tuple[Policy, ...] = (
    _wait_for_command,
    _failed_canary,
    _new_canary,
    _compare_meanwhile,
)
AFTER_PROOF: tuple[Policy, ...] = (
    _wait_for_command,
    _next_wave,
    _newcomer,
    _retry,
    _compare,
)


def _claims(
    state: EnvironmentState,
    chosen: list[Due],
    settings: Settings,
    now: UnixSeconds,
) -> tuple[Command, ...]:
    """One command per distinct config, those that adopt apart.

    Together they start no more proxies at once than one command may.
    """
    limit = max(1, settings.max_concurrency.of(len(state.proxies)))
    claims: list[Command] = []
    started = 0
    for (digest, adopts), members in _by_parameters(chosen).items():
        started += len(members)
        if claims and started > limit:
            break
        claims.append(
            Command(
                claim_id=f"{state.writer}.{state.revision}.{len(claims)}",
                purpose=members[0].purpose,
                generation=state.generation,
                fence=state.fence,
                digest=digest,
                targets=tuple(sorted(ids(members))),
                claimed_at=now,
                watch=watching.endpoints(state, now),
                adopts=adopts,
            )
        )
    return tuple(claims)


def _by_parameters(chosen: list[Due]) -> Mapping[tuple[Digest, bool], list[Due]]:
    groups: defaultdict[tuple[Digest, bool], list[Due]] = defaultdict(list)
    for each in chosen:
        groups[each.digest, each.proxy.state.adopt_since > 0].append(each)
    return groups
