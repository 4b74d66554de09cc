"""What systemd says of a unit's command, as it would carry it out (systemd.service(5), systemd.exec(5)).

`ValueError`: it says something that cannot be understood.
"""

from __future__ import annotations

import re
import shlex
from itertools import chain
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# To Python, some bytes of letters are blanks, too.
_BLANKS = " \t\r\n"
_WORD = re.compile(f"[^{_BLANKS}]+")
_COMMAND = re.compile(
    r"\{ path=(?P<path>.+?) ; argv\[\]=(?P<argv>.*?) ; (?:ignore_errors|flags)=[^{}]*\}"
)
_ENVIRONMENT_FILE = re.compile(r"(?P<path>/.*) \(ignore_errors=(?P<optional>yes|no)\)")
# As `systemctl show` prints each of several strings: quoted as a whole, or as it is.
_STRING = re.compile(r""""(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<plain>[^ \t\r\n"\\]+)""")
_UNPRINTABLE = "[unprintable]"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_IN_A_WORD = re.compile(r"\$\$|\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)\}")

_COMMENT = re.compile(r"[#;](?:[^\n\\]|\\.)*", re.DOTALL)
_KEY = re.compile(r"(?P<key>[^\n=]*)(?P<equals>=?)")
_PIECE = re.compile(
    r"""[ \t\r]*(?:"(?P<double>(?:[^"\\]|\\.)*)"|'(?P<single>[^']*)'|(?P<plain>(?:[^\n"'\\]|\\.)(?:[^\n\\]|\\.)*))""",
    re.DOTALL,
)
_END = re.compile(r"[ \t\r]*(?:\n|$)")


def command(said: str) -> tuple[str, str]:
    """Binary and words of the one command that `ExecStart` has."""
    found = _COMMAND.fullmatch(said.strip())
    if not found or said.count("{ path=") != 1:
        raise ValueError(said)
    return found["path"], found["argv"]


def environment_path(said: str) -> tuple[str, bool]:
    """A file of `EnvironmentFiles`, and whether it may be missing."""
    found = _ENVIRONMENT_FILE.fullmatch(said)
    if not found:
        raise ValueError(said)
    return found["path"], found["optional"] == "yes"


def environment(said: str) -> dict[str, str]:
    """The variables of `Environment`; older versions do not print, or do not quote, what has blanks in it."""
    strings = list(_strings(said))
    if _UNPRINTABLE in strings or not all("=" in each for each in strings):
        raise ValueError(said)
    return dict(_pair(each) for each in strings)


def _pair(string: str) -> tuple[str, str]:
    name, _equals, value = string.partition("=")
    return name, value


def _strings(said: str) -> Iterator[str]:
    at = 0
    while at < len(said):
        found = _STRING.match(said, at)
        if not found or said[found.end() : found.end() + 1].strip(_BLANKS):
            raise ValueError(said)
        quoted = found["quoted"]
        yield found["plain"] if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
        at = found.end() + 1


def words(argv: str, variables: Mapping[str, str]) -> list[str]:
    """The words of a command line, its variables replaced. What is not set is empty."""
    replaced = (_replaced(word, variables) for word in _WORD.findall(argv))
    return list(chain.from_iterable(replaced))


def _replaced(word: str, variables: Mapping[str, str]) -> list[str]:
    """`$NAME` as a word of its own becomes any number of words, `${NAME}` stays within its word."""
    name = word[1:]
    if word.startswith("$") and _NAME.fullmatch(name):
        return shlex.split(variables.get(name, ""))
    return [
        _IN_A_WORD.sub(
            lambda found: variables.get(found["name"], "") if found["name"] else "$",
            word,
        )
    ]


def file_variables(text: str) -> dict[str, str]:
    """The variables of an environment file. It is no script: `export` is no word of it, and nothing is expanded."""
    variables: dict[str, str] = {}
    at = 0
    while at < len(text):
        if text[at] in _BLANKS:
            at += 1
            continue
        comment = _COMMENT.match(text, at)
        if comment:
            at = comment.end()
            continue
        at = _assign(variables, text, at)
    return variables


def _assign(variables: dict[str, str], text: str, at: int) -> int:
    """Take the assignment that begins there; where it ends."""
    key = _KEY.match(text, at)
    if key is None or not key["equals"]:
        return key.end() if key else len(text)
    value, at = _value(text, key.end())
    name = key["key"].strip(_BLANKS)
    if _NAME.fullmatch(name):
        variables[name] = value
    return at


def _value(text: str, at: int) -> tuple[str, int]:
    """The value that begins there, and where its line ends."""
    value = ""
    while not (end := _END.match(text, at)):
        piece = _PIECE.match(text, at)
        if not piece:
            raise ValueError(text[at:])
        value += _unquoted(piece)
        at = piece.end()
    return value, end.end()


def _unquoted(piece: re.Match[str]) -> str:
    if piece["single"] is not None:
        return piece["single"]
    if piece["double"] is not None:
        joined = piece["double"].replace("\\\n", "")
        return re.sub(r'\\(["\\`$])', r"\1", joined)
    joined = piece["plain"].rstrip(" \t\r").replace("\\\n", "")
    return re.sub(r"\\(.)", r"\1", joined)
