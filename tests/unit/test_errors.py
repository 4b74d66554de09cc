"""Every error that the package raises stands in the tree of `errors`, or is one of Python's own that is caught at home.

What is raised is read from the code: `raise X`, `raise X(...)`, and calls of functions that make an error.
"""

import ast
import builtins
import importlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, get_type_hints

import pytest

import haproxy_sync
from haproxy_sync import errors
from haproxy_sync.config.bounded import OutOfTime
from haproxy_sync.errors import SyncError

PACKAGE = Path(haproxy_sync.__file__).parent
PICTURED = re.compile(r"[├└]── (\S+) +(\S.*)")


@dataclass(frozen=True, slots=True)
class CaughtAtHome:
    """Errors of Python's own that a module, or all modules of a package, may raise, for a module there catches them."""

    raised_in: str
    kinds: tuple[type[BaseException], ...]
    caught_in: str

    def allows(self, module: str, kind: type[BaseException]) -> bool:
        """Whether the module is meant, and the kind is listed."""
        return kind in self.kinds and f"{module}.".startswith(f"{self.raised_in}.")


CAUGHT_AT_HOME = (
    # The decoder refuses as `json` does; `loads` makes one CorruptState of both.
    CaughtAtHome("state.codec", (ValueError,), "state.codec"),
    # So does the reader of documents; what it cannot read is another document.
    CaughtAtHome("rollout.shipped", (ValueError,), "rollout.shipped"),
    # Filters and tests refuse as Python's functions do; the engine adds file and line and makes it a TemplateError.
    CaughtAtHome("config.ansible", (ValueError, TypeError), "config.ansible.engine"),
    # Python and Jinja ask with these whether a name exists; a template that insists gets a TemplateError.
    CaughtAtHome("config", (AttributeError, KeyError), "config.ansible.engine"),
    # No error of a template that a rendering may go on after: the child that it is in sends a TemplateError.
    CaughtAtHome("config.bounded", (OutOfTime,), "config.bounded"),
    # A deployment that lost the package's own template: nobody's mistake to handle, and no message may be lost by it.
    CaughtAtHome("config.sources", (FileNotFoundError,), "handler"),
)


@dataclass(frozen=True, slots=True)
class Module:
    """A module of the package, as text and as it is when imported."""

    name: str
    tree: ast.Module
    content: ModuleType

    def raised(self) -> Iterator[tuple[int, type[BaseException]]]:
        """Line and class of what is raised; what was caught or kept before and is raised again is not listed."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Raise) and (kind := self.error(node.exc)):
                yield node.lineno, kind

    def error(self, raised: ast.expr | None) -> type[BaseException] | None:
        """The class of what a `raise` statement names; None for a variable."""
        if not isinstance(raised, ast.Call):
            kind = self.value(raised)
            return kind if isinstance(kind, type) else None
        made_by = self.value(raised.func)
        kind = (
            get_type_hints(made_by)["return"]
            if isinstance(made_by, FunctionType)
            else made_by
        )
        assert isinstance(kind, type), (
            f"{self.name}:{raised.lineno} does not say what it raises"
        )
        return kind

    def value(self, node: ast.AST | None) -> Any:
        """What an expression stands for: a name of the module or of Python, or a method of a class of the module."""
        match node:
            case ast.Name(id=name):
                return getattr(self.content, name, getattr(builtins, name, None))
            case ast.Attribute(value=ast.Name(id="self"), attr=name):
                classes = (
                    each
                    for each in vars(self.content).values()
                    if isinstance(each, type)
                )
                return next(
                    (vars(each)[name] for each in classes if name in vars(each)), None
                )
            case ast.Attribute(value=owner, attr=name):
                return getattr(self.value(owner), name, None)
        return None

    def catches(self, kind: type[BaseException]) -> bool:
        """Whether some `except` of the module takes it."""
        handlers = (
            node.type
            for node in ast.walk(self.tree)
            if isinstance(node, ast.ExceptHandler)
        )
        named = (
            each
            for handler in handlers
            for each in (handler.elts if isinstance(handler, ast.Tuple) else [handler])
        )
        return any(
            isinstance(caught := self.value(each), type) and issubclass(kind, caught)
            for each in named
        )


def module(name: str) -> Module:
    """The module of that name within the package."""
    content = importlib.import_module(f"haproxy_sync.{name}")
    return Module(name, ast.parse(Path(str(content.__file__)).read_text()), content)


def names() -> list[str]:
    """All modules, as `fleet.model`."""
    paths = (
        path.relative_to(PACKAGE).with_suffix("")
        for path in PACKAGE.rglob("*.py")
        if path.stem != "__init__"
    )
    return sorted(".".join(path.parts) for path in paths)


def tree(root: type[SyncError] = SyncError) -> Iterator[type[SyncError]]:
    """The classes below a class."""
    for kind in root.__subclasses__():
        yield kind
        yield from tree(kind)


@pytest.mark.parametrize("name", names())
def test_a_module_raises_what_is_in_the_tree_or_caught_at_home(name: str) -> None:
    """Whoever catches `SyncError` knows that nothing else was meant."""
    strays = [
        f"{name}:{line} {kind.__name__}"
        for line, kind in module(name).raised()
        if not issubclass(kind, SyncError)
        and not any(rule.allows(name, kind) for rule in CAUGHT_AT_HOME)
    ]
    assert strays == []


@pytest.mark.parametrize("rule", CAUGHT_AT_HOME, ids=lambda rule: rule.raised_in)
def test_what_is_raised_at_home_is_caught_there(rule: CaughtAtHome) -> None:
    """The module that the rule names has an `except` for each kind."""
    home = module(rule.caught_in)
    assert all(map(home.catches, rule.kinds))


def test_the_picture_shows_the_tree() -> None:
    """All of it and nothing else, each with its reason; those outside `errors` by module and name."""
    for name in names():
        importlib.import_module(f"haproxy_sync.{name}")
    found = {
        f"{kind.__module__}.{kind.__name__}"
        for kind in tree()
        if kind.__module__.startswith("haproxy_sync.")
    }
    shown = [name for name, _ in PICTURED.findall(str(errors.__doc__))]
    assert sorted(shown) == sorted(
        each.removeprefix("haproxy_sync.").removeprefix("errors.") for each in found
    )


EXAMPLE = """
from haproxy_sync import errors
from haproxy_sync.config.bounded import OutOfTime
from haproxy_sync.errors import SyncError

def made() -> SyncError: ...

class A:
    def method(self) -> ValueError: ...
    def f(self):
        raise SyncError
        raise SyncError("why") from None
        raise errors.BadEvent("why")
        raise made()
        raise self.method()
        raise TypeError
        raise kept
        raise
"""


def test_what_is_raised_is_read_from_the_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Classes, factories and Python's own, but no variables: those hold what was raised before."""
    (tmp_path / "example_of_raises.py").write_text(EXAMPLE)
    monkeypatch.syspath_prepend(tmp_path)
    example = Module(
        "example", ast.parse(EXAMPLE), importlib.import_module("example_of_raises")
    )
    kinds = [kind for _, kind in example.raised()]
    assert kinds == [
        SyncError,
        SyncError,
        errors.BadEvent,
        SyncError,
        ValueError,
        TypeError,
    ]
