"""The process that is there runs one file and the next one loads another: what each says holds for it alone."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from local.lab import BackendHost, Client, Load, ProxyHost, Style, wait_until
from tests.haproxies import is_at_least
from tests.host.apply_step import (
    CONFIG,
    STYLES,
    ApplyStep,
    StepReport,
    config,
    digest,
    state_of,
    stateful,
)
from tests.host.test_activation import DIES, dying

type MakeProxy = Callable[..., ProxyHost]

MOVED = "/run/haproxy/moved.sock"
EXPOSE = " expose-fd listeners"


def moved(text: str) -> str:
    """The config with its stats socket elsewhere, which hands no listeners over."""
    return text.replace("/run/haproxy/admin.sock", MOVED).replace(EXPOSE, "")


def unexposed_method(style: Style, haproxy: Mapping[str, Any]) -> str:
    """What `seamless` comes to where the present process exposes nothing; a master before 2.6 hands nothing over."""
    hands_over = style is not Style.MASTER_WORKER or is_at_least(haproxy, "2.6")
    return "seamless" if hands_over else "syn-drop"


def applied_under_load(
    proxy: ProxyHost, client: Client, text: str, **parameters: str
) -> StepReport:
    """What the step says, while no client notices."""
    load = Load((str(proxy.ipv4), str(proxy.ipv6)), connections_per_second=100)
    with client.traffic(load) as traffic:
        wait_until(lambda: len(traffic.attempts) > 20)
        answer = ApplyStep(proxy).run(text, **parameters)
    assert traffic.failed == []
    return answer


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize(
    ("old", "new"), [(True, False), (False, True)], ids=["taken-away", "added"]
)
def test_listeners_that_only_one_file_exposes_are_handed_over(
    make_proxy: MakeProxy,
    backends: tuple[BackendHost, ...],
    client: Client,
    haproxy: dict[str, Any],
    style: Style,
    *,
    old: bool,
    new: bool,
) -> None:
    """What counts is the process that has them; the way back works as well."""
    before, after = (
        config(*backends[:2]),
        config(*backends[:2]).replace("roundrobin", "leastconn"),
    )
    before, after = (
        text if exposes else text.replace(EXPOSE, "")
        for text, exposes in ((before, old), (after, new))
    )
    proxy = make_proxy(style, **haproxy)
    proxy.start(before)
    answer = applied_under_load(proxy, client, after, ReloadMethod="seamless")
    unexposed = unexposed_method(style, haproxy)
    assert answer.says("installed", method="seamless" if old else unexposed), answer
    assert answer["running_md5"] == digest(after)
    assert ("tcp-migrate-req-on" in answer["notes"].split()) == (
        style is not Style.MASTER_WORKER and not old
    )
    assert len(proxy.workers()) == 1
    answer = ApplyStep(proxy).run(before, Generation="2", ReloadMethod="seamless")
    assert answer.says("installed", method="seamless" if new else unexposed), answer


@pytest.mark.parametrize("style", STYLES)
def test_a_stats_socket_that_moves_is_asked_where_each_file_has_it(
    make_proxy: MakeProxy,
    backends: tuple[BackendHost, ...],
    client: Client,
    haproxy: dict[str, Any],
    style: Style,
) -> None:
    """The state comes from the old path, the proof and the next change from the new one; and back."""
    proxy = make_proxy(style)
    text = stateful(*backends)
    proxy.start(text)
    proxy.ask("set server app/app-1 state drain")
    step = ApplyStep(proxy)
    answer = applied_under_load(proxy, client, moved(text), ReloadMethod="auto")
    assert answer.says("installed", method="seamless"), answer
    assert "server-state" not in answer["notes"]
    assert f"Pid: {proxy.worker}\n" in proxy.ask("show info", MOVED)
    assert "app-1 10.77.1.1 2 8 " in proxy.ask("show servers state", MOVED)
    drained = moved(text).replace(
        "app-2 10.77.1.2:8080", "app-2 10.77.1.2:8080 weight 0"
    )
    assert step.run(drained, Generation="2", ReloadMethod="auto").says(
        "installed", method="runtime"
    )
    assert client.get(str(proxy.ipv4)).headers["x-backend"] == "app-3"
    assert step.run(text, Generation="3", ReloadMethod="auto").says(
        "installed", method=unexposed_method(style, haproxy)
    )
    assert state_of(proxy)["app-1"][2] == 8
    assert state_of(proxy)["app-2"][3] == 1


@pytest.mark.fault("F83")
@pytest.mark.parametrize("style", STYLES)
def test_a_rollback_goes_back_to_the_old_socket(
    make_proxy: MakeProxy,
    backends: tuple[BackendHost, ...],
    client: Client,
    style: Style,
) -> None:
    """The new worker, with its socket elsewhere, dies: the old file's own socket is the one that proves it."""
    proxy = make_proxy(style)
    proxy.write("/etc/haproxy/dies.lua", DIES.format(milliseconds=500))
    before = stateful(*backends)
    proxy.start(before)
    answer = ApplyStep(proxy).run(dying(moved(before)), ReloadMethod="seamless")
    assert answer.says("rolled-back", "worker-died"), answer
    assert answer["running_md5"] == digest(before)
    assert "stats-socket-lost" not in answer["notes"]
    assert set(state_of(proxy)) == {"app-1", "app-2", "app-3"}
    assert client.get(str(proxy.ipv4)).status == 200
    assert (
        ApplyStep(proxy)
        .run(moved(before), Generation="2", ReloadMethod="seamless")
        .says("installed", "changed")
    )


