"""What the preview promises: options, the proxy's own files, the template's line, instances in any encoding."""

import argparse
import json
import re
import shlex
import subprocess
from pathlib import Path

import pytest
from moto import mock_aws

from haproxy_sync import aws
from haproxy_sync.config import sources
from local import fleets, render, template_test
from local.render import source_of
from tests.fleet import instance

ROOT = Path(__file__).parents[2]
NASTY = """it's $HOME "b" $(shell id) # `c` \\ ö"""
RUNS = """\
global
    GLOBAL
defaults
    mode http
    timeout connect 5s
    timeout client 5s
    timeout server 5s
frontend app
    bind *:80
    FRONTEND
    default_backend tomcat
backend tomcat
{% for backend in groups['backends'] %}
    server {{ backend }} {{ backend }}:8080 check BACKEND
{% endfor %}
"""


def _template(folder: Path, **lines: str) -> Path:
    text = RUNS
    for place in ("GLOBAL", "FRONTEND", "BACKEND"):
        text = text.replace(place, lines.get(place.lower(), ""))
    path = folder / "mine.j2"
    path.write_text(text)
    return path


def _tried(
    template: Path, capsys: pytest.CaptureFixture[str], *options: str
) -> tuple[int, list[str]]:
    code = template_test.main([str(template), *options])
    return code, capsys.readouterr().out.splitlines()


