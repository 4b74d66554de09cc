"""Who may do what: rules on the deployed stack's policies that public scanners do not have. Each yields complaints."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from botocore import xform_name
from botocore.session import get_session

from local.cloud import sqs
from local.cloud.policies import Request, allows
from tests.template.stack import STACK_NAME, Stack, as_list, statements
from tests.template.translate import PROJECT

# Known to have no resource level (AWS service authorization reference).
WITHOUT_RESOURCE_LEVEL = {
    "autoscaling:DescribeAutoScalingGroups",
    "autoscaling:DescribeLifecycleHooks",
    "autoscaling:DescribeWarmPool",
    "ec2:DescribeInstances",
    "ec2:DescribeSpotInstanceRequests",
    "s3:ListAllMyBuckets",
    "ssm:DescribeInstanceInformation",
    "ssm:ListCommandInvocations",
    "ssm:GetCommandInvocation",
}
# Whose resources are others', fenced by a tag.
LIFECYCLE_ACTIONS = [
    "autoscaling:CompleteLifecycleAction",
    "autoscaling:RecordLifecycleActionHeartbeat",
]
FENCED = {"ssm:SendCommand", *LIFECYCLE_ACTIONS}
# What Lambda does in the function's name: logs, and the queue's messages.
BY_LAMBDA = {
    "logs:CreateLogStream",
    "logs:PutLogEvents",
    "sqs:DeleteMessage",
    "sqs:GetQueueAttributes",
    "sqs:ReceiveMessage",
}
# Where the code calls a client otherwise than boto3 does.
CLIENTS = {"autoscaling": "auto_scaling"}
# Where the action is not called as the operation.
ACTIONS = {"s3:ListObjectsV2": "s3:ListBucket", "s3:ListBuckets": "s3:ListAllMyBuckets"}

Statement = Mapping[str, Any]

EARLIER_BUCKETS = "arn:aws:s3:::haproxy-ec2-sync-staging-configbucket-*"


def function_statements(stack: Stack) -> list[Statement]:
    """All statements of the function's role."""
    role = stack.one("AWS::IAM::Role")
    return [
        each
        for policy in role["Policies"]
        for each in statements(policy["PolicyDocument"])
    ]


def resource_policies(stack: Stack) -> Iterator[tuple[str, Statement]]:
    """The statements of queue and bucket policies, with the policy's logical id."""
    for type_name in ("AWS::SQS::QueuePolicy", "AWS::S3::BucketPolicy"):
        for logical_id, policy in stack.of_type(type_name).items():
            for statement in statements(policy["PolicyDocument"]):
                yield logical_id, statement


def queue_policies(stack: Stack) -> dict[str, list[Mapping[str, Any]]]:
    """The policies that hang on each queue, by the queue's ARN: a policy reaches no other queue, whatever it names."""
    policies = stack.of_type("AWS::SQS::QueuePolicy").values()
    found: dict[str, list[Mapping[str, Any]]] = {}
    for arn in map(stack.arn, stack.of_type("AWS::SQS::Queue")):
        name = arn.rpartition(":")[2]
        hanging = [
            each
            for each in policies
            if name in {url.rpartition("/")[2] for url in each["Queues"]}
        ]
        found[arn] = [each["PolicyDocument"] for each in hanging]
    return found


def may_send(
    documents: list[Mapping[str, Any]], queue: str, rule: str, tls: str = "true"
) -> bool:
    """Whether a queue with these policies takes a message from EventBridge's rule."""
    context = {"aws:SourceArn": rule, "aws:SecureTransport": tls}
    return allows(
        documents, Request("sqs:SendMessage", queue, context, "events.amazonaws.com")
    )


def only_our_rules_send(stack: Stack) -> Iterator[str]:
    """EventBridge may send to each queue for exactly the rules of this stack: no foreign rule can."""
    rules = {stack.arn(rule) for rule in stack.of_type("AWS::Events::Rule")}
    for queue, documents in queue_policies(stack).items():
        yield from (
            f"{queue} does not take what {rule} sends"
            for rule in rules
            if not may_send(documents, queue, rule)
        )
    for _, statement in resource_policies(stack):
        if statement["Effect"] != "Allow":
            continue
        if statement["Principal"] != {"Service": "events.amazonaws.com"} or statement[
            "Action"
        ] != ["sqs:SendMessage"]:
            yield f"{statement['Sid']} lets more than EventBridge send"
        condition = statement.get("Condition", {})
        if (
            set(as_list(condition.get("ArnEquals", {}).get("aws:SourceArn", [])))
            != rules
        ):
            yield f"{statement['Sid']} does not name exactly our rules in aws:SourceArn"


