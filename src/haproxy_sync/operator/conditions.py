"""What an operator should know of an environment: one table, each row a cause with its health and what to do.

A row finds nothing, or what is wrong in words, since when, and what happens next by the code that decides it.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from operator import attrgetter

from haproxy_sync.fleet.inventory import NEAR_MISS
from haproxy_sync.operator import answers
from haproxy_sync.operator.health import Health
from haproxy_sync.operator.situation import HAProxy, Situation, haproxy
from haproxy_sync.operator.words import clean, clip, count, joined, several
from haproxy_sync.reconcile.reconciler import DEPLOY_SECONDS
from haproxy_sync.rollout import ownership, word
from haproxy_sync.rollout.agents import ADVICE, Finding, findings
from haproxy_sync.rollout.progress import ProxyProgress
from haproxy_sync.state.model import BROKEN, Failure, Outcome, Purpose, UnixSeconds
from haproxy_sync.state.store import state_key

RUNBOOK = "docs/runbook.md#"
MAX_WHAT = 400  # characters
DAY_SECONDS = 86400
FRUITLESS_INSPECTIONS = 3
UNREACHABLE = (Finding.NOT_REGISTERED, Finding.OFFLINE)
COMMANDS: Mapping[Purpose, str] = {
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


def _called(situation: Situation, instance_ids: Iterable[str]) -> str:
    return several([situation.name(key) for key in instance_ids])


def _with_id(situation: Situation, instance_id: str) -> str:
    """Its name, and its id to type."""
    name = situation.name(instance_id)
    return name if name == instance_id else f"{name} ({instance_id})"


def _by_reason(
    proxies: Iterable[ProxyProgress],
) -> Iterator[tuple[ProxyProgress, tuple[str, ...]]]:
    """The first of those with one outcome and one reason, and all of their ids."""
    groups: defaultdict[tuple[object, str], list[ProxyProgress]] = defaultdict(list)
    for proxy in proxies:
        groups[proxy.state.outcome, proxy.state.reason].append(proxy)
    for members in groups.values():
        yield members[0], tuple(member.instance_id for member in members)


def _said(proxy: ProxyProgress) -> str:
    """`failed cannot-write: no room in /etc/haproxy`."""
    observed = proxy.state
    words = joined([str(observed.outcome), observed.reason], " ")
    return joined([words, clip(observed.detail)], ": ")


def _failure(what: str, failure: Failure, coming: Next) -> Found:
    return Found(f"{what}: {clip(str(failure))}", failure.since, coming)


# Rows, each in the order of the table.


def unreadable_state(situation: Situation) -> Iterator[Found]:
    """The bucket does not answer, or refuses."""
    if situation.failure is None:
        return
    settings = situation.settings
    place = f"s3://{settings.bucket}/{state_key(settings.environment)}"
    words = clip(str(situation.failure))
    yield Found(f"the state cannot be read from {place}: {words}")


def corrupt_state(situation: Situation) -> Iterator[Found]:
    """Somebody wrote over it."""
    if situation.corruption:
        what = f"the object in the bucket is no state: {clip(situation.corruption)}"
        yield Found(what, next=Next("the next look replaces it"))


def rollback_failed(situation: Situation) -> Iterator[Found]:
    """The host could not go back."""
    for proxy, instances in _by_reason(_broken(situation)):
        if _is_rollback_failed(proxy):
            names = _called(situation, instances)
            yield Found(
                f"{names} may be down: the new config failed, and so did going back to the old one"
                f" ({clip(proxy.state.detail)})",
                proxy.state.at,
                _next_command(situation, instances),
                instances,
            )


def _broken(situation: Situation) -> list[ProxyProgress]:
    return [each for each in situation.proxies if each.state.outcome in BROKEN]


def _is_rollback_failed(proxy: ProxyProgress) -> bool:
    return proxy.state.reason.startswith("rollback-failed")


def haproxy_stopped(situation: Situation) -> Iterator[Found]:
    """By the hosts' own last words."""
    if instances := _whose(situation, HAProxy.STOPPED):
        observed = situation.state.proxy_state(instances[0])
        yield Found(
            f"HAProxy is stopped on {_called(situation, instances)}",
            word.heard_at(observed),
            _next_command(situation, instances),
            instances,
        )


