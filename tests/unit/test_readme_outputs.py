"""How what the README shows is compared with what a command prints."""

import pytest

from tests import readme

SHOWN = """\
...
[  62.5 s] terminate: i-0123456789abcdef0 has md5 9e07f60c after ...
Plan: 2 to add
"""
PRINTED = """\
first
second
[ 112.13 s] terminate:   i-fedcba98765432100 has md5 1234abcd after a while
Plan: 12 to add
"""


@pytest.mark.fault("F192")
@pytest.mark.parametrize(
    ("printed", "is_same"),
    [
        (PRINTED, True),
        (PRINTED.removeprefix("first\nsecond\n"), True),
        (PRINTED.replace("terminate", "launch"), False),
        (PRINTED.replace("Plan: 12", "Plan: some"), False),
        (PRINTED.replace("i-fedcba98765432100", "i-1"), False),
        (f"{PRINTED}Traceback\n", False),
        (PRINTED.replace("Plan: 12 to add\n", ""), False),
    ],
)
def test_numbers_and_ids_vary_and_nothing_else(printed: str, *, is_same: bool) -> None:
    """Dots stand for what does not matter; a word that differs, is missing or too many is a difference."""
    assert (readme.pattern(SHOWN).fullmatch(printed) is not None) == is_same


@pytest.mark.fault("F192")
@pytest.mark.parametrize("command", readme.typed())
def test_every_command_shows_what_it_prints(command: str) -> None:
    """And not with dots alone."""
    words = readme.typed()[command].replace("...", "").split()
    assert words or command in readme.PICTURED
