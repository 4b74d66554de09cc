"""A command asks about servers: how they are, and how much still goes through them in any process of HAProxy's."""

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from local.lab import BackendHost, Client, ProxyHost, Style, wait_until
from tests.host.apply_step import STYLES, ApplyStep, installed, sessions, stateful

type MakeProxy = Callable[..., ProxyHost]
WITHOUT_SOCKET = "master-worker without a socket"
WAYS = (*STYLES, WITHOUT_SOCKET)


def lasting(*hosts: BackendHost, more: str = "", **options: str) -> str:
    """A config whose connections last as long as somebody wants them; `more` lines of the backend."""
    text = stateful(*hosts, **options)
    text = text.replace("client 10s", "client 1h").replace("server 10s", "server 1h")
    return text.replace("    balance roundrobin\n", f"    balance roundrobin\n{more}")


def leaving(text: str, host: BackendHost) -> str:
    """The config in which this one drains."""
    return text.replace(place(host), f"{place(host)} weight 0")


def place(host: BackendHost) -> str:
    """As `Watch` has it."""
    return f"{host.ipv4}:{host.port}"


def asked(step: ApplyStep, *watch: str) -> list[str]:
    """What an inspection says of servers."""
    report = step.run(None, Watch=",".join(watch), Action="inspect")
    words: str = report["watched"]
    return words.split(" ")


def load_of(step: ApplyStep, host: BackendHost) -> int:
    """What still goes through a server that is out."""
    (word,) = asked(step, place(host))
    state, _slash, load = word.partition("/")
    assert state == "out"
    return int(load)


def wait_until_idle(step: ApplyStep, host: BackendHost) -> None:
    """Nothing goes through the server any more: its pooled connections in old workers last for seconds."""
    wait_until(lambda: load_of(step, host) == 0, seconds=60, pause_seconds=0.5)


@contextmanager
def asking(client: Client, proxy: ProxyHost, path: str) -> Iterator[socket.socket]:
    """Somebody asks, and is there for as long as the block lasts."""
    address = str(proxy.ipv4), 80
    with client.call(lambda: socket.create_connection(address, 10)) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: lab\r\n\r\n".encode())
        yield connection


@contextmanager
def downloading(client: Client, proxy: ProxyHost) -> Iterator[None]:
    """Somebody gets what takes longer than any test."""
    with asking(client, proxy, "/download?600") as connection:
        assert connection.recv(1)
        yield


@contextmanager
def idling(client: Client, proxy: ProxyHost) -> Iterator[None]:
    """Somebody has got an answer, and keeps the connection."""
    with asking(client, proxy, "/") as connection:
        assert connection.recv(1)
        yield


@pytest.fixture
def make_any(make_proxy: MakeProxy) -> MakeProxy:
    """A proxy that runs in one of the `WAYS`."""

    def make(way: str, **options: Any) -> ProxyHost:
        if way != WITHOUT_SOCKET:
            return make_proxy(Style(way), **options)
        proxy = make_proxy(Style.MASTER_WORKER, **options)
        proxy.write("/etc/default/haproxy", "EXTRAOPTS=\n")
        return proxy

    return make


@pytest.mark.parametrize("way", WAYS)
def test_each_server_is_told_in_the_order_of_the_question(
    make_any: MakeProxy,
    backends: tuple[BackendHost, ...],
    way: str,
    haproxy: dict[str, Any],
) -> None:
    """By an apply and by an inspection; where nobody asks, nobody is told."""
    proxy = make_any(way, **haproxy)
    text = lasting(*backends[:2])
    proxy.start(lasting(backends[0]))
    step = ApplyStep(proxy)
    watch = ",".join(map(place, (backends[2], backends[0], backends[1])))
    report = step.run(text, Watch=watch)
    assert report.says("installed")
    assert report["watched"] == "gone/0 up/0 up/0"
    assert step.run(text, Watch=watch)["watched"] == "gone/0 up/0 up/0"
    assert asked(step, place(backends[1]), place(backends[2])) == ["up/0", "gone/0"]
    assert "watched" not in step.run(text).marker
    assert "watched" not in step.run(text, Watch=watch, Action="check").marker


# --- every worker counts ---


