"""What an operator should know of an environment: one table, each row a cause with its health and what to do.

A row finds nothing, or what is wrong in words, since when, and what happens next by the code that decides it.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, filterfalse
from operator import attrgetter

from haproxy_sync.config import earlier_uploads
from haproxy_sync.fleet.inventory import FOREIGN_SUBNET, NEAR_MISS, NOT_IN_SERVICE
from haproxy_sync.fleet.model import Skipped, endpoint, ids
from haproxy_sync.operator import answers, comings
from haproxy_sync.operator.health import Health
from haproxy_sync.operator.situation import Situation, haproxy
from haproxy_sync.operator.words import clean, clip, count, joined, several
from haproxy_sync.reconcile.lifecycle import UNPROVED_SECONDS
from haproxy_sync.reconcile.reconciler import DEPLOY_SECONDS
from haproxy_sync.rollout import ownership, serving, word
from haproxy_sync.rollout.agents import FLOORS, Finding, findings, is_online
from haproxy_sync.rollout.progress import ProxyProgress
from haproxy_sync.rollout.watching import Standing
from haproxy_sync.settings import SECONDS_PER_MINUTE
from haproxy_sync.state.model import (
    BROKEN,
    ActionProgress,
    BackendServers,
    Command,
    Failure,
    HAProxy,
    Outcome,
    ProxyState,
    Purpose,
    Serving,
    UnixSeconds,
)
from haproxy_sync.state.store import state_key

RUNBOOK = "docs/runbook.md#"
MAX_WHAT = 400  # characters
DAY_SECONDS = 86400
RIVAL_SECONDS = (
    3600  # two of the longest waits between the tries of one that is refused
)
FRUITLESS_INSPECTIONS = 3
BOOT_SECONDS = 300  # until an agent of a new instance must have registered
COMMANDS: Mapping[str, str] = {
    Purpose.RETRY: "next try",
    Purpose.VERIFY: "next drift check",
    Purpose.CANARY: "next command",
    Purpose.WAVE: "next command",
}


@dataclass(frozen=True, slots=True)
class Next:
    """What happens next by itself, and when; empty: nothing, or nobody knows when."""

    what: str = ""
    at: UnixSeconds | None = None


NOTHING = Next()


@dataclass(frozen=True, slots=True)
class Found:
    """What a row has found. Where it says a health or an advice, that counts instead of the row's."""

    what: str
    since: UnixSeconds = 0.0
    next: Next = NOTHING
    instances: tuple[str, ...] = ()
    health: Health | None = None
    advice: str = ""
    runbook: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """A cause, the health of who has it, what to do, and the section of the runbook."""

    cause: str
    health: Health
    find: Callable[[Situation], Iterable[Found]]
    advice: str
    runbook: str


@dataclass(frozen=True, slots=True)
class Condition:
    """One thing that an operator should know; with the health `healthy` it is a note."""

    cause: str
    health: Health
    what: str
    since: UnixSeconds
    next: str
    next_at: UnixSeconds | None
    advice: str
    runbook: str
    instances: tuple[str, ...]


def conditions(situation: Situation) -> tuple[Condition, ...]:
    """All there are, the worst first, and of equal ones that of the first row."""
    rows = TABLE if situation.is_known else UNREADABLE
    found = [_condition(row, each) for row in rows for each in row.find(situation)]
    return tuple(sorted(found, key=lambda each: -each.health.rank))


def _condition(row: Row, found: Found) -> Condition:
    return Condition(
        cause=row.cause,
        health=found.health or row.health,
        what=clip(found.what, MAX_WHAT),
        since=found.since,
        next=clean(found.next.what),
        next_at=found.next.at,
        advice=clean(found.advice or row.advice),
        runbook=RUNBOOK + (found.runbook or row.runbook),
        instances=found.instances,
    )


def _next_look(situation: Situation) -> Next:
    return Next("next look", situation.next_look_at)


def _next_command(situation: Situation, instance_ids: Iterable[str]) -> Next:
    """To the first of them."""
    if situation.state.first_freeze:
        return Next("nothing is sent before unfreeze")
    coming = situation.earliest(instance_ids)
    if coming:
        return Next(COMMANDS[coming.purpose], coming.at)
    if frozen := situation.state.freeze:
        return Next("nothing is sent before the freeze ends", frozen.until)
    return NOTHING


def _called(situation: Situation, instance_ids: Collection[str]) -> str:
    return several([situation.name(key) for key in instance_ids])


def _with_id(situation: Situation, instance_id: str) -> str:
    """Its name, and its id to type."""
    name = situation.name(instance_id)
    return name if name == instance_id else f"{name} ({instance_id})"


type Find = Callable[[Situation], Iterator[Found]]
type Which = Callable[[Situation, ProxyProgress], bool]
type Such = Sequence[ProxyProgress]
type Tell = Callable[[Situation, Such], Found]


def together(which: Which, tell: Tell) -> Find:
    """One condition for all such proxies."""
    return grouped(which, tell, lambda _: "")


def alike(which: Which, tell: Tell) -> Find:
    """One condition for all such proxies with one outcome and one reason; the first of them is quoted."""
    return grouped(which, tell, _words)


def grouped(which: Which, tell: Tell, by: Callable[[ProxyProgress], str]) -> Find:
    """One condition for each group of such proxies."""

    def find(situation: Situation) -> Iterator[Found]:
        such = [each for each in situation.proxies if which(situation, each)]
        groups = _grouped((by(each), each) for each in such)
        return map(partial(tell, situation), groups.values())

    return find


