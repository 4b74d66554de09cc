"""What a worker says of its servers: read in the words of every HAProxy, compared whatever the spelling."""

from ipaddress import IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from haproxy_apply.model import Model
from haproxy_apply.server_state import (
    Backend,
    Row,
    Servers,
    columns,
    passed,
    rows,
    runs,
    servers,
    spelt_out,
)
from tests.in_memory_haproxy import (
    FAILED,
    HEADER,
    MAINTENANCE,
    PASSED,
    Running,
    Worker,
    model,
    server,
)

SERVERS = (
    server("s1"),
    server("s2", "[fd77::1]:8080", "check"),
    server("api/s1", "0.0.0.0:80"),
)
CONFIG = model(*SERVERS)
STRANGER = Running("10.77.1.9", "80", 1, 1)


# --- the rows ---


@pytest.mark.parametrize("words", [19, 20, 22, 25, 27])
def test_the_first_words_mean_the_same_to_every_haproxy(words: int) -> None:
    """They have HAProxy's own names; what later versions add stays behind."""
    worker = Worker.of(CONFIG)
    worker.words_of_a_row = words
    first, second, third = rows(worker.state())
    assert list(Row._fields) == HEADER.split(" ")[1:21]
    assert (first.name, second.name, third.name) == ("app/s1", "app/s2", "api/s1")
    assert (second.srv_addr, second.srv_port) == ("fd77::1", "8080")
    assert second.line.split(" ") == worker.state().split("\n")[3].split(" ")[:20]


@pytest.mark.parametrize(
    "answer",
    ["", "\n", "1\n", f"1\n{HEADER}\n\n", "Permission denied\n\n", "3 app 1 s1 10.77.1.1 2 0 1"],
    ids=["nothing", "empty", "version", "no-servers", "refusal", "torn"],
)  # fmt: skip
def test_an_answer_without_servers_proves_nothing(answer: str) -> None:
    """Not even that a config without servers runs."""
    assert rows(answer) == ()
    assert passed(answer) == frozenset()
    assert not runs(answer, CONFIG)
    assert not runs(answer, model())


@pytest.mark.parametrize(
    ("op", "admin", "weight", "expected"),
    [
        (2, 0, 1, "up"),
        (1, 0, 1, "up"),  # STARTING: with `slowstart`
        (3, 0, 1, "out"),  # STOPPING: `disable-on-404`
        (0, 0, 1, "out"),
        (2, 0, 0, "out"),
        (2, 1, 1, "out"),
        (2, 2, 1, "out"),
        (2, 8, 1, "out"),
    ],
)
def test_who_is_up_is_given_new_sessions(
    op: int, admin: int, weight: int, expected: str
) -> None:
    """Neither drained nor in maintenance, with a weight, and not on its way out."""
    it = Running("10.77.1.1", "80", weight, 1, op=op, admin=admin)
    (row,) = rows(Worker({"app/s1": it}).state())
    assert row.is_up == (expected == "up")


def test_a_word_that_is_no_number_is_none() -> None:
    """HAProxy has none in these places; whatever says so is not up, nor in maintenance."""
    (row,) = rows("3 app 1 s1 10.77.1.1 2 - - - 1 - - - - - - - - 80 -")
    assert row.admin == 0
    assert not row.is_up


def test_who_has_passed_its_check() -> None:
    """The others have failed it, or had none yet."""
    worker = Worker.of(CONFIG)
    worker.servers["app/s1"].result = FAILED
    worker.servers["app/s2"].result = PASSED
    assert passed(worker.state()) == {"app/s2"}


PROCESSES = """\
5 MASTER 1 cur-1 - 2 0 0 0 2 1 0 0 0 0 0 0 - 0 -
5 MASTER 2 old-2131 - 2 0 0 0 2 1 0 0 0 0 0 0 - 0 -
"""
OWN = "2 MASTER 1 cur-1 127.0.0.1 2 0 1 1 2 1 0 2 0 0 0 0 - 9 -"


@pytest.mark.fault("F147")
def test_the_processes_of_haproxy_are_no_servers() -> None:
    """HAProxy 2.2 tells of them as servers of a backend; one of that name in a config, and any server in it, is one."""
    answer = f"1\n{HEADER}\n{OWN}\n{PROCESSES}\n"
    assert [row.line for row in rows(answer)] == [OWN]
    assert columns(answer)["MASTER/cur-1"]["srv_addr"] == "127.0.0.1"
    assert columns(answer).keys() == {"MASTER/cur-1"}
    assert servers(rows(answer)) == Servers(1, (), (Backend("MASTER", 1, 0),))
    assert servers(rows(f"1\n{HEADER}\n{PROCESSES}\n")) == Servers(0, (), ())


