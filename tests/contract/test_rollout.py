"""The rollout through the real handler, S3 and a strict Run Command: who gets a command, when, and what we say."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from itertools import pairwise

import pytest

from haproxy_sync.rollout.limits import VOID_SECONDS
from haproxy_sync.settings import Limit
from haproxy_sync.state.model import Outcome
from local.run_command import Trouble
from tests.contract.faults import Death, Fault, failing, interposed
from tests.contract.world import World, changed


def outcomes(world: World) -> list[str]:
    """What status says of the proxies, in order of their ids."""
    return [str(proxy["outcome"]) for proxy in world.act("status")["proxies"].values()]


def digests(world: World) -> set[str]:
    """What the proxies run."""
    return {host.running for host in world.proxies.values()}


def desired(world: World) -> str:
    """The MD5 that all shall run."""
    publication = world.state.publication
    assert publication
    assert publication.assignment.shared
    return publication.assignment.shared.md5


def unnoticed(world: World) -> str:
    """A change whose first proxy is away although the service believes it online; gives the proxy."""
    gone = min(world.proxies)
    world.service.disconnect(gone)
    world.launch()
    world.sweep()
    return gone


def canary(world: World) -> str:
    """The proxy that has the command in flight."""
    (command,) = world.state.commands
    (target,) = command.targets
    return target


def breaks(parameters: Mapping[str, str]) -> tuple[str, str]:
    """A host that cannot take any config."""
    assert parameters
    return "rolled-back", "bind-failed"


def test_from_an_event_to_every_proxy(world: World) -> None:
    """Canary, wave, done, by the events alone; each proxy reloads once."""
    backend_ids = world.launch(number=2)
    world.launch("haproxy", 3)
    assert world.deliver(changed()) == []
    assert world.orders() == 1
    assert sum(host.reloads for host in world.proxies.values()) == 0
    world.settle()
    assert [host.reloads for host in world.proxies.values()] == [1, 1, 1]
    served = world.served(next(iter(world.proxies)))
    addresses = [backend.address for backend in world.state.backends or ()]
    assert len(addresses) == len(backend_ids)
    assert all(f"{address}:8080" in served for address in addresses)


@pytest.mark.fault("F01")
def test_the_same_event_again_sends_nothing(running: World) -> None:
    """Three times the same, and nobody hears of it."""
    orders, state = running.orders(), running.state
    for _ in range(3):
        running.pass_time(10)
        assert running.deliver(changed(), changed(), changed()) == []
    assert running.orders() == orders
    assert running.state.publication == state.publication


@pytest.mark.fault("F65")
def test_the_first_bad_proxy_stops_the_rollout(running: World) -> None:
    """The others keep the old config; once it is cured, the rollout goes on."""
    (old,) = digests(running)
    running.launch()
    for host in running.proxies.values():
        host.breaks = breaks
    running.sweep()
    running.settle(200)
    assert digests(running) == {old}
    assert sorted(outcomes(running)).count("rolled-back") == 1
    status = running.act("status")
    (bad,) = [
        key
        for key, proxy in status["proxies"].items()
        if proxy["outcome"] == "rolled-back"
    ]
    assert status["proxies"][bad]["reason"] == "bind-failed"
    assert len(running.proxies[bad].agent.orders) == 4
    assert all(
        len(host.agent.orders) == 1
        for key, host in running.proxies.items()
        if key != bad
    )
    for host in running.proxies.values():
        host.breaks = lambda _: None
    running.settle(900)
    assert digests(running) == {desired(running)} != {old}


@pytest.mark.fault("F65")
def test_a_bad_proxy_in_the_wave_stops_those_behind_it(running: World) -> None:
    """Run Command tells them from the failed one, and so do we."""
    slow = replace(running.settings, max_concurrency=Limit.parse("1"))
    running.settings = slow
    running.launch("haproxy", 3)
    running.sweep()
    running.settle()
    running.pass_time(5)
    running.launch()
    running.sweep()
    first = canary(running)
    for key, host in running.proxies.items():
        host.breaks = (lambda _: None) if key == first else breaks
    running.settle(20)
    assert sorted(outcomes(running)) == ["installed"] + ["not-tried"] * 4 + [
        "rolled-back"
    ]


@pytest.mark.fault("F53")
def test_an_offline_agent_is_missing_and_the_others_go_on(running: World) -> None:
    """It is named, and brought up by the sweep once it is back."""
    gone = min(running.proxies)
    running.service.disconnect(gone)
    running.pass_time(301)
    running.launch()
    running.sweep()
    running.settle(30)
    status = running.act("status")
    assert status["proxies"][gone]["outcome"] == "missing"
    assert status["proxies"][gone]["reason"] == "agent-offline"
    assert not status["converged"]
    others = {host.running for key, host in running.proxies.items() if key != gone}
    assert others == {desired(running)}
    running.service.reconnect(gone)
    running.pass_time(60)
    running.sweep()
    running.settle()
    assert running.proxies[gone].running == desired(running)


@pytest.mark.fault("F53")
def test_an_agent_that_dies_unnoticed_times_out_and_is_missing(running: World) -> None:
    """The service still believes it online; a late delivery is fenced on the host."""
    gone = unnoticed(running)
    assert canary(running) == gone
    running.pass_time(700)
    running.sweep()
    assert running.act("status")["proxies"][gone]["outcome"] == "missing"
    running.settle(60)
    assert {host.running for key, host in running.proxies.items() if key != gone} == {
        desired(running)
    }
    running.service.reconnect(gone)
    running.pass_time(1800)
    running.sweep()
    running.settle()
    assert running.proxies[gone].running == desired(running)


@pytest.mark.fault("F55")
def test_a_proxy_that_never_registered_is_found_by_difference(running: World) -> None:
    """It is in EC2 and not in Run Command."""
    answer = running.clients.ec2.run_instances(
        ImageId="ami-12345678",
        MinCount=1,
        MaxCount=1,
        TagSpecifications=[
            {
                "ResourceType": "instance",
                "Tags": [
                    {"Key": "Environment", "Value": "staging"},
                    {"Key": "Type", "Value": "haproxy"},
                ],
            }
        ],
    )
    late = answer["Instances"][0]["InstanceId"]
    running.sweep()
    assert running.act("status")["proxies"][late]["outcome"] == "missing"
    running.pass_time(90)
    running.join(late)
    running.sweep()
    running.settle()
    assert running.proxies[late].running == desired(running)


@pytest.mark.fault("F54")
def test_success_of_the_parent_is_not_believed(running: World) -> None:
    """A wave with an undeliverable host is Success for the service; status names the host."""
    running.launch()
    running.sweep()
    first = canary(running)
    gone = next(key for key in sorted(running.proxies) if key != first)
    running.service.disconnect(gone)
    running.pass_time(1)
    running.service.deregister(gone)
    running.pass_time(5)
    running.sweep()
    status = running.act("status")
    assert status["proxies"][gone]["outcome"] == "missing"
    assert not status["converged"]


@pytest.mark.fault("F57")
@pytest.mark.parametrize("which", [min, max])
@pytest.mark.parametrize("is_whole_call", [False, True])
def test_a_denied_host_is_told_apart_and_the_others_go_on(
    running: World,
    which: Callable[[Iterable[str]], str],
    is_whole_call: bool,  # noqa: FBT001 # a column of the table
) -> None:
    """Whether the service says so in the invocation or refuses the whole call, the canary's or the wave's."""
    denied = which(running.proxies)
    if is_whole_call:
        running.service.refuses = lambda instance_id: instance_id == denied
    else:
        running.service.permits = lambda instance_id: instance_id != denied
    running.launch()
    running.sweep()
    running.settle(20)
    assert running.act("status")["proxies"][denied]["outcome"] == "denied"
    assert {host.running for key, host in running.proxies.items() if key != denied} == {
        desired(running)
    }


@pytest.mark.fault("F56")
@pytest.mark.parametrize(
    ("status", "code"), [(400, "ThrottlingException"), (500, "InternalServerError")]
)
def test_a_refused_send_returns_the_message_and_is_done_later(
    running: World, status: int, code: str
) -> None:
    """The state says that nothing is rolled out; nobody waits for a command that never was."""
    orders = running.orders()
    running.launch()
    with failing(running.clients, "ssm.SendCommand", Fault(status, code)):
        assert running.sweep() == ["m-0"]
    assert running.orders() == orders
    assert not running.act("status")["converged"]
    running.pass_time(VOID_SECONDS)
    running.sweep()
    running.settle()
    assert digests(running) == {desired(running)}


@pytest.mark.fault("F56")
def test_a_send_whose_answer_got_lost_keeps_others_off(running: World) -> None:
    """It may be under way: nobody sends again before the claim is void, and the host reloads once."""
    running.launch()
    before = {key: host.reloads for key, host in running.proxies.items()}
    with failing(
        running.clients,
        "ssm.SendCommand",
        Fault(500, "InternalServerError", is_done=True),
    ):
        assert running.sweep() == ["m-0"]
    sent = len(running.service.commands)
    running.pass_time(10)
    assert running.sweep() == []
    assert len(running.service.commands) == sent
    running.pass_time(VOID_SECONDS)
    running.sweep()
    running.settle()
    assert {
        key: host.reloads - before[key] for key, host in running.proxies.items()
    } == dict.fromkeys(before, 1)


def test_a_send_whose_answer_got_lost_is_not_repeated(running: World) -> None:
    """Only we know what to do then: the SDK would start a second command on the same proxies."""
    running.launch()
    sent = len(running.service.commands)
    with failing(
        running.clients,
        "ssm.SendCommand",
        Fault(500, "InternalServerError", is_done=True),
        times=1,
    ):
        assert running.sweep() == ["m-0"]
    assert len(running.service.commands) == sent + 1


def test_claims_are_sent_and_reports_are_told_although_the_queue_refuses(
    running: World, capsys: pytest.CaptureFixture[str]
) -> None:
    """The rollout does not wait for a message that only schedules the next look."""
    running.launch()
    running.sweep()
    running.finish_unnoticed()
    running.inbox.clear()
    running.launch()
    capsys.readouterr()
    with (
        failing(running.clients, "sqs.SendMessage", Fault(403, "AccessDenied")),
        failing(running.clients, "ssm.SendCommand", Fault(400, "ThrottlingException")),
    ):
        assert running.deliver(changed()) == ["m-0"]
    assert '"ProxyReports":[1.0]' in capsys.readouterr().out


def test_an_answer_that_nobody_expects_costs_neither_words_nor_wakeups(
    running: World, capsys: pytest.CaptureFixture[str]
) -> None:
    """A bug of ours or of the SDK after the put: the message comes back, and all the rest is done and said."""
    running.launch()
    running.delayed.clear()
    capsys.readouterr()
    with failing(running.clients, "ssm.SendCommand", Fault(200, "NoCommandInIt")):
        assert running.deliver(changed()) == ["m-0"]
    assert '"Publications":[1.0]' in capsys.readouterr().out
    assert running.delayed


@pytest.mark.fault("F10")
def test_death_between_claim_and_send_is_healed(running: World) -> None:
    """The next run finds the generation not rolled out, and sends once the claim is void."""
    running.launch()
    orders = running.orders()
    with (
        failing(running.clients, "ssm.SendCommand", Fault(is_death=True)),
        pytest.raises(Death),
    ):
        running.sweep()
    assert running.orders() == orders
    running.pass_time(10)
    running.sweep()
    assert running.orders() == orders
    running.pass_time(VOID_SECONDS)
    running.sweep()
    running.settle()
    assert digests(running) == {desired(running)}


@pytest.mark.fault("F11")
def test_death_between_send_and_note_costs_no_reload(running: World) -> None:
    """The command runs, is sent again, and the host says unchanged."""
    running.launch()
    before = [host.reloads for host in running.proxies.values()]
    with (
        failing(running.clients, "ssm.SendCommand", Fault(is_death=True, is_done=True)),
        pytest.raises(Death),
    ):
        running.sweep()
    assert len(running.service.commands) == 3
    for _ in range(VOID_SECONDS + 1):
        running.pass_time(1)
    running.sweep()
    running.settle()
    assert digests(running) == {desired(running)}
    assert [
        host.reloads - old
        for host, old in zip(running.proxies.values(), before, strict=True)
    ] == [1, 1, 1]


@pytest.mark.fault("F12")
@pytest.mark.parametrize("operation", ["ec2.DescribeInstances", "s3.ListObjectsV2"])
def test_death_in_the_look_or_the_render_writes_nothing(
    running: World, operation: str
) -> None:
    """The message returns, and an ordinary run does all of it."""
    before = running.state
    running.launch()
    with (
        failing(running.clients, operation, Fault(is_death=True)),
        pytest.raises(Death),
    ):
        running.sweep()
    assert running.state == before
    running.sweep()
    running.settle()
    assert digests(running) == {desired(running)}


@pytest.mark.fault("F35")
def test_without_proxies_the_config_is_stored_and_nothing_sent(world: World) -> None:
    """And the environment is not called converged, so that an alarm can ring."""
    world.launch(number=2)
    assert world.sweep() == []
    assert (
        world.clients.s3.list_objects_v2(Bucket="bucket", Prefix="configs/staging/")[
            "KeyCount"
        ]
        == 1
    )
    assert world.service.commands == []
    assert not world.act("status")["converged"]
    world.launch("haproxy")
    world.pass_time(60)
    world.sweep()
    world.settle()
    assert digests(world) == {desired(world)}


@pytest.mark.fault("F64")
def test_the_wave_runs_the_document_that_the_canary_ran(running: World) -> None:
    """A deployment in the middle of a rollout changes nothing for it."""
    running.launch()
    running.sweep()
    number = running.update_document(description="another")
    running.settle()
    assert [command.document.version for command in running.service.commands[-2:]] == [
        "1",
        "1",
    ]
    running.pass_time(5)
    running.act("verify")
    assert running.service.commands[-1].document.version == number


@pytest.mark.fault("F66")
def test_a_proxy_that_terminates_in_mid_rollout_is_gone_not_failed(
    running: World,
) -> None:
    """The next look no longer has it, and another one becomes the canary."""
    running.launch()
    running.sweep()
    running.terminate(canary(running))
    running.pass_time(60)
    running.sweep()
    running.settle()
    assert running.act("status")["converged"]
    assert len(running.act("status")["proxies"]) == 2


@pytest.mark.fault("F67")
def test_a_lost_status_event_is_found_by_the_sweep(running: World) -> None:
    """Open commands are read by every run."""
    running.launch()
    running.sweep()
    for second in range(180):
        running.clock.advance(1)
        running.service.tick()
        running.inbox.clear()
        if second % 60 == 0:
            running.sweep()
    assert digests(running) == {desired(running)}
    assert running.act("status")["converged"]


def test_one_proxy_never_has_two_commands(running: World) -> None:
    """Changes faster than hosts: what was queued is picked up, and the last one wins."""
    for _ in range(6):
        running.launch()
        running.sweep()
        running.pass_time(0.3)
        for key in running.proxies:
            open_ones = [
                invocation
                for command in running.service.commands
                for invocation in command.invocations
                if invocation.instance_id == key and not invocation.detail.is_final
            ]
            assert len(open_ones) <= 1
        running.clock.advance(2)
    running.settle()
    assert digests(running) == {desired(running)}
    assert len(running.state.backends or ()) == 9


def test_commands_to_one_proxy_keep_their_distance(world: World) -> None:
    """Five seconds, whatever happens in between, and nothing is lost by waiting."""
    world.launch(number=2)
    (key,) = world.launch("haproxy")
    world.sweep()
    times = [world.now]
    for _ in range(3):
        world.launch()
        seen = world.orders()
        world.deliver(changed())
        while world.orders() == seen:
            world.pass_time(0.5)
            assert world.now - times[-1] < 30
        times.append(world.now)
    requested = [command.requested.timestamp() for command in world.service.commands]
    assert all(later - earlier >= 5 for earlier, later in pairwise(requested))
    world.settle()
    assert world.proxies[key].running == desired(world)


def test_a_hand_edit_is_repaired_and_reported(running: World) -> None:
    """Within the drift check's time, with the name of the backup."""
    (edited, *_) = running.proxies
    running.drift(edited)
    running.pass_time(running.settings.drift_check_seconds)
    running.sweep()
    running.settle(10)
    status = running.act("status")["proxies"][edited]
    assert status["outcome"] == "repaired"
    assert status["backup"].endswith(".bak")
    assert running.proxies[edited].installed == desired(running)


