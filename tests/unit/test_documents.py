"""The documents promise what was measured, and their commands reach the stack that they mean."""

import re

import pytest

from tests.documents import DOCUMENTS, ROOT

SILENT_METHODS = {"`auto`", "`seamless`", "`runtime`"}


@pytest.mark.parametrize("name", [*DOCUMENTS, "local/demo.py"])
def test_sam_is_told_the_environment(name: str) -> None:
    """A stack name alone would be looked for in the region of the first table of samconfig.toml."""
    text = DOCUMENTS.get(name) or (ROOT / name).read_text()
    reaching = re.findall(r"\bsam (?:remote invoke|delete|logs|sync|list)\b[^`\n]*", text)
    assert [command for command in reaching if "--config-env " not in command or "--stack-name" in command] == []


def test_who_notices_what() -> None:
    """That no client notices is said of three reload methods; of the default, what the benchmark measured."""
    readme, measured = DOCUMENTS["README.md"], DOCUMENTS["benchmarks.md"]
    for sentence in re.findall(r"[^.:]*\bno client notices\b[^.:]*", readme, re.IGNORECASE):
        assert set(re.findall(r"`[a-z-]+`", sentence)) >= SILENT_METHODS
    assert not re.search(r"without a client noticing|nobody notices", readme, re.IGNORECASE)
    delayed = [int(number) for number in re.findall(r"\| syn-drop \| \*\*0\*\* \| \*\*(\d+)\*\*", measured)]
    share = re.search(r"`syn-drop` delays (\S+ to \S+) of what", measured)
    assert share
    assert f"{min(delayed)} to {max(delayed)} of them" in readme
    assert share[1] in readme
