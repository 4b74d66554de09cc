"""Machines that run a real HAProxy, in the ways in which distributions start it."""

import shutil
import socket
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

from local.lab.network import Host, Network
from local.lab.waiting import wait_until

CONFIG = "/etc/haproxy/haproxy.cfg"
PID_FILE = "/run/haproxy.pid"
STATS_SOCKET = "/run/haproxy/admin.sock"
MASTER_SOCKET = "/run/haproxy-master.sock"
_ONLY_LOOKS = frozenset({b"-c", b"-cc", b"-v", b"-vv"})
SYSTEMCTL = Path(__file__).with_name("systemctl")


class Style(StrEnum):
    """How HAProxy was started."""

    SYSV = "sysv"
    """By Debian's `/etc/init.d/haproxy`."""
    MASTER_WORKER = "master-worker"
    """As the systemd unit does it, with a master socket; a stand-in for systemctl reloads it as the unit says."""
    DAEMON = "daemon"
    """By hand: `haproxy -D -p`, reloaded with `-sf`."""


class ProxyHost(Host):
    """A machine with HAProxy installed; it runs after `start`."""

    def __init__(
        self,
        network: Network,
        name: str,
        style: Style = Style.SYSV,
        *,
        binary: Path | None = None,
        **options: Any,
    ) -> None:
        """Make the machine; `options` are those of `Host`.

        `binary` takes the place of the installed HAProxy, and a directory `lib` beside it goes with it.
        """
        super().__init__(network, name, **options)
        self.style = style
        for page in Path("/etc/haproxy/errors").glob("*.http"):
            self.write(str(page), page.read_bytes())
        if binary:
            self._replace_haproxy(binary)
        if style is Style.MASTER_WORKER:
            shutil.copy(SYSTEMCTL, self.path("/usr/bin/systemctl"))
            self.path("/run/systemd/system").mkdir(parents=True)

    def _replace_haproxy(self, binary: Path) -> None:
        # A file as the installed one is: it can be removed.
        self.run(["cp", "--remove-destination", str(binary), "/usr/sbin/haproxy"])
        libraries = binary.with_name("lib")
        if libraries.is_dir():
            self.path("/usr/sbin/lib").mkdir()
            self.run(["mount", "--bind", str(libraries), "/usr/sbin/lib"])

    def start(self, config: str = "", timeout_seconds: float = 30) -> None:
        """Start HAProxy, with a new config if one is given, and wait for its worker.

        Raises CalledProcessError with HAProxy's message, TimeoutError if no worker stays.
        """
        if config:
            self.write(CONFIG, config)
        match self.style:
            case Style.SYSV:
                self.run(["/etc/init.d/haproxy", "start"])
            case Style.MASTER_WORKER:
                self.run(["systemctl", "start", "haproxy"])
            case Style.DAEMON:
                self.run(["haproxy", "-D", "-f", CONFIG, "-p", PID_FILE])
        self.wait_until_ready(timeout_seconds)

    def stop(self) -> None:
        """Kill HAProxy, all of its processes."""
        pids = [str(pid) for pid in self.processes()]
        if pids:
            self.run(["kill", "-KILL", *pids], check=False)
        wait_until(lambda: not self.processes(), what=self.processes)

    def wait_until_ready(self, timeout_seconds: float = 30) -> None:
        """Wait until a worker runs and, if the config has the usual stats socket, answers there.

        And its master where it was given a socket: until then it binds that anew, with another name beside it.
        """
        has_socket = STATS_SOCKET in self.read(CONFIG)
        wait_until(
            lambda: (
                self.workers()
                and (not has_socket or self._answer("show info", STATS_SOCKET))
            ),
            timeout_seconds,
            what=lambda: f"{self.name}: no HAProxy worker: {self.log()}",
        )
        command = self.path(f"/proc/{self.worker}/cmdline").read_bytes()
        if f"-S\0{MASTER_SOCKET}\0".encode() in command:
            self.show_proc()

    def _answer(self, command: str, path: str) -> str:
        """What HAProxy answers, or nothing while nobody listens."""
        try:
            return self.ask(command, path)
        except OSError:
            return ""

    def processes(self) -> Mapping[int, int]:
        """Process id -> parent of each HAProxy as the machine numbers them, oldest first, but those that only look.

        Two looks that agree: during one, a process can come that was not listed and another go that was not read yet.
        """
        looks = [self._look()]

        def is_settled() -> bool:
            looks.append(self._look())
            return looks[-1] == looks[-2]

        wait_until(is_settled, what=f"{self.name}: processes that stay for two looks")
        return looks[-1]

    def _look(self) -> Mapping[int, int]:
        found: dict[int, tuple[int, int]] = {}
        for entry in self.path("/proc").glob("[0-9]*"):
            try:
                # What follows the name, which may hold anything: state, parent, ..., start time (proc(5), field 22).
                name, _, rest = (
                    (entry / "stat").read_text().partition("(")[2].rpartition(")")
                )
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except (FileNotFoundError, ProcessLookupError):
                continue
            fields = rest.split()
            if name == "haproxy" and fields[0] != "Z" and _ONLY_LOOKS.isdisjoint(words):
                found[int(entry.name)] = (int(fields[19]), int(fields[1]))
        return {
            pid: found[pid][1]
            for pid in sorted(found, key=lambda pid: (found[pid][0], pid))
        }

    def workers(self) -> tuple[int, ...]:
        """Processes that serve: all but masters, oldest first. The last is the present one, the others finish."""
        processes = self.processes()
        if self.style is Style.MASTER_WORKER:
            return tuple(
                pid for pid, parent in processes.items() if parent in processes
            )
        return tuple(processes)

    @property
    def worker(self) -> int:
        """The newest worker; waited for while there is none, as in a restart."""
        return wait_until(self.workers, what=f"{self.name}: a worker")[-1]

    def ask(
        self, command: str, path: str = STATS_SOCKET, timeout_seconds: float = 5
    ) -> str:
        """What HAProxy answers to a command on its stats or master socket. Raises OSError if nobody listens."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(timeout_seconds)
            connection.connect(str(self.path(path)))
            connection.sendall(command.encode() + b"\n")
            connection.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: connection.recv(65536), b"")).decode().strip()

    def show_proc(self) -> str:
        """What the master says about its workers.

        It is waited for while it executes itself anew, as after each start and reload.
        """
        return wait_until(
            lambda: self._answer("show proc", MASTER_SOCKET),
            what=f"{self.name}: its master's answer",
        )

    def log(self) -> str:
        """What HAProxy wrote to standard error since the machine is up (master-worker only)."""
        log = self.path("/run/haproxy.log")
        return log.read_text() if log.exists() else ""

    def firewall(self) -> str:
        """Every rule of iptables (either variant), ip6tables and nft, as text; empty when nothing filters."""
        commands = "iptables-nft -S; ip6tables-nft -S; iptables-legacy -S; ip6tables-legacy -S; nft list ruleset"
        lines = self.run(
            ["sh", "-c", f"({commands}) 2> /dev/null"], check=False
        ).stdout.splitlines()
        return "\n".join(line for line in lines if " -j " in line or "drop" in line)


def sample_config(
    servers: Mapping[str, str],
    *,
    options: str = "check inter 500ms",
    extra: str = "",
    binds: str = "",
) -> str:
    """A small HTTP config: servers (name -> address:port) and their `options`, `extra` global lines, more `binds`."""
    lines = "\n".join(
        f"    server {name} {address} {options}" for name, address in servers.items()
    )
    return f"""\
global
    chroot /var/lib/haproxy
    user haproxy
    group haproxy
    daemon
    stats socket {STATS_SOCKET} mode 600 level admin expose-fd listeners
    {extra}
defaults
    mode http
    timeout connect 2s
    timeout client 10s
    timeout server 10s
frontend web
    bind :80
    bind :::80 v6only
    {binds}
    default_backend app
backend app
    balance roundrobin
{lines}
"""
