"""Faults that must never be deployed, each with the rule that must complain of it and words of the complaint."""

from collections.abc import Mapping
from typing import Any

from tests.template.document_faults import DOCUMENT
from tests.template.planting import (
    Fault,
    Plant,
    add,
    arn,
    create,
    drop,
    edit,
    place,
    put,
    ref,
    sub,
    together,
)
from tests.template.translate import Template

LISTED, GRANTED = "properties_are_listed", "policies_grant_what_is_listed"
KNOWN, ATTRIBUTES = "resources_are_listed", "attributes_are_listed"
ROLE = "ReconcileRole.Policies"
REASONS = f"{ROLE}.reconcile.PolicyDocument.Statement"
COMMANDS = f"{ROLE}.send-command.PolicyDocument.Fn::Sub"
HOOKS = f"{ROLE}.lifecycle-actions.PolicyDocument.Fn::Sub"
OUR_RULES = "QueuePolicy.PolicyDocument.Statement.OurRules"
QUEUE_TLS = "QueuePolicy.PolicyDocument.Statement.TlsOnly"
BUCKET_TLS = "ConfigBucketPolicy.PolicyDocument.Statement.TlsOnly"
BUCKET_STATEMENTS = "ConfigBucketPolicy.PolicyDocument.Statement"
CONFIG_FENCE = f"{BUCKET_STATEMENTS}.OnlyTheFunctionWrites"
TEMPLATE_FENCE = f"{BUCKET_STATEMENTS}.2.Fn::If.1"
BUCKET_FENCE = f"{BUCKET_STATEMENTS}.3.Fn::If.1"
PROXIES = "ProxyPolicy.PolicyDocument.Statement"
FUNCTION, VARIABLES = "ReconcileFunction", "ReconcileFunction.Environment.Variables"
MAPPING = "ReconcileFunction.Events.Queue.Properties"
LIFECYCLE = "ConfigBucket.LifecycleConfiguration.Rules"
TARGET = "UploadRule.Targets.EventQueue"
COMMAND_STATUS = "CommandRule.EventPattern.detail.status.0.anything-but"
ADMIN = "arn:aws:iam::aws:policy/AdministratorAccess"
FOREIGN = "210987654321"


def policy(action: str, resource: Any = "*", **more: Any) -> dict[str, Any]:
    """One that allows something."""
    allowed = {"Effect": "Allow", "Action": action, "Resource": resource, **more}
    return {"Version": "2012-10-17", "Statement": [allowed]}


def only_with(condition: str, path: str) -> Plant:
    """What is there already, where another condition holds, too."""

    def plant(template: Template) -> None:
        parent, key = place(template, path)
        parent[key] = {"Fn::If": [condition, parent[key], ref("AWS::NoValue")]}

    return plant


def in_production_too(path: str) -> Plant:
    """What is asked there already, or that it is the one environment."""

    def plant(template: Template) -> None:
        parent, key = place(template, path)
        production = {"Fn::Equals": [ref("Environment"), "production"]}
        parent[key] = {"Fn::Or": [parent[key], production]}

    return plant


ONCE, LETTERS = "names_are_taken_once", "parameters_take_no_strange_letter"
RESOURCES = {
    "a separate policy on the function's role": Fault(
        create(
            "Extra",
            "AWS::IAM::RolePolicy",
            PolicyName="extra",
            RoleName=ref("ReconcileRole"),
            PolicyDocument=policy("*"),
        ),
        KNOWN,
        "Extra of AWS::IAM::RolePolicy",
    ),
    "a policy on the function's role by its type of before": Fault(
        create(
            "Extra",
            "AWS::IAM::Policy",
            PolicyName="extra",
            Roles=[ref("ReconcileRole")],
            PolicyDocument=policy("s3:*"),
        ),
        KNOWN,
        "AWS::IAM::Policy",
    ),
    "a second managed policy": Fault(
        create(
            "Extra",
            "AWS::IAM::ManagedPolicy",
            Roles=["lb"],
            PolicyDocument=policy("ssm:*"),
        ),
        KNOWN,
        "Extra",
    ),
    "a user with keys": Fault(create("Someone", "AWS::IAM::User"), KNOWN, "IAM::User"),
    "a permission for everybody to invoke": Fault(
        create(
            "Open",
            "AWS::Lambda::Permission",
            FunctionName=ref(FUNCTION),
            Action="lambda:InvokeFunction",
            Principal="*",
        ),
        KNOWN,
        "AWS::Lambda::Permission",
    ),
    "a permission to add a foreign version of the layer": Fault(
        create(
            "Shared",
            "AWS::Lambda::LayerVersionPermission",
            LayerVersionArn=ref("DependencyLayer"),
            Action="lambda:GetLayerVersion",
            Principal=FOREIGN,
        ),
        KNOWN,
        "LayerVersionPermission",
    ),
    "an address of the function": Fault(
        put(f"{FUNCTION}.FunctionUrlConfig", {"AuthType": "NONE"}),
        KNOWN,
        "AWS::Lambda::Url",
    ),
    "a second event of the function": Fault(
        put(
            f"{FUNCTION}.Events.Beat",
            {"Type": "Schedule", "Properties": {"Schedule": "rate(1 minute)"}},
        ),
        KNOWN,
        "ReconcileFunctionBeat",
    ),
    "an alias that stays behind": Fault(
        put(f"{FUNCTION}.AutoPublishAlias", "live"),
        "source_is_listed",
        "AutoPublishAlias",
    ),
    "a destination of what the function answers": Fault(
        put(
            f"{FUNCTION}.EventInvokeConfig",
            {
                "DestinationConfig": {
                    "OnSuccess": {"Type": "SQS", "Destination": arn("EventQueue")}
                }
            },
        ),
        KNOWN,
        "EventInvokeConfig",
    ),
    "a policy of the event bus": Fault(
        create(
            "Bus",
            "AWS::Events::EventBusPolicy",
            StatementId="all",
            Statement=policy("events:PutEvents"),
        ),
        KNOWN,
        "EventBusPolicy",
    ),
    "an access point of the bucket": Fault(
        create("Door", "AWS::S3::AccessPoint", Bucket=ref("ConfigBucket")),
        KNOWN,
        "AWS::S3::AccessPoint",
    ),
    "a custom resource": Fault(
        create("Custom", "Custom::Thing", ServiceToken="arn:aws:lambda:x"),
        KNOWN,
        "Custom::Thing",
    ),
    "an alarm that tells nobody": Fault(
        create("Alarm", "AWS::CloudWatch::Alarm", TreatMissingData="breaching"),
        KNOWN,
        "AWS::CloudWatch::Alarm",
    ),
    "a document of somebody else's": Fault(
        create("Second", "AWS::SSM::Document", Content={}), KNOWN, "AWS::SSM::Document"
    ),
    "no rule of uploads": Fault(drop("Resources.UploadRule"), "no stack", "UploadRule"),
    "no bucket policy": Fault(
        drop("Resources.ConfigBucketPolicy"), KNOWN, "ConfigBucketPolicy"
    ),
    "a rule in production only": Fault(
        put("Resources.SweepRule.Condition", "HasProxyRoles"), ATTRIBUTES, "SweepRule"
    ),
    "a bucket policy for some only": Fault(
        put("Resources.ConfigBucketPolicy.Condition", "HasProxyRoles"),
        ATTRIBUTES,
        "ConfigBucketPolicy: Condition",
    ),
    "metadata that other tools obey": Fault(
        put("Resources.ConfigBucket.Metadata.cfn_nag", {"rules_to_suppress": []}),
        ATTRIBUTES,
        "ConfigBucket: Metadata",
    ),
    "a mapping that nobody judges": Fault(
        put("Mappings", {"Regions": {"x": {"y": "z"}}}),
        "sections_are_listed",
        "Mappings",
    ),
    "a condition that nobody judges": Fault(
        put(
            "Conditions.IsProduction",
            {"Fn::Equals": [ref("Environment"), "production"]},
        ),
        "sections_are_listed",
        "IsProduction",
    ),
    "globals of all functions": Fault(
        put("Globals", {"Function": {"Timeout": 60}}), "source_is_listed", "Globals"
    ),
    "a macro": Fault(
        put("Transform", ["AWS::Serverless-2016-10-31", "Macro"]),
        "source_is_listed",
        "macro",
    ),
    "an export that holds the stack": Fault(
        put("Outputs.BucketName.Export", {"Name": "bucket"}),
        "outputs_are_listed",
        "Export",
    ),
    "an output that leads elsewhere": Fault(
        put("Outputs.QueueUrl.Value", ref("DeadLetterQueue")),
        "outputs_are_listed",
        "QueueUrl",
    ),
    "no output of the bucket": Fault(
        drop("Outputs.BucketName"), "outputs_are_listed", "BucketName"
    ),
    "two statements of one name": Fault(
        put(f"{REASONS}.ReadUploads.Sid", "Log"), ONCE, "Sid Log is there twice"
    ),
    "two policies of one name": Fault(
        put(f"{ROLE}.send-command.PolicyName", "reconcile"),
        ONCE,
        "PolicyName reconcile is there twice",
    ),
    "a policy without a name": Fault(
        drop(f"{ROLE}.send-command.PolicyName"), ONCE, "no name"
    ),
    "two lifecycle rules of one name": Fault(
        put(f"{LIFECYCLE}.templates/.Id", "state-history"), ONCE, "state-history"
    ),
    "a statement called what none can be": Fault(
        put(f"{OUR_RULES}.Sid", "Our rules"), ONCE, "Our rules is no name"
    ),
    "a target called what none can be": Fault(
        put(f"{TARGET}.Id", "*"), ONCE, "Id * is no name"
    ),
    "a description that may be too long": Fault(
        put(f"{FUNCTION}.Description", sub("For ${BackendTagValue}")),
        "descriptions_are_short",
        "BackendTagValue",
    ),
    "a description of letters that IAM refuses": Fault(
        put("ReconcileRole.Description", sub("Function of ${BackendTagValue}")),
        "descriptions_are_short",
        "BackendTagValue",
    ),
    "a scanner silenced without a reason": Fault(
        drop("Resources.EventQueue.Metadata.checkov.skip.CKV_AWS_27.comment"),
        "findings_are_listed",
        "CKV_AWS_27 has no reason",
    ),
    "a scanner silenced about a new finding": Fault(
        add(
            "Resources.ConfigBucket.Metadata.checkov.skip",
            {"id": "CKV_AWS_21", "comment": "nobody needs an old version"},
        ),
        "findings_are_listed",
        "CKV_AWS_21",
    ),
}

