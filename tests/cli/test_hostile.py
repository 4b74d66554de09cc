"""Tags, templates and hosts say whatever somebody put there: a terminal shows it, and obeys none of it."""

import io
import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console, RenderableType

from haproxy_ec2_sync.errors import one_line
from haproxy_ec2_sync.views import check, history, plan, status
from tests.cli import samples, screen
from tests.cli.conftest import Shell
from tests.cli.samples import NOW
from tests.cli.test_plan_command import put_template
from tests.contract.world import World


def checked() -> dict[str, Any]:
    """A check that began, and what came of it."""
    return samples.begun() | samples.check()


VIEWS: dict[str, tuple[Callable[[Any], RenderableType], Callable[[], Any]]] = {
    "status": (lambda answer: status.status(answer, NOW), samples.status),
    "status, drains": (
        lambda answer: status.status(answer, NOW),
        lambda: samples.status(**samples.leaving()),
    ),
    "status --all": (lambda answer: status.status(answer, NOW, None), samples.status),
    "status --watch": (lambda answer: status.line(answer, NOW), samples.status),
    "plan": (plan.plan, samples.plan),
    "plan, drains": (
        plan.plan,
        lambda: samples.plan(draining=samples.leaving()["draining"], warnings=["a"]),
    ),
    "check": (lambda answer: check.check(answer, answer), checked),
    "diff": (lambda answer: history.diff(answer, NOW), samples.diff),
    "history": (
        lambda answer: history.history(answer, NOW, 2, is_with_lines=False),
        lambda: {"history": samples.history()},
    ),
    "history --diff": (
        lambda answer: history.history(answer, NOW, 9, is_with_lines=True),
        lambda: {"history": samples.history()},
    ),
}
HOSTILE = [
    "\x1b[31mred\x1b[0m",
    "\x1b]0;title\x07",
    "\x9b2J",
    "a\r\nb\tc",
    "\u202eevil\u2066",
    "\u200b\ufeff\u2028",
    "\ud800",
    "[red]",
    "[/red]",
    "[link=https://evil.example]",
    ":skull:",
    "\x7f\x00\x08",
]
TEXTS = st.sampled_from(HOSTILE) | st.text(
    st.characters(categories=["Cc", "Cf", "Co", "Lu", "Zs", "Zl", "So", "Lo"])
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3)
    ),
    max_leaves=5,
)


def spoiled(value: Any, data: st.DataObject) -> Any:
    """The answer with some of its values replaced."""
    if data.draw(st.integers(0, 9)) == 0:
        return data.draw(VALUES)
    if isinstance(value, dict):
        return {key: spoiled(each, data) for key, each in value.items()}
    if isinstance(value, list):
        return [spoiled(each, data) for each in value]
    return value


@pytest.mark.parametrize("name", VIEWS)
@settings(max_examples=50)
@given(data=st.data(), width=st.integers(40, 220))
def test_no_answer_moves_the_cursor(name: str, data: st.DataObject, width: int) -> None:
    """Whatever stands where, each line is printable, fits, and can be written; and no answer is too strange."""
    view, sample = VIEWS[name]
    text = screen.shown(view(spoiled(sample(), data)), width)
    for line in text.split("\n"):
        assert line.isprintable()
        assert cell_len(line) <= width
    assert text.encode()


@pytest.mark.parametrize("text", ["[red]x[/red]", "[/]", ":skull:", "[link=a]b[/link]"])
def test_markup_stands_in_every_place_as_it_is(text: str) -> None:
    """In names, headlines, reasons and lines of a config."""
    proxies = {samples.FIRST: samples.proxy(samples.FIRST, name=text, reason=text)}
    answer = samples.status(headline=text, proxies=proxies)
    assert screen.shown(status.status(answer, NOW), 400).count(text) == 3
    diff = [samples.diffs()[0] | {"other": f"+{text}"}]
    names = {samples.FIRST: {"name": text}}
    shown = screen.shown(plan.plan(samples.plan(diff=diff, instances=names)), 400)
    assert shown.count(text) == 2


COLOURS = re.compile(r"\x1b\[[0-9;]*m")


@pytest.mark.fault("F163")
@settings(max_examples=100)
@given(texts=st.lists(st.tuples(st.sampled_from("+- "), TEXTS), min_size=1))
def test_a_diff_is_shown_line_by_line(texts: list[tuple[str, str]]) -> None:
    """Whatever is in a host's file: a terminal gets our colours alone, and no line pretends to be two."""
    lines = [sign + text.replace("\n", "") for sign, text in texts]
    diff = "\n".join(lines)
    rows = {
        samples.FIRST: samples.differing(
            samples.FIRST, diff=diff, diff_lines=len(lines)
        )
    }
    console = Console(
        file=io.StringIO(), force_terminal=True, width=500, highlight=False
    )
    with console.capture() as capture:
        console.print(check.check(samples.check(rows), samples.begun()))
    shown = COLOURS.sub("", capture.get()).split("\n")
    assert all(line.isprintable() for line in shown)
    begin = next(at for at, line in enumerate(shown) if "publisher: " in line) + 1
    body = shown[begin : begin + len(lines) + 1]
    assert [line[2:3] or " " for line in body] == [*(sign for sign, _ in texts), " "]


@pytest.mark.fault("F163")
def test_markup_in_a_diff_stands_as_it_is() -> None:
    """A config may have brackets and colons."""
    diff = "+ http-request deny if { path -m reg [red]x[/red] } :skull: [/] [link=a]b"
    rows = {samples.FIRST: samples.differing(samples.FIRST, diff=diff, diff_lines=1)}
    shown = screen.shown(check.check(samples.check(rows), samples.begun()), 200)
    assert f"  {diff}\n" in shown


@given(TEXTS)
def test_an_error_is_one_printable_line(text: str) -> None:
    """Whatever AWS or a host said."""
    assert one_line(text).isprintable()


def test_a_template_that_paints(shell: Shell, running: World) -> None:
    """Its own words come back in its error, on both streams."""
    put_template(running, "{{ '\x1b[2J[red]' | no_such_filter }}\n\x1b[2J{{ nobody }}")
    running.sweep()
    for words in (("plan",), ("status",), ("history", "--diff")):
        typed = shell(*words)
        shown = typed.out + typed.err
        assert all(line.isprintable() for line in shown.split("\n"))
