"""Configs that would give a proxy's root to whoever wrote the template: refused, and harmful where they are allowed.

Each attack is seen to work on this HAProxy where the parameter names its keyword: a test that is only refused would
pass for a config that HAProxy does not take either.
"""

import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from haproxy_sync.config.keywords import COMMON
from haproxy_sync.config.language import words
from haproxy_sync.config.readings import UNKNOWN, read
from haproxy_sync.config.unsafe import FILTERS
from haproxy_sync.config.unsafe import FIRST as UNSAFE
from local.lab import BackendHost, Client, ProxyHost, Style, wait_until
from tests.haproxies import is_at_least
from tests.host.apply_step import (
    CONFIG,
    STATE_DIR,
    ApplyStep,
    backups,
    config,
    leftovers,
)

type MakeProxy = Callable[..., ProxyHost]

OWNED = "/run/owned"
SECRET = "/srv/credentials"  # noqa: S105 # where a test puts one
SCRIPT = "/srv/check"
KEY = "wJalrXUtnFEMI"
PROGRAM = f"program p\n    command /bin/touch {OWNED}\n"


def rule(line: str) -> Callable[..., str]:
    """Configs whose frontend has this line."""

    def text(*hosts: BackendHost) -> str:
        plain = config(*hosts)
        return plain.replace("frontend web\n", f"frontend web\n    {line}\n")

    return text


def with_program(*hosts: BackendHost) -> str:
    """Its command runs as root beside the workers."""
    return config(*hosts) + PROGRAM


def with_check(*hosts: BackendHost) -> str:
    """A worker that is root runs what a check names, without `insecure-fork-wanted`."""
    text = config(*hosts, extra="external-check", options="check inter 200ms")
    text = re.sub(" (user|group) haproxy| chroot .*", r" ", text)
    return text.replace(
        "backend app\n",
        f"backend app\n    option external-check\n    external-check command {SCRIPT}\n",
    )


def with_lua(*hosts: BackendHost) -> str:
    """It runs while HAProxy loads it, and while it is checked."""
    return config(*hosts, extra="lua-load /srv/owned.lua")


def with_hidden_lua(*hosts: BackendHost) -> str:
    """The same in another spelling."""
    return config(*hosts, extra=r'setenv K "\x6cua-load"' + '\n    "$K" /srv/owned.lua')


def with_file(*hosts: BackendHost) -> str:
    """The check makes the file, too."""
    ring = f"ring r\n    size 32768\n    backing-file {OWNED}\n"
    return config(*hosts) + ring


CODE = {
    "program": with_program,
    "external-check": with_check,
    "lua-load": with_lua,
    "hidden lua-load": with_hidden_lua,
    "backing-file": with_file,
}
SHOWN = {
    "file": rule(f"http-request return status 200 content-type text/plain file {SECRET}"),
    "lf-file": rule(
        f"http-request return status 200 content-type text/plain lf-file {SECRET}"
    ),
    "map": rule(
        "http-request return status 200 content-type text/plain "
        f'lf-string "%[str(aws_secret_access_key),map({SECRET})]"'
    ),
    "quoted map": rule(
        "http-request return status 200 content-type text/plain "
        rf"""lf-string '%[str(aws_secret_access_key),map("{SECRET}")]'"""
    ),
    "hidden file": rule(
        rf"http-request return status 200 content-type text/plain \x66ile {SECRET}"
    ),
}  # fmt: skip


@pytest.fixture
def proxy(make_proxy: MakeProxy, backends: tuple[BackendHost, ...]) -> ProxyHost:
    """A master with one backend, and what attacks are after."""
    made = make_proxy(Style.MASTER_WORKER)
    made.write(SECRET, f"aws_secret_access_key {KEY}\n", mode=0o600)
    made.write(SCRIPT, f"#!/bin/sh\n: >{OWNED}\n", mode=0o755)
    made.write("/srv/owned.lua", f'io.open("{OWNED}", "w"):close()\n')
    made.start(config(backends[0]))
    return made


def refuse(proxy: ProxyHost, text: str, keyword: str, before: str) -> None:
    """Assert that it is refused for this keyword, and that the host is as before."""
    worker = proxy.worker
    for action in ("check", "apply"):
        answer = ApplyStep(proxy).run(text, AllowUnsafeKeywords="0", Action=action)
        assert answer["reason"] == "unsafe-keyword", answer
        assert f": {keyword}: " in answer["detail"]
        assert f"AllowUnsafeKeywords={keyword}" in answer["detail"]
        assert answer.status == {"check": 0, "apply": 17}[action]
    assert proxy.read(CONFIG) == before
    assert proxy.worker == worker
    assert backups(proxy) == []
    assert leftovers(proxy) == []
    assert not proxy.path(OWNED).exists()


