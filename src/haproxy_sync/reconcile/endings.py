"""Why backends are held no more: for the history, where that is published, and for the state, which has the last."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from haproxy_sync.reconcile.guard import Ending, Look, Verdict
from haproxy_sync.state.model import EndedHold, EnvironmentState

ENDED_HOLDS = 10  # that the state keeps
MAX_NAMED = 5  # instances by reason: fifty entries of the history are in every state


def noted(state: EnvironmentState, look: Look, verdict: Verdict) -> EnvironmentState:
    """The state with the guard's record after a look, and the end of the hold if it ended."""
    seen = replace(state, hold=verdict.hold, turnover=verdict.turnover)
    before, after = look.hold, verdict.hold
    if before is None or (after and after.since == before.since):
        return seen
    ended = EndedHold(before.reason, before.since, look.now, in_words(verdict.ended))
    return replace(seen, ended_holds=(*state.ended_holds, ended)[-ENDED_HOLDS:])


def explained(why: str, ended: Mapping[Ending, Sequence[str]]) -> str:
    """Why something is published, and who is held no more with it, and why."""
    if not ended:
        return why
    return f"{why}; no longer held: {in_words(ended)}"


def in_words(ended: Mapping[Ending, Sequence[str]]) -> str:
    """`missing for HoldMinutes (i-1, i-2)`, for each reason."""
    return "; ".join(map(_named, ended, ended.values()))


def _named(ending: Ending, names: Sequence[str]) -> str:
    if not names:
        return str(ending)
    return f"{ending} ({shown(names)})"


def shown(names: Sequence[str]) -> str:
    """`i-1, i-2`, and how many more there are of many."""
    more = len(names) - MAX_NAMED
    rest = [f"{more} more"] if more > 0 else []
    return ", ".join([*names[:MAX_NAMED], *rest])
