"""A deploy brings another program: document and function differ for a while, and one proxy tries it first."""

import json
import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from haproxy_sync.errors import ProgramDiffers
from haproxy_sync.handler import handler
from haproxy_sync.rollout.program import Program
from haproxy_sync.state.model import Outcome, Purpose
from haproxy_sync.state.store import Store
from tests.contract.faults import Fault, apart_from_failure, failing, interposed
from tests.contract.test_rollout import breaks, digests, outcomes
from tests.contract.world import World, another_program

NEW = another_program()


def versions(world: World) -> list[str]:
    """The document's version in each command, oldest first."""
    return [command.document.version for command in world.service.commands]


def sizes(world: World) -> list[int]:
    """How many proxies each command was sent to, oldest first."""
    return [len(command.invocations) for command in world.service.commands]


def ran(world: World) -> list[str]:
    """The program that each proxy ran last."""
    return [host.programs[-1] for host in world.proxies.values()]


def key(program: Program) -> str:
    """Where it lies."""
    return f"program/{program.sha256}/haproxy_apply.zip"


def said(caplog: pytest.LogCaptureFixture, message: str) -> list[logging.LogRecord]:
    """The lines of the function's log with this message."""
    return [each for each in caplog.records if each.getMessage() == message]


def after_the_canary(world: World) -> None:
    """A rollout of which the canary has proven its config, and nobody has heard of it yet."""
    world.launch()
    world.sweep()
    world.finish_unnoticed()
    world.inbox.clear()


def test_the_program_is_there_before_the_first_command_and_put_once(
    world: World,
) -> None:
    """What commands name can be downloaded; a rollout later it is not put again."""
    puts: list[str] = []

    def choose(operation: str, url: str) -> Fault | None:
        puts.extend([url] if operation == "s3.PutObject" and "program/" in url else [])
        assert puts or operation != "ssm.SendCommand"
        return None

    with interposed(world.clients, choose):
        world.launch(number=2)
        world.launch("haproxy", 2)
        world.sweep()
        world.settle()
        world.pass_time(60)
        world.launch()
        world.sweep()
        world.settle()
    assert set(ran(world)) == {world.program.sha256}
    assert len(puts) == 1
    answer = world.clients.s3.get_object(Bucket="bucket", Key=key(world.program))
    assert answer["Body"].read() == world.program.content


def test_status_says_what_runs(running: World) -> None:
    """Version of the document and digest of the program; nothing while nothing was sent."""
    assert running.act("status")["document"] == {
        "version": "1",
        "program": running.program.sha256,
        "refused_since": None,
        "refused_since_iso": None,
        "refusal": "",
    }
    version = running.deploy(NEW)
    running.pass_time(60)
    running.act("verify")
    running.settle()
    document = running.act("status")["document"]
    assert (document["version"], document["program"]) == (version, NEW.sha256)


def test_status_of_a_new_environment_has_no_document(world: World) -> None:
    """Nothing was sent."""
    assert world.act("status")["document"] is None


@pytest.mark.fault("F64")
def test_a_deploy_ends_a_rollout_which_begins_anew(running: World) -> None:
    """A canary proved the config by the old program; the rest gets it by the new one, and again one goes first."""
    before = running.state
    old = running.program.sha256
    after_the_canary(running)
    generation = running.state.generation
    running.deploy(NEW)
    sent = len(running.service.commands)
    running.sweep()
    assert sizes(running)[sent:] == [1]
    assert running.state.commands[0].purpose is Purpose.CANARY
    running.settle()
    assert versions(running)[sent:] == ["2", "2"]
    assert sizes(running)[sent:] == [1, 1]
    assert sorted(ran(running)) == sorted([old, NEW.sha256, NEW.sha256])
    assert running.state.generation == generation + 1
    assert running.state.fence > before.fence + 1
    assert len(digests(running)) == 1
    assert running.act("status")["converged"]
    assert len(running.state.history) == len(before.history) + 1


@pytest.mark.fault("F64")
def test_a_wave_under_way_ends_before_it_begins_anew(world: World) -> None:
    """What was sent cannot be taken back; nobody else gets the new program meanwhile."""
    world.launch(number=2)
    world.launch("haproxy", 5)
    late = world.launch("haproxy")[0]
    world.service.disconnect(late)
    world.pass_time(301)
    world.sweep()
    world.finish_unnoticed()
    world.deliver_events()
    sent = len(world.service.commands)
    assert sizes(world) == [1, 4]
    world.service.reconnect(late)
    world.deploy(NEW)
    world.sweep()
    assert len(world.service.commands) == sent
    world.settle()
    assert sizes(world)[sent:] == [1]
    assert world.proxies[late].programs == [NEW.sha256]
    assert world.act("status")["converged"]


