"""CloudWatch Logs as the local system plays it: what a function prints is in its log group, where it may write."""

import io
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws
from moto.logs.models import LogGroup, logs_backends

from local.cloud import ACCOUNT, REGION, logs

GROUP = "stack-log"
ARN = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{GROUP}"
SECONDS = 10


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[boto3.Session]:
    """An account with one log group."""
    for name in ("filter_log_events", "get_cfn_attribute"):
        monkeypatch.setattr(LogGroup, name, getattr(LogGroup, name))
    with mock_aws():
        logs.install()
        session = boto3.Session(region_name=REGION)
        session.client("logs").create_log_group(logGroupName=GROUP)
        yield session


def function(account: boto3.Session, allowed: str, group: str = GROUP) -> Any:
    """A function whose role may write to this resource."""
    iam = account.client("iam")
    statement = {
        "Effect": "Allow",
        "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
        "Resource": allowed,
    }
    role = iam.create_role(RoleName="sample", AssumeRolePolicyDocument="{}")["Role"]
    iam.put_role_policy(
        RoleName="sample",
        PolicyName="log",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [statement]}),
    )
    return SimpleNamespace(
        function_name="sample", role=role["Arn"], logging_config={"LogGroup": group}
    )


def lines(account: boto3.Session, **options: Any) -> list[str]:
    """All that is in the group, page by page."""
    pages = account.client("logs").get_paginator("filter_log_events")
    found = pages.paginate(logGroupName=GROUP, **options)
    return [event["message"] for page in found for event in page["events"]]


def until(condition: Callable[[], object]) -> None:
    """Wait for what a thread does."""
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_what_is_printed_is_in_file_and_group(
    account: boto3.Session, tmp_path: Path
) -> None:
    """Every line, in its order, whatever its bytes."""
    deployed = function(account, f"{ARN}:*")
    printed = b"".join(b'{"line": %d}\n' % number for number in range(250)) + b"\xff\n"
    logs.Output(deployed, tmp_path / "function.log").keep(io.BytesIO(printed))
    until(lambda: len(lines(account)) == 251)
    assert (tmp_path / "function.log").read_bytes() == printed
    assert lines(account)[:2] == ['{"line": 0}', '{"line": 1}']
    assert lines(account)[249:] == ['{"line": 249}', "�"]


@pytest.mark.parametrize(
    ("allowed", "group"), [(ARN, GROUP), (f"{ARN}:*", "another"), (f"{ARN}:*", "")]
)
def test_nothing_is_written_where_the_service_could_not(
    account: boto3.Session, tmp_path: Path, allowed: str, group: str
) -> None:
    """A policy on the group's name alone covers no stream of it."""
    deployed = function(account, allowed, group)
    logs.Output(deployed, tmp_path / "log").say("START")
    assert lines(account) == []


def test_the_stacks_own_policy_covers_its_streams(account: boto3.Session) -> None:
    """`!GetAtt` of a log group ends in `:*`."""
    assert account
    group = logs_backends[ACCOUNT][REGION].groups[GROUP]
    assert group.get_cfn_attribute("Arn") == f"{ARN}:*"


def test_events_of_all_streams_come_by_time_in_pages(account: boto3.Session) -> None:
    """The first page may be empty, and a page holds fewer than were asked for; ids are no two alike."""
    group = logs_backends[ACCOUNT][REGION].groups[GROUP]
    for stream in "ab":
        group.create_log_stream(stream)
    for number in range(150):
        logs.put(group, "ab"[number % 2], str(number))
    client = account.client("logs")
    first = client.filter_log_events(logGroupName=GROUP, limit=10_000)
    assert first["events"] == []
    second = client.filter_log_events(
        logGroupName=GROUP, nextToken=first["nextToken"], limit=10_000
    )
    assert len(second["events"]) == logs.PAGE_EVENTS
    assert lines(account) == [str(number) for number in range(150)]
    events = group.streams["a"].events + group.streams["b"].events
    assert len({event.event_id for event in events}) == 150


def test_start_time_is_in_milliseconds_and_counts(account: boto3.Session) -> None:
    """An event of that very moment is in."""
    group = logs_backends[ACCOUNT][REGION].groups[GROUP]
    group.create_log_stream("a")
    before = int(time.time() * 1000)
    logs.put(group, "a", "now")
    (event,) = group.streams["a"].events
    assert before <= event.timestamp <= before + SECONDS * 1000
    assert lines(account, startTime=event.timestamp) == ["now"]
    assert lines(account, startTime=event.timestamp + 1) == []


def test_memory_is_bounded(
    account: boto3.Session, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The newest lines of the newest streams stay."""
    monkeypatch.setattr(logs, "KEPT_EVENTS", 3)
    monkeypatch.setattr(logs, "KEPT_STREAMS", 2)
    deployed = function(account, f"{ARN}:*")
    for name in "abc":
        output = logs.Output(deployed, tmp_path / name)
        for number in range(5):
            output.say(f"{name}{number}")
    assert lines(account) == ["b2", "b3", "b4", "c2", "c3", "c4"]


def test_what_is_wrong_is_refused(account: boto3.Session) -> None:
    """As the service does; and a filter pattern is not played."""
    client = account.client("logs")
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.filter_log_events(logGroupName="another")
    with pytest.raises(ClientError, match="less than or equal to 10000"):
        client.filter_log_events(logGroupName=GROUP, limit=10_001)
    with pytest.raises(ClientError, match="not played"):
        client.filter_log_events(logGroupName=GROUP, filterPattern="ERROR")
