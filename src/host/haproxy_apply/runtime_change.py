"""A change of servers without a new process: what has to be said over the stats socket, and saying it.

The commands are those of the Runtime API (HAProxy's management guide). None of them costs a client its session, and
while a server moves, another one of its backend is up.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from haproxy_apply.server_state import (
    Connections,
    backend_of,
    connections,
    is_same_number,
    passed,
    rows,
    runs,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from haproxy_apply.journal import Journal
    from haproxy_apply.model import Model, Server
    from haproxy_apply.server_state import Row

MAX_STEPS = 50  # a longer change is a reload
WARM_SECONDS = 4  # for the first good check; a later one brings a server up by itself

_PAUSE = 0.2  # seconds between two looks
_DELETIONS = 5  # how often a busy server is asked to go
# A server of a file has a pool of idle connections; one that is added to HAProxy 2.6 has none unless told so.
_POOL_DEFAULTS = {"pool-purge-delay": "5s", "pool-max-conn": "-1"}
_BY_HASH = re.compile(r"""balance[ \t]+["']?random|hash-type[ \t]+["']?consistent""")
_SECTIONS = frozenset({
    "global", "defaults", "frontend", "backend", "listen", "peers", "resolvers", "mailers", "userlist",
})  # fmt: skip
_IP_ADDRESS = re.compile(r"([0-9]+\.){3}[0-9]+|[0-9a-fA-F:]*:[0-9a-fA-F:.]*")
_PORT = re.compile(r"[0-9]+")


class Step(NamedTuple):
    """What one server needs; where it is added or changed, with what the new config says of it."""

    action: str  # forget, add, add-disabled, move, weigh, stop, resume or remove
    name: str  # backend/server
    address: str = ""
    port: str = ""
    weight: str = ""
    is_checked: bool = False
    options: str = ""


class Refused(Exception):
    """HAProxy did not do what it was told; the log says to what it answered what."""


# --- what to do ---


def fitting_steps(old: Model, new: Model, answer: str) -> tuple[Step, ...] | None:
    """The steps from the old config's servers to the new one's; None where a new process is needed.

    `answer` is that of the present worker to `show servers state`, and it has to run the old config's servers. Whether
    the configs differ in anything but servers, the caller knows.
    """
    found = _all_steps(old, new, answer)
    if found is None or len(found) > MAX_STEPS or not runs(answer, old):
        return None
    return found


def _all_steps(old: Model, new: Model, answer: str) -> tuple[Step, ...] | None:
    """All that differs, additions before removals; None where the Runtime API cannot do it, or does it with a loss."""
    servers = _Servers(_plain(old), _plain(new))
    running = rows(answer)
    if not _is_possible(servers, running):
        return None
    return (
        *_forgotten(servers, running),
        *(step for server in servers.changed for step in _steps_of(server, servers)),
        *(Step("remove", server.name) for server in servers.removed),
    )


def _forgotten(servers: _Servers, running: tuple[Row, ...]) -> list[Step]:
    """What an earlier change left in maintenance is in the way of one that adds it anew."""
    unknown = {row.name: None for row in running if row.name not in servers.before}
    return [Step("forget", name) for name in unknown]


class _Servers(NamedTuple):
    """The servers of both configs by name, as far as they are understood."""

    before: dict[str, Server]
    after: dict[str, Server]

    @property
    def changed(self) -> list[Server]:
        """Those that the new config adds or says otherwise."""
        return [
            server
            for name, server in self.after.items()
            if server != self.before.get(name)
        ]

    @property
    def removed(self) -> list[Server]:
        """Those that it does not name any more."""
        return [
            server for name, server in self.before.items() if name not in self.after
        ]


def _plain(model: Model) -> dict[str, Server]:
    return {server.name: server for server in model.servers if server.is_plain}


def _is_possible(servers: _Servers, running: tuple[Row, ...]) -> bool:
    remaining = _Remaining.of(servers, running)
    return not any(map(_ends_sessions, servers.removed)) and all(
        _has_address(server) and _can_change(server, servers.before, remaining)
        for server in servers.changed
    )


def _has_address(server: Server) -> bool:
    return bool(_IP_ADDRESS.fullmatch(server.address) and _PORT.fullmatch(server.port))


def _can_change(
    server: Server, earlier: dict[str, Server], remaining: _Remaining
) -> bool:
    before = earlier.get(server.name)
    if before is None:
        return True
    is_cut = _ends_sessions(server) and server.is_disabled != before.is_disabled
    if server.options != before.options or is_cut:
        return False
    return not _is_moved(server, before) or _can_move(server, before, remaining)


def _can_move(server: Server, before: Server, remaining: _Remaining) -> bool:
    """Whether it can be out of the balance for a moment, or until a check is good."""
    if server.is_disabled or before.is_disabled:
        return False
    return remaining.has_other(server.name) and not _ends_sessions(server)


class _Remaining(NamedTuple):
    """Who is up, and will be until the removals, which are the last steps of all."""

    names: frozenset[str]
    by_backend: Counter[str]

    @classmethod
    def of(cls, servers: _Servers, running: tuple[Row, ...]) -> _Remaining:
        """Of what the worker says, and what the steps will do to it."""
        names = frozenset(
            row.name
            for row in running
            if row.is_up
            and not _goes(servers.after.get(row.name), servers.before.get(row.name))
        )
        return cls(names, Counter(map(backend_of, names)))

    def has_other(self, name: str) -> bool:
        """Whether another one of its backend is among them."""
        return self.by_backend[backend_of(name)] > (name in self.names)


def _goes(server: Server | None, before: Server | None) -> bool:
    if server is None or before is None:
        return False
    is_drained = _is_weighed(server, before) and is_same_number(server.weight, "0")
    waits_for_check = _is_moved(server, before) and server.is_checked
    return server.is_disabled != before.is_disabled or is_drained or waits_for_check


def _ends_sessions(server: Server) -> bool:
    """Whether maintenance, which a step needs, would cost its clients their sessions."""
    return "on-marked-down" in dict(server.keywords)


def _steps_of(server: Server, servers: _Servers) -> list[Step]:
    before = servers.before.get(server.name)
    if before is None:
        return [_step("add-disabled" if server.is_disabled else "add", server)]
    differences = {
        "move": _is_moved(server, before),
        "weigh": _is_weighed(server, before),
        "stop" if server.is_disabled else "resume": (
            server.is_disabled != before.is_disabled
        ),
    }
    return [_step(action, server) for action, differs in differences.items() if differs]


def _is_moved(server: Server, before: Server) -> bool:
    is_same_port = is_same_number(server.port, before.port)
    return server.address != before.address or not is_same_port


def _is_weighed(server: Server, before: Server) -> bool:
    return not is_same_number(server.weight, before.weight)


def _step(action: str, server: Server) -> Step:
    return Step(
        action,
        server.name,
        server.address,
        server.port,
        server.weight,
        server.is_checked,
        server.options,
    )


def is_able(steps: Iterable[Step], ask: Callable[[str], str]) -> bool:
    """Whether the worker has the commands for these steps: HAProxy 2.2 cannot add a server, and has no such word."""
    if all(step.action not in {"add", "add-disabled"} for step in steps):
        return True
    try:
        return ask("add server").startswith("Require 'backend/server'")
    except OSError:
        return False


def takes_servers(old: Model, new: Model, version: str) -> bool:
    """Whether this HAProxy shares the load rightly with all servers that it would be given.

    By `random` or a consistent hash those that are added lose their share to each other: until 3.0, but for 2.8.25.
    """
    if _spreads_rightly(version):
        return True
    known = {server.name for server in old.servers}
    added = {backend_of(each.name) for each in new.servers if each.name not in known}
    return added.isdisjoint(_hashing(new.rest, added))


def _spreads_rightly(version: str) -> bool:
    found = re.match(r"([0-9]+)\.([0-9]+)(?:\.([0-9]+))?", version)
    if not found:
        return False
    numbers = tuple(int(each or 0) for each in found.groups())
    return numbers >= (3, 0, 0) or (2, 8, 25) <= numbers < (2, 9, 0)


def _hashing(rest: Iterable[str], backends: Iterable[str]) -> set[str]:
    """Those of the backends that share by a hash, as far as one can tell: all, where any `defaults` says so."""
    found: set[str] = set()
    keyword = name = ""
    for text in rest:
        said = text.split()
        if said[0] in _SECTIONS:
            keyword, name = said[0], "".join(said[1:2])
        if _BY_HASH.match(text):
            found.update(backends if keyword == "defaults" else [name])
    return found


# --- doing it ---


def carry_out(
    steps: tuple[Step, ...],
    ask: Callable[[str], str],
    journal: Journal,
    sleep: Callable[[float], None] = time.sleep,
) -> tuple[str, ...]:
    """Take the steps; returns the servers that stay in maintenance, since they are busy.

    `ask` gives the worker's answer to a command, or raises OSError where there is none.
    Raises Refused at the first command that was not obeyed; what was done by then stays done.
    """
    change = _Change(_Worker(ask, journal), journal, sleep)
    for step in steps:
        change.take(step)
    change.let_warm()
    change.let_leave()
    return tuple(change.staying)


def _with_pool(options: str) -> str:
    """The options with what HAProxy would take for its pool from a file."""
    said = options.split(" ")
    missing = [
        f"{word} {value}" for word, value in _POOL_DEFAULTS.items() if word not in said
    ]
    return " ".join(filter(None, (options, *missing)))


class _Worker:
    """The worker at the other end of the socket."""

    def __init__(self, ask: Callable[[str], str], journal: Journal) -> None:
        self.ask = ask
        self._journal = journal

    def obeys(self, command: str, expected: str = "") -> bool:
        """Whether it did it, as its answer says; `expected` is an expression, and silence unless stated."""
        try:
            answer = self.ask(command)
        except OSError:
            answer = "no answer"
        if re.fullmatch(expected, answer.strip(" \t\n\v\f\r"), re.DOTALL):
            return True
        self._journal.add(f"{command}: {answer}")
        return False

    def tell(self, command: str, expected: str = "") -> None:
        """Raises Refused where it does not do it."""
        if not self.obeys(command, expected):
            raise Refused(command)

    def deletes(self, name: str) -> bool:
        """Whether it deleted a server; one that has a connection is not even asked to go."""
        is_free = self.is_free(name)
        return is_free and self.obeys(f"del server {name}", r"Server deleted\.")

    def is_free(self, name: str) -> bool:
        """Whether no connection to it is used or kept, as far as this HAProxy counts them.

        What sessions kept that ended since maintenance began, only another beginning of it closes. Both commands are on
        one line, so that hardly a persistent session is led there in between. Raises Refused.
        """
        counted = self._connections(name)
        if counted.kept and not counted.used:
            server = f"set server {name} state"
            self.tell(f"{server} drain;{server} maint")
            counted = self._connections(name)
        return counted == Connections()

    def _connections(self, name: str) -> Connections:
        try:
            answer = self.ask(f"show servers conn {backend_of(name)}")
        except OSError:
            return Connections()
        return connections(answer).get(name, Connections())

    def passed(self) -> frozenset[str]:
        """Servers with a good check, as far as it says so."""
        try:
            return passed(self.ask("show servers state"))
        except OSError:
            return frozenset()


class _Change:
    """A change under way: who waits for a good check, who is to leave, who has to stay in maintenance."""

    def __init__(
        self, worker: _Worker, journal: Journal, sleep: Callable[[float], None]
    ) -> None:
        self._worker = worker
        self._journal = journal
        self._sleep = sleep
        self._warming: list[str] = []
        self._leaving: list[str] = []
        self.staying: list[str] = []

    def take(self, step: Step) -> None:
        """One step; removals wait until those that are added or moved had time to come up."""
        take = {
            "forget": self._forget,
            "add": self._add,
            "add-disabled": self._add_disabled,
            "move": self._move,
            "weigh": self._weigh,
            "stop": self._stop,
            "resume": self._warm,
            "remove": self._remove_later,
        }
        take[step.action](step)

    def _forget(self, step: Step) -> None:
        if not self._worker.deletes(step.name):
            self.staying.append(step.name)

    def _add(self, step: Step) -> None:
        self._add_disabled(step)
        self._warm(step)

    def _add_disabled(self, step: Step) -> None:
        address = f"[{step.address}]" if ":" in step.address else step.address
        options = _with_pool("" if step.options == "-" else step.options)
        words = f"add server {step.name} {address}:{step.port} weight {step.weight} {options}"
        self._worker.tell(words.rstrip(), r"New server registered\.")
        if "agent-check" in options.split(" "):
            self._worker.tell(f"enable agent {step.name}")

    def _move(self, step: Step) -> None:
        self._stop(step)
        self._let_finish(step)
        self._worker.tell(
            f"set server {step.name} addr {step.address} port {step.port}",
            ".*changed from.*",
        )
        self._warm(step)

    def _let_finish(self, step: Step) -> None:
        """A connection that is in use would be kept for later, and lead to where the server was."""
        for _ in range(_DELETIONS):
            if self._worker.is_free(step.name):
                return
            self._sleep(_PAUSE)
        self._journal.add(f"{step.name} still has connections, so it cannot move")
        raise Refused(step.name)

    def _weigh(self, step: Step) -> None:
        self._worker.tell(f"set server {step.name} weight {step.weight}")

    def _stop(self, step: Step) -> None:
        self._worker.tell(f"set server {step.name} state maint")

    def _warm(self, step: Step) -> None:
        """Out of maintenance, but DOWN until a check is good; a server that is never checked is ready."""
        server = f"set server {step.name}"
        if step.is_checked:
            # Leaving maintenance makes a server UP, so it leaves into drain, is put DOWN there, and only then is ready.
            self._worker.tell(f"{server} state drain")
            self._worker.tell(f"enable health {step.name}")
            self._worker.tell(f"{server} health down")
            self._warming.append(step.name)
        self._worker.tell(f"{server} state ready")

    def _remove_later(self, step: Step) -> None:
        self._leaving.append(step.name)

    def let_warm(self) -> None:
        """Servers with a good check are up at once; those without one in time come up by themselves."""
        for _ in range(round(WARM_SECONDS / _PAUSE)):
            if not self._warming:
                return
            self._sleep(_PAUSE)
            good = self._worker.passed()
            self._warming = [
                name
                for name in self._warming
                if name not in good
                or not self._worker.obeys(f"set server {name} health up")
            ]
        if self._warming:
            self._journal.note("servers-not-up-yet")

    def let_leave(self) -> None:
        """Out of the balance now; deleted once idle, or left in maintenance, where nothing reaches them."""
        for name in self._leaving:
            self._worker.tell(f"set server {name} state maint")
        for _ in range(_DELETIONS):
            self._leaving = [
                name for name in self._leaving if not self._worker.deletes(name)
            ]
            if not self._leaving:
                return
            self._sleep(_PAUSE)
        self.staying += self._leaving
        self._journal.note("servers-left-in-maintenance")
