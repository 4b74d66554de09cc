"""Before a reload the worker is told what the new file says of its servers: afterwards it takes no command any more.

An old worker serves its clients to their end, by the list that it has. Servers that leave go into maintenance there,
which lets their sessions end and closes what is pooled; drains and weights are those of the new file.
What was so before is on the disk first, so that a reload that fails, or a kill, changes nothing.
"""

from __future__ import annotations

from itertools import accumulate, groupby
from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple

from haproxy_apply import admin_socket, durable
from haproxy_apply.config_lines import NOT_UNDERSTOOD
from haproxy_apply.processes import process_of
from haproxy_apply.server_state import (
    CHK_ST_ENABLED,
    SRV_ADMF_DRAIN,
    SRV_ADMF_FMAINT,
    backend_of,
    entry,
    is_same_number,
    number,
    rows,
    spelt_out,
    words,
)
from haproxy_apply.state import TOLD, Identity, boot_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from haproxy_apply.host import Host
    from haproxy_apply.journal import Journal
    from haproxy_apply.model import Model, Server
    from haproxy_apply.processes import Service
    from haproxy_apply.server_state import Row

NOT_TOLD = "old-workers-not-told"
_AT_ONCE = 4096  # characters of a line: HAProxy reads it into one buffer, of 16384 unless the file says otherwise
_MAINT, _DRAIN, _READY, _WEIGHT = "state maint", "state drain", "state ready", "weight"
_SESSIONS_END = "on-marked-down"
_RECORD_WORDS = 5
_PAIR = 2  # a line of each file


class Told(NamedTuple):
    """What a worker is told of a server, and what undoes it, in the words of `set server`."""

    name: str  # backend/server
    said: str
    was: str

    def is_so(self, row: Row) -> bool:
        """Whether the server still is what it was told to be: nobody has had another wish since."""
        if self.said == _MAINT:
            return row.admin & SRV_ADMF_FMAINT != 0
        if self.said == _DRAIN:
            return row.admin & SRV_ADMF_DRAIN != 0
        return self.said == f"{_WEIGHT} {row.srv_uweight}"


class Record(NamedTuple):
    """What one worker was told."""

    worker: str  # its identity
    path: str  # of its stats socket
    told: tuple[Told, ...]

    @property
    def pid(self) -> int:
        """Of the worker."""
        return number(self.worker.partition(" ")[0]) or 0


# --- what there is to tell ---


def wishes(present: Model, awaited: Model) -> dict[str, str]:
    """By server of the present file what the next one newly wants of it: to leave, stop, drain, weigh more or less.

    Those of which the files do not say enough are left out: variables, conditions, templates.
    """
    after = _by_name(awaited)
    unclear = _unclear(present, awaited)
    every = {
        name: _wish(servers, after.get(name, ()))
        for name, servers in _by_name(present).items()
        if not name.endswith("*") and (name in after or backend_of(name) not in unclear)
    }
    return {name: wish for name, wish in every.items() if wish}


def _by_name(model: Model) -> dict[str, tuple[Server, ...]]:
    found: dict[str, tuple[Server, ...]] = {}
    for server in model.servers:
        found[server.name] = (*found.get(server.name, ()), server)
    return found


def _unclear(present: Model, awaited: Model) -> frozenset[str]:
    """Backends whose new servers may have any name."""
    known = frozenset(present.servers)
    return frozenset(
        backend_of(server.name)
        for server in awaited.servers
        if not server.is_plain and server not in known
    )


def _wish(before: tuple[Server, ...], after: tuple[Server, ...]) -> str:
    if not after:
        return _end_of(before[0])
    return _difference(before[0], after[0]) if len(before + after) == _PAIR else ""


def _difference(before: Server, after: Server) -> str:
    if any(map(_is_vague, (before, after))):
        return ""
    if _place(before) != _place(after) or after.is_disabled > before.is_disabled:
        return _end_of(before)
    is_same = is_same_number(before.weight, after.weight)
    return "" if is_same else f"{_WEIGHT} {number(after.weight)}"


def _end_of(server: Server) -> str:
    """Maintenance, unless that would end its sessions."""
    return _DRAIN if _SESSIONS_END in dict(server.keywords) else _MAINT


def _is_vague(server: Server) -> bool:
    text = "".join(server[:4]) + server.options
    return "$" in text or NOT_UNDERSTOOD in words(server.options)


