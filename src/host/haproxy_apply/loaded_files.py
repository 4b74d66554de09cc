"""Whether the files that the config names are still as the worker loaded them: a look at each, a digest where it helps.

Nothing here fails a run: what cannot be read, or is too much, is known by its size and times alone.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from contextlib import suppress
from itertools import chain, islice
from typing import TYPE_CHECKING, NamedTuple

from haproxy_apply import durable, files, load, named_files
from haproxy_apply.state import LOADED
from haproxy_apply.stats_socket import native

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from haproxy_apply.host import Host
    from haproxy_apply.journal import Journal
    from haproxy_apply.model import Model
    from haproxy_apply.named_files import Named
    from haproxy_apply.state import Identity, Proof

NOTE = "named-files-changed"
MAX_FILES = 5000  # of a config; those after them are not looked at
MAX_BYTES = 1 << 26  # of a file with a digest, and of all in one run
MAX_LIST = 1 << 20  # of a list of certificates

_UNKNOWN = "unknown"  # what it was when it was loaded
_SUFFIXES = {
    named_files.CERTIFICATE: (
        "",
        ".key",
        ".ocsp",
        ".issuer",
        ".sctl",
        ".rsa",
        ".dsa",
        ".ecdsa",
    )
}
_VARIABLE = re.compile(r"\$(?:([A-Za-z_][A-Za-z0-9_]*)|\{([A-Za-z_][A-Za-z0-9_]*)\})")


class Entry(NamedTuple):
    """A file as it was."""

    stamp: str  # size, times and inode; or that there is none
    digest: str  # of its content, or of a directory's names; empty where it has none


class Files(NamedTuple):
    """Files as they were, by path, and the worker that loaded them."""

    worker: str
    entries: Mapping[str, Entry]


def before_load(host: Host, awaited: Model) -> None:
    """Remember what a worker will load that is started after this."""
    digester = _Digester(_recorded().entries)
    paths = _paths(host, awaited)
    host.memory.loading = {path: digester.entry(path) for path in paths}


def remember(host: Host, proof: Proof, model: Model) -> None:
    """What this worker has loaded is as it is in this model (`OSError`).

    Of a worker that was known before it stays what it was; of one that somebody else started what is older than it.
    """
    before = _recorded()
    known = before.entries if before.worker == str(proof.worker) else {}
    known = {**(host.memory.loading or {}), **known}
    digester = _Digester(before.entries)
    since = _since(proof.worker, model)
    entries = {
        path: known.get(path) or digester.older(path, since)
        for path in _paths(host, model)
    }
    loaded = Files(str(proof.worker), entries)
    if loaded != before:
        durable.write_text(LOADED, _dumped(loaded))


def differ(host: Host, worker: Identity, model: Model) -> bool:
    """Whether the worker may lack something that the files of this model say."""
    before = _recorded()
    if before.worker == str(worker):
        return _differ(before.entries)
    since = _since(worker, model)
    return any(_is_younger(path, since) for path in _paths(host, model))


def tell(proof: Proof | None, journal: Journal) -> None:
    """Note where a worker that we know of lacks something; nothing is read but what looks otherwise than before."""
    before = _recorded()
    if proof and before.worker == str(proof.worker) and _differ(before.entries):
        journal.note(NOTE)


def _differ(entries: Mapping[str, Entry]) -> bool:
    digester = _Digester({})
    return any(digester.is_changed(path, entry) for path, entry in entries.items())


def _since(worker: Identity, model: Model) -> float:
    """From when on a file may be another one than this worker has loaded."""
    return load.began_of(worker, model.stats_socket.path) - load.SURE_SECONDS


def _is_younger(path: str, since: float) -> bool:
    found = _stat(path)
    return found is not None and found.st_ctime >= since


class _Digester:
    """Looks at files, and reads so much of them and no more."""

    def __init__(self, known: Mapping[str, Entry]) -> None:
        self._known = known
        self._left = MAX_BYTES

    def entry(self, path: str) -> Entry:
        """A file as it is; who looks as before has the digest of before."""
        found = _stat(path)
        stamp, known = _stamp(found), self._known.get(path)
        if known and known.stamp == stamp:
            return known
        return Entry(stamp, self._digest(path, found) if found else "")

    def older(self, path: str, since: float) -> Entry:
        """The same, unless it changed since then."""
        return Entry(_UNKNOWN, "") if _is_younger(path, since) else self.entry(path)

    def is_changed(self, path: str, entry: Entry) -> bool:
        """Whether it is another one now, or nobody knows."""
        found = _stat(path)
        if _stamp(found) == entry.stamp:
            return False
        return not (
            found and entry.digest and self._digest(path, found) == entry.digest
        )

    def _digest(self, path: str, found: os.stat_result) -> str:
        with suppress(OSError):
            if stat.S_ISDIR(found.st_mode):
                return _sha256(
                    "\0".join(_names(path)).encode("utf-8", "surrogateescape")
                )
            if stat.S_ISREG(found.st_mode) and found.st_size <= self._left:
                self._left -= found.st_size
                return _sha256(_content(path, found.st_size))
        return ""


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _content(path: str, size: int) -> bytes:
    """What a regular file has; it may have become a pipe by now, which nobody waits for."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with open(descriptor, "rb") as file:
        return file.read(size + 1)


