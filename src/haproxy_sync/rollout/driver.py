"""The rollout's talk with Run Command: collect what came of commands, choose the next, send them, record their ids."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from botocore.exceptions import ClientError

from haproxy_sync.aws import FAILURES, error_code
from haproxy_sync.errors import Unpinned
from haproxy_sync.fleet.model import ids
from haproxy_sync.rollout import listening, next_commands, run_command, transitions
from haproxy_sync.rollout.next_commands import NextCommands
from haproxy_sync.rollout.progress import Progress
from haproxy_sync.rollout.reports import Report, reports_of
from haproxy_sync.settings import Settings
from haproxy_sync.state.model import (
    Command,
    Document,
    EnvironmentState,
    Purpose,
    UnixSeconds,
)

CLIENT_ERROR = range(400, 500)

type Reports = tuple[tuple[Command, Report], ...]
type Invocations = tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Sent:
    """The command each claim became (None: surely not sent; absent: nobody can say), and what went wrong."""

    by_claim: Mapping[str, Command | None]
    refused: Reports = ()
    failure: Exception | None = None

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
    return state, tuple(collected)


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
    folded = reports_of(invocations)
    state, reports = listening.hear(state, command, folded, now)
    is_taken = _is_taken(command, folded, invocations)
    state = transitions.stalled(state, command, now, is_taken=is_taken)
    return state, tuple(_by_command(command, reports))


def _is_taken(
    command: Command, folded: Iterable[Report], invocations: Invocations
) -> bool:
    """Whether the targets that are left show anything but `Pending`; true also where none is listed."""
    left = set(command.targets).difference(ids(folded))
    statuses = {each["Status"] for each in invocations if each["InstanceId"] in left}
    return statuses != {"Pending"}


def _by_command(
    command: Command, reports: Iterable[Report]
) -> Iterable[tuple[Command, Report]]:
    return ((command, report) for report in reports)


def choose(
    ssm: Any, settings: Settings, state: EnvironmentState, now: UnixSeconds
) -> tuple[EnvironmentState, NextCommands]:
    """Who gets a command next, claimed in the state so that nobody else sends it too.

    `ClientError` or `BotoCoreError` if Run Command cannot be asked who is online, or for its document.
    """
    wanted = next_commands.due(state, settings, now)
    ready = frozenset(each.instance_id for each in wanted if each.at <= now)
    online = run_command.online(ssm, ready) if ready else frozenset()
    state = transitions.unreachable(state, ready - online)
    chosen = next_commands.next_commands(state, wanted, online, settings, now)
    state = transitions.claimed(state, chosen.claims, now)
    state = _pinned(ssm, settings, state, chosen.claims)
    if Progress(state).is_converged:
        state = replace(state, converged_at=now)
    return state, chosen


def _pinned(
    ssm: Any, settings: Settings, state: EnvironmentState, claims: tuple[Command, ...]
) -> EnvironmentState:
    """Pins the document: a rollout under way keeps its canary's, all else takes the newest version.

    All claims of one choice have one purpose.
    """
    if not claims or _keeps_document(state, claims[0].purpose, settings):
        return state
    return _with_document(state, run_command.document(ssm, settings.document_name))


def _keeps_document(
    state: EnvironmentState, purpose: Purpose, settings: Settings
) -> bool:
    """Whether the commands belong to a rollout whose document is proven; a stopped one starts anew."""
    if state.publication is None or state.publication.document is None:
        return False
    if purpose is Purpose.WAVE:
        return True
    return _is_proven_and_rolling(Progress(state), settings)


def _is_proven_and_rolling(progress: Progress, settings: Settings) -> bool:
    has_stopped = progress.has_stopped(settings.max_errors)
    is_rolling = progress.unsettled != () and not has_stopped
    return is_rolling and progress.proven_by != ""


def _with_document(
    state: EnvironmentState, document: Document | None
) -> EnvironmentState:
    publication = state.publication
    return replace(
        state, publication=publication and replace(publication, document=document)
    )


def send(
    ssm: Any, settings: Settings, state: EnvironmentState, claims: tuple[Command, ...]
) -> Sent:
    """Send what the state claims; after the first failure nothing more. `Unpinned` without a document to run.

    `ssm` must not retry by itself: a SendCommand repeated is a second command (`Clients.commands`).
    """
    document = state.publication.document if state.publication else None
    if document is None:
        raise Unpinned("claims without a pinned document")
    sent = NOTHING_SENT
    for number, claim in enumerate(claims):
        try:
            command, reports = run_command.send(ssm, settings, claim, document)
        except FAILURES as error:
            untried = claims[number:] if _is_refusal(error) else claims[number + 1 :]
            return replace(
                sent,
                by_claim={**sent.by_claim, **{each.claim_id: None for each in untried}},
                failure=error,
            )
        sent = replace(
            sent,
            by_claim={**sent.by_claim, claim.claim_id: command},
            refused=(*sent.refused, *_by_command(claim, reports)),
        )
    return sent


def _is_refusal(error: Exception) -> bool:
    """Whether the service surely did not do it; a lost answer or an error of its own leaves that open."""
    return (
        isinstance(error, ClientError)
        and error.response["ResponseMetadata"]["HTTPStatusCode"] in CLIENT_ERROR
    )


def record(
    state: EnvironmentState, sent: Sent, now: UnixSeconds, writer: str
) -> EnvironmentState:
    """The next state, with command ids in place of the claims, whatever else others made of it meanwhile."""
    recorded = transitions.next_revision(state, now, writer)
    for claim, report in sent.refused:
        if claim.claim_id in {command.claim_id for command in recorded.commands}:
            recorded = transitions.reported(recorded, claim, [report], now)
    if _is_document_gone(sent.failure):
        recorded = _with_document(recorded, None)  # the next try takes the current one
    return transitions.sent(recorded, sent.by_claim)


def _is_document_gone(failure: Exception | None) -> bool:
    if not isinstance(failure, ClientError):
        return False
    return error_code(failure).startswith("InvalidDocument")
