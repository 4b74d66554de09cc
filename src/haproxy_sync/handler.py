"""The Lambda's entry: wires settings, clients, logger and metrics, and has the only broad `except`.

A failed reconcile returns the batch to the queue; a record that nobody can ever act on is acknowledged and counted.
"""

import os
import time
from collections.abc import Mapping
from functools import cache
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

from haproxy_sync import aws, events, operator
from haproxy_sync.coalesce import Action
from haproxy_sync.errors import BadEvent, BadRequest
from haproxy_sync.events import Event, Home, Kind
from haproxy_sync.reconcile import Reconciler, Result
from haproxy_sync.settings import Settings

type Record = Mapping[str, Any]

logger = Logger(service="haproxy-ec2-sync")
metrics = Metrics(namespace="HaproxyEc2Sync", service="haproxy-ec2-sync")


@cache
def settings() -> Settings:
    """The environment, read once per cold start (F17)."""
    return Settings.from_env(os.environ)


@cache
def clients() -> aws.Clients:
    """The clients, made once per cold start."""
    return aws.clients(settings().region)


if "AWS_LAMBDA_INITIALIZATION_TYPE" in os.environ:
    clients()  # the init phase has the full CPU, the handler only its share


def handler(event: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """A batch of the queue, a bare EventBridge event, or an operator's action."""
    reconciler = _reconciler(context)
    logger.append_keys(environment=reconciler.settings.environment, request_id=reconciler.writer)
    metrics.set_default_dimensions(environment=reconciler.settings.environment)
    try:
        if "Records" in event:
            return _batch(reconciler, event["Records"])
        if "detail-type" in event:
            return _bare(reconciler, event)
        return operator.act(reconciler, event)
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
    )


def _bare(reconciler: Reconciler, event: Mapping[str, Any]) -> dict[str, Any]:
    parsed = events.parse_event(event, reconciler.home)
    if parsed.kind is Kind.FOREIGN:
        return {"result": "ignored", "reason": "event of another account or region"}
    result = reconciler.reconcile(events.Intent((parsed,)))
    _tell(result, reconciler, frozenset({parsed.kind}))
    return operator.summary(result)


def _batch(reconciler: Reconciler, records: list[Record]) -> dict[str, Any]:
    """One reconcile for all; what could not be done comes back."""
    parsed, crashed = _parse(records, reconciler.home)
    intent = events.intent(parsed.values())
    failed = list(crashed)
    if intent.events:
        try:
            _tell(reconciler.reconcile(intent), reconciler, intent.kinds)
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


def _tell(result: Result, reconciler: Reconciler, kinds: frozenset[Kind]) -> None:
    """One log line and the metrics of one outcome."""
    logger.info(str(result.action), **operator.summary(result))
    if result.action in {Action.COVERED, Action.DEFERRED}:
        metrics.add_metric("Coalesced", MetricUnit.Count, 1)
        return
    for name, value in _gauges(result, reconciler.clock(), kinds).items():
        metrics.add_metric(name, MetricUnit.Count, value)
    for _, report in result.reports:
        logger.info(
            "report", instance_id=report.instance_id, outcome=report.outcome, reason=report.reason, backup=report.backup
        )


def _gauges(result: Result, now: float, kinds: frozenset[Kind]) -> dict[str, float]:
    pointer = result.after
    values: dict[str, float] = {
        "Looks": int(result.action is Action.LOOK),
        "Generation": pointer.publication.generation if pointer.publication else 0,
        "Holds": int(pointer.hold is not None),
        "Frozen": int(pointer.freeze is not None),
        "TemplateErrors": int(bool(pointer.template_error)),
        "CorruptPointers": int(bool(result.corruption)),
        "ChangesFoundBySweep": int(result.is_published and kinds == {Kind.SWEEP}),
        "SecondsSinceConvergence": now - pointer.converged_at if pointer.converged_at else 0,
    }
    if result.fleet:
        values |= {"Backends": len(result.fleet.backends), "Proxies": len(result.fleet.proxies)}
    for skipped in pointer.skipped if result.fleet else ():
        name = "Skipped-" + skipped.reason
        values[name] = values.get(name, 0) + 1
    for _, report in result.reports:
        name = f"Rollout-{report.outcome}"
        values[name] = values.get(name, 0) + 1
    return values


def _flush() -> None:
    if metrics.metric_set:
        metrics.flush_metrics()
