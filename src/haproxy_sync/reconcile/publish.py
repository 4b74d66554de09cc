"""Look, judge, render: what EC2 shows now as the state to be put. Writes nothing, so a plan is the same code."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from haproxy_sync.aws import Clients
from haproxy_sync.config.render import Rendering
from haproxy_sync.config.renderer import Renderer
from haproxy_sync.errors import TemplateError
from haproxy_sync.fleet import inventory
from haproxy_sync.fleet.model import Config, Fleet, Skipped
from haproxy_sync.reconcile.events import Intent, Kind
from haproxy_sync.reconcile.guard import Limits, Verdict, judge
from haproxy_sync.rollout import next_commands, progress
from haproxy_sync.settings import Settings
from haproxy_sync.state.model import Assignment, Digest, EnvironmentState, Hold, publish

PACE_SECONDS = 30  # changes do not wait longer than that for a slow rollout


@dataclass(frozen=True, slots=True)
class Observation:
    """The state that should be put, and the configs that must be stored before it is."""

    state: EnvironmentState
    configs: tuple[Config, ...] = ()
    fleet: Fleet | None = None  # None: nobody looked
    look_again_at: float | None = None  # a look from then on believes the held loss, or publishes what is held back


@dataclass(frozen=True, slots=True)
class Observer:
    """Looks at EC2 through the guard and the template."""

    settings: Settings
    clients: Clients
    renderer: Renderer

    def observe(self, state: EnvironmentState, intent: Intent, now: float) -> Observation:
        """What a look makes of the state, which was read before: nobody may have looked later and put earlier."""
        fleet = inventory.look(self.clients.ec2, self.settings)
        before, before_hold, why = state.publication, state.hold, state.held_back or intent.why
        state = replace(state, looked_at=now, proxies=fleet.proxies, skipped=fleet.skipped)
        state = replace(state, others=tuple(host.instance_id for host in fleet.others))
        state = replace(state, template_error="", held_back="")
        state = progress.forget_gone(state)
        try:
            verdict, rendering, refused = self._decide(state, fleet, now, intent)
        except TemplateError as error:
            # The old config stays; what is rolling out goes on (F39, F40, F42, F46).
            return Observation(replace(state, template_error=str(error)), fleet=fleet)
        state = replace(state, hold=verdict.hold, skipped=tuple(sorted({*fleet.skipped, *refused})))
        if rendering is None or verdict.pool is None or state.is_frozen:
            return Observation(state, (), fleet, verdict.look_again_at)
        assignment, configs = assign(rendering)
        is_urgent = Kind.OPERATOR in intent.kinds or (before_hold and not verdict.hold)
        if not is_urgent and (paced_until := self._paced_until(state, assignment, now)):
            state = replace(state, held_back=why, hold=_still_held(before_hold, verdict))
            return Observation(state, (), fleet, min(paced_until, verdict.look_again_at or paced_until))
        published = publish(state, assignment, why, now, verdict.pool)
        known = before.assignment.digests if before else frozenset()
        if any(proxy_state.reason == "download-failed" for proxy_state in state.proxy_states.values()):
            known = frozenset()  # somebody deleted it: a put of what is there costs nothing
        fresh = tuple(config for digest, config in configs.items() if digest not in known)
        return Observation(published, fresh, fleet, verdict.look_again_at)

    def _paced_until(self, state: EnvironmentState, assignment: Assignment, now: float) -> float | None:
        """Until when the publication is not replaced, because its rollout is under way."""
        publication = state.publication
        if not publication or publication.assignment == assignment:
            return None
        until = publication.at + PACE_SECONDS
        return until if now < until and not next_commands.is_at_rest(state, self.settings, now) else None

    def _decide(
        self, state: EnvironmentState, fleet: Fleet, now: float, intent: Intent
    ) -> tuple[Verdict, Rendering | None, frozenset[Skipped]]:
        """The verdict and the rendering of its pool. A backend that the template cannot take is lost like any other."""
        present, refused = fleet.backends, frozenset[Skipped]()
        occupied = _occupied(state, fleet)
        while True:
            verdict = judge(
                state.backends,
                present,
                state.hold,
                Limits.of(self.settings),
                now,
                allow_mass_removal=intent.allow_mass_removal,
                is_frozen=state.is_frozen,  # nothing is taken out now, so a loss that lasts stays on record
                occupied=occupied,
            )
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


def _still_held(before: Hold | None, verdict: Verdict) -> Hold | None:
    """The hold while the verdict's pool waits: whom time let go is in the config yet, and was missing since before."""
    if not before or not verdict.hold:
        return verdict.hold
    pool = {backend.instance_id for backend in verdict.pool or ()}
    let_go = {key: time for key, time in before.missing.items() if key not in pool}
    return replace(verdict.hold, missing=MappingProxyType({**let_go, **verdict.hold.missing}))


def _occupied(state: EnvironmentState, fleet: Fleet) -> frozenset[str]:
    """Addresses that instances have which are no backends and were none: who lost its type keeps its own address."""
    known = {backend.instance_id for backend in state.backends or ()}
    return frozenset(host.address for host in (*fleet.proxies, *fleet.others) if host.instance_id not in known)


def assign(rendering: Rendering) -> tuple[Assignment, Mapping[Digest, Config]]:
    """Which proxy gets which config, and each distinct config by its digest."""
    if rendering.shared is not None:
        digest = Digest.of(rendering.shared)
        return Assignment(shared=digest), {digest: rendering.shared}
    digests = {id(config): Digest.of(config) for config in rendering.by_proxy.values()}
    by_proxy = {instance_id: digests[id(config)] for instance_id, config in sorted(rendering.by_proxy.items())}
    return Assignment(by_proxy=by_proxy), {digests[id(config)]: config for config in rendering.by_proxy.values()}
