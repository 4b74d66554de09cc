"""Which line of which template a line of a config comes from: the template is rendered again with marks in its text.

The marks are characters of Unicode's private use area. Taken out again, they must leave the very config; where a
template's logic looks at its own text (`{% if macro() == 'x' %}`) they do not, and what macros and blocks return
is left unmarked. Where they still disturb, nobody knows the line, and nobody guesses.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, override

from jinja2 import nodes

from haproxy_sync.config.ansible.engine import Engine
from haproxy_sync.config.ansible.environment import AnsibleEnvironment
from haproxy_sync.config.ansible.source import has_header
from haproxy_sync.config.render import render_unchecked
from haproxy_sync.config.sources import TemplateSet
from haproxy_sync.errors import SyncError
from haproxy_sync.fleet.model import Fleet
from haproxy_sync.settings import Settings

_MARK = re.compile("\ue000([^\ue000\ue001]*):([0-9]+)\ue001")


@dataclass(frozen=True, slots=True)
class TemplateLine:
    """A line of a template file, counted from 1 as an editor does."""

    file: str
    number: int

    @override
    def __str__(self) -> str:
        return f"{self.file}:{self.number}"


type Lines = tuple[TemplateLine | None, ...]
"""For each line of a config the line of the template that begins it."""


class _Marking(AnsibleEnvironment):
    unmarked: tuple[type[nodes.Node], ...] = ()

    @override
    def _parse(
        self, source: str, name: str | None, filename: str | None
    ) -> nodes.Template:
        tree = super()._parse(source, name, filename)
        _mark(tree, name or "", self.unmarked)
        return tree


class _MarkingDirectOutput(_Marking):
    unmarked = (nodes.Macro, nodes.CallBlock, nodes.FilterBlock, nodes.AssignBlock)


class _Everywhere(Engine):
    environment_class = _Marking


class _DirectOutput(Engine):
    environment_class = _MarkingDirectOutput


def template_lines(
    templates: TemplateSet,
    variables: Mapping[str, Any],
    fleet: Fleet,
    settings: Settings,
) -> Mapping[str, Lines]:
    """For each config of the fleet, by its text, where its lines come from; absent where nobody can know."""
    found: dict[str, Lines] = {}
    texts = {
        config.text
        for config in render_unchecked(templates, variables, fleet, settings).configs
    }
    header = int(has_header(templates.files[templates.main]))
    for engine in (_DirectOutput, _Everywhere):  # the second knows better, if it can
        try:
            marked = render_unchecked(templates, variables, fleet, settings, engine)
        except SyncError:
            continue
        for config in marked.configs:
            plain = _MARK.sub("", config.text).rstrip("\n")
            same = (text for text in texts if text.rstrip("\n") == plain)
            unseen = {templates.main: header}
            found |= {text: tuple(_lines(config.text, unseen)) for text in same}
    return found


def _mark(node: nodes.Node, file: str, unmarked: tuple[type[nodes.Node], ...]) -> None:
    """Put a mark before whatever an output node prints, and into its text at the beginning of each line."""
    for child in node.iter_child_nodes():
        if not isinstance(child, unmarked):
            _mark(child, file, unmarked)
    if isinstance(node, nodes.Output):
        node.nodes = [new for each in node.nodes for new in _marked(each, file)]


def _marked(node: nodes.Expr, file: str) -> Iterator[nodes.Expr]:
    if not isinstance(node, nodes.TemplateData):
        yield nodes.TemplateData(_mark_of(file, node.lineno), lineno=node.lineno)
        yield node
        return
    # A mark at the very end would hide from Jinja that a newline is the last character.
    lines = node.data.splitlines(keepends=True)
    data = "".join(
        _mark_of(file, node.lineno + number) + line for number, line in enumerate(lines)
    )
    yield nodes.TemplateData(data, lineno=node.lineno)


def _mark_of(file: str, line: int) -> str:
    return f"\ue000{file}:{line}\ue001"


def _lines(marked: str, unseen: Mapping[str, int]) -> Iterator[TemplateLine | None]:
    """The mark of the first text of each line that is not blank; a line without marks has that of the line above."""
    current: TemplateLine | None = None
    for line in marked.split("\n"):
        pieces = _MARK.split(line)  # text, then file, number and text of each mark
        places = [
            (TemplateLine(file, int(number) + unseen.get(file, 0)), text)
            for file, number, text in zip(
                pieces[1::3], pieces[2::3], pieces[3::3], strict=True
            )
        ]
        begins_before = bool(pieces[0].strip())
        first = next((place for place, text in places if text.strip()), None)
        yield current if begins_before or first is None else first
        current = places[-1][0] if places else current
