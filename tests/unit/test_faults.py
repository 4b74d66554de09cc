"""docs/faults.md names, for every fault, the tests that really carry its number."""

from tests.faults import DOCUMENT, entries, markers, rewritten

NUMBERS = [number for number, _, _ in entries(DOCUMENT.read_text())]


def test_every_fault_is_listed_once_and_in_order() -> None:
    """F01, F02 and so on, each with what is expected."""
    assert [f"F{number:02d}" for number in range(1, len(NUMBERS) + 1)] == NUMBERS


def test_every_fault_has_a_test() -> None:
    """And no test covers a fault that nobody knows."""
    assert sorted(markers(), key=lambda number: int(number[1:])) == NUMBERS


def test_the_list_is_what_the_tests_say() -> None:
    """Otherwise: `python -m tests.faults` writes it anew."""
    text = DOCUMENT.read_text()
    assert text == rewritten(text, markers())
