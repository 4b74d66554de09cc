"""What the documents say, for the tests that hold them to it."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCUMENTS = {path.name: path.read_text() for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))}


def commands(text: str, program: str) -> list[str]:
    """Command lines of a program, each once: what follows `$` in a console block, and what stands between backticks."""
    # Typed at a prompt, up to a comment; or within a sentence or a table.
    typed = re.findall(rf"^\s*\$ ({program}\b[^\n#]*)", text, re.MULTILINE)
    quoted = re.findall(rf"`({program} [^`\n]+)`", text)
    return sorted({command.strip() for command in (*typed, *quoted)})
