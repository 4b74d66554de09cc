"""Which keywords of a config are not for everybody, however they are written; what is ordinary is none of them."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from haproxy_sync.config import unsafe
from haproxy_sync.config.readings import UNKNOWN, read
from haproxy_sync.settings import KEYWORD

LIVE = "/etc/haproxy/haproxy.cfg"


def keywords(text: str, path: str = LIVE) -> list[str]:
    """The unsafe keywords, as the parameter names them."""
    return [each.keyword for each in unsafe.found(text, path)]


@pytest.mark.fault("F296")
@pytest.mark.parametrize(
    ("text", "keyword"),
    [
        ("program p\n command /bin/sh", "program"),
        ("global\n external-check", "external-check"),
        ("global\n lua-load /etc/haproxy/a.lua", "lua-load"),
        ("global\n lua-load-per-thread a", "lua-load-per-thread"),
        ("global\n lua-prepend-path a", "lua-prepend-path"),
        ("global\n ssl-engine rdrand", "ssl-engine"),
        ("global\n ssl-provider a", "ssl-provider"),
        ("global\n ssl-provider-path a", "ssl-provider-path"),
        ("global\n module-load a.so", "module-load"),
        ("global\n module-path /opt", "module-path"),
        ("global\n setcap cap_sys_admin", "setcap"),
        ("global\n insecure-setuid-wanted", "insecure-setuid-wanted"),
        ("ring r\n backing-file /etc/cron.d/x", "backing-file"),
        ("global\n shm-stats-file /etc/cron.d/x", "shm-stats-file"),
        ("frontend f\n filter opentracing id x config y", "opentracing"),
        ("frontend f\n filter opentelemetry id x config y", "opentelemetry"),
        ("frontend f\n filter otel id x config y", "otel"),
        ("global\n setenv LD_PRELOAD /tmp/x.so", "setenv"),
        ("global\n presetenv OPENSSL_CONF /tmp/x", "presetenv"),
        ('global\n setenv "LD_${X}" y', "setenv"),
        # in the words of HAProxy
        ('global\n "lua-load" a', "lua-load"),
        (r"global\n lua\x2dload a".replace(r"\n", "\n"), "lua-load"),
        ("global\n lua'-'load a", "lua-load"),
        (r"global\n lu\x61-\x6Coad a".replace(r"\n", "\n"), "lua-load"),
        ("global\n\tlua-load\ta\r", "lua-load"),
        ("global\n\v\flua-load a", "lua-load"),
        ("global\n default lua-load a", "lua-load"),
        ("global\n no setcap a", "setcap"),
        ("frontend f\n program p", "program"),
        (".if defined(X)\nprogram p\n.endif", "program"),
        ("program\0p", "program"),
        # by variables
        ('global\n setenv K lua-load\n "$K" a', "lua-load"),
        ('global\n setenv A lua\n setenv B load\n "$A-${B}" a', "lua-load"),
        ('global\n setenv A lua-load\n setenv B "$A"\n "$B" a', "lua-load"),
        ('global\n "${NONE-lua-load}" a', "lua-load"),
        ('global\n setenv L "lua-load a"\n "${L[*]}"', "lua-load"),
        ('global\n "$OF_THE_HOST" a', "environment"),
        ('global\n setenv K lua-\n setenv Kload description\n "$K"load a', "lua-load"),
        ('global\n setenv S setenv\n "$S" K lua-load\n "${K-log}" a', "lua-load"),
        ('global\n setenv S K\n setenv "$S" lua-load\n "${K-log}" a', "lua-load"),
        ('global\n setenv K lua-load\n "$K" a\n setenv K log', "lua-load"),
        # An earlier config may have set them, or the host has
        ('global\n "${K-log}" a', "environment"),
        ('global\n presetenv K log\n "$K" a', "environment"),
        ('global\n "$K" a\n setenv K log', "environment"),
        ('global\n.if 0\n setenv K log\n.endif\n "$K" a', "environment"),
        ('global\n.endif\n.if 0\n setenv K log\n.endif\n "$K" a', "environment"),
        ('frontend f\n setenv K log\nglobal\n "$K" a', "environment"),
        ('global\n setenv K log more\n "$K" a', "environment"),
        ('global\n no setenv K log\n "$K" a', "environment"),
        ('global\n default setenv A lua\n "$A-load" a', "lua-load"),
        ('global\n setenv K ""\n "${K-log}" a', "environment"),
        ('global\n setenv L " "\n setenv K "${L[*]}"\n "${K-log}" a', "environment"),
        ('global\n setenv N K\n.if x\n setenv N J\n.endif\n setenv "$N" log\n "$K" a', "environment"),
        ('global\n setenv E x\n unsetenv E\n "lua-load$E" a', "environment"),
        ('global\n setenv E x\n resetenv PATH\n "lua-load$E" a', "environment"),
        ('global\n localpeer lua-load\n "$HAPROXY_LOCALPEER" a', "environment"),
        ('global\n setenv HAPROXY_X log\n "$HAPROXY_X" a', "environment"),
        ('frontend f\n filter "$X" id x config y', "environment"),
        # What HAProxy does not read of a word or a line, and what it reads as it is
        ("global\n \"lua-load\" a\r'", "lua-load"),
        ("global\n \"lua-load\" a\0'", "lua-load"),
        (r"global\n lua-load\x00z a".replace(r"\n", "\n"), "lua-load"),
        ('global\n setenv X /\n "lua-load" "${X-"}a"', "lua-load"),
        ('global\n setenv X l\n "${X-\\x7d}ua-load" a', "lua-load"),
        ('global\n "lua-load" a "', "lua-load"),
    ],
)  # fmt: skip
def test_what_gives_away_the_host(text: str, keyword: str) -> None:
    """Each is found, and named as the parameter names it."""
    assert keyword in keywords(f"{text}\n")


@pytest.mark.fault("F296")
@pytest.mark.parametrize(
    "name",
    [
        *("LD_PRELOAD", "LD_LIBRARY_PATH", "LD_AUDIT", "GLIBC_TUNABLES", "GCONV_PATH"),
        *("GETCONF_DIR", "HOSTALIASES", "LOCALDOMAIN", "LOCPATH", "MALLOC_TRACE"),
        *("NIS_PATH", "NLSPATH", "RESOLV_HOST_CONF", "RES_OPTIONS", "TMPDIR", "TZDIR"),
        *("OPENSSL_CONF", "OPENSSL_MODULES", "OPENSSL_ENGINES", "SSLKEYLOGFILE"),
        *("CTLOG_FILE", "SSL_CERT_DIR", "SSL_CERT_FILE", "LUA_PATH", "LUA_INIT"),
        *("PATH", "ENV", "BASH_ENV", "IFS", "PYTHONPATH", "PERL5LIB"),
    ],
)
def test_variables_that_decide_what_code_runs(name: str) -> None:
    """What glibc passes over in a program that becomes root, and what libraries and shells go by; not all variables."""
    for keyword in ("setenv", "presetenv"):
        assert keywords(f"global\n {keyword} {name} x\n") == [keyword]
        assert keywords(f"global\n {keyword} MY_{name} x\n") == []


CREDENTIALS = "/root/.aws/credentials"


@pytest.mark.fault("F297")
@pytest.mark.parametrize(
    ("line", "keyword"),
    [
        (f"errorfile 503 {CREDENTIALS}", "errorfile"),
        (f"http-error status 503 content-type text/plain file {CREDENTIALS}", "file"),
        (f"http-error status 503 content-type text/plain lf-file {CREDENTIALS}", "lf-file"),
        (f"http-request return status 200 file {CREDENTIALS} if TRUE", "file"),
        (f"http-request return status 200 errorfile {CREDENTIALS}", "errorfile"),
        (f"http-request deny deny_status 403 lf-file {CREDENTIALS}", "lf-file"),
        (f"http-request tarpit file {CREDENTIALS}", "file"),
        (f"http-response return status 200 file {CREDENTIALS}", "file"),
        (f"http-response deny file {CREDENTIALS}", "file"),
        (f"stats http-request return file {CREDENTIALS}", "file"),
        (f"stats http-request deny errorfile {CREDENTIALS}", "errorfile"),
        (rf"http-request return file\x00z {CREDENTIALS}", "file"),
        (f"http-request set-header X %[src,map(virt@/..{CREDENTIALS})]", "map"),
        (f"acl a path -i -f {CREDENTIALS}", "acl-file"),
        (f"acl a path -f opt@{CREDENTIALS}", "acl-file"),
        (f"use_backend b if {{ src -f {CREDENTIALS} }}", "acl-file"),
        (f"http-request set-header X %[str(a),map({CREDENTIALS})]", "map"),
        (f'http-request set-header X "%[str(a), map_beg( {CREDENTIALS} ,x)]"', "map"),
        (f"http-request set-var(txn.x) str(a) map_str_int({CREDENTIALS})", "map"),
        (rf"""http-request set-header X '%[str(a),map("{CREDENTIALS}")]'""", "map"),
        (
            r"""http-request set-header X '%[str(a),map("/etc/haproxy/a,/../../root/x")]'""",
            "map",
        ),
        (
            r"""http-request set-header X '%[str(a),map(/etc/haproxy/a"/../../../root/x")]'""",
            "map",
        ),
        (r"""http-request set-header X '%[str(a),map("/etc/haproxy/\x2e\x2e")]'""", "map"),
        (rf"http-request set-header X %[str(a),m\x61p({CREDENTIALS})]", "map"),
        ("errorfile 503 /etc/haproxy/../shadow", "errorfile"),
        ("errorfile 503 /etc/haproxyx/a", "errorfile"),
        ("errorfile 503 /etc/haproxy", "errorfile"),
        ("errorfile 503 /proc/self/environ", "errorfile"),
        # HAProxy is mostly started at the top, where it means /etc/shadow
        ("http-request return file etc/shadow", "file"),
        # keys of TLS
        ("http-request return file /etc/haproxy/certs/site", "file"),
        ("http-request return file /etc/haproxy/site.pem", "file"),
        ("http-request return file /etc/haproxy/.old/site.http", "file"),
        # by variables
        ('errorfile 503 "$PAGE"', "errorfile"),
        ('errorfile 503 "/etc/haproxy/${PAGE}"', "errorfile"),
        (f'http-request return content-type "${{X-"}}t # " file {CREDENTIALS}', "file"),
        (f'http-request return status 200 "$X" {CREDENTIALS}', "environment"),
        (f'http-request return status 200 "fi${{X}}e" {CREDENTIALS}', "environment"),
        ('http-request return status 200 "${X[*]}"', "environment"),
        (f'http-request "$X" status 200 file {CREDENTIALS}', "file"),
        (f'http-error status 503 "$X" {CREDENTIALS}', "environment"),
        (f'stats "$X" return file {CREDENTIALS}', "file"),
        (f'http-request deny if {{ src "$X" {CREDENTIALS} }}', "environment"),
        ('http-request deny if { src "${X[*]}" }', "environment"),
        (f'acl a path -i "$X" {CREDENTIALS}', "environment"),
        (f'http-request set-header X "%[src,${{X}}({CREDENTIALS})]"', "map"),
        (f'http-request set-header X "%[src,${{X}}p({CREDENTIALS})]"', "map"),
        (f'http-request set-header X "%[src,m${{X}}p({CREDENTIALS})]"', "map"),
        ('errorfile 503 "${X-/etc/haproxy}/x"', "errorfile"),
    ],
)  # fmt: skip
def test_what_shows_a_file_of_roots(line: str, keyword: str) -> None:
    """From outside of HAProxy's directories, or a key inside of them; HAProxy would."""
    assert keywords(f"frontend f\n {line}\n") == [keyword]


