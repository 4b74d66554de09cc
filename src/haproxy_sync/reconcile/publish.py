"""What should be published now: look at EC2, judge, render. Writes nothing, so the operator's plan is the same code."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from haproxy_sync.aws import FAILURES, Clients
from haproxy_sync.config import earlier_uploads, secret_lines
from haproxy_sync.config.render import Renderer, Rendering
from haproxy_sync.config.sources import Uploads
from haproxy_sync.errors import TemplateError
from haproxy_sync.fleet import inventory
from haproxy_sync.fleet.model import (
    Backend,
    Config,
    Fleet,
    Skipped,
    by_id,
    ids,
    without,
)
from haproxy_sync.reconcile import lifecycle
from haproxy_sync.reconcile.endings import explained, noted
from haproxy_sync.reconcile.events import Intent, Kind
from haproxy_sync.reconcile.guard import Look, Thresholds, Verdict, judge, only
from haproxy_sync.rollout import next_commands, transitions
from haproxy_sync.rollout.reports import DOWNLOAD_FAILED
from haproxy_sync.settings import Settings
from haproxy_sync.state.model import (
    NO_ASSIGNMENT,
    Assignment,
    Digest,
    EnvironmentState,
    Hold,
    UnixSeconds,
)

PACE_SECONDS = 30  # changes do not wait longer than that for a slow rollout


@dataclass(frozen=True, slots=True)
class Proposal:
    """The state that should be put, and the configs that must be stored before it is."""

    state: EnvironmentState
    configs: tuple[Config, ...] = ()
    fleet: Fleet | None = None  # None: nobody looked
    pool: tuple[Backend, ...] | None = None  # what the guard lets in; None: nothing
    # Which proxy it gives which config, and every distinct one; of a look that may publish.
    assignment: Assignment = NO_ASSIGNMENT
    rendered: tuple[Config, ...] = ()
    # A look from then on believes a loss, or publishes what is queued.
    look_again_at: UnixSeconds | None = None


@dataclass(frozen=True, slots=True)
class _Judged:
    """The guard's verdict, the rendering of its pool, and what the template could not take."""

    verdict: Verdict
    rendering: Rendering | None = None
    skipped: frozenset[Skipped] = frozenset()


@dataclass(frozen=True, slots=True)
class Proposer:
    """Looks at EC2 through the guard and the template."""

    settings: Settings
    clients: Clients
    renderer: Renderer

    def propose(
        self, before: EnvironmentState, intent: Intent, now: UnixSeconds
    ) -> Proposal:
        """What a look makes of the state, which must have been read before: an older look would overwrite a newer one.

        `ClientError` or `BotoCoreError` if EC2 or the bucket cannot be read: then nothing is known of the fleet.
        """
        uploads = Uploads(self.clients, self.settings)
        proposal = self._proposed(before, intent, now, uploads)
        return replace(proposal, state=_told_of_uploads(proposal.state, uploads))

    def _proposed(
        self,
        before: EnvironmentState,
        intent: Intent,
        now: UnixSeconds,
        uploads: Uploads,
    ) -> Proposal:
        """The same, from uploads that are listed where something is rendered."""
        waited_for = {each.action.group for each in before.lifecycle_actions}
        fleet = inventory.look(self.clients, self.settings, waited_for)
        fleet = lifecycle.among_pool(fleet, before)
        seen = lifecycle.seen(_seen(before, fleet, now), fleet, intent, now)
        if intent.adopt:
            seen = transitions.adopting(seen, now)
        look = _look(seen, fleet, intent)
        try:
            judged = self._judged(look, fleet, uploads)
        except TemplateError as error:
            # The old config stays, and what is rolling out goes on. Nobody leaves, as in a freeze; who is missing or
            # back is recorded all the same.
            thresholds = Thresholds.of(self.settings)
            kept = replace(look, is_frozen=True)
            record = noted(seen, kept, judge(kept, thresholds))
            return Proposal(
                replace(
                    record,
                    template_error=str(error),
                    template_error_since=before.template_error_since or now,
                ),
                fleet=fleet,
                pool=judge(look, thresholds).pool,
            )
        verdict, rendering = judged.verdict, judged.rendering
        skipped = tuple(sorted({*fleet.skipped, *judged.skipped}))
        state = replace(noted(seen, look, verdict), skipped=skipped)
        if rendering is None or verdict.pool is None or state.is_frozen:
            return Proposal(state, fleet=fleet, look_again_at=verdict.look_again_at)
        assignment, configs = _assign(rendering)
        why = before.queued or intent.why  # a queued change keeps its reason
        until = None
        if not _is_urgent(before, verdict, intent):
            until = queued_until(self.settings, state, assignment, now)
        if until:
            hold = _still_held(before.hold, verdict)
            again_at = min(until, verdict.look_again_at or until)
            return Proposal(
                replace(state, queued=why, hold=hold),
                fleet=fleet,
                look_again_at=again_at,
            )
        return Proposal(
            state=transitions.publish(
                state, assignment, explained(why, verdict.ended), now, verdict.pool
            ),
            configs=_to_store(state, configs),
            fleet=fleet,
            pool=verdict.pool,
            assignment=assignment,
            rendered=tuple(configs.values()),
            look_again_at=verdict.look_again_at,
        )

    def _judged(self, look: Look, fleet: Fleet, uploads: Uploads) -> _Judged:
        """The verdict and the rendering of its pool. A backend that the template cannot take is lost like any other."""
        skipped = frozenset[Skipped]()
        while True:
            verdict = lifecycle.out_of_balance(self._verdict(look), fleet)
            if verdict.pool is None:
                return _Judged(verdict, skipped=skipped)
            pool = replace(fleet, backends=verdict.pool)
            rendering = self.renderer(uploads, pool)
            skipped |= frozenset(rendering.skipped)
            taken = without(look.present, rendering.skipped_ids)
            if taken == look.present:
                _check_held(verdict.pool, rendering)
                return _Judged(verdict, rendering, skipped)
            look = replace(look, present=taken)

    def _verdict(self, look: Look) -> Verdict:
        """The guard's, which knows whose address is another one's. While EC2 cannot say, nobody goes for that."""
        thresholds = Thresholds.of(self.settings)
        verdict = judge(look, thresholds)
        if verdict.hold is None or look.is_frozen:
            return verdict  # nobody is held, or nobody may go
        held = [look.accepted[key] for key in verdict.hold.missing]
        try:
            taken_over = inventory.taken_over(self.clients.ec2, held)
        except FAILURES:
            return verdict
        return judge(replace(look, taken_over=taken_over), thresholds)


