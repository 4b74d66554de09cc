"""What a reconcile found and did as CloudWatch metrics, in the embedded metric format: one table, name -> value."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from aws_lambda_powertools import Metrics, single_metric
from aws_lambda_powertools.metrics import MetricUnit

from haproxy_sync.fleet.model import Fleet
from haproxy_sync.reconcile.coalesce import Disposition
from haproxy_sync.reconcile.events import Kind
from haproxy_sync.reconcile.reconciler import Result
from haproxy_sync.rollout.progress import Progress, ended
from haproxy_sync.settings import Settings
from haproxy_sync.state.model import EnvironmentState, UnixSeconds

NAME = "haproxy-ec2-sync"

metrics = Metrics(namespace=NAME, service=NAME)

GAUGES: Mapping[str, Callable[[Result], float]] = {
    "Looks": lambda result: result.disposition is Disposition.LOOK,
    "Generation": lambda result: result.after.generation,
    "Publications": lambda result: result.is_published,
    "ChangesFoundBySweep": lambda result: (
        result.is_published and result.intent.kinds == {Kind.SWEEP}
    ),
    "Holds": lambda result: result.after.hold is not None,
    "Frozen": lambda result: result.after.is_frozen,
    "TemplateErrors": lambda result: result.after.template_error != "",
    "CorruptStates": lambda result: result.corruption != "",
    "Refusals": lambda result: result.has_lasting_refusal,
    "ProxiesUnsettled": lambda result: len(Progress(result.after).unsettled),
}
"""Of every reconcile that worked on the state, as counts."""

FLEET_GAUGES: Mapping[str, Callable[[Fleet], float]] = {
    "Backends": lambda fleet: len(fleet.backends),
    "Proxies": lambda fleet: len(fleet.proxies),
}
"""Of every look."""


def count(name: str, number: int = 1) -> None:
    """Add a count to what `flush` writes."""
    if number:
        metrics.add_metric(name, MetricUnit.Count, number)


def record(result: Result, settings: Settings) -> None:
    """Add what the result has to say; nothing where the batch was not about this environment."""
    if result.disposition is Disposition.UNRELATED:
        return
    if result.disposition in {Disposition.COVERED, Disposition.DEFERRED}:
        count("Coalesced")
        return
    for name, value in GAUGES.items():
        metrics.add_metric(name, MetricUnit.Count, float(value(result)))
    metrics.add_metric(
        "SecondsSinceConvergence",
        MetricUnit.Seconds,
        result.now - _converged_at(result.after, result.now),
    )
    outcomes = [str(report.outcome) for _, report in result.reports]
    _count_by("ProxyReports", "outcome", settings.environment, outcomes)
    _count_by(
        "Rollouts",
        "outcome",
        settings.environment,
        ended(result.before, result.after, settings.max_errors),
    )
    if result.fleet:
        _record_fleet(result.fleet, result.after, settings)


def _record_fleet(fleet: Fleet, state: EnvironmentState, settings: Settings) -> None:
    for name, value in FLEET_GAUGES.items():
        metrics.add_metric(name, MetricUnit.Count, value(fleet))
    _count_by(
        "SkippedInstances",
        "reason",
        settings.environment,
        [skipped.reason for skipped in state.skipped],
    )


def _converged_at(state: EnvironmentState, now: UnixSeconds) -> UnixSeconds:
    """When it converged last; before that, when its oldest history entry or its hold began."""
    if state.converged_at:
        return state.converged_at
    held_since = state.hold.since if state.hold else now
    return min([held_since, *(change.at for change in state.history[:1])])


def _count_by(
    name: str, dimension: str, environment: str, words: Iterable[str]
) -> None:
    """One metric per distinct word: rollouts by outcome, skipped instances by reason."""
    dimensions = {"environment": environment, "service": NAME}
    for word, number in Counter(words).items():
        with single_metric(
            name,
            MetricUnit.Count,
            number,
            namespace=NAME,
            default_dimensions=dimensions,
        ) as metric:
            metric.add_dimension(dimension, word)


def flush() -> None:
    """Write what was added, as one line."""
    if metrics.metric_set:
        metrics.flush_metrics()
