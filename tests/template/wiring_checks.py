"""How the parts hang together: rules on the deployed stack that no scanner has. Each yields complaints."""

import re
from collections import defaultdict
from collections.abc import Iterator

from tests.template.stack import Stack, as_list

HOUR, DAY = 3600, 86400
# What becomes of it with the stack, and on replacement. What is kept is not kept when the stack's create failed.
STATEFUL = {
    "AWS::S3::Bucket": ("RetainExceptOnCreate", "Retain"),
    "AWS::Logs::LogGroup": ("RetainExceptOnCreate", "Retain"),
    "AWS::SQS::Queue": ("Delete", "Delete"),
}
# Create-only, as name and path are (provider schema of AWS::IAM::ManagedPolicy): another text is another policy.
POLICY_DESCRIPTION = "Lets a HAProxy host download its config and the program that installs it, and nothing else"
# Of checkov; which of them are right for us is in docs/decisions.md.
KEPT_FINDINGS = {
    "CKV_AWS_18",  # access log of the bucket
    "CKV_AWS_27",  # customer key for queues
    "CKV_AWS_115",  # reserved concurrency
    "CKV_AWS_116",  # dead-letter target of the function
    "CKV_AWS_117",  # VPC
    "CKV_AWS_158",  # customer key for logs
    "CKV_AWS_173",  # customer key for the environment
}
# Physical names are left to CloudFormation, so that two stacks never fight for one.
NAME_PROPERTIES = defaultdict(
    set,
    {
        "AWS::CloudWatch::Alarm": {"AlarmName"},
        "AWS::Events::Rule": {"Name"},
        "AWS::IAM::ManagedPolicy": {"ManagedPolicyName"},
        "AWS::IAM::Role": {"RoleName"},
        "AWS::Lambda::Function": {"FunctionName"},
        "AWS::Logs::LogGroup": {"LogGroupName"},
        "AWS::S3::Bucket": {"BucketName"},
        "AWS::SQS::Queue": {"QueueName"},
        "AWS::SSM::Document": {"Name"},
    },
)


def queue_outlasts_function(stack: Stack) -> Iterator[str]:
    """A message stays invisible for six runs, is tried five times or more, and then kept for two weeks."""
    function, queue = (
        stack.one("AWS::Lambda::Function"),
        stack.of_type("AWS::SQS::Queue")["EventQueue"],
    )
    mapping = stack.one("AWS::Lambda::EventSourceMapping")
    wanted = 6 * function["Timeout"] + mapping.get("MaximumBatchingWindowInSeconds", 0)
    if queue["VisibilityTimeout"] < wanted:
        yield f"visibility timeout {queue['VisibilityTimeout']} s, wanted {wanted} s"
    redrive = queue.get("RedrivePolicy", {})
    if (
        redrive.get("deadLetterTargetArn") != stack.arn("DeadLetterQueue")
        or redrive.get("maxReceiveCount", 0) < 5
    ):
        yield "messages that fail five times or more must go to the dead-letter queue"
    if (
        stack.of_type("AWS::SQS::Queue")["DeadLetterQueue"].get(
            "MessageRetentionPeriod"
        )
        != 14 * DAY
    ):
        yield "the dead-letter queue must keep messages for 14 days"


def only_the_queue_invokes(stack: Stack) -> Iterator[str]:
    """Events reach the function through the queue alone: ten at a time, at once, two runs, failures one by one."""
    mapping = stack.one("AWS::Lambda::EventSourceMapping")
    if mapping["EventSourceArn"] != stack.arn("EventQueue"):
        yield "the function does not listen to the queue"
    if mapping.get("FunctionResponseTypes") != ["ReportBatchItemFailures"]:
        yield "one bad message fails the batch"
    if mapping.get("ScalingConfig") != {"MaximumConcurrency": 2}:
        yield "maximum concurrency must be 2, the least that the service takes"
    if mapping.get("BatchSize") != 10 or mapping.get(
        "MaximumBatchingWindowInSeconds", 0
    ):
        yield "batches must be of 10 without a window: a window delays the first event"
    if stack.of_type("AWS::Lambda::Permission"):
        yield "somebody else may invoke the function"


def targets_lose_nothing(stack: Stack) -> Iterator[str]:
    """Every rule targets the queue, retries for one hour, and keeps in the dead-letter queue what it cannot deliver."""
    for name, rule in stack.of_type("AWS::Events::Rule").items():
        for target in rule["Targets"]:
            retry = target.get("RetryPolicy", {})
            if target["Arn"] != stack.arn("EventQueue"):
                yield f"{name} does not target the queue"
            if target.get("DeadLetterConfig") != {"Arn": stack.arn("DeadLetterQueue")}:
                yield f"{name} has no dead-letter queue"
            if (
                retry.get("MaximumEventAgeInSeconds") != HOUR
                or not 1 <= retry.get("MaximumRetryAttempts", 0) <= 185
            ):
                yield f"{name} must retry for one hour"


