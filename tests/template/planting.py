"""Plants faults into the parsed source template: each is a function that changes it, and fails if nothing changes.

A path is a resource's id and then its properties, or a section of the template: `EventQueue.DelaySeconds`,
`Parameters.SweepRate.Default`. In a list, a step is a number or an item's Sid, policy name, prefix or id.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.template.translate import Template

type Plant = Callable[[Template], None]
NAMES = ("Sid", "PolicyName", "Prefix", "Id", "name", "id")


@dataclass(frozen=True, slots=True)
class Fault:
    """What is done to the template, and what is said of it: the rule's name, and words of its complaint."""

    plant: Plant
    rule: str
    words: str = ""


def place(template: Template, path: str) -> tuple[Any, Any]:
    """Where the path's last step is, and the step."""
    *steps, last = _steps(template, path)
    node: Any = template
    for step in steps:
        node = node[_key(node, step)]
    return node, _key(node, last)


def put(path: str, value: Any) -> Plant:
    """Another value; a new one, too."""

    def plant(template: Template) -> None:
        parent, key = place(template, path)
        assert _get(parent, key) != value, f"{path} is {value} already"
        parent[key] = value

    return plant


def drop(path: str) -> Plant:
    """Without it."""

    def plant(template: Template) -> None:
        parent, key = place(template, path)
        del parent[key]

    return plant


def add(path: str, *values: Any) -> Plant:
    """More in a list."""

    def plant(template: Template) -> None:
        parent, key = place(template, path)
        assert values
        parent[key].extend(values)

    return plant


def edit(path: str, old: str, new: str) -> Plant:
    """Another word in a text."""

    def plant(template: Template) -> None:
        parent, key = place(template, path)
        assert old in parent[key], f"{path} has no {old}"
        parent[key] = parent[key].replace(old, new)

    return plant


def create(name: str, of_type: str, **properties: Any) -> Plant:
    """One resource more."""

    def plant(template: Template) -> None:
        assert name not in template["Resources"]
        template["Resources"][name] = {"Type": of_type, "Properties": properties}

    return plant


def together(*plants: Plant) -> Plant:
    """One after the other."""

    def plant(template: Template) -> None:
        for each in plants:
            each(template)

    return plant


def ref(name: str) -> dict[str, Any]:
    """A reference."""
    return {"Ref": name}


def arn(name: str) -> dict[str, Any]:
    """A resource's ARN."""
    return {"Fn::GetAtt": [name, "Arn"]}


def sub(text: str) -> dict[str, Any]:
    """A text with references."""
    return {"Fn::Sub": text}


def _steps(template: Template, path: str) -> list[str]:
    first, *others = path.split(".")
    if first in template["Resources"]:
        return ["Resources", first, "Properties", *others]
    return [first, *others]


def _key(node: Any, step: str) -> Any:
    """The step as the key of a mapping, or the index of a list."""
    if isinstance(node, dict) or step.isdigit():
        return int(step) if isinstance(node, list) else step
    (index,) = [
        number
        for number, each in enumerate(node)
        if step in {each.get(name) for name in NAMES if isinstance(each.get(name), str)}
    ]
    return index


def _get(parent: Any, key: Any) -> Any:
    return parent.get(key) if isinstance(parent, dict) else parent[key]
