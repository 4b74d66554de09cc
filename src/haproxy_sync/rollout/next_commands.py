"""The rollout as a function: state + who is online + now -> what to send next. Nothing here waits.

Whoever is not settled is due: one canary first, then waves of the healthy, those that failed again with growing
spacing, and everybody once per drift check.
"""

from dataclasses import dataclass, replace

from haproxy_sync.rollout import progress
from haproxy_sync.settings import Settings
from haproxy_sync.state.model import BROKEN, Command, Digest, EnvironmentState, Outcome, Publication, Purpose

CHUNK = 50  # most instance ids one SendCommand takes
RETRY_SECONDS = 30  # doubles with every attempt
MAX_RETRY_SECONDS = 1800
PERCENT = 100
# Worth another try, but not at once; a superseded one was just told a number that was too low.
UNLUCKY = frozenset({Outcome.MISSING, Outcome.DENIED, Outcome.SUPERSEDED})


@dataclass(frozen=True, slots=True)
class Due:
    """A proxy that wants a command, why, and from when it may have one."""

    instance_id: str
    purpose: Purpose
    at: float
    is_healthy: bool = True
    is_drift_check: bool = False  # nobody waits for it: the sweep sees it is time


@dataclass(frozen=True, slots=True)
class Step:
    """The commands to claim now, and when to look again if nothing else happens before."""

    claims: tuple[Command, ...] = ()
    wake_at: float | None = None


def must_not_send(state: EnvironmentState, now: float) -> bool:
    """Whether nothing may be sent: not even what is published already, unless a rollback published and froze it."""
    if state.first_freeze:
        return True
    freeze, publication = state.freeze, state.publication
    if not freeze or freeze.until <= now:
        return False
    return not publication or freeze.generation != publication.generation


def due(state: EnvironmentState, settings: Settings, now: float) -> tuple[Due, ...]:
    """Every proxy that wants a command, now or later; those with one in flight are left alone."""
    publication = state.publication
    if not publication or must_not_send(state, now):
        return ()
    in_flight = state.in_flight
    candidates = (
        _due(state, proxy.instance_id, settings)
        for proxy in state.proxies
        if proxy.instance_id not in in_flight and publication.assignment[proxy.instance_id]
    )
    return tuple(candidates)


def _due(state: EnvironmentState, instance_id: str, settings: Settings) -> Due:
    proxy_state = state.proxy_state(instance_id)
    spaced = proxy_state.sent_at + settings.rollout_spacing_seconds if proxy_state.sent_at else 0.0
    if progress.has_failed(state, proxy_state) or (proxy_state.outcome in UNLUCKY and proxy_state.attempts > 0):
        # The exponent is bounded before it makes a number with a thousand digits.
        backoff = min(RETRY_SECONDS * 2 ** min(max(proxy_state.attempts, 1) - 1, 10), MAX_RETRY_SECONDS)
        return Due(instance_id, Purpose.RETRY, max(spaced, proxy_state.at + backoff), is_healthy=False)
    if not progress.is_settled(state, instance_id):
        return Due(instance_id, Purpose.WAVE, spaced, is_healthy=proxy_state.outcome not in BROKEN)
    if proxy_state.sent_at < state.verify_requested_at:
        return Due(instance_id, Purpose.VERIFY, spaced)
    drift_check_at = max(spaced, proxy_state.sent_at + settings.drift_check_seconds)
    return Due(instance_id, Purpose.VERIFY, drift_check_at, is_drift_check=True)


def is_at_rest(state: EnvironmentState, settings: Settings, now: float) -> bool:
    """Whether nothing would be cut short by another publication: the rollout came to its end, or stopped at a failure.

    One publication after the other, or those in the last wave would never get any while changes keep coming.
    """
    if has_stopped(state, settings):
        return True
    waiting = (
        each.purpose is Purpose.WAVE
        and each.is_healthy
        and state.proxy_state(each.instance_id).outcome is not Outcome.MISSING
        for each in due(state, settings, now)
    )
    return not (_under_way(state) or any(waiting))


def has_stopped(state: EnvironmentState, settings: Settings) -> bool:
    """Whether so many failed that no wave follows."""
    return len(_failed(state)) > count(settings.max_errors, len(state.proxies))


def ended(before: EnvironmentState, after: EnvironmentState, settings: Settings) -> tuple[str, ...]:
    """The outcome of a rollout that came to its end between two states; nothing while it goes on."""
    if progress.is_converged(after) and not progress.is_converged(before):
        return ("completed",)
    return ("stopped",) if has_stopped(after, settings) and not has_stopped(before, settings) else ()


def _under_way(state: EnvironmentState) -> list[Command]:
    """What others wait for. A comparison changes nothing, and one that no agent takes must not block the rest."""
    publication = state.publication
    return [
        command
        for command in state.commands
        if publication and command.generation == publication.generation
        if command.purpose is not Purpose.VERIFY and not command.is_stalled
    ]


