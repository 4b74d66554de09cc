"""A HAProxy with nothing around it: no network of its own, no service, one process that ends with its test."""

import contextlib
import csv
import socket
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from local.lab import wait_until


@dataclass(frozen=True, slots=True)
class Daemon:
    """A real HAProxy with nothing but a stats socket."""

    socket: Path

    def ask(self, command: str) -> str:
        """What it answers."""
        with socket.socket(socket.AF_UNIX) as peer:
            peer.connect(str(self.socket))
            peer.sendall(command.encode() + b"\n")
            peer.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: peer.recv(65536), b"")).decode()

    def states(self) -> dict[str, str]:
        """By backend/server: UP, DOWN and the like, as its statistics say."""
        _, _, table = self.ask("show stat").partition("# ")
        every = csv.DictReader(table.splitlines())
        return {f"{row['pxname']}/{row['svname']}": row["status"] for row in every}

    def answers(self) -> bool:
        """Whether it is there already."""
        with contextlib.suppress(OSError):
            return self.ask("show info") != ""
        return False


def _insist(is_so: bool) -> None:  # noqa: FBT001 - as hypothesis' `assume`
    assert is_so


@contextlib.contextmanager
def running(
    binary: str,
    directory: Path,
    name: str,
    text: str,
    claim: Callable[[bool], object] = _insist,
) -> Iterator[Daemon]:
    """A HAProxy with this file, gone after the block; `claim` is told whether it takes the file."""
    daemon = Daemon(directory / name)
    file = directory / f"{name}.cfg"
    file.write_text(text)
    log = directory / "log"
    with (
        log.open("w") as said,
        subprocess.Popen(
            [binary, "-db", "-f", file], stdout=said, stderr=said
        ) as process,
    ):
        try:
            wait_until(lambda: daemon.answers() or process.poll() is not None)
            claim(process.poll() is None)
            yield daemon
        finally:
            process.kill()