def _ids(such: Such) -> tuple[str, ...]:
    return tuple(each.instance_id for each in such)


def _grouped[K, V](pairs: Iterable[tuple[K, V]]) -> Mapping[K, list[V]]:
    groups: defaultdict[K, list[V]] = defaultdict(list)
    for key, value in pairs:
        groups[key].append(value)
    return groups


def _words(proxy: ProxyProgress) -> str:
    """`failed cannot-write`."""
    return joined([str(proxy.state.outcome), proxy.state.reason], " ")


def _said(proxy: ProxyProgress) -> str:
    """`failed cannot-write: no room in /etc/haproxy`."""
    return joined([_words(proxy), clip(proxy.state.detail)], ": ")


def _failure(what: str, failure: Failure | None, coming: Next) -> Iterator[Found]:
    """What AWS refuses, if it does."""
    if failure:
        yield Found(f"{what}: {clip(str(failure))}", failure.since, coming)


# Rows, each in the order of the table.


def unreadable_state(situation: Situation) -> Iterator[Found]:
    """The bucket does not answer, or refuses; since when nobody can say who cannot read."""
    if situation.failure:
        settings, words = situation.settings, clip(str(situation.failure))
        place = f"s3://{settings.bucket}/{state_key(settings.environment)}"
        what = f"the state cannot be read from {place}: {words}"
        yield Found(what, next=Next("each sweep tries again"))


def corrupt_state(situation: Situation) -> Iterator[Found]:
    """Somebody wrote over it."""
    if situation.corruption:
        what = f"the object in the bucket is no state: {clip(situation.corruption)}"
        yield Found(what, next=Next("the next look replaces it"))


def newer_state(situation: Situation) -> Iterator[Found]:
    """An older release was deployed over a newer one."""
    if situation.newer:
        yield Found(situation.newer, next=Next("each sweep is refused"))


def _is_broken(situation: Situation, proxy: ProxyProgress) -> bool:
    """Whether it failed without keeping what is published from others."""
    is_alone = proxy.instance_id not in situation.stoppers
    # What came as a success and is unproven is a failure, too.
    has_failed = proxy.state.outcome in BROKEN or proxy.is_broken
    return has_failed and is_alone and proxy.state.outcome not in UNHEARD


def _is_stopper(situation: Situation, proxy: ProxyProgress) -> bool:
    return proxy.instance_id in situation.stoppers


def _is_down(_situation: Situation, proxy: ProxyProgress) -> bool:
    return proxy.state.reason.startswith("rollback-failed")


def rollback_failed(situation: Situation, such: Such) -> Found:
    """The host could not go back."""
    names, detail = _called(situation, _ids(such)), clip(such[0].state.detail)
    what = f"{names} may be down: the new config failed there, and so did going back ({detail})"
    return _refused(situation, such, what)


def _is_stopped(_situation: Situation, proxy: ProxyProgress) -> bool:
    return haproxy(proxy.state) is HAProxy.STOPPED


def haproxy_stopped(situation: Situation, such: Such) -> Found:
    """By the hosts' own last words."""
    return _not_serving(situation, such, "HAProxy is stopped on {}")


def _is_elsewhere(_situation: Situation, proxy: ProxyProgress) -> bool:
    return haproxy(proxy.state) is HAProxy.CONFIG_NOT_USED


def config_not_used(situation: Situation, such: Such) -> Found:
    """HAProxy runs with other files."""
    path = situation.settings.config_path
    return _not_serving(situation, such, f"HAProxy on {{}} does not run with {path}")


def _not_serving(situation: Situation, such: Such, what: str) -> Found:
    instances = _ids(such)
    return Found(
        what.format(_called(situation, instances)),
        min(_haproxy_since(each.state) for each in such),
        _next_command(situation, instances),
        instances,
    )


def _haproxy_since(observed: ProxyState) -> UnixSeconds:
    return observed.serving.since or word.heard_at(observed)


def rollout_stopped(situation: Situation, such: Such) -> Found:
    """Who failed keeps it from the others."""
    names, said = _called(situation, _ids(such)), _said(such[0])
    what = f"the rollout of generation {situation.state.generation} stopped at {names} ({said})"
    return _refused(situation, such, what)


def failed(situation: Situation, such: Such) -> Found:
    """With what is published or before."""
    what = f"{_called(situation, _ids(such))} said: {_said(such[0])}"
    return _refused(situation, such, what)


def _refused(situation: Situation, such: Such, what: str) -> Found:
    instances, observed = _ids(such), such[0].state
    reason = observed.reason.partition(",")[0]
    return Found(
        what,
        observed.failed_since,
        _next_command(situation, instances),
        instances,
        advice=ADVICE_BY_REASON.get(reason, ""),
    )


