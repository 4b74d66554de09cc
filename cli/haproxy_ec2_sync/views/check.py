"""The answer of `check`: a block for each proxy, its diff in colours, and the totals."""

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from haproxy_ec2_sync import checked
from haproxy_ec2_sync.changes import plan
from haproxy_ec2_sync.checked import AWAITED, DIFFERS, REFUSED, SAME, Check, Row
from haproxy_ec2_sync.text import count, listed
from haproxy_ec2_sync.views.changes import INDENT, unified
from haproxy_ec2_sync.views.plan import more
from haproxy_ec2_sync.views.proxies import MD5_SHOWN
from haproxy_ec2_sync.views.words import labelled

FEW = 10
"""Names in a sentence."""

WORDS = {
    SAME: ("green", "same"),
    DIFFERS: ("yellow", "differs, would be taken"),
    REFUSED: ("red", "would be refused"),
    "failed": ("red", "could not check"),
    AWAITED: ("magenta", "no answer"),
    "unreachable": ("magenta", "no command reaches it"),
}
"""By result: its colour, and what is so."""

TOTALS = {
    SAME: "the same",
    DIFFERS: "to change",
    REFUSED: "refused",
    "failed": "could not check",
    AWAITED: "without an answer",
    "unreachable": "not reached",
}
ALWAYS = (SAME, DIFFERS, REFUSED)
"""Results that are counted even if there are none."""

METHODS = {"": "", "none": " without a reload"}
"""Methods that are no name of a reload."""


def check(answer: Any, begun: Any) -> Group:
    """Each proxy, those with trouble last; then what was checked, as the beginning of the check said."""
    parsed = checked.check(answer)
    told = Group(*_blocks(parsed.rows))
    return Group(told, _totals(parsed), *_unsafe(parsed), *more(plan(begun)))


def trouble(parsed: Check, timeout: float) -> str:
    """In one line: who would refuse it, and who did not say anything within so many seconds."""
    sentences = {
        REFUSED: "{} would refuse the change",
        "failed": "{} could not check",
        AWAITED: f"within {timeout:.0f} s there was no answer from {{}}",
        "unreachable": "no command reaches {} (doctor looks for the cause)",
    }
    told = (
        sentence.format(some(names))
        for result, sentence in sentences.items()
        if (names := parsed.named(result))
    )
    return "; ".join(told) or "the answer is none that this command line knows"


def some(names: Sequence[str]) -> str:
    """The first few of them, and how many more there are."""
    return listed(names, FEW)


def _blocks(rows: Sequence[Row]) -> Iterator[RenderableType]:
    """A diff that another proxy has, too, stands with the first of them."""
    seen: dict[tuple[tuple[str, ...], int], str] = {}
    for row in rows:
        first = seen.setdefault((row.diff, row.hidden), row.name)
        diff = _diff(row) if first == row.name else _same_diff(row, first)
        yield _title(row)
        lines = chain(_facts(row), diff)
        yield from (Padding(line, INDENT, expand=False) for line in lines)
        yield Text()


def _title(row: Row) -> Text:
    """Who it is, and what is so."""
    style, words = WORDS.get(row.result, ("", row.result))
    method = METHODS.get(row.method, f" by {row.method}")
    by = method if row.result == DIFFERS else ""
    is_trouble = row.result not in {SAME, DIFFERS}
    why = ": ".join(filter(None, (row.reason, row.detail)))
    reason = f": {why}" if is_trouble and why else ""
    who = "  ".join(filter(None, (row.name, row.instance_id, row.address, row.zone)))
    return Text.assemble((who, "bold"), "  ", (f"{words}{by}{reason}", style))


def _facts(row: Row) -> Iterator[Text]:
    """How HAProxy runs there, which files it has, and whose word the proxy obeys, as far as it said so."""
    version = f"{row.haproxy_version} {row.haproxy}".strip()
    told = (
        labelled("haproxy", ", ".join(filter(None, (version, row.style)))),
        labelled("agent", row.agent_version),
        labelled("live", row.live[:MD5_SHOWN]),
        labelled("candidate", row.candidate[:MD5_SHOWN]),
        labelled("runs another config", _other(row), "yellow"),
    )
    publisher = row.publisher.rpartition(":")[2] or ("none yet" if version else "")
    lines = (
        Text("  ").join(filter(None, told)),
        labelled("publisher", publisher),
        labelled("unsafe in the live file", ", ".join(row.unsafe_keywords), "yellow"),
        labelled("noted", ", ".join(row.notes)),
    )
    yield from filter(None, lines)


def _other(row: Row) -> str:
    """The config that runs, where that is not the live file."""
    return "" if row.running == row.live else row.running[:MD5_SHOWN]


def _same_diff(row: Row, first: str) -> Iterator[Text]:
    if row.diff:
        yield Text(f"the same diff as {first}", "dim")


def _diff(row: Row) -> Iterator[Text]:
    yield from unified(row.diff)
    if row.hidden:
        whole = count(len(row.diff) + row.hidden, "line")
        words = f"{row.hidden} of {whole} of this diff are not shown"
        yield Text(words, "yellow")


def _unsafe(parsed: Check) -> Iterator[Text]:
    """The parameter that allows a template to have what live files have."""
    if parsed.unsafe_keywords:
        wanted = ",".join(parsed.unsafe_keywords)
        words = f"A template that keeps them all needs AllowUnsafeKeywords={wanted}"
        yield Text(words, "yellow")


def _totals(parsed: Check) -> Text:
    """`Check: 2 the same, 1 to change, 0 refused.`."""
    numbers = {result: len(parsed.named(result)) for result in TOTALS}
    told = [
        f"{number} {TOTALS[result]}"
        for result, number in numbers.items()
        if number or result in ALWAYS
    ]
    return Text(f"Check: {', '.join(told)}.", "bold")
