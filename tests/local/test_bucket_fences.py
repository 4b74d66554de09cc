"""Who writes what to the bucket of a stack that the real `sam deploy` made, tried by who may do anything in S3."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.cloud import REGION
from local.deployment import PROJECT, SamFailed
from tests.documents import DOCUMENTS, commands
from tests.local.account import Account, opened
from tests.local.stack_life import EMPTY, POLICY

AWS = PROJECT / ".venv-aws/bin/aws"
ARN = "arn:aws:iam::123456789012:role/{}"
ADMINISTRATOR = "arn:aws:iam::123456789012:user/administrator"
NAMED = {"TemplateWriters": ARN.format("author*"), "BreakGlass": f"{ARN.format('glass')},{ADMINISTRATOR}"}  # fmt: skip
EVERYTHING = {
    "Version": "2012-10-17",
    "Statement": {"Effect": "Allow", "Action": "s3:*", "Resource": "*"},
}
TEMPLATE, VARIABLES = "templates/staging/haproxy.cfg.j2", "vars/staging.yml"
FENCED = (
    "state/staging.json",
    "state/staging.json.newer",
    f"configs/staging/{'0' * 64}/haproxy.cfg",
    f"configs/production/{'0' * 64}/haproxy.cfg",
    "configs/staging/last-good/haproxy.cfg",
    f"program/{'0' * 64}/haproxy_apply.zip",
)


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    """An account with the stack as samconfig.toml has it: neither template writers nor break-glass are named."""
    with peopled(tmp_path_factory.mktemp("fences")) as owned:
        owned.deploy()
        yield owned


@contextmanager
def peopled(folder: Path) -> Iterator[Account]:
    """An account with three roles that may do anything in S3."""
    with opened(folder) as owned:
        for role in ("author-1", "glass", "somebody"):
            owned.used_by(role, EVERYTHING)
        yield owned


@contextmanager
def deployed(account: Account, **parameters: str) -> Iterator[str]:
    """The stack with these parameters; afterwards it has those of before. The bucket."""
    account.deploy(**parameters)
    try:
        yield account.outputs()["BucketName"]
    finally:
        account.deploy(**dict.fromkeys(parameters, EMPTY))


def is_denied(call: Callable[..., Any], **arguments: Any) -> bool:
    """Whether S3 says so."""
    try:
        call(**arguments)
    except ClientError as error:
        return error.response["Error"]["Code"] == "AccessDenied"
    return False


@pytest.mark.fault("F98")
def test_nobody_but_the_function_writes_what_proxies_run(account: Account) -> None:
    """Nobody puts, tags or deletes there, not a single version, nor many at once; whom IAM lets reads."""
    bucket = account.outputs()["BucketName"]
    somebody = account.s3_of("somebody")
    for key in FENCED:
        at = {"Bucket": bucket, "Key": key}
        assert is_denied(somebody.put_object, Body=b"mine", **at), key
        assert is_denied(somebody.delete_object, **at), key
        assert is_denied(somebody.delete_object, VersionId="1", **at), key
        assert is_denied(somebody.put_object_tagging, Tagging={"TagSet": []}, **at), key
        many = {"Objects": [{"Key": TEMPLATE}, {"Key": key}]}
        assert is_denied(somebody.delete_objects, Bucket=bucket, Delete=many), key
        copied = {"CopySource": f"{bucket}/{TEMPLATE}", **at}
        assert is_denied(somebody.copy_object, **copied), key
    somebody.list_objects_v2(Bucket=bucket)


@pytest.mark.fault("F98")
def test_the_accounts_administrator_is_nobody_special(account: Account) -> None:
    """Who may do everything by IAM is denied, too, unless they take the policy away first."""
    admin, at = account.client("s3"), {"Bucket": account.outputs()["BucketName"]}
    assert is_denied(admin.put_object, Key=FENCED[0], Body=b"", **at)
    kept = admin.get_bucket_policy(**at)["Policy"]
    admin.delete_bucket_policy(**at)
    try:
        admin.put_object(Key=FENCED[0], Body=b"", **at)
        admin.delete_object(Key=FENCED[0], **at)
    finally:
        admin.put_bucket_policy(Policy=kept, **at)
    assert is_denied(admin.put_object, Key=FENCED[0], Body=b"", **at)


def test_templates_are_written_by_whom_iam_allows(account: Account) -> None:
    """As long as nobody is named."""
    bucket = account.outputs()["BucketName"]
    for key in (TEMPLATE, VARIABLES):
        account.s3_of("somebody").put_object(Bucket=bucket, Key=key, Body=b"")
        account.s3_of("somebody").delete_object(Bucket=bucket, Key=key)


@pytest.mark.fault("F98")
def test_who_is_named_writes_and_nobody_else(account: Account) -> None:
    """Template writers templates, break-glass everything, and it alone changes the bucket."""
    with deployed(account, **NAMED) as bucket:
        somebody, author, glass = (
            account.s3_of(role) for role in ("somebody", "author-1", "glass")
        )
        for key in (TEMPLATE, VARIABLES):
            assert is_denied(somebody.put_object, Bucket=bucket, Key=key, Body=b"")
            assert is_denied(somebody.delete_object, Bucket=bucket, Key=key)
            for writer in (author, glass):
                writer.put_object(Bucket=bucket, Key=key, Body=b"")
                writer.delete_object(Bucket=bucket, Key=key)
        for key in FENCED:
            assert is_denied(author.put_object, Bucket=bucket, Key=key, Body=b"")
            glass.put_object(Bucket=bucket, Key=key, Body=b"")
            glass.delete_object(Bucket=bucket, Key=key)
        off = {"Status": "Suspended"}
        for one in (somebody, author):
            assert is_denied(one.delete_bucket_policy, Bucket=bucket)
            assert is_denied(one.put_bucket_versioning, Bucket=bucket, VersioningConfiguration=off)  # fmt: skip
        kept = glass.get_bucket_policy(Bucket=bucket)["Policy"]
        glass.delete_bucket_policy(Bucket=bucket)
        glass.put_bucket_policy(Bucket=bucket, Policy=kept)


@pytest.mark.fault("F98")
def test_a_deployer_who_is_not_named_cannot_change_the_policy(account: Account) -> None:
    """CloudFormation acts with its rights; the update fails, its events say what is denied, and the policy stays."""
    deployer = account.used_by("deployer", POLICY)
    with deployed(account, BreakGlass=ADMINISTRATOR) as bucket:
        before = account.client("s3").get_bucket_policy(Bucket=bucket)["Policy"]
        with pytest.raises(SamFailed, match="sam deploy ended with 1"):
            deployer.deploy(TemplateWriters=ARN.format("deployer"))
        assert "s3:PutBucketPolicy on arn:aws:s3:::" in " ".join(
            account.troubles().values()
        )
        after = account.client("s3").get_bucket_policy(Bucket=bucket)["Policy"]
        assert json.loads(after) == json.loads(before)


def test_the_bucket_of_a_deleted_stack_is_anybodys_whom_iam_lets(
    tmp_path: Path,
) -> None:
    """Its policy goes with the stack: what lies there can be moved out, and the document's commands delete it."""
    with peopled(tmp_path) as account:
        account.deploy(**NAMED)
        bucket = account.outputs()["BucketName"]
        account.s3_of("author-1").put_object(Bucket=bucket, Key=TEMPLATE, Body=b"mine")
        glass = account.s3_of("glass")
        for key in FENCED * 2:
            glass.put_object(Bucket=bucket, Key=key, Body=b"")
        glass.delete_object(Bucket=bucket, Key=FENCED[0])
        account.delete()
        assert account.status() == ""

        somebody = account.s3_of("somebody")
        somebody.put_object(Bucket=bucket, Key=FENCED[0], Body=b"")
        kept = somebody.get_object(Bucket=bucket, Key=TEMPLATE)["Body"].read()
        assert kept == b"mine"
        for action in ("delete-objects", "delete-bucket"):
            (typed,) = commands(DOCUMENTS["deploying.md"], f"aws s3api {action}")
            _run(account, typed.replace("<bucket>", bucket))
        left = account.client("s3").list_buckets()["Buckets"]
        assert bucket not in {each["Name"] for each in left}


def _run(account: Account, command: str) -> None:
    """Type it, with no other setting of AWS."""
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith("AWS_")
    }
    own = {"AWS_DEFAULT_REGION": REGION, "PATH": f"{AWS.parent}:{os.environ['PATH']}"}
    subprocess.run(
        ["bash", "-c", command],
        env=inherited | account.environment | own,
        stdin=subprocess.DEVNULL,
        check=True,
        timeout=120,
    )
