"""How the parts hang together: rules on the deployed stack that no scanner has. Each yields complaints."""

from collections.abc import Iterator
from typing import Any

from tests.template import allowed
from tests.template.stack import Stack, as_list

HOUR, DAY = 3600, 86400
# As many attempts as the service makes: the hour ends them.
RETRY = {"MaximumEventAgeInSeconds": HOUR, "MaximumRetryAttempts": 185}
ENCRYPTED = {
    "ServerSideEncryptionConfiguration": [
        {"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
    ]
}
UNFINISHED = {
    "Status": "Enabled",
    "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
}
# What becomes of it with the stack, and on replacement. What is kept is not kept when the stack's create failed.
STATEFUL = {
    "AWS::S3::Bucket": ("RetainExceptOnCreate", "Retain"),
    "AWS::Logs::LogGroup": ("RetainExceptOnCreate", "Retain"),
    "AWS::SQS::Queue": ("Delete", "Delete"),
    "AWS::Lambda::LayerVersion": ("Delete", None),
}
# Create-only, as name and path are (provider schema of AWS::IAM::ManagedPolicy): another text is another policy.
POLICY_DESCRIPTION = "Lets a HAProxy host download its config and the program that installs it, and nothing else"


def queue_outlasts_function(stack: Stack) -> Iterator[str]:
    """A message stays invisible for six runs, is tried five times, and then kept for two weeks."""
    timeout = stack.one("AWS::Lambda::Function")["Timeout"]
    queues = stack.of_type("AWS::SQS::Queue")
    queue, dead = queues["EventQueue"], queues["DeadLetterQueue"]
    if queue["VisibilityTimeout"] != 6 * timeout:
        yield f"visibility timeout {queue['VisibilityTimeout']} s, wanted {6 * timeout} s: six runs"
    if queue.get("RedrivePolicy") != {
        "deadLetterTargetArn": stack.arn("DeadLetterQueue"),
        "maxReceiveCount": 5,
    }:
        yield "messages that fail five times must go to the dead-letter queue"
    if "RedrivePolicy" in dead or "VisibilityTimeout" in dead:
        yield "the dead-letter queue keeps what it has for who looks after it"
    kept = (queue["MessageRetentionPeriod"], dead["MessageRetentionPeriod"])
    if kept != (4 * DAY, 14 * DAY):
        yield f"messages are kept for {kept} s, wanted 4 and 14 days: over a weekend, and until somebody looked"


def only_the_queue_invokes(stack: Stack) -> Iterator[str]:
    """Events reach the function through the queue alone: ten at a time, at once, two runs, failures one by one."""
    mapping = stack.one("AWS::Lambda::EventSourceMapping")
    if mapping["EventSourceArn"] != stack.arn("EventQueue"):
        yield "the function does not listen to the queue"
    if mapping["FunctionName"] != stack.text("${ReconcileFunction}"):
        yield "the queue invokes something else"
    if mapping.get("FunctionResponseTypes") != ["ReportBatchItemFailures"]:
        yield "one bad message fails the batch"
    if mapping.get("ScalingConfig") != {"MaximumConcurrency": 2}:
        yield "maximum concurrency must be 2, the least that the service takes"
    if mapping.get("BatchSize") != 10 or mapping.get(
        "MaximumBatchingWindowInSeconds", 0
    ):
        yield "batches must be of 10 without a window: a window delays the first event"


def targets_lose_nothing(stack: Stack) -> Iterator[str]:
    """Every rule targets the queue, retries for one hour, and keeps in the dead-letter queue what it cannot deliver."""
    queue, dead = stack.arn("EventQueue"), stack.arn("DeadLetterQueue")
    for name, rule in stack.of_type("AWS::Events::Rule").items():
        if [target["Arn"] for target in rule["Targets"]] != [queue]:
            yield f"{name} does not target the queue, and it alone"
        for target in rule["Targets"]:
            if target.get("DeadLetterConfig") != {"Arn": dead}:
                yield f"{name} has no dead-letter queue"
            if target.get("RetryPolicy") != RETRY:
                yield f"{name} must retry for one hour"


def a_beat_exists(stack: Stack) -> Iterator[str]:
    """One rule fires on a schedule, as often as the parameter says: everything else may be lost."""
    rules = stack.of_type("AWS::Events::Rule")
    beats = {
        name: rule["ScheduleExpression"]
        for name, rule in rules.items()
        if "ScheduleExpression" in rule
    }
    rate = stack.parameters["SweepRate"]
    if beats != {"SweepRule": rate} or "EventPattern" in rules["SweepRule"]:
        yield f"schedules are {beats}, wanted is one of SweepRule, of {rate}"


def bucket_is_private(stack: Stack) -> Iterator[str]:
    """The bucket blocks public access four times, has no ACLs, is encrypted and versioned, and says what changed."""
    bucket = stack.one("AWS::S3::Bucket")
    blocks = bucket.get("PublicAccessBlockConfiguration", {})
    if len(blocks) != 4 or set(blocks.values()) != {True}:
        yield "public access is not blocked"
    if bucket.get("OwnershipControls") != {
        "Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]
    }:
        yield "ACLs are on"
    if bucket.get("BucketEncryption") != ENCRYPTED:
        yield "not encrypted, or with a key that proxies may not use"
    if bucket.get("VersioningConfiguration") != {"Status": "Enabled"}:
        yield "not versioned"
    if bucket.get("NotificationConfiguration") != {
        "EventBridgeConfiguration": {"EventBridgeEnabled": True}
    }:
        yield "uploads make no events"


def no_config_expires(stack: Stack) -> Iterator[str]:
    """Old versions go, current objects stay: the config in use, and those to roll back to, may be years old.

    What checks left is none: it goes after a week.
    """
    rules = stack.one("AWS::S3::Bucket")["LifecycleConfiguration"]["Rules"]
    found = [{key: each[key] for key in each.keys() - {"Id"}} for each in rules]
    wanted = [*lifecycle(stack), UNFINISHED]
    yield from (f"{each} is not allowed" for each in found if each not in wanted)
    yield from (f"{each} is missing" for each in wanted if each not in found)
    yield from (f"{each} is there twice" for each in wanted if found.count(each) > 1)


def lifecycle(stack: Stack) -> Iterator[dict[str, Any]]:
    """The rules of the prefixes."""
    for prefix, (current, replaced) in allowed.LIFECYCLE.items():
        yield {
            "Status": "Enabled",
            "Prefix": stack.text(prefix),
            **({"ExpirationInDays": current} if current else {}),
            "NoncurrentVersionExpiration": {"NoncurrentDays": replaced},
        }


def proxies_can_follow(stack: Stack) -> Iterator[str]:
    """A deploy lets proxies read what a new function has them download before that function can send anything."""
    (function,) = stack.of_type("AWS::Lambda::Function")
    first = as_list(stack.resources[function].get("DependsOn", []))
    if first != [*stack.of_type("AWS::IAM::ManagedPolicy")]:
        yield "the function may be new while the proxies' policy is old"


def deletion_is_decided(stack: Stack) -> Iterator[str]:
    """What holds state says what becomes of it, on delete and on replacement."""
    for name, resource in stack.resources.items():
        wanted = STATEFUL.get(resource["Type"])
        found = (resource.get("DeletionPolicy"), resource.get("UpdateReplacePolicy"))
        if wanted and found != wanted:
            yield f"{name} must have the policies {wanted} for deletion and replacement"


def queues_are_encrypted(stack: Stack) -> Iterator[str]:
    """Both queues are encrypted at rest with a key that EventBridge can use without a grant."""
    for name, queue in stack.of_type("AWS::SQS::Queue").items():
        if queue.get("SqsManagedSseEnabled") is not True:
            yield f"{name} is not encrypted"
        if "KmsMasterKeyId" in queue:
            yield f"{name} has a key: unless its policy lets EventBridge use it, events vanish in silence"


def log_is_kept_and_bounded(stack: Stack) -> Iterator[str]:
    """The function writes to a log group of this stack, which keeps it as long as the parameter says."""
    group = stack.one("AWS::Logs::LogGroup")
    if group.get("RetentionInDays") != stack.parameters["LogRetentionDays"]:
        yield "the log is kept for ever, or not as long as somebody decided"
    config = stack.one("AWS::Lambda::Function").get("LoggingConfig")
    if config != {"LogGroup": stack.text("${ReconcileLog}")}:
        yield f"the function logs elsewhere: {config}"


def the_attached_policy_stays(stack: Stack) -> Iterator[str]:
    """No deploy replaces the proxies' policy: the old one could not be deleted where somebody attached it."""
    for name, policy in stack.of_type("AWS::IAM::ManagedPolicy").items():
        if policy.get("Description") != POLICY_DESCRIPTION:
            yield f"{name} has another description than the one that every release must have"
