"""The config on its way from the download to the live file, and back."""

from __future__ import annotations

import hashlib
import os
import re
from contextlib import suppress
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from haproxy_apply import PROJECT, durable
from haproxy_apply.errors import failed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from haproxy_apply.errors import Ended
    from haproxy_apply.request import Request

KEEP_BACKUPS = 5
MISMATCH = "checksum-mismatch"
DOWNLOAD = "haproxy.cfg"  # in the working directory, where the agent puts it
CHECKED = "candidate.cfg"  # beside it: what a check gives HAProxy to read
TRIED = "binds.cfg"  # the addresses that are tried

_NEW = "new"
# The name of a file that HAProxy reads in a directory: the first `.cfg` in it is its end (`cfgparse.c`).
_CONFIG = re.compile(r"(?!\.)(?:(?!\.cfg).)*\.cfg", re.DOTALL)
_LABELS = ("security.selinux", "system.posix_acl_access")


class LiveFile(NamedTuple):
    """The config that HAProxy is to run, where it really is, and how it was found."""

    config_path: str  # as the command names it: may be a link
    path: str
    md5: str  # empty: there is none

    @property
    def directory(self) -> str:
        """Where the file is."""
        return os.path.dirname(self.path)

    @property
    def candidate(self) -> str:
        """Where the next file is made ready: a rename away."""
        return _hidden(self.path, _NEW)

    @property
    def names(self) -> tuple[str, ...]:
        """Those beside which backups are: that of the command, which may be a link, and the file's own."""
        return tuple(dict.fromkeys((self.config_path, self.path)))

    @property
    def directories(self) -> tuple[str, ...]:
        """Where these names are."""
        return tuple(map(os.path.dirname, self.names))

    @property
    def scratch(self) -> tuple[str, ...]:
        """What only a run that was killed leaves: files that are made ready, each a rename away from its place."""
        return (self.candidate, *map(_saved, self.names))

    def is_meant_by(self, file: str) -> bool:
        """Whether this is the name of the live file, which need not exist yet."""
        return file == self.config_path or is_same_file(file, self.path)


def _saved(name: str) -> str:
    """Where a backup beside this name is made ready."""
    return _hidden(name, "old")


def _hidden(path: str, suffix: str) -> str:
    """A name beside this one."""
    directory, name = os.path.split(path)
    return f"{directory}/.{name}.{PROJECT}.{suffix}"


def is_candidate(path: str) -> bool:
    """Whether this is what HAProxy reads as the candidate, of an apply or of a check."""
    return path.endswith((f".{PROJECT}.{_NEW}", f"/{CHECKED}"))


class Backup(NamedTuple):
    """A file to go back to."""

    path: str
    md5: str


def is_same_file(one: str, other: str) -> bool:
    """Whether both names are there and mean one file."""
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False


def md5_of(content: bytes | None) -> str:
    """The digest that hosts compare; empty for no file. It protects nothing, so FIPS may allow it."""
    if content is None:
        return ""
    try:
        return hashlib.md5(content, usedforsecurity=False).hexdigest()
    except TypeError:  # Python 3.8
        return hashlib.md5(content).hexdigest()  # noqa: S324


def find_live_file(config_path: str) -> LiveFile:
    """The live file: where the path is a link, what it links to."""
    path = os.path.realpath(config_path) if os.path.islink(config_path) else config_path
    return LiveFile(config_path, path, md5_of(durable.read(path)))


def name_of(live: LiveFile, files: Iterable[str]) -> str:
    """The name by which a HAProxy with these files finds the live one."""
    return next(filter(live.is_meant_by, loaded(files, live)), live.config_path)


def loaded(files: Iterable[str], live: LiveFile) -> Iterator[str]:
    """The files as HAProxy reads them once the live one is there."""
    for file in files:
        if os.path.isdir(file):
            yield from _configs_in(file, live)
        else:
            yield file


