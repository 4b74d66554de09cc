"""A check says what each proxy's live file and its candidate differ in, and changes nothing, whenever it is asked."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from haproxy_sync.errors import BadRequest
from haproxy_sync.fleet.model import Config
from haproxy_sync.rollout import checks as rollout_checks
from haproxy_sync.rollout.program import Program
from haproxy_sync.state.store import PLACEHOLDER, Store
from local.run_command import FINAL, Trouble
from tests.contract.conftest import settled
from tests.contract.faults import Death, Fault, calls, failing, interposed
from tests.contract.test_plan import upload
from tests.contract.test_two_stacks import rival
from tests.contract.world import World, another_program, event, new_world

CHECKS = "configs/staging/check/"
Answer = dict[str, Any]


@contextmanager
def puts(world: World) -> Iterator[list[str]]:
    """The keys of all objects that are put."""
    made: list[str] = []

    def choose(called: str, url: str) -> None:
        if called == "s3.PutObject":
            made.append(url.partition("amazonaws.com/")[2])

    with interposed(world.clients, choose):
        yield made


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is throttled is asked again at once: how long that takes proves nothing."""
    monkeypatch.setattr(rollout_checks, "sleep", lambda _seconds: None)


def hosts(world: World) -> Mapping[str, object]:
    """All that a command could change on the proxies."""
    return {
        key: (host.installed, host.running, host.reloads, host.memory, host.refused)
        for key, host in world.proxies.items()
    }


def check(world: World, seconds: float = 5) -> Answer:
    """A check from its beginning to what was found after so many seconds."""
    begun = world.act("check")
    world.pass_time(seconds)
    return world.act("check", id=begun["id"])


def results(answer: Answer) -> dict[str, str]:
    """What was found, by proxy."""
    return {key: row["result"] for key, row in answer["proxies"].items()}


def checks(world: World) -> int:
    """How often a proxy was asked."""
    return sum(host.checks for host in world.proxies.values())


def as_it_is(world: World) -> None:
    """At rest."""
    assert world.act("status")["converged"]


def frozen(world: World) -> None:
    """By an operator."""
    world.act("freeze", reason="maintenance")


def rolling_out(world: World) -> None:
    """The canary has its command, and everybody else waits."""
    world.launch()
    world.sweep()
    assert world.state.commands


def lost(world: World) -> None:
    """Somebody deleted the state."""
    world.clients.s3.delete_object(Bucket="bucket", Key="state/staging.json")


@pytest.mark.fault("F164")
@pytest.mark.parametrize("situation", [as_it_is, frozen, rolling_out, lost])
def test_it_shows_each_proxys_own_diff_and_changes_nothing(
    running: World, situation: Any
) -> None:
    """Whatever goes on: no object but those of checks and the program, and no byte on a host."""
    first, second, third = sorted(running.proxies)
    running.drift(second, "global\n    # by hand\n")
    situation(running)
    (new,) = running.launch()
    before, state = hosts(running), running.state
    with puts(running) as made:
        begun = running.act("check")
    assert {key.startswith((CHECKS, "program/")) for key in made} == {True}
    assert running.state == state
    assert begun["asked"] == [first, second, third]
    assert begun["template"]["origin"] == "bundled"
    assert not running.act("check", id=begun["id"])["done"]
    if situation is rolling_out:
        running.settle()
    else:
        running.pass_time(5)
        assert hosts(running) == before
    answer = running.act("check", id=begun["id"])
    assert answer["done"]
    assert results(answer) == dict.fromkeys(running.proxies, "differs")
    address = address_of(running, new)
    for key, row in answer["proxies"].items():
        assert f" {address}:8080 check" in row["diff"]
        assert ("-    # by hand" in row["diff"]) == (key == second)
        assert row["diff"].startswith("--- live file\n+++ candidate\n")
        assert row["diff"].count("\n") == row["diff_lines"] == row["diff_shown"]
        assert row["live"] != row["candidate"]
        assert (row["method"], row["agent_version"]) == ("runtime", "3.3.3572.0")
        assert row["publisher"] == running.settings.publisher


