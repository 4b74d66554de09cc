"""Any old file, any new one, any state, through the step itself: the file wins, and who is DOWN gets nothing."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import cycle
from random import Random
from typing import Any, NamedTuple

import pytest

from haproxy_apply.server_state import SRV_ADMF_DRAIN, SRV_ADMF_FMAINT, Row, rows
from local.lab import BackendHost, Client, Load, ProxyHost, Style, wait_until
from local.lab.proxy import STATS_SOCKET
from tests.host.apply_step import STYLES, ApplyStep, StepReport, stateful
from tests.host.test_any_state import stated

type MakeProxy = Callable[..., ProxyHost]
type Lines = Mapping[str, "Line"]

RELOADS = 2
# A world in which something of each kind happens, and some of which nobody knows.
DAILY = (639, Style.MASTER_WORKER)
MORE = zip(range(1, 13), cycle(STYLES), strict=False)
FRESH_SOCKET = "/run/fresh.sock"
STATE_FILE = "/var/lib/haproxy/server-state"
NOBODY = "81"  # where no machine listens
LEADER = "app/lead"
NAMES = (
    LEADER,
    *(f"app/s{number}" for number in range(13)),
    *(f"web/s{number}" for number in range(5)),
)
# Of each, one or none is on a line.
SETTINGS = (
    ("port 8080", f"port {NOBODY}"),
    ("addr 10.77.1.1", "addr 10.77.1.2", "addr 10.77.1.3"),
    ("agent-check agent-inter 1s agent-port 5", "agent-check agent-inter 1s agent-port 6 agent-addr 127.0.0.9"),
    ("ssl verify none no-check-ssl", "ssl verify none", "no-ssl"),
    ("weight 0", "weight 7", "weight 30"),
    ("backup", "disabled", "maxconn 9", "cookie ssl"),
)  # fmt: skip
DEFAULTS = ("", "", "weight 5", "agent-inter 2s")
MOVES = "set server {} addr 10.77.1.3 port 8080"
COMMANDS = (
    MOVES, "set server {} state maint", "set server {} state maint", "set server {} state drain",
    "set server {} state ready", "set server {} weight 3", "set server {} weight 0", "set server {} check-port 99",
    "set server {} check-addr 127.0.0.8 port 98", "set server {} agent-addr 127.0.0.8", "set server {} agent-port 97",
    "set server {} ssl on", "set server {} ssl off", "disable health {}", "disable health {}", "disable agent {}",
)  # fmt: skip


class Line(NamedTuple):
    """What a file says of a server."""

    machine: int
    place: str
    has_check: bool
    settings: tuple[str, ...]

    def said(self, name: str) -> str:
        """As a line."""
        check = ["check"] * self.has_check
        words = ["server", name, self.place, *check, *self.settings]
        return " ".join(filter(None, words))

    def is_checked_at(self, ill: BackendHost) -> bool:
        """Whether its check asks this machine, or nobody, so that no check of it is good while this one is ill."""
        said = dict(each.split(" ")[:2] for each in self.settings if " " in each)
        host = said.get("addr", f"10.77.1.{self.machine + 1}")
        port = said.get("port", self.place.rpartition(":")[2])
        return self.has_check and (host == str(ill.ipv4) or port == NOBODY)


@dataclass
class World:
    """A proxy, its machines, and the file that its worker runs."""

    proxy: ProxyHost
    machines: tuple[BackendHost, ...]
    random: Random
    step: ApplyStep = field(init=False)
    lines: Lines = field(default_factory=dict)
    number: int = 0

    def start(self) -> None:
        """The first file runs."""
        self.lines = {name: self.line(name) for name in NAMES if self.is_so(0.7)}
        self.lines = {LEADER: self.line(LEADER), **self.lines}
        self.proxy.start(self.text(self.lines))
        self.step = ApplyStep(self.proxy)

    def is_so(self, chance: float) -> bool:
        """In so many of all cases."""
        return self.random.random() < chance

    def line(self, name: str) -> Line:
        """Any server."""
        number = self.random.randrange(len(self.machines))
        machine = self.machines[number]
        places = [f"{machine.ipv4}:8080"] * 3
        places += [
            f"[{machine.ipv6}]:8080",
            f"{machine.name}:8080",
            f"{machine.ipv4}:{NOBODY}",
        ]
        settings = [self.random.choice(each) for each in SETTINGS if self.is_so(0.2)]
        if name != LEADER and self.is_so(0.1):
            return Line(
                number, places[0], has_check=False, settings=(f"track {LEADER}",)
            )
        has_check = name == LEADER or self.is_so(0.8)
        return Line(number, self.random.choice(places), has_check, tuple(settings))

    def successor(self, name: str, before: Line | None) -> Line | None:
        """What the next file says of a server: mostly the same, or with other settings."""
        if before is None or self.is_so(0.15):
            return self.line(name) if name == LEADER or self.is_so(0.5) else None
        if self.is_so(0.6) or before.settings[:1] == (f"track {LEADER}",):
            return before
        other = self.line(name)
        if other.settings[:1] == (f"track {LEADER}",):
            return other
        return before._replace(has_check=other.has_check, settings=other.settings)

    def text(self, lines: Lines) -> str:
        """A config with these servers, and its number, so that no two are the same."""
        default = self.random.choice(DEFAULTS)
        common = (
            "    option httpchk GET /health\n    default-server inter 200ms fall 1 rise 1 "
            + default
        )
        head = stateful(options="").replace(
            "    mode http\n", f"    mode http\n{common}\n"
        )
        shown = "    http-response set-header X-Backend %b/%s\n"
        if any(name.startswith("web/") for name in lines):
            shown += "    use_backend web if { rand(2) 1 }\n"
        text = head.replace("    default_backend", shown + "    default_backend")
        text += "".join(f"    {line}\n" for line in said(lines, "app"))
        web = [f"    {line}\n" for line in said(lines, "web")]
        self.number += 1
        return (
            text + "".join(["backend web\n"][: len(web)] + web) + f"# {self.number}\n"
        )

    def ask(self) -> list[Row]:
        """The servers as the worker sees them."""
        return list(rows(self.proxy.ask("show servers state")))

    def next(self, client: Client) -> set[str]:
        """Somebody falls ill, an operator does something, and another file comes; who was DOWN all the time."""
        ill = self.random.choice(self.machines)
        for machine in self.machines:
            machine.is_healthy = machine is not ill
        wait_until(
            lambda: self.is_noticed(ill),
            what=lambda: f"{ill.name}: {self.lines}\n{self.ask()}",
        )
        told = [
            (name, self.random.choice(COMMANDS))
            for name in self.lines
            if self.is_so(0.6)
        ]
        for name, command in told:
            self.proxy.ask(command.format(name))
        drawn = {name: self.successor(name, self.lines.get(name)) for name in NAMES}
        after = {name: line for name, line in drawn.items() if line}
        moved = {name for name, command in told if command == MOVES}
        out = {
            row.name
            for row in self.ask()
            if row.name not in moved and self.is_out(row, after.get(row.name), ill)
        }
        self.change(after, out, client, str(told))
        return out

    def is_noticed(self, ill: BackendHost) -> bool:
        """Whether all whose checks fail are DOWN."""
        return all(
            row.is_stopped or row.admin
            for row in self.ask()
            if row.name in self.lines and self.lines[row.name].is_checked_at(ill)
        )

    def is_out(self, row: Row, after: Line | None, ill: BackendHost) -> bool:
        """Whether it is DOWN, or taken out, and nothing in the next file says otherwise."""
        before = self.lines[row.name]
        if after is None or after.place != before.place:
            return False
        is_down = row.is_stopped and not row.admin and after.is_checked_at(ill)
        is_taken_out = (
            row.admin & (SRV_ADMF_FMAINT | SRV_ADMF_DRAIN) and before == after
        )
        return bool(is_down or is_taken_out)

    def change(self, after: Lines, out: set[str], client: Client, told: str) -> None:
        """The step installs it, under traffic."""
        text = self.text(after)
        expected = self.fresh(text)
        method = self.random.choice(("seamless", "syn-drop"))
        load = Load(
            (str(self.proxy.ipv4),), connections_per_second=60, timeout_seconds=1
        )
        with client.traffic(load) as traffic:
            wait_until(lambda: len(traffic.attempts) > 5)
            report = self.step.run(text, ReloadMethod=method)
            found = self.proxy.ask("show servers state")
            asked = len(traffic.attempts)
            wait_until(lambda: len(traffic.attempts) > asked + 30)
        why = f"{report}\n{self.lines}\n{told}\n{text}"
        assert is_told_as_loaded(report), why
        assert stated(found) == stated(expected), why
        assert {each.backend for each in traffic.attempts} & out == set(), why
        self.lines = after

    def fresh(self, text: str) -> str:
        """The servers of a HAProxy that starts with this file and knows nothing."""
        other = text.replace(STATS_SOCKET, FRESH_SOCKET).replace(
            STATE_FILE, "/run/none"
        )
        other = other.replace("bind :80", "bind :81").replace(
            "bind :::80", "bind :::81"
        )
        self.proxy.write("/run/fresh.cfg", other)

        def answer() -> str:
            with contextlib.suppress(OSError):
                return self.proxy.ask("show servers state", FRESH_SOCKET)
            return ""

        with self.proxy.beside(["haproxy", "-db", "-f", "/run/fresh.cfg"]):
            return wait_until(answer)


def said(lines: Lines, backend: str) -> list[str]:
    """The lines of a backend."""
    return [
        line.said(name.partition("/")[2])
        for name, line in lines.items()
        if name.startswith(f"{backend}/")
    ]


def is_told_as_loaded(report: StepReport) -> bool:
    """Whether the step says that the worker runs the file, and had to load it once only."""
    is_proven = report["running_md5"] == report["md5_after"]
    notes = {"state-overrides-file", "servers-changed-meanwhile"}
    return (
        report.says("installed")
        and is_proven
        and notes.isdisjoint(report["notes"].split())
    )


@pytest.fixture
def machines(backends: tuple[BackendHost, ...]) -> Iterator[tuple[BackendHost, ...]]:
    """The backends, which a test may let fall ill."""
    yield backends
    for machine in backends:
        machine.is_healthy = True


@pytest.mark.fault("F193")
@pytest.mark.fault("F194")
@pytest.mark.parametrize(
    ("seed", "style"),
    [DAILY, *(pytest.param(*each, marks=pytest.mark.every_cell) for each in MORE)],
)
def test_any_reload_leaves_what_the_file_says_and_who_is_down(
    make_proxy: MakeProxy,
    machines: tuple[BackendHost, ...],
    client: Client,
    haproxy: dict[str, Any],
    seed: int,
    style: Style,
) -> None:
    """All but operational state, admin state and weight as after a fresh start; no request for who is known DOWN."""
    world = World(make_proxy(style, **haproxy), machines, Random(seed))
    world.start()
    known = [world.next(client) for _ in range(RELOADS)]
    assert (seed, style) != DAILY or any(known)
