"""The next worker believes of its servers what the present one knows, but nothing against its config."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from haproxy_apply.model import Model, Server
from haproxy_apply.saved_state import merged
from haproxy_apply.server_state import Row, rows
from tests.in_memory_haproxy import (
    DISABLED,
    DRAIN,
    MAINTENANCE,
    RUNNING,
    STOPPED,
    Running,
    Worker,
    model,
    server,
)

CHECK = "check inter 1s"
NAMES = [f"{backend}/s{number}" for backend in ("app", "api") for number in range(3)]
PLACES = ["10.77.1.1:80", "10.77.1.2:80", "[fd77::1]:80"]
OPTIONS = ["", CHECK, CHECK, "check rise 3", "agent-check agent-port 9", "check backup", "backup"]  # fmt: skip
COMMANDS = [
    "state maint",
    "state drain",
    "state ready",
    "weight 0",
    "weight 5",
    "health down",
]


@dataclass
class Case:
    """A worker of an old config, what was done to it, and the config that comes next."""

    worker: Worker
    old: Model
    is_proven: bool
    new: Model
    touched: frozenset[str]

    @property
    def before(self) -> dict[str, Row]:
        """What the worker says."""
        return {row.name: row for row in rows(self.worker.state())}

    @property
    def text(self) -> str:
        """What the next one is told."""
        old = self.old if self.is_proven else None
        return merged(self.worker.state(), old, self.new, self.touched)

    @property
    def saved(self) -> dict[str, Row]:
        """Those of its servers."""
        return {row.name: row for row in rows(self.text)}

    @property
    def carried(self) -> dict[str, Row]:
        """Those of its servers that are carried over: who is born is given no id."""
        return {name: row for name, row in self.saved.items() if row.srv_id != "0"}


def lines(name: str) -> st.SearchStrategy[Server]:
    """A server of this name."""
    return st.builds(
        server,
        st.just(name),
        st.sampled_from(PLACES),
        st.sampled_from(OPTIONS),
        weight=st.sampled_from(["1", "7", "10"]),
        is_disabled=st.sampled_from([False, False, True]),
    )


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Operators and checks did something; the new config says of a server the same, something else, or nothing."""
    names = draw(st.lists(st.sampled_from(NAMES), unique=True, min_size=2))
    old = {name: draw(lines(name)) for name in names}
    new = dict(old)
    for name in draw(st.sets(st.sampled_from(NAMES))):
        new[name] = draw(lines(name))
        if name in old and draw(st.booleans()):  # elsewhere it would be another server
            place = old[name].address, old[name].port
            new[name] = new[name]._replace(address=place[0], port=place[1])
    for name in draw(st.sets(st.sampled_from(names), max_size=1)):
        del new[name]
    worker = Worker.of(model(*old.values()))
    worker.words_of_a_row = draw(st.sampled_from([19, 20, 22, 25, 27]))
    for name in names:
        for command in draw(st.lists(st.sampled_from(COMMANDS), max_size=2)):
            worker(f"set server {name} {command}")
    return Case(
        worker,
        model(*old.values()),
        draw(st.booleans()),
        model(*new.values()),
        draw(st.frozensets(st.sampled_from(NAMES), max_size=2)),
    )


# --- what holds in any case ---


@given(cases())
def test_the_form_is_that_of_the_answer(case: Case) -> None:
    """Its head, and lines of at most 20 words, in its order; who is born comes last."""
    head, tail = case.worker.state().split("\n")[:2], case.text.split("\n")[2:]
    assert case.text.split("\n")[:2] == head
    assert tail[-1] == ""
    assert all(19 <= len(line.split(" ")) <= 20 for line in tail[:-1])
    carried = list(case.carried)
    assert list(case.saved)[: len(carried)] == carried
    assert carried == [name for name in case.before if name in carried]


@given(cases())
def test_what_the_config_says_is_never_overruled(case: Case) -> None:
    """No address is told; port, initial weight, `disabled`, checks and a weight that it changes are the config's."""
    old = {it.name: it for it in case.old.servers}
    for it in case.new.servers:
        row = case.carried.get(it.name)
        if row is None:
            continue
        before = case.before[it.name]
        assert (before.srv_addr, before.srv_port) == (it.address, it.port)
        assert (row.srv_addr, row.srv_port) == ("-", it.port)
        assert (row.srv_check_state, row.srv_agent_state) == ("6", "0")
        assert row.srv_iweight == it.weight
        assert bool(row.admin & DISABLED) == it.is_disabled
        if it.weight != old[it.name].weight:
            assert row.srv_uweight == it.weight
        if it.is_disabled != old[it.name].is_disabled:
            assert bool(row.admin & MAINTENANCE) == it.is_disabled


