"""What a worker says of its servers in answer to `show servers state` (HAProxy's management guide).

A server-state-file has the same lines.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

    from haproxy_apply.model import Model

# HAProxy's own names: enum srv_state and srv_admin of server-t.h, enum chk_result of check-t.h.
SRV_ST_STOPPED, SRV_ST_STARTING, SRV_ST_RUNNING, SRV_ST_STOPPING = range(4)
SRV_ADMF_FMAINT = 0x01  # maintenance that was set over the socket
SRV_ADMF_IMAINT = 0x02  # of the server that this one tracks
SRV_ADMF_CMAINT = 0x04  # `disabled` in the file
SRV_ADMF_DRAIN = (
    0x08 | 0x10
)  # set over the socket, or of the server that this one tracks
SRV_ADMF_RMAINT = 0x20  # its name has no address, as of a server-template's spare ones
SRV_ADMF_FQDN_CHANGED = 0x40  # its name was set over the socket
SRV_ADMF_MAINT = SRV_ADMF_FMAINT | SRV_ADMF_IMAINT | SRV_ADMF_RMAINT
CHK_RES_UNKNOWN, CHK_RES_PASSED = 0, 3
HCHK_STATUS_INI = 1  # it has had no check
CHK_ST_CONFIGURED, CHK_ST_ENABLED = 0x02, 0x04

# HAProxy 2.2 tells of its own processes, too, as servers of a backend that no config can reach.
_PROCESS = re.compile("MASTER/(cur|old)-[0-9]+")
_NAME = re.compile("[A-Za-z0-9_.:-]+")
_REQUIRED = 19  # words of a row
_DIGITS = 20  # of a number; Python itself refuses thousands
_GROUPS = 8  # of an IPv6 address
_BYTES = 4  # of an IPv4 address


class Row(NamedTuple):
    """The first 20 words about a server, by the names in HAProxy's own `#` line.

    They are all that HAProxy 2.2 to 3.x ask for. With those after them (TLS, ports and addresses of checks) a
    server-state-file would overrule the config.
    """

    be_id: str
    be_name: str
    srv_id: str
    srv_name: str
    srv_addr: str
    srv_op_state: str
    srv_admin_state: str
    srv_uweight: str  # the weight that it has, be it set at run time
    srv_iweight: str  # the weight that the file gave it
    srv_time_since_last_change: str
    srv_check_status: str
    srv_check_result: str
    srv_check_health: str
    srv_check_state: str
    srv_agent_state: str
    bk_f_forced_id: str
    srv_f_forced_id: str
    srv_fqdn: str
    srv_port: str
    srvrecord: str = ""

    @property
    def name(self) -> str:
        """backend/server, as in `Server.name` and in commands."""
        return f"{self.be_name}/{self.srv_name}"

    @property
    def admin(self) -> int:
        """SRV_ADMF_* bits; 0 is ready."""
        return number(self.srv_admin_state) or 0

    def with_admin(self, admin: int) -> Row:
        """The same server with these SRV_ADMF_* bits."""
        return self._replace(srv_admin_state=str(admin))

    @property
    def is_up(self) -> bool:
        """Whether it is given new sessions: none while it is STOPPING or without a weight."""
        return (
            number(self.srv_op_state) in (SRV_ST_STARTING, SRV_ST_RUNNING)
            and self.admin == 0
            and (number(self.srv_uweight) or 0) > 0
        )

    @property
    def is_in_maintenance(self) -> bool:
        """Whether HAProxy itself says MAINT of it, for whatever reason."""
        return self.admin & SRV_ADMF_MAINT != 0

    @property
    def is_stopped(self) -> bool:
        """Whether it is down."""
        return number(self.srv_op_state) == SRV_ST_STOPPED

    @property
    def is_drained(self) -> bool:
        """Whether somebody wants it to get no new sessions: HAProxy says DRAIN of it, for a weight of 0 too."""
        has_weight = (number(self.srv_uweight) or 0) > 0
        return self.admin & SRV_ADMF_DRAIN != 0 or not has_weight

    @property
    def has_check(self) -> bool:
        """Whether the file of its worker checks it."""
        return (number(self.srv_check_state) or 0) & CHK_ST_CONFIGURED != 0

    @property
    def has_agent(self) -> bool:
        """Whether the file of its worker asks an agent about it."""
        return (number(self.srv_agent_state) or 0) & CHK_ST_CONFIGURED != 0

    @property
    def is_unchecked(self) -> bool:
        """Whether nobody has checked it yet: HAProxy believes that it is up, or a saved state that it is not."""
        is_checking = (number(self.srv_check_state) or 0) & CHK_ST_ENABLED != 0
        return is_checking and number(self.srv_check_status) == HCHK_STATUS_INI

    @property
    def is_process(self) -> bool:
        """Whether it is a process of HAProxy's: a server of this name has a place, a weight, or health while up."""
        place = self.srv_addr, self.srv_port, self.srv_iweight
        state = self.srv_op_state, self.admin, self.srv_check_health
        is_process = (place, state) == (("-", "0", "0"), (str(SRV_ST_RUNNING), 0, "0"))
        return is_process and _PROCESS.fullmatch(self.name) is not None

    @property
    def line(self) -> str:
        """As in a server-state-file."""
        return " ".join(self).rstrip(" ")


