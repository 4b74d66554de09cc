"""What a host prints has no secret, wherever it comes from."""

import os
import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from haproxy_apply import masks
from haproxy_apply.unified_diff import printed

SECRETS = st.text(string.ascii_letters + string.digits, min_size=12)
ROOM = 100_000
CANDIDATE = """\
global
    maxconn 100
frontend web
    http-request set-header X-Partner {}
    stats auth admin:{}
    {}
    server a 10.0.0.1:80
"""
SECRET_LINES = ((4, 4), (6, 6))


@pytest.mark.fault("F189")
@given(
    st.lists(SECRETS, min_size=3, max_size=3, unique=True),
    st.lists(SECRETS, min_size=3, max_size=3, unique=True),
    st.permutations(CANDIDATE.splitlines(keepends=True)),
    st.booleans(),
)
def test_no_secret_of_either_side(
    new: list[str],
    old: list[str],
    order: list[str],
    is_same: bool,  # noqa: FBT001
) -> None:
    """Wherever the old line stands, if it says what the new one says it of, or has the new secret."""
    candidate = CANDIDATE.format(*new)
    # A line that is nothing but a secret is known by what replaces it alone.
    values = new if is_same else [*old[:2], new[2]]
    live = "".join(order).replace("{}", "%s") % tuple(_in_order(order, values))
    hidden = masks.of(candidate, live, SECRET_LINES)
    text = printed(live, candidate, hidden, ROOM).text.decode()
    assert not [secret for secret in (*new, *values) if secret in text]


def _in_order(order: list[str], values: list[str]) -> list[str]:
    """The values as their lines stand."""
    places = [line for line in CANDIDATE.splitlines(keepends=True) if "{}" in line]
    return [values[places.index(line)] for line in order if "{}" in line]


@pytest.mark.fault("F189")
def test_lines_that_a_secret_one_replaces() -> None:
    """With the rest of the block; what is elsewhere is shown, and so is each keyword."""
    live = "a 1\n  balance OLD x\n  cookie OLD\nb 2\nc 3\nd 4\ne 5\n"
    new = "a 1\n  balance NEW y\nb 2\nc 3\nd 4\ne 6\n"
    hidden = masks.of(new, live, ((2, 2),))
    assert printed(live, new, hidden, ROOM).text.decode().splitlines()[3:] == [
        " a 1",
        "-  balance ***",
        "-  cookie ***",
        "+  balance ***",
        " b 2",
        " c 3",
        " d 4",
        "-e 5",
        "+e 6",
    ]


@pytest.mark.fault("F189")
def test_a_live_line_about_the_same_as_a_secret_one() -> None:
    """Elsewhere in the file, with a value of its own, and a name that other lines have, too."""
    live = "setenv KEY OLDSECRET\na 1\nb 2\nc ${KEY}\n"
    new = "a 1\nb 2\nc ${KEY}\nsetenv KEY NEWSECRET\n"
    hidden = masks.of(new, live, ((4, 4),))
    shown = printed(live, new, hidden, ROOM).text.decode().splitlines()[3:]
    assert [line for line in shown if line[0] in "+-"] == [
        "-setenv ***",
        "+setenv ***",
    ]


FILE = "/etc/haproxy/haproxy.cfg"


@pytest.mark.fault("F189")
@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("[ALERT] (1) : parsing [f.cfg:2] : unknown keyword 'x' in 'global'", None),
        (
            "[ALERT] (1) : config : parsing [f.cfg:4] : 'set-header' got 'words'",
            "[ALERT] (1) : config : parsing [f.cfg:4] ***",
        ),
        (f"[ALERT] at {FILE}:4: words", f"[ALERT] at {FILE}:4 ***"),
        ("parsing [f.cfg:5] : words", "parsing [f.cfg:5] ***"),
        (
            "parsing [f.cfg:4] : at position 3:\n  words\n  ^\nparsing [f.cfg:3] : b",
            "parsing [f.cfg:4] ***\n ***\n ***\nparsing [f.cfg:3] : b",
        ),
        ("it says NEWSECRET here", "it says *** here"),
        ("password hunter2", "password ***"),
        ("Configuration file is valid\n", None),
        ("parsing [f.cfg:99999] : too far", None),
    ],
)
def test_what_a_program_quotes(said: str, shown: str | None) -> None:
    """Nothing of a secret line but its number, of candidate or live file; all else."""
    candidate = CANDIDATE.format("NEWSECRET", "b", "c")
    hidden = masks.of(candidate, "", SECRET_LINES)
    assert hidden.said(said, ROOM) == (said if shown is None else shown)


PIECES = "s1:k2,k3;k4"


