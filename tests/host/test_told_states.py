"""What a real HAProxy makes of the states that it is told: who serves, who waits, and for what."""

import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import pytest

from haproxy_apply.model import read
from haproxy_apply.saved_state import merged
from haproxy_apply.server_state import rows
from local.lab import wait_until
from tests.host.daemon import Daemon, running

HEAD = """\
global
    stats socket {directory}/{name} level admin
    server-state-file {directory}/state
    setenv STATE {variable}
defaults
    mode http
    load-server-state-from-file global
    timeout connect 1s
    timeout client 1s
    timeout server 1s
"""
SELDOM = "check inter 1h"


class Connected(socketserver.StreamRequestHandler):
    """Whoever connects is counted and told a word, as an agent says it."""

    def handle(self) -> None:
        """Checks are gone before they hear it."""
        with suppress(OSError):
            self.wfile.write(b"75%\n")
        if isinstance(self.server, Place):
            self.server.times += 1


class Place(socketserver.ThreadingTCPServer):
    """Where a server is: checks are good there."""

    daemon_threads = True
    times = 0

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.server_address[1])


@pytest.fixture
def place() -> Iterator[Place]:
    """Somebody listens there."""
    with Place(("", 0), Connected) as made:
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield made
        made.shutdown()


@contextmanager
def reloaded(
    binary: str,
    directory: Path,
    files: tuple[str, str],
    *commands: str,
    variables: tuple[str, str] = ("-", "-"),
) -> Iterator[Daemon]:
    """A HAProxy of the new one of two files, told what was known after these commands in that of the old one."""
    start = partial(running, binary, directory)
    old, new = (
        HEAD.format(directory=directory, name=name, variable=variable) + text
        for name, variable, text in zip(("old", "new"), variables, files, strict=True)
    )
    (directory / "state").write_text("1\n")
    with start("old", old) as present:
        for command in commands:
            assert present.ask(command).strip() == ""
        answer = present.ask("show servers state")
    saved = merged(answer, read(old), read(new), frozenset())
    (directory / "state").write_text(saved)
    with start("new", new) as worker:
        yield worker


def serving(worker: Daemon, backend: str = "app") -> set[str]:
    """The servers of a backend that get new sessions."""
    return {
        name.partition("/")[2]
        for name, state in worker.states().items()
        if name.startswith(f"{backend}/")
        and "/BACKEND" not in name
        and (state.startswith("UP") or state == "no check")
    }


# --- who is born DOWN ---


@pytest.mark.fault("F244")
def test_a_new_server_serves_after_as_many_good_checks_as_its_rise(
    binary: str, tmp_path: Path, place: Place
) -> None:
    """What is told of its health is what HAProxy makes of it, so nobody reads there that one check is enough."""
    expect = "    option tcp-check\n    tcp-check expect string 75\n"
    old = f"backend app\n{expect}    server a 127.0.0.1:{place.port}\n"
    with Place(("127.0.0.1", 0), Connected) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        new = f"    server n 127.0.0.1:{other.port} check inter 200ms rise 4\n"
        with reloaded(binary, tmp_path, (old, old + new)) as worker:
            assert serving(worker) == {"a"}
            wait_until(lambda: "n" in serving(worker))
        times = other.times
        other.shutdown()
    told = {row.srv_name: row for row in rows((tmp_path / "state").read_text())}
    assert times >= 4
    assert told["n"].srv_check_health == "0"


OPS = "backend ops\n    server x {at} check inter 1h{}\n"
APP = "backend app\n    server a {at}{}\n"
NEWBORN = "    server n {at} check inter 1h\n"
BESIDE: dict[str, tuple[str, str, str]] = {
    "disabled-leader": (
        OPS.format("", at="{at}") + APP.format(" track ops/x", at="{at}"),
        OPS.format(" disabled", at="{at}") + APP.format(" track ops/x", at="{at}"),
        "",
    ),
    "drained-leader": (
        OPS.format("", at="{at}") + APP.format("", at="{at}"),
        OPS.format("", at="{at}") + APP.format(" track ops/x", at="{at}"),
        "set server ops/x state drain",
    ),
    "stopped-leader": (
        OPS.format("", at="{at}") + APP.format("", at="{at}"),
        OPS.format("", at="{at}") + APP.format(" track ops/x", at="{at}"),
        "set server ops/x state maint",
    ),
    "smaller-template": (
        "backend app\n    server-template web 1-2 {at} check inter 1h\n",
        "backend app\n    server-template web 1-1 {at} check inter 1h\n",
        "set server app/web1 state maint",
    ),
    "template-that-tracks": (
        OPS.format("", at="{at}")
        + "backend app\n    server-template web 1 {at} track ops/x\n",
        OPS.format(" disabled", at="{at}")
        + "backend app\n    server-template web 1 {at} track ops/x\n",
        "",
    ),
    "variable": (
        'backend app\n    server a {at} check inter 1h "$STATE"\n',
        'backend app\n    server a {at} check inter 1h "$STATE"\n',
        "",
    ),
}


