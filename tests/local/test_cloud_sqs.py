"""SQS as the local system plays it: a policy beyond what SQS takes is refused, however it comes."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws
from moto.sqs.models import Queue

from local.cloud import REGION, cloudformation, sqs
from local.stack import client
from tests.template.stack import Stack, deployed
from tests.template.translate import source

QUEUE = "arn:aws:sqs:ap-southeast-2:123456789012:queue"


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[boto3.Session]:
    """An account whose SQS checks policies."""
    name = "_set_attributes"
    monkeypatch.setattr(Queue, name, getattr(Queue, name))
    with mock_aws():
        sqs.install()
        yield boto3.Session(region_name=REGION)


def document(*statements: dict[str, Any], **elements: Any) -> str:
    """A policy of these statements, or of one good statement with some elements replaced."""
    good = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": "sqs:SendMessage",
        "Resource": "*",
    }
    return json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [good | each for each in statements or [elements]],
        }
    )


def equals(number: int) -> dict[str, Any]:
    """So many conditions."""
    return {
        "Condition": {
            "StringEquals": {
                f"aws:PrincipalTag/{key}": ["a", "b"] for key in range(number)
            }
        }
    }


def accounts(number: int) -> dict[str, Any]:
    """So many principals."""
    return {"Principal": {"AWS": [f"{key:012}" for key in range(number)]}}


ACTIONS = [
    f"sqs:{name}"
    for name in ("SendMessage", "Re*", "De*", "Get*", "Li*", "Ch*", "Pu*", "Ta*")
]
MOST = {
    "as it should be": document(),
    "one resource, as a list": document(Resource=[QUEUE]),
    "seven actions": document(Action=ACTIONS[:7]),
    "twenty statements": document(*[{}] * 20),
    "ten conditions": document(equals(6), equals(4)),
    "fifty principals": document(accounts(25), accounts(25)),
}
TOO_MUCH = {
    "two resources": document({}, {"Resource": [QUEUE, f"{QUEUE}-2"]}),
    "eight actions": document({}, {"Action": ACTIONS}),
    "twenty-one statements": document(*[{}] * 21),
    "eleven conditions": document(equals(6), equals(5)),
    "fifty-one principals": document(accounts(25), accounts(26)),
    "8,193 bytes": document(Sid="x" * (8193 - len(document(Sid="")))),
    "no JSON": "{",
    "no statement": "{}",
    "a list": "[]",
}


@pytest.mark.parametrize("name", MOST)
def test_what_sqs_takes_is_set(name: str, account: boto3.Session) -> None:
    """Up to each limit, with either call."""
    client = account.client("sqs")
    client.create_queue(QueueName="first", Attributes={"Policy": MOST[name]})
    url = client.create_queue(QueueName="second")["QueueUrl"]
    client.set_queue_attributes(QueueUrl=url, Attributes={"Policy": MOST[name]})
    found = client.get_queue_attributes(QueueUrl=url, AttributeNames=["Policy"])[
        "Attributes"
    ]["Policy"]
    assert json.loads(found) == json.loads(MOST[name])


@pytest.mark.parametrize("name", TOO_MUCH)
def test_what_sqs_refuses_changes_nothing(name: str, account: boto3.Session) -> None:
    """One beyond each limit: no new queue, and the old one keeps its policy and the rest."""
    client = account.client("sqs")
    with pytest.raises(
        ClientError,
        match=r"InvalidAttributeValue.* Invalid value for the parameter Policy\.",
    ):
        client.create_queue(QueueName="first", Attributes={"Policy": TOO_MUCH[name]})
    assert "QueueUrls" not in client.list_queues()
    url = client.create_queue(QueueName="second", Attributes={"Policy": document()})[
        "QueueUrl"
    ]
    before = client.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])[
        "Attributes"
    ]
    with pytest.raises(ClientError, match="Invalid value for the parameter Policy"):
        client.set_queue_attributes(
            QueueUrl=url, Attributes={"DelaySeconds": "9", "Policy": TOO_MUCH[name]}
        )
    assert (
        client.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        == before
    )


def test_the_local_system_refuses_too(tmp_path: Path) -> None:
    """The process that plays AWS there checks what comes to it."""
    command, pipe = (
        [sys.executable, "-m", "local.cloud", str(tmp_path), "1"],
        subprocess.PIPE,
    )
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        try:
            assert process.stdout
            owner = client(process.stdout.readline().strip(), "sqs")
            owner.create_queue(QueueName="first", Attributes={"Policy": document()})
            with pytest.raises(
                ClientError, match="Invalid value for the parameter Policy"
            ):
                owner.create_queue(
                    QueueName="second", Attributes={"Policy": TOO_MUCH["two resources"]}
                )
            process.communicate(timeout=30)  # it ends with its standard input
        finally:
            process.kill()


def queues_of(stack: Stack, change: dict[str, Any]) -> str:
    """The queues of the project's stack and their policy, each statement with some elements replaced."""
    policy = json.loads(json.dumps(stack.one("AWS::SQS::QueuePolicy")))
    for statement in policy["PolicyDocument"]["Statement"]:
        statement.update(change)
    names = [url.rpartition("/")[2] for url in policy["Queues"]]
    queues = {
        f"Queue{key}": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": n}}
        for key, n in enumerate(names)
    }
    resource = {
        "Type": "AWS::SQS::QueuePolicy",
        "DependsOn": list(queues),
        "Properties": policy,
    }
    return json.dumps({"Resources": queues | {"QueuePolicy": resource}})


def policies(account: boto3.Session) -> list[bool]:
    """Whether each queue of the account has a policy."""
    client = account.client("sqs")
    urls = client.list_queues()["QueueUrls"]
    answers = [
        client.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
        for url in urls
    ]
    return ["Policy" in answer["Attributes"] for answer in answers]


def test_a_stack_whose_queue_policy_sqs_refuses_does_not_deploy(
    account: boto3.Session,
) -> None:
    """Our own policy does; with both queues named in a statement the stack fails, and neither queue gets any."""
    # Moto knows it by this class.
    assert cloudformation.QueuePolicy.cloudformation_type() == "AWS::SQS::QueuePolicy"
    stack, client = (
        deployed(source(), Environment="staging"),
        account.client("cloudformation"),
    )
    client.create_stack(StackName="good", TemplateBody=queues_of(stack, {}))
    assert policies(account) == [True, True]
    client.delete_stack(StackName="good")
    both = {"Resource": [stack.arn("EventQueue"), stack.arn("DeadLetterQueue")]}
    with pytest.raises(
        ClientError,
        match=r"InvalidAttributeValue.* Invalid value for the parameter Policy\.",
    ):
        client.create_stack(StackName="bad", TemplateBody=queues_of(stack, both))
    assert policies(account) == [False, False]
