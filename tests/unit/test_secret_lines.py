"""Which lines of a config depend on a secret, whatever the template makes of it; none of them is shown."""

import json
import string
from base64 import b64encode
from collections.abc import Callable, Sequence
from datetime import date
from hashlib import sha256
from time import process_time
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from haproxy_sync.config import secret_lines
from haproxy_sync.config.ansible import passwords
from haproxy_sync.config.diff import semantic_diff
from haproxy_sync.config.keywords import FIRST, OPTIONS
from haproxy_sync.config.marked import Marks
from haproxy_sync.config.render import Renderer, Rendering, render_fleet
from haproxy_sync.config.sources import Source, TemplateSet
from haproxy_sync.errors import TemplateError
from haproxy_sync.fleet.model import Backend, Config, Fleet, Proxy
from haproxy_sync.reconcile.changes import in_lines
from haproxy_sync.settings import Settings

pytestmark = pytest.mark.usefixtures("rendered_here")

SETTINGS = Settings(
    "staging",
    "ap-southeast-2",
    "bucket",
    "https://queue",
    "document",
    "stack",
    allow_unsafe_keywords=frozenset({"errorfile", "environment"}),
)
APP = Backend("i-00000001", "tomcat", "app-1", "10.0.0.1", "ap-southeast-2a")
PROXIES = tuple(
    Proxy(f"i-0000001{number}", "haproxy", f"lb-{number}", f"10.0.1.{number}", zone)
    for number, zone in enumerate(("ap-southeast-2a", "ap-southeast-2b"))
)
FLEET = Fleet((APP,), PROXIES)
FRAME = """frontend web
    bind :80
<line>
backend app
    server app-1 10.0.0.1:8080 weight {{ number }}
"""

SHAPES = (
    "    http-request set-header X-A {made}",
    "    {made}",
    "{made}",
    "    # {made}",
    "backend {made}",
    "    server {made} 10.0.0.9:80",
    "    server other {made}:80",
    "    server other 10.0.0.9:80 cookie {made} weight 5",
    "    server other 10.0.0.9:80 {made} check",
    "    server app-1 10.0.0.1:80 id {made}",
    "    use_backend app if {{ path {made} }}",
    "    errorfile 503 {made}",
    "    log-format '{made}",
    "{{% if {read} is string %}}    description {made}{{% endif %}}",
    "{{% for part in [{read}] %}}    description {made}\n{{% endfor %}}",
    "{{% set kept = {read} %}}    description {{{{ kept }}}} {made}",
    "{{% macro said(x) %}}    log {{{{ x }}}}{{% endmacro %}}{{{{ said({read}) }}}} {made}",
)
"""Lines with what a filter makes of the variable, and with the variable as it is."""


def unknown(_value: str) -> Sequence[str]:
    """Of no interest here."""
    return ()


FILTERS: dict[str, Callable[[str], Sequence[str]]] = {
    "": lambda value: [value],
    "| upper": lambda value: [value.upper()],
    "| b64encode": lambda value: [b64encode(value.encode()).decode()],
    "| reverse": lambda value: [value[::-1]],
    "| hash('sha256')": lambda value: [sha256(value.encode()).hexdigest()],
    "| to_json": unknown,
    "| urlencode": unknown,
    "| replace('a', 'b')": lambda value: [value.replace("a", "b")],
    "| regex_replace('^.', '')": lambda value: [value[1:]],
    "| quote": unknown,
    "| default('x')": unknown,
    "| string | trim": unknown,
    "| list | join('.')": lambda value: [".".join(value)],
}
"""Filters, and what they make of a value where it is known."""
MARKED = (
    ("greeting", "greeting: {}\nsecret_variables: [greeting]"),
    ("vault_greeting", "vault_greeting: {}"),
    ("app.password", "app: {{password: {}}}"),
    ("users[0].token", "users: [{{token: {}}}]"),
    ("told", "greeting: {}\ntold: '{{{{ greeting }}}}'\nsecret_variables: [greeting]"),
    ("told", "greeting: {}\ntold: '{{{{ greeting }}}}'\nsecret_variables: [told]"),
    ("all.hi", "all: '{{{{ own }}}}'\nown: {{hi: {}}}\nsecret_variables: [all]"),
    ("hostvars[inventory_hostname].vault_x", "host_vars: {{lb-0: {{vault_x: {}}}}}"),
)
"""How the template names a variable, and how the file states and marks it."""

