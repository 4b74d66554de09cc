"""How the Run Command stand-in brings a command to its hosts: order, errors, timeouts, states and events."""

from collections.abc import Sequence

import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from local.run_command import Detail, DocumentResult, Order, ScriptedAgent
from local.run_command.statuses import allowed_in_flight, exceeded, folded, limit
from tests.local.run_command_bench import Bench, ids


def test_a_command_starts_on_one_host_and_doubles(bench: Bench) -> None:
    """Whatever MaxConcurrency says, the first wave is one host, then two, then four, up to the limit."""
    command_id = bench.send(bench.hosts(20), MaxConcurrency="6")
    completed = []
    for _ in range(6):
        bench.run(1)
        completed.append(
            sum(detail.is_final for detail in bench.command(command_id).details)
        )
    assert completed == [1, 3, 7, 13, 19, 20]


def test_percentages_of_concurrency_mean_at_least_one_host(bench: Bench) -> None:
    """10 % of three hosts is one at a time."""
    command_id = bench.send(bench.hosts(3), MaxConcurrency="10%")
    for done in range(1, 3):
        bench.run(1)
        assert bench.details(command_id) == [
            *["Success"] * done,
            "InProgress",
            *["Pending"] * (2 - done),
        ]


@pytest.mark.parametrize("code", [1, 137])
def test_the_first_error_stops_a_command_that_allows_none(
    bench: Bench, code: int
) -> None:
    """With MaxErrors 0 the hosts after the failed one never start, and what already ran may finish."""
    hosts = bench.hosts(5, h2=code)
    command_id = bench.send(hosts, MaxErrors="0", MaxConcurrency="10")
    bench.run(10)
    failed = "Failed" if code == 1 else "ExecutionTimedOut"
    assert bench.details(command_id) == [
        "Success",
        failed,
        "Success",
        "Terminated",
        "Terminated",
    ]
    assert bench.command(command_id).detail == failed


def test_as_many_errors_as_allowed_do_not_stop_a_command(bench: Bench) -> None:
    """MaxErrors 1 stops at the second error, not at the first."""
    command_id = bench.send(
        bench.hosts(6, h1=1, h3=1), MaxErrors="1", MaxConcurrency="1"
    )
    bench.run(10)
    assert bench.details(command_id) == [
        "Failed",
        "Success",
        "Failed",
        "Terminated",
        "Terminated",
        "Terminated",
    ]


def test_a_host_without_agent_is_called_online_for_minutes(bench: Bench) -> None:
    """The service accepts a command for a host that just died, and the command waits."""
    hosts = bench.hosts(1)
    bench.service.disconnect(hosts[0])
    command_id = bench.send(hosts, TimeoutSeconds=30)
    bench.run(20)
    assert bench.details(command_id) == ["Delayed"]
    assert bench.invocations(command_id)[hosts[0]]["Status"] == "Pending"


def test_a_late_host_runs_a_command_within_its_delivery_timeout(bench: Bench) -> None:
    """An agent that comes back in time gets the command late."""
    hosts = bench.hosts(1)
    bench.service.disconnect(hosts[0])
    command_id = bench.send(hosts, TimeoutSeconds=30)
    bench.run(29)
    bench.service.reconnect(hosts[0])
    assert bench.details(command_id) == ["InProgress"]
    bench.run(1)
    assert bench.details(command_id) == ["Success"]


def test_a_command_that_nobody_took_expires_after_the_total_timeout(
    bench: Bench,
) -> None:
    """An agent back after TimeoutSeconds does not run it; the document's own timeout later it is called off."""
    hosts = bench.hosts(1)
    bench.service.disconnect(hosts[0])
    command_id = bench.send(hosts, TimeoutSeconds=30)
    bench.run(31)
    bench.service.reconnect(hosts[0])
    bench.run(58)
    assert bench.details(command_id) == ["Delayed"]
    bench.run(1)
    assert bench.details(command_id) == ["DeliveryTimedOut"]
    detail = bench.command(command_id).detail
    assert (detail.status, detail.value) == ("TimedOut", "DeliveryTimedOut")


