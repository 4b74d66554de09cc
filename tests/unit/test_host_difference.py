"""The diff that a check prints: any two files, told whole, soon, and within its room."""

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from haproxy_apply import difference, masks
from haproxy_apply.unified_diff import HEAD, NO_NEWLINE, Printed, printed

ENDLESS = 1 << 40
# Few kinds of lines, so that many are alike; with bytes that are no text.
LINES = st.sampled_from(["a\n", "b\n", "c\n", "\n", "\xff\n", "a\r\n", "d"])
FILES = st.lists(LINES, max_size=40).map("".join)


def diff(old: str, new: str, room: int = ENDLESS) -> Printed:
    """Nothing is secret."""
    return printed(old, new, masks.of(new, old, ()), room)


@pytest.mark.fault("F188")
@given(FILES, FILES)
def test_the_edits_lead_from_one_file_to_the_other(old: str, new: str) -> None:
    """Each line once, in order; what is the same is the same."""
    ours, theirs = difference.lines(old), difference.lines(new)
    every = difference.edits(ours, theirs)
    removed = [edit.old for edit in every if edit.sign != difference.ADDED]
    added = [edit.new for edit in every if edit.sign != difference.REMOVED]
    assert removed == list(range(len(ours)))
    assert added == list(range(len(theirs)))
    same = [edit for edit in every if edit.sign == difference.SAME]
    assert all(ours[edit.old] == theirs[edit.new] for edit in same)
    assert (len(same) == len(every)) == (old == new)


@pytest.mark.fault("F188")
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("a\nb\nc\nd\ne\nf\ng\nh\n", "a\nb\nc\nX\ne\nf\ng\nh\ni\n"),
        ("", "a\nb\n"),
        ("a\nb\n", ""),
        ("a\nb", "a\nb\n"),
        ("x\n" * 9 + "y\n" + "x\n" * 9, "x\n" * 18),
        ("a\n" * 3 + "b\n" * 30, "c\n" + "b\n" * 30 + "d\n"),
    ],
)
def test_it_is_a_diff_that_patch_takes(tmp_path: Path, old: str, new: str) -> None:
    """Heads, counts and the missing newline are those of the format."""
    file = tmp_path / "file"
    file.write_text(old)
    done = subprocess.run(
        ["patch", "--silent", str(file)], input=diff(old, new).text, check=False
    )
    assert done.returncode == 0
    assert (file.read_text() if file.exists() else "") == new


@pytest.mark.fault("F188")
@given(FILES, FILES, st.integers(100, 400))
def test_it_is_cut_at_whole_lines(old: str, new: str, room: int) -> None:
    """What is left is the beginning, and what is missing is counted."""
    whole, cut = diff(old, new), diff(old, new, room)
    lines = whole.text.decode().split("\n")[:-1]
    assert whole.lines == whole.shown == len(lines)
    assert (lines[:2] == list(HEAD)) == (old != new)
    assert len(cut.text) <= room
    assert cut.lines == whole.lines
    told = cut.text.decode().split("\n")[:-1]
    assert told[: cut.shown] == lines[: cut.shown]
    missing = whole.lines - cut.shown
    ends = [f"... {missing} of {whole.lines} lines are not shown"] if missing else []
    assert told[cut.shown :] == ends
    assert missing == 0 or len(whole.text) > room - 60


@pytest.mark.fault("F188")
def test_tens_of_thousands_of_lines_that_are_alike() -> None:
    """Where difflib alone takes minutes, or hours."""

    def text(name: str) -> str:
        return "".join(
            f"backend {name}{number}\n mode http\n balance roundrobin\n server {name} 10.0.0.1:80\n"
            for number in range(10_000)
        )

    shown = diff(text("a"), text("b"), 20_000)
    assert shown.lines > 40_000
    assert shown.shown > 100


def test_a_missing_newline_is_told() -> None:
    """HAProxy refuses a file without one."""
    assert diff("a\nb\n", "a\nb").text.decode().splitlines()[-2:] == ["+b", NO_NEWLINE]