# Long enough that it is part of nothing else; no value that YAML or a template reads as something else, nor a word of
# HAProxy's own, which anybody may see.
SECRETS = st.text(
    string.ascii_letters + string.digits + string.punctuation + " éß中", min_size=9
).filter(
    lambda text: (
        text == text.strip()
        and not set("{}") & set(text)
        and text not in FIRST | OPTIONS
    )
)


def stated(text: str, value: Any) -> dict[str, Any]:
    """The variables of a file with this value."""
    from haproxy_sync.config.variables import parse_variables  # noqa: PLC0415

    return dict(parse_variables(text.format(json.dumps(value)), "vars"))


def frame(line: str) -> str:
    """A template with the line."""
    return FRAME.replace("<line>", line)


def rendering(line: str, variables: dict[str, Any], number: int = 1) -> Rendering:
    """Of a template with the line."""
    templates = TemplateSet("main.j2", {"main.j2": frame(line)})
    return render_fleet(templates, {**variables, "number": number}, FLEET, SETTINGS)


def shown(old: Config, new: Config) -> str:
    """All that anybody is shown of a change."""
    lines = (old.secret_lines, new.secret_lines)
    diff = semantic_diff(old.text, new.text, FLEET.backends, lines)
    plain = "\n".join((*in_lines([([], diff)]), *diff.other))
    return plain + json.dumps(diff.as_json(99), ensure_ascii=False)


@pytest.mark.fault("F172")
@pytest.mark.parametrize("filtered", FILTERS)
@given(
    shape=st.sampled_from(SHAPES),
    marked=st.sampled_from(MARKED[:-1]),
    secret=SECRETS,
    other=SECRETS,
)
@settings(max_examples=60)
@example(SHAPES[1], MARKED[0], "123456789", "?!?!?!?!?!")
def test_no_secret_is_shown_whatever_a_template_makes_of_it(
    filtered: str, shape: str, marked: tuple[str, str], secret: str, other: str
) -> None:
    """Whether it comes, goes, changes or stands beside what changes."""
    name, text = marked
    line = shape.format(made=f"{{{{ {name} {filtered} }}}}", read=name)
    empty = Config(frame("").replace("{{ number }}", "1"))
    first, second = (stated(text, each) for each in (secret, other))
    configs = [
        rendering(line, first).configs[0],
        rendering(line, first, 2).configs[0],
        rendering(line, second).configs[0],
    ]
    sides = [(empty, configs[0]), (configs[0], empty)]
    sides += [(configs[0], each) for each in configs[1:]]
    forms = {form for each in (secret, other) for form in FILTERS[filtered](each)}
    lines = {
        each.strip() for config in configs for each in config.text.splitlines()
    } - {each.strip() for each in FRAME.splitlines()}
    seen = "".join(shown(*each) for each in sides)
    for form in {secret, other, *forms}:
        assert form not in seen
        assert json.dumps(form, ensure_ascii=False)[1:-1] not in seen
    assert any(each.strip() not in seen for each in lines)


@pytest.mark.fault("F172")
@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("{{ (vault_x | from_yaml).password }}", "password: hunter2"),
        ("{{ vault_x | regex_search('key=(.*)', '\\\\1') | first }}", "key=hunter2"),
        ("{{ {'plain': 5}[vault_way] }} {{ vault_x | b64encode }}", "hunter2"),
    ],
    ids=["its keys", "its form", "another value"],
)
def test_where_no_other_value_will_do_every_line_is_secret(
    line: str, value: str
) -> None:
    """Nobody knows which depend on it; the value itself stands in none of them."""
    empty = Config(frame("").replace("{{ number }}", "1"))
    variables = {"vault_x": value, "vault_way": "plain"}
    (config,) = rendering(f"    description {line}", variables).configs
    (made,) = {*config.text.splitlines()} - {*empty.text.splitlines()}
    assert config.secret_lines == tuple(range(1, config.text.count("\n") + 1))
    assert made.split()[-1] not in shown(empty, config) + shown(config, empty)


def test_a_variable_of_one_host_is_secret_in_its_config_alone() -> None:
    """Each distinct config has lines of its own."""
    name, text = MARKED[-1]
    both = "{{ " + name + " | default('none') }}"
    found = rendering(f"    description {both}", stated(text, "s3cr3t-value"))
    first, second = (found.by_proxy[proxy.instance_id] for proxy in PROXIES)
    assert (first.secret_lines, second.secret_lines) == ((3,), ())


