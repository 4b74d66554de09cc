"""The rollout's talk with Run Command: collect what came of commands, choose the next, send them, record their ids."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from botocore.exceptions import ClientError

from haproxy_sync.aws import FAILURES, error_code
from haproxy_sync.errors import DocumentDiffers, ProgramDiffers, Unpinned
from haproxy_sync.fleet.model import ids
from haproxy_sync.rollout import (
    agents,
    hanging,
    inspections,
    listening,
    next_commands,
    run_command,
    transitions,
    watching,
)
from haproxy_sync.rollout.next_commands import NextCommands
from haproxy_sync.rollout.program import Program
from haproxy_sync.rollout.progress import Progress
from haproxy_sync.rollout.reports import Report, reports_of
from haproxy_sync.settings import Settings
from haproxy_sync.state import failures
from haproxy_sync.state.model import (
    Command,
    Document,
    EnvironmentState,
    Failure,
    Outcome,
    Purpose,
    UnixSeconds,
)

CLIENT_ERROR = range(400, 500)
DOCUMENT_GONE = "InvalidDocument"
THROTTLED = "Throttling"

type Reports = tuple[tuple[Command, Report], ...]
type Invocations = tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Sent:
    """The command each claim became (None: surely not sent; absent: nobody can say), and what went wrong."""

    by_claim: Mapping[str, Command | None]
    refused: Reports = ()
    error: Exception | None = None
    program: str = ""  # that the failed command was to run

    @property
    def mismatch(self) -> str:
        """The service's words where it took no command for our program: its document names another one."""
        if self.error and run_command.is_mismatch(self.error):
            return str(self.error)
        return ""

    @property
    def failure(self) -> Exception | None:
        """What went wrong, if it is not that."""
        return None if self.mismatch else self.error

    @property
    def denied(self) -> tuple[str, ...]:
        """The service's words for each proxy that we may not command."""
        return tuple(
            report.detail
            for _, report in self.refused
            if report.outcome is Outcome.DENIED
        )

    @property
    def commands(self) -> tuple[Command, ...]:
        """What was surely sent."""
        return tuple(filter(None, self.by_claim.values()))


NOTHING_SENT = Sent({})


def collect(
    ssm: Any, state: EnvironmentState, now: UnixSeconds
) -> tuple[EnvironmentState, Reports]:
    """What the commands in flight have brought since the last time, and those that were silent before.

    `ClientError` or `BotoCoreError` if Run Command cannot be asked about a command in flight.
    """
    state = transitions.given_up(state, now)
    in_flight = tuple(command for command in state.commands if command.command_id)
    asked = {
        command.command_id: tuple(run_command.invocations(ssm, command))
        for command in in_flight
    }
    # The late ones first, and the oldest of them first: what a newer command brought has the last word.
    state, late = _collect_late(ssm, state, asked, now)
    collected = list(late)
    for command in in_flight:
        state, reports = _collect_one(state, command, asked[command.command_id], now)
        collected += reports
    return _collect_inspections(ssm, state, tuple(collected), now)


def _collect_inspections(
    ssm: Any, state: EnvironmentState, collected: Reports, now: UnixSeconds
) -> tuple[EnvironmentState, Reports]:
    """And what inspections brought: nothing where that cannot be had now."""
    state = inspections.given_up(state, now)
    for command in state.inspecting:
        said = _late_invocations(ssm, command) if command.command_id else ()
        state, reports = inspections.reported(state, command, reports_of(said), now)
        collected = (*_by_command(command, reports), *collected)
    return state, collected


def _collect_late(
    ssm: Any,
    state: EnvironmentState,
    asked: Mapping[str, Invocations],
    now: UnixSeconds,
) -> tuple[EnvironmentState, Reports]:
    collected: list[tuple[Command, Report]] = []
    for command in sorted(state.late, key=lambda each: each.claimed_at):
        invocations = asked.get(command.command_id)
        if invocations is None:
            invocations = _late_invocations(ssm, command)
        state, reports = listening.hear_late(
            state, command, reports_of(invocations), now
        )
        collected += _by_command(command, reports)
    return state, tuple(collected)


def _late_invocations(ssm: Any, command: Command) -> Invocations:
    """What a late command brought; nothing where that cannot be had now: nobody waits for it."""
    try:
        return tuple(run_command.invocations(ssm, command))
    except FAILURES:
        return ()