ADVICE_BY_REASON: Mapping[str, str] = {
    "cannot-write": "make room there",
    "state-unwritable": "make room in /var/lib/haproxy-ec2-sync there",
    "invalid-config": "mend the template or the variables",
    "unsafe-keyword": "name the keyword in AllowUnsafeKeywords, or take it out of the template",
    "slow-config": "find out what makes `haproxy -c` slow there",
    "agent-too-old": "update its SSM agent",
    "no-haproxy": "install HAProxy there",
    "not-replaceable": "let it be started with -W there",
    "no-python": "install Python 3.8 or later there",
    "download-failed": "let it reach the bucket",
    "program-download-failed": "let it reach the bucket",
    "checksum-mismatch": "find out who wrote the config's object in the bucket",
    "program-mismatch": "find out who wrote the program's object in the bucket",
    "cannot-bind": "free the address there, or mend the template",
    "missing-directory": "make the directory there",
    "state-overrides-file": "remove the saved state that overrules the config there",
}
"""By the reason of a host that refused; whatever else it says is in its own words."""


def send_failed(situation: Situation) -> Iterator[Found]:
    """SendCommand is refused, for whatever reason but a deploy's."""
    state = situation.state
    failure = None if state.refusal else state.send_failure
    coming = situation.earliest(state.proxy_ids)
    at = coming.at if coming else situation.next_look_at
    return _failure("no command can be sent", failure, Next("next try", at))


def document_refuses(situation: Situation) -> Iterator[Found]:
    """As in every deploy for some seconds."""
    refusal = situation.state.refusal
    if refusal is None:
        return
    is_lasting = situation.now - refusal.since >= DEPLOY_SECONDS
    what = refusal.reason or "the document takes no command of this function"
    yield Found(
        what if is_lasting else f"{what}, as during a deploy",
        refusal.since,
        Next("next try", refusal.until),
        health=Health.DEGRADED if is_lasting else Health.HEALTHY,
    )


def look_failed(situation: Situation) -> Iterator[Found]:
    """AWS refuses a call of each look."""
    return _failure("looks fail", situation.state.look_failure, _next_look(situation))


def template_error(situation: Situation) -> Iterator[Found]:
    """The old config stays."""
    state = situation.state
    if state.template_error:
        error = clip(state.template_error)
        what = f"the template does not render, so nothing new is published: {error}"
        yield Found(what, state.template_error_since, _next_look(situation))


def other_publisher(situation: Situation) -> Iterator[Found]:
    """Proxies that are another stack's by their own word."""
    state = situation.state
    for stack, instances in sorted(ownership.publishers(state).items()):
        if stack != state.publisher:
            names = _called(situation, instances)
            yield Found(
                f"{names} obey another stack, {_stack(stack)}, and refuse this one",
                next=_next_command(situation, instances),
                instances=instances,
                health=_once_published(situation),
            )


def _once_published(situation: Situation) -> Health:
    """Of what nobody has to mind before anything is published."""
    return Health.DEGRADED if situation.state.publication else Health.ATTENTION


def _stack(arn: str) -> str:
    """The name of a stack."""
    return clip(arn.rpartition(":stack/")[2].partition("/")[0] or arn)


def _is_denied(situation: Situation, proxy: ProxyProgress) -> bool:
    """By the service; a host that denies itself says whose it is."""
    is_ours = proxy.state.publisher in {"", situation.state.publisher}
    return proxy.state.outcome is Outcome.DENIED and is_ours


def denied(situation: Situation, such: Such) -> Found:
    """We may not command them."""
    instances = _ids(such)
    return Found(
        f"commands to {_called(situation, instances)} are refused ({_said(such[0])})",
        _outcome_since(situation, instances),
        _next_command(situation, instances),
        instances,
    )


def _outcome_since(situation: Situation, instances: Iterable[str]) -> UnixSeconds:
    """Since when the first of them is so; of one that an earlier release wrote, its last report."""
    states = map(situation.state.proxy_state, instances)
    return min((each.outcome_since or each.at for each in states), default=0.0)


def no_proxy(situation: Situation) -> Iterator[Found]:
    """Nobody to publish to."""
    settings, state = situation.settings, situation.state
    if state.proxies or not state.looked_at:
        return
    environment = f"{settings.environment_tag_key}={settings.environment}"
    wanted = f"{environment}, {settings.type_tag_key}={settings.proxy_tag_value}"
    yield Found(
        f"no running instance is tagged as a proxy ({wanted})",
        next=_next_look(situation),
        health=_once_published(situation),
        advice=_mistyped(situation),
    )


def unreachable(situation: Situation) -> Iterator[Found]:
    """No command gets there, as the service says of the agent, or of the last command."""
    away = filterfalse(situation.is_reachable, situation.state.proxy_ids)
    words = (((_away(situation, key), _boots(situation, key)), key) for key in away)
    for (reason, health), instances in _grouped(words).items():
        yield Found(
            f"no command reaches {_called(situation, instances)} ({clip(reason)})",
            _away_since(situation, instances),
            Next("it is brought up to date when its agent is back"),
            tuple(instances),
            health=health,
            advice=AWAY.get(reason, AWAY[Finding.OFFLINE]).format(instances[0]),
        )


def _boots(situation: Situation, instance_id: str) -> Health:
    """Healthy where a new instance may be booting: its agent registers some time after EC2 shows it."""
    observed = situation.state.proxy_state(instance_id)
    is_new = observed.sent_at == observed.at == 0
    was_there = Finding.NOT_REGISTERED not in _findings(situation, instance_id)
    has_had_time = situation.now >= _since(situation, [instance_id]) + BOOT_SECONDS
    is_wrong = was_there or has_had_time or not is_new
    return Health.DEGRADED if is_wrong else Health.HEALTHY


