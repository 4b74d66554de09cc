"""The API's operations on the service: JSON in, JSON out, pages included."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from local.run_command.commands import Command, described, described_invocation, described_step
from local.run_command.errors import ApiError
from local.run_command.instances import matches_filters
from local.run_command.request import check
from local.run_command.service import RunCommand

type Request = Mapping[str, Any]
type Response = dict[str, Any]


def call(service: RunCommand, operation: str, request: Request) -> Response:
    """Answer one API call, or raise its ApiError."""
    check(operation, request)
    service.tick()
    with service.lock:
        response = OPERATIONS[operation](service, request)
    service.tick()
    return response


def _send_command(service: RunCommand, request: Request) -> Response:
    return {"Command": described(service.send(request))}


def _cancel_command(service: RunCommand, request: Request) -> Response:
    service.cancel(request["CommandId"], request.get("InstanceIds", ()))
    return {}


def _list_commands(service: RunCommand, request: Request) -> Response:
    commands = [command for command in _selected(service, request) if _passes(described(command), request)]
    if wanted := request.get("InstanceId"):
        commands = [c for c in commands if any(i.instance_id == wanted for i in c.invocations)]
    return _page("Commands", [described(command) for command in commands], request, default=50)


def _list_command_invocations(service: RunCommand, request: Request) -> Response:
    if any(wanted["key"] == "ExecutionStage" for wanted in request.get("Filters", ())):
        raise ApiError("InvalidFilterKey", "ExecutionStage filters commands, not invocations")
    answers = [
        described_invocation(command, invocation, details=request.get("Details", False))
        for command in _selected(service, request)
        for invocation in command.invocations
        if request.get("InstanceId") in {None, invocation.instance_id}
    ]
    return _page("CommandInvocations", [a for a in answers if _passes(a, request)], request, default=50)


def _get_command_invocation(service: RunCommand, request: Request) -> Response:
    found = [
        (command, invocation)
        for command in service.visible()
        for invocation in command.invocations
        if command.command_id == request["CommandId"] and invocation.instance_id == request["InstanceId"]
    ]
    if not found:
        raise ApiError("InvocationDoesNotExist", "The command ID and instance ID didn't match any invocations")
    command, invocation = found[0]
    names = command.document.steps
    name = request.get("PluginName", names[0] if len(names) == 1 else "")
    if name not in names:
        raise ApiError("InvalidPluginName", f"Name one of the document's steps: {', '.join(names)}")
    step = next((step for step in invocation.steps if step.name == name), None)
    return described_step(command, invocation, step, name)


def _describe_instance_information(service: RunCommand, request: Request) -> Response:
    if request.get("Filters") and request.get("InstanceInformationFilterList"):
        raise ApiError("InvalidInstanceInformationFilterValue", "Give Filters or InstanceInformationFilterList")
    now = service.clock()
    answers = [instance.described(now) for _, instance in sorted(service.instances.items())]
    chosen = [a for a in answers if matches_filters(a, service.tags_of(a["InstanceId"]), request)]
    return _page("InstanceInformationList", chosen, request, default=10)


def _selected(service: RunCommand, request: Request) -> Sequence[Command]:
    return [command for command in service.visible() if request.get("CommandId") in {None, command.command_id}]


def _passes(answer: Mapping[str, Any], request: Request) -> bool:
    for wanted in request.get("Filters", ()):
        key, value = wanted["key"], wanted["value"]
        moment = f"{answer['RequestedDateTime']:%Y-%m-%dT%H:%M:%SZ}"
        passes = {
            "Status": value in {answer["Status"], answer["StatusDetails"]},
            "DocumentName": answer["DocumentName"] == value,
            "InvokedAfter": moment > value,
            "InvokedBefore": moment < value,
            "ExecutionStage": (value == "Executing") == (answer["Status"] in {"Pending", "InProgress", "Cancelling"}),
        }
        if not passes[key]:
            return False
    return True


def _page(name: str, items: Sequence[Response], request: Request, *, default: int) -> Response:
    try:
        start = int(request.get("NextToken", "0"))
    except ValueError as error:
        raise ApiError("InvalidNextToken", "The specified token isn't valid") from error
    end = start + request.get("MaxResults", default)
    response: Response = {name: list(items[start:end])}
    if end < len(items):
        response["NextToken"] = str(end)
    return response


OPERATIONS: Mapping[str, Callable[[RunCommand, Request], Response]] = {
    "SendCommand": _send_command,
    "CancelCommand": _cancel_command,
    "ListCommands": _list_commands,
    "ListCommandInvocations": _list_command_invocations,
    "GetCommandInvocation": _get_command_invocation,
    "DescribeInstanceInformation": _describe_instance_information,
}