def test_an_answer_that_never_comes_ends_as_a_delivery_timeout(bench: Bench) -> None:
    """A host that dies while it runs the command keeps it in progress until the total timeout."""
    hosts = bench.hosts(1)
    command_id = bench.send(hosts, TimeoutSeconds=30)
    bench.service.disconnect(hosts[0])
    bench.run(89)
    assert bench.details(command_id) == ["InProgress"]
    bench.run(1)
    assert bench.details(command_id) == ["DeliveryTimedOut"]


def test_a_script_outlives_the_connection_of_its_agent(bench: Bench) -> None:
    """What ran while the agent was away is reported once it is back."""
    hosts = bench.hosts(1)
    command_id = bench.send(hosts)
    bench.service.disconnect(hosts[0])
    bench.run(10)
    assert bench.details(command_id) == ["InProgress"]
    bench.service.reconnect(hosts[0])
    assert bench.details(command_id) == ["Success"]


def test_a_crash_is_reported_a_minute_after_the_return(bench: Bench) -> None:
    """What a crash of the host cut off is not run again and ends as Failed without steps."""
    hosts = bench.hosts(1)
    command_id = bench.send(hosts)
    bench.service.disconnect(hosts[0], crash=True)
    bench.run(10)
    bench.service.reconnect(hosts[0])
    bench.run(59)
    assert bench.details(command_id) == ["InProgress"]
    bench.run(1)
    [invocation] = bench.invocations(command_id).values()
    assert (invocation["StatusDetails"], invocation["CommandPlugins"]) == ("Failed", [])


def test_undelivered_hosts_do_not_count_as_errors(bench: Bench) -> None:
    """A command is Success although its other hosts were terminated before they got it."""
    hosts = bench.hosts(5)
    for host in hosts[1:]:
        bench.service.disconnect(host)
    command_id = bench.send(hosts, MaxErrors="0", MaxConcurrency="5")
    bench.run(3)
    for host in hosts[1:]:
        bench.service.deregister(host)
    bench.run(1)
    assert bench.details(command_id) == ["Success", *["Undeliverable"] * 4]
    assert bench.command(command_id).detail == "Success"


def test_a_host_that_the_policy_does_not_cover_is_denied_alone(bench: Bench) -> None:
    """AccessDenied shows in the host's invocation; the others run and the command is Success."""
    hosts = bench.hosts(2)
    bench.service.permits = lambda instance_id: instance_id != hosts[0]
    command_id = bench.send(hosts)
    bench.run(3)
    assert bench.details(command_id) == ["AccessDenied", "Success"]
    assert bench.invocations(command_id)[hosts[0]]["Status"] == "Failed"
    assert bench.command(command_id).detail == "Success"


def test_a_new_command_is_not_known_at_once(bench: Bench) -> None:
    """Reading calls are eventually consistent: for a moment an invocation does not exist."""
    hosts = bench.hosts(1)
    command_id = bench.send(hosts)
    with pytest.raises(ClientError, match="InvocationDoesNotExist"):
        bench.ssm.get_command_invocation(CommandId=command_id, InstanceId=hosts[0])
    assert bench.invocations(command_id) == {}
    bench.run(1)
    assert (
        bench.ssm.get_command_invocation(CommandId=command_id, InstanceId=hosts[0])[
            "Status"
        ]
        == "Success"
    )


def test_a_step_that_has_not_ended_has_no_result_yet(bench: Bench) -> None:
    """While a host works its step is Pending with code -1 and no output."""
    [host] = ids(1)
    bench.service.register(
        host, ScriptedAgent(bench.clock, bench.answering(), seconds=10)
    )
    command_id = bench.send([host])
    bench.run(2)
    [step] = bench.invocations(command_id)[host]["CommandPlugins"]
    assert (step["Name"], step["Status"], step["ResponseCode"], step["Output"]) == (
        "apply",
        "Pending",
        -1,
        "",
    )
    answer = bench.ssm.get_command_invocation(CommandId=command_id, InstanceId=host)
    assert (answer["ResponseCode"], answer["StandardOutputContent"]) == (-1, "")


