"""Files that survive a crash of the host wholly old or wholly new."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import BinaryIO

PRIVATE, PUBLIC = 0o600, 0o644
"""For root alone, and for whoever wants to read."""


def write_text(path: str, text: str, mode: int = PRIVATE) -> None:
    """The text under this name, a character a byte, as `write`."""
    write(path, text.encode("latin-1"), mode)


def write(path: str, content: bytes, mode: int = PRIVATE) -> None:
    """The content under this name, by one rename after it reached the disk (`OSError`)."""
    new = f"{path}.new"
    try:
        with create(new) as file:
            os.fchmod(file.fileno(), mode)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, path)
    except BaseException:  # also where the run is interrupted
        remove(new)
        raise


def create(path: str) -> BinaryIO:
    """A new file that only root reads until somebody gives it another mode (`OSError`).

    What was there is removed: where others may write too, it may be a link of theirs to another file.
    """
    remove(path)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    return open(os.open(path, flags, PRIVATE), "wb")


def read(path: str) -> bytes | None:
    """The content; None where there is no such file, or none that can be read."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return None


def read_text(path: str) -> str:
    """The text, byte for byte a character; empty where there is none."""
    return (read(path) or b"").decode("latin-1")


def remove(*paths: str) -> None:
    """Remove what is there of these; what cannot be removed stays."""
    for path in paths:
        with suppress(OSError):
            os.unlink(path)


def sync_directory(path: str) -> None:
    """The directory's names reach the disk, where its filesystem can do that."""
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
