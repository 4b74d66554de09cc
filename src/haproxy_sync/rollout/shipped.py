"""The document that this release was shipped with: only one that says the same is ever run.

CloudFormation keeps a document's values and nothing else of its text: not its layout, not the order of its keys, and
numbers and booleans become strings (aws-cloudformation-resource-providers-ssm). So values are compared, not text.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from haproxy_sync.errors import DocumentDiffers
from haproxy_sync.rollout.program import DOCUMENT, RELEASE

type Path = tuple[str | int, ...]
"""Keys and indexes that lead from the whole document to one value."""
type Value = tuple[Path, str]

SHOWN_LENGTH = 100

_confirmed: set[tuple[str, str, str]] = set()


def document() -> str:
    """The text of the release's own document."""
    return (RELEASE / DOCUMENT).read_text()


def is_confirmed(name: str, version: str, sha256: str) -> bool:
    """Whether this process has found that version, with that hash, to say the same."""
    return (name, version, sha256) in _confirmed


def confirm(name: str, version: str, sha256: str, content: str) -> None:
    """Compare the content of the version that has this hash; `DocumentDiffers` says how it is another one."""
    if how := difference(document(), content):
        raise DocumentDiffers(version, how)
    _confirmed.add((name, version, sha256))


def forget() -> None:
    """As a new process begins."""
    _confirmed.clear()


def difference(shipped: str, deployed: str) -> str:
    """How the second document is not the first: the first place that differs; empty where both say the same."""
    try:
        theirs = _values(deployed)
    except (ValueError, RecursionError):
        return "is no JSON"
    places = sorted(map(_place, _values(shipped) ^ theirs))
    return f"differs at {places[0]}"[:SHOWN_LENGTH] if places else ""


def _place(value: Value) -> str:
    """`mainSteps.2.inputs.timeoutSeconds`."""
    return ".".join(map(str, value[0]))


def _values(text: str) -> frozenset[Value]:
    return frozenset(_leaves(json.loads(text, object_pairs_hook=_once), ()))


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """`ValueError` for a key that comes twice: which of the two counts, every parser decides for itself."""
    named = dict(pairs)
    if len(named) < len(pairs):
        raise ValueError("a key comes twice")
    return named


def _leaves(node: Any, path: Path) -> Iterator[Value]:
    """Every value that holds no other one, as the text that CloudFormation makes of it."""
    children = tuple(_CHILDREN.get(type(node), _none)(node))
    if not children:
        yield path, node if isinstance(node, str) else json.dumps(node)
    for key, child in children:
        yield from _leaves(child, (*path, key))


def _none(_node: Any) -> Iterable[tuple[str | int, Any]]:
    return ()


_CHILDREN: Mapping[type, Callable[[Any], Iterable[tuple[str | int, Any]]]] = {
    dict: dict.items,
    list: enumerate,
}
