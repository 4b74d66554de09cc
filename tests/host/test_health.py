"""What a new worker believes of the servers: nothing reaches one that is down, drained or not known to be well."""

import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from local.lab import BackendHost, Client, Load, Network, ProxyHost, Style, wait_until
from local.lab.proxy import PID_FILE, STATS_SOCKET
from tests.haproxies import is_at_least
from tests.host.apply_step import (
    CONDITIONS,
    CONFIG,
    STYLES,
    ApplyStep,
    config,
    digest,
    state_of,
    stateful,
)

type MakeProxy = Callable[..., ProxyHost]


@pytest.fixture
def dead(network: Network) -> Iterator[BackendHost]:
    """A machine that is listed but answers nothing, as a terminated instance."""
    with BackendHost(network, f"dead-{len(network.hosts)}") as host:
        host.vanish()
        yield host


@pytest.fixture
def unborn(network: Network) -> Iterator[BackendHost]:
    """A machine whose application does not listen yet."""
    with BackendHost(network, f"unborn-{len(network.hosts)}", starts=False) as host:
        yield host


def wait_until_down(proxy: ProxyHost, server: str) -> None:
    """Wait until HAProxy has noticed."""
    wait_until(lambda: state_of(proxy)[server][1] == 0)


@pytest.mark.fault("F94")
@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("method", ["syn-drop", "seamless"])
def test_a_server_that_was_down_gets_nothing_from_the_new_worker(
    make_proxy: MakeProxy,
    backends: tuple[BackendHost, ...],
    dead: BackendHost,
    client: Client,
    style: Style,
    method: str,
) -> None:
    """HAProxy alone would send requests to it until its own checks have failed again."""
    proxy = make_proxy(style)
    proxy.start(stateful(*backends[:2], dead))
    wait_until_down(proxy, dead.name)
    with client.traffic(
        Load((str(proxy.ipv4), str(proxy.ipv6)), connections_per_second=60)
    ) as traffic:
        answer = ApplyStep(proxy).run(
            stateful(*backends[:2], dead, options="check inter 400ms"),
            ReloadMethod=method,
        )
    assert answer.says("installed", method=method), answer
    assert "server-state" not in answer["notes"]
    assert len(traffic.attempts) > 60
    assert traffic.failed == []
    assert {attempt.backend for attempt in traffic.attempts} == {"app-1", "app-2"}


@pytest.mark.fault("F37")
@pytest.mark.fault("F94")
@pytest.mark.parametrize("style", [Style.SYSV, Style.MASTER_WORKER])
def test_a_new_server_gets_nothing_before_a_good_check(
    make_proxy: MakeProxy,
    backends: tuple[BackendHost, ...],
    dead: BackendHost,
    unborn: BackendHost,
    client: Client,
    style: Style,
    haproxy: dict[str, Any],
) -> None:
    """A server that is new in the file is born DOWN; one that is well serves soon, one that is not costs no request."""
    proxy = make_proxy(style, **haproxy)
    proxy.start(stateful(*backends[:2]))
    wait = Load((str(proxy.ipv4), str(proxy.ipv6)), connections_per_second=60)
    with client.traffic(wait) as traffic:
        answer = ApplyStep(proxy).run(stateful(*backends, dead, unborn))
    assert answer.says("installed", method="syn-drop"), answer
    assert traffic.failed == []
    assert {attempt.backend for attempt in traffic.attempts} == {
        "app-1",
        "app-2",
        "app-3",
    }
    unborn.start()
    wait_until(lambda: state_of(proxy)[unborn.name][1] != 0, what="it never comes up")


@pytest.mark.fault("F226")
def test_no_sorry_page_is_shown_instead_of_a_new_server(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...], client: Client
) -> None:
    """A backup is no reason to hold the new one back, of which nobody knows yet that it is well."""
    app_1, app_2, sorry = (
        f"    server {name} {host.ipv4}:8080 check inter 5s{option}\n"
        for name, host, option in zip(
            ("a", "b", "sorry"), backends, ("", "", " backup"), strict=True
        )
    )
    proxy = make_proxy(Style.MASTER_WORKER)
    proxy.start(stateful() + app_1 + sorry)
    with client.traffic(Load((str(proxy.ipv4),), connections_per_second=60)) as traffic:
        answer = ApplyStep(proxy).run(stateful() + sorry + app_2)
        reloaded = len(traffic.attempts)
        wait_until(lambda: len(traffic.attempts) > reloaded + 60)
    assert answer.says("installed"), answer
    assert traffic.failed == []
    assert {each.backend for each in traffic.attempts} == {"app-1", "app-2"}


