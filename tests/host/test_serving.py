"""Every run says at its end how HAProxy serves there: by real HAProxys, whatever became of the command."""

import os
import signal
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from local.lab import BackendHost, ProxyHost, Style, wait_until
from local.lab.proxy import STATS_SOCKET
from tests.host.apply_step import (
    STATE_DIR,
    STYLES,
    ApplyStep,
    StepReport,
    config,
    digest,
    installed,
    stateful,
)

type MakeProxy = Callable[..., ProxyHost]
NOBODY = "10.77.1.99:80"


@pytest.fixture
def step(make_proxy: MakeProxy, backends: tuple[BackendHost, ...]) -> ApplyStep:
    """A proxy that has two servers by our stack."""
    proxy = make_proxy(Style.MASTER_WORKER)
    return installed(proxy, stateful(backends[0]), stateful(*backends[:2]))


def backend(name: str, *servers: str) -> str:
    """A backend with these servers, each as its line has it behind its name."""
    lines = (f"    server s{number} {each}\n" for number, each in enumerate(servers))
    return f"backend {name}\n" + "".join(lines)


def serves(report: StepReport) -> tuple[str, str | None]:
    """What the marker says of HAProxy and of its servers."""
    return report["haproxy"], report.marker.get("backends")


@pytest.mark.fault("F147")
@pytest.mark.parametrize("style", STYLES)
def test_each_run_tells_how_many_servers_are_up(
    make_proxy: MakeProxy,
    backends: tuple[BackendHost, ...],
    style: Style,
    haproxy: dict[str, Any],
) -> None:
    """A change and a comparison, by the worker that runs then; it has the version, too."""
    proxy = make_proxy(style, **haproxy)
    proxy.start(stateful(backends[0]))
    step = ApplyStep(proxy)
    wait_until(
        lambda: "L7OK" in proxy.ask("show stat") or "L4OK" in proxy.ask("show stat")
    )
    changed = step.run(stateful(*backends[:2]))
    assert changed.says("installed")
    assert serves(changed) == ("running", "app 2/0")
    same = step.run(stateful(*backends[:2]))
    assert same.says("unchanged")
    assert serves(same) == ("running", "app 2/0")
    assert same["haproxy_version"] == changed["haproxy_version"] != ""
    assert "servers_up" not in same.marker


@pytest.mark.fault("F147")
@pytest.mark.parametrize("method", ["runtime", "seamless", "syn-drop"])
def test_the_new_worker_tells_of_itself(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...], method: str
) -> None:
    """On the socket of the file that it runs, which may have moved."""
    proxy = make_proxy(Style.MASTER_WORKER)
    step = installed(proxy, stateful(backends[0]), stateful(*backends[:2]))
    report = step.run(stateful(backends[1]), ReloadMethod=method)
    assert report.says("installed", method=method)
    assert serves(report) == ("running", "app 1/0")
    moved = stateful(*backends).replace("/admin.sock", "/moved.sock")
    assert serves(step.run(moved)) == ("running", "app 3/0")
    assert serves(step.run(moved)) == ("running", "app 3/0")


@pytest.mark.fault("F147")
def test_the_worst_backends_come_first(
    step: ApplyStep, backends: tuple[BackendHost, ...]
) -> None:
    """Nobody up, somebody down, all well; who was taken out on purpose is neither up nor down."""
    up = f"{backends[0].ipv4}:{backends[0].port}"
    down = f"{NOBODY} check inter 50ms fastinter 50ms downinter 50ms"
    spare = "    server-template spare 1-3 nowhere.invalid:80 resolvers none init-addr none\n"
    text = (
        stateful(*backends[:2])
        + backend("a.well", up, up)
        + backend(
            "b:out", f"{up} disabled", f"{up} weight 0", f"{NOBODY} weight 0 check"
        )
        + backend("c-half", up, down)
        + backend("d_dead", down, down)
        + backend("e.spare", up)
        + spare
        + "resolvers none\n    nameserver none 127.0.0.1:5\n"
    )
    assert step.run(text)["outcome"] == "installed"
    wait_until(lambda: step.host.ask("show stat").count("DOWN") >= 4)
    report = step.run(text)
    assert report.says("unchanged")
    worst = "d_dead 0/2 b:out 0/0 c-half 1/1 a.well 2/0 app 2/0 e.spare 1/0"
    assert serves(report) == ("running", worst)
    for command in (
        "app/app-1 state drain",
        "app/app-2 state maint",
        "c-half/s0 state maint",
    ):
        step.host.ask(f"set server {command}")
    report = step.run(None, Action="inspect")
    worst = "c-half 0/1 d_dead 0/2 app 0/0 b:out 0/0 a.well 2/0 e.spare 1/0"
    assert serves(report) == ("running", worst)