@given(cases())
def test_what_the_config_does_not_change_is_kept(case: Case) -> None:
    """Weight, drain, maintenance and health; except that a DOWN ends which no check would end."""
    old = {it.name: it for it in case.old.servers}
    for it in case.new.servers:
        before = case.before.get(it.name)
        is_same_place = before and (before.srv_addr, before.srv_port) == (
            it.address,
            it.port,
        )
        if it.name in case.touched or not is_same_place:
            continue
        row = case.carried[it.name]
        assert before
        if it.weight == old[it.name].weight:
            assert row.srv_uweight == before.srv_uweight
        if it.is_disabled == old[it.name].is_disabled:
            assert row.admin == before.admin
        is_agents = before.has_agent and not before.has_check
        is_watched = it.is_checked or (is_agents and "agent-check" in it.options)
        if is_watched or row.admin & MAINTENANCE:
            assert row.srv_op_state == before.srv_op_state
        else:
            assert row.srv_op_state == str(RUNNING)


@given(cases())
def test_nobody_is_carried_over_who_moved_or_was_touched(case: Case) -> None:
    """Nor one that no file names, other files' servers being known; and nobody else is left out."""
    places = {it.name: (it.address, it.port) for it in case.new.servers}
    expected = {
        name
        for name, row in case.before.items()
        if name not in case.touched and places.get(name) == (row.srv_addr, row.srv_port)
    }
    assert case.carried.keys() == expected


@pytest.mark.fault("F226")
@given(cases())
def test_nobody_is_born_down_without_another_one_that_is_up(case: Case) -> None:
    """Only checked servers are, that are in use; and where another one is up, each of them is.

    A backup that is up counts for nobody but another backup.
    """
    named = {it.name: it for it in case.new.servers}
    up = {name for name, row in case.carried.items() if row.is_up and name in named}
    any_up, active_up = (
        {name.partition("/")[0] for name in names}
        for names in (up, {name for name in up if not named[name].is_backup})
    )
    expected = {
        name
        for name, it in named.items()
        if it.is_checked
        and not it.is_disabled
        and name not in case.carried
        and name.partition("/")[0] in (any_up if it.is_backup else active_up)
    }
    born = {name: row for name, row in case.saved.items() if row.srv_id == "0"}
    assert born.keys() == expected
    for name, row in born.items():
        it = named[name]
        assert (row.srv_op_state, row.srv_admin_state) == (str(STOPPED), "0")
        assert row.srv_check_health == "0"
        assert row.srv_uweight == row.srv_iweight == it.weight
        assert row.be_id == next(
            other.be_id
            for other in case.before.values()
            if other.be_name == row.be_name
        )


@given(cases())
def test_the_same_config_changes_nothing(case: Case) -> None:
    """What a worker believes is what the one before it knew; addresses and checks are the config's."""
    text = merged(case.worker.state(), case.old, case.old, frozenset())
    for row in rows(text):
        before = case.before[row.name]
        it = next(it for it in case.old.servers if it.name == row.name)
        is_mended = "check" not in it.options and not row.admin & MAINTENANCE
        op = str(RUNNING) if is_mended else before.srv_op_state
        assert row == before._replace(
            srv_op_state=op, srv_addr="-", srv_check_state="6", srv_agent_state="0"
        )
    assert len(rows(text)) == len(case.before)


@pytest.mark.fault("F226")
@pytest.mark.parametrize(
    ("old", "new", "is_down"),
    [
        ("backup", "check", False),
        ("backup", "check backup", True),
        ("backup", "check backup no-backup", False),
        ("backup no-backup", "check", True),
        ("no-backup backup", "check", False),
        ("check", "check backup", True),
        ("check", "check", True),
    ],
)
def test_a_backup_is_no_reason_to_hold_another_one_back(
    old: str, new: str, *, is_down: bool
) -> None:
    """Clients would see it until the first good check; whether it is one, the last word says."""
    stays, leaves = server("stays", options=old), server("leaves", options="check")
    text = merged(
        Worker.of(model(leaves, stays)).state(),
        model(leaves, stays),
        model(stays, server("new", "10.77.1.2:80", new)),
        frozenset(),
    )
    assert ("new" in {row.srv_name for row in rows(text)}) == is_down