def _collect_one(
    state: EnvironmentState,
    command: Command,
    invocations: Invocations,
    now: UnixSeconds,
) -> tuple[EnvironmentState, Reports]:
    folded = hanging.explained(command, reports_of(invocations), now)
    state, reports = listening.hear(state, command, folded, now)
    left = command.without(ids(reports))
    state, others = hanging.judged(state, left, invocations, ids(folded), now)
    return state, tuple(_by_command(command, (*reports, *others)))


def _by_command(
    command: Command, reports: Iterable[Report]
) -> Iterable[tuple[Command, Report]]:
    return ((command, report) for report in reports)


def choose(
    ssm: Any,
    settings: Settings,
    state: EnvironmentState,
    program: Callable[[], Program],
    now: UnixSeconds,
) -> tuple[EnvironmentState, NextCommands]:
    """Who gets a command next, to run this program; claimed in the state so that nobody else sends it too.

    `ClientError` or `BotoCoreError` if Run Command cannot be asked who is online, or for its document. What `program`
    raises is raised where somebody may have a command now.
    """
    state, chosen = _next_commands(ssm, settings, state, program, now)
    state, asked = _inspections(ssm, settings, state, program, now)
    state = inspections.claimed(state, asked, now)
    return state, replace(chosen, claims=(*chosen.claims, *asked))


def _inspections(
    ssm: Any,
    settings: Settings,
    state: EnvironmentState,
    program: Callable[[], Program],
    now: UnixSeconds,
) -> tuple[EnvironmentState, tuple[Command, ...]]:
    """Who is asked now how it is, by the document's newest version; nobody where that cannot be had: a look goes on."""
    wanted = _Questions.of(state, settings, now)
    if not wanted.ready(state, now):
        return state, ()
    state = agents_asked(ssm, settings, state, now)
    wanted = wanted.to_whom(partial(_online, state))
    if not wanted.ready(state, now):
        return state, ()
    state, document = _newest(ssm, settings, state, program, now)
    if document is None:
        return state, ()
    if not Progress(state).has_proven_program(document.program):
        overdue = inspections.one_by_one(state, wanted.overdue | wanted.awaited)
        wanted = replace(wanted, overdue=overdue, awaited=frozenset())
    return state, inspections.claims(state, wanted.ready(state, now), document, now)


def _newest(
    ssm: Any,
    settings: Settings,
    state: EnvironmentState,
    program: Callable[[], Program],
    now: UnixSeconds,
) -> tuple[EnvironmentState, Document | None]:
    """The document's newest version; None where it cannot be had, or is not ours: nothing fails by that."""
    name = settings.document_name
    try:
        sha256 = program().sha256
        if _refused_until(state, sha256, now):
            return state, None
        return state, run_command.document(ssm, name, sha256)
    except (*FAILURES, ProgramDiffers):
        return state, None
    except DocumentDiffers as error:
        return transitions.refused(state, sha256, str(error), now), None


def _calmed(
    state: EnvironmentState, settings: Settings, now: UnixSeconds
) -> EnvironmentState:
    """Nobody gets a command, as in a freeze: none is refused then, unless somebody is to be asked how it is."""
    if state.refusal is None:
        return state
    to_ask = _Questions.of(state, settings, now).ready(state, now)
    return state if to_ask else transitions.unrefused(state)


@dataclass(frozen=True, slots=True)
class _Questions:
    """The proxies that shall be asked how they are, by the reason."""

    due: frozenset[str]  # an operator wants it, or the first freeze
    overdue: frozenset[str]  # nobody has made it speak for long
    awaited: frozenset[str]  # a lifecycle action waits for its word

    @classmethod
    def of(
        cls, state: EnvironmentState, settings: Settings, now: UnixSeconds
    ) -> "_Questions":
        """Those of now, whether or not their agents can be reached."""
        return cls(
            inspections.due(state, now),
            inspections.overdue(state, settings, now),
            watching.Watch(state, settings, now).due(),
        )

    def to_whom(
        self, among: Callable[[frozenset[str]], frozenset[str]]
    ) -> "_Questions":
        """The same to fewer."""
        return _Questions(among(self.due), among(self.overdue), among(self.awaited))

    def ready(self, state: EnvironmentState, now: UnixSeconds) -> frozenset[str]:
        """Who may be asked now: of those that were asked in vain whoever had a rest."""
        rested = inspections.rested(state, self.overdue, now)
        return self.due | rested | self.awaited


