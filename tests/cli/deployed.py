"""All of a stack that is not the world's: what template.yaml deploys around the function, in the world's moto."""

import io
import json
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import boto3
from botocore.exceptions import ClientError

from local.cloud import access, event_source, iam, s3
from tests.cli.conftest import Shell, Typed, _Lambda
from tests.contract.world import ACCOUNT, REGION, World
from tests.template.stack import deployed as staging
from tests.template.translate import source

NAME = "haproxy-ec2-sync-staging"
CORE = "arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore"
RULES = (
    "InstanceStateRule",
    "InstanceTagRule",
    "AutoScalingRule",
    "SpotRule",
    "CommandRule",
    "UploadRule",
    "SweepRule",
)
SERVICES = (
    "autoscaling",
    "cloudformation",
    "cloudwatch",
    "ec2",
    "events",
    "iam",
    "lambda",
    "s3",
    "sqs",
    "ssm",
)
TIMEOUTS = {"LAUNCHING": 600, "TERMINATING": 300}
QUEUE_ARN = f"arn:aws:sqs:{REGION}:{ACCOUNT}:queue"
ROLE_ARN = f"arn:aws:iam::{ACCOUNT}:role/reconcile-role"

type Line = dict[str, Any]


def refusal(operation: str, code: str = "AccessDeniedException") -> ClientError:
    """AWS refuses."""
    words = f"you are not authorized to perform {operation}"
    return ClientError({"Error": {"Code": code, "Message": words}}, operation)


@cache
def _client(service: str) -> Any:
    """Made once: reading a service's model takes longer than a test."""
    session: Any = boto3.Session(region_name=REGION)
    return session.client(service)


@dataclass
class Deployed:
    """A stack whose every part is right; tests break them."""

    world: World
    shell: Shell
    asked: set[str] = field(default_factory=set)
    """Operations that reached AWS, as `service:Operation`."""
    refused: Mapping[str, str] = field(default_factory=dict)
    """Those that AWS refuses, and with which code."""
    said: dict[str, Callable[[Any], Any]] = field(default_factory=dict)
    """What is made of an operation's answer, where moto cannot be brought to it; also of `status` and `plan`."""

    def client(self, service: str) -> Any:
        """A client of the operator."""
        return _client(service)

    def says(self, operation: str, **changes: Any) -> None:
        """From here on the answer has these keys."""
        self.said[operation] = lambda answer: answer | changes

    def doctor(self, *words: str) -> Typed:
        """Type the command."""
        return self.shell("doctor", "--env", "staging", "--region", REGION, *words)

    def lines(self, check: str = "") -> list[Line]:
        """What it finds: of one check, or all."""
        found: list[Line] = json.loads(self.doctor("--json").out)
        return [line for line in found if check in {"", line["check"]}]

    def invoke(self, **request: Any) -> dict[str, Any]:
        """The world's function."""
        action = json.loads(request["Payload"])["action"]
        self._before("lambda", "Invoke")
        answer = _Lambda(self.shell).invoke(
            FunctionName="function", Payload=request["Payload"]
        )
        payload = json.loads(answer["Payload"].read())
        payload = self.said.get(action, lambda same: same)(payload)
        return answer | {"Payload": io.BytesIO(json.dumps(payload).encode())}

    def hook(self, *, model: Any, **_: Any) -> None:
        """Before a call."""
        self._before(model.service_model.service_name, model.name)

    def changed(self, *, parsed: Any, model: Any, **_: Any) -> None:
        """After a call."""
        if model.name in self.said:
            parsed.update(self.said[model.name](parsed))

    def _before(self, service: str, operation: str) -> None:
        name = f"{service}:{operation}"
        self.asked.add(name)
        if name in self.refused:
            raise refusal(operation, self.refused[name])

    def outputs(self, **changes: str | None) -> None:
        """Deploy again with other outputs; None takes one away."""
        self.client("cloudformation").update_stack(
            StackName=NAME, TemplateBody=_template(changes)
        )

    def launch_proxies(self, number: int, **options: Any) -> list[str]:
        """Running proxies with the instance profile, whose agents never registered; options of RunInstances."""
        tags = [
            {"Key": "Environment", "Value": "staging"},
            {"Key": "Type", "Value": "haproxy"},
        ]
        answer = self.client("ec2").run_instances(
            ImageId="ami-12345678",
            MinCount=number,
            MaxCount=number,
            IamInstanceProfile={"Name": "haproxy"},
            TagSpecifications=[{"ResourceType": "instance", "Tags": tags}],
            **options,
        )
        return [instance["InstanceId"] for instance in answer["Instances"]]