# --- what the worker is proven to run, and what it is not ---


def test_a_change_at_run_time_is_the_configs_if_it_is_proven() -> None:
    """What a config brought without a new process is taken back with it; else it counts as an operator's."""
    first = model(server("s1", weight="10"))
    second = model(server("s1", weight="20", is_disabled=True))
    worker = Worker.of(first)
    worker("set server app/s1 weight 20")
    worker("set server app/s1 state maint")
    (proven,) = rows(merged(worker.state(), second, first, frozenset()))
    (unknown,) = rows(merged(worker.state(), None, first, frozenset()))
    assert (proven.srv_uweight, proven.admin) == ("10", 0)
    assert (unknown.srv_uweight, unknown.admin) == ("20", MAINTENANCE)


# --- places in all forms ---

SETTING = ("setenv PORT 80", "option httplog")
OTHER_SETTING = ("setenv PORT 81", "option httplog")
OTHER_LINE = ("setenv PORT 80", "option tcplog")


def at(address: str, port: str = "80", **more: str) -> Running:
    """A server as the worker shows it: drained, so that what is carried over can be told."""
    return Running(
        address,
        port,
        1,
        1,
        admin=DRAIN,
        fqdn=more.get("fqdn", "-"),
        srvrecord=more.get("srvrecord", "-"),
    )


def line(address: str, port: str = "80", **more: str | bool) -> Server:
    """A server as the config says it."""
    return server("s1")._replace(address=address, port=port, **more)  # type: ignore[arg-type]


def is_carried(
    it: Running, old: Model | None, new: Model, name: str = "app/s1"
) -> bool:
    """Whether the next worker is told of it."""
    text = merged(Worker({name: it}).state(), old, new, frozenset())
    return bool(rows(text))


@pytest.mark.parametrize(
    ("it", "said"),
    [
        (at("10.77.1.1"), line("ipv4@10.77.1.1")),
        (at("10.77.1.1"), line("tcp@10.77.1.1")),
        (at("10.77.1.1"), line("tcp4@10.77.1.1")),
        (at("fd77::1"), line("ipv6@FD77:0::0001")),
        (at("fd77::1"), line("tcp6@fd77::1")),
        (at("::"), line("ipv6@*")),
        (at("::"), line("ipv6@")),
        (at("0.0.0.0"), line("*")),  # noqa: S104 - so HAProxy shows it
        (at("127.0.0.1", fqdn="localhost"), line("LocalHost")),
        (at("-", fqdn="LOCALHOST"), line("localhost")),
        (at("10.77.1.1", "81", fqdn="h1.test", srvrecord="_Http._tcp.test"), line("_http._tcp.Test")),
        (at("-", "0"), line("/run/app.sock", "-")),
        (at("-", "0"), line("abns@app", "-")),
        (at("10.77.1.1", "0"), line("10.77.1.1", "-")),
        (at("10.77.1.1", "80"), line("10.77.1.1", "080")),
        (at("10.77.1.1", "80"), line("10.77.1.1", "http")),
        (at("10.77.1.1", "10"), line("10.77.1.1", "+10")),
        (at("10.77.1.1", "-10"), line("10.77.1.1", "-10")),
        (at("10.77.1.1", "4294967286"), line("10.77.1.1", "-10")),
        (at("10.77.1.1", "65526"), line("10.77.1.1", "-10")),
    ],
    ids=lambda it: it.address if isinstance(it, Server) else "",
)  # fmt: skip
def test_a_place_is_the_same_in_every_form(it: Running, said: Server) -> None:
    """HAProxy shows it in another way than the config, or not at all."""
    assert is_carried(it, model(said), model(said))
    assert is_carried(it, None, model(said))


