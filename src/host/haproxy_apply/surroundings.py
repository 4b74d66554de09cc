"""What a HAProxy was started in, besides its environment: by whom, where, and with which limits.

The kernel tells who started a process, whatever its config made of it since: a HAProxy that gives up root by `user`,
`uid` or `chroot` was started by root, and has to be started so again.
"""

from __future__ import annotations

import os
import resource
import struct
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from haproxy_apply import durable
from haproxy_apply.state import STATE_DIR

if TYPE_CHECKING:
    from typing import Callable

# Keys of /proc/<pid>/auxv (getauxval(3)): the real ids at the time of execve(2).
_AT_UID, _AT_GID = 11, 13
_ENTRY = struct.Struct("@LL")

_PR_SET_KEEPCAPS, _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE = 8, 47, 2
_CAPABILITY_VERSION = 0x20080522
_WORD = 0xFFFFFFFF


class Account(NamedTuple):
    """Somebody else than root."""

    user: int
    group: int
    groups: tuple[int, ...] = ()
    capabilities: int = 0  # the ambient ones, a bit each; others come with the binary


class Surroundings(NamedTuple):
    """What a process is started in."""

    account: Account | None = None  # None: root
    directory: str = "/"
    umask: int | None = None  # None: ours, as below
    descriptors: tuple[int, int] | None = None  # how many, soft and hard


OURS = Surroundings()
"""Root's, at the top."""


def of(pid: int) -> Surroundings:
    """What this process was started in, as far as the kernel still tells."""
    status = _status(pid)
    umask = status.get("Umask", "")
    try:
        descriptors = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    except OSError:
        descriptors = None
    return Surroundings(
        account=_account(pid, status),
        directory=_directory(pid),
        umask=int(umask, 8) if umask else None,
        descriptors=descriptors,
    )


def _status(pid: int) -> dict[str, str]:
    lines = durable.read_text(f"/proc/{pid}/status").splitlines()
    return {
        name: value.strip() for name, _colon, value in (s.partition(":") for s in lines)
    }


def _account(pid: int, status: dict[str, str]) -> Account | None:
    at_start = _auxiliary(pid)
    user = at_start.get(_AT_UID, 0)
    if user == 0:
        return None
    # Who is not root cannot change the groups that it has.
    return Account(
        user,
        at_start.get(_AT_GID, user),
        tuple(map(int, status.get("Groups", "").split())),
        int(status.get("CapAmb", "0"), 16),
    )


def _auxiliary(pid: int) -> dict[int, int]:
    """What the kernel told the process when it was started."""
    words = durable.read(f"/proc/{pid}/auxv") or b""
    whole = len(words) // _ENTRY.size * _ENTRY.size
    return dict(_ENTRY.iter_unpack(words[:whole]))


def _directory(pid: int) -> str:
    """Where relative names begin; one in a chroot is in no place that could be named here."""
    try:
        if not os.path.samefile(f"/proc/{pid}/root", "/"):
            return "/"
        directory = os.readlink(f"/proc/{pid}/cwd")
    except OSError:
        return "/"
    return directory if os.path.isdir(directory) else "/"


def entering(surroundings: Surroundings) -> Callable[[], None]:
    """What a child has to call before it becomes the program that is to run there (`OSError`: it may not)."""
    become = _becoming(surroundings.account) if surroundings.account else None

    def enter() -> None:
        os.chdir(surroundings.directory)
        if surroundings.umask is not None:
            os.umask(surroundings.umask)
        if surroundings.descriptors:
            with suppress(OSError, ValueError):  # more than the kernel allows by now
                resource.setrlimit(resource.RLIMIT_NOFILE, surroundings.descriptors)
        if become:
            become()

    return enter


def _becoming(account: Account) -> Callable[[], None]:
    keep, raise_all = _capabilities(account.capabilities)

    def become() -> None:
        keep()
        os.setgroups(account.groups)
        os.setgid(account.group)
        os.setuid(account.user)
        raise_all()

    return become


def _capabilities(wanted: int) -> tuple[Callable[[], None], Callable[[], None]]:
    """What to call before and after the user changes, so that the program has these capabilities."""
    if not wanted:
        return _nothing, _nothing
    prctl, capset = _calls()  # before the fork
    numbers = [at for at in range(wanted.bit_length()) if wanted >> at & 1]
    header = struct.pack("=Ii", _CAPABILITY_VERSION, 0)
    low, high = wanted & _WORD, wanted >> 32
    data = struct.pack("=6I", *[low] * 3, *[high] * 3)

    def raise_all() -> None:
        capset(header, data)
        for number in numbers:
            prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, number, 0, 0)

    return lambda: prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0), raise_all


def _calls() -> tuple[Callable[..., None], Callable[..., None]]:
    """`prctl` and `capset`, which raise `OSError`."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)

    def checked(result: int) -> None:
        if result != 0:
            error = ctypes.get_errno()
            raise OSError(error, os.strerror(error))

    def prctl(*numbers: int) -> None:
        checked(libc.prctl(*map(ctypes.c_ulong, numbers)))

    def capset(header: bytes, data: bytes) -> None:
        checked(libc.capset(header, data))

    return prctl, capset


def _nothing() -> None:
    pass


def let_read(account: Account | None, path: str) -> None:
    """This account may read a file of ours in the directory that else only root enters."""
    if account and os.path.dirname(path) == STATE_DIR:
        with suppress(OSError):
            os.chown(STATE_DIR, 0, account.group)
            os.chmod(STATE_DIR, 0o710)  # noqa: S103  # to enter, not to look around
