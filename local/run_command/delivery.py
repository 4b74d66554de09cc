"""What time does to a command: replies come in, waiting ends, the next hosts get their copy."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from local.run_command.agents import DocumentResult
from local.run_command.commands import Invocation, SentCommand
from local.run_command.instances import ManagedInstance
from local.run_command.replies import Delay, in_order, sent
from local.run_command.statuses import WAITING, Detail, allowed_in_flight, exceeded

CRASH_REPORT = timedelta(seconds=60)
"""How long after its return an agent reports what a crash of the host cut off."""

type Instances = Mapping[str, ManagedInstance]


def advance(
    command: SentCommand, instances: Instances, delay: Delay, now: datetime
) -> None:
    """Bring the invocations of a command to the present."""
    for invocation in command.invocations:
        _collect(invocation, instances.get(invocation.instance_id), delay, now)
    for invocation in command.invocations:
        _expire(command, invocation, instances, now)
    for invocation in command.invocations:
        if invocation.detail in WAITING:
            _deliver(command, invocation, instances[invocation.instance_id], now)


def _collect(
    invocation: Invocation,
    instance: ManagedInstance | None,
    delay: Delay,
    now: datetime,
) -> None:
    """Take what the agent says. One that is away says it later, one whose host is gone for good never does."""
    if instance is None:
        invocation.replies = ()
    elif instance.is_connected:
        _collect_report(invocation, instance, delay, now)
        invocation.hear(now)
        _end_orphan(invocation, now - instance.connected)


def _collect_report(
    invocation: Invocation, instance: ManagedInstance, delay: Delay, now: datetime
) -> None:
    """A step is told as soon as it ends, the end of the document with those that were not told yet."""
    execution = invocation.execution
    if execution is None:
        return
    report = execution.result()
    ended = report.steps if report else execution.steps()
    fresh = tuple(step for step in ended if step not in invocation.told)
    if report:
        invocation.execution = None
    invocation.told += fresh
    replies = sent(fresh, report, instance.agent.version, delay, now)
    invocation.replies = in_order(*invocation.replies, *replies)


def _end_orphan(invocation: Invocation, back_for: timedelta) -> None:
    if invocation.is_orphaned and back_for >= CRASH_REPORT:
        invocation.is_orphaned = False
        invocation.end(
            DocumentResult(
                Detail.FAILED, trace="the host went down while the document ran"
            )
        )


def _expire(
    command: SentCommand, invocation: Invocation, instances: Instances, now: datetime
) -> None:
    if invocation.detail in WAITING and invocation.instance_id not in instances:
        invocation.detail = Detail.UNDELIVERABLE
    elif now >= command.expires and not invocation.detail.is_final:
        invocation.end(DocumentResult(Detail.DELIVERY_TIMED_OUT))
        invocation.replies = ()  # what the agent may say later is not heard


def _deliver(
    command: SentCommand,
    invocation: Invocation,
    instance: ManagedInstance,
    now: datetime,
) -> None:
    if exceeded(command.details, command.max_errors):
        invocation.detail = Detail.TERMINATED
    elif invocation.detail is Detail.DELAYED or _may_start(command):
        _hand_over(command, invocation, instance, now)


def _hand_over(
    command: SentCommand,
    invocation: Invocation,
    instance: ManagedInstance,
    now: datetime,
) -> None:
    """Give the agent its copy; an agent that is away, or back too late, leaves it waiting."""
    if now < command.deliver_before and instance.is_connected:
        invocation.detail = Detail.IN_PROGRESS
        invocation.execution = instance.agent.start(
            command.order_for(invocation.instance_id)
        )
    else:
        invocation.detail = Detail.DELAYED


def _may_start(command: SentCommand) -> bool:
    finished = sum(detail.is_final for detail in command.details)
    in_flight = sum(
        detail in {Detail.IN_PROGRESS, Detail.DELAYED} for detail in command.details
    )
    return in_flight < allowed_in_flight(command.max_concurrency, finished)
