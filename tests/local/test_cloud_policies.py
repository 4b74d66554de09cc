"""IAM as the local system judges it: what is not allowed is denied, and what is not understood is an error."""

import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws
from moto.core.authorization import ActionAuthenticatorMixin

from haproxy_sync.config.references import distinct
from haproxy_sync.config.secret_stores import SecretStores
from haproxy_sync.config.variables import parse_variables, references
from haproxy_sync.errors import TemplateError
from local.cloud import ACCOUNT, REGION, access
from local.cloud.policies import Request, allows
from tests.template import translate
from tests.template.stack import deployed

GET = Request(
    "s3:GetObject",
    "arn:aws:s3:::bucket/configs/staging/a",
    {"aws:SecureTransport": "true"},
)


def policy(effect: str = "Allow", **elements: Any) -> dict[str, Any]:
    """A document of one statement about GET, with some elements replaced."""
    statement = {
        "Effect": effect,
        "Action": "s3:GetObject",
        "Resource": "arn:aws:s3:::bucket/configs/*",
    } | elements
    return {
        "Version": "2012-10-17",
        "Statement": [{key: value for key, value in statement.items() if value}],
    }


@pytest.mark.parametrize(
    ("tags", "is_allowed"),
    [
        ({"Environment": "staging"}, True),
        ({"environment": "staging"}, True),
        ({"Environment": "staging", "environment": "staging"}, False),
        ({"Environment": "Staging"}, False),
    ],
)
def test_case_counts_in_values_and_not_in_keys(
    tags: dict[str, str],
    is_allowed: bool,  # noqa: FBT001 # a column of the table
) -> None:
    """Of tags, too; whoever has both spellings of a key matches neither."""
    condition = {"StringEquals": {"aws:ResourceTag/Environment": "staging"}}
    context = {f"aws:ResourceTag/{key}": value for key, value in tags.items()}
    asked = Request(GET.action, GET.resource, context)
    assert allows([policy(Condition=condition)], asked) == is_allowed


@pytest.mark.parametrize(
    "elements",
    [
        {},
        {"Action": "s3:get*"},
        {"Action": ["s3:PutObject", "s3:GetObject"]},
        {"Resource": "arn:aws:s3:::bucket/configs/staging/?"},
        {"Action": None, "NotAction": "s3:PutObject"},
        {"Condition": {"Bool": {"AWS:SecureTransport": "true"}}},
        {"Condition": {"StringNotEquals": {"ssm:resourceTag/Type": "tomcat"}}},
        {"Condition": {"StringEqualsIfExists": {"ssm:resourceTag/Type": "haproxy"}}},
    ],
)
def test_allowed(elements: dict[str, Any]) -> None:
    """A statement that covers action, resource and context allows."""
    assert allows([policy(**elements)], GET)


@pytest.mark.parametrize(
    "elements",
    [
        {"Action": "s3:PutObject"},
        {"Action": "s3:Get"},
        {"Resource": "arn:aws:s3:::bucket/configs"},
        {"Resource": "arn:aws:s3:::bucket/[a-z]*"},
        {"Condition": {"Bool": {"aws:SecureTransport": "false"}}},
        {"Condition": {"StringEquals": {"ssm:resourceTag/Type": "haproxy"}}},
        {"Condition": {"StringNotEquals": {"aws:SecureTransport": "true"}}},
    ],
)
def test_not_allowed(elements: dict[str, Any]) -> None:
    """Whatever no statement covers is denied; a condition on a missing key does not hold."""
    assert not allows([policy(**elements)], GET)


def test_a_deny_wins() -> None:
    """One Deny among any number of Allows is a no."""
    assert not allows([policy(), policy("Deny", Action="s3:*", Resource="*")], GET)


def test_a_principal_of_another_service_is_not_meant() -> None:
    """A resource policy speaks of those it names."""
    queue = policy(Principal={"Service": "events.amazonaws.com"})
    assert allows(
        [queue], Request(GET.action, GET.resource, principal="events.amazonaws.com")
    )
    assert not allows(
        [queue], Request(GET.action, GET.resource, principal="s3.amazonaws.com")
    )


