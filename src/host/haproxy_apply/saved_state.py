"""What the next worker is told of its servers: the server-state-file, made from what the present one says."""

from __future__ import annotations

import re
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from haproxy_apply.config_lines import NOT_UNDERSTOOD
from haproxy_apply.server_state import (
    CHK_RES_UNKNOWN,
    CHK_ST_CONFIGURED,
    CHK_ST_ENABLED,
    HCHK_STATUS_INI,
    SRV_ADMF_CMAINT,
    SRV_ADMF_FMAINT,
    SRV_ADMF_FQDN_CHANGED,
    SRV_ST_RUNNING,
    SRV_ST_STOPPED,
    Row,
    backend_of,
    entry,
    is_same_number,
    number,
    row_of,
    rows,
    spelt_out,
    words,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from haproxy_apply.model import Model, Server

_ANYBODY = "$"  # who is tracked, where a variable says it
_DISABLED = SRV_ADMF_CMAINT | SRV_ADMF_FMAINT  # as HAProxy starts a server that is so
_DECIDING = frozenset({
    "setenv", "presetenv", "resetenv", "unsetenv", ".if", ".elif", ".else", ".endif",
})  # fmt: skip
# A port of -1 (one below the client's) is shown as 2^32 - 1, and taken from a state line as 2^16 - 1 alone.
_PORTS = 2**16
_NAME = re.compile("[a-z0-9][a-z0-9.-]*")
_FAMILIES = ("ipv4@", "ipv6@", "tcp@", "tcp4@", "tcp6@")


def merged(answer: str, old: Model | None, new: Model, touched: frozenset[str]) -> str:
    """Text of the file, for a worker of the config `new`, from the present one's `show servers state`.

    A server keeps what the present worker knows of it, unless that is our own doing (`touched`) or the config says
    something new. `old` is what the present worker is proven to run, if anything. A checked server that is new, or has
    a new address, is born DOWN if its backend has another one that will serve for sure, and so has each where a server
    tracks it: an empty pool helps nobody.
    """
    before, after = _Config(old), _Config(new)
    carried = [
        _overruled(row, before, after)
        for row in rows(answer)
        if row.name not in touched and not _has_moved(row, before, after)
    ]
    be_ids = {row.be_name: row.be_id for row in rows(answer)}
    reduced = [_reduced(row, after) for row in carried]
    born = _born_down(after, carried, be_ids)
    lines = [row.line for row in _led([*reduced, *born], after)]
    return "\n".join([*_head(answer), *lines]) + "\n"


def _head(answer: str) -> list[str]:
    """The lines about no server: format version and names of the columns."""
    return [line for line in answer.rstrip("\n").split("\n") if row_of(line) is None]


class _Config:
    """What a config says, as far as it decides what is carried over; where there is none, nothing."""

    def __init__(self, model: Model | None) -> None:
        servers = model.servers if model else ()
        self.servers: dict[str, tuple[Server, ...]] = {}
        for server in servers:
            self.servers[server.name] = (*self.of(server.name), server)
        self.named_by_variables = [
            (server.name, server.address, server.port)
            for server in servers
            if "$" in server.name
        ]
        # What variables and conditions depend on.
        self.settings = [
            line
            for line in (model.rest if model else ())
            if not _DECIDING.isdisjoint(words(line)[:1])
        ]

    def of(self, name: str) -> tuple[Server, ...]:
        """The server of this name; several where conditions decide which, none where there is no such name."""
        return self.servers.get(name, ())

    def entry(self, name: str) -> str:
        """The name under which a running server stands here, maybe that of its server-template; "" for none."""
        return entry(self.servers, name)


class _Place(NamedTuple):
    """Where a server is; its address has one spelling, its port is as written."""

    address: str
    port: str

    def is_same(self, other: _Place | None) -> bool:
        """Whether both are one place."""
        return (
            other is not None
            and self.address == other.address
            and is_same_number(self.port, other.port)
        )


# --- who is carried over: whoever is where the config says ---


def _has_moved(row: Row, before: _Config, after: _Config) -> bool:
    stands_as = after.entry(row.name)
    are_settings_new = before.settings != after.settings
    if not stands_as:
        # No file has it, or a variable is in its name.
        are_names_new = before.named_by_variables != after.named_by_variables
        return not after.named_by_variables or are_names_new or are_settings_new
    was, now = _places(before.of(stands_as)), _places(after.of(stands_as))
    # Which of several is meant, only HAProxy knows: where one has changed, or what decides, the config has its way.
    if len(now) > 1 and (are_settings_new or not _are_same(was, now)):
        return True
    return not any(
        _is_at(row, place, earlier, are_settings_new=are_settings_new)
        for place, earlier in zip(now, (*was, None))
    )


def _are_same(was: list[_Place], now: list[_Place]) -> bool:
    return len(was) == len(now) and all(map(_Place.is_same, was, now))


def _is_at(
    row: Row, place: _Place, earlier: _Place | None, *, are_settings_new: bool
) -> bool:
    address = place.address
    if address.startswith("_"):
        # An SRV record: name and port come from the DNS.
        return row.srvrecord.lower() == address
    if "$" in address + place.port:
        # What variables say is compared as text, and with what sets them.
        return place.is_same(earlier) and not are_settings_new
    if _is_socket(address):
        # HAProxy does not show sockets.
        return earlier is None or earlier.address == address
    return _is_shown_at(row, place)


def _is_shown_at(row: Row, place: _Place) -> bool:
    is_name = not _is_literal(place.address)
    shown = row.srv_fqdn.lower() if is_name else spelt_out(row.srv_addr)
    return shown == place.address and _has_port(row, place.port)


def _has_port(row: Row, port: str) -> bool:
    expected = 0 if port == "-" else number(port)
    shown = number(row.srv_port) or 0
    return expected is None or (expected - shown) % _PORTS == 0


# --- what the config overrules: weight and `disabled` where it has changed them, and a DOWN that nothing would end ---


def _overruled(row: Row, before: _Config, after: _Config) -> Row:
    stands_as = after.entry(row.name)
    if not stands_as:
        return row
    line = _alone(after.of(row.name))
    if line:
        row = _overruled_by(line, before.of(row.name), row)
    elif row.admin & SRV_ADMF_CMAINT and not _is_any_disabled(after.of(stands_as)):
        row = row.with_admin(row.admin & ~_DISABLED)
    # Without a check, nothing would ever say that it is up again: also not after a maintenance that HAProxy does not
    # carry over, of a name that had no address or of the server that it tracks.
    # Nor does an agent, unless it was the agent that said so: it may tell weights alone.
    is_agents = row.has_agent and not row.has_check
    if not row.admin & _DISABLED and not any(
        _is_watched(server, is_agents=is_agents) for server in after.of(stands_as)
    ):
        row = row._replace(srv_op_state=str(SRV_ST_RUNNING))
    return row


def _overruled_by(line: Server, lines_before: tuple[Server, ...], row: Row) -> Row:
    weight, was_disabled = _said_before(line, lines_before, row)
    if not is_same_number(weight, line.weight):
        row = row._replace(srv_uweight=line.weight, srv_iweight=line.weight)
    elif not _is_vague(line):
        row = row._replace(srv_iweight=line.weight)
    return row.with_admin(_admin(row.admin, line, was_disabled=was_disabled))


def _admin(admin: int, line: Server, *, was_disabled: bool) -> int:
    if line.is_disabled:
        return admin | SRV_ADMF_CMAINT if was_disabled else _DISABLED
    if was_disabled or (_is_vague(line) and admin & SRV_ADMF_CMAINT):
        # Maintenance ends with it, which an operator's own does not.
        return admin & ~_DISABLED
    return admin & ~SRV_ADMF_CMAINT


def _said_before(
    line: Server, lines_before: tuple[Server, ...], row: Row
) -> tuple[str, bool]:
    """Weight and `disabled` before the line's: what it says overrules only where it says something else.

    They are those of the config that the worker is proven to run, which changes at run time brought up to date;
    else what HAProxy remembers of its start. Where something beside the line may say them, only what the line itself
    said and says no more counts; HAProxy compares the rest.
    """
    earlier = _alone(lines_before)
    if earlier and _is_vague(line) == _is_vague(earlier):
        return earlier.weight, earlier.is_disabled
    if _is_vague(line):
        return line.weight, line.is_disabled
    return row.srv_iweight, bool(row.admin & SRV_ADMF_CMAINT)


# --- what else a line could overrule ---


def _reduced(row: Row, after: _Config) -> Row:
    """The row without what is no state: HAProxy takes names, addresses and switched-off checks from it, too."""
    port = number(row.srv_port) or 0
    row = row._replace(
        srv_check_state=str(CHK_ST_CONFIGURED | CHK_ST_ENABLED),
        srv_agent_state="0",
        srv_port=str(port % _PORTS),
        srv_admin_state=str(row.admin & ~SRV_ADMF_FQDN_CHANGED),
    )
    if row.srvrecord.startswith("_"):
        return row  # all that an SRV record said
    row = row._replace(srv_fqdn="-")
    stands_as = after.entry(row.name)
    if not stands_as or any(map(_keeps_address, after.of(stands_as))):
        return row
    return row._replace(srv_addr="-")


def _keeps_address(server: Server) -> bool:
    """Whether its name is not looked up by a start, so that without the last address it would have none."""
    said = dict(server.keywords)
    return _is_vague(server) or "resolvers" in said or "init-addr" in said


# --- what another server decides ---


def _led(every: list[Row], after: _Config) -> list[Row]:
    """Who tracks another server is as that one is: it has no check that would say something else."""
    states = {row.name: row.srv_op_state for row in every}
    running = str(SRV_ST_RUNNING)
    return [
        row._replace(srv_op_state=states.get(leader, running)) if leader else row
        for row, leader in ((row, _leader(row.name, after)) for row in every)
    ]


def _leader(name: str, after: _Config) -> str:
    """The server at the end of all tracking; empty where it tracks none, or nobody knows."""
    leaders = [name]
    while leaders[-1] and leaders[-1] not in leaders[:-1]:
        leaders.append(_tracked(leaders[-1], after))
    return leaders[-2] if len(leaders) > 2 and not leaders[-1] else ""  # noqa: PLR2004


def _tracked(name: str, after: _Config) -> str:
    server = _alone(after.of(after.entry(name)))
    tracked = server.tracked if server else ""
    return "" if "$" in tracked else tracked


# --- who is born DOWN: a checked server that is new there, if its backend has another one that will serve ---


def _born_down(
    after: _Config, carried: list[Row], be_ids: dict[str, str]
) -> Iterator[Row]:
    serving = _serving(after, frozenset(row.name for row in carried if row.is_up))
    spared = _spared(after, serving)
    for name in _not_carried(after, carried):
        if name in spared and _waits_for_check(after.of(name)):
            yield _newborn(name, be_ids, after)


def _not_carried(after: _Config, carried: list[Row]) -> list[str]:
    names = {row.name for row in carried}
    return [name for name in after.servers if name not in names]


def _serving(after: _Config, up: frozenset[str]) -> set[tuple[str, bool]]:
    """Backends with one that will serve, and whether that is a backup."""
    names = (name for name in up if _serves(name, up, after))
    return {(backend_of(name), after.of(name)[0].is_backup) for name in names}


def _serves(name: str, up: frozenset[str], after: _Config) -> bool:
    """Whether it will, for sure: on a plain line, and so for each that it tracks, since it goes out with them.

    Of one of a template's nobody knows whether it still is one, of variables and conditions what they say.
    """
    together = _with_tracked(name, after)
    return together <= up and all(_is_clear(after.of(each)) for each in together)


def _is_clear(servers: tuple[Server, ...]) -> bool:
    return len(servers) == 1 and servers[0].is_plain and not _is_vague(servers[0])


def _with_tracked(name: str, after: _Config) -> set[str]:
    """It and all that it tracks, whichever of their lines counts."""
    found, latest = {name}, {name}
    while latest:
        entries = map(after.entry, latest)
        lines = chain.from_iterable(map(after.of, entries))
        latest = {_named(line.tracked) for line in lines if line.tracked} - found
        found |= latest
    return found


def _named(tracked: str) -> str:
    return _ANYBODY if "$" in tracked else tracked


def _followers(after: _Config) -> dict[str, set[str]]:
    """By server: itself and who tracks it, in whatever backend, and goes down with it."""
    found: dict[str, set[str]] = {}
    for name in after.servers:
        for leader in _with_tracked(name, after):
            found.setdefault(leader, set()).add(name)
    return found


def _spared(after: _Config, serving: set[tuple[str, bool]]) -> set[str]:
    """Who may be DOWN with all that track it: nobody, where who tracks by a variable may not."""
    followers = _followers(after)
    found = {
        leader
        for leader, names in followers.items()
        if all(_has_others(name, serving, after) for name in names)
    }
    is_anybody_spared = _ANYBODY in found or _ANYBODY not in followers
    return found if is_anybody_spared else set()


def _has_others(name: str, serving: set[tuple[str, bool]], after: _Config) -> bool:
    """Whether its backend has another one that serves, while this one does not."""
    backend = backend_of(name)
    # A backup that is up stands in for backups only: clients would see it instead of the new server.
    is_backup = all(server.is_backup for server in after.of(name))
    return not serving.isdisjoint({(backend, False), (backend, is_backup)})


def _waits_for_check(servers: tuple[Server, ...]) -> bool:
    alone = _alone(servers)
    is_disabled = alone is not None and alone.is_disabled
    # These are there if HAProxy starts at all: it takes no other one of their name, if a condition has one.
    certain = [server for server in servers if server.is_plain]
    return not is_disabled and any(map(_is_held_back, certain[:1]))


def _is_held_back(server: Server) -> bool:
    """Whether it has a check that ends its being DOWN; a line with `init-state` says itself how it begins."""
    begins_as_told = "init-state" not in dict(server.keywords)
    return server.is_checked and begins_as_told and _has_place(server)


def _has_place(server: Server) -> bool:
    """Whether it has an address as soon as HAProxy has started: its own, or that of a name that the start looks up."""
    place = _place(server)
    is_name = _NAME.fullmatch(place.address) and not _keeps_address(server)
    return place.port.isdecimal() and bool(is_name or _is_literal(place.address))


def _newborn(name: str, be_ids: dict[str, str], after: _Config) -> Row:
    """DOWN, so that HAProxy counts its good checks from none up to its `rise`."""
    server = next(server for server in after.of(name) if server.is_plain)
    backend = backend_of(name)
    return Row(
        be_id=be_ids[backend],
        be_name=backend,
        srv_id="0",
        srv_name=name[len(backend) + 1 :],
        srv_addr="-",
        srv_op_state=str(SRV_ST_STOPPED),
        srv_admin_state="0",
        srv_uweight=server.weight,
        srv_iweight=server.weight,
        srv_time_since_last_change="0",
        srv_check_status=str(HCHK_STATUS_INI),
        srv_check_result=str(CHK_RES_UNKNOWN),
        srv_check_health="0",
        srv_check_state=str(CHK_ST_CONFIGURED | CHK_ST_ENABLED),
        srv_agent_state="0",
        bk_f_forced_id="0",
        srv_f_forced_id="0",
        srv_fqdn="-",
        srv_port=_place(server).port,
        srvrecord="-",
    )


# --- what a line says ---


def _alone(servers: tuple[Server, ...]) -> Server | None:
    """The only one of its name, if its weight is no variable's; of others HAProxy itself compares what changed."""
    if len(servers) == 1 and "$" not in servers[0].weight:
        return servers[0]
    return None


def _is_any_disabled(servers: tuple[Server, ...]) -> bool:
    return any(server.is_disabled for server in servers)


def _is_vague(server: Server) -> bool:
    """Whether a variable, or a default that is not understood, may say more."""
    has_variable = "$" in server.weight + server.options
    return has_variable or NOT_UNDERSTOOD in words(server.options)


def _is_watched(server: Server, *, is_agents: bool) -> bool:
    """Whether something may say that it is up again: a check, the server that it tracks, an agent what is its own."""
    return (
        server.is_checked
        or _is_vague(server)
        or (is_agents and server.says_last("agent-check"))
        or server.tracked != ""
    )


def _places(servers: tuple[Server, ...]) -> list[_Place]:
    return list(map(_place, servers))


def _place(server: Server) -> _Place:
    address = server.address
    if address in ("ipv6@", "ipv6@*"):
        address = "::"
    family = next(filter(address.startswith, _FAMILIES), "")
    return _Place(spelt_out(address[len(family) :].lower()), server.port)


def _is_socket(address: str) -> bool:
    return address.startswith("/") or "@" in address


def _is_literal(address: str) -> bool:
    return ":" in address or (address != "" and set(address) <= set("0123456789."))
