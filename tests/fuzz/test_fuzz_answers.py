"""Whatever Run Command and hosts answer: no crash, and no success that no host reported."""

import json
import re
from typing import Any

import pytest
from hypothesis import example
from hypothesis import strategies as st

from haproxy_sync.rollout import run_command
from haproxy_sync.rollout.agents import findings
from haproxy_sync.rollout.reports import (
    FINAL,
    HOST_OUTCOMES,
    MARKER,
    awaits_download,
    following,
    reports_of,
)
from haproxy_sync.state.codec import jsonable
from tests.fuzz.budget import fuzzed
from tests.fuzz.odd import JSON, TEXTS, mutated

MD5 = "0123456789abcdef" * 2
SOUND = {
    "outcome": "installed",
    "reason": "",
    "generation": 41,
    "md5_before": "",
    "md5_after": MD5,
    "running_md5": MD5,
    "method": "syn-drop",
    "window_ms": 12,
    "old_workers": 1,
    "backup": "/etc/haproxy/haproxy.cfg.bak",
    "detail": "[ALERT] (7) : config : parsing [/etc/haproxy/haproxy.cfg:4]: 'usr'",
    "publisher": "arn:aws:cloudformation:eu-west-1:123456789012:stack/a/b",
    "other_publisher": "",
    "other_publisher_at": 7,
    "servers_up": 3,
    "servers_down": 0,
    "down": "",
    "haproxy": "running",
    "backends": "a 3/0 b 1/2",
    "more_backends": 0,
    "watched": "up/3 gone/?",
    "notes": "state-not-saved",
    "would": "differs",
    "diff_lines": 2,
    "diff_shown": 2,
}
LINES = st.builds(
    lambda begin, marker: f"{begin}{json.dumps(marker)}\nlog\n",
    st.sampled_from([MARKER] * 8 + ["", MARKER.lower(), f" {MARKER}"]),
    mutated(SOUND),
)
OUTPUTS = LINES | st.builds(
    lambda line, at, odd: line[:at] + odd + line[at:],
    LINES,
    st.integers(0, 400),
    TEXTS,
)
STATUSES = st.sampled_from(["Success", "Failed", "InProgress", "TimedOut", "Pending"])


@st.composite
def invocations(draw: st.DrawFn) -> Any:
    """One as ListCommandInvocations shows it, with what is odd."""
    status = draw(STATUSES)
    return draw(
        mutated(
            {
                "InstanceId": "i-0a1b2c3d",
                "Status": status,
                "StatusDetails": draw(STATUSES),
                "TraceOutput": "",
                "CommandPlugins": [
                    {"Name": "download", "Status": draw(STATUSES), "Output": ""},
                    {"Name": "download-program", "Status": "Success", "Output": ""},
                    {
                        "Name": "apply",
                        "Status": draw(STATUSES),
                        "Output": draw(OUTPUTS),
                    },
                ],
            }
        )
    )


def is_said(invocation: Any) -> bool:
    """Whether the last apply step's first line is a marker, and the step or the whole command is over."""
    listed = invocation.get("CommandPlugins")
    steps = [
        each
        for each in (listed if isinstance(listed, list) else [])
        if isinstance(each, dict) and each.get("Name") == "apply"
    ]
    over = {str(each.get("Status")) for each in (invocation, *steps[-1:])}
    marked = any(is_marker(each.get("Output")) for each in steps[-1:])
    return marked and bool(FINAL & over)


def is_marker(output: Any) -> bool:
    """As docs/architecture.md has it."""
    begin, _, rest = str(output).partition("\n")[0].partition(MARKER)
    try:
        said = json.loads(rest)
        digests = (said["md5_after"], said["running_md5"])
        return (
            not begin
            and said["outcome"] in HOST_OUTCOMES
            and type(said["generation"]) is int
            and all(re.fullmatch("|[0-9a-f]{32}", digest) for digest in digests)
        )
    except (ValueError, KeyError, TypeError, RecursionError):
        return False


@pytest.mark.fault("F295")
@fuzzed(4300, raw=invocations())
@example(raw={"Status": "Success"})
@example(raw=None)
@example(raw={"InstanceId": "i-0a1b2c3d", "Status": "Success", "CommandPlugins": [7]})
@example(
    raw={
        "InstanceId": "i-0a1b2c3d",
        "Status": "Success",
        "CommandPlugins": [{"Name": "apply", "Output": json.dumps(SOUND)}],
    }
)
@example(raw={"InstanceId": ["i"], "Status": {}, "CommandPlugins": 7})
def test_only_a_marker_is_a_report(raw: Any) -> None:
    """And each report can be stored and told."""
    named = list(filter(run_command.says_whom, [raw]))
    for report in reports_of(named):
        assert report.is_heard <= is_said(raw)
        assert re.fullmatch("|[0-9a-f]{32}", report.installed)
        assert re.fullmatch("|[0-9a-f]{32}", report.running)
        assert report.instance_id == raw["InstanceId"]
        json.dumps(jsonable(report), allow_nan=False).encode()
        for text in (report.reason, report.detail, report.backup, report.down):
            assert len(text.encode()) <= 4 * 300
    for each in named:
        awaits_download(each)


@pytest.mark.fault("F295")
@fuzzed(1000, output=OUTPUTS | JSON, shown=st.integers(0, 5))
def test_a_diff_is_some_lines_of_an_output(output: Any, shown: int) -> None:
    """Each whole, whatever was printed."""
    lines = following(output, shown)
    assert len(lines) <= shown
    assert not any("\n" in line for line in lines)


class Service:
    """Systems Manager, as far as it is asked, with these answers."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def describe_instance_information(self, **_: Any) -> Any:
        """What is listed of agents."""
        return {"InstanceInformationList": self.answer}

    def get_command_invocation(self, **_: Any) -> Any:
        """What one printed."""
        return self.answer


AGENT = {"InstanceId": "i-0a1b2c3d", "PingStatus": "Online", "AgentVersion": "3.3.1.0"}


@pytest.mark.fault("F295")
@fuzzed(1000, listed=st.lists(mutated(AGENT), max_size=3))
@example(listed=[{"InstanceId": "i-0a1b2c3d"}])
@example(listed=[None])
@example(listed=[{"InstanceId": ["i-0a1b2c3d"], "PingStatus": 7, "AgentVersion": None}])
def test_agents_of_any_shape_are_judged(listed: list[Any]) -> None:
    """One whose state nobody knows is not taken for one that is online."""
    asked = ["i-0a1b2c3d", "i-0a1b2c3e"]
    found = run_command.agents(Service(listed), asked, 1.0)
    assert set(found) == set(asked)
    for agent in found.values():
        findings(agent)
        json.dumps(jsonable(agent)).encode()
    is_online = any(
        isinstance(each, dict)
        and each.get("InstanceId") == asked[0]
        and each.get("PingStatus") == "Online"
        for each in listed
    )
    assert (found[asked[0]].ping == "Online") <= is_online