def _whose(situation: Situation, how: HAProxy) -> tuple[str, ...]:
    return tuple(
        proxy.instance_id for proxy in situation.proxies if haproxy(proxy.state) is how
    )


def config_not_used(situation: Situation) -> Iterator[Found]:
    """HAProxy runs with other files."""
    if instances := _whose(situation, HAProxy.CONFIG_NOT_USED):
        path = situation.settings.config_path
        names = _called(situation, instances)
        yield Found(
            f"HAProxy on {names} runs without {path}",
            next=_next_command(situation, instances),
            instances=instances,
            advice=f"make {path} the file that HAProxy runs with there",
        )


def rollout_stopped(situation: Situation) -> Iterator[Found]:
    """Who failed keeps it from the others."""
    stoppers = set(situation.stoppers)
    failed = (each for each in situation.proxies if each.instance_id in stoppers)
    generation = situation.state.generation
    for proxy, instances in _by_reason(failed):
        if not _is_rollback_failed(proxy):
            names = _called(situation, instances)
            what = f"the rollout of generation {generation} stopped at {names} ({_said(proxy)})"
            yield _refused(situation, proxy, instances, what)


def failed(situation: Situation) -> Iterator[Found]:
    """With what is published or before, without keeping it from others."""
    stoppers = set(situation.stoppers)
    alone = (each for each in _broken(situation) if each.instance_id not in stoppers)
    for proxy, instances in _by_reason(alone):
        if not _is_rollback_failed(proxy):
            names = _called(situation, instances)
            yield _refused(situation, proxy, instances, f"{names} said: {_said(proxy)}")


def _refused(
    situation: Situation, proxy: ProxyProgress, instances: tuple[str, ...], what: str
) -> Found:
    reason = proxy.state.reason.partition(",")[0]
    return Found(
        what,
        proxy.state.at,
        _next_command(situation, instances),
        instances,
        advice=ADVICE_BY_REASON.get(reason, ""),
    )


ADVICE_BY_REASON: Mapping[str, str] = {
    "cannot-write": "make room there",
    "state-unwritable": "make room in /var/lib/haproxy-ec2-sync there",
    "invalid-config": "mend the template or the variables",
    "agent-too-old": "update its SSM agent",
    "no-haproxy": "install HAProxy there",
    "no-python": "install Python 3.8 or later there",
    "download-failed": "let it reach the bucket",
    "program-download-failed": "let it reach the bucket",
    "checksum-mismatch": "see who wrote the config's object in the bucket",
    "program-mismatch": "see who wrote the program's object in the bucket",
    "cannot-bind": "free the address there, or mend the template",
    "missing-directory": "make the directory there",
}
"""By the reason of a host that refused; whatever else it says is in its own words."""


def send_failed(situation: Situation) -> Iterator[Found]:
    """SendCommand is refused, for whatever reason but a deploy's."""
    state = situation.state
    if state.send_failure and not state.refusal:
        coming = situation.earliest(state.proxy_ids)
        at = coming.at if coming else situation.next_look_at
        yield _failure(
            "no command can be sent", state.send_failure, Next("next try", at)
        )


def document_refuses(situation: Situation) -> Iterator[Found]:
    """As in every deploy for some seconds."""
    refusal = situation.state.refusal
    if refusal is None:
        return
    is_lasting = situation.now - refusal.since >= DEPLOY_SECONDS
    yield Found(
        "the document takes no command of this function, as during a deploy",
        refusal.since,
        Next("next try", refusal.until),
        health=Health.DEGRADED if is_lasting else Health.HEALTHY,
    )


def look_failed(situation: Situation) -> Iterator[Found]:
    """AWS refuses a call of each look."""
    if failure := situation.state.look_failure:
        yield _failure("looks fail", failure, _next_look(situation))


def template_error(situation: Situation) -> Iterator[Found]:
    """The old config stays."""
    if error := situation.state.template_error:
        what = (
            f"the template does not render, so nothing new is published: {clip(error)}"
        )
        yield Found(what, next=_next_look(situation))


