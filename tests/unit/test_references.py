"""References in a variables file: how they are written, and what a template sees of what they stand for."""

import subprocess
import sys
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import haproxy_sync
from haproxy_sync.config.ansible.raw import Address
from haproxy_sync.config.references import MAX_ADDRESSES, distinct, filled
from haproxy_sync.config.render import Rendering, render_unchecked
from haproxy_sync.config.sources import TemplateSet
from haproxy_sync.config.variables import parse_variables, references
from haproxy_sync.errors import TemplateError
from haproxy_sync.fleet import inventory
from haproxy_sync.settings import Settings
from tests.fleet import instance

SETTINGS = Settings(
    "staging", "ap-southeast-2", "bucket", "https://queue", "document", "stack"
)
SOURCES = Path(haproxy_sync.__file__).parents[1]
ARN = "arn:aws-us-gov:secretsmanager:us-gov-west-1:123456789012:secret:app/db-AbC123"


def found(text: str) -> list[tuple[str, str, str, int]]:
    """Store, name, key and line of each reference."""
    return [
        (each.address.store, each.address.name, each.key, each.line)
        for each in references(parse_variables(text, "f"))
    ]


def rendering(template: str, stated: str, **texts: str) -> Rendering:
    """With the values of parameters by their names."""
    variables = parse_variables(stated, "vars/staging.yml")
    values = {Address("ssm", name): text for name, text in texts.items()}
    fleet = inventory.parse([instance(1), instance(2, "haproxy")], SETTINGS)
    return render_unchecked(
        TemplateSet("t.j2", {"t.j2": template}),
        filled(variables, references(variables), values),
        fleet,
        SETTINGS,
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: !ssm /app/db", ("ssm", "/app/db", "", 1)),
        ("a: !ssm db.password_1-x", ("ssm", "db.password_1-x", "", 1)),
        ("\na: !ssm /app/db:3", ("ssm", "/app/db:3", "", 2)),
        ("a:\n- !ssm /app/db:blue", ("ssm", "/app/db:blue", "", 2)),
        ("a: !secret app/db", ("secret", "app/db", "", 1)),
        ("a: !secret app/db#user", ("secret", "app/db", "user", 1)),
        ("a: !secret 'a+b=c.d@e#the key'", ("secret", "a+b=c.d@e", "the key", 1)),
        (f"a: !secret {ARN}#a#b", ("secret", ARN, "a#b", 1)),
        ("a: {b: [1, [!ssm x]]}", ("ssm", "x", "", 1)),
        ("group_vars: {tomcat: {a: !ssm x}}", ("ssm", "x", "", 1)),
        ("host_vars:\n  h:\n    a: !ssm x", ("ssm", "x", "", 3)),
        ("a: &a [!ssm x]\nb: *a", ("ssm", "x", "", 1)),
        ("a: &a [*a, !ssm x]", ("ssm", "x", "", 1)),
    ],
)
def test_where_a_value_may_stand(
    text: str, expected: tuple[str, str, str, int]
) -> None:
    """At any depth, each once."""
    assert found(text) == [expected]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: 1\nb: !ssm", 2),
        ("a: !ssm ''", 1),
        ("a: !ssm /app//db", 1),
        ("a: !ssm /app/", 1),
        ("a: !ssm hunter 2", 1),
        ("a: !ssm '/app/db:'", 1),
        ("a: !ssm /app/db:1:2", 1),
        ("a: !ssm é", 1),
        ("a: !ssm {name: hunter2}", 1),
        ("a: !ssm [hunter2]", 1),
        ("a: !secret", 1),
        ("a: !secret '#hunter2'", 1),
        ("a: !secret hunter2#", 1),
        ("a: !secret 'hunter2# '", 1),
        ("a: !secret hunter2:5", 1),
        ("a: !secret arn:aws:ssm:eu-west-1:123456789012:parameter/x", 1),
    ],
)
def test_what_is_no_reference(text: str, line: int) -> None:
    """Line and usage; what stands there is not quoted, for it may be the secret itself."""
    with pytest.raises(
        TemplateError, match=rf"^f:{line}: (behind !s|expected a scal)"
    ) as e:
        parse_variables(text, "f")
    assert "hunter" not in str(e.value)


