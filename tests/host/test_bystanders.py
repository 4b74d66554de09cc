"""Other people on the host while the step runs: their reloads, restarts and HAProxies are not the step's."""

from collections.abc import Callable
from http import HTTPStatus

import pytest

from local.lab import BackendHost, Client, ProxyHost, Style, wait_until
from tests.host.apply_step import CONFIG, ApplyStep, config, digest, finish, state_of
from tests.host.test_drop_window import let_linger

type MakeProxy = Callable[..., ProxyHost]


def wait_until_watched(proxy: ProxyHost) -> None:
    """Wait until the step watches its new worker, which it does for two seconds after the drop window."""
    wait_until(proxy.firewall, what="the step never dropped anything")
    wait_until(lambda: not proxy.firewall(), what="the window never ended")


def wait_until_served_anew(proxy: ProxyHost, before: str) -> None:
    """Wait until another worker than that one answers and no window is open (from 3.1 on perhaps none ever was)."""
    wait_until(lambda: answering(proxy) not in {"", before}, what="nobody else answers")
    wait_until(lambda: not proxy.firewall(), what="the window never ended")


def answering(proxy: ProxyHost) -> str:
    """The worker that answers on the stats socket; empty for none."""
    try:
        said = proxy.ask("show info")
    except OSError:
        return ""
    return next((line for line in said.splitlines() if line.startswith("Pid:")), "")


@pytest.mark.parametrize("action", ["reload", "restart"])
def test_somebody_elses_reload_right_after_ours_is_no_death(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...], action: str
) -> None:
    """The worker that the step watches is replaced by a younger one, which runs the same file: that one is proven."""
    proxy = make_proxy(Style.MASTER_WORKER)
    proxy.start(config(backends[0]))
    worker = answering(proxy)
    process = ApplyStep(proxy).start(config(*backends))
    wait_until_served_anew(proxy, worker)
    proxy.run(["systemctl", action, "haproxy"])
    answer = finish(process)
    assert answer.says("installed"), answer
    assert answer["running_md5"] == digest(config(*backends))
    assert set(state_of(proxy)) == {"app-1", "app-2", "app-3"}
    assert ApplyStep(proxy).run(config(*backends), Generation="9").says("unchanged")


@pytest.mark.fault("F240")
def test_somebody_elses_restart_may_take_long_to_load(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...]
) -> None:
    """While systemd waits for HAProxy nobody serves, and nobody has died."""
    lua = "/etc/haproxy/slow.lua"
    before, after = (
        config(*hosts).replace("global\n", f"global\n    lua-load {lua}\n", 1)
        for hosts in (backends[:1], backends)
    )
    proxy = make_proxy(Style.MASTER_WORKER)
    proxy.write(lua, "")
    proxy.start(before)
    worker = answering(proxy)
    process = ApplyStep(proxy).start(after)
    wait_until_served_anew(proxy, worker)
    proxy.write(lua, 'os.execute("sleep 3")\n')
    proxy.run(["systemctl", "restart", "haproxy"])
    answer = finish(process)
    assert answer.says("installed"), answer
    assert set(state_of(proxy)) == {"app-1", "app-2", "app-3"}


@pytest.mark.fault("F253")
def test_systemd_has_given_up_what_the_new_file_killed(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...], client: Client
) -> None:
    """It starts it no more, as after many deaths: the old file comes back to life."""
    lua = "/etc/haproxy/die.lua"
    proxy = make_proxy(Style.MASTER_WORKER)
    proxy.write(
        lua, "core.register_task(function() core.msleep(500); os.exit(1) end)\n"
    )
    proxy.start(config(backends[0]))
    # Before anything can die, so that no start of systemd's comes in between.
    proxy.write("/run/haproxy.start-limit-hit", "")
    after = config(*backends).replace("global\n", f"global\n    lua-load {lua}\n", 1)
    answer = ApplyStep(proxy).run(after, ReloadMethod="seamless")
    assert answer.says("rolled-back", "worker-died"), answer
    assert proxy.read(CONFIG) == config(backends[0])
    assert client.get(str(proxy.ipv4)).status == HTTPStatus.OK


def test_a_second_haproxy_in_the_foreground_is_left_alone(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...]
) -> None:
    """Somebody looks for an error with `haproxy -db` beside the service: the service's master is what reloads."""
    proxy = make_proxy(Style.MASTER_WORKER)
    # Without a stats socket, which the second one would take away.
    lines = config(*backends).splitlines(keepends=True)
    after = "".join(line for line in lines if "stats socket" not in line)
    before = after.replace("roundrobin", "leastconn")
    proxy.start(before)
    (master,) = (
        pid
        for pid, parent in proxy.processes().items()
        if parent not in proxy.processes()
    )
    with proxy.beside(["haproxy", "-db", "-f", CONFIG]):
        wait_until(lambda: len(proxy.processes()) == 3)
        own = set(proxy.processes())
        answer = ApplyStep(proxy).run(after)
        assert answer.says("installed"), answer
        assert answer["style"] == "master-worker"
        assert len(own & set(proxy.processes())) == 2, (
            "the master and the one in the foreground"
        )
        assert proxy.processes()[proxy.worker] == master


@pytest.mark.fault("F83")
def test_a_rollback_after_an_early_death_has_the_environment(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...], client: Client
) -> None:
    """The old file refers to a variable of the init script's environment, which died with the process."""

    def text(*hosts: BackendHost) -> str:
        return config(*hosts).replace(
            "timeout connect 2s", 'timeout connect "${CONNECT}"'
        )

    proxy = make_proxy(Style.SYSV)
    let_linger(proxy)
    proxy.write("/etc/default/haproxy", "export CONNECT=2s\n")
    proxy.start(text(backends[0]))
    worker = proxy.worker
    process = ApplyStep(proxy).start(text(*backends))
    wait_until_watched(proxy)
    wait_until(lambda: worker not in proxy.workers())
    proxy.run(["kill", "-KILL", str(proxy.worker)])
    answer = finish(process)
    assert answer.says("rolled-back", "worker-died"), answer
    assert proxy.read(CONFIG) == text(backends[0])
    assert client.get(str(proxy.ipv4)).status == 200
    environment = proxy.path(f"/proc/{proxy.worker}/environ").read_bytes()
    assert b"CONNECT=2s" in environment
    assert b"SSM_" not in environment