def _place(server: Server) -> tuple[str, int | str]:
    port = number(server.port)
    return spelt_out(server.address), server.port if port is None else port


# --- what of it can be told ---


def possible(
    every: dict[str, str], running: Iterable[Row], present: Model, awaited: Model
) -> tuple[Told, ...]:
    """The wishes that the worker does not fulfil yet, as long as another server of the backend goes on.

    Where a whole pool is replaced, nobody would serve until the new worker does.
    """
    going = frozenset(name for name, wish in every.items() if _takes_out(wish))
    remaining = _Remaining.of(going, running, awaited)
    out = frozenset(
        server.name
        for server in present.servers
        if server.name in going and remaining.can_do_without(server)
    )
    may = _alone(out, present)
    arrived = _moved(present, awaited)
    return tuple(
        told
        for row in running
        if row.name in may or not _takes_out(every.get(row.name, ""))
        for told in _told(row, every.get(row.name, ""))
        if _shown(row) != arrived.get(row.name)
    )


def _takes_out(wish: str) -> bool:
    return wish in {_MAINT, _DRAIN, f"{_WEIGHT} 0"}


class _Remaining(NamedTuple):
    """Backends with servers that are UP and go on, in the new file too."""

    up: frozenset[str]
    active: frozenset[str]  # with one that is no backup
    planned: frozenset[
        str
    ]  # that have one which is no backup in the new file; elsewhere the backups serve

    @classmethod
    def of(
        cls, going: frozenset[str], running: Iterable[Row], awaited: Model
    ) -> _Remaining:
        """Of what the worker says."""
        after = _by_name(awaited)
        active = {each.name for each in awaited.servers if not each.is_backup}
        up = {row.name for row in running if row.is_up} - going
        staying = {name for name in up if entry(after, name)}
        return cls(_backends(staying), _backends(staying & active), _backends(active))

    def can_do_without(self, server: Server) -> bool:
        """Whether another one serves at once; a backup only in place of one, or where the new file has no other."""
        backend = backend_of(server.name)
        if server.is_backup or backend not in self.planned:
            return backend in self.up
        return backend in self.active


def _backends(names: Iterable[str]) -> frozenset[str]:
    return frozenset(map(backend_of, names))


def _alone(out: frozenset[str], present: Model) -> frozenset[str]:
    """Without those that another server tracks which stays: it would go out with them."""
    kept = {server.tracked for server in present.servers if server.name not in out}
    left = out - kept
    return left if left == out else _alone(left, present)


def _told(row: Row, wish: str) -> Iterator[Told]:
    if not wish or row.is_in_maintenance:
        return
    if wish.startswith(_WEIGHT):
        if wish != f"{_WEIGHT} {row.srv_uweight}":
            yield Told(row.name, wish, f"{_WEIGHT} {row.srv_uweight}")
    elif not row.is_stopped and (wish == _MAINT or not row.admin & SRV_ADMF_DRAIN):
        yield Told(row.name, wish, _DRAIN if row.admin & SRV_ADMF_DRAIN else _READY)


def _moved(present: Model, awaited: Model) -> dict[str, tuple[str, int | str]]:
    """Where the new file has the servers that it moves: one that is there already is not sent away."""
    before = {server.name: _place(server) for server in present.servers}
    after = {server.name: _place(server) for server in awaited.servers}
    return {
        name: place for name, place in after.items() if before.get(name, place) != place
    }


def _shown(row: Row) -> tuple[str, int | str]:
    return spelt_out(row.srv_addr), number(row.srv_port) or 0


# --- telling it ---


def settle(host: Host, service: Service, present: Model, awaited: Model) -> None:
    """The present worker, which is to become an old one, knows of its servers what the new file says."""
    every = wishes(present, awaited)
    if every and not _settle(host.journal, service, present, awaited, every):
        host.journal.note(NOT_TOLD)


def _settle(
    journal: Journal,
    service: Service,
    present: Model,
    awaited: Model,
    every: dict[str, str],
) -> bool:
    socket = present.stats_socket
    if service.worker is None or not socket.is_admin:
        return False
    running = _rows(socket.path, service.worker.pid)
    told = possible(every, running, present, awaited)
    if not told:
        return running != ()
    try:
        _remember(service.worker, socket.path, told)
    except OSError:
        return False
    commands = [_set(each.name, each.said) for each in told]
    return _tell(journal, socket.path, service.worker.pid, commands)