@pytest.mark.fault("F226")
@pytest.mark.parametrize("where", ["app", "checks"])
@pytest.mark.parametrize("beside", [False, True], ids=["alone", "beside"])
def test_who_tracks_a_server_that_moves_does_not_leave_its_backend_empty(
    make_proxy: MakeProxy,
    backends: tuple[BackendHost, ...],
    client: Client,
    where: str,
    *,
    beside: bool,
) -> None:
    """HAProxy takes it out with the one that waits for its first check; so that one waits where another serves."""
    first, second, third = (f"{host.ipv4}:8080" for host in backends)
    check = "check inter 1h"

    def text(place: str) -> str:
        moves = f"    server moves {place} {check}\n"
        tracks = f"    server tracks {second} track {where}/moves\n"
        stays = f"    server stays {third}\n" if beside else ""
        checks = f"backend checks\n    server other {first} {check}\n"
        app = stateful() + stays + tracks
        return app + moves if where == "app" else app + checks + moves

    proxy = make_proxy(Style.MASTER_WORKER)
    proxy.start(text(first))
    with client.traffic(Load((str(proxy.ipv4),), connections_per_second=50)) as traffic:
        answer = ApplyStep(proxy).run(text(second))
    assert answer.says("installed"), answer
    assert traffic.failed == []
    served = {client.get(str(proxy.ipv4)).headers.get("x-backend") for _ in range(6)}
    assert served == ({"app-3"} if beside else {"app-2"})


@pytest.mark.fault("F226")
def test_who_tracks_a_server_that_is_down_is_no_reason_to_wait(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...], client: Client
) -> None:
    """It is down with it from now on, whatever it was before, so the new one is all that there is."""
    first, second, _third = (f"{host.ipv4}:8080" for host in backends)
    checks = (
        "backend checks\n    server ill 127.0.0.1:81 check inter 300ms\n"
        f"    server well {first} check\n"
    )
    tracks = f"    server tracks {first} track checks/{{}}\n"
    new = f"    server new {second} check inter 1h\n"
    proxy = make_proxy(Style.MASTER_WORKER)
    proxy.start(stateful() + tracks.format("well") + checks)
    wait_until_down(proxy, "ill")
    answer = ApplyStep(proxy).run(stateful() + tracks.format("ill") + new + checks)
    assert answer.says("installed"), answer
    assert client.get(str(proxy.ipv4)).headers["x-backend"] == "app-2"


@CONDITIONS
@pytest.mark.fault("F226")
def test_a_new_server_is_at_the_port_of_the_line_that_haproxy_reads(
    make_proxy: MakeProxy,
    backends: tuple[BackendHost, ...],
    client: Client,
) -> None:
    """It has another one on another node; here its first check is good, and it serves."""
    second = f"    server app-2 {backends[1].ipv4}:{{}} check inter 300ms\n"
    elsewhere = f".if defined(NOWHERE)\n{second.format(81)}.endif\n"
    text = stateful(backends[0])
    proxy = make_proxy(Style.MASTER_WORKER)
    proxy.start(text)
    answer = ApplyStep(proxy).run(text + elsewhere + second.format(8080))
    assert answer.says("installed"), answer
    wait_until(lambda: client.get(str(proxy.ipv4)).headers["x-backend"] == "app-2")


@pytest.mark.fault("F94")
def test_a_drained_server_stays_drained(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...], haproxy: dict[str, Any]
) -> None:
    """An operator's drain, maintenance and weight survive the reload."""
    proxy = make_proxy(Style.MASTER_WORKER, **haproxy)
    proxy.start(stateful(*backends))
    proxy.ask(
        "set server app/app-1 state drain; set server app/app-2 state maint; set server app/app-3 weight 50%"
    )
    drained, stopped = state_of(proxy)["app-1"][2], state_of(proxy)["app-2"][2]
    assert drained
    assert stopped
    answer = ApplyStep(proxy).run(stateful(*backends, binds="bind :8081"))
    assert answer.says("installed"), answer
    assert (state_of(proxy)["app-1"][2], state_of(proxy)["app-2"][2]) == (
        drained,
        stopped,
    )