def address_of(world: World, instance_id: str) -> str:
    """As EC2 says it."""
    found = world.clients.ec2.describe_instances(InstanceIds=[instance_id])
    address: str = found["Reservations"][0]["Instances"][0]["PrivateIpAddress"]
    return address


@pytest.mark.fault("F164")
def test_in_the_first_freeze_it_shows_what_unfreeze_would_do() -> None:
    """The fleet runs what others made; and the environment is as new as before."""
    with new_world(start_frozen=True) as fresh:
        fresh.launch(number=2)
        for key in fresh.launch("haproxy", 2):
            fresh.drift(key, f"# the playbook's, on {key}\n")
            fresh.proxies[key].running = fresh.proxies[key].installed
        before = hosts(fresh)
        answer = check(fresh)
        assert results(answer) == dict.fromkeys(fresh.proxies, "differs")
        for key, row in answer["proxies"].items():
            assert f"\n-# the playbook's, on {key}\n" in row["diff"]
            assert row["publisher"] == ""
        for _ in range(3):
            check(fresh)
            fresh.sweep()
            fresh.pass_time(60)
        assert hosts(fresh) == before
        assert fresh.act("status")["freeze"]["until"] is None
        assert fresh.act("unfreeze")["published"]
        fresh.settle()
        assert set(results(check(fresh)).values()) == {"same"}


@pytest.mark.fault("F164")
def test_what_checks_store_is_no_config(world: World) -> None:
    """The first freeze lasts until one was published."""
    store = Store.of(world.clients, world.settings)
    store.put_config(PLACEHOLDER)
    for number in range(5):
        store.put_candidate(Config(f"# {number}\n"))
    assert store.read().is_first
    store.put_config(Config("# published\n"))
    assert not store.read().is_first


@pytest.mark.fault("F164")
@pytest.mark.parametrize("is_adopting", [False, True])
def test_a_proxy_is_asked_with_what_a_sync_would_send(
    running: World,
    is_adopting: bool,  # noqa: FBT001 # a column of the table
) -> None:
    """All the same but the action, and where the config lies; so it refuses for the same reasons."""
    if is_adopting:
        other = rival(running)
        other.act("sync", adopt=True)
        other.pass_time(40)
        running.act("freeze")
        running.act("sync", adopt=True)
    running.launch()
    asked = running.act("check")["asked"]
    running.act("unfreeze")
    running.settle()
    assert asked == sorted(running.proxies)
    for key in asked:
        orders = [each.parameters for each in running.proxies[key].agent.orders]
        (sent,) = filter(is_a_check, orders)
        (applied,) = (each for each in orders if is_the_apply_of(sent, each))
        apart = {name for name in sent if sent[name] != applied[name]}
        assert apart == {"Action", "SourceUrl"}


def is_the_apply_of(
    sent: Mapping[str, tuple[str, ...]], other: Mapping[str, tuple[str, ...]]
) -> bool:
    """Of the same stack's publication."""
    keys = ("Generation", "Publisher")
    is_same = all(sent[key] == other[key] for key in keys)
    return is_same and other["Action"] == ("apply",)


def is_a_check(parameters: Mapping[str, tuple[str, ...]]) -> bool:
    """By its action."""
    return parameters["Action"] == ("check",)


@pytest.mark.fault("F164")
def test_a_host_of_another_stack_says_so_and_shows_its_diff(running: World) -> None:
    """Neither stack learns anything of the other's check."""
    other = rival(running)
    before = hosts(running)
    answer = check(other)
    assert results(answer) == dict.fromkeys(running.proxies, "refused")
    for row in answer["proxies"].values():
        assert row["reason"] == "other-publisher"
        assert row["publisher"] == running.settings.publisher
        assert "+    server" in row["diff"]
    assert hosts(running) == before
    assert running.act("status")["other_publishers"] == {}
    with pytest.raises(BadRequest, match="there is no check"):
        running.act("check", id=answer["id"])


