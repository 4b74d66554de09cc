"""Whether a plan would happen now, and if not, what keeps it: one table, the first line that applies."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from haproxy_sync.errors import ProgramDiffers
from haproxy_sync.operator.answers import iso
from haproxy_sync.reconcile.endings import shown
from haproxy_sync.reconcile.publish import queued_until
from haproxy_sync.rollout import ownership
from haproxy_sync.rollout.program import Program
from haproxy_sync.rollout.progress import Progress
from haproxy_sync.rollout.transitions import begun_anew
from haproxy_sync.settings import Settings
from haproxy_sync.state.model import EnvironmentState, UnixSeconds

PROCEED = "proceed"


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan: the state as it is, and as a look would leave it if nothing were frozen."""

    before: EnvironmentState
    after: EnvironmentState
    settings: Settings
    now: UnixSeconds
    program_error: str = ""  # why the function has no program to send

    def first_freeze(self) -> bool:
        """Whether nobody has let the first publication happen yet."""
        return self.before.first_freeze

    def frozen_until(self) -> str | None:
        """When an operator's freeze ends."""
        freeze = self.before.freeze_at(self.now)
        return iso(freeze.until) if freeze else None

    def look_failure(self) -> str:
        """What the plan's own look failed with."""
        return str(self.after.look_failure or "")

    def template_error(self) -> str:
        """File, line and reason."""
        return self.after.template_error

    def held(self) -> str:
        """Why some would stay in the config."""
        return self.after.hold.reason if self.after.hold else ""

    def no_program(self) -> str:
        """A release that was built wrong sends nothing."""
        return self.program_error

    def difference(self) -> str:
        """How the document is not the one that the function was shipped with."""
        return self.before.difference

    def refused_since(self) -> str | None:
        """Since when the document takes no command, as in every deploy for some seconds."""
        refusal = self.before.refusal
        return iso(refusal.since) if refusal else None

    def send_failure(self) -> str:
        """What the last SendCommand failed with."""
        return str(self.before.send_failure or "")

    def agents_failure(self) -> str:
        """Whose agent is online is asked before every command."""
        return str(self.after.agents_failure or "")

    def owners(self) -> str:
        """The other stacks that have all the proxies, each of which refuses us until it is adopted."""
        stacks = ownership.publishers(self.after)
        is_all = sum(map(len, stacks.values())) == len(self.after.proxies)
        return (
            ", ".join(stacks) if is_all and self.after.publisher not in stacks else ""
        )

    def failed(self) -> str:
        """Who keeps what would be published from all others."""
        return shown(Progress(self.after).stoppers(self.settings))

    def queued(self) -> str | None:
        """Until when at most a look that nobody asked for leaves the rollout under way alone."""
        is_urgent = self.before.hold is not None and self.after.hold is None
        assignment = self.after.assignment
        until = queued_until(self.settings, self.before, assignment, self.now)
        return None if is_urgent else iso(until)


VERDICTS: tuple[tuple[Callable[[Plan], object], str], ...] = (
    (Plan.first_freeze, "waits: frozen until unfreeze"),
    (Plan.frozen_until, "waits: frozen until {}"),
    (Plan.look_failure, "blocked: {}"),
    (Plan.template_error, "blocked: template error: {}"),
    (Plan.held, "held: {}"),
    (Plan.no_program, "blocked: {}"),
    (Plan.difference, "waits: {}: deploy again if that lasts"),
    (
        Plan.refused_since,
        "waits: the document takes no command of this function since {}: deploy again if that lasts",
    ),
    (Plan.send_failure, "blocked: {}"),
    (Plan.agents_failure, "blocked: {}"),
    (
        Plan.owners,
        "blocked: the proxies are another stack's ({}): take them by sync with adopt: true",
    ),
    (Plan.failed, "blocked: rollout stopped: {} failed"),
    (
        Plan.queued,
        "waits: queued behind the rollout under way until {} at the latest; sync does not wait",
    ),
)
"""What keeps a plan, and the words for it."""


def verdict(plan: Plan, program: Callable[[], Program]) -> str:
    """The first that applies, or `proceed`. `program` is what the function would send: another one ends a stop."""
    plan = _with_program(plan, program)
    words = (
        words.format(what) for condition, words in VERDICTS if (what := condition(plan))
    )
    return next(words, PROCEED)


def _with_program(plan: Plan, program: Callable[[], Program]) -> Plan:
    """The plan as the next step of the rollout begins it."""
    try:
        brought = program().sha256
    except ProgramDiffers as error:
        return replace(plan, program_error=str(error))
    if plan.after.program in {None, brought}:
        return plan
    return replace(plan, after=begun_anew(plan.after, brought, plan.now))
