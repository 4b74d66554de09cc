"""The Lambda's entry: wires settings, clients and logger, and alone acknowledges a message or fails it.

A failed reconcile returns the batch to the queue; a record that nobody can ever act on is acknowledged and counted.
"""

import os
import time
from collections.abc import Mapping
from functools import cache
from typing import Any

from aws_lambda_powertools import Logger

from haproxy_sync import aws, metrics
from haproxy_sync.config.render import Renderer
from haproxy_sync.errors import BadEvent, BadRequest, NewerState
from haproxy_sync.operator import actions, answers
from haproxy_sync.reconcile import events
from haproxy_sync.reconcile.events import Event, Home, Kind
from haproxy_sync.reconcile.reconciler import Reconciler, Result
from haproxy_sync.rollout.program import Program
from haproxy_sync.rollout.reports import PROGRAM_MISMATCH
from haproxy_sync.settings import Settings
from haproxy_sync.state import codec

type Record = Mapping[str, Any]

logger = Logger(service=metrics.NAME)


@cache
def settings() -> Settings:
    """The environment variables, read once per cold start."""
    return Settings.from_env(os.environ)


@cache
def clients() -> aws.Clients:
    """The clients, made once per cold start."""
    return aws.clients(settings().region)


@cache
def renderer() -> Renderer:
    """Remembers the last rendering that succeeded."""
    return Renderer()


@cache
def program() -> Program:
    """What proxies run, packed once per cold start."""
    return Program.deployed()


if "AWS_LAMBDA_INITIALIZATION_TYPE" in os.environ:
    clients()  # the init phase has the full CPU, the handler only its share


def handler(event: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """A batch of the queue, a bare EventBridge event, or an operator's action."""
    reconciler = _reconciler(context)
    logger.append_keys(
        environment=reconciler.settings.environment, request_id=reconciler.writer
    )
    metrics.metrics.set_default_dimensions(environment=reconciler.settings.environment)
    try:
        match event:
            case {"Records": records}:
                return _batch(reconciler, records)
            case {"detail-type": _}:
                return _bare(reconciler, event)
            case _:
                return _action(reconciler, event)
    except (BadRequest, NewerState) as error:
        logger.warning("refused", reason=str(error))
        raise
    finally:
        metrics.flush()


def _reconciler(context: Any) -> Reconciler:
    arn = context.invoked_function_arn.split(":")
    return Reconciler(
        settings=settings(),
        clients=clients(),
        home=Home(account=arn[4], region=arn[3]),
        writer=context.aws_request_id,
        clock=time.time,
        renderer=renderer().anew(),
        program=program,
    )


def _action(reconciler: Reconciler, request: Mapping[str, Any]) -> dict[str, Any]:
    """The answer to an operator."""
    reply = actions.act(reconciler, request)
    if reply.result:
        _finish(reply.result, reconciler.settings)
    return reply.answer


def _bare(reconciler: Reconciler, event: Mapping[str, Any]) -> dict[str, Any]:
    parsed = events.parse_event(event, reconciler.home)
    if parsed.kind in events.IGNORED:
        return {"result": "ignored", "reason": events.IGNORED[parsed.kind]}
    result = reconciler.reconcile(events.Intent((parsed,)))
    _finish(result, reconciler.settings)
    return answers.summary(result)


def _batch(reconciler: Reconciler, records: list[Record]) -> dict[str, Any]:
    """One reconcile for the batch; the answer names the messages that must come again."""
    parsed, crashed = _parse(records, reconciler.home)
    intent = events.intent(parsed.values())
    failed = list(crashed)
    if intent.events:
        try:
            _finish(reconciler.reconcile(intent), reconciler.settings)
        except NewerState as error:
            logger.error("refused", reason=str(error))  # noqa: TRY400 # the line says it all
            metrics.count("Failures")
            failed += parsed
        except Exception:  # whatever it was, the queue keeps the messages
            logger.exception("failed", messages=len(parsed))
            metrics.count("Failures")
            failed += parsed
    return {
        "batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]
    }


def _parse(records: list[Record], home: Home) -> tuple[dict[str, Event], list[str]]:
    """Events by message id, and the ids of records that broke the parser."""
    parsed: dict[str, Event] = {}
    crashed = []
    for record in records:
        message_id = str(record["messageId"])
        try:
            parsed[message_id] = events.parse_record(record, home)
        except BadEvent as bad:
            logger.warning("bad-event", message_id=message_id, reason=str(bad)[:200])
            metrics.count("BadEvents")
        except Exception:  # a bug of ours must cost one message, not the batch
            logger.exception("parser-crashed", message_id=message_id)
            crashed.append(message_id)
    metrics.count(
        "ForeignEvents", sum(event.kind is Kind.FOREIGN for event in parsed.values())
    )
    return parsed, crashed


def _finish(result: Result, settings_: Settings) -> None:
    """Log, count, then raise the failure: the next run does not see these reports again."""
    _log(result)
    metrics.record(result, settings_)
    if result.failure:
        raise result.failure


def _advice(result: Result) -> str:
    """What to do about the service's own words, or about a document that is not ours."""
    if result.after.difference:
        return "deploy again; if nobody deployed, find out who changed the document"
    return "see what is wrong with the parameters"


def _log(result: Result) -> None:
    """One line for the outcome, one for a publication, one for each action that ended, and for each report."""
    why = result.intent.why
    logger.info(str(result.disposition), why=why, **answers.summary(result))
    if result.is_published:
        logger.info("published", why=why, diff=result.after.history[-1].lines)
    if result.has_lasting_mismatch:
        logger.error(
            "document-takes-no-command",
            refusal=answers.readable(result.after.refusal),
            reason=result.mismatch,
            advice=_advice(result),
        )
    for each in result.ended_actions:
        logger.info("lifecycle-action-ended", **answers.readable(each))
    for command, report in result.reports:
        logger.info("report", purpose=str(command.purpose), **codec.jsonable(report))
        if report.reason == PROGRAM_MISMATCH:
            logger.warning(
                "program-replaced",
                instance_id=report.instance_id,
                detail=report.detail,
                advice="see who wrote the older versions of the program's object",
            )