@pytest.mark.fault("F245")
@pytest.mark.parametrize("case", BESIDE)
def test_a_new_server_is_not_held_back_by_one_that_will_not_serve(
    binary: str, tmp_path: Path, place: Place, case: str
) -> None:
    """It tracks one that is out, is one of a template's that is smaller now, or a variable takes it out."""
    old, new, command = (
        each.replace("{at}", f"127.0.0.1:{place.port}")
        for each in (BESIDE[case][0], BESIDE[case][1] + NEWBORN, BESIDE[case][2])
    )
    variables = ("enabled", "disabled")
    commands = [command] if command else []
    with reloaded(
        binary, tmp_path, (old, new), *commands, variables=variables
    ) as worker:
        assert serving(worker) == {"n"}


@pytest.mark.fault("F245")
@pytest.mark.parametrize("leader", ["ops/x", '"ops/$STATE"'], ids=["plain", "variable"])
def test_a_leader_is_not_held_back_where_a_template_tracks_it(
    binary: str, tmp_path: Path, place: Place, leader: str
) -> None:
    """It moves, and another one of its backend is up; whoever tracks it would be out with it."""
    at = f"127.0.0.1:{place.port}"
    text = (
        f"backend ops\n    server x {{}} {SELDOM}\n    server y {at} {SELDOM}\n"
        f"backend app\n    server-template web 1 {at} track {leader}\n"
    )
    files = text.format(f"127.0.0.2:{place.port}"), text.format(at)
    with reloaded(binary, tmp_path, files, variables=("x", "x")) as worker:
        assert serving(worker) == {"web1"}


# --- values are no keywords ---


@pytest.mark.fault("F246")
@pytest.mark.parametrize("value", ["track", "no-check", "weight", "disabled"])
def test_who_is_down_stays_so_whatever_its_values_are_called(
    binary: str, tmp_path: Path, place: Place, value: str
) -> None:
    """A cookie, say, is named as a keyword is."""
    at = f"127.0.0.1:{place.port}"
    text = (
        f"backend app\n    cookie C insert\n    server a {at} cookie {value} {SELDOM}\n"
    )
    text += f"    server b {at} {SELDOM}\n"
    down = "set server app/a health down"
    with reloaded(binary, tmp_path, (text, text), down) as worker:
        assert serving(worker) == {"b"}
        assert worker.states()["app/a"].startswith("DOWN")


@pytest.mark.fault("F246")
@pytest.mark.parametrize("value", ["app-backup", "no-backup", "backup"])
def test_a_backup_is_one_whatever_its_values_are_called(
    binary: str, tmp_path: Path, place: Place, value: str
) -> None:
    """So the new server is not held back, and no sorry page shown."""
    at = f"127.0.0.1:{place.port}"
    old = f"backend app\n    cookie C insert\n    server sorry {at} backup cookie {value}\n"
    new = f"{old}    server n {at} {SELDOM}\n"
    with reloaded(binary, tmp_path, (old, new)) as worker:
        assert serving(worker) == {"sorry", "n"}


# --- who is where it was ---


@pytest.mark.fault("F247")
def test_who_has_a_port_below_the_clients_is_known_to_be_down(
    binary: str, tmp_path: Path, place: Place
) -> None:
    """HAProxy shows -1 as a number that it does not take again; it goes on meaning the port below the client's."""
    at = f"{SELDOM} port {place.port}"
    text = (
        f"listen app\n    mode tcp\n    bind 127.0.0.9:{place.port + 1}\n"
        f"    server a 127.0.0.1:-1 {at}\n    server b 127.0.0.1:{place.port} {at}\n"
    )
    down = "set server app/a health down"
    with reloaded(binary, tmp_path, (text, text), down) as worker:
        assert serving(worker) == {"b"}
        worker.ask("set server app/b state maint; set server app/a health up")
        with socket.create_connection(("127.0.0.9", place.port + 1)) as client:
            assert client.recv(3) == b"75%"


# --- nothing is DOWN for ever ---


@pytest.mark.fault("F248")
def test_an_agent_is_not_waited_for_that_may_never_say_up(
    binary: str, tmp_path: Path, place: Place
) -> None:
    """It was the check that found the server DOWN, and the check is gone; this agent tells weights."""
    agent = f"agent-check agent-port {place.port} agent-inter 100ms"
    text = f"backend app\n    server a 127.0.0.1:{place.port} {{}}{agent}\n"
    files = text.format("check inter 1h "), text.format("")
    down = "set server app/a health down"
    with reloaded(binary, tmp_path, files, down) as worker:
        assert serving(worker) == {"a"}


@pytest.mark.fault("F248")
def test_what_an_agent_alone_has_said_is_kept(
    binary: str, tmp_path: Path, place: Place
) -> None:
    """It had no check before either, so it is the agent that ends what it began."""
    agent = f"agent-check agent-port {place.port} agent-inter 1h"
    text = f"backend app\n    server a 127.0.0.1:{place.port} {agent}\n"
    down = "set server app/a agent down"
    with reloaded(binary, tmp_path, (text, text), down) as worker:
        assert serving(worker) == set()


# --- what a line says of its beginning ---


@pytest.mark.fault("F249")
@pytest.mark.since("3.1", "`init-state`")
def test_a_new_server_begins_as_its_line_says(
    binary: str, tmp_path: Path, place: Place
) -> None:
    """Nothing that is told of it overrules `init-state`."""
    at = f"127.0.0.1:{place.port}"
    old = f"backend app\n    server b {at} {SELDOM}\n"
    new = f"{old}    server n {at} {SELDOM} init-state fully-up\n"
    with reloaded(binary, tmp_path, (old, new)) as worker:
        assert serving(worker) == {"b", "n"}
