"""A proxy applied a config if its marker says so, and in no other case."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from haproxy_sync.rollout.reports import (
    Report,
    awaits_download,
    parse_marker,
    reports_of,
)
from haproxy_sync.state.model import BackendServers, Outcome

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
    """The step's output."""
    return "haproxy-ec2-sync " + json.dumps(MARKER | changes) + "\nlog line\n"


def invocation(
    status: str, detail: str = "", output: str | None = None, instance_id: str = "i-1"
) -> dict[str, Any]:
    """As ListCommandInvocations shows it."""
    plugins = (
        []
        if output is None
        else [step("download", "Success"), step("apply", status, output)]
    )
    return {
        "InstanceId": instance_id,
        "Status": status,
        "StatusDetails": detail or status,
        "CommandPlugins": plugins,
    }


def step(name: str, status: str, output: str = "") -> dict[str, Any]:
    """A step within it."""
    return {"Name": name, "Status": status, "Output": output}


def test_the_marker_is_the_report() -> None:
    """With the digests that the host proved."""
    (report,) = reports_of([invocation("Success", output=said())])
    assert report.outcome is Outcome.INSTALLED
    assert (report.installed, report.running, report.is_heard) == (MD5, MD5, True)
    assert report.backup.endswith(".bak")


@pytest.mark.fault("F221")
def test_what_the_host_could_not_do_is_told() -> None:
    """Its notes by word, how long the drop window was open, how many workers are left, and which HAProxy it is."""
    told = said(
        notes="no-drop-window state-not-saved",
        old_workers=3,
        haproxy_version="2.6.12",
        style="daemon",
    )
    (report,) = reports_of([invocation("Success", output=told)])
    assert report.notes == ("no-drop-window", "state-not-saved")
    assert (report.window_ms, report.old_workers) == (12, 3)
    assert (report.haproxy_version, report.style) == ("2.6.12", "daemon")


@pytest.mark.fault("F221")
@pytest.mark.parametrize("odd", [None, 7, ["a"], "<b>x</b>", "A b\nc", "x" * 500, {}])
def test_notes_are_words_and_few(odd: object) -> None:
    """Whatever else a host says under that name is none; so are more than it may say."""
    (report,) = reports_of([invocation("Success", output=said(notes=odd))])
    assert set(report.notes) <= {"b", "c"}
    many = " ".join(f"note-{number}" for number in range(1000))
    (report,) = reports_of([invocation("Success", output=said(notes=many))])
    assert report.notes
    assert len(" ".join(report.notes)) <= 200
    (report,) = reports_of(
        [invocation("Success", output=said(window_ms="x", old_workers=-1))]
    )
    assert (report.window_ms, report.old_workers) == (0, None)


SAID = "[ALERT] (7) : config : parsing [/etc/haproxy/haproxy.cfg:4]: "


HEADER = "'http-request set-header' expects either 'if' or 'unless' but found '{}'."
CHECK = "'http-check send' : expects 'hdr', 'body' but got '{}' as argument.. no"
WORDS = "too many words, truncating at word 65, position 330:{}"
QUOTE = "unmatched quote at position 30:{}"
ERRORS = " [ALERT] (7) : Fatal errors found"


@pytest.mark.fault("F151")
@pytest.mark.parametrize(
    ("alert", "shown"),
    [
        (HEADER.format("s3cr3t"), HEADER.format("***")),
        (CHECK.format("s3cr3t"), CHECK.format("***")),
        (WORDS.format(" <a 's3cr3t'>.") + ERRORS, WORDS.format("***") + ERRORS),
        (QUOTE.format(ERRORS), QUOTE.format(ERRORS)),
        (QUOTE.format('  password "s3cr3t  ^'), QUOTE.format("***")),
        ("unknown keyword 'usr'", "unknown keyword 'usr'"),
    ],
)
def test_what_haproxy_quotes_of_a_line_is_hidden(alert: str, shown: str) -> None:
    """It may be a secret; all else that it said is told."""
    refused = said(outcome="failed", reason="invalid-config", detail=SAID + alert)
    (report,) = reports_of([invocation("Failed", output=refused)])
    assert report.detail == SAID + shown