@pytest.mark.fault("F83")
def test_a_master_that_outlives_the_new_worker_loads_the_old_file(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...], client: Client
) -> None:
    """With `no-exit-on-failure` the rollback is a reload; it waits for an answer on the old file's socket."""
    proxy = make_proxy(Style.MASTER_WORKER)
    proxy.write("/etc/haproxy/dies.lua", DIES.format(milliseconds=500))
    before = config(*backends, extra="master-worker no-exit-on-failure")
    proxy.start(before)
    answer = ApplyStep(proxy).run(dying(moved(before)))
    assert answer.says("rolled-back", "worker-died"), answer
    assert answer["running_md5"] == digest(before)
    assert f"Pid: {proxy.worker}\n" in proxy.ask("show info")
    assert client.get(str(proxy.ipv4)).status == 200


@pytest.mark.fault("F83")
def test_a_pid_file_is_that_of_the_file_that_runs(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...], client: Client
) -> None:
    """Named in the file and moved by the next one: each process writes its own, also the one of a rollback."""

    def text(path: str) -> str:
        return config(*backends, extra=f"pidfile {path}")

    proxy = make_proxy(Style.DAEMON)
    proxy.write("/etc/haproxy/dies.lua", DIES.format(milliseconds=500))
    proxy.write(CONFIG, text("/run/first.pid"))
    proxy.run(["haproxy", "-D", "-f", CONFIG])
    proxy.wait_until_ready()
    step = ApplyStep(proxy)
    assert step.run(dying(text("/run/second.pid"))).says("rolled-back", "worker-died")
    assert proxy.read("/run/first.pid").split() == [str(proxy.worker)]
    assert step.run(text("/run/second.pid")).says("installed")
    assert proxy.read("/run/second.pid").split() == [str(proxy.worker)]
    assert client.get(str(proxy.ipv4)).status == 200


def test_a_process_that_hands_over_nothing_although_the_file_says_so(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...], client: Client
) -> None:
    """Somebody edited the file and never reloaded: the kernel moves the connections instead."""
    proxy = make_proxy(Style.SYSV)
    text = config(*backends)
    proxy.start(text.replace(EXPOSE, ""))
    proxy.write(CONFIG, text)
    answer = applied_under_load(
        proxy, client, text.replace("roundrobin", "leastconn"), ReloadMethod="seamless"
    )
    assert answer.says("installed", method="seamless"), answer
    assert "tcp-migrate-req-on" in answer["notes"].split()