def _away(situation: Situation, instance_id: str) -> str:
    """What is wrong with its agent, or else what came of a command."""
    found = filter(AWAY.__contains__, _findings(situation, instance_id))
    return str(next(found, situation.state.proxy_state(instance_id).reason))


AWAY: Mapping[str, str] = {
    Finding.OFFLINE: "restart amazon-ssm-agent on it ({})",
    Finding.NOT_REGISTERED: "give it its role and a way to the SSM endpoints ({})",
}


def _away_since(situation: Situation, instances: Iterable[str]) -> UnixSeconds:
    """By what the service says of the agents, or else by the last command."""
    agents = filter(None, map(situation.state.agents.get, instances))
    since = _outcome_since if any(map(is_online, agents)) else _since
    return since(situation, instances)


def _since(situation: Situation, instances: Iterable[str]) -> UnixSeconds:
    agents = situation.state.agents
    return min((agents[key].since for key in instances if key in agents), default=0.0)


def _findings(situation: Situation, instance_id: str) -> tuple[Finding, ...]:
    agent = situation.state.agents.get(instance_id)
    return findings(agent) if agent else ()


def agent_in_doubt(finding: Finding) -> Callable[[Situation], Iterator[Found]]:
    """Of those whose agents have the finding."""

    def find(situation: Situation) -> Iterator[Found]:
        ids = situation.state.proxy_ids
        instances = [key for key in ids if finding in _findings(situation, key)]
        for first in instances[:1]:
            version = clip(situation.state.agents[first].version)
            names = _called(situation, instances)
            yield Found(
                f"the SSM agent of {names} is {version or 'of an unknown version'} ({finding})",
                instances=tuple(instances),
                advice=DOUBTS[finding].format(first),
            )

    return find


DOUBTS: Mapping[Finding, str] = {
    Finding.VERSION_UNKNOWN: f"update it to {FLOORS[Finding.OUTDATED]} or newer ({{}})",
    Finding.TOO_OLD: "no command works on it: update it ({})",
    Finding.OUTDATED: "a lost reply costs minutes: update it ({})",
}


def stalled(situation: Situation) -> Iterator[Found]:
    """A command that no agent takes, or whose targets hang."""
    for command in filter(attrgetter("is_stalled"), situation.state.commands):
        names = _called(situation, command.targets)
        yield Found(
            f"{names} did not take a command, or is at work on it for too long",
            command.claimed_at,
            _undelivered(command, situation.now),
            command.targets,
        )


def _undelivered(command: Command, now: UnixSeconds) -> Next:
    """Nothing more to come of one that was taken, or whose time is over."""
    is_to_come = command.deliver_by > now
    words = Next("it is not delivered any more", command.deliver_by)
    return words if is_to_come else NOTHING


def agents_failed(situation: Situation) -> Iterator[Found]:
    """Nobody can say whose agent is online."""
    what = "nobody can ask about the proxies' SSM agents"
    return _failure(what, situation.state.agents_failure, _next_look(situation))


def _is_behind(_situation: Situation, proxy: ProxyProgress) -> bool:
    """Whether a fence above its own did not help."""
    observed = proxy.state
    return (observed.outcome, observed.attempts > 1) == (Outcome.SUPERSEDED, True)


def superseded(situation: Situation, such: Such) -> Found:
    """They know a fence that no publication of ours has reached: one of the future."""
    instances = _ids(such)
    return Found(
        f"{_called(situation, instances)} refuse every command, for they know a higher fence",
        _outcome_since(situation, instances),
        _next_command(situation, instances),
        instances,
    )


def _is_unknown(_situation: Situation, proxy: ProxyProgress) -> bool:
    return proxy.state.outcome is Outcome.UNKNOWN


def unknown_outcome(situation: Situation, such: Such) -> Found:
    """An agent has or had a command, and nobody knows what became of it."""
    instances, observed = _ids(such), such[0].state
    names, said = _called(situation, instances), _said(such[0])
    return Found(
        f"nobody knows what became of a command on {names} ({said})",
        _outcome_since(situation, instances),
        _next_command(situation, instances),
        instances,
        runbook=HANGING.get(observed.reason, ""),
    )


HANGING: Mapping[str, str] = {"download-hanging": "download-hanging"}


def stale(situation: Situation, such: Such) -> Found:
    """Hosts whose last word is too old; who cannot be reached is another row's."""
    instances = _ids(such)
    minutes = round(word.counts_for(situation.settings) / SECONDS_PER_MINUTE)
    age = count(minutes, "minute")
    return Found(
        f"{_called(situation, instances)} said nothing for more than {age}",
        _heard_at(such),
        _next_command(situation, instances),
        instances,
    )


def _heard_at(such: Such) -> UnixSeconds:
    """When the first of them spoke last."""
    return min(word.heard_at(each.state) for each in such)


def _is_stale(situation: Situation, proxy: ProxyProgress) -> bool:
    """Whether its word is too old; one that never spoke was asked several times."""
    instance_id, observed = proxy.instance_id, proxy.state
    has_been_asked = observed.inspect_attempts >= FRUITLESS_INSPECTIONS
    is_expected = word.heard_at(observed) > 0 or has_been_asked
    is_old = situation.is_old(instance_id) and situation.is_reachable(instance_id)
    return is_old and is_expected


