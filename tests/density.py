"""How many decisions the code packs into its lines: `python -m tests.density FOLDER` fails where there are too many.

Branches are `if`, `for`, `while`, conditional expressions, `except`, each `for` of a comprehension, `case`, `assert`,
and every operand of `and` and `or` after the first. Code lines are those on which a statement or an expression
begins, docstrings left out. A function's lines run from its first statement after the docstring to its last one;
what a nested function decides counts in both.
"""

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MAX_PER_HUNDRED = 16
"""Branches per hundred code lines over a whole package: a reader keeps up with one in six lines."""

MAX_ON_HOSTS = 25
"""The same for what runs on hosts: most of it is about what a host may lack, or may be doing at the moment."""

LONG = 8
"""From so many lines on, a function may not decide more than once in two lines."""

type Function = ast.FunctionDef | ast.AsyncFunctionDef

_BRANCHES = (
    ast.If,
    ast.For,
    ast.AsyncFor,
    ast.While,
    ast.IfExp,
    ast.ExceptHandler,
    ast.comprehension,
    ast.match_case,
    ast.Assert,
)
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True, slots=True)
class Density:
    """Branches and lines of one function, or code lines of many files."""

    branches: int
    lines: int

    @property
    def per_hundred(self) -> float:
        """Branches in a hundred lines."""
        return 100 * self.branches / max(self.lines, 1)

    @property
    def is_too_dense_for_a_function(self) -> bool:
        """Whether a function decides more than once in two lines, and is long enough for that to matter."""
        return self.lines >= LONG and 2 * self.branches > self.lines


def branches(tree: ast.AST) -> int:
    """The decisions in a node and below it."""
    return sum(_weight(node) for node in ast.walk(tree))


def _weight(node: ast.AST) -> int:
    if isinstance(node, ast.BoolOp):
        return len(node.values) - 1
    return int(isinstance(node, _BRANCHES))


def code_lines(tree: ast.AST) -> int:
    """The lines on which a statement or an expression begins."""
    docstrings = {part for node in _docstrings(tree) for part in ast.walk(node)}
    code = (
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.stmt | ast.expr) and node not in docstrings
    )
    return len({node.lineno for node in code})


def _docstrings(tree: ast.AST) -> Iterator[ast.stmt]:
    for node in ast.walk(tree):
        if (
            isinstance(node, _DOCUMENTED)
            and ast.get_docstring(node, clean=False) is not None
        ):
            yield node.body[0]


def of_function(function: Function) -> Density:
    """The decisions of a body, and the lines from its first statement after the docstring to its last."""
    is_documented = ast.get_docstring(function, clean=False) is not None
    body = function.body[1:] if is_documented else function.body
    if not body:
        return Density(0, 0)
    last_line = body[-1].end_lineno or body[-1].lineno
    return Density(sum(map(branches, body)), last_line - body[0].lineno + 1)


def of_package(folder: Path) -> Density:
    """All modules of a folder together."""
    trees = [ast.parse(path.read_text()) for path in folder.rglob("*.py")]
    return Density(sum(map(branches, trees)), sum(map(code_lines, trees)))


def dense_functions(folder: Path) -> Iterator[str]:
    """A line for every function that decides more than once in two lines."""
    for path in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            density = of_function(node)
            if density.is_too_dense_for_a_function:
                yield f"{path}:{node.lineno}: {node.name} has {density.branches} branches in {density.lines} lines"


def problems(folder: Path) -> Iterator[str]:
    """What is wrong with a package; nothing if it may stay as it is."""
    whole = of_package(folder)
    limit = MAX_ON_HOSTS if folder.parent.name == "host" else MAX_PER_HUNDRED
    if whole.per_hundred > limit:
        yield f"{folder}: {whole.per_hundred:.1f} branches per 100 code lines, at most {limit} are allowed"
    yield from dense_functions(folder)


if __name__ == "__main__":
    found = [problem for folder in sys.argv[1:] for problem in problems(Path(folder))]
    sys.exit("\n".join(found) or None)
