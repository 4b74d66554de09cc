"""A Run Command stand-in behind a real SSM client, under a clock that moves when told."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from haproxy_sync.rollout.program import Program
from local.run_command import (
    Behaviour,
    Detail,
    DocumentResult,
    Event,
    ManualClock,
    Order,
    RunCommand,
    ScriptedAgent,
    StepResult,
)
from local.run_command.commands import SentCommand

if TYPE_CHECKING:
    from mypy_boto3_ssm import SSMClient

type Json = dict[str, Any]

DOCUMENT: Json = {
    "schemaVersion": "2.2",
    "parameters": {
        "Md5": {"type": "String", "allowedPattern": "^[0-9a-f]{4}$"},
        "Method": {
            "type": "String",
            "default": "auto",
            "allowedPattern": "^(auto|seamless)$",
        },
    },
    "mainSteps": [
        {
            "action": "aws:runShellScript",
            "name": "apply",
            "inputs": {"timeoutSeconds": "60", "runCommand": ["echo {{ Md5 }}"]},
        }
    ],
}


PUBLISHER = (
    "arn:aws:cloudformation:eu-west-1:123456789012:stack/haproxy-backends-staging/"
    "0f3c1a60-cbd5-11f0-8f2e-0a1b2c3d4e5f"
)


def program_url(bucket: str, sha256: str = Program.packed().sha256) -> str:
    """The address of a program: of the one that the project's document takes, unless told otherwise."""
    return f"https://{bucket}.s3.eu-west-1.amazonaws.com/program/{sha256}/haproxy_apply.zip"


def ids(count: int) -> list[str]:
    """That many instance ids."""
    return [f"i-{number:017d}" for number in range(1, count + 1)]


@dataclass
class Bench:
    """What a test needs at hand."""

    ssm: "SSMClient"
    service: RunCommand
    clock: ManualClock
    events: list[Event]

    def answering(
        self, code: int = 0, stdout: str = "done\n", stderr: str = ""
    ) -> Behaviour:
        """What an agent reports: one step with this exit code and output."""

        def report(_order: Order) -> DocumentResult:
            now = self.clock()
            detail = {0: Detail.SUCCESS, 137: Detail.EXECUTION_TIMED_OUT}.get(
                code, Detail.FAILED
            )
            return DocumentResult(
                detail, (StepResult("apply", detail, code, stdout, stderr, now, now),)
            )

        return report

    def hosts(self, count: int, **codes: int) -> list[str]:
        """Register hosts that take a second; `h2=1` makes the second one exit 1."""
        names = ids(count)
        for number, name in enumerate(names, start=1):
            self.service.register(
                name,
                ScriptedAgent(self.clock, self.answering(codes.get(f"h{number}", 0))),
            )
        return names

    def send(self, instance_ids: list[str], **changes: Any) -> str:
        """Send the sample document and give the command's id."""
        request = {
            "DocumentName": "Apply",
            "InstanceIds": instance_ids,
            "Parameters": {"Md5": ["abcd"]},
            **changes,
        }
        return self.ssm.send_command(**request)["Command"]["CommandId"]

    def run(self, seconds: int) -> None:
        """Let time pass, a second at a time."""
        for _ in range(seconds):
            self.clock.advance(1)
            self.service.tick()

    def command(self, command_id: str) -> SentCommand:
        """The command as the service keeps it; the API's view of it is not played."""
        [command] = [
            each for each in self.service.commands if each.command_id == command_id
        ]
        return command

    def invocations(self, command_id: str) -> Json:
        """Invocations with their steps, by instance id."""
        answer = self.ssm.list_command_invocations(CommandId=command_id, Details=True)
        return {one["InstanceId"]: one for one in answer["CommandInvocations"]}

    def details(self, command_id: str) -> list[str]:
        """StatusDetails of the invocations."""
        return [one["StatusDetails"] for one in self.invocations(command_id).values()]
