"""One reconcile: read the state, collect reports, publish what a look found, end lifecycle actions, put, send commands.

It never waits for a host. The state is read before the look and put under its ETag afterwards, changed or not; whoever
loses starts again from the read. Every other order loses updates (docs/decisions.md, tests/contract/test_protocol.py).
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

from haproxy_sync import aws
from haproxy_sync.aws import Clients
from haproxy_sync.config.render import Renderer
from haproxy_sync.errors import BadRequest, Superseded
from haproxy_sync.fleet import inventory
from haproxy_sync.fleet.model import Fleet
from haproxy_sync.reconcile import changes, coalesce, events, lifecycle, wakeup
from haproxy_sync.reconcile.coalesce import Decision, Disposition
from haproxy_sync.reconcile.events import Home, Intent
from haproxy_sync.reconcile.publish import Proposal, Proposer
from haproxy_sync.reconcile.wakeup import Wakeup
from haproxy_sync.rollout import agents, driver, last_good
from haproxy_sync.rollout.driver import NOTHING_SENT, Reports, Sent
from haproxy_sync.rollout.program import Program
from haproxy_sync.rollout.progress import Progress
from haproxy_sync.rollout.reports import PROGRAM_DOWNLOAD_FAILED, PROGRAM_MISMATCH
from haproxy_sync.rollout.transitions import next_revision
from haproxy_sync.settings import Settings
from haproxy_sync.state import failures
from haproxy_sync.state.model import (
    ActionProgress,
    Command,
    EnvironmentState,
    Purpose,
    UnixSeconds,
)
from haproxy_sync.state.store import PLACEHOLDER, Snapshot, Store

ATTEMPTS = 5
# A document that takes no command for longer than any deploy of function and document is somebody's mistake.
DEPLOY_SECONDS = 600

type Amendment = Callable[[EnvironmentState, UnixSeconds], EnvironmentState]
"""What an operator changes in the state, as a function of the state and the time."""


def unchanged(state: EnvironmentState, _now: UnixSeconds) -> EnvironmentState:
    """No change."""
    return state


@dataclass(frozen=True, slots=True)
class Result:
    """What a reconcile found and did, for logs, metrics and answers."""

    intent: Intent
    disposition: Disposition
    before: EnvironmentState
    after: EnvironmentState
    now: UnixSeconds  # when it began
    fleet: Fleet | None = None
    sent: tuple[Command, ...] = ()
    reports: Reports = ()
    corruption: str = ""
    # Why no command was sent, where function and document are of two releases: Run Command's words, or our own.
    mismatch: str = ""
    # What went wrong after the state was put: the batch has to come again.
    failure: Exception | None = None

    @property
    def has_lasting_refusal(self) -> bool:
        """Whether commands are refused for longer than a deploy takes."""
        refusal = self.after.refusal
        return refusal is not None and self.now - refusal.since >= DEPLOY_SECONDS

    @property
    def ended_actions(self) -> tuple[ActionProgress, ...]:
        """The lifecycle actions that it ended, or found to be over."""
        actions = self.after.lifecycle_actions
        return tuple(each for each in actions if each.ended_at == self.now)

    @property
    def has_lasting_mismatch(self) -> bool:
        """Whether that was so once more just now."""
        is_news = self.mismatch != "" and self.after.refusal != self.before.refusal
        return is_news and self.has_lasting_refusal

    @property
    def is_published(self) -> bool:
        """Whether the desired config changed."""
        return self.after.is_published_since(self.before)


@dataclass(frozen=True, slots=True)
class _Run:
    """What one attempt works on: the batch, the state as it was read, when that was, and what shall be done."""

    intent: Intent
    snapshot: Snapshot
    now: UnixSeconds
    decision: Decision

    @property
    def is_skipped(self) -> bool:
        """Whether somebody else's look is enough, or none is wanted."""
        return self.decision.disposition in {Disposition.UNRELATED, Disposition.COVERED}

    def result(self, after: EnvironmentState) -> Result:
        """The attempt's result, as far as it is the same for all: `after` is the state that it leaves."""
        return Result(
            intent=self.intent,
            disposition=self.decision.disposition,
            before=self.snapshot.state,
            after=after,
            now=self.now,
            corruption=self.snapshot.corruption,
        )