@pytest.mark.parametrize(
    "text",
    [
        "!ssm x: 1",
        "a: {!ssm x: 1}",
        "a: [{b: {!secret x#y: 1}}]",
        "a: !!set {!ssm x}",
        "a: !!omap [{b: !ssm x}]",
        "host_vars: {!ssm x: {a: 1}}",
    ],
)
def test_a_reference_is_no_name(text: str) -> None:
    """Nor a member of a set, nor of a pair, of which a template sees what the file has."""
    with pytest.raises(TemplateError, match=r"^f:1: !s\S+ \S+ is a reference"):
        parse_variables(text, "f")


def test_how_many_a_file_may_name() -> None:
    """What is named twice counts once."""
    lines = [f"- [!ssm p{n}, !ssm p{n}]" for n in range(MAX_ADDRESSES)]
    most = "\n".join(["a:", *lines])
    assert len(distinct(references(parse_variables(most, "f")))) == MAX_ADDRESSES
    beyond = references(parse_variables(f"{most}\nb: !secret s#k", "f"))
    line = MAX_ADDRESSES + 2
    with pytest.raises(TemplateError, match=rf"^f:{line}: !secret s#k: .* 50 .* most"):
        distinct(beyond)


def test_what_is_filled_leaves_the_file_as_it_was() -> None:
    """The next version takes the place of the same references; what else stands there is the same."""
    variables = parse_variables("a: &a [!ssm x, *a]\nb: *a\nc: !unsafe '{{'", "f")
    for value in ("first", "second"):
        texts = {Address("ssm", "x"): value}
        one: Any = filled(variables, references(variables), texts)
        assert one["a"][0].text == value
        assert one["a"][1] is one["a"] is one["b"]
        assert one["c"].text == "{{"


@pytest.mark.fault("F293")
@pytest.mark.parametrize(
    "text", ["s3cr3t-word", "ab", "http", "{{ x }}", "0", "a\nb\n"]
)
@pytest.mark.parametrize(
    ("template", "stated"),
    [
        ("a\n{{ greeting | b64encode }}\nb", "greeting: !ssm x"),
        (
            "a\n{{ all.some[0].greeting | b64encode }}\nb",
            "all: {some: [{greeting: !ssm x}]}",
        ),
        ("a\n{{ told | b64encode }}\nb", "greeting: !ssm x\ntold: '{{ greeting }}'"),
        (
            "a\n{{ greeting | b64encode }}\nb",
            "group_vars: {haproxy: {greeting: !ssm x}}",
        ),
    ],
)
def test_what_depends_on_it_is_a_secret_line(
    text: str, template: str, stated: str
) -> None:
    """By itself: no name says that it is secret; however short or common it is."""
    (config,) = rendering(template, stated, x=text).configs
    shown = b64encode(text.encode()).decode() in config.text.split("\n")[1]
    assert (shown, config.secret_lines) == (True, (2,))


def is_telling(text: str) -> bool:
    """Whether it can be stored, and is more than blanks and the like."""
    halves = range(0xD800, 0xE000)
    return any(map(str.isalnum, text)) and not any(ord(c) in halves for c in text)


@pytest.mark.fault("F293")
@given(secret=st.text(min_size=1).filter(is_telling))
@settings(max_examples=60)
def test_any_text_is_its_value_and_no_template(secret: str) -> None:
    """Braces, quotes, whatever YAML or Jinja would read into it."""
    (config,) = rendering(
        "{{ a == b | join }}|{{ a | to_json }}", "a: !ssm x\nb: [!ssm x]", x=secret
    ).configs
    assert config.text.startswith("True|")
    assert config.secret_lines == (1,)


def test_a_value_that_stands_in_the_template_is_hidden_there_too() -> None:
    """Somebody wrote the same word into it."""
    (config,) = rendering(
        "a s3cr3t-word\nb {{ x }}", "x: !ssm x", x="s3cr3t-word"
    ).configs
    assert config.secret_lines == (1, 2)


def test_who_refers_to_nothing_pays_nothing() -> None:
    """A variables file without references loads none of the modules for them."""
    code = (
        "import sys\n"
        "import haproxy_sync.handler\n"
        "from haproxy_sync.config.variables import parse_variables\n"
        "parse_variables(sys.argv[1], 'f')\n"
        "print([each for each in sys.modules if 'references' in each or 'secret_' in each])"
    )

    def loaded(text: str) -> str:
        command = [sys.executable, "-c", code, text]
        done = subprocess.run(
            command, check=True, capture_output=True, text=True, cwd=SOURCES
        )
        return done.stdout.replace("'haproxy_sync.config.secret_lines'", "").strip()

    assert loaded("a: 1") == "[]"
    assert "config.references" in loaded("a: !ssm x")
