"""The HAProxy that runs the live file, read from /proc into one value."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, NamedTuple

from haproxy_apply import admin_socket, command_line, durable
from haproxy_apply.files import LiveFile, is_same_file, loaded
from haproxy_apply.state import Identity

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from haproxy_apply.command_line import CommandLine

MASTER_WORKER, DAEMON, FOREGROUND = "master-worker", "daemon", "foreground"

# Fields of /proc/<pid>/stat after the name, counted from the state (proc(5)).
_STATE, _PARENT, _FLAGS, _START = 0, 1, 6, 19
_FORKED = (
    0x40  # PF_FORKNOEXEC: of a daemon, and not of the process that somebody started
)
# What systemd sets, and what HAProxy 2.2 to 3.2 does (configuration manual, 2.3 "Environment variables").
# All else that begins with HAPROXY_ is somebody's own, which a config may well use.
_NOT_ITS_OWN = re.compile(
    r"LISTEN_|NOTIFY_SOCKET$|HAPROXY_(?:MWORKER|STARTUP_?LOGS|STARTUP_VERSION$|LOAD_SUCCESS$|PROCESSES$|LOCALPEER$"
    r"|CFGFILES$|CLI$|MASTER_CLI$|BRANCH$|(?:HTTPS?|TCP|HTTP_CLF|TCP_CLF)_LOG_FMT$)"
)
_INIT = frozenset({0, 1})  # 0: outside of our process namespace


class Process(NamedTuple):
    """One HAProxy process."""

    pid: int
    parent: int
    start: int  # in clock ticks since boot
    command: CommandLine
    has_forked: bool = False  # since it was started, or its parent did

    @property
    def is_in_foreground(self) -> bool:
        """Whether it is itself what somebody started and may be waiting for. Of a master only its options tell."""
        stays = self.command.stays
        return stays or (stays is None and not self.has_forked)

    @property
    def has_supervisor(self) -> bool:
        """Whether somebody who started it lives, and may start it again."""
        return self.is_in_foreground and self.parent not in _INIT


class Service(NamedTuple):
    """The HAProxy that runs the live file, with all that is left of those before."""

    root: Process  # the master, or the daemon
    worker: Identity | None  # the newest one
    workers: tuple[int, ...]  # that one and those that still finish
    roots: tuple[int, ...]
    masters: frozenset[int]
    command: CommandLine
    held: tuple[
        Process, ...
    ] = ()  # single processes in the foreground, which may serve

    @property
    def style(self) -> str:
        """How it runs."""
        if self.command.master_mode:
            return MASTER_WORKER
        return FOREGROUND if self.root in self.held else DAEMON

    @property
    def worker_pid(self) -> int:
        """The newest worker's; 0 where there is none, a process that nobody has."""
        return self.worker.pid if self.worker else 0

    def answers_on(self, path: str) -> bool:
        """Whether it is its worker that answers on this stats socket; on no socket nobody does."""
        return admin_socket.is_answered_by(path, self.worker_pid)

    @property
    def processes(self) -> frozenset[int]:
        """All that were there when this was found; any other one is new."""
        return frozenset({self.root.pid, *self.workers, *self.roots})

    def has_new_worker(self, before: Service) -> bool:
        """Whether there is a worker that was not there before."""
        return self.worker is not None and self.worker.pid not in before.processes

    @property
    def master_socket_path(self) -> str:
        """Where the master can be asked; empty: nowhere."""
        return self.command.master_socket.partition(",")[0]


class Discovery:
    """Finds the HAProxy that runs the live file, as often as it is asked; remembers what it saw the last time."""

    def __init__(self, live: LiveFile, boot: str) -> None:
        self._live = live
        self._boot = boot
        self._pid_files: tuple[str, ...] | None = None
        self.last: Service | None = None  # what `find` said
        self.style = ""  # how it ran when it was last there
        self.other_file = ""  # that a HAProxy runs with which is not this one

    def name_pid_files(self, *paths: str) -> None:
        """The pid files that the old and the new config name, for who runs without -p."""
        self._pid_files = paths

    def find(self) -> Service | None:
        """The service now; None where nothing runs the live file."""
        running = tuple(_running())
        processes = tuple(filter(self._serves, running))
        self.other_file = _last_file(each for each in running if each not in processes)
        self.last = self._service(processes) if processes else None
        self.style = self.last.style if self.last else self.style
        return self.last

    def _serves(self, process: Process) -> bool:
        """Whether one of its -f is the live file, or the directory that holds it."""
        cwd = f"/proc/{process.pid}/cwd"
        for file in process.command.files:
            path = os.path.join(cwd, file)
            directories = self._live.directories
            if self._live.is_meant_by(path) or any(
                is_same_file(path, each) for each in directories
            ):
                return True
        return False

    def _service(self, processes: tuple[Process, ...]) -> Service:
        pids = {each.pid for each in processes}
        roots = [each for each in processes if each.parent not in pids]
        root = max(roots, key=self._rank) if len(roots) > 1 else roots[0]
        children = [each for each in processes if each.parent == root.pid]
        command = _with_mode(root, self._live) if children else root.command
        if command.master_mode:
            newest = max(children, key=_start, default=None)
            workers = [each for each in processes if each != root]
        else:
            newest, workers = root, roots
        return Service(
            root=root,
            worker=newest and Identity(newest.pid, newest.start, self._boot),
            workers=_pids(workers),
            roots=_pids(roots),
            masters=frozenset(_pids(filter(_is_master, roots))),
            command=command,
            held=tuple(_held(roots, root, command)),
        )

    def _rank(self, process: Process) -> tuple[int, int]:
        """Of several, the one that its pid file names is the service, else a master, else the newest."""
        rank = int(_is_master(process))
        own = process.command.pid_file
        pid_files = (own,) if own else self._configured_pid_files()
        if any(_pid_in(path) == process.pid for path in pid_files):
            rank = 2
        return rank, process.start

    def _configured_pid_files(self) -> tuple[str, ...]:
        if self._pid_files is None:
            from haproxy_apply.model import read

            self._pid_files = read(durable.read_text(self._live.path)).pid_files
        return self._pid_files


