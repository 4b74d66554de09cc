"""The last good config, which a proxy takes at boot, before its agent is there: which it is, and when it is put.

The object has one key, and S3 takes the last put, whoever makes it. So the state names the config first; whoever finds
it named puts it, and once more when all who may have read another name have ended.
"""

from dataclasses import replace

from haproxy_sync.rollout.limits import VOID_SECONDS
from haproxy_sync.rollout.progress import Progress, ProxyProgress
from haproxy_sync.state.model import (
    Digest,
    EnvironmentState,
    LastGood,
    Outcome,
    UnixSeconds,
)

# From the name to the first put, and to the last.
PUT_SECONDS = (1.0, VOID_SECONDS)
# Of these a proxy says nothing about the config that it shall run.
SAYS_NOTHING = frozenset({Outcome.MISSING, Outcome.DENIED, Outcome.UNKNOWN})


def good(state: EnvironmentState) -> Digest | None:
    """A config that is proven, once nobody is left to try what is published; None: nobody can say so now.

    More proxies run theirs than failed with it. Where each proxy has its own, it is that of one of them.
    """
    progress = Progress(state)
    digests = [state.desired(proxy.instance_id) for proxy in progress.proofs]
    if len(digests) <= len(progress.failed) or any(map(_is_trying, progress.proxies)):
        return None
    known = state.last_good.digest
    return known if known in digests else digests[0]


def _is_trying(proxy: ProxyProgress) -> bool:
    """Whether it may say yet that the config is no good."""
    is_over = proxy.is_settled or proxy.has_failed
    return not is_over and proxy.state.outcome not in SAYS_NOTHING


def named(state: EnvironmentState, now: UnixSeconds) -> EnvironmentState:
    """The state that names the config that is good now; else the one that was good last."""
    digest = good(state)
    if digest in {None, state.last_good.digest}:
        return state
    puts_at = tuple(now + seconds for seconds in PUT_SECONDS)
    return replace(state, last_good=LastGood(digest, puts_at))


def to_put(state: EnvironmentState, now: UnixSeconds) -> Digest | None:
    """The config to put now."""
    is_due = _puts_after(state, now) != state.last_good.puts_at
    return state.last_good.digest if is_due else None


def put(state: EnvironmentState, now: UnixSeconds) -> EnvironmentState:
    """The state that knows of the put."""
    left = replace(state.last_good, puts_at=_puts_after(state, now))
    return replace(state, last_good=left)


def put_at(state: EnvironmentState, now: UnixSeconds) -> UnixSeconds | None:
    """When to put it next; what should be done already is left to whoever comes."""
    return min(_puts_after(state, now), default=None)


def _puts_after(state: EnvironmentState, now: UnixSeconds) -> tuple[UnixSeconds, ...]:
    return tuple(at for at in state.last_good.puts_at if at > now)
