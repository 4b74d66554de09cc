"""Commands that ask what a candidate would do to a proxy: apart from any rollout, and no state knows of them."""

from collections import ChainMap, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import partial
from itertools import batched, chain
from math import ceil
from time import sleep
from types import MappingProxyType
from typing import Any

from botocore.exceptions import ClientError

from haproxy_sync.aws import FAILURES, error_code
from haproxy_sync.fleet.model import ids
from haproxy_sync.rollout import run_command
from haproxy_sync.rollout.agents import ADVICE, findings, is_online
from haproxy_sync.rollout.limits import MAX_INSTANCES
from haproxy_sync.rollout.progress import WORK_SECONDS
from haproxy_sync.rollout.reports import (
    DETAIL_LENGTH,
    NO_REPORT,
    Report,
    following,
    parse_marker,
    reports_of,
)
from haproxy_sync.settings import Settings
from haproxy_sync.state.check import Check, NotAsked
from haproxy_sync.state.model import (
    Agent,
    Command,
    Digest,
    Document,
    EnvironmentState,
    Outcome,
    Purpose,
    UnixSeconds,
)

NOT_SENT = "not-sent"  # SendCommand failed, or its answer got lost
NOT_READ = "not-read"  # what the host said cannot be read yet
WORKERS = 8  # calls at a time; a client has ten connections
COMMANDS = 50  # of a check, unless there are more candidates
THROTTLED = frozenset({"ThrottlingException", "RateExceeded", "TooManyUpdates"})
PAUSES = (1, 2, 4)  # seconds; the function has a minute


class CheckResult(StrEnum):
    """What became of a check on one proxy."""

    SAME = "same"
    DIFFERS = "differs"
    REFUSED = "refused"  # an apply would be
    FAILED = "failed"  # the check itself
    AWAITED = "awaited"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True)
class Row:
    """One proxy's part of a check, the word by which it is known, and the lines of the diff that came along."""

    result: CheckResult
    report: Report
    diff: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Sent:
    """The commands that were taken, why others were not asked, and what ended it."""

    commands: tuple[Command, ...] = ()
    not_asked: Mapping[str, NotAsked] = field(
        default_factory=lambda: MappingProxyType({})
    )
    error: Exception | None = None


def offline(agents: Mapping[str, Agent]) -> Mapping[str, NotAsked]:
    """Those whom no command reaches, and why."""
    away = {key: each for key, each in agents.items() if not is_online(each)}
    return {key: _away(agent) for key, agent in away.items()}


def _away(agent: Agent) -> NotAsked:
    finding = findings(agent)[0]
    return NotAsked(Outcome.MISSING, str(finding), ADVICE[finding])


def claims(
    state: EnvironmentState,
    candidates: Mapping[str, Digest],
    document: Document,
    now: UnixSeconds,
) -> tuple[Command, ...]:
    """One command per distinct candidate and few proxies, with what the state would send to publish it.

    Run Command begins each with one host, and goes on once that is through: one that hangs keeps those behind it in the
    same command waiting, so there are as many commands as are bearable, and who was inspected in vain comes last.
    """
    groups: defaultdict[tuple[Digest, bool], list[str]] = defaultdict(list)

    def order(instance_id: str) -> tuple[int, str]:
        return state.proxy_state(instance_id).inspect_attempts, instance_id

    for key in sorted(candidates, key=order):
        groups[candidates[key], state.proxy_state(key).adopt_since > 0].append(key)
    size = min(MAX_INSTANCES, ceil(len(candidates) / COMMANDS))
    return tuple(
        Command(
            claim_id=f"{state.writer}.check.{chunk[0]}",
            purpose=Purpose.CHECK,
            generation=state.generation,
            fence=state.fence,
            digest=digest,
            targets=chunk,
            claimed_at=now,
            adopts=adopts,
            document=document,
        )
        for (digest, adopts), members in groups.items()
        for chunk in batched(members, size, strict=False)
    )


def send(
    ssm: Any, settings: Settings, claims: Iterable[Command], document: Document
) -> Sent:
    """Send them all, several at a time; who is refused alone keeps nobody else from being asked.

    One that is throttled was not sent, and is tried again; any other failure ends it. `ssm` must not retry by itself,
    as for the commands of a rollout.
    """
    sending = _Sending(partial(_taken, ssm, settings, document))
    with ThreadPoolExecutor(WORKERS) as senders:
        parts = [*senders.map(sending.sent, claims)]
    return Sent(
        commands=tuple(chain.from_iterable(part.commands for part in parts)),
        not_asked=dict(ChainMap(*(dict(part.not_asked) for part in parts))),
        error=next(iter(sending.errors), None),
    )


type _Taken = tuple[Command | None, tuple[Report, ...]]
"""As `run_command.send` gives it."""