@pytest.mark.fault("F164")
def test_each_proxy_has_its_own_candidate() -> None:
    """One command for each distinct config and few proxies: whoever hangs keeps only those waiting."""
    with new_world(zone_aware=True) as zoned:
        zoned.launch(number=2)
        zoned.launch("haproxy", 60)
        zoned.act("check")
        sent = [each.request for each in zoned.service.commands]
        assert sum(len(each["InstanceIds"]) for each in sent) == 60
        assert max(len(each["InstanceIds"]) for each in sent) == 2
        page = zoned.clients.s3.list_objects_v2(Bucket="bucket", Prefix=CHECKS)
        stored = {item["Key"] for item in page["Contents"]}
        urls = {each["Parameters"]["SourceUrl"][0] for each in sent}
        candidates = {url.partition("amazonaws.com/")[2] for url in urls}
        assert candidates == {key for key in stored if key.endswith("haproxy.cfg")}


@pytest.mark.fault("F165")
@pytest.mark.parametrize("situation", [as_it_is, frozen])
def test_its_end_is_no_reason_to_look(running: World, situation: Any) -> None:
    """Nothing is read of EC2, and nothing is put."""
    situation(running)
    running.pass_time(60)
    running.act("check")
    with calls(running.clients) as made:
        running.pass_time(5)
    assert checks(running) == 3
    assert made == ["s3.GetObject"] * 6  # what the three hosts download


@pytest.mark.fault("F165")
def test_the_end_of_another_command_still_is(running: World) -> None:
    """Whatever an event says besides."""
    detail = {"document-name": "apply", "status": "Success"}
    kind = "EC2 Command Status-change Notification"
    for parameters in ({"Action": ["apply"]}, {"Action": "check"}, "check", None):
        said = event("aws.ssm", kind, detail | {"parameters": parameters})
        running.pass_time(10)
        assert running.handle(said)["result"] == "look"
    said = event("aws.ssm", kind, detail | {"parameters": {"Action": ["check"]}})
    assert running.handle(said) == {"result": "ignored", "reason": "end of a check"}


@pytest.mark.fault("F165")
def test_two_checks_at_once(running: World) -> None:
    """Each has its own answers."""
    first = running.act("check")
    running.launch()
    second = running.act("check")
    running.pass_time(5)
    answers = [running.act("check", id=each["id"]) for each in (first, second)]
    assert [set(results(each).values()) for each in answers] == [{"same"}, {"differs"}]


@pytest.mark.fault("F165")
def test_two_that_store_the_same_program_at_once(world: World) -> None:
    """The one that is refused for that tries again."""
    world.launch()
    world.launch("haproxy")
    conflicts = [Fault(409, "ConditionalRequestConflict")]

    def choose(called: str, url: str) -> Fault | None:
        is_program = called == "s3.PutObject" and "/program/" in url
        return conflicts.pop() if is_program and conflicts else None

    with interposed(world.clients, choose):
        assert set(results(check(world)).values()) == {"differs"}
    assert conflicts == []


@pytest.mark.fault("F166")
def test_who_cannot_be_asked_is_told_apart(running: World) -> None:
    """An agent that is away gets no command; one that the service refuses keeps nobody else from being asked."""
    away, denied, fine = sorted(running.proxies)
    running.service.disconnect(away, silent_seconds=600)
    running.service.refuses = lambda instance_id: instance_id == denied
    begun = running.act("check")
    assert (begun["asked"], begun["unreachable"]) == ([fine], [away])
    running.pass_time(5)
    answer = running.act("check", id=begun["id"])
    assert answer["done"]
    assert results(answer) == {away: "unreachable", denied: "failed", fine: "same"}
    rows = answer["proxies"]
    assert rows[away]["reason"] == "agent-offline"
    assert rows[denied]["reason"] == "access-denied"
    assert f"SendCommand on {denied}" in rows[denied]["detail"]
    assert running.proxies[away].checks == running.proxies[denied].checks == 0


@pytest.mark.fault("F166")
def test_what_a_host_would_refuse(running: World) -> None:
    """Its word and its diff."""
    running.launch()
    bad = min(running.proxies)
    running.proxies[bad].refusal = ("invalid-config", "unknown keyword 'blance'")
    row = check(running)["proxies"][bad]
    assert (row["result"], row["reason"]) == ("refused", "invalid-config")
    assert row["detail"] == "unknown keyword 'blance'"
    assert "+    server" in row["diff"]