def _configs_in(directory: str, live: LiveFile) -> Iterator[str]:
    """Those that HAProxy reads of a directory, in its order; there may be none."""
    own = (
        name for name in live.names if is_same_file(os.path.dirname(name), directory)
    )
    names = {*os.listdir(directory), *map(os.path.basename, own)}
    named = filter(_CONFIG.fullmatch, sorted(names))
    return filter(_is_read, (os.path.join(directory, name) for name in named))


def _is_read(path: str) -> bool:
    """Whether HAProxy reads this in a directory; of a link to nowhere it says so itself."""
    return os.path.isfile(path) or not os.path.exists(path)


def download(request: Request) -> bytes:
    """The config that came with the command. `Ended`: `download-missing`, `checksum-mismatch`."""
    content = durable.read(DOWNLOAD)
    if content is None:
        raise failed(14, "download-missing", f"no {DOWNLOAD} in {os.getcwd()}")
    check_md5(content, request.md5)
    return content


def check_md5(content: bytes, md5: str) -> None:
    """`Ended`: `checksum-mismatch`, where the download is not what was published."""
    downloaded = md5_of(content)
    if downloaded != md5:
        raise failed(15, MISMATCH, f"MD5 of the download is {downloaded}")


def has_room(directory: str, *sizes: int) -> bool:
    """Whether root can write files of so many bytes there, or where it is to be made, as far as that is known before.

    It looks and tries nothing.
    """
    while directory != "/" and not os.path.isdir(directory):
        directory = os.path.dirname(directory)
    is_writable = os.access(directory, os.W_OK | os.X_OK)
    return is_writable and _is_free(os.statvfs(directory), sizes)


def has_room_for(live: LiveFile, new: int, old: int) -> bool:
    """Whether there is room for a candidate and a backup of so many bytes, as far as that is known before."""
    own = live.directory
    backup = (
        (each, (new, old) if each == own else (old,)) for each in live.directories
    )
    return has_room(own, new) and any(has_room(each, *sizes) for each, sizes in backup)


