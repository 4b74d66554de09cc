"""Let a process of one thread miss its next SIGUSR1s, as one that is not ready yet: `python deafen.py PID COUNT`."""

import ctypes
import os
import signal
import sys

_CONTINUE, _DETACH, _SEIZE = 7, 17, 0x4206

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


def deafen(pid: int, signals: int) -> None:
    """Return when it has missed so many; every other one is delivered."""
    _libc.ptrace(_SEIZE, pid, None, None)
    while signals:
        _, status = os.waitpid(pid, 0)
        if not os.WIFSTOPPED(status):
            return
        is_missed = os.WSTOPSIG(status) == signal.SIGUSR1
        signals -= is_missed
        request = _CONTINUE if signals else _DETACH
        _libc.ptrace(request, pid, None, None if is_missed else os.WSTOPSIG(status))


if __name__ == "__main__":
    deafen(*map(int, sys.argv[1:]))