EVENTS = {
    "constant input": Fault(put(f"{TARGET}.Input", "{}"), LISTED, "Targets.Input"),
    "a part of the event": Fault(
        put(f"{TARGET}.InputPath", "$.detail"), LISTED, "Targets.InputPath"
    ),
    "a transformed event": Fault(
        put(f"{TARGET}.InputTransformer", {"InputTemplate": "{}"}),
        LISTED,
        "InputTransformer",
    ),
    "a rule on another bus": Fault(
        put("UploadRule.EventBusName", "other"), LISTED, "UploadRule: EventBusName"
    ),
    "a group on a standard queue": Fault(
        put(f"{TARGET}.SqsParameters", {"MessageGroupId": "x"}), LISTED, "SqsParameters"
    ),
    "a role of the target": Fault(
        put(f"{TARGET}.RoleArn", arn("ReconcileRole")), LISTED, "Targets.RoleArn"
    ),
    "a rule switched off": Fault(
        put("SweepRule.State", "DISABLED"), LISTED, "SweepRule: State"
    ),
    "a rule for one region": Fault(
        put("UploadRule.EventPattern.region", ["ap-southeast-2"]),
        LISTED,
        "EventPattern.region",
    ),
    "a rule for one account": Fault(
        put("UploadRule.EventPattern.account", ["123456789012"]),
        LISTED,
        "EventPattern.account",
    ),
    "a rule for one partition": Fault(
        put("InstanceStateRule.EventPattern.resources", [{"prefix": "arn:aws:"}]),
        LISTED,
        "EventPattern.resources",
    ),
    "a rule of some instances": Fault(
        put("InstanceStateRule.EventPattern.detail.instance-id", [{"prefix": "i-0"}]),
        LISTED,
        "instance-id",
    ),
    "a rule of events with a field of today": Fault(
        put("CommandRule.EventPattern.detail.requested-date-time", [{"exists": True}]),
        LISTED,
        "requested-date-time",
    ),
    "a rule with a name": Fault(put("SweepRule.Name", "sweep"), LISTED, "Name"),
    "a target without a dead-letter queue": Fault(
        drop(f"{TARGET}.DeadLetterConfig"), "targets_lose_nothing", "UploadRule"
    ),
    "a dead-letter queue that is the queue": Fault(
        put(f"{TARGET}.DeadLetterConfig.Arn", arn("EventQueue")),
        "targets_lose_nothing",
        "UploadRule has no dead-letter queue",
    ),
    "a target that is the dead-letter queue": Fault(
        put("SpotRule.Targets.EventQueue.Arn", arn("DeadLetterQueue")),
        "targets_lose_nothing",
        "SpotRule does not target the queue",
    ),
    "a second target": Fault(
        add("UploadRule.Targets", {"Id": "Copy", "Arn": "arn:aws:sqs:x:y:z"}),
        "targets_lose_nothing",
        "it alone",
    ),
    "no target": Fault(put("SpotRule.Targets", []), "targets_lose_nothing", "SpotRule"),
    "retries below the minimum": Fault(
        put(f"{TARGET}.RetryPolicy.MaximumEventAgeInSeconds", 30),
        "targets_lose_nothing",
        "UploadRule must retry",
    ),
    "a single attempt": Fault(
        put(f"{TARGET}.RetryPolicy.MaximumRetryAttempts", 0),
        "targets_lose_nothing",
        "UploadRule must retry",
    ),
    "a misspelt rate": Fault(
        put("SweepRule.ScheduleExpression", "rate(5 minute)"),
        "a_beat_exists",
        "rate(5 minute)",
    ),
    "a sweep that no parameter moves": Fault(
        put("SweepRule.ScheduleExpression", "rate(1 minute)"),
        "a_beat_exists",
        "SweepRule",
    ),
    "a sweep that waits for an event": Fault(
        put("SweepRule.EventPattern", {"source": ["aws.ec2"]}), "a_beat_exists"
    ),
    "a command rule without `Cancelled`": Fault(
        add(COMMAND_STATUS, "Cancelled"), "patterns_let_through", "Cancelled"
    ),
    "a command rule of successes": Fault(
        put("CommandRule.EventPattern.detail.status", ["Success"]),
        "patterns_let_through",
        "Failed",
    ),
    "a command rule that wakes at once": Fault(
        drop(f"{COMMAND_STATUS}.1"), "patterns_let_through", "InProgress"
    ),
    "a command rule of all documents": Fault(
        drop("CommandRule.EventPattern.detail.document-name"),
        "patterns_let_through",
        "ssm-command-other-document",
    ),
    "a command rule of each host": Fault(
        put(
            "CommandRule.EventPattern.detail-type",
            [
                "EC2 Command Status-change Notification",
                "EC2 Command Invocation Status-change Notification",
            ],
        ),
        "patterns_let_through",
        "ssm-command-invocation-success",
    ),
    "a state rule of running instances": Fault(
        put("InstanceStateRule.EventPattern.detail.state", ["running"]),
        "patterns_let_through",
        "terminated",
    ),
    "a state rule that passes over stops": Fault(
        add("InstanceStateRule.EventPattern.detail.state.0.anything-but", "stopping"),
        "patterns_let_through",
        "stopping",
    ),
    "a tag rule without the drain": Fault(
        drop("InstanceTagRule.EventPattern.detail.changed-tag-keys.5"),
        "patterns_let_through",
        "haproxy:drain",
    ),
    "a tag rule of literal keys": Fault(
        put("InstanceTagRule.EventPattern.detail.changed-tag-keys.0", "Environment"),
        "patterns_let_through",
        "team:stage",
    ),
    "a tag rule of everything": Fault(
        drop("InstanceTagRule.EventPattern.detail.resource-type"),
        "patterns_let_through",
        "volume",
    ),
    "a rule of anybody's events": Fault(
        drop("SpotRule.EventPattern.source"), "patterns_let_through", "another source"
    ),
    "a rule of all that EC2 says": Fault(
        drop("SpotRule.EventPattern.detail-type"), "patterns_let_through", "SpotRule"
    ),
    "an upload rule without deletions": Fault(
        drop("UploadRule.EventPattern.detail-type.1"),
        "patterns_let_through",
        "s3-template-deleted",
    ),
    "an upload rule of every environment": Fault(
        put("UploadRule.EventPattern.detail.object.key.0.prefix", "templates/"),
        "patterns_let_through",
        "-2/haproxy.cfg.j2",
    ),
    "an upload rule of all buckets": Fault(
        drop("UploadRule.EventPattern.detail.bucket"),
        "patterns_let_through",
        "somebody-elses",
    ),
    "a group rule without launches": Fault(
        drop("AutoScalingRule.EventPattern.detail-type.0"),
        "patterns_let_through",
        "autoscaling-launch-successful",
    ),
    "a rule of what nobody sends yet": Fault(
        add("SpotRule.EventPattern.source", "aws.spot"),
        "patterns_say_nothing_idle",
        "no event needs aws.spot",
    ),
    "a spot rule without recommendations": Fault(
        drop("SpotRule.EventPattern.detail-type.1"),
        "patterns_let_through",
        "rebalance-recommendation",
    ),
}

