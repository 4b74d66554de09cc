"""Every small change of the translated template: what is there left out, doubled, turned, moved, or joined by more.

Seeded faults are those that somebody thought of; these are the others.
"""

import copy
import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.template.translate import Template

type Path = tuple[str | int, ...]
STRANGER = "Stranger"
REFERENCE = re.compile(r"\$\{([A-Za-z0-9:.]+)\}")
GONE = object()
# Made by a program of its own, whose file the rules compare as a whole.
WHOLE = {("Resources", "ApplyDocument", "Properties", "Content")}


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change: where, what kind of, and to what."""

    path: Path
    kind: str
    value: Any

    def __str__(self) -> str:
        """As the table of harmless ones has it."""
        return f"{'.'.join(map(str, self.path))}: {self.kind}"

    def of(self, template: Template) -> Template:
        """The template with the change, sharing with the old one what is not changed."""
        changed: Template = _changed(template, self.path, self.value)
        return changed


def _changed(node: Any, path: Path, value: Any) -> Any:
    if not path:
        return value
    if isinstance(node, str):  # a policy as text
        return json.dumps(_changed(json.loads(node), path, value))
    (step, *others), changed = path, copy.copy(node)
    if value is GONE and not others:
        del changed[step]
    else:
        changed[step] = _changed(node[step], tuple(others), value)
    return changed


def mutants(template: Template) -> Iterator[Mutant]:
    """All of them."""
    for path, node in nodes(template, ()):
        if path:
            yield Mutant(path, "left out", GONE)
        for kind, value in others(node, template):
            if value != node:
                yield Mutant(path, kind, value)


def nodes(node: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    """Every part of the template, policies in texts included."""
    yield path, node
    if path in WHOLE:
        return
    if isinstance(node, str) and node.startswith("{"):
        node = json.loads(node)
    items = (
        node.items()
        if isinstance(node, dict)
        else enumerate(node)
        if isinstance(node, list)
        else ()
    )
    for key, value in items:
        yield from nodes(value, (*path, key))


def others(node: Any, template: Template) -> Iterator[tuple[str, Any]]:
    """What could stand in a node's place."""
    match node:
        case bool() | int():
            yield from numbers(node)
        case {"Ref": name} | {"Fn::GetAtt": [name, _]}:
            other = another(name, template)
            yield "written out", STRANGER
            yield f"moved to {other}", moved(node, name, other)
        case dict():
            yield "joined by a stranger", {**node, STRANGER: STRANGER}
        case list():
            yield from (("joined by a stranger", [*node, STRANGER]), ("emptied", []))
        case str():
            yield from texts(node, template)


def numbers(number: int) -> Iterator[tuple[str, Any]]:
    """Another number; of what is true or false, the other one."""
    if isinstance(number, bool):
        yield "turned", not number
        return
    yield from (("halved", number // 2), ("ten times", number * 10), ("none", 0))
    yield from (("one more", number + 1), ("one less", number - 1))


def moved(reference: Mapping[str, Any], name: str, other: str) -> Any:
    """The reference, to something else."""
    return json.loads(json.dumps(reference).replace(f'"{name}"', f'"{other}"'))


def another(name: str, template: Template) -> str:
    """The next of its kind, of parameters or of resources of the type; of what is the only one, something else."""
    kinds: list[list[str]] = [[*template["Parameters"]], *by_type(template)]
    for kind in kinds:
        if name in kind and len(kind) > 1:
            return kind[(kind.index(name) + 1) % len(kind)]
    return "EventQueue" if name in template["Resources"] else "Environment"


def by_type(template: Template) -> list[list[str]]:
    """The ids of resources, those of one type together."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for name, each in template["Resources"].items():
        found[each["Type"]].append(name)
    return [*found.values()]


def texts(text: str, template: Template) -> Iterator[tuple[str, Any]]:
    """Another text; of one with references, one that refers to others, or to nothing."""
    if text.startswith("{"):
        return
    yield from (("longer", text + "x"), ("a star", "*"))
    for name in dict.fromkeys(REFERENCE.findall(text)):
        logical, _, attribute = name.partition(".")
        other = ".".join(filter(None, (another(logical, template), attribute)))
        for kind, new in (
            (f"{name} moved to {other}", f"${{{other}}}"),
            (f"{name} as a star", "*"),
            (f"{name} written out", STRANGER),
        ):
            yield kind, text.replace(f"${{{name}}}", new)
