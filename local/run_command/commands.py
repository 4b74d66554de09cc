"""A command and its invocations: their state, and how the API words it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from local.run_command.agents import DocumentResult, Execution, Order, StepResult
from local.run_command.document import DocumentVersion
from local.run_command.replies import Reply
from local.run_command.statuses import Detail, folded, limit

DEFAULT_DELIVERY_SECONDS = 3600


@dataclass(slots=True)
class Invocation:
    """One host's copy of a command."""

    instance_id: str
    detail: Detail = Detail.PENDING
    execution: Execution | None = None
    replies: tuple[Reply, ...] = ()
    """On their way from the agent, first arrival first."""
    is_orphaned: bool = False
    """The host went down while it ran; the agent will say Failed some time after it is back."""
    told: tuple[StepResult, ...] = ()
    """Those that the agent has told of."""
    steps: tuple[StepResult, ...] = ()
    """Those heard of."""
    trace: str = ""

    def hear(self, now: datetime) -> None:
        """Take the replies that have arrived. The end may come before the steps, and each of them twice."""
        while self.replies and self.replies[0].arrives <= now:
            said, self.replies = self.replies[0].said, self.replies[1:]
            if isinstance(said, StepResult):
                self.steps = (
                    *(step for step in self.steps if step.name != said.name),
                    said,
                )
            else:
                self.end(said)

    def end(self, result: DocumentResult) -> None:
        """Take the final status."""
        self.detail = result.detail
        self.trace = result.trace
        self.execution = None


@dataclass(slots=True)
class SentCommand:
    """One SendCommand and all that came of it."""

    command_id: str
    document: DocumentVersion
    request: Mapping[str, Any]
    requested: datetime
    invocations: tuple[Invocation, ...]
    announced: dict[str, Detail] = field(default_factory=dict)

    @property
    def timeout_seconds(self) -> int:
        """The delivery timeout."""
        return int(self.request.get("TimeoutSeconds") or DEFAULT_DELIVERY_SECONDS)

    @property
    def deliver_before(self) -> datetime:
        """A host that takes the command later does not run it."""
        return self.requested + timedelta(seconds=self.timeout_seconds)

    @property
    def expires(self) -> datetime:
        """Total timeout, delivery and execution: whatever is open then becomes DeliveryTimedOut."""
        return self.deliver_before + timedelta(seconds=self.document.execution_seconds)

    @property
    def max_errors(self) -> int:
        """Errors allowed."""
        return limit(self.request.get("MaxErrors", "0"), len(self.invocations))

    @property
    def max_concurrency(self) -> int:
        """Hosts allowed at once."""
        return limit(self.request.get("MaxConcurrency", "50"), len(self.invocations))

    @property
    def details(self) -> tuple[Detail, ...]:
        """States of all invocations."""
        return tuple(invocation.detail for invocation in self.invocations)

    @property
    def detail(self) -> Detail:
        """State of the command itself."""
        return folded(self.details, self.max_errors)

    @property
    def is_settled(self) -> bool:
        """Whether nothing will change any more and the end was announced."""
        is_announced = self.announced.get("", Detail.PENDING).is_final
        return is_announced and not any(
            invocation.replies for invocation in self.invocations
        )

    def order_for(self, instance_id: str) -> Order:
        """What that host is sent."""
        parameters = {
            name: tuple(values)
            for name, values in self.request.get("Parameters", {}).items()
        }
        return Order(
            self.command_id,
            instance_id,
            self.document.name,
            self.document.content,
            parameters,
        )


def described(command: SentCommand) -> dict[str, Any]:
    """The `Command` shape, as SendCommand answers with it."""
    request = command.request
    return {
        "CommandId": command.command_id,
        "DocumentName": command.document.name,
        "DocumentVersion": request.get("DocumentVersion", "$DEFAULT"),
        "Comment": request.get("Comment", ""),
        "ExpiresAfter": command.expires,
        "Parameters": request.get("Parameters", {}),
        "InstanceIds": request["InstanceIds"],
        "RequestedDateTime": command.requested,
        "Status": command.detail.status,
        "StatusDetails": command.detail.value,
        "MaxConcurrency": request.get("MaxConcurrency", "50"),
        "MaxErrors": request.get("MaxErrors", "0"),
        "TargetCount": len(command.invocations),
        "TimeoutSeconds": command.timeout_seconds,
    }


