"""Let a process of one thread miss its next SIGUSR1, as one that is not ready for it yet: `python deafen.py PID`."""

import ctypes
import os
import signal
import sys

_CONTINUE, _DETACH, _SEIZE = 7, 17, 0x4206

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


def deafen(pid: int) -> None:
    """Return when it has missed the signal; every other one is delivered."""
    _libc.ptrace(_SEIZE, pid, None, None)
    while True:
        _, status = os.waitpid(pid, 0)
        if not os.WIFSTOPPED(status):
            return
        if os.WSTOPSIG(status) == signal.SIGUSR1:
            _libc.ptrace(_DETACH, pid, None, None)
            return
        _libc.ptrace(_CONTINUE, pid, None, os.WSTOPSIG(status))


if __name__ == "__main__":
    deafen(int(sys.argv[1]))
