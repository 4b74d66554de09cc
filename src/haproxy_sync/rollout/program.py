"""The program that proxies run, as a zip that this very release makes of its own files.

Its bytes depend on nothing but those files: not on the Python that packs them, nor on a zlib. The document that is
deployed with the function admits this program and no other, so whoever can write to the bucket or send commands cannot
bring another program to a proxy. A proxy keeps the bytecode of it, where only its root can write. What a config makes
HAProxy do is another matter.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from zipfile import ZIP_STORED, ZipFile, ZipInfo

from haproxy_sync.errors import ProgramDiffers

RELEASE = Path(__file__).parents[2]
"""The folder that is deployed as the function."""
DOCUMENT = "host/document.json"

PACKAGE = "host/haproxy_apply"
SHARED = (
    "haproxy_sync/__init__.py",
    "haproxy_sync/config/__init__.py",
    "haproxy_sync/config/keywords.py",
    "haproxy_sync/config/language.py",
    "haproxy_sync/config/readings.py",
    "haproxy_sync/config/unsafe.py",
    "haproxy_sync/secrets.py",
)
"""What function and hosts have in common."""

MODULE = re.compile(r"[a-z_]+\.py", re.ASCII)  # not what editors and merges leave
NAMED = re.compile(r"/program/([0-9a-f]{64})/")
EPOCH = (1980, 1, 1, 0, 0, 0)  # of zip files
UNIX = 3
PLAIN_FILE = 0o100644


@dataclass(frozen=True, slots=True)
class Program:
    """The zip, and its SHA-256: its address in the bucket, and what hosts compare."""

    sha256: str
    content: bytes

    @classmethod
    def packed(cls, release: Path = RELEASE) -> "Program":
        """The program as the release's files make it."""
        file = BytesIO()
        with ZipFile(file, "w", ZIP_STORED) as archive:
            for name, path in sorted(_members(release)):
                archive.writestr(_entry(name), path.read_bytes())
        content = file.getvalue()
        return cls(hashlib.sha256(content).hexdigest(), content)

    @classmethod
    def deployed(cls, release: Path = RELEASE) -> "Program":
        """The same, if it is what the release's document names; `ProgramDiffers` otherwise."""
        program, named = cls.packed(release), _named(release)
        if program.sha256 != named:
            raise ProgramDiffers(program.sha256, named)
        return program


def _members(release: Path) -> Iterator[tuple[str, Path]]:
    """Names in the zip, and where each file is."""
    yield from (
        (f"{path.parent.name}/{path.name}", path)
        for path in (release / PACKAGE).iterdir()
        if MODULE.fullmatch(path.name)
    )
    for name in SHARED:
        yield name, release / name


def _entry(name: str) -> ZipInfo:
    entry = ZipInfo(name, EPOCH)
    entry.create_system = UNIX
    entry.external_attr = PLAIN_FILE << 16
    return entry


def _named(release: Path) -> str:
    """The digest of the program that the document takes; empty if it takes none."""
    document = json.loads((release / DOCUMENT).read_text())
    pattern = document["parameters"].get("ProgramUrl", {}).get("allowedPattern", "")
    return "".join(NAMED.findall(pattern))