def other_publisher(situation: Situation) -> Iterator[Found]:
    """Proxies that are another stack's by their own word."""
    state = situation.state
    for stack, instances in sorted(ownership.publishers(state).items()):
        if stack != state.publisher:
            names = _called(situation, instances)
            health = Health.DEGRADED if state.publication else Health.ATTENTION
            yield Found(
                f"{names} obey another stack, {_stack(stack)}, and refuse this one",
                next=_next_command(situation, instances),
                instances=instances,
                health=health,
            )


def _stack(arn: str) -> str:
    """The name of a stack."""
    return clip(arn.rpartition(":stack/")[2].partition("/")[0] or arn)


def denied(situation: Situation) -> Iterator[Found]:
    """We may not command them."""
    owned = {
        each
        for each in situation.proxies
        if each.state.publisher not in {"", situation.state.publisher}
    }
    refused = (
        each
        for each in situation.proxies
        if each.state.outcome is Outcome.DENIED and each not in owned
    )
    for proxy, instances in _by_reason(refused):
        yield Found(
            f"commands to {_called(situation, instances)} are refused ({_said(proxy)})",
            proxy.state.at,
            _next_command(situation, instances),
            instances,
        )


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
        health=Health.DEGRADED if state.publication else Health.ATTENTION,
    )


def unreachable(situation: Situation) -> Iterator[Found]:
    """No command gets there."""
    for finding, instances in _by_finding(situation).items():
        if finding in UNREACHABLE:
            names = _called(situation, instances)
            yield Found(
                f"no command reaches {names} ({finding})",
                _since(situation, instances),
                Next("it is brought up to date when its agent is back"),
                instances,
                advice=_agent_advice(finding, instances),
            )


def _since(situation: Situation, instances: Iterable[str]) -> UnixSeconds:
    agents = situation.state.agents
    return min((agents[key].at for key in instances if key in agents), default=0.0)


def _by_finding(situation: Situation) -> Mapping[Finding, tuple[str, ...]]:
    """Whose agent has what; who is missing for want of an agent, too."""
    state = situation.state
    found: defaultdict[Finding, tuple[str, ...]] = defaultdict(tuple)
    for instance_id in state.proxy_ids:
        for finding in _findings(situation, instance_id):
            found[finding] += (instance_id,)
    return found


def _findings(situation: Situation, instance_id: str) -> tuple[Finding, ...]:
    agent = situation.state.agents.get(instance_id)
    found = findings(agent) if agent else ()
    is_missing = not situation.is_reachable(instance_id)
    if is_missing and not set(found) & set(UNREACHABLE):
        return (Finding.OFFLINE, *found)
    return found


def _agent_advice(finding: Finding, instances: tuple[str, ...]) -> str:
    """What to do, and the id of one to type."""
    return f"{ADVICE[finding].rpartition(': ')[2]} ({several(instances[:1])})"


def agent_in_doubt(finding: Finding) -> Callable[[Situation], Iterator[Found]]:
    """Of those whose agents have the finding."""

    def find(situation: Situation) -> Iterator[Found]:
        instances = _by_finding(situation).get(finding, ())
        if instances:
            version = situation.state.agents[instances[0]].version
            names = _called(situation, instances)
            yield Found(
                f"the SSM agent of {names} is {clip(version) or 'of an unknown version'} ({finding})",
                instances=instances,
                advice=_agent_advice(finding, instances),
            )

    return find


def agents_failed(situation: Situation) -> Iterator[Found]:
    """Nobody can say whose agent is online."""
    if failure := situation.state.agents_failure:
        what = "nobody can ask about the proxies' SSM agents"
        yield _failure(what, failure, _next_look(situation))


def unknown_outcome(situation: Situation) -> Iterator[Found]:
    """An agent has or had a command, and nobody knows what became of it."""
    silent = (
        each for each in situation.proxies if each.state.outcome is Outcome.UNKNOWN
    )
    for proxy, instances in _by_reason(silent):
        yield Found(
            f"nobody knows what became of a command on {_called(situation, instances)} ({_said(proxy)})",
            proxy.state.at,
            _next_command(situation, instances),
            instances,
            runbook=HANGING.get(proxy.state.reason, ""),
        )


