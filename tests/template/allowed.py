"""What the template may hold, and nothing else. Whoever adds to template.yaml adds it here, in the one place.

Texts name resources and parameters as `Fn::Sub` does.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

SECTIONS = {
    "AWSTemplateFormatVersion",
    "Description",
    "Metadata",
    "Parameters",
    "Rules",
    "Conditions",
    "Resources",
    "Outputs",
}
# Each holds where its parameter is not empty.
CONDITIONS: Mapping[str, str] = {
    "HasProxyRoles": "ProxyRoles",
    "HasSecrets": "SecretArns",
    "HasSecretKeys": "SecretKeys",
    "HasTemplateWriters": "TemplateWriters",
    "HasBreakGlass": "BreakGlass",
}
# Of two parameters that must differ, and of one that says nothing without the other.
DIFFERENT: Mapping[str, tuple[str, str]] = {
    "TagKeysDiffer": ("EnvironmentTagKey", "TypeTagKey"),
    "TagValuesDiffer": ("BackendTagValue", "ProxyTagValue"),
}
COMPANIONS: Mapping[str, tuple[str, str]] = {
    "KeysAreOfSecrets": ("SecretKeys", "SecretArns")
}
# What may stand in descriptions: short, and of letters that every service takes.
DESCRIBED = {"Environment", "AWS::StackName"}

# By logical id, after the transform. SAM ends a layer's with a digest of what is in it, which is left out here.
RESOURCES = {
    "InstanceStateRule": "AWS::Events::Rule",
    "InstanceTagRule": "AWS::Events::Rule",
    "AutoScalingRule": "AWS::Events::Rule",
    "SpotRule": "AWS::Events::Rule",
    "CommandRule": "AWS::Events::Rule",
    "UploadRule": "AWS::Events::Rule",
    "SweepRule": "AWS::Events::Rule",
    "EventQueue": "AWS::SQS::Queue",
    "DeadLetterQueue": "AWS::SQS::Queue",
    "QueuePolicy": "AWS::SQS::QueuePolicy",
    "ReconcileFunction": "AWS::Lambda::Function",
    "ReconcileFunctionQueue": "AWS::Lambda::EventSourceMapping",
    "DependencyLayer": "AWS::Lambda::LayerVersion",
    "ReconcileLog": "AWS::Logs::LogGroup",
    "ReconcileRole": "AWS::IAM::Role",
    "ConfigBucket": "AWS::S3::Bucket",
    "ConfigBucketPolicy": "AWS::S3::BucketPolicy",
    "ApplyDocument": "AWS::SSM::Document",
    "ProxyPolicy": "AWS::IAM::ManagedPolicy",
}

# Beside type, properties and the scanner's metadata. A `Condition` could take away a rule, a queue, a fence.
ATTRIBUTES: Mapping[str, set[str]] = {
    "AWS::Lambda::Function": {"DependsOn"},
    "AWS::Lambda::LayerVersion": {"DeletionPolicy"},
    "AWS::Logs::LogGroup": {"DeletionPolicy", "UpdateReplacePolicy"},
    "AWS::S3::Bucket": {"DeletionPolicy", "UpdateReplacePolicy"},
    "AWS::SQS::Queue": {"DeletionPolicy", "UpdateReplacePolicy"},
}

# What patterns ask for, and how. A region, an account or the beginning of an ARN would be right in one place only.
ASKED = (
    "source",
    "detail-type",
    "detail.bucket.name",
    "detail.changed-tag-keys",
    "detail.document-name",
    "detail.object.key",
    "detail.object.key.prefix",
    "detail.resource-type",
    "detail.service",
    "detail.state.anything-but",
    "detail.status.anything-but",
)

# By type, at any depth: `?` may be missing, `*` is judged as a whole by another rule. What is not here is refused: it
# could grant (a layer, a function's address), divert (replication, another bus) or stop (a filter, a reservation); and
# no resource has a name of its own, so that a second stack can stand beside the first.
PROPERTIES: Mapping[str, tuple[str, ...]] = {
    "AWS::Events::Rule": (
        "Description",
        *(f"EventPattern.{path}?" for path in ASKED),
        "ScheduleExpression?",
        "Targets.Id",
        "Targets.Arn",
        "Targets.RetryPolicy.MaximumEventAgeInSeconds",
        "Targets.RetryPolicy.MaximumRetryAttempts",
        "Targets.DeadLetterConfig.Arn",
    ),
    "AWS::SQS::Queue": (
        "SqsManagedSseEnabled",
        "VisibilityTimeout?",
        "MessageRetentionPeriod",
        "RedrivePolicy.deadLetterTargetArn?",
        "RedrivePolicy.maxReceiveCount?",
    ),
    "AWS::SQS::QueuePolicy": ("Queues", "PolicyDocument*"),
    "AWS::Lambda::Function": (
        "Architectures",
        "Code.S3Bucket",
        "Code.S3Key",
        "Description",
        "Environment.Variables*",
        "Handler",
        "Layers",
        "LoggingConfig.LogGroup",
        "MemorySize",
        "Role",
        "Runtime",
        "Tags.Key",
        "Tags.Value",
        "Timeout",
    ),
    "AWS::Lambda::EventSourceMapping": (
        "BatchSize",
        "EventSourceArn",
        "FunctionName",
        "FunctionResponseTypes",
        "ScalingConfig.MaximumConcurrency",
    ),
    "AWS::Lambda::LayerVersion": (
        "CompatibleArchitectures",
        "CompatibleRuntimes",
        "Content.S3Bucket",
        "Content.S3Key",
        "Description",
        "LayerName",
    ),
    "AWS::Logs::LogGroup": ("RetentionInDays",),
    "AWS::IAM::Role": (
        "AssumeRolePolicyDocument*",
        "Description",
        "Policies.PolicyDocument*",
        "Policies.PolicyName",
    ),
    "AWS::S3::Bucket": (
        "BucketEncryption.ServerSideEncryptionConfiguration.ServerSideEncryptionByDefault.SSEAlgorithm",
        "LifecycleConfiguration.Rules*",
        "NotificationConfiguration.EventBridgeConfiguration.EventBridgeEnabled",
        "OwnershipControls.Rules.ObjectOwnership",
        "PublicAccessBlockConfiguration.BlockPublicAcls",
        "PublicAccessBlockConfiguration.BlockPublicPolicy",
        "PublicAccessBlockConfiguration.IgnorePublicAcls",
        "PublicAccessBlockConfiguration.RestrictPublicBuckets",
        "VersioningConfiguration.Status",
    ),
    "AWS::S3::BucketPolicy": ("Bucket", "PolicyDocument*"),
    "AWS::SSM::Document": (
        "Content*",
        "DocumentFormat",
        "DocumentType",
        "TargetType",
        "UpdateMethod",
    ),
    "AWS::IAM::ManagedPolicy": ("Description", "PolicyDocument*", "Roles?"),
}

# The same of what SAM takes, since the transform passes over what it does not know.
SOURCE_PROPERTIES: Mapping[str, tuple[str, ...]] = {
    "AWS::Serverless::Function": (
        "Architectures",
        "CodeUri",
        "Description*",
        "Environment.Variables*",
        "Events.Queue.Properties*",
        "Events.Queue.Type",
        "Handler",
        "Layers*",
        "LoggingConfig.LogGroup*",
        "MemorySize",
        "Role*",
        "Runtime",
        "Timeout",
    ),
    "AWS::Serverless::LayerVersion": (
        "CompatibleArchitectures",
        "CompatibleRuntimes",
        "ContentUri",
        "Description",
        "LayerName*",
        "RetentionPolicy",
    ),
}


@dataclass(frozen=True, slots=True)
class Grant:
    """Actions on resources, under a condition; of a resource's own policy, to whom.

    `given` is a parameter without which there is no such grant; lists in parameters are lists here, too.
    """

    actions: tuple[str, ...]
    on: tuple[str, ...] = ()
    when: Mapping[str, Any] = field(default_factory=dict)
    who: Any = None
    effect: str = "Allow"
    but: bool = False
    """All actions but these."""
    given: str = ""


def decrypting(service: str, context: str) -> Grant:
    """A service may use the keys that are named, for what is named."""
    via = {"kms:ViaService": f"{service}.${{AWS::Region}}.${{AWS::URLSuffix}}"}
    of = {f"kms:EncryptionContext:{context}": "${SecretArns}"}
    when = {"StringEquals": via, "StringLike": of}
    return Grant(("kms:Decrypt",), ("${SecretKeys}",), when, given="SecretKeys")


def without_tls(who: str, action: str, *on: str) -> Grant:
    """Everybody who comes without TLS is refused."""
    when = {"Bool": {"aws:SecureTransport": "false"}}
    return Grant((action,), on, when, who, "Deny")


def kept_for(names: str, *on: str, given: str = "") -> Grant:
    """Whatever is no reading is refused to everybody but these, by ARN and comma separated; an empty one is none."""
    reads = ("s3:Get*", "s3:List*")
    when = {"ArnNotLike": {"aws:PrincipalArn": names}}
    return Grant(reads, on, when, "*", "Deny", but=True, given=given)


ARN = "arn:${AWS::Partition}:%s:${AWS::Region}:${AWS::AccountId}:%s"
APPLY_DOCUMENT = ARN % ("ssm", "document/${ApplyDocument}")
BUCKET = "${ConfigBucket.Arn}"
TEMPLATES, VARIABLES = "templates/${Environment}/", "vars/${Environment}.yml"
CONFIGS, PROGRAMS = f"{BUCKET}/configs/${{Environment}}/*", f"{BUCKET}/program/*"
KEPT = (f"{BUCKET}/state/${{Environment}}.json", CONFIGS, PROGRAMS)

# Every statement of every policy, by resource and property; how statements are cut, ordered and named is free.
GRANTS: Mapping[str, tuple[Grant, ...]] = {
    "ReconcileRole.AssumeRolePolicyDocument": (
        Grant(("sts:AssumeRole",), who={"Service": "lambda.amazonaws.com"}),
    ),
    "ReconcileRole.Policies": (
        Grant(("logs:CreateLogStream", "logs:PutLogEvents"), ("${ReconcileLog.Arn}",)),
        Grant(
            (
                "sqs:ReceiveMessage",
                "sqs:DeleteMessage",
                "sqs:GetQueueAttributes",
                "sqs:SendMessage",
            ),
            ("${EventQueue.Arn}",),
        ),
        Grant(
            (
                "autoscaling:DescribeAutoScalingGroups",
                "autoscaling:DescribeLifecycleHooks",
                "autoscaling:DescribeWarmPool",
                "ec2:DescribeInstances",
                "ec2:DescribeSpotInstanceRequests",
                "s3:ListAllMyBuckets",
                "ssm:DescribeInstanceInformation",
                "ssm:ListCommandInvocations",
                "ssm:GetCommandInvocation",
            ),
            ("*",),
        ),
        Grant(("ssm:DescribeDocument", "ssm:GetDocument"), (APPLY_DOCUMENT,)),
        Grant(("s3:GetObject", "s3:PutObject"), KEPT),
        Grant(("s3:GetObject",), (f"{BUCKET}/{TEMPLATES}*", f"{BUCKET}/{VARIABLES}")),
        Grant(("s3:ListBucket",), (BUCKET,)),
        # Buckets of earlier stacks of this name are asked for this environment's uploads, and for nothing else.
        Grant(
            ("s3:ListBucket",),
            ("arn:${AWS::Partition}:s3:::${LowerStackName}-configbucket-*",),
            {"StringEquals": {"s3:prefix": [TEMPLATES, VARIABLES]}},
        ),
        # `AWS-RunShellScript` would be root on every host; without both tags, hosts of others would be ours.
        Grant(("ssm:SendCommand",), (APPLY_DOCUMENT,)),
        Grant(
            ("ssm:SendCommand",),
            (ARN % ("ec2", "instance/*"),),
            {
                "StringEquals": {
                    "ssm:resourceTag/${EnvironmentTagKey}": "${Environment}",
                    "ssm:resourceTag/${TypeTagKey}": "${ProxyTagValue}",
                }
            },
        ),
        Grant(
            (
                "autoscaling:CompleteLifecycleAction",
                "autoscaling:RecordLifecycleActionHeartbeat",
            ),
            (ARN % ("autoscaling", "autoScalingGroup:*:autoScalingGroupName/*"),),
            {
                "StringEquals": {
                    "autoscaling:ResourceTag/${EnvironmentTagKey}": "${Environment}"
                }
            },
        ),
        Grant(
            (
                "ssm:GetParameters",
                "secretsmanager:DescribeSecret",
                "secretsmanager:GetSecretValue",
            ),
            ("${SecretArns}",),
            given="SecretArns",
        ),
        decrypting("ssm", "PARAMETER_ARN"),
        decrypting("secretsmanager", "SecretARN"),
    ),
    "ProxyPolicy.PolicyDocument": (Grant(("s3:GetObject",), (CONFIGS, PROGRAMS)),),
    "QueuePolicy.PolicyDocument": (
        Grant(
            ("sqs:SendMessage",),
            ("*",),
            {
                "ArnEquals": {
                    "aws:SourceArn": [
                        f"${{{name}.Arn}}"
                        for name, of_type in RESOURCES.items()
                        if of_type == "AWS::Events::Rule"
                    ]
                }
            },
            {"Service": "events.amazonaws.com"},
        ),
        without_tls("*", "sqs:*", "*"),
    ),
    "ConfigBucketPolicy.PolicyDocument": (
        without_tls("*", "s3:*", BUCKET, f"{BUCKET}/*"),
        kept_for(
            "${ReconcileRole.Arn},${BreakGlass}",
            *(f"{BUCKET}/{folder}/*" for folder in ("program", "configs", "state")),
        ),
        kept_for(
            "${TemplateWriters},${BreakGlass}",
            *(f"{BUCKET}/{folder}/*" for folder in ("templates", "vars")),
            given="TemplateWriters",
        ),
        kept_for("${BreakGlass}", BUCKET, given="BreakGlass"),
    ),
}

OUTPUTS = {
    "FunctionName": "${ReconcileFunction}",
    "FunctionArn": "${ReconcileFunction.Arn}",
    "BucketName": "${ConfigBucket}",
    "DocumentName": "${ApplyDocument}",
    "ProxyPolicyArn": "${ProxyPolicy}",
    "QueueUrl": "${EventQueue}",
    "DeadLetterQueueUrl": "${DeadLetterQueue}",
    "LogGroupName": "${ReconcileLog}",
}

# By prefix: after how many days a current object goes, and one that was replaced or deleted.
LIFECYCLE: Mapping[str, tuple[int | None, int | None]] = {
    "state/": (None, 1),
    "configs/": (None, 90),
    "configs/${Environment}/check/": (7, 1),
    "program/": (None, 90),
    "templates/": (None, 365),
    "vars/": (None, 365),
}

# Of checkov, by resource: the reason of each stands beside it in the template, or in docs/decisions.md.
FINDINGS = {
    "EventQueue": {"CKV_AWS_27"},  # customer key
    "DeadLetterQueue": {"CKV_AWS_27"},
    "ReconcileFunction": {
        "CKV_AWS_115",  # reserved concurrency
        "CKV_AWS_116",  # dead-letter target
        "CKV_AWS_117",  # VPC
        "CKV_AWS_173",  # customer key for the environment
    },
    "ReconcileLog": {"CKV_AWS_158"},  # customer key
    "ConfigBucket": {"CKV_AWS_18"},  # access log
}

# Variables that are not a parameter's name in capitals; none but these stand for something else than a parameter.
VARIABLES_OF_THE_STACK = {
    "BUCKET": "${ConfigBucket}",
    "QUEUE_URL": "${EventQueue}",
    "DOCUMENT_NAME": "${ApplyDocument}",
    "PUBLISHER": "${AWS::StackId}",
    "POWERTOOLS_LOG_LEVEL": "${LogLevel}",
}