@dataclass(frozen=True, slots=True)
class _Put:
    """The state as it was put, and what it says has to be done now."""

    before: EnvironmentState  # without the claims
    state: EnvironmentState
    etag: str
    claims: tuple[Command, ...]
    wake_at: UnixSeconds | None
    advance_at: UnixSeconds | None


@dataclass(frozen=True, slots=True)
class _Done:
    """The state once the claims were sent, when to come again because of that, and what went wrong first."""

    state: EnvironmentState
    sent: Sent = NOTHING_SENT
    wake_at: UnixSeconds | None = None
    failure: Exception | None = None


@dataclass(frozen=True, slots=True)
class Reconciler:
    """What a reconcile needs. `writer` is unique per invocation, `clock` gives unix seconds.

    `program` is what proxies run; `ProgramDiffers` if the release was built wrong: where a proxy waits for a command,
    nothing is put or sent then.
    """

    settings: Settings
    clients: Clients
    home: Home
    writer: str
    clock: Callable[[], float]
    renderer: Renderer
    program: Callable[[], Program]

    def reconcile(self, intent: Intent, amendment: Amendment = unchanged) -> Result:
        """Do what the batch needs; `Superseded` if others were faster again and again.

        `amendment` is made before the look, which an operator's intent always gets. What fails after the state was put
        is `Result.failure`; with any other error nothing was put but the error, as far as anybody can say.
        """
        return restarting(lambda: self._attempt(self._read(intent), amendment))

    def amend(self, why: str, amendment: Amendment) -> Result:
        """Change the state and go on with the rollout, without a look. Errors as above, and those of `amendment`."""
        intent = events.operator(why)
        advance = Decision(Disposition.ADVANCE)
        return restarting(
            lambda: self._attempt(
                _Run(intent, self.read(), self.clock(), advance), amendment
            )
        )

    def read(self) -> Snapshot:
        """The state as it is. Here the first freeze begins, and ends when the stack is deployed without it."""
        snapshot = self._store.read()
        first_freeze = self.settings.start_frozen and (
            snapshot.is_first or snapshot.state.first_freeze
        )
        state = replace(
            snapshot.state,
            first_freeze=first_freeze,
            publisher=self.settings.publisher,
        )
        return replace(snapshot, state=state)

    def propose(
        self, state: EnvironmentState, intent: Intent, now: UnixSeconds
    ) -> Proposal:
        """What a look makes of the state; writes nothing."""
        return Proposer(self.settings, self.clients, self.renderer).propose(
            state, intent, now
        )

    def _attempt(self, run: _Run, amendment: Amendment) -> Result:
        """One attempt; what keeps its state from being put is written into the state that was read, and raised."""
        try:
            return self._step(run, amendment)
        except (Superseded, BadRequest):
            raise
        except Exception as error:
            self._note(run.snapshot, error)
            raise

    def _note(self, snapshot: Snapshot, error: Exception) -> None:
        """Put the failure and nothing else, for `status`. Whoever put since the read was later, and knows better."""
        before, now = snapshot.state, self.clock()
        failure = failures.failure(error, now, before.look_failure)
        # What is wrong with an object that is no state must not be lost with it.
        if snapshot.corruption or not failures.is_news(failure, before.look_failure):
            return
        noted = next_revision(before, now, self.writer)
        with suppress(Superseded, *aws.FAILURES):
            self._store.put(replace(noted, look_failure=failure), snapshot.etag)

    def _step(self, run: _Run, amendment: Amendment) -> Result:
        """What follows the read: collect, publish, end lifecycle actions, put, send.

        A process that dies after any of them loses no update.
        """
        if run.is_skipped:
            return run.result(run.snapshot.state)
        if run.decision.disposition is Disposition.DEFERRED:
            return self._defer(run)
        collected, reports = self._collect(run)
        self._heal_program(reports)
        proposal = self._publish(run, amendment(collected, run.now))
        acting = lifecycle.Acting(self.clients.auto_scaling, self.settings, run.now)
        acted = acting.acted(proposal.state)
        kept, not_kept = self._keep_last_good(acted, run.now)
        put = self._put(run, replace(proposal, state=kept))
        result = self._send(run, proposal, put, reports)
        return replace(result, failure=result.failure or not_kept)

    def _read(self, intent: Intent) -> _Run:
        """The state, and what it says has to be done for the batch."""
        snapshot = self.read()
        now = self.clock()
        related = self._related(intent, snapshot, now)
        if not related.events:
            return _Run(intent, snapshot, now, Decision(Disposition.UNRELATED))
        return _Run(
            related, snapshot, now, coalesce.decide(related, snapshot.state, now)
        )

    def _related(self, intent: Intent, snapshot: Snapshot, now: UnixSeconds) -> Intent:
        """The batch without events whose instances EC2 shows as somebody else's.

        A question that fails, as by throttling in a storm of them, leaves all in: looks have a pace, and fail as such.
        """
        doubtful = coalesce.doubtful(intent, snapshot.state, self.settings, now)
        # Nobody has looked, or the state is lost: all may be ours.
        if not doubtful or not snapshot.state.looked_at:
            return intent
        try:
            unrelated = inventory.not_ours(
                self.clients.ec2, self.settings, coalesce.named(doubtful)
            )
        except aws.FAILURES:
            return intent
        return intent.without(
            [event for event in doubtful if unrelated.issuperset(event.instance_ids)]
        )

    def _defer(self, run: _Run) -> Result:
        """Schedule the look that this batch and those that follow it share."""
        before, wake_at = run.snapshot.state, run.decision.wake_at
        after = replace(next_revision(before, run.now, self.writer), wake_at=wake_at)
        after = lifecycle.with_rebalance(after, run.intent, run.now)
        self._store.put(after, run.snapshot.etag)
        failure = _first_failure(
            lambda: self._wakeup.at(wake_at, run.now, run.intent.why)
        )
        return replace(run.result(after), failure=failure)

    def _collect(self, run: _Run) -> tuple[EnvironmentState, Reports]:
        """The next state, with what proxies reported since the last one."""
        state = next_revision(run.snapshot.state, run.now, self.writer)
        return driver.collect(self.clients.ssm, state, run.now)

    def _heal_program(self, reports: Reports) -> None:
        """Put the program again where a host found something else in its place."""
        if any(report.reason == PROGRAM_MISMATCH for _, report in reports):
            program = self.program()
            self._store.replace_program(program.sha256, program.content)

    def _keep_last_good(
        self, state: EnvironmentState, now: UnixSeconds
    ) -> tuple[EnvironmentState, Exception | None]:
        """Put what proxies take at boot, where that is due; a failure keeps nobody from the config of now."""
        digest = last_good.to_put(state, now)
        if digest is None:
            return state, None
        try:
            is_put = self._store.put_last_good(digest.sha256)
        except aws.FAILURES as error:
            return state, error
        return last_good.put(state, now) if is_put else state, None

    def _publish(self, run: _Run, state: EnvironmentState) -> Proposal:
        """What a look makes of it, where one is due; the configs are stored before any state names them."""
        if run.decision.disposition is not Disposition.LOOK:
            return Proposal(state)
        proposal = self.propose(state, run.intent, run.now)
        for config in proposal.configs:
            self._store.put_config(config)
        return proposal

    def _put(self, run: _Run, proposal: Proposal) -> _Put:
        """Claim the next commands and put the state; nobody else sends what it claims."""
        before = run.snapshot.state
        state, chosen = driver.choose(
            self.clients.ssm, self.settings, proposal.state, self.program, run.now
        )
        if chosen.claims and _may_lack_program(before, state):
            program = self.program()
            self._store.put_program(program.sha256, program.content)
        if any(claim.purpose is Purpose.INSPECT for claim in chosen.claims):
            self._store.put_config(PLACEHOLDER)
        state = driver.agents_asked(self.clients.ssm, self.settings, state, run.now)
        state = last_good.named(state, run.now)
        times = (
            chosen.wake_at,
            Progress(state).ask_again_at(run.now),
            proposal.look_again_at,
            state.refused_until(run.now),
            wakeup.second_look_at(run.intent, before, proposal.state, run.now),
        )
        state, wake_at = wakeup.scheduled(state, times, run.now)
        steps = (
            agents.young_at(state, run.now),
            last_good.put_at(state, run.now),
            lifecycle.wake_at(state, self.settings, run.now),
        )
        state, advance_at = wakeup.advancing(state, steps, run.now)
        state = self._explained(before, state, proposal)
        etag = self._store.put(state, run.snapshot.etag)
        return _Put(proposal.state, state, etag, chosen.claims, wake_at, advance_at)

    def _explained(
        self, before: EnvironmentState, after: EnvironmentState, proposal: Proposal
    ) -> EnvironmentState:
        """The state whose newest history entry says what its publication changes in the configs."""
        if after.history[-1:] == before.history[-1:] or before.publication is None:
            return after  # the first one changes all there is
        differences = changes.differences(self._store, before, after, proposal.configs)
        newest = replace(after.history[-1], lines=changes.in_lines(differences))
        return replace(after, history=(*after.history[:-1], newest))

    def _send(
        self, run: _Run, proposal: Proposal, put: _Put, reports: Reports
    ) -> Result:
        """Send what was claimed and the messages that wake us; whatever fails, the rest is done and said."""
        before, why = run.snapshot.state, run.intent.why
        done = self._send_claims(put)
        sent = done.sent
        wakeups: list[Callable[[], None]] = []
        if put.state.instance_ids - before.instance_ids:
            wakeups.append(lambda: self._wakeup.recheck(self.clock(), why))
        messages = (
            (self._wakeup.at, put.wake_at),
            (self._wakeup.at, done.wake_at),
            (self._wakeup.advance, put.advance_at),
        )
        wakeups += [partial(send, at, run.now, why) for send, at in messages if at]
        # All claims were refused, so no command will end and wake us for those next in line.
        if sent.refused and not (sent.commands or done.failure):
            wakeups.append(lambda: self._wakeup.listed(self.clock()))
        not_woken = _first_failure(*wakeups)
        return replace(
            run.result(done.state),
            fleet=proposal.fleet,
            sent=sent.commands,
            reports=(*reports, *sent.refused),
            mismatch=sent.mismatch or done.state.difference,
            failure=done.failure or not_woken,
        )

    def _send_claims(self, put: _Put) -> _Done:
        """Send and record what was claimed."""
        ssm = self.clients.commands
        if not put.claims:
            return _Done(put.state)
        sent = NOTHING_SENT
        try:
            sent = driver.send(ssm, self.settings, put.state, put.claims)
            after, wake_at = self._record(put, sent)
        except Exception as error:  # noqa: BLE001 # whatever it is, it is raised once the rest is done and said
            return _Done(put.state, sent, failure=sent.failure or error)
        return _Done(after, sent, wake_at, sent.failure)

    def _record(
        self, put: _Put, sent: Sent
    ) -> tuple[EnvironmentState, UnixSeconds | None]:
        """Write into the state what became of the claims, whatever others make of it meanwhile; when to come again."""
        state = put.state
        etag: str | None = put.etag
        for _ in range(ATTEMPTS):
            now = self.clock()
            recorded = driver.record(state, sent, put.before, now, self.writer)
            refused_until = recorded.refused_until(now)
            recorded, wake_at = wakeup.scheduled(recorded, [refused_until], now)
            try:
                self._store.put(recorded, etag)
            except Superseded:
                snapshot = self.read()
                state, etag = snapshot.state, snapshot.etag
            else:
                return recorded, wake_at
        raise Superseded(
            "the ids of sent commands could not be recorded: others keep changing the state"
        )

    @property
    def _store(self) -> Store:
        return Store.of(self.clients, self.settings)

    @property
    def _wakeup(self) -> Wakeup:
        return Wakeup(self.clients.sqs, self.settings.queue_url, self.home)


def _may_lack_program(before: EnvironmentState, after: EnvironmentState) -> bool:
    """Whether the bucket may not have the program: commands begin to name it, or somebody seems to have deleted it."""
    reasons = {observed.reason for observed in after.proxy_states.values()}
    is_asking = after.inspecting != before.inspecting
    is_new = after.document != before.document
    return is_new or is_asking or PROGRAM_DOWNLOAD_FAILED in reasons


def _first_failure(*calls: Callable[[], None]) -> Exception | None:
    """Make every call, as none depends on another; the first failure, if there is one."""
    failures: list[Exception] = []
    for call in calls:
        try:
            call()
        except Exception as error:  # noqa: BLE001 # as above
            failures.append(error)
    if failures:
        return failures[0]
    return None


def restarting[T](attempt: Callable[[], T]) -> T:
    """Start again from the read as often as is sensible; then give up with `Superseded`."""
    for _ in range(ATTEMPTS - 1):
        try:
            return attempt()
        except Superseded:
            continue
    return attempt()
