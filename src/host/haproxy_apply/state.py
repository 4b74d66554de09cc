"""What this host remembers from run to run, in one directory that only root reads."""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from haproxy_apply import PROJECT, durable
from haproxy_apply.errors import failed
from haproxy_apply.request import is_publisher

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from haproxy_apply.journal import Journal
    from haproxy_apply.loaded_files import Entry

STATE_DIR = f"/var/lib/{PROJECT}"
STATE = f"{STATE_DIR}/state"
TOUCHED = f"{STATE_DIR}/touched"
# There while a worker may be told what the next file says.
TOLD = f"{STATE_DIR}/told"
PROVEN_MODEL = f"{STATE_DIR}/proven.model"
# There while there may be rules of ours; named as in earlier releases, whose killed runs are swept as well.
DROP_MARK = f"{STATE_DIR}/hold"
START_LOG = f"{STATE_DIR}/start.log"
BINDS = f"{STATE_DIR}/binds.cfg"
LAST_RUN = f"{STATE_DIR}/last-run"
LOADED = f"{STATE_DIR}/loaded"
STAND_IN = f"{STATE_DIR}/candidate.cfg"
# What a run that was killed leaves of it.
STAND_INS = (STAND_IN, f"{STAND_IN}.new")

LOCK_SECONDS = 60  # a command waits this long for another one
POLL_SECONDS = 0.1

_PROOF_WORDS = 4
_TICKS_PER_SECOND = 100  # USER_HZ, in which /proc counts


class Identity(NamedTuple):
    """A process that no other process is ever taken for."""

    pid: int
    start: int  # in clock ticks since boot
    boot: str  # the kernel's boot id

    def __str__(self) -> str:
        """As it stands in the state."""
        return f"{self.pid} {self.start} {self.boot}"


class Proof(NamedTuple):
    """That a worker runs the file with this MD5."""

    md5: str
    worker: Identity

    def __str__(self) -> str:
        """As it stands in the state."""
        return f"{self.md5} {self.worker}"


class State(NamedTuple):
    """What earlier runs left. Two files `installed`: the one before and the one that was on its way."""

    fence: int = 0  # the highest that this host had
    installed: tuple[str, ...] = ()
    proof: Proof | None = None
    publisher: str = (
        ""  # the stack that gave the fence; empty: nobody, or an earlier release
    )

    @property
    def was_interrupted(self) -> bool:
        """Whether a run was on its way from one file to another."""
        return len(self.installed) > 1


class Memory:
    """The state, read once; from then on it changes by `put` and `take` alone."""

    def __init__(self) -> None:
        self.state = parse(durable.read_text(STATE))
        self.publisher = self.state.publisher  # as the disk has it
        # The files that the config names, as they were before the load that this run began.
        self.loading: Mapping[str, Entry] | None = None

    def put(self, state: State) -> None:
        """Remember this from now on; on the disk when it returns.

        `OSError`: the disk still has the state of before, the present run goes on with this one.
        """
        self.state = state
        durable.write_text(STATE, serialized(state))
        self.publisher = state.publisher

    def put_if_possible(self, state: State, journal: Journal) -> None:
        """Remember this; a disk that is full then makes the next run do it again, and no harm."""
        try:
            self.put(state)
        except OSError:
            journal.note("state-not-saved")

    def take(self, state: State) -> None:
        """Remember this in the present run; the next `put` writes it."""
        self.state = state


def parse(text: str) -> State:
    """The state that a text says; what is unreadable counts as not known."""
    said = dict(line.split(" ", 1) for line in text.splitlines() if " " in line)
    fence = said.get("generation", "").strip()
    publisher = said.get("publisher", "").strip()
    return State(
        fence=int(fence) if fence.isdecimal() and fence.isascii() else 0,
        installed=tuple(said.get("installed", "").split()),
        proof=_proof(said.get("running", "").split()),
        publisher=publisher if is_publisher(publisher) else "",
    )


def _proof(words: list[str]) -> Proof | None:
    if len(words) != _PROOF_WORDS:
        return None
    md5, pid, start, boot = words
    if not (pid + start).isdecimal():
        return None
    return Proof(md5, Identity(int(pid), int(start), boot))


def serialized(state: State) -> str:
    """The text that says this state."""
    installed = " ".join(state.installed)
    proof = state.proof or ""
    text = f"generation {state.fence}\ninstalled {installed}\nrunning {proof}\n"
    return f"{text}publisher {state.publisher}\n"


def boot_id() -> str:
    """The kernel's name for the time since it was booted."""
    return durable.read_text("/proc/sys/kernel/random/boot_id").strip()


def began_seconds(start: int) -> int:
    """When a process with this start, in ticks since boot, began: in seconds of the epoch."""
    lines = durable.read_text("/proc/stat").splitlines()
    booted = next(int(line.split()[1]) for line in lines if line.startswith("btime "))
    return booted + start // _TICKS_PER_SECOND


@contextmanager
def locked(patience_seconds: float = LOCK_SECONDS) -> Iterator[None]:
    """One run at a time on this host. `Ended`: `state-unwritable`, or `locked` after so long."""
    try:
        os.makedirs(STATE_DIR, mode=0o700, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        descriptor = os.open(f"{STATE_DIR}/lock", flags, 0o644)
    except OSError:
        raise failed(13, "state-unwritable", STATE_DIR) from None
    try:
        _wait_for(descriptor, patience_seconds)
        yield
    finally:
        os.close(descriptor)


def _wait_for(descriptor: int, patience_seconds: float) -> None:
    """Until the lock is ours. `Ended`: `locked`."""
    deadline = time.monotonic() + patience_seconds
    while not _take(descriptor):
        if time.monotonic() > deadline:
            raise failed(12, "locked", f"another run holds {STATE_DIR}/lock")
        time.sleep(POLL_SECONDS)


def _take(descriptor: int) -> bool:
    """Take the lock; false: another run has it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