QUEUES = {
    "a queue policy on one queue only": Fault(
        drop("QueuePolicy.Queues.1"), "policies_hang_where_they_should", "queues'"
    ),
    "a queue policy without the queue of events": Fault(
        drop("QueuePolicy.Queues.0"), "only_our_rules_send", "EventQueue"
    ),
    "a dead-letter queue that denies all": Fault(
        create(
            "Deny",
            "AWS::SQS::QueuePolicy",
            Queues=[ref("DeadLetterQueue")],
            PolicyDocument={
                "Version": "2012-10-17",
                "Statement": [
                    {
                        "Effect": "Deny",
                        "Principal": "*",
                        "Action": "sqs:*",
                        "Resource": "*",
                    }
                ],
            },
        ),
        "only_our_rules_send",
        "DeadLetterQueue",
    ),
    "queues that deny what they get": Fault(
        add(
            "QueuePolicy.PolicyDocument.Statement",
            {
                "Sid": "Shut",
                "Effect": "Deny",
                "Principal": "*",
                "Action": "sqs:SendMessage",
                "Resource": "*",
            },
        ),
        GRANTED,
        "Deny",
    ),
    "a queue policy without a source": Fault(
        drop(f"{OUR_RULES}.Condition"), "only_our_rules_send", "aws:SourceArn"
    ),
    "a queue policy that forgets a rule": Fault(
        drop(f"{OUR_RULES}.Condition.ArnEquals.aws:SourceArn.6"),
        "only_our_rules_send",
        "SweepRule",
    ),
    "a queue policy for all rules of the account": Fault(
        put(
            f"{OUR_RULES}.Condition",
            {"StringEquals": {"aws:SourceAccount": ref("AWS::AccountId")}},
        ),
        GRANTED,
        "aws:SourceAccount",
    ),
    "a queue policy with a weaker operator": Fault(
        put(
            f"{OUR_RULES}.Condition",
            {"ArnLike": {"aws:SourceArn": "arn:aws:events:*:*:rule/*"}},
        ),
        "only_our_rules_send",
        "aws:SourceArn",
    ),
    "a queue policy of another queue": Fault(
        put(f"{OUR_RULES}.Resource", arn("EventQueue")),
        "only_our_rules_send",
        "DeadLetterQueue",
    ),
    "a queue policy that lets others read": Fault(
        put(f"{OUR_RULES}.Action", ["sqs:SendMessage", "sqs:ReceiveMessage"]),
        "only_our_rules_send",
        "more than EventBridge send",
    ),
    "a queue policy with two resources in a statement": Fault(
        put(f"{QUEUE_TLS}.Resource", [arn("EventQueue"), arn("DeadLetterQueue")]),
        "sqs_takes_queue_policies",
    ),
    "a queue policy for everybody": Fault(
        put(f"{OUR_RULES}.Principal", "*"), "nobody_is_everybody", "QueuePolicy"
    ),
    "a queue policy for every account": Fault(
        put(f"{OUR_RULES}.Principal", {"AWS": "*"}),
        "nobody_is_everybody",
        "QueuePolicy",
    ),
    "a queue policy for another account": Fault(
        put(f"{OUR_RULES}.Principal", {"AWS": FOREIGN}), GRANTED, FOREIGN
    ),
    "a queue policy for another service": Fault(
        put(f"{OUR_RULES}.Principal.Service", "sns.amazonaws.com"), GRANTED, "sns"
    ),
    "queues without TLS": Fault(
        put(f"{QUEUE_TLS}.Resource", arn("EventQueue")), "tls_only", "DeadLetterQueue"
    ),
    "a queue that delays": Fault(
        put("EventQueue.DelaySeconds", 900), LISTED, "DelaySeconds"
    ),
    "a queue that forgets": Fault(
        put("EventQueue.MessageRetentionPeriod", 60), "queue_outlasts_function", "kept"
    ),
    "a queue without a decided retention": Fault(
        drop("EventQueue.MessageRetentionPeriod"), LISTED, "MessageRetentionPeriod"
    ),
    "a dead-letter queue that forgets": Fault(
        put("DeadLetterQueue.MessageRetentionPeriod", 3600),
        "queue_outlasts_function",
        "kept",
    ),
    "a queue of another kind": Fault(
        put("EventQueue.FifoQueue", value=True), LISTED, "FifoQueue"
    ),
    "a queue with waits of its own": Fault(
        put("EventQueue.ReceiveMessageWaitTimeSeconds", 20), LISTED, "WaitTime"
    ),
    "a queue that takes small messages": Fault(
        put("EventQueue.MaximumMessageSize", 1024), LISTED, "MaximumMessageSize"
    ),
    "a queue with a key of its own": Fault(
        put("EventQueue.KmsMasterKeyId", "alias/aws/sqs"),
        "queues_are_encrypted",
        "EventQueue has a key",
    ),
    "a queue in the clear": Fault(
        put("DeadLetterQueue.SqsManagedSseEnabled", value=False),
        "queues_are_encrypted",
        "DeadLetterQueue is not encrypted",
    ),
    "a queue with a name": Fault(put("EventQueue.QueueName", "x"), LISTED, "QueueName"),
    "a visibility shorter than a run": Fault(
        put("EventQueue.VisibilityTimeout", 30), "queue_outlasts_function", "30 s"
    ),
    "a visibility of a single run": Fault(
        put("EventQueue.VisibilityTimeout", 60), "queue_outlasts_function", "60 s"
    ),
    "no dead-letter queue": Fault(
        drop("EventQueue.RedrivePolicy"), "queue_outlasts_function", "dead-letter"
    ),
    "a single try": Fault(
        put("EventQueue.RedrivePolicy.maxReceiveCount", 1),
        "queue_outlasts_function",
        "five times",
    ),
    "dead letters that come back": Fault(
        put(
            "DeadLetterQueue.RedrivePolicy",
            {"deadLetterTargetArn": arn("EventQueue"), "maxReceiveCount": 1},
        ),
        "queue_outlasts_function",
        "keeps what it has",
    ),
    "a queue that is kept": Fault(
        put("Resources.EventQueue.DeletionPolicy", "Retain"),
        "deletion_is_decided",
        "EventQueue",
    ),
}

