"""How an init script would start HAProxy, by the file of defaults that it reads. Neither is ever executed."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, NamedTuple

from haproxy_apply import command_line, commands, durable
from haproxy_apply.stats_socket import native

if TYPE_CHECKING:
    from collections.abc import Iterator

    from haproxy_apply.command_line import CommandLine

SCRIPT = "/etc/init.d/haproxy"
DEFAULTS = "/etc/default/haproxy", "/etc/sysconfig/haproxy"
_CONFIG = "CONFIG"
_OPTIONS = "EXTRAOPTS", "OPTIONS", "ADD_OPTIONS"

# What means the same in each shell, without running anything.
_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
_VALUE = r"""(?:"[^"$`\\\n]*"|'[^'\n]*'|[A-Za-z0-9_@%+=:,./-])*"""
_LINE = re.compile(
    rf"[ \t]*(?P<export>export[ \t]+)?(?P<assignments>(?:{_NAME}(?:={_VALUE})?(?:[ \t]+|$))*)(?:#.*)?"
)
_ASSIGNMENT = re.compile(rf"(?P<name>{_NAME})(?P<is_set>=?)(?P<value>{_VALUE})")
_PATTERN = frozenset("*?[~")
_WORD = re.compile(r"[^ \t]+")  # to Python, some bytes of letters are blanks, too


class Variables(NamedTuple):
    """What a file of shell assignments sets."""

    values: dict[str, str]
    exported: frozenset[str]

    @property
    def environment(self) -> dict[str, str]:
        """What programs get."""
        return {name: self.values.get(name, "") for name in self.exported}


def find(config_path: str) -> tuple[CommandLine, dict[str, str]] | None:
    """The command line, and the variables beside; None: there is no script, or its defaults are not understood."""
    script = durable.read_text(SCRIPT)
    binary = commands.find("haproxy")
    if not script or binary is None:
        return None
    try:
        variables = _variables(script)
        words = [binary, *_words(script, variables, config_path)]
    except ValueError:
        return None
    command = command_line.parse(words)
    return (command, variables.environment) if command else None


def _variables(script: str) -> Variables:
    """Of all files of defaults that the script names, whatever it calls itself."""
    texts = (
        durable.read_text(path) for path in DEFAULTS if os.path.dirname(path) in script
    )
    return parse("\n".join(texts))


def _words(script: str, variables: Variables, config_path: str) -> Iterator[str]:
    yield from ("-f", native(variables.values.get(_CONFIG, "")) or config_path)
    for name in _OPTIONS:
        if re.search(rf"\${name}\b|\${{{name}[}}:]", script):
            value = variables.values.get(name, "")
            if not _PATTERN.isdisjoint(value):
                raise ValueError(value)
            yield from map(native, _WORD.findall(value))


def parse(text: str) -> Variables:
    """The variables of such a file. `ValueError`: it does something else than to set them."""
    values: dict[str, str] = {}
    exported: set[str] = set()
    for line in text.split("\n"):
        found = _LINE.fullmatch(line)
        if not found:
            raise ValueError(line)
        words = list(_ASSIGNMENT.finditer(found["assignments"]))
        set_here = [each for each in words if each["is_set"]]
        values.update((each["name"], _unquoted(each["value"])) for each in set_here)
        if found["export"]:
            exported.update(each["name"] for each in words)
        elif len(set_here) != len(words):
            raise ValueError(line)  # a command
    return Variables(values, frozenset(exported))


def _unquoted(value: str) -> str:
    return re.sub(r"""(["'])(.*?)\1""", r"\2", value)