@dataclass(frozen=True, slots=True)
class _Sending:
    """What several threads send, and what ended it."""

    send: Callable[[Command], _Taken]
    errors: list[Exception] = field(default_factory=list)

    def sent(self, claim: Command) -> Sent:
        """The commands that one claim became."""
        commands: list[Command] = []
        not_asked: dict[str, NotAsked] = {}
        left = claim
        while left.targets and not self.errors:
            try:
                command, refused = self.send(left)
            except FAILURES as error:
                self.errors.append(error)
                break
            taken = [command] if command else []
            commands += taken
            not_asked |= {each.instance_id: _refused(each) for each in refused}
            left = left.without({*ids(refused), *_targets(taken)})
        for failure in self.errors[:1]:
            not_asked |= dict.fromkeys(left.targets, _not_sent(failure))
        return Sent(tuple(commands), not_asked)


def _taken(ssm: Any, settings: Settings, document: Document, claim: Command) -> _Taken:
    """What Run Command takes of the claim, some time after it was throttled (`ClientError`, `BotoCoreError`)."""
    for pause in PAUSES:
        try:
            return run_command.send(ssm, settings, claim, document)
        except ClientError as error:
            if error_code(error) not in THROTTLED:
                raise
        sleep(pause)
    return run_command.send(ssm, settings, claim, document)


def _targets(commands: Iterable[Command]) -> Iterator[str]:
    return (target for each in commands for target in each.targets)


def _refused(report: Report) -> NotAsked:
    return NotAsked(report.outcome, report.reason, report.detail)


def _not_sent(error: Exception) -> NotAsked:
    return NotAsked(Outcome.FAILED, NOT_SENT, str(error)[:DETAIL_LENGTH])


def rows(
    ssm: Any, check: Check, wanted: Collection[str], now: UnixSeconds
) -> Mapping[str, Row]:
    """What is known by now of each of the wanted proxies.

    What cannot be read now is awaited: asked again, the answer has it.
    """
    said = {key: _unasked(key, why) for key, why in check.not_asked.items()}
    commands = {key: each for each in check.commands for key in each.targets}
    asked = [commands[key] for key in wanted if key in commands]
    with ThreadPoolExecutor(WORKERS) as readers:
        for heard in readers.map(partial(_heard, ssm, now=now), dict.fromkeys(asked)):
            said |= heard
    known = {key: said[key] for key in wanted}
    printed = [key for key, row in known.items() if row.report.diff_shown]

    def read(instance_id: str) -> Row:
        return _read(ssm, commands[instance_id], known[instance_id])

    with ThreadPoolExecutor(WORKERS) as readers:
        rows_with_diff = readers.map(read, printed)
        return known | dict(zip(printed, rows_with_diff, strict=True))


def _unasked(instance_id: str, why: NotAsked) -> Row:
    report = Report(instance_id, why.outcome, why.reason, why.detail)
    return Row(_result(report), report)


def _heard(ssm: Any, command: Command, *, now: UnixSeconds) -> Mapping[str, Row]:
    """What its targets said so far, by the beginnings of their outputs."""
    try:
        listed = tuple(run_command.invocations(ssm, command))
    except FAILURES as error:
        return {key: _unread(key, str(error)) for key in command.targets}
    said = {each.instance_id: each for each in reports_of(listed)}
    is_over = now >= command.deliver_by + WORK_SECONDS
    judged = partial(_judged, is_over=is_over)
    return {key: judged(key, said.get(key)) for key in command.targets}


def _judged(instance_id: str, report: Report | None, *, is_over: bool) -> Row:
    """By what the host said; who is silent is believed once there was time enough for any host to be through."""
    is_awaited = report is None or report.is_silent
    if is_awaited and not is_over:
        return Row(CheckResult.AWAITED, Report(instance_id, Outcome.UNKNOWN))
    report = report or Report(instance_id, Outcome.UNKNOWN, NO_REPORT)
    return Row(_result(report), report)


def _result(report: Report) -> CheckResult:
    words = {
        Outcome.CHECKED: report.would or CheckResult.FAILED,
        Outcome.MISSING: CheckResult.UNREACHABLE,
    }
    return CheckResult(words.get(report.outcome, CheckResult.FAILED))


def _unread(instance_id: str, why: str) -> Row:
    words = why[:DETAIL_LENGTH]
    return Row(
        CheckResult.AWAITED,
        Report(instance_id, Outcome.UNKNOWN, NOT_READ, detail=words),
    )


def _read(ssm: Any, command: Command, row: Row) -> Row:
    """The row with the diff that the host printed behind its marker."""
    instance_id = row.report.instance_id
    try:
        output = run_command.output(ssm, command, instance_id)
    except FAILURES as error:
        return _unread(instance_id, str(error))
    if parse_marker(output) is None:
        return _unread(instance_id, "Run Command does not show its output yet")
    return replace(row, diff=following(output, row.report.diff_shown))