def methods(world: World) -> list[str]:
    """How each proxy took its last change, in order of their ids."""
    return [proxy["method"] for proxy in world.act("status")["proxies"].values()]


def compare(world: World) -> None:
    """A drift check, answered by all."""
    orders = world.orders()
    world.pass_time(world.settings.drift_check_seconds)
    world.sweep()
    world.settle()
    assert world.orders() > orders


def test_a_drift_check_does_not_make_the_last_reload_forgotten(running: World) -> None:
    """How each proxy took the last change is told until it takes another one."""
    compare(running)
    assert outcomes(running) == ["unchanged"] * 3
    assert methods(running) == ["runtime"] * 3


def test_a_proxy_that_is_stopped_took_its_last_change_all_the_same(
    running: World,
) -> None:
    """Who says that nothing was to be done says nothing of how it was done before."""
    stopped = running.proxies[min(running.proxies)]
    for haproxy in ("stopped", "running"):
        stopped.haproxy = haproxy
        compare(running)
        assert methods(running) == ["runtime"] * 3


def test_who_was_changed_unheard_is_not_said_to_have_done_it_as_before(
    running: World,
) -> None:
    """Its agent dies behind the change, before the report; the next command finds nothing to do."""
    host = running.proxies[max(running.proxies)]
    host.agent.trouble = Trouble.WORKER_KILLED
    reloads = host.reloads
    running.launch()
    running.sweep()
    while host.reloads == reloads:
        running.pass_time(5)
    host.agent.trouble = Trouble.NONE
    for _ in range(30):
        running.pass_time(60)
        running.sweep()
    running.settle()
    assert running.act("status")["converged"]
    assert methods(running) == ["runtime", "runtime", ""]


