"""The state: the one object that says what is published, and how far each proxy is. Values only.

Every put gets a higher generation, so two states never have equal bytes and an ETag is never seen twice (F51).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType

from haproxy_sync.fleet.model import Backend, Config, Proxy, Skipped

HISTORY_LENGTH = 50


def state_key(environment: str) -> str:
    """Where the state is."""
    return f"state/{environment}.json"


def config_prefix(environment: str) -> str:
    """Below which all configs of the environment are, and nobody else's."""
    return f"configs/{environment}/"


def config_key(environment: str, sha256: str) -> str:
    """Where a config is."""
    return f"{config_prefix(environment)}{sha256}/haproxy.cfg"


class Purpose(StrEnum):
    """Why a command was sent."""

    CANARY = "canary"
    WAVE = "wave"
    RETRY = "retry"
    VERIFY = "verify"


class Outcome(StrEnum):
    """What a proxy reported, or what Run Command said where it reported nothing."""

    INSTALLED = "installed"
    UNCHANGED = "unchanged"
    REPAIRED = "repaired"
    SUPERSEDED = "superseded"
    NOT_RUNNING = "not-running"
    ROLLED_BACK = "rolled-back"
    FAILED = "failed"
    MISSING = "missing"  # not reachable: agent offline, unregistered, undeliverable
    DENIED = "denied"
    NOT_TRIED = "not-tried"


APPLIED = frozenset({Outcome.INSTALLED, Outcome.UNCHANGED, Outcome.REPAIRED, Outcome.NOT_RUNNING})
BROKEN = frozenset({Outcome.FAILED, Outcome.ROLLED_BACK})


@dataclass(frozen=True, slots=True)
class Digest:
    """A config by its digests: SHA-256 is its address in the bucket, MD5 what hosts compare."""

    sha256: str
    md5: str

    @classmethod
    def of(cls, config: Config) -> "Digest":
        """Of a rendered config."""
        return cls(config.sha256, config.md5)


@dataclass(frozen=True, slots=True)
class Assignment:
    """Which proxy gets which config: all the same one, or each its own."""

    shared: Digest | None = None
    by_proxy: Mapping[str, Digest] = field(default_factory=lambda: MappingProxyType({}), hash=False)

    def __getitem__(self, instance_id: str) -> Digest | None:
        """The proxy's config; None if it has none here."""
        return self.shared or self.by_proxy.get(instance_id)

    @property
    def digests(self) -> frozenset[Digest]:
        """Every distinct config."""
        return frozenset([self.shared] if self.shared else self.by_proxy.values())


@dataclass(frozen=True, slots=True)
class Document:
    """The SSM document's version and hash that a command was pinned to (F64)."""

    version: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Publication:
    """What the proxies shall run. `generation` is the number hosts are given."""

    generation: int
    at: float
    assignment: Assignment
    document: Document | None = None  # what the canary ran


@dataclass(frozen=True, slots=True)
class Command:
    """A Run Command in flight, or claimed. `targets` are the proxies that have not reported yet."""

    claim: str  # unique; names the command before it has an id
    purpose: Purpose
    generation: int
    digest: Digest
    targets: tuple[str, ...]
    claimed_at: float
    command_id: str = ""  # empty: claimed, SendCommand may or may not have happened
    is_stalled: bool = False  # no agent has taken it for so long that nobody else waits for it
    # Since when a target's final status is there without what the host said.
    silent: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}), hash=False)


@dataclass(frozen=True, slots=True)
class ProxyState:
    """What is known of one proxy. MD5s are what it said itself; empty is unknown."""

    outcome: Outcome | None = None
    reason: str = ""
    detail: str = ""
    generation: int = 0  # of the command that `outcome` answers
    sent_generation: int = 0  # the highest one ever claimed for it; above `generation`: a command may still arrive
    installed: str = ""
    running: str = ""
    backup: str = ""
    method: str = ""
    at: float = 0.0
    sent_at: float = 0.0
    attempts: int = 0  # in a row without success, for the back-off
    failed_generation: int = 0  # the publication that it tried last and failed, until it succeeds


@dataclass(frozen=True, slots=True)
class Hold:
    """Backends that vanished but stay in the config until confirmed; since when each is missing."""

    reason: str
    since: float
    missing: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}), hash=False)
    time_counts_since: float | None = None  # None: too few are left for time to let anybody go
    ends_at: float | None = None  # unix seconds; None: not by time