def _is_mute(situation: Situation, proxy: ProxyProgress) -> bool:
    """Whether its worker runs, and does not answer any more."""
    told = situation.serving.get(proxy.instance_id)
    return told is not None and told.mute_since > 0


def mute(situation: Situation, such: Such) -> Found:
    """It hangs, or its stats socket is gone: nobody knows whether it serves."""
    instances = _ids(such)
    names = _called(situation, instances)
    return Found(
        f"HAProxy runs on {names} and does not answer on its stats socket any more",
        min(each.state.serving.mute_since for each in such),
        _next_command(situation, instances),
        instances,
    )


def not_looked(situation: Situation) -> Iterator[Found]:
    """Neither a sweep nor an event came."""
    looked_at, expected_at = situation.state.looked_at, situation.next_look_at
    last = Next("a sweep was expected", expected_at)
    never = Found("nobody has looked at EC2 yet", next=Next("a sweep is expected soon"))
    if not situation.is_looked_after:
        yield Found("nobody looks at EC2", looked_at, last) if looked_at else never


def pool_empty(situation: Situation) -> Iterator[Found]:
    """The last look found nobody; the guard may keep those who vanished."""
    if situation.is_pool_empty:
        state, is_meant = situation.state, situation.settings.empty_pool == "publish"
        yield Found(
            _emptiness(situation),
            state.hold.since if state.hold else state.published_at,
            _end_of_hold(situation),
            tuple(situation.held),
            health=Health.ATTENTION if is_meant else Health.DEGRADED,
            advice=_mistyped(situation),
        )


def _emptiness(situation: Situation) -> str:
    if not situation.held:
        return "no backend is left, and an empty pool is published: requests get errors"
    kept = count(len(situation.held), "backend")
    return f"no backend is left; the config keeps {kept} that vanished"


def _end_of_hold(situation: Situation) -> Next:
    hold = answers.hold(situation.state, situation.now)
    if hold is None:
        return NOTHING
    by_time, otherwise = Next("the hold ends", hold["ends_at"]), Next(HOLD_ENDS)
    return by_time if hold["ends_at"] else otherwise


HOLD_ENDS = "the hold ends when enough of them are found"


def hold(situation: Situation) -> Iterator[Found]:
    """The guard keeps backends that vanished."""
    state = situation.state
    if state.hold is None or situation.is_pool_empty:
        return
    missing = tuple(state.hold.missing)
    total = count(len(state.pool), "backend")
    kept = f"{len(missing)} of {total} vanished and stay in the config"
    reason = clip(state.hold.reason)
    yield Found(
        f"{kept}: {reason}" if missing else reason,
        state.hold.since,
        _end_of_hold(situation),
        missing,
        advice=_mistyped(situation) or (HELD if missing else ""),
    )


HELD = "if they are gone on purpose, sync with allow_mass_removal; else mend their tags"


def _mistyped(situation: Situation) -> str:
    """What to mend where a tag seems to be mistyped: that may be why nobody is found."""
    such = (each for each in situation.state.skipped if each.reason == NEAR_MISS)
    tags = (
        f"mend the tag of {each.instance_id} ({clip(each.detail)})" for each in such
    )
    return next(tags, "")


def uploads_elsewhere(situation: Situation) -> Iterator[Found]:
    """An earlier stack's bucket has what may have been meant for this one; of several the newest is named."""
    addresses, bucket = situation.state.earlier_uploads, situation.settings.bucket
    if addresses:
        places = [address.removeprefix("s3://") for address in addresses]
        yield Found(
            f"an earlier stack of this name left uploads, and none is here: {several(places)}",
            next=Next("nothing is sent before unfreeze"),
            advice=earlier_uploads.copying(addresses, bucket),
        )


def near_miss(situation: Situation) -> Iterator[Found]:
    """A tag that seems to be mistyped."""
    what = "a tag of {} seems to be mistyped: {}"
    return _left_out(situation, what, lambda each: each.reason == NEAR_MISS)


def skipped(situation: Situation) -> Iterator[Found]:
    """Instances, or options of them, that a look left out."""
    what = "{} is left out, or a tag of it ({})"
    elsewhere = ON_PURPOSE | {NEAR_MISS, NOT_IN_SERVICE}
    return _left_out(situation, what, lambda each: each.reason not in elsewhere)


def left_out_on_purpose(situation: Situation) -> Iterator[Found]:
    """Whom the stack's own parameters leave out."""
    what = "{} is left out, as BackendSubnets does not list its subnet ({})"
    return _left_out(situation, what, lambda each: each.reason in ON_PURPOSE)


ON_PURPOSE = frozenset({FOREIGN_SUBNET})


def _left_out(
    situation: Situation, what: str, which: Callable[[Skipped], bool]
) -> Iterator[Found]:
    """The first of them by what was read, and how many others."""
    such = list(filter(which, situation.state.skipped))
    for first in such[:1]:
        name = _with_id(situation, first.instance_id)
        shown = clip(first.detail) or first.reason
        others = f"; and {len(such) - 1} more" if such[1:] else ""
        yield Found(
            what.format(name, shown) + others,
            next=_next_look(situation),
            instances=tuple(
                map(attrgetter("instance_id"), such[: answers.SHOWN_SKIPPED])
            ),
        )


def not_in_service(situation: Situation) -> Iterator[Found]:
    """Whom its Auto Scaling group has not brought into service, or keeps warm."""
    what = "{} waits for its Auto Scaling group to bring it into service ({})"
    return _left_out(situation, what, lambda each: each.reason == NOT_IN_SERVICE)


