"""A proxy applied a config if its marker says so, and in no other case."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from haproxy_sync.pointer import Outcome
from haproxy_sync.report import fold, parse_marker

MD5 = "0123456789abcdef" * 2
MARKER = {
    "outcome": "installed",
    "reason": "",
    "generation": 41,
    "md5_before": "",
    "md5_after": MD5,
    "running_md5": MD5,
    "method": "syn-drop",
    "window_ms": 12,
    "backup": "/etc/haproxy/haproxy.cfg.20261122T030405Z.01234567.bak",
}


def said(**changes: Any) -> str:
    """The script's output."""
    return "haproxy-ec2-sync " + json.dumps(MARKER | changes) + "\nlog line\n"


def invocation(status: str, detail: str = "", output: str | None = None, instance_id: str = "i-1") -> dict[str, Any]:
    """As ListCommandInvocations shows it."""
    plugins = [] if output is None else [{"Name": "apply", "Status": status, "Output": output}]
    return {"InstanceId": instance_id, "Status": status, "StatusDetails": detail or status, "CommandPlugins": plugins}


def test_the_marker_is_the_report() -> None:
    """With the digests that the host proved."""
    (report,) = fold([invocation("Success", output=said())])
    assert report.outcome is Outcome.INSTALLED
    assert (report.installed, report.running, report.is_heard) == (MD5, MD5, True)
    assert report.backup.endswith(".bak")


@pytest.mark.parametrize("status", ["Pending", "InProgress", "Delayed", "Cancelling"])
def test_what_is_under_way_is_no_report(status: str) -> None:
    """Not even with a marker already printed."""
    assert fold([invocation(status, output=said())]) == ()


@pytest.mark.fault("F68")
@pytest.mark.parametrize("output", [None, "", "done\n", "\n" + said(), "haproxy-ec2-sync", "haproxy-ec2-sync {}"])
def test_success_without_a_marker_applied_nothing(output: str | None) -> None:
    """A skipped step counts as Success for the service, not for us."""
    (report,) = fold([invocation("Success", output=output)])
    assert (report.outcome, report.reason, report.is_heard) == (Outcome.FAILED, "no-marker", False)


@pytest.mark.fault("F54")
@pytest.mark.parametrize(
    ("status", "detail", "outcome", "reason"),
    [
        ("Failed", "Undeliverable", Outcome.MISSING, "undeliverable"),
        ("TimedOut", "DeliveryTimedOut", Outcome.MISSING, "delivery-timed-out"),
        ("TimedOut", "Delivery Timed Out", Outcome.MISSING, "delivery-timed-out"),
        ("Failed", "AccessDenied", Outcome.DENIED, "access-denied"),
        ("Failed", "Access Denied", Outcome.DENIED, "access-denied"),
        ("Cancelled", "Terminated", Outcome.NOT_TRIED, "stopped-by-max-errors"),
        ("Cancelled", "Cancelled", Outcome.FAILED, "cancelled"),
        ("TimedOut", "ExecutionTimedOut", Outcome.FAILED, "execution-timed-out"),
        ("Failed", "InvalidPlatform", Outcome.FAILED, "invalid-platform"),
        ("Failed", "SomethingNew", Outcome.FAILED, "no-marker"),
    ],
)
def test_what_the_service_says_where_the_host_said_nothing(
    status: str, detail: str, outcome: Outcome, reason: str
) -> None:
    """Every way of not reaching a host has its own word, whatever the parent's status."""
    reports = fold([invocation("Success", output=said()), invocation(status, detail, instance_id="i-2")])
    assert [report.outcome for report in reports] == [Outcome.INSTALLED, outcome]
    assert reports[1].reason == reason


def test_a_failed_step_reports_its_own_reason() -> None:
    """The marker of a failed script wins over the status."""
    (report,) = fold([invocation("Failed", output=said(outcome="rolled-back", reason="bind-failed", detail="ALERT"))])
    assert (report.outcome, report.reason, report.detail) == (Outcome.ROLLED_BACK, "bind-failed", "ALERT")


def test_a_timed_out_script_that_had_reported_is_heard() -> None:
    """The first line is out before the deadline kills what came after."""
    (report,) = fold([invocation("TimedOut", "ExecutionTimedOut", said())])
    assert report.outcome is Outcome.INSTALLED


def test_a_failed_download_says_why() -> None:
    """With what the agent printed."""
    failed = invocation("Failed")
    failed["CommandPlugins"] = [
        {"Name": "download", "Status": "Failed", "Output": "http request failed. status:403"},
        {"Name": "apply", "Status": "Cancelled", "Output": ""},
    ]
    (report,) = fold([failed])
    assert (report.outcome, report.reason) == (Outcome.FAILED, "download-failed")
    assert "403" in report.detail


@pytest.mark.parametrize(
    "changes",
    [
        {"outcome": "missing"},  # no host may say that of itself
        {"outcome": "great"},
        {"generation": "41"},
        {"generation": True},
        {"md5_after": None},
        {"running_md5": MD5.upper()},
        {"running_md5": MD5 + "\n"},
    ],
)
def test_a_marker_of_another_shape_proves_nothing(changes: dict[str, Any]) -> None:
    """Half a marker is none."""
    assert parse_marker(said(**changes)) is None


def test_a_marker_cut_off_proves_nothing() -> None:
    """The service shows the first 2,500 characters; a marker that needs more is not one."""
    assert parse_marker(said()[:60]) is None


@given(st.text() | st.text().map(lambda text: "haproxy-ec2-sync " + text))
def test_any_output_is_survived(output: str) -> None:
    """A host may print what it likes."""
    (report,) = fold([invocation("Success", output=output)])
    assert report.outcome is Outcome.FAILED
