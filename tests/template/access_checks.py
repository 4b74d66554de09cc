"""Who may do what: rules on the deployed stack's policies that public scanners do not have. Each yields complaints."""

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache, lru_cache
from typing import Any

from botocore import xform_name
from botocore.session import get_session

from haproxy_ec2_sync.doctor import fences
from haproxy_ec2_sync.doctor.facts import BucketPolicy
from local.cloud import sqs
from local.cloud.policies import Request, allows
from tests.template import allowed
from tests.template.stack import Stack, as_list, statements
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
# Whose resources are others', fenced by a tag, or named by who deploys.
FENCED = {
    "autoscaling:CompleteLifecycleAction",
    "autoscaling:RecordLifecycleActionHeartbeat",
    "kms:Decrypt",
    "secretsmanager:DescribeSecret",
    "secretsmanager:GetSecretValue",
    "ssm:GetParameters",
    "ssm:SendCommand",
}
# What Lambda does in the function's name: logs, and the queue's messages.
BY_LAMBDA = {
    "logs:CreateLogStream",
    "logs:PutLogEvents",
    "sqs:DeleteMessage",
    "sqs:GetQueueAttributes",
    "sqs:ReceiveMessage",
}
# Where the code calls a client otherwise than boto3 does.
CLIENTS = {"autoscaling": "auto_scaling", "secretsmanager": "secrets_manager"}
# What SSM and Secrets Manager do in the function's name.
BY_STORES = {"kms:Decrypt"}
# What a parameter of the stack has to name first, on nothing but that.
GIVEN = {
    "SecretArns": {
        "secretsmanager:DescribeSecret",
        "secretsmanager:GetSecretValue",
        "ssm:GetParameters",
    },
    "SecretKeys": BY_STORES,
}
# Where the action is not called as the operation.
ACTIONS = {"s3:ListObjectsV2": "s3:ListBucket", "s3:ListBuckets": "s3:ListAllMyBuckets"}

Statement = Mapping[str, Any]

POLICY = {"Version", "Statement"}
VERSION = "2012-10-17"
"""An older one takes `${...}` of a policy literally."""


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
    return _may_send(json.dumps(documents), queue, rule, tls)


@lru_cache(maxsize=1024)
def _may_send(documents: str, queue: str, rule: str, tls: str) -> bool:
    """Kept, since most changes of a template are not of its queues' policies."""
    context = {"aws:SourceArn": rule, "aws:SecureTransport": tls}
    request = Request("sqs:SendMessage", queue, context, "events.amazonaws.com")
    return allows(json.loads(documents), request)


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


@cache
def called() -> set[str]:
    """The actions that the function's code calls: `s3.put_object` is `s3:PutObject`."""
    code = "".join(
        path.read_text() for path in (PROJECT / "src" / "haproxy_sync").rglob("*.py")
    )
    found = set()
    for service in ("autoscaling", "ec2", "s3", "secretsmanager", "sqs", "ssm"):
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
    wanted = called() | BY_LAMBDA | BY_STORES
    for parameter, given in GIVEN.items():
        wanted -= set() if stack.parameters[parameter] else given
    yield from (
        f"{action} is not needed, or no action" for action in sorted(actions - wanted)
    )
    yield from (f"{action} is missing" for action in sorted(wanted - actions))


def function_reaches_its_own(stack: Stack) -> Iterator[str]:
    """The function acts on this stack's resources alone, but for actions that know no resource level."""
    ours = stack.text("${LowerStackName}-")
    for statement in function_statements(stack):
        yield from (
            f"{statement['Sid']}: {problem}"
            for problem in _reaches_too_far(statement, ours)
        )


def _reaches_too_far(statement: Statement, ours: str) -> Iterator[str]:
    actions = set(statement["Action"])
    if statement["Effect"] != "Allow":
        yield "only plain Allow statements are wanted"
    if "*" in statement["Resource"] and not actions <= WITHOUT_RESOURCE_LEVEL:
        yield f"{sorted(actions - WITHOUT_RESOURCE_LEVEL)} on every resource"
    if not actions & FENCED:
        named = (resource for resource in statement["Resource"] if resource != "*")
        yield from (
            f"{resource} is not of this stack"
            for resource in named
            if ours not in resource.lower()
        )


def policies_grant_what_is_listed(stack: Stack) -> Iterator[str]:
    """Every policy, wherever it stands, grants and denies what `allowed.GRANTS` says: action by action."""
    found = dict(policies(stack))
    for place in sorted({*found, *allowed.GRANTS}):
        granted = set(grants(found.get(place, [])))
        wanted = set(listed(stack, allowed.GRANTS.get(place, ())))
        yield from (
            f"{place}: not allowed: {each}" for each in sorted(granted - wanted)
        )
        yield from (f"{place}: missing: {each}" for each in sorted(wanted - granted))