@pytest.mark.fault("F64")
def test_an_old_function_goes_on_with_the_version_it_pinned(running: World) -> None:
    """The document is new already, the function not yet: what it began it can end."""
    after_the_canary(running)
    running.update_document(NEW)
    running.sweep()
    running.settle()
    assert set(versions(running)) == {"1"}
    assert running.act("status")["converged"]


@pytest.mark.fault("F101")
@pytest.mark.parametrize("is_document_first", [True, False])
def test_while_function_and_document_differ_no_proxy_is_touched(
    running: World,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    is_document_first: bool,  # noqa: FBT001 # a column of the table
) -> None:
    """The service refuses each command; nobody is blamed, nothing fails, and the function tries again by itself."""
    before = {key: running.state.proxy_state(key) for key in running.proxies}
    orders = running.orders()
    if is_document_first:
        running.update_document(NEW)
    else:
        running.program = NEW
    running.launch()
    caplog.clear()
    capsys.readouterr()
    assert running.sweep() == []
    for _ in range(30):
        running.pass_time(1)
    assert running.orders() == orders
    assert running.state.commands == ()
    for instance_id, observed in before.items():
        after = running.state.proxy_state(instance_id)
        assert (after.outcome, after.attempts) == (observed.outcome, 0)
    assert {each.levelname for each in caplog.records} == {"INFO"}
    assert "Failures" not in capsys.readouterr().out
    assert running.act("status")["document"]["refused_since"]
    if is_document_first:
        running.program = NEW
    else:
        running.update_document(NEW)
    running.settle(90)
    assert running.act("status")["converged"]
    assert running.act("status")["document"]["refused_since"] is None
    assert set(ran(running)) == {NEW.sha256}


@pytest.mark.fault("F101")
def test_the_function_looks_again_soon_and_then_less_often(running: World) -> None:
    """A deploy takes seconds; a mistake may last for days, and must not become a storm of messages."""
    running.update_document(NEW)
    running.launch()
    tries: list[float] = []

    def choose(operation: str, _url: str) -> Fault | None:
        tries.extend([running.now] if operation == "ssm.GetDocument" else [])
        return None

    began = running.now
    with interposed(running.clients, choose):
        for _ in range(30):
            running.sweep()
            assert len(running.delayed) <= 3
            running.pass_time(60)
    assert tries[1] - began <= 6
    assert sum(at < began + 60 for at in tries) >= 4
    # By each sweep, and by one message of ours between two.
    assert sum(at > began + 120 for at in tries) <= 2 * 30


@pytest.mark.fault("F101")
def test_a_mismatch_that_lasts_is_said(
    running: World, caplog: pytest.LogCaptureFixture
) -> None:
    """Not in the first minutes, in which it is part of every deploy."""
    running.update_document(NEW)
    running.launch()
    began = running.now
    for _ in range(9):
        running.sweep()
        running.pass_time(60)
    assert said(caplog, "document-takes-no-command") == []
    running.pass_time(121)
    (line, *_) = said(caplog, "document-takes-no-command")
    assert line.levelname == "ERROR"
    assert "deploy again" in vars(line)["advice"]
    assert "shipped with" in vars(line)["reason"]
    assert running.act("status")["document"]["refused_since"] - began < 60


@pytest.mark.fault("F101")
def test_a_retry_and_a_comparison_wait_as_quietly(running: World) -> None:
    """Whatever a command is for."""
    bad = min(running.proxies)
    running.proxies[bad].breaks = breaks
    running.launch()
    running.sweep()
    running.pass_time(10)
    attempts = running.state.proxy_state(bad).attempts
    running.update_document(NEW)
    orders = running.orders()
    running.pass_time(120)
    running.act("verify")
    running.pass_time(60)
    assert running.orders() == orders
    assert running.state.proxy_state(bad).attempts == attempts
    assert running.sweep() == []


