"""One reconcile: read the state, observe, put the state, take the rollout's next step. It never waits for a host.

The state is read before the look and put under its ETag afterwards, changed or not; whoever loses starts again from
the read. Every other order loses updates (docs/decisions.md, tests/contract/test_protocol.py).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf

from botocore.exceptions import BotoCoreError, ClientError

from haproxy_sync.aws import Clients
from haproxy_sync.config.renderer import Renderer
from haproxy_sync.errors import Superseded
from haproxy_sync.fleet import inventory
from haproxy_sync.fleet.model import Fleet
from haproxy_sync.reconcile import changes, coalesce, events, wakeup
from haproxy_sync.reconcile.coalesce import Action
from haproxy_sync.reconcile.events import Home, Intent, Kind
from haproxy_sync.reconcile.publish import Observation, Observer
from haproxy_sync.rollout import driver, progress
from haproxy_sync.rollout.driver import Reports
from haproxy_sync.settings import Settings
from haproxy_sync.state import store
from haproxy_sync.state.model import Command, EnvironmentState, successor

ATTEMPTS = 5
ECHO_SECONDS = coalesce.SETTLE_SECONDS + 1  # an event whose look saw nothing new gets a second look then
RECHECK_SECONDS = 10  # most that a look which an instance joined waits for a later one; a rollout's looks often do
LISTED_SECONDS = 1  # a command that finished sooner than the service lists it is asked for again then


@dataclass(frozen=True, slots=True)
class Result:
    """What a reconcile found and did, for logs, metrics and answers."""

    action: Action
    before: EnvironmentState
    after: EnvironmentState
    now: float  # unix seconds, when it began
    fleet: Fleet | None = None
    sent: tuple[Command, ...] = ()
    reports: Reports = ()
    corruption: str = ""

    @property
    def is_published(self) -> bool:
        """Whether the desired config changed."""
        before, after = self.before.publication, self.after.publication
        return after is not None and (before is None or before.assignment != after.assignment)


@dataclass(frozen=True, slots=True)
class Reconciler:
    """What a reconcile needs. `writer` is unique per invocation, `clock` in unix seconds; `tell` hears of every put."""

    settings: Settings
    clients: Clients
    home: Home
    writer: str
    clock: Callable[[], float]
    renderer: Renderer
    tell: Callable[[Result, Intent], None] = lambda _result, _intent: None

    def reconcile(
        self, intent: Intent, change: Callable[[EnvironmentState], EnvironmentState] = lambda state: state
    ) -> Result:
        """Do what the batch needs; `Superseded` if others were faster again and again.

        `change` is made before a look, which an operator's intent always gets.
        """
        return _restarting(lambda: self._reconcile(intent, change))

    def amend(self, why: str, change: Callable[[EnvironmentState, float], EnvironmentState]) -> Result:
        """Change the state and take the rollout's next step, without a look."""
        intent = events.operator(why)
        return _restarting(lambda: self._amend(change, intent))

    def read(self) -> store.Snapshot:
        """The state as it is. Here the first freeze begins, and ends when the stack is deployed without it."""
        snapshot = store.read(self.clients.s3, self.settings.bucket, self.settings.environment)
        first_freeze = self.settings.start_frozen and (snapshot.is_first or snapshot.state.first_freeze)
        return replace(snapshot, state=replace(snapshot.state, first_freeze=first_freeze))

    def observe(self, state: EnvironmentState, intent: Intent, now: float) -> Observation:
        """What a look makes of the state; writes nothing."""
        return Observer(self.settings, self.clients, self.renderer).observe(state, intent, now)

    def _reconcile(self, intent: Intent, change: Callable[[EnvironmentState], EnvironmentState]) -> Result:
        snapshot = self.read()
        now = self.clock()
        related = self._related(intent, snapshot, now)
        if not related.events:
            return self._told(Result(Action.UNRELATED, snapshot.state, snapshot.state, now), intent)
        intent = related
        decision = coalesce.decide(intent, snapshot.state, now)
        match decision.action:
            case Action.COVERED:
                return self._told(Result(decision.action, snapshot.state, snapshot.state, now), intent)
            case Action.DEFERRED:
                return self._defer(snapshot, decision.wake_at, now, intent)
            case action:
                state = change(successor(snapshot.state, now, self.writer))
                state, reports = driver.collect(self.clients.ssm, state, now)
                is_look = action is Action.LOOK
                observation = self.observe(state, intent, now) if is_look else Observation(state)
        return self._move(snapshot, observation, reports, now, intent)

    def _related(self, intent: Intent, snapshot: store.Snapshot, now: float) -> Intent:
        """The batch without events whose instances EC2 shows as somebody else's.

        A question that fails, as by throttling in a storm of them, leaves all in: looks have a pace, and fail as such.
        """
        doubtful = coalesce.doubtful(intent, snapshot.state, self.settings, now)
        if not doubtful or not snapshot.state.looked_at:  # nobody is known: nobody has looked, or the state is lost
            return intent
        try:
            strangers = inventory.strangers(self.clients.ec2, self.settings, coalesce.named(doubtful))
        except (ClientError, BotoCoreError):
            return intent
        return intent.without([event for event in doubtful if strangers.issuperset(event.instance_ids)])

    def _amend(self, change: Callable[[EnvironmentState, float], EnvironmentState], intent: Intent) -> Result:
        snapshot = self.read()
        now = self.clock()
        state, reports = driver.collect(self.clients.ssm, successor(snapshot.state, now, self.writer), now)
        return self._move(snapshot, Observation(change(state, now)), reports, now, intent)

    def _defer(self, snapshot: store.Snapshot, wake_at: float, now: float, intent: Intent) -> Result:
        state = replace(successor(snapshot.state, now, self.writer), wake_at=wake_at)
        self._put(state, snapshot.etag)
        self._wake(wake_at, now, intent.why)
        return self._told(Result(Action.DEFERRED, snapshot.state, state, now), intent)

    def _told(self, result: Result, intent: Intent) -> Result:
        self.tell(result, intent)
        return result

    def _move(
        self, snapshot: store.Snapshot, observation: Observation, reports: Reports, now: float, intent: Intent
    ) -> Result:
        """Store what must be there before, move the state, then act on it."""
        s3, ssm, settings = self.clients.s3, self.clients.ssm, self.settings
        for config in observation.configs:
            store.put_config(s3, settings.bucket, settings.environment, config)
        echo_at = _echo(intent, snapshot.state, observation.state, now)
        state, step = driver.plan(ssm, settings, observation.state, now)
        listen_at = progress.listen_again_at(state, now)
        state, wake_at = _scheduled(state, [step.wake_at, listen_at, observation.look_again_at, echo_at], now)
        state = self._explained(snapshot.state, state, observation)
        etag = self._put(state, snapshot.etag)
        action = Action.LOOK if observation.fleet else Action.ADVANCE
        result = Result(
            action,
            snapshot.state,
            state,
            now,
            observation.fleet,
            reports=reports,
            corruption=snapshot.corruption,
        )
        try:
            if step.claims:
                result = self._send(result, etag, step.claims)
        finally:
            self.tell(result, intent)  # what was heard now is gone from the next run
            try:
                if state.instance_ids - snapshot.state.instance_ids:
                    self._recheck(intent.why)
            finally:  # neither message depends on the other
                if wake_at:
                    self._wake(wake_at, now, intent.why)
        return result

    def _recheck(self, why: str) -> None:
        """One more look: until this put nobody knew who joined, so an event that says it left may have been dropped.

        Its time counts from now, after the put, however long the run took. Not by `wake_at`: a sooner one would take
        its place, and prove nothing.
        """
        body = events.requeue(self.home, self.clock() + coalesce.SETTLE_SECONDS, why)
        wakeup.send(self.clients.sqs, self.settings.queue_url, body, RECHECK_SECONDS)

    def _explained(
        self, before: EnvironmentState, after: EnvironmentState, observation: Observation
    ) -> EnvironmentState:
        """The state whose newest history entry says what its publication changes in the configs."""
        if after.history[-1:] == before.history[-1:] or not before.publication:
            return after  # the first one changes all there is
        diffs = changes.differences(self.clients.s3, self.settings, before, after, observation.configs)
        newest = replace(after.history[-1], diff=changes.in_lines(diffs))
        return replace(after, history=(*after.history[:-1], newest))

    def _send(self, result: Result, etag: str, claims: tuple[Command, ...]) -> Result:
        """Send what was claimed and note the command ids; then let a failure bring the message back."""
        state = result.after
        sent = driver.send(self.clients.commands, self.settings, state, claims)
        for _ in range(ATTEMPTS):
            noted = driver.note(state, sent, self.clock(), self.writer)
            try:
                self._put(noted, etag)
                break
            except Superseded:
                snapshot = self.read()
                state, etag = snapshot.state, snapshot.etag or ""
        else:
            raise Superseded("the ids of sent commands could not be noted: others keep moving the state")
        if sent.failure:
            raise sent.failure
        commands = tuple(command for command in sent.by_claim.values() if command)
        if sent.refused and not commands:  # no command will end and wake us for the next in line
            now = self.clock()
            self._wake(now + LISTED_SECONDS, now, events.REQUEUED)
        return replace(result, after=noted, sent=commands, reports=result.reports + sent.refused)

    def _put(self, state: EnvironmentState, etag: str | None) -> str:
        return store.put(self.clients.s3, self.settings.bucket, self.settings.environment, state, etag)

    def _wake(self, wake_at: float, now: float, why: str) -> None:
        body = events.requeue(self.home, wake_at, why)
        wakeup.send(self.clients.sqs, self.settings.queue_url, body, coalesce.delay(wake_at, now))