@pytest.mark.parametrize(
    "elements",
    [
        {"Condition": {"NumericLessThan": {"aws:SecureTransport": "3"}}},
        {"Resource": "arn:aws:s3:::bucket/${aws:PrincipalTag/Environment}/*"},
    ],
)
def test_what_is_not_understood_is_an_error(elements: dict[str, Any]) -> None:
    """An operator or policy variable that this judge does not know is never a silent answer."""
    with pytest.raises(NotImplementedError):
        allows([policy(**elements)], GET)


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[boto3.Session]:
    """An account with IAM enforced, as its owner sees it; a bucket and a role `host` without any right."""
    name = "_authenticate_and_authorize_action"
    monkeypatch.setattr(
        ActionAuthenticatorMixin, name, getattr(ActionAuthenticatorMixin, name)
    )
    with mock_aws():
        access.install()
        owner = boto3.Session(region_name=REGION)
        owner.client("s3").create_bucket(
            Bucket="bucket",
            CreateBucketConfiguration={"LocationConstraint": "ap-southeast-2"},
        )
        owner.client("s3").put_object(
            Bucket="bucket", Key="configs/staging/a", Body=b"here"
        )
        owner.client("iam").create_role(RoleName="host", AssumeRolePolicyDocument="{}")
        yield owner


def as_host(owner: boto3.Session, *policies: dict[str, Any]) -> boto3.Session:
    """A session of the role with these policies."""
    for number, document in enumerate(policies):
        owner.client("iam").put_role_policy(
            RoleName="host",
            PolicyName=f"p{number}",
            PolicyDocument=json.dumps(document),
        )
    role = owner.client("iam").get_role(RoleName="host")["Role"]["Arn"]
    keys = owner.client("sts").assume_role(RoleArn=role, RoleSessionName="host")[
        "Credentials"
    ]
    return boto3.Session(
        keys["AccessKeyId"],
        keys["SecretAccessKey"],
        keys["SessionToken"],
        region_name=REGION,
    )


def refusal(call: Any, **arguments: Any) -> str:
    """The error code that a call gets."""
    with pytest.raises(ClientError) as error:
        call(**arguments)
    return str(error.value.response["Error"]["Code"])


def test_a_role_reads_what_its_policy_names_and_nothing_else(
    account: boto3.Session,
) -> None:
    """The session of a role gets the keys of its policy, and 403 for all others."""
    s3 = as_host(account, policy()).client("s3")
    assert (
        s3.get_object(Bucket="bucket", Key="configs/staging/a")["Body"].read()
        == b"here"
    )
    assert "Denied" in refusal(as_host(account).client("ec2").describe_instances)
    assert (
        refusal(s3.get_object, Bucket="bucket", Key="state/staging.json")
        == "AccessDenied"
    )
    assert (
        refusal(s3.put_object, Bucket="bucket", Key="configs/staging/a", Body=b"")
        == "AccessDenied"
    )


def test_a_missing_key_is_forbidden_to_whoever_may_not_list(
    account: boto3.Session,
) -> None:
    """Without ListBucket S3 answers 403 for a key that does not exist, with it 404."""
    blind = as_host(account, policy()).client("s3")
    assert (
        refusal(blind.get_object, Bucket="bucket", Key="configs/none") == "AccessDenied"
    )
    seeing = as_host(
        account,
        policy(),
        policy(Action="s3:ListBucket", Resource="arn:aws:s3:::bucket"),
    ).client("s3")
    assert (
        refusal(seeing.get_object, Bucket="bucket", Key="configs/none") == "NoSuchKey"
    )


