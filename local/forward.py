"""A loopback port of this machine that leads to a host of the lab's network, so that a browser or curl can reach it."""

import contextlib
import socket
import socketserver
import threading
from collections.abc import Iterator

from local.lab import Host

CHUNK = 65536


@contextlib.contextmanager
def forwarded(host: Host, address: str, port: int) -> Iterator[str]:
    """While this lasts, connections to the given `127.0.0.1:<port>` go on to an address as seen from a host."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with contextlib.suppress(OSError):
                there = host.call(lambda: socket.create_connection((address, port), 10))
                there.settimeout(None)
                with there:
                    back = threading.Thread(
                        target=_copy, args=(there, self.request), daemon=True
                    )
                    back.start()
                    _copy(self.request, there)
                    back.join()

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while chunk := source.recv(CHUNK):
            target.sendall(chunk)
        target.shutdown(socket.SHUT_WR)
