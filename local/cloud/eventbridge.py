"""Stands for EventBridge: delivers an event to the queues of the deployed rules that match it, and ticks the schedules.

Pattern matching is moto's. Checked: the rule is enabled; the queue exists and its policy lets this very rule send.
What cannot be delivered goes to the target's dead-letter queue under the same check, or to the log as lost.
Delivered events have all fields of the real ones (moto leaves `account` out).
"""

import json
import logging
import re
import time
import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from moto.events.models import Rule, events_backends
from moto.sqs.exceptions import QueueDoesNotExist
from moto.sqs.models import sqs_backends

from local.cloud import ACCOUNT, REGION
from local.cloud.policies import Request, allows

log = logging.getLogger(__name__)

RATE = re.compile(
    r"rate\((?:1 (?P<unit>minute|hour|day)|(?P<count>[2-9]|[1-9]\d+) (?P<units>minute|hour|day)s)\)"
)
SECONDS = {"minute": 60, "hour": 3600, "day": 86400}
HONOURED = {"Id", "Arn", "Input", "RetryPolicy", "DeadLetterConfig"}


def publish(
    source: str, detail_type: str, detail: Mapping[str, Any], *resources: str
) -> None:
    """Put an event of an AWS service, about resources by ARN, on the default bus."""
    put(_event(source, detail_type, detail, *resources))


def put(event: Mapping[str, Any]) -> None:
    """Deliver a whole event by the enabled rules whose patterns match it."""
    for rule in _rules():
        if _matches(rule, event):
            _deliver(rule, event)


def install() -> None:
    """Deliver what PutEvents brings to this process's moto in the same way."""

    def send_to_targets(self: Rule, original_event: Any, *_: Any) -> None:
        event = _event(
            original_event["source"],
            original_event["detail-type"],
            original_event["detail"],
        )
        if self.state == "ENABLED" and _matches(self, event):
            _deliver(self, event)

    Rule.send_to_targets = send_to_targets  # type: ignore[assignment, method-assign]


def _event(
    source: str, detail_type: str, detail: Mapping[str, Any], *resources: str
) -> dict[str, Any]:
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": detail_type,
        "source": source,
        "account": ACCOUNT,
        "time": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "region": REGION,
        "resources": list(resources),
        "detail": detail,
    }


def _rules() -> list[Rule]:
    bus = events_backends[ACCOUNT][REGION].event_buses["default"]
    return [rule for rule in list(bus.rules.values()) if rule.state == "ENABLED"]


def _matches(rule: Rule, event: Any) -> bool:
    """A rule with a schedule alone has no pattern, which moto takes for one that everything matches."""
    return bool(rule.event_pattern.dump()) and rule.event_pattern.matches_event(event)


def _deliver(rule: Rule, event: Mapping[str, Any]) -> None:
    for target in rule.targets:
        _check_features(rule, target)
        body = target.get("Input") or json.dumps(event)
        if not any(_send(rule, queue_arn, body) for queue_arn in _queues(target)):
            log.error("event lost: %s may not send to %s", rule.name, target["Arn"])


def _check_features(rule: Rule, target: Mapping[str, Any]) -> None:
    if unknown := set(target) - HONOURED:
        raise NotImplementedError(
            f"{', '.join(unknown)} of a target of {rule.name}: add it to local/cloud/eventbridge.py"
        )


def _queues(target: Mapping[str, Any]) -> Iterator[str]:
    """Where an event for the target goes: to it, or else to its dead-letter queue, if it has one."""
    yield target["Arn"]
    if dead_letters := target.get("DeadLetterConfig", {}).get("Arn"):
        yield dead_letters


def _send(rule: Rule, queue_arn: str, body: str) -> bool:
    name = queue_arn.rsplit(":", 1)[-1]
    context = {
        "aws:SourceArn": rule.arn,
        "aws:SourceAccount": ACCOUNT,
        "aws:SecureTransport": "true",
    }
    sending = Request(
        "sqs:SendMessage", queue_arn, context, principal="events.amazonaws.com"
    )
    try:
        queue = sqs_backends[ACCOUNT][REGION].get_queue(name)
    except QueueDoesNotExist:
        return False
    if not queue.policy or not allows([json.loads(queue.policy)], sending):
        return False
    sqs_backends[ACCOUNT][REGION].send_message(name, body)
    return True


def seconds_of(expression: str) -> int:
    """The period of a rate expression, spelled as strictly as the service wants it (`rate(5 minute)` is refused)."""
    match = RATE.fullmatch(expression)
    if not match:
        raise ValueError(
            f"schedule expression {expression} is not a rate that EventBridge accepts"
        )
    return int(match["count"] or 1) * SECONDS[match["unit"] or match["units"]]


def tick_schedules(speed: float) -> None:
    """Fire each scheduled rule, `speed` times as often as it says. Never returns."""
    due: dict[str, float] = {}
    while True:
        for rule in _rules():
            if rule.scheduled_expression:
                now = time.monotonic()
                period = seconds_of(rule.scheduled_expression) / speed
                if now >= due.setdefault(rule.arn, now + period):
                    due[rule.arn] += period
                    _deliver(
                        rule, _event("aws.events", "Scheduled Event", {}, rule.arn)
                    )
        time.sleep(0.1)
