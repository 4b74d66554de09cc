"""A link with a round-trip time.

Not every kernel has netem, so this is a cable made of two TAP interfaces and a process that carries each frame over
after half the time. Run as a program (`delay.py PID INTERFACE PID INTERFACE MILLISECONDS`) it makes them in the
networks of two processes, prints a line when they are there, and carries until its standard input closes.
"""

import contextlib
import fcntl
import os
import select
import struct
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

_TUNSETIFF = 0x400454CA
_IFF_TAP_NO_PI = 0x0002 | 0x1000
_LARGEST_FRAME = 2048

type End = tuple[int, str]
"""A process whose network gets the interface, and the name of the interface."""


@contextlib.contextmanager
def delayed_link(one: End, other: End, rtt_ms: float) -> Iterator[None]:
    """Connect two networks by a link with a round-trip time."""
    command = [sys.executable, "-I", __file__, *map(str, (*one, *other, rtt_ms / 2))]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, stdin=pipe, stdout=pipe, text=True, start_new_session=True
    ) as carrier:
        assert carrier.stdin  # noqa: S101 - for the type checker
        assert carrier.stdout  # noqa: S101
        if not carrier.stdout.readline():
            raise RuntimeError("the delayed link did not start")
        try:
            yield
        finally:
            carrier.stdin.close()
            carrier.wait(timeout=10)


def open_tap(pid: int, interface: str) -> int:
    """Join the network of a process and make a TAP interface in it; its frames are read from the descriptor."""
    namespace = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
    os.setns(namespace, os.CLONE_NEWNET)
    os.close(namespace)
    tap = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(
        tap, _TUNSETIFF, struct.pack("16sH22x", interface.encode(), _IFF_TAP_NO_PI)
    )
    return tap


@dataclass(slots=True)
class Cable:
    """Two TAP interfaces, and the frames on their way from one to the other, first arrival first."""

    one: int
    other: int
    delay_seconds: float
    travelling: deque[tuple[float, int, bytes]] = field(default_factory=deque)

    def carry(self) -> None:
        """Carry frames until standard input closes."""
        poll = select.epoll()
        for descriptor in (self.one, self.other, sys.stdin.fileno()):
            poll.register(descriptor, select.EPOLLIN)
        while True:
            ready = {descriptor for descriptor, _ in poll.poll(self._wait())}
            if sys.stdin.fileno() in ready:
                return
            for descriptor in ready:
                self._take(descriptor)
            self._deliver()

    def _wait(self) -> float:
        """Seconds until the next frame arrives; for ever, as epoll says it, while none travels."""
        return (
            max(0.0, self.travelling[0][0] - time.monotonic())
            if self.travelling
            else -1
        )

    def _take(self, descriptor: int) -> None:
        opposite = self.other if descriptor == self.one else self.one
        with contextlib.suppress(BlockingIOError):
            while True:
                frame = os.read(descriptor, _LARGEST_FRAME)
                self.travelling.append(
                    (time.monotonic() + self.delay_seconds, opposite, frame)
                )

    def _deliver(self) -> None:
        while self.travelling and self.travelling[0][0] <= time.monotonic():
            _, descriptor, frame = self.travelling.popleft()
            # An interface that is down loses frames, as a cable does.
            with contextlib.suppress(OSError):
                os.write(descriptor, frame)


if __name__ == "__main__":
    ends = [
        open_tap(int(pid), interface)
        for pid, interface in (sys.argv[1:3], sys.argv[3:5])
    ]
    print("up", flush=True)
    # A namespace that is gone takes its interface along.
    with contextlib.suppress(OSError):
        Cable(ends[0], ends[1], float(sys.argv[5]) / 1000).carry()
