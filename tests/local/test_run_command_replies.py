"""How the Run Command stand-in shows an agent's replies, which come one by one, in any order, and get lost."""

import json
from collections.abc import Callable

import pytest
from botocore.exceptions import ClientError

from local.run_command import (
    FINAL,
    Detail,
    DocumentResult,
    Order,
    RunCommand,
    ScriptedAgent,
    StepResult,
    Unordered,
)
from local.run_command.replies import SLOW_SECONDS, sent
from tests.local.run_command_bench import DOCUMENT, Bench, Json, ids

NEW, OLD = "3.3.3572.0", "3.3.3571.9"


def shown(bench: Bench, command_id: str) -> tuple[str, list[tuple[str, str, str]]]:
    """Status of the only invocation, and name, status and output of its steps."""
    [invocation] = bench.invocations(command_id).values()
    steps = [
        (step["Name"], step["Status"], step["Output"])
        for step in invocation["CommandPlugins"]
    ]
    return invocation["Status"], steps


def two_steps(bench: Bench) -> Callable[[Order], DocumentResult]:
    """Makes the document `Two`, and answers for a host that runs it."""
    step: Json = DOCUMENT["mainSteps"][0]
    document = DOCUMENT | {
        "mainSteps": [{**step, "name": "first"}, {**step, "name": "second"}]
    }
    bench.ssm.create_document(
        Name="Two", Content=json.dumps(document), DocumentType="Command"
    )

    def answer(_order: Order) -> DocumentResult:
        now = bench.clock()
        steps = [
            StepResult(name, Detail.SUCCESS, 0, f"{name}\n", "", now, now)
            for name in ("first", "second")
        ]
        return DocumentResult(Detail.SUCCESS, tuple(steps))

    return answer


def test_the_final_status_may_come_first(bench: Bench) -> None:
    """Success without any step, announced as such; the output is there later, and nobody says so."""
    bench.service.delay = lambda name, _version: 0.0 if name == FINAL else 5.0
    command_id = bench.send(bench.hosts(1))
    bench.run(1)
    assert shown(bench, command_id) == ("Success", [])
    announced = len(bench.events)
    assert bench.events[-1]["detail"]["status"] == "Success"
    bench.run(5)
    assert shown(bench, command_id) == ("Success", [("apply", "Success", "done\n")])
    assert len(bench.events) == announced


def test_steps_are_shown_as_they_are_heard_of(bench: Bench) -> None:
    """In any order; one that is missing waits beside the other, also after the end."""
    answer = two_steps(bench)
    bench.service.delay = lambda name, _version: {
        "first": 9.0,
        "second": 1.0,
        FINAL: 4.0,
    }[name]
    bench.service.register(ids(1)[0], ScriptedAgent(bench.clock, answer))
    command_id = bench.send(ids(1), DocumentName="Two")
    bench.run(3)
    waiting = [("first", "Pending", ""), ("second", "Success", "second\n")]
    assert shown(bench, command_id) == ("InProgress", waiting)
    bench.run(3)
    assert shown(bench, command_id) == ("Success", waiting)
    bench.run(4)
    assert shown(bench, command_id) == (
        "Success",
        [("first", "Success", "first\n"), waiting[1]],
    )


def test_a_lost_final_status_keeps_the_next_host_waiting(bench: Bench) -> None:
    """The output is there, the invocation in progress; the ramp counts ends."""
    lost = iter([20.0, 0.0])
    bench.service.delay = lambda name, _version: next(lost) if name == FINAL else 0.0
    command_id = bench.send(bench.hosts(2), MaxConcurrency="1")
    bench.run(15)
    first, second = bench.invocations(command_id).values()
    assert (first["Status"], first["CommandPlugins"][0]["Output"]) == (
        "InProgress",
        "done\n",
    )
    assert second["Status"] == "Pending"
    bench.run(7)
    assert bench.details(command_id) == ["Success", "Success"]


