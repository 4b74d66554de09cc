"""Who may do what to a deployed stack: every row of docs/security.md, asked of IAM with all policies that play."""

import json
import re
from pathlib import Path

import cfnlint
import pytest

from local.cloud.policies import Decision
from tests.template import principals
from tests.template.principals import (
    ACCOUNT,
    ADMINISTRATORS,
    AUTHOR,
    CI,
    FOREIGN_ACCOUNT,
    GLASS,
    OPERATOR,
    STRANGERS,
    Names,
    Principal,
    role,
)
from tests.template.stack import Stack, deployed
from tests.template.translate import Template

BUCKET_POLICY_LIMIT = 20 * 1024
DIGEST = "0" * 64
CONFIG = f"configs/staging/{DIGEST}/haproxy.cfg"
PROGRAM = f"program/{DIGEST}/haproxy_apply.zip"
STATE = "state/staging.json"
FENCED = (
    *(CONFIG, f"configs/production/{DIGEST}/haproxy.cfg", PROGRAM, STATE),
    *("configs/staging/last-good/haproxy.cfg", "state/staging.json.newer"),
    *("program/x", "configs/x", "state/x"),
)
UPLOADS = (
    "templates/staging/haproxy.cfg.j2",
    "templates/production/x",
    "vars/staging.yml",
)
SSM = "arn:aws:ssm:ap-southeast-2"
INSTANCE = f"arn:aws:ec2:ap-southeast-2:{ACCOUNT}:instance/i-0a1b2c3d4e5f60001"
SECRET = f"arn:aws:secretsmanager:ap-southeast-2:{ACCOUNT}:secret:other-AbC123"
KEY = f"arn:aws:kms:ap-southeast-2:{ACCOUNT}:key/1234abcd-12ab-34cd-56ef-1234567890ab"
POLICY_OF_ITS_OWN = f"arn:aws:iam::{ACCOUNT}:policy/haproxy-ec2-sync-x"
TAGGED = {
    "ssm__resourceTag/Environment": "staging",
    "ssm__resourceTag/Type": "haproxy",
}


def _s3_actions() -> dict[str, list[str]]:
    """S3's own table, as cfn-lint ships it: actions by the resource that they are about, in lower case."""
    file = Path(cfnlint.__file__).parent / "data/AdditionalSpecs/Policies.json"
    table = json.loads(file.read_text())["s3"]["Actions"].items()
    return {
        kind: [
            f"s3:{name}" for name, each in table if kind in each.get("Resources", ())
        ]
        for kind in ("object", "bucket")
    }


ACTIONS = _s3_actions()
READS = re.compile(r"s3:(get|list)")
WRITES = [each for each in ACTIONS["object"] if not READS.match(each)]
CHANGES = [each for each in ACTIONS["bucket"] if not READS.match(each)]


@pytest.fixture(scope="session")
def named(source: Template) -> Stack:
    """The stack with template writers and break-glass."""
    return deployed(
        source,
        Environment="staging",
        TemplateWriters=f"{role('author')},{role('aws-reserved/sso.amazonaws.com/*/AWSReservedSSO_Authors_*')}",
        BreakGlass=role("glass"),
    )


@pytest.fixture(params=["nobody is named", "somebody is named"])
def either(request: pytest.FixtureRequest, staging: Stack, named: Stack) -> Stack:
    """The stack as it comes, and the one whose writers are named."""
    return staging if request.param == "nobody is named" else named


def everybody() -> dict[str, Principal]:
    """Whom the bucket's policy does not name."""
    return {**ADMINISTRATORS, **STRANGERS}


def test_the_table_of_actions_is_one() -> None:
    """What changes an object or its versions in whatever way is among them."""
    assert set(WRITES) > {
        "s3:putobject", "s3:deleteobject", "s3:deleteobjectversion", "s3:restoreobject", "s3:replicateobject",
        "s3:replicatedelete", "s3:putobjectacl", "s3:putobjectversionacl", "s3:putobjecttagging",
        "s3:deleteobjecttagging", "s3:putobjectretention", "s3:putobjectlegalhold", "s3:bypassgovernanceretention",
    }  # fmt: skip
    assert set(CHANGES) > {
        "s3:putbucketpolicy", "s3:deletebucketpolicy", "s3:putbucketversioning", "s3:putlifecycleconfiguration",
        "s3:putreplicationconfiguration", "s3:deletebucket", "s3:putbucketpublicaccessblock",
    }  # fmt: skip


