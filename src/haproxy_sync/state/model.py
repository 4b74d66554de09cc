"""What is remembered of an environment between invocations, as frozen values. What changes them is in `rollout`."""

from collections.abc import Callable, Collection, Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from haproxy_sync.fleet.model import (
    Backend,
    Config,
    LifecycleAction,
    Proxy,
    Skipped,
    ids,
)

type UnixSeconds = float
"""A time as it is stored: seconds since 1970, UTC. Where it has no other meaning, 0 says never."""


SCHEMA = 2
"""Of the state that this release writes. It grows with a change by which an earlier release would lose or misread
something; a field that it may leave out is none (docs/decisions.md)."""

NO_SECRET_LINES = "0"  # noqa: S105 - a number
"""How the document's parameter says that a config has none."""


class Purpose(StrEnum):
    """Why a command was sent."""

    CANARY = "canary"
    WAVE = "wave"
    RETRY = "retry"
    VERIFY = "verify"
    INSPECT = "inspect"  # changes nothing there, and is waited for by nobody
    CHECK = "check"  # neither; and no state has it


class Outcome(StrEnum):
    """What a proxy reported, or what Run Command said where it reported nothing."""

    INSTALLED = "installed"
    UNCHANGED = "unchanged"
    REPAIRED = "repaired"
    SUPERSEDED = "superseded"
    NOT_RUNNING = "not-running"
    ROLLED_BACK = "rolled-back"
    FAILED = "failed"
    INSPECTED = "inspected"  # of an inspection alone
    CHECKED = "checked"  # of a check alone
    MISSING = "missing"  # not reachable: agent offline, unregistered, undeliverable
    UNKNOWN = "unknown"  # its agent has or had the command, and nobody knows what became of it
    DENIED = "denied"
    NOT_TRIED = "not-tried"


class HAProxy(StrEnum):
    """How HAProxy is on a host, by its own word."""

    RUNNING = "running"
    STOPPED = "stopped"
    CONFIG_NOT_USED = "config-not-used"  # it runs with other files
    UNKNOWN = ""

    @classmethod
    def read(cls, word: str) -> "HAProxy":
        """Unknown for whatever else a host says."""
        return cls(word) if word in set(cls) else cls.UNKNOWN


APPLIED = frozenset(
    {Outcome.INSTALLED, Outcome.UNCHANGED, Outcome.REPAIRED, Outcome.NOT_RUNNING}
)
BROKEN = frozenset({Outcome.FAILED, Outcome.ROLLED_BACK})


@dataclass(frozen=True, slots=True)
class Digest:
    """A config by its digests: SHA-256 is its address in the bucket, MD5 what hosts compare."""

    sha256: str
    md5: str
    # Its secret lines, as the document's parameter names them: by number and range, ascending.
    secret_lines: str = field(default=NO_SECRET_LINES, compare=False)

    @classmethod
    def of(cls, config: Config) -> "Digest":
        """Of a rendered config, as if it had no secret lines: how they are named is not known here."""
        return cls(config.sha256, config.md5)


@dataclass(frozen=True, slots=True)
class Assignment:
    """Which proxy gets which config: all the same one, or each its own."""

    shared: Digest | None = None
    by_proxy: Mapping[str, Digest] = field(
        default_factory=lambda: MappingProxyType({}), hash=False
    )

    def __getitem__(self, instance_id: str) -> Digest | None:
        """The proxy's config; None if it has none here."""
        return self.shared or self.by_proxy.get(instance_id)

    @property
    def digests(self) -> frozenset[Digest]:
        """Every distinct config."""
        return frozenset([self.shared] if self.shared else self.by_proxy.values())


NO_ASSIGNMENT = Assignment()


@dataclass(frozen=True, slots=True)
class Document:
    """The SSM document's version and hash that a rollout is pinned to, from its canary to its end."""

    version: str
    sha256: str
    program: str = ""  # SHA-256 of the program that commands name; empty: an earlier release knew of none