def test_a_new_program_is_tried_by_one_proxy_that_has_nothing_to_change(
    running: World,
) -> None:
    """A comparison by a program that no proxy has run yet is no matter of course."""
    sent = len(running.service.commands)
    running.deploy(NEW)
    running.act("verify")
    running.settle()
    assert sizes(running)[sent:] == [1, 2]
    assert set(ran(running)) == {NEW.sha256}
    assert [host.reloads for host in running.proxies.values()] == [1, 1, 1]
    assert running.act("status")["converged"]


def test_a_new_program_that_fails_reaches_nobody_else(running: World) -> None:
    """It is tried again on the same proxy, with growing spacing; the next deploy begins at once."""
    sent = len(running.service.commands)
    running.deploy(NEW)
    for host in running.proxies.values():
        host.breaks = breaks
    running.act("verify")
    running.settle(200)
    assert set(sizes(running)[sent:]) == {1}
    assert outcomes(running).count("rolled-back") == 1
    for host in running.proxies.values():
        host.breaks = lambda _: None
    running.deploy(another_program("mended"))
    running.sweep()
    running.settle(30)
    assert running.act("status")["converged"]


def test_without_a_canary_nobody_goes_first(running: World) -> None:
    """Whoever says so."""
    running.settings = replace(running.settings, canary=False)
    sent = len(running.service.commands)
    running.deploy(NEW)
    running.act("verify")
    running.settle()
    assert sizes(running)[sent:] == [3]


def test_another_publication_does_not_make_an_untried_program_known(
    running: World,
) -> None:
    """Back to what a proxy runs needs no canary, but for the program that comes with it."""
    after_the_canary(running)
    generation = running.state.generation
    running.deploy(NEW)
    running.sweep()
    running.finish_unnoticed()
    running.inbox.clear()
    sent = len(running.service.commands)
    running.act("rollback", generation=generation - 1)
    assert sizes(running)[sent:] == [1]
    running.settle()
    assert len(digests(running)) == 1


def test_a_deploy_changes_nothing_while_frozen(running: World) -> None:
    """A freeze begins nothing; its end does."""
    running.act("freeze", minutes=5)
    generation = running.state.generation
    running.deploy(NEW)
    running.sweep()
    assert running.state.generation == generation
    running.act("unfreeze")
    running.act("verify")
    running.settle()
    assert running.state.generation == generation + 1


def test_a_state_of_an_earlier_release_begins_anew(running: World) -> None:
    """It pinned a document that ran a script."""
    store = Store.of(running.clients, running.settings)
    snapshot = store.read()
    body: dict[str, Any] = json.loads(
        running.clients.s3.get_object(Bucket="bucket", Key="state/staging.json")[
            "Body"
        ].read()
    )
    del body["publication"]["document"]["program"]
    del body["publication"]["begun_generation"]
    del body["publication"]["program"]
    running.clients.s3.put_object(
        Bucket="bucket", Key="state/staging.json", Body=json.dumps(body).encode()
    )
    running.pass_time(1800)
    running.sweep()
    running.settle()
    assert running.state.generation == snapshot.state.generation + 1
    assert running.act("status")["document"]["program"] == running.program.sha256
    assert running.act("status")["converged"]


