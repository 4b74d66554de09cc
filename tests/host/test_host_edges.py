"""The edges of the program on hosts, each by itself: its commands, HAProxy's sockets, the kernel's, the firewall."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from haproxy_apply import admin_socket, commands, drop_window, sockets
from haproxy_apply.journal import Journal
from local.lab import ProxyHost, wait_until
from local.lab.namespaces import held_namespaces, inside, ip

type MakeProxy = Callable[..., ProxyHost]

FAMILIES = [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")]
FIREWALLS = ["nft", "iptables-nft", "iptables-legacy"]
PACKAGE = Path("src/host").resolve()


# --- commands ---


def test_a_program_says_something_and_ends() -> None:
    """Both outputs in order, byte for byte, and the status."""
    done = commands.run(["sh", "-c", "cat; echo no >&2; exit 3"], text="h\xe9")
    assert done == (3, "h\xe9no\n")


def test_a_program_that_is_not_there_is_no_exception() -> None:
    """As in a shell; nor is one that may not be executed."""
    assert commands.find("no-such-program") is None
    assert commands.run(["no-such-program"]).status == commands.NOT_FOUND
    assert commands.run(["/etc/passwd"]).status == commands.NOT_FOUND
    assert commands.find("sh") in {"/usr/bin/sh", "/bin/sh"}


def test_a_start_that_is_late_is_killed(tmp_path: Path) -> None:
    """What it said is kept."""
    log = str(tmp_path / "log")
    command = ["sh", "-c", "echo a; exec sleep 9"]
    assert commands.start(command, log, seconds=0.2) == (commands.TIMED_OUT, "a\n")


def test_a_daemon_is_not_waited_for(tmp_path: Path) -> None:
    """It may keep the output open for ever."""
    began = time.monotonic()
    log = str(tmp_path / "log")
    assert commands.start(["sh", "-c", "sleep 9 & echo a"], log) == (0, "a\n")
    assert time.monotonic() - began < 5


def test_a_program_gets_none_of_our_open_files() -> None:
    """Also none that is inheritable: a daemon would hold the lock of the run that started it."""
    with closing(socket.socket()) as ours:
        ours.set_inheritable(True)
        listed = commands.run(["ls", "-l", "/proc/self/fd"]).output
    assert "socket:" not in listed


# --- HAProxy's sockets ---


@contextmanager
def admin(tmp_path: Path, backlog: int = 1) -> Iterator[tuple[str, socket.socket]]:
    """A socket like HAProxy's."""
    path = str(tmp_path / "admin")
    with closing(socket.socket(socket.AF_UNIX)) as listener:
        listener.bind(path)
        listener.listen(backlog)
        yield path, listener


@contextmanager
def beside(function: Callable[[], None]) -> Iterator[None]:
    """Do something meanwhile."""
    thread = threading.Thread(target=function)
    thread.start()
    try:
        yield
    finally:
        thread.join()


def test_the_whole_answer_byte_for_byte(tmp_path: Path) -> None:
    """However long it is, up to its end; the command is one line."""
    with admin(tmp_path) as (path, listener):

        def answer() -> None:
            peer, _ = listener.accept()
            with closing(peer):
                assert peer.recv(99) == b"show \xe9\n"
                peer.sendall(b"\xe9\n" * 300_000)

        with beside(answer):
            assert admin_socket.ask(path, "show \xe9") == "\xe9\n" * 300_000


def test_a_busy_socket_is_waited_for(tmp_path: Path) -> None:
    """HAProxy lets a few wait in a queue; while this is full, the kernel refuses who has a deadline."""
    with admin(tmp_path, backlog=0) as (path, listener), ExitStack() as stack:
        first = stack.enter_context(socket.socket(socket.AF_UNIX))
        first.connect(path)

        def answer() -> None:
            time.sleep(0.1)
            listener.accept()[0].close()
            peer, _ = listener.accept()
            with closing(peer):
                peer.recv(99)
                peer.sendall(b"well\n")

        stack.enter_context(beside(answer))
        assert admin_socket.ask(path, "show info") == "well\n"


