"""The drop window: new connections wait in it, the others are spared, and the kernel ends it whatever dies."""

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from local.lab import (
    BackendHost,
    Client,
    Load,
    ProxyHost,
    Style,
    kill_group,
    wait_until,
)
from tests.host.apply_step import ApplyStep, config, finish, sessions, unexposed

if TYPE_CHECKING:
    import subprocess

type MakeProxy = Callable[..., ProxyHost]

DROP_SECONDS = 3
"""The constant of the program: the longest time for which ports may be closed."""
FIREWALLS = ["nft", "iptables-nft", "iptables-legacy"]
LINGERING = {
    tool: f"""\
#!/bin/sh
# First on the path: a rule is in force for as long as this takes, so that it is seen on a busy machine.
/usr/sbin/{tool} "$@" || exit
case " $* " in *"{inserts}"*) sleep 0.5 ;; esac
"""
    for tool, inserts in {
        "nft": " -f ",
        "iptables": " -I ",
        "ip6tables": " -I ",
    }.items()
}


def with_firewall(
    make_proxy: MakeProxy, firewall: str, style: Style = Style.SYSV
) -> ProxyHost:
    """A proxy whose only firewall tool is this one."""
    proxy = make_proxy(style, hidden=[] if firewall == "nft" else ["nft"])
    if firewall == "nft":
        proxy.remove_tool("iptables")
        proxy.remove_tool("ip6tables")
    else:
        proxy.use_iptables(firewall.removeprefix("iptables-"))
    return proxy


def connects(client: Client, address: str, seconds: float = 0.5) -> bool:
    """Whether a new connection comes to be within this time."""

    def attempt() -> bool:
        try:
            socket.create_connection((address, 80), timeout=seconds).close()
        except TimeoutError:
            return False
        return True

    return client.call(attempt)


def let_linger(proxy: ProxyHost) -> None:
    """Let a drop window be open for half a second at least, long enough to be seen."""
    for tool, script in LINGERING.items():
        if proxy.path(f"/usr/sbin/{tool}").exists():
            proxy.write(f"/usr/local/sbin/{tool}", script, mode=0o755)


@contextmanager
def in_drop_window(proxy: ProxyHost, text: str) -> Iterator["subprocess.Popen[str]"]:
    """A run in its drop window, frozen there: all of its processes are stopped."""
    let_linger(proxy)
    # One rule for each family with iptables, one for both with nft.
    rules = 1 if proxy.path("/usr/sbin/nft").exists() else 2
    with ApplyStep(proxy).start(text) as process:
        wait_until(
            lambda: (
                process.poll() is not None
                or len(proxy.firewall().splitlines()) >= rules
            )
        )
        assert process.poll() is None, finish(process)
        os.killpg(process.pid, signal.SIGSTOP)
        try:
            yield process
        finally:
            kill_group(process)


@pytest.mark.fault("F85")
@pytest.mark.parametrize("firewall", FIREWALLS)
def test_the_window_ends_by_itself_when_everything_is_killed(
    make_proxy: MakeProxy,
    backends: tuple[BackendHost, ...],
    client: Client,
    firewall: str,
) -> None:
    """Killed between insert and delete: both families open again in time, and the next run removes what is left."""
    proxy = with_firewall(make_proxy, firewall)
    proxy.start(config(backends[0]))
    before = time.monotonic()
    with in_drop_window(proxy, config(*backends)) as process:
        kill_group(process)
        assert proxy.firewall()
    while not (connects(client, str(proxy.ipv4)) and connects(client, str(proxy.ipv6))):
        assert time.monotonic() - before < DROP_SECONDS + 15
    answer = ApplyStep(proxy).run(config(*backends), Generation="2")
    assert answer.says("repaired", "not-activated"), answer
    assert not proxy.firewall()
    assert len(proxy.workers()) == 1


@pytest.mark.fault("F85")
@pytest.mark.parametrize("firewall", FIREWALLS)
def test_the_kernel_ends_the_window(
    make_proxy: MakeProxy,
    backends: tuple[BackendHost, ...],
    client: Client,
    firewall: str,
) -> None:
    """Nobody deletes the rule, everything is stopped: new connections pass again after DROP_SECONDS at the latest.

    iptables counts whole seconds, so one more is allowed; and two for the attempts themselves.
    """
    proxy = with_firewall(make_proxy, firewall)
    proxy.start(config(backends[0]))
    with in_drop_window(proxy, config(*backends)) as process:
        began = time.monotonic()
        assert not connects(client, str(proxy.ipv4), 0.2)
        assert not connects(client, str(proxy.ipv6), 0.2)
        assert connects(proxy, "127.0.0.1", 1), "loopback is spared"  # type: ignore[arg-type]
        while not connects(client, str(proxy.ipv4)):
            assert time.monotonic() - began < DROP_SECONDS + 3
        while not connects(client, str(proxy.ipv6)):
            assert time.monotonic() - began < DROP_SECONDS + 3

        # Again: the door into the host stops itself once more when it sees its child stopped.
        def goes_on() -> bool:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGCONT)
            return process.poll() is not None

        wait_until(goes_on)
        answer = finish(process)
    assert answer.says("installed"), answer
    assert 0 < answer["window_ms"] <= DROP_SECONDS * 1000
    assert not proxy.firewall()