def test_half_a_character_is_no_text() -> None:
    """An answer that has one could not be sent."""
    odd = said(detail="a\ud800b", haproxy_version="\udfff", style="ok")
    (report,) = reports_of([invocation("Success", output=odd)])
    assert (report.detail, report.haproxy_version, report.style) == ("a?b", "?", "ok")


@pytest.mark.parametrize("status", ["Pending", "InProgress", "Delayed", "Cancelling"])
def test_what_is_under_way_is_no_report(status: str) -> None:
    """Not even with a marker already printed."""
    assert reports_of([invocation(status, output=said())]) == ()


@pytest.mark.parametrize("status", ["InProgress", "Cancelling"])
def test_a_step_that_has_ended_is_heard_although_the_final_status_got_lost(
    status: str,
) -> None:
    """The agent sends both apart, and the marker is the last word of the program."""
    waiting = invocation(status) | {
        "CommandPlugins": [step("apply", "Success", said())]
    }
    (report,) = reports_of([waiting])
    assert (report.outcome, report.is_heard) == (Outcome.INSTALLED, True)


@pytest.mark.parametrize(
    ("status", "detail", "steps"),
    [
        ("Success", "Success", []),
        (
            "Success",
            "Success",
            [step("download", "Success"), step("apply", "InProgress")],
        ),
        ("Success", "Success", [step("download", "Success"), step("apply", "Success")]),
        ("Failed", "Failed", []),
        ("Failed", "Failed", [step("download", "Success")]),
        (
            "Failed",
            "Failed",
            [
                step(
                    "apply",
                    "Success",
                    "Step apply skipped due to prior step with an exit condition",
                )
            ],
        ),
        ("TimedOut", "ExecutionTimedOut", []),
        (
            "Cancelled",
            "Cancelled",
            [step("download", "Success"), step("apply", "Pending")],
        ),
    ],
)
def test_a_final_status_may_outrun_what_the_host_said(
    status: str, detail: str, steps: list[dict[str, Any]]
) -> None:
    """Whoever believes it at once takes a good proxy for a failed one."""
    (report,) = reports_of([invocation(status, detail) | {"CommandPlugins": steps}])
    is_rejected = (status, steps) == ("Failed", [])
    outcome = Outcome.UNKNOWN if is_rejected else Outcome.FAILED
    assert (report.outcome, report.is_silent) == (outcome, True)


@pytest.mark.fault("F117")
def test_a_dead_worker_is_no_failed_download() -> None:
    """The agent calls the first step failed, whichever step ran, in words of its own."""
    died = step(
        "download",
        "Failed",
        "document process failed unexpectedly, check [ssm-document-worker] log",
    )
    (report,) = reports_of(
        [invocation("Failed", "Failed") | {"CommandPlugins": [died]}]
    )
    assert (report.outcome, report.reason) == (Outcome.UNKNOWN, "agent-died")


@pytest.mark.fault("F115")
@pytest.mark.parametrize(
    ("steps", "is_awaited"),
    [
        ([], True),
        ([step("download", "Pending"), step("apply", "Pending")], True),
        ([step("download", "InProgress")], True),
        ([step("download", "Success"), step("download-program", "Pending")], True),
        ([step("download", "Success"), step("download-program", "Success")], False),
        ([step("download", "Pending"), step("apply", "Success")], False),
    ],
)
def test_a_command_in_progress_tells_whether_it_downloads(
    steps: list[dict[str, Any]],
    is_awaited: bool,  # noqa: FBT001 # a column of the table
) -> None:
    """However the service shows steps that have not ended: not at all, pending or in progress."""
    shown = invocation("InProgress", "InProgress") | {"CommandPlugins": steps}
    assert awaits_download(shown) is is_awaited


