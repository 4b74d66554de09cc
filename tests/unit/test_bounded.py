"""A template without end is an error with its place, and the process that asked for it goes on."""

import os
import resource
import signal
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import pytest

from haproxy_sync.config import bounded, variables
from haproxy_sync.config.ansible.engine import Engine
from haproxy_sync.config.bounded import Bounds
from haproxy_sync.config.render import Renderer, render_unchecked
from haproxy_sync.config.sources import Source, TemplateSet, deployed
from haproxy_sync.errors import TemplateError
from haproxy_sync.fleet import inventory
from haproxy_sync.fleet.model import NO_TAGS
from haproxy_sync.settings import Settings
from tests.fleet import instance

BUNDLED = deployed()["haproxy.cfg.j2"]
SETTINGS = Settings(
    "staging", "ap-southeast-2", "bucket", "https://queue", "document", "stack"
)
FLEET = inventory.parse([instance(1), instance(2, "haproxy")], SETTINGS)
MIB = 1024 * 1024

TIME = r"rendering takes more than 0\.2 s of processor time"
MEMORY = "rendering needs more than 32 MB of memory"
DEPTH = "this goes too deep"
DIGITS = "a number of more than"
RANGE = "Range too big"
SIZE = "the output exceeds"

# Of texts and lists that double, and of lists that hold each other twice.
GROWS = "{% set n = namespace(s=START) %}{% for i in range(99) %}{% set n.s = n.s OP n.s %}{% endfor %}"
NESTED = (
    "{% set n = namespace(a=[1], b=[1]) %}{% for i in range(TIMES) %}"
    "{% set n.a = [n.a] * WIDE %}{% set n.b = [n.b] * WIDE %}{% endfor %}"
)
TWINS = NESTED.replace("TIMES", "40").replace("WIDE", "2")
DEEP = NESTED.replace("TIMES", "99999").replace("WIDE", "1")
LOOPS = "{% for i in range(99999) %}{% for j in range(99999) %}"
ENDS = "{% endfor %}{% endfor %}"
YAML = "a0: &a0 [1]\\n" + "".join(
    f"a{number}: &a{number} [{', '.join([f'*a{number - 1}'] * 9)}]\\n"
    for number in range(1, 10)
)
ENDLESS = {
    "{% for i in range(10**9) %}{% endfor %}": RANGE,
    LOOPS + ENDS: TIME,
    LOOPS + "{{ i }}{{ 'a' * 100 }}" + ENDS: f"{TIME}|{MEMORY}",
    "{% for i in range(99999) %}{{ 'a' * 30 }}\n{% endfor %}": SIZE,
    GROWS.replace("START", "'a'").replace("OP", "~"): MEMORY,
    GROWS.replace("START", "[1]").replace("OP", "+"): MEMORY,
    "{% set a = [1] %}{% for x in a %}{% set _ = a.append(x) %}{% endfor %}": f"{TIME}|{MEMORY}",
    "{{ 'a' * 10**9 }}": MEMORY,
    "{{ [1] * 10**9 }}": MEMORY,
    "{{ 'a'.ljust(10**9) }}": MEMORY,
    "{{ '%0999999999d' % 1 }}": MEMORY,
    "{{ '%0999999999d' | format(1) }}": MEMORY,
    "{{ '{:999999999}'.format(1) }}": MEMORY,
    "{{ 'a\nb' | indent(10**9) }}": MEMORY,
    "{{ [1] | batch(10**9, 0) | list }}": MEMORY,
    "{{ range(99999) | product(range(99999)) | list | length }}": MEMORY,
    "{{ range(99999) | product(range(99999)) | sum }}": MEMORY,
    "{{ range(20) | permutations | list | length }}": MEMORY,
    "{{ range(60) | combinations(30) | list | length }}": MEMORY,
    "{{ 10**(10**10) }}": DIGITS,
    "{{ 2**(10**7) % 7 }}": DIGITS,
    "{{ ('a' * 40 ~ 'b') | regex_replace('(a+)+$', '') }}": TIME,
    "{{ ('a' * 40 ~ 'b') is match('(a|aa)+$') }}": TIME,
    "{{ 'a' | password_hash('sha512', 'salt', rounds=999999999) }}": TIME,
    "{% include 'main' %}": DEPTH,
    "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}": DEPTH,
    "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}": TIME,
    "{% set a = [] %}{% set _ = a.append(a) %}{{ a }}": DEPTH,
    DEEP + "{{ n.a | to_json }}": f"{DEPTH}|{TIME}",
    DEEP + "{{ n.a == n.b }}": f"{DEPTH}|{TIME}",
    TWINS + "{{ n.a }}": f"{MEMORY}|{TIME}",
    TWINS + "{{ n.a | to_json }}": f"{MEMORY}|{TIME}",
    "{{ '" + YAML + "' | from_yaml | to_json }}": f"{MEMORY}|{TIME}",
}  # fmt: skip
LETTERS = "àáâãäåæçèéêëìíîïðñòóôõöø"  # two bytes each in UTF-8, one in memory
IN_C = TWINS + "{{ n.a == n.b }}"
TOO_LARGE_TO_COMPILE = {
    "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}": DEPTH,
    "{% if 1 %}" * 5000 + "{% endif %}" * 5000: DEPTH,
    "{{ a }}" * 99_999: f"{TIME}|{MEMORY}",
    "{{ 1" + "+1" * 99_999 + " }}": f"{TIME}|{MEMORY}|{DEPTH}",
}


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fraction of what a function has, so that nobody waits."""
    small = Bounds(cpu_seconds=0.2, memory_bytes=32 * MIB, result_bytes=4 * MIB)
    monkeypatch.setattr(bounded, "BOUNDS", small)


def used_bytes(column: int) -> int:
    """What this process has: 0 of addresses, 1 of memory."""
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[column]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def pipes() -> set[int]:
    """The pipes that this process has open."""
    links = Path("/proc/self/fd").glob("*")
    return {int(each.name) for each in links if each.is_fifo()}


def render(source: str, stated: Mapping[str, Any] = NO_TAGS) -> str:
    """The one config of a template, which begins in its second line."""
    files = {"main": f"first\n{source}"}
    rendering = render_unchecked(TemplateSet("main", files), stated, FLEET, SETTINGS)
    return rendering.configs[0].text


@pytest.mark.fault("F41")
@pytest.mark.parametrize(
    ("endless", "reason"), ENDLESS.items(), ids=range(len(ENDLESS))
)
def test_what_has_no_end_is_an_error_with_its_line(
    monkeypatch: pytest.MonkeyPatch, endless: str, reason: str
) -> None:
    """What is counted is so on any machine, however slow."""
    if TIME not in reason:
        patient = replace(bounded.BOUNDS, cpu_seconds=10)
        monkeypatch.setattr(bounded, "BOUNDS", patient)
    with pytest.raises(TemplateError, match=rf"^main(:\d+)?: ({reason})") as caught:
        render(endless)
    assert caught.value.line or "{{ 'a' * " in endless  # joined at last, in no line
    assert render("second\n") == "first\nsecond\n"


@pytest.mark.fault("F41")
def test_a_variable_without_end_is_named() -> None:
    """With the line that reads it."""
    doubling = GROWS.replace("START", "'a'").replace("OP", "~")
    with pytest.raises(TemplateError, match=rf"^main:2: variable a: {MEMORY}"):
        render("{{ a }}", {"a": doubling})


@pytest.mark.fault("F41")
def test_a_loop_that_hears_no_signal_is_killed() -> None:
    """Lists that hold each other twice are compared in C, longer than anybody lives."""
    began = time.monotonic()
    with pytest.raises(TemplateError, match=f"^main: {TIME}"):
        render(IN_C)
    assert time.monotonic() - began < bounded.BOUNDS.seconds
    with pytest.raises(ChildProcessError):  # nobody is left behind
        os.waitpid(-1, os.WNOHANG)


@pytest.mark.fault("F41")
def test_a_rendering_that_waits_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor that is slow, or none at all, ends it too."""
    monkeypatch.setattr(bounded, "BOUNDS", Bounds(seconds=0.2))
    with pytest.raises(
        TemplateError, match=r"^main: rendering takes more than 0\.2 s: "
    ):
        bounded.bounded(lambda: time.sleep(1000), "main")


