"""The stack: is it deployed, and is it the release of this command line."""

from collections.abc import Mapping
from typing import Any

from haproxy_ec2_sync.doctor.facts import Stack
from haproxy_ec2_sync.doctor.lines import Line, judged, right, wrong

COMPLETE = (
    "CREATE_COMPLETE",
    "UPDATE_COMPLETE",
    "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS",
    "IMPORT_COMPLETE",
)
OUTPUTS = (
    "FunctionName",
    "BucketName",
    "DocumentName",
    "ProxyPolicyArn",
    "QueueUrl",
    "DeadLetterQueueUrl",
    "LogGroupName",
)
ANSWERED = (
    *("headline", "sync", "health", "conditions", "instances", "next_look_at"),
    *("draining", "lifecycle_actions"),
)
"""Keys of `status` that earlier releases lack."""

DEPLOY = "deploy the release of this command line (make deploy)"


def deployed(stack: Stack) -> tuple[Line, ...]:
    """The last deploy came to a good end."""
    found = f"{stack.name} in {stack.region} is {stack.status}"
    if stack.status in COMPLETE:
        return (right(found),)
    if stack.status.endswith("_IN_PROGRESS"):
        return (wrong(found, "wait for its end, then ask again"),)
    reason = f" ({stack.reason})" if stack.reason else ""
    advice = "see the stack's events for what failed, mend it, and deploy again"
    return (wrong(f"{found}{reason}", advice),)


def outputs(stack: Stack) -> tuple[Line, ...]:
    """It says what commands need to know."""
    missing = [name for name in OUTPUTS if name not in stack.outputs]
    found = f"missing: {', '.join(missing) or 'none'}"
    return judged(not missing, found, f"see --stack-name; else {DEPLOY}")


def release(status: Mapping[str, Any]) -> tuple[Line, ...]:
    """The function answers as this command line reads it."""
    missing = [key for key in ANSWERED if key not in status]
    found = f"its status lacks {', '.join(missing) or 'nothing that this command line reads'}"
    return judged(not missing, found, DEPLOY)
