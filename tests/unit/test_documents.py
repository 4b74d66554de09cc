"""The documents promise what is there, fit a window, and their commands reach the stack that they mean."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from haproxy_ec2_sync.app import app
from tests.documents import (
    COMMENTED,
    DOCUMENTS,
    ROOT,
    WIDTH,
    anchors,
    commands,
    files,
    wide_comments,
    wide_prose,
)

TEMPLATE = (ROOT / "template.yaml").read_text()
RESOURCES = {
    "alarm": "AWS::CloudWatch::Alarm",
    "dashboard": "AWS::CloudWatch::Dashboard",
}
"""What a document may speak of as ours, and what the template then holds."""
THING = "(?:alarm|dashboard)s?"
HONEST = re.compile(
    rf"\bno {THING}\b|\b{THING} of your own\b|\byour own {THING}\b", re.IGNORECASE
)
SILENT_METHODS = {"`auto`", "`seamless`", "`runtime`"}
METHODS = SILENT_METHODS | {"`syn-drop`"}


def promises(text: str, template: str) -> Iterator[str]:
    """Lines that speak of what the template lacks, such as an alarm, and not of the reader's own or of none."""
    for line in text.splitlines():
        for word, resource in RESOURCES.items():
            if resource not in template and re.search(
                rf"\b{word}s?\b", HONEST.sub("", line), re.IGNORECASE
            ):
                yield line


@pytest.mark.parametrize("name", DOCUMENTS)
def test_nothing_is_promised_that_the_template_does_not_have(name: str) -> None:
    """A document may tell how to set an alarm; it does not say that there is one until there is."""
    assert list(promises(DOCUMENTS[name], TEMPLATE)) == []


@pytest.mark.parametrize(
    ("line", "is_promise"),
    [
        ("hold; old config stays; alarm", True),
        ("the Alarm says file, line and name", True),
        ("see the dashboard", True),
        ("no alarms yet; set an alarm of your own, the alarm says which", True),
        ("set an alarm of your own on the metric `Holds`", False),
        (
            "There are no alarms in the stack: your own alarms need the metric `Holds`",
            False,
        ),
    ],
)
def test_a_promise_is_told_from_advice(line: str, *, is_promise: bool) -> None:
    """Whose alarm it is decides; with one in the template everything may be said."""
    assert bool(list(promises(line, TEMPLATE))) == is_promise
    declared = "".join(f"Type: {resource}\n" for resource in RESOURCES.values())
    assert not list(promises(line, declared))


@pytest.mark.parametrize("name", [*DOCUMENTS, "local/demo.py"])
def test_sam_is_told_the_environment(name: str) -> None:
    """A stack name alone would be looked for in the region of the first table of samconfig.toml."""
    text = DOCUMENTS.get(name) or (ROOT / name).read_text()
    reaching = re.findall(
        r"\bsam (?:remote invoke|delete|logs|sync|list)\b[^`\n]*", text
    )
    assert [
        command
        for command in reaching
        if "--config-env " not in command or "--stack-name" in command
    ] == []


def test_who_notices_what() -> None:
    """That no client notices is said of three reload methods; of the default, what the benchmark measured."""
    readme, measured = DOCUMENTS["README.md"], DOCUMENTS["benchmarks.md"]
    sentences = re.findall(r"[^.:]*\bno client notices\b[^.:]*", readme, re.IGNORECASE)
    assert sentences
    for sentence in sentences:
        assert set(re.findall(r"`[a-z-]+`", sentence)) & METHODS == SILENT_METHODS
    assert not re.search(
        r"without a client noticing|nobody notices", readme, re.IGNORECASE
    )
    delayed = [
        int(number)
        for number in re.findall(r"\| syn-drop \| \*\*0\*\* \| \*\*(\d+)\*\*", measured)
    ]
    share = re.search(r"`syn-drop` delays (\S+ to \S+) of what", measured)
    assert share
    assert f"{min(delayed)} to {max(delayed)} of them" in readme
    assert share[1] in readme


def _named(path: Path, lines: list[int]) -> list[str]:
    return [f"{path.relative_to(ROOT)}:{line}" for line in lines]


def test_no_line_of_a_document_is_too_wide() -> None:
    """Two windows beside each other show every line; only code, links and URLs cannot be broken."""
    documents = [path for path in files() if path.suffix == ".md"]
    assert len(documents) >= len(DOCUMENTS)
    assert [
        line
        for path in documents
        for line in _named(path, wide_prose(path.read_text()))
    ] == []


