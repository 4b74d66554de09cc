"""A HAProxy that somebody else than root started: whatever is started or checked for it is started as it was."""

from collections.abc import Callable

import pytest

from local.lab import BackendHost, Client, ProxyHost, Style, wait_until
from local.lab.certificate import self_signed
from tests.host.apply_step import (
    CONFIG,
    STATE_DIR,
    ApplyStep,
    config,
    digest,
    state_of,
    stateful,
    unexposed,
)

type MakeProxy = Callable[..., ProxyHost]

AS_ROOT = (
    "    chroot /var/lib/haproxy\n",
    "    user haproxy\n",
    "    group haproxy\n",
)
BINDS_LOW = "+net_bind_service"
FILE = "/etc/haproxy/haproxy.cfg"
ALIKE = "Uid", "Gid", "Groups", "CapAmb", "CapEff", "Umask"


def for_anybody(text: str) -> str:
    """The config without the lines that take root, on a port that takes none."""
    for line in AS_ROOT:
        text = text.replace(line, "")
    return text.replace("bind :80\n", "bind :8080\n").replace(
        "bind :::80 ", "bind :::8080 "
    )


def on_low_ports(text: str) -> str:
    """The same on the usual ports, which take a capability."""
    return (
        for_anybody(text)
        .replace("8080\n", "80\n")
        .replace("bind :::8080 ", "bind :::80 ")
    )


def start(proxy: ProxyHost, text: str, *, capabilities: str = "-all") -> None:
    """As the user haproxy, with a group and a umask of its own."""
    proxy.write(CONFIG, text)
    proxy.run(["chown", "-R", "haproxy:haproxy", "/run/haproxy"])
    command = [
        "setpriv",
        *("--reuid", "haproxy", "--regid", "haproxy", "--groups", "www-data"),
        *("--inh-caps", capabilities, "--ambient-caps", capabilities),
        *("sh", "-c", f"umask 027; exec haproxy -D -f {CONFIG} -p /run/haproxy/pid"),
    ]
    proxy.run(command)
    proxy.wait_until_ready()


def manner(proxy: ProxyHost) -> dict[str, str]:
    """What the kernel says of the worker."""
    lines = proxy.read(f"/proc/{proxy.worker}/status").splitlines()
    said = dict(line.split(":", 1) for line in lines)
    return {name: said[name].strip() for name in ALIKE}


@pytest.mark.fault("F215")
@pytest.mark.parametrize("method", ["syn-drop", "seamless"])
@pytest.mark.parametrize("form", [for_anybody, unexposed])
def test_a_new_process_is_started_as_the_old_one_was(
    make_proxy: MakeProxy,
    backends: tuple[BackendHost, ...],
    client: Client,
    method: str,
    form: Callable[[str], str],
) -> None:
    """User, groups, umask and capabilities: it serves the low ports that it served, again and again."""

    def text(*hosts: BackendHost) -> str:
        low = config(*hosts).replace("bind :80\n", "bind :80\n    bind :8080\n")
        for line in AS_ROOT:
            low = low.replace(line, "")
        return low if form is for_anybody else form(low)

    proxy = make_proxy(Style.DAEMON)
    start(proxy, text(backends[0]), capabilities=BINDS_LOW)
    before = manner(proxy)
    assert before["Uid"].split()[0] != "0"
    step = ApplyStep(proxy)
    for hosts in (backends[:2], backends):
        answer = step.run(text(*hosts), ReloadMethod=method)
        assert answer.says("installed", "changed", method), answer
        assert manner(proxy) == before
        assert len(proxy.workers()) == 1
    assert client.get(str(proxy.ipv4)).status == 200
    assert len(state_of(proxy)) == 3


@pytest.mark.fault("F215")
def test_the_state_of_its_servers_is_for_it_to_read(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...]
) -> None:
    """The directory is root's: it may enter that, and read nothing else there."""

    def text(*hosts: BackendHost) -> str:
        there = stateful(*hosts).replace("/var/lib/haproxy/", f"{STATE_DIR}/")
        return for_anybody(there)

    proxy = make_proxy(Style.DAEMON)
    start(proxy, text(backends[0], backends[1]))
    proxy.ask("set server app/app-1 state drain")
    answer = ApplyStep(proxy).run(text(*backends), ReloadMethod="seamless")
    assert answer.says("installed"), answer
    assert "server-state" not in answer["notes"]
    assert {name: state[2] for name, state in state_of(proxy).items()} == {
        "app-1": 8,
        "app-2": 0,
        "app-3": 0,
    }
    tried = ["setpriv", "--reuid", "haproxy", "--regid", "haproxy", "--clear-groups"]
    for file in ("state", "last-run"):
        read = [*tried, "cat", f"{STATE_DIR}/{file}"]
        assert proxy.run(read, check=False).returncode != 0
    assert proxy.run([*tried, "ls", STATE_DIR], check=False).returncode != 0


