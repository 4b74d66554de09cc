"""One reconcile: pointer, look, guard, render, publish, next rollout step. It never waits for a host.

The pointer is read before the look and put under its ETag afterwards, changed or not; whoever loses starts again from
the read. Every other order loses updates (docs/decisions.md, tests/contract/test_protocol.py).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import inf
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from haproxy_sync import coalesce, events, inventory, queue, rollout, steps, store
from haproxy_sync.aws import Clients
from haproxy_sync.coalesce import Action
from haproxy_sync.errors import Superseded, TemplateError
from haproxy_sync.events import Home, Intent, Kind
from haproxy_sync.guard import Limits, Verdict, judge
from haproxy_sync.model import Config, Fleet, Skipped
from haproxy_sync.pointer import (
    Assignment,
    Command,
    Digest,
    Outcome,
    Pointer,
    Purpose,
    publish,
    successor,
)
from haproxy_sync.renderer import Renderer
from haproxy_sync.report import Report, fold
from haproxy_sync.settings import Settings

if TYPE_CHECKING:
    from haproxy_sync.render import Rendering

ATTEMPTS = 5
ECHO_SECONDS = coalesce.SETTLE_SECONDS + 1  # an event whose look saw nothing new gets a second look then
LISTED_SECONDS = 1  # a command that finished sooner than the service lists it is asked for again then
CLIENT_ERROR = range(400, 500)


@dataclass(frozen=True, slots=True)
class Observation:
    """What one look made of the pointer, and the configs that must be stored before it is put."""

    pointer: Pointer
    configs: tuple[Config, ...] = ()
    verdict: Verdict | None = None
    fleet: Fleet | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """What a reconcile found and did, for logs, metrics and answers."""

    action: Action
    before: Pointer
    after: Pointer
    fleet: Fleet | None = None
    verdict: Verdict | None = None
    sent: tuple[Command, ...] = ()
    reports: tuple[tuple[Command, Report], ...] = ()
    corruption: str = ""

    @property
    def is_published(self) -> bool:
        """Whether the desired config changed."""
        before, after = self.before.publication, self.after.publication
        return after is not None and (before is None or before.assignment != after.assignment)


@dataclass(frozen=True, slots=True)
class Reconciler:
    """Everything a reconcile needs. `writer` is unique per invocation, `clock` gives unix seconds."""

    settings: Settings
    clients: Clients
    home: Home
    writer: str
    clock: Callable[[], float]
    renderer: Renderer

    def reconcile(self, intent: Intent) -> Result:
        """Do what the batch needs; `Superseded` if others were faster again and again."""
        return _restarting(lambda: self._reconcile(intent))

    def amend(self, change: Callable[[Pointer, float], Pointer]) -> Result:
        """Change the pointer and take the rollout's next step, without a look."""
        return _restarting(lambda: self._amend(change))

    def _reconcile(self, intent: Intent) -> Result:
        snapshot = self.read()
        now = self.clock()
        decision = coalesce.decide(intent, snapshot.pointer, now)
        match decision.action:
            case Action.COVERED:
                return Result(decision.action, snapshot.pointer, snapshot.pointer)
            case Action.DEFERRED:
                return self._defer(snapshot, decision.wake_at, now, intent.why)
            case Action.ADVANCE:
                observation = Observation(successor(snapshot.pointer, now, self.writer))
                return self._move(snapshot, observation, now, decision.action, intent)
        observation = self.observe(snapshot.pointer, intent, now)
        return self._move(snapshot, observation, now, decision.action, intent)

    def _amend(self, change: Callable[[Pointer, float], Pointer]) -> Result:
        snapshot = self.read()
        now = self.clock()
        amended = change(successor(snapshot.pointer, now, self.writer), now)
        return self._move(snapshot, Observation(amended), now)

    def read(self) -> store.Snapshot:
        """The pointer as it is."""
        return store.read(self.clients.s3, self.settings.bucket, self.settings.environment)

    def _put(self, pointer: Pointer, etag: str | None) -> str:
        return store.put(self.clients.s3, self.settings.bucket, self.settings.environment, pointer, etag)

    def _defer(self, snapshot: store.Snapshot, wake_at: float, now: float, why: str) -> Result:
        pointer = replace(successor(snapshot.pointer, now, self.writer), wake_at=wake_at)
        self._put(pointer, snapshot.etag)
        self._wake(wake_at, now, why)
        return Result(Action.DEFERRED, snapshot.pointer, pointer)

    def _wake(self, wake_at: float, now: float, why: str) -> None:
        body = events.requeue(self.home, wake_at, why)
        queue.send(self.clients.sqs, self.settings.queue_url, body, coalesce.delay(wake_at, now))

    def observe(self, previous: Pointer, intent: Intent, now: float) -> Observation:
        """What a look makes of the pointer. Writes nothing."""
        fleet = inventory.look(self.clients.ec2, self.settings)
        pointer = replace(
            successor(previous, now, self.writer),
            looked_at=now,
            proxies=fleet.proxies,
            skipped=fleet.skipped,
            template_error="",
        )
        try:
            verdict, rendering, refused = self._decide(pointer, fleet, now, intent)
        except TemplateError as error:
            # The old config stays; what is rolling out goes on (F39, F40, F42, F46).
            return Observation(steps.forget_gone(replace(pointer, template_error=str(error))), fleet=fleet)
        pointer = replace(pointer, hold=verdict.hold)
        if rendering is None or verdict.pool is None or pointer.freeze:
            return Observation(steps.forget_gone(pointer), verdict=verdict, fleet=fleet)
        pointer = replace(pointer, skipped=tuple(sorted({*fleet.skipped, *refused})))
        assignment, configs = assign(rendering)
        pointer = publish(pointer, assignment, intent.why, now, verdict.pool)
        known = set(_digests(previous.publication.assignment)) if previous.publication else set()
        fresh = tuple(config for digest, config in configs.items() if digest not in known)
        return Observation(steps.forget_gone(pointer), fresh, verdict, fleet)

    def _decide(
        self, pointer: Pointer, fleet: Fleet, now: float, intent: Intent
    ) -> tuple[Verdict, "Rendering | None", frozenset[Skipped]]:
        """The verdict and the rendering of its pool. A backend that the template cannot take is lost like any other."""
        present, refused = fleet.backends, frozenset[Skipped]()
        limits, allow = Limits.of(self.settings), intent.allow_mass_removal
        if pointer.freeze:  # nothing is taken out now, so a loss that lasts stays on record
            limits = replace(limits, hold_seconds=inf)
        while True:
            verdict = judge(pointer.backends, present, pointer.hold, limits, now, allow_mass_removal=allow)
            if verdict.pool is None:
                return verdict, None, refused
            rendering = self.renderer(self.clients.s3, self.settings, replace(fleet, backends=verdict.pool))
            refused |= frozenset(rendering.skipped)
            ids = {skipped.instance_id for skipped in rendering.skipped}
            left = tuple(backend for backend in present if backend.instance_id not in ids)
            if left == present:
                break
            present = left
        if kept := sorted(ids & {backend.instance_id for backend in verdict.pool}):
            raise TemplateError("template", None, f"it cannot take the vanished backends that are held: {kept}")
        return verdict, rendering, refused

    def _move(
        self,
        snapshot: store.Snapshot,
        observation: Observation,
        now: float,
        action: Action = Action.ADVANCE,
        intent: Intent | None = None,
    ) -> Result:
        """Store what must be there before, move the pointer, then act on it."""
        for config in observation.configs:
            store.put_config(self.clients.s3, self.settings.bucket, self.settings.environment, config)
        pointer, reports = self._collect(observation.pointer, now)
        echo_at = _echo(intent, snapshot.pointer, pointer, now) if intent else None
        pointer, step = self._plan(pointer, now)
        confirmable_at = observation.verdict.confirmable_at if observation.verdict else None
        pointer, wake_at = _scheduled(pointer, [step.wake_at, confirmable_at, echo_at], now)
        etag = self._put(pointer, snapshot.etag)
        if wake_at:
            self._wake(wake_at, now, events.REQUEUED)
        claimed = pointer.generation
        if step.claims:
            pointer = self._send(pointer, etag, step.claims)
        sent = tuple(command for command in pointer.commands if command.claim.startswith(f"{claimed}."))
        return Result(
            action,
            snapshot.pointer,
            pointer,
            observation.fleet,
            observation.verdict,
            sent,
            reports,
            snapshot.corruption,
        )

    def _collect(self, pointer: Pointer, now: float) -> tuple[Pointer, tuple[tuple[Command, Report], ...]]:
        """What the commands in flight have brought since the last time."""
        pointer = steps.give_up(pointer, now)
        heard: list[tuple[Command, Report]] = []
        for command in pointer.commands:
            if not command.command_id:
                continue
            reports = [
                r for r in fold(rollout.invocations(self.clients.ssm, command)) if r.instance_id in command.targets
            ]
            pointer = steps.absorb(pointer, command, reports, now)
            heard += [(command, report) for report in reports]
        return pointer, tuple(heard)

    def _plan(self, pointer: Pointer, now: float) -> tuple[Pointer, steps.Step]:
        """The next step, claimed in the pointer so that nobody else takes it too."""
        wanted = steps.due(pointer, self.settings, now)
        ready = [each.instance_id for each in wanted if each.at <= now]
        online = rollout.online(self.clients.ssm, ready) if ready else frozenset()
        pointer = steps.note_unreachable(pointer, wanted, online, now)
        step = steps.next_step(pointer, online, self.settings, now)
        pointer = self._pinned(steps.claim(pointer, step.claims, now), step.claims)
        return (replace(pointer, converged_at=now) if steps.is_converged(pointer) else pointer), step

    def _pinned(self, pointer: Pointer, claims: tuple[Command, ...]) -> Pointer:
        """A wave runs the document that the canary ran; everything else the one that is current now (F64)."""
        publication = pointer.publication
        if not claims or not publication:
            return pointer
        if publication.document and claims[0].purpose is Purpose.WAVE:
            return pointer
        document = rollout.document(self.clients.ssm, self.settings.document_name)
        return replace(pointer, publication=replace(publication, document=document))

    def _send(self, pointer: Pointer, etag: str, claims: tuple[Command, ...]) -> Pointer:
        """Send what was claimed and note the command ids. A claim that was surely not sent is withdrawn (F56)."""
        assert pointer.publication  # noqa: S101 # claims come from a publication
        document = pointer.publication.document
        assert document  # noqa: S101 # pinned together with the claims
        sent: dict[str, tuple[Command, ...]] = {}
        failure: ClientError | None = None
        for claim in claims:
            if failure:
                sent[claim.claim] = ()
                continue
            try:
                sent[claim.claim] = rollout.send(self.clients.ssm, self.settings, claim, document)
            except ClientError as error:
                failure = error
                if error.response["ResponseMetadata"]["HTTPStatusCode"] in CLIENT_ERROR:
                    sent[claim.claim] = ()
        noted = self._note(pointer, etag, claims if not failure else (), sent)
        if failure:
            raise failure
        return noted

    def _note(
        self, pointer: Pointer, etag: str, claims: tuple[Command, ...], sent: Mapping[str, tuple[Command, ...]]
    ) -> Pointer:
        """The pointer with the command ids; merged into whatever others made of it meanwhile."""
        for _ in range(ATTEMPTS):
            now = self.clock()
            noted = successor(pointer, now, self.writer)
            for claim in claims:
                reached = {target for command in sent[claim.claim] for target in command.targets}
                missed = [target for target in claim.targets if target not in reached]
                if missed and claim in noted.commands:
                    reports = (Report(target, Outcome.MISSING, "not-reachable") for target in missed)
                    noted = steps.absorb(noted, claim, reports, now)
            noted = steps.merge_sent(noted, sent)
            try:
                self._put(noted, etag)
            except Superseded:
                snapshot = self.read()
                pointer, etag = snapshot.pointer, snapshot.etag or ""
                continue
            return noted
        raise Superseded("the ids of sent commands could not be noted: others keep moving the pointer")


