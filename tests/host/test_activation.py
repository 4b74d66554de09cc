"""A reload that fails in any way: told from one that worked, undone, and the undoing proven too."""

from collections.abc import Callable
from typing import Any

import pytest

from local.lab import (
    BackendHost,
    Client,
    Load,
    ProxyHost,
    ServerWatch,
    Style,
    wait_until,
)
from tests.host.apply_step import (
    CONFIG,
    STYLES,
    ApplyStep,
    backups,
    config,
    digest,
    kill_when,
    leftovers,
    sessions,
    state_of,
    unexposed,
)

type MakeProxy = Callable[..., ProxyHost]

DIES = """
core.register_task(function()
  core.msleep({milliseconds})
  os.exit(1)
end)
"""


def dying(text: str) -> str:
    """A config that `haproxy -c` accepts and whose worker dies after a second."""
    return text.replace("global\n", "global\n    lua-load /etc/haproxy/dies.lua\n", 1)


@pytest.mark.fault("F83")
@pytest.mark.fault("F147")
@pytest.mark.parametrize("style", STYLES)
def test_a_worker_that_dies_early_is_undone(
    make_proxy: MakeProxy,
    backends: tuple[BackendHost, ...],
    style: Style,
    client: Client,
    haproxy: dict[str, Any],
) -> None:
    """The new worker dies after a second, and with it the master: the old file is back, runs, and serves."""
    proxy = make_proxy(style, **haproxy)
    proxy.write("/etc/haproxy/dies.lua", DIES.format(milliseconds=1000))
    before = config(backends[0])
    proxy.start(before)
    answer = ApplyStep(proxy).run(dying(config(*backends)))
    assert answer.says("rolled-back", "worker-died"), answer
    assert 20 <= answer.status < 30
    assert proxy.read(CONFIG) == before
    assert answer["running_md5"] == answer["md5_after"] == digest(before)
    assert answer["haproxy"] == "running"
    assert answer["backends"].startswith("app ")
    assert len(proxy.workers()) == 1
    assert set(state_of(proxy)) == {"app-1"}
    assert client.get(str(proxy.ipv4)).status == 200
    assert leftovers(proxy) == []
    assert not proxy.firewall()


@pytest.mark.fault("F83")
def test_a_failed_config_can_be_followed_by_a_good_one(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...]
) -> None:
    """After a rollback the host is as any other; the same bad config fails in the same way."""
    proxy = make_proxy(Style.MASTER_WORKER)
    proxy.write("/etc/haproxy/dies.lua", DIES.format(milliseconds=500))
    proxy.start(config(backends[0]))
    step = ApplyStep(proxy)
    assert step.run(dying(config(*backends))).says("rolled-back")
    assert step.run(config(backends[0])).says("unchanged")
    assert step.run(dying(config(*backends))).says("rolled-back")
    assert step.run(config(*backends)).says("installed")


@pytest.mark.fault("F81")
@pytest.mark.parametrize("style", STYLES)
def test_a_bind_that_fails_in_the_reload_is_undone(
    make_proxy: MakeProxy,
    backends: tuple[BackendHost, ...],
    style: Style,
    client: Client,
) -> None:
    """What the look at the addresses could not see: a port that is taken between it and the reload."""
    proxy = make_proxy(style)
    before = config(backends[0], binds="bind :8081")
    proxy.start(before)
    # An address the old config has is not looked at; this one went away since.
    proxy.run(["ip", "addr", "add", "10.99.0.1/32", "dev", "lo"])
    proxy.stop()
    before = before.replace("bind :8081", "bind 10.99.0.1:8081")
    proxy.start(before)
    worker = proxy.worker
    proxy.run(["ip", "addr", "del", "10.99.0.1/32", "dev", "lo"])
    answer = ApplyStep(proxy).run(
        config(*backends, binds="bind 10.99.0.1:8081"), ReloadMethod="syn-drop"
    )
    if style is Style.MASTER_WORKER and answer.says("installed"):
        # The master hands the listening socket over, so nothing had to be bound.
        assert set(state_of(proxy)) == {"app-1", "app-2", "app-3"}
        return
    assert answer.says("rolled-back", "start-failed"), answer
    assert "stats-socket-lost" in answer["notes"].split()
    assert proxy.read(CONFIG) == before
    assert proxy.worker == worker
    assert client.get(str(proxy.ipv4)).status == 200