@pytest.mark.parametrize(
    "line",
    [
        "errorfile 503 /etc/haproxy/errors/503.http",
        "errorfile 408 /dev/null",
        "errorfile 503 /usr/share/haproxy/503.http",
        "errorfile 503 /usr//share/haproxy/503.http",
        "errorfile 503 /usr/local/etc/haproxy/errors/503.http",
        "errorfiles custom",
        "http-request return status 200 content-type text/plain string file",
        'http-request return status 200 content-type text/plain lf-string "%[src]"',
        "http-request return status 200 file /etc/haproxy/pages/robots.txt",
        "http-request set-header X-File /srv/file",
        "http-request deny if { src -f /etc/haproxy/blocked.lst }",
        "http-request deny if { src -f opt@/etc/haproxy/blocked.lst }",
        "use_backend %[req.hdr(host),lower,map(/etc/haproxy/hosts.map,tomcat)]",
        "use_backend %[req.hdr(host),lower,map_dom(virt@hosts,tomcat)]",
        "acl m path_reg ^/map(/|$)",
        "acl p path_end .php$ -i",
        "bind *:443 ssl crt /etc/ssl/private/ alpn h2",
        'bind "${BIND_ADDRESS}:443"',
        'log "${LOGHOST}:514" local0',
        'http-response set-header X-Host "${HOSTNAME}"',
        'http-response set-header X-Host "${HOSTNAME-none}" if { path /a }',
        'http-request return status 200 content-type "$TYPE" string "a/b"',
        'http-request deny hdr X-Host "$HOSTNAME" if { path /a }',
        'server "${NAME}" "${ADDRESS}:80" check',
        'acl a hdr(host) "$HOST"',
        "http-request set-path /${X}",
        "acl p path_reg '^/(a|b)$' ",
        "stats auth admin:$file",
        "redirect prefix https://example.org code 301 if { path_beg /program }",
        "server s1 unix@/run/app.sock check",
        "stats socket /run/haproxy/admin.sock mode 660 level admin expose-fd listeners",
        "option httpchk GET /external-check",
        "filter compression",
        "setenv REGION eu-west-1",
        "# program p",
        "insecure-fork-wanted",
    ],
)  # fmt: skip
def test_what_is_ordinary(line: str) -> None:
    """A false alarm costs a takeover."""
    assert keywords(f"frontend f\n {line}\n") == []