def _online(state: EnvironmentState, instance_ids: Iterable[str]) -> frozenset[str]:
    """Those whose agent could be reached when it was asked about."""
    known = set(instance_ids) & state.agents.keys()
    return frozenset(each for each in known if agents.is_online(state.agents[each]))


def _next_commands(
    ssm: Any,
    settings: Settings,
    state: EnvironmentState,
    program: Callable[[], Program],
    now: UnixSeconds,
) -> tuple[EnvironmentState, NextCommands]:
    wanted = next_commands.due(state, settings, now)
    if any(each.at <= now for each in wanted):
        return _chosen(ssm, settings, state, program().sha256, now)
    if not wanted:
        state = _calmed(state, settings, now)
    nobody = frozenset[str]()
    chosen = next_commands.next_commands(state, wanted, nobody, settings, now)
    return _dated(state, now), chosen


def _chosen(
    ssm: Any,
    settings: Settings,
    state: EnvironmentState,
    program: str,
    now: UnixSeconds,
) -> tuple[EnvironmentState, NextCommands]:
    state = transitions.unrefused_before(state, program)
    if refused_until := _refused_until(state, program, now):
        return _dated(state, now), NextCommands(wake_at=refused_until)
    if state.program not in {None, program}:
        if _has_to_end(state):
            return _dated(state, now), NextCommands()
        state = transitions.begun_anew(state, program, now)
    wanted = next_commands.due(state, settings, now)
    ready = frozenset(each.instance_id for each in wanted if each.at <= now)
    state = transitions.learned(state, run_command.agents(ssm, ready, now))
    online = _online(state, ready)
    state = transitions.unreachable(state, ready - online, now)
    chosen = next_commands.next_commands(state, wanted, online, settings, now)
    claimed = transitions.claimed(state, chosen.claims, now)
    if not chosen.claims:
        return _dated(claimed, now), chosen
    purpose = chosen.claims[0].purpose
    try:
        pinned = _pinned(ssm, settings, claimed, purpose, program)
    except DocumentDiffers as error:
        state = transitions.refused(state, program, str(error), now)
        return _dated(state, now), NextCommands(wake_at=state.refused_until(now))
    return _dated(pinned, now), chosen


def agents_asked(
    ssm: Any, settings: Settings, state: EnvironmentState, now: UnixSeconds
) -> EnvironmentState:
    """The state that knows each proxy's agent, also where nothing is sent. What cannot be asked stops nobody."""
    return _ask_agents(ssm, state, agents.unasked(state, settings, now), now)


def all_agents_asked(
    ssm: Any, state: EnvironmentState, now: UnixSeconds
) -> EnvironmentState:
    """The same as they are now, whatever was known."""
    return _ask_agents(ssm, state, state.proxy_ids, now)


def _ask_agents(
    ssm: Any, state: EnvironmentState, instance_ids: Iterable[str], now: UnixSeconds
) -> EnvironmentState:
    try:
        return transitions.learned(state, run_command.agents(ssm, instance_ids, now))
    except FAILURES as error:
        failure = failures.failure(error, now, state.agents_failure)
        return replace(state, agents_failure=failure)


def _dated(state: EnvironmentState, now: UnixSeconds) -> EnvironmentState:
    """The state that knows when all was well last."""
    if Progress(state).is_converged:
        return replace(state, converged_at=now)
    return state


def _refused_until(
    state: EnvironmentState, program: str, now: UnixSeconds
) -> UnixSeconds | None:
    """Until when nothing is sent, since the document was asked to run this very program and took no command."""
    is_about_it = state.refusal is not None and state.refusal.program == program
    return state.refused_until(now) if is_about_it else None


def _has_to_end(state: EnvironmentState) -> bool:
    """Whether a command of another program may still arrive, a comparison too: hosts would refuse its fence."""
    return not all(command.is_stalled for command in state.commands)


def _pinned(
    ssm: Any,
    settings: Settings,
    state: EnvironmentState,
    purpose: Purpose,
    program: str,
) -> EnvironmentState:
    """Pins the document: a rollout under way keeps its canary's, all else takes the newest version.

    All claims of one choice have one purpose.
    """
    if _keeps_document(state, purpose, program, settings):
        return state
    newest = run_command.document(ssm, settings.document_name, program)
    return state.with_publication(document=newest)