class Backend(NamedTuple):
    """How many servers of a backend are UP and how many DOWN.

    Neither: in maintenance, drained, on its way out (`disable-on-404`), or not checked yet.
    """

    name: str
    up: int
    down: int


class Servers(NamedTuple):
    """How a worker's servers are. Those in maintenance are neither up nor down."""

    up: int
    down: tuple[str, ...]  # backend/server
    backends: tuple[Backend, ...]  # the worst first


def servers(every: Iterable[Row]) -> Servers:
    """What the rows say."""
    ready = [row for row in every if not row.is_in_maintenance]
    down = [row.name for row in ready if row.is_stopped]
    return Servers(len(ready) - len(down), tuple(down), _counts(every))


def _counts(every: Iterable[Row]) -> tuple[Backend, ...]:
    found: dict[str, Backend] = {}
    for row in every:
        name = row.be_name
        if not _NAME.fullmatch(name):
            continue  # no HAProxy has such a one
        before = found.get(name, Backend(name, 0, 0))
        up, down = counted(row)
        found[name] = Backend(name, before.up + up, before.down + down)
    return tuple(sorted(found.values(), key=_badness))


def _badness(backend: Backend) -> tuple[bool, bool, str]:
    """The worst first: nobody is up, somebody is down, all is well."""
    return backend.up > 0, backend.down == 0, backend.name


def counted(row: Row) -> tuple[int, int]:
    """Whether it is one that is UP, and one that is DOWN."""
    if row.is_in_maintenance or row.is_drained or row.is_unchecked:
        return 0, 0
    is_up = number(row.srv_op_state) in (SRV_ST_STARTING, SRV_ST_RUNNING)
    return int(is_up), int(row.is_stopped)


def row_of(line: str) -> Row | None:
    """The server, or the process, of a line; None where it is a line about none."""
    said = words(line)
    return Row(*said[:20]) if len(said) >= _REQUIRED and line[0] != "#" else None


def rows(answer: str) -> tuple[Row, ...]:
    """The servers of an answer, which may be empty or odd."""
    found = filter(None, map(row_of, answer.split("\n")))
    return tuple(row for row in found if not row.is_process)


def columns(answer: str) -> dict[str, dict[str, str]]:
    """By server: all that this version says of it, by the names in its `#` line."""
    lines = answer.split("\n")
    heads = [words(line)[1:] for line in lines if line.startswith("# ")]
    names = heads[0] if heads else []
    return {
        row.name: dict(zip(names, words(line))) for line in lines for row in rows(line)
    }


def backend_of(name: str) -> str:
    """The backend of a backend/server."""
    return name.partition("/")[0]


def passed(answer: str) -> frozenset[str]:
    """Names of the servers whose latest check was good."""
    return frozenset(
        row.name
        for row in rows(answer)
        if number(row.srv_check_result) == CHK_RES_PASSED
    )


def entry(names: Container[str], name: str) -> str:
    """The name under which a running server stands among these, maybe that of its server-template; "" for none."""
    if name in names:
        return name
    while name[-1:].isdecimal():
        name = name[:-1]
        if f"{name}*" in names:
            return f"{name}*"
    return ""


_USED, _KEPT = ("used_cur",), ("unsafe_nb", "safe_nb", "idle_cur")


class Connections(NamedTuple):
    """How many connections to a server are in use, and how many are kept for later."""

    used: int = 0
    kept: int = 0


