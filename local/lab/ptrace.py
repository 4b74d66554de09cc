"""A command and all that it starts, stopped wherever one wants to look at it: ptrace(2)."""

import ctypes
import os
import signal
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

_TRACEME, _CONTINUE, _SYSCALL = 0, 7, 24
_SETOPTIONS, _GET_SYSCALL_INFO = 0x4200, 0x420E
# TRACESYSGOOD, TRACEFORK, TRACEVFORK, TRACECLONE, TRACEEXEC.
_OPTIONS = 0x1 | 0x2 | 0x4 | 0x8 | 0x10
_EXEC = 4
_ENTRY, _EXIT = 1, 2
_WALL = 0x40000000
_SYSCALL_STOP = signal.SIGTRAP | 0x80

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
_libc.ptrace.restype = ctypes.c_long


@dataclass(frozen=True, slots=True)
class SystemCall:
    """One end of a system call."""

    is_entry: bool
    number: int
    """Of an entry, as are the arguments."""
    arguments: tuple[int, ...]
    has_failed: bool
    """Of an exit."""


@dataclass(frozen=True, slots=True)
class Stop:
    """A process, or a thread, that waits for `Traced.go_on`."""

    pid: int
    signal: int
    event: int
    is_first: bool
    """Of this process or thread; the command itself has its first one before all of these."""

    @property
    def is_system_call(self) -> bool:
        """Whether it is about to enter the kernel or to leave it."""
        return self.signal == _SYSCALL_STOP

    @property
    def is_exec(self) -> bool:
        """Whether it has just become another program."""
        return self.event == _EXEC

    def system_call(self) -> SystemCall | None:
        """Which one, or nothing where the process was killed meanwhile."""
        buffer = ctypes.create_string_buffer(88)
        _libc.ptrace(_GET_SYSCALL_INFO, self.pid, len(buffer), ctypes.addressof(buffer))
        kind = buffer.raw[0]
        if kind not in {_ENTRY, _EXIT}:
            return None
        number, *arguments = struct.unpack_from("7Q", buffer, 24)
        return SystemCall(
            kind == _ENTRY, number, tuple(arguments), has_failed=bool(buffer.raw[32])
        )


@dataclass(slots=True)
class Traced:
    """A command in a process group of its own; what leaves the group, as a daemon does, is traced as well.

    Whoever makes one waits for every child of this process, so there must be no other. When this process ends, what is
    left of the command goes on untraced.
    """

    command: Sequence[str]
    group: int = 0
    status: int | None = None
    """Of the command, once it has ended; negative for a signal."""
    _seen: set[int] = field(default_factory=set)

    def stops(self) -> Iterator[Stop]:
        """Start it; every stop until it ends, one at a time. Each has to be answered with `go_on`."""
        self.group = os.fork()
        if not self.group:
            os.setsid()
            _libc.ptrace(_TRACEME, 0, None, None)
            os.kill(os.getpid(), signal.SIGSTOP)
            os.execvp(self.command[0], list(self.command))  # noqa: S606 - no shell is wanted here
        os.waitpid(self.group, 0)
        self._seen.add(self.group)
        _libc.ptrace(_SETOPTIONS, self.group, None, _OPTIONS)
        _libc.ptrace(_CONTINUE, self.group, None, None)
        while True:
            pid, status = os.waitpid(-1, _WALL)
            if os.WIFSTOPPED(status):
                yield Stop(pid, os.WSTOPSIG(status), status >> 16, self._is_first(pid))
            elif pid == self.group:
                self.status = os.waitstatus_to_exitcode(status)
                return

    def _is_first(self, pid: int) -> bool:
        is_first = pid not in self._seen
        self._seen.add(pid)
        return is_first

    def go_on(self, stop: Stop, *, system_calls: bool = False) -> None:
        """Let it run, to its next system call or past them all; a signal that stopped it is delivered."""
        is_signal = not (stop.event or stop.is_first or stop.is_system_call)
        _libc.ptrace(
            _SYSCALL if system_calls else _CONTINUE,
            stop.pid,
            None,
            stop.signal if is_signal else 0,
        )

    def kill(self) -> None:
        """SIGKILL to the process group."""
        os.killpg(self.group, signal.SIGKILL)
