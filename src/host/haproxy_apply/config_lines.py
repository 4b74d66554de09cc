"""The lines of a config, each with what those above it mean for it: section, conditions, defaults of servers."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from haproxy_sync.config.language import lines

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

NOT_UNDERSTOOD = "not-understood"
"""Stands for a `default-server` line that may say anything, since it has quotes, escapes, variables or conditions."""

_DEEPER = {".if": 1, ".endif": -1}


class ConfigLine(NamedTuple):
    """A line, and what those above it mean for it."""

    text: str  # without comment and outer blanks
    fields: tuple[str, ...]  # what stands between blanks; not empty
    section_keyword: str
    section_name: str
    is_plain: bool  # no quotes, escapes, variables or conditions
    defaults: tuple[str, ...]  # the options of all `default-server` lines in force

    @property
    def is_global(self) -> bool:
        """Whether it stands in the global section."""
        return self.section_keyword == "global"

    @property
    def is_of_backend(self) -> bool:
        """Whether it stands in a section that sends traffic to its servers."""
        return self.section_keyword in {"backend", "listen"}

    @property
    def is_plain_server(self) -> bool:
        """Whether it declares a server that is understood."""
        return self.is_plain and self.fields[0] == "server" and self.is_of_backend

    def field(self, index: int) -> str:
        """One of the fields, empty where there is none."""
        return self.fields[index] if index < len(self.fields) else ""


def config_lines(text: str) -> Iterator[ConfigLine]:
    """Every line that is more than a comment."""
    depth = 0
    defaults = _Defaults()
    for line in lines(text):
        fields, section = line.fields, line.section_keyword
        depth += _DEEPER.get(fields[0], 0)
        is_plain = depth == 0 and line.is_literal
        if line.begins_section:
            defaults.begin_section(line.words)
        if fields[0] == "default-server":
            defaults.add(fields[1:] if is_plain else (NOT_UNDERSTOOD,))
        yield ConfigLine(
            text=line.text,
            fields=fields,
            section_keyword=section,
            section_name=line.section_name,
            is_plain=is_plain,
            defaults=defaults.options,
        )


class _Defaults:
    """The `default-server` options in force, as `defaults` sections hand them down."""

    def __init__(self) -> None:
        self.options: tuple[str, ...] = ()
        self._handed_down: dict[str, tuple[str, ...]] = {}  # by name of the section
        self._latest = ""  # of those without a name, none but the latest can be meant
        self._is_open = False  # in a `defaults` section

    def begin_section(self, words: Sequence[str]) -> None:
        """Start with what the section inherits: from the one that it names, else from the latest."""
        named = [after for word, after in zip(words[1:], words[2:]) if word == "from"]
        base = [self._latest, *named][-1]
        self._is_open = words[0] == "defaults"
        inherits = "from" in words[1:3] or not self._is_open
        self.options = self._handed_down.get(base, ()) if inherits else ()
        if self._is_open:
            self._latest = "".join(words[1:2])
            self.add(())

    def add(self, options: Sequence[str]) -> None:
        """Take the options of one more line."""
        self.options += tuple(options)
        if self._is_open:
            self._handed_down[self._latest] = self.options
