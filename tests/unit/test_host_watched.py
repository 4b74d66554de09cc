"""What a command asks about servers: what the answers mean, and what they leave unknown."""

import os
import socket
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from haproxy_apply import report, sockets, watched
from haproxy_apply.errors import Verdict
from haproxy_apply.journal import Journal
from haproxy_apply.server_state import Backend, Servers, open_connections, sessions
from haproxy_apply.sockets import Place
from haproxy_sync.rollout.reports import parse_marker

TITLES = "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state\n"
STATISTICS = "# pxname,svname,qcur,qmax,scur,smax\n"
CONNECTIONS = (
    "# bkname/svname bkid/svid addr port - purge_delay used_cur used_max need_est"
    " unsafe_nb safe_nb idle_lim idle_cur idle_per_thr[2]\n"
)
APP = watched.place("10.77.1.1", "8080")
UP, DRAIN, MAINT, DOWN, UNCHECKED = (
    "2 0 1 1 9 6 3 4 6",
    "2 8 1 1 9 6 3 4 6",
    "0 1 1 1 9 6 3 4 6",
    "0 0 1 1 9 8 2 0 6",
    "2 0 1 1 9 1 0 1 6",
)


def row(state: str, name: str = "app-1", address: str = "10.77.1.1") -> str:
    """A line of `show servers state`."""
    return f"3 app 1 {name} {address} {state} 0 0 0 - 8080 -\n"


def answer(*states: str, statistics: str = STATISTICS) -> str:
    """What a worker answers of servers in these states, all with one address and port."""
    rows = (row(state, f"app-{number}") for number, state in enumerate(states, 1))
    return TITLES + "".join(rows) + "\n" + statistics + "\n"


@pytest.mark.parametrize(
    ("states", "word"),
    [
        ([], "gone"),
        ([UP], "up"),
        ([UP, UP], "up"),
        ([UP, DRAIN], "part"),
        ([DOWN, UP], "part"),
        ([DRAIN], "out"),
        ([UP.replace("0 1 1", "0 0 1", 1)], "out"),
        ([MAINT, DOWN], "out"),
        ([UNCHECKED], "out"),
    ],
)
def test_a_state_is_of_all_servers_with_that_address(
    states: list[str], word: str
) -> None:
    """All of them take new clients, some do, none does, or there is none."""
    asked = watched.read(answer(*states))
    assert asked is not None
    assert watched.state(asked.states.get(APP, ())) == word


@pytest.mark.fault("F255")
def test_sessions_and_who_waits_are_the_load_of_a_worker() -> None:
    """Of all its servers with that address and port."""
    statistics = (
        STATISTICS + "app,app-1,2,2,3,9\napp,app-2,0,0,1,1\napp,other,5,5,5,5\n"
    )
    asked = watched.read(answer(UP, DRAIN, statistics=statistics))
    assert asked is not None
    assert asked.load == Counter({APP: 6})


@pytest.mark.fault("F256")
@pytest.mark.parametrize(
    "said",
    [
        "",
        "Permission denied\n\n",
        TITLES + row(UP),
        "\n" + answer(UP),
        "Unknown command\n\n" + STATISTICS + "\n",
    ],
)
def test_an_answer_without_states_is_none(said: str) -> None:
    """Cut off, refused, or of something else."""
    assert watched.read(said) is None


@pytest.mark.fault("F256")
@pytest.mark.parametrize("statistics", ["", "Permission denied\n", "# pxname,svname\n"])
def test_an_answer_without_sessions_leaves_the_load_unknown(statistics: str) -> None:
    """Which is not 0."""
    asked = watched.read(answer(UP, statistics=statistics))
    assert asked is not None
    assert asked.load is None


@given(st.text(), st.text())
def test_no_answer_ends_the_run(states: str, statistics: str) -> None:
    """Whatever somebody says on that socket."""
    watched.read(f"1\n#{states}\n\n{statistics}")
    watched.own_load(statistics)
    sessions(statistics)
    open_connections(CONNECTIONS + statistics)


@pytest.mark.fault("F259")
def test_a_worker_has_used_and_idle_connections() -> None:
    """By place, the last line not cut short; who answers something else has none."""
    lines = (
        "app/app-1 3/1 10.77.1.1 8080 - 5000 2 3 3 1 0 -1 1 0 1\n"
        "more/app-1 4/1 ::ffff:10.77.1.1 8080 - 5000 1 3 3 0 0 -1 0 0 0\n"
        "MASTER/cur-1 4/1 - 0 - 0 0 0 0 0 0 0 0\n"
        "app/app-2 3/2 10.77.1.2 80"
    )
    assert +watched.own_load(CONNECTIONS + lines) == Counter({APP: 4})
    assert (
        watched.own_load("Can't find the target PID matching the prefix '@!7'\n") == {}
    )


@pytest.mark.fault("F258")
@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("10.77.1.1", "::ffff:10.77.1.1"),
        ("10.77.1.1", "::ffff:a4d:101"),
        ("fd00::1", "fd00:0:0:0:0:0:0:1"),
    ],
)
def test_two_spellings_are_one_place(one: str, other: str) -> None:
    """Whichever the worker shows."""
    assert watched.place(one, "80") == watched.place(other, "80")
    assert watched.place(one, "80") != watched.place(other, "81")