@dataclass(frozen=True, slots=True)
class Publication:
    """What the proxies shall run."""

    generation: int  # 1, 2, 3, ...: how people and the state name a publication
    fence: int  # what hosts compare: unix seconds, and always higher than the one before, so that the newest wins
    at: UnixSeconds
    assignment: Assignment
    document: Document | None = None  # what the canary ran
    # The program that brings it, where no document is pinned; empty: an earlier release's; None: nothing was ever sent.
    program: str | None = None
    # Where a deploy brought a program that is not proven, the first generation that it was to bring. Only what was done
    # since proves the publication, and who failed since may have failed by it.
    begun_generation: int = 0


@dataclass(frozen=True, slots=True)
class Command:
    """A Run Command in flight, or claimed. `targets` are the proxies that have not reported yet."""

    claim_id: str  # unique; names the command before it has an id
    purpose: Purpose
    generation: int  # of the publication that it brings
    fence: int  # of the publication that it brings
    digest: Digest
    targets: tuple[str, ...]
    claimed_at: UnixSeconds
    command_id: str = ""  # empty: claimed, SendCommand may or may not have happened
    adopts: bool = False  # takes its targets from another stack
    # The endpoints that it asks its targets about.
    watch: tuple[str, ...] = ()
    # What an inspection runs; None: what the publication is pinned to.
    document: Document | None = None
    # No agent took it in time, or its targets hang: nobody else waits for it.
    is_stalled: bool = False
    deliver_by: UnixSeconds = 0.0  # an agent that comes later does not get it
    # Since when a target's final status is there without what the host said.
    silent: Mapping[str, UnixSeconds] = field(
        default_factory=lambda: MappingProxyType({}), hash=False
    )
    # Since when a target is known to have taken it and to be at work.
    at_work: Mapping[str, UnixSeconds] = field(
        default_factory=lambda: MappingProxyType({}), hash=False
    )

    def without(self, instance_ids: Collection[str]) -> "Command":
        """The command with the targets that are left."""
        return replace(
            self,
            targets=tuple(
                target for target in self.targets if target not in instance_ids
            ),
            silent=without(self.silent, instance_ids),
            at_work=without(self.at_work, instance_ids),
        )

    def silent_for(self, seconds: float, now: UnixSeconds) -> frozenset[str]:
        """The targets whose output has been awaited for so many seconds."""
        return _as_long(self.silent, seconds, now)

    def at_work_for(self, seconds: float, now: UnixSeconds) -> frozenset[str]:
        """The targets that have been at work for so many seconds."""
        return _as_long(self.at_work, seconds, now)


def without[V](
    values: Mapping[str, V], instance_ids: Collection[str]
) -> Mapping[str, V]:
    """Those of other instances."""
    left = {key: each for key, each in values.items() if key not in instance_ids}
    return MappingProxyType(left)


def _as_long(
    times: Mapping[str, UnixSeconds], seconds: float, now: UnixSeconds
) -> frozenset[str]:
    return frozenset(
        target for target, since in times.items() if since + seconds <= now
    )


def with_targets(commands: Iterable[Command]) -> tuple[Command, ...]:
    """The commands that have targets left."""
    return tuple(command for command in commands if command.targets)


def without_targets(
    commands: Iterable[Command], instance_ids: Collection[str]
) -> tuple[Command, ...]:
    """The commands that have other targets, to those."""
    return with_targets(command.without(instance_ids) for command in commands)


@dataclass(frozen=True, slots=True)
class Inspection:
    """What a host said of itself when it was only asked; None is unknown."""

    at: UnixSeconds
    reason: str = ""  # how HAProxy is there, or why the host could not say
    has_answered: bool = True
    installed: str = ""
    running: str = ""
    haproxy_version: str = ""
    style: str = ""
    servers_up: int | None = None
    servers_down: int | None = None
    down: str = ""  # the first names


@dataclass(frozen=True, slots=True)
class BackendServers:
    """How many servers of a backend are UP and DOWN, as HAProxy on one proxy sees them."""

    name: str
    up: int
    down: int


@dataclass(frozen=True, slots=True)
class Watched:
    """What a proxy says of the servers with one endpoint, and of its connections to them, those of old workers too."""

    state: str = ""  # up, part, out, gone; empty: its worker could not be asked
    connections: int | None = None  # None: nobody could count them


