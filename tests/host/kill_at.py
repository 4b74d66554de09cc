"""Run a command and SIGKILL its process group after one of its state-changing system calls, as the agent might.

`python -m tests.host.kill_at EVENT OCCURRENCE EVENTS COMMAND...` writes a line per such call of the command and its
children to the file EVENTS, as in `mv rename state.new`, and kills after the line EVENT has occurred that often; an
empty EVENT kills nothing. What left the process group, as a daemon does, lives on. With an EVENT, the lines are those
of its program only: a system call of a program that is looked at costs two stops.

Calls that do the same have one name: `rename` is also renameat and renameat2, `fsync` also fdatasync, and so on.
"""

import os
import platform
import re
import signal
import socket
import sys
from pathlib import Path

from local.lab.ptrace import Stop, SystemCall, Traced

_CREATES = os.O_CREAT | os.O_TRUNC
_NUMBERS = {
    "x86_64": {
        1: "write",
        2: "open",
        18: "pwrite64",
        20: "writev",
        40: "sendfile",
        42: "connect",
        44: "sendto",
        46: "sendmsg",
        49: "bind",
        50: "listen",
        54: "setsockopt",
        62: "kill",
        73: "flock",
        74: "fsync",
        75: "fdatasync",
        76: "truncate",
        77: "ftruncate",
        82: "rename",
        83: "mkdir",
        84: "rmdir",
        86: "link",
        87: "unlink",
        90: "chmod",
        91: "fchmod",
        92: "chown",
        93: "fchown",
        112: "setsid",
        257: "openat",
        258: "mkdirat",
        260: "fchownat",
        263: "unlinkat",
        264: "renameat",
        265: "linkat",
        268: "fchmodat",
        285: "fallocate",
        316: "renameat2",
        326: "copy_file_range",
        424: "pidfd_send_signal",
        452: "fchmodat2",
    },
    "aarch64": {
        32: "flock",
        34: "mkdirat",
        35: "unlinkat",
        37: "linkat",
        38: "renameat",
        45: "truncate",
        46: "ftruncate",
        47: "fallocate",
        52: "fchmod",
        53: "fchmodat",
        54: "fchownat",
        55: "fchown",
        56: "openat",
        64: "write",
        66: "writev",
        68: "pwrite64",
        71: "sendfile",
        82: "fsync",
        83: "fdatasync",
        129: "kill",
        157: "setsid",
        200: "bind",
        201: "listen",
        203: "connect",
        206: "sendto",
        208: "setsockopt",
        211: "sendmsg",
        276: "renameat2",
        285: "copy_file_range",
        424: "pidfd_send_signal",
        452: "fchmodat2",
    },
}[platform.machine()]
_SAME = {
    "copy_file_range": "write",
    "fchmod": "chmod",
    "fchmodat": "chmod",
    "fchmodat2": "chmod",
    "fchown": "chown",
    "fchownat": "chown",
    "fdatasync": "fsync",
    "ftruncate": "truncate",
    "linkat": "link",
    "mkdirat": "mkdir",
    "openat": "open",
    "pidfd_send_signal": "kill",
    "pwrite64": "write",
    "renameat": "rename",
    "renameat2": "rename",
    "sendfile": "write",
    "sendmsg": "send",
    "sendto": "send",
    "unlinkat": "unlink",
    "writev": "write",
}
_ON_DESCRIPTOR = {
    "copy_file_range": 2,
    "fallocate": 0,
    "fchmod": 0,
    "fchown": 0,
    "fdatasync": 0,
    "flock": 0,
    "fsync": 0,
    "ftruncate": 0,
    "pwrite64": 0,
    "sendfile": 0,
    "write": 0,
    "writev": 0,
}
"""Calls on an open file, by the argument that is its descriptor."""
_ON_SOCKET = {"bind", "connect", "listen", "sendmsg", "sendto", "setsockopt"}
_SIGNALS = {"kill", "pidfd_send_signal"}
_ON_NOTHING = {*_SIGNALS, "setsid"}
_KEEPS_NOTHING = ("/dev", "pipe:", "socket:", "anon_inode:")

_SOCK_DIAG = "4"
"""The netlink family that answers which sockets there are, and changes nothing."""
_NAME_SERVICES = ("/nscd/", "/systemd/userdb/", "/systemd/resolve/")
"""Sockets that are asked for names of users and hosts."""
_PRIVATE = {("haproxy", "connect"), ("haproxy", "sendto")}
"""Nobody else notices them."""
_FIREWALL_LEVELS, _FIREWALL_OPTIONS = (
    {socket.SOL_IP, socket.IPPROTO_IPV6},
    range(64, 96),
)
"""Where setsockopt replaces rules of iptables; a socket's other options are its own."""


def _program(pid: int) -> str:
    """The name of the program, which for a Python is the same whatever its version."""
    name = Path(f"/proc/{pid}/comm").read_text().strip()
    return "python" if re.match(r"(platform-)?python", name) else name


