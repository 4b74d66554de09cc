"""The Lambda's entry: wires settings, clients, logger and metrics, and has the only broad `except`.

A failed reconcile returns the batch to the queue; a record that nobody can ever act on is acknowledged and counted.
"""

import os
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from aws_lambda_powertools import Logger, Metrics, single_metric
from aws_lambda_powertools.metrics import MetricUnit

from haproxy_sync import aws
from haproxy_sync.config.renderer import Renderer
from haproxy_sync.errors import BadEvent, BadRequest
from haproxy_sync.operator import actions, answers
from haproxy_sync.reconcile import events
from haproxy_sync.reconcile.coalesce import Action
from haproxy_sync.reconcile.events import Event, Home, Intent, Kind
from haproxy_sync.reconcile.reconciler import Reconciler, Result
from haproxy_sync.rollout import next_commands
from haproxy_sync.settings import Settings
from haproxy_sync.state import codec
from haproxy_sync.state.model import EnvironmentState

type Record = Mapping[str, Any]

NAME = "haproxy-ec2-sync"

logger = Logger(service=NAME)
metrics = Metrics(namespace=NAME, service=NAME)


@cache
def settings() -> Settings:
    """The environment, read once per cold start (F17)."""
    return Settings.from_env(os.environ)


@cache
def clients() -> aws.Clients:
    """The clients, made once per cold start."""
    return aws.clients(settings().region)


@cache
def renderer() -> Renderer:
    """Remembers the last rendering."""
    return Renderer()


if "AWS_LAMBDA_INITIALIZATION_TYPE" in os.environ:
    clients()  # the init phase has the full CPU, the handler only its share


def handler(event: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """A batch of the queue, a bare EventBridge event, or an operator's action."""
    reconciler = _reconciler(context)
    logger.append_keys(environment=reconciler.settings.environment, request_id=reconciler.writer)
    metrics.set_default_dimensions(environment=reconciler.settings.environment)
    try:
        match event:
            case {"Records": records}:
                return _batch(reconciler, records)
            case {"detail-type": _}:
                return _bare(reconciler, event)
            case _:
                return actions.act(reconciler, event)
    except BadRequest as error:
        logger.warning("refused", reason=str(error))
        raise
    finally:
        _flush()


def _reconciler(context: Any) -> Reconciler:
    arn = context.invoked_function_arn.split(":")
    return Reconciler(
        settings=settings(),
        clients=clients(),
        home=Home(account=arn[4], region=arn[3]),
        writer=context.aws_request_id,
        clock=time.time,
        renderer=renderer(),
        tell=_tell,
    )


def _bare(reconciler: Reconciler, event: Mapping[str, Any]) -> dict[str, Any]:
    parsed = events.parse_event(event, reconciler.home)
    if parsed.kind is Kind.FOREIGN:
        return {"result": "ignored", "reason": "event of another account or region"}
    return answers.summary(reconciler.reconcile(events.Intent((parsed,))))


def _batch(reconciler: Reconciler, records: list[Record]) -> dict[str, Any]:
    """One reconcile for all; what could not be done comes back."""
    parsed, crashed = _parse(records, reconciler.home)
    intent = events.intent(parsed.values())
    failed = list(crashed)
    if intent.events:
        try:
            reconciler.reconcile(intent)
        except Exception:  # whatever it was, the queue keeps the messages
            logger.exception("failed", messages=len(parsed))
            metrics.add_metric("Failures", MetricUnit.Count, 1)
            failed += parsed
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}


def _parse(records: list[Record], home: Home) -> tuple[dict[str, Event], list[str]]:
    """Events by message id, and the ids of records that broke the parser (F06)."""
    parsed: dict[str, Event] = {}
    crashed = []
    for record in records:
        message_id = str(record["messageId"])
        try:
            parsed[message_id] = events.parse_record(record, home)
        except BadEvent as bad:
            logger.warning("bad-event", message_id=message_id, reason=str(bad)[:200])
            metrics.add_metric("BadEvents", MetricUnit.Count, 1)
        except Exception:  # a bug of ours must cost one message, not the batch
            logger.exception("parser-crashed", message_id=message_id)
            crashed.append(message_id)
    foreign = sum(event.kind is Kind.FOREIGN for event in parsed.values())
    if foreign:
        metrics.add_metric("ForeignEvents", MetricUnit.Count, foreign)
    return parsed, crashed


def _tell(result: Result, intent: Intent) -> None:
    """One log line and the metrics of one outcome."""
    logger.info(str(result.action), why=intent.why, **answers.summary(result))
    if result.is_published:
        logger.info("published", why=intent.why, diff=result.after.history[-1].diff)
    if result.action is Action.UNRELATED:
        return
    if result.action in {Action.COVERED, Action.DEFERRED}:
        metrics.add_metric("Coalesced", MetricUnit.Count, 1)
        return
    for name, value in _gauges(result, intent.kinds).items():
        metrics.add_metric(name, MetricUnit.Count, value)
    metrics.add_metric("SecondsSinceConvergence", MetricUnit.Seconds, time.time() - _converged_at(result.after))
    for command, report in result.reports:
        logger.info("report", purpose=str(command.purpose), **codec.jsonable(report))
    environment = settings().environment
    _count_by("ProxyReports", "outcome", environment, [str(report.outcome) for _, report in result.reports])
    _count_by("Rollouts", "outcome", environment, next_commands.ended(result.before, result.after, settings()))
    if result.fleet:
        _count_by("SkippedInstances", "reason", environment, [skipped.reason for skipped in result.after.skipped])


def _gauges(result: Result, kinds: frozenset[Kind]) -> dict[str, float]:
    state = result.after
    values: dict[str, float] = {
        "Looks": int(result.action is Action.LOOK),
        "Generation": state.publication.generation if state.publication else 0,
        "Publications": int(result.is_published),
        "ChangesFoundBySweep": int(result.is_published and kinds == {Kind.SWEEP}),
        "Holds": int(state.hold is not None),
        "Frozen": int(state.is_frozen),
        "TemplateErrors": int(bool(state.template_error)),
        "CorruptStates": int(bool(result.corruption)),
        "ProxiesUnsettled": len(answers.unsettled(state)),
    }
    if result.fleet:
        values |= {"Backends": len(result.fleet.backends), "Proxies": len(result.fleet.proxies)}
    return values


def _converged_at(state: EnvironmentState) -> float:
    """When all was well last; an environment that never was counts from what is known of its beginning."""
    beginnings = [change.at for change in state.history[:1]] + [state.hold.since if state.hold else time.time()]
    return state.converged_at or min(beginnings)


def _count_by(name: str, dimension: str, environment: str, words: Iterable[str]) -> None:
    """One metric per distinct word: rollouts by outcome, skipped instances by reason."""
    for word, number in Counter(words).items():
        dimensions = {"environment": environment, "service": NAME}
        with single_metric(name, MetricUnit.Count, number, namespace=NAME, default_dimensions=dimensions) as metric:
            metric.add_dimension(dimension, word)


def _flush() -> None:
    if metrics.metric_set:
        metrics.flush_metrics()