def sqs_takes_queue_policies(stack: Stack) -> Iterator[str]:
    """Each queue policy is one that SQS accepts; no scanner knows what it refuses."""
    for logical_id, policy in stack.of_type("AWS::SQS::QueuePolicy").items():
        text = json.dumps(policy["PolicyDocument"])
        yield from (f"{logical_id}: {complaint}" for complaint in sqs.complaints(text))


def nobody_is_everybody(stack: Stack) -> Iterator[str]:
    """No resource policy allows anything to everybody, in any spelling."""
    for logical_id, statement in resource_policies(stack):
        principal = statement.get("Principal", "*")
        open_to_all = "NotPrincipal" in statement or "*" in json.dumps(principal)
        if statement["Effect"] == "Allow" and open_to_all:
            yield f"{logical_id}: {statement.get('Sid')} allows everybody"


def tls_only(stack: Stack) -> Iterator[str]:
    """Queues and bucket refuse requests without TLS."""
    for queue, documents in queue_policies(stack).items():
        if not any(
            _denies_plain(each) & {"*", queue}
            for document in documents
            for each in statements(document)
        ):
            yield f"{queue} takes requests without TLS"
    for bucket in map(stack.arn, stack.of_type("AWS::S3::Bucket")):
        denied = {
            resource
            for _, each in resource_policies(stack)
            for resource in _denies_plain(each)
        }
        yield from (
            f"{each} takes requests without TLS"
            for each in (bucket, f"{bucket}/*")
            if each not in denied
        )


def _denies_plain(statement: Statement) -> set[str]:
    """The resources for which the statement denies everything to everybody who comes without TLS."""
    is_meant = (
        statement["Effect"] == "Deny"
        and statement["Principal"] == "*"
        and statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
        and any(action.endswith(":*") for action in statement["Action"])
    )
    return set(statement["Resource"]) if is_meant else set()


def called() -> set[str]:
    """The actions that the function's code calls: `s3.put_object` is `s3:PutObject`."""
    code = "".join(
        path.read_text() for path in (PROJECT / "src" / "haproxy_sync").rglob("*.py")
    )
    found = set()
    for service in ("autoscaling", "ec2", "s3", "sqs", "ssm"):
        operations = {
            xform_name(name): name
            for name in get_session().get_service_model(service).operation_names
        }
        client = rf"\b{CLIENTS.get(service, service)}(?:\(\))?"
        for method in (
            set(re.findall(rf"{client}\.([a-z0-9_]+)", code)) & operations.keys()
        ):
            action = f"{service}:{operations[method]}"
            found.add(ACTIONS.get(action, action))
    return found


def function_acts_exactly(stack: Stack) -> Iterator[str]:
    """The function's role has exactly the actions that the code calls, none of them a pattern."""
    actions = {
        action for each in function_statements(stack) for action in each["Action"]
    }
    wanted = called() | BY_LAMBDA
    yield from (
        f"{action} is not needed, or no action" for action in sorted(actions - wanted)
    )
    yield from (f"{action} is missing" for action in sorted(wanted - actions))
    if stack.one("AWS::IAM::Role").get("ManagedPolicyArns"):
        yield "the role has managed policies: more than we list"
    trusted = stack.one("AWS::IAM::Role")["AssumeRolePolicyDocument"]["Statement"]
    if [each["Principal"] for each in trusted] != [{"Service": "lambda.amazonaws.com"}]:
        yield "others than Lambda may take the role"


def function_reaches_its_own(stack: Stack) -> Iterator[str]:
    """The function acts on this stack's resources alone, but for actions that know no resource level."""
    for statement in function_statements(stack):
        yield from (
            f"{statement['Sid']}: {problem}" for problem in _reaches_too_far(statement)
        )


def _reaches_too_far(statement: Statement) -> Iterator[str]:
    actions = set(statement["Action"])
    if (
        statement["Effect"] != "Allow"
        or {"NotAction", "NotResource"} & statement.keys()
    ):
        yield "only plain Allow statements are wanted"
    if "*" in statement["Resource"] and not actions <= WITHOUT_RESOURCE_LEVEL:
        yield f"{sorted(actions - WITHOUT_RESOURCE_LEVEL)} on every resource"
    if not actions & FENCED:  # whose resources are checked below
        named = (resource for resource in statement["Resource"] if resource != "*")
        yield from (
            f"{resource} is not of this stack"
            for resource in named
            if f"{STACK_NAME}-" not in resource
        )


