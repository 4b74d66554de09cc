"""A network of hosts on one machine: each has its own interfaces, firewall, processes and files. Root is needed."""

import contextlib
import ipaddress
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from local.lab.delay import delayed_link
from local.lab.namespaces import held_namespaces, inside, ip, kill_group, printed
from local.lab.waiting import wait_until

ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LC_ALL": "C",
}
"""What a command on a host gets: as little as from an agent that systemd started."""

_LISTEN = "0A"
"""The state of a listening socket in /proc/net/tcp."""
# EC2 keeps the first four of a subnet for itself; the next few are for those who choose theirs.
_FIRST_FREE_ADDRESS = 11

_OWN_FILES = """
mount -t tmpfs -o mode=755{run} run /run
mkdir -p /run/lock /run/haproxy /run/.lab/haproxy
for tree in usr etc; do
    mkdir /run/.lab/$tree /run/.lab/$tree.work
    mount -t overlay -o "lowerdir=/$tree,upperdir=/run/.lab/$tree,workdir=/run/.lab/$tree.work" $tree /$tree
done
mkdir -p /etc/haproxy
mount -t tmpfs -o mode=755{etc_haproxy} etc-haproxy /etc/haproxy
mount -t tmpfs -o mode=755{var_lib} var-lib /var/lib
mkdir -p /var/lib/haproxy
mount -t tmpfs -o mode=755{var_cache} var-cache /var/cache
mount -t tmpfs -o mode=755 srv /srv
"""