FUNCTIONS = {
    "a foreign layer": Fault(
        add(f"{FUNCTION}.Layers", f"arn:aws:lambda:ap-southeast-2:{FOREIGN}:layer:x:1"),
        "code_is_ours",
        FOREIGN,
    ),
    "no layer": Fault(put(f"{FUNCTION}.Layers", []), "code_is_ours", "layers are []"),
    "a wrapper of the runtime": Fault(
        put(f"{VARIABLES}.AWS_LAMBDA_EXEC_WRAPPER", "/opt/wrapper"),
        "environment_is_what_settings_read",
        "AWS_LAMBDA_EXEC_WRAPPER",
    ),
    "modules from elsewhere": Fault(
        put(f"{VARIABLES}.PYTHONPATH", "/opt/x"),
        "environment_is_what_settings_read",
        "PYTHONPATH",
    ),
    "every event in the log": Fault(
        put(f"{VARIABLES}.POWERTOOLS_LOGGER_LOG_EVENT", "true"),
        "environment_is_what_settings_read",
        "POWERTOOLS_LOGGER_LOG_EVENT",
    ),
    "a document of AWS's": Fault(
        put(f"{VARIABLES}.DOCUMENT_NAME", "AWS-RunShellScript"),
        "environment_is_what_settings_read",
        "DOCUMENT_NAME",
    ),
    "the dead-letter queue as the queue": Fault(
        put(f"{VARIABLES}.QUEUE_URL", ref("DeadLetterQueue")),
        "environment_is_what_settings_read",
        "QUEUE_URL",
    ),
    "a setting that no parameter moves": Fault(
        put(f"{VARIABLES}.START_FROZEN", "true"),
        "environment_is_what_settings_read",
        "START_FROZEN",
    ),
    "two settings the wrong way round": Fault(
        put(f"{VARIABLES}.MAX_ERRORS", ref("MaxConcurrency")),
        "environment_is_what_settings_read",
        "MAX_ERRORS",
    ),
    "one switch from another": Fault(
        put(f"{VARIABLES}.START_FROZEN", ref("Canary")),
        "environment_is_what_settings_read",
        "START_FROZEN",
    ),
    "a setting forgotten": Fault(
        drop(f"{VARIABLES}.EMPTY_POOL"),
        "environment_is_what_settings_read",
        "EMPTY_POOL",
    ),
    "a reservation of nothing": Fault(
        put(f"{FUNCTION}.ReservedConcurrentExecutions", 0), LISTED, "Reserved"
    ),
    "a VPC": Fault(
        put(f"{FUNCTION}.VpcConfig", {"SubnetIds": ["subnet-1"]}), LISTED, "VpcConfig"
    ),
    "a dead-letter queue of the function": Fault(
        put(
            f"{FUNCTION}.DeadLetterQueue",
            {"Type": "SQS", "TargetArn": "arn:aws:sqs:x:y:z"},
        ),
        LISTED,
        "DeadLetterConfig",
    ),
    "a file system": Fault(
        put(
            f"{FUNCTION}.FileSystemConfigs", [{"Arn": "x", "LocalMountPath": "/mnt/x"}]
        ),
        LISTED,
        "FileSystemConfigs",
    ),
    "signing that somebody else decides": Fault(
        put(f"{FUNCTION}.CodeSigningConfigArn", "arn:aws:lambda:x"),
        LISTED,
        "CodeSigning",
    ),
    "a key of the environment": Fault(
        put(f"{FUNCTION}.KmsKeyArn", "arn:aws:kms:x"), LISTED, "KmsKeyArn"
    ),
    "policies that SAM passes over": Fault(
        put(f"{FUNCTION}.Policies", ["AdministratorAccess"]),
        "source_is_listed",
        "Policies",
    ),
    "another role": Fault(
        put(f"{FUNCTION}.Role", "arn:aws:iam::123456789012:role/admin"),
        "function_has_its_measures",
        "another role",
    ),
    "a tag that policies may go by": Fault(
        put(f"{FUNCTION}.Tags", {"admin": "true"}), "function_has_its_measures", "admin"
    ),
    "a layer for another processor": Fault(
        put("DependencyLayer.CompatibleArchitectures", ["arm64"]),
        "code_is_ours",
        "arm64",
    ),
    "a function on another processor": Fault(
        put(f"{FUNCTION}.Architectures", ["arm64"]), "code_is_ours", "arm64"
    ),
    "a layer built for another processor": Fault(
        put("Resources.DependencyLayer.Metadata.BuildArchitecture", "arm64"),
        "build_is_of_one_kind",
        "arm64",
    ),
    "another processor everywhere": Fault(
        together(
            put(f"{FUNCTION}.Architectures", ["arm64"]),
            put("DependencyLayer.CompatibleArchitectures", ["arm64"]),
            put("Resources.DependencyLayer.Metadata.BuildArchitecture", "arm64"),
        ),
        "function_has_its_measures",
        "arm64",
    ),
    "an older runtime everywhere": Fault(
        together(
            put(f"{FUNCTION}.Runtime", "python3.9"),
            put("DependencyLayer.CompatibleRuntimes", ["python3.9"]),
            put("Resources.DependencyLayer.Metadata.BuildMethod", "python3.9"),
        ),
        "function_has_its_measures",
        "python3.9",
    ),
    "a layer for another runtime": Fault(
        put("DependencyLayer.CompatibleRuntimes", ["python3.12"]),
        "code_is_ours",
        "python3.12",
    ),
    "a layer that is built otherwise": Fault(
        put("Resources.DependencyLayer.Metadata.BuildMethod", "makefile"),
        "build_is_of_one_kind",
        "makefile",
    ),
    "a function from another folder": Fault(
        put(f"{FUNCTION}.CodeUri", "."), "build_is_of_one_kind", "built from"
    ),
    "a function as it was packed once": Fault(
        put(f"{FUNCTION}.CodeUri", "s3://somebody-elses/code.zip"),
        "build_is_of_one_kind",
        "somebody-elses",
    ),
    "layers that stay": Fault(
        put("DependencyLayer.RetentionPolicy", "Retain"),
        "deletion_is_decided",
        "DependencyLayer",
    ),
    "a handler that is not there": Fault(
        put(f"{FUNCTION}.Handler", "haproxy_sync.handler.handle"),
        "code_is_ours",
        "handler.handle does not exist",
    ),
    "a run that ends early": Fault(
        put(f"{FUNCTION}.Timeout", 3), "function_has_its_measures", "3)"
    ),
    "a run in little memory": Fault(
        put(f"{FUNCTION}.MemorySize", 128), "function_has_its_measures", "(128"
    ),
    "a log elsewhere": Fault(
        put(f"{FUNCTION}.LoggingConfig.LogGroup", "/aws/lambda/others"),
        "log_is_kept_and_bounded",
        "/aws/lambda/others",
    ),
    "a log whose lines are left out": Fault(
        put(f"{FUNCTION}.LoggingConfig.ApplicationLogLevel", "FATAL"),
        LISTED,
        "ApplicationLogLevel",
    ),
    "a log for ever": Fault(
        drop("ReconcileLog.RetentionInDays"), "log_is_kept_and_bounded", "for ever"
    ),
    "a log of one day": Fault(
        put("ReconcileLog.RetentionInDays", 1), "log_is_kept_and_bounded"
    ),
    "commands before the proxies may read the program": Fault(
        drop("Resources.ReconcileFunction.DependsOn"), "proxies_can_follow"
    ),
    "a mapping switched off": Fault(
        put(f"{MAPPING}.Enabled", value=False),
        LISTED,
        "ReconcileFunctionQueue: Enabled",
    ),
    "a mapping with a filter": Fault(
        put(f"{MAPPING}.FilterCriteria", {"Filters": [{"Pattern": "{}"}]}),
        LISTED,
        "FilterCriteria",
    ),
    "a mapping of the dead-letter queue": Fault(
        put(f"{MAPPING}.Queue", arn("DeadLetterQueue")),
        "only_the_queue_invokes",
        "does not listen",
    ),
    "batches that fail as a whole": Fault(
        drop(f"{MAPPING}.FunctionResponseTypes"), "only_the_queue_invokes", "fails"
    ),
    "no maximum concurrency": Fault(
        drop(f"{MAPPING}.ScalingConfig"), "only_the_queue_invokes", "concurrency"
    ),
    "a maximum concurrency below the minimum": Fault(
        put(f"{MAPPING}.ScalingConfig.MaximumConcurrency", 1),
        "only_the_queue_invokes",
        "concurrency",
    ),
    "a batching window": Fault(
        put(f"{MAPPING}.MaximumBatchingWindowInSeconds", 10),
        "only_the_queue_invokes",
        "window",
    ),
    "a batch of one": Fault(
        put(f"{MAPPING}.BatchSize", 1), "only_the_queue_invokes", "batches"
    ),
}