@pytest.mark.fault("F255")
@pytest.mark.fault("F259")
@pytest.mark.parametrize("mode", ["http", "tcp"])
@pytest.mark.parametrize("way", WAYS)
def test_a_download_counts_until_it_is_over(
    make_any: MakeProxy,
    backends: tuple[BackendHost, ...],
    client: Client,
    way: str,
    mode: str,
    haproxy: dict[str, Any],
) -> None:
    """Also after two reloads, by which the worker that has it knows of nobody's drain, and nobody can ask it."""
    proxy = make_any(way, **haproxy)
    text = lasting(backends[0]).replace("mode http", f"mode {mode}")
    proxy.start(text)
    step = ApplyStep(proxy)
    both = lasting(*backends[:2]).replace("mode http", f"mode {mode}")
    with downloading(client, proxy):
        drained = leaving(both, backends[0])
        assert step.run(drained, ReloadMethod="seamless").says("installed")
        assert load_of(step, backends[0]) == 1
        more = drained.replace("roundrobin", "leastconn")
        report = step.run(more, Watch=place(backends[0]))
        assert report.says("installed")
        assert (report["watched"], report["old_workers"]) == ("out/1", 1)
        # Whoever cannot tell one that is kept from one that is used waits until none is kept.
        gone = more.replace(f"    server app-1 {place(backends[0])} weight 0", "    #")
        assert step.run(gone).says("installed")
        assert asked(step, place(backends[0])) == ["gone/1"]
    wait_until(lambda: asked(step, place(backends[0])) == ["gone/0"])


@pytest.mark.fault("F255")
@pytest.mark.parametrize("method", ["runtime", "seamless"])
def test_a_download_of_the_worker_counts(
    make_proxy: MakeProxy,
    backends: tuple[BackendHost, ...],
    client: Client,
    method: str,
    haproxy: dict[str, Any],
) -> None:
    """Whichever worker has it after the drain."""
    proxy = make_proxy(Style.MASTER_WORKER, **haproxy)
    text = lasting(*backends[:2], options="")
    step = installed(proxy, lasting(backends[0]), text)
    with ExitStack() as stack:
        for _ in range(4):
            stack.enter_context(downloading(client, proxy))
        drained = leaving(text, backends[0])
        report = step.run(drained, ReloadMethod=method, Watch=place(backends[0]))
        assert report.says("installed", method=method)
        assert report["watched"] == "out/2"
    wait_until_idle(step, backends[0])


@pytest.mark.fault("F255")
def test_who_waits_for_a_server_counts(
    make_proxy: MakeProxy,
    backends: tuple[BackendHost, ...],
    client: Client,
    haproxy: dict[str, Any],
) -> None:
    """It takes one at a time, and nobody else is asked."""
    proxy = make_proxy(Style.MASTER_WORKER, **haproxy)
    this = "    use-server app-1 if TRUE\n"
    proxy.start(lasting(backends[0], more=this, options="maxconn 1"))
    step = ApplyStep(proxy)
    with downloading(client, proxy), asking(client, proxy, "/"):
        wait_until(lambda: ",app-1,1,1,1," in f",{proxy.ask('show stat')}")
        proxy.ask("set server app/app-1 weight 0")
        assert load_of(step, backends[0]) == 2
    wait_until_idle(step, backends[0])


@pytest.mark.fault("F256")
@pytest.mark.parametrize("way", [Style.MASTER_WORKER, WITHOUT_SOCKET])
def test_an_old_worker_that_does_not_answer_counts(
    make_any: MakeProxy,
    backends: tuple[BackendHost, ...],
    client: Client,
    way: str,
    haproxy: dict[str, Any],
) -> None:
    """What it still has the kernel knows."""
    proxy = make_any(way, **haproxy)
    proxy.start(lasting(backends[0]))
    step = ApplyStep(proxy)
    with downloading(client, proxy):
        old = proxy.worker
        drained = leaving(lasting(*backends[:2]), backends[0])
        assert step.run(drained).says("installed")
        proxy.run(["kill", "-STOP", str(old)])
        assert load_of(step, backends[0]) == 1
        proxy.run(["kill", "-KILL", str(old)])
    wait_until(lambda: old not in proxy.processes())
    assert load_of(step, backends[0]) == 0