def a_beat_exists(stack: Stack) -> Iterator[str]:
    """One rule fires on a schedule that EventBridge understands: everything else may be lost."""
    beats = [
        rule
        for rule in stack.of_type("AWS::Events::Rule").values()
        if "ScheduleExpression" in rule
    ]
    rate = re.compile(r"rate\((1 (minute|hour)|([2-9]|[1-9][0-9]+) (minutes|hours))\)")
    if len(beats) != 1 or not rate.fullmatch(beats[0]["ScheduleExpression"]):
        yield "there must be one rule with a rate"
    if any(
        rule.get("State", "ENABLED") != "ENABLED"
        for rule in stack.of_type("AWS::Events::Rule").values()
    ):
        yield "a rule is switched off"


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
    if "BucketEncryption" not in bucket or bucket.get("VersioningConfiguration") != {
        "Status": "Enabled"
    }:
        yield "not encrypted, or not versioned"
    if bucket.get("NotificationConfiguration") != {
        "EventBridgeConfiguration": {"EventBridgeEnabled": True}
    }:
        yield "uploads make no events"


def no_config_expires(stack: Stack) -> Iterator[str]:
    """Old versions go, current objects stay: the config in use, and those to roll back to, may be years old.

    What checks left is none: it goes after a week.
    """
    rules = stack.one("AWS::S3::Bucket")["LifecycleConfiguration"]["Rules"]
    (checks,) = [each for each in rules if each.get("Prefix", "").endswith("/check/")]
    if checks.get("ExpirationInDays") != 7 or checks["Prefix"].count("/") != 3:
        yield f"{checks['Prefix']} does not go after a week"
    for rule in rules:
        if rule is checks:
            continue
        if (
            rule["Status"] != "Enabled"
            or {"ExpirationInDays", "ExpirationDate", "Transitions"} & rule.keys()
        ):
            yield f"{rule['Id']} takes current objects away"
    bounded = {
        rule["Prefix"] for rule in rules if "NoncurrentVersionExpiration" in rule
    }
    missing = {"state/", "configs/", "program/", "templates/", "vars/"} - bounded
    yield from (
        f"old versions below {prefix} are kept for ever" for prefix in sorted(missing)
    )


def proxies_can_follow(stack: Stack) -> Iterator[str]:
    """A deploy lets proxies read what a new function has them download before that function can send anything."""
    (function,) = stack.of_type("AWS::Lambda::Function")
    first = stack.resources[function].get("DependsOn", [])
    if not stack.of_type("AWS::IAM::ManagedPolicy").keys() <= {*as_list(first)}:
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
    """The function writes to a log group of this stack that has a retention."""
    group = stack.one("AWS::Logs::LogGroup")
    if not group.get("RetentionInDays"):
        yield "the log is kept for ever"
    if stack.one("AWS::Lambda::Function").get("LoggingConfig", {}).get(
        "LogGroup"
    ) not in stack.arn("ReconcileLog"):
        yield "the function logs elsewhere"


def names_are_free(stack: Stack) -> Iterator[str]:
    """No resource has a fixed name, so a second stack can stand beside the first."""
    for name, resource in stack.resources.items():
        for key in NAME_PROPERTIES[resource["Type"]] & resource["Properties"].keys():
            yield f"{name} has a fixed {key}"


def alarms_reach_somebody(stack: Stack) -> Iterator[str]:
    """Each alarm has an action and says what missing data means."""
    for name, alarm in stack.of_type("AWS::CloudWatch::Alarm").items():
        if not alarm.get("AlarmActions"):
            yield f"{name} tells nobody"
        if "TreatMissingData" not in alarm:
            yield f"{name} leaves missing data undecided"


def scanner_skips_have_reasons(stack: Stack) -> Iterator[str]:
    """Every finding of a scanner that we keep is known here, and says at its resource why."""
    for name, resource in stack.resources.items():
        for skip in resource.get("Metadata", {}).get("checkov", {}).get("skip", []):
            if skip["id"] not in KEPT_FINDINGS:
                yield f"{name}: {skip['id']} is not among the findings that we decided to keep"
            if len(skip.get("comment", "")) < 20:
                yield f"{name}: {skip['id']} has no reason"


def the_attached_policy_stays(stack: Stack) -> Iterator[str]:
    """No deploy replaces the proxies' policy: the old one could not be deleted where somebody attached it."""
    for name, policy in stack.of_type("AWS::IAM::ManagedPolicy").items():
        fixed = {"ManagedPolicyName", "Path"} & policy.keys()
        yield from (f"{name} has a {key}" for key in sorted(fixed))
        if policy.get("Description") != POLICY_DESCRIPTION:
            yield f"{name} has another description than the one that every release must have"
