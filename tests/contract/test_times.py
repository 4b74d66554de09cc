"""Every answer has every time twice, and says whose answer to a question is awaited."""

import pytest

from local.run_command import Trouble
from tests.contract.world import World


def unanswered(world: World) -> list[str]:
    """Who has not said yet how it is."""
    awaited: list[str] = world.act("status")["inspect"]["unanswered"]
    return awaited


@pytest.mark.fault("F152")
def test_each_time_has_its_iso_while_all_happens_at_once(running: World) -> None:
    """A hold, a freeze, commands in flight that hang or are silent, an agent that is away; each answer is checked."""
    away, *_ = running.proxies
    running.service.disconnect(away)
    running.act("verify")
    running.pass_time(0.5)
    assert running.act("status")["rollout"]["commands"]
    running.act("inspect")
    running.terminate(*(each.instance_id for each in running.state.pool[:2]))
    running.pass_time(60)
    running.sweep()
    running.act("freeze", minutes=60)
    for action in ("status", "plan", "sync", "verify", "inspect", "unfreeze"):
        assert running.act(action)["action"] == action
    running.pass_time(400)
    running.sweep()
    status = running.act("status")
    assert status["hold"] or status["ended_holds"]
    assert status["agents"]["findings"]


@pytest.mark.fault("F152")
def test_times_by_target_have_theirs(running: World) -> None:
    """Since when each target of a command is at work."""
    for host in running.proxies.values():
        host.agent.trouble = Trouble.MUTE
    running.act("verify")
    running.pass_time(60)
    running.sweep()
    (command, *_) = running.act("status")["rollout"]["commands"]
    assert command["at_work"]
    assert command["at_work_iso"].keys() == command["at_work"].keys()


def test_nobody_was_ever_asked(running: World) -> None:
    """Null is never."""
    asked = running.act("status")["inspect"]
    never: dict[str, object] = {
        "requested_at": None,
        "requested_at_iso": None,
        "unanswered": [],
    }
    assert asked == never


@pytest.mark.fault("F152")
def test_whose_answer_is_awaited(running: World) -> None:
    """Each proxy until its host has said how it is."""
    now = running.now
    running.act("inspect")
    assert running.act("status")["inspect"]["requested_at"] == now
    assert unanswered(running) == sorted(running.proxies)
    running.pass_time(5)
    running.sweep()
    assert unanswered(running) == []
    running.act("inspect")
    assert unanswered(running) == sorted(running.proxies)


@pytest.mark.fault("F152")
def test_who_cannot_be_reached_is_not_awaited(running: World) -> None:
    """Else a script that waits for all would wait in vain."""
    away, *others = running.proxies
    running.service.disconnect(away)
    running.pass_time(301)
    running.sweep()
    running.act("inspect")
    assert unanswered(running) == sorted(others)
    running.pass_time(5)
    running.sweep()
    assert unanswered(running) == []


def test_who_could_not_say_has_answered(running: World) -> None:
    """`status` shows why it could not."""
    first, *_ = running.proxies
    running.proxies[first].breaks = lambda _: ("failed", "no-python")
    running.act("inspect")
    running.pass_time(5)
    running.sweep()
    assert unanswered(running) == []
    shown = running.act("status")["proxies"][first]["inspection"]
    assert (shown["has_answered"], shown["reason"]) == (False, "no-python")


def test_an_answer_is_not_awaited_for_ever(running: World) -> None:
    """Whose agent takes the question and says nothing is asked for ten minutes, then no more."""
    first, *_ = sorted(running.proxies)
    running.proxies[first].agent.trouble = Trouble.MUTE
    running.act("inspect")
    for _ in range(6):
        running.pass_time(60)
        running.sweep()
        assert first in unanswered(running)
    for _ in range(12):
        running.pass_time(60)
        running.sweep()
    assert unanswered(running) == []


def test_an_answer_to_an_older_question_is_none_to_the_new_one(running: World) -> None:
    """It comes along with the request, and was asked before."""
    running.act("inspect")
    running.finish_unnoticed()
    running.act("inspect")
    assert running.act("status")["proxies"][min(running.proxies)]["inspection"]
    assert unanswered(running) == sorted(running.proxies)
    running.pass_time(5)
    running.sweep()
    assert unanswered(running) == []