def test_lists_show_the_beginning_of_the_output(bench: Bench) -> None:
    """ListCommandInvocations shows 2,500 bytes of both streams, GetCommandInvocation 24,000 and 8,000."""
    [host] = ids(1)
    answer = bench.answering(1, "o" * 24_000, "e" * 24_000)
    bench.service.register(host, ScriptedAgent(bench.clock, answer))
    command_id = bench.send([host])
    bench.run(2)
    output = bench.invocations(command_id)[host]["CommandPlugins"][0]["Output"]
    assert len(output) == 2500
    assert output.startswith("ooo")
    assert "---Output truncated---\n----------ERROR-------\neee" in output
    assert output.endswith("---Error truncated----")
    whole = bench.ssm.get_command_invocation(
        CommandId=command_id, InstanceId=host, PluginName="apply"
    )
    assert len(whole["StandardOutputContent"]) == 24_000
    assert len(whole["StandardErrorContent"]) == 8_000
    plain = bench.ssm.list_command_invocations(CommandId=command_id)[
        "CommandInvocations"
    ][0]
    assert plain["CommandPlugins"] == []


@pytest.mark.fault("F120")
@pytest.mark.parametrize("stderr", ["", "\N{EURO SIGN}" * 8000], ids=["one", "both"])
def test_the_cut_counts_bytes_and_may_halve_a_character(
    bench: Bench, stderr: str
) -> None:
    """What is left of it is replaced, so that the listing is text; what comes before is as it was."""
    for shift in range(3):
        said = "x" * shift + "\N{EURO SIGN}" * 8000
        result = bench.answering(1, said, stderr)(Order("", "", "", {}, {}))
        output = result.steps[0].output
        kept = output.partition("\n---Output truncated---")[0].rstrip(
            "\N{REPLACEMENT CHARACTER}"
        )
        assert said.startswith(kept)
        assert len(kept) > 300
        # A replacement takes three bytes where one or two were left of a character.
        assert 2500 <= len(output.encode()) <= 2500 + 2 * 2
        assert len(output) < 1000


def test_short_output_is_shown_whole(bench: Bench) -> None:
    """Both streams in one text, with a title between them."""
    [host] = ids(1)
    bench.service.register(
        host, ScriptedAgent(bench.clock, bench.answering(1, "marker\n", "oops"))
    )
    command_id = bench.send([host])
    bench.run(2)
    [step] = bench.invocations(command_id)[host]["CommandPlugins"]
    assert step["Output"] == "marker\n\n----------ERROR-------\noops"


def test_a_document_that_the_agent_refused_has_no_steps(bench: Bench) -> None:
    """A failure before the first step is a Failed invocation with a trace and nothing else."""
    [host] = ids(1)
    refusal = DocumentResult(Detail.FAILED, trace="no such parameter")
    bench.service.register(host, ScriptedAgent(bench.clock, lambda _order: refusal))
    command_id = bench.send([host])
    bench.run(2)
    invocation = bench.invocations(command_id)[host]
    assert (invocation["Status"], invocation["CommandPlugins"]) == ("Failed", [])
    assert invocation["TraceOutput"] == "no such parameter"


def test_an_unknown_step_is_refused(bench: Bench) -> None:
    """GetCommandInvocation wants a step's name, not its action's."""
    hosts = bench.hosts(1)
    command_id = bench.send(hosts)
    bench.run(2)
    with pytest.raises(ClientError, match="InvalidPluginName"):
        bench.ssm.get_command_invocation(
            CommandId=command_id, InstanceId=hosts[0], PluginName="aws:runShellScript"
        )


def test_invocations_are_paged(bench: Bench) -> None:
    """ListCommandInvocations gives as many as asked for, and a token where there are more."""
    hosts = bench.hosts(2)
    command_id = bench.send(hosts)
    bench.run(10)
    first = bench.ssm.list_command_invocations(CommandId=command_id, MaxResults=1)
    rest = bench.ssm.list_command_invocations(
        CommandId=command_id, MaxResults=1, NextToken=first["NextToken"]
    )
    assert [
        first["CommandInvocations"][0]["InstanceId"],
        rest["CommandInvocations"][0]["InstanceId"],
    ] == hosts
    assert "NextToken" not in rest