HANGING: Mapping[str, str] = {"download-hanging": "download-hanging"}


def silent(situation: Situation) -> Iterator[Found]:
    """Hosts whose last word is too old; who cannot be reached is another row's."""
    instances = tuple(
        proxy.instance_id
        for proxy in situation.proxies
        if _is_silent(situation, proxy) and situation.is_reachable(proxy.instance_id)
    )
    if not instances:
        return
    minutes = round(word.counts_for(situation.settings) / 60)
    heard = min(word.heard_at(situation.state.proxy_state(key)) for key in instances)
    yield Found(
        f"{_called(situation, instances)} said nothing for more than {count(minutes, 'minute')}",
        heard,
        _next_command(situation, instances),
        instances,
    )


def _is_silent(situation: Situation, proxy: ProxyProgress) -> bool:
    """Whether its word is too old; one that never spoke was asked several times."""
    observed = proxy.state
    has_been_asked = observed.inspect_attempts >= FRUITLESS_INSPECTIONS
    has_spoken = word.heard_at(observed) > 0
    return situation.is_old(proxy.instance_id) and (has_spoken or has_been_asked)


def not_looked(situation: Situation) -> Iterator[Found]:
    """Neither a sweep nor an event came."""
    if situation.is_looked_after:
        return
    looked_at = situation.state.looked_at
    yield Found(
        "nobody looks at EC2" if looked_at else "nobody has looked at EC2 yet",
        looked_at,
        Next("a sweep was expected", situation.next_look_at),
    )


def pool_empty(situation: Situation) -> Iterator[Found]:
    """The last look found nobody; the guard may keep those who vanished."""
    if not _is_pool_empty(situation):
        return
    state, settings = situation.state, situation.settings
    held = state.hold.missing if state.hold else {}
    kept = count(len(state.pool), "backend")
    is_meant = settings.empty_pool == "publish"
    yield Found(
        f"no backend is left; {kept} that vanished stay in the config"
        if held
        else "no backend is left, so the proxies have nobody to send requests to",
        state.hold.since if state.hold else state.looked_at,
        _end_of_hold(situation) if held else _next_look(situation),
        tuple(held),
        health=Health.ATTENTION if is_meant else Health.DEGRADED,
    )


def _is_pool_empty(situation: Situation) -> bool:
    """Whether nobody is in the pool but who has vanished."""
    state = situation.state
    held = state.hold.missing if state.hold else {}
    is_empty = all(backend.instance_id in held for backend in state.pool)
    return state.backends is not None and is_empty


def _end_of_hold(situation: Situation) -> Next:
    hold = answers.hold(situation.state, situation.now)
    ends_at = hold["ends_at"] if hold else None
    return Next("the hold ends", ends_at) if ends_at else NOTHING


def hold(situation: Situation) -> Iterator[Found]:
    """The guard keeps backends that vanished."""
    state = situation.state
    if state.hold is None or _is_pool_empty(situation):
        return
    missing = tuple(state.hold.missing)
    total = count(len(state.pool), "backend")
    kept = f"{len(missing)} of {total} vanished and stay in the config"
    reason = clip(state.hold.reason)
    yield Found(
        f"{kept}: {reason}" if missing else f"nothing is published: {reason}",
        state.hold.since,
        _end_of_hold(situation),
        missing,
        advice=HELD if missing else "",
    )


HELD = "if they are gone on purpose, sync with allow_mass_removal; else mend their tags"


def near_miss(situation: Situation) -> Iterator[Found]:
    """A tag that seems to be mistyped."""
    for each in situation.state.skipped:
        if each.reason == NEAR_MISS:
            name = _with_id(situation, each.instance_id)
            what = f"a tag of {name} seems to be mistyped: {clip(each.detail)}"
            yield Found(what, next=_next_look(situation), instances=(each.instance_id,))