@dataclass(frozen=True, slots=True)
class Serving:
    """What a host said last of its HAProxy, whatever it was asked for; empty and None are unknown."""

    at: UnixSeconds = (
        0.0  # when it was heard; 0: it never said, as in an earlier release
    )
    haproxy: HAProxy = HAProxy.UNKNOWN
    haproxy_version: str = ""
    backends: tuple[BackendServers, ...] | None = None  # the worst first
    more_backends: int = 0  # than it named
    # Since when HAProxy is so, and so are the backends that have no server UP.
    since: UnixSeconds = 0.0
    weak_since: UnixSeconds = 0.0  # and those of whose servers some are DOWN
    # Since when the worker, which told of its servers before, does not answer any more; 0: it does, or never did.
    mute_since: UnixSeconds = 0.0
    claimed_at: UnixSeconds = 0.0  # of the command that it answered
    style: str = ""  # how it was started
    old_workers: int | None = None  # that still finish their connections
    notes: tuple[str, ...] = ()  # of that run, whether it changed something or not
    # By endpoint: what it was asked about.
    watched: Mapping[str, Watched] = field(
        default_factory=lambda: MappingProxyType({}), hash=False
    )


@dataclass(frozen=True, slots=True)
class HandEdit:
    """The last hand edit that a command undid; the edited file is the backup."""

    at: UnixSeconds = 0.0  # when it was heard; 0: there was none
    backup: str = ""
    claimed_at: UnixSeconds = 0.0  # of the command that undid it


NEVER_TOLD = Serving()
NEVER_EDITED = HandEdit()


@dataclass(frozen=True, slots=True)
class ProxyState:
    """What was observed of one proxy. MD5s are what it said itself; empty is unknown."""

    outcome: Outcome | None = None
    reason: str = ""
    detail: str = ""
    # Of the last command whose effect here is clear: the host's fence, translated.
    observed_generation: int = 0
    sent_generation: int = 0  # the highest ever claimed for it; above the observed one: a command may still arrive
    installed: str = ""
    running: str = ""
    backup: str = ""
    # Of the last change: how it was made, what the host could not do, and how long the drop window was open.
    method: str = ""
    notes: tuple[str, ...] = ()
    window_ms: int = 0
    at: UnixSeconds = 0.0
    sent_at: UnixSeconds = 0.0
    attempts: int = 0  # in a row without success, for the back-off
    # The publication that it tried last and failed, until it succeeds.
    failed_generation: int = 0
    failed_since: UnixSeconds = 0.0  # since when it has not succeeded; 0: it has
    # Whose the host is, by its own word; empty: nobody's, or unknown.
    publisher: str = ""
    other_publisher: str = ""  # that it refused within a day
    other_publisher_at: UnixSeconds = 0.0
    # Since when it is to be adopted; 0 once it said that it is ours.
    adopt_since: UnixSeconds = 0.0
    inspection: Inspection | None = None
    inspect_sent_at: UnixSeconds = 0.0
    inspect_attempts: int = 0  # in a row without an answer
    # Since when inspections find the file there that they found last.
    found_since: UnixSeconds = 0.0
    outcome_since: UnixSeconds = 0.0  # 0: an earlier release did not write it
    serving: Serving = NEVER_TOLD
    hand_edit: HandEdit = NEVER_EDITED


@dataclass(frozen=True, slots=True)
class Hold:
    """Backends that vanished but stay in the config until confirmed; since when each is missing."""

    reason: str
    since: UnixSeconds
    missing: Mapping[str, UnixSeconds] = field(
        default_factory=lambda: MappingProxyType({}), hash=False
    )
    # None: too few are left for time to let anybody go.
    time_counts_since: UnixSeconds | None = None
    ends_at: UnixSeconds | None = None  # None: not by time
    # When time lets each of the missing go; nobody is named here while time lets nobody go.
    let_go_at: Mapping[str, UnixSeconds] = field(
        default_factory=lambda: MappingProxyType({}), hash=False
    )


@dataclass(frozen=True, slots=True)
class EndedHold:
    """A hold that is over, and what ended it: an end without a publication is not in the history."""

    reason: str
    since: UnixSeconds
    ended_at: UnixSeconds
    why: str


