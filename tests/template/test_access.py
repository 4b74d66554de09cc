"""What the deployed policies answer to the requests that matter, asked of an IAM evaluator."""

import json
from collections.abc import Mapping

import pytest

from local.cloud.policies import Request, allows
from tests.template.access_checks import (
    function_acts_exactly,
    may_send,
    queue_policies,
)
from tests.template.stack import Stack, deployed
from tests.template.translate import Template

EC2 = "arn:aws:ec2:ap-southeast-2:123456789012"
SSM = "arn:aws:ssm:ap-southeast-2"
BUCKET = "arn:aws:s3:::haproxy-ec2-sync-staging-configbucket-1a2b3c4d5e6f"
DOCUMENT = (
    f"{SSM}:123456789012:document/haproxy-ec2-sync-staging-ApplyDocument-AbC123dEfGhI"
)
CONFIG = f"configs/staging/{'0' * 64}/haproxy.cfg"
PROGRAM = f"program/{'0' * 64}/haproxy_apply.zip"
PROXY = {"Environment": "staging", "Type": "haproxy"}
GROUP = (
    "arn:aws:autoscaling:ap-southeast-2:123456789012:autoScalingGroup:"
    "0d4c1b6e-1111-2222-3333-444455556666:autoScalingGroupName/app"
)
LIFECYCLE = pytest.mark.parametrize(
    "action", ["CompleteLifecycleAction", "RecordLifecycleActionHeartbeat"]
)


def tags(values: Mapping[str, str]) -> dict[str, str]:
    """An instance's tags, as Run Command shows them to IAM."""
    return {f"ssm:resourceTag/{key}": value for key, value in values.items()}


def function_may(
    stack: Stack, action: str, resource: str, context: Mapping[str, str] | None = None
) -> bool:
    """Whether the function's role may do it."""
    documents = [
        policy["PolicyDocument"] for policy in stack.one("AWS::IAM::Role")["Policies"]
    ]
    return allows(documents, Request(action, resource, context or {}))


def proxy_may(stack: Stack, action: str, key: str) -> bool:
    """Whether a proxy's role may do it to a key of the bucket; no key is the bucket itself."""
    document = stack.one("AWS::IAM::ManagedPolicy")["PolicyDocument"]
    return allows([document], Request(action, f"{BUCKET}/{key}" if key else BUCKET))


def rule_may_send(stack: Stack, queue: str, rule_arn: str, tls: str = "true") -> bool:
    """Whether the queue takes a message from a rule."""
    arn = stack.arn(queue)
    return may_send(queue_policies(stack)[arn], arn, rule_arn, tls)


@pytest.mark.fault("F100")
def test_function_commands_its_proxies(staging: Stack) -> None:
    """The function may send our document to a proxy of its environment."""
    assert function_may(staging, "ssm:SendCommand", DOCUMENT)
    assert function_may(
        staging, "ssm:SendCommand", f"{EC2}:instance/i-0a1b2c3d4e5f60001", tags(PROXY)
    )


@pytest.mark.fault("F57")
@pytest.mark.fault("F100")
@pytest.mark.parametrize(
    "labels",
    [
        {},
        {"Environment": "staging"},
        {"Type": "haproxy"},
        PROXY | {"Type": "tomcat"},
        PROXY | {"Environment": "prod"},
    ],
)
def test_function_commands_nobody_else(labels: dict[str, str], staging: Stack) -> None:
    """An instance that lacks one of the two tags, or has another value, takes no command from us."""
    assert not function_may(
        staging, "ssm:SendCommand", f"{EC2}:instance/i-0a1b2c3d4e5f60001", tags(labels)
    )


def group_tags(values: Mapping[str, str]) -> dict[str, str]:
    """A group's tags, as Auto Scaling shows them to IAM."""
    return {f"autoscaling:ResourceTag/{key}": value for key, value in values.items()}


@LIFECYCLE
def test_function_completes_and_prolongs_hooks_of_its_environment(
    action: str, source: Template
) -> None:
    """Of every group that has the environment's tag, by whatever key and whatever the group's name."""
    for key in ("Environment", "team:stage"):
        stack = deployed(source, Environment="staging", EnvironmentTagKey=key)
        tagged = group_tags({key: "staging", "Type": "tomcat"})
        for group in (GROUP, f"{GROUP}/blue"):
            assert function_may(stack, f"autoscaling:{action}", group, tagged)