@pytest.mark.fault("F41")
@pytest.mark.parametrize(
    ("source", "reason"),
    TOO_LARGE_TO_COMPILE.items(),
    ids=range(len(TOO_LARGE_TO_COMPILE)),
)
def test_compiling_is_bounded_too(source: str, reason: str) -> None:
    """What a child cannot compile nobody else compiles."""
    with pytest.raises(TemplateError, match=rf"^main(:\d+)?: ({reason})"):
        render(source)


@pytest.mark.fault("F41")
def test_configs_are_bounded_together() -> None:
    """Each proxy may have one of its own."""
    fleet = inventory.parse(
        [instance(number, "haproxy") for number in range(1, 4)], SETTINGS
    )
    files = {"main": "{{ ansible_host }}{{ 'a' * (2 * 10**6) }}"}
    with pytest.raises(TemplateError, match="all proxies together have more than"):
        render_unchecked(TemplateSet("main", files), {}, fleet, SETTINGS)


@pytest.mark.fault("F41")
def test_what_is_too_large_is_not_made_twice() -> None:
    """A result of 24 MB, which is 48 MB to send, in a process that has no memory for that."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used_bytes(0) + 64 * MIB, hard))
    try:
        with pytest.raises(TemplateError, match="all proxies together have more than"):
            bounded.bounded(lambda: [letter * MIB for letter in LETTERS], "main")
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@pytest.mark.fault("F41")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGXCPU, signal.SIGTERM])
def test_a_child_that_dies_while_it_answers_is_a_template_error(
    monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """The kernel kills whoever takes the memory or the time, also in the middle of an answer."""
    answered = bounded._answer  # noqa: SLF001 - what is written to the parent

    def half(*arguments: Any) -> NoReturn:
        (writer,) = pipes() - before
        answer = answered(*arguments)
        os.write(writer, answer[: len(answer) // 2])
        os.kill(os.getpid(), number)
        raise AssertionError

    before = pipes()
    monkeypatch.setattr(bounded, "_answer", half)
    with pytest.raises(TemplateError, match=r"^main: rendering (takes|ended)"):
        bounded.bounded(lambda: "a" * 1000, "main")


@pytest.mark.fault("F41")
def test_the_memory_comes_back() -> None:
    """The process that asked is not larger than before."""
    render("warm")
    before = used_bytes(1)
    for _ in range(3):
        with pytest.raises(TemplateError):
            render("{% set a = 'a' * (20 * 10**6) %}{{ [a] * 10**9 }}")
    assert used_bytes(1) - before < 8 * MIB


@pytest.mark.fault("F41")
def test_an_error_that_took_long_is_not_sought_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A look that begins anew, because somebody else was faster, has no time for it."""
    source = Source(TemplateSet("main", {"main": LOOPS + ENDS}), {}, "version")
    renderer = Renderer()
    with pytest.raises(TemplateError, match=TIME) as first:
        renderer.render(source, SETTINGS, FLEET)

    def never(*_: object) -> NoReturn:
        pytest.fail("rendered again")

    monkeypatch.setattr("haproxy_sync.config.render.bounded", never)
    with pytest.raises(TemplateError, match=TIME) as second:
        renderer.render(source, SETTINGS, FLEET)
    assert str(second.value) == str(first.value)