def _memory(pid: int, address: int, size: int = 256) -> bytes:
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        memory.seek(address)
        return memory.read(size)


def _text(pid: int, address: int) -> str:
    return _memory(pid, address).partition(b"\0")[0].decode(errors="replace")


def _open_file(pid: int, descriptor: int) -> str:
    return str(Path(f"/proc/{pid}/fd/{descriptor}").readlink())


def _is_question(pid: int, descriptor: int) -> bool:
    """Whether a socket is one that lists the sockets of the machine; known once it was used."""
    inode = _open_file(pid, descriptor).removeprefix("socket:[").removesuffix("]")
    lines = Path(f"/proc/{pid}/net/netlink").read_text().splitlines()[1:]
    return any(
        fields[1] == _SOCK_DIAG and fields[-1] == inode
        for fields in map(str.split, lines)
    )


def _peer(pid: int, arguments: tuple[int, ...]) -> str:
    """The path of a Unix socket that is connected to; nothing for other sockets."""
    address = _memory(pid, arguments[1], arguments[2])
    is_unix = int.from_bytes(address[:2], sys.byteorder) == socket.AF_UNIX
    return address[2:].partition(b"\0")[0].decode(errors="replace") if is_unix else ""


def _of_socket(pid: int, name: str, arguments: tuple[int, ...]) -> str | None:
    """The file of a call on a socket, where it has one; nothing for a call that changes nothing."""
    if name == "setsockopt" and not (
        arguments[1] in _FIREWALL_LEVELS and arguments[2] in _FIREWALL_OPTIONS
    ):
        return None
    if (_program(pid), name) in _PRIVATE or _is_question(pid, arguments[0]):
        return None
    peer = _peer(pid, arguments) if name == "connect" else ""
    return None if any(part in peer for part in _NAME_SERVICES) else peer


def _of_file(pid: int, name: str, arguments: tuple[int, ...]) -> str | None:
    """The file that a call changes; nothing for pipes and devices, which keep nothing, and for files only read."""
    # The names that end in "at" have a directory first.
    path = name.endswith(("at", "at2"))
    if name in _ON_DESCRIPTOR:
        file = _open_file(pid, arguments[_ON_DESCRIPTOR[name]])
    elif name in {"open", "openat"} and not arguments[path + 1] & _CREATES:
        file = ""
    else:
        file = _text(pid, arguments[path])
    return None if not file or file.startswith(_KEEPS_NOTHING) else file


def _of_nothing(_pid: int, name: str, arguments: tuple[int, ...]) -> str | None:
    """No file; nothing for signal 0, which only asks whether a process is there."""
    return None if name in _SIGNALS and not arguments[1] else ""


def _describe(pid: int, call: SystemCall) -> str:
    """`program call [file]` for a call that has changed something outside of its process, else nothing."""
    name = _NUMBERS.get(call.number, "")
    if not name:
        return ""
    of = (
        _of_socket
        if name in _ON_SOCKET
        else _of_nothing
        if name in _ON_NOTHING
        else _of_file
    )
    try:
        program, file = _program(pid), of(pid, name, call.arguments)
    except OSError:  # gone, or not its memory
        return ""
    if file is None:
        return ""
    event = f"{program} {_SAME.get(name, name)}"
    return f"{event} {re.sub('[0-9]+', '#', file.rpartition('/')[2])}".strip()


class _Tracer:
    def __init__(self, event: str, occurrence: int, command: list[str]) -> None:
        self.event = event
        self.program = event.partition(" ")[0]
        self.occurrence = occurrence
        self.events: list[str] = []
        self.entered: dict[int, SystemCall] = {}
        self.command = Traced(command)

    def run(self) -> int:
        for stop in self.command.stops():
            if stop.is_system_call and self._is_the_one(stop):
                self.command.kill()
                return signal.SIGKILL
            self.command.go_on(
                stop, system_calls=stop.is_system_call or self._is_looked_at(stop.pid)
            )
        return abs(self.command.status or 0)

    def _is_looked_at(self, pid: int) -> bool:
        """Children begin as the program that started them, so this can change only where a program is started."""
        try:
            return not self.program or _program(pid) == self.program
        except OSError:  # killed meanwhile
            return False

    def _is_the_one(self, stop: Stop) -> bool:
        """Count a call that has just ended well; whether the group has to die of it."""
        call = stop.system_call()
        if not call:
            return False
        if call.is_entry:
            self.entered[stop.pid] = call
            return False
        entered = self.entered.pop(stop.pid, None)
        event = "" if call.has_failed or not entered else _describe(stop.pid, entered)
        if not event:
            return False
        self.events.append(event)
        return event == self.event and self.events.count(event) == self.occurrence


if __name__ == "__main__":
    tracer = _Tracer(sys.argv[1], int(sys.argv[2]), sys.argv[4:])
    exit_status = tracer.run()
    Path(sys.argv[3]).write_text("".join(f"{event}\n" for event in tracer.events))
    sys.exit(exit_status)
