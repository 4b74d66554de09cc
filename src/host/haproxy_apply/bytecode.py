"""The program's bytecode, kept from run to run: compiling takes longer than all else that a run without change does.

The archive is a cache beside the program, which it never takes the place of where anything about it is in doubt.
Its first line holds its name and a checksum of the rest, a zip of modules: Python itself checks neither.
"""

from __future__ import annotations

import _frozen_importlib_external as importing
import os
import stat
import sys
import zlib
from contextlib import suppress

import haproxy_apply
from haproxy_apply import durable

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
# PEP 552: this bytecode is not compared with its source, which the name of the archive stands for.
_UNCHECKED = (1).to_bytes(4, "little") + bytes(8)


def load(place: str) -> str:
    """Let all further modules come from the archive; empty, or the path where there is none to rely on.

    `place` is the path of what is kept of this program, without the part that is about the Python.
    """
    path = f"{place}-{importing.MAGIC_NUMBER.hex()}.zip"
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        if _is_whole(descriptor, os.path.basename(path)):
            # Not by its name: the file stays what it is while this run loads from it, also where it is removed.
            archive = f"/proc/self/fd/{descriptor}"
            sys.path.insert(0, archive)
            haproxy_apply.__path__.insert(0, f"{archive}/haproxy_apply")
            return ""
        os.close(descriptor)
    return path


def _is_whole(descriptor: int, name: str) -> bool:
    """Whether it is what root once wrote under this name (`OSError`)."""
    status = os.fstat(descriptor)
    if status.st_uid != 0 or status.st_mode & _OTHERS_WRITE:
        return False
    with open(descriptor, "rb", closefd=False) as file:
        first, _, modules = file.read().partition(b"\n")
    return first == _first_line(name, modules)


def _first_line(name: str, modules: bytes) -> bytes:
    return f"{name} {zlib.crc32(modules):08x}".encode()


def keep(program: str, path: str) -> None:
    """Compile the program, a zip, into the archive, and remove what earlier releases kept (`OSError`)."""
    directory, name = os.path.split(path)
    os.makedirs(directory, mode=0o700, exist_ok=True)
    modules = compiled(program)
    durable.write(path, _first_line(name, modules) + b"\n" + modules)
    others = (other for other in os.listdir(directory) if other != name)
    durable.remove(*(os.path.join(directory, other) for other in others))


def compiled(program: str) -> bytes:
    """The same modules for the present Python alone, which loads them without their source, as a zip."""
    import io
    import marshal
    import zipfile

    file = io.BytesIO()
    with zipfile.ZipFile(program) as sources, zipfile.ZipFile(file, "w") as target:
        for name in sources.namelist():
            # A traceback looks for the source of whatever could be a path.
            code = compile(sources.read(name), f"<{name}>", "exec", dont_inherit=True)
            content = importing.MAGIC_NUMBER + _UNCHECKED + marshal.dumps(code)
            target.writestr(zipfile.ZipInfo(f"{name}c"), content)
    return file.getvalue()
