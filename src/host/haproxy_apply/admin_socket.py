"""HAProxy's stats socket and its master's, over which it is asked and told."""

from __future__ import annotations

import os
from time import monotonic, sleep
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from socket import socket

SOCKET_SECONDS = 5
INSISTING_SECONDS = 0.01
MAX_ANSWER = 1 << 25  # bytes; a worker with a hundred thousand servers says less
_RETRY_SECONDS = 0.01
_INFO = "show info"
_SERVERS = "show servers state"


class NoAnswer(OSError):
    """Nobody answered to the end, in time."""


def ask(path: str, command: str) -> str:
    """The whole answer, whatever it is: a refusal is an answer too. Its newlines at the end are kept.

    Command and answer are bytes decoded as latin-1, like the config.

    Raises NoAnswer if the socket is not there, its path is too long to be one, or the answer has not ended within
    SOCKET_SECONDS or MAX_ANSWER.
    """
    import socket

    deadline = monotonic() + SOCKET_SECONDS
    try:
        with socket.socket(socket.AF_UNIX) as peer:
            _connect(peer, os.fsencode(path), deadline)
            peer.settimeout(_left(deadline))
            peer.sendall(command.encode("latin-1") + b"\n")
            # A master's socket waits for the next command else, and never ends the answer.
            peer.shutdown(socket.SHUT_WR)
            return _to_the_end(peer, deadline).decode("latin-1")
    except (OSError, UnicodeError) as error:
        raise NoAnswer(f"{path}: {error}") from error


def answer(path: str, command: str) -> str:
    """The same where it is no matter whether there is one: empty for no path and for no answer."""
    if not path:
        return ""
    try:
        return ask(path, command)
    except OSError:
        return ""


def is_answered_by(path: str, pid: int) -> bool:
    """Whether this is the process that answers there."""
    return answer_of(path, pid)[0] != ""


def answer_of(path: str, pid: int, question: str = "") -> tuple[str, str]:
    """What this very process answers to `show info`, and to a question behind it; empty where it does not answer.

    After a handover old and new process listen on one socket, and which of them takes a question is chance: where
    another one answers, it is asked again at once, for a moment.
    """
    commands = ";".join(filter(None, (_INFO, question)))
    until = monotonic() + INSISTING_SECONDS
    while True:
        info, _blank, said = answer(path, commands).partition("\n\n")
        if f"\nPid: {pid}\n" in f"\n{info}\n":
            return info, said
        if not info or monotonic() > until:
            return "", ""


def servers_of(path: str, pid: int) -> tuple[str, str]:
    """The same to `show servers state`: empty, too, where that is a refusal, or an answer that was cut off."""
    info, said = answer_of(path, pid, _SERVERS)
    is_whole = said.startswith("1\n#") and said.endswith("\n\n")
    return info, said if is_whole else ""


def _left(deadline: float) -> float:
    left = deadline - monotonic()
    if left <= 0:
        raise NoAnswer(f"no answer within {SOCKET_SECONDS} s")
    return left


def _connect(peer: socket, path: bytes, deadline: float) -> None:
    """Connect. Where the queue is full, the kernel lets only those wait who have no deadline, so it is tried again."""
    while True:
        peer.settimeout(_left(deadline))
        try:
            return peer.connect(path)
        except BlockingIOError:
            sleep(_RETRY_SECONDS)


def _to_the_end(peer: socket, deadline: float) -> bytes:
    chunks = []
    left = MAX_ANSWER
    while True:
        peer.settimeout(_left(deadline))
        chunks.append(peer.recv(65536))
        left -= len(chunks[-1])
        if left < 0:
            raise NoAnswer(f"more than {MAX_ANSWER} bytes")
        if not chunks[-1]:
            return b"".join(chunks)
