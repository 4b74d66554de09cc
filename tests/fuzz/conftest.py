"""Counts the examples that each target ran, and says so at the end; renderings are in the test's own process."""

from collections import Counter
from collections.abc import Iterator

import pytest

from tests.fuzz import budget

ran: Counter[str] = Counter()


@pytest.fixture(autouse=True)
def _uncounted() -> None:
    budget.RUN.clear()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """The report takes the number to the process that prints it."""
    try:
        yield
    finally:
        item.user_properties.append(("examples", len(budget.RUN)))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Of each target."""
    if report.when == "call":
        name = report.nodeid.rpartition("/")[2]
        ran[name] = sum(
            number
            for key, number in report.user_properties
            if key == "examples" and isinstance(number, int)
        )


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Only where everything was asked for."""
    if config.getoption("--hypothesis-profile", None) == budget.PROFILE:
        terminalreporter.section("examples")
        for name, number in sorted(ran.items()):
            terminalreporter.write_line(f"{number:7,}  {name}")
        terminalreporter.write_line(f"{ran.total():7,}  in total")
