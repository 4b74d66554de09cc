"""What the program on the hosts reads from a config, and how it keeps that."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from haproxy_apply.model import (
    Bind,
    Model,
    Server,
    Setting,
    cannot_share,
    dump,
    load,
    read,
)
from haproxy_apply.stats_socket import NO_SOCKET, StatsSocket

CONFIG = """\
global
    stats socket /run/h/admin.sock mode 660 level admin expose-fd listeners
    pidfile /run/h.pid # ours
    chroot /var/empty
    server-state-base /var/lib
    server-state-file states
defaults
    load-server-state-from-file global
    default-server check rise 3
frontend web
    bind :80
    bind 10.0.0.1:443 ssl crt /c.pem interface eth0 v6only
    bind abns@web
backend app
    server a 10.0.0.1:8080 weight 10
    server-template t 1-3 h.internal:80
    server "b" 10.0.0.2:8080
"""
LINES = """\
G\tsocket\t/run/h/admin.sock\tadmin\texpose
G\tpidfile\t/run/h.pid\t-\t-
G\tchroot\t/var/empty\t-\t-
G\tserver-state-base\t/var/lib\t-\t-
G\tserver-state-file\tstates\t-\t-
G\tload\tglobal\t-\t-
B\t:80\t-
B\t10.0.0.1:443\tinterface eth0 v6only
S\tapp/a\t10.0.0.1\t8080\t10\t3\t1\t0\tcheck rise 3
T\tapp/t*\th.internal\t80\t1\t3\t1\t0\tcheck rise 3
T\tapp/b\t10.0.0.2\t8080\t1\t3\t1\t0\tcheck rise 3
R\tglobal
R\tstats socket /run/h/admin.sock mode 660 level admin expose-fd listeners
R\tpidfile /run/h.pid
R\tchroot /var/empty
R\tserver-state-base /var/lib
R\tserver-state-file states
R\tdefaults
R\tload-server-state-from-file global
R\tdefault-server check rise 3
R\tfrontend web
R\tbind :80
R\tbind 10.0.0.1:443 ssl crt /c.pem interface eth0 v6only
R\tbind abns@web
R\tbackend app
R\tserver-template t 1-3 h.internal:80
R\tserver "b" 10.0.0.2:8080
"""


def test_every_kind_of_line() -> None:
    """A config becomes a model, and the model lines that earlier releases left, too."""
    assert dump(read(CONFIG)) == LINES
    assert load(LINES) == read(CONFIG)


def test_lines_in_the_order_of_earlier_releases() -> None:
    """They mixed the kinds, below a line that says whose model it is."""
    mixed = sorted(LINES.splitlines(keepends=True), key=lambda line: line[0] == "G")
    assert load(f"M\t{'0' * 32} 7 9 boot\n{''.join(mixed)}") == read(CONFIG)


def test_broken_lines_are_skipped() -> None:
    """A line without all of its fields says nothing."""
    assert load("S\tapp/a\t1.2.3.4\nG\tpidfile\nB\nR\n\nX\ty\n") == read("")._replace(
        rest=("",)
    )


def server(text: str) -> Server:
    """The only server of a backend `b` with these lines."""
    (found,) = read(f"backend b\n{text}\n").servers
    return found


PLAIN = Server(
    name="b/s",
    address="1.2.3.4",
    port="5",
    weight="1",
    rise="2",
    is_checked=False,
    is_disabled=False,
    options="-",
    is_plain=True,
)


@pytest.mark.parametrize(
    ("options", "changes"),
    [
        ("", {}),
        ("weight 7", {"weight": "7"}),
        ("weight 7 weight 8", {"weight": "8"}),
        ("check", {"is_checked": True, "options": "check"}),
        ("check no-check", {"options": "check no-check"}),
        ("rise 4", {"rise": "4", "options": "rise 4"}),
        ("disabled", {"is_disabled": True}),
        ("disabled enabled", {}),
        ("backup weight 7 inter 2s", {"weight": "7", "options": "backup inter 2s"}),
    ],
)
def test_options_of_a_server(options: str, changes: dict[str, object]) -> None:
    """Weight and `disabled`, which a worker can change, stand apart from all others; the last one counts."""
    assert server(f"server s 1.2.3.4:5 {options}") == PLAIN._replace(**changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("address", "host", "port"),
    [
        ("1.2.3.4", "1.2.3.4", "-"),
        ("1.2.3.4:", "1.2.3.4", "-"),
        ("1.2.3.4:+1", "1.2.3.4", "+1"),
        ("[2001:db8::1]:80", "2001:db8::1", "80"),
        ("[2001:db8::1]", "2001:db8::1", "-"),
        ("2001:db8::1:80", "2001:db8::1", "80"),
        ("ipv6@[::1]:80", "ipv6@::1", "80"),
        (":80", "*", "80"),
        ("/run/s.sock", "/run/s.sock", "-"),
        ("h.internal:80", "h.internal", "80"),
    ],
)
def test_address_of_a_server(address: str, host: str, port: str) -> None:
    """The last colon is the port's, unless the address ends with its bracket."""
    found = server(f"server s {address}")
    assert (found.address, found.port, found.is_plain) == (host, port, True)