@dataclass(frozen=True, slots=True)
class Freeze:
    """Nothing is published or sent until then, except the publication that came with it (a rollback)."""

    until: float
    reason: str
    generation: int = 0


@dataclass(frozen=True, slots=True)
class Change:
    """One entry of the history: a publication, why, and which servers (instance ids) it changed."""

    generation: int
    at: float
    why: str
    assignment: Assignment
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    diff: tuple[str, ...] = ()  # what changes in the configs, in lines (`changes`)


@dataclass(frozen=True, slots=True)
class EnvironmentState:
    """The whole state of one environment."""

    generation: int = 0
    writer: str = ""  # the invocation that wrote it: equal bytes are then one's own
    looked_at: float = 0.0  # start of the last completed look
    wake_at: float = 0.0  # a delayed message of ours comes then
    converged_at: float = 0.0
    verify_requested_at: float = 0.0
    template_error: str = ""
    held_back: str = ""  # why there is a change that waits for the rollout under way
    backends: tuple[Backend, ...] | None = None  # the accepted pool; None: nothing accepted yet, or unknown (F48)
    proxies: tuple[Proxy, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    others: tuple[str, ...] = ()  # ids of the environment's other running instances: templates may show them
    publication: Publication | None = None
    commands: tuple[Command, ...] = ()
    late: tuple[Command, ...] = ()  # targets that failed by their silence: what they say yet still counts
    proxy_states: Mapping[str, ProxyState] = field(default_factory=lambda: MappingProxyType({}), hash=False)
    hold: Hold | None = None
    freeze: Freeze | None = None
    first_freeze: bool = False  # nothing was ever published here, and nobody has ended it (`StartFrozen`)
    history: tuple[Change, ...] = ()  # newest last

    def proxy_state(self, instance_id: str) -> ProxyState:
        """What is known of the proxy."""
        return self.proxy_states.get(instance_id, NOTHING_KNOWN)

    @property
    def is_frozen(self) -> bool:
        """Whether nothing new is published. A freeze that is over is gone from every `successor`."""
        return self.first_freeze or self.freeze is not None

    @property
    def instance_ids(self) -> frozenset[str]:
        """Every instance that was ours at the last look, or is in the config."""
        hosts = (*(self.backends or ()), *self.proxies)
        return frozenset(self.others).union(each.instance_id for known in (hosts, self.skipped) for each in known)

    @property
    def in_flight(self) -> frozenset[str]:
        """Proxies that have a command, or may have one."""
        return frozenset(target for command in self.commands for target in command.targets)


NOTHING_KNOWN = ProxyState()


def successor(previous: EnvironmentState, now: float, writer: str) -> EnvironmentState:
    """The next state: higher generation, expired freeze gone."""
    freeze = previous.freeze if previous.freeze and previous.freeze.until > now else None
    generation = max(previous.generation + 1, int(now))
    wake_at = previous.wake_at if previous.wake_at > now else 0.0
    return replace(previous, generation=generation, writer=writer, freeze=freeze, wake_at=wake_at)


def publish(
    state: EnvironmentState, assignment: Assignment, why: str, now: float, pool: tuple[Backend, ...]
) -> EnvironmentState:
    """The state with the assignment as its publication; nothing is written to the history if it is the same."""
    current = state.publication
    if current and current.assignment == assignment:
        return replace(state, backends=pool)
    before, after = ({backend.instance_id: backend for backend in hosts} for hosts in (state.backends or (), pool))
    change = Change(
        generation=state.generation,
        at=now,
        why=why,
        assignment=assignment,
        added=tuple(sorted(after.keys() - before.keys())),
        removed=tuple(sorted(before.keys() - after.keys())),
        changed=tuple(sorted(key for key in after.keys() & before.keys() if after[key] != before[key])),
    )
    return enact(replace(state, backends=pool), change)


def enact(state: EnvironmentState, change: Change) -> EnvironmentState:
    """The state whose publication is what the change says, and which remembers it."""
    return replace(
        state,
        publication=Publication(change.generation, change.at, change.assignment),
        history=(*state.history, change)[-HISTORY_LENGTH:],
    )