@pytest.mark.fault("F270")
@pytest.mark.parametrize(
    "labels",
    [
        {},
        {"Environment": "production"},
        {"Environment": "staging-2"},
        {"Environment": "Staging"},
        {"Stage": "staging"},
    ],
)
@LIFECYCLE
def test_function_lets_other_environments_hooks_alone(
    action: str, labels: dict[str, str], staging: Stack
) -> None:
    """A group without the tag, or with another value, or in another account: IAM refuses whatever the function asks."""
    name = f"autoscaling:{action}"
    assert not function_may(staging, name, GROUP, group_tags(labels))
    ours = group_tags({"Environment": "staging"})
    foreign = GROUP.replace("123456789012", "210987654321")
    assert function_may(staging, name, GROUP, ours)
    assert not function_may(staging, name, foreign, ours)


@pytest.mark.fault("F100")
@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("ssm:SendCommand", f"{SSM}::document/AWS-RunShellScript"),
        ("ssm:SendCommand", f"{DOCUMENT}-2"),
        ("ssm:UpdateDocument", DOCUMENT),
        ("ec2:TerminateInstances", f"{EC2}:instance/i-0a1b2c3d4e5f60001"),
        ("ec2:CreateTags", f"{EC2}:instance/i-0a1b2c3d4e5f60001"),
        ("autoscaling:SetDesiredCapacity", GROUP),
        ("autoscaling:TerminateInstanceInAutoScalingGroup", GROUP),
        ("autoscaling:PutLifecycleHook", GROUP),
        ("autoscaling:DeleteLifecycleHook", GROUP),
        ("iam:PassRole", "arn:aws:iam::123456789012:role/admin"),
        ("s3:DeleteObject", f"{BUCKET}/state/staging.json"),
        ("s3:DeleteObject", f"{BUCKET}/{PROGRAM}"),
        ("s3:PutObject", f"{BUCKET}/state/production.json"),
        ("s3:PutObject", f"{BUCKET}/templates/staging/haproxy.cfg.j2"),
        ("s3:PutBucketPolicy", BUCKET),
        ("s3:GetObject", "arn:aws:s3:::somebody-elses/configs/staging/x"),
        ("sqs:SendMessage", "arn:aws:sqs:ap-southeast-2:123456789012:somebody-elses"),
    ],
)
def test_function_may_not(action: str, resource: str, staging: Stack) -> None:
    """A function that was taken over still cannot leave its stack, or remove anything."""
    context = tags(PROXY) | group_tags({"Environment": "staging"})
    assert not function_may(staging, action, resource, context)


@pytest.mark.fault("F99")
def test_proxy_downloads_its_config(staging: Stack) -> None:
    """A proxy may read any config of its environment, and the program that applies it."""
    assert proxy_may(staging, "s3:GetObject", CONFIG)
    assert proxy_may(staging, "s3:GetObject", PROGRAM)


@pytest.mark.fault("F98")
@pytest.mark.fault("F99")
@pytest.mark.parametrize(
    ("action", "key"),
    [
        ("s3:PutObject", CONFIG),
        ("s3:DeleteObject", CONFIG),
        ("s3:PutObject", PROGRAM),
        ("s3:ListBucket", ""),
        ("s3:GetObject", "state/staging.json"),
        ("s3:GetObject", "vars/staging.yml"),
        ("s3:GetObject", CONFIG.replace("staging", "production")),
        ("s3:GetObject", CONFIG.replace("staging", "staging-2")),
        ("ssm:SendCommand", ""),
    ],
)
def test_proxy_may_not(action: str, key: str, staging: Stack) -> None:
    """A proxy that was taken over cannot write, list, or read beyond its environment's configs."""
    assert not proxy_may(staging, action, key)


@pytest.mark.fault("F07")
@pytest.mark.parametrize("queue", ["EventQueue", "DeadLetterQueue"])
def test_our_rules_may_send(queue: str, staging: Stack) -> None:
    """Each of our rules may put its events into the queue, and what it cannot deliver beside it."""
    for rule in staging.of_type("AWS::Events::Rule"):
        assert rule_may_send(staging, queue, staging.arn(rule)), rule


@pytest.mark.fault("F97")
def test_foreign_rules_may_not_send(staging: Stack) -> None:
    """A rule of another account, another rule of this account, and a request without TLS are refused."""
    ours = staging.arn("SweepRule")
    assert not rule_may_send(
        staging, "EventQueue", ours.replace("123456789012", "210987654321")
    )
    assert not rule_may_send(staging, "EventQueue", ours + "-2")
    assert not rule_may_send(staging, "EventQueue", ours, tls="false")