def action_failed(situation: Situation) -> Iterator[Found]:
    """Auto Scaling refuses to end or prolong an action; the first of them in its words."""
    such = [each for each in situation.state.lifecycle_actions if each.failure]
    for first in such[:1]:
        name = situation.name(first.action.instance_id)
        what = f"the lifecycle hook {first.action.hook} waits for {name}, and Auto Scaling refuses"
        for found in _failure(what, first.failure, Next("each look tries again")):
            yield replace(found, instances=_of_actions(such))


def _of_actions(such: Iterable[ActionProgress]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(each.action.instance_id for each in such))


def drain_unproved(situation: Situation) -> Iterator[Found]:
    """A proxy that answers may send new clients to who leaves, or not have who comes, for longer than a drain takes."""
    over = situation.now - situation.settings.drain_seconds
    such = [
        each
        for each in situation.open_actions
        if each.since <= over
        and comings.proxies(situation.watch, each, Standing.BEHIND)
    ]
    for first in such[:1]:
        behind = comings.proxies(situation.watch, first, Standing.BEHIND)
        name = situation.name(first.action.instance_id)
        end = first.since + situation.settings.drain_seconds + UNPROVED_SECONDS
        what = (
            f"{_called(situation, behind)} did not prove yet what is published of {name}, for which the lifecycle"
            f" hook {first.action.hook} waits"
        )
        coming = NOTHING if first.action.joins else Next("the hook is ended", end)
        yield Found(what, first.since, coming, _of_actions(such))


def all_drain(situation: Situation) -> Iterator[Found]:
    """Nobody else is left, so those who drain take new clients, too."""
    pool = situation.state.pool
    if all((pool, situation.watch.all_drain)):
        since = [each.since for each in situation.state.draining.values()]
        what = f"every backend drains ({len(pool)}): new clients get one of them as a last resort"
        instances = tuple(each.instance_id for each in pool)
        yield Found(what, max(since, default=0.0), instances=instances)


def draining(situation: Situation) -> Iterator[Found]:
    """Who drains, by the reason, and how many connections are left there."""
    state = situation.state
    drains = {
        key: each for key, each in state.draining.items() if key in ids(state.pool)
    }
    if not drains:
        return
    reasons = sorted({each.why for each in drains.values()})
    servers = [endpoint(each) for each in state.pool if each.instance_id in drains]
    counted = [comings.connections(state, each) for each in servers]
    left = (
        ""
        if None in counted
        else f", {count(sum(filter(None, counted)), 'connection')} left"
    )
    what = f"{_called(situation, drains.keys())} drains ({', '.join(reasons)}){left}"
    since = min(each.since for each in drains.values())
    yield Found(what, since, _end_of_drain(situation), tuple(drains))


def _end_of_drain(situation: Situation) -> Next:
    """Of the first that a hook waits for."""
    leaving = [each.since for each in situation.open_actions if not each.action.joins]
    if not leaving:
        return NOTHING
    at = min(leaving) + situation.settings.drain_seconds
    return Next("its lifecycle hook is ended when the last session is, or", at)


def rebalance(situation: Situation) -> Iterator[Found]:
    """EC2 says that it may take spot instances back."""
    recommended = situation.state.rebalance
    if recommended:
        names = _called(situation, recommended.keys())
        what = f"EC2 recommends to replace {names}, of which it may interrupt some soon"
        yield Found(what, min(recommended.values()), instances=tuple(recommended))


def rival(situation: Situation) -> Iterator[Found]:
    """Stacks that our proxies refuse."""
    state = situation.state
    for stack, instances in sorted(ownership.refused(state).items()):
        times = [state.proxy_state(key).other_publisher_at for key in instances]
        names = _called(situation, instances)
        what = f"another stack, {_stack(stack)}, tries to take {names}"
        # One that is there tries again within the hour.
        is_over = situation.now > max(times) + RIVAL_SECONDS
        health = Health.HEALTHY if is_over else None
        yield Found(what, min(times), instances=instances, health=health)


def hand_edit(situation: Situation, such: Such) -> Found:
    """Somebody knew better."""
    instances = _ids(such)
    coming = situation.earliest(instances)
    undone = Next("the drift check undoes it", coming.at if coming else None)
    later = _next_command(situation, instances)
    return Found(
        f"the config on {_called(situation, instances)} was edited by hand",
        min(_edited_since(each.state) for each in such),
        undone if coming else later,
        instances,
    )


def _edited_since(observed: ProxyState) -> UnixSeconds:
    return observed.found_since or word.heard_at(observed)


def repaired(situation: Situation) -> Iterator[Found]:
    """What a host undid within a day, and where it kept it."""
    since = situation.now - DAY_SECONDS
    for proxy in situation.proxies:
        edit = proxy.state.hand_edit
        if edit.at > since:
            name = situation.name(proxy.instance_id)
            yield Found(
                f"a hand edit on {name} was undone; it is kept there as {clip(edit.backup)}",
                edit.at,
                instances=(proxy.instance_id,),
            )


def backend_down(situation: Situation) -> Iterator[Found]:
    """Backends without any server that is UP, as proxies see them."""
    what, since = "has no server that is UP", attrgetter("since")
    return _of_backends(situation, serving.is_dead, what, since)