@pytest.mark.fault("F256")
def test_of_a_worker_that_does_not_answer_nothing_is_said(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...], haproxy: dict[str, Any]
) -> None:
    """Nothing is not 0."""
    proxy = make_proxy(Style.MASTER_WORKER, **haproxy)
    text = lasting(backends[0])
    proxy.start(text)
    step = ApplyStep(proxy)
    worker = str(proxy.worker)
    proxy.run(["kill", "-STOP", worker])
    report = step.run(None, Watch=place(backends[0]), Action="inspect")
    proxy.run(["kill", "-CONT", worker])
    assert report.says("inspected", "running")
    assert "watched" not in report.marker
    assert asked(step, place(backends[0]))[0].startswith("up/")


# --- nothing else does ---


@pytest.mark.fault("F257")
def test_clients_that_ask_for_nothing_keep_no_server(
    make_proxy: MakeProxy,
    backends: tuple[BackendHost, ...],
    client: Client,
    haproxy: dict[str, Any],
) -> None:
    """Their connections to it are pooled; the pool of whom the worker checks is never empty again."""
    proxy = make_proxy(Style.MASTER_WORKER, **haproxy)
    proxy.start(lasting(*backends[:2]))
    step = ApplyStep(proxy)
    with ExitStack() as stack:
        for _ in range(8):
            stack.enter_context(idling(client, proxy))
        proxy.ask("set server app/app-1 weight 0")
        wait_until(lambda: sessions(proxy)["app-1"] == 0)
        assert connections(proxy, backends[0]) > 0
        assert load_of(step, backends[0]) == 0


@pytest.mark.fault("F257")
@pytest.mark.parametrize("style", STYLES)
def test_pooled_connections_of_an_old_worker_count_until_they_are_gone(
    make_proxy: MakeProxy,
    backends: tuple[BackendHost, ...],
    client: Client,
    style: Style,
    haproxy: dict[str, Any],
) -> None:
    """Nobody can make that worker close them any more; it checks nobody, so its pool runs empty by itself."""
    proxy = make_proxy(style, **haproxy)
    text = lasting(*backends[:2], options="check inter 500ms pool-purge-delay 10s")
    proxy.start(text)
    step = ApplyStep(proxy)
    with ExitStack() as stack:
        for _ in range(8):
            stack.enter_context(idling(client, proxy))
        proxy.ask("set server app/app-1 weight 0")
        stack.enter_context(downloading(client, proxy))
        old = proxy.worker
        report = step.run(leaving(text, backends[0]), Watch=place(backends[0]))
        assert report.says("installed")
        assert report["watched"] not in {"out/0", "out/?"}
        wait_until_idle(step, backends[0])
        assert old in proxy.workers()


@pytest.mark.fault("F257")
def test_health_checks_keep_no_server(
    make_proxy: MakeProxy,
    backends: tuple[BackendHost, ...],
    haproxy: dict[str, Any],
) -> None:
    """However long one takes."""
    proxy = make_proxy(Style.MASTER_WORKER, **haproxy)
    checks = "    option httpchk GET /slow\n    timeout check 1h\n"
    backends[0].delay_seconds = 20
    try:
        proxy.start(lasting(backends[0], more=checks, options="check weight 0"))
        wait_until(lambda: connections(proxy, backends[0]) > 0)
        assert load_of(ApplyStep(proxy), backends[0]) == 0
        assert connections(proxy, backends[0]) > 0
    finally:
        backends[0].delay_seconds = 0


@pytest.mark.fault("F258")
@pytest.mark.parametrize("style", STYLES)
def test_a_frontend_at_a_servers_address_is_no_server(
    make_proxy: MakeProxy,
    backends: tuple[BackendHost, ...],
    client: Client,
    style: Style,
    haproxy: dict[str, Any],
) -> None:
    """HAProxy is its own server here, and the old worker has both ends of the connection."""
    inner = "127.0.0.1:8081"
    chain = (
        f"frontend inner\n    bind {inner}\n    default_backend real\n"
        f"backend real\n    server app-1 {place(backends[0])}\n"
    )
    near = f"    server near {inner}\n"
    proxy = make_proxy(style, **haproxy)
    proxy.start(lasting() + near + chain)
    step = ApplyStep(proxy)
    with downloading(client, proxy):
        after = lasting(backends[1]) + chain
        assert step.run(after).says("installed")
        assert asked(step, inner, place(backends[0])) == ["gone/1", "up/1"]