@pytest.mark.fault("F166")
def test_a_check_that_fails_on_a_host(running: World) -> None:
    """That is no difference."""
    bad = min(running.proxies)
    running.proxies[bad].breaks = lambda _: ("failed", "interrupted")
    answer = check(running)
    row = answer["proxies"][bad]
    assert (row["result"], row["reason"], row["diff"]) == ("failed", "interrupted", "")
    assert answer["done"]


@pytest.mark.fault("F166")
@pytest.mark.parametrize(
    ("trouble", "reason"),
    [(Trouble.MUTE, "no-report"), (Trouble.REJECTS, "no-step")],
)
def test_who_says_nothing_is_awaited_and_then_not(
    running: World, trouble: Trouble, reason: str
) -> None:
    """The others' answers are there meanwhile; no check goes on forever."""
    *others, bad = sorted(running.proxies)
    running.proxies[bad].agent.trouble = trouble
    answer = check(running)
    assert results(answer) == {bad: "awaited", **dict.fromkeys(others, "same")}
    assert not answer["done"]
    running.pass_time(400)
    answer = running.act("check", id=answer["id"])
    assert answer["done"]
    assert results(answer)[bad] == "failed"
    assert answer["proxies"][bad]["reason"] == reason


@pytest.mark.fault("F166")
def test_who_did_not_answer_before_keeps_nobody_waiting(running: World) -> None:
    """Run Command begins with one host, and goes on once that is through."""
    bad, *others = sorted(running.proxies)
    running.proxies[bad].agent.trouble = Trouble.MUTE
    running.act("freeze")
    running.act("inspect")
    for _ in range(10):
        running.sweep()
        running.pass_time(60)
    assert results(check(running)) == {bad: "awaited", **dict.fromkeys(others, "same")}


@pytest.mark.fault("F166")
@pytest.mark.parametrize("number", [0, 1, 2])
def test_who_hangs_for_the_first_time_keeps_nobody_waiting_either(
    running: World, number: int
) -> None:
    """Wherever it stands among the others."""
    bad = sorted(running.proxies)[number]
    running.proxies[bad].agent.trouble = Trouble.MUTE
    assert results(check(running)) == {
        key: "awaited" if key == bad else "same" for key in running.proxies
    }


@pytest.mark.fault("F167")
def test_who_is_throttled_is_asked_a_moment_later(running: World) -> None:
    """Nothing was sent, so nothing is sent twice."""
    throttled = Fault(400, "ThrottlingException")
    with failing(running.clients, "ssm.SendCommand", throttled, times=3):
        begun = running.act("check")
    assert begun["asked"] == sorted(running.proxies)
    running.pass_time(5)
    assert checks(running) == 3


@pytest.mark.fault("F166")
def test_output_that_comes_after_the_status(running: World) -> None:
    """It is awaited."""
    running.service.delay = lambda name, _version: 0.0 if name == FINAL else 9.0
    begun = running.act("check")
    running.pass_time(5)
    answer = running.act("check", id=begun["id"])
    assert set(results(answer).values()) == {"awaited"}
    running.pass_time(9)
    assert set(results(running.act("check", id=begun["id"])).values()) == {"same"}


@pytest.mark.fault("F167")
@pytest.mark.parametrize(
    "operation", ["ssm.ListCommandInvocations", "ssm.GetCommandInvocation"]
)
def test_what_cannot_be_read_is_asked_for_again(running: World, operation: str) -> None:
    """Its row says why, in the service's words."""
    running.launch()
    begun = running.act("check")
    running.pass_time(5)
    with failing(running.clients, operation, Fault(400, "ThrottlingException")):
        answer = running.act("check", id=begun["id"])
    assert not answer["done"]
    for row in answer["proxies"].values():
        assert (row["result"], row["reason"]) == ("awaited", "not-read")
        assert "ThrottlingException" in row["detail"]
    answer = running.act("check", id=begun["id"])
    assert answer["done"]
    assert set(results(answer).values()) == {"differs"}


