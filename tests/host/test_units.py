"""A HAProxy that systemd started: reloads and restarts go through its unit, so that it stays the unit's own."""

from collections.abc import Callable

import pytest

from local.lab import BackendHost, Client, ProxyHost, Style
from tests.host.apply_step import CONFIG, ApplyStep, config, state_of
from tests.host.test_drop_window import assert_nobody_is_reset

type MakeProxy = Callable[..., ProxyHost]

SYSTEMCTL = """\
#!/bin/sh
# A unit of Type=forking: `-D` and a pid file; each call is recorded.
echo "$*" >>/run/calls
pid=$(cat /run/haproxy.pid)
case $1 in
  show) echo "MainPID=$pid" ;;
  reload) haproxy -D -f /etc/haproxy/haproxy.cfg -p /run/haproxy.pid -sf $pid ;;
  restart) kill "$pid"; haproxy -D -f /etc/haproxy/haproxy.cfg -p /run/haproxy.pid ;;
esac
"""

DIES = "core.register_task(function() core.msleep(500) os.exit(1) end)\n"


def calls(proxy: ProxyHost) -> list[str]:
    """What was asked of systemd, questions left out."""
    return [
        line
        for line in proxy.read("/run/calls").splitlines()
        if not line.startswith("show")
    ]


@pytest.fixture
def proxy(make_proxy: MakeProxy, backends: tuple[BackendHost, ...]) -> ProxyHost:
    """A daemon in a unit."""
    proxy = make_proxy(Style.DAEMON)
    proxy.path("/run/systemd/system").mkdir(parents=True)
    proxy.write("/usr/bin/systemctl", SYSTEMCTL, mode=0o755)
    proxy.write("/etc/haproxy/dies.lua", DIES)
    proxy.start(config(backends[0]))
    return proxy


@pytest.mark.parametrize("method", ["syn-drop", "seamless"])
def test_a_daemon_in_a_unit_is_reloaded_by_systemd(
    proxy: ProxyHost, backends: tuple[BackendHost, ...], method: str
) -> None:
    """A process that the step started itself would be in no unit, and end with the command."""
    answer = ApplyStep(proxy).run(config(*backends), ReloadMethod=method)
    assert answer.says("installed"), answer
    assert answer["style"] == "daemon"
    assert calls(proxy) == ["reload haproxy.service"]
    assert set(state_of(proxy)) == {"app-1", "app-2", "app-3"}
    assert not proxy.firewall()


@pytest.mark.fault("F88")
def test_who_has_begun_to_connect_to_a_daemon_in_a_unit_is_served(
    proxy: ProxyHost, backends: tuple[BackendHost, ...], far: Client
) -> None:
    """Systemd is asked once their handshakes have ended."""
    assert_nobody_is_reset(proxy, far, config(*backends))


@pytest.mark.fault("F231")
@pytest.mark.parametrize("method", ["syn-drop", "seamless"])
def test_a_daemon_in_a_unit_may_take_long_to_load(
    proxy: ProxyHost,
    backends: tuple[BackendHost, ...],
    client: Client,
    method: str,
) -> None:
    """Systemd is waited for until the new process serves; it is the only one, and proven."""
    proxy.write("/etc/haproxy/slow.lua", 'os.execute("sleep 3")\n')
    after = config(*backends).replace(
        "global\n", "global\n    lua-load /etc/haproxy/slow.lua\n", 1
    )
    step = ApplyStep(proxy)
    answer = step.run(after, ReloadMethod=method)
    assert answer.says("installed"), answer
    assert answer["old_workers"] == 0
    assert calls(proxy) == ["reload haproxy.service"]
    assert proxy.read(CONFIG) == after
    assert set(state_of(proxy)) == {"app-1", "app-2", "app-3"}
    assert client.get(str(proxy.ipv4)).status == 200
    worker = proxy.worker
    assert step.run(after, ReloadMethod=method).says("unchanged", "same-digest")
    assert proxy.workers() == (worker,)
    assert calls(proxy) == ["reload haproxy.service"]


@pytest.mark.fault("F83")
def test_a_dead_unit_is_started_again_by_systemd(
    proxy: ProxyHost, backends: tuple[BackendHost, ...], client: Client
) -> None:
    """The new process dies and leaves none: the old file is back and the unit is started with it."""
    dying = config(*backends).replace(
        "global\n", "global\n    lua-load /etc/haproxy/dies.lua\n", 1
    )
    answer = ApplyStep(proxy).run(dying)
    assert answer.says("rolled-back", "worker-died"), answer
    assert calls(proxy)[-1] == "restart haproxy.service"
    assert proxy.read(CONFIG) == config(backends[0])
    assert client.get(str(proxy.ipv4)).status == 200


@pytest.mark.fault("F235")
def test_a_daemon_of_a_users_own_systemd_is_left_alone(
    proxy: ProxyHost, backends: tuple[BackendHost, ...]
) -> None:
    """The system's unit of the same name is another one: nothing is touched, and nobody is asked to reload that."""
    worker = proxy.worker
    proxy.write("/run/calls", "")
    group = "0::/user.slice/user-1000.slice/user@1000.service/app.slice/haproxy.service"
    proxy.write("/run/cgroup", f"{group}\n")
    proxy.run(["mount", "--bind", "/run/cgroup", f"/proc/{worker}/cgroup"])
    step = ApplyStep(proxy)
    answer = step.run(config(*backends), Action="check")
    assert (answer["would"], answer["reason"]) == ("refused", "not-replaceable")
    answer = step.run(config(*backends))
    assert answer.says("failed", "not-replaceable"), answer
    assert "user@1000.service" in answer["detail"]
    assert (proxy.read(CONFIG), proxy.worker) == (config(backends[0]), worker)
    assert calls(proxy) == []