@pytest.mark.fault("F82")
def test_a_reload_that_only_says_it_worked_is_not_believed(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...]
) -> None:
    """The signal arrives, the status is 0, and no new worker comes: the file goes back."""
    proxy = make_proxy(Style.MASTER_WORKER)
    before = config(backends[0])
    proxy.write("/etc/haproxy/gate.lua", "")
    proxy.start(before)
    worker = proxy.worker
    # `-c` runs in this file's world; the master's own load fails a moment later.
    gate = 'if os.getenv("HAPROXY_MWORKER") or os.getenv("HAPROXY_MWORKER_REEXEC") then error("no") end'
    proxy.write("/etc/haproxy/gate.lua", gate)
    after = config(*backends).replace(
        "global\n", "global\n    lua-load /etc/haproxy/gate.lua\n", 1
    )
    answer = ApplyStep(proxy).run(after)
    assert answer.says("rolled-back", "reload-failed"), answer
    assert answer["backends"] == "app 1/0"
    assert proxy.read(CONFIG) == before
    assert proxy.worker == worker
    assert answer["running_md5"] in {"", digest(before)}


@pytest.mark.fault("F82")
def test_a_repair_that_fails_keeps_the_file(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...]
) -> None:
    """The wanted file was there before the run, so there is nothing to go back to; the worker goes on as it was."""
    proxy = make_proxy(Style.SYSV)
    proxy.start(config(backends[0]))
    worker = proxy.worker
    # An address on no interface; the host knows no other file that it could go back to.
    wanted = config(*backends, binds="bind 10.99.0.2:8081")
    proxy.write(CONFIG, wanted)
    answer = ApplyStep(proxy).run(wanted)
    assert answer.says("failed", "cannot-bind"), answer
    assert proxy.read(CONFIG) == wanted
    assert proxy.worker == worker


@pytest.mark.fault("F82")
@pytest.mark.parametrize("style", [Style.SYSV, Style.MASTER_WORKER])
def test_a_live_file_that_cannot_start_is_taken_back(
    make_proxy: MakeProxy,
    backends: tuple[BackendHost, ...],
    client: Client,
    style: Style,
) -> None:
    """A killed run left a file that cannot bind: no reload is tried, and the next boot is safe."""
    proxy = make_proxy(style)
    good = config(backends[0])
    proxy.start(good)
    step = ApplyStep(proxy)
    bad = config(*backends, binds="bind :8081")
    kill_when(step.start(bad), lambda: proxy.read(CONFIG) == bad)
    proxy.stop()
    proxy.write(CONFIG, good)
    proxy.start()
    proxy.write(CONFIG, bad)
    worker = proxy.worker
    with proxy.beside(["socat", "TCP-LISTEN:8081,fork", "EXEC:true"], port=8081):
        load = Load((str(proxy.ipv4),), connections_per_second=60)
        with client.traffic(load) as traffic:
            answer = step.run(bad)
    assert answer.says("rolled-back", "cannot-bind"), answer
    assert traffic.failed == []
    assert proxy.read(CONFIG) == good
    assert proxy.worker == worker
    assert step.run(bad).says("installed")


@pytest.mark.fault("F84")
@pytest.mark.parametrize("style", [Style.SYSV, Style.MASTER_WORKER])
def test_a_rollback_that_fails_says_so_and_keeps_both_files(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...], style: Style
) -> None:
    """The new worker dies and takes along what the old config needs: a status of its own, both files there."""
    proxy = make_proxy(style)
    proxy.write("/etc/haproxy/needed.lua", "")
    proxy.write(
        "/etc/haproxy/dies.lua",
        'core.register_init(function() os.remove("/etc/haproxy/needed.lua") end)\n'
        + DIES.format(milliseconds=500),
    )
    before = config(backends[0]).replace(
        "global\n", "global\n    lua-load /etc/haproxy/needed.lua\n", 1
    )
    # Not in a chroot and as root, so that it can remove the file.
    after = dying(config(*backends))
    for line in (
        "    chroot /var/lib/haproxy\n",
        "    user haproxy\n",
        "    group haproxy\n",
    ):
        after = after.replace(line, "")
    proxy.start(before)
    answer = ApplyStep(proxy).run(after)
    assert answer["outcome"] == "failed", answer
    assert answer["reason"] == "rollback-failed"
    assert (answer["haproxy"], "backends" in answer.marker) == ("stopped", False)
    assert 30 <= answer.status < 40
    assert "worker-died" in answer["detail"]
    assert proxy.read(CONFIG) == before
    assert backups(proxy)[-1].read_text() == before