def group(
    made: Deployed, tag: str = "staging", timeouts: Mapping[str, int] = TIMEOUTS
) -> None:
    """A group with one backend in service, then this tag and these hooks, named by what they hold up."""
    ec2, scaling = made.client("ec2"), made.client("autoscaling")
    ec2.create_launch_template(
        LaunchTemplateName="web", LaunchTemplateData={"ImageId": "ami-12345678"}
    )
    tags = {"Environment": "staging", "Type": "tomcat"}
    scaling.create_auto_scaling_group(
        AutoScalingGroupName="web",
        LaunchTemplate={"LaunchTemplateName": "web"},
        MinSize=1,
        MaxSize=1,
        AvailabilityZones=[f"{REGION}a"],
        Tags=[_tag(key, value) for key, value in tags.items()],
    )
    made.world.pass_time(60)
    scaling.create_or_update_tags(Tags=[_tag("Environment", tag)])
    for held_up, seconds in timeouts.items():
        scaling.put_lifecycle_hook(
            AutoScalingGroupName="web",
            LifecycleHookName=f"haproxy-ec2-sync-{held_up.lower()}",
            LifecycleTransition=f"autoscaling:EC2_INSTANCE_{held_up}",
            HeartbeatTimeout=seconds,
        )


def _tag(key: str, value: str) -> dict[str, Any]:
    return {
        "ResourceId": "web",
        "ResourceType": "auto-scaling-group",
        "Key": key,
        "Value": value,
        "PropagateAtLaunch": True,
    }


@cache
def _complete_moto() -> None:
    """Once in this process: what the local system's moto has beyond moto, as far as it is asked here."""
    iam.install()
    s3.install_notification_answer()
    event_source.install()
    access.leave_bucket_policies()


@contextmanager
def deployed(world: World, shell: Shell) -> Iterator[Deployed]:
    """The stack around this world."""
    _complete_moto()
    made = Deployed(world, shell)
    _make(made)
    clients = [_client(service) for service in SERVICES]
    plain = _client("lambda").invoke
    for client in clients:
        client.meta.events.register("before-call", made.hook)
        client.meta.events.register("after-call", made.changed)
    _client("lambda").invoke = made.invoke
    yield made
    _client("lambda").invoke = plain
    for client in clients:
        client.meta.events.unregister("before-call", made.hook)
        client.meta.events.unregister("after-call", made.changed)


def _template(changes: Mapping[str, str | None]) -> str:
    policy = f"arn:aws:iam::{ACCOUNT}:policy/proxy-policy"
    outputs: dict[str, str | None] = {
        "FunctionName": "function",
        "BucketName": "bucket",
        "DocumentName": "apply",
        "ProxyPolicyArn": policy,
        "QueueUrl": f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/queue",
        "DeadLetterQueueUrl": f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/dead-letters",
        "LogGroupName": "log",
    }
    outputs.update(changes)
    target = {"Id": "EventQueue", "Arn": QUEUE_ARN}
    rules = {
        name: {
            "Type": "AWS::Events::Rule",
            "Properties": {
                "Name": name,
                # With a schedule alone moto has it send whatever happens.
                "EventPattern": {"source": ["nobody"]},
                "Targets": [target],
            },
        }
        for name in RULES
    }
    said = {name: {"Value": value} for name, value in outputs.items() if value}
    return json.dumps({"Resources": rules, "Outputs": said})


def _make(made: Deployed) -> None:
    made.client("cloudformation").create_stack(
        StackName=NAME, TemplateBody=_template({})
    )
    _make_function(made)
    made.client("sqs").create_queue(QueueName="dead-letters")
    let_send(made, *RULES)
    bucket = made.client("s3")
    bucket.put_bucket_notification_configuration(
        Bucket="bucket", NotificationConfiguration={"EventBridgeConfiguration": {}}
    )
    bucket.put_bucket_versioning(
        Bucket="bucket", VersioningConfiguration={"Status": "Enabled"}
    )
    fence(made)
    _make_profile(made)


def fence(made: Deployed, **parameters: str) -> None:
    """The bucket's policy is that of template.yaml with these parameters, and the function's role the world's."""
    stack = staging(source(), Environment="staging", **parameters)
    policy = stack.one("AWS::S3::BucketPolicy")
    document = json.dumps(policy["PolicyDocument"]).replace(policy["Bucket"], "bucket")
    role = stack.arn("ReconcileRole")
    made.client("s3").put_bucket_policy(
        Bucket="bucket", Policy=document.replace(role, ROLE_ARN)
    )