@pytest.mark.fault("F258")
@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("family", ["mapped", "IPv6"])
def test_an_address_counts_however_it_is_written(
    make_proxy: MakeProxy,
    backends: tuple[BackendHost, ...],
    client: Client,
    style: Style,
    family: str,
    haproxy: dict[str, Any],
) -> None:
    """An IPv4-mapped one is the IPv4 address, by HAProxy's word and by the kernel's."""
    ipv6 = backends[0].ipv6
    line, watch = {
        "mapped": (f"ipv6@::ffff:{place(backends[0])}", place(backends[0])),
        "IPv6": (f"[{ipv6}]:8080", f"[{ipv6.exploded}]:8080"),
    }[family]
    proxy = make_proxy(style, **haproxy)
    text = lasting() + f"    server app-1 {line}\n"
    proxy.start(text)
    step = ApplyStep(proxy)
    with downloading(client, proxy):
        assert asked(step, watch) == ["up/1"]
        assert step.run(text.replace("roundrobin", "leastconn")).says("installed")
        assert asked(step, watch) == ["up/1"]


# --- how servers are ---


def test_all_servers_of_an_address_and_port_are_one(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...], haproxy: dict[str, Any]
) -> None:
    """In whatever backends, by name or by address; another port of the machine is another server."""
    proxy = make_proxy(Style.MASTER_WORKER, **haproxy)
    proxy.write("/etc/hosts", proxy.read("/etc/hosts") + f"{backends[0].ipv4} one\n")
    spare = f"{backends[1].ipv4}:9999"
    text = (
        lasting(backends[0])
        + f"backend named\n    server by-name one:8080\n    server other {spare} check port 8080\n"
        + "backend templates\n    server-template t 1-2 one:8080 init-addr libc,none\n"
        + "backend resting\n    server spare 10.77.1.9:8080 disabled\n    server late 10.77.1.9:81 check inter 1h\n"
    )
    proxy.start(text)
    step = ApplyStep(proxy)
    ready, other = place(backends[0]), place(backends[1])
    resting = "10.77.1.9:8080", "10.77.1.9:81"
    every = ready, other, spare, *resting
    wait_until(lambda: asked(step, ready, spare) == ["up/0", "up/0"])
    assert asked(step, *every)[:4] == ["up/0", "gone/0", "up/0", "out/0"]
    proxy.ask("set server named/by-name state drain")
    assert asked(step, ready) == ["part/0"]
    proxy.ask("set server app/app-1 state maint; set server templates/t1 weight 0")
    assert asked(step, ready) == ["part/0"]
    proxy.ask("set server templates/t2 state maint")
    assert asked(step, ready) == ["out/0"]


def test_who_is_down_or_not_checked_yet_is_out(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...], haproxy: dict[str, Any]
) -> None:
    """A new worker believes that everybody is up; that proves nothing."""
    proxy = make_proxy(Style.MASTER_WORKER, **haproxy)
    down = "    server down 10.77.1.99:8080 check inter 100ms\n"
    # Checks begin one after the other, over the whole interval.
    late = "".join(
        f"    server late-{port} {backends[0].ipv4}:{port} check inter 1h\n"
        for port in (8080, 8081)
    )
    proxy.start(lasting() + down + late)
    step = ApplyStep(proxy)
    wait_until(lambda: asked(step, "10.77.1.99:8080") == ["out/0"])
    assert asked(step, f"{backends[0].ipv4}:8081") == ["out/0"]


def connections(proxy: ProxyHost, host: BackendHost) -> int:
    """How many the present worker has to this machine, by the kernel's word."""
    table = proxy.run(
        ["sh", "-c", f"cat /proc/{proxy.worker}/net/tcp"]
    ).stdout.splitlines()
    packed = socket.inet_aton(str(host.ipv4))[::-1].hex().upper()
    return sum(f" {packed}:{host.port:04X} 01 " in line for line in table)
