"""Who gets a command next: a state + whose agent is online + now -> the commands to claim. Nothing here waits.

Whoever is not settled is due: one canary first, then waves of the healthy, those that failed again with growing
spacing, and everybody once per drift check.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property

from haproxy_sync.rollout.progress import Progress, ProxyProgress
from haproxy_sync.rollout.transitions import STALL_SECONDS
from haproxy_sync.settings import Settings
from haproxy_sync.state.model import (
    BROKEN,
    Command,
    Digest,
    EnvironmentState,
    Outcome,
    Publication,
    Purpose,
    UnixSeconds,
)

CHUNK = 50  # most instance ids one SendCommand takes
RETRY_SECONDS = 30  # doubles with every attempt
# More would make a number with a thousand digits, and pass the limit anyway.
MAX_DOUBLINGS = 10
MAX_RETRY_SECONDS = 1800
# Worth another try, but not at once; a superseded one was just given a number that was too low.
UNLUCKY = frozenset({Outcome.MISSING, Outcome.DENIED, Outcome.SUPERSEDED})


@dataclass(frozen=True, slots=True)
class Due:
    """A proxy that wants a command, why, and from when it may have one."""

    proxy: ProxyProgress
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
    def canary_rank(self) -> tuple[bool, bool, UnixSeconds, str]:
        """The healthy before the broken, then whoever may have the config already, so that no second one is at risk."""
        return (not self.is_healthy, not self.proxy.may_have_it, *self.waits_since)


@dataclass(frozen=True, slots=True)
class NextCommands:
    """The commands to claim now, and when to come back if nothing else happens before."""

    claims: tuple[Command, ...] = ()
    wake_at: UnixSeconds | None = None


def must_not_send(state: EnvironmentState, now: float) -> bool:
    """Whether nothing may be sent: not even what is published already, unless a rollback published and froze it."""
    if state.first_freeze:
        return True
    freeze = state.freeze_at(now)
    if freeze is None:
        return False
    return state.publication is None or freeze.generation != state.generation


def due(state: EnvironmentState, settings: Settings, now: float) -> tuple[Due, ...]:
    """Every proxy that wants a command, now or later; those with one in flight are left alone."""
    if must_not_send(state, now):
        return ()
    in_flight = state.in_flight
    return tuple(
        _due(proxy, state, settings)
        for proxy in Progress(state).proxies
        if proxy.desired and proxy.instance_id not in in_flight
    )


def _due(proxy: ProxyProgress, state: EnvironmentState, settings: Settings) -> Due:
    observed = proxy.state
    spaced = (
        observed.sent_at + settings.rollout_spacing_seconds if observed.sent_at else 0.0
    )
    if proxy.has_failed or _is_unlucky(proxy):
        return Due(
            proxy,
            Purpose.RETRY,
            max(spaced, observed.at + _backoff(observed.attempts)),
            is_healthy=False,
        )
    if not proxy.is_settled:
        return Due(
            proxy, Purpose.WAVE, spaced, is_healthy=observed.outcome not in BROKEN
        )
    if observed.sent_at < state.verify_requested_at:
        return Due(proxy, Purpose.VERIFY, spaced)
    drift_check_at = max(spaced, observed.sent_at + settings.drift_check_seconds)
    return Due(proxy, Purpose.VERIFY, drift_check_at, is_drift_check=True)


def _is_unlucky(proxy: ProxyProgress) -> bool:
    return proxy.state.outcome in UNLUCKY and proxy.state.attempts > 0


def _backoff(attempts: int) -> int:
    doublings = min(max(attempts - 1, 0), MAX_DOUBLINGS)
    return min(RETRY_SECONDS << doublings, MAX_RETRY_SECONDS)


def is_at_rest(state: EnvironmentState, settings: Settings, now: float) -> bool:
    """Whether nothing would be cut short by another publication: the rollout came to its end, or stopped at a failure.

    One publication after the other, or those in the last wave would never get any while changes keep coming.
    """
    progress = Progress(state)
    if progress.has_stopped(settings.max_errors):
        return True
    return not progress.under_way and not any(
        map(_is_waited_for, due(state, settings, now))
    )


def _is_waited_for(each: Due) -> bool:
    is_reachable = each.proxy.state.outcome is not Outcome.MISSING
    return all((each.purpose is Purpose.WAVE, each.is_healthy, is_reachable))


def ended(
    before: EnvironmentState, after: EnvironmentState, settings: Settings
) -> tuple[str, ...]:
    """The outcome of a rollout that came to its end between two states; nothing while it goes on."""
    was, now = Progress(before), Progress(after)
    if now.is_converged and not was.is_converged:
        return ("completed",)
    if now.has_stopped(settings.max_errors) and not was.has_stopped(
        settings.max_errors
    ):
        return ("stopped",)
    return ()


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
    now: float,
) -> NextCommands:
    """What to send now, to whom. `wanted` is what is `due`, `online` the proxies whose agent can be reached."""
    publication = state.publication
    if publication is None or not wanted:
        return NextCommands()
    ready = tuple(
        each for each in wanted if each.at <= now and each.instance_id in online
    )
    choice = _Choice(Progress(state), settings, ready)
    policies = BEFORE_PROOF if _needs_canary(choice, wanted) else AFTER_PROOF
    claims = _claims(state, publication, _first(choice, policies), settings, now)
    return NextCommands(
        claims, _wake_at(wanted, (*claims, *choice.progress.under_way), now)
    )


def _needs_canary(choice: _Choice, wanted: tuple[Due, ...]) -> bool:
    """Whether somebody shall get what no proxy has proven yet; who only compares has it already."""
    purposes = {each.purpose for each in wanted}
    is_new = purposes != {Purpose.VERIFY}
    return all((choice.settings.canary, is_new, not choice.progress.proven_by))


def _wake_at(
    wanted: tuple[Due, ...], commands: Iterable[Command], now: float
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
    if not choice.unsettled:
        return None
    best = min(choice.unsettled, key=lambda each: each.canary_rank)
    return [replace(best, purpose=Purpose.CANARY)]


def _compare_meanwhile(choice: _Choice) -> list[Due] | None:
    """Those that are left for the canary cannot be reached now: nobody else waits for them."""
    return _comparing(choice, choice.ready)


def _next_wave(choice: _Choice) -> list[Due] | None:
    """The healthy, one chunk at a time, unless too many failed."""
    if not choice.wave or choice.progress.has_stopped(choice.settings.max_errors):
        return None
    return choice.wave[:CHUNK]


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
    return choice.of(Purpose.RETRY)[:CHUNK] or None


def _compare(choice: _Choice) -> list[Due] | None:
    """Whoever must compare what it has with what is published."""
    return _comparing(choice, choice.of(Purpose.VERIFY))


def _comparing(choice: _Choice, ready: Iterable[Due]) -> list[Due]:
    """One chunk after the other: each command has a MaxConcurrency of its own."""
    commands = choice.progress.state.commands
    is_comparing = any(command.purpose is Purpose.VERIFY for command in commands)
    if is_comparing:
        return []
    return list(ready)[:CHUNK]


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
    publication: Publication,
    chosen: list[Due],
    settings: Settings,
    now: float,
) -> tuple[Command, ...]:
    """One command per distinct config; together they start no more proxies at once than one command may."""
    limit = max(1, settings.max_concurrency.of(len(state.proxies)))
    claims: list[Command] = []
    started = 0
    for digest, members in _by_config(chosen).items():
        started += len(members)
        if claims and started > limit:
            break
        claims.append(
            Command(
                claim=f"{state.writer}.{state.revision}.{len(claims)}",
                purpose=members[0].purpose,
                generation=publication.generation,
                fence=publication.fence,
                digest=digest,
                targets=tuple(sorted(each.instance_id for each in members)),
                claimed_at=now,
            )
        )
    return tuple(claims)


def _by_config(chosen: list[Due]) -> dict[Digest, list[Due]]:
    groups: dict[Digest, list[Due]] = {}
    for each in chosen:
        if each.proxy.desired:
            groups.setdefault(each.proxy.desired, []).append(each)
    return groups