@pytest.mark.fault("F41")
def test_an_error_of_a_busy_moment_is_none_of_the_next_invocation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The same template, settings and fleet, in the same process, on a machine that has time again."""
    source = Source(TemplateSet("main", {"main": BUNDLED}), {}, "version")
    renderer = Renderer()
    with monkeypatch.context() as busy:
        busy.setattr(bounded, "BOUNDS", Bounds(seconds=0))
        with pytest.raises(TemplateError, match="rendering takes more than 0 s"):
            renderer.render(source, SETTINGS, FLEET)
    assert renderer.anew().render(source, SETTINGS, FLEET).shared


def test_a_rendering_is_kept_for_the_next_invocation() -> None:
    """Nothing has changed, so nothing is rendered."""
    source = Source(TemplateSet("main", {"main": BUNDLED}), {}, "version")
    renderer = Renderer()
    rendering = renderer.render(source, SETTINGS, FLEET)
    assert renderer.anew().render(source, SETTINGS, FLEET) is rendering


def test_whom_a_template_left_out_it_is_not_asked_about_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The look then counts on all others, whose rendering this was: a template as slow as may be is rendered once."""
    reads = (
        BUNDLED
        + "{% for h in groups.backends %}# {{ hostvars[h].tags.Name }}\n{% endfor %}"
    )
    source = Source(TemplateSet("main", {"main": reads}), {}, "version")
    named = {1: "one", 3: "two\nlines", 4: "three"}
    backends = [instance(number, tags={"Name": name}) for number, name in named.items()]
    found = [*backends, instance(2, "haproxy")]
    fleet, renderer = inventory.parse(found, SETTINGS), Renderer()
    rendering = renderer.render(source, SETTINGS, fleet)
    assert rendering.skipped_ids
    monkeypatch.setattr(bounded, "BOUNDS", Bounds(seconds=0))
    others = fleet.without(rendering.skipped_ids)
    assert renderer.render(source, SETTINGS, others) is rendering
    with pytest.raises(TemplateError, match="rendering takes more than 0 s"):
        renderer.render(
            source, SETTINGS, others.without({fleet.backends[0].instance_id})
        )