@pytest.mark.fault("F189")
@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (
            f"Proxy 'web': unable to find required use_backend: '{PIECES}'.",
            "Proxy 'web': unable to find required use_backend: '***'.",
        ),
        (
            "unable to find table 's1:k2' referenced",
            "unable to find table '***' referenced",
        ),
        (
            "Proxy 'LONGSECRET': no SSL certificate specified for bind at [f.cfg:3]",
            "Proxy '***': no SSL certificate specified for bind at [f.cfg:3]",
        ),
        ("cannot bind socket [LONGSECRET:80]", "cannot bind socket [***:80]"),
        (
            "parsing [f.cfg:3] : the same name as one at [f.cfg:4] : abc",
            "parsing [f.cfg:3] ***",
        ),
    ],
)
def test_a_secret_that_no_line_is_named_for(said: str, shown: str) -> None:
    """It may be of short pieces, and stand before the line that the message is about."""
    candidate = CANDIDATE.format(f"{PIECES} LONGSECRET", "b", "c")
    assert masks.of(candidate, "", SECRET_LINES).said(said, ROOM) == shown


@pytest.mark.fault("F189")
@pytest.mark.parametrize(
    "said",
    [
        "[NOTICE] path to executable is /usr/sbin/haproxy",
        "parsing [/etc/haproxy/.haproxy.cfg.haproxy-ec2-sync.new:2] : unknown keyword 'maxcon'",
        "parsing [/var/lib/amazon/ssm/candidate.cfg:2] : unknown keyword 'maxcon'",
        "parsing [f.cfg:3] : 'http-request' knows 'set-header'",
    ],
)
def test_what_is_wrong_elsewhere_is_told(said: str) -> None:
    """Although the live file has a secret on the line of that number, and words are parts of others."""
    candidate = CANDIDATE.format("table NEWSECRET", "b", "c")
    hidden = masks.of(candidate, "global\n    stats auth a:b\n", SECRET_LINES)
    assert hidden.said(said, ROOM) == said


@pytest.mark.fault("F189")
def test_a_secret_of_the_environment() -> None:
    """HAProxy quotes what a variable says; in a diff it is a name."""
    line = 'http-request set-header X-Partner "${PARTNER_TOKEN}"'
    hidden = masks.of(f"a\n{line}\n", "", ())
    said = "[ALERT] parsing [f.cfg:2] : truncated line after 's3cret'"
    assert hidden.said(said, ROOM) == "[ALERT] parsing [f.cfg:2] ***"
    assert masks.shown(line) == line


@pytest.mark.fault("F189")
def test_a_message_behind_one_of_a_secret_line() -> None:
    """What goes on with that line is hidden, the next message is told."""
    said = "[ALERT] parsing [f.cfg:4] : a\n  b\n[C]: c\n[ALERT] config : Proxy 'web' has no server"
    hidden = masks.of(CANDIDATE.format("NEWSECRET", "b", "c"), "", SECRET_LINES)
    assert hidden.said(said, ROOM).split("\n") == [
        "[ALERT] parsing [f.cfg:4] ***",
        " ***",
        " ***",
        "[ALERT] config : Proxy 'web' has no server",
    ]


@pytest.mark.fault("F189")
def test_a_name_that_is_no_files(tmp_path: Path) -> None:
    """A run that waits for a pipe's other end, or falls over a name, says nothing at all."""
    os.mkfifo(tmp_path / "pipe")
    hidden = masks.of(CANDIDATE, "", SECRET_LINES)
    for said in (f"parsing [{tmp_path}/pipe:3] : a", "parsing [/\0:3] : a"):
        assert hidden.said(said, ROOM) == said


@pytest.mark.fault("F189")
def test_of_a_long_text_no_more_is_read_than_is_told() -> None:
    """Thousands of warnings about a large file would take minutes."""
    hidden = masks.of(CANDIDATE, "", SECRET_LINES)
    line = "[WARNING] parsing [f.cfg:3] : it is late\n"
    assert hidden.said(line * 100_000, 100) == (line * 3).removesuffix("\n")


@pytest.mark.fault("F189")
@pytest.mark.parametrize(
    ("old", "new"),
    [
        (
            "acl known hdr(X-Key) S3CRETVALUE",
            "http-request set-header A pre-S3CRETVALUE-post",
        ),
        (
            "acl known hdr(X-Key) pre-S3CRETVALUE-post",
            "http-request set-header A S3CRETVALUE",
        ),
        ("acl known hdr(X-Key) S3,CR;ET", "http-request set-header A S3,CR;ET"),
        ("description S3CRETVALUE", "description other"),
    ],
)
def test_a_live_secret_that_moved(old: str, new: str) -> None:
    """It stands elsewhere, within a longer word or without one, and the lines say something else of it."""
    live, candidate = f"{old}\na 1\nb 2\n", f"a 1\nb 2\n{new}\n"
    hidden = masks.of(candidate, live, ((3, 3),))
    removed = printed(live, candidate, hidden, ROOM).text.decode().splitlines()[3]
    keyword = "description " if old.startswith("description") else "acl "
    assert removed == f"-{keyword}***"


@given(
    st.text(max_size=300).map(
        lambda text: text.encode("utf-8", "replace").decode("latin-1")
    )
)
def test_any_text_is_told(text: str) -> None:
    """It ends, line by line."""
    hidden = masks.of(CANDIDATE, text, ((1, 9_999_999),))
    assert hidden.said(text, ROOM).count("\n") <= text.count("\n")
