"""How an environment is, in one sentence."""

from haproxy_sync.operator.conditions import Condition
from haproxy_sync.operator.health import Health, Sync, sync, worst
from haproxy_sync.operator.situation import Situation
from haproxy_sync.operator.words import clip, clock, count, joined
from haproxy_sync.state.model import UnixSeconds

MAX_LENGTH = 400
MAX_ADVICE = 200  # characters; longer ones are in the condition alone
IN_WORDS = {
    Sync.SYNCED: "in sync",
    Sync.OUT_OF_SYNC: "out of sync",
    Sync.UNKNOWN: "sync unknown",
    Sync.NOTHING_PUBLISHED: "nothing published",
}
_IS = {Health.ATTENTION: "needs attention"}


def headline(situation: Situation, found: tuple[Condition, ...]) -> str:
    """The worst condition, or that all is well, on one line of ASCII."""
    begin = f"{_how(situation, found)}: "
    if not found:
        return begin + _all_well(situation)
    first, *others = found
    since = _at("since", first.since, situation)
    coming = joined([first.next, _at("at", first.next_at, situation)], " ")
    more = f"and {len(others)} more" if others else ""
    clauses = joined(["", coming, _advice(first), more], "; ")
    end = _led(", ", since) + _led("; ", clauses)
    return begin + clip(first.what, MAX_LENGTH - len(begin) - len(end)) + end


def _how(situation: Situation, found: tuple[Condition, ...]) -> str:
    """`staging is degraded, out of sync`."""
    health = worst(condition.health for condition in found)
    how = _IS.get(health, f"is {health}")
    return f"{situation.settings.environment} {how}, {IN_WORDS[sync(situation)]}"


def _led(separator: str, text: str) -> str:
    """The text after its separator; nothing where there is none."""
    return f"{separator}{text}" if text else ""


def _at(word: str, time: UnixSeconds | None, situation: Situation) -> str:
    """`since 03:13:50 UTC`."""
    shown = clock(time, situation.now) if time else ""
    return f"{word} {shown}" if shown else ""


def _advice(condition: Condition) -> str:
    """What to do; nothing has to be done about a note."""
    if condition.health is Health.HEALTHY:
        return condition.advice
    is_short = len(condition.advice) <= MAX_ADVICE
    return joined([condition.advice if is_short else "", f"see {condition.runbook}"])


def _all_well(situation: Situation) -> str:
    """What runs, and when somebody looks next."""
    state = situation.state
    proxies = count(len(state.proxies), "proxy")
    backends = count(len(state.pool), "backend")
    runs = "runs" if len(state.proxies) == 1 else "run"
    look = _at("next look at", situation.next_look_at, situation)
    words = f"{proxies} {runs} generation {state.generation} with {backends}"
    return words + _led("; ", look)