@pytest.mark.parametrize(
    ("above", "path", "is_own"),
    [
        ("", LIVE, False),
        ("default-path config", LIVE, True),
        ("default-path config", "/srv/lb/haproxy.cfg", True),
        ("default-path config", "/etc/haproxy.cfg", False),
        ("default-path parent", LIVE, False),
        ("default-path origin /etc/haproxy", "/srv/lb/haproxy.cfg", True),
        ("default-path origin /root", LIVE, False),
        ("default-path config\n default-path origin /root", LIVE, False),
        ("default-path origin /root\n default-path config", LIVE, True),
        ("default-path config\n.if x\n default-path origin /root\n.endif", LIVE, False),
        (".if x\n default-path config\n.endif", LIVE, False),
        ('setenv D /root\n default-path origin "$D"', LIVE, False),
        ('setenv D /etc/haproxy\n default-path origin "$D"', LIVE, True),
        ('presetenv D /etc/haproxy\n default-path origin "$D"', LIVE, False),
        (
            "default-path config\n.if x\n"
            + "".join(f" default-path origin /etc/haproxy/{n}\n" for n in range(20))
            + ".endif",
            LIVE,
            False,
        ),
        (
            '.if x\n setenv D /root\n.else\n setenv D /etc/haproxy\n.endif\n default-path origin "$D"',
            LIVE,
            False,
        ),
        ('default-path origin "$D"', LIVE, False),
    ],
)  # fmt: skip
def test_relative_names(above: str, path: str, *, is_own: bool) -> None:
    """They count from `default-path`; without it from where HAProxy was started, which no config says."""
    text = f"global\n {above}\nfrontend f\n errorfile 503 errors/503.http\n"
    assert (keywords(text, path) == []) == is_own