def test_no_comment_is_too_wide() -> None:
    """Ruff holds Python's code and docstrings to the same width; this holds the comments of everything else, too."""
    commented = [path for path in files() if path.suffix in COMMENTED]
    assert len(commented) > 200
    assert [
        line
        for path in commented
        for line in _named(path, wide_comments(path.read_text()))
    ] == []


WIDE = "x" * WIDTH


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (f"short\n{WIDE}\n", []),
        (f"short\nlong {WIDE}\n", [2]),
        (f"| a | {WIDE} |\n", [1]),
        (f"```\nlong {WIDE}\n```\nlong {WIDE}\n", [4]),
        (f"  ```console\n$ long {WIDE}\n  ```\n", []),
        (f"- `{WIDE}`\n- [link]({WIDE})\nhttps://{WIDE}\n", []),
        (f"- `code` and [link]({WIDE})\n", [1]),
    ],
)
def test_what_is_too_wide_in_a_document(text: str, lines: list[int]) -> None:
    """What can be broken is; a line that is one code span, link or URL cannot."""
    assert wide_prose(text) == lines


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (f"code {WIDE}\n", []),
        (f"code  # long {WIDE}\n", [1]),
        (f"# long {WIDE}\nshort # comment\n", [1]),
        (f"url {WIDE}#anchor\n", []),
        (f"code  # noqa: S101 - {WIDE}\n", []),
        (f"long {WIDE}  # type: ignore[misc]\n", []),
    ],
)
def test_what_is_too_wide_in_a_comment(text: str, lines: list[int]) -> None:
    """Code is other tools' business, and a pragma stands where its tool wants it."""
    assert wide_comments(text) == lines


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_link_leads_to_a_heading(name: str) -> None:
    """Links to files and to headings, within the documents and between them."""
    folder = ROOT if (ROOT / name).exists() else ROOT / "docs"
    links = re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)", DOCUMENTS[name])
    for path, anchor in links:
        target = (folder / path) if path else folder / name
        assert target.exists(), path
        assert not anchor or anchor in anchors(target.read_text()), f"{path}#{anchor}"


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_file_that_is_named_exists(name: str) -> None:
    """A path from the project's root that stands between backticks."""
    paths = re.findall(
        r"`((?:src|tests|docs|local|benchmarks|bin|events)/[\w./-]+)`", DOCUMENTS[name]
    )
    optional = {"src/templates/haproxy.cfg.j2"}  # the reader's own
    assert [
        path for path in paths if not (ROOT / path).exists() and path not in optional
    ] == []


@pytest.mark.parametrize(
    "command", commands("\n".join(DOCUMENTS.values()), "haproxy-ec2-sync")
)
def test_every_command_of_ours_is_one_that_the_command_line_takes(command: str) -> None:
    """Its name, its arguments and its options; what a shell does with its output is left out."""
    _, name, *words = shlex.split(re.split(r" [|>]", command)[0])
    app.commands[name].make_context(name, words)


def modules(section: str) -> list[str]:
    """Those that a table of packages names, each beside its package."""
    text = DOCUMENTS["architecture.md"].split(f"## {section}\n")[1].split("\n## ")[0]
    listed, package = list[str](), ""
    for first, second in re.findall(r"^\| (`\w+`|) ?\| (.+) \|$", text, re.MULTILINE):
        package = first.strip("`") or package
        listed += [
            f"{package}/{module}"
            for module in re.findall(r"`([a-z_]+)`", second.partition(":")[0])
        ]
    return sorted(listed)


def test_the_architecture_has_every_module() -> None:
    """The table of packages names each module once, beside its package."""
    folder = ROOT / "src/haproxy_sync"
    there = {
        f"{path.parent.name}/{path.stem}"
        for path in folder.glob("*/*.py")
        if path.stem != "__init__"
    }
    assert modules("The package `haproxy_sync`") == sorted(there | {"config/ansible"})


def test_the_architecture_has_every_module_of_the_command_line() -> None:
    """The same of its package, whose own modules stand beside its name."""
    there = {
        f"{path.parent.name}/{path.stem}"
        for path in (ROOT / "cli/haproxy_ec2_sync").rglob("*.py")
        if path.stem != "__init__"
    }
    assert modules("The package `haproxy_ec2_sync`") == sorted(there)


def test_the_architecture_has_every_module_of_the_program_on_hosts() -> None:
    """Its table names each one once."""
    section = DOCUMENTS["architecture.md"].split("## The program")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (`.+`) \| .+ \|$", section, re.MULTILINE)
    listed = [module for row in rows for module in re.findall(r"`(\w+)`", row)]
    folder = ROOT / "src/host/haproxy_apply"
    there = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    assert sorted(listed) == sorted(there)