# The bucket.


@pytest.mark.fault("F98")
@pytest.mark.parametrize("who", everybody())
def test_nobody_else_writes_what_proxies_run(who: str, either: Stack) -> None:
    """By any action that S3 knows, on configs, programs and the state."""
    asked = everybody()[who]
    for key in FENCED:
        for action in WRITES:
            said = asked.asks(either, action, Names(either).key(key))
            assert said is Decision.DENIED, (action, key)


@pytest.mark.fault("F98")
def test_the_function_puts_and_deletes_nothing(either: Stack) -> None:
    """What it is for, and of all that writes nothing else."""
    asked = principals.function(either)
    for key in (CONFIG, PROGRAM, STATE):
        allowed = {each for each in WRITES if asked.may(either, each, Names(either).key(key))}  # fmt: skip
        assert allowed == {"s3:putobject"}, key
    for key in UPLOADS:
        assert not any(asked.may(either, each, Names(either).key(key)) for each in WRITES)  # fmt: skip


@pytest.mark.fault("F98")
def test_break_glass_writes_anything(named: Stack) -> None:
    """Where it is named, and only whom the pattern means."""
    for key in (*FENCED, *UPLOADS):
        assert all(GLASS.may(named, each, Names(named).key(key)) for each in WRITES)
    for action in CHANGES:
        assert GLASS.may(named, action, Names(named).bucket)


def test_reading_stays_with_iam(either: Stack) -> None:
    """The policy denies no reading and allows none: who may not read by IAM does not."""
    nobody = Principal(role("nobody"))
    for key in (*FENCED, *UPLOADS):
        for action in filter(READS.match, ACTIONS["object"]):
            arn = Names(either).key(key)
            assert ADMINISTRATORS["a role"].may(either, action, arn)
            assert nobody.asks(either, action, arn) is Decision.NOT_ALLOWED


def test_templates_are_anybodys_whom_iam_lets_while_nobody_is_named(
    staging: Stack,
) -> None:
    """As before there was a parameter."""
    for key in UPLOADS:
        arn = Names(staging).key(key)
        assert AUTHOR.may(staging, "s3:PutObject", arn)
        assert ADMINISTRATORS["a user"].may(staging, "s3:DeleteObjectVersion", arn)
        assert not CI.may(staging, "s3:PutObject", arn)


@pytest.mark.fault("F98")
def test_templates_are_written_by_who_is_named_and_nobody_else(named: Stack) -> None:
    """By name or by a pattern, as that of IAM Identity Center's roles, whose path has the region."""
    single_sign_on = role(
        "aws-reserved/sso.amazonaws.com/ap-southeast-2/AWSReservedSSO_Authors_0a1b2c3d4e5f6071"
    )
    writers = [AUTHOR, GLASS, Principal(single_sign_on, (principals.ANYTHING_IN_S3,))]
    for key in UPLOADS:
        arn = Names(named).key(key)
        assert all(each.may(named, "s3:PutObject", arn) for each in writers)
        for who, each in everybody().items():
            if each is AUTHOR:
                continue
            for action in WRITES:
                assert each.asks(named, action, arn) is Decision.DENIED, (who, action)


@pytest.mark.fault("F98")
@pytest.mark.parametrize("who", everybody())
def test_the_fence_is_lifted_by_break_glass_alone(who: str, named: Stack) -> None:
    """Nobody else changes the bucket's policy, versioning or lifecycle; S3 spares the account's root for the policy."""
    spared = {"s3:putbucketpolicy", "s3:deletebucketpolicy"} if who == "the root" else set()  # fmt: skip
    bucket = Names(named).bucket
    asked = everybody()[who]
    assert {each for each in CHANGES if asked.may(named, each, bucket)} == spared
    for action in {*CHANGES} - spared:
        assert asked.asks(named, action, bucket) is Decision.DENIED, action


