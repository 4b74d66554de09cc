"""What time does to a command: replies come in, waiting ends, the next hosts get their copy."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from local.run_command.agents import DocumentResult
from local.run_command.commands import Command, Invocation
from local.run_command.instances import ManagedInstance
from local.run_command.replies import Delay, sent
from local.run_command.statuses import Detail, allowed_in_flight, exceeded

CRASH_REPORT_SECONDS = 60
"""How long after its return an agent reports what a crash of the host cut off."""

_WAITING = frozenset({Detail.PENDING, Detail.DELAYED})

type Instances = Mapping[str, ManagedInstance]


def advance(command: Command, instances: Instances, delay: Delay, now: datetime) -> None:
    """Bring the invocations of a command to the present."""
    for invocation in command.invocations:
        _collect(invocation, instances.get(invocation.instance_id), delay, now)
    for invocation in command.invocations:
        _expire(command, invocation, instances, now)
    for invocation in command.invocations:
        if invocation.detail in _WAITING:
            _deliver(command, invocation, instances[invocation.instance_id], now)


def _collect(invocation: Invocation, instance: ManagedInstance | None, delay: Delay, now: datetime) -> None:
    if instance is None:
        invocation.replies = ()
    if instance is None or not instance.is_connected:
        return
    if invocation.execution and (result := invocation.execution.result()):
        invocation.execution = None
        invocation.replies = sent(result, instance.agent.version, delay, now)
    invocation.hear(now)
    back_for = now - instance.connected
    if invocation.is_orphaned and back_for >= timedelta(seconds=CRASH_REPORT_SECONDS):
        invocation.is_orphaned = False
        invocation.end(DocumentResult(Detail.FAILED, trace="the host went down while the document ran"))


def _expire(command: Command, invocation: Invocation, instances: Instances, now: datetime) -> None:
    if invocation.detail in _WAITING and invocation.instance_id not in instances:
        invocation.detail = Detail.UNDELIVERABLE
    elif now >= command.expires and not invocation.detail.is_final:
        invocation.end(DocumentResult(Detail.DELIVERY_TIMED_OUT))
        invocation.replies = ()  # what the agent may say later is not heard


def _deliver(command: Command, invocation: Invocation, instance: ManagedInstance, now: datetime) -> None:
    if exceeded(command.details, command.max_errors):
        invocation.detail = Detail.TERMINATED
    elif invocation.detail is Detail.DELAYED or _may_start(command):
        if now < command.deliver_before and instance.is_connected:
            invocation.detail = Detail.IN_PROGRESS
            invocation.execution = instance.agent.start(command.order_for(invocation.instance_id))
        else:
            invocation.detail = Detail.DELAYED


def _may_start(command: Command) -> bool:
    finished = sum(detail.is_final for detail in command.details)
    in_flight = sum(detail in {Detail.IN_PROGRESS, Detail.DELAYED} for detail in command.details)
    return in_flight < allowed_in_flight(command.max_concurrency, finished)
