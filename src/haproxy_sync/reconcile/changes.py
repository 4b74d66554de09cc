"""What a publication changes in the configs themselves: for a plan in full, for history and log in bounded lines."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import starmap

from haproxy_sync.config.bounded import Bounds, bounded
from haproxy_sync.config.diff import ConfigDiff, semantic_diff
from haproxy_sync.errors import TemplateError
from haproxy_sync.fleet.model import Backend, Config
from haproxy_sync.state.model import Assignment, Digest, EnvironmentState
from haproxy_sync.state.store import Store

NO_CONFIG = Config("")
MAX_LINES = 40  # of one history entry; fifty of them are in every state
MAX_LENGTH = 160  # characters of a line

BOUNDS = Bounds(cpu_seconds=3.0, seconds=12.0)
"""No publication may wait because its change is hard to tell, as thousands of lines that repeat each other are."""
_TOO_MUCH = "these configs differ by more than can be told: compare them in the bucket"
UNTOLD = ConfigDiff((), (), (), other=(_TOO_MUCH,), keywords=(f"~ {_TOO_MUCH}",))
"""What is said of a change that takes more than the bounds."""


@dataclass(frozen=True, slots=True)
class Move:
    """From one config to another; None is no config."""

    old: Digest | None
    new: Digest | None


type Moves = Mapping[Move, list[str]]
"""The proxies that go from one config to another."""


def moves(old: Assignment, new: Assignment, proxy_ids: Iterable[str]) -> Moves:
    """Those of these proxies whose config is another one; one move also where there is no proxy yet."""
    ordered = tuple(proxy_ids)
    if not ordered:
        return {Move(old.shared, new.shared): []}
    proxies: defaultdict[Move, list[str]] = defaultdict(list)
    for instance_id in ordered:
        move = Move(old[instance_id], new[instance_id])
        if move.old != move.new:
            proxies[move].append(instance_id)
    return proxies


type Differences = list[tuple[list[str], ConfigDiff]]
"""What changes in each distinct config, and the proxies that it is for."""


@dataclass(frozen=True, slots=True)
class _Texts:
    """Configs by digest: those just rendered, and the others from the bucket."""

    store: Store
    known: dict[Digest, Config]

    def config(self, digest: Digest | None) -> Config:
        """The config and its secret lines, each read at most once; empty where there is none any more."""
        if digest is None:
            return NO_CONFIG
        if digest not in self.known:
            text = self.store.get_config(digest.sha256) or ""
            lines = self.store.get_secret_lines(digest.sha256)
            self.known[digest] = Config(text, lines)
        return self.known[digest]


def differences(
    store: Store,
    before: EnvironmentState,
    after: EnvironmentState,
    configs: Iterable[Config],
) -> Differences:
    """Each distinct change and the proxies it is for; a config that is not among `configs` is read from the bucket.

    `ClientError` or `BotoCoreError` if the bucket cannot be read.
    """
    found = moves(before.assignment, after.assignment, after.proxy_ids)
    return explained(store, found, (*before.pool, *after.pool), configs)


def explained(
    store: Store,
    found: Moves,
    backends: Iterable[Backend],
    configs: Iterable[Config] = (),
) -> Differences:
    """What each move changes, `UNTOLD` where that takes too long; the backends give servers their instance ids.

    Errors as above.
    """
    texts = _Texts(store, {Digest.of(config): config for config in configs})
    pairs = [(texts.config(move.old), texts.config(move.new)) for move in found]
    differ = partial(_diff, tuple(backends))
    try:
        diffs = bounded(lambda: list(starmap(differ, pairs)), "", BOUNDS)
    except TemplateError:
        diffs = [UNTOLD] * len(pairs)
    return list(zip(found.values(), diffs, strict=True))


def _diff(backends: Collection[Backend], old: Config, new: Config) -> ConfigDiff:
    secret_lines = (old.secret_lines, new.secret_lines)
    return semantic_diff(old.text, new.text, backends, secret_lines)


def in_lines(differences: Differences) -> tuple[str, ...]:
    """The changes as lines, each once: proxies whose configs differ mostly change alike."""
    every = [line[:MAX_LENGTH] for _, diff in differences for line in diff.lines()]
    lines = tuple(dict.fromkeys(every))
    more = len(lines) - MAX_LINES
    if more <= 0:
        return lines
    return (*lines[:MAX_LINES], f"... and {more} lines more")