class Network:
    """An Ethernet segment with an IPv4 and an IPv6 subnet; a context manager that takes all its hosts with it.

    Any number of networks with the same subnets can exist side by side.
    """

    def __init__(self, ipv4: str = "10.77.0.0/16", ipv6: str = "fd77::/64") -> None:
        """Make the bridge."""
        self.ipv4 = ipaddress.IPv4Network(ipv4)
        self.ipv6 = ipaddress.IPv6Network(ipv6)
        self.hosts: dict[str, Host] = {}
        self._lock = threading.RLock()
        self._ports = 0
        self._closing = contextlib.ExitStack()
        self._pid = self._closing.enter_context(held_namespaces("bridge"))
        ip(
            self._pid,
            "link add br0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0",
            "link set br0 up",
        )

    def __enter__(self) -> Self:
        """Give the network itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def close(self) -> None:
        """End every host, then the bridge."""
        for host in tuple(self.hosts.values()):
            host.close()
        self._closing.close()

    def free_address(self) -> ipaddress.IPv4Address:
        """The lowest address from the eleventh on that no host has."""
        taken = {host.ipv4 for host in self.hosts.values()}
        number = _FIRST_FREE_ADDRESS
        while self.ipv4[number] in taken:
            number += 1
        return self.ipv4[number]

    def attach(self, host: "Host", rtt_ms: float) -> None:
        """Plug a host in, and let all hosts know its name, as the resolver of a VPC would.

        Raises ValueError if its name or address is taken.
        """
        with self._lock:
            if host.name in self.hosts or host.ipv4 in {
                other.ipv4 for other in self.hosts.values()
            }:
                raise ValueError(
                    f"{host.name} or {host.ipv4} is already on this network"
                )
            self._ports += 1
            port = f"port{self._ports}"
            if rtt_ms:
                host.closing.enter_context(
                    delayed_link((host.pid, "eth0"), (self._pid, port), rtt_ms)
                )
            else:
                ip(
                    self._pid,
                    f"link add {port} type veth peer name eth0 netns {host.pid}",
                )
                # Its network outlives the host by as long as the kernel likes, and would answer for the address.
                host.closing.callback(self._unplug, port)
            ip(self._pid, f"link set {port} master br0 up")
            # Made of the address, so that whoever gets that next is reached at once, whatever others have cached.
            mac = ":".join(f"{byte:02x}" for byte in (2, 0, *host.ipv4.packed))
            ip(
                host.pid,
                f"link set eth0 address {mac}",
                f"addr add {host.ipv4}/{self.ipv4.prefixlen} dev eth0",
                f"addr add {host.ipv6}/{self.ipv6.prefixlen} dev eth0 nodad",
                "link set eth0 up",
            )
            self.hosts[host.name] = host
            self._publish_names()

    def detach(self, host: "Host") -> None:
        """Forget a host that is going."""
        with self._lock:
            if self.hosts.get(host.name) is host:
                del self.hosts[host.name]
                self._publish_names()

    def _unplug(self, port: str) -> None:
        # Gone already, with a host that died by itself.
        with contextlib.suppress(RuntimeError):
            ip(self._pid, f"link delete {port}")

    def _publish_names(self) -> None:
        lines = [
            "127.0.0.1 localhost",
            "::1 localhost",
            *(f"{host.ipv4} {name}" for name, host in self.hosts.items()),
        ]
        for host in self.hosts.values():
            if host.has_own_files:
                host.write("/etc/hosts", "\n".join(lines) + "\n")


class Host:
    """A machine on a network; a context manager, closed with its network at the latest.

    Of its files, `/run`, `/var/lib`, `/var/cache` and `/etc/haproxy` are its own and empty, the rest of `/etc` and
    `/usr` is a copy (so tools can be removed or replaced); all else, `/tmp` too, is shared with the real machine.
    """

    def __init__(  # noqa: PLR0913 - a machine has that many properties; all but two have a default
        self,
        network: Network,
        name: str,
        *,
        ipv4: str | None = None,
        rtt_ms: float = 0,
        own_files: bool = True,
        sizes: Mapping[str, str] | None = None,
        hidden: Sequence[str] = (),
    ) -> None:
        """Start the machine and plug it in.

        `rtt_ms` is the round-trip time its link adds; `sizes` limits own directories, as in `{"/etc/haproxy": "64k"}`;
        `hidden` names the tools that this machine lacks.
        """
        self.network = network
        self.name = name
        self.has_own_files = own_files
        self.ipv4 = ipaddress.IPv4Address(ipv4) if ipv4 else network.free_address()
        self.ipv6 = network.ipv6[int(self.ipv4) - int(network.ipv4.network_address)]
        self.closing = contextlib.ExitStack()
        self.pid = self.closing.enter_context(
            held_namespaces(name, _own_files(sizes or {}) if own_files else "")
        )
        """Process 1 of the machine, as the real machine numbers it."""
        self.enter = (
            "nsenter",
            f"--target={self.pid}",
            "--net",
            "--mount",
            "--pid",
            "--uts",
        )
        """Command prefix that runs something on this machine."""
        try:
            network.attach(self, rtt_ms)
            for tool in hidden:
                self.remove_tool(tool)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        """Give the machine itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def unplug(self) -> None:
        """Pull its network cable: nothing comes in or goes out any more."""
        ip(self.pid, "link set eth0 down")

    def close(self) -> None:
        """Pull the plug: every process of the machine is killed, its files are gone."""
        self.network.detach(self)
        self.closing.close()

    def popen(
        self,
        command: Sequence[str],
        *,
        cwd: str = "/",
        env: Mapping[str, str] | None = None,
        **options: Any,
    ) -> "subprocess.Popen[Any]":
        """Start a command with `ENVIRONMENT` and `env`, in a process group of its own.

        `options` are those of `subprocess.Popen`. End it with `kill_group`: the process itself is only the door.
        """
        entered = [*self.enter, "env", f"--chdir={cwd}", *command]
        return subprocess.Popen(
            entered,
            env={**ENVIRONMENT, **(env or {})},
            start_new_session=True,
            **options,
        )

    @contextlib.contextmanager
    def beside(
        self, command: Sequence[str], *, port: int = 0
    ) -> Iterator["subprocess.Popen[Any]"]:
        """Run a command beside the block, which begins when something listens on `port`; killed at the block's end."""
        with self.popen(command) as process:
            try:
                wait_until(
                    lambda: not port or self.listens(port),
                    what=f"{self.name} listening on {port}",
                )
                yield process
            finally:
                kill_group(process)

    def listens(self, port: int) -> bool:
        """Whether anything on the machine listens on a TCP port."""
        sockets = [
            Path(f"/proc/{self.pid}/net/{table}").read_text().splitlines()[1:]
            for table in ("tcp", "tcp6")
        ]
        words = (line.split() for lines in sockets for line in lines)
        return any(
            fields[3] == _LISTEN and fields[1].endswith(f":{port:04X}")
            for fields in words
        )

    def run(
        self,
        command: Sequence[str],
        *,
        stdin: str = "",
        check: bool = True,
        timeout_seconds: float = 60,
        **options: Any,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end and catch what it prints; `options` as for `popen`.

        Raises CalledProcessError (with `check`) that notes what was printed; TimeoutExpired after killing the command.
        """
        pipe = subprocess.PIPE
        process = self.popen(
            command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, **options
        )
        stdout, stderr = printed(process, stdin, timeout_seconds)
        if check and process.returncode:
            error = subprocess.CalledProcessError(
                process.returncode, list(command), stdout, stderr
            )
            error.add_note(f"{self.name}: {stdout}{stderr}")
            raise error
        return subprocess.CompletedProcess(
            list(command), process.returncode, stdout, stderr
        )

    def call[T](self, function: Callable[[], T]) -> T:
        """Call a function in a thread on the machine's network, where its sockets stay. Raises what it raises."""
        return inside(self.pid, function)

    def path(self, path: str) -> Path:
        """Where the real machine sees a file; not through absolute symbolic links, as `/var/run` is: they lead out."""
        return Path(f"/proc/{self.pid}/root") / path.lstrip("/")

    def write(self, path: str, content: str | bytes, mode: int = 0o644) -> None:
        """Write a file and the directories above it."""
        target = self.path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content.encode() if isinstance(content, str) else content)
        target.chmod(mode)

    def read(self, path: str) -> str:
        """Read a file."""
        return self.path(path).read_text()

    def remove_tool(self, name: str) -> None:
        """Make this a machine without a tool."""
        for directory in ("/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin"):
            self.path(f"{directory}/{name}").unlink(missing_ok=True)

    def use_iptables(self, variant: str) -> None:
        """Let iptables and ip6tables be the `nft` or the `legacy` ones."""
        for tool in ("iptables", "ip6tables", "iptables-save", "ip6tables-save"):
            link = self.path(f"/usr/sbin/{tool}")
            link.unlink(missing_ok=True)
            link.symlink_to(f"xtables-{variant}-multi")

    def make_read_only(self, path: str) -> None:
        """Mount a directory read-only over itself; `umount` undoes it."""
        self.run(["mount", "--bind", path, path])
        self.run(["mount", "-o", "remount,bind,ro", path])


def _own_files(sizes: Mapping[str, str]) -> str:
    names = {
        "/run": "run",
        "/etc/haproxy": "etc_haproxy",
        "/var/lib": "var_lib",
        "/var/cache": "var_cache",
    }
    options = dict.fromkeys(names.values(), "") | {
        names[path]: f",size={size}" for path, size in sizes.items()
    }
    return _OWN_FILES.format(**options)
