"""The list of faults, kept from the tests' own markers: `python -m tests.faults` rewrites docs/faults.md.

The faults and what is expected are written in the document; only the last column is made here.
"""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "docs/faults.md"
ROW = re.compile(r"\| (F\d+) \| (.+?) \| (.+?) \| (.*) \|")


def markers() -> Mapping[str, list[str]]:
    """Test functions by the number of the fault they cover, as `folder/test_file.py::test`."""
    covered: defaultdict[str, list[str]] = defaultdict(list)
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                for number in _numbers(node):
                    covered[number].append(f"{path.relative_to(ROOT / 'tests')}::{node.name}")
    return covered


def _numbers(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> Iterator[str]:
    """`@pytest.mark.fault("F60")`, also inside `pytest.param(..., marks=...)`; each number once."""
    found = {
        call.args[0].value
        for decorator in node.decorator_list
        for call in ast.walk(decorator)
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr == "fault"
        and isinstance(call.args[0], ast.Constant)
    }
    yield from sorted(str(number) for number in found)


def rows(text: str) -> list[tuple[str, str, str]]:
    """Number, fault and expected behaviour of every row."""
    return [(match[1], match[2], match[3]) for match in ROW.finditer(text)]


def rewritten(text: str, covered: Mapping[str, list[str]]) -> str:
    """The document with its last column as the markers say."""

    def row(match: re.Match[str]) -> str:
        tests = "<br>".join(f"`{name}`" for name in covered.get(match[1], ["none"]))
        return f"| {match[1]} | {match[2]} | {match[3]} | {tests} |"

    return ROW.sub(row, text)


if __name__ == "__main__":
    DOCUMENT.write_text(rewritten(DOCUMENT.read_text(), markers()))