def skipped(situation: Situation) -> Iterator[Found]:
    """Instances, or options of them, that a look left out."""
    for each in situation.state.skipped:
        if each.reason != NEAR_MISS:
            name = _with_id(situation, each.instance_id)
            reason = joined([each.reason, clip(each.detail)], ": ")
            yield Found(
                f"{name} is left out, or a tag of it ({reason})",
                next=_next_look(situation),
                instances=(each.instance_id,),
            )


def rival(situation: Situation) -> Iterator[Found]:
    """Stacks that our proxies refuse."""
    state = situation.state
    for stack, instances in sorted(ownership.refused(state).items()):
        times = [state.proxy_state(key).other_publisher_at for key in instances]
        names = _called(situation, instances)
        yield Found(
            f"another stack, {_stack(stack)}, tries to take {names}",
            min(times),
            instances=instances,
        )


def hand_edit(situation: Situation) -> Iterator[Found]:
    """Somebody knew better."""
    edited = tuple(filter(situation.is_edited, situation.proxies))
    if edited:
        instances = tuple(map(attrgetter("instance_id"), edited))
        inspection = edited[0].state.inspection
        yield Found(
            f"the config on {_called(situation, instances)} was edited by hand",
            inspection.at if inspection else 0.0,
            _repair(situation, instances),
            instances,
        )


def _repair(situation: Situation, instances: tuple[str, ...]) -> Next:
    coming = situation.earliest(instances)
    return Next("the drift check undoes it", coming.at if coming else None)


def repaired(situation: Situation) -> Iterator[Found]:
    """What a host undid within a day, and where it kept it."""
    for proxy in situation.proxies:
        observed = proxy.state
        if observed.outcome is not Outcome.REPAIRED:
            continue
        if situation.now < observed.at + DAY_SECONDS:
            name = situation.name(proxy.instance_id)
            yield Found(
                f"a hand edit on {name} was undone; it is kept there as {clip(observed.backup)}",
                observed.at,
                instances=(proxy.instance_id,),
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
    """What is published is on its way."""
    state = situation.state
    unsettled = situation.progress.unsettled
    is_stuck = state.is_frozen or situation.stoppers
    if state.publication is None or not unsettled or is_stuck:
        return
    has_it = len(situation.proxies) - len(unsettled)
    total = count(len(situation.proxies), "proxy")
    yield Found(
        f"generation {state.generation} rolls out, {has_it} of {total} have it",
        state.publication.at,
        _under_way(situation) or _next_command(situation, unsettled),
        unsettled,
    )


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
        "see who wrote it",
        "corrupt-state",
    ),
)
"""What can be said where there is no state to judge."""

TABLE: tuple[Row, ...] = (
    Row(
        "rollback-failed",
        Health.DEGRADED,
        rollback_failed,
        "look at that host now",
        "proxy-refuses",
    ),
    Row(
        "haproxy-stopped",
        Health.DEGRADED,
        haproxy_stopped,
        "start HAProxy there",
        "haproxy-does-not-run",
    ),
    Row(
        "config-not-used",
        Health.DEGRADED,
        config_not_used,
        "",
        "haproxy-does-not-run",
    ),
    Row(
        "rollout-stopped",
        Health.DEGRADED,
        rollout_stopped,
        "mend what it says, or rollback",
        "proxy-refuses",
    ),
    Row(
        "failed",
        Health.DEGRADED,
        failed,
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
        "looks-or-commands-are-refused",
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
        denied,
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
        "bring backends back, or see who changed their tags",
        "empty-pool",
    ),
    Row(
        "not-looked",
        Health.UNKNOWN,
        not_looked,
        "see the function's log",
        "no-reconcile",
    ),
    Row(
        "unknown-outcome",
        Health.UNKNOWN,
        unknown_outcome,
        "see its SSM agent",
        "agent-in-trouble",
    ),
    Row(
        "silent",
        Health.UNKNOWN,
        silent,
        "ask by inspect",
        "silent-proxies",
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
        "see that backends are tagged and run",
        "held-removal",
    ),
    Row(
        "hand-edit",
        Health.ATTENTION,
        hand_edit,
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