ACCESS = {
    "literal tag keys in the condition of commands": Fault(
        edit(COMMANDS, "${EnvironmentTagKey}", "Environment"),
        GRANTED,
        "ssm:resourceTag/Environment",
    ),
    "a literal tag value in the condition of commands": Fault(
        edit(COMMANDS, "${ProxyTagValue}", "haproxy"), GRANTED, '/Role": "haproxy"'
    ),
    "commands to any document": Fault(
        edit(COMMANDS, "document/${ApplyDocument}", "document/*"), GRANTED, "document/*"
    ),
    "commands to any instance of the environment": Fault(
        edit(
            COMMANDS, 'ssm:resourceTag/${TypeTagKey}": "${ProxyTagValue}', 'aws:x": "y'
        ),
        GRANTED,
        "aws:x",
    ),
    "commands where a tag is not": Fault(
        edit(COMMANDS, '"StringEquals"', '"StringNotEquals"'),
        GRANTED,
        "StringNotEquals",
    ),
    "commands where a tag is missing": Fault(
        edit(COMMANDS, '"StringEquals"', '"StringEqualsIfExists"'), GRANTED, "IfExists"
    ),
    "commands to values by pattern": Fault(
        edit(COMMANDS, '"StringEquals"', '"StringLike"'), GRANTED, "StringLike"
    ),
    "commands in one partition only": Fault(
        edit(COMMANDS, "arn:${AWS::Partition}:ec2", "arn:aws:ec2"),
        GRANTED,
        "arn:aws:ec2",
    ),
    "commands in every account": Fault(
        edit(COMMANDS, "${AWS::AccountId}:instance", "*:instance"),
        GRANTED,
        ":*:instance",
    ),
    "a log statement with a name instead of an ARN": Fault(
        put(f"{REASONS}.Log.Resource", ref("ReconcileLog")), GRANTED, "logs:"
    ),
    "logs without their streams": Fault(
        put(
            f"{REASONS}.Log.Resource",
            sub("arn:aws:logs:x:${AWS::AccountId}:log-group:${ReconcileLog}"),
        ),
        GRANTED,
        "logs:",
    ),
    "a misspelt action": Fault(
        add(f"{REASONS}.LookAtFleet.Action", "ec2:DescribeInstance"),
        "function_acts_exactly",
        "ec2:DescribeInstance ",
    ),
    "an action more": Fault(
        add(f"{REASONS}.LookAtFleet.Action", "iam:PassRole"), GRANTED, "iam:PassRole"
    ),
    "an action less": Fault(
        drop(f"{REASONS}.LookAtFleet.Action.7"), "function_acts_exactly", "is missing"
    ),
    "every action on the bucket": Fault(
        put(f"{REASONS}.ReadUploads.Action", "s3:*"), "function_acts_exactly", "s3:*"
    ),
    "all but a few actions": Fault(
        put(f"{REASONS}.LookAtFleet.NotAction", ["iam:*"]), GRANTED, "NotAction"
    ),
    "lifecycle actions where a tag is missing": Fault(
        edit(HOOKS, '"StringEquals"', '"StringEqualsIfExists"'), GRANTED, "IfExists"
    ),
    "lifecycle actions of another environment": Fault(
        edit(HOOKS, '": "${Environment}"', '": "production"'), GRANTED, "production"
    ),
    "lifecycle actions of every group": Fault(
        add(f"{REASONS}.LookAtFleet.Action", "autoscaling:CompleteLifecycleAction"),
        "function_reaches_its_own",
        "on every resource",
    ),
    "any Auto Scaling action": Fault(
        edit(HOOKS, "autoscaling:Complete", "autoscaling:SetDesired"),
        GRANTED,
        "autoscaling:SetDesired",
    ),
    "writes everywhere": Fault(
        put(f"{REASONS}.KeepStateConfigsAndProgram.Resource", "*"),
        "function_reaches_its_own",
        "s3:PutObject",
    ),
    "a function that writes templates": Fault(
        put(f"{REASONS}.ReadUploads.Action", ["s3:GetObject", "s3:PutObject"]),
        GRANTED,
        "s3:PutObject",
    ),
    "a function that writes other environments' state": Fault(
        put(
            f"{REASONS}.KeepStateConfigsAndProgram.Resource.0",
            sub("${ConfigBucket.Arn}/state/*"),
        ),
        GRANTED,
        "state/*",
    ),
    "a function that lists all of an earlier bucket": Fault(
        drop(f"{REASONS}.ListEarlierUploads.Condition"), GRANTED, "-configbucket-*"
    ),
    "a function that reads an earlier bucket": Fault(
        put(f"{REASONS}.ListEarlierUploads.Action", ["s3:ListBucket", "s3:GetObject"]),
        GRANTED,
        "s3:GetObject on",
    ),
    "a function that lists everybody's buckets": Fault(
        put(f"{REASONS}.ListEarlierUploads.Resource", "*"),
        "function_reaches_its_own",
        "s3:ListBucket",
    ),
    "a statement that denies": Fault(
        put(f"{REASONS}.PinDocument.Effect", "Deny"),
        "function_reaches_its_own",
        "Allow",
    ),
    "a policy of an old version": Fault(
        put(f"{ROLE}.reconcile.PolicyDocument.Version", "2008-10-17"),
        "policies_are_of_one_version",
        "2008-10-17",
    ),
    "a managed policy of AWS's": Fault(
        put("ReconcileRole.ManagedPolicyArns", [ADMIN]), LISTED, "ManagedPolicyArns"
    ),
    "a boundary": Fault(
        put("ReconcileRole.PermissionsBoundary", ADMIN), LISTED, "PermissionsBoundary"
    ),
    "a role with a name": Fault(put("ReconcileRole.RoleName", "x"), LISTED, "RoleName"),
    "a role for every service of a kind": Fault(
        put(
            "ReconcileRole.AssumeRolePolicyDocument.Statement.0.Principal.Service",
            ["lambda.amazonaws.com", "ec2.amazonaws.com"],
        ),
        GRANTED,
        "ec2.amazonaws.com",
    ),
    "a role for another account": Fault(
        put(
            "ReconcileRole.AssumeRolePolicyDocument.Statement.0.Principal",
            {"AWS": FOREIGN},
        ),
        GRANTED,
        FOREIGN,
    ),
    "roles of the proxies that no parameter names": Fault(
        put("ProxyPolicy.Roles", ["haproxy"]),
        "policies_hang_where_they_should",
        "['haproxy']",
    ),
    "proxies' roles that are never attached": Fault(
        put("Conditions.HasProxyRoles", {"Fn::Equals": [ref("ProxyRoles"), ""]}),
        "policies_hang_where_they_should",
        "the proxies' policy",
    ),
    "proxies' roles in production only": Fault(
        put(
            "Conditions.HasProxyRoles",
            {"Fn::Equals": [ref("Environment"), "production"]},
        ),
        "policies_hang_where_they_should",
        "the proxies' policy",
    ),
    "proxies' roles where secrets are named": Fault(
        only_with("HasSecrets", "ProxyPolicy.Roles.Fn::If.1"),
        "policies_hang_where_they_should",
        "the proxies' policy",
    ),
    "a policy for users, too": Fault(
        put("ProxyPolicy.Users", ["someone"]), LISTED, "ProxyPolicy: Users"
    ),
    "proxies that write": Fault(
        put(f"{PROXIES}.DownloadConfig.Action", ["s3:GetObject", "s3:PutObject"]),
        GRANTED,
        "s3:PutObject",
    ),
    "proxies that read everything": Fault(
        put(f"{PROXIES}.DownloadConfig.Resource", "*"), GRANTED, "s3:GetObject on *"
    ),
    "proxies that read the state": Fault(
        put(f"{PROXIES}.DownloadConfig.Resource", sub("${ConfigBucket.Arn}/*")),
        GRANTED,
        "ProxyPolicy.PolicyDocument: not allowed",
    ),
    "proxies without the program": Fault(
        put(
            f"{PROXIES}.DownloadProgram.Resource",
            sub("${ConfigBucket.Arn}/configs/program/*"),
        ),
        GRANTED,
        "ProxyPolicy.PolicyDocument: missing",
    ),
    "a description with the environment": Fault(
        put("ProxyPolicy.Description", sub("Lets a host of ${Environment} download")),
        "the_attached_policy_stays",
    ),
    "a path of the proxies' policy": Fault(
        put("ProxyPolicy.Path", sub("/${Environment}/")), LISTED, "ProxyPolicy: Path"
    ),
}

