"""What a change at run time leaves in the worker is the program's own doing, and no later worker inherits it."""

from collections.abc import Callable
from typing import Any

import pytest

from local.lab import (
    BackendHost,
    Client,
    Load,
    ProxyHost,
    Style,
    sample_config,
    wait_until,
)
from tests.host.apply_step import (
    ADD_SERVER,
    ApplyStep,
    digest,
    kill_when,
    sessions,
    state_of,
    stateful,
)

type MakeProxy = Callable[..., ProxyHost]


@pytest.fixture
def step(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...], haproxy: dict[str, Any]
) -> ApplyStep:
    """A proxy that is proven to run two servers, both known to be well."""
    step = ApplyStep(make_proxy(Style.MASTER_WORKER, **haproxy))
    text = stateful(*backends[:2])
    step.host.start(text)
    first = step.run(text, ReloadMethod="seamless")
    assert first["running_md5"] == digest(text), first
    return step


def wait_until_all_serve(proxy: ProxyHost, count: int) -> None:
    """Wait until so many servers are there, each up and in no maintenance."""
    wait_until(
        lambda: [state[1:3] for state in state_of(proxy).values()] == [(2, 0)] * count,
        what=lambda: state_of(proxy),
    )


@pytest.mark.fault("F94")
def test_a_server_that_was_busy_when_it_was_removed_comes_back_with_a_reload(
    step: ApplyStep, backends: tuple[BackendHost, ...], client: Client
) -> None:
    """It stayed in maintenance for its last download; the new worker does not believe that an operator wants it so."""
    with client.traffic(Load((str(step.host.ipv4),), downloads=4, download_seconds=4)):
        wait_until(lambda: sessions(step.host)["app-2"])
        answer = step.run(stateful(backends[0]), ReloadMethod="runtime")
        assert answer.says("installed", method="runtime"), answer
        assert "servers-left-in-maintenance" in answer["notes"].split()
        after = stateful(*backends[:2]).replace("roundrobin", "leastconn")
        assert step.run(after, ReloadMethod="auto").says("installed", method="seamless")
    wait_until_all_serve(step.host, 2)


@ADD_SERVER
@pytest.mark.fault("F94")
@pytest.mark.parametrize("state", ["maint", "drain"])
def test_a_change_that_was_killed_leaves_no_server_out(
    step: ApplyStep, backends: tuple[BackendHost, ...], state: str
) -> None:
    """A server is in maintenance when it is added and drained a moment later; a kill then does not make that last."""
    proxy = step.host
    backends[2].stop()
    try:
        kill_when(
            step.start(stateful(*backends), ReloadMethod="runtime"),
            lambda: "app-3" in state_of(proxy),
        )
    finally:
        backends[2].start()
    proxy.ask(f"set server app/app-3 state {state}")
    assert step.run(stateful(*backends), ReloadMethod="auto").says(
        "repaired", "not-activated", "seamless"
    )
    wait_until_all_serve(proxy, 3)


@ADD_SERVER
def test_an_operators_drain_outlives_changes_of_other_servers(
    step: ApplyStep, backends: tuple[BackendHost, ...]
) -> None:
    """What was not the program's doing is kept, at run time and over the reload after it."""
    step.host.ask("set server app/app-1 state drain")
    drained = state_of(step.host)["app-1"][2]
    assert step.run(stateful(*backends), ReloadMethod="runtime").says(
        "installed", method="runtime"
    )
    after = stateful(*backends).replace("roundrobin", "leastconn")
    assert step.run(after, ReloadMethod="auto").says("installed", method="seamless")
    assert state_of(step.host)["app-1"][2] == drained
    assert state_of(step.host)["app-3"][2] == 0


def test_a_reload_that_fails_after_half_a_change_at_run_time_is_no_proof(
    step: ApplyStep, backends: tuple[BackendHost, ...]
) -> None:
    """The worker of the old file has half of the new one: the old file is loaded anew before it counts as running."""
    proxy = step.host
    text = stateful(*backends[:2]).replace("roundrobin", "static-rr")
    proxy.write("/etc/haproxy/gate.lua", "")
    text = text.replace("global\n", "global\n    lua-load /etc/haproxy/gate.lua\n", 1)
    assert step.run(text).says("installed")
    # HAProxy takes the change of weight and refuses the new server; then the first load fails, the second does not.
    gate = """
if os.getenv("HAPROXY_MWORKER_REEXEC") and not io.open("/run/once") then
  io.open("/run/once", "w"):close()
  error("no")
end
"""
    proxy.write("/etc/haproxy/gate.lua", gate)
    after = text.replace(
        "app-1 10.77.1.1:8080 check", "app-1 10.77.1.1:8080 check weight 0"
    )
    answer = step.run(
        after + "    server app-3 10.77.1.3:8080 check\n", ReloadMethod="auto"
    )
    assert answer.says("rolled-back", "reload-failed"), answer
    assert answer["running_md5"] == digest(text)
    assert state_of(proxy)["app-1"][3] == 1


def test_many_servers_at_once_are_a_reload(make_proxy: MakeProxy) -> None:
    """A change of hundreds of servers by hundreds of commands would outlast the step's time."""
    texts = [
        sample_config(
            {f"app-{n}": f"127.0.0.{n}:8080" for n in range(1, count)},
            options="check inter 5s",
        )
        for count in (3, 60)
    ]
    proxy = make_proxy(Style.MASTER_WORKER)
    proxy.start(texts[0])
    step = ApplyStep(proxy)
    assert step.run(texts[0], ReloadMethod="seamless")["running_md5"] == digest(
        texts[0]
    )
    assert step.run(texts[1], ReloadMethod="auto").says("installed", method="seamless")
    assert len(state_of(proxy)) == 59