@pytest.mark.fault("F215")
@pytest.mark.parametrize("style", [Style.SYSV, Style.DAEMON])
def test_who_gave_up_root_by_its_config_is_started_by_root(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...], style: Style
) -> None:
    """Whatever the live file says since: it serves ports that its user could not serve."""
    proxy = make_proxy(style)
    proxy.start(config(*backends[:2]))
    edited = config(*backends[:2])
    for line in AS_ROOT:
        edited = edited.replace(line, "")
    proxy.write(CONFIG, edited)
    answer = ApplyStep(proxy).run(config(*backends), ReloadMethod="seamless")
    assert answer.says("installed"), answer
    assert manner(proxy)["Uid"].split()[0] != "0"
    assert len(proxy.workers()) == 1


@pytest.mark.fault("F215")
def test_a_rollback_runs_as_it_did(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...], client: Client
) -> None:
    """The new one dies; what is started then is no root's either."""
    proxy = make_proxy(Style.DAEMON)
    proxy.write(
        "/etc/haproxy/dies.lua",
        "core.register_task(function() core.msleep(500) os.exit(1) end)\n",
    )
    start(proxy, for_anybody(config(*backends[:2])))
    before = manner(proxy)
    dying = for_anybody(config(*backends)).replace(
        "global\n", "global\n    lua-load /etc/haproxy/dies.lua\n", 1
    )
    answer = ApplyStep(proxy).run(dying, ReloadMethod="seamless")
    assert answer.says("rolled-back", "worker-died"), answer
    assert manner(proxy) == before
    assert client.get(str(proxy.ipv4), port=8080).status == 200


REFUSED: dict[str, tuple[str, Callable[[str], str]]] = {
    "a certificate that only root reads": (
        "invalid-config",
        lambda text: text.replace(
            "bind :8080\n",
            "bind :8080\n    bind :8443 ssl crt /etc/haproxy/site.pem\n",
        ),
    ),
    "a port that only root binds": (
        "cannot-bind",
        lambda text: text.replace("bind :8080\n", "bind :8080\n    bind :81\n"),
    ),
}


@pytest.mark.fault("F216")
@pytest.mark.parametrize("action", ["apply", "check"])
@pytest.mark.parametrize("kind", REFUSED)
def test_what_it_may_not_do_is_refused_before_anything_is_touched(
    make_proxy: MakeProxy,
    backends: tuple[BackendHost, ...],
    kind: str,
    action: str,
) -> None:
    """The check is its own, not root's."""
    reason, change = REFUSED[kind]
    proxy = make_proxy(Style.DAEMON)
    proxy.write("/etc/haproxy/site.pem", self_signed("www.example.test"), mode=0o600)
    proxy.run(["sysctl", "-w", "net.ipv4.ip_unprivileged_port_start=1024"])
    before = for_anybody(config(*backends[:2]))
    start(proxy, before)
    worker = proxy.worker
    answer = ApplyStep(proxy).run(change(before), Action=action)
    assert answer["reason"] == reason, answer
    assert answer["outcome"] == ("failed" if action == "apply" else "checked"), answer
    assert (proxy.read(CONFIG), proxy.workers()) == (before, (worker,))


@pytest.mark.fault("F216")
@pytest.mark.parametrize("mode", [0o644, 0o640])
def test_a_check_judges_as_an_apply_would(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...], mode: int
) -> None:
    """The candidate lies where it may not enter, and is its own to read as the live file is."""
    proxy = make_proxy(Style.DAEMON)
    start(proxy, for_anybody(config(*backends[:2])))
    proxy.run(["chown", "root:www-data", CONFIG])
    proxy.path(CONFIG).chmod(mode)
    step = ApplyStep(proxy)
    more = for_anybody(config(*backends)).replace(
        "bind :8080\n", "bind :8080\n    bind :8081\n"
    )
    wrong = more.replace("roundrobin", "nonsense")
    answer = step.run(wrong, Action="check")
    assert answer["reason"] == "invalid-config", answer
    assert "balance" in answer["detail"]
    assert "/proc/" not in answer["detail"]
    answer = step.run(more, Action="check")
    assert (answer["would"], answer["reason"]) == ("differs", "differs"), answer
    answer = step.run(more, ReloadMethod="seamless")
    assert answer.says("installed"), answer
    assert answer["running_md5"] == digest(more)


@pytest.mark.fault("F216")
def test_relative_names_begin_where_it_was_started(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...]
) -> None:
    """Started by hand in its own directory, with a second file."""
    proxy = make_proxy(Style.DAEMON)
    more = (
        "backend other\n    mode http\n    timeout connect 1s\n    timeout server 1s\n"
    )
    proxy.write("/etc/haproxy/other.cfg", more)

    def text(*hosts: BackendHost) -> str:
        free = config(*hosts).replace("    chroot /var/lib/haproxy\n", "")
        return free.replace(
            "    default_backend",
            "    use_backend other if { path /o }\n    default_backend",
        )

    proxy.write(CONFIG, text(backends[0]))
    command = "cd /etc/haproxy && exec haproxy -D -f haproxy.cfg -f other.cfg -p /run/haproxy.pid"
    proxy.run(["sh", "-c", command])
    proxy.wait_until_ready()
    answer = ApplyStep(proxy).run(text(*backends), ReloadMethod="seamless")
    assert answer.says("installed"), answer
    wait_until(lambda: len(proxy.workers()) == 1)
    assert len(state_of(proxy)) == 3