def _rows(path: str, pid: int) -> tuple[Row, ...]:
    return rows(admin_socket.servers_of(path, pid)[1])


def _set(name: str, said: str) -> str:
    return f"set server {name} {said}"


def _tell(journal: Journal, path: str, pid: int, commands: Iterable[str]) -> bool:
    """Whether it heard all and obeyed: it is silent then."""
    answers = [admin_socket.answer_of(path, pid, part) for part in parts(commands)]
    refusals = "".join(said for _info, said in answers).strip()
    if refusals:
        journal.add(refusals)
    return not refusals and all(info for info, _said in answers)


def parts(commands: Iterable[str]) -> Iterator[str]:
    """All commands in few lines, each of which HAProxy reads at once."""
    every = list(commands)
    lines = (end // _AT_ONCE for end in accumulate(map(len, every)))
    for _line, pairs in groupby(zip(lines, every), key=itemgetter(0)):
        yield ";".join(command for _line, command in pairs)


# --- undoing it ---


def undo(journal: Journal) -> None:
    """After a reload that failed: whatever the worker was told is as it was, unless it serves no more."""
    _undo(journal, is_stale=False)


def recover(journal: Journal) -> None:
    """The same after a run that was killed, however long ago: nobody has checked these servers since."""
    _undo(journal, is_stale=True)


def _undo(journal: Journal, *, is_stale: bool) -> None:
    """It is the told worker that is asked, whoever is found to serve; the record stays until that obeys or is gone."""
    record = recorded()
    if record is None:
        return
    running = _rows(record.path, record.pid)
    commands = _undoing(record, running, is_stale=is_stale)
    is_undone = bool(running) and _tell(journal, record.path, record.pid, commands)
    if is_undone or not _lives(record):
        forget()


def _lives(record: Record) -> bool:
    process = process_of(record.pid)
    if process is None:
        return False
    return str(Identity(process.pid, process.start, boot_id())) == record.worker


def _undoing(
    record: Record, running: tuple[Row, ...], *, is_stale: bool
) -> Iterator[str]:
    by_name = {row.name: row for row in running}
    up = {row.be_name for row in running if row.is_up}
    for told in record.told:
        row = by_name.get(told.name)
        if row and told.is_so(row):
            waits = is_stale and row.be_name in up and _is_checked(row)
            yield from _back(told, waits=waits)


def _is_checked(row: Row) -> bool:
    return (number(row.srv_check_state) or 0) & CHK_ST_ENABLED != 0


def _back(told: Told, *, waits: bool) -> Iterator[str]:
    """What it was; where it `waits` it is DOWN until a check is good."""
    if waits and told.said == _MAINT and told.was == _READY:
        yield _set(told.name, _DRAIN)
        yield _set(told.name, "health down")
    yield _set(told.name, told.was)


# --- the record ---


def recorded() -> Record | None:
    """What a worker was told by a reload that has not come to its end."""
    head, *lines = durable.read_text(TOLD).splitlines() or [""]
    worker, tab, path = head.partition("\t")
    if not tab:
        return None
    said = (line.split(" ") for line in lines)
    told = (
        Told(each[0], " ".join(each[1:3]), " ".join(each[3:]))
        for each in said
        if len(each) == _RECORD_WORDS
    )
    return Record(worker, path, tuple(told))


def _record_of(worker: Identity | None) -> Record | None:
    record = recorded()
    return record if record and record.worker == str(worker) else None


def names_told(service: Service) -> frozenset[str]:
    """The servers of which the present worker says what it was told, so that nothing of it is carried over."""
    record = _record_of(service.worker)
    return frozenset(told.name for told in record.told) if record else frozenset()


def _remember(worker: Identity, path: str, every: Iterable[Told]) -> None:
    """On the disk when it returns (`OSError`); what a server was at first is what is gone back to."""
    earlier = _record_of(worker)
    first = {told.name: told for told in (earlier.told if earlier else ())}
    told = [each._replace(was=first.get(each.name, each).was) for each in every]
    kept = {**first, **{each.name: each for each in told}}
    lines = (f"{worker}\t{path}", *map(" ".join, kept.values()))
    durable.write_text(TOLD, "".join(f"{line}\n" for line in lines))


def forget() -> None:
    """Nothing is to be undone any more."""
    durable.remove(TOLD)
