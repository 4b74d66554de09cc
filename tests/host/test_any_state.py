"""Any old file, any new one, and anything done at run time: the new worker is what its file says."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

from haproxy_apply.contradictions import contradictions
from haproxy_apply.model import read
from haproxy_apply.saved_state import merged
from haproxy_apply.server_state import rows
from tests.host.daemon import running

# What happened to a server, by HAProxy's names of the columns. All others are the file's.
CARRIED = {
    "srv_op_state",
    "srv_admin_state",
    "srv_uweight",
    "srv_time_since_last_change",
    "srv_check_status",
    "srv_check_result",
    "srv_check_health",
}
# Checks in progress or paused are what happens, too.
HAPPENING = 0x09
MAX_EXAMPLES = 25
STOPPED = 0
SERVERS = tuple(f"s{number}" for number in range(8))
HEAD = """\
global
    stats socket {directory}/{name} level admin
    server-state-file {directory}/state
    ssl-server-verify none
defaults
    mode tcp
    load-server-state-from-file global
    timeout connect 1s
    timeout client 1s
    timeout server 1s
backend b
    server leader 127.0.0.1:1 check inter 1h
"""

words = partial(st.lists, max_size=4, unique_by=lambda option: option.split()[0])
options = words(
    st.sampled_from([
        "check inter 1h", "port 7", "port 8", "addr 127.0.0.2", "addr [::1]", "ssl verify none", "no-ssl", "no-check",
        "agent-check agent-inter 1h agent-port 5", "agent-port 6", "agent-addr 127.0.0.9", "weight 0", "weight 7",
        "disabled", "rise 4", "backup", "cookie ssl", "maxconn 9", "source 127.0.0.1", "track leader", "check-ssl",
        "init-addr last,libc", "slowstart 9s",
    ])
)  # fmt: skip
places = st.sampled_from([
    "127.0.0.1:1", "127.0.0.1:2", "127.0.0.3:1", "[::1]:1", "ipv4@127.0.0.1:1", "localhost:1", "127.0.0.1",
    "127.0.0.1:+1", "unix@/run/nobody",
])  # fmt: skip
server_lines = (
    st.tuples(places, st.sampled_from(["check inter 1h", ""]), options)
    .map(lambda line: " ".join(filter(None, [line[0], line[1], *line[2]])))
    .filter(lambda line: not ("check" in line and "track" in line))
)
# Who stays as it was, and who gets another line; of some, only one of both files has one.
pairs_of_lines = st.one_of(
    server_lines.map(lambda line: (line, line)),
    st.tuples(server_lines | st.just(""), server_lines | st.just("")),
)
defaults = st.sampled_from(["", "", "ssl verify none", "port 9", '"weight" 5'])
commands = st.lists(
        st.sampled_from([
            "set server {} state drain", "set server {} state maint", "set server {} state ready",
            "set server {} weight 3", "set server {} weight 0", "set server {} health down",
            "set server {} health up", "set server {} agent down", "set server {} addr 127.0.0.8 port 9",
            "set server {} check-port 99", "set server {} check-addr 127.0.0.8 port 98",
            "set server {} agent-addr 127.0.0.8", "set server {} agent-port 97", "set server {} ssl on",
            "set server {} ssl off", "disable health {}", "disable agent {}", "set server {} fqdn ip6-localhost",
        ]),
    max_size=3,
)  # fmt: skip
every = st.tuples(
    st.lists(st.tuples(pairs_of_lines, commands), min_size=8, max_size=8),
    defaults,
    defaults,
)


def text_of(
    directory: Path, name: str, servers: tuple[list[tuple[str, str]], str]
) -> str:
    """The config with these servers."""
    lines, default = servers
    first = f"    default-server {default}\n" if default else ""
    rest = "".join(f"    server {server} {line}\n" for server, line in lines)
    return HEAD.format(directory=directory, name=name) + first + rest


def stated(answer: str) -> dict[str, dict[str, str]]:
    """By server: the columns that the file alone decides, as far as this HAProxy shows them.

    HAProxy 2.2 shows its own processes, too, as servers of a backend `MASTER`.
    """
    _version, header, *lines = answer.strip().splitlines()
    names = header.removeprefix("# ").split()
    every = [dict(zip(names, line.split(), strict=False)) for line in lines]
    for each in every:
        for key in ("srv_check_state", "srv_agent_state"):
            each[key] = str(int(each[key]) & ~HAPPENING)
    return {
        f"{each['be_name']}/{each['srv_name']}": {
            key: value for key, value in each.items() if key not in CARRIED
        }
        for each in every
        if each["be_name"] != "MASTER"
    }


@pytest.mark.fault("F194")
@pytest.mark.fault("F193")
def test_all_that_is_not_state_is_as_after_a_fresh_start(
    binary: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """And who is known to be DOWN stays so, while the file checks it where it was."""

    @settings(
        max_examples=MAX_EXAMPLES,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],  # each try to shrink costs three processes
    )
    @given(every)
    def check(drawn: Any) -> None:
        directory = tmp_path_factory.mktemp("any")
        start = partial(running, binary, directory, claim=assume)
        servers, *default = drawn
        before, after = (
            [
                (name, lines[side])
                for name, (lines, _told) in zip(SERVERS, servers, strict=True)
                if lines[side]
            ]
            for side in (0, 1)
        )
        old, new = (
            text_of(directory, "old", (before, default[0])),
            text_of(directory, "new", (after, default[1])),
        )
        told = [
            (name, command)
            for name, (_lines, commands) in zip(SERVERS, servers, strict=True)
            for command in commands
        ]
        with start("old", old) as present:
            for server, command in told:
                present.ask(command.format(f"b/{server}"))
            answer = present.ask("show servers state")
        with start("fresh", text_of(directory, "fresh", (after, default[1]))) as fresh:
            expected = fresh.ask("show servers state")
        assert contradictions(expected, read(new)) == []
        saved = merged(answer, read(old), read(new), frozenset())
        (directory / "state").write_text(saved)
        with start("new", new) as worker:
            found = worker.ask("show servers state")
        assert stated(found) == stated(expected), saved
        assert contradictions(found, read(new)) == []
        assert down_for_sure(answer, dict(before), dict(after)) <= down(found), saved

    check()


def down(answer: str) -> set[str]:
    """Who is DOWN, or in maintenance."""
    return {row.srv_name for row in rows(answer) if row.is_stopped}


def down_for_sure(
    answer: str, before: dict[str, str], after: dict[str, str]
) -> set[str]:
    """Who is DOWN by a check that the new file makes in the same way, on the same line."""
    return {
        row.srv_name
        for row in rows(answer)
        if row.is_stopped
        and not row.admin
        and is_checked_alike(before.get(row.srv_name, ""), after.get(row.srv_name, ""))
    }


def is_checked_alike(before: str, after: str) -> bool:
    """Whether both are one line, with a check and an address."""
    has_check = "check inter" in after and "no-check" not in after
    return before == after and has_check and "track" not in after