def test_a_comparison_that_fails_on_one_proxy_leaves_the_others_settled(
    running: World,
) -> None:
    """They run the config; only the failed one is named, and tried again."""
    bad = min(running.proxies)
    running.proxies[bad].breaks = lambda _: ("failed", "no-space")
    running.act("verify")
    for _ in range(10):
        running.pass_time(1)
    proxies = running.act("status")["proxies"]
    assert {key for key, proxy in proxies.items() if not proxy["settled"]} == {bad}
    assert {proxy["outcome"] for key, proxy in proxies.items() if key != bad} == {
        "unchanged"
    }
    running.proxies[bad].breaks = lambda _: None
    running.settle(60)
    assert running.act("status")["converged"]


def test_more_than_fifty_proxies_are_served_in_chunks(world: World) -> None:
    """The call takes fifty ids."""
    world.launch()
    world.launch("haproxy", 60)
    world.sweep()
    world.settle(200)
    assert digests(world) == {desired(world)}
    assert [len(command.invocations) for command in world.service.commands] == [
        1,
        50,
        9,
    ]


def test_one_dead_agent_among_fifty_does_not_block_the_call(running: World) -> None:
    """The service refuses the whole call without naming it; the halves find it."""
    running.launch("haproxy", 5)
    running.launch()
    running.sweep()
    first = canary(running)
    gone = next(key for key in sorted(running.proxies) if key != first)
    real = running.service._is_online  # noqa: SLF001 # online a moment ago, gone when the command is sent

    def is_online(instance_id: str) -> bool:
        return instance_id != gone and real(instance_id)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            type(running.service),
            "_is_online",
            lambda _self, instance_id: is_online(instance_id),
        )
        running.settle(20)
    assert {host.running for key, host in running.proxies.items() if key != gone} == {
        desired(running)
    }
    assert running.state.proxy_state(gone).outcome is Outcome.MISSING