@pytest.mark.parametrize("path", ["/haproxy.cfg", "/etc/haproxy.cfg", "/root/lb.cfg"])
def test_a_directory_that_is_more_than_haproxys(path: str) -> None:
    """The live file's own counts only below one that the system has."""
    text = f"frontend f\n errorfile 503 {Path(path).parent}/x\n"
    assert keywords(text, path) == ["errorfile"]
    assert keywords("frontend f\n errorfile 503 /srv/lb/x\n", "/srv/lb/h.cfg") == []


def test_every_line_is_named_and_every_keyword_once() -> None:
    """Ready to paste, with what was allowed before."""
    text = "global\n lua-load a\n lua-load b\nprogram p\n"
    every = unsafe.refused(text, LIVE, {"map"})
    assert [(each.keyword, each.line) for each in every] == [
        ("lua-load", 2),
        ("lua-load", 3),
        ("program", 4),
    ]
    assert unsafe.says(every, {"map"}) == (
        "line 2: lua-load: runs code as root (and 2 more); if that is meant, "
        "set AllowUnsafeKeywords=lua-load,map,program"
    )
    assert [str(each) for each in unsafe.refused(text, LIVE, {"lua-load"})] == [
        "line 4: program: runs a command as root"
    ]
    assert unsafe.refused(text, LIVE, {"lua-load", "program"}) == ()