BUCKET = {
    "replication": Fault(
        put("ConfigBucket.ReplicationConfiguration", {"Role": "x", "Rules": []}),
        LISTED,
        "ReplicationConfiguration.Role",
    ),
    "an inventory for another account": Fault(
        put("ConfigBucket.InventoryConfigurations", [{"Id": "x"}]), LISTED, "Inventory"
    ),
    "notifications to somebody else": Fault(
        put(
            "ConfigBucket.NotificationConfiguration.LambdaConfigurations",
            [{"Event": "s3:ObjectCreated:*", "Function": "arn:aws:lambda:x"}],
        ),
        LISTED,
        "LambdaConfigurations",
    ),
    "a website": Fault(
        put("ConfigBucket.WebsiteConfiguration", {"IndexDocument": "x"}),
        LISTED,
        "Website",
    ),
    "an ACL": Fault(
        put("ConfigBucket.AccessControl", "PublicRead"), LISTED, "AccessControl"
    ),
    "CORS": Fault(
        put(
            "ConfigBucket.CorsConfiguration", {"CorsRules": [{"AllowedOrigins": ["*"]}]}
        ),
        LISTED,
        "CorsConfiguration",
    ),
    "a lock that keeps every object": Fault(
        put("ConfigBucket.ObjectLockEnabled", value=True), LISTED, "ObjectLockEnabled"
    ),
    "a bucket with a name": Fault(
        put("ConfigBucket.BucketName", "configs"), LISTED, "BucketName"
    ),
    "a key that proxies may not use": Fault(
        put(
            "ConfigBucket.BucketEncryption.ServerSideEncryptionConfiguration.0."
            "ServerSideEncryptionByDefault.SSEAlgorithm",
            "aws:kms",
        ),
        "bucket_is_private",
        "a key",
    ),
    "public access": Fault(
        put("ConfigBucket.PublicAccessBlockConfiguration.BlockPublicAcls", value=False),
        "bucket_is_private",
        "public access",
    ),
    "objects of others": Fault(
        put("ConfigBucket.OwnershipControls.Rules.0.ObjectOwnership", "ObjectWriter"),
        "bucket_is_private",
        "ACLs",
    ),
    "no versions": Fault(
        put("ConfigBucket.VersioningConfiguration.Status", "Suspended"),
        "bucket_is_private",
        "not versioned",
    ),
    "uploads without events": Fault(
        drop("ConfigBucket.NotificationConfiguration"), "bucket_is_private", "no events"
    ),
    "configs that expire": Fault(
        put(f"{LIFECYCLE}.configs/.ExpirationInDays", 30), "no_config_expires", "30"
    ),
    "configs in a vault": Fault(
        put(
            f"{LIFECYCLE}.configs/.Transitions",
            [{"StorageClass": "GLACIER", "TransitionInDays": 1}],
        ),
        "no_config_expires",
        "GLACIER",
    ),
    "templates whose earlier versions go at once": Fault(
        put(f"{LIFECYCLE}.templates/.NoncurrentVersionExpiration.NoncurrentDays", 1),
        "no_config_expires",
        "templates/",
    ),
    "everything expires": Fault(
        add(LIFECYCLE, {"Id": "all", "Status": "Enabled", "ExpirationInDays": 365}),
        "no_config_expires",
        "365",
    ),
    "a lifecycle rule twice": Fault(
        add(
            LIFECYCLE,
            {
                "Id": "again",
                "Status": "Enabled",
                "Prefix": "state/",
                "NoncurrentVersionExpiration": {"NoncurrentDays": 1},
            },
        ),
        "no_config_expires",
        "is there twice",
    ),
    "old states for ever": Fault(
        put(f"{LIFECYCLE}.state/.Status", "Disabled"), "no_config_expires", "Disabled"
    ),
    "checks that stay": Fault(
        drop(f"{LIFECYCLE}.checks.ExpirationInDays"), "no_config_expires", "/check/"
    ),
    "checks that take configs along": Fault(
        put(f"{LIFECYCLE}.checks.Prefix", sub("configs/${Environment}/")),
        "no_config_expires",
        "configs/staging/",
    ),
    "unfinished uploads for ever": Fault(
        drop(f"{LIFECYCLE}.unfinished-uploads"), "no_config_expires", "AbortIncomplete"
    ),
    "a bucket that goes with the stack": Fault(
        drop("Resources.ConfigBucket.DeletionPolicy"),
        "deletion_is_decided",
        "ConfigBucket",
    ),
    "a bucket of a failed first deploy left behind": Fault(
        put("Resources.ConfigBucket.DeletionPolicy", "Retain"),
        "deletion_is_decided",
        "ConfigBucket",
    ),
    "a bucket that goes when another takes its place": Fault(
        put("Resources.ConfigBucket.UpdateReplacePolicy", "Delete"),
        "deletion_is_decided",
        "ConfigBucket",
    ),
    "a bucket policy on another bucket": Fault(
        put("ConfigBucketPolicy.Bucket", "somebody-elses"),
        "policies_hang_where_they_should",
        "somebody-elses",
    ),
    "a bucket without TLS": Fault(
        put(f"{BUCKET_TLS}.Effect", "Allow"), "tls_only", "without TLS"
    ),
    "objects without TLS": Fault(
        drop(f"{BUCKET_TLS}.Resource.1"), "tls_only", "/* takes requests without TLS"
    ),
    "configs that anybody writes": Fault(
        drop(CONFIG_FENCE), GRANTED, "missing:  on arn:aws:s3:::haproxy"
    ),
    "a state that anybody writes": Fault(
        drop(f"{CONFIG_FENCE}.Resource.2"), GRANTED, "/state/*"
    ),
    "a fence of puts alone": Fault(
        put(f"{CONFIG_FENCE}.NotAction", ["s3:Get*", "s3:List*", "s3:Delete*"]),
        GRANTED,
        "s3:Delete*",
    ),
    "a fence that services climb": Fault(
        put(f"{CONFIG_FENCE}.Condition.Null", {"aws:PrincipalArn": "false"}),
        GRANTED,
        "Null",
    ),
    "a fence for our account alone": Fault(
        put(f"{CONFIG_FENCE}.Principal", {"AWS": ref("AWS::AccountId")}),
        GRANTED,
        '"AWS"',
    ),
    "template writers who write configs": Fault(
        put(
            f"{CONFIG_FENCE}.Condition.ArnNotLike.aws:PrincipalArn.Fn::If.1",
            {
                "Fn::Split": [
                    ",",
                    sub("${ReconcileRole.Arn},${BreakGlass},${TemplateWriters}"),
                ]
            },
        ),
        GRANTED,
        "auth*",
    ),
    "variables that anybody writes": Fault(
        drop(f"{TEMPLATE_FENCE}.Resource.1"), GRANTED, "/vars/*"
    ),
    "a lifecycle that anybody sets": Fault(
        drop(f"{BUCKET_FENCE}.NotAction"), GRANTED, "deploy"
    ),
    "a lifecycle that anybody sets where no writers are named": Fault(
        only_with("HasTemplateWriters", BUCKET_FENCE), GRANTED, "glass"
    ),
    "a fence in words that the doctor does not read": Fault(
        put(
            f"{CONFIG_FENCE}.Condition",
            {"StringNotLike": {"aws:PrincipalArn": arn("ReconcileRole")}},
        ),
        "doctor_finds_the_fences",
        "state",
    ),
    "writers that another parameter names": Fault(
        put("Conditions.HasTemplateWriters.Fn::Not.0.Fn::Equals.0", ref("BreakGlass")),
        "conditions_ask_for_their_parameters",
        "HasTemplateWriters",
    ),
    "a bucket that another account reads": Fault(
        add(
            "ConfigBucketPolicy.PolicyDocument.Statement",
            {
                "Sid": "Share",
                "Effect": "Allow",
                "Principal": {"AWS": FOREIGN},
                "Action": "s3:GetObject",
                "Resource": sub("${ConfigBucket.Arn}/*"),
            },
        ),
        GRANTED,
        FOREIGN,
    ),
}