@pytest.mark.fault("F172")
@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("    maxconn {{ vault_x }}", 12345),
        ("    maxconn {{ vault_x // 10 }}", 12345),
        ("    description {{ vault_x }}", 1.5),
        ("    description {{ vault_x }}", date(2026, 1, 31)),
        ("    description {{ vault_x | join('-') }}", ["ab", "cd"]),
        ("    description {{ vault_x.a.b }}", {"a": {"b": "xy"}}),
        ("    description {{ (vault_x | from_json).a }}", '{"a": 7}'),
        ("    description {{ vault_x.split(':')[1] }}", "user:pw"),
        ("    description {{ vault_x | b64decode }}", "c2VjcmV0"),
        ("    description {{ vault_x | password_hash('sha512', 'salt') }}", "abc"),
        ("{% if vault_x == 'ab' %}    description yes\n{% endif %}", "ab"),
        ("    description {{ vault_x | regex_replace('[a-z]', '') }}", "ab!?"),
    ],
)
def test_what_depends_on_a_secret_is_a_secret_line(line: str, value: object) -> None:
    """Of any type, and however short."""
    (config,) = rendering(line, {"vault_x": value}).configs
    assert config.secret_lines == (3,)


@pytest.mark.parametrize(
    ("variables", "lines"),
    [
        ({"other": "abcd-value"}, ()),
        ({"ssl_private_key_path": "abcd-value"}, ()),
        ({"vault_x": "abcd-value"}, (3,)),
        ({"vault_x": "abc"}, ()),
        ({"token": {"a": ["value"]}}, (3,)),
        ({"vault_x": True}, ()),
        ({"vault_pin": 8080}, ()),
    ],
)
def test_a_value_that_stands_there_although_nobody_reads_it(
    variables: dict[str, Any], lines: tuple[int, ...]
) -> None:
    """Written into the template once more; short ones stand anywhere by chance."""
    assert (
        rendering("    description abcd-value", variables).configs[0].secret_lines
        == lines
    )


def test_marks_are_no_variable_of_the_template() -> None:
    """They are for us."""
    variables = {"x": 1, "secret_variables": ["x"]}
    with pytest.raises(TemplateError, match="'secret_variables' is undefined"):
        rendering("{{ secret_variables }}", variables)


def test_without_marked_variables_nothing_is_rendered_once_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nor where the template reads none; and what is cached is not rendered at all."""
    from haproxy_sync.config.ansible.engine import Engine  # noqa: PLC0415

    renders: list[object] = []
    render_one = Engine.render

    def counted(self: Engine, variables: Any) -> str:
        renders.append(self)
        return render_one(self, variables)

    monkeypatch.setattr(Engine, "render", counted)
    templates = TemplateSet("main.j2", {"main.j2": frame("{{ x }}")})
    counts = []
    for variables in (
        {"x": ""},
        {"x": "", "vault_y": "abcd"},
        {"x": "{{ vault_y }}", "vault_y": "#abcd"},
    ):
        source = Source(templates, {**variables, "number": 1}, "version")
        renderer = Renderer()
        for _ in range(3):
            renderer.render(source, SETTINGS, FLEET)
        counts.append(len(renders))
        renders.clear()
    assert counts == [2, 2, 3]


def test_a_twin_has_no_hash_of_half_a_million_rounds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its hashes need only be others."""
    done: list[int] = []
    rounds = passwords._rounds  # noqa: SLF001 - what costs the time

    def counted(*arguments: Any) -> bytes:
        done.append(arguments[-1])
        return rounds(*arguments)

    monkeypatch.setattr(passwords, "_rounds", counted)
    line = (
        "    description {{ vault_x | password_hash('sha512', 'salt', rounds=1234) }}"
    )
    (config,) = rendering(line, {"vault_x": "only-here"}).configs
    assert sorted(done) == [1, 1234]
    assert config.secret_lines == (3,)


@pytest.mark.fault("F172")
def test_the_error_of_another_value_is_quoted_where_both_are_alike() -> None:
    """The author of the template reads what is wrong, and not with which value."""
    with pytest.raises(TemplateError) as caught:
        rendering("{{ vault_x | community }}{{ vault_x }}", {"vault_x": "abcd"})
    assert "community" in str(caught.value)
    with pytest.raises(TemplateError, match=r"main\.j2:3: ") as caught:
        rendering("{{ {}[vault_x] }}", {"vault_x": "abcd"})
    assert "abcd" not in str(caught.value)
    with pytest.raises(TemplateError, match="'vault_y' is undefined"):
        rendering("{{ password }}", {"password": "{{ vault_y }}"})