def _told_of_uploads(state: EnvironmentState, uploads: Uploads) -> EnvironmentState:
    """With what the look has found of uploads; in the first freeze it always asks: a person is to decide by that."""
    if state.first_freeze or uploads.is_listed:
        return with_origins(state, uploads, is_first=state.first_freeze)
    return replace(state, earlier_uploads=())


def with_origins(
    state: EnvironmentState, uploads: Uploads, *, is_first: bool
) -> EnvironmentState:
    """With where template and variables come from, and in the first freeze with what earlier stacks left.

    `ClientError` or `BotoCoreError` if our own bucket cannot be read.
    """
    origins = uploads.origins
    return replace(
        state,
        template_origin=origins.template,
        variables_origin=origins.variables,
        earlier_uploads=earlier_uploads.find(uploads) if is_first else (),
    )


def _look(state: EnvironmentState, fleet: Fleet, intent: Intent) -> Look:
    """What the guard has to judge."""
    return Look(
        previous=state.backends,
        present=fleet.backends,
        hold=state.hold,
        now=state.looked_at,
        turnover=state.turnover,
        let_go=fleet.let_go,
        allow_mass_removal=intent.allow_mass_removal,
        is_frozen=state.is_frozen,  # nothing is taken out now, so a loss that lasts stays on record
    )


def queued_until(
    settings: Settings,
    state: EnvironmentState,
    assignment: Assignment,
    now: UnixSeconds,
) -> UnixSeconds | None:
    """Until when the publication is not replaced, because its rollout is under way."""
    publication = state.publication
    if publication is None or publication.assignment == assignment:
        return None
    until = publication.at + PACE_SECONDS
    is_over = now >= until or next_commands.is_at_rest(state, settings, now)
    return None if is_over else until


def _seen(before: EnvironmentState, fleet: Fleet, now: UnixSeconds) -> EnvironmentState:
    """The state with what the look found, and without what only an earlier look had to say."""
    seen = replace(
        before,
        looked_at=now,
        proxies=fleet.proxies,
        skipped=fleet.skipped,
        others=tuple(by_id(fleet.others)),
        template_error="",
        template_error_since=0.0,
        queued="",
        look_failure=None,
    )
    return transitions.forgotten(seen)


def _check_held(pool: tuple[Backend, ...], rendering: Rendering) -> None:
    """A pool is published whole: `TemplateError` if the template takes no backend that is held."""
    if refused := sorted(ids(pool) & rendering.skipped_ids):
        raise TemplateError(
            "template",
            None,
            f"it cannot take the vanished backends that are held: {refused}",
        )


def _is_urgent(before: EnvironmentState, verdict: Verdict, intent: Intent) -> bool:
    """An operator does not wait for a rollout, nor does the end of a hold."""
    is_hold_over = before.hold is not None and verdict.hold is None
    return Kind.OPERATOR in intent.kinds or is_hold_over


def _to_store(
    state: EnvironmentState, configs: Mapping[Digest, Config]
) -> tuple[Config, ...]:
    """The configs that may not be in the bucket yet: what is published is, unless somebody deleted it."""
    if _lost_a_config(state):
        return tuple(configs.values())
    stored = {(each, each.secret_lines) for each in state.assignment.digests}
    return tuple(
        config
        for digest, config in configs.items()
        if (digest, digest.secret_lines) not in stored
    )


def _lost_a_config(state: EnvironmentState) -> bool:
    """Whether somebody seems to have deleted one: a put of what is there costs nothing."""
    reasons = {observed.reason for observed in state.proxy_states.values()}
    return DOWNLOAD_FAILED in reasons


def _still_held(before: Hold | None, verdict: Verdict) -> Hold | None:
    """The hold while the pool is queued: who was let go is still published, and stays on record as missing."""
    if before is None or verdict.hold is None:
        return verdict.hold
    after = verdict.hold
    still = before.missing.keys() - ids(verdict.pool or ())
    missing = only(before.missing, still) | dict(after.missing)
    let_go_at = only(before.let_go_at, still) | dict(after.let_go_at)
    return replace(
        after,
        missing=MappingProxyType(missing),
        let_go_at=MappingProxyType(let_go_at),
    )


def _digest(config: Config) -> Digest:
    lines = secret_lines.parameter(config.secret_lines)
    return replace(Digest.of(config), secret_lines=lines)


def _assign(rendering: Rendering) -> tuple[Assignment, Mapping[Digest, Config]]:
    """Which proxy gets which config, and each distinct config by its digest."""
    if rendering.shared is not None:
        digest = _digest(rendering.shared)
        return Assignment(shared=digest), {digest: rendering.shared}
    digests = {config: _digest(config) for config in rendering.configs}
    by_proxy = {
        instance_id: digests[config]
        for instance_id, config in sorted(rendering.by_proxy.items())
    }
    return Assignment(by_proxy=by_proxy), {digests[each]: each for each in digests}
