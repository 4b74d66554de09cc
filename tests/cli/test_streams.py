"""Where answers go: a terminal, a pipe, or nowhere."""

import io

import pytest

from haproxy_ec2_sync.app import main
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


@pytest.mark.parametrize("words", [["status"], ["status", "--json"], ["plan"]])
def test_what_a_stream_cannot_encode_is_escaped(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    """A terminal of an old locale shows a name in another way; the answer is no error for that."""
    headline = "\N{LATIN SMALL LETTER O WITH DIAERESIS}dge is degraded"
    answer = samples.status(headline=headline, template_error=headline)
    monkeypatch.setattr(World, "act", lambda _self, **_request: answer)
    out, err = (
        io.TextIOWrapper(io.BytesIO(), encoding="ascii", write_through=True)
        for _ in range(2)
    )
    monkeypatch.setattr("sys.stdout", out)
    monkeypatch.setattr("sys.stderr", err)
    monkeypatch.setattr("sys.argv", ["haproxy-ec2-sync", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert shell.asked
    said = b"".join(stream.buffer.getvalue() for stream in (out, err))
    assert b"dge is degraded" in said
    assert b"UnicodeEncodeError" not in said
    assert ended.value.code == int(words == ["plan"])