@pytest.mark.fault("F167")
@pytest.mark.parametrize(
    ("fault", "asked"),
    [
        (Fault(400, "ThrottlingException"), 0),
        (Fault(500, "InternalServerError", is_done=True), 3),
        (Fault(400, "InvalidParameters"), 0),
    ],
)
def test_when_nobody_could_be_asked_the_answer_says_why(
    running: World, fault: Fault, asked: int
) -> None:
    """In one line; an answer that got lost may have left a command, which does no harm."""
    before, state = hosts(running), running.state
    with (
        failing(running.clients, "ssm.SendCommand", fault) as tried,
        pytest.raises(BadRequest, match=rf"nothing is checked: .*{fault.code}") as said,
    ):
        running.act("check")
    assert "\n" not in str(said.value)
    most = {"ThrottlingException": 4 * len(running.proxies)}
    assert 1 <= len(tried) <= most.get(fault.code, len(running.proxies))
    running.pass_time(5)
    assert checks(running) <= asked
    assert hosts(running) == before
    assert running.state == state


@pytest.mark.fault("F167")
def test_who_was_not_sent_anything_has_a_row_that_says_so() -> None:
    """What was sent before is answered."""
    with new_world() as world:
        world.launch()
        world.launch("haproxy", 60)
        sent: list[str] = []

        def choose(called: str, _url: str) -> Fault | None:
            if called == "ssm.SendCommand":
                sent.append(called)
            is_late = called == "ssm.SendCommand" and len(sent) > 20
            return Fault(400, "ThrottlingException") if is_late else None

        with interposed(world.clients, choose):
            begun = world.act("check")
        assert len(begun["asked"]) == 40
        world.pass_time(30)
        answer = world.act("check", id=begun["id"])
        assert answer["done"]
        rows = [row for row in answer["proxies"].values() if row["result"] == "failed"]
        assert len(rows) == 20
        assert {row["reason"] for row in rows} == {"not-sent"}
        assert all("ThrottlingException" in row["detail"] for row in rows)


@pytest.mark.fault("F167")
@pytest.mark.parametrize("is_death", [True, False])
def test_a_check_that_is_lost_leaves_nothing_but_a_command(
    running: World,
    is_death: bool,  # noqa: FBT001 # a column of the table
) -> None:
    """The function ends, or S3 fails, between the command and the object that remembers it."""
    before, state = hosts(running), running.state

    def choose(called: str, url: str) -> Fault | None:
        is_it = called == "s3.PutObject" and url.endswith("check.json")
        return Fault(is_death=is_death) if is_it else None

    with (
        interposed(running.clients, choose),
        pytest.raises((Death, Exception), match="PutObject"),
    ):
        running.act("check")
    running.pass_time(5)
    assert (checks(running), hosts(running)) == (3, before)
    assert running.state == state
    assert set(results(check(running)).values()) == {"same"}


def no_proxy(world: World) -> None:
    """All are gone."""
    world.terminate(*world.proxies)


def no_backend(world: World) -> None:
    """All are gone, and were never there as far as anybody knows."""
    gone = world.act("status")["backends"]
    world.terminate(*gone)
    lost(world)


def no_program(world: World) -> None:
    """The document takes the program of another release."""
    world.deploy(another_program())
    world.program = Program.packed()


@pytest.mark.fault("F167")
@pytest.mark.parametrize(
    ("trouble", "words"),
    [
        (upload, "template error: haproxy.cfg.j2:1: 'nobody' is undefined"),
        (no_proxy, "no proxy was found"),
        (no_backend, "no backend"),
        (no_program, "the document of the stack is not the one"),
    ],
)
def test_when_there_is_nothing_to_check_the_answer_says_why(
    running: World, trouble: Any, words: str
) -> None:
    """In one line, and no proxy is asked."""
    trouble(running)
    with pytest.raises(BadRequest, match=f"^nothing is checked: .*{words}") as said:
        running.act("check")
    assert "\n" not in str(said.value)
    running.pass_time(5)
    assert checks(running) == 0


