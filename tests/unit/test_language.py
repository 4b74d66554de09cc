"""HAProxy's language, as far as the function and the program on the hosts read it."""

import ast
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from haproxy_sync.config.language import Server, lines, servers, words
from haproxy_sync.rollout.program import SHARED

SRC = Path(__file__).parents[2] / "src"
MODULES = [SRC / name for name in SHARED if not name.endswith("__init__.py")]
ON_HOSTS = [*MODULES, *sorted((SRC / "host/haproxy_apply").glob("*.py"))]


def imported(path: Path) -> Iterator[str]:
    """The modules that a module names, wherever it does."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            yield node.module or ""
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


@pytest.mark.parametrize("path", ON_HOSTS, ids=lambda path: path.name)
def test_what_runs_on_hosts_needs_nothing_else(path: Path) -> None:
    """The standard library, each other, and the modules that they share with the function."""
    foreign = {
        name
        for name in imported(path)
        if name.partition(".")[0] not in sys.stdlib_module_names
    }
    shared = {
        ".".join(module.relative_to(SRC).with_suffix("").parts) for module in MODULES
    }
    ours = {name for name in foreign if name.partition(".")[0] == "haproxy_apply"}
    assert foreign <= (shared if path in MODULES else shared | ours)


def test_certificates_have_a_section_of_their_own() -> None:
    """A line of `acme` does not belong to the section before, nor does what follows."""
    text = "backend b\n server s 1.2.3.4:5\nacme le\n directory https://a/\n server s 1.2.3.4:5\n"
    assert [line.section for line in lines(text)] == [
        "backend b",
        "backend b",
        "acme le",
        "acme le",
        "acme le",
    ]
    assert [server.section for server in servers(text)] == ["backend b", "acme le"]


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("\t server s 1.2.3.4:5 \t# note\r", "server s 1.2.3.4:5"),
        ("log-format 'a # b' # c", "log-format 'a # b'"),
        ('log-format "a \\" # b" # c', 'log-format "a \\" # b"'),
        ("log-format a\\ \\#b#c", "log-format a\\ \\#b"),
        ("description don't # open", "description don't # open"),
    ],
)
def test_text_of_a_line(line: str, text: str) -> None:
    """As it is written, up to a # that is neither quoted nor escaped; none where a quote stays open."""
    (found,) = lines(line)
    assert found.text == text
    assert found.fields == tuple(text.split())


@pytest.mark.parametrize("line", ["", " ", "# a", "\t# a 'b", "\r", "\f\v"])
def test_lines_without_words(line: str) -> None:
    """Comments and blanks are no lines."""
    assert list(lines(f"{line}\n{line}")) == []


@pytest.mark.parametrize(
    ("text", "is_literal"),
    [
        ("bind :80", True),
        ("bind :80 # '$'", True),
        ('bind ":80"', False),
        ("bind ':80'", False),
        ("bind :80 name a\\ b", False),
        ("bind :$PORT", False),
    ],
)
def test_what_is_literal(text: str, *, is_literal: bool) -> None:
    """Quotes, escapes and variables have to be understood first; a comment has not."""
    (line,) = lines(text)
    assert line.is_literal == is_literal


def test_the_section_of_a_line() -> None:
    """Its keyword and its name, which may be quoted; nothing above the first one."""
    text = "mode http\n\"backend\" 'b' from d\n mode http\nglobal\n"
    assert [
        (line.section_keyword, line.section_name, line.begins_section)
        for line in lines(text)
    ] == [("", "", False), ("backend", "b", True), ("backend", "b", False), ("global", "", True)]  # fmt: skip


@pytest.mark.parametrize("character", ["\x1c", "\x85", "\xa0", "\u2003", "\u2028"])
def test_only_what_haproxy_calls_blank(character: str) -> None:
    """A letter of UTF-8 that is read as Latin-1, or a no-break space, parts neither lines nor words."""
    line = f"server a{character}b 1.2.3.4:5 check"
    assert words(line) == ("server", f"a{character}b", "1.2.3.4:5", "check")
    assert list(servers(f"backend b\n{line}\n")) == [
        Server("backend b", f"a{character}b", "1.2.3.4:5", ("check",))
    ]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (r"lua\x2dload a", ("lua-load", "a")),
        (r'"lua\x2Dload" a', ("lua-load", "a")),
        (r"'lua\x2dload' a", (r"lua\x2dload", "a")),
        (r"lua\-load a", (r"lua\-load", "a")),
        (r"path_reg ^/a\.b$", ("path_reg", r"^/a\.b$")),
        (r"a\ b \\ \# \' \" \$", ("a b", "\\", "#", "'", '"', "$")),
        (r'"a\ b\t\r\n\$c\q"', ("a b\t\r\n$c\\q",)),
        ("a\\\tb", ("a\\", "b")),
        ("a\\", ("a\\",)),
        (r"a\x2 b", (r"a\x2", "b")),
    ],
)
def test_escapes(line: str, expected: tuple[str, ...]) -> None:
    """Some stand for a character, all others for themselves; `tests/host/test_unsafe_keywords.py` asks HAProxy."""
    assert words(line) == expected


@given(st.text("ab \t\"'$é", max_size=20))
def test_quotes_are_those_of_a_shell(text: str) -> None:
    """As the standard library reads them; where a quote stays open, blanks alone part the words."""
    try:
        expected = shlex.split(text)
    except ValueError:
        expected = text.split()
    assert list(words(text)) == expected