PARAMETERS = {
    "a sweep of 999 minutes": Fault(
        put("Parameters.SweepRate.Default", "rate(999 minutes)"),
        "defaults_are_careful",
        "SweepRate",
    ),
    "a sweep of any number of minutes": Fault(
        put("Parameters.SweepRate.AllowedPattern", r"rate\(\d+ minutes?\)"),
        "parameters_take_what_they_should",
        "rate(1000 minutes)",
    ),
    "a log of nothing": Fault(
        add("Parameters.LogLevel.AllowedValues", "FATAL"),
        "parameters_take_what_they_should",
        "LogLevel takes 'FATAL'",
    ),
    "a log that says nothing by default": Fault(
        put("Parameters.LogLevel.Default", "FATAL"), "defaults_are_careful", "LogLevel"
    ),
    "a log of errors by default": Fault(
        put("Parameters.LogLevel.Default", "ERROR"), "defaults_are_careful", "LogLevel"
    ),
    "a log of one day by default": Fault(
        put("Parameters.LogRetentionDays.Default", 1),
        "defaults_are_careful",
        "LogRetentionDays",
    ),
    "a first deploy that changes proxies": Fault(
        put("Parameters.StartFrozen.Default", "false"),
        "defaults_are_careful",
        "StartFrozen",
    ),
    "an empty pool that is published": Fault(
        put("Parameters.EmptyPool.Default", "publish"),
        "defaults_are_careful",
        "EmptyPool",
    ),
    "a guard that lets all go": Fault(
        put("Parameters.MaxLossPercent.Default", 100),
        "defaults_are_careful",
        "MaxLossPercent",
    ),
    "a guard of no backend": Fault(
        put("Parameters.MinBackends.Default", 0), "defaults_are_careful", "MinBackends"
    ),
    "a guard that does not wait": Fault(
        put("Parameters.HoldMinutes.Default", 0), "defaults_are_careful", "HoldMinutes"
    ),
    "no canary by default": Fault(
        put("Parameters.Canary.Default", "false"), "defaults_are_careful", "Canary"
    ),
    "a rollout over failures": Fault(
        put("Parameters.MaxErrors.Default", "100%"), "defaults_are_careful", "MaxErrors"
    ),
    "drift that nobody looks for": Fault(
        put("Parameters.DriftCheckMinutes.Default", 10080),
        "defaults_are_careful",
        "DriftCheckMinutes",
    ),
    "requests that are cut": Fault(
        put("Parameters.DrainSeconds.Default", 0),
        "defaults_are_careful",
        "DrainSeconds",
    ),
    "backends before their group's checks": Fault(
        put("Parameters.JoinWhen.Default", "running"),
        "defaults_are_careful",
        "JoinWhen",
    ),
    "a role that nobody named": Fault(
        put("Parameters.ProxyRoles.Default", "haproxy"),
        "defaults_are_careful",
        "ProxyRoles",
    ),
    "a default that the code does not have": Fault(
        put("Parameters.MaxConcurrency.Default", "100%"),
        "defaults_are_the_codes",
        "MaxConcurrency",
    ),
    "an environment by default": Fault(
        put("Parameters.Environment.Default", "production"),
        "parameters_are_listed",
        "Environment",
    ),
    "an environment with a wildcard": Fault(
        put(
            "Parameters.Environment.AllowedPattern", "[A-Za-z0-9][A-Za-z0-9_.?-]{0,62}"
        ),
        LETTERS,
        "Environment takes 's?aging'",
    ),
    "an environment with a variable of policies": Fault(
        put("Parameters.Environment.AllowedPattern", r"[A-Za-z0-9][\w.${}-]{0,62}"),
        LETTERS,
        "Environment takes '",
    ),
    "a tag key with a quote": Fault(
        edit("Parameters.TypeTagKey.AllowedPattern", " +=._:/@-", ' "+=._:/@-'),
        LETTERS,
        "TypeTagKey takes",
    ),
    "roles by a wildcard": Fault(
        edit("Parameters.ProxyRoles.AllowedPattern", ".@-", ".@*-"),
        LETTERS,
        "ProxyRoles takes",
    ),
    "keywords by a wildcard": Fault(
        edit("Parameters.AllowUnsafeKeywords.AllowedPattern", "._-", "._*-"),
        LETTERS,
        "AllowUnsafeKeywords takes",
    ),
    "more keywords than a command takes": Fault(
        edit("Parameters.AllowUnsafeKeywords.AllowedPattern", "{0,39}", "*"),
        "parameters_take_what_they_should",
        "AllowUnsafeKeywords takes",
    ),
    "a path deeper than a command takes": Fault(
        edit("Parameters.ConfigPath.AllowedPattern", "{1,16}", "+"),
        "parameters_take_what_they_should",
        "ConfigPath takes",
    ),
    "an account that is none": Fault(
        edit("Parameters.TemplateWriters.AllowedPattern", "{12}", "{1,12}"),
        "parameters_take_what_they_should",
        "TemplateWriters takes",
    ),
    "a guard of less than no time": Fault(
        put("Parameters.HoldMinutes.MinValue", -0.5),
        "parameters_take_what_they_should",
        "HoldMinutes takes",
    ),
    "an environment of any text": Fault(
        put("Parameters.Environment.AllowedPattern", ".+"),
        "parameters_take_what_they_should",
        "Environment takes '*'",
    ),
    "a proxy type with a star": Fault(
        put("Parameters.ProxyTagValue.AllowedPattern", r"[\p{L}\p{N}*? ]{1,256}"),
        "parameters_take_what_they_should",
        "ProxyTagValue",
    ),
    "roles by ARN": Fault(
        put("Parameters.ProxyRoles.AllowedPattern", ".*"),
        "parameters_take_what_they_should",
        "ProxyRoles takes 'arn:",
    ),
    "any path on a proxy": Fault(
        put("Parameters.ConfigPath.AllowedPattern", "/.*"),
        "parameters_take_what_they_should",
        "/etc/../passwd",
    ),
    "a port beyond all ports": Fault(
        put("Parameters.BackendPort.MaxValue", 99999),
        "parameters_take_what_they_should",
        "65536",
    ),
    "a parameter without a fence": Fault(
        drop("Parameters.ReloadMethod.AllowedValues"),
        "parameters_are_listed",
        "ReloadMethod",
    ),
    "a parameter that nobody reads": Fault(
        put("Parameters.Extra", {"Type": "String", "Default": ""}),
        "parameters_are_listed",
        "Extra",
    ),
    "a parameter from the parameter store": Fault(
        put("Parameters.EnvironmentTagKey.Type", "AWS::SSM::Parameter::Value<String>"),
        "parameters_take_what_they_should",
        "AWS::SSM",
    ),
    "a parameter that the console does not show": Fault(
        drop("Metadata.AWS::CloudFormation::Interface.ParameterGroups.0.Parameters.0"),
        "parameters_are_listed",
        "Environment",
    ),
    "tag keys that are one": Fault(
        drop("Rules.TagKeysDiffer"), "contradictions_are_refused", "EnvironmentTagKey"
    ),
    "tag keys that are one in one environment": Fault(
        in_production_too("Rules.TagKeysDiffer.Assertions.0.Assert"),
        "conditions_ask_for_their_parameters",
        "TagKeysDiffer",
    ),
    "writers whom one environment asks for unnamed": Fault(
        in_production_too("Conditions.HasTemplateWriters"),
        "conditions_ask_for_their_parameters",
        "HasTemplateWriters",
    ),
    "a rule that refuses all": Fault(
        put("Rules.TagValuesDiffer.Assertions.0.Assert", {"Fn::Equals": ["a", "b"]}),
        "contradictions_are_refused",
        "refuse this stack",
    ),
}