@pytest.mark.fault("F252")
def test_a_server_that_is_named_as_a_process_is_one(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...], haproxy: dict[str, Any]
) -> None:
    """HAProxy 2.2 has a proxy `MASTER` of its own, whose servers are never down."""
    proxy = make_proxy(Style.MASTER_WORKER, **haproxy)
    named = (
        "backend MASTER\n    server cur-1 /run/none.sock weight 0 check inter 100ms\n"
    )
    text = stateful(backends[0]) + named
    proxy.start(text)
    wait_until(lambda: "MASTER 1 cur-1 - 0 " in proxy.ask("show servers state"))
    report = ApplyStep(proxy).run(text)
    assert report.status == 0, report
    assert "MASTER 0/0" in report["backends"]


@pytest.mark.fault("F147")
def test_who_was_never_checked_is_neither_up_nor_down(
    step: ApplyStep, backends: tuple[BackendHost, ...]
) -> None:
    """A new worker believes that everybody is up until it has checked; a state that was saved still counts."""
    wait_until(lambda: serves(step.run(None, Action="inspect"))[1] == "app 2/0")
    known = stateful(*backends[:2], options="check inter 1h")
    assert serves(step.run(known)) == ("running", "app 2/0")
    forgotten = config(*backends[:2], options="check inter 1h")
    report = step.run(forgotten)
    assert report.says("installed")
    assert step.host.ask("show stat").count(",UP,") >= 2
    assert serves(report) == ("running", "app 1/0")  # the first one is checked at once


@pytest.mark.fault("F147")
def test_a_haproxy_that_was_killed_is_stopped(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...]
) -> None:
    """Whatever the run did: the file is installed, it was there already, or it was only asked."""
    proxy = make_proxy(Style.SYSV)
    text = stateful(*backends[:2])
    step = installed(proxy, stateful(backends[0]), text)
    proxy.stop()
    for report in (step.run(text), step.run(stateful(*backends))):
        assert report.says("not-running", "stopped")
        assert serves(report) == ("stopped", None)
    asked = step.run(None, Action="inspect")
    assert asked.says("inspected", "stopped")
    assert serves(asked) == ("stopped", None)


@pytest.mark.fault("F147")
def test_a_haproxy_with_another_file_is_none_of_ours(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...]
) -> None:
    """Its servers are no concern of ours."""
    proxy = make_proxy(Style.SYSV)
    proxy.start(config(backends[0]))
    other = "/etc/haproxy/other.cfg"
    proxy.write(other, config(backends[0]))
    step = ApplyStep(proxy)
    text = config(*backends[:2])
    for action in ("apply", "inspect"):
        report = step.run(text, ConfigPath=other, Action=action)
        assert report["reason"] == "config-not-used"
        assert serves(report) == ("config-not-used", None)


@pytest.mark.fault("F147")
def test_a_config_that_is_refused_says_how_the_old_one_serves(
    step: ApplyStep, backends: tuple[BackendHost, ...]
) -> None:
    """So does one that is too old."""
    text = stateful(*backends[:2])
    refused = step.run(text + "nonsense\n")
    assert refused["reason"] == "invalid-config"
    assert serves(refused) == ("running", "app 2/0")
    late = step.run(stateful(backends[0]), Generation="0")
    assert late.says("superseded")
    assert serves(late) == ("running", "app 2/0")


