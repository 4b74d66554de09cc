"""Where answers go: a terminal, a pipe, or nowhere."""

import pytest

from tests.cli import samples
from tests.cli.conftest import Shell
from tests.contract.world import World


@pytest.mark.parametrize("columns", [None, "0"])
def test_in_a_pipe_each_line_is_whole(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, columns: str | None
) -> None:
    """`grep` finds a whole sentence, and no line ends in blanks up to any width."""
    monkeypatch.delenv("COLUMNS")
    if columns:
        monkeypatch.setenv("COLUMNS", columns)
    answer = samples.status()
    monkeypatch.setattr(World, "act", lambda _self, **_request: answer)
    typed = shell("status")
    lines = typed.out.splitlines()
    assert lines[0] == answer["headline"]
    for told in answer["conditions"][1:]:
        (line,) = (line for line in lines if told["what"] in line)
        assert told["advice"] in line
    assert max(map(len, lines)) < 500
    assert shell("sync").out.splitlines()[0] == answer["headline"]


def test_a_width_that_somebody_exports_is_kept(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As everywhere, in a pipe too."""
    monkeypatch.setenv("COLUMNS", "70")
    monkeypatch.setattr(World, "act", lambda _self, **_request: samples.status())
    assert max(map(len, shell("status").out.splitlines())) <= 70


def test_without_any_input_there_is_nobody_to_ask(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python has no stream then."""
    monkeypatch.setattr("sys.stdin", None)
    assert "give --yes" in shell("rollback", "1").err
