"""Machines that are clients: one request, or steady traffic with a record of each."""

import contextlib
import dataclasses
import http.client
import json
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from local.lab.network import Host, Network
from local.lab.traffic import Attempt, Load

TRAFFIC = Path(__file__).with_name("traffic.py")
NO_HEADERS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Response:
    """An HTTP response; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: str


class Traffic:
    """Steady traffic and what became of it so far; complete when the `with` block of `Client.traffic` is left."""

    def __init__(self) -> None:
        """Start with nothing asked."""
        self.attempts: list[Attempt] = []

    def of(self, kind: str) -> list[Attempt]:
        """The attempts of one kind: `new`, `keep-alive` or `download`."""
        return [attempt for attempt in self.attempts if attempt.kind == kind]

    @property
    def failed(self) -> list[Attempt]:
        """The attempts that got no answer, half of one, or an error."""
        return [attempt for attempt in self.attempts if not attempt.is_ok]

    def delayed(self, limit_ms: float = 900) -> list[Attempt]:
        """The new connections that came to be, but took longer than the limit: a lost SYN comes again after 1 s."""
        return [
            attempt
            for attempt in self.of("new")
            if attempt.is_ok and attempt.connect_ms > limit_ms
        ]


class Client(Host):
    """A machine with clients on it; `rtt_ms` is what its link adds to each round trip."""

    def __init__(self, network: Network, name: str = "client", **options: Any) -> None:
        """Make the machine; `options` are those of `Host`."""
        super().__init__(network, name, **{"own_files": False, **options})

    @contextlib.contextmanager
    def traffic(self, load: Load) -> Iterator[Traffic]:
        """Ask steadily for as long as the block lasts; leaving it waits for what is in flight."""
        pipe = subprocess.PIPE
        # Not `popen`: Python is not of the machine, it only needs the machine's network.
        command = [
            "nsenter",
            f"--net=/proc/{self.pid}/ns/net",
            sys.executable,
            "-I",
            str(TRAFFIC),
        ]
        traffic = Traffic()
        with subprocess.Popen(
            command, stdin=pipe, stdout=pipe, text=True, start_new_session=True
        ) as clients:
            assert clients.stdin  # noqa: S101 - for the type checker
            assert clients.stdout  # noqa: S101
            clients.stdin.write(json.dumps(dataclasses.asdict(load)) + "\n")
            clients.stdin.flush()
            lines = clients.stdout
            reader = threading.Thread(
                target=lambda: traffic.attempts.extend(
                    Attempt(*json.loads(line)) for line in lines
                ),
                name="traffic",
            )
            reader.start()
            try:
                yield traffic
            finally:
                clients.stdin.close()
                reader.join()
        if clients.returncode:
            raise RuntimeError(
                f"the clients of {self.name} ended with status {clients.returncode}"
            )

    def get(  # noqa: PLR0913 - a request has that many properties; all but the address have a default
        self,
        address: str,
        path: str = "/",
        *,
        port: int = 80,
        server_name: str = "",
        headers: Mapping[str, str] = NO_HEADERS,
        timeout_seconds: float = 10,
    ) -> Response:
        """Ask once; over TLS if a server name is given, without verifying the certificate. Raises OSError."""

        def connect() -> socket.socket:
            plain = socket.create_connection((address, port), timeout_seconds)
            if not server_name:
                return plain
            context = ssl._create_unverified_context()  # noqa: S323, SLF001 - the lab's own host
            return context.wrap_socket(plain, server_hostname=server_name)

        connection = http.client.HTTPConnection(server_name or address, port)
        connection.sock = self.call(connect)
        with contextlib.closing(connection):
            connection.request("GET", path, headers=dict(headers))
            received = connection.getresponse()
            told = {name.lower(): value for name, value in received.getheaders()}
            return Response(received.status, told, received.read().decode())