def let_send(made: Deployed, *rules: str) -> None:
    """The queue's policy names these rules."""
    sources = [f"arn:aws:events:{REGION}:{ACCOUNT}:rule/{rule}" for rule in rules]
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": "*",
        "Condition": {"ArnEquals": {"aws:SourceArn": sources}},
    }
    made.client("sqs").set_queue_attributes(
        QueueUrl=made.world.settings.queue_url,
        Attributes={
            "Policy": json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        },
    )


def _make_function(made: Deployed) -> None:
    roles, functions = made.client("iam"), made.client("lambda")
    trust = json.dumps({"Version": "2012-10-17", "Statement": []})
    roles.create_role(RoleName="reconcile-role", AssumeRolePolicyDocument=trust)
    permit(
        made,
        "reconcile",
        {"Action": ["ec2:DescribeInstances", "s3:GetObject"], "Resource": "*"},
        {
            "Action": "s3:ListBucket",
            "Resource": f"arn:aws:s3:::{NAME}-configbucket-*",
            "Condition": {"StringEquals": {"s3:prefix": ["templates/staging/"]}},
        },
    )
    tags = {"ssm:resourceTag/Environment": "staging", "ssm:resourceTag/Type": "haproxy"}
    permit(
        made,
        "send-command",
        {"Action": "ssm:SendCommand", "Resource": "arn:aws:ssm:*:*:document/apply"},
        {
            "Action": "ssm:SendCommand",
            "Resource": "arn:aws:ec2:*:*:instance/*",
            "Condition": {"StringEquals": tags},
        },
    )
    permit(
        made,
        "lifecycle-actions",
        {
            "Action": "autoscaling:CompleteLifecycleAction",
            "Resource": "arn:aws:autoscaling:*:*:autoScalingGroup:*:autoScalingGroupName/*",
            "Condition": {
                "StringEquals": {"autoscaling:ResourceTag/Environment": "staging"}
            },
        },
    )
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("handler.py", "")
    functions.create_function(
        FunctionName="function",
        Runtime="python3.13",
        Role=ROLE_ARN,
        Handler="handler.handler",
        Code={"ZipFile": code.getvalue()},
        Environment={
            "Variables": {
                "ENVIRONMENT": "staging",
                "ENVIRONMENT_TAG_KEY": "Environment",
                "TYPE_TAG_KEY": "Type",
                "BACKEND_TAG_VALUE": "tomcat",
                "PROXY_TAG_VALUE": "haproxy",
                "LIFECYCLE_HOOK_PREFIX": "haproxy-ec2-sync",
                "SWEEP_RATE": "rate(1 minute)",
            }
        },
    )
    functions.create_event_source_mapping(
        FunctionName="function", EventSourceArn=QUEUE_ARN
    )


def allow(made: Deployed, policy: str, *actions: str) -> None:
    """A policy of the function's role lets it do these, and nothing else."""
    permit(made, policy, {"Action": list(actions), "Resource": "*"})


def permit(
    made: Deployed, policy: str, *allowed: dict[str, Any], role: str = "reconcile-role"
) -> None:
    """A policy of a role has these statements, and no others."""
    statements = [{"Effect": "Allow"} | each for each in allowed]
    document = {"Version": "2012-10-17", "Statement": statements}
    made.client("iam").put_role_policy(
        RoleName=role, PolicyName=policy, PolicyDocument=json.dumps(document)
    )


def _make_profile(made: Deployed) -> None:
    """What README has an operator make, on every proxy of the world."""
    roles, ec2 = made.client("iam"), made.client("ec2")
    trust = json.dumps({"Version": "2012-10-17", "Statement": []})
    reads = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [reads]})
    arn = roles.create_policy(PolicyName="proxy-policy", PolicyDocument=document)
    registers = reads | {"Action": "ssm:UpdateInstanceInformation"}
    core = roles.create_policy(
        PolicyName="AmazonSSMManagedInstanceCore",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [registers]}),
    )
    roles.create_role(RoleName="haproxy", AssumeRolePolicyDocument=trust)
    for policy in (arn, core):
        roles.attach_role_policy(RoleName="haproxy", PolicyArn=policy["Policy"]["Arn"])
    roles.create_instance_profile(InstanceProfileName="haproxy")
    roles.add_role_to_instance_profile(
        InstanceProfileName="haproxy", RoleName="haproxy"
    )
    for instance_id in made.world.proxies:
        ec2.associate_iam_instance_profile(
            IamInstanceProfile={"Name": "haproxy"}, InstanceId=instance_id
        )
