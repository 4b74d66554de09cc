"""What counts as a decision and as a line, shown on small pieces of code."""

import ast
from pathlib import Path
from textwrap import dedent

import pytest

from tests import density

SRC = Path(__file__).parents[2] / "src/haproxy_sync"


@pytest.mark.parametrize(
    ("code", "branches"),
    [
        ("x = 1", 0),
        ("if a: pass", 1),
        ("if a: pass\nelif b: pass\nelse: pass", 2),
        ("for x in y: pass", 1),
        ("for x in y: pass\nelse: pass", 1),
        ("async def f():\n  async for x in y: pass", 1),
        ("while a: pass", 1),
        ("x = a if b else c", 1),
        ("try: pass\nexcept A: pass\nexcept B: pass\nelse: pass\nfinally: pass", 2),
        ("try: pass\nexcept* A: pass", 1),
        ("with a: pass", 0),
        ("assert a", 1),
        ("match x:\n  case 1: pass\n  case 2 | 3: pass\n  case _: pass", 3),
        ("match x:\n  case 1 if a: pass", 1),
        ("x = a and b", 1),
        ("x = a or b or c", 2),
        ("x = a and (b or c)", 2),
        ("x = a < b < c", 0),
        ("x = not a", 0),
        ("[x for x in y]", 1),
        ("[x for x in y if a]", 1),
        ("{x: z for x in y for z in x}", 2),
        ("any(x for x in y if a and b)", 2),
        ("f = lambda: a or b", 1),
        ("while a:\n  if b: break", 2),
    ],
)
def test_what_is_a_branch(code: str, branches: int) -> None:
    """Everything that takes one way or another, or goes round."""
    assert density.branches(ast.parse(code)) == branches


@pytest.mark.parametrize(
    ("code", "lines"),
    [
        ("x = 1", 1),
        ("x = 1; y = 2", 1),
        ("x = 1\n\n# why\ny = 2", 2),
        ('"""The module."""\nx = 1', 1),
        ('"""The module,\n\nat length."""', 0),
        ('def f():\n  """It does."""\n  return 1', 2),
        ('class A:\n  """It is."""\n  def f(self):\n    """It does."""', 2),
        ('x = 1\n"""A string that documents nothing but a value."""', 2),
        ("f(\n  a,\n  b=c,\n)", 3),
        ("f(\n  a, b\n)", 2),
        ("x = [\n  1,\n  2,\n]", 3),
        ('x = """one\ntwo\nthree"""', 1),
        ("if a:\n  b\nelse:\n  c", 3),
        ("try:\n  a\nexcept E:\n  b", 4),
        ("@a\ndef f(): pass", 2),
        ("def f(\n  x,\n  y: int,\n): pass", 3),
    ],
)
def test_what_is_a_code_line(code: str, lines: int) -> None:
    """A line on which something begins; brackets, `else`, comments and docstrings are none."""
    assert density.code_lines(ast.parse(code)) == lines


def body(text: str) -> density.Density:
    """The density of the one function of a text."""
    (function,) = ast.parse(dedent(text)).body
    assert isinstance(function, ast.FunctionDef)
    return density.of_function(function)


def test_the_lines_of_a_function_run_from_its_first_statement_to_its_last() -> None:
    """Empty lines and comments between them count, the head, its defaults and the docstring do not."""
    function = '''
        def f(
            x=a if b else c,
        ):
            """It does.

            At length.
            """
            # why
            if x:

                return (
                    1
                )
    '''
    assert body(function) == density.Density(1, 5)


def test_a_function_that_only_promises_has_no_lines() -> None:
    """There is nothing to count in a protocol's method."""
    assert body('def f(): """It does."""') == density.Density(0, 0)


def test_a_nested_function_counts_in_both() -> None:
    """What is hidden inside is still read with the whole."""
    function = "def f():\n  def g():\n    return a or b\n  return g if c else None"
    (outer,) = ast.parse(function).body
    assert isinstance(outer, ast.FunctionDef)
    (inner, _) = outer.body
    assert isinstance(inner, ast.FunctionDef)
    assert density.of_function(outer) == density.Density(2, 3)
    assert density.of_function(inner) == density.Density(1, 1)


@pytest.mark.parametrize(
    ("lines", "branches", "is_too_dense"),
    [(7, 7, False), (8, 4, False), (8, 5, True), (9, 4, False), (9, 5, True)],
)
def test_a_function_of_eight_lines_may_decide_four_times(
    lines: int, branches: int, *, is_too_dense: bool
) -> None:
    """Shorter ones may decide as they like: the whole package limits them."""
    assert density.Density(branches, lines).is_too_dense_for_a_function == is_too_dense


def test_a_package_is_judged_as_a_whole_and_by_function(tmp_path: Path) -> None:
    """The reader learns what is too dense, and where."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "calm.py").write_text("x = 1\n" * 9)
    (tmp_path / "sub/dense.py").write_text("def f():\n" + "  if a or b: pass\n" * 8)
    assert list(density.problems(tmp_path)) == [
        f"{tmp_path}: 88.9 branches per 100 code lines, at most 16 are allowed",
        f"{tmp_path}/sub/dense.py:1: f has 16 branches in 8 lines",
    ]
    (tmp_path / "sub/dense.py").write_text("if a: pass\n")
    assert density.of_package(tmp_path) == density.Density(1, 10)
    assert not list(density.problems(tmp_path))


def test_every_module_is_measured() -> None:
    """The folder that `bin/lint` names is the package, with its parts."""
    assert density.of_package(SRC).lines > max(
        density.of_package(room).lines for room in SRC.iterdir() if room.is_dir()
    )