def test_a_dead_agent_does_not_widen_the_wave(world: World) -> None:
    """Nor does it let more than one proxy fail: there is one command at a time, with the limits of one."""
    world.settings = replace(world.settings, max_concurrency=Limit.parse("1"))
    world.launch(number=2)
    world.launch("haproxy", 9)
    world.sweep()
    world.settle(60)
    assert len(digests(world)) == 1
    world.pass_time(30)
    world.launch()
    world.sweep()
    first = canary(world)
    for key, host in world.proxies.items():
        host.breaks = (lambda _: None) if key == first else breaks
    gone = max(key for key in world.proxies if key != first)
    real = world.service._is_online  # noqa: SLF001 # as above
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            type(world.service),
            "_is_online",
            lambda _self, key: key != gone and real(key),
        )
        world.settle(20)
    assert outcomes(world).count("rolled-back") == 1


def test_a_template_of_its_own_per_proxy(running: World) -> None:
    """A template that mentions the rendering host gives each proxy its own text, and the right one."""
    template = "listen x\n bind :80\n # {{ inventory_hostname }}\n"
    template += (
        "{% for b in groups['backends'] %} server {{ b }} {{ b }}:8080\n{% endfor %}"
    )
    running.clients.s3.put_object(
        Bucket="bucket", Key="templates/staging/haproxy.cfg.j2", Body=template.encode()
    )
    running.sweep()
    running.settle()
    assert running.act("status")["converged"]
    texts = {key: running.served(key) for key in running.proxies}
    assert len(set(texts.values())) == 3
    for proxy in running.state.proxies:
        assert f"# {proxy.address}" in texts[proxy.instance_id]