@pytest.mark.fault("F147")
def test_who_ended_before_it_looked_says_nothing(step: ApplyStep) -> None:
    """It does not know."""
    report = step.run("", ReloadMethod="AUTO")
    assert report["reason"] == "bad-parameter"
    assert not {"haproxy", "backends"} & set(report.marker)


# --- a worker that is no help ---


@contextmanager
def answering(
    proxy: ProxyHost, answer: Callable[[socket.socket], None]
) -> Iterator[None]:
    """Somebody else listens where the worker did."""
    path = proxy.path(STATS_SOCKET)
    path.rename(path.with_name("kept.sock"))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def serve() -> None:
            try:
                while True:
                    peer, _ = listener.accept()
                    with peer, suppress(OSError):
                        while peer.recv(4096):
                            pass
                        answer(peer)
            except OSError:
                return

        threading.Thread(target=serve, daemon=True).start()
        yield
        listener.shutdown(socket.SHUT_RDWR)
    path.unlink()
    path.with_name("kept.sock").rename(path)


def info(proxy: ProxyHost) -> bytes:
    """What the worker itself says first."""
    return f"Name: HAProxy\nPid: {proxy.worker}\n\n".encode()


def says_nothing(report: StepReport) -> bool:
    """Whether the run is as good as any, but for the servers."""
    is_silent = not {"backends", "more_backends", "servers_up"} & set(report.marker)
    return report.status == 0 and report["haproxy"] == "running" and is_silent


@pytest.mark.fault("F148")
def test_a_worker_that_hangs_keeps_no_run_for_long(
    step: ApplyStep, backends: tuple[BackendHost, ...]
) -> None:
    """It still is the worker that is proven to run the file."""
    worker = str(step.host.worker)
    step.host.run(["kill", "-STOP", worker])
    try:
        report = step.run(stateful(*backends[:2]))
    finally:
        step.host.run(["kill", "-CONT", worker])
    assert report.says("unchanged")
    assert says_nothing(report)


@pytest.mark.fault("F148")
def test_who_is_ended_while_it_asks_tells_what_it_did(
    step: ApplyStep, backends: tuple[BackendHost, ...]
) -> None:
    """The agent gives up, and the config is installed all the same."""
    over = threading.Event()

    def end(peer: socket.socket) -> None:
        said = peer.getsockopt(
            socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")
        )
        pid, _user, _group = struct.unpack("3i", said)
        os.kill(pid, signal.SIGTERM)
        over.wait(9)

    with answering(step.host, end):
        report = step.run(stateful(*backends[:2]))
        over.set()
    assert report.says("unchanged")
    assert says_nothing(report)


@pytest.mark.fault("F148")
@pytest.mark.parametrize(
    "rubbish",
    [
        b"",
        b"\xff\x00" * 1000,
        b"1\n# be_id\n\n",
        b"Name: HAProxy\nPid: 1\n\n1\n# be_id\n3 app 1 s1 10.77.1.1 2 0 1 1 2 6 3 4 6 0 0 0 - 80 -\n",
    ],
    ids=["nothing", "bytes", "no-pid", "another-process"],
)
def test_an_answer_that_is_none_says_nothing(
    step: ApplyStep, backends: tuple[BackendHost, ...], rubbish: bytes
) -> None:
    """Also where it looks like one of somebody else."""
    with answering(step.host, lambda peer: peer.sendall(rubbish)):
        report = step.run(stateful(*backends[:2]))
    assert report.says("unchanged")
    assert says_nothing(report)


@pytest.mark.fault("F148")
def test_an_answer_that_never_ends_says_nothing(
    step: ApplyStep, backends: tuple[BackendHost, ...]
) -> None:
    """The run comes to its end all the same, and not by its memory."""
    head = info(step.host) + b"1\n# be_id\n"

    def flood(peer: socket.socket) -> None:
        peer.sendall(head)
        while True:
            peer.sendall(b"3 app 1 s1 10.77.1.1 2 0 1 1 2 6 3 4 6 0 0 0 - 80 -\n" * 999)

    with answering(step.host, flood):
        report = step.run(stateful(*backends[:2]))
    assert says_nothing(report)