def test_replies_wait_for_the_connection(bench: Bench) -> None:
    """Nothing arrives from an agent that is away, and nothing is lost by it, not even by a crash after the end."""
    bench.service.delay = lambda _name, _version: 2.0
    hosts = bench.hosts(1)
    command_id = bench.send(hosts)
    bench.run(2)
    bench.service.disconnect(hosts[0], crash=True)
    bench.run(5)
    assert shown(bench, command_id)[0] == "InProgress"
    bench.service.reconnect(hosts[0])
    assert shown(bench, command_id) == ("Success", [("apply", "Success", "done\n")])


def test_what_comes_after_the_total_timeout_is_not_heard(bench: Bench) -> None:
    """The end that the service gave it stays, and the steps that were lost until then stay away."""
    bench.service.delay = lambda _name, _version: 200.0
    command_id = bench.send(bench.hosts(1), TimeoutSeconds=30)
    bench.run(95)
    assert bench.details(command_id) == ["DeliveryTimedOut"]
    bench.run(200)
    assert bench.details(command_id) == ["DeliveryTimedOut"]
    assert shown(bench, command_id)[1] == []


def test_unless_told_otherwise_replies_have_no_order(bench: Bench) -> None:
    """Half of the final statuses come before the output, as measured; the same seed gives the same row."""
    assert isinstance(RunCommand(bench.service.documents).delay, Unordered)
    delay, again = Unordered(), Unordered()
    row = [(delay("apply", NEW), delay(FINAL, NEW)) for _ in range(400)]
    assert [(again("apply", NEW), again(FINAL, NEW)) for _ in range(400)] == row
    assert 160 < sum(final < output for output, final in row) < 240
    assert 20 < sum(max(pair) > SLOW_SECONDS for pair in row) < 80, "some are lost"
    assert 20 < sum(max(pair) == SLOW_SECONDS for pair in row) < 80, "some are slow"


@pytest.mark.parametrize(
    ("version", "longest", "most"), [(NEW, 1, 1.1), (OLD, 200, 300.1)]
)
def test_what_got_lost_comes_again(version: str, longest: float, most: float) -> None:
    """At once from a present-day agent, within five minutes from an older one; the rest takes milliseconds."""
    delay = Unordered(loss=0.2)
    row = [delay("apply", version) for _ in range(400)]
    lost = [seconds for seconds in row if seconds > 0.03]
    assert 40 < len(lost) < 120
    assert longest < max(lost) < most


def test_what_was_not_acknowledged_comes_twice_and_counts_once(bench: Bench) -> None:
    """The listing shows each step once, and the end stays the end."""
    bench.service.delay = Unordered(loss=1.0)
    command_id = bench.send(bench.hosts(1))
    bench.run(400)
    assert shown(bench, command_id) == ("Success", [("apply", "Success", "done\n")])
    now = bench.clock()
    said = (StepResult("apply", Detail.SUCCESS, 0, "", "", now, now),)
    replies = sent(said, DocumentResult(Detail.SUCCESS), NEW, Unordered(loss=1.0), now)
    assert [
        sum(reply.said == each for reply in replies)
        for each in (said[0], DocumentResult(Detail.SUCCESS))
    ] == [
        2,
        2,
    ]


def test_a_step_is_read_when_it_has_arrived(bench: Bench) -> None:
    """GetCommandInvocation shows the end before the step, with no output, and wants to know which step is meant."""
    [host] = ids(1)
    bench.service.delay = lambda name, _version: 0.0 if name == FINAL else 5.0
    bench.service.register(host, ScriptedAgent(bench.clock, two_steps(bench)))
    command_id = bench.send([host], DocumentName="Two")

    def read(**step: str) -> tuple[str, int, str]:
        answer = bench.ssm.get_command_invocation(
            CommandId=command_id, InstanceId=host, **step
        )
        return answer["Status"], answer["ResponseCode"], answer["StandardOutputContent"]

    bench.run(2)
    assert read(PluginName="second") == ("Success", -1, "")
    bench.run(5)
    assert read(PluginName="second") == ("Success", 0, "second\n")
    with pytest.raises(ClientError, match="InvalidPluginName"):
        read()