def test_without_break_glass_whom_iam_lets_lifts_the_fence(staging: Stack) -> None:
    """As docs/security.md says; so nobody is locked out of a bucket whose stack has named nobody."""
    bucket = Names(staging).bucket
    assert ADMINISTRATORS["a role"].may(staging, "s3:DeleteBucketPolicy", bucket)
    assert CI.may(staging, "s3:PutBucketPolicy", bucket)
    assert not OPERATOR.may(staging, "s3:PutBucketPolicy", bucket)


def test_one_parameter_without_the_other(source: Template) -> None:
    """Template writers alone lock nobody out of the bucket, break-glass alone leaves templates to IAM."""
    admin = ADMINISTRATORS["a role"]
    for parameter, changes, uploads in (
        ({"TemplateWriters": role("author")}, True, False),
        ({"BreakGlass": role("glass")}, False, True),
    ):
        stack = deployed(source, Environment="staging", **parameter)
        names = Names(stack)
        assert admin.may(stack, "s3:PutBucketPolicy", names.bucket) == changes
        assert admin.may(stack, "s3:PutObject", names.key(UPLOADS[0])) == uploads
        assert AUTHOR.may(stack, "s3:PutObject", names.key(UPLOADS[0]))
        assert not admin.may(stack, "s3:PutObject", names.key(STATE))


def test_plain_requests_are_denied(either: Stack) -> None:
    """Even to whom the policy names."""
    for asked in (GLASS, principals.function(either)):
        for key in ("", f"/{CONFIG}"):
            said = asked.asks(
                either,
                "s3:GetObject",
                f"{Names(either).bucket}{key}",
                aws__SecureTransport="false",
            )
            assert said is Decision.DENIED


def test_a_policy_of_many_writers_fits(source: Template) -> None:
    """S3 takes 20 KB."""
    many = ",".join(role(f"a-writer-with-a-long-name-{number}") for number in range(50))
    stack = deployed(
        source, Environment="staging", TemplateWriters=many, BreakGlass=many
    )
    document = stack.one("AWS::S3::BucketPolicy")["PolicyDocument"]
    assert principals.policy_size(document) < BUCKET_POLICY_LIMIT


# The function's role.


@pytest.mark.fault("F100")
def test_the_functions_role_reaches_its_proxies_by_its_document_alone(
    either: Stack,
) -> None:
    """It sends nothing else, to nobody else, and makes itself no other rights."""
    asked, names = principals.function(either), Names(either)
    document = names.named("ssm", "document/", "ApplyDocument")
    assert asked.may(either, "ssm:SendCommand", document)
    assert asked.may(either, "ssm:SendCommand", INSTANCE, **TAGGED)
    others = {"ssm__resourceTag/Type": "tomcat"}
    assert not asked.may(either, "ssm:SendCommand", INSTANCE, **TAGGED | others)
    shell = f"{SSM}::document/AWS-RunShellScript"
    for action, resource in (
        ("ssm:SendCommand", shell),
        ("ssm:StartSession", INSTANCE),
        ("ssm:UpdateDocument", document),
        ("ssm:CreateDocument", document),
        ("ec2:CreateTags", INSTANCE),
        ("s3:PutBucketPolicy", names.bucket),
        ("s3:DeleteObject", names.key(STATE)),
        ("lambda:UpdateFunctionCode", names.named("lambda", "function:", "ReconcileFunction")),
        ("iam:PutRolePolicy", asked.arn),
        ("iam:PassRole", asked.arn),
        ("sts:AssumeRole", role("administrator")),
    ):  # fmt: skip
        assert not asked.may(either, action, resource, **TAGGED), action


# The proxies' role.