def test_buckets_are_listed_by_whom_their_policy_lets(account: boto3.Session) -> None:
    """ListBuckets is an action of another name; a listing needs the prefix that its condition names."""
    assert refusal(as_host(account).client("s3").list_buckets) == "AccessDenied"
    prefix = {"StringEquals": {"s3:prefix": ["templates/staging/"]}}
    allowed: Any = {"Resource": "arn:aws:s3:::buck*", "Condition": prefix}
    s3 = as_host(
        account,
        policy(Action="s3:ListAllMyBuckets", Resource="*"),
        policy(Action="s3:ListBucket", **allowed),
    ).client("s3")
    assert [each["Name"] for each in s3.list_buckets()["Buckets"]] == ["bucket"]
    s3.list_objects_v2(Bucket="bucket", Prefix="templates/staging/")
    listing = s3.list_objects_v2
    assert refusal(listing, Bucket="bucket") == "AccessDenied"
    assert refusal(listing, Bucket="bucket", Prefix="templates/") == "AccessDenied"


def test_a_command_needs_the_tags_of_the_condition(account: boto3.Session) -> None:
    """SendCommand is judged for the document and for each instance, with the instance's tags."""
    ec2, condition = (
        account.client("ec2"),
        {"StringEquals": {"ssm:resourceTag/Type": "haproxy"}},
    )
    instance_id = ec2.run_instances(ImageId="ami-12c6146b", MinCount=1, MaxCount=1)[
        "Instances"
    ][0]["InstanceId"]
    account.client("ssm").create_document(
        Name="apply", DocumentType="Command", Content='{"schemaVersion": "2.2"}'
    )
    ssm = as_host(
        account,
        policy(Action="ssm:SendCommand", Resource="arn:aws:ssm:*:*:document/apply"),
        policy(
            Action="ssm:SendCommand",
            Resource="arn:aws:ec2:*:*:instance/*",
            Condition=condition,
        ),
    ).client("ssm")
    assert "AccessDenied" in refusal(
        ssm.send_command, DocumentName="apply", InstanceIds=[instance_id]
    )
    ec2.create_tags(Resources=[instance_id], Tags=[{"Key": "Type", "Value": "haproxy"}])
    ssm.send_command(DocumentName="apply", InstanceIds=[instance_id])
    assert "AccessDenied" in refusal(
        ssm.send_command, DocumentName="AWS-RunShellScript", InstanceIds=[instance_id]
    )


@pytest.mark.fault("F291")
@pytest.mark.fault("F294")
def test_secrets_are_read_as_the_stack_names_them(account: boto3.Session) -> None:
    """With the template's own policy; who asks for another one is told which parameter of the stack to extend."""
    owner = account.client("secretsmanager")
    for name in ("/app/a", "/other"):
        account.client("ssm").put_parameter(
            Name=name, Value=f"of {name}", Type="SecureString"
        )
    for name in ("app", "other"):
        owner.create_secret(Name=name, SecretString=f"of {name}")
    place = f"{REGION}:{ACCOUNT}"
    arns = (
        f"arn:aws:ssm:{place}:parameter/app/*,"
        f"arn:aws:secretsmanager:{place}:secret:app-??????"
    )
    stack = deployed(translate.source(), Environment="staging", SecretArns=arns)
    policies = stack.one("AWS::IAM::Role")["Policies"]
    session = as_host(account, *(each["PolicyDocument"] for each in policies))
    clients: Any = SimpleNamespace(
        ssm=session.client("ssm"),
        secrets_manager=lambda: session.client("secretsmanager"),
    )

    def read(text: str) -> set[str]:
        stores = SecretStores(clients)
        wanted = distinct(references(parse_variables(text, "f")))
        assert stores.versions(wanted).keys() == wanted.keys()
        return {each.text for each in stores.values(wanted).values()}

    assert read("a: !ssm /app/a\nb: !ssm /app/a:1\nc: !secret app") == {
        "of /app/a",
        "of app",
    }
    for other in ("!ssm /other", "!secret other", "!secret none"):
        expected = rf"^f:2: {other}: the function may not read it; .* SecretArns$"
        with pytest.raises(TemplateError, match=expected):
            read(f"a: !ssm /app/a\nb: {other}\nc: !secret app")
