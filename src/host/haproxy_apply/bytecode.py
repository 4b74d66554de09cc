"""The program's bytecode, kept from run to run: compiling takes longer than all else that a run without change does.

It is a cache: whoever removes it loses the time of one compilation, and a killed run leaves it whole or absent.
"""

from __future__ import annotations

import importlib.util
import io
import marshal
import os
import time
import zipfile

from haproxy_apply import durable

# PEP 552: this bytecode is not compared with its source, which the name of the archive stands for.
_UNCHECKED = (1).to_bytes(4, "little") + bytes(8)
_ABANDONED_SECONDS = 86_400


def keep(program: str, archive: str) -> None:
    """Compile the program, a zip, into the archive; those of earlier releases go (`OSError`)."""
    directory = os.path.dirname(archive)
    os.makedirs(directory, mode=0o700, exist_ok=True)
    durable.write_text(archive, compiled(program).decode("latin-1"))
    durable.remove(*_abandoned(directory))


def _abandoned(directory: str) -> list[str]:
    """What no run that is still on its way may go on loading from."""
    paths = [os.path.join(directory, name) for name in os.listdir(directory)]
    past = time.time() - _ABANDONED_SECONDS
    return [path for path in paths if os.lstat(path).st_mtime < past]


def compiled(program: str) -> bytes:
    """The same modules for the present Python alone, which loads them without their source."""
    archive = io.BytesIO()
    with zipfile.ZipFile(program) as sources, zipfile.ZipFile(archive, "w") as target:
        for name in sources.namelist():
            # Not where the program happens to lie now, for tracebacks show it.
            code = compile(sources.read(name), name, "exec", dont_inherit=True)
            header = importlib.util.MAGIC_NUMBER + _UNCHECKED
            target.writestr(f"{name}c", header + marshal.dumps(code))
    return archive.getvalue()