def next_step(state: EnvironmentState, online: frozenset[str], settings: Settings, now: float) -> Step:
    """What to send now, to whom. `online` are the proxies whose agent can be reached."""
    publication = state.publication
    wanted = due(state, settings, now)
    if not publication or not wanted:
        return Step()
    ready = [each for each in wanted if each.at <= now and each.instance_id in online]
    later = [each.at for each in wanted if each.at > now and not each.is_drift_check]
    is_new = any(each.purpose is not Purpose.VERIFY for each in wanted)
    if settings.canary and is_new and not progress.proven_by(state):
        chosen = _canary(state, ready)
    else:
        chosen = _after_canary(state, ready, settings)
    claims = _claims(state, publication, chosen, settings, now)
    canaries = [each.claimed_at for each in (*claims, *_under_way(state)) if each.purpose is Purpose.CANARY]
    later += [at + progress.STALL_SECONDS for at in canaries if at + progress.STALL_SECONDS > now]
    return Step(claims, min(later, default=None))


def _canary(state: EnvironmentState, ready: list[Due]) -> list[Due]:
    """One proxy, nobody else, until it proved the digest running. The one that failed must succeed itself (F65)."""
    if _under_way(state):
        return []
    if failed := _failed(state):
        return [each for each in ready if each.instance_id in failed][:1]
    unsettled = [each for each in ready if each.purpose is not Purpose.VERIFY]
    if not unsettled:  # those that are left cannot be reached now: nobody else waits for them
        return _comparing(state, ready)
    best = sorted(unsettled, key=lambda each: (not each.is_healthy, not _was_claimed(state, each), _turn(state, each)))[
        :1
    ]
    return [replace(each, purpose=Purpose.CANARY) for each in best]


def _after_canary(state: EnvironmentState, ready: list[Due], settings: Settings) -> list[Due]:
    """The next wave, unless one is under way or too many failed; then the failed ones; then whoever must compare."""
    if _under_way(state):
        return []
    by_purpose = {purpose: [each for each in ready if each.purpose is purpose] for purpose in Purpose}
    # Those with a bad record go last and alone, so that MaxErrors does not stop the healthy because of them.
    wave = by_purpose[Purpose.WAVE]
    healthy = sorted((each for each in wave if each.is_healthy), key=lambda each: _turn(state, each)) or wave
    if healthy and not has_stopped(state, settings):
        return healthy[:CHUNK]
    # The stop protects who serves something. Proxies without any config yet go on, one by one, until one fails.
    has_config = {key for key, proxy_state in state.proxy_states.items() if proxy_state.running}
    new = [each for each in healthy if each.is_healthy and each.instance_id not in has_config]
    if new and has_config.issuperset(_failed(state)):
        return new[:1]
    return by_purpose[Purpose.RETRY][:CHUNK] or _comparing(state, by_purpose[Purpose.VERIFY])


def _comparing(state: EnvironmentState, ready: list[Due]) -> list[Due]:
    """One chunk after the other: each command has a MaxConcurrency of its own."""
    is_comparing = any(command.purpose is Purpose.VERIFY for command in state.commands)
    return [] if is_comparing else ready[:CHUNK]


def _was_claimed(state: EnvironmentState, each: Due) -> bool:
    """It may have been sent this already: no second one shall be at risk."""
    generation = state.publication.generation if state.publication else 0
    return state.proxy_state(each.instance_id).sent_generation == generation


def _turn(state: EnvironmentState, each: Due) -> tuple[float, str]:
    """Whoever waits longest is first, so that nobody is always last."""
    return state.proxy_state(each.instance_id).sent_at, each.instance_id


def _failed(state: EnvironmentState) -> list[str]:
    ids = (proxy.instance_id for proxy in state.proxies)
    return [each for each in ids if progress.has_failed(state, state.proxy_state(each))]


def _claims(
    state: EnvironmentState, publication: Publication, chosen: list[Due], settings: Settings, now: float
) -> tuple[Command, ...]:
    """One command per distinct config; together they start no more proxies at once than one command may."""
    groups: dict[Digest, list[Due]] = {}
    for each in chosen:
        digest = publication.assignment[each.instance_id]
        if digest:
            groups.setdefault(digest, []).append(each)
    limit = max(1, count(settings.max_concurrency, len(state.proxies)))
    claims: list[Command] = []
    for number, (digest, members) in enumerate(groups.items()):
        if claims and sum(len(claim.targets) for claim in claims) + len(members) > limit:
            break
        claims.append(
            Command(
                claim=f"{state.generation}.{number}",
                purpose=members[0].purpose,
                generation=publication.generation,
                digest=digest,
                targets=tuple(sorted(each.instance_id for each in members)),
                claimed_at=now,
            )
        )
    return tuple(claims)


def count(text: str, total: int) -> int:
    """What `10` or `25%` means here; a percentage rounds down."""
    return total * int(text[:-1]) // PERCENT if text.endswith("%") else int(text)