@pytest.mark.parametrize(
    ("status", "detail", "steps"),
    [
        (
            "Success",
            "Success",
            [step("download", "Success"), step("apply", "Success", "done")],
        ),
        ("Failed", "Failed", [step("download", "Failed", "status:403")]),
        (
            "Failed",
            "Failed",
            [step("download", "Success"), step("apply", "Failed", "exit status 127")],
        ),
        (
            "TimedOut",
            "ExecutionTimedOut",
            [step("download", "Success"), step("apply", "TimedOut")],
        ),
        ("TimedOut", "DeliveryTimedOut", []),
        ("Failed", "Undeliverable", []),
        ("Failed", "AccessDenied", []),
        ("Cancelled", "Terminated", []),
    ],
)
def test_where_nothing_more_can_come_nobody_waits(
    status: str, detail: str, steps: list[dict[str, Any]]
) -> None:
    """Every step has been heard of, or none ever ran."""
    (report,) = reports_of([invocation(status, detail) | {"CommandPlugins": steps}])
    assert not report.is_silent


@pytest.mark.fault("F68")
@pytest.mark.parametrize(
    "output",
    [None, "", "done\n", "\n" + said(), "haproxy-ec2-sync", "haproxy-ec2-sync {}"],
)
def test_success_without_a_marker_applied_nothing(output: str | None) -> None:
    """A skipped step counts as Success for the service, not for us."""
    (report,) = reports_of([invocation("Success", output=output)])
    assert (report.outcome, report.reason, report.is_heard) == (
        Outcome.FAILED,
        "no-marker",
        False,
    )


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
    reports = reports_of(
        [
            invocation("Success", output=said()),
            invocation(status, detail, instance_id="i-2"),
        ]
    )
    assert [report.outcome for report in reports] == [Outcome.INSTALLED, outcome]
    assert reports[1].reason == reason


def test_a_failed_step_reports_its_own_reason() -> None:
    """The marker of a failed program wins over the status."""
    (report,) = reports_of(
        [
            invocation(
                "Failed",
                output=said(
                    outcome="rolled-back", reason="bind-failed", detail="ALERT"
                ),
            )
        ]
    )
    assert (report.outcome, report.reason, report.detail) == (
        Outcome.ROLLED_BACK,
        "bind-failed",
        "ALERT",
    )


def test_a_timed_out_script_that_had_reported_is_heard() -> None:
    """The first line is out before the deadline kills what came after."""
    (report,) = reports_of([invocation("TimedOut", "ExecutionTimedOut", said())])
    assert report.outcome is Outcome.INSTALLED


def test_a_failed_download_says_why() -> None:
    """With what the agent printed."""
    failed = invocation("Failed")
    failed["CommandPlugins"] = [
        {
            "Name": "download",
            "Status": "Failed",
            "Output": "http request failed. status:403",
        },
        {"Name": "apply", "Status": "Cancelled", "Output": ""},
    ]
    (report,) = reports_of([failed])
    assert (report.outcome, report.reason) == (Outcome.FAILED, "download-failed")
    assert "403" in report.detail


@pytest.mark.fault("F69")
@pytest.mark.fault("F70")
def test_a_program_that_did_not_arrive_has_a_reason_of_its_own() -> None:
    """The config did; what the agent says of the steps that it skipped counts for nothing."""
    failed = invocation("Failed")
    failed["CommandPlugins"] = [
        step("download", "Success", "Content downloaded"),
        step("download-program", "Failed", "http request failed. status:404"),
        step("apply", "Success", "Step apply skipped due to prior step"),
    ]
    (report,) = reports_of([failed])
    assert (report.outcome, report.reason) == (
        Outcome.FAILED,
        "program-download-failed",
    )
    assert "404" in report.detail
    assert not report.is_silent