def assign(rendering: "Rendering") -> tuple[Assignment, Mapping[Digest, Config]]:
    """Which proxy gets which config, and each distinct config by its digest."""
    if rendering.shared is not None:
        digest = Digest.of(rendering.shared)
        return Assignment(shared=digest), {digest: rendering.shared}
    digests = {id(config): Digest.of(config) for config in rendering.by_proxy.values()}
    by_proxy = {instance_id: digests[id(config)] for instance_id, config in sorted(rendering.by_proxy.items())}
    return Assignment(by_proxy=by_proxy), {digests[id(config)]: config for config in rendering.by_proxy.values()}


def _digests(assignment: Assignment) -> tuple[Digest, ...]:
    return (assignment.shared,) if assignment.shared else tuple(assignment.by_proxy.values())


def _echo(intent: Intent, before: Pointer, after: Pointer, now: float) -> float | None:
    """An event came, and EC2 or Run Command does not show it yet: look once more when it surely does."""
    is_old_fleet = (before.backends, before.proxies) == (after.backends, after.proxies)
    is_unheard = bool(after.commands) and before.commands == after.commands
    if Kind.COMMAND in intent.kinds and is_unheard:
        return now + LISTED_SECONDS
    return now + ECHO_SECONDS if Kind.CHANGE in intent.kinds and is_old_fleet else None


def _scheduled(pointer: Pointer, times: list[float | None], now: float) -> tuple[Pointer, float | None]:
    """The pointer with the soonest wake-up, and when, if a message has to be sent for it."""
    soonest = min((time for time in times if time is not None), default=inf)
    if soonest == inf or now < pointer.wake_at <= soonest + 1:  # whole seconds are all the queue knows
        return pointer, None
    wake_at = now + coalesce.delay(soonest, now)
    return replace(pointer, wake_at=wake_at), wake_at


def _restarting(attempt: Callable[[], Result]) -> Result:
    """Start again from the read as often as is sensible; then let the queue bring the message back."""
    for _ in range(ATTEMPTS - 1):
        try:
            return attempt()
        except Superseded:
            continue
    return attempt()
