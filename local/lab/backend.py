"""Machines that answer HTTP with their name, and that can die, refuse, be slow or come later."""

import asyncio
import contextlib
import functools
import socket
import threading
import time
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

from local.lab.network import Host, Network

PORT = 8080
_BACKLOG = 1024  # of those who wait to be accepted; asyncio's own would be 100
_GRACE_SECONDS = 5
_ACCEPT_SECONDS = 0.1

_DROP_TCP = """
table inet lab {
    chain input {
        type filter hook input priority 0
        meta l4proto tcp drop
    }
}
"""

_REFUSE_NEW = """
table inet leaving {
    chain input {
        type filter hook input priority 0
        tcp flags & (syn | ack) == syn reject with tcp reset
    }
}
"""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as a backend saw it come."""

    at: float
    """Unix time."""
    client: str
    """Address of whoever connected: with a proxy between, the proxy's."""


class BackendHost(Host):
    """A machine with an HTTP server that answers its name, on `/health` its health.

    `/download?N` takes N seconds from its first byte to its last one, `/slow?N` as long to the first one.
    All servers of this process share one thread, so that a backend costs two idle processes and nothing else.
    """

    def __init__(
        self,
        network: Network,
        name: str,
        *,
        port: int = PORT,
        starts: bool = True,
        **options: Any,
    ) -> None:
        """Make the machine and, unless it `starts` later, its server; `options` are those of `Host`."""
        super().__init__(network, name, **{"own_files": False, **options})
        self.port = port
        self.is_healthy = True
        self.delay_seconds = 0.0
        self.log: list[Asked] = []
        """The requests so far, without health checks."""
        self._server: asyncio.Server | None = None
        self._connections: dict[asyncio.StreamWriter, asyncio.Task[Any] | None] = {}
        self._answering: set[asyncio.StreamWriter] = set()
        self.closing.callback(self.stop)
        if starts:
            self.start()

    @property
    def requests(self) -> int:
        """How many there were so far, health checks not counted."""
        return len(self.log)

    def start(self) -> None:
        """Listen, if it does not yet."""
        if not self._server:
            listener = self.call(
                lambda: socket.create_server(
                    ("", self.port),
                    family=socket.AF_INET6,
                    dualstack_ipv6=True,
                    backlog=_BACKLOG,
                )
            )
            self._server = _run(
                asyncio.start_server(self._serve, sock=listener, backlog=_BACKLOG)
            )

    def stop(self) -> None:
        """End the server: connections break, new ones are refused."""
        if self._server:
            _run(self._stop(self._server))
            self._server = None

    def shut_down(self) -> None:
        """End the server as its init system does: no new connection, idle ones end, what was asked is answered."""
        server, self._server = self._server, None
        if server:
            # Closing the listener alone resets who waits to be accepted.
            self.run(["nft", "-f", "-"], stdin=_REFUSE_NEW)
            _run(self._drain(server))

    def vanish(self) -> None:
        """Answer nothing any more, not even with a refusal, as a terminated instance does."""
        self.run(["nft", "-f", "-"], stdin=_DROP_TCP)

    def come_back(self) -> None:
        """Undo `vanish`."""
        self.run(["nft", "delete", "table", "inet", "lab"])

    async def _stop(self, server: asyncio.Server) -> None:
        await _close(server)
        for writer in self._connections:
            writer.transport.abort()

    async def _drain(self, server: asyncio.Server) -> None:
        await _close(server)
        for writer in self._connections.keys() - self._answering:
            writer.close()
        if tasks := [task for task in self._connections.values() if task]:
            await asyncio.wait(tasks, timeout=_GRACE_SECONDS)

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._connections[writer] = asyncio.current_task()
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                while await self._answer(reader, writer):
                    pass
        finally:
            self._connections.pop(writer)
            self._answering.discard(writer)
            writer.close()

    async def _answer(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Answer one request; whether the connection stays open."""
        request = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        self._answering.add(writer)
        path = request.split(" ", 2)[1]
        status = "200 OK"
        if path == "/health":
            status = status if self.is_healthy else "503 Service Unavailable"
        else:
            self.log.append(Asked(time.time(), _peer(writer)))
            await asyncio.sleep(self.delay_seconds + _seconds(path, "/slow"))
        body = f"{self.name}\n".encode()
        parts = _seconds(path, "/download") * 10 or 1
        writer.write(
            f"HTTP/1.1 {status}\r\nContent-Length: {len(body) * parts}\r\nX-Backend: {self.name}\r\n\r\n".encode()
        )
        for part in range(parts):
            if part:
                await asyncio.sleep(0.1)
            writer.write(body)
            await writer.drain()
        self._answering.discard(writer)
        return self._server is not None and "connection: close" not in request.lower()


def _seconds(path: str, kind: str) -> int:
    """What a path of this kind asks for; 0 for another one."""
    asked, _, seconds = path.partition("?")
    return int(seconds or 3) if asked == kind else 0


def _peer(writer: asyncio.StreamWriter) -> str:
    return str(writer.get_extra_info("peername")[0]).removeprefix("::ffff:")


@functools.cache
def _loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="backends", daemon=True).start()
    return loop


def _run[T](coroutine: Coroutine[Any, Any, T]) -> T:
    return asyncio.run_coroutine_threadsafe(coroutine, _loop()).result(timeout=10)


async def _close(server: asyncio.Server) -> None:
    """Close a server when nothing is half accepted: asyncio loses what it accepts while the server closes."""
    for listener in server.sockets:
        asyncio.get_running_loop().remove_reader(listener.fileno())
    await asyncio.sleep(_ACCEPT_SECONDS)
    server.close()