def test_the_parameter_takes_each_name() -> None:
    """What is refused can be allowed, and all of them together."""
    filters = {each.partition(" ")[2] for each in unsafe.FILTERS}
    every = {
        *unsafe.FIRST,
        *unsafe.FILES,
        *filters,
        unsafe.VARIABLE_KEYWORD,
        "setenv",
        "presetenv",
    }
    assert all(re.fullmatch(KEYWORD, each) for each in every)
    assert len(every) <= 40


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("global\n user haproxy\n chroot /var/lib/haproxy\n", []),
        ("global\n uid 99\n chroot /var/empty\n", []),
        ("global\n daemon\n", ["runs-as-root", "no-chroot"]),
        ("global\n user root\n chroot /x\nuserlist u\n user haproxy\n", ["runs-as-root"]),
        ("global\n uid 0\n chroot /x\n", ["runs-as-root"]),
        ("global\n user haproxy\n", ["no-chroot"]),
    ],
)  # fmt: skip
def test_what_makes_a_break_in_worse(text: str, words: list[str]) -> None:
    """A worker that stays root, or sees the whole disk."""
    assert list(unsafe.exposures(text)) == words


@pytest.mark.parametrize(
    "text",
    [
        "global\n setenv A x\n" + ' setenv A "$A$A"\n' * 20 + ' "$A" x\n',
        'global\n setenv A "' + "$B" * 600 + '"\n setenv B "' + "$A" * 600 + '"\n "$A" x\n',
        "global\n"
        + "".join(f".if x\n setenv A {number}\n.endif\n" for number in range(99))
        + ' "$A" x\n',
        "global\n"
        + "".join(f".if x\n setenv {each} {each}\n.endif\n" for each in "ABCDE")
        + ' x "$A$B$C$D$E"\n',
        f"global\n setenv A {'a' * 8000}\n" + ' setenv B "$A"\n' * 600 + ' "$A" x\n',
    ],
)  # fmt: skip
def test_more_than_anybody_means_is_unsafe(text: str) -> None:
    """It is not worked out, which could last for ever."""
    assert "environment" in keywords(text)


def test_a_variable_of_many_values() -> None:
    """It may be anything, which is no harm where nothing depends on it."""
    many = "".join(f".if x\n setenv A {number}\n.endif\n" for number in range(99))
    assert keywords(f'global\n{many}frontend f\n use_backend "$A"\n') == []
    assert keywords(f'global\n{many}frontend f\n errorfile 503 "$A"\n') == ["errorfile"]


def test_a_word_that_may_name_a_file_of_default_path() -> None:
    """A bare name counts from there, wherever that is."""
    line = 'frontend f\n http-request return status 200 "$X" credentials\n'
    assert keywords(f"global\n default-path origin /root\n{line}") == ["environment"]
    assert keywords(f"global\n default-path config\n{line}") == []


@given(st.text("ab\"$\\{}-[*]()' #x0\r\0\n", max_size=24))
def test_any_line_is_read(text: str) -> None:
    """It ends, and a line without a variable is read as it is."""
    every = list(read(text))
    assert len(every) == text.count("\n") + 1
    assert all(each.readings for each in every)
    if "$" not in text:
        assert all(len(each.readings) == 1 for each in every)
        assert UNKNOWN not in "".join("".join(each.readings[0]) for each in every)


@given(st.text(max_size=60), st.sampled_from([LIVE, "/haproxy.cfg", ""]))
def test_any_text_is_judged(text: str, path: str) -> None:
    """Whatever a live file is, somebody may be told of it."""
    assert all(each.line <= text.count("\n") + 1 for each in unsafe.found(text, path))
