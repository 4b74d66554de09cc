"""Run a command and SIGKILL its process group after one of its state-changing system calls, as the agent might.

`python kill_at.py CALL OCCURRENCE EVENTS COMMAND...` writes a line per such call of the command and its children to the
file EVENTS, as in `mv renameat2 state.new`, and kills after the line CALL has occurred that often; an empty CALL kills
nothing. What left the process group, as a daemon does, lives on. With a CALL, the lines are those of its program only:
a system call of a program that is looked at costs two stops.
"""

import ctypes
import os
import platform
import re
import signal
import struct
import sys
from pathlib import Path

_CONTINUE, _SYSCALL = 7, 24
_TRACEME, _SETOPTIONS, _SYSCALL_INFO = 0, 0x4200, 0x420E
# TRACESYSGOOD, TRACEFORK, TRACEVFORK, TRACECLONE, TRACEEXEC.
_OPTIONS = 0x1 | 0x2 | 0x4 | 0x8 | 0x10
_ENTRY, _EXIT = 1, 2
_WALL = 0x40000000
_SYSCALL_STOP = signal.SIGTRAP | 0x80
_CREATES = os.O_CREAT | os.O_TRUNC
_WITHOUT_FILE = {
    "connect",
    "kill",
    "flock",
    "fsync",
    "setsid",
    "bind",
    "listen",
    "sendto",
    "sendmsg",
    "setsockopt",
}
_PRIVATE = {
    ("haproxy", "setsockopt"),
    ("haproxy", "connect"),
    ("haproxy", "sendto"),
    ("nft", "setsockopt"),
}
"""Nobody else notices them."""
_LOOKUPS = {"chown", "cp", "ss", "stat"}
"""Programs that ask for names of users or for sockets, and change nothing with that."""

_NUMBERS = {
    "x86_64": {
        1: "write",
        2: "open",
        42: "connect",
        44: "sendto",
        46: "sendmsg",
        49: "bind",
        50: "listen",
        54: "setsockopt",
        62: "kill",
        73: "flock",
        74: "fsync",
        82: "rename",
        83: "mkdir",
        86: "link",
        87: "unlink",
        90: "chmod",
        92: "chown",
        112: "setsid",
        257: "openat",
        260: "fchownat",
        263: "unlinkat",
        264: "renameat",
        265: "linkat",
        268: "fchmodat",
        316: "renameat2",
        452: "fchmodat2",
    },
    "aarch64": {
        32: "flock",
        34: "mkdirat",
        35: "unlinkat",
        37: "linkat",
        38: "renameat",
        53: "fchmodat",
        54: "fchownat",
        56: "openat",
        64: "write",
        82: "fsync",
        129: "kill",
        157: "setsid",
        200: "bind",
        201: "listen",
        203: "connect",
        206: "sendto",
        208: "setsockopt",
        211: "sendmsg",
        276: "renameat2",
        452: "fchmodat2",
    },
}[platform.machine()]

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
_libc.ptrace.restype = ctypes.c_long


def _stop_of(pid: int) -> tuple[int, int, tuple[int, ...], bool]:
    """Entry or exit of a system call, its number and arguments on entry, whether it failed on exit."""
    buffer = ctypes.create_string_buffer(88)
    _libc.ptrace(_SYSCALL_INFO, pid, len(buffer), ctypes.addressof(buffer))
    number, *arguments = struct.unpack_from("7Q", buffer, 24)
    return buffer.raw[0], number, tuple(arguments), bool(buffer.raw[32])


def _text(pid: int, address: int) -> str:
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        memory.seek(address)
        return memory.read(256).partition(b"\0")[0].decode(errors="replace")


def _program(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text().strip()


def _describe(pid: int, number: int, arguments: tuple[int, ...]) -> str:
    """`process call [file]` for a call that changes something outside of its process, else nothing."""
    name = _NUMBERS.get(number, "")
    if not name:
        return ""
    try:
        process = _program(pid)
        # The names that end in "at" have a directory first.
        path = arguments[name.endswith(("at", "at2"))]
        if name in {"open", "openat"}:
            flags = arguments[1 + name.endswith("at")]
            file = _text(pid, path) if flags & _CREATES else ""
        elif name == "write":
            file = str(Path(f"/proc/{pid}/fd/{arguments[0]}").readlink())
        elif name in _WITHOUT_FILE:
            return (
                ""
                if (process, name) in _PRIVATE or process in _LOOKUPS
                else f"{process} {name}"
            )
        else:
            file = _text(pid, path)
    except OSError:
        return ""
    # Pipes and devices keep nothing.
    changes = file and not file.startswith(("/dev", "pipe:", "socket:"))
    return (
        f"{process} {name} {re.sub('[0-9]+', '#', file.rpartition('/')[2])}"
        if changes
        else ""
    )


class _Tracer:
    def __init__(self, call: str, occurrence: int, command: list[str]) -> None:
        self.call = call
        self.program = call.partition(" ")[0]
        self.occurrence = occurrence
        self.events: list[str] = []
        self.entered: dict[int, str] = {}
        self.traced: set[int] = set()
        self.group = os.fork()
        if not self.group:
            os.setsid()
            _libc.ptrace(_TRACEME, 0, 0, 0)
            os.kill(os.getpid(), signal.SIGSTOP)
            os.execvp(command[0], command)  # noqa: S606 - no shell is wanted here

    def run(self) -> int:
        os.waitpid(self.group, 0)
        self.traced.add(self.group)
        _libc.ptrace(_SETOPTIONS, self.group, 0, _OPTIONS)
        _libc.ptrace(_SYSCALL, self.group, 0, 0)
        while True:
            pid, status = os.waitpid(-1, _WALL)
            if os.WIFSTOPPED(status):
                if self._reached(pid, status):
                    os.killpg(self.group, signal.SIGKILL)
                    return -signal.SIGKILL
            elif pid == self.group:
                return os.waitstatus_to_exitcode(status)

    def _reached(self, pid: int, status: int) -> bool:
        """Look at a stop and let the process go on, unless this is where the group has to die."""
        if os.WSTOPSIG(status) == _SYSCALL_STOP:
            if (
                self._count(pid) == self.call
                and self.events.count(self.call) == self.occurrence
            ):
                return True
            _libc.ptrace(_SYSCALL, pid, 0, 0)
            return False
        # Else a signal, the first stop of a child, or what follows from the options, as a new program does.
        deliver = os.WSTOPSIG(status) if status >> 16 == 0 and pid in self.traced else 0
        self.traced.add(pid)
        _libc.ptrace(
            _SYSCALL if self._is_looked_at(pid) else _CONTINUE, pid, 0, deliver
        )
        return False

    def _is_looked_at(self, pid: int) -> bool:
        """Children begin as the program that started them, so this can change only where a program is started."""
        try:
            return not self.program or _program(pid) == self.program
        except OSError:  # killed meanwhile
            return False

    def _count(self, pid: int) -> str | None:
        """The call that has just ended well, if it counts."""
        kind, number, arguments, failed = _stop_of(pid)
        if kind == _ENTRY:
            self.entered[pid] = _describe(pid, number, arguments)
        elif kind == _EXIT and (event := self.entered.pop(pid, "")) and not failed:
            self.events.append(event)
            return event
        return None


if __name__ == "__main__":
    tracer = _Tracer(sys.argv[1], int(sys.argv[2]), sys.argv[4:])
    exit_status = tracer.run()
    Path(sys.argv[3]).write_text("".join(f"{event}\n" for event in tracer.events))
    sys.exit(abs(exit_status))