@pytest.mark.fault("F86")
@pytest.mark.parametrize("style", [Style.SYSV, Style.MASTER_WORKER])
def test_a_host_without_firewall_tools_reloads_and_says_so(
    make_proxy: MakeProxy,
    backends: tuple[BackendHost, ...],
    client: Client,
    style: Style,
) -> None:
    """The firewall is no condition of a reload; the kernel moves waiting handshakes instead where it can."""
    proxy = make_proxy(style, hidden=["nft", "iptables", "ip6tables"])
    proxy.start(config(backends[0]))
    with client.traffic(
        Load((str(proxy.ipv4), str(proxy.ipv6)), connections_per_second=100)
    ) as traffic:
        answer = ApplyStep(proxy).run(config(*backends))
    assert answer.says("installed", method="syn-drop"), answer
    assert "no-drop-window" in answer["notes"].split()
    assert answer["window_ms"] == 0
    assert len(traffic.attempts) > 100
    assert traffic.failed == []


@pytest.mark.fault("F86")
def test_both_families_wait_or_none(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...]
) -> None:
    """Where ip6tables is missing, the IPv4 rule is taken back and the reload goes on without a drop window."""
    proxy = with_firewall(make_proxy, "iptables-nft")
    proxy.remove_tool("ip6tables")
    proxy.start(config(backends[0]))
    answer = ApplyStep(proxy).run(config(*backends))
    assert answer.says("installed"), answer
    assert "no-drop-window" in answer["notes"].split()
    assert not proxy.firewall()


@pytest.mark.fault("F86")
def test_a_busy_xtables_lock_delays_but_never_leaves_a_rule(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...]
) -> None:
    """Another program keeps the lock of iptables-legacy for a while."""
    proxy = with_firewall(make_proxy, "iptables-legacy")
    proxy.start(config(backends[0]))
    proxy.run(["iptables", "-S"])
    with proxy.beside(["flock", "/run/xtables.lock", "sleep", "4"]) as other:
        answer = ApplyStep(proxy).run(config(*backends))
        other.wait(timeout=10)
    assert answer.says("installed"), answer
    assert not proxy.firewall()


@pytest.mark.fault("F87")
@pytest.mark.parametrize("firewall", FIREWALLS)
def test_rules_of_others_stay(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...], firewall: str
) -> None:
    """Rules that look like ours but do not carry our comment, and tables of other names, are not touched."""
    proxy = with_firewall(make_proxy, firewall)
    proxy.start(config(backends[0]))
    if firewall == "nft":
        rules = "table inet other { chain input { type filter hook input priority 5; tcp dport 81 drop; }; }"
        proxy.run(["nft", "-f", "-"], stdin=rules)
    else:
        rule = "-I INPUT -p tcp -m multiport --dports 81,82 --syn -j DROP"
        proxy.run(
            [
                "sh",
                "-c",
                f"iptables {rule}; iptables {rule} -m comment --comment haproxy; ip6tables {rule}",
            ]
        )
    before = proxy.firewall()
    assert before
    assert ApplyStep(proxy).run(config(*backends)).says("installed")
    assert proxy.firewall() == before


@pytest.mark.fault("F88")
@pytest.mark.parametrize("style", [Style.SYSV, Style.MASTER_WORKER])
def test_connections_that_exist_are_spared(
    make_proxy: MakeProxy,
    backends: tuple[BackendHost, ...],
    client: Client,
    style: Style,
) -> None:
    """Downloads in flight end whole, no connection fails, and only the few that begin inside the window are late."""
    proxy = make_proxy(style)
    proxy.start(config(backends[0]))
    load = Load(
        (str(proxy.ipv4), str(proxy.ipv6)), connections_per_second=100, downloads=2
    )
    with client.traffic(load) as traffic:
        wait_until(lambda: sum(sessions(proxy).values()) >= 2)
        answer = ApplyStep(proxy).run(config(*backends))
    assert answer.says("installed", method="syn-drop"), answer
    assert answer["window_ms"] > 0
    assert traffic.failed == []
    assert len(traffic.of("download")) >= 2
    assert len(traffic.delayed(200)) < len(traffic.of("new")) / 4


def assert_nobody_is_reset(proxy: ProxyHost, far: Client, text: str) -> None:
    """A change in a drop window: who sent a SYN before it is served, who sends one in it is late."""
    load = Load((str(proxy.ipv4), str(proxy.ipv6)), connections_per_second=100)
    with far.traffic(load) as traffic:
        wait_until(lambda: traffic.attempts)
        answer = ApplyStep(proxy).run(text)
    assert answer.says("installed", method="syn-drop"), answer
    assert traffic.failed == [], answer


@pytest.mark.fault("F88")
@pytest.mark.parametrize(
    ("style", "extra"),
    [(Style.MASTER_WORKER, ""), (Style.DAEMON, "noreuseport"), (Style.SYSV, "")],
)
def test_who_has_begun_to_connect_is_served(
    make_proxy: MakeProxy,
    backends: tuple[BackendHost, ...],
    far: Client,
    style: Style,
    extra: str,
) -> None:
    """The old process stops to listen, whoever tells it so, once their handshakes have ended."""
    proxy = make_proxy(style)
    proxy.start(unexposed(config(backends[0], extra=extra)))
    assert_nobody_is_reset(proxy, far, unexposed(config(*backends, extra=extra)))