PARAMETER = f"{SSM}:123456789012:parameter/haproxy/staging/password"
DATABASE = (
    "arn:aws:secretsmanager:ap-southeast-2:123456789012:secret:haproxy/staging-AbC123"
)
KEY = "arn:aws:kms:ap-southeast-2:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
READING = (
    ("ssm:GetParameters", PARAMETER),
    ("secretsmanager:DescribeSecret", DATABASE),
    ("secretsmanager:GetSecretValue", DATABASE),
)
VIA_SSM = {
    "kms:ViaService": "ssm.ap-southeast-2.amazonaws.com",
    "kms:EncryptionContext:PARAMETER_ARN": PARAMETER,
}
VIA_SECRETS_MANAGER = {
    "kms:ViaService": "secretsmanager.ap-southeast-2.amazonaws.com",
    "kms:EncryptionContext:SecretARN": DATABASE,
}


@pytest.fixture(scope="module")
def with_secrets(source: Template) -> Stack:
    """A stack whose variables refer to a parameter and a secret, which a key of its owner encrypts."""
    arns = f"{PARAMETER.removesuffix('password')}*,{DATABASE[:-6]}??????"
    return deployed(source, Environment="staging", SecretArns=arns, SecretKeys=KEY)


@pytest.mark.fault("F294")
def test_function_reads_no_secrets_unless_told(staging: Stack) -> None:
    """By default it has no such policy."""
    names = [each["PolicyName"] for each in staging.one("AWS::IAM::Role")["Policies"]]
    assert names == ["reconcile", "send-command", "lifecycle-actions"]
    for action, arn in READING:
        assert not function_may(staging, action, arn)
    assert not function_may(staging, "kms:Decrypt", KEY, VIA_SSM)


@pytest.mark.fault("F294")
def test_function_reads_the_secrets_that_are_named(with_secrets: Stack) -> None:
    """And has their keys used, with no action more than the code calls."""
    for action, arn in READING:
        assert function_may(with_secrets, action, arn)
    for context in (VIA_SSM, VIA_SECRETS_MANAGER):
        assert function_may(with_secrets, "kms:Decrypt", KEY, context)
    assert list(function_acts_exactly(with_secrets)) == []


@pytest.mark.fault("F294")
@pytest.mark.parametrize(
    ("action", "resource", "context"),
    [
        ("ssm:GetParameters", PARAMETER.replace("staging", "production"), {}),
        ("ssm:GetParameters", f"{SSM}:123456789012:parameter/other", {}),
        ("ssm:GetParameter", PARAMETER, {}),
        ("ssm:PutParameter", PARAMETER, {}),
        ("ssm:DescribeParameters", "*", {}),
        ("secretsmanager:GetSecretValue", DATABASE.replace("-AbC", "-blue-AbC"), {}),
        ("secretsmanager:PutSecretValue", DATABASE, {}),
        ("secretsmanager:ListSecrets", "*", {}),
        ("kms:Decrypt", KEY, {}),
        ("kms:Decrypt", KEY, {"kms:ViaService": VIA_SSM["kms:ViaService"]}),
        ("kms:Decrypt", KEY, VIA_SSM | {"kms:ViaService": "s3.amazonaws.com"}),
        (
            "kms:Decrypt",
            KEY,
            VIA_SSM | {"kms:EncryptionContext:PARAMETER_ARN": f"{SSM}:1:parameter/x"},
        ),
        (
            "kms:Decrypt",
            KEY,
            VIA_SECRETS_MANAGER | {"kms:EncryptionContext:SecretARN": f"{DATABASE}x"},
        ),
        ("kms:Decrypt", KEY.replace("1234abcd", "00000000"), VIA_SSM),
        ("kms:Encrypt", KEY, VIA_SSM),
    ],
)
def test_function_reads_no_other_secrets(
    action: str, resource: str, context: Mapping[str, str], with_secrets: Stack
) -> None:
    """It cannot list, write or decrypt anything else, nor decrypt by itself what it was given."""
    assert not function_may(with_secrets, action, resource, context)


def test_the_longest_list_of_secrets_fits_into_the_role(source: Template) -> None:
    """IAM counts all inline policies of a role together, without blanks; a stack may have a longer name than ours."""
    longest = {
        name: int(source["Parameters"][name]["MaxLength"])
        for name in ("SecretArns", "SecretKeys")
    }
    stack = deployed(
        source,
        Environment="e" * 63,
        SecretArns=",".join([PARAMETER] * 99)[: longest["SecretArns"]],
        SecretKeys=",".join([KEY] * 99)[: longest["SecretKeys"]],
    )
    policies = stack.one("AWS::IAM::Role")["Policies"]
    assert len(policies) == 5
    texts = [
        json.dumps(each["PolicyDocument"], separators=(",", ":")) for each in policies
    ]
    assert sum(map(len, texts)) < 10_240 - 1_500