@pytest.mark.fault("F99")
def test_a_proxys_role_reads_its_configs_and_the_program_alone(either: Stack) -> None:
    """No writing, no listing, no queue, no command, and of no other environment."""
    asked, names = principals.proxy(either), Names(either)
    reads = {key for key in (*FENCED, *UPLOADS) if asked.may(either, "s3:GetObject", names.key(key))}  # fmt: skip
    assert reads == {CONFIG, PROGRAM, "program/x", "configs/staging/last-good/haproxy.cfg"}  # fmt: skip
    for key in (*FENCED, *UPLOADS):
        allowed = {each for each in ACTIONS["object"] if asked.may(either, each, names.key(key))}  # fmt: skip
        assert allowed <= {"s3:getobject"}
    assert not any(asked.may(either, each, names.bucket) for each in ACTIONS["bucket"])
    for queue in ("EventQueue", "DeadLetterQueue"):
        assert not asked.may(either, "sqs:SendMessage", names.arn(queue))
    assert not asked.may(either, "ssm:SendCommand", INSTANCE, **TAGGED)


@pytest.mark.fault("F99")
def test_a_proxys_role_reads_every_parameter_and_no_key_of_ours(either: Stack) -> None:
    """By AWS's own policy. What the key aws/ssm encrypts, that key's policy lets everybody decrypt who may read it."""
    asked = principals.proxy(either)
    assert asked.may(either, "ssm:GetParameters", f"{SSM}:{ACCOUNT}:parameter/other/db")
    for action, resource in (
        ("ssm:GetParametersByPath", f"{SSM}:{ACCOUNT}:parameter/other"),
        ("ssm:PutParameter", f"{SSM}:{ACCOUNT}:parameter/other/db"),
        ("secretsmanager:GetSecretValue", SECRET),
        ("kms:Decrypt", KEY),
    ):
        assert not asked.may(either, action, resource), action


# Operators.


def test_an_operator_invokes_and_looks(either: Stack) -> None:
    """With the policy of docs/command-line.md: no config, no template, no command, no tag, no event of their own."""
    names = Names(either)
    function = names.named("lambda", "function:", "ReconcileFunction")
    assert OPERATOR.may(either, "lambda:InvokeFunction", function)
    assert OPERATOR.may(either, "s3:GetObject", names.key(STATE))
    for action, resource in (
        ("s3:GetObject", names.key(CONFIG)),
        ("s3:GetObject", names.key("vars/staging.yml")),
        ("s3:PutObject", names.key(UPLOADS[0])),
        ("ssm:SendCommand", names.named("ssm", "document/", "ApplyDocument")),
        ("ssm:SendCommand", INSTANCE),
        ("ec2:CreateTags", INSTANCE),
        ("sqs:SendMessage", names.arn("EventQueue")),
        ("lambda:UpdateFunctionCode", function),
        ("lambda:UpdateFunctionConfiguration", function),
    ):
        assert not OPERATOR.may(either, action, resource, **TAGGED), action


# Queues.


@pytest.mark.fault("F97")
@pytest.mark.parametrize("queue", ["EventQueue", "DeadLetterQueue"])
def test_the_queues_take_what_our_rules_send_and_whom_iam_lets(
    queue: str, staging: Stack
) -> None:
    """EventBridge sends for the stack's rules alone; the queue's policy lets in nobody else, in no other way."""
    arn, bridge = staging.arn(queue), STRANGERS["EventBridge"]
    for rule in staging.of_type("AWS::Events::Rule"):
        ours = staging.arn(rule)
        assert bridge.may(staging, "sqs:SendMessage", arn, aws__SourceArn=ours)
        for action in ("sqs:ReceiveMessage", "sqs:PurgeQueue", "sqs:DeleteMessage"):
            assert not bridge.may(staging, action, arn, aws__SourceArn=ours)
        for foreign in (ours.replace(ACCOUNT, FOREIGN_ACCOUNT), f"{ours}-2"):
            assert not bridge.may(staging, "sqs:SendMessage", arn, aws__SourceArn=foreign)  # fmt: skip
    assert not bridge.may(staging, "sqs:SendMessage", arn)
    other = Principal("sns.amazonaws.com")
    assert not other.may(staging, "sqs:SendMessage", arn, aws__SourceArn=staging.arn("SweepRule"))  # fmt: skip
    assert ADMINISTRATORS["a role"].may(staging, "sqs:SendMessage", arn)
    assert not Principal(role("nobody")).may(staging, "sqs:SendMessage", arn)


# Foreign accounts.