@dataclass(frozen=True, slots=True)
class Turnover:
    """Who vanished unannounced and who joined within the hold time: what the guard counts a loss against.

    `departed` has every unannounced backend that is missing still, whether held or let go, since when; `joined` when
    each newcomer was seen first. Both forget after the hold time, but for who is in the config yet, or not yet in it.
    `announced` are those who said that they would go when they were shown last; None: an earlier release did not write.
    """

    departed: Mapping[str, UnixSeconds] = field(
        default_factory=lambda: MappingProxyType({}), hash=False
    )
    joined: Mapping[str, UnixSeconds] = field(
        default_factory=lambda: MappingProxyType({}), hash=False
    )
    announced: tuple[str, ...] | None = None


NO_TURNOVER = Turnover()


@dataclass(frozen=True, slots=True)
class Drain:
    """Why a backend gets no new clients while others can answer, and since when."""

    why: str  # the tag, its lifecycle state, or that it has a spot interruption notice
    since: UnixSeconds


@dataclass(frozen=True, slots=True)
class ActionProgress:
    """A lifecycle action since it was seen first, until no look shows it any more."""

    action: LifecycleAction
    since: UnixSeconds
    heartbeat_at: UnixSeconds = 0.0  # of the last one that we sent
    # The first generation in which new clients go elsewhere, where it leaves; 0: none yet.
    generation: int = 0
    busy_at: UnixSeconds = 0.0  # when a proxy was not through with it last
    ended_at: UnixSeconds = 0.0  # 0: it goes on
    result: str = ""  # CONTINUE or ABANDON; empty also where it was over without us
    # Of the last call, until one succeeds.
    failure: "Failure | None" = None

    @property
    def key(self) -> tuple[str, str, bool]:
        """Instance, hook and way: one hook waits for an instance of a warm pool there, and again when it joins."""
        return self.action.instance_id, self.action.hook, self.action.joins


@dataclass(frozen=True, slots=True)
class Freeze:
    """Nothing is published or sent until then, except the publication that came with it (a rollback)."""

    until: UnixSeconds
    reason: str
    generation: int = 0


@dataclass(frozen=True, slots=True)
class Refusal:
    """The document takes no command of ours, or is not ours: since when, and until when none is sent."""

    since: UnixSeconds
    until: UnixSeconds
    program: str = ""  # that was to be run; empty: an earlier release did not write it
    # How the document is another one; empty: the service took no command.
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Failure:
    """What a call failed with, in the words of who refused it: since when without a success, and when last."""

    operation: str  # of AWS; empty: the failure is none of a service's
    code: str
    message: str
    since: UnixSeconds
    at: UnixSeconds

    def __str__(self) -> str:
        """`DescribeInstances: UnauthorizedOperation: You are not authorized ...`."""
        return ": ".join(filter(None, (self.operation, self.code, self.message)))


@dataclass(frozen=True, slots=True)
class Agent:
    """What Run Command says of a proxy's SSM agent; both texts are empty where it knows of none."""

    version: str
    ping: str  # `Online`, or another word
    at: UnixSeconds  # when it was asked
    # When it was so for the first time, as far as anybody asked.
    since: UnixSeconds = 0.0


@dataclass(frozen=True, slots=True)
class Change:
    """One entry of the history: a publication, why, and which servers (instance ids) it changed."""

    generation: int
    fence: int
    at: UnixSeconds
    why: str
    assignment: Assignment
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    # How many more there are of each than the entry names (`state.history`).
    more_added: int = 0
    more_removed: int = 0
    more_changed: int = 0
    # What changes in the configs, in lines that show no secret (`reconcile.changes`). Earlier releases wrote others, as
    # `diff`: they may show secrets, so nobody reads them.
    lines: tuple[str, ...] = ()