def commands_are_fenced(stack: Stack) -> Iterator[str]:
    """SendCommand: our one document, on instances with both tags. `AWS-RunShellScript` would be root on every host."""
    sending = [
        each
        for each in function_statements(stack)
        if "ssm:SendCommand" in each["Action"]
    ]
    (document,) = stack.of_type("AWS::SSM::Document")
    name = f"{document}-AbC123dEfGhI"
    expected = [
        (
            f"arn:aws:ssm:ap-southeast-2:123456789012:document/haproxy-ec2-sync-staging-{name}",
            None,
        ),
        (
            "arn:aws:ec2:ap-southeast-2:123456789012:instance/*",
            {
                "StringEquals": {
                    "ssm:resourceTag/Environment": "staging",
                    "ssm:resourceTag/Type": "haproxy",
                }
            },
        ),
    ]
    if [(each["Resource"], each.get("Condition")) for each in sending] != [
        ([arn], when) for arn, when in expected
    ]:
        yield "SendCommand is not fenced to our document and to instances with both tags"
    if any(each["Action"] != ["ssm:SendCommand"] for each in sending):
        yield "SendCommand shares a statement"
    if "AWS-RunShellScript" in json.dumps(dict(stack.resources)):
        yield "AWS-RunShellScript is named"


def lifecycle_actions_are_fenced(stack: Stack) -> Iterator[str]:
    """Hooks are completed and prolonged in groups that have the environment's tag, and in no others."""
    groups = "arn:aws:autoscaling:ap-southeast-2:123456789012:autoScalingGroup:*:autoScalingGroupName/*"
    when = {"StringEquals": {"autoscaling:ResourceTag/Environment": "staging"}}
    found = [
        (each["Action"], each["Resource"], each.get("Condition"))
        for each in function_statements(stack)
        if _of_auto_scaling(each) - WITHOUT_RESOURCE_LEVEL
    ]
    if found != [(LIFECYCLE_ACTIONS, [groups], when)]:
        yield f"the function's lifecycle actions are {found}"


def _of_auto_scaling(statement: Statement) -> set[str]:
    return {each for each in statement["Action"] if each.startswith("autoscaling:")}


def bucket_access_is_narrow(stack: Stack) -> Iterator[str]:
    """The function writes the state, configs and programs only; nobody deletes; nobody but the function lists."""
    bucket = "arn:aws:s3:::haproxy-ec2-sync-staging-configbucket-1a2b3c4d5e6f"
    allowed: dict[str, set[str]] = {}
    for statement in function_statements(stack):
        for action in statement["Action"]:
            if action.startswith("s3:"):
                allowed.setdefault(action, set()).update(statement["Resource"])
    wanted = {
        "s3:PutObject": {
            f"{bucket}/state/staging.json",
            f"{bucket}/configs/staging/*",
            f"{bucket}/program/*",
        },
        "s3:GetObject": {
            f"{bucket}/state/staging.json",
            f"{bucket}/configs/staging/*",
            f"{bucket}/program/*",
            f"{bucket}/templates/staging/*",
            f"{bucket}/vars/staging.yml",
        },
        "s3:ListBucket": {bucket, EARLIER_BUCKETS},
        "s3:ListAllMyBuckets": {"*"},
    }
    if allowed != wanted:
        yield f"the function's access to the bucket is {allowed}, not {wanted}"


def earlier_buckets_are_only_looked_at(stack: Stack) -> Iterator[str]:
    """Buckets of earlier stacks of this name are asked for this environment's uploads, and for nothing else."""
    found = [
        (each["Action"], each.get("Condition"))
        for each in function_statements(stack)
        if EARLIER_BUCKETS in each["Resource"]
    ]
    prefixes = ["templates/staging/", "vars/staging.yml"]
    wanted = {"StringEquals": {"s3:prefix": prefixes}}
    if found != [(["s3:ListBucket"], wanted)]:
        yield f"the function's access to earlier buckets is {found}"


def proxies_only_download(stack: Stack) -> Iterator[str]:
    """A proxy's role may read its environment's configs and the program: no write, no list, no other prefix."""
    policy = stack.one("AWS::IAM::ManagedPolicy")["PolicyDocument"]
    found = [
        (each["Effect"], each["Action"], each["Resource"])
        for each in statements(policy)
    ]
    bucket = "arn:aws:s3:::haproxy-ec2-sync-staging-configbucket-1a2b3c4d5e6f"
    wanted = [f"{bucket}/configs/staging/*", f"{bucket}/program/*"]
    if found != [("Allow", ["s3:GetObject"], [each]) for each in wanted]:
        yield f"the proxies' policy is {found}"