@pytest.mark.fault("F172")
@pytest.mark.parametrize(
    ("value", "secret"),
    [
        ("http", {"# http"}),
        ("server", {"# server"}),
        ("{\n  a: 1\n}\n", {"# {", "a: 1", "}"}),
        ("80", {"# 80"}),
        (80, {"# 80"}),
        (["http", 80], {"# ['http', 80]"}),
        (date(9999, 12, 31), {"# 9999-12-31"}),
        ("", set()),
        (True, set()),
        (None, set()),
        pytest.param(1 << 16_000, set(), id="long"),
    ],
)
def test_a_value_that_stands_everywhere_hides_what_depends_on_it_alone(
    value: Any, secret: set[str]
) -> None:
    """Short ones, those with short lines, HAProxy's own words; and one that nobody can print stops nothing."""
    read = "{{ api_token }}" if secret else "{{ api_token is defined }}"
    line = f"    mode http\n    acl a path_beg {{}}\ndefaults\n    # {read}"
    (config,) = rendering(line, {"api_token": value}).configs
    lines = config.text.split("\n")
    assert {lines[number - 1].strip() for number in config.secret_lines} == secret


@pytest.mark.fault("F172")
def test_a_config_with_many_lines_alike_is_compared_in_no_time() -> None:
    """Eight hundred sections with the same lines but one; each with each would be minutes, and the function has one."""

    def config(word: str) -> list[str]:
        section = (
            "backend b{0}\n    mode http\n    balance random\n    description {1}{0}\n"
        )
        return "".join(section.format(number, word) for number in range(800)).split(
            "\n"
        )

    old, new = config("old"), ["# one more", *config("new")]
    begin = process_time()
    found = secret_lines.found("\n".join(new), "\n".join(old), ())
    secret = secret_lines.secret_texts(old, new, [4], [5])
    assert process_time() - begin < 5
    assert found == (1, *range(5, 3202, 4))
    assert secret == {"    description old0", "    description new0"}


LINES = st.sets(st.integers(1, 999_999))


@pytest.mark.fault("F176")
@given(LINES)
@example(set(range(1, 2_000, 2)))
@example(set())
def test_the_parameter_names_every_secret_line(lines: set[int]) -> None:
    """In at most 200 items, ascending; where they are too many it names others with them."""
    text = secret_lines.parameter(lines)
    named: set[int] = set()
    items = [] if text == "0" else text.split(",")
    for item in items:
        first, _, last = item.partition("-")
        numbers = range(int(first), int(last or first) + 1)
        assert not named or min(numbers) > max(named) + 1
        assert not last or int(last) > int(first)
        named.update(numbers) if len(numbers) < 10**5 else named.update(
            {*numbers} & lines, {numbers[-1]}
        )
    assert lines <= named
    assert len(items) <= 200
    assert len(items) == 200 or lines == named


def test_the_closest_lines_become_one_range() -> None:
    """As few lines as possible are hidden for want of room."""
    lines = {10 * number for number in range(1, 200)} | {5_000, 5_002}
    assert secret_lines.parameter(lines).endswith(",1990,5000-5002")


@pytest.mark.fault("F175")
def test_what_a_secret_line_replaces_is_hidden_too() -> None:
    """The old config may be from before the variable was marked; nobody stored its secret lines."""
    old = Config("global\n    description old-s3cr3t\n    maxconn 5\n")
    new = Config("global\n    description new-s3cr3t\n    maxconn 5\n", (2,))
    for sides in ((old, new), (new, old)):
        assert "s3cr3t" not in shown(*sides)
        assert "description *** (changed)" in shown(*sides)
    assert "maxconn 5" in shown(old, new)


def test_a_name_marks_whatever_stands_below_it() -> None:
    """At any depth, by the file's word or by its own."""
    marks = Marks(frozenset({"own"}))
    for path in ("own", "a.own", "own[0].x", "vault_x", "a.db_password", "x.token.y"):
        assert marks.cover(path)
    for path in ("owner", "a.b", "port", "tls_key_file", "author"):
        assert not marks.cover(path)
