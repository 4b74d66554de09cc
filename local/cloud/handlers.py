"""Stands for what CloudFormation needs of whoever deploys: it makes each resource with the caller's own rights.

Which actions that takes is from the registry's schema of each type, as cfn-lint ships them, but for those of features
that no template here uses. What a role session lacks fails the resource, as it does on AWS.
"""

import re
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from functools import cache
from typing import Any

from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER
from moto.cloudformation.parsing import clean_json

from local.cloud import ACCOUNT, PARTITION, REGION, access
from local.cloud.policies import Request

# Services that no resource of ours brings in: keys, networks, file systems, tables, streams.
FOREIGN = ("kms:*", "ec2:*", "elasticfilesystem:*", "s3files:*", "s3tables:*", "firehose:*")  # fmt: skip
UNUSED: Mapping[str, tuple[str, ...]] = {
    "AWS::Events::Rule": ("iam:PassRole",),  # queues are no target that takes a role
    "AWS::IAM::ManagedPolicy": ("iam:*GroupPolicy", "iam:*UserPolicy"),
    "AWS::IAM::Role": (
        "iam:AttachRolePolicy",
        "iam:DetachRolePolicy",
        "iam:*PermissionsBoundary",
    ),
    "AWS::Lambda::Function": (
        "s3:GetObjectVersion",
        "lambda:*Concurrency",
        "lambda:Put*",
        "lambda:DeleteFunctionCodeSigningConfig",
        "lambda:PassCapacityProvider",
        "lambda:AssociateRuntimeAlias",
        "lambda:PublishVersion",
        "lambda:GetCodeSigningConfig",
    ),
    "AWS::Lambda::LayerVersion": ("s3:GetObjectVersion",),
    "AWS::Logs::LogGroup": (
        "s3:*",
        "logs:*DataProtectionPolicy",
        "logs:*LogDelivery",
        "logs:*ResourcePolicy",
        "logs:*ResourcePolicies",
        "logs:*IndexPolicy",
        "logs:*BearerToken*",
        "logs:*KmsKey",
        "logs:*DeletionProtection",
        "logs:DeleteRetentionPolicy",
    ),
    "AWS::S3::Bucket": (
        "iam:PassRole",
        "s3:*Abac",
        "s3:*Accelerate*",
        "s3:*Acl",
        "s3:*Analytics*",
        "s3:*CORS",
        "s3:*Intelligent*",
        "s3:*Inventory*",
        "s3:*Logging",
        "s3:*Metadata*",
        "s3:*Metrics*",
        "s3:*ObjectLock*",
        "s3:*Replication*",
        "s3:*Website",
        "s3:DeleteBucket?*",
        "s3:DeleteObject",
    ),
    "AWS::SSM::Document": ("iam:PassRole", "s3:GetObject"),
}
NAMES = {
    "events": "rule/{}",
    "lambda": "function:{}",
    "logs": "log-group:{}",
    "ssm": "document/{}",
    "sqs": "{}",
}
"""The end of the ARN that an action of the service names."""


@cache
def actions(type_name: str, operation: str) -> frozenset[str]:
    """What the handler of `create`, `update` or `delete` calls, and the one that reads afterwards."""
    schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema(REGION, type_name).schema
    listed = {
        action
        for name in (operation, "read")
        for action in schema["handlers"].get(name, {}).get("permissions", [])
    }
    left_out = (*FOREIGN, *UNUSED.get(type_name, ()))
    return frozenset(
        action
        for action in listed
        if not any(fnmatchcase(action, pattern) for pattern in left_out)
    )