@pytest.mark.parametrize("who", STRANGERS)
def test_a_foreign_account_reaches_nothing(who: str, either: Stack) -> None:
    """Whatever its own policies say: bucket and queues let in no other account, and no service but EventBridge."""
    asked, names = STRANGERS[who], Names(either)
    for action in ACTIONS["object"]:
        for key in (*FENCED, *UPLOADS):
            assert not asked.may(either, action, names.key(key))
    assert not any(asked.may(either, each, names.bucket) for each in ACTIONS["bucket"])
    for queue in ("EventQueue", "DeadLetterQueue"):
        for action in ("SendMessage", "ReceiveMessage", "SetQueueAttributes"):
            assert not asked.may(either, f"sqs:{action}", names.arn(queue))
    # Lambda lets in nobody of another account but by a policy of the function, or by its URL.
    types = {each["Type"] for each in either.resources.values()}
    assert not types & {"AWS::Lambda::Permission", "AWS::Lambda::Url"}


def test_the_functions_role_is_lambdas(staging: Stack) -> None:
    """Nobody else assumes it."""
    (trust,) = staging.one("AWS::IAM::Role")["AssumeRolePolicyDocument"]["Statement"]
    assert trust == {
        "Effect": "Allow",
        "Principal": {"Service": "lambda.amazonaws.com"},
        "Action": "sts:AssumeRole",
    }


# A stolen CI role.


@pytest.mark.fault("F181")
def test_a_stolen_ci_role_reaches_what_it_deploys(staging: Stack) -> None:
    """It is root on every proxy by what it deploys, and administers the account by the roles that it makes."""
    names = Names(staging)
    function = names.named("lambda", "function:", "ReconcileFunction")
    document = names.named("ssm", "document/", "ApplyDocument")
    for action, resource in (
        ("lambda:UpdateFunctionCode", function),
        ("ssm:UpdateDocument", document),
        ("iam:PutRolePolicy", names.arn("ReconcileRole")),
        ("s3:PutBucketPolicy", names.bucket),
        ("iam:CreateRole", role("haproxy-ec2-sync-x")),
        ("iam:CreatePolicy", POLICY_OF_ITS_OWN),
    ):
        assert CI.may(staging, action, resource), action
    own = {"iam__PolicyARN": POLICY_OF_ITS_OWN}
    assert CI.may(staging, "iam:AttachRolePolicy", CI.arn, **own)


@pytest.mark.fault("F181")
def test_a_stolen_ci_role_reaches_nothing_else(either: Stack) -> None:
    """Without a deploy or a role that it makes: no object of the bucket, no command, no tag, no invocation."""
    names = Names(either)
    for key in (*FENCED, *UPLOADS):
        for action in WRITES:
            assert not CI.may(either, action, names.key(key)), (action, key)
    attached = {"iam__PolicyARN": "arn:aws:iam::aws:policy/AdministratorAccess"}
    for action, resource, context in (
        ("ssm:SendCommand", names.named("ssm", "document/", "ApplyDocument"), {}),
        ("ssm:SendCommand", INSTANCE, TAGGED),
        ("ec2:CreateTags", INSTANCE, {}),
        ("lambda:InvokeFunction", names.named("lambda", "function:", "ReconcileFunction"), {}),
        ("sqs:SendMessage", names.arn("EventQueue"), {}),
        ("iam:PutRolePolicy", role("administrator"), {}),
        ("iam:AttachRolePolicy", role("haproxy-ec2-sync-x"), attached),
        ("iam:PassRole", role("administrator"), {"iam__PassedToService": "lambda.amazonaws.com"}),
        ("iam:PassRole", role("haproxy-ec2-sync-x"), {"iam__PassedToService": "ec2.amazonaws.com"}),
        ("sts:AssumeRole", role("administrator"), {}),
    ):  # fmt: skip
        known: dict[str, str] = dict(context)
        assert not CI.may(either, action, resource, **known), action


@pytest.mark.fault("F98")
def test_a_stolen_ci_role_that_is_not_named_cannot_lift_the_fence(named: Stack) -> None:
    """Neither by the bucket's policy nor by its lifecycle; by the function's code it still can do what that may."""
    assert not any(CI.may(named, each, Names(named).bucket) for each in CHANGES)