@pytest.mark.parametrize(
    "text",
    [
        'server s "1.2.3.4:5"',
        "server s '1.2.3.4:5'",
        '"server" s 1.2.3.4:5',
        "server \\s 1.2.3.4:5",
        ".if 1\nserver s 1.2.3.4:5\n.endif",
        ".if 1\n.if 1\n.endif\nserver s 1.2.3.4:5\n.endif",
    ],
)
def test_servers_that_are_not_understood(text: str) -> None:
    """Quotes, escapes and conditions; the server is known, and its line is one that needs a new process."""
    assert server(text) == PLAIN._replace(is_plain=False)
    assert text.splitlines()[-2:][0] in read(f"backend b\n{text}\n").rest


def test_variables_are_not_understood() -> None:
    """Nor are they looked up."""
    found = server("server s $A:5 weight ${W}")
    assert found == PLAIN._replace(address="$A", weight="${W}", is_plain=False)


def test_what_follows_a_condition_is_understood() -> None:
    """Each `.if` ends with its `.endif`."""
    assert server(".if 1\n.if 1\n.endif\n.endif\nserver s 1.2.3.4:5") == PLAIN


def test_a_template_is_known_by_its_prefix() -> None:
    """It stands for many servers, so no single one can be changed."""
    found = server("server-template s 1-3 1.2.3.4:5")
    assert found == PLAIN._replace(name="b/s*", is_plain=False)


@pytest.mark.parametrize("text", ["server s", "server", "server-template s 3"])
def test_no_server_without_an_address(text: str) -> None:
    """A template without one is none; a plain line stays a server, which HAProxy will refuse."""
    plain = [each.address for each in read(f"backend b\n{text}\n").servers]
    assert plain == (["*"] if text.startswith("server s") or text == "server" else [])


@pytest.mark.parametrize("section", ["peers p", "ring r", "log-forward l", "global"])
def test_servers_of_other_sections(section: str) -> None:
    """They get no traffic of clients, and cannot be changed at run time."""
    assert read(f"{section}\n server s 1.2.3.4:5\n").servers == ()


@pytest.mark.parametrize(
    ("sections", "options"),
    [
        ("defaults\n default-server check\nbackend b", "check"),
        ("defaults\n default-server check\ndefaults\nbackend b", "-"),
        ("defaults\n default-server check\nlisten b\n default-server ssl", "check ssl"),
        ("defaults d\n default-server check\ndefaults e\nbackend b from d", "check"),
        ('defaults d\n default-server check\ndefaults e\nbackend b from "d"', "check"),
        ("defaults d\n default-server check\ndefaults e\nbackend b from x", "-"),
        (
            "defaults d\n default-server check\ndefaults e from d\n default-server ssl\nbackend b",
            "check ssl",
        ),
        (
            "defaults d\n default-server check\ndefaults from d\nbackend a\n default-server ssl\nbackend b",
            "check",
        ),
        ('backend b\n default-server check "ssl"', "not-understood"),
        ("backend b\n.if 1\n default-server check\n.endif", "not-understood"),
        ("backend a\n default-server check\nbackend b", "-"),
    ],
)
def test_defaults_of_servers(sections: str, options: str) -> None:
    """They are handed down by the section that `from` names, else by the latest one; each section adds its own."""
    (found,) = read(f"{sections}\n server s 1.2.3.4:5\n").servers
    assert (found.name, found.options) == ("b/s", options)


@pytest.mark.parametrize(
    ("options", "is_disabled", "weight"),
    [("", True, "7"), ("enabled", False, "7"), ("weight 3", True, "3")],
)
def test_a_line_wins_over_its_defaults(
    options: str, weight: str, *, is_disabled: bool
) -> None:
    """What it says comes last."""
    found = server(f"default-server disabled weight 7\nserver s 1.2.3.4:5 {options}")
    assert (found.is_disabled, found.weight) == (is_disabled, weight)