def test_every_state_is_announced_once(bench: Bench) -> None:
    """InProgress and the end of each invocation and of the command go to EventBridge, in the documented format."""
    hosts = bench.hosts(2, h2=1)
    command_id = bench.send(hosts, TimeoutSeconds=30)
    bench.run(5)
    seen = [
        (e["detail-type"], e["detail"].get("instance-id"), e["detail"]["status"])
        for e in bench.events
    ]
    one, all_ = (
        "EC2 Command Invocation Status-change Notification",
        "EC2 Command Status-change Notification",
    )
    assert seen == [
        (one, hosts[0], "InProgress"),
        (all_, None, "InProgress"),
        (one, hosts[0], "Success"),
        (one, hosts[1], "InProgress"),
        (one, hosts[1], "Failed"),
        (all_, None, "Failed"),
    ]
    event = bench.events[-1]
    arn = "arn:aws:ec2:eu-west-1:123456789012:instance/"
    assert event == {
        "version": "0",
        "id": event["id"],
        "detail-type": all_,
        "source": "aws.ssm",
        "account": "123456789012",
        "time": "2026-01-01T00:00:02Z",
        "region": "eu-west-1",
        "resources": [arn + host for host in hosts],
        "detail": {
            "command-id": command_id,
            "document-name": "Apply",
            "expire-after": "2026-01-01T00:01:30.000Z",
            "parameters": {"Md5": ["abcd"]},
            "requested-date-time": "2026-01-01T00:00:00.000Z",
            "status": "Failed",
        },
    }
    assert bench.events[-2]["detail"] == {
        "command-id": command_id,
        "document-name": "Apply",
        "instance-id": hosts[1],
        "requested-date-time": "2026-01-01T00:00:00.000Z",
        "status": "Failed",
    }


OK, BAD, LATE, GONE = (
    Detail.SUCCESS,
    Detail.FAILED,
    Detail.DELIVERY_TIMED_OUT,
    Detail.UNDELIVERABLE,
)


@pytest.mark.parametrize(
    ("details", "max_errors", "command"),
    [
        ([OK, OK], 0, OK),
        ([OK, BAD], 0, BAD),
        ([OK, BAD], 1, BAD),
        ([OK, OK, BAD], 2, Detail.INCOMPLETE),
        ([OK, Detail.EXECUTION_TIMED_OUT], 0, Detail.EXECUTION_TIMED_OUT),
        ([OK, GONE, GONE, GONE, GONE], 0, OK),
        ([GONE, GONE], 0, BAD),
        ([Detail.ACCESS_DENIED, OK], 0, OK),
        ([Detail.ACCESS_DENIED], 0, BAD),
        ([OK, LATE], 0, LATE),
        ([OK, LATE], 2, Detail.INCOMPLETE),
        ([OK, Detail.IN_PROGRESS], 0, Detail.IN_PROGRESS),
        ([Detail.PENDING, Detail.DELAYED], 0, Detail.PENDING),
    ],
)
def test_the_state_of_a_command_is_what_the_user_guide_says(
    details: Sequence[Detail], max_errors: int, command: Detail
) -> None:
    """Undeliverable and denied hosts do not keep a command from Success, unless there is no other host."""
    assert folded(details, max_errors) is command


@given(
    st.lists(st.sampled_from([OK, LATE, GONE, Detail.ACCESS_DENIED, Detail.CANCELLED])),
    st.integers(0, 50),
)
def test_only_failures_and_execution_timeouts_stop_a_command(
    details: list[Detail], max_errors: int
) -> None:
    """No number of undelivered, denied or cancelled hosts exceeds MaxErrors."""
    assert not exceeded(details, max_errors)
    assert exceeded([*details, *[BAD] * (max_errors + 1)], max_errors)


@given(st.integers(1, 500), st.integers(1, 100))
def test_percentages_stay_within_the_targets(targets: int, percent: int) -> None:
    """A percentage never means more hosts than there are, nor an empty wave."""
    hosts = limit(f"{percent}%", targets)
    assert 0 <= hosts <= targets
    assert allowed_in_flight(hosts, finished=targets) >= 1