@pytest.mark.fault("F296")
@pytest.mark.parametrize("name", CODE)
def test_nothing_runs_or_writes_as_root(
    proxy: ProxyHost,
    backends: tuple[BackendHost, ...],
    haproxy: dict[str, Any],
    name: str,
) -> None:
    """Neither while it is checked nor later; it does where it is allowed, for then somebody wanted it."""
    if name == "backing-file" and not is_at_least(haproxy, "2.6"):
        pytest.skip("a ring's file came with HAProxy 2.6")
    keyword = name.removeprefix("hidden ")
    before = config(backends[0])
    text = CODE[name](*backends)
    if name == "program" and is_at_least(haproxy, "3.1"):
        text = text.replace("daemon\n", "expose-deprecated-directives\n")
    refuse(proxy, text, keyword, before)
    time.sleep(1)
    assert not proxy.path(OWNED).exists()
    answer = ApplyStep(proxy).run(text, AllowUnsafeKeywords=f"{keyword},map")
    assert answer.says("installed"), answer
    wait_until(proxy.path(OWNED).exists)


@pytest.mark.fault("F297")
@pytest.mark.parametrize("name", SHOWN)
def test_no_client_sees_a_file_of_roots(
    proxy: ProxyHost, backends: tuple[BackendHost, ...], client: Client, name: str
) -> None:
    """Although the worker may not read it: HAProxy read it before it gave up root."""
    keyword = name.rpartition(" ")[2]
    text = SHOWN[name](*backends)
    refuse(proxy, text, keyword, config(backends[0]))
    assert KEY not in client.get(str(proxy.ipv4)).body
    answer = ApplyStep(proxy).run(text, AllowUnsafeKeywords=keyword)
    assert answer.says("installed"), answer
    assert KEY in client.get(str(proxy.ipv4)).body


@pytest.mark.fault("F297")
def test_no_stats_socket_shows_a_file_of_roots(
    proxy: ProxyHost, backends: tuple[BackendHost, ...]
) -> None:
    """It prints lists, and may listen on any port."""
    text = rule(f"http-request deny if {{ path -f {SECRET} }}")(*backends)
    refuse(proxy, text, "acl-file", config(backends[0]))
    answer = ApplyStep(proxy).run(text, AllowUnsafeKeywords="acl-file")
    assert answer.says("installed"), answer
    assert KEY in proxy.ask("show acl #0")


@pytest.mark.fault("F298")
def test_what_is_there_already_stays(
    proxy: ProxyHost, backends: tuple[BackendHost, ...]
) -> None:
    """Nothing is to be done, so nothing is refused: a host that was taken over before is no failure."""
    text = rule("http-request deny if { path -f /srv/list }")(*backends)
    proxy.write("/srv/list", "/admin\n")
    assert ApplyStep(proxy).run(text, AllowUnsafeKeywords="acl-file").says("installed")
    assert ApplyStep(proxy).run(text, AllowUnsafeKeywords="0").says("unchanged")


@pytest.mark.fault("F298")
def test_a_check_names_what_the_live_file_has(
    proxy: ProxyHost, backends: tuple[BackendHost, ...]
) -> None:
    """Ready to paste, before anything is taken over, and what makes a break-in worse; the host stays as it was."""
    proxy.write("/srv/list", "/admin\n")
    live = (
        rule("http-request deny if { path -f /srv/list }")(*backends)
        .replace("user haproxy", "user root")
        .replace("    chroot /var/lib/haproxy\n", "")
    ) + PROGRAM
    proxy.write(CONFIG, live)
    answer = ApplyStep(proxy).run(config(*backends), Action="check")
    assert answer.says("checked", "differs"), answer
    assert answer["unsafe"] == "acl-file program"
    assert answer["notes"].split() == ["runs-as-root", "no-chroot"]
    assert proxy.read(CONFIG) == live
    answer = ApplyStep(proxy).run(live, Action="check", AllowUnsafeKeywords="program")
    assert answer.says("checked", "unsafe-keyword"), answer
    assert "AllowUnsafeKeywords=acl-file,program" in answer["detail"]


@pytest.mark.fault("F298")
def test_a_check_of_an_ordinary_file_names_nothing(
    proxy: ProxyHost, backends: tuple[BackendHost, ...]
) -> None:
    """The marker has no such key, and no note."""
    answer = ApplyStep(proxy).run(config(*backends), Action="check")
    assert answer.says("checked", "differs"), answer
    assert "unsafe" not in answer.marker
    assert answer["notes"] == ""
    assert not proxy.path(STATE_DIR).exists()


