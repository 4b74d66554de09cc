"""The two EventBridge events of Run Command, in the format of the EventBridge reference."""

from datetime import datetime
from typing import Any
from uuid import uuid4

from local.run_command.commands import Invocation, SentCommand, moment
from local.run_command.statuses import Detail

type Event = dict[str, Any]

_COMMAND = "EC2 Command Status-change Notification"
_INVOCATION = "EC2 Command Invocation Status-change Notification"


def announce(
    command: SentCommand, account: str, region: str, now: datetime
) -> list[Event]:
    """Events for every state reached since the last call; Pending is not announced."""
    arn = f"arn:aws:ec2:{region}:{account}:instance/"
    envelope = {
        "version": "0",
        "source": "aws.ssm",
        "account": account,
        "region": region,
    }
    envelope["time"] = f"{now:%Y-%m-%dT%H:%M:%SZ}"
    events: list[Event] = [
        {
            "detail-type": _INVOCATION,
            "resources": [arn + one.instance_id],
            "detail": _invocation_detail(command, one),
        }
        for one in command.invocations
        if _is_news(command, one.instance_id, one.detail)
    ]
    if _is_news(command, "", command.detail):
        hosts = [arn + one.instance_id for one in command.invocations]
        events.append(
            {
                "detail-type": _COMMAND,
                "resources": hosts,
                "detail": _command_detail(command),
            }
        )
    return [{**envelope, "id": str(uuid4()), **event} for event in events]


def _is_news(command: SentCommand, subject: str, detail: Detail) -> bool:
    if command.announced.get(subject) is detail or detail.status == "Pending":
        return False
    command.announced[subject] = detail
    return True


def _command_detail(command: SentCommand) -> dict[str, Any]:
    return {
        "command-id": command.command_id,
        "document-name": command.document.name,
        "expire-after": moment(command.expires),
        "parameters": {
            name: list(values)
            for name, values in command.request.get("Parameters", {}).items()
        },
        "requested-date-time": moment(command.requested),
        "status": command.detail.status,
    }


def _invocation_detail(command: SentCommand, invocation: Invocation) -> dict[str, Any]:
    return {
        "command-id": command.command_id,
        "document-name": command.document.name,
        "instance-id": invocation.instance_id,
        "requested-date-time": moment(command.requested),
        "status": invocation.detail.status,
    }