@pytest.mark.fault("F252")
@pytest.mark.fault("F147")
@pytest.mark.parametrize(
    ("word", "other"),
    [
        ("MASTER", "MASTERS"),
        ("cur-1", "cur-one"),
        ("cur-1", "web-1"),
        ("cur-1 -", "cur-1 10.77.1.1"),
        ("- 0 -", "- 80 -"),
        (" 0 0 0 2 1 0 0 ", " 0 0 1 2 1 0 0 "),
        (" 0 0 0 2 1 0 0 ", " 0 0 0 2 1 0 2 "),
        (" - 2 0 0 0 2 1 0 0 0 ", " - 0 0 0 0 2 5 2 0 6 "),
        (" - 2 0 0 0 ", " - 0 1 0 0 "),
    ],
    ids=[
        "backend",
        "number",
        "name",
        "address",
        "port",
        "weight",
        "health",
        "down",
        "maintenance",
    ],
)
def test_what_is_like_a_process_is_a_server(word: str, other: str) -> None:
    """It has a name, an address, a port, a weight, a state or a health that no process has."""
    process = PROCESSES.split("\n", maxsplit=1)[0]
    assert process.count(word) == 1
    assert rows(process) == ()
    (found,) = rows(process.replace(word, other))
    assert found.line == process.replace(word, other)


def test_a_worker_of_haproxy_2_2_runs_its_own_config() -> None:
    """Its processes are none that a config could be without."""
    worker = Worker.of(CONFIG)
    assert runs(worker.state().rstrip("\n") + f"\n{PROCESSES}\n", CONFIG)


# --- how many are up and down ---


def row(backend: str, op: int, admin: int = 0, weight: int = 1, status: int = 6) -> str:
    """A row of a checked server; status 1: it has had no check."""
    return f"3 {backend} 1 s 10.77.1.1 {op} {admin} {weight} 1 9 {status} 3 4 6 0 0 0 - 80 -"


@pytest.mark.fault("F147")
@pytest.mark.parametrize(
    ("line", "up", "down"),
    [
        (row("app", 2), 1, 0),
        (row("app", 1), 1, 0),  # STARTING: with `slowstart`
        (row("app", 0), 0, 1),
        (row("app", 3), 0, 0),  # STOPPING: `disable-on-404`, NOLB to HAProxy
        (row("app", 2, weight=0), 0, 0),  # DRAIN to HAProxy, as the next two
        (row("app", 2, admin=0x08), 0, 0),
        (row("app", 2, admin=0x10), 0, 0),
        (row("app", 0, admin=0x08), 0, 0),
        (row("app", 0, weight=0), 0, 0),
        (row("app", 0, admin=0x01), 0, 0),  # MAINT to HAProxy, as the next three
        (row("app", 0, admin=0x02), 0, 0),
        (row("app", 0, admin=0x05), 0, 0),  # `disabled` in the file
        (row("app", 0, admin=0x20), 0, 0),
        (row("app", 2, admin=0x04), 1, 0),  # the same, and somebody made it ready
        (row("app", 0, admin=0x04), 0, 1),
        (row("app", 2, status=1), 0, 0),
        (row("app", 0, status=1), 0, 0),  # born DOWN by a saved state
        (row("app", 2, status=1).replace("4 6 0", "4 0 0"), 1, 0),  # nothing checks it
        (row("app", 2).replace(" 6 0 0 0 -", " - 0 0 0 -"), 1, 0),
        (row("app", 2).replace(" 2 0 ", " - 0 "), 0, 0),
        (row("app", 2).replace(" 2 0 ", f" {'2' * 9999} 0 "), 0, 0),
        (row("a.B_c-d:1", 2), 1, 0),
    ],
)  # fmt: skip
def test_servers_are_up_or_down_by_haproxys_own_words(
    line: str, up: int, down: int
) -> None:
    """UP: it gets new sessions. DOWN: it should, and cannot."""
    name = line.split()[1]
    assert servers(rows(line)).backends == (Backend(name, up, down),)


@pytest.mark.fault("F147")
def test_backends_are_told_worst_first() -> None:
    """Nobody up and somebody down, nobody up, somebody down, all is well; each kind by name."""
    lines = (
        row("z-well", 2), row("b-half", 2), row("b-half", 0), row("a-half", 0), row("a-half", 2),
        row("out", 0, 1), row("y-dead", 0), row("x-dead", 0), row("x-dead", 0), row("a-well", 2),
    )  # fmt: skip
    assert [
        f"{name} {up}/{down}" for name, up, down in servers(rows("\n".join(lines))).backends
    ] == ["x-dead 0/2", "y-dead 0/1", "out 0/0", "a-half 1/1", "b-half 1/1", "a-well 1/0", "z-well 1/0"]  # fmt: skip