def test_the_deadline_is_that_of_the_whole_exchange(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who says a little again and again does not make it longer."""
    monkeypatch.setattr(admin_socket, "SOCKET_SECONDS", 0.3)
    with admin(tmp_path) as (path, listener):

        def answer() -> None:
            peer, _ = listener.accept()
            with closing(peer), suppress(BrokenPipeError):
                for _ in range(20):
                    peer.send(b".")
                    time.sleep(0.1)

        began = time.monotonic()
        with beside(answer):
            with pytest.raises(admin_socket.NoAnswer):
                admin_socket.ask(path, "show info")
            assert 0.2 < time.monotonic() - began < 1.5


def test_nobody_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No socket, one that is dead or always full, a path that is none: the same error, which names the path."""
    monkeypatch.setattr(admin_socket, "SOCKET_SECONDS", 0.1)
    with ExitStack() as stack:
        full, _ = stack.enter_context(admin(tmp_path, backlog=0))
        first = stack.enter_context(socket.socket(socket.AF_UNIX))
        first.connect(full)
        long = f"/{'x' * 200}"
        for path in (str(tmp_path / "none"), full, long, "\u20ac"):
            with pytest.raises(admin_socket.NoAnswer, match=path):
                admin_socket.ask(path, "show info")
    with pytest.raises(admin_socket.NoAnswer):  # closed; its name is still there
        admin_socket.ask(full, "show info")


# --- the kernel's ---


@pytest.fixture
def namespace() -> Iterator[int]:
    """A network of its own with nothing but loopback."""
    with held_namespaces("edges") as pid:
        ip(pid, "link set lo up")
        yield pid


@pytest.mark.parametrize(("family", "address"), FAMILIES)
def test_who_listens(family: socket.AddressFamily, address: str) -> None:
    """A listening TCP socket, not one that is connected, nor the sockets of others; nobody is no error."""
    with subprocess.Popen(["sleep", "9"]) as other, ExitStack() as stack:
        assert not sockets.listens(os.getpid())
        listener = stack.enter_context(
            socket.create_server((address, 0), family=family)
        )
        assert sockets.listens(os.getpid())
        assert not sockets.listens(other.pid)
        stack.enter_context(socket.create_connection(listener.getsockname()[:2]))
        stack.enter_context(listener.accept()[0])
        listener.close()
        assert not sockets.listens(os.getpid())
        other.kill()
    assert not sockets.listens(other.pid)


def test_who_listens_in_a_network_of_its_own(namespace: int) -> None:
    """Its own list is read, not ours."""
    command = "import socket, time; s = socket.create_server(('127.0.0.1', 80)); time.sleep(9)"
    enter = ["nsenter", f"--target={namespace}", "--net"]
    with subprocess.Popen([*enter, sys.executable, "-c", command]) as process:
        wait_until(lambda: sockets.listens(process.pid))
        process.kill()


@pytest.mark.parametrize(("family", "address"), FAMILIES)
def test_who_waits_to_be_accepted(
    namespace: int, family: socket.AddressFamily, address: str
) -> None:
    """They are connected, but HAProxy does not know of them yet; those on other ports do not count."""

    def scenario() -> None:
        with (
            socket.create_server((address, 80), family=family) as listener,
            socket.create_server((address, 81), family=family),
            socket.create_connection((address, 81)),
        ):
            assert not sockets.is_anyone_waiting({80, 443})
            with socket.create_connection((address, 80)):
                assert sockets.is_anyone_waiting({80, 443})
                with listener.accept()[0]:
                    assert not sockets.is_anyone_waiting({80, 443})

    inside(namespace, scenario)


@pytest.mark.parametrize(("family", "address"), FAMILIES)
def test_who_is_half_way_through_the_handshake(
    namespace: int, family: socket.AddressFamily, address: str
) -> None:
    """The SYN has come, the ACK has not: the answer to the SYN is lost."""
    tool = "iptables" if family == socket.AF_INET else "ip6tables"
    rule = "-A INPUT -p tcp --tcp-flags SYN,ACK SYN,ACK -j DROP"
    enter = ["nsenter", f"--target={namespace}", "--net"]
    subprocess.run([*enter, tool, *rule.split()], check=True)

    def scenario() -> None:
        with (
            socket.create_server((address, 80), family=family),
            socket.socket(family) as client,
        ):
            client.setblocking(False)  # noqa: FBT003  # its only argument
            client.connect_ex((address, 80))
            assert sockets.is_anyone_waiting({80})
            assert not sockets.is_anyone_waiting({443})

    inside(namespace, scenario)


def test_handshakes_get_some_time_to_end(namespace: int) -> None:
    """No longer than it takes, and not for ever."""

    def seconds() -> float:
        began = time.monotonic()
        sockets.let_handshakes_end("80,443")
        return time.monotonic() - began

    def scenario() -> None:
        with socket.create_server(("127.0.0.1", 80)) as listener:
            assert seconds() < 0.3
            with socket.create_connection(("127.0.0.1", 80)):
                assert 0.4 <= seconds() < 2

                def accept() -> None:
                    time.sleep(0.1)
                    listener.accept()[0].close()

                with beside(accept):
                    assert 0.05 < seconds() < 0.4

    inside(namespace, scenario)


def test_handshakes_get_some_time_where_the_kernel_does_not_say(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A kernel without that module, or one that does not let us."""

    def refuse(*_: object) -> Iterator[Any]:
        raise PermissionError

    monkeypatch.setattr("haproxy_apply.sockets.tcp_sockets", refuse)
    began = time.monotonic()
    sockets.let_handshakes_end("80")
    assert 0.2 <= time.monotonic() - began < 2


def test_a_refusal_of_the_kernel_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """It answers so for a protocol that it cannot list, too."""
    from haproxy_apply import sock_diag  # noqa: PLC0415  # imports socket, which the program does late

    monkeypatch.setattr("socket.IPPROTO_TCP", 253)
    with pytest.raises(OSError, match=os.strerror(2)):
        list(sock_diag.tcp_sockets({sock_diag.LISTEN}))


# --- the firewall ---

_PROGRAM = """
import json, os, sys
sys.path.insert(0, sys.argv[1])
from haproxy_apply.drop_window import DropWindow, sweep
from haproxy_apply.journal import Journal
from haproxy_apply.state import DROP_MARK, STATE_DIR
os.makedirs(STATE_DIR, exist_ok=True)
journal = Journal()
window = DropWindow("80,443", journal)
for word in sys.argv[2:]:
    if word == "sweep":
        sweep(journal)
    else:
        getattr(window, word)()
print(json.dumps([window.is_open, window.was_opened, window.milliseconds, journal.notes, os.path.exists(DROP_MARK)]))
"""


def act(proxy: ProxyHost, *words: str) -> list[Any]:
    """Do these one after the other, in a process of its own, and end without closing.

    Whether it is open, whether it was opened, for how many milliseconds, the notes, and whether the file is there.
    """
    answer: list[Any] = json.loads(
        proxy.run([sys.executable, "-c", _PROGRAM, str(PACKAGE), *words]).stdout
    )
    return answer


def use_only(proxy: ProxyHost, firewall: str) -> None:
    """Take the other tools away."""
    if firewall == "nft":
        proxy.remove_tool("iptables")
        proxy.remove_tool("ip6tables")
    else:
        proxy.remove_tool("nft")
        proxy.use_iptables(firewall.removeprefix("iptables-"))


@pytest.mark.parametrize("firewall", FIREWALLS)
def test_a_window_opens_and_closes(make_proxy: MakeProxy, firewall: str) -> None:
    """Both families; the second `close` does nothing, nor does the second `open` of a reload."""
    proxy = make_proxy()
    use_only(proxy, firewall)
    assert act(proxy, "open", "close", "close")[0::4] == [False, False]
    assert not proxy.firewall()
    assert act(proxy, "open", "close", "open")[0::4] == [False, False]
    again = act(proxy, "open", "close", "__enter__", "open")
    assert again[0]
    assert 0 < again[2] < 2000
    assert act(proxy, "sweep")[4] is False
    assert act(proxy, "open") == [True, True, 0, [], True]
    rules = proxy.firewall().splitlines()
    assert len(rules) == (1 if firewall == "nft" else 2)
    assert all("haproxy-ec2-sync" in rule for rule in rules)


@pytest.mark.parametrize("firewall", FIREWALLS)
def test_the_rules_of_a_killed_run_go_whatever_the_host_uses_now(
    make_proxy: MakeProxy, firewall: str
) -> None:
    """And only with the file that says that there may be some."""
    proxy = make_proxy()
    if firewall != "nft":
        proxy.use_iptables(firewall.removeprefix("iptables-"))
        proxy.path("/usr/sbin/nft").rename(proxy.path("/usr/sbin/nft.away"))
    assert act(proxy, "open")[0]
    if firewall != "nft":
        proxy.path("/usr/sbin/nft.away").rename(proxy.path("/usr/sbin/nft"))
        proxy.use_iptables("legacy" if firewall == "iptables-nft" else "nft")
    assert proxy.firewall()
    assert act(proxy, "sweep")[3:] == [[], False]
    assert not proxy.firewall()


@pytest.mark.parametrize("variant", ["nft", "legacy"])
def test_a_rule_that_mentions_us_stays(make_proxy: MakeProxy, variant: str) -> None:
    """Our comment is the whole comment of our rules."""
    proxy = make_proxy()
    use_only(proxy, f"iptables-{variant}")
    for comment in (
        "see --comment haproxy-ec2-sync -j",
        "haproxy-ec2-sync 2",
        'a "quote',
    ):
        rule = ["-A", "INPUT", "-p", "tcp", "-m", "comment", "--comment", comment]
        proxy.run(["iptables", *rule, "-j", "DROP"])
    before = proxy.firewall()
    assert len(before.splitlines()) == 3
    assert act(proxy, "open", "close")[3:] == [[], False]
    assert act(proxy, "open", "sweep")[3:] == [[], False]
    assert proxy.firewall() == before


def test_a_rule_that_cannot_be_deleted_is_remembered(make_proxy: MakeProxy) -> None:
    """It ends by itself, the note says so, and the file stays for the next run; the other family's rule goes."""
    proxy = make_proxy()
    use_only(proxy, "iptables-legacy")
    proxy.remove_tool("iptables")
    script = '#!/bin/sh\n[ "$3" != -D ] || exit 4\nexec iptables-legacy "$@"\n'
    proxy.write("/usr/sbin/iptables", script, mode=0o755)
    answer = act(proxy, "open", "close")
    assert answer[3:] == [["drop-window-expires-by-itself"], True]
    assert len(proxy.firewall().splitlines()) == 1
    proxy.remove_tool("iptables")
    assert act(proxy, "sweep")[3:] == [[], False]
    assert not proxy.firewall()


@pytest.mark.parametrize("missing", [["iptables", "ip6tables"], ["ip6tables"]])
def test_a_host_that_cannot_does_without(
    make_proxy: MakeProxy, missing: list[str]
) -> None:
    """No rule for one family only; the reload had its window, which was never open."""
    proxy = make_proxy(hidden=["nft", *missing])
    proxy.run(["sysctl", "-w", "net.ipv4.tcp_migrate_req=0"])
    notes = ["no-drop-window", "tcp-migrate-req-on"]
    assert act(proxy, "open", "close") == [False, True, 0, notes, False]
    assert not proxy.firewall()
    assert act(proxy, "open") == [False, True, 0, notes[:1], False]


def test_a_window_is_closed_on_every_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then the next reload of the run has not had its window yet."""
    started: list[list[str]] = []

    def run(argv: list[str], **_: object) -> commands.Completed:
        started.append(argv)
        return commands.Completed(0, "")

    monkeypatch.setattr(drop_window, "DROP_MARK", str(tmp_path / "hold"))
    monkeypatch.setattr(drop_window, "run", run)
    monkeypatch.setattr(drop_window, "find", lambda name: name)
    window = drop_window.DropWindow("80", Journal())

    def reload() -> None:
        with window:
            window.open()
            assert (tmp_path / "hold").read_text() == "hold\n"
            raise KeyError

    with pytest.raises(KeyError):
        reload()
    assert started == [
        ["nft", "-f", "-"],
        ["nft", "delete", "table", "inet", "haproxy_ec2_sync"],
    ]
    assert not window.is_open
    assert window.was_opened
    assert not (tmp_path / "hold").exists()
    with window:
        assert not window.was_opened


def test_nothing_is_started_where_nothing_was_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So a run that finds everything unchanged costs no process."""
    monkeypatch.delattr(drop_window, "run")
    monkeypatch.setattr(drop_window, "DROP_MARK", str(tmp_path / "hold"))
    drop_window.sweep(Journal())


def test_no_rule_without_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody would remove it after a kill."""
    monkeypatch.delattr(drop_window, "run")
    monkeypatch.setattr(drop_window, "DROP_MARK", str(tmp_path / "missing" / "hold"))
    monkeypatch.setattr(drop_window, "migrate_handshakes", lambda _: False)
    journal = Journal()
    window = drop_window.DropWindow("80", journal)
    window.open()
    assert not window.is_open
    assert journal.notes == ["no-drop-window"]
