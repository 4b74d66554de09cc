"""What the documents say, for the tests that hold them to it."""

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCUMENTS = {
    path.name: path.read_text()
    for path in (
        ROOT / "README.md",
        ROOT / "CHANGELOG.md",
        *sorted((ROOT / "docs").glob("*.md")),
    )
}

WIDTH = 120
FOLDERS = ("benchmarks", "bin", "cli", "docs", "layers", "local", "src", "tests")
COMMENTED = frozenset({".py", ".sh", ".yaml", ".yml", ".toml", ""})
"""Suffixes of files in which `#` begins a comment; scripts and the Makefile have none."""
COMMENT = re.compile(r"(^|\s)#")
PRAGMA = re.compile(r"\s+#\s*(noqa|type: ignore|shellcheck).*")
UNBREAKABLE = re.compile(
    r"\s*(?:[-*] )?(?:`[^`]+`|!?\[[^]]*\]\([^)]*\)|<?https?://\S+>?)[.,:;]?"
)
"""A line that is one code span, one link or one URL."""


def commands(text: str, program: str) -> list[str]:
    """Command lines of a program, each once: what follows `$` in a console block, and what stands between backticks."""
    # Typed at a prompt, up to a comment; or within a sentence or a table.
    typed = re.findall(rf"^\s*\$ ({program}\b[^\n#]*)", text, re.MULTILINE)
    quoted = re.findall(rf"`({program} [^`\n]+)`", text)
    return sorted({command.strip() for command in (*typed, *quoted)})


def files() -> Iterator[Path]:
    """The project's own files, generated and installed ones left out."""
    yield from (path for path in sorted(ROOT.iterdir()) if path.is_file())
    for folder in FOLDERS:
        yield from (
            path for path in sorted((ROOT / folder).rglob("*")) if path.is_file()
        )


def prose(text: str) -> Iterator[tuple[int, str]]:
    """The lines of a Markdown text that are no code block, with their numbers."""
    is_code = False
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("```"):
            is_code = not is_code
        elif not is_code:
            yield number, line


def anchors(text: str) -> set[str]:
    """What GitHub makes of the headings."""
    headings = (line.lstrip("# ") for _, line in prose(text) if line.startswith("#"))
    return {
        re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")
        for heading in headings
    }


def wide_prose(text: str) -> list[int]:
    """Numbers of the lines that could be broken and are too wide."""
    return [
        number
        for number, line in prose(text)
        if len(line) > WIDTH and not UNBREAKABLE.fullmatch(line)
    ]


def wide_comments(text: str) -> list[int]:
    """Numbers of the lines that end in a comment and are too wide; what a pragma says to a tool does not count."""
    lines = (PRAGMA.sub("", line) for line in text.splitlines())
    return [
        number
        for number, line in enumerate(lines, 1)
        if len(line) > WIDTH and COMMENT.search(line)
    ]
