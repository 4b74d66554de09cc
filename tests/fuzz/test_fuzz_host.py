"""Whatever a host is told, remembers and hears from HAProxy: it goes on, or ends with a reason."""

import subprocess
import sys

import pytest
import re2  # type: ignore[import-untyped] # it ships none
from hypothesis import example
from hypothesis import strategies as st

import ssm_document
from haproxy_apply import model, request, saved_state, server_state, state, watched
from haproxy_apply.errors import Ended
from tests.fuzz.budget import fuzzed
from tests.fuzz.odd import TEXTS

DOCUMENT = ssm_document.document("b" * 64)
STACK = (
    "arn:aws:cloudformation:ap-southeast-2:123456789012:stack/haproxy-backends-staging/"
    "0f3c1a60-cbd5-11f0-8f2e-0a1b2c3d4e5f"
)
GOOD = {
    "Md5": "0" * 32,
    "Sha256": "f" * 64,
    "Generation": "1234",
    "ConfigPath": "/etc/haproxy/haproxy.cfg",
    "ReloadMethod": "auto",
    "ListenPorts": "80,443",
    "Publisher": STACK,
    "Adopt": "false",
    "Action": "apply",
    "SecretLines": "3,17-19",
    "Watch": "10.77.1.1:8080,[fd00::1]:80",
    "AllowUnsafeKeywords": "lua-load,program",
}


@st.composite
def values(draw: st.DrawFn) -> tuple[str, str]:
    """A parameter, with a value that it takes or that is a little off."""
    name = draw(st.sampled_from(sorted(GOOD)))
    value = GOOD[name]
    at = draw(st.integers(0, len(value)))
    cut = draw(st.integers(0, 3))
    return name, value[:at] + draw(TEXTS) + value[at + cut :]


def is_taken(name: str, value: str) -> bool:
    """Whether Run Command takes it: its patterns are RE2's, its texts UTF-8."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    pattern = DOCUMENT["parameters"][name]["allowedPattern"]
    return re2.search(pattern, value) is not None


@pytest.mark.fault("F295")
@fuzzed(1500, changed=values())
@example(changed=("Md5", "0" * 32 + "\n"))
@example(changed=("ConfigPath", "/etc/../shadow"))
@example(changed=("ConfigPath", "//haproxy/haproxy.cfg"))
@example(changed=("ListenPorts", "80;id"))
def test_what_the_service_takes_a_host_takes_or_refuses_by_name(
    changed: tuple[str, str],
) -> None:
    """And what it does not take the host does not either, however it came there."""
    name, value = changed
    environ = {f"SSM_{key}": each for key, each in (GOOD | {name: value}).items()}
    try:
        found = request.parse(environ)
    except Ended as end:
        assert end.verdict.reason == "bad-parameter"  # noqa: PT017 - both ends are judged
        return
    # Of paths the document takes fewer: none with an empty part, or one that begins with a dot.
    assert is_taken(name, value) or (name == "ConfigPath" and ".." not in value)
    assert "\n" not in "".join(map(str, found))


ECHO = (
    "import os, sys; given = sorted(os.environb.items()); "
    "sys.stdout.buffer.write(b'\\0'.join(v for k, v in given if k.startswith(b'SSM_')))"
)


@pytest.mark.fault("F295")
@fuzzed(
    100,
    odd=st.dictionaries(
        st.sampled_from(sorted(GOOD)), TEXTS.filter(lambda text: "\0" not in text)
    ),
)
def test_a_value_reaches_the_program_byte_for_byte(odd: dict[str, str]) -> None:
    """A shell between the agent and the program expands nothing in an environment variable."""
    environ = {
        f"SSM_{name}": value.encode("utf-8", "replace")
        for name, value in (GOOD | odd).items()
    }
    run = subprocess.run(
        ["sh", "-c", f'exec "{sys.executable}" -c "$0"', ECHO],
        env={
            "PATH": "/usr/bin:/bin",
            **{k: v.decode("utf-8", "surrogateescape") for k, v in environ.items()},
        },
        capture_output=True,
        check=True,
    )
    assert run.stdout.split(b"\0") == [environ[name] for name in sorted(environ)]


REMEMBERED = state.serialized(
    state.State(
        7, ("0" * 32,), state.Proof("0" * 32, state.Identity(1, 2, "boot")), STACK
    )
)


@st.composite
def damaged(draw: st.DrawFn, text: str) -> str:
    """The text with something else in some place."""
    at = draw(st.integers(0, len(text)))
    return text[:at] + draw(TEXTS) + text[at + draw(st.integers(0, 9)) :]


@pytest.mark.fault("F295")
@fuzzed(500, text=damaged(REMEMBERED) | TEXTS)
def test_a_damaged_memory_is_a_smaller_one(text: str) -> None:
    """What is read of it can be written and read again."""
    found = state.parse(text)
    assert state.parse(state.serialized(found)) == found
    assert found.fence >= 0


ANSWER = (
    "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight "
    "srv_time_since_last_change srv_check_status srv_check_result srv_check_health srv_check_state srv_agent_state "
    "bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord srv_use_ssl srv_check_port srv_check_addr "
    "srv_agent_addr srv_agent_port\n"
    "3 app 1 s1 10.0.0.1 2 0 1 1 7 6 3 4 6 0 0 0 - 8080 - 0 0 - - 0\n"
    "3 app 2 s2 10.0.0.2 2 0 1 1 7 6 3 4 6 0 0 0 - 8080 - 0 0 - - 0\n"
)
MODEL = model.read("backend app\n server s1 10.0.0.1:8080\n")
STATISTICS = (
    "# pxname,svname,qcur,status,check_status,addr\napp,s1,0,UP,L4OK,10.0.0.1:8080\n"
)


@pytest.mark.fault("F295")
@fuzzed(900, answer=damaged(ANSWER) | TEXTS, statistics=damaged(STATISTICS) | TEXTS)
def test_an_answer_of_a_stats_socket_is_read_as_far_as_it_goes(
    answer: str, statistics: str
) -> None:
    """And what is saved of it never has a line that HAProxy did not write in that form."""
    rows = server_state.rows(answer)
    server_state.servers(rows)
    server_state.columns(statistics)
    server_state.passed(statistics)
    server_state.connections(answer)
    server_state.open_connections(answer)
    server_state.sessions(statistics)
    watched.own_load(answer)
    watched.read(answer + statistics)
    saved = saved_state.merged(answer, None, MODEL, frozenset())
    given = answer.split("\n")  # HAProxy's own head, as it is
    assert all(
        line in given or server_state.row_of(line) for line in saved.split("\n") if line
    )