@pytest.mark.fault("F167")
@pytest.mark.parametrize(
    "operation",
    [
        "ec2.DescribeInstances",
        "ssm.DescribeInstanceInformation",
        "ssm.DescribeDocument",
        "s3.ListObjectsV2",
        "s3.GetObject",
    ],
)
def test_when_the_fleet_cannot_be_seen_the_answer_says_why(
    running: World, operation: str
) -> None:
    """In the service's words, on one line."""
    with (
        failing(running.clients, operation, Fault(403, "AccessDenied")),
        calls(running.clients) as made,
        pytest.raises(BadRequest, match=r"^nothing is checked: .*AccessDenied") as said,
    ):
        running.act("check")
    assert "\n" not in str(said.value)
    assert "ssm.SendCommand" not in made


@pytest.mark.fault("F167")
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"id": "1795316467-none"}, "there is no check '1795316467-none'"),
        ({"id": "../../state/staging.json"}, "there is no check"),
        ({"id": 7}, "id must be str"),
        ({"proxy": "i-0a1b2c3d4e5f60001"}, "check takes proxy together with the id"),
    ],
)
def test_a_check_that_nobody_knows(
    running: World, options: Mapping[str, Any], words: str
) -> None:
    """The answer says what to ask for."""
    with pytest.raises(BadRequest, match=words):
        running.act("check", **options)


@pytest.mark.fault("F168")
def test_one_proxy_can_be_asked_for_alone(running: World) -> None:
    """Then nothing is read of the others."""
    running.launch()
    begun = running.act("check")
    running.pass_time(5)
    one = min(running.proxies)
    with calls(running.clients) as made:
        answer = running.act("check", id=begun["id"], proxy=one)
    assert results(answer) == {one: "differs"}
    assert answer["done"]
    assert made.count("ssm.GetCommandInvocation") == 1
    with pytest.raises(BadRequest, match="is not about 'i-0badc0de'"):
        running.act("check", id=begun["id"], proxy="i-0badc0de")


@pytest.mark.fault("F168")
def test_a_long_diff_is_cut_at_a_line_and_counted(running: World) -> None:
    """Beyond what ListCommandInvocations shows, as far as the host prints it."""
    lines = [f"    # line {number} of a long file" for number in range(2000)]
    one = min(running.proxies)
    running.drift(one, "\n".join(lines) + "\n")
    row = check(running)["proxies"][one]
    assert row["diff_lines"] > 2000
    shown = row["diff"].split("\n")[:-1]
    assert row["diff_shown"] == len(shown)
    assert 20_000 < len(row["diff"]) < 24_000
    assert shown[3:] == [f"-{line}" for line in lines[: len(shown) - 3]]


@pytest.mark.fault("F168")
def test_an_output_that_was_cut_elsewhere_ends_with_a_whole_line(
    running: World,
) -> None:
    """An agent cuts bytes, the service characters, and neither knows of lines."""
    one = min(running.proxies)
    running.drift(one, "# \u00e4\u00f6\u00fc\n" * 3000)
    begun = running.act("check")
    running.pass_time(5)
    for command in running.service.commands:
        for invocation in command.invocations:
            invocation.steps = tuple(map(cut, invocation.steps))
    row = running.act("check", id=begun["id"])["proxies"][one]
    lines = row["diff"].split("\n")[3:-1]
    assert set(lines) <= {"-# \u00e4\u00f6\u00fc"}
    assert row["diff_shown"] == len(lines) + 3 < row["diff_lines"]


def cut(step: Any) -> Any:
    """As the agent would: at 24,000 bytes, with a mark."""
    content = step.stdout.encode()
    if len(content) < 24_000:
        return step
    return replace(
        step, stdout=content[:23_980].decode(errors="replace") + "--output truncated--"
    )


@pytest.mark.fault("F168")
def test_half_a_character_is_no_text(running: World) -> None:
    """No answer of Lambda could hold it."""
    running.launch()
    one = min(running.proxies)
    running.proxies[one].refusal = ("invalid-config", "\ud83d")
    row = check(running)["proxies"][one]
    assert json.dumps(row).encode().decode()
    assert row["result"] == "refused"


def test_the_fixture_is_settled() -> None:
    """Else the tests above would see a rollout's commands among those of checks."""
    with new_world() as world:
        assert not settled(world).state.commands