@pytest.mark.fault("F09")
def test_a_state_moved_between_claim_and_id_keeps_both(running: World) -> None:
    """Somebody freezes while the command is being sent: the id is merged into what they made of the state."""
    running.launch()
    moved: list[str] = []

    def choose(operation: str, _url: str) -> Fault | None:
        if operation == "ssm.SendCommand" and not moved:
            moved.append(operation)
            running.act("freeze", minutes=1, reason="somebody else")
        return None

    with interposed(running.clients, choose):
        assert running.sweep() == []
    assert moved
    (command,) = running.state.commands
    assert command.command_id == running.service.commands[-1].command_id
    assert running.state.freeze
    assert running.state.freeze.reason == "somebody else"


def test_half_sent_is_half_noted(running: World) -> None:
    """Of several commands the second is refused: the first is known by its id, the rest is sent later."""
    template = "listen x\n bind :80\n # {{ inventory_hostname }}\n"
    template += (
        "{% for b in groups['backends'] %} server {{ b }} {{ b }}:8080\n{% endfor %}"
    )
    running.clients.s3.put_object(
        Bucket="bucket", Key="templates/staging/haproxy.cfg.j2", Body=template.encode()
    )
    running.sweep()
    sends: list[str] = []

    def choose(operation: str, _url: str) -> Fault | None:
        sends.extend([operation] if operation == "ssm.SendCommand" else [])
        return (
            Fault(400, "ThrottlingException")
            if len(sends) == 2 and operation == sends[-1]
            else None
        )

    running.finish_unnoticed()
    with interposed(running.clients, choose):
        assert running.sweep() == ["m-0"]
    assert [bool(command.command_id) for command in running.state.commands] == [True]
    running.pass_time(60)
    running.sweep()
    running.settle()
    assert running.act("status")["converged"]


