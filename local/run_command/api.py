"""The API's operations on the service: JSON in, JSON out, pages included."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from local.run_command.commands import (
    Invocation,
    SentCommand,
    described,
    described_invocation,
    described_step,
)
from local.run_command.errors import ApiError
from local.run_command.played import check_request
from local.run_command.request import check
from local.run_command.service import RunCommand

type ApiRequest = Mapping[str, Any]
type ApiResponse = dict[str, Any]


def call(service: RunCommand, operation: str, request: ApiRequest) -> ApiResponse:
    """Answer one API call, or raise its ApiError."""
    check_request(operation, request)
    check(operation, request)
    service.tick()
    with service.lock:
        response = OPERATIONS[operation](service, request)
    service.tick()
    return response


def _send_command(service: RunCommand, request: ApiRequest) -> ApiResponse:
    return {"Command": described(service.send(request))}


def _list_command_invocations(service: RunCommand, request: ApiRequest) -> ApiResponse:
    listed = [
        described_invocation(command, invocation, details=request.get("Details", False))
        for command in service.visible()
        for invocation in command.invocations
        if request.get("CommandId") in {None, command.command_id}
    ]
    return _page("CommandInvocations", listed, request, default=50)


def _get_command_invocation(service: RunCommand, request: ApiRequest) -> ApiResponse:
    command, invocation = _found(service, request["CommandId"], request["InstanceId"])
    names = command.document.steps
    name = request.get("PluginName", names[0] if len(names) == 1 else "")
    if name not in names:
        raise ApiError(
            "InvalidPluginName", f"Name one of the document's steps: {', '.join(names)}"
        )
    return described_step(command, invocation, name)


def _found(
    service: RunCommand, command_id: str, instance_id: str
) -> tuple[SentCommand, Invocation]:
    for command in service.visible():
        for invocation in command.invocations:
            if (command.command_id, invocation.instance_id) == (
                command_id,
                instance_id,
            ):
                return command, invocation
    raise ApiError(
        "InvocationDoesNotExist",
        "The command ID and instance ID didn't match any invocations",
    )


def _describe_instance_information(
    service: RunCommand, request: ApiRequest
) -> ApiResponse:
    asked_for = [set(each["Values"]) for each in request.get("Filters", ())]
    chosen = set(service.instances).intersection(*asked_for)
    now = service.clock()
    listed = [
        service.instances[instance_id].described(now) for instance_id in sorted(chosen)
    ]
    return _page("InstanceInformationList", listed, request, default=10)


def _get_document(service: RunCommand, request: ApiRequest) -> ApiResponse:
    """The content as it was submitted, layout and all."""
    version = request.get("DocumentVersion", "$DEFAULT")
    found = service.documents.find(request["Name"], version)
    return {
        "Name": found.name,
        "DocumentVersion": found.version,
        "Status": "Active",
        "Content": found.text,
        "DocumentType": "Command",
        "DocumentFormat": "JSON",
    }


def _page(
    name: str, items: Sequence[ApiResponse], request: ApiRequest, *, default: int
) -> ApiResponse:
    try:
        start = int(request.get("NextToken", "0"))
    except ValueError as error:
        raise ApiError("InvalidNextToken", "The specified token isn't valid") from error
    end = start + request.get("MaxResults", default)
    response: ApiResponse = {name: list(items[start:end])}
    if end < len(items):
        response["NextToken"] = str(end)
    return response


OPERATIONS: Mapping[str, Callable[[RunCommand, ApiRequest], ApiResponse]] = {
    "SendCommand": _send_command,
    "ListCommandInvocations": _list_command_invocations,
    "GetCommandInvocation": _get_command_invocation,
    "DescribeInstanceInformation": _describe_instance_information,
    "GetDocument": _get_document,
}
