"""What the README shows below its commands, for the tests that run them."""

import re
import subprocess

from tests.documents import DOCUMENTS

README = DOCUMENTS["README.md"]
BLOCKS = re.findall(r"^( *)```console\n(.*?)^ *```", README, re.DOTALL | re.MULTILINE)
_VARYING = {
    "id": r"i-[0-9a-f]{17}",
    "digest": r"(?:[0-9a-f]{12}|[0-9a-f]{8})[0-9a-f]*",
    "number": r"\d+(?:\.\d+)?",
    "blanks": r"\s+",
}
"""What differs from run to run, also the width of columns."""
_TOKENS = re.compile(
    r"(?P<id>\bi-[0-9a-f]{17}\b)|(?P<digest>\b(?=[a-f]*\d)(?=\d*[a-f])[0-9a-f]{8,}\b)"
    r"|(?P<number>\d+(?:\.\d+)?)|(?P<blanks>\s+)|(?P<text>[^\d\s]|.)"
)


PICTURED = {"haproxy-ec2-sync status --env staging"}
"""Shown as a picture, which `tests.pictures` draws."""


def typed() -> dict[str, str]:
    """The commands of the console blocks, without their comments, and what is shown below each."""
    shown: dict[str, list[str]] = {}
    command = ""
    for indent, block in BLOCKS:
        for line in (line.removeprefix(indent) for line in block.splitlines()):
            if line.startswith("$ "):
                command = line[2:].split(" #")[0].strip()
                shown[command] = []
            else:
                shown[command].append(line)
    return {command: "\n".join(lines) for command, lines in shown.items()}


def pattern(shown: str) -> re.Pattern[str]:
    """What the shown output stands for: `...` is any text, alone in a line any lines; numbers and ids are any."""
    lines = [
        r"(?:[^\n]*\n)*?" if line.strip() == "..." else f"{_line(line)}\\s*\n"
        for line in shown.splitlines()
    ]
    return re.compile("".join(lines))


def _line(shown: str) -> str:
    return r"[^\n]*".join(map(_varied, shown.rstrip().split("...")))


def _varied(part: str) -> str:
    found = _TOKENS.finditer(part)
    return "".join(_VARYING.get(m.lastgroup or "") or re.escape(m[0]) for m in found)


def refusal(done: subprocess.CompletedProcess[str]) -> str:
    """The one line that a target says when it refuses what was typed; make adds its own."""
    lines = [line for line in done.stderr.splitlines() if not line.startswith("make: ")]
    assert done.returncode != 0
    assert done.stdout == ""
    assert len(lines) == 1
    return lines[0]


def is_shown(command: str, printed: str) -> bool:
    """Whether the README shows that a command prints this."""
    lines = printed.replace("\r\n", "\n").strip("\n").split("\n")
    # What is written over is not seen.
    text = "".join(f"{line.rpartition('\r')[2]}\n" for line in lines)
    return pattern(typed()[command]).fullmatch(text) is not None