def servers_down(situation: Situation) -> Iterator[Found]:
    """Backends of whose servers some are DOWN."""
    what, since = "has servers that are DOWN", attrgetter("weak_since")
    return _of_backends(situation, serving.is_weak, what, since)


def _of_backends(
    situation: Situation,
    which: Callable[[BackendServers], bool],
    how: str,
    since: Callable[[Serving], UnixSeconds],
) -> Iterator[Found]:
    """All such as one condition: the first by name, and how many others."""
    found = _grouped(
        (backend.name, instance_id)
        for instance_id, told in situation.serving.items()
        for backend in filter(which, told.backends or ())
    )
    for name, instances in sorted(found.items())[:1]:
        concerned = tuple(sorted({*chain.from_iterable(found.values())}))
        others = count(len(found) - 1, "other backend")
        more = f", and so it is with {others}" if found.keys() - {name} else ""
        yield Found(
            f"backend {clip(name)} {how}, as {_called(situation, instances)} said{more}",
            min(map(since, map(situation.serving.__getitem__, concerned))),
            _next_command(situation, concerned),
            concerned,
        )


def first_freeze(situation: Situation) -> Iterator[Found]:
    """Nobody has let the first publication happen yet."""
    if situation.state.first_freeze:
        yield Found(
            "nothing was ever published here, and nothing is sent before unfreeze"
        )


def freeze(situation: Situation) -> Iterator[Found]:
    """An operator's, or a rollback's."""
    if frozen := situation.state.freeze:
        yield Found(
            f"frozen ({clip(frozen.reason)})",
            next=Next("the freeze ends", frozen.until),
        )


def rolling_out(situation: Situation) -> Iterator[Found]:
    """What is published is on its way, to whom nothing else keeps it from."""
    state = situation.state
    waiting = [
        key for key in situation.progress.unsettled if _is_waiting(situation, key)
    ]
    is_stuck = state.is_frozen or situation.stoppers
    if state.publication is None or is_stuck or not waiting:
        return
    has_it = len(situation.proxies) - len(situation.progress.unsettled)
    total = count(len(situation.proxies), "proxy")
    yield Found(
        f"generation {state.generation} rolls out, {has_it} of {total} have it",
        state.publication.at,
        _under_way(situation) or _next_command(situation, waiting),
        tuple(waiting),
    )


def _is_waiting(situation: Situation, instance_id: str) -> bool:
    """Whether nothing else is said of why it does not have it."""
    proxy = situation.progress.proxy(instance_id)
    is_explained = proxy.is_broken or proxy.state.outcome in EXPLAINED
    return not is_explained and situation.is_reachable(instance_id)


UNHEARD = frozenset({Outcome.DENIED, Outcome.UNKNOWN, Outcome.MISSING})
EXPLAINED = BROKEN | {Outcome.DENIED, Outcome.UNKNOWN}


def _under_way(situation: Situation) -> Next | None:
    """The commands that others wait for."""
    for command in situation.progress.under_way:
        names = _called(situation, command.targets)
        return Next(f"a {command.purpose} is at work on {names}")
    return None


def queued(situation: Situation) -> Iterator[Found]:
    """A change waits for the rollout under way."""
    if why := situation.state.queued:
        yield Found(
            f"a change waits for the rollout under way ({clip(why)})",
            next=_next_look(situation),
        )


UNREADABLE: tuple[Row, ...] = (
    Row(
        "unreadable-state",
        Health.UNKNOWN,
        unreadable_state,
        "give the function's role its rights on the bucket back",
        "status-itself-fails",
    ),
    Row(
        "corrupt-state",
        Health.UNKNOWN,
        corrupt_state,
        "find out who wrote it",
        "corrupt-state",
    ),
    Row(
        "newer-state",
        Health.UNKNOWN,
        newer_state,
        "deploy the newer release again",
        "newer-state",
    ),
)
"""What can be said where there is no state to judge."""

