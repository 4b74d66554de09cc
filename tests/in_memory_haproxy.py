"""A HAProxy worker that exists only in memory: its stats socket, its servers and what becomes of them in time.

It is as strict as HAProxy 2.6, whose answers it gives: what that one refuses, it refuses too.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from haproxy_apply.model import Model, Server

HEADER = (
    "# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight"
    " srv_time_since_last_change srv_check_status srv_check_result srv_check_health srv_check_state srv_agent_state"
    " bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord srv_use_ssl srv_check_port srv_check_addr"
    " srv_agent_addr srv_agent_port"
)
STOPPED, RUNNING, STOPPING = 0, 2, 3
MAINTENANCE, DISABLED, DRAIN = 0x01, 0x04, 0x08
UNKNOWN, FAILED, PASSED = 0, 2, 3
BACKENDS = ("app", "api")
HIGHEST_WEIGHT = 256
KEYWORDS = frozenset({"check", "backup", "agent-check"})
KEYWORDS_WITH_VALUE = frozenset({
    "weight", "inter", "rise", "maxconn", "agent-port", "pool-purge-delay", "pool-max-conn",
})  # fmt: skip


def server(
    name: str, place: str = "10.77.1.1:80", options: str = "", **more: str | bool
) -> Server:
    """A plain server of the backend `app`, as `server NAME PLACE OPTIONS` says, without weight and `disabled`."""
    address, _, port = place.rpartition(":")
    words = options.split()
    made = Server(
        name=name if "/" in name else f"app/{name}",
        address=address.strip("[]"),
        port=port,
        weight="1",
        rise=words[words.index("rise") + 1] if "rise" in words else "2",
        is_checked="check" in words,
        is_disabled=False,
        options=options or "-",
        is_plain=True,
    )
    return made._replace(**more)  # type: ignore[arg-type]


def model(*servers: Server, rest: tuple[str, ...] = ()) -> Model:
    """A config with these servers and other lines."""
    return Model(servers, rest, (), ())


@dataclass
class Running:
    """A server, as the worker has it."""

    address: str
    port: str
    weight: int
    initial_weight: int
    rise: int = 2
    has_check: bool = False
    has_agent: bool = False
    is_checking: bool = False
    is_busy: bool = False
    kept: int = 0
    """Idle connections; only the beginning of a maintenance closes them."""
    is_agent_enabled: bool = False
    op: int = RUNNING
    admin: int = 0
    result: int = UNKNOWN
    health: int = 0
    fqdn: str = "-"
    srvrecord: str = "-"

    @property
    def is_serving(self) -> bool:
        """Whether it is given new sessions."""
        is_out = (
            self.admin & ~DISABLED
        )  # that one only says where a maintenance came from
        return self.op == RUNNING and not is_out and self.weight > 0


class Refusal(Exception):
    """What HAProxy answers to a command that it does not obey."""


@dataclass
class Worker:
    """The worker of a config; called with a command it gives the answer, and `sleep` lets it check its servers."""

    servers: dict[str, Running]
    is_well: Callable[[str], bool] = lambda _name: True
    """Whether a check of the server of this name is good."""
    words_of_a_row: int = 25
    answers: list[tuple[str, str]] = field(default_factory=list)
    after_each: list[frozenset[str]] = field(default_factory=list)
    """Who was serving after each command, and after each sleep."""

    @classmethod
    def of(cls, config: Model) -> "Worker":
        """One that has been started with a config a while ago; all is well."""
        return cls({it.name: _started(it) for it in config.servers})

    @property
    def commands(self) -> list[str]:
        """What it was told, without questions."""
        return [command for command, _ in self.answers if command[:4] != "show"]

    @property
    def serving(self) -> frozenset[str]:
        """Who is given new sessions."""
        return frozenset(name for name, it in self.servers.items() if it.is_serving)

    def state(self) -> str:
        """The answer to `show servers state`."""
        return "\n".join(["1", HEADER, *self._rows(), "", ""])

    def _connections(self) -> str:
        """The answer to `show servers conn`: a server that was added has no list by thread."""
        lines = [
            f"{name} 3/1 {it.address} {it.port} - 5000 {int(it.is_busy)} 1 1 0 {it.kept} -1 {it.kept}"
            for name, it in self.servers.items()
        ]
        titles = (
            "# bkname/svname bkid/svid addr port - purge_delay used_cur used_max need_est unsafe_nb safe_nb"
            " idle_lim idle_cur idle_per_thr[1]"
        )
        return "\n".join([titles, *lines, "", ""])

    def _rows(self) -> Iterator[str]:
        for number, (name, it) in enumerate(self.servers.items(), 1):
            backend, _, own = name.partition("/")
            checking = 2 * it.has_check + 4 * it.is_checking
            asking = 2 * it.has_agent + 4 * it.is_agent_enabled
            row = (
                f"{BACKENDS.index(backend) + 3} {backend} {number} {own} {it.address} {it.op} {it.admin} {it.weight}"
                f" {it.initial_weight} 7 6 {it.result} {it.health} {checking} {asking} 0 0 {it.fqdn} {it.port}"
                f" {it.srvrecord} 0 0 - - 0 new newer"
            )
            yield " ".join(row.split(" ")[: self.words_of_a_row])

    def __call__(self, command: str) -> str:
        """Do what each command of the line says, or say why not."""
        answer = "".join(map(self._answer, command.split(";")))
        self.answers.append((command, answer))
        self.after_each.append(self.serving)
        return answer

    def _answer(self, command: str) -> str:
        try:
            return self._obey(command.split(" "))
        except Refusal as refusal:
            return f"{refusal}\n\n"

    def sleep(self, _seconds: float) -> None:
        """Long enough for a check of each server."""
        for name, it in self.servers.items():
            if it.is_checking and not it.admin & MAINTENANCE:
                _check(it, is_well=self.is_well(name))
        self.after_each.append(self.serving)

    def _obey(self, words: list[str]) -> str:
        verbs: dict[str, Callable[..., str | None]] = {
            "show servers": lambda what, *_backend: (
                self.state() if what == "state" else self._connections()
            ),
            "add server": self._add,
            "del server": self._delete,
            "enable health": self._enable_health,
            "enable agent": self._enable_agent,
            "set server": self._set,
        }
        verb = verbs.get(" ".join(words[:2]), _unknown)
        return verb(*words[2:]) or "\n"

    def _find(self, name: str) -> Running:
        _refuse_unless(name in self.servers, "No such server.")
        return self.servers[name]

    def _enable_health(self, name: str) -> None:
        _refuse_unless(
            self._find(name).has_check,
            "Health check was not configured on this server, cannot enable.",
        )
        self._find(name).is_checking = True

    def _enable_agent(self, name: str) -> None:
        _refuse_unless(
            self._find(name).has_agent,
            "Agent was not configured on this server, cannot enable.",
        )
        self._find(name).is_agent_enabled = True

    def _add(self, name: str, place: str, *options: str) -> str:
        _refuse_unless(name.partition("/")[0] in BACKENDS, "No such backend.")
        _refuse_unless(
            name not in self.servers,
            "Already exists a server with the same name in backend.",
        )
        address, _, port = place.rpartition(":")
        _refuse_unless(address[:1] == "[" or ":" not in address, "invalid address")
        said = dict(_keywords(options))
        weight = int(said.get("weight", "1"))
        self.servers[name] = Running(
            address.strip("[]"),
            port,
            weight,
            weight,
            rise=int(said.get("rise", "2")),
            has_check="check" in said,
            has_agent="agent-check" in said,
            op=STOPPED,
            admin=MAINTENANCE,
        )
        return "New server registered.\n\n"

    def _delete(self, name: str) -> str:
        it = self._find(name)
        _refuse_unless(
            bool(it.admin & MAINTENANCE),
            "Only servers in maintenance mode can be deleted.",
        )
        _refuse_unless(
            not it.is_busy and not it.kept,
            "Server still has connections attached to it, cannot remove it.",
        )
        del self.servers[name]
        return "Server deleted.\n"

    def _set(self, name: str, what: str, *values: str) -> str | None:
        properties: dict[str, Callable[..., str | None]] = {
            "state": _administer,
            "health": _set_health,
            "weight": _weigh,
            "addr": _move,
        }
        return properties.get(what, _unknown)(self._find(name), *values)


def _unknown(*_words: object) -> str:
    raise Refusal("Unknown command")


def _started(it: Server) -> Running:
    return Running(
        it.address,
        it.port,
        int(it.weight),
        int(it.weight),
        rise=int(it.rise),
        has_check=it.is_checked,
        has_agent="agent-check" in it.options,
        is_checking=it.is_checked,
        op=STOPPED if it.is_disabled else RUNNING,
        admin=MAINTENANCE | DISABLED if it.is_disabled else 0,
        result=PASSED if it.is_checked else UNKNOWN,
        health=0 if it.is_disabled else int(it.rise),
    )


def _check(it: Running, *, is_well: bool) -> None:
    it.result = PASSED if is_well else FAILED
    it.health = it.health + 1 if is_well else 0
    if it.health == 0 or it.health >= it.rise:
        it.op = RUNNING if is_well else STOPPED


def _administer(it: Running, state: str) -> None:
    _refuse_unless(state in ("maint", "drain", "ready"), "unknown state")
    if state == "maint":
        it.op, it.health = STOPPED, 0
        it.kept *= it.admin & MAINTENANCE
    elif it.admin & MAINTENANCE:  # which makes it up, whatever its checks say
        it.op, it.health = RUNNING, it.rise
    bits = {"maint": MAINTENANCE, "drain": DRAIN, "ready": 0}
    it.admin = it.admin & ~(MAINTENANCE | DRAIN) | bits[state]


def _set_health(it: Running, health: str) -> None:
    _refuse_unless(it.is_checking, "not checked: no check would ever say otherwise")
    it.op, it.health = {"up": (RUNNING, it.rise + 2), "down": (STOPPED, 0)}[health]


def _weigh(it: Running, weight: str) -> None:
    _refuse_unless(
        weight.isdecimal() and int(weight) <= HIGHEST_WEIGHT,
        "Absolute weight can only be between 0 and 256 inclusive.",
    )
    it.weight = int(weight)


def _move(it: Running, address: str, _word: str, port: str) -> str:
    said = [
        f"{what} changed from '{old}' to '{new}'"
        if old != new
        else f"no need to change the {unchanged}"
        for what, unchanged, old, new in (
            ("IP", "addr", it.address, address),
            ("port", "port", it.port, port),
        )
    ]
    it.address, it.port = address, port
    return f"{', '.join(said)} by 'stats socket command'\n\n"


def _keywords(words: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    left = iter(words)
    for word in left:
        _refuse_unless(
            word in KEYWORDS | KEYWORDS_WITH_VALUE, f"unknown keyword '{word}'."
        )
        yield word, next(left) if word in KEYWORDS_WITH_VALUE else ""


def _refuse_unless(condition: bool, why: str) -> None:  # noqa: FBT001 - reads like the rule that it is
    if not condition:
        raise Refusal(why)