def described_invocation(
    command: SentCommand, invocation: Invocation, *, details: bool
) -> dict[str, Any]:
    """The `CommandInvocation` shape; steps only when details were asked for."""
    return {
        "CommandId": command.command_id,
        "InstanceId": invocation.instance_id,
        "InstanceName": "",
        "Comment": command.request.get("Comment", ""),
        "DocumentName": command.document.name,
        "DocumentVersion": command.request.get("DocumentVersion", "$DEFAULT"),
        "RequestedDateTime": command.requested,
        "Status": invocation.detail.status,
        "StatusDetails": invocation.detail.value,
        "TraceOutput": invocation.trace[:2500],
        "StandardOutputUrl": "",
        "StandardErrorUrl": "",
        "CommandPlugins": _plugins(command, invocation) if details else [],
        "ServiceRole": "",
    }


def _plugins(command: SentCommand, invocation: Invocation) -> list[dict[str, Any]]:
    """No step at the end if none was heard of, else the missing ones too: nobody promises how those look then."""
    if invocation.detail.is_final and not invocation.steps:
        return []
    heard = {step.name: _plugin(step) for step in invocation.steps}
    waiting = {
        "Status": "Pending",
        "StatusDetails": "Pending",
        "ResponseCode": -1,
        "Output": "",
    }
    return [
        heard.get(name, {"Name": name, **waiting}) for name in command.document.steps
    ]


def _plugin(step: StepResult) -> dict[str, Any]:
    return {
        "Name": step.name,
        "Status": step.detail.status,
        "StatusDetails": step.detail.value,
        "ResponseCode": step.code,
        "ResponseStartDateTime": step.started,
        "ResponseFinishDateTime": step.finished,
        "Output": step.output,
        "StandardOutputUrl": "",
        "StandardErrorUrl": "",
    }


def described_step(
    command: SentCommand, invocation: Invocation, name: str
) -> dict[str, Any]:
    """GetCommandInvocation's answer about one step; code -1 and empty times while it has not run."""
    heard = next((step for step in invocation.steps if step.name == name), None)
    result = (
        _step_result(heard) if heard else {**_NOT_RUN, **_statuses(invocation.detail)}
    )
    return {
        "CommandId": command.command_id,
        "InstanceId": invocation.instance_id,
        "Comment": command.request.get("Comment", ""),
        "DocumentName": command.document.name,
        "DocumentVersion": command.request.get("DocumentVersion", "$DEFAULT"),
        "PluginName": name,
        **result,
        "StandardOutputUrl": "",
        "StandardErrorUrl": "",
    }


_NOT_RUN = {
    "ResponseCode": -1,
    "ExecutionStartDateTime": "",
    "ExecutionEndDateTime": "",
    "ExecutionElapsedTime": "",
    "StandardOutputContent": "",
    "StandardErrorContent": "",
}


def _step_result(step: StepResult) -> dict[str, Any]:
    return {
        "ResponseCode": step.code,
        "ExecutionStartDateTime": moment(step.started),
        "ExecutionEndDateTime": moment(step.finished),
        "ExecutionElapsedTime": f"PT{(step.finished - step.started).total_seconds():.3f}S",
        "StandardOutputContent": step.stdout[:24000],
        "StandardErrorContent": step.stderr[:8000],
        **_statuses(step.detail),
    }


def _statuses(detail: Detail) -> dict[str, str]:
    return {"Status": detail.status, "StatusDetails": detail.value}


def moment(time: datetime) -> str:
    """A time as the API and its events spell it, to the millisecond."""
    return f"{time:%Y-%m-%dT%H:%M:%S}.{time.microsecond // 1000:03d}Z"