@pytest.mark.fault("F258")
def test_a_server_whose_name_has_no_address_is_nobodys() -> None:
    """Nor is what is no address."""
    asked = watched.read(TITLES + row(UP, address="-") + "\n" + STATISTICS + "\n")
    assert asked is not None
    assert asked.states == {}


# --- the kernel's word ---


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """Somebody who listens for IPv4 and IPv6."""
    with socket.create_server(
        ("", 0), family=socket.AF_INET6, dualstack_ipv6=True
    ) as made:
        yield made


def here(listener: socket.socket, address: str) -> Place:
    """That one's place, by one of its addresses."""
    return watched.place(address, str(listener.getsockname()[1]))


@pytest.mark.fault("F258")
@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "::ffff:127.0.0.1"])
def test_the_kernel_knows_who_is_connected_to_a_place(
    listener: socket.socket, address: str
) -> None:
    """Once for each connection, not for its other end, and not for who listens."""
    place = here(listener, address)
    port = place[1]
    nobody = place[0], port ^ 1
    me = os.getpid()
    assert sockets.connected(me, [place, nobody]) == ()
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as one, socket.socket(family) as two:
        one.connect((address, port))
        two.connect((address, port))
        with listener.accept()[0], listener.accept()[0]:
            assert sockets.connected(me, [place, nobody]) == (place, place)
            child = os.getppid()
            assert sockets.connected(child, [place]) == ()
    assert sockets.connected(me, [place]) == ()


@pytest.mark.fault("F256")
def test_a_process_that_is_gone_has_no_connections() -> None:
    """It went between two looks."""
    gone = 1 << 22
    assert sockets.connected(gone, [APP]) == ()


@pytest.mark.fault("F256")
def test_what_the_kernel_does_not_tell_is_unknown(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As to a root without CAP_SYS_PTRACE."""

    def refuse(_path: str) -> str:
        raise PermissionError(13, "Permission denied")

    place = here(listener, "127.0.0.1")
    with socket.create_connection(("127.0.0.1", place[1])):
        monkeypatch.setattr("os.readlink", refuse)
        with pytest.raises(PermissionError):
            sockets.connected(os.getpid(), [place])


# --- all processes together ---

WORKER = 7


class Found:
    """A discovery that finds the worker, and this process as another one."""

    def find(self) -> SimpleNamespace:
        """What `words` needs of a service."""
        return SimpleNamespace(workers=(WORKER, os.getpid()), master_socket_path="")


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[str]:
    """Where a worker answers that has one session of a server that drains."""
    path = str(tmp_path / "admin.sock")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen()

        def serve() -> None:
            peer, _ = listening.accept()
            with peer:
                while peer.recv(4096):
                    pass
                said = answer(DRAIN, statistics=STATISTICS + "app,app-1,0,0,1,1\n")
                peer.sendall(f"Pid: {WORKER}\n\n{said}".encode())

        thread = Thread(target=serve, daemon=True)
        thread.start()
        yield path
        thread.join(10)


@pytest.mark.fault("F255")
@pytest.mark.fault("F256")
@pytest.mark.parametrize(
    ("error", "told"),
    [(None, ("out/1", "gone/1")), (PermissionError, ("out/?", "gone/?"))],
)
def test_what_goes_through_all_processes_is_known_or_not(
    worker: str,
    listener: socket.socket,
    monkeypatch: pytest.MonkeyPatch,
    error: type[OSError] | None,
    told: tuple[str, ...],
) -> None:
    """One that came while the worker was asked counts, and one that nobody can count leaves the sum unknown."""
    port = listener.getsockname()[1]

    real = os.readlink

    def readlink(path: str) -> str:
        if error:
            raise error
        return real(path)

    monkeypatch.setattr("os.readlink", readlink)
    with socket.create_connection(("127.0.0.1", port)):
        found: Any = Found()
        watch = "10.77.1.1:8080", f"127.0.0.1:{port}"
        assert watched.words(worker, WORKER, found, watch) == told


# --- the marker ---


@pytest.mark.fault("F256")
def test_the_longest_marker_has_every_word_that_fits() -> None:
    """Whole, from the first on; only backends and detail are shorter for it, and then the servers that are down."""
    findings = report.Findings()
    findings.publisher = "arn:aws:cloudformation:eu-west-1:1:stack/" + "s" * 128
    findings.backup = "/etc/haproxy/haproxy.cfg.20261122T030405Z.01234567.bak"
    findings.servers = Servers(
        4000,
        tuple(f"backend/i-{n:017x}" for n in range(1000)),
        tuple(Backend(f"backend-{n}", 4000, 1000) for n in range(1000)),
    )
    every = tuple(f"out/{number}" for number in range(100))
    for words in (
        every,
        tuple(f"part/{number}" for number in range(10**8, 10**8 + 200)),
    ):
        findings.watched = words
        line = report.marker(
            Verdict(0, "inspected", "running", "text " * 100), 1, findings, Journal()
        )
        assert len(line) <= 2000
        said = parse_marker(line)
        assert said is not None
        told = said["watched"].split(" ")
        assert tuple(told) == words[: len(told)]
        assert said["servers_down"] == 1000
        assert (words is every) == (len(told) == len(words))
    assert len(told) > 60