@pytest.mark.parametrize(("seconds", "every"), [(6, 5), (4, 3)])
def test_changes_that_keep_coming_leave_no_proxy_behind(
    world: World, seconds: int, every: int
) -> None:
    """A rollout takes longer than the next change: each proxy is served all the same, and the end is right."""
    world.launch(number=3)
    world.launch("haproxy", 8)
    world.sweep()
    world.settle()
    world.pass_time(30)
    for host in world.proxies.values():
        host.agent.seconds = seconds
    reloads = {key: host.reloads for key, host in world.proxies.items()}
    for second in range(60):
        if second % every == 0:
            world.deliver(changed(*world.launch()))
        world.pass_time(1)
    assert all(host.reloads > reloads[key] for key, host in world.proxies.items())
    world.settle(60)
    assert digests(world) == {desired(world)}
    assert len(world.state.backends or ()) == 3 + 60 // every


def test_a_dead_agent_that_is_still_called_online_holds_up_nobody(
    running: World,
) -> None:
    """The canary's command waits for it for minutes; another one becomes the canary meanwhile."""
    gone = unnoticed(running)
    assert canary(running) == gone
    for _ in range(30):
        running.pass_time(1)
    assert {host.running for key, host in running.proxies.items() if key != gone} == {
        desired(running)
    }


def test_a_config_that_vanished_from_the_bucket_is_stored_again(running: World) -> None:
    """Found by the next proxy that needs it, healed by the next look."""
    publication = running.state.publication
    assert publication
    assert publication.assignment.shared
    key = f"configs/staging/{publication.assignment.shared.sha256}/haproxy.cfg"
    running.clients.s3.delete_object(Bucket="bucket", Key=key)
    (late,) = running.launch("haproxy")
    running.proxies[late].breaks = lambda _: ("failed", "download-failed")
    running.sweep()
    running.pass_time(5)
    running.proxies[late].breaks = lambda _: None
    running.pass_time(60)
    running.sweep()
    running.settle()
    assert running.proxies[late].running == desired(running)


@pytest.mark.fault("F64")
def test_a_retry_in_the_middle_keeps_the_document_of_the_rollout(
    running: World,
) -> None:
    """Only what comes after the end takes the new one, or what was stopped."""
    running.settings = replace(running.settings, max_errors=Limit.parse("1"))
    first, bad, late = sorted(running.proxies)
    running.service.disconnect(late)
    running.pass_time(301)
    running.proxies[bad].breaks = breaks
    running.launch()
    running.sweep()
    running.pass_time(5)
    running.update_document(description="another")
    running.pass_time(40)
    assert len(running.proxies[bad].agent.orders) > 2
    assert running.proxies[first].running == desired(running)
    assert {command.document.version for command in running.service.commands} == {"1"}