def _keeps_document(
    state: EnvironmentState, purpose: Purpose, program: str, settings: Settings
) -> bool:
    """Whether the commands belong to a rollout whose document is proven; a stopped one starts anew."""
    document = state.document
    if document is None or document.program != program or state.refusal:
        return False
    if purpose is Purpose.WAVE:
        return True
    return _is_proven_and_rolling(Progress(state), settings)


def _is_proven_and_rolling(progress: Progress, settings: Settings) -> bool:
    has_stopped = progress.has_stopped(settings.max_errors)
    is_rolling = progress.unsettled != () and not has_stopped
    return is_rolling and progress.proven_by != ""


def send(
    ssm: Any, settings: Settings, state: EnvironmentState, claims: tuple[Command, ...]
) -> Sent:
    """Send what the state claims; after the first failure nothing more. `Unpinned` without a document to run.

    A document that names another program than we do is no failure: it is so for the seconds of a deploy.

    `ssm` must not retry by itself: a SendCommand repeated is a second command (`Clients.commands`).
    """
    sent = NOTHING_SENT
    for number, claim in enumerate(claims):
        document = claim.document or state.document
        if document is None:
            raise Unpinned("claims without a pinned document")
        try:
            command, reports = run_command.send(ssm, settings, claim, document)
        except FAILURES as error:
            untried = claims[number:] if _did_nothing(error) else claims[number + 1 :]
            ended = _ended(sent, untried, None if _may_wait(claim, error) else error)
            return replace(ended, program=document.program)
        sent = replace(
            sent,
            by_claim={**sent.by_claim, claim.claim_id: command},
            refused=(*sent.refused, *_by_command(claim, reports)),
        )
    return sent


def _may_wait(claim: Command, error: Exception) -> bool:
    """Whether it only was too much at the moment, and nobody waits for the command: it is asked again by time."""
    return claim.purpose is Purpose.INSPECT and _has_code(error, THROTTLED)


def _ended(sent: Sent, untried: Iterable[Command], error: Exception | None) -> Sent:
    """What was sent before the error."""
    return replace(
        sent,
        by_claim={**sent.by_claim, **dict.fromkeys(map(_name, untried))},
        error=error,
    )


def _name(claim: Command) -> str:
    return claim.claim_id


def _did_nothing(error: Exception) -> bool:
    """Whether the service surely did not do it; a lost answer or an error of its own leaves that open."""
    return (
        isinstance(error, ClientError)
        and error.response["ResponseMetadata"]["HTTPStatusCode"] in CLIENT_ERROR
    )


def record(
    state: EnvironmentState,
    sent: Sent,
    before: EnvironmentState,
    now: UnixSeconds,
    writer: str,
) -> EnvironmentState:
    """The next state, with command ids in place of the claims, whatever else others made of it meanwhile.

    `before` is the state that had no claims yet.
    """
    recorded = transitions.next_revision(state, now, writer)
    for claim, report in sent.refused:
        if claim.claim_id in {command.claim_id for command in recorded.commands}:
            recorded = transitions.reported(recorded, claim, [report], now)
    if _has_code(sent.failure, DOCUMENT_GONE):
        recorded = transitions.unpinned(recorded)  # the next try takes the current one
    failure = _send_failure(recorded, sent, now)
    recorded = replace(_refused(recorded, sent, now), send_failure=failure)
    recorded = inspections.sent(recorded, sent.by_claim)
    return transitions.sent(recorded, sent.by_claim, before)


def _send_failure(
    state: EnvironmentState, sent: Sent, now: UnixSeconds
) -> Failure | None:
    """The last send's, until a command is taken. That one proxy cannot be reached is its own matter."""
    before = state.send_failure
    if sent.error:
        return failures.failure(sent.error, now, before)
    if sent.commands:
        return None
    if not sent.denied:
        return before
    since = before.since if before else now
    return Failure("SendCommand", run_command.DENIED, sent.denied[0], since, now)


def _refused(state: EnvironmentState, sent: Sent, now: UnixSeconds) -> EnvironmentState:
    """A refusal lasts until a command is taken."""
    if sent.commands:
        return replace(state, refusal=None)
    if not sent.mismatch:
        return state
    return transitions.refused(state, sent.program, "", now)


def _has_code(error: Exception | None, code: str) -> bool:
    """Whether a service refused with this code, or one that begins so."""
    return isinstance(error, ClientError) and error_code(error).startswith(code)