@pytest.mark.fault("F148")
def test_an_answer_that_is_cut_off_says_nothing(
    step: ApplyStep, backends: tuple[BackendHost, ...]
) -> None:
    """Those that it did not come to may be the worst."""
    row = b"3 app 1 s1 10.77.1.1 2 0 1 1 2 6 3 4 6 0 0 0 - 80 -\n"
    said = info(step.host) + b"1\n# be_id\n" + row
    with answering(step.host, lambda peer: peer.sendall(said + b"3 ap")):
        assert says_nothing(step.run(stateful(*backends[:2])))
    with answering(step.host, lambda peer: peer.sendall(said + b"\n")):
        assert serves(step.run(stateful(*backends[:2]))) == ("running", "app 1/0")


@pytest.mark.fault("F148")
def test_odd_rows_are_left_out(
    step: ApplyStep, backends: tuple[BackendHost, ...]
) -> None:
    """Numbers that are none, of any length, and names that HAProxy does not have."""
    rows = (
        "3 app 1 s1 10.77.1.1 2 0 1 1 2 6 3 4 6 0 0 0 - 80 -",
        f"3 app 1 s2 10.77.1.1 {'9' * 9999} - {'1' * 9999} 1 2 6 3 4 6 0 0 0 - 80 -",
        '3 a"b\\ 1 s1 10.77.1.1 2 0 1 1 2 6 3 4 6 0 0 0 - 80 -',
        "3 app 1 s3",
    )
    said = info(step.host) + "\n".join(("1", "# be_id", *rows, "", "")).encode()
    with answering(step.host, lambda peer: peer.sendall(said)):
        report = step.run(stateful(*backends[:2]))
    assert serves(report) == ("running", "app 1/0")


@pytest.mark.fault("F148")
def test_thousands_of_servers_fit(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...]
) -> None:
    """The worst backends are named, the others counted."""
    up = f"{backends[0].ipv4}:{backends[0].port}"
    many = "".join(backend(f"backend-{n:02}", *[up] * 50) for n in range(60))
    down = f"{NOBODY} check inter 50ms fastinter 50ms downinter 50ms"
    text = config(backends[0]) + many + backend("zz", down)
    proxy = make_proxy(Style.MASTER_WORKER)
    proxy.start(text)
    wait_until(lambda: "DOWN" in proxy.ask("show stat"))
    report = ApplyStep(proxy).run(None, Action="inspect")
    told = report["backends"].split(" ")
    assert told[:4] == ["zz", "0/1", "app", "1/0"]
    assert told[4:6] == ["backend-00", "50/0"]
    assert len(report["backends"]) <= 400
    assert len(told) // 2 + report["more_backends"] == 62


@pytest.mark.fault("F148")
def test_without_a_socket_nothing_is_known_of_servers(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...]
) -> None:
    """HAProxy runs all the same."""
    proxy = make_proxy(Style.SYSV)
    lines = config(backends[0]).splitlines(keepends=True)
    text = "".join(line for line in lines if "stats socket" not in line)
    proxy.start(text)
    wait_until(proxy.workers)
    assert says_nothing(ApplyStep(proxy).run(text))


@pytest.mark.fault("F147")
def test_a_host_that_was_taken_over_is_asked_by_its_own_file(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...]
) -> None:
    """There is no record of ours yet; and one of another file does not count."""
    proxy = make_proxy(Style.MASTER_WORKER)
    text = config(*backends[:2]).replace("/admin.sock", "/own.sock")
    proxy.start(text)
    wait_until(proxy.workers)
    step = ApplyStep(proxy)
    well = ("running", "app 2/0")
    wait_until(lambda: serves(step.run(None, Action="inspect")) == well)
    wrong = f"M\t{digest('other')} 1 1 x\nG\tsocket\t/run/haproxy/none.sock\tadmin\t-\n"
    proxy.path(STATE_DIR).mkdir()
    proxy.write(f"{STATE_DIR}/proven.model", wrong)
    assert serves(step.run(None, Action="inspect")) == well