def _echo(intent: Intent, before: EnvironmentState, after: EnvironmentState, now: float) -> float | None:
    """An event came, and EC2 or Run Command does not show it yet: look once more when it surely does."""
    is_old_fleet = (before.backends, before.proxies) == (after.backends, after.proxies)
    is_unheard = bool(after.commands) and before.commands == after.commands
    if Kind.COMMAND in intent.kinds and is_unheard:
        return now + LISTED_SECONDS
    return now + ECHO_SECONDS if Kind.CHANGE in intent.kinds and is_old_fleet else None


def _scheduled(state: EnvironmentState, times: list[float | None], now: float) -> tuple[EnvironmentState, float | None]:
    """The state with the soonest wake-up, and when, if a message has to be sent for it."""
    soonest = min((time for time in times if time is not None), default=inf)
    if soonest == inf or now < state.wake_at <= soonest + 1:  # whole seconds are all the queue knows
        return state, None
    wake_at = now + coalesce.delay(soonest, now)
    return replace(state, wake_at=wake_at), wake_at


def _restarting(attempt: Callable[[], Result]) -> Result:
    """Start again from the read as often as is sensible; then let the queue bring the message back."""
    for _ in range(ATTEMPTS - 1):
        try:
            return attempt()
        except Superseded:
            continue
    return attempt()