TABLE: tuple[Row, ...] = (
    Row(
        "rollback-failed",
        Health.DEGRADED,
        alike(_is_down, rollback_failed),
        "look at that host now",
        "proxy-refuses",
    ),
    Row(
        "haproxy-stopped",
        Health.DEGRADED,
        together(_is_stopped, haproxy_stopped),
        "start HAProxy there",
        "haproxy-does-not-run",
    ),
    Row(
        "config-not-used",
        Health.DEGRADED,
        together(_is_elsewhere, config_not_used),
        "make it the file that HAProxy runs with there",
        "haproxy-does-not-run",
    ),
    Row(
        "rollout-stopped",
        Health.DEGRADED,
        alike(_is_stopper, rollout_stopped),
        "mend what it says, or rollback",
        "proxy-refuses",
    ),
    Row(
        "failed",
        Health.DEGRADED,
        alike(_is_broken, failed),
        "mend what it says",
        "proxy-refuses",
    ),
    Row(
        "template-error",
        Health.DEGRADED,
        template_error,
        "upload a corrected template, or delete the upload",
        "template-broken",
    ),
    Row(
        "look-failed",
        Health.DEGRADED,
        look_failed,
        "give the function's role that right back",
        "looks-or-commands-are-refused",
    ),
    Row(
        "send-failed",
        Health.DEGRADED,
        send_failed,
        "give the function's role that right back",
        "looks-or-commands-are-refused",
    ),
    Row(
        "document-refuses",
        Health.HEALTHY,
        document_refuses,
        "if that lasts, deploy again",
        "document-differs",
    ),
    Row(
        "other-publisher",
        Health.DEGRADED,
        other_publisher,
        "delete that stack, or take the proxies by sync with adopt: true",
        "two-stacks-one-proxy",
    ),
    Row(
        "denied",
        Health.DEGRADED,
        alike(_is_denied, denied),
        "give the function's role its rights on them back, or mend their tags",
        "looks-or-commands-are-refused",
    ),
    Row(
        "unreachable",
        Health.DEGRADED,
        unreachable,
        "",
        "proxy-missing",
    ),
    Row(
        "no-proxy",
        Health.DEGRADED,
        no_proxy,
        "tag the HAProxy hosts",
        "no-proxy",
    ),
    Row(
        "pool-empty",
        Health.DEGRADED,
        pool_empty,
        "bring backends back, or mend their tags",
        "empty-pool",
    ),
    Row(
        "backend-down",
        Health.DEGRADED,
        backend_down,
        "find out why its servers fail their checks",
        "backend-down",
    ),
    Row(
        "not-looked",
        Health.UNKNOWN,
        not_looked,
        "read the function's log",
        "no-reconcile",
    ),
    Row(
        "superseded",
        Health.DEGRADED,
        together(_is_behind, superseded),
        "take the fence from their state",
        "higher-fence",
    ),
    Row(
        "unknown-outcome",
        Health.UNKNOWN,
        alike(_is_unknown, unknown_outcome),
        "look after its SSM agent",
        "agent-in-trouble",
    ),
    Row(
        "stale",
        Health.UNKNOWN,
        together(_is_stale, stale),
        "ask by inspect",
        "stale-proxies",
    ),
    Row(
        "mute",
        Health.UNKNOWN,
        together(_is_mute, mute),
        "see whether HAProxy still serves there",
        "haproxy-does-not-answer",
    ),
    Row(
        "lifecycle-action-failed",
        Health.DEGRADED,
        action_failed,
        "give the group the environment's tag, or the function's role that right back",
        "lifecycle-hooks",
    ),
    Row(
        "drain-unproved",
        Health.ATTENTION,
        drain_unproved,
        "see what keeps the config from that proxy",
        "lifecycle-hooks",
    ),
    Row(
        "all-drain",
        Health.ATTENTION,
        all_drain,
        "launch others, or end a drain",
        "every-backend-drains",
    ),
    Row(
        "stalled",
        Health.ATTENTION,
        stalled,
        "restart amazon-ssm-agent there, if that lasts",
        "proxy-missing",
    ),
    Row(
        "uploads-elsewhere",
        Health.ATTENTION,
        uploads_elsewhere,
        "",
        "uploads-elsewhere",
    ),
    Row(
        "near-miss",
        Health.ATTENTION,
        near_miss,
        "mend the tag, or leave it so",
        "near-misses",
    ),
    Row(
        "hold",
        Health.ATTENTION,
        hold,
        "tag the backends",
        "held-removal",
    ),
    Row(
        "servers-down",
        Health.ATTENTION,
        servers_down,
        "find out why they fail their checks",
        "backend-down",
    ),
    Row(
        "hand-edit",
        Health.ATTENTION,
        together(Situation.is_edited, hand_edit),
        "put the change into the template",
        "hand-edit",
    ),
    *(
        Row(
            str(finding),
            Health.ATTENTION,
            agent_in_doubt(finding),
            "",
            "proxy-missing",
        )
        for finding in (Finding.TOO_OLD, Finding.VERSION_UNKNOWN, Finding.OUTDATED)
    ),
    Row(
        "agents-failed",
        Health.ATTENTION,
        agents_failed,
        "give the function's role that right back",
        "looks-or-commands-are-refused",
    ),
    Row(
        "rival",
        Health.ATTENTION,
        rival,
        "delete the stack that should not be",
        "two-stacks-one-proxy",
    ),
    Row(
        "skipped",
        Health.ATTENTION,
        skipped,
        "mend it, or leave it so",
        "left-out",
    ),
    Row(
        "skipped",
        Health.HEALTHY,
        left_out_on_purpose,
        "",
        "left-out",
    ),
    Row(
        "draining",
        Health.HEALTHY,
        draining,
        "",
        "lifecycle-hooks",
    ),
    Row(
        "not-in-service",
        Health.HEALTHY,
        not_in_service,
        "",
        "lifecycle-hooks",
    ),
    Row(
        "rebalance-recommended",
        Health.HEALTHY,
        rebalance,
        "",
        "lifecycle-hooks",
    ),
    Row(
        "first-freeze",
        Health.HEALTHY,
        first_freeze,
        "look at plan, then unfreeze",
        "first-freeze",
    ),
    Row(
        "freeze",
        Health.HEALTHY,
        freeze,
        "unfreeze ends it",
        "frozen",
    ),
    Row(
        "rolling-out",
        Health.HEALTHY,
        rolling_out,
        "",
        "rollout-under-way",
    ),
    Row(
        "queued",
        Health.HEALTHY,
        queued,
        "",
        "rollout-under-way",
    ),
    Row(
        "repaired",
        Health.HEALTHY,
        repaired,
        "put the change into the template",
        "hand-edit",
    ),
)
"""What may be so, and what it is called; of equally bad ones the first is the headline."""