@pytest.mark.fault("F148")
@given(st.text() | st.lists(st.text("0123456789-. \t\nap#\xff")).map("3 app ".join))
def test_any_answer_is_counted(answer: str) -> None:
    """Whatever answers there: names are as HAProxy has them, and no server is counted twice."""
    found = servers(rows(answer))
    assert sum(each.up + each.down for each in found.backends) <= len(rows(answer))
    for each in found.backends:
        assert set(each.name) <= set("0123456789-.ap")


# --- whether a worker runs a config ---


def test_a_worker_runs_its_own_config() -> None:
    """Also if the config has another order and other spellings, and whatever happened to its servers."""
    worker = Worker.of(CONFIG)
    for command in ("app/s1 state maint", "app/s2 weight 0", "app/s2 health down"):
        worker(f"set server {command}")
    s1, _, other = SERVERS
    respelt = model(other, server("s2", "[FD77:0::0001]:8080"), s1)
    assert runs(worker.state(), CONFIG)
    assert runs(worker.state(), respelt)


@pytest.mark.parametrize(
    "config",
    [
        model(*SERVERS[1:]),
        model(*SERVERS, server("s3")),
        model(*SERVERS[1:], server("s1", "10.77.1.2:80")),
        model(*SERVERS[1:], server("s1", "10.77.1.1:81")),
        model(*SERVERS[1:], server("s1", "localhost:80")),
        model(*SERVERS[1:], server("other/s1")),
        model(*SERVERS[1:], SERVERS[0]._replace(is_plain=False)),
    ],
    ids=["one-more", "one-less", "address", "port", "name", "backend", "not-understood"],
)  # fmt: skip
def test_a_worker_does_not_run_another_config(config: Model) -> None:
    """No server is missing, elsewhere, or one too many."""
    assert not runs(Worker.of(CONFIG).state(), config)


def test_a_server_in_maintenance_may_be_left_over() -> None:
    """Nothing reaches it."""
    worker = Worker.of(CONFIG)
    worker.servers["app/gone"] = STRANGER
    assert not runs(worker.state(), CONFIG)
    worker("set server app/gone state maint")
    assert worker.servers["app/gone"].admin == MAINTENANCE
    assert runs(worker.state(), CONFIG)


# --- addresses ---


def spellings(address: IPv6Address) -> list[str]:
    """Some ways to write it."""
    # Not from its own spellings, of which one with an IPv4 address inside has fewer groups.
    groups = [address.packed[at : at + 2].hex() for at in range(0, 16, 2)]
    short = [group.lstrip("0") or "0" for group in groups]
    dotted = ".".join(map(str, address.packed[-4:]))
    start = str(IPv6Address(int(address) >> 32 << 32))
    return [
        str(address),
        ":".join(groups),
        ":".join(groups).upper(),
        ":".join(short),
        ":".join([*short[:6], dotted]),
        *[start + dotted][: start.endswith("::")],
    ]


ADDRESSES = st.one_of(
    st.ip_addresses(v=6),
    # Most of real ones is zeros.
    st.integers(0, 2**32).map(IPv6Address),
    st.integers(0, 2**32).map(lambda low: IPv6Address(0xFD77 << 112 | low)),
)


@given(ADDRESSES, ADDRESSES)
def test_ipv6_addresses_are_compared_by_what_they_mean(
    one: IPv6Address, other: IPv6Address
) -> None:
    """All spellings of one are the same, and no spelling of another one is."""
    assert {spelt_out(text) for text in spellings(one)} == {spelt_out(str(one))}
    assert (spelt_out(str(one)) == spelt_out(str(other))) == (one == other)
    assert IPv6Address(spelt_out(str(one))) == one


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("10.77.1.1", "10.77.1.1"),
        ("*", "0.0.0.0"),  # noqa: S104 - so HAProxy shows it
        ("", ""),
        ("localhost", "localhost"),
        ("::", "0:0:0:0:0:0:0:0"),
        ("::ffff:10.77.1.1", "0:0:0:0:0:ffff:a4d:101"),
        ("fd77::a.b.c.d", "fd77:0:0:0:0:0:0:a.b.c.d"),  # nonsense is compared as it is
        ("fd77::1.2.3", "fd77:0:0:0:0:0:0:1.2.3"),
    ],
)
def test_other_addresses_are_as_haproxy_shows_them(address: str, shown: str) -> None:
    """Only IPv6 has more than one spelling."""
    assert spelt_out(address) == shown
