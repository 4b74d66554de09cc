"""The deployed function, as the stack's outputs name it: a request goes in, its answer comes out."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from haproxy_ec2_sync.errors import Failed, one_line
from haproxy_ec2_sync.target import Target

CONNECT_SECONDS = 10
ANSWER_SECONDS = 20  # of every other service; each is asked three times at most
SHOWN_BYTES = 200  # of what nobody can read
REFUSALS = frozenset({"BadRequest", "NewerState"})
READ_SECONDS = 75  # longer than the function's own timeout

Answer = dict[str, Any]
"""What the function said; docs/answers.schema.json has its shape."""

Client = Callable[[str], Any]
"""A boto3 client by the name of its service."""


class Refused(Failed):
    """What was asked can never be done; nothing was."""


class FunctionFailed(Failed):
    """The function failed, this time."""


@dataclass(frozen=True, slots=True)
class Function:
    """The function of one stack."""

    name: str
    outputs: Mapping[str, str]
    client: Client

    def ask(self, action: str, **options: Any) -> Answer:
        """What it answers to an operator's action; `Failed` with its own words if it refuses or fails."""
        request = {"action": action, **options}
        answer = self.client("lambda").invoke(
            FunctionName=self.name, Payload=json.dumps(request).encode()
        )
        payload = _parsed(answer["Payload"].read())
        if "FunctionError" in answer:
            raise _error(payload)
        return _checked(payload)


def find(target: Target) -> Function:
    """The function of the stack; `Failed` if there is no such stack, or no such function in it."""
    client = clients(target)
    outputs = _outputs(client("cloudformation"), target)
    if "FunctionName" not in outputs:
        raise Failed(
            f"stack {target.stack_name} is not one of haproxy-ec2-sync: it has no output FunctionName"
        )
    return Function(outputs["FunctionName"], outputs, client)


def clients(target: Target) -> Client:
    """Clients for the target, each made once. They retry what AWS throttles; no invoke is sent twice."""
    # It takes a third of a second: help and completion do without.
    import boto3  # noqa: PLC0415
    from botocore.config import Config  # noqa: PLC0415

    session = boto3.Session(profile_name=target.profile, region_name=target.region)
    if session.region_name is None:
        raise Failed(
            "no region is known: give --region, or set it in samconfig.toml or AWS_DEFAULT_REGION"
        )
    # An address of one's own has no host for each bucket.
    s3: Any = {"addressing_style": "path"} if target.endpoint_url else {}
    patient = Config(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=ANSWER_SECONDS,
        retries={"mode": "standard"},
        s3=s3,
    )
    once = Config(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        retries={"total_max_attempts": 1},
    )

    @cache
    def client(service: str) -> Any:
        config = once if service == "lambda" else patient
        # Typed by its stubs for the services that those know.
        made: Any = session.client
        return made(service, endpoint_url=target.endpoint_url, config=config)

    return client


def _outputs(cloudformation: Any, target: Target) -> Mapping[str, str]:
    from botocore.exceptions import ClientError  # noqa: PLC0415

    try:
        (stack,) = cloudformation.describe_stacks(StackName=target.stack_name)["Stacks"]
    except ClientError as error:
        message = one_line(error.response["Error"].get("Message", ""))
        if "does not exist" not in message:
            raise
        region = cloudformation.meta.region_name
        raise Failed(
            f"there is no stack {target.stack_name} in {region}: see --env, --stack-name and --region"
        ) from error
    return {each["OutputKey"]: each["OutputValue"] for each in stack.get("Outputs", ())}


def _parsed(payload: bytes) -> Any:
    """Null for nothing; whoever answers no JSON is not Lambda, or not well."""
    try:
        return json.loads(payload or b"null")
    except ValueError as error:
        begin = payload[:SHOWN_BYTES].decode(errors="replace")
        raise FunctionFailed(
            f"the function's answer is no JSON: {one_line(begin)}"
        ) from error


def _error(payload: Any) -> Failed:
    """What the function said when it failed, without its stack trace."""
    if not isinstance(payload, dict):
        return FunctionFailed(f"the function failed: {one_line(payload)}")
    message = one_line(payload.get("errorMessage", ""))
    if payload.get("errorType") in REFUSALS:
        return Refused(message)
    kind = payload.get("errorType", "error")
    return FunctionFailed(
        f"the function failed: {kind}: {message}; see its log (haproxy-ec2-sync logs)"
    )


def _checked(payload: Any) -> Answer:
    if not isinstance(payload, dict) or "action" not in payload:
        raise Failed(
            "the function's answer is none that this command line knows: deploy the same release as this one"
        )
    return payload