@pytest.mark.fault("F95")
@pytest.mark.parametrize("style", [Style.SYSV, Style.MASTER_WORKER])
def test_old_workers_are_counted_and_end(
    make_proxy: MakeProxy,
    backends: tuple[BackendHost, ...],
    client: Client,
    style: Style,
) -> None:
    """A worker with a download in flight stays for it, is counted, and is ended by hard-stop-after."""
    proxy = make_proxy(style)
    text = config(*backends, extra="hard-stop-after 4s")
    proxy.start(text)
    load = Load(
        (str(proxy.ipv4),), downloads=2, download_seconds=20, timeout_seconds=30
    )
    with client.traffic(load):
        wait_until(lambda: sum(sessions(proxy).values()) == 2)
        answer = ApplyStep(proxy).run(
            text.replace("roundrobin", "leastconn"), ReloadMethod="seamless"
        )
        assert answer.says("installed"), answer
        assert answer["old_workers"] == 1
        wait_until(lambda: len(proxy.workers()) == 1, 15)


@pytest.mark.parametrize(
    ("style", "expose", "migrate"),
    [
        (Style.MASTER_WORKER, True, False),
        (Style.SYSV, True, False),
        (Style.DAEMON, False, True),
    ],
    ids=["master", "sockets", "kernel"],
)
def test_a_seamless_reload_is_not_noticed(
    make_proxy: MakeProxy,
    backends: tuple[BackendHost, ...],
    client: Client,
    style: Style,
    *,
    expose: bool,
    migrate: bool,
) -> None:
    """No new connection fails or waits, whether the master, the stats socket or the kernel hands the listeners over."""
    before, after = (config(*hosts) for hosts in (backends[:2], backends[:2]))
    after = after.replace("roundrobin", "leastconn")
    if not expose:
        before, after = map(unexposed, (before, after))
    proxy = make_proxy(style)
    proxy.start(before)
    load = Load((str(proxy.ipv4), str(proxy.ipv6)), connections_per_second=150)
    with ServerWatch(proxy) as watch, client.traffic(load) as traffic:
        wait_until(lambda: len(traffic.attempts) > 20)
        answer = ApplyStep(proxy).run(after, ReloadMethod="seamless")
    assert answer.says("installed", method="seamless"), answer
    assert ("tcp-migrate-req-on" in answer["notes"].split()) == migrate
    assert traffic.failed == [], watch.beside(traffic.failed)
    assert traffic.delayed() == [], "no SYN was dropped"


def test_a_host_that_cannot_be_seamless_has_a_drop_window(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...]
) -> None:
    """No master, no exposed listeners, and a kernel that does not migrate."""
    proxy = make_proxy(Style.DAEMON)
    before, after = (unexposed(config(*hosts)) for hosts in (backends[:1], backends))
    proxy.run(["sh", "-c", "mount -t tmpfs none /proc/sys/net/ipv4"])
    proxy.start(before)
    assert (
        ApplyStep(proxy)
        .run(after, ReloadMethod="auto")
        .says("installed", method="syn-drop")
    )


def test_a_failed_rollback_says_why_in_words(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...]
) -> None:
    """Not as Python shows a tuple."""
    proxy = make_proxy(Style.MASTER_WORKER)
    proxy.start(config(backends[0]))
    step = ApplyStep(proxy)
    # A master executes itself anew at its start, too, and does not survive that either without its pid file.
    assert step.run(config(backends[0])).status == 0
    proxy.make_read_only("/run")
    report = step.run(config(*backends[:2]))
    assert (
        report["detail"] == "master-died; HAProxy does not start with the old file"
    ), report