@pytest.mark.parametrize(
    ("it", "old", "new"),
    [
        (at("127.0.0.1", fqdn="localhost"), line("localhost"), line("other.test")),
        (at("127.0.0.1", fqdn="localhost"), line("localhost"), line("127.0.0.2")),
        (at("127.0.0.1", fqdn="localhost"), line("localhost"), line("localhost", "81")),
        (at("127.0.0.1", fqdn="h1.test", srvrecord="_a._tcp.test"), line("_a._tcp.test"), line("_b._tcp.test")),
        (at("-"), line("/run/app.sock"), line("/run/other.sock")),
        (at("-"), line("abns@app"), line("unix@/run/app.sock")),
        (at("10.77.1.1", "10"), line("10.77.1.1", "+10"), line("10.77.1.1", "+11")),
        (at("10.77.1.1", "-1"), line("10.77.1.1", "-1"), line("10.77.1.1", "-2")),
        (at("10.77.1.1", "0"), line("10.77.1.1", "-"), line("10.77.1.1")),
        (at("10.77.1.1", "80"), line("10.77.1.1"), line("10.77.1.1", "-")),
    ],
    ids=[
        "name", "literal", "port", "record", "socket", "kind-of-socket", "relative-port", "lower-port", "no-port",
        "no-port-now",
    ],
)  # fmt: skip
def test_whoever_is_elsewhere_begins_anew(
    it: Running, old: Server, new: Server
) -> None:
    """In every form."""
    assert is_carried(it, model(old), model(old))
    assert not is_carried(it, model(old), model(new))


@pytest.mark.parametrize("family", ["ipv4@", "ipv6@", "tcp@", "tcp4@", "tcp6@"])
def test_a_family_is_no_part_of_an_address(family: str) -> None:
    """Unlike a kind of socket, whose place HAProxy does not show."""
    address = "fd77::1" if "6" in family else "10.77.1.1"
    config = model(line(f"{family}{address}"))
    assert is_carried(at(address), None, config)
    assert not is_carried(at(f"{address}1"), None, config)


@pytest.mark.parametrize("address", ["10.77.1.${N}", "10.77.1.1"])
def test_what_variables_say_is_compared_with_what_sets_them(address: str) -> None:
    """No address of theirs is known: what decides has to be the same, word for word."""
    said = line(address, "${PORT}", is_plain=False)
    it, config = at("10.77.1.1"), model(said, rest=SETTING)
    assert is_carried(it, config, config)
    assert is_carried(it, config, model(said, rest=OTHER_LINE))
    assert not is_carried(it, config, model(said, rest=OTHER_SETTING))
    assert not is_carried(
        it, config, model(line(address, "$PORT", is_plain=False), rest=SETTING)
    )
    assert not is_carried(it, None, config)


@pytest.mark.parametrize(
    "word",
    ["setenv", "presetenv", "resetenv", "unsetenv", ".if", ".elif", ".else", ".endif"],
)
def test_every_word_that_decides_about_variables_counts(word: str) -> None:
    """Alone, or before a blank or a tab; not as the beginning of another word."""
    said = line("10.77.1.1", "$PORT", is_plain=False)
    before = model(said)
    for setting in (word, f"{word} X", f"{word}\tX"):
        assert not is_carried(at("10.77.1.1"), before, model(said, rest=(setting,)))
    assert is_carried(at("10.77.1.1"), before, model(said, rest=(f"{word}s X",)))


def test_where_a_condition_decides_nothing_of_it_may_have_changed() -> None:
    """Of two servers of one name nobody but HAProxy knows which one counts."""
    one, two = line("10.77.1.1", is_plain=False), line("10.77.1.2", is_plain=False)
    condition = (".if defined(X)",)
    config = model(one, two, rest=condition)
    assert is_carried(at("10.77.1.1"), config, config)
    assert is_carried(at("10.77.1.2"), config, config)
    assert not is_carried(at("10.77.1.3"), config, config)
    assert not is_carried(at("10.77.1.1"), config, model(one, two))
    for other in (
        model(two, one, rest=condition),
        model(one, two, two, rest=condition),
    ):
        assert not is_carried(at("10.77.1.1"), config, other)
    assert not is_carried(at("10.77.1.1"), None, config)
    assert is_carried(at("10.77.1.1"), config, model(one))


@pytest.mark.parametrize("name", ["app/s1", "app/s12", "app/s"])
def test_the_servers_of_a_template_stand_under_its_prefix(name: str) -> None:
    """As many digits as there are; without any it is somebody else, whom no file names."""
    template = line("10.77.1.1", name="app/s*", is_plain=False)
    moved = template._replace(address="10.77.1.2")
    is_spare = name != "app/s"
    assert (
        is_carried(at("10.77.1.1"), model(template), model(template), name) == is_spare
    )
    assert not is_carried(at("10.77.1.1"), model(template), model(moved), name)