@pytest.mark.parametrize("style", [Style.SYSV, Style.MASTER_WORKER])
def test_a_changed_address_wins_over_the_saved_one(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...], style: Style
) -> None:
    """A name that moved to another machine, another port, another weight is where the file says."""
    proxy = make_proxy(style)
    before = stateful(*backends)
    after = before.replace("app-2 10.77.1.2:8080", "app-2 10.77.1.1:8080").replace(
        "app-3 10.77.1.3:8080 check", "app-3 10.77.1.3:8081 check port 8080 weight 7"
    )
    proxy.start(before)
    assert ApplyStep(proxy).run(after).says("installed")
    state = state_of(proxy)
    assert state["app-2"][0] == "10.77.1.1:8080"
    assert state["app-3"][0] == "10.77.1.3:8081"
    assert state["app-3"][3] == 7


def test_a_server_that_was_disabled_in_the_file_is_enabled_by_the_next_one(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...]
) -> None:
    """What the old file said of a server is not mistaken for what an operator did."""
    proxy = make_proxy(Style.MASTER_WORKER)
    proxy.start(
        stateful(*backends).replace(
            "app-2 10.77.1.2:8080", "app-2 10.77.1.2:8080 disabled"
        )
    )
    assert state_of(proxy)["app-2"][2]
    assert ApplyStep(proxy).run(stateful(*backends)).says("installed")
    assert state_of(proxy)["app-2"][2] == 0


def test_servers_are_up_at_once_where_no_other_one_is(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...]
) -> None:
    """With all servers replaced, being born DOWN would empty the pool: they start as HAProxy starts them."""
    proxy = make_proxy(Style.MASTER_WORKER)
    proxy.start(stateful(backends[0], options="check inter 30s"))
    assert (
        ApplyStep(proxy)
        .run(stateful(*backends[1:], options="check inter 30s"))
        .says("installed")
    )
    assert [state[1] for state in state_of(proxy).values()] == [2, 2]


def test_a_saved_state_is_not_believed_later(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...]
) -> None:
    """A drain that was lifted after the reload does not come back when HAProxy is started again weeks later."""
    proxy = make_proxy(Style.MASTER_WORKER)
    proxy.start(stateful(*backends))
    proxy.ask("set server app/app-1 state drain")
    assert (
        ApplyStep(proxy).run(stateful(*backends, binds="bind :8081")).says("installed")
    )
    assert state_of(proxy)["app-1"][2]
    proxy.ask("set server app/app-1 state ready")
    proxy.stop()
    proxy.start()
    assert [state[2] for state in state_of(proxy).values()] == [0, 0, 0]


@pytest.mark.fault("F242")
def test_what_another_process_on_the_socket_says_is_not_saved(
    make_proxy: MakeProxy,
    backends: tuple[BackendHost, ...],
    client: Client,
    haproxy: dict[str, Any],
) -> None:
    """A run was killed before the old process stopped: it answers too, of servers that were as it says."""
    proxy = make_proxy(Style.DAEMON, **haproxy)
    proxy.start(stateful(*backends))
    proxy.ask("set server app/app-1 state maint")
    old = proxy.worker
    proxy.run(["haproxy", "-D", "-x", STATS_SOCKET, "-f", CONFIG, "-p", PID_FILE])
    wait_until(lambda: proxy.worker != old)
    answer = ApplyStep(proxy).run(stateful(*backends, binds="bind :8081"))
    assert answer.says("installed"), answer
    wait_until(lambda: len(proxy.workers()) == 1)
    assert state_of(proxy)["app-1"][2] == 0
    served = {client.get(str(proxy.ipv4)).headers["x-backend"] for _ in range(6)}
    assert served == {"app-1", "app-2", "app-3"}