def _with_mode(root: Process, live: LiveFile) -> CommandLine:
    """A daemon has children too, for a moment: those of `external-check`; its files say whether it is a master."""
    if root.command.master_mode:
        return root.command
    from haproxy_apply.model import read

    cwd = f"/proc/{root.pid}/cwd"
    files = (os.path.join(cwd, file) for file in root.command.files)
    texts = map(durable.read_text, loaded(files, live))
    if any(read(text).has_master for text in texts):
        return root.command._replace(master_mode="-W")
    return root.command


def _held(
    roots: Iterable[Process], root: Process, command: CommandLine
) -> Iterator[Process]:
    """Those in the foreground that have no workers."""
    for each in roots:
        mode = command.master_mode if each == root else each.command.master_mode
        if each.is_in_foreground and not mode:
            yield each


def _last_file(processes: Iterable[Process]) -> str:
    """The last one that any of them has; empty for none."""
    files = [file for each in processes for file in each.command.files]
    return ["", *files][-1]


def _pid_in(path: str) -> int:
    """The process that a pid file names; 0 for none."""
    first = durable.read_text(path).split(None, 1)[:1] if path else []
    return int(first[0]) if first and first[0].isdecimal() else 0


def _start(process: Process) -> int:
    return process.start


def _is_master(process: Process) -> bool:
    return process.command.master_mode != ""


def _pids(processes: Iterable[Process]) -> tuple[int, ...]:
    return tuple(each.pid for each in processes)


def _running() -> Iterator[Process]:
    """Every HAProxy that is no container's and no zombie."""
    for name in os.listdir("/proc"):
        if name.isdecimal() and _is_haproxy(name):
            process = process_of(int(name))
            if process:
                yield process


def _is_haproxy(pid: str) -> bool:
    try:
        with open(f"/proc/{pid}/comm", "rb") as file:
            name = file.read()
    except OSError:
        return False
    return name.startswith(b"haproxy") and all(
        is_same_file(f"/proc/{pid}/ns/{kind}", f"/proc/self/ns/{kind}")
        for kind in ("net", "pid")
    )


def process_of(pid: int) -> Process | None:
    """What runs as this; None where it is gone, a zombie, or nothing that looks like a HAProxy."""
    fields = durable.read_text(f"/proc/{pid}/stat").rpartition(") ")[2].split()
    if not fields or fields[_STATE] == "Z":
        return None
    words = [
        os.fsdecode(word)
        for word in (durable.read(f"/proc/{pid}/cmdline") or b"").split(b"\0")[:-1]
    ]
    command = command_line.parse(words)
    running = _running_file(pid)
    if command is None or not (_has_name(command.binary) or _has_name(running)):
        return None
    binary = _binary(command.binary, running)
    return Process(
        pid=pid,
        parent=int(fields[_PARENT]),
        start=int(fields[_START]),
        command=command._replace(binary=binary),
        has_forked=int(fields[_FLAGS]) & _FORKED != 0,
    )


def _has_name(file: str) -> bool:
    """Whether HAProxy's may be called so. A script has its shell's in both places, whatever its own is."""
    return os.path.basename(file).startswith("haproxy")


def _binary(named: str, running: str) -> str:
    """What it runs; by its own word where that can be started again, since an upgrade replaces that file."""
    can_start = named.startswith("/") and os.access(named, os.X_OK)
    return named if can_start else running or named


def _running_file(pid: int) -> str:
    """By the kernel; empty where the process is gone."""
    try:
        running = os.readlink(f"/proc/{pid}/exe")
    except OSError:
        return ""
    deleted = " (deleted)"
    return running[: -len(deleted)] if running.endswith(deleted) else running


def environment(pid: int) -> dict[str, str]:
    """The environment of a process, without what its service manager and HAProxy itself put there."""
    pairs = (durable.read(f"/proc/{pid}/environ") or b"").split(b"\0")
    split = (os.fsdecode(pair).partition("=") for pair in pairs if b"=" in pair)
    return {
        name: value for name, _equals, value in split if not _NOT_ITS_OWN.match(name)
    }