def test_a_variable_in_a_name_may_be_anybodys() -> None:
    """Whoever has no name that is known is carried over if no such line has changed, nor what sets its variables."""
    said = line("10.77.1.1", name="app/$N", is_plain=False)
    config = model(said, rest=SETTING)
    assert is_carried(at("10.77.1.1"), config, config)
    assert is_carried(
        at("10.77.1.1"), config, model(said._replace(options="check"), rest=SETTING)
    )
    assert not is_carried(
        at("10.77.1.1"), config, model(said._replace(port="81"), rest=SETTING)
    )
    assert not is_carried(at("10.77.1.1"), config, model(said, rest=OTHER_SETTING))
    assert not is_carried(at("10.77.1.1"), config, model(rest=SETTING))


# --- lines that say less than all ---


def told(it: Running, old: Server | None, new: Server) -> Row:
    """What the next worker is told of the server."""
    before = model(old) if old else None
    (row,) = rows(
        merged(Worker({"app/s1": it}).state(), before, model(new), frozenset())
    )
    return row


def vague(weight: str = "1", *, is_disabled: bool = False) -> Server:
    """A server with a default that is not understood."""
    said = line("10.77.1.1", weight=weight, is_disabled=is_disabled)
    return said._replace(options="not-understood")


def running(
    weight: int = 5, initial: int = 3, admin: int = 0, op: int = RUNNING
) -> Running:
    """A server whose weight an operator has set."""
    return Running("10.77.1.1", "80", weight, initial, admin=admin, op=op)


@pytest.mark.parametrize(
    ("old", "new", "weights"),
    [
        (vague("1"), vague("1"), ("5", "3")),
        (vague("1"), vague("9"), ("9", "9")),
        (None, vague("9"), ("5", "3")),
        (line("10.77.1.1", weight="9"), vague("9"), ("5", "3")),
        (vague("9"), line("10.77.1.1", weight="3"), ("5", "3")),
        (vague("3"), line("10.77.1.1", weight="9"), ("9", "9")),
        (None, line("10.77.1.1", weight="$W"), ("5", "3")),
        (line("10.77.1.1", weight="$V"), line("10.77.1.1", weight="$W"), ("5", "3")),
        (line("10.77.1.1", weight="1"), line("10.77.1.1", weight="$W"), ("5", "3")),
        (line("10.77.1.1", weight="010"), line("10.77.1.1", weight="10"), ("5", "10")),
    ],
    ids=[
        "same", "changed", "not-proven", "became-vague", "became-clear", "became-clear-and-changed", "variable",
        "other-variable", "became-variable", "spelling",
    ],
)  # fmt: skip
def test_a_weight_overrules_as_far_as_its_line_says_it(
    old: Server | None, new: Server, weights: tuple[str, str]
) -> None:
    """Where a variable or a default in quotes may say it, HAProxy compares by itself; what the line changes counts."""
    row = told(running(), old, new)
    assert (row.srv_uweight, row.srv_iweight) == weights


@pytest.mark.parametrize(
    ("old", "new", "before", "after"),
    [
        (vague(), vague(), MAINTENANCE, MAINTENANCE),
        (vague(), vague(), DISABLED | MAINTENANCE, 0),
        (vague(), vague(is_disabled=True), 0, DISABLED | MAINTENANCE),
        (vague(is_disabled=True), vague(is_disabled=True), 0, DISABLED),
        (vague(is_disabled=True), vague(), MAINTENANCE, 0),
        (None, vague(is_disabled=True), 0, DISABLED),
        (None, line("10.77.1.1"), DISABLED | MAINTENANCE, 0),
        (None, line("10.77.1.1"), DISABLED | DRAIN, DRAIN),
        (line("10.77.1.1"), line("10.77.1.1"), DISABLED | MAINTENANCE, MAINTENANCE),
        (None, line("10.77.1.1", weight="$W"), DISABLED | MAINTENANCE, 0),
        (None, line("10.77.1.1", weight="$W"), MAINTENANCE, MAINTENANCE),
        (None, line("10.77.1.1", weight="$W", is_disabled=True), 0, 0),
        (None, line("10.77.1.1", weight="$W", is_disabled=True), DISABLED | DRAIN, DISABLED | DRAIN),
    ],
    ids=[
        "operators", "of-a-default", "new", "an-operator-ended-it", "taken-back", "not-proven", "clear", "drained",
        "clear-and-proven", "variable", "variable-and-operators", "variable-and-new",
        "variable-and-disabled",
    ],
)  # fmt: skip
def test_maintenance_ends_with_the_word_that_began_it(
    old: Server | None, new: Server, before: int, after: int
) -> None:
    """Not an operator's."""
    assert told(running(admin=before), old, new).admin == after