def special(
    side: str, proxy: ProxyHost, backends: tuple[BackendHost, ...], **options: str
) -> StepReport:
    """What the step says of a change where only one file, the old or the new one, has these options."""
    old = config(*backends[:1], **(options if side == "old" else {}))
    new = config(*backends, **(options if side == "new" else {}))
    proxy.start(old.replace(EXPOSE, ""))
    return ApplyStep(proxy).run(new.replace(EXPOSE, ""), ReloadMethod="seamless")


@pytest.mark.parametrize("side", ["old", "new"])
def test_addresses_that_one_of_both_files_does_not_share(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...], client: Client, side: str
) -> None:
    """`noreuseport` taken out of the file or put into it: the old process goes before the new one listens."""
    proxy = make_proxy(Style.SYSV)
    assert special(side, proxy, backends, extra="noreuseport").says(
        "installed", method="syn-drop"
    )
    assert client.get(str(proxy.ipv4)).status == 200
    wait_until(lambda: len(proxy.workers()) == 1)
    assert set(state_of(proxy)) == {"app-1", "app-2", "app-3"}


@pytest.mark.parametrize("side", ["old", "new"])
def test_an_abstract_socket_of_one_file_is_in_nobodys_way(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...], client: Client, side: str
) -> None:
    """Only one that both processes would listen on is a reason for a drop window."""
    proxy = make_proxy(Style.SYSV)
    assert special(side, proxy, backends, binds="bind abns@own").says(
        "installed", method="seamless"
    )
    assert client.get(str(proxy.ipv4)).status == 200


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"binds": "bind\tabns@own"}, {"binds": "bind\tabns@own\tmaxconn 9"}),
        ({"binds": 'bind "abns@own"'}, {"binds": "bind abns@own"}),
        (
            {"extra": "stats socket abns@own level admin"},
            {"extra": "stats socket abns@own level user"},
        ),
    ],
    ids=["tabs", "quotes", "stats"],
)
def test_an_abstract_socket_of_both_files_is_seen_in_every_form(
    make_proxy: MakeProxy,
    backends: tuple[BackendHost, ...],
    client: Client,
    old: dict[str, str],
    new: dict[str, str],
) -> None:
    """The old process goes before the new one listens there."""
    proxy = make_proxy(Style.SYSV)
    proxy.start(config(*backends[:1], **old).replace(EXPOSE, ""))
    answer = ApplyStep(proxy).run(
        config(*backends, **new).replace(EXPOSE, ""), ReloadMethod="seamless"
    )
    assert answer.says("installed", method="syn-drop"), answer
    assert client.get(str(proxy.ipv4)).status == 200


def test_another_haproxy_is_not_taken_for_ours_when_ours_has_died(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...], client: Client
) -> None:
    """Ours is started again as it was; the other one, with a file of its own, goes on."""
    proxy = make_proxy(Style.DAEMON)
    text = config(*backends)
    proxy.write("/etc/haproxy/dies.lua", DIES.format(milliseconds=500))
    proxy.start(text)
    ours = proxy.path(f"/proc/{proxy.worker}/cmdline").read_bytes()
    other = text.replace("/run/haproxy/admin.sock", "/run/other.sock").replace(
        ":80", ":81"
    )
    proxy.write("/etc/other.cfg", other)
    proxy.run(["haproxy", "-D", "-f", "/etc/other.cfg", "-p", "/run/other.pid"])
    strangers = int(proxy.read("/run/other.pid"))
    assert (
        ApplyStep(proxy)
        .run(dying(text), ReloadMethod="syn-drop")
        .says("rolled-back", "worker-died")
    )
    assert client.get(str(proxy.ipv4)).status == 200
    running = {
        pid: proxy.path(f"/proc/{pid}/cmdline").read_bytes()
        for pid in proxy.processes()
    }
    assert strangers in running
    assert [
        line.split(b"\0-f\0")[1].split(b"\0")[0]
        for pid, line in running.items()
        if pid != strangers
    ] == [ours.split(b"\0-f\0")[1].split(b"\0")[0]]