@pytest.mark.parametrize(
    ("line", "binds"),
    [
        ("bind :80", [Bind(":80", "-")]),
        ("bind :80,:81 ssl", [Bind(":80", "-"), Bind(":81", "-")]),
        ("bind :80 namespace n transparent", [Bind(":80", "namespace n transparent")]),
        ('bind "$A:80"', [Bind("$A:80", "-")]),
        *[
            (f"bind {address}", [])
            for address in ("/run/s", "unix@s", "abns@s", "abnsz@s", "fd@3", "udp@:53", "quic4@:443", "rhttp@b")
        ],
    ],
)  # fmt: skip
def test_binds(line: str, binds: list[Bind]) -> None:
    """TCP only, without quotes: HAProxy itself is asked whether they can be bound."""
    assert list(read(f"frontend f\n {line}\n").binds) == binds


@pytest.mark.parametrize(
    ("line", "found"),
    [
        (
            "stats socket /run/s",
            [StatsSocket("/run/s", "operator", exposes_listeners=False)],
        ),
        (
            'stats  socket "/run/s" level user',
            [StatsSocket("/run/s", "user", exposes_listeners=False)],
        ),
        (
            "stats\tsocket unix@/run/s expose-fd listeners level admin",
            [StatsSocket("/run/s", "admin", exposes_listeners=True)],
        ),
        ("stats socket ipv4@127.0.0.1:9999 level admin", []),
        ("stats socket abns@s level admin", []),
        ("stats timeout 1m", []),
    ],
)
def test_stats_sockets(line: str, found: list[StatsSocket]) -> None:
    """Those with a path, in the global section."""
    assert list(read(f"global\n {line}\n").sockets) == found
    assert read(f"frontend f\n {line}\n").sockets == ()


def of_global(*lines: str) -> Model:
    """The model of a global section, with a `defaults` section that loads states."""
    text = "\n".join(("global", *lines, "defaults"))
    return read(f"{text}\n load-server-state-from-file global\n")


@pytest.mark.parametrize(
    ("levels", "asked"),
    [
        ([], None),
        (["user"], 0),
        (["user", "operator"], 1),
        (["user", "admin", "admin", "user"], 1),
    ],
)
def test_the_socket_to_ask(levels: list[str], asked: int | None) -> None:
    """The first with level admin, else the last."""
    model = of_global(
        *(f"stats socket /{at} level {level}" for at, level in enumerate(levels))
    )
    assert model.stats_socket == (NO_SOCKET if asked is None else model.sockets[asked])


def test_the_socket_that_hands_listeners_over() -> None:
    """The last one of those that do."""
    assert of_global("stats socket /a").exposing_socket == NO_SOCKET
    model = of_global(
        "stats socket /a expose-fd listeners",
        "stats socket /b expose-fd listeners",
        "stats socket /c",
    )
    assert model.exposing_socket == model.sockets[1]


@pytest.mark.parametrize(
    ("lines", "file"),
    [
        ([], ""),
        (["server-state-base /var"], ""),
        (["server-state-file s"], "s"),
        (['server-state-file "/var/s"'], "/var/s"),
        (["server-state-file s", "server-state-base /var"], "/var/s"),
        (["server-state-file s", "server-state-base /var/"], "/var/s"),
        (["server-state-file /s", "server-state-base /var"], "/s"),
        (["server-state-file a", "server-state-file b"], "b"),
    ],
)
def test_server_state_file(lines: list[str], file: str) -> None:
    """Below its base, wherever that stands; and only if something loads it."""
    model = of_global(*lines)
    assert model.server_state_file == file
    assert model._replace(settings=model.settings[:-1]).server_state_file == ""
    local = Setting("load-server-state-from-file", "local")
    assert model._replace(settings=(*model.settings[:-1], local)).server_state_file == (
        ""
    )


def test_pid_file() -> None:
    """The last one of the global section counts."""
    assert read("global\n pidfile '/a' # x\n pidfile \"/b\"\n").pid_file == "/b"
    assert of_global().pid_file == ""


def test_files_are_named_by_their_bytes() -> None:
    """As the filesystem has them, whatever is not ASCII in a name."""
    text = "global\n pidfile /é\n stats socket /ü/s\n".encode().decode("latin-1")
    model = read(text)
    assert (model.pid_file, model.stats_socket.path) == ("/é", "/ü/s")
    assert model.directories == ("/ü",)


def test_directories() -> None:
    """Those of sockets and the chroot, if their paths are absolute and not the root."""
    model = of_global(
        "chroot /var/empty", "stats socket /run/h/s", "stats socket /s", "chroot here"
    )
    assert model.directories == ("/run/h", "/var/empty")