def test_each_download_is_waited_for() -> None:
    """What became of the program's may still be on its way; a document that ran a script had but one."""
    steps = [step("download", "Success"), step("download-program", "Pending")]
    ended = step("apply", "TimedOut")
    waiting = invocation("TimedOut", "ExecutionTimedOut")
    (report,) = reports_of([waiting | {"CommandPlugins": [*steps, ended]}])
    assert report.is_silent
    (report,) = reports_of([waiting | {"CommandPlugins": [steps[0], ended]}])
    assert not report.is_silent


@pytest.mark.parametrize(
    "changes",
    [
        {"outcome": "missing"},  # no host may say that of itself
        {"outcome": "great"},
        {"outcome": []},
        {"outcome": {}},
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
    (report,) = reports_of([invocation("Success", output=output)])
    assert report.outcome is Outcome.FAILED


NAMES = st.text(
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.:-", min_size=1
)
BACKENDS = st.lists(
    st.builds(BackendServers, NAMES, st.integers(0, 9999999), st.integers(0, 9999999)),
    unique_by=lambda each: each.name,
).map(tuple)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


def reported(**changes: Any) -> Report:
    """The report of a marker with these keys."""
    (report,) = reports_of([invocation("Success", output=said(**changes))])
    return report


def told(backends: tuple[BackendServers, ...]) -> str:
    """As hosts write it."""
    return " ".join(f"{each.name} {each.up}/{each.down}" for each in backends)


@pytest.mark.fault("F147")
@pytest.mark.parametrize("haproxy", ["running", "stopped", "config-not-used"])
def test_a_run_tells_how_haproxy_is(haproxy: str) -> None:
    """Whatever else it did."""
    assert reported(haproxy=haproxy).haproxy == haproxy


@pytest.mark.fault("F147")
@given(BACKENDS, st.integers(0, 10**6))
def test_the_backends_of_a_report_are_those_of_the_marker(
    backends: tuple[BackendServers, ...], more: int
) -> None:
    """All of what a host may say; what is longer than that is nothing that a host says."""
    report = reported(backends=told(backends), more_backends=more)
    if len(told(backends)) <= 400:
        assert (report.backends, report.more_backends) == (backends, more)
    else:
        assert (report.backends, report.more_backends) == (None, 0)


@pytest.mark.fault("F149")
@pytest.mark.parametrize(
    "changes",
    [
        {},  # an earlier release
        {"backends": None},
        {"backends": ["app", 1, 2]},
        {"backends": "app 1/2 "},
        {"backends": " app 1/2"},
        {"backends": "app  1/2"},
        {"backends": "app 1/2\n"},
        {"backends": "app 1/2 web"},
        {"backends": "app 1/"},
        {"backends": "app -1/2"},
        {"backends": "app 1.0/2"},
        {"backends": "app \u0661/2"},
        {"backends": "app 12345678/0"},
        {"backends": "app+ 1/2"},
        {"backends": "app 1/2 app 2/1"},
        {"backends": "app 1/2", "more_backends": "3"},
        {"backends": "app 1/2", "more_backends": -1},
        {"backends": "app 1/2", "more_backends": True},
        {"more_backends": 3},
    ],
)
def test_backends_of_another_shape_are_unknown(changes: dict[str, Any]) -> None:
    """All of them: half of it may be the better half. What else the host said still counts."""
    report = reported(haproxy="running", **changes)
    assert (report.backends, report.more_backends) == (None, 0)
    assert (report.outcome, report.haproxy) == (Outcome.INSTALLED, "running")


@pytest.mark.fault("F149")
@given(
    st.fixed_dictionaries(
        {},
        optional=dict.fromkeys(
            ("haproxy", "backends", "more_backends"),
            JSON | st.from_regex(r"([a-z+]+ [0-9/-]+ ?)*"),
        ),
    )
)
def test_whatever_a_marker_says_of_servers_is_survived(changes: dict[str, Any]) -> None:
    """A host may say anything, and no more is kept of it than it may say."""
    report = reported(**changes)
    assert report.haproxy in {"", "running", "stopped", "config-not-used"}
    assert len(told(report.backends or ())) <= 400
    assert 0 <= report.more_backends < 1 << 53