# Of the keywords that `config/keywords.py` does not know; none runs anything, writes a file or shows one.
HARMLESS = frozenset({
    "acme-vars", "acme.scheduler", "ca-verify-file", "clitimeout", "contimeout", "dns-accept-family", "ecdhe",
    "expose-deprecated-directives", "h1-do-not-close-on-insecure-transfer-encoding", "http-err-codes",
    "http-fail-codes", "no-alpn", "no-ca-names", "ocsp-update", "ocsp-update.httpproxy", "provider-name", "reuse-key",
    "srvtimeout", "ssl-f-use", "stress-level",
})  # fmt: skip
FILTERS_KNOWN = frozenset({
    "bwlim-in", "bwlim-out", "cache", "compression", "fcgi-app", "spoe", "trace",
})  # fmt: skip
# Of `bind` and `server` lines: what TLS needs, which has a format that no other file has.
FILES_OF_TLS = frozenset({"ca-file", "ca-sign-file", "ca-verify-file", "crl-file"})


@pytest.fixture
def valid(tmp_path: Path) -> Path:
    """What HAProxy has to have read before it says all of itself."""
    file = tmp_path / "haproxy.cfg"
    file.write_text(config().replace("user haproxy", "user root"))
    return file


def registered(binary: str, file: Path, what: str) -> list[str]:
    """What HAProxy prints of itself under a heading."""
    command = [binary, "-dKall", "-q", "-c", "-f", str(file)]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    part = said.partition(f"# List of registered {what}:\n")[2].partition("\n# List")[0]
    assert part, said
    return [line.strip() for line in part.splitlines() if line.startswith("\t")]


@pytest.mark.since("2.6", "`-dK`")
def test_no_keyword_is_new(binary: str, valid: Path) -> None:
    """A release that brings one fails here until somebody has read what it does, and has named it in one place."""
    every = [
        line.split() for line in registered(binary, valid, "configuration keywords")
    ]
    first = {line[0] for line in every if not line[0].startswith("tune.")}
    assert len(first) > 80
    assert sorted(first - COMMON - UNSAFE.keys() - HARMLESS) == []
    files = {each for line in every for each in line[1:] if "file" in each}
    assert sorted(files - FILES_OF_TLS) == []
    filters = {line.split()[0] for line in registered(binary, valid, "filter names")}
    unsafe = {each.removeprefix("filter ") for each in FILTERS}
    assert sorted(filters - FILTERS_KNOWN - unsafe) == []


@given(line=st.text("ab\\\\\\\"'#xX4 \t.-/nrtQ", max_size=9))
@example(line=r"\r")
@example(line=r"\xab")
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_words_are_haproxys(binary: str, tmp_path: Path, line: str) -> None:
    """What it calls an unknown keyword is what we read as the first word, whatever quotes and escapes it has."""
    unknown, said = unknown_keyword(binary, tmp_path, f"global\nzz{line} end\n")
    if unknown:
        assert words(f"zz{line} end")[0] == unknown
    else:
        assert "quote" in said or "haproxy.cfg:2]" in said


PARTS = st.sampled_from([
    "$", "${A}", "$A", "${AB-", "${NONE-", "${A[*]}", "{", "}", "-", "[*]", '"', "'", "#", "a", "B", " ", "\t", "\r",
    "\f", "\v", "\\", "\\x41", "\\x7d", "\\x22", "\\x00", "\\x4", "\\$", '\\"', "\\ ",
])  # fmt: skip


@given(line=st.lists(PARTS, max_size=12).map("".join))
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_readings_are_haproxys(binary: str, tmp_path: Path, line: str) -> None:
    """The same with variables, with defaults of theirs, and with what ends a line or a word early."""
    text = f"global\nsetenv A one\nsetenv AB two\nzz{line} end\n"
    unknown, _said = unknown_keyword(binary, tmp_path, text)
    if unknown:
        every = list(read(text))[3].readings
        assert any(may_mean(each[0], unknown) for each in every)


def unknown_keyword(binary: str, folder: Path, text: str) -> tuple[str, str]:
    """What HAProxy takes for a keyword of `global` and does not know, and all that it says."""
    file = folder / "haproxy.cfg"
    file.write_bytes(text.encode())
    command = [binary, "-c", "-f", str(file)]
    done = subprocess.run(command, capture_output=True, check=False)
    said = done.stderr.decode("latin-1")  # each byte as it is: an escape may be any
    found = re.search("unknown keyword '(.*?)' in 'global' section", said, re.DOTALL)
    return (found[1] if found else ""), said


def may_mean(word: str, said: str) -> bool:
    """Whether HAProxy may have read the word so, whatever the host has in its variables."""
    pattern = ".*".join(map(re.escape, re.split(f"{UNKNOWN}+", word)))
    return re.fullmatch(pattern, said, re.DOTALL) is not None
