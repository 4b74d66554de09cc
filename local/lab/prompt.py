"""HAProxy's Runtime API in interactive mode: a connection that stays with the worker that took it."""

import socket
from pathlib import Path
from types import TracebackType
from typing import Self

_PROMPT = b"\n> "
"""What ends an answer, which is followed by an empty line: management guide, 9.3, `prompt`."""


class Prompt:
    """A context manager. Its worker answers also when it has become an old one, which it is until this ends."""

    def __init__(self, path: Path, timeout_seconds: float = 5) -> None:
        """Connect to whoever listens there now. Raises OSError."""
        self._connection = socket.socket(socket.AF_UNIX)
        try:
            self._connection.settimeout(timeout_seconds)
            self._connection.connect(str(path))
            self.ask("prompt")
        except BaseException:
            self._connection.close()
            raise

    def __enter__(self) -> Self:
        """It is open already."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let the worker go."""
        self._connection.close()

    def ask(self, command: str) -> str:
        """What the worker answers to one command. Raises OSError, and ConnectionResetError if it is gone.

        Then this is over: what came later would be taken for the answer to the next command.
        """
        try:
            return self._answer(command)
        except OSError:
            self._connection.close()
            raise

    def _answer(self, command: str) -> str:
        self._connection.sendall(command.encode() + b"\n")
        answer = b""
        while not answer.endswith(_PROMPT):
            part = self._connection.recv(65536)
            if not part:
                raise ConnectionResetError(f"{command}: the worker is gone")
            answer += part
        return answer.removesuffix(_PROMPT).decode().strip()
