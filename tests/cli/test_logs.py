"""The function's log on a terminal: every line once, in its order, readable; and nothing that a terminal obeys."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import boto3
import pytest
from moto.logs.models import LogGroup

from haproxy_ec2_sync import clock, function
from haproxy_ec2_sync.app import INTERRUPTED
from haproxy_ec2_sync.function import Function
from haproxy_ec2_sync.target import Target
from local.cloud import logs
from tests.cli.conftest import Shell
from tests.cli.test_waiting import error_of_aws
from tests.contract.world import REGION

GROUP = "staging-log"
BEGIN = 1795662000.0  # 2026-11-26 03:00:00 UTC
LINE = {
    "level": "INFO",
    "location": "_log:163",
    "message": "look",
    "timestamp": "2026-11-26 03:00:00,000+0000",
    "service": "haproxy-ec2-sync",
    "environment": "staging",
    "request_id": "request-1",
    "why": "sweep",
    "generation": 7,
    "published": False,
    "template_error": "",
    "commands": [{"command_id": "c-1", "purpose": "wave", "targets": ["i-1", "i-2"]}],
}


@dataclass
class Stored:
    """The function's log group, and the time by which the operator reads it."""

    client: Any
    now: float = BEGIN
    work: list[Callable[[], object]] = field(default_factory=list)

    def add(self, *messages: object, ago: float = 60.0, stream: str = "a") -> None:
        """Events of that time; what is no text is written as JSON."""
        at = int((self.now - ago) * 1000)
        events = [
            {
                "timestamp": at,
                "message": each if isinstance(each, str) else json.dumps(each),
            }
            for each in messages
        ]
        self.client.put_log_events(
            logGroupName=GROUP, logStreamName=stream, logEvents=events
        )

    def sleep(self, seconds: float) -> None:
        """The next thing happens; after the last one somebody presses Ctrl-C."""
        self.now += seconds
        if not self.work:
            raise KeyboardInterrupt
        self.work.pop(0)()