@pytest.mark.parametrize(
    ("old", "new", "cannot"),
    [
        ("", "", False),
        ("noreuseport", "", True),
        ("", "noreuseport", True),
        ("bind abns@a", "bind abns@b", False),
        ("bind :80,abns@a ssl", "dgram-bind abns@a", True),
        ('stats  socket "abns@a" level admin', "bind abns@b,abns@a", True),
        ("bind abns@a", "bind abnsz@a", False),
        ("bind abns@a", "server s abns@a", False),
    ],
)
def test_who_cannot_listen_beside_whom(old: str, new: str, *, cannot: bool) -> None:
    """Without SO_REUSEPORT on both sides, or with an abstract socket on both."""
    assert cannot_share(of_global(old), of_global(new)) == cannot


# --- of any config ---

WORDS = st.sampled_from([
    "a", "b", "app", "check", "weight 5", "disabled", "rise 3", "10.0.0.1:80", "[::1]:80", "'x y'", '"$X"', "a\\ b",
    "\xc3\x85", "level admin", "/run/s", "from a", "interface e",
])  # fmt: skip
KEYWORDS = st.sampled_from([
    "bind", "server", "server-template", "default-server", "stats socket", "pidfile", "chroot", "server-state-file",
    "load-server-state-from-file global", ".if 1", ".endif", "option", "noreuseport", "mode http", "use_backend",
])  # fmt: skip
SECTIONS = st.sampled_from([
    "global", "defaults", "defaults a", "defaults b from a", "backend app", "backend x from a", "listen l", "peers p",
    '"backend" q', "frontend f",
])  # fmt: skip
LINE = st.builds(
    lambda keyword, words: " ".join((keyword, *words)),
    KEYWORDS,
    st.lists(WORDS, max_size=5),
)
CONFIGS = st.lists(SECTIONS | LINE | LINE | LINE, max_size=20)
NOT_BLANK = st.lists(SECTIONS | LINE, min_size=1, max_size=20)


@given(CONFIGS)
def test_lines_say_all_of_a_model(config: list[str]) -> None:
    """Whatever the config, the model comes back as it was."""
    model = read("\n".join(config))
    assert load(dump(model)) == model


@given(st.text(st.characters(max_codepoint=255, exclude_characters="\t\"'\\")))
def test_any_bytes_have_a_model(text: str) -> None:
    """A file that is no config at all, too."""
    model = read(text)
    assert load(dump(model)) == model


@given(CONFIGS, st.data())
def test_blanks_and_comments_mean_nothing(
    config: list[str], data: st.DataObject
) -> None:
    """Indentation, comments, empty lines, CR and the last newline leave the model as it is."""
    before = st.sampled_from(["", "  ", "\t", "\n", "# d'oh\n", ' \t# \xd1\x85 "\n'])
    after = st.sampled_from(["", " ", "\r", " # note", "\t#'\r", "# \xd1\x85 server s 1.2.3.4:5"])  # fmt: skip
    dressed = [data.draw(before) + line + data.draw(after) for line in config]
    assert read("\n".join(dressed) + "\n") == read("\n".join(config))


@given(CONFIGS, st.data())
def test_a_plain_server_stands_there_once(
    config: list[str], data: st.DataObject
) -> None:
    """One more of them is one more server, and nothing else; so `rest` has all that the other fields have."""
    at = data.draw(st.integers(0, len(config)))
    line = "server new 192.0.2.1:80 cookie c"
    old, new = (
        read("\n".join(lines)) for lines in (config, [*config[:at], line, *config[at:]])
    )
    added = [each for each in new.servers if each.name.endswith("/new")]
    if [each.is_plain for each in added] == [True]:
        assert new._replace(servers=tuple(s for s in new.servers if s != added[0])) == old  # fmt: skip
    else:
        assert new.rest != old.rest


@given(NOT_BLANK, st.data())
def test_any_other_difference_is_seen(config: list[str], data: st.DataObject) -> None:
    """Another line that is no plain server makes another `rest`, unless the line was a server."""
    at = data.draw(st.integers(0, len(config) - 1))
    old, new = (
        read("\n".join([*config[:at], line, *config[at + 1 :]]))
        for line in ("option one", "option two")
    )
    assert old.rest != new.rest
    assert len(old.rest) == len(new.rest)
    assert old.servers == new.servers


OPTIONS: dict[str, Callable[[Server], object]] = {
    "weight 9": lambda each: each.weight == "9",
    "disabled": lambda each: each.is_disabled,
    "check": lambda each: each.is_checked,
    "backup": lambda each: each.options.endswith("backup"),
}


@given(CONFIGS, st.sampled_from(list(OPTIONS)))
def test_a_line_has_the_last_word(config: list[str], option: str) -> None:
    """Whatever stands above a server."""
    text = "\n".join([*config, "listen last", f"server s 1.2.3.4:5 {option}"])
    found = read(text).servers[-1]
    assert found.name == "last/s"
    assert OPTIONS[option](found)
