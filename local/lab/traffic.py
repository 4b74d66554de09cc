"""Clients that ask steadily and write down what became of each request.

Run as a program it reads a `Load` as a line of JSON from standard input, writes a JSON list per `Attempt` to standard
output, and ends when its standard input closes and what is in flight has come to an end. It needs nothing but Python.
"""

import asyncio
import contextlib
import dataclasses
import itertools
import json
import ssl
import sys
import time
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass

_FLUSH_SECONDS = 0.1
_OK_BELOW = 400


@dataclass(frozen=True, slots=True)
class Load:
    """What to ask, how often."""

    addresses: tuple[str, ...]
    """IPv4 and IPv6, used in turn: four of one and one of the other make a fifth."""
    port: int = 80
    paths: tuple[str, ...] = ("/",)
    """What new connections ask for, in turn; open ones always ask for the first."""
    server_name: str = ""
    """Ask over TLS, with this name; the certificate is not verified."""
    connections_per_second: float = 0
    """New connections, one request each."""
    keepalive: int = 0
    """Connections that stay open."""
    keepalive_interval_seconds: float = 0.1
    """From one request on such a connection to the next."""
    downloads: int = 0
    """Downloads at any time, one after the other."""
    download_seconds: int = 3
    timeout_seconds: float = 10


@dataclass(frozen=True, slots=True)
class Attempt:
    """What became of one request."""

    kind: str
    """`new`, `keep-alive` or `download`."""
    family: int
    """4 or 6."""
    start: float
    """Unix time."""
    connect_ms: float
    """Until the connection (and TLS) was up; 0 on a connection that already was."""
    total_ms: float
    result: str
    """`ok`, `refused`, `reset`, `closed`, `unreachable`, `timeout` or `http-<status>`."""
    backend: str
    """Who answered, as the answer's `X-Backend` says; also where that broke off. Empty where none had begun."""

    @property
    def is_ok(self) -> bool:
        """Whether the whole answer came, and was no error."""
        return self.result == "ok"

    @property
    def end(self) -> float:
        """Unix time."""
        return self.start + self.total_ms / 1000