@pytest.fixture
def log(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> Stored:
    """An empty log group that answers as AWS does."""
    for name in ("filter_log_events", "get_cfn_attribute"):
        monkeypatch.setattr(LogGroup, name, getattr(LogGroup, name))
    logs.install()
    client = boto3.client("logs", region_name=REGION)
    client.create_log_group(logGroupName=GROUP)
    for stream in "ab":
        client.create_log_stream(logGroupName=GROUP, logStreamName=stream)
    stored = Stored(client)
    find = function.find

    def with_log(target: Target) -> Function:
        found = find(target)
        clients = {"logs": client}
        return Function(found.name, {"LogGroupName": GROUP}, clients.__getitem__)

    monkeypatch.setattr(function, "find", with_log)
    monkeypatch.setattr(clock, "now", lambda: stored.now)
    monkeypatch.setattr(clock, "sleep", stored.sleep)
    assert shell.asked == []
    return stored


def messages(out: str) -> list[str]:
    """Of JSON lines: what each was that was none when it was written, or the line itself."""
    objects = map(json.loads, out.splitlines())
    return [
        each["message"] if each.keys() == {"at", "message"} else json.dumps(each)
        for each in objects
    ]


def test_json_lines_are_json_whatever_was_written(shell: Shell, log: Stored) -> None:
    """`jq` reads all of it: the function's own lines as they are, Lambda's with their time."""
    log.add(LINE, "START RequestId: 1\n", "Traceback:\n  File x \x1b[2J", "[1, 2]")
    first, *others = map(json.loads, shell("logs", "--json").out.splitlines())
    assert first == LINE
    assert others == [
        {"at": "2026-11-26 02:59:00Z", "message": message}
        for message in ("START RequestId: 1", "Traceback:\n  File x \x1b[2J", "[1, 2]")
    ]


def test_a_line_of_the_function_is_readable(shell: Shell, log: Stored) -> None:
    """Time, level, message, and the fields that say something."""
    log.add(LINE)
    assert shell("logs").out == (
        "2026-11-26 02:59:00Z INFO     look  why=sweep  generation=7  commands=wave to i-1 i-2\n"
    )


def test_metrics_and_other_lines(shell: Shell, log: Stored) -> None:
    """Metrics that are not zero; lines that are no JSON as they are."""
    metrics = {"_aws": {"Timestamp": 1}, "service": "s", "Looks": [1.0], "Holds": [0.0]}
    log.add(metrics, "START RequestId: 1", "[1, 2]", "Traceback:\n  File x")
    assert shell("logs").out.splitlines() == [
        "2026-11-26 02:59:00Z METRICS  Looks=1",
        "2026-11-26 02:59:00Z START RequestId: 1",
        "2026-11-26 02:59:00Z [1, 2]",
        "2026-11-26 02:59:00Z Traceback:",
        "  File x",
    ]


def test_a_long_line_stays_one_line_and_a_hostile_one_is_harmless(
    shell: Shell, log: Stored
) -> None:
    """A host's words, a tag's value and a template's text come from others."""
    log.add(LINE | {"why": "x" * 5000, "detail": "\x1b[2J[red]\nnext"})
    log.add("\x1b]0;title\x07[bold]plain")
    first, second = shell("logs").out.splitlines()
    assert len(first) < 600
    assert "[red] next" in first
    assert "[bold]plain" in second
    assert "\x1b" not in first + second
    assert "\x07" not in second


def test_all_streams_by_time_page_after_page(shell: Shell, log: Stored) -> None:
    """As many as there are, each once."""
    for number in range(300):
        log.add(str(number), ago=300 - number / 2, stream="ab"[number % 2])
    lines = messages(shell("logs", "--json").out)
    assert lines == [str(number) for number in range(300)]


def test_since_when(shell: Shell, log: Stored) -> None:
    """Ten minutes, if nobody says more."""
    log.add("old", ago=3000)
    log.add("new", ago=599)
    assert messages(shell("logs", "--json").out) == ["new"]
    assert messages(shell("logs", "--json", "--since", "1h").out) == ["old", "new"]
    assert messages(shell("logs", "--json", "--since", "90s").out) == []
    typed = shell("logs", "--since", "yesterday")
    assert typed.status == 1
    assert "say 90s, 10m, 2h or 1d" in typed.err


def test_errors_are_warnings_and_worse_and_what_is_no_line_of_ours(
    shell: Shell, log: Stored
) -> None:
    """A timeout is told by Lambda itself."""
    bad = [
        json.dumps(LINE | {"level": "WARNING"}),
        json.dumps(LINE | {"level": "ERROR"}),
        "request-1 Task timed out after 60.00 seconds",
        "REPORT RequestId: 1\tDuration: 1 ms\tStatus: timeout",
    ]
    log.add(LINE, "START RequestId: 1", "END RequestId: 1", "REPORT RequestId: 1", *bad)
    assert messages(shell("logs", "--errors", "--json").out) == bad


def test_grep_finds_in_any_case_and_anywhere(shell: Shell, log: Stored) -> None:
    """An expression, in what was written, not in what is shown of it."""
    log.add(LINE, "Other")
    assert len(shell("logs", "--grep", "LOCATION.*_log").out.splitlines()) == 1
    assert "Other" in shell("logs", "--grep", "^other$").out
    typed = shell("logs", "--grep", "(")
    assert typed.status == 1
    assert "no regular expression" in typed.err


def test_following_shows_each_line_once(shell: Shell, log: Stored) -> None:
    """Those of the same moment and late ones too; Ctrl-C ends it."""
    log.add("first")
    log.work = [
        lambda: log.add("second", "third", ago=0),
        lambda: log.add("late", ago=10),
        lambda: None,
        lambda: log.add("last", ago=0),
    ]
    typed = shell("logs", "--follow", "--json")
    assert typed.status == INTERRUPTED
    assert messages(typed.out) == ["first", "second", "third", "late", "last"]


def test_following_outlives_what_passes(
    shell: Shell, log: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And says so; what does not pass ends it."""
    codes = ["ThrottlingException"]
    paginator = log.client.get_paginator

    def throttled(name: str) -> Any:
        if codes:
            raise error_of_aws(codes.pop())
        return paginator(name)

    monkeypatch.setattr(log.client, "get_paginator", throttled)
    log.add("first", ago=0)
    log.work = [lambda: None]
    typed = shell("logs", "--follow", "--json")
    assert typed.status == INTERRUPTED
    assert messages(typed.out) == ["first"]
    assert "ThrottlingException" in typed.err
    codes.append("AccessDeniedException")
    assert shell("logs", "--follow").status == 1


def test_a_missing_group_is_one_line(shell: Shell, log: Stored) -> None:
    """Somebody deleted it."""
    log.client.delete_log_group(logGroupName=GROUP)
    typed = shell("logs")
    assert typed.status == 1
    assert typed.err == (
        "haproxy-ec2-sync: there is no log group staging-log: deploy the stack again\n"
    )


def test_more_than_anybody_reads_is_an_error(
    shell: Shell, log: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After those that were read."""
    monkeypatch.setattr("haproxy_ec2_sync.commands.logs.MOST_LINES", 3)
    log.add("1", "2", "3", "4")
    typed = shell("logs", "--json")
    assert messages(typed.out) == ["1", "2", "3"]
    assert typed.status == 1
    assert "only the first 3 lines" in typed.err


def test_lines_that_are_json_of_no_shape_are_shown(shell: Shell, log: Stored) -> None:
    """Others write into a log, too: no line of theirs hides the rest."""
    log.add('{"level": ["ERROR"], "message": {}}', "[" * 100_000, '{"level": "ERROR"}')
    assert len(shell("logs").out.splitlines()) == 3
    assert len(shell("logs", "--errors").out.splitlines()) == 2


def test_longer_ago_than_time_goes_back(shell: Shell, log: Stored) -> None:
    """All that is there."""
    log.add("old", ago=86400)
    assert messages(shell("logs", "--json", "--since", "999999d").out) == ["old"]