SECRETS_ARE = "ReconcileRole.Policies.3.Fn::If.1.PolicyDocument.Statement"
KEYS_ARE = "ReconcileRole.Policies.4.Fn::If.1.PolicyDocument.Statement"
SECRETS = {
    "every secret of the account": Fault(
        put(f"{SECRETS_ARE}.SecretsOfVariables.Resource", "*"),
        "function_reaches_its_own",
        "on every resource",
    ),
    "secrets that the function writes": Fault(
        add(f"{SECRETS_ARE}.SecretsOfVariables.Action", "ssm:PutParameter"),
        GRANTED,
        "ssm:PutParameter",
    ),
    "secrets without a list": Fault(
        put("ReconcileRole.Policies.3.Fn::If.0", "HasProxyRoles"),
        GRANTED,
        "missing: secretsmanager:DescribeSecret",
    ),
    "keys that decrypt by themselves": Fault(
        drop(f"{KEYS_ARE}.DecryptParameters.Condition.StringEquals"),
        GRANTED,
        "kms:Decrypt",
    ),
    "keys that decrypt what nobody named": Fault(
        drop(f"{KEYS_ARE}.DecryptSecrets.Condition.StringLike"), GRANTED, "kms:Decrypt"
    ),
    "any key": Fault(
        put(f"{KEYS_ARE}.DecryptSecrets.Resource", "*"), GRANTED, "kms:Decrypt on *"
    ),
    "keys where proxies' roles are named": Fault(
        only_with("HasProxyRoles", "ReconcileRole.Policies.4.Fn::If.1"),
        GRANTED,
        "missing: kms:Decrypt",
    ),
    "keys of nothing": Fault(
        drop("Rules.KeysAreOfSecrets"), "companions_come_together", "SecretArns"
    ),
    "secrets where keys are named": Fault(
        put("Conditions.HasSecrets.Fn::Not.0.Fn::Equals.0", ref("SecretKeys")),
        "conditions_ask_for_their_parameters",
        "HasSecrets",
    ),
    "a pattern of all secrets": Fault(
        put("Parameters.SecretArns.AllowedPattern", ".*"),
        "parameters_take_what_they_should",
        "SecretArns takes '*'",
    ),
    "more secrets than a role can name": Fault(
        put("Parameters.SecretArns.MaxLength", 4096),
        "parameters_take_what_they_should",
        "SecretArns takes",
    ),
    "secrets by default": Fault(
        put("Parameters.SecretArns.Default", "arn:..."),
        "defaults_are_careful",
        "SecretArns",
    ),
}

FAULTS: Mapping[str, Fault] = {
    **RESOURCES,
    **EVENTS,
    **QUEUES,
    **FUNCTIONS,
    **ACCESS,
    **BUCKET,
    **PARAMETERS,
    **SECRETS,
    **DOCUMENT,
}