def policies_are_of_one_version(stack: Stack) -> Iterator[str]:
    """The one whose variables and conditions mean what is written."""
    for place, documents in policies(stack):
        for each in documents:
            if each.keys() != POLICY or each["Version"] != VERSION:
                yield f"{place} is a policy with {sorted(each)}, version {each.get('Version')}"


def policies(stack: Stack) -> Iterator[tuple[str, list[Mapping[str, Any]]]]:
    """All policy documents, by resource and property."""
    for name, resource in stack.resources.items():
        for key, value in resource["Properties"].items():
            documents = list(_documents(value))
            if documents:
                yield f"{name}.{key}", documents


def _documents(node: Any) -> Iterator[Mapping[str, Any]]:
    match node:
        case {"Statement": _}:
            yield node
        case dict():
            yield from _documents([*node.values()])
        case list():
            for each in node:
                yield from _documents(each)


def grants(documents: list[Mapping[str, Any]]) -> Iterator[str]:
    """Each action on each resource, with all that the statement says but its name: an unknown element is seen."""
    for document in documents:
        for each in statements(document):
            rest = {
                key: value
                for key, value in each.items()
                if key not in {"Sid", "Action", "Resource"}
            }
            for action in each.get("Action", [""]):
                for resource in each.get("Resource", [""]):
                    yield f"{action} on {resource or 'itself'}, {plainly(rest)}"


def listed(stack: Stack, wanted: tuple[allowed.Grant, ...]) -> Iterator[str]:
    """The same of what is listed, as far as the stack's parameters ask for it."""
    for each in wanted:
        if each.given and not stack.parameters[each.given]:
            continue
        named = {"Principal": each.who, "Condition": each.when, "Resource": each.on}
        statement = {
            "Effect": each.effect,
            "NotAction" if each.but else "Action": [*each.actions],
            **{key: value for key, value in named.items() if value},
        }
        text = json.loads(stack.text(json.dumps(statement)))
        yield from grants(
            [{"Statement": [_parted(text) if each.given or each.but else text]}]
        )


def _parted(node: Any) -> Any:
    """With each list of a parameter as a list, in which an empty one is nothing."""
    match node:
        case dict():
            return {key: _parted(value) for key, value in node.items()}
        case list():
            return [part for each in node for part in as_list(_parted(each))]
        case str() if "," in node:
            return [each for each in node.split(",") if each]
    return node


def doctor_finds_the_fences(stack: Stack) -> Iterator[str]:
    """Each that the parameters ask for, and no other, by what `doctor` takes for one."""
    document = stack.one("AWS::S3::BucketPolicy")["PolicyDocument"]
    asked = {
        fences.CONFIGS: True,
        fences.TEMPLATES: stack.parameters["TemplateWriters"],
        fences.BUCKET: stack.parameters["BreakGlass"],
    }
    wanted = {frozenset(keys) for keys, value in asked.items() if value}
    found = {*BucketPolicy.read(json.dumps(document)).spared}
    if found != wanted:
        yield f"the fences of the bucket are around {found}, not around {wanted}"


def plainly(node: Any) -> str:
    """One text for one meaning: of a list the order does not count, nor that one is written as a list."""
    return json.dumps(_ordered(node), sort_keys=True, ensure_ascii=False)


def _ordered(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _ordered(value) for key, value in node.items()}
    return (
        sorted(node) if isinstance(node, list) and len(node) != 1 else as_list(node)[0]
    )


def policies_hang_where_they_should(stack: Stack) -> Iterator[str]:
    """The bucket's policy on the bucket, the queues' on both queues, the proxies' on the roles that are named."""
    bucket = stack.one("AWS::S3::BucketPolicy")["Bucket"]
    if bucket != stack.text("${ConfigBucket}"):
        yield f"the bucket's policy hangs on {bucket}"
    queues = stack.one("AWS::SQS::QueuePolicy")["Queues"]
    if queues != [stack.text("${EventQueue}"), stack.text("${DeadLetterQueue}")]:
        yield f"the queues' policy hangs on {queues}"
    roles = stack.one("AWS::IAM::ManagedPolicy").get("Roles", [])
    wanted = [each for each in stack.parameters["ProxyRoles"].split(",") if each]
    if roles != wanted:
        yield f"the proxies' policy hangs on {roles}, not {wanted}"