@pytest.mark.parametrize(
    ("options", "op"),
    [
        ("-", RUNNING),
        ("maxconn 9", RUNNING),
        ("no-agent-check", RUNNING),
        ("agent-check no-agent-check", RUNNING),
        ("no-agent-check agent-check", STOPPED),
        ("cookie agent-check", RUNNING),
        ("cookie track maxconn 9", RUNNING),
        ("$OPTIONS", STOPPED),
        ("maxconn 9 not-understood", STOPPED),
    ],
)
@pytest.mark.parametrize(
    "admin",
    [0, 2, 32, MAINTENANCE],
    ids=["ready", "tracked", "unresolved", "maintenance"],
)
def test_nobody_stays_down_whom_nothing_would_bring_up(
    options: str, op: int, admin: int
) -> None:
    """Unless it is in maintenance by itself, which HAProxy carries over."""
    new = line("10.77.1.1", options=options)
    it = running(op=STOPPED, admin=admin)
    it.has_agent = True
    row = told(it, None, new)
    assert row.srv_op_state == str(STOPPED if admin == MAINTENANCE else op)
    assert row.admin == admin


@pytest.mark.fault("F248")
@pytest.mark.parametrize("has_agent", [False, True])
def test_an_agent_ends_nothing_that_a_check_has_found(*, has_agent: bool) -> None:
    """Nor what was down before there was an agent."""
    it = running(op=STOPPED)
    it.has_agent = it.has_check = has_agent
    row = told(it, None, line("10.77.1.1", options="agent-check"))
    assert row.srv_op_state == str(RUNNING)


@pytest.mark.parametrize("admin", [0, 2, 32], ids=["ready", "tracked", "unresolved"])
@pytest.mark.parametrize("op", [STOPPED, RUNNING], ids=["was-down", "was-up"])
@pytest.mark.parametrize(
    ("leader", "options", "expected"),
    [
        (STOPPED, "track app/s2", STOPPED),
        (RUNNING, "track app/s2", RUNNING),
        (STOPPED, "track s2", STOPPED),
        (STOPPED, "track app/s3", STOPPED),
        (RUNNING, "track app/s3", RUNNING),
        (None, "track app/s2", RUNNING),
    ],
    ids=["down", "up", "without-backend", "far-down", "far-up", "nothing-known"],
)
def test_who_tracks_another_server_is_as_that_one_is(
    leader: int | None, options: str, expected: int, op: int, admin: int
) -> None:
    """Whatever it was itself; of one that is not carried over a new worker believes that it is up."""
    servers = {"app/s1": running(op=op, admin=admin)}
    if leader is not None:
        servers["app/s2"] = running(op=leader)
    config = model(
        line("10.77.1.1", options=options),
        server("s2", options=CHECK),
        server("s3", options="track s2"),
    )
    first = rows(merged(Worker(servers).state(), None, config, frozenset()))[0]
    assert (first.name, first.admin) == ("app/s1", admin)
    assert first.srv_op_state == str(expected)


@pytest.mark.fault("F226")
@pytest.mark.parametrize("options", ["track app/s2", "track s3"], ids=["near", "far"])
@pytest.mark.parametrize(
    "place", ["10.77.1.1:80", "10.77.1.2:80"], ids=["new", "moved"]
)
def test_who_tracks_a_server_is_no_reason_to_hold_that_one_back(
    place: str, options: str
) -> None:
    """It would go down with it, and nobody were left; beside a third one both wait for the check."""
    follower, leader = server("s1", options=options), server("s2", place, CHECK)
    far, third = server("s3", options="track s2"), server("s4", options=CHECK)
    for others, states in (
        ([], {"app/s1": RUNNING}),
        ([third], {"app/s1": STOPPED, "app/s2": STOPPED}),
    ):
        old = [
            follower,
            *others,
            *([server("s2", options=CHECK)] if place[-4] == "2" else []),
        ]
        text = merged(
            Worker.of(model(*old)).state(),
            None,
            model(follower, leader, far, *others),
            frozenset(),
        )
        found = {
            row.name: int(row.srv_op_state)
            for row in rows(text)
            if row.srv_name != "s4"
        }
        assert found == states