def test_what_a_child_had_to_compile_its_parent_does_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Children are forgotten: the next ones find it done."""
    compiled: list[str] = []
    compile_one = Engine._compile_value  # noqa: SLF001 - what costs the time

    def counted(self: Engine, source: str) -> Any:
        compiled.append(source)
        return compile_one(self, source)

    monkeypatch.setattr(Engine, "_compile_value", counted)
    for _ in range(3):
        assert render("{{ once }}", {"once": "{{ 40 + 2 }}"}) == "first\n42\n"
    assert compiled == ["{{ 40 + 2 }}"]


def test_a_bug_of_ours_is_no_template_error() -> None:
    """It arrives as what it is, with the traceback of the other process."""

    def buggy() -> None:
        raise ZeroDivisionError("ours")

    with pytest.raises(ZeroDivisionError, match="ours") as caught:
        bounded.bounded(buggy, "main")
    assert "in buggy" in "".join(caught.value.__notes__)


@pytest.mark.fault("F41")
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a: [" + "[]," * 20_000 + "]", ":1: more than 20000 values"),
        (
            "a0: &a0 {x: 1}\n"
            + "".join(
                f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}\n"
                for n in range(1, 30)
            ),
            r":\d+: more than 20000 values",
        ),
        ("a: " + "[" * 5000 + "]" * 5000, ": a value stands inside too many others"),
        ("a: '" + "x" * variables.MAX_CHARACTERS + "'", ": larger than"),
        *((f"a: {odd}", ": a value looks like") for odd in (
            "!!int ''", "!!float ''", "!!bool x", "!!timestamp x", "!!int x", "2001-99-99",
        )),
    ],
)  # fmt: skip
def test_a_variables_file_is_bounded_too(text: str, reason: str) -> None:
    """By counts; and what YAML's own constructors stumble over is an error with the file's name."""
    with pytest.raises(TemplateError, match=f"^vars.yml{reason}"):
        variables.parse_variables(text, "vars.yml")
