"""The list of faults, kept from the tests' own markers: `python -m tests.faults` rewrites docs/faults.md.

The faults and what is expected are written in the document; only the list of tests below each is made here.
"""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "docs/faults.md"
ENTRY = re.compile(
    r"""
    ^\#\#\#\ (?P<number>F\d+):\ (?P<fault>.+)\n
    \n
    (?P<expected>(?:[^\#\n-].*\n)+)
    \n
    (?P<tests>(?:-\ .+\n)*)
    """,
    re.MULTILINE | re.VERBOSE,
)
"""A heading with number and fault, a paragraph that says what is expected, and a list of tests."""

type Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def markers() -> Mapping[str, list[str]]:
    """Test functions by the number of the fault they cover, as `folder/test_file.py::test`."""
    covered: defaultdict[str, list[str]] = defaultdict(list)
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for definition in _definitions(path):
            for number in _numbers(definition):
                covered[number].append(
                    f"{path.relative_to(ROOT / 'tests')}::{definition.name}"
                )
    return covered


def _definitions(path: Path) -> Iterator[Definition]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, Definition.__value__):
            yield node


def _numbers(definition: Definition) -> list[str]:
    """`@pytest.mark.fault("F60")`, also inside `pytest.param(..., marks=...)`; each number once."""
    found = {
        call.args[0].value
        for decorator in definition.decorator_list
        for call in ast.walk(decorator)
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr == "fault"
        and isinstance(call.args[0], ast.Constant)
    }
    return sorted(map(str, found))


def entries(text: str) -> list[tuple[str, str, str]]:
    """Number, fault and expected behaviour of every entry."""
    return [
        (entry["number"], entry["fault"], entry["expected"])
        for entry in ENTRY.finditer(text)
    ]


def rewritten(text: str, covered: Mapping[str, list[str]]) -> str:
    """The document with the lists of tests as the markers say."""

    def replaced(entry: re.Match[str]) -> str:
        tests = "".join(
            f"- `{name}`\n" for name in covered.get(entry["number"], ["none"])
        )
        return entry[0].removesuffix(entry["tests"]) + tests

    return ENTRY.sub(replaced, text)


if __name__ == "__main__":
    DOCUMENT.write_text(rewritten(DOCUMENT.read_text(), markers()))