def _is_free(found: os.statvfs_result, sizes: Sequence[int]) -> bool:
    """Whether a filesystem has room for such files; one that counts no files has for any number."""
    needed = sum(-(-size // found.f_frsize) for size in sizes)
    names = found.f_ffree if found.f_files else len(sizes)
    return found.f_bfree >= needed and names >= len(sizes)


def make_candidate(live: LiveFile, content: bytes, sha256: str) -> str:
    """The content beside the live file, durable, with the live file's owner, mode and label; its path.

    `Ended`: `cannot-write`; `checksum-mismatch` if the copy has not this SHA-256.
    """
    durable.remove(*live.scratch)
    try:
        _write_like(live, content)
    except OSError:
        raise cannot_write(live) from None
    check_sha256(durable.read(live.candidate) or b"", sha256)
    return live.candidate


def set_owner_and_mode(path: str, live: LiveFile) -> None:
    """As the live file has them, so that who may read that may read this."""
    owner, group, mode = _owner_and_mode(live)
    os.chown(path, owner, group)
    os.chmod(path, mode)


def check_sha256(content: bytes, sha256: str) -> None:
    """`Ended`: `checksum-mismatch`, where the copy is not what was published."""
    copied = hashlib.sha256(content).hexdigest()
    if copied != sha256:
        raise failed(15, MISMATCH, f"SHA-256 of the copy is {copied}")


def cannot_write(live: LiveFile) -> Ended:
    """The failure where the candidate finds no place, to be raised."""
    detail = f"no room or no right to write in {live.directory}"
    return failed(18, "cannot-write", detail)


def _write_like(live: LiveFile, content: bytes) -> None:
    with durable.create(live.candidate) as file:
        descriptor = file.fileno()
        file.write(content)
        file.flush()
        owner, group, mode = _owner_and_mode(live)
        os.fchown(descriptor, owner, group)
        os.fchmod(descriptor, mode)
        os.fsync(descriptor)
    if live.md5:
        _copy_labels(live.path, live.candidate)


def _owner_and_mode(live: LiveFile) -> tuple[int, int, int]:
    """Root's, for everybody to read, where there is none yet."""
    if not live.md5:
        return 0, 0, 0o644
    found = os.stat(live.path)
    return found.st_uid, found.st_gid, found.st_mode & 0o7777


def _copy_labels(source: str, target: str) -> None:
    """SELinux label and access list, as far as they are there and can be set."""
    for name in _LABELS:
        with suppress(OSError):
            os.setxattr(target, name, os.getxattr(source, name))


def back_up(live: LiveFile) -> Backup | None:
    """A copy that appears whole, as old as the file itself; the newest five stay. `Ended`: `cannot-write`.

    Beside the name that the command has, or, where that is a link and its directory takes nothing, beside the file.
    """
    if not live.md5:
        return None
    from time import gmtime, strftime

    stamp = strftime("%Y%m%dT%H%M%SZ", gmtime())
    paths = (f"{name}.{stamp}.{live.md5[:8]}.bak" for name in live.names)
    found = zip(paths, map(_saved, live.names))
    path = next((path for path, saved in found if _is_backed_up(live, saved, path)), "")
    if not path:
        places = " nor ".join(live.directories)
        raise failed(18, "cannot-write", f"no room for a backup in {places}")
    durable.remove(*backups(live)[:-KEEP_BACKUPS])
    return Backup(path, live.md5)


def _is_backed_up(live: LiveFile, saved: str, path: str) -> bool:
    """Whether the live file has this backup now, made ready there."""
    try:
        _copy(live.path, saved)
        os.replace(saved, path)
    except OSError:
        durable.remove(saved)
        return False
    return True


def backups(live: LiveFile, digest_start: str = "????????") -> list[str]:
    """Every backup, or those of one digest, oldest first."""
    from glob import escape, glob

    ends = f".[0-9]*Z.{digest_start}.bak"
    found = (glob(f"{escape(name)}{ends}") for name in live.names)
    return sorted(chain.from_iterable(found), key=_stamp)


def _stamp(backup: str) -> str:
    return backup.rsplit(".", 3)[1]


def find_backup(live: LiveFile, md5: str) -> Backup | None:
    """The newest backup with this digest; None if there is none, or it is what is live."""
    if not md5 or md5 == live.md5:
        return None
    for path in reversed(backups(live, md5[:8])):
        if md5_of(durable.read(path)) == md5:
            return Backup(path, md5)
    return None


def install(live: LiveFile) -> None:
    """The candidate becomes the live file, by one rename. `Ended`: `cannot-write`."""
    try:
        os.replace(live.candidate, live.path)
    except OSError:
        raise failed(18, "cannot-write", f"rename to {live.path}") from None
    durable.sync_directory(live.directory)


def restore(live: LiveFile, backup: Backup | None) -> None:
    """The backup becomes the live file, by one rename; None: there was no file (`OSError`)."""
    if backup is None:
        durable.remove(live.path)
    else:
        _copy(backup.path, live.candidate)
        os.replace(live.candidate, live.path)
    durable.sync_directory(live.directory)


def _copy(source: str, target: str) -> None:
    """As `cp -p`: content, owner, mode, times and label."""
    found = os.stat(source)
    with open(source, "rb") as file, durable.create(target) as copy:
        copy.write(file.read())
        copy.flush()
        _keep_attributes(copy.fileno(), found)
        os.fsync(copy.fileno())
    _copy_labels(source, target)


def _keep_attributes(descriptor: int, found: os.stat_result) -> None:
    os.fchown(descriptor, found.st_uid, found.st_gid)
    os.fchmod(descriptor, found.st_mode & 0o7777)
    os.utime(descriptor, ns=(found.st_atime_ns, found.st_mtime_ns))
