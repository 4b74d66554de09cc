"""An operator who knows nothing reads the cause, what happens next and what to do in one sentence of `status`."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from haproxy_apply.server_state import Backend
from haproxy_sync.operator.conditions import TABLE, UNREADABLE
from haproxy_sync.state.model import Outcome
from tests.contract.faults import Fault, failing
from tests.contract.test_two_stacks import pass_minutes, rival
from tests.contract.world import World, new_world
from tests.documents import anchors

RUNBOOK = Path(__file__).parents[2] / "docs/runbook.md"
TEMPLATE = "templates/staging/haproxy.cfg.j2"
HOUR = 60


def headline(world: World) -> str:
    """What an operator reads first."""
    answer = world.act("status")
    sentence: str = answer["headline"]
    worst = answer["conditions"][:1]
    assert all(each["health"] == answer["health"] for each in worst)
    assert sentence.isascii()
    assert sentence.isprintable()
    return sentence


def minutes(world: World, number: int) -> None:
    """The schedule, and all that comes of it."""
    for _ in range(number):
        world.pass_time(60)
        world.sweep()
    world.pass_time(5)


def name(world: World, instance_id: str) -> str:
    """What the proxy is called."""
    (proxy,) = [each for each in world.state.proxies if each.instance_id == instance_id]
    return proxy.name


def names(world: World) -> str:
    """All three, as in a sentence."""
    one, two, three = (each.name for each in world.state.proxies)
    return f"{one}, {two} and {three}"


def refuse(world: World, reason: str, detail: str = "") -> str:
    """Every host refuses what comes next; gives the one that tried it."""
    for host in world.proxies.values():
        host.breaks = lambda _: ("failed", reason, detail)
    world.launch()
    world.sweep()
    world.pass_time(5)
    observed = world.state.proxy_states.items()
    (tried,) = [key for key, each in observed if each.outcome is Outcome.FAILED]
    return tried


@pytest.mark.fault("F153")
def test_all_is_well(running: World) -> None:
    """What runs, and when somebody looks next."""
    assert headline(running) == (
        "staging is healthy, in sync: 3 proxies run generation 1 with 3 backends; next look at 03:01:15 UTC"
    )


@pytest.mark.fault("F153")
def test_an_agent_that_stopped(running: World) -> None:
    """Once the service says so."""
    stopped = min(running.proxies)
    running.service.disconnect(stopped)
    minutes(running, 12)
    assert headline(running) == (
        f"staging is degraded, out of sync: no command reaches {name(running, stopped)} (agent-offline),"
        " since 03:10:07 UTC; it is brought up to date when its agent is back;"
        f" restart amazon-ssm-agent on it ({stopped}), see docs/runbook.md#proxy-missing"
    )


@pytest.mark.fault("F153")
def test_an_agent_that_does_not_take_its_command(running: World) -> None:
    """Before the service notices."""
    stopped = min(running.proxies)
    running.service.disconnect(stopped)
    running.launch()
    running.sweep()
    running.pass_time(20)
    assert headline(running) == (
        f"staging needs attention, out of sync: {name(running, stopped)} did not take a command, or is at work on it"
        " for too long, since 03:01:07 UTC; it is not delivered any more at 03:02:07 UTC;"
        " restart amazon-ssm-agent there, if that lasts, see docs/runbook.md#proxy-missing; and 1 more"
    )


@pytest.mark.fault("F153")
def test_a_template_that_is_broken(running: World) -> None:
    """With file, line and name."""
    running.clients.s3.put_object(Bucket="bucket", Key=TEMPLATE, Body=b"{{ nobody }}")
    running.sweep()
    running.pass_time(70)
    running.sweep()
    assert headline(running) == (
        "staging is degraded, in sync: the template does not render, so nothing new is published:"
        " haproxy.cfg.j2:1: 'nobody' is undefined, since 03:01:07 UTC; next look at 03:03:17 UTC;"
        " upload a corrected template, or delete the upload, see docs/runbook.md#template-broken"
    )


@pytest.mark.fault("F153")
def test_a_config_that_haproxy_refuses(running: World) -> None:
    """The first proxy has stopped it, and tries again; since when stays so over its tries."""
    first = refuse(running, "invalid-config")
    since = "since 03:01:09 UTC"
    stopped = f"the rollout of generation 2 stopped at {name(running, first)} (failed invalid-config)"
    assert headline(running) == (
        f"staging is degraded, out of sync: {stopped}, {since}; next try at 03:01:39 UTC;"
        " mend the template or the variables, see docs/runbook.md#proxy-refuses"
    )
    running.pass_time(40)
    assert headline(running) == (
        f"staging is degraded, out of sync: {stopped}, {since}; next try at 03:02:42 UTC;"
        " mend the template or the variables, see docs/runbook.md#proxy-refuses"
    )


@pytest.mark.fault("F153")
def test_a_disk_that_is_full(running: World) -> None:
    """The host says so, and its last word names it."""
    first = refuse(running, "cannot-write")
    assert headline(running) == (
        f"staging is degraded, out of sync: the rollout of generation 2 stopped at {name(running, first)}"
        " (failed cannot-write), since 03:01:09 UTC; next try at 03:01:39 UTC; make room there,"
        " see docs/runbook.md#proxy-refuses"
    )


@pytest.mark.fault("F153")
@pytest.mark.parametrize(
    ("reason", "detail", "advice"),
    [
        (
            "cannot-write",
            "no room or no right to write in /etc/haproxy",
            "make room there",
        ),
        (
            "invalid-config",
            "[ALERT] unknown keyword 'blance' in 'backend' section; did you mean 'balance' maybe ?",
            "mend the template or the variables",
        ),
        (
            "state-overrides-file",
            "app/app-1: check port 81, not 8080",
            "remove the saved state that overrules the config there",
        ),
    ],
)
def test_the_hosts_own_words_are_quoted(
    running: World, reason: str, detail: str, advice: str
) -> None:
    """They say more than any word of ours."""
    refuse(running, reason, detail)
    (condition,) = running.act("status")["conditions"]
    assert condition["what"].endswith(f"(failed {reason}: {detail})")
    assert f"(failed {reason}: {detail}), since 03:01:09 UTC; next try" in headline(
        running
    )
    assert f"; {advice}, see docs/runbook.md#proxy-refuses" in headline(running)


@pytest.mark.fault("F154")
def test_a_pool_that_was_emptied(running: World) -> None:
    """Nobody is left, whatever the config still names."""
    running.terminate(*(each.instance_id for each in running.state.pool))
    running.pass_time(60)
    running.sweep()
    assert headline(running) == (
        "staging is degraded, in sync: no backend is left; the config keeps 3 backends that vanished,"
        " since 03:02:07 UTC; the hold ends when enough of them are found; bring backends back, or mend their tags,"
        " see docs/runbook.md#empty-pool"
    )


@pytest.mark.fault("F154")
def test_a_pool_that_may_be_empty() -> None:
    """It is so every night: no alarm, and no green either."""
    with new_world(empty_pool="publish") as world:
        (only,) = world.launch()
        world.launch("haproxy")
        minutes(world, 1)
        world.terminate(only)
        minutes(world, 1)
        begin = "staging needs attention, in sync: no backend is left"
        end = "bring backends back, or mend their tags, see docs/runbook.md#empty-pool"
        assert headline(world) == (
            f"{begin}; the config keeps 1 backend that vanished, since 03:01:10 UTC;"
            f" the hold ends at 03:06:10 UTC; {end}"
        )
        minutes(world, 6)
        assert headline(world) == (
            f"{begin}, and an empty pool is published: requests get errors, since 03:06:10 UTC; {end}"
        )


@pytest.mark.fault("F154")
def test_most_backends_are_gone(running: World) -> None:
    """How many, until when they are kept, and the way out."""
    running.launch(number=3)
    running.sweep()
    running.settle()
    running.pass_time(360)
    running.terminate(*[each.instance_id for each in running.state.pool][:5])
    running.sweep()
    assert headline(running) == (
        "staging needs attention, in sync: 5 of 6 backends vanished and stay in the config:"
        " 5 of 6 backends vanished within HoldMinutes (limit 50 %), since 03:07:15 UTC; the hold ends at 03:12:15 UTC;"
        " if they are gone on purpose, sync with allow_mass_removal; else mend their tags,"
        " see docs/runbook.md#held-removal"
    )


@pytest.mark.fault("F155")
def test_a_haproxy_that_was_killed_after_an_inspection(running: World) -> None:
    """The config is in its place, so it is in sync; and it serves nobody."""
    killed = min(running.proxies)
    running.proxies[killed].haproxy = "stopped"
    running.act("inspect")
    running.pass_time(10)
    assert headline(running) == (
        f"staging is degraded, in sync: HAProxy is stopped on {name(running, killed)}, since 03:01:11 UTC;"
        " next drift check at 03:10:11 UTC; start HAProxy there, see docs/runbook.md#haproxy-does-not-run"
    )
    proxy = running.act("status")["proxies"][killed]
    assert (proxy["health"], proxy["haproxy"]) == ("degraded", "stopped")
    running.proxies[killed].haproxy = "running"
    running.act("inspect")
    running.pass_time(10)
    assert headline(running).startswith("staging is healthy, in sync: 3 proxies")


@pytest.mark.fault("F155")
def test_a_haproxy_that_was_killed_after_a_drift_check(running: World) -> None:
    """Nobody had to ask; from the second check on it is still since the first one."""
    killed = min(running.proxies)
    running.proxies[killed].haproxy = "stopped"
    minutes(running, 25)
    assert headline(running) == (
        f"staging is degraded, in sync: HAProxy is stopped on {name(running, killed)}, since 03:10:11 UTC;"
        " next drift check at 03:30:07 UTC; start HAProxy there, see docs/runbook.md#haproxy-does-not-run"
    )


@pytest.mark.fault("F155")
def test_a_haproxy_that_runs_with_another_file(running: World) -> None:
    """It serves, and nothing of ours."""
    other = min(running.proxies)
    running.proxies[other].haproxy = "config-not-used"
    running.act("inspect")
    running.pass_time(10)
    assert headline(running) == (
        f"staging is degraded, in sync: HAProxy on {name(running, other)} does not run with /etc/haproxy/haproxy.cfg,"
        " since 03:01:11 UTC; next drift check at 03:10:11 UTC; make it the file that HAProxy runs with there,"
        " see docs/runbook.md#haproxy-does-not-run"
    )


@pytest.mark.fault("F155")
def test_a_backend_without_a_server_that_is_up(running: World) -> None:
    """As the proxies themselves see it."""
    for host in running.proxies.values():
        host.backends = (Backend("api", 0, 2), Backend("backend", 2, 1))
    running.act("inspect")
    running.pass_time(10)
    assert headline(running) == (
        f"staging is degraded, in sync: backend api has no server that is UP, as {names(running)} said,"
        " since 03:01:11 UTC; next drift check at 03:10:11 UTC; find out why its servers fail their checks,"
        " see docs/runbook.md#backend-down; and 1 more"
    )


@pytest.mark.fault("F156")
def test_a_bucket_that_cannot_be_read(running: World) -> None:
    """The answer has every key that it has otherwise."""
    known = running.act("status")
    with failing(running.clients, "s3.GetObject", Fault(403, "AccessDenied")):
        answer = running.act("status")
        assert headline(running) == (
            "staging is unknown, sync unknown: the state cannot be read from s3://bucket/state/staging.json:"
            " GetObject: AccessDenied: no; each sweep tries again;"
            " give the function's role its rights on the bucket back, see docs/runbook.md#status-itself-fails"
        )
    assert answer.keys() == known.keys()
    assert (answer["sync"], answer["health"]) == ("unknown", "unknown")
    assert (answer["proxies"], answer["history"]) == ({}, [])
    assert not answer["converged"]


@pytest.mark.fault("F156")
def test_a_state_that_is_none(running: World) -> None:
    """What was published is not known for the moment."""
    running.clients.s3.put_object(
        Bucket="bucket", Key="state/staging.json", Body=b"{}\nx"
    )
    assert headline(running) == (
        "staging is unknown, sync unknown: the object in the bucket is no state:"
        " JSONDecodeError: Extra data: line 2 column 1 (char 3); the next look replaces it; find out who wrote it,"
        " see docs/runbook.md#corrupt-state"
    )


@pytest.mark.fault("F157")
def test_sendcommand_is_denied(running: World) -> None:
    """In the words of AWS."""
    running.launch()
    with failing(
        running.clients, "ssm.SendCommand", Fault(400, "AccessDeniedException")
    ):
        running.sweep()
        assert headline(running) == (
            "staging is degraded, out of sync: no command can be sent: SendCommand: AccessDeniedException: no,"
            " since 03:01:07 UTC; next try at 03:01:22 UTC; give the function's role that right back,"
            " see docs/runbook.md#looks-or-commands-are-refused; and 2 more"
        )


@pytest.mark.fault("F157")
def test_a_look_that_is_denied(running: World) -> None:
    """The same."""
    denied = Fault(403, "UnauthorizedOperation")
    with failing(running.clients, "ec2.DescribeInstances", denied):
        running.sweep()
    assert headline(running) == (
        "staging is degraded, in sync: looks fail: DescribeInstances: UnauthorizedOperation, since 03:01:07 UTC;"
        " next look at 03:01:15 UTC; give the function's role that right back,"
        " see docs/runbook.md#looks-or-commands-are-refused"
    )


@pytest.mark.fault("F157")
def test_a_wrong_tag(running: World) -> None:
    """Of one that was meant to join."""
    (wrong,) = running.launch("tomact")
    running.sweep()
    assert headline(running) == (
        f"staging needs attention, in sync: a tag of {wrong} seems to be mistyped: 'Type'='tomact', expected 'tomcat';"
        " next look at 03:02:07 UTC; mend the tag, or leave it so, see docs/runbook.md#near-misses"
    )


@pytest.mark.fault("F157")
def test_a_wrong_tag_of_all_proxies(running: World) -> None:
    """That nobody is found is no riddle, where a tag is the cause."""
    tag = {"Key": "Environment", "Value": "stagign"}
    first = min(running.proxies)
    running.clients.ec2.create_tags(Resources=[*running.proxies], Tags=[tag])
    running.sweep()
    assert headline(running) == (
        "staging is degraded, sync unknown: no running instance is tagged as a proxy"
        " (Environment=staging, Type=haproxy); next look at 03:02:07 UTC;"
        f" mend the tag of {first} ('Environment'='stagign', expected 'Environment'='staging'),"
        " see docs/runbook.md#no-proxy; and 1 more"
    )


@pytest.mark.fault("F157")
def test_two_stacks_on_one_fleet(running: World) -> None:
    """Each of them names the other one."""
    other = rival(running)
    pass_minutes(running, other, 12)
    assert headline(running).startswith(
        f"staging needs attention, in sync: another stack, rival, tries to take {names(running)}, since 03:"
    )
    assert headline(running).endswith(
        "; delete the stack that should not be, see docs/runbook.md#two-stacks-one-proxy"
    )
    assert headline(other).startswith(
        f"staging is degraded, out of sync: {names(running)} obey another stack, staging, and refuse this one;"
    )
    assert headline(other).endswith(
        "; delete that stack, or take the proxies by sync with adopt: true,"
        " see docs/runbook.md#two-stacks-one-proxy"
    )


@pytest.mark.fault("F157")
def test_an_agent_that_is_too_old(running: World) -> None:
    """Before a rollout needs it."""
    old = min(running.proxies)
    running.proxies[old].agent.version = "3.2.985.0"
    minutes(running, 12)
    assert headline(running) == (
        f"staging needs attention, in sync: the SSM agent of {name(running, old)} is 3.2.985.0 (agent-too-old);"
        f" no command works on it: update it ({old}), see docs/runbook.md#proxy-missing"
    )


@pytest.mark.fault("F158")
def test_a_hand_edit_before_and_after_its_repair(running: World) -> None:
    """Who edited finds the edit again, for a day."""
    edited = min(running.proxies)
    running.drift(edited)
    running.act("inspect")
    running.pass_time(10)
    assert headline(running) == (
        f"staging needs attention, out of sync: the config on {name(running, edited)} was edited by hand,"
        " since 03:01:11 UTC; the drift check undoes it at 03:10:11 UTC; put the change into the template,"
        " see docs/runbook.md#hand-edit"
    )
    assert running.act("status")["proxies"][edited]["sync"] == "out-of-sync"
    backup = running.proxies[edited].installed[:8]
    minutes(running, 10)
    assert headline(running) == (
        f"staging is healthy, in sync: a hand edit on {name(running, edited)} was undone;"
        f" it is kept there as /etc/haproxy/haproxy.cfg.{backup}.bak, since 03:10:20 UTC;"
        " put the change into the template"
    )
    running.clock.advance(24 * 3600)
    minutes(running, 2)
    assert headline(running).startswith("staging is healthy, in sync: 3 proxies run")


@pytest.mark.fault("F159")
def test_the_first_freeze(fresh: World) -> None:
    """What to do, and no alarm; also before the first look it is said that nobody has looked."""
    assert headline(fresh) == (
        "staging is unknown, nothing published: nobody has looked at EC2 yet; a sweep is expected soon;"
        " read the function's log, see docs/runbook.md#no-reconcile; and 1 more"
    )
    minutes(fresh, 1)
    assert headline(fresh) == (
        "staging is healthy, nothing published: nothing was ever published here,"
        " and nothing is sent before unfreeze; look at plan, then unfreeze"
    )


@pytest.mark.fault("F159")
def test_a_long_freeze_keeps_its_proxies_known(running: World) -> None:
    """No drift check is sent, so hosts are asked how they are; until they do not answer either."""
    running.act("freeze", minutes=600, reason="an\nincident\x1b[31m")
    orders = running.orders()
    frozen = (
        "staging is healthy, in sync: frozen (an incident[31m); the freeze ends at 13:01:07 UTC;"
        " unfreeze ends it"
    )
    assert headline(running) == frozen
    minutes(running, 60)
    assert headline(running) == frozen
    assert running.orders() == orders
    for host in running.proxies.values():
        host.haproxy, host.breaks = None, lambda _: ("failed", "no-python")
    heard = running.act("status")["proxies"].values()
    minutes(running, 25)
    answer = running.act("status")
    assert (answer["sync"], answer["health"]) == ("unknown", "unknown")
    assert {each["heard_at"] for each in heard} == {
        each["heard_at"] for each in answer["proxies"].values()
    }
    assert answer["headline"].startswith(
        f"staging is unknown, sync unknown: {names(running)} said nothing for more than 20 minutes, since 03:"
    )
    assert answer["headline"].endswith(
        "; nothing is sent before the freeze ends at 13:01:07 UTC; ask by inspect,"
        " see docs/runbook.md#stale-proxies; and 1 more"
    )


@pytest.mark.fault("F159")
def test_those_behind_a_stopped_rollout_stay_known(running: World) -> None:
    """Nobody but the one that failed gets a command for hours; the others are asked how they are."""
    first = refuse(running, "invalid-config")
    for key, host in running.proxies.items():
        if key != first:
            host.breaks = lambda _: None
    minutes(running, 2 * HOUR)
    proxies = running.act("status")["proxies"]
    assert {each["heard_age_seconds"] < 1200 for each in proxies.values()} == {True}
    assert {each["outcome"] for each in proxies.values()} == {"failed", "installed"}


@pytest.mark.fault("F159")
def test_a_rollout_under_way(running: World) -> None:
    """Nothing is wrong; how far it is."""
    running.launch()
    running.sweep()
    (command,) = running.state.commands
    assert headline(running) == (
        "staging is healthy, out of sync: generation 2 rolls out, 0 of 3 proxies have it, since 03:01:07 UTC;"
        f" a canary is at work on {name(running, command.targets[0])}"
    )


@pytest.mark.fault("F160")
def test_nobody_looks(running: World) -> None:
    """The schedule is off, say: what was known ages, and then is known no more."""
    running.pass_time(400)
    end = "read the function's log, see docs/runbook.md#no-reconcile"
    assert headline(running) == (
        "staging is unknown, in sync: nobody looks at EC2, since 03:00:15 UTC; a sweep was expected at 03:01:15 UTC;"
        f" {end}"
    )
    running.pass_time(24 * 3600)
    assert headline(running) == (
        "staging is unknown, sync unknown: nobody looks at EC2, since 2026-11-22 03:00:15 UTC;"
        f" a sweep was expected at 2026-11-22 03:01:15 UTC; {end}; and 1 more"
    )


@pytest.mark.fault("F160")
def test_rare_sweeps_are_no_silence(running: World) -> None:
    """By a sweep an hour, neither is a look missed nor a word too old before three of them."""
    running.settings = replace(running.settings, sweep_seconds=3600.0)
    running.pass_time(3 * 3600 - 60)
    assert headline(running).startswith("staging is healthy, in sync: 3 proxies")
    running.pass_time(3600)
    assert headline(running).startswith("staging is unknown, sync unknown: ")


@pytest.mark.fault("F161")
@pytest.mark.parametrize("action", ["sync", "verify", "inspect", "freeze", "unfreeze"])
def test_every_answer_says_how_the_environment_is(running: World, action: str) -> None:
    """What an action leaves behind, in the same words."""
    running.proxies[min(running.proxies)].haproxy = "stopped"
    running.act("inspect")
    running.pass_time(10)
    answer: dict[str, Any] = running.act(action)
    assert answer["health"] == "degraded"
    assert "HAProxy is stopped on" in answer["headline"]
    assert answer["conditions"][0]["cause"] == "haproxy-stopped"


@pytest.mark.fault("F161")
def test_every_section_that_a_condition_names_is_in_the_runbook() -> None:
    """A link that leads nowhere is no help at night."""
    sections = anchors(RUNBOOK.read_text())
    assert {row.runbook for row in (*TABLE, *UNREADABLE)} <= sections