def _stat(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except (OSError, ValueError):
        return None


def _stamp(found: os.stat_result | None) -> str:
    if found is None:
        return "missing"
    kind = stat.S_IFMT(found.st_mode)
    if kind not in {stat.S_IFREG, stat.S_IFDIR}:
        return f"special {kind:o}"
    return f"{found.st_size} {found.st_mtime_ns} {found.st_ctime_ns} {found.st_ino}"


def _names(directory: str) -> list[str]:
    with suppress(OSError):
        return sorted(os.listdir(directory))
    return []


# --- which files ---


class _Place(NamedTuple):
    """What names mean on this host."""

    base: str  # where HAProxy was started
    directory: str  # in which it finds the live file; may count from there
    environment: Mapping[str, str]

    def path(self, named: Named) -> str:
        """Where a file is; a variable that nobody knows stays as it is written."""
        origins = {"config": self.directory, "parent": f"{self.directory}/.."}
        origin = self._plain(named.bases.origin)
        path = self._plain(named.path)
        return os.path.join(self.base, origins.get(origin, origin), path)

    def files(self, named: Named) -> Iterator[str]:
        """A file, what lies beside a certificate, what a directory or a list names."""
        path = self.path(named)
        yield from (path + suffix for suffix in _SUFFIXES.get(named.kind, ("",)))
        yield from (os.path.join(path, name) for name in _names(path))
        if named.kind == named_files.CERTIFICATE_LIST:
            inside = named_files.listed(_list(path), named)
            yield from chain.from_iterable(map(self.files, inside))

    def _plain(self, written: str) -> str:
        return _VARIABLE.sub(self._value, native(written))

    def _value(self, found: re.Match[str]) -> str:
        return self.environment.get(found[1] or found[2], found[0])


def _paths(host: Host, model: Model) -> tuple[str, ...]:
    """All that are looked at, none twice: those that HAProxy's other files name, too."""
    from haproxy_apply.other_files import OtherFiles

    whole = OtherFiles.of(host).whole(model)
    name = files.name_of(host.live, host.haproxy.command.files)
    haproxy = host.haproxy
    place = _Place(
        haproxy.surroundings.directory,
        os.path.dirname(name) or ".",
        haproxy.environment or {},
    )
    found = chain.from_iterable(map(place.files, named_files.named(whole)))
    return tuple(dict.fromkeys(islice(found, MAX_FILES)))


def _list(path: str) -> str:
    found = _stat(path)
    with suppress(OSError):
        if found and stat.S_ISREG(found.st_mode):
            return _content(path, min(found.st_size, MAX_LIST)).decode("latin-1")
    return ""


# --- as lines ---


def _dumped(loaded: Files) -> str:
    rows = (
        f"{each.stamp}\t{each.digest}\t{path}" for path, each in loaded.entries.items()
    )
    return _encoded("\n".join((loaded.worker, *rows, "")))


def _recorded() -> Files:
    worker, _newline, text = _decoded(durable.read_text(LOADED)).partition("\n")
    whole = (line for line in text.split("\n") if line.count("\t") > 1)
    rows = (line.split("\t", 2) for line in whole)
    return Files(worker, {path: Entry(stamp, digest) for stamp, digest, path in rows})


def _encoded(text: str) -> str:
    return os.fsencode(text).decode("latin-1")


def _decoded(text: str) -> str:
    return os.fsdecode(text.encode("latin-1"))