def judge(operation: str, logical_id: str, resource: Any, resources: Any) -> None:
    """Refuse what the caller may not do; `access.Refused` names the action."""
    if access.is_owner():
        return

    def value(name: str) -> Any:
        """Only what is needed: what a resource refers to may be deleted by now."""
        return clean_json(resource["Properties"].get(name), resources)

    name = f"{resources._parsed_resources['AWS::StackName']}-{logical_id}-1A2B3C4D5E6F"
    type_name = resource["Type"]
    if type_name == "AWS::S3::BucketPolicy":
        # By the bucket that it lies on, of which there may be a policy already: it says who may change it.
        made = resources._parsed_resources.get(logical_id)
        name = made.physical_resource_id if made else value("Bucket")
    for action in sorted(actions(type_name, operation)):
        for arn in _asked(action, type_name, name, value):
            access.demand(Request(action, arn, _context(action, name)))


def _asked(
    action: str, type_name: str, name: str, value: Callable[[str], Any]
) -> list[str]:
    """The resources that the action names."""
    named = BY_ACTION.get(action) or BY_TYPE.get(type_name)
    return named(value) if named else [_own(action.partition(":")[0], type_name, name)]


def _own(service: str, type_name: str, name: str) -> str:
    """The resource itself; a policy of a queue or bucket is the queue's or bucket's."""
    if service == "s3":
        return f"arn:{PARTITION}:s3:::{name.lower()}"
    if service == "iam":
        kind = "role" if type_name == "AWS::IAM::Role" else "policy"
        return _arn("iam", f"{kind}/{name}")
    return _arn(service, NAMES[service].format(name))


def _arn(service: str, end: str) -> str:
    region = "" if service == "iam" else REGION
    return f"arn:{PARTITION}:{service}:{region}:{ACCOUNT}:{end}"


def _context(action: str, name: str) -> dict[str, str]:
    """What conditions may ask."""
    match action:
        case "lambda:CreateEventSourceMapping":
            return {"lambda:FunctionArn": _arn("lambda", f"function:{name}")}
        case "iam:PassRole":
            return {"iam:PassedToService": "lambda.amazonaws.com"}
        case "iam:AttachRolePolicy" | "iam:DetachRolePolicy":
            return {"iam:PolicyARN": _arn("iam", f"policy/{name}")}
        case _:
            return {}


def _package(value: Callable[[str], Any]) -> list[str]:
    package = value("Code") or value("Content")
    return [f"arn:{PARTITION}:s3:::{package['S3Bucket']}/{package['S3Key']}"]


def _roles(value: Callable[[str], Any]) -> list[str]:
    return [_arn("iam", f"role/{role}") for role in value("Roles") or []]


# Where it is not the resource itself.
BY_ACTION: Mapping[str, Callable[[Callable[[str], Any]], list[str]]] = {
    "iam:AttachRolePolicy": _roles,
    "iam:DetachRolePolicy": _roles,
    "iam:PassRole": lambda value: [value("Role")],
    # Both know no resource of their own before they have found or made it.
    "lambda:CreateEventSourceMapping": lambda _: ["*"],
    "logs:DescribeLogGroups": lambda _: [_arn("logs", "log-group::log-stream:")],
    "s3:GetObject": _package,
}
BY_TYPE: Mapping[str, Callable[[Callable[[str], Any]], list[str]]] = {
    "AWS::Lambda::EventSourceMapping": lambda _: [
        _arn("lambda", "event-source-mapping:0f3c1a60")
    ],
    "AWS::Lambda::LayerVersion": lambda value: [
        _arn("lambda", f"layer:{value('LayerName')}:1")
    ],
}

TRANSFORM = re.compile(r"AWS::(Serverless-2016-10-31|Include)")


def judge_template(bucket: str, key: str, text: str) -> None:
    """The template is read with the caller's rights, and each transform is an action of its own."""
    access.demand(Request("s3:GetObject", f"arn:{PARTITION}:s3:::{bucket}/{key}"))
    for name in sorted(set(TRANSFORM.findall(text))):
        arn = f"arn:{PARTITION}:cloudformation:{REGION}:aws:transform/{name}"
        access.demand(Request("cloudformation:CreateChangeSet", arn))
