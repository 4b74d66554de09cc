"""docs/security.md claims nothing without a test, and no test that is not run."""

import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.documents import DOCUMENTS, ROOT

TEXT = DOCUMENTS["security.md"]
TEST = re.compile(r"`([a-z_/]+/test_[a-z0-9_]+\.py)::(test_[a-z0-9_]+)`")
COLLECTED = re.compile(r"^tests/([^:\s]+)(?:::\w+)*::(\w+)(?:\[|$)", re.MULTILINE)
WHO = (
    *("Tag writer", "Template writer", "Function's role", "Proxy's role", "Operator"),
    *("Document writer", "Queue writer", "Foreign account", "Stolen CI role"),
)


def rows() -> Iterator[list[list[str]]]:
    """The cells of the table's lines, by claim: the first line of each says who."""
    section = TEXT.split("## Who reaches what\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")][1:]
    claim: list[list[str]] = []
    for cells in ([cell.strip() for cell in line.strip("|").split("|")] for line in lines):  # fmt: skip
        if cells[0] and claim:
            yield claim
            claim = []
        claim.append(cells)
    yield claim


def test_everybody_has_a_row() -> None:
    """In this order; the same begin further rows of theirs in lower case."""
    named = [name for claim in rows() for name in re.findall(r"\*\*(.+?)\*\*", claim[0][0])]  # fmt: skip
    assert named == [*WHO, "Anybody else"]
    for claim in rows():
        who = claim[0][0].strip("*").lower()
        assert who.startswith(tuple(name.lower() for name in named))


@pytest.mark.parametrize("claim", list(rows()), ids=lambda claim: claim[0][0])
def test_each_claim_names_its_test(claim: list[list[str]]) -> None:
    """And says what is reached, and what fences it."""
    assert all(claim[0])
    assert TEST.search(" ".join(cell for line in claim for cell in line))


def test_each_named_test_is_there_and_run() -> None:
    """Pytest itself collects it, as `make test` does."""
    named = set(TEST.findall(TEXT))
    files = sorted({f"tests/{file}" for file, _ in named})
    collected = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", "-n", "0", *files],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    found = set(COLLECTED.findall(collected))
    assert named - found == set()