@pytest.mark.fault("F243")
@pytest.mark.parametrize("style", STYLES)
def test_an_answer_that_is_cut_off_is_not_saved(
    make_proxy: MakeProxy,
    backends: tuple[BackendHost, ...],
    style: Style,
    haproxy: dict[str, Any],
) -> None:
    """Half of the servers' health would be lost without a word; and a half line is none of HAProxy's."""
    proxy = make_proxy(style, **haproxy)
    proxy.start(stateful(*backends))
    proxy.ask("set server app/app-1 state drain; set server app/app-3 state drain")
    with cut_off(proxy, "app-3"):
        answer = ApplyStep(proxy).run(stateful(*backends, binds="bind :8081"))
    assert answer.says("installed"), answer
    assert "server-state-not-saved" in answer["notes"].split()
    assert [state[2] for state in state_of(proxy).values()] == [0, 0, 0]


@contextmanager
def cut_off(proxy: ProxyHost, word: str) -> Iterator[None]:
    """Whoever asks the worker gets its answer up to the first such word, unless the next one binds its socket anew."""
    path, kept = proxy.path(STATS_SOCKET), proxy.path("/run/haproxy/kept.sock")
    path.rename(kept)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        ours = path.stat().st_ino

        def answer(peer: socket.socket) -> None:
            asked = b"".join(iter(lambda: peer.recv(4096), b"")).decode().strip()
            said = proxy.ask(asked, "/run/haproxy/kept.sock")
            peer.sendall(said.partition(word)[0].encode())

        def serve() -> None:
            with suppress(OSError):
                while True:
                    peer, _ = listener.accept()
                    # 2.2 asks for sockets here, not in text.
                    with peer, suppress(OSError, UnicodeError):
                        answer(peer)

        threading.Thread(target=serve, daemon=True).start()
        yield
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
    if path.stat().st_ino == ours:
        kept.rename(path)


@pytest.mark.parametrize("style", [Style.SYSV, Style.MASTER_WORKER])
def test_a_stats_socket_that_is_gone_is_reported(
    make_proxy: MakeProxy,
    backends: tuple[BackendHost, ...],
    client: Client,
    style: Style,
) -> None:
    """Nobody can be asked, neither what is up nor to change it: it reloads all the same, and says what that costs."""
    proxy = make_proxy(style)
    proxy.start(stateful(backends[0]))
    proxy.path(STATS_SOCKET).unlink()
    answer = ApplyStep(proxy).run(stateful(*backends), ReloadMethod="auto")
    assert answer["outcome"] == "installed", answer
    assert answer["running_md5"] == digest(stateful(*backends))
    assert "server-state-not-saved" in answer["notes"].split()
    answers = {client.get(str(proxy.ipv4)).headers["x-backend"] for _ in range(9)}
    assert answers == {"app-1", "app-2", "app-3"}


def test_a_file_without_a_stats_socket_says_so(
    make_proxy: MakeProxy,
    backends: tuple[BackendHost, ...],
    client: Client,
    haproxy: dict[str, Any],
) -> None:
    """Nobody can be asked: it reloads all the same, and proves the worker by its sockets."""

    def text(*hosts: BackendHost) -> str:
        return re.sub(r"\n *stats socket .*", "", stateful(*hosts))

    proxy = make_proxy(Style.MASTER_WORKER)
    proxy.start(text(backends[0]))
    before = proxy.worker
    answer = ApplyStep(proxy).run(text(*backends), ReloadMethod="auto")
    # An older master hands over only what a stats socket exposes.
    method = "seamless" if is_at_least(haproxy, "2.6") else "syn-drop"
    assert answer.says("installed", method=method), answer
    assert "server-state-not-saved" in answer["notes"].split()
    assert answer["running_md5"] == answer["md5_after"]
    assert proxy.worker != before
    assert client.get(str(proxy.ipv4)).status == 200


def test_a_file_without_the_two_keywords_is_reported(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...]
) -> None:
    """The program does not write where no config reads."""
    proxy = make_proxy()
    proxy.start(config(backends[0]))
    answer = ApplyStep(proxy).run(config(*backends))
    assert answer.says("installed")
    assert "server-state-not-configured" in answer["notes"].split()