def _options(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    return [each for each in parser._actions if each.dest != "help"]  # noqa: SLF001


OPTIONS = [
    (target, parser, option)
    for target, parser in (
        ("render", render.parser()),
        ("template-test", template_test.parser()),
    )
    for option in _options(parser)
]


def _command(target: str, *variables: str, **environment: str) -> list[str]:
    run = subprocess.run(
        ["make", "--dry-run", target, *variables],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    words = shlex.split(run.stdout.rpartition(" -m ")[2].replace("\\\n", " "))
    return words[1:]


@pytest.mark.fault("F142")
@pytest.mark.parametrize(("target", "parser", "option"), OPTIONS)
def test_each_option_has_a_make_variable(
    target: str, parser: argparse.ArgumentParser, option: argparse.Action
) -> None:
    """What is typed arrives, whatever a shell or make would make of it; elsewhere it means something else."""
    flag = option.nargs == 0
    value = "true" if flag else "8081" if option.type is int else NASTY
    variable = option.dest.upper()
    given = parser.parse_args(_command(target, f"{variable}={value}"))
    assert str(getattr(given, option.dest)) == ("True" if flag else value)
    if flag:
        assert _command(target, f"{variable}=false") == []
    assert _command(target, **{variable: value}) == []


ALLOWED = (
    "--allow-unsafe-keywords",
    "acl-file,errorfile,file,lua-load,lua-load-per-thread,map",
)
OF_THE_PROXY = {
    "ssl-dh-param-file": {"global": "ssl-dh-param-file /none/dh.pem"},
    "lua-load": {
        "global": "lua-load /none/a.lua",
        "frontend": "http-request lua.mark a b if { lua.known(x) -m found }",
    },
    "lua service": {
        "global": "lua-load-per-thread /none/a.lua\n    lua-load-per-thread /none/b.lua",
        "frontend": "http-request use-service lua.hello if { path /x }",
    },
    "issuers-chain-path": {"global": "issuers-chain-path /none/chains"},
    "h1-case-adjust-file": {"global": "h1-case-adjust-file /none/headers"},
    "user": {"global": "user no-such-user\n    group no-such-group"},
    "acl -f": {"frontend": "acl inside src -f /none/inside.list"},
    "anonymous acl": {"frontend": "http-request deny if { src -f /none/bad.list }"},
    "map": {"frontend": "use_backend %[req.hdr(host),lower,map(/none/hosts.map,tomcat)]"},
    "map_ip": {"frontend": "http-request set-header X %[src,map_ip(/none/ip.map)]"},
    "crt-list": {"frontend": "bind *:443 ssl crt-list /none/list"},
    "crt": {"frontend": "bind *:443 ssl crt /none/certs/ ca-file /none/ca verify required"},
    "tls": {
        "frontend": "bind *:443 ssl crt /none/a crl-file /none/crl ca-file /none/ca "
        "verify optional tls-ticket-keys /none/keys"
    },
    "below a base": {
        "global": "crt-base /none\n    ca-base /none",
        "frontend": "bind *:443 ssl crt a.pem ca-file ca.pem verify required",
    },
    "errorfile": {"frontend": "errorfile 503 /none/503.http"},
    "body": {
        "frontend": "http-request return status 200 content-type text/plain file /none/body"
    },
    "spoe": {"frontend": "filter spoe engine waf config /none/waf.conf"},
    "server": {"backend": "ssl verify required ca-file /none/ca.pem crt /none/me.pem"},
}  # fmt: skip


@pytest.mark.fault("F143")
@pytest.mark.parametrize("name", OF_THE_PROXY)
def test_what_only_the_proxy_has_is_no_failure(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """HAProxy accepts the rest; each thing that was not looked at is named."""
    lines = OF_THE_PROXY[name]
    code, printed = _tried(_template(tmp_path, **lines), capsys, *ALLOWED)
    assert code == 0, printed
    (note,) = [line for line in printed if line.startswith("note ")]
    for own in re.findall(r"/none/[\w./]+|no-such-\w+", " ".join(lines.values())):
        assert own in note


@pytest.mark.fault("F143")
def test_a_stand_in_hides_no_mistake_beside_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is wrong with the same line, or with a regular expression, is still said, in the words of its author."""
    rule = "http-request set-header X %[src,map_ip(/none/ip.map),lowwer]"
    code, printed = _tried(_template(tmp_path, frontend=rule), capsys, *ALLOWED)
    assert code == 1
    assert "unknown converter 'lowwer'" in printed[0] or "lowwer" in printed[0]
    assert "/none/ip.map" in printed[0]
    rule = "acl bad path_reg [open"
    code, printed = _tried(_template(tmp_path, frontend=rule), capsys)
    assert code == 1
    assert "[open" in printed[0]


@pytest.mark.fault("F143")
def test_nothing_is_written_elsewhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """HAProxy creates a ring's file even when it only checks."""
    ring = tmp_path / "ring"
    template = _template(tmp_path)
    template.write_text(
        f"{template.read_text()}ring r\n    size 32768\n    backing-file {ring}\n"
    )
    code, printed = _tried(template, capsys)
    assert code == 1
    assert "AllowUnsafeKeywords=backing-file" in printed[0]
    allowed = ("--allow-unsafe-keywords", "backing-file")
    assert _tried(template, capsys, *allowed)[0] == 0
    assert not ring.exists()


@pytest.mark.fault("F144")
def test_a_mistake_is_said_once_with_the_templates_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a loop too, whatever the fleet's size; with what it renders to."""
    code, printed = _tried(_template(tmp_path, backend="chekc"), capsys)
    failures = [line for line in printed if line.startswith("FAIL")]
    assert code == 1
    assert len(failures) == 1
    assert failures[0].startswith("FAIL mine.j2:14: haproxy -c: 'server tomcat/")
    assert "unknown keyword 'chekc'" in failures[0]
    assert "300 backends" in failures[0]


@pytest.mark.fault("F144")
@pytest.mark.parametrize(
    ("added", "place"),
    [
        ("#jinja2: lstrip_blocks: True\n{% if true %}\n  ballance x\n{% endif %}\n", 3),
        ("{# a\nb #}\n{%- set x = 1 -%}\n\n\nballance x\n", 6),
        ("{% macro m() %}\nfrontend y\n  ballance x\n{% endmacro %}\n{{ m() }}\n", 3),
        ("{% macro m() %}\nballance x\n{% endmacro %}\n{% if m() == 'ballance x\n' %}\n{{ m() }}{% endif %}\n", 6),
        ("{% raw %}\n\nballance x\n{% endraw %}\n", 3),
        ("{% filter upper %}\n#\n{% endfilter %}\nballance x\n", 4),
    ],
)  # fmt: skip
def test_the_line_is_that_of_an_editor(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], added: str, place: int
) -> None:
    """Blocks, comments, stripped blanks, macros, raw text: the line the author sees."""
    template = _template(tmp_path)
    template.write_text(added + template.read_text())
    assert any(
        line.startswith(f"FAIL mine.j2:{place}: haproxy -c: ")
        for line in _tried(template, capsys)[1]
    )


@pytest.mark.fault("F144")
def test_a_line_that_nobody_can_tell_is_shown_as_rendered(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where the template looks at its own text as a whole, no line is guessed."""
    part = tmp_path / "part.j2"
    part.write_text("{{ 'ballance x' }}\n")
    template = _template(tmp_path)
    # The text of an include becomes a value, whose length decides.
    head = "{% macro m() %}{% include 'part.j2' %}{% endmacro %}{{ 'n' if m() | length > 20 else m() }}\n"
    template.write_text(head + template.read_text())
    failures = [line for line in _tried(template, capsys)[1] if "ballance" in line]
    assert len(failures) == 1
    assert "the config's line 1: ballance x" in failures[0]


@pytest.mark.fault("F144")
def test_the_old_form_of_an_address_is_explained_by_haproxy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`listen name address:port` has no bind line, and HAProxy tells what to write."""
    template = _template(tmp_path)
    template.write_text(
        template.read_text()
        .replace("    bind *:80\n", "")
        .replace("frontend app", "listen app *:80")
    )
    printed = "\n".join(_tried(template, capsys)[1])
    assert "mine.j2:8: haproxy -c: please use the 'bind' keyword" in printed


def _answer() -> str:
    answer = {"Reservations": [{"Instances": [instance(1), instance(8, "haproxy")]}]}
    return json.dumps(answer, ensure_ascii=False)


@pytest.mark.fault("F145")
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le"])
def test_instances_in_any_unicode(tmp_path: Path, encoding: str) -> None:
    """PowerShell's `>` writes UTF-16 with a byte order mark."""
    path = tmp_path / "fleet.json"
    path.write_bytes(_answer().encode(encoding))
    assert len(fleets.read_instances(path)) == 2


@pytest.mark.fault("F145")
@pytest.mark.parametrize(
    "content",
    [
        b"\xff\xfe\x00" + b"x" * 30_001,
        b"\xe9" * 30_000,
        b"RESERVATIONS\t" * 3000,
        b"[" * 100_000,
        b"[]",
        b"null",
        b'{"Reservations": [{"Instances": ["%s"]}]}' % (b"i" * 30_000),
        b'{"Reservations": [{"Instances": {"a": 1}}]}',
        b'{"Reservations": {"Instances": 3}}',
        b"",
    ],
)
def test_other_files_are_one_short_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes
) -> None:
    """Whatever the file holds, it is never printed."""
    path = tmp_path / "fleet.json"
    path.write_bytes(content)
    assert render.main([str(_template(tmp_path)), "--instances", str(path)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {path}")
    assert len(line) < len(str(path)) + 120


@pytest.mark.fault("F145")
def test_a_template_that_is_not_utf8_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A comment in Latin-1, with its line."""
    template = _template(tmp_path)
    template.write_bytes(template.read_bytes() + b"# caf\xe9\n")
    code, printed = _tried(template, capsys)
    assert (code, printed) == (1, [f"FAIL {template}:16: it is not UTF-8"])


@pytest.mark.fault("F146")
def test_the_preview_includes_what_the_function_includes(tmp_path: Path) -> None:
    """The same files at any depth, and what cannot be a template does not matter."""
    for depth in range(5):
        folder = tmp_path.joinpath(*"abcde"[:depth])
        folder.mkdir(exist_ok=True)
        (folder / "part.j2").write_text(f"{depth}\n")
    (tmp_path / "mine.j2").write_text("{% include 'a/b/c/d/part.j2' %}\n")
    options = render.parser().parse_args([str(tmp_path / "mine.j2")])
    assert source_of(options)[0].files == sources.read_folder(tmp_path)
    (tmp_path / "a" / "picture").write_bytes(b"\xff\xfe")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "index").write_text("")
    assert len(source_of(options)[0].files) == 6


@pytest.mark.fault("F146")
def test_the_preview_reads_bytes_as_the_function_does(
    tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    """CRLF in a template is CRLF there too: how many newlines its end has depends on it."""
    (tmp_path / "part.j2").write_bytes(b"{{ 1 }}\r\n\r\n")
    (tmp_path / "mine.j2").write_bytes(b"{% include 'part.j2' %}\r\nx\r\n\r\n\r\n")
    path = str(tmp_path / "mine.j2")
    options = render.parser().parse_args([path])
    assert source_of(options)[0].files == sources.read_folder(tmp_path)
    assert render.main([path]) == 0
    assert capsysbinary.readouterr().out == b"1\nx\n\n"


REFERRING = """a: !ssm /app/greeting
b: {c: [!secret app#user, !secret app#password]}
d: !secret whole
"""
REFERRED = "!ssm /app/greeting, !secret app#password, !secret app#user, !secret whole"


def _referring(tmp_path: Path) -> list[str]:
    """A template that shows what its variables refer to."""
    template = _template(tmp_path)
    shown = "# {{ a }} {{ b.c | join(' ') }} {{ d }}\n"
    template.write_text(shown + template.read_text())
    (tmp_path / "vars.yml").write_text(REFERRING)
    return [str(template), "--vars", str(tmp_path / "vars.yml")]


def test_stand_ins_take_the_place_of_references(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Offline each is a word of its own, and a line says which are none of AWS's."""
    arguments = _referring(tmp_path)
    assert render.main(arguments) == 0
    printed = capsys.readouterr()
    first = printed.out.splitlines()[0]
    assert first == (
        "# stand-in-app-greeting stand-in-app-user stand-in-app-password stand-in-whole"
    )
    said = f"stand-ins take the place of what AWS was not asked for: {REFERRED}"
    assert said in printed.err.splitlines()
    assert template_test.main(arguments) == 0
    assert f"note {said}" in capsys.readouterr().out.splitlines()


def test_with_a_region_the_values_are_real(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """On the terminal of whoever may read them."""
    region = "eu-west-1"
    with mock_aws():
        clients = aws.clients(region)
        clients.ssm.put_parameter(Name="/app/greeting", Value="hi", Type="SecureString")
        manager = clients.secrets_manager()
        manager.create_secret(Name="app", SecretString='{"user": "u", "password": "p"}')
        manager.create_secret(Name="whole", SecretString="w")
        live = ["--live", region, "--environment", "staging"]
        assert render.main([*_referring(tmp_path), *live]) == 0
    printed = capsys.readouterr()
    assert printed.out.splitlines()[0] == "# hi u p w"
    assert "stand-in" not in printed.err