def test_who_tracks_a_server_that_is_down_is_no_reason_to_hold_one_back() -> None:
    """It will be down, whatever it was: nobody were left."""
    worker = Worker({"app/s1": running(), "api/s1": running(op=STOPPED)})
    followed = server("api/s1", options=CHECK)
    follower = server("s1", options="track api/s1")
    new = server("s2", options=CHECK)
    text = merged(worker.state(), None, model(followed, follower, new), frozenset())
    assert {row.name: row.srv_op_state for row in rows(text)} == {
        "app/s1": str(STOPPED),
        "api/s1": str(STOPPED),
    }


@pytest.mark.parametrize("leader", [STOPPED, RUNNING], ids=["down", "up"])
def test_a_maintenance_of_who_tracks_another_server_stays(leader: int) -> None:
    """It is HAProxy's to take it out; when it ends, the server is as the other one is."""
    worker = Worker(
        {
            "app/s1": running(op=STOPPED, admin=MAINTENANCE),
            "app/s2": running(op=leader),
        }
    )
    config = model(
        line("10.77.1.1", options="track app/s2"), server("s2", options=CHECK)
    )
    first = rows(merged(worker.state(), None, config, frozenset()))[0]
    assert (first.admin, first.srv_op_state) == (MAINTENANCE, str(leader))


@pytest.mark.parametrize(
    ("options", "is_told"),
    [
        ("-", False),
        ("check resolve-prefer ipv4", False),
        ("init-addr last", True),
        ("check resolvers dns", True),
        ("$OPTIONS", True),
        ("not-understood", True),
    ],
)
def test_an_address_is_told_where_no_start_may_look_the_name_up(
    options: str, *, is_told: bool
) -> None:
    """Without the last one such a server would have none; else what the name is now counts."""
    said = line("localhost", options=options)
    row = told(at("127.0.0.1", fqdn="localhost"), None, said)
    assert row.srv_addr == ("127.0.0.1" if is_told else "-")
    assert row.srv_fqdn == "-"


def test_all_that_an_srv_record_said_is_kept() -> None:
    """The config has neither name nor port of it."""
    it = at("10.77.1.1", "81", fqdn="h1.test", srvrecord="_http._tcp.test")
    row = told(it, None, line("_http._tcp.test"))
    assert (row.srv_addr, row.srv_port) == ("10.77.1.1", "81")
    assert (row.srv_fqdn, row.srvrecord) == ("h1.test", "_http._tcp.test")


def test_what_was_set_at_run_time_beside_state_is_not_told() -> None:
    """Switched-off checks and agents, another name."""
    head, title, _row, *end = Worker({"app/s1": at("127.0.0.1")}).state().split("\n")
    row = f"3 app 1 s1 127.0.0.1 2 {0x40 | DRAIN} 1 1 7 6 3 2 2 7 0 0 localhost 80 -"
    (saved,) = rows(
        merged(
            "\n".join([head, title, row, *end]),
            None,
            model(line("localhost")),
            frozenset(),
        )
    )
    assert saved.line == f"3 app 1 s1 - 2 {DRAIN} 1 1 7 6 3 2 6 0 0 0 - 80 -"


@pytest.mark.parametrize("old", [None, model(), model(server("s2"))])
def test_whoever_stands_in_no_file_is_not_carried_over(old: Model | None) -> None:
    """HAProxy would have no server for it; those of other files are known."""
    worker = Worker({"app/s2": running(op=STOPPED, admin=DISABLED)})
    assert rows(merged(worker.state(), old, model(server("s1")), frozenset())) == ()


@pytest.mark.fault("F244")
@pytest.mark.parametrize("rise", ["3", "1"])
def test_the_newborn_has_had_no_check(rise: str) -> None:
    """All words: DOWN, ready, with the weight of its line, to be checked as often as its `rise` says."""
    new = server("s1", "[fd77::1]:80", f"check rise {rise}", weight="7")
    config = model(server("s2"), new)
    text = merged(Worker.of(model(server("s2"))).state(), None, config, frozenset())
    assert text.split("\n")[-2:] == [
        "3 app 0 s1 - 0 0 7 7 0 1 0 0 6 0 0 0 - 80 -",
        "",
    ]