class OriginKind(StrEnum):
    """Where the template, or its variables, come from."""

    BUNDLED = "bundled"  # with the function, this project's own
    DEPLOYED = "deployed"  # with the function, the user's
    UPLOADED = "uploaded"
    NONE = "none"  # there are no variables
    UNKNOWN = "unknown"  # the bucket could not be asked, or nobody has asked it


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the template, or its variables, came from when somebody looked last."""

    kind: OriginKind = OriginKind.UNKNOWN
    version: str = ""  # changes with the files
    at: UnixSeconds = 0.0  # of the newest upload; 0: nothing is uploaded


UNKNOWN_ORIGIN = Origin()


@dataclass(frozen=True, slots=True)
class LastGood:
    """The config that a proxy takes at boot, which the bucket shall have at a fixed key."""

    digest: Digest | None = None  # None: none was good yet
    puts_at: tuple[UnixSeconds, ...] = ()  # when it is yet to be put there


NEVER_GOOD = LastGood()


@dataclass(frozen=True, slots=True)
class EnvironmentState:
    """The whole state of one environment, one object in the bucket.

    Its desired half is the publication, with the pool it was rendered from, the guard's hold, a freeze and the
    history; its observed half is what each proxy said last and which commands are in flight.
    """

    # As it was read; what is written has `SCHEMA`. 1: a release that wrote none.
    schema: int = field(default=1, compare=False)
    revision: int = 0  # counts the writes of this object
    writer: str = ""  # the invocation that wrote it: equal bytes are then one's own
    looked_at: UnixSeconds = 0.0  # start of the last completed look
    wake_at: UnixSeconds = 0.0  # a delayed message of ours comes then
    advance_at: UnixSeconds = 0.0  # and one that wants no look then
    converged_at: UnixSeconds = 0.0
    verify_requested_at: UnixSeconds = 0.0
    inspect_requested_at: UnixSeconds = 0.0
    publisher: str = ""  # our stack
    template_error: str = ""
    template_error_since: UnixSeconds = 0.0
    template_origin: Origin = UNKNOWN_ORIGIN
    variables_origin: Origin = UNKNOWN_ORIGIN
    # Addresses of uploads in buckets that earlier stacks of this name left, as long as nothing is published here.
    earlier_uploads: tuple[str, ...] = ()
    queued: str = ""  # why there is a change that waits for the rollout under way
    refusal: Refusal | None = None
    # Of the last look, or of a step without one; only a look that succeeds ends it.
    look_failure: Failure | None = None
    send_failure: Failure | None = None  # until a command is taken
    # What was learned last of the proxies' agents, and why the last question about them has no answer.
    agents: Mapping[str, Agent] = field(
        default_factory=lambda: MappingProxyType({}), hash=False
    )
    agents_failure: Failure | None = None
    # The accepted pool; None: nothing accepted yet, or unknown.
    backends: tuple[Backend, ...] | None = None
    proxies: tuple[Proxy, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    # Ids of the environment's other running instances: templates may show them.
    others: tuple[str, ...] = ()
    publication: Publication | None = None
    last_good: LastGood = NEVER_GOOD
    commands: tuple[Command, ...] = ()
    # In flight or claimed, apart: nothing waits for them.
    inspecting: tuple[Command, ...] = ()
    # Targets that failed by their silence: what they say yet still counts.
    late: tuple[Command, ...] = ()
    proxy_states: Mapping[str, ProxyState] = field(
        default_factory=lambda: MappingProxyType({}), hash=False
    )
    # Those that drain, of all that the last look found with the tags of a backend.
    draining: Mapping[str, Drain] = field(
        default_factory=lambda: MappingProxyType({}), hash=False
    )
    lifecycle_actions: tuple[ActionProgress, ...] = ()
    # When EC2 recommended to replace a spot instance: a note, by the word of an event.
    rebalance: Mapping[str, UnixSeconds] = field(
        default_factory=lambda: MappingProxyType({}), hash=False
    )
    hold: Hold | None = None
    ended_holds: tuple[EndedHold, ...] = ()  # newest last
    turnover: Turnover = NO_TURNOVER
    freeze: Freeze | None = None
    first_freeze: bool = False  # nothing was ever published here, and nobody has ended it (`StartFrozen`)
    history: tuple[Change, ...] = ()  # newest last

    def is_published_since(self, before: "EnvironmentState") -> bool:
        """Whether another assignment is published than was; the first one is, even if it assigns nothing."""
        if self.publication is None:
            return False
        return before.publication is None or before.assignment != self.assignment

    def proxy_state(self, instance_id: str) -> ProxyState:
        """What was observed of the proxy."""
        return self.proxy_states.get(instance_id, NEVER_OBSERVED)

    def desired(self, instance_id: str) -> Digest | None:
        """The config that the proxy shall run; None if nothing is published for it."""
        return self.assignment[instance_id]

    def with_command(
        self, claim_id: str, change: Callable[[Command], Command]
    ) -> "EnvironmentState":
        """With this command in flight changed; it is dropped once it has no targets left."""
        commands = (
            change(each) if each.claim_id == claim_id else each
            for each in self.commands
        )
        return replace(self, commands=with_targets(commands))

    def with_each_proxy_state(
        self, instance_ids: Iterable[str], change: Callable[[ProxyState], ProxyState]
    ) -> "EnvironmentState":
        """With the same change of what was observed of each of these proxies."""
        return self.with_proxy_states(
            {
                instance_id: change(self.proxy_state(instance_id))
                for instance_id in instance_ids
            }
        )

    def with_proxy_states(
        self, changed: Mapping[str, ProxyState]
    ) -> "EnvironmentState":
        """With what was observed of some proxies as it is now."""
        return replace(
            self, proxy_states=MappingProxyType({**self.proxy_states, **changed})
        )

    @property
    def assignment(self) -> Assignment:
        """Which proxy shall run which config; none has one while nothing is published."""
        if self.publication:
            return self.publication.assignment
        return NO_ASSIGNMENT

    @property
    def fence(self) -> int:
        """What hosts shall compare; 0 while nothing is published."""
        if self.publication:
            return self.publication.fence
        return 0

    @property
    def document(self) -> Document | None:
        """What the publication's newest command runs; None while it has had none."""
        return self.publication.document if self.publication else None

    @property
    def program(self) -> str | None:
        """The program that brings the publication; None while nothing was ever sent."""
        if self.document:
            return self.document.program
        return self.publication.program if self.publication else None

    def with_publication(self, **changes: Any) -> "EnvironmentState":
        """With some of the publication's fields changed; as it is where nothing is published."""
        if self.publication is None:
            return self
        return replace(self, publication=replace(self.publication, **changes))

    def refused_until(self, now: UnixSeconds) -> UnixSeconds | None:
        """Until when nothing is sent because of the document; None once it may be tried."""
        if self.refusal is None or self.refusal.until <= now:
            return None
        return self.refusal.until

    @property
    def difference(self) -> str:
        """How the document is not the function's, as long as that keeps commands from being sent."""
        return self.refusal.reason if self.refusal else ""

    @property
    def pool(self) -> tuple[Backend, ...]:
        """The accepted backends; none while nothing was accepted."""
        return self.backends or ()

    @property
    def generation(self) -> int:
        """The number of the publication; 0 while nothing is published."""
        if self.publication:
            return self.publication.generation
        return 0

    @property
    def begun_generation(self) -> int:
        """The first generation that a program was to bring which no proxy has proven; 0 where there is none."""
        return self.publication.begun_generation if self.publication else 0

    @property
    def published_at(self) -> UnixSeconds:
        """When that was; 0 while nothing is published."""
        return self.publication.at if self.publication else 0.0

    def freeze_at(self, now: UnixSeconds) -> Freeze | None:
        """The freeze that goes on at that time."""
        if self.freeze is None or self.freeze.until <= now:
            return None
        return self.freeze

    @property
    def is_frozen(self) -> bool:
        """Whether nothing new is published. A freeze that is over is gone from every `next_revision`."""
        return self.first_freeze or self.freeze is not None

    @property
    def proxy_ids(self) -> tuple[str, ...]:
        """The proxies of the last look."""
        return tuple(proxy.instance_id for proxy in self.proxies)

    @property
    def instance_ids(self) -> AbstractSet[str]:
        """Every instance that was ours at the last look, or is in the config."""
        hosts = (*self.pool, *self.proxies)
        return ids(hosts) | ids(self.skipped) | set(self.others)

    @property
    def proxies_in_flight(self) -> frozenset[str]:
        """Proxies that have a command, or may have one."""
        return frozenset(
            target for command in self.commands for target in command.targets
        )


NEVER_OBSERVED = ProxyState()