class _Connection:
    """One HTTP/1.1 connection."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.reader = reader
        self.writer = writer
        self.is_open = True
        self.backend = ""
        """Who answers, once that has begun."""

    @classmethod
    async def to(cls, load: Load, address: str) -> "_Connection":
        context = ssl._create_unverified_context() if load.server_name else None  # noqa: S323, SLF001 - the lab's own host
        name = load.server_name or None
        return cls(
            *await asyncio.open_connection(
                address, load.port, ssl=context, server_hostname=name
            )
        )

    async def ask(self, host: str, path: str, *, keep: bool) -> int:
        """Send a request, read the whole answer; its status. Raises OSError and IncompleteReadError."""
        self.backend = ""
        option = "" if keep else "Connection: close\r\n"
        self.writer.write(
            f"GET {path} HTTP/1.1\r\nHost: {host}\r\n{option}\r\n".encode()
        )
        head, *lines = (
            (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        )
        headers = {
            name.lower(): value
            for name, _, value in (line.partition(": ") for line in lines)
        }
        self.backend = headers.get("x-backend", "")
        if "content-length" in headers:
            await self.reader.readexactly(int(headers["content-length"]))
        else:
            await self.reader.read()
            self.is_open = False
        if headers.get("connection", "").lower() == "close":
            self.is_open = False
        return int(head.split(" ")[1])

    def still_open(self) -> bool:
        """Whether nobody has said that it is over; a client that looks before it asks loses nothing by it."""
        return self.is_open and not self.reader.at_eof()

    def close(self) -> None:
        self.writer.transport.abort()


class _Clients:
    """All clients of one load."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.addresses = itertools.cycle(load.addresses)
        self.paths = itertools.cycle(load.paths)
        self.stopping = asyncio.Event()
        self.lines: list[str] = []
        self.host = load.server_name or "lab"

    async def run(self) -> None:
        writer = asyncio.create_task(self._write_lines())
        jobs: list[Coroutine[None, None, None]] = [self._new_connections()]
        jobs += [self._keep_alive(number) for number in range(self.load.keepalive)]
        jobs += [self._download() for _ in range(self.load.downloads)]
        await asyncio.gather(*jobs)
        writer.cancel()
        self._flush()

    async def _write_lines(self) -> None:
        while True:
            await asyncio.sleep(_FLUSH_SECONDS)
            self._flush()

    def _flush(self) -> None:
        sys.stdout.write("".join(self.lines))
        sys.stdout.flush()
        self.lines.clear()

    async def _ticks(self, first: float, interval: float) -> AsyncIterator[None]:
        """Each time that something is due, also if the one before was late, until the end."""
        loop = asyncio.get_running_loop()
        due = loop.time() + first
        while not self.stopping.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(
                    self.stopping.wait(), max(0.0, due - loop.time())
                )
                return
            yield
            due += interval

    async def _new_connections(self) -> None:
        if not self.load.connections_per_second:
            await self.stopping.wait()
            return
        async with asyncio.TaskGroup() as tasks:
            async for _ in self._ticks(0, 1 / self.load.connections_per_second):
                tasks.create_task(
                    self._attempt("new", next(self.addresses), next(self.paths))
                )

    async def _download(self) -> None:
        while not self.stopping.is_set():
            path = f"/download?{self.load.download_seconds}"
            await self._attempt("download", next(self.addresses), path)

    async def _keep_alive(self, number: int) -> None:
        interval = self.load.keepalive_interval_seconds
        address = next(self.addresses)
        connection = None
        async for _ in self._ticks(interval * number / self.load.keepalive, interval):
            if connection and not connection.still_open():
                connection.close()
                connection = None
            connection = await self._attempt(
                "keep-alive", address, self.load.paths[0], connection
            )
        if connection:
            connection.close()

    async def _attempt(
        self, kind: str, address: str, path: str, connection: _Connection | None = None
    ) -> _Connection | None:
        """Ask once and write down how it went; gives the connection if it may be used again."""
        start, began = time.time(), time.perf_counter()
        connected = began if connection else None
        result = "ok"
        limit = self.load.timeout_seconds + self.load.download_seconds * (
            kind == "download"
        )
        try:
            async with asyncio.timeout(limit):
                if not connection:
                    connection = await _Connection.to(self.load, address)
                    connected = time.perf_counter()
                status = await connection.ask(
                    self.host, path, keep=kind == "keep-alive"
                )
                result = "ok" if status < _OK_BELOW else f"http-{status}"
        except (OSError, asyncio.IncompleteReadError) as error:
            result = _name(error)
        elapsed = time.perf_counter() - began
        family = 6 if ":" in address else 4
        connect_ms = (elapsed if connected is None else connected - began) * 1000
        attempt = Attempt(
            kind,
            family,
            start,
            round(connect_ms, 2),
            round(elapsed * 1000, 2),
            result,
            connection.backend if connection else "",
        )
        self.lines.append(json.dumps(dataclasses.astuple(attempt)) + "\n")
        if connection and (kind != "keep-alive" or result != "ok"):
            connection.close()
            return None
        return connection


def _name(error: Exception) -> str:
    match error:
        case TimeoutError():
            return "timeout"
        case ConnectionRefusedError():
            return "refused"
        case ConnectionResetError() | BrokenPipeError() | ssl.SSLError():
            return "reset"
        case asyncio.IncompleteReadError():
            return "closed"
        case _:
            return "unreachable"


async def main() -> None:
    """Ask until standard input closes."""
    clients = _Clients(Load(**json.loads(sys.stdin.readline())))
    asyncio.get_running_loop().add_reader(sys.stdin, clients.stopping.set)
    await clients.run()


if __name__ == "__main__":
    asyncio.run(main())