@pytest.mark.parametrize(
    "new",
    [
        line("localhost", options=f"{CHECK} resolvers dns", is_checked=True),
        line("localhost", options=f"{CHECK} init-addr none", is_checked=True),
        line("_http._tcp.local", options=CHECK, is_checked=True),
        line("$NAME", options=CHECK, is_checked=True),
        line("/run/app.sock", "-", options=CHECK, is_checked=True),
        line("ipv4@", options=CHECK, is_checked=True),
        line("10.77.1.2", "+10", options=CHECK, is_checked=True),
        line("10.77.1.2", options=CHECK, is_checked=True, is_plain=False),
        line("10.77.1.2"),
        line("10.77.1.2", options=CHECK, is_checked=True, name="api/s1"),
    ],
    ids=[
        "resolved-name",
        "no-start-looks-it-up",
        "srv-record",
        "variable",
        "socket",
        "any",
        "relative-port",
        "not-understood",
        "unchecked",
        "other-backend",
    ],
)
def test_who_is_not_born_down(new: Server) -> None:
    """Of these it is not known where they are, or whether anything would bring them up."""
    other = server("s2")
    text = merged(Worker.of(model(other)).state(), None, model(other, new), frozenset())
    assert [row.name for row in rows(text)] == ["app/s2"]


@pytest.mark.fault("F264")
@pytest.mark.parametrize("address", ["10.77.1.2", "fd77::2", "ip-10-0-0-2", "Ip.Local"])
def test_who_is_born_down(address: str) -> None:
    """Who has an address, or a name that a start looks up."""
    other, new = server("s2"), line(address, options=CHECK, is_checked=True)
    text = merged(Worker.of(model(other)).state(), None, model(other, new), frozenset())
    assert [row.name for row in rows(text)] == ["app/s2", "app/s1"]


@pytest.mark.parametrize("is_first", [True, False])
def test_whoever_a_condition_may_replace_is_born_down_too(*, is_first: bool) -> None:
    """HAProxy loads no two of one name: if it starts, the one without a condition is there, with its own port."""
    plain = line("10.77.1.2", options=CHECK, is_checked=True, weight="7", rise="4")
    under_condition = line(
        "h1.test", "81", is_plain=False, is_disabled=True, weight="9"
    )
    both = [plain, under_condition] if is_first else [under_condition, plain]
    config = model(server("s2"), *both)
    text = merged(Worker.of(model(server("s2"))).state(), None, config, frozenset())
    born = rows(text)[-1]
    assert (born.name, born.srv_addr, born.srv_port) == ("app/s1", "-", "80")
    assert (born.srv_uweight, born.srv_iweight, born.srv_check_health) == (
        "7",
        "7",
        "0",
    )


def test_of_whom_conditions_decide_altogether_nobody_is_born_down() -> None:
    """The other one may have no check that would ever bring it up, or another port."""
    checked = line("10.77.1.2", options=CHECK, is_checked=True, is_plain=False)
    unchecked = line("10.77.1.3", "81", is_plain=False)
    config = model(server("s2"), checked, unchecked)
    text = merged(Worker.of(model(server("s2"))).state(), None, config, frozenset())
    assert [row.name for row in rows(text)] == ["app/s2"]


@pytest.mark.parametrize("options", [CHECK, f"{CHECK} backup"])
def test_who_may_not_be_there_is_no_reason_to_hold_one_back(options: str) -> None:
    """One that no file names will not be there; of one that a variable may name nobody knows."""
    worker = Worker.of(model(server("s2")))
    new = server("s1", options=options)
    assert rows(merged(worker.state(), None, model(new), frozenset())) == ()
    named = line("10.77.1.1", name="app/$N", is_plain=False)
    text = merged(worker.state(), model(named), model(named, new), frozenset())
    assert [row.name for row in rows(text)] == ["app/s2"]


def test_lines_about_no_server_are_kept() -> None:
    """Whatever they say; blank ones at the end are dropped."""
    odd = "1\n# what this is\n\n3 app 1\n# " + "word " * 30
    assert merged(f"{odd}\n\n\n", None, model(), frozenset()) == f"{odd}\n"
