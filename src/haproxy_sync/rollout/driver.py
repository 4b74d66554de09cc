"""The rollout's next step against Run Command: hear what came of the last one, plan the next, send what was claimed."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from haproxy_sync.rollout import next_commands, progress, run_command
from haproxy_sync.rollout.reports import Report, fold
from haproxy_sync.settings import Settings
from haproxy_sync.state.model import Command, Document, EnvironmentState, Purpose, successor

CLIENT_ERROR = range(400, 500)

type Reports = tuple[tuple[Command, Report], ...]


@dataclass(frozen=True, slots=True)
class Sent:
    """The command each claim became (None: surely not sent; absent: nobody knows), and what went wrong."""

    by_claim: Mapping[str, Command | None]
    refused: Reports = ()
    failure: Exception | None = None


def collect(ssm: Any, state: EnvironmentState, now: float) -> tuple[EnvironmentState, Reports]:
    """What the commands in flight have brought since the last time, and those that were silent before."""
    state = progress.give_up(state, now)
    heard: list[tuple[Command, Report]] = []
    asked = {
        command.command_id: tuple(run_command.invocations(ssm, command))
        for command in state.commands
        if command.command_id
    }
    # First, and the oldest first: what a newer command brought is said last.
    for command in sorted(state.late, key=lambda each: each.claimed_at):
        invocations = asked[command.command_id] if command.command_id in asked else _overheard(ssm, command)
        state, reports = progress.hear_late(state, command, fold(invocations), now)
        heard += [(command, report) for report in reports]
    for command in state.commands:
        if not command.command_id:
            continue
        invocations = asked[command.command_id]
        folded = fold(invocations)
        state, reports = progress.hear(state, command, folded, now)
        left = set(command.targets).difference(report.instance_id for report in folded)
        is_taken = {each["Status"] for each in invocations if each["InstanceId"] in left} != {"Pending"}
        state = progress.note_stalled(state, command, is_taken, now)
        heard += [(command, report) for report in reports]
    return state, tuple(heard)


def _overheard(ssm: Any, command: Command) -> tuple[Mapping[str, Any], ...]:
    """What a late command brought; nothing where that cannot be had now: nobody waits for it."""
    try:
        return tuple(run_command.invocations(ssm, command))
    except (ClientError, BotoCoreError):
        return ()


def plan(
    ssm: Any, settings: Settings, state: EnvironmentState, now: float
) -> tuple[EnvironmentState, next_commands.Step]:
    """The next step, claimed in the state so that nobody else takes it too."""
    wanted = next_commands.due(state, settings, now)
    ready = [each.instance_id for each in wanted if each.at <= now]
    online = run_command.online(ssm, ready) if ready else frozenset()
    state = progress.note_unreachable(state, frozenset(ready) - online)
    step = next_commands.next_step(state, online, settings, now)
    state = _pinned(ssm, settings, progress.claim(state, step.claims, now), step.claims)
    return (replace(state, converged_at=now) if progress.is_converged(state) else state), step


def _pinned(ssm: Any, settings: Settings, state: EnvironmentState, claims: tuple[Command, ...]) -> EnvironmentState:
    """A rollout runs the document that its canary ran, to the end (F64).

    What is not yet proven, or stopped, starts anew with the one that is current; so does what comes after the end.
    """
    publication = state.publication
    if not claims or not publication:
        return state
    is_wave = claims[0].purpose is Purpose.WAVE
    is_rolling = not next_commands.has_stopped(state, settings) and not all(
        progress.is_settled(state, proxy.instance_id) for proxy in state.proxies
    )
    if publication.document and (is_wave or (is_rolling and progress.proven_by(state))):
        return state
    return _with_document(state, run_command.document(ssm, settings.document_name))


def _with_document(state: EnvironmentState, document: Document | None) -> EnvironmentState:
    publication = state.publication
    return replace(state, publication=publication and replace(publication, document=document))


def send(ssm: Any, settings: Settings, state: EnvironmentState, claims: tuple[Command, ...]) -> Sent:
    """Send what the state claims; after the first failure nothing more (F56)."""
    document = state.publication.document if state.publication else None
    if document is None:
        raise ValueError("claims without a pinned document")
    by_claim: dict[str, Command | None] = {}
    refused: list[tuple[Command, Report]] = []
    for number, claim in enumerate(claims):
        try:
            by_claim[claim.claim], reports = run_command.send(ssm, settings, claim, document)
        except (ClientError, BotoCoreError) as error:
            untried = claims[number:] if _is_refusal(error) else claims[number + 1 :]
            return Sent(by_claim | {each.claim: None for each in untried}, tuple(refused), error)
        refused += [(claim, report) for report in reports]
    return Sent(by_claim, tuple(refused))


def _is_refusal(error: Exception) -> bool:
    """Whether the service surely did not do it; a lost answer or an error of its own leaves that open."""
    return isinstance(error, ClientError) and error.response["ResponseMetadata"]["HTTPStatusCode"] in CLIENT_ERROR


def note(state: EnvironmentState, sent: Sent, now: float, writer: str) -> EnvironmentState:
    """The next state, with the command ids in place of the claims, whatever else others made of it meanwhile."""
    noted = successor(state, now, writer)
    for claim, report in sent.refused:
        if claim.claim in {command.claim for command in noted.commands}:
            noted = progress.absorb(noted, claim, [report], now)
    if isinstance(sent.failure, ClientError) and sent.failure.response["Error"]["Code"].startswith("InvalidDocument"):
        noted = _with_document(noted, None)  # that version is gone: the next try takes the current one
    return progress.merge_sent(noted, sent.by_claim)
