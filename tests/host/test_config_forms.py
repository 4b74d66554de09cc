"""Ways to write a config that the step has to understand, or has to know that it does not."""

from collections.abc import Callable
from typing import Any

import pytest

from local.lab import BackendHost, ProxyHost, Style, wait_until
from tests.host.apply_step import (
    CONDITIONS,
    CONFIG,
    ApplyStep,
    config,
    digest,
    let_age,
    state_of,
    stateful,
)

type MakeProxy = Callable[..., ProxyHost]


@pytest.mark.fault("F94")
def test_servers_that_are_not_given_by_address_keep_their_state(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...], haproxy: dict[str, Any]
) -> None:
    """By host name, without a port, by a template, in quotes: an operator's drain survives, and nobody is born DOWN."""

    def text(second: str) -> str:
        lines = [
            "    server app-1 app-1:8080 check inter 30s",
            f"    server app-2 {second} check inter 30s port 8080",
            f'    server "app-3" {backends[2].ipv4}:8080 check inter 30s',
            f"    server-template spare- 2 {backends[0].ipv4}:8080 check inter 30s",
        ]
        return stateful() + "\n".join(lines) + "\n"

    proxy = make_proxy(Style.MASTER_WORKER, **haproxy)
    proxy.start(text(str(backends[1].ipv4)))
    for name in ("app-1", "app-3", "spare-1"):
        proxy.ask(f"set server app/{name} state drain")
    before = state_of(proxy)
    drained = before["app-1"][2]
    assert drained
    after = text(str(backends[1].ipv4)).replace("roundrobin", "leastconn")
    assert ApplyStep(proxy).run(after).says("installed")
    state = state_of(proxy)
    assert {name for name in state if state[name][2] == drained} == {
        "app-1",
        "app-3",
        "spare-1",
    }
    assert {fields[1] for fields in state.values()} == {2}
    # A name that now means another machine is not sent to the old one.
    assert (
        ApplyStep(proxy)
        .run(after.replace("app-1:8080", "app-2:8080"), Generation="2")
        .says("installed")
    )
    assert state_of(proxy)["app-1"][0] == f"{backends[1].ipv4}:8080"


def test_defaults_in_another_file_are_not_forgotten(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...]
) -> None:
    """With more than one file the Runtime API would miss what the others say of servers, so it is a reload."""

    def rest(*hosts: BackendHost) -> str:
        return "frontend web" + config(*hosts, options="").partition("frontend web")[2]

    proxy = make_proxy(Style.DAEMON)
    first = config(options="").partition("frontend web")[0]
    proxy.write(
        "/etc/haproxy/base.cfg",
        first.replace("defaults\n", "defaults\n    default-server check inter 300ms\n"),
    )
    proxy.write(CONFIG, rest(*backends[:2]))
    proxy.run(
        [
            "haproxy",
            "-D",
            "-f",
            "/etc/haproxy/base.cfg",
            "-f",
            CONFIG,
            "-p",
            "/run/haproxy.pid",
        ]
    )
    step = ApplyStep(proxy)
    assert step.run(rest(*backends[:2]), ReloadMethod="seamless")[
        "running_md5"
    ] == digest(rest(*backends[:2]))
    answer = step.run(rest(*backends), ReloadMethod="runtime")
    assert answer.says("installed"), answer
    assert answer["method"] != "runtime"


@CONDITIONS
def test_servers_under_a_condition_are_reloaded(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...]
) -> None:
    """The step does not evaluate `.if`, so it does not add the servers of a branch that HAProxy does not take."""
    text = config(backends[0])
    proxy = make_proxy(Style.MASTER_WORKER)
    proxy.start(text)
    step = ApplyStep(proxy)
    assert step.run(text, ReloadMethod="seamless")["running_md5"] == digest(text)
    text += f".if 0\n    server app-2 {backends[1].ipv4}:8080\n.endif\n"
    assert step.run(text, ReloadMethod="auto").says("installed", method="seamless")
    assert set(state_of(proxy)) == {"app-1"}


def test_a_directory_of_files_is_checked_with_the_new_one(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...]
) -> None:
    """`-f conf.d`: the check reads the other files and, in its place, the candidate."""
    live = "/etc/haproxy/conf.d/haproxy.cfg"
    proxy = make_proxy(Style.DAEMON)
    proxy.write(live, config(backends[0]))
    proxy.write("/etc/haproxy/conf.d/other.cfg", "backend other\n    mode http\n")
    proxy.run(["haproxy", "-D", "-f", "/etc/haproxy/conf.d", "-p", "/run/haproxy.pid"])
    worker = proxy.worker
    step = ApplyStep(proxy)
    bad = config(*backends).replace("balance roundrobin", "no-such-keyword")
    assert step.run(bad, ConfigPath=live).says("failed", "invalid-config")
    assert proxy.read(live) == config(backends[0])
    assert proxy.worker == worker
    good = config(*backends).replace(
        "default_backend app", "use_backend other if FALSE\n    default_backend app"
    )
    assert step.run(good, ConfigPath=live).says("installed")
    assert set(state_of(proxy)) == {"app-1", "app-2", "app-3"}


@pytest.mark.parametrize("keyword", ["noreuseport", "bind abns@own"])
def test_addresses_that_cannot_be_shared_are_handed_over_in_one_go(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...], keyword: str
) -> None:
    """Where old and new process cannot listen at a time, the new one ends the old one itself, in the drop window."""
    options = {"binds": keyword} if keyword.startswith("bind") else {"extra": keyword}
    before, after = (config(*hosts, **options) for hosts in (backends[:1], backends))
    proxy = make_proxy(Style.SYSV)
    proxy.start(before)
    answer = ApplyStep(proxy).run(after)
    assert answer.says("installed", method="syn-drop"), answer
    assert set(state_of(proxy)) == {"app-1", "app-2", "app-3"}
    wait_until(lambda: len(proxy.workers()) == 1)


def test_a_socket_with_an_address_family_is_found(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...]
) -> None:
    """`stats socket unix@/run/...` is the same socket, and one backend without saved state does not end it for all."""
    before, after = (
        stateful(*hosts).replace("stats socket ", "stats socket unix@")
        for hosts in (backends, backends)
    )
    other = "backend other\n    load-server-state-from-file none\n    server z 10.77.1.1:8080\n"
    proxy = make_proxy(Style.MASTER_WORKER)
    proxy.start(before + other)
    proxy.ask("set server app/app-1 state drain")
    answer = ApplyStep(proxy).run(after.replace("roundrobin", "leastconn") + other)
    assert answer.says("installed"), answer
    assert "server-state" not in answer["notes"]
    assert state_of(proxy)["app-1"][2]


def test_a_link_to_another_file_is_a_change(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...]
) -> None:
    """The file behind the link is older than the worker, but the worker read the one that the link named before."""
    proxy = make_proxy(Style.MASTER_WORKER)
    wanted = config(*backends)
    proxy.write("/etc/haproxy/first.cfg", config(backends[0]))
    proxy.write("/etc/haproxy/second.cfg", wanted)
    proxy.run(["ln", "-s", "first.cfg", CONFIG])
    let_age(proxy)
    proxy.start()
    proxy.run(["ln", "-sfn", "second.cfg", CONFIG])
    assert ApplyStep(proxy).run(wanted).says("repaired", "not-activated")
    assert set(state_of(proxy)) == {"app-1", "app-2", "app-3"}