def connections(answer: str) -> dict[str, Connections]:
    """By server what an answer to `show servers conn` counts.

    What a version does not count is none; an answer without the titles has no servers.
    """
    titles, *lines = map(words, answer.split("\n"))
    used, kept = (
        [titles.index(each) - 1 for each in names if each in titles]
        for names in (_USED, _KEPT)
    )
    return {
        line[0]: Connections(_sum(line, used), _sum(line, kept))
        for line in lines
        if used + kept and len(line) > max(used + kept)
    }


class OpenConnections(NamedTuple):
    """Those of one server, by its address and port at that moment."""

    name: str
    address: str
    port: str
    used: int
    idle: int


_COUNTED = frozenset({"bkname/svname", "addr", "port", "used_cur", "idle_cur"})


def open_connections(answer: str) -> tuple[OpenConnections, ...] | None:
    """What an answer to `show servers conn` says; None where that is something else, or was cut off."""
    head, *lines = answer.split("\n")
    titles = words(head)[1:]
    if not (set(titles) >= _COUNTED and answer.endswith("\n\n")):
        return None
    every = (dict(zip(titles, words(line))) for line in lines)
    return tuple(
        OpenConnections(
            each["bkname/svname"],
            each["addr"],
            each["port"],
            number(each["used_cur"]) or 0,
            number(each["idle_cur"]) or 0,
        )
        for each in every
        if each.keys() >= _COUNTED
    )


def sessions(answer: str) -> dict[str, tuple[int, int]]:
    """By server how many sessions wait for it and how many it has, by an answer to `show stat`."""
    head, *lines = answer.split("\n")
    titles = head[2:].split(",")
    every = (dict(zip(titles, line.split(","))) for line in lines)
    return {
        f"{each['pxname']}/{each['svname']}": (
            number(each.get("qcur", "")) or 0,
            number(each.get("scur", "")) or 0,
        )
        for each in every
        if "svname" in each
    }


def _sum(line: list[str], places: list[int]) -> int:
    return sum(number(line[at]) or 0 for at in places)


def runs(answer: str, model: Model) -> bool:
    """Whether the worker has the model's servers with their addresses, and no other one in use."""
    missing = {
        server.name: (spelt_out(server.address), server.port)
        for server in model.servers
        if server.is_plain
    }
    found = rows(answer)
    are_expected = [_is_expected(row, missing.pop(row.name, None)) for row in found]
    return bool(found) and all(are_expected) and not missing


def _is_expected(row: Row, place: tuple[str, str] | None) -> bool:
    if place is None:
        return bool(row.admin & SRV_ADMF_FMAINT)
    return place == (spelt_out(row.srv_addr), row.srv_port)


def spelt_out(address: str) -> str:
    """As HAProxy shows it, but an IPv6 address in a spelling of ours: eight groups without leading zeros."""
    if ":" not in address:
        return "0.0.0.0" if address == "*" else address  # noqa: S104 - what HAProxy shows
    start, _, end = address.rpartition(":")
    if _is_dotted(end):  # the last two groups as an IPv4 address
        a, b, c, d = map(int, end.split("."))
        return spelt_out(f"{start}:{a * 256 + b:x}:{c * 256 + d:x}")
    left, _, right = address.lower().partition("::")
    return ":".join(_groups(left, right))


def _groups(left: str, right: str) -> list[str]:
    """All groups, from those on both sides of `::`."""
    first = left.split(":") if left else []
    last = right.split(":") if right else []
    zeros = ["0"] * (_GROUPS - len(first) - len(last))
    return [group.lstrip("0") or "0" for group in (*first, *zeros, *last)]


def _is_dotted(text: str) -> bool:
    numbers = text.split(".")
    return len(numbers) == _BYTES and all(map(str.isdecimal, numbers))


def number(text: str) -> int | None:
    """A whole number, with or without a sign; None for anything else."""
    digits = text[1:] if text[:1] in ("+", "-") else text
    return int(text) if digits.isdecimal() and len(digits) <= _DIGITS else None


def is_same_number(one: str, other: str) -> bool:
    """Whether both texts say the same, however they spell a number."""
    return one == other or None is not number(one) == number(other)


def words(line: str) -> list[str]:
    """What blanks separate; str.split() would also take bytes for blanks that are none to HAProxy."""
    return [word for word in line.replace("\t", " ").split(" ") if word]