@pytest.mark.fault("F102")
def test_a_release_that_was_built_wrong_sends_nothing(
    running: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where something is to be sent it says what is wrong; whatever sends nothing works, above all a freeze."""

    def differs() -> Program:
        raise ProgramDiffers("a" * 64, "b" * 64)

    before, orders = running.state, running.orders()
    (new,) = running.launch()
    monkeypatch.setitem(handler.__globals__, "program", differs)
    assert running.sweep() == ["m-0"]
    assert "make document" in caplog.text
    assert "a" * 64 in caplog.text
    assert apart_from_failure(running.state, before) == before
    assert running.orders() == orders
    status = running.act("status")
    assert status["document"]["version"] == "1"
    assert "make document" in status["look_failure"]["message"]
    plan = running.act("plan")
    assert plan["changes"]
    assert plan["verdict"].startswith("blocked: the function's files make the program")
    with pytest.raises(ProgramDiffers):
        running.act("verify")
    running.act("freeze", minutes=5)
    running.sweep()
    assert running.orders() == orders
    running.terminate(new)
    running.act("unfreeze")
    assert running.act("status")["freeze"] is None
    assert running.sweep() == []


@pytest.mark.fault("F69")
def test_a_program_that_vanished_from_the_bucket_is_put_again(running: World) -> None:
    """Found by the next proxy that needs it, healed by its next try."""
    running.clients.s3.delete_object(Bucket="bucket", Key=key(running.program))

    def cannot_download(_parameters: Mapping[str, str]) -> tuple[str, str]:
        return "failed", "program-download-failed"

    first = min(running.proxies)
    for host in running.proxies.values():
        host.breaks = cannot_download
    running.launch()
    running.sweep()
    running.pass_time(5)
    for host in running.proxies.values():
        host.breaks = lambda _: None
    running.settle(120)
    assert running.proxies[first].programs[-1] == running.program.sha256
    assert running.act("status")["converged"]


def broken(world: World) -> list[str]:
    """The outcome of each proxy that a command broke."""
    return [each for each in outcomes(world) if each == "rolled-back"]


def break_all(world: World) -> None:
    """The program that was deployed breaks every proxy that runs it."""
    for host in world.proxies.values():
        host.breaks = breaks


@pytest.mark.fault("F64")
def test_a_program_that_comes_back_is_tried_by_one_proxy_again(running: World) -> None:
    """A deploy was taken back before any proxy ran it: that it was once begun with says nothing of it."""
    old = running.program
    running.deploy(NEW)
    running.sweep()
    running.deploy(old)
    running.act("verify")
    running.settle()
    assert set(ran(running)) == {old.sha256}
    running.pass_time(60)
    sent = len(running.service.commands)
    running.deploy(NEW)
    running.act("verify")
    running.settle()
    assert sizes(running)[sent:] == [1, 2]


@pytest.mark.fault("F64")
@pytest.mark.parametrize("sweeps_first", [True, False])
def test_a_rollback_after_a_deploy_is_tried_by_one_proxy(
    running: World,
    sweeps_first: bool,  # noqa: FBT001 # a column of the table
) -> None:
    """Even if it is the first thing that the new function does: what ran is known from one publication to the next."""
    after_the_canary(running)
    generation = running.state.generation
    sent = len(running.service.commands)
    running.deploy(NEW)
    break_all(running)
    if sweeps_first:
        running.sweep()
        running.pass_time(5)
    running.act("rollback", generation=generation - 1)
    for _ in range(30):
        running.pass_time(60)
        running.sweep()
    assert set(sizes(running)[sent:]) == {1}
    assert len(broken(running)) == 1


@pytest.mark.fault("F64")
@pytest.mark.parametrize("is_frozen", [True, False])
def test_a_change_taken_back_after_a_deploy_is_tried_by_one_proxy(
    world: World,
    is_frozen: bool,  # noqa: FBT001 # a column of the table
) -> None:
    """What all proxies run is published again, by a look or by the end of a freeze: the program is new all the same."""
    world.launch(number=3)
    world.launch("haproxy", 6)
    world.sweep()
    world.settle()
    world.pass_time(60)
    break_all(world)
    (instance_id,) = world.launch()
    world.sweep()
    world.pass_time(10)
    world.inbox.clear()
    if is_frozen:
        world.act("freeze", minutes=600)
    world.terminate(instance_id)
    sent = len(world.service.commands)
    world.deploy(NEW)
    world.act("unfreeze" if is_frozen else "sync")
    for _ in range(60):
        world.pass_time(60)
        world.sweep()
    assert set(sizes(world)[sent:]) == {1}


@pytest.mark.fault("F64")
def test_a_document_that_vanished_leaves_its_program_known(running: World) -> None:
    """The pinned version is gone, so it is forgotten; what proxies ran is not."""
    gone = failing(
        running.clients, "ssm.SendCommand", Fault(400, "InvalidDocument"), times=1
    )
    with gone, pytest.raises(ClientError):
        running.act("verify")
    assert running.act("status")["document"] is None
    sent = len(running.service.commands)
    running.deploy(NEW)
    running.act("verify")
    running.settle()
    assert sizes(running)[sent:] == [1, 2]


def sick(_parameters: Mapping[str, str]) -> tuple[str, str]:
    """A host that takes nothing, whatever the program."""
    return "failed", "disk-full"


@pytest.mark.fault("F64")
@pytest.mark.parametrize("is_repaired", [True, False])
def test_a_proxy_that_was_broken_before_is_not_the_canary_of_a_program(
    running: World,
    is_repaired: bool,  # noqa: FBT001 # a column of the table
) -> None:
    """It would stop everybody, and prove nothing: a healthy one compares at once, then life goes on for the others."""
    bad, drifted, _ = sorted(running.proxies)
    running.proxies[bad].breaks = sick
    running.act("verify")
    running.settle(20)
    running.pass_time(120)
    sent = len(running.service.commands)
    running.deploy(NEW)
    if is_repaired:
        running.proxies[bad].breaks = lambda _: None
    running.pass_time(600)
    running.sweep()
    running.pass_time(60)
    assert versions(running)[sent:] == ["2"] * len(versions(running)[sent:])
    (first, *_) = running.service.commands[sent].invocations
    assert first.instance_id != bad
    (late,) = running.launch("haproxy")
    running.drift(drifted)
    for _ in range(40):
        running.sweep()
        running.pass_time(60)
    assert running.proxies[late].running == running.proxies[drifted].installed
    assert running.proxies[drifted].installed == running.proxies[drifted].running
    assert (NEW.sha256 in running.proxies[bad].programs) == is_repaired


def test_where_all_are_broken_one_of_them_tries_a_new_program(running: World) -> None:
    """It may be what mends them."""
    break_all(running)
    running.act("verify")
    running.settle(20)
    for host in running.proxies.values():
        host.breaks = lambda _: None
    sent = len(running.service.commands)
    running.deploy(NEW)
    running.sweep()
    running.settle()
    assert sizes(running)[sent] == 1
    assert set(ran(running)) == {NEW.sha256}


@pytest.mark.fault("F64")
@pytest.mark.parametrize("is_taken_back", [True, False])
def test_a_bad_program_breaks_one_proxy_however_much_is_published(
    running: World,
    is_taken_back: bool,  # noqa: FBT001 # a column of the table
) -> None:
    """Who failed by it stays the only one that tries it, until a deploy mends it or takes it back."""
    old = running.program
    running.deploy(NEW)
    break_all(running)
    for _ in range(5):
        running.launch()
        running.sweep()
        running.pass_time(300)
        assert len(broken(running)) == 1
    for host in running.proxies.values():
        host.breaks = lambda _: None
    running.deploy(old if is_taken_back else another_program("mended"))
    running.sweep()
    running.settle(60)
    assert running.act("status")["converged"]
    assert len(digests(running)) == 1


def test_another_config_is_tried_at_once_by_who_failed_with_a_new_program(
    running: World,
) -> None:
    """It may have been the config after all."""
    running.deploy(NEW)
    break_all(running)
    running.launch()
    running.sweep()
    running.pass_time(1800)
    for host in running.proxies.values():
        host.breaks = lambda _: None
    running.launch()
    running.sweep()
    running.settle(30)
    assert running.act("status")["converged"]


@pytest.mark.fault("F64")
@pytest.mark.parametrize("seconds", [0.25, 0.5, 1.0, 1.5, 2.0])
def test_a_drift_check_under_way_ends_before_it_begins_anew(
    running: World, caplog: pytest.LogCaptureFixture, seconds: float
) -> None:
    """A higher fence would make the hosts refuse it, and blame them; who is due next waits, too."""
    running.pass_time(200)
    running.launch("haproxy")
    running.sweep()
    running.settle()
    running.pass_time(400)
    running.sweep()
    (comparing,) = running.state.commands
    assert comparing.purpose is Purpose.VERIFY
    running.clock.advance(seconds)
    running.service.tick()
    sent = len(running.service.commands)
    running.deploy(NEW)
    running.act("verify")
    running.settle()
    assert {each.outcome for each in running.state.proxy_states.values()} == {
        Outcome.UNCHANGED
    }
    assert "failed" not in [vars(each)["outcome"] for each in said(caplog, "report")]
    assert sizes(running)[sent:] == [1, 3]


@pytest.mark.fault("F98")
def test_a_program_that_was_replaced_in_the_bucket_is_put_back(
    running: World, caplog: pytest.LogCaptureFixture
) -> None:
    """Hosts refuse what lies there; it heals by the next try, is said, and what lay there stays an older version."""
    s3 = running.clients.s3
    s3.put_bucket_versioning(
        Bucket="bucket", VersioningConfiguration={"Status": "Enabled"}
    )
    s3.put_object(Bucket="bucket", Key=key(running.program), Body=b"another")
    puts: list[str] = []

    def choose(operation: str, url: str) -> Fault | None:
        puts.extend([url] if operation == "s3.PutObject" and "program/" in url else [])
        return None

    def compares(_parameters: Mapping[str, str]) -> tuple[str, str] | None:
        answer = s3.get_object(Bucket="bucket", Key=key(running.program))
        is_ours = answer["Body"].read() == running.program.content
        return None if is_ours else ("failed", "program-mismatch")

    for host in running.proxies.values():
        host.breaks = compares
    running.launch()
    with interposed(running.clients, choose):
        running.sweep()
        running.settle(120)
    assert running.act("status")["converged"]
    (line,) = said(caplog, "program-replaced")
    assert line.levelname == "WARNING"
    assert len(puts) == 1
    listed = s3.list_object_versions(Bucket="bucket", Prefix="program/")["Versions"]
    assert [each["Size"] == len(b"another") for each in listed] == [False, True, False]


@pytest.mark.fault("F101")
def test_another_parameter_that_is_refused_is_a_failure_at_once(
    running: World, caplog: pytest.LogCaptureFixture
) -> None:
    """No deploy makes it so, and none that follows would end it: the service's words say what is wrong."""
    orders = running.orders()
    running.settings = replace(running.settings, listen_ports=tuple(range(8000, 8016)))
    running.launch()
    assert running.sweep() == ["m-0"]
    assert "ListenPorts" in caplog.text
    assert running.orders() == orders
    assert running.state.refusal is None


@pytest.mark.fault("F101")
def test_a_refusal_without_a_name_is_said_in_the_words_of_the_service(
    running: World, caplog: pytest.LogCaptureFixture
) -> None:
    """It may be the program: so it is quiet for as long as a deploy takes, and then advises none."""
    fault = Fault(400, "InvalidParameters")
    with failing(running.clients, "ssm.SendCommand", fault):
        running.launch()
        running.sweep()
        running.pass_time(700)
    (line, *_) = said(caplog, "document-takes-no-command")
    assert vars(line)["reason"].endswith(": no")
    assert "deploy" not in vars(line)["advice"]


@pytest.mark.fault("F101")
def test_a_mismatch_that_lasts_is_counted(
    running: World, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where all are settled: what stops then is the repair of hand edits."""
    running.update_document(NEW)
    running.act("verify")
    running.pass_time(500)
    capsys.readouterr()
    running.act("sync")
    assert '"Refusals":[0.0]' in capsys.readouterr().out
    running.pass_time(200)
    capsys.readouterr()
    running.act("sync")
    assert '"Refusals":[1.0]' in capsys.readouterr().out


@pytest.mark.fault("F101")
@pytest.mark.parametrize("is_frozen", [True, False])
def test_a_refusal_that_is_over_is_not_said_any_more(
    running: World,
    is_frozen: bool,  # noqa: FBT001 # a column of the table
) -> None:
    """A freeze ends the tries, and another program is no matter of the former one's."""
    running.update_document(NEW)
    running.act("verify")
    running.pass_time(30)
    first = running.act("status")["document"]["refused_since"]
    assert first
    if is_frozen:
        running.act("freeze", minutes=600)
        assert running.act("status")["document"]["refused_since"] is None
    else:
        running.program = another_program("third")
        running.pass_time(60)
        running.sweep()
        assert running.act("status")["document"]["refused_since"] > first


@pytest.mark.fault("F101")
def test_a_refused_command_leaves_what_is_known_of_a_proxy(running: World) -> None:
    """Nothing was sent, so nothing can still arrive, and drift checks stay spread."""
    before = running.state.proxy_states
    running.update_document(NEW)
    running.act("verify")
    running.pass_time(30)
    assert running.state.refusal
    assert running.state.proxy_states == before
    assert running.act("status")["converged"]


@pytest.mark.fault("F159")
def test_a_bad_program_asks_one_proxy_in_a_freeze(running: World) -> None:
    """Nobody wanted these inspections: by a program that no proxy has run, one host after the other is asked."""
    running.act("freeze", minutes=600, reason="incident")
    sent = len(running.service.commands)
    running.deploy(NEW)
    for host in running.proxies.values():
        host.haproxy = None
    break_all(running)
    for _ in range(30):
        running.pass_time(60)
        running.sweep()
    asked = [
        invocation.instance_id
        for command in running.service.commands[sent:]
        for invocation in command.invocations
    ]
    assert len(asked) > 1
    assert len(set(asked)) == 1
    for host in running.proxies.values():
        host.breaks, host.haproxy = lambda _: None, "running"
    for _ in range(40):
        running.pass_time(60)
        running.sweep()
    assert set(sizes(running)[sent:]) == {1}
    assert running.act("status")["sync"] == "synced"
