"""A check says what an apply would do, prints what would differ, and touches nothing."""

import fcntl
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from haproxy_apply.report import MAX_OUTPUT
from local.lab import BackendHost, ProxyHost, Style
from tests.host.apply_step import (
    CONFIG,
    PLACE,
    STACK,
    STATE_DIR,
    STYLES,
    ApplyStep,
    StepReport,
    config,
    digest,
    finish,
    installed,
    unexposed,
)
from tests.host.test_kill_sweep import TRACER

type MakeProxy = Callable[..., ProxyHost]

OTHER = STACK.replace("staging/0", "staging/1")
MIGRATES = "/proc/sys/net/ipv4/tcp_migrate_req"


def everything(proxy: ProxyHost) -> dict[str, tuple[int, int, bytes]]:
    """All that a run could touch on the host but for the command's own directory: mode, time of change, content.

    And the processes of HAProxy, the firewall, and the switch of the kernel. A socket is there or not.
    """
    found = {}
    for path in _paths(proxy):
        there = path.lstat()
        is_file = stat.S_ISREG(there.st_mode)
        content = path.read_bytes() if is_file else b""
        changed_at = 0 if stat.S_ISSOCK(there.st_mode) else there.st_ctime_ns
        found[str(path)] = there.st_mode, changed_at, content
    found["processes"] = 0, 0, str(proxy.processes()).encode()
    found["firewall"] = 0, 0, proxy.firewall().encode()
    found["kernel"] = 0, 0, proxy.run(["cat", MIGRATES]).stdout.encode()
    return found


def _paths(proxy: ProxyHost) -> Iterator[Path]:
    """Not what the lab has there, nor the lock of the tools that list the rules."""
    not_ours = (PLACE.orchestration, "/.lab", "xtables.lock")
    for folder in ("/etc/haproxy", "/etc/default", "/var/lib", "/run"):
        for path in proxy.path(folder).rglob("*"):
            if not any(name in str(path) for name in not_ours) and not path.is_dir():
                yield path


def checked(step: ApplyStep, text: str | bytes, **parameters: str) -> StepReport:
    """What a check says; asserts that the host is as before, and that the marker and the diff keep their promises."""
    before = everything(step.host)
    report = step.run(text, Action="check", **parameters)
    assert everything(step.host) == before
    assert report.says("checked"), report
    assert not report.stderr
    assert report["md5_before"] == report["md5_after"]
    assert len(report.stdout.encode()) <= MAX_OUTPUT
    lines = diff(report)
    shown = [line for line in lines if not line.startswith("... ")]
    assert len(shown) == report["diff_shown"]
    assert (len(lines) > len(shown)) == (report["diff_shown"] < report["diff_lines"])
    left = {path.name for path in step.host.path(PLACE.downloads).iterdir()}
    assert left == {"haproxy.cfg", "haproxy_apply.zip"}
    return report


def diff(report: StepReport) -> list[str]:
    """The lines behind the marker."""
    return report.stdout.split("\n")[1:-1]


def changed(report: StepReport) -> list[str]:
    """The lines of the diff that come or go."""
    return [line for line in diff(report)[2:] if line[:1] in {"+", "-"}]


@pytest.fixture
def step(make_proxy: MakeProxy, backends: tuple[BackendHost, ...]) -> ApplyStep:
    """A proxy that has two servers by our stack."""
    proxy = make_proxy(Style.MASTER_WORKER)
    return installed(proxy, config(backends[0]), config(*backends[:2]))


@pytest.mark.fault("F185")
@pytest.mark.parametrize("style", STYLES)
def test_a_host_where_nothing_of_ours_ever_ran(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...], style: Style
) -> None:
    """It differs from what somebody else wrote there; not even the directory of the state is made."""
    proxy = make_proxy(style)
    before, after = config(backends[0]), config(*backends[:2])
    proxy.start(before)
    report = checked(ApplyStep(proxy), after)
    assert (report["reason"], report["would"]) == ("differs", "differs")
    assert report["md5_after"] == digest(before)
    assert report["method"] == "syn-drop"
    assert report["publisher"] == ""
    assert report["haproxy"] == "running"
    assert report["haproxy_version"][0] in "23"
    expected = "master-worker" if style is Style.MASTER_WORKER else "daemon"
    assert report["style"] == expected
    added = f"    server app-2 {backends[1].ipv4}:{backends[1].port} check inter 500ms"
    assert diff(report)[:2] == ["--- live file", "+++ candidate"]
    assert changed(report) == [f"+{added}"]
    assert len(diff(report)) == report["diff_lines"] == 3 + 3 + 1
    assert not proxy.path(STATE_DIR).exists()


@pytest.mark.fault("F185")
def test_the_same(step: ApplyStep, backends: tuple[BackendHost, ...]) -> None:
    """File and worker have the digest; nothing follows the marker."""
    report = checked(step, config(*backends[:2]))
    assert (report["reason"], report["would"]) == ("same", "same")
    assert (report["method"], report["diff_lines"]) == ("none", 0)
    assert report["running_md5"] == report["md5_after"] == digest(config(*backends[:2]))
    assert report.stdout.count("\n") == 1


@pytest.mark.fault("F185")
def test_a_file_that_no_worker_runs(
    step: ApplyStep, backends: tuple[BackendHost, ...]
) -> None:
    """An apply would reload, so it is not the same, although no line differs."""
    text = config(*backends)
    step.host.write(CONFIG, text)
    report = checked(step, text)
    assert (report["reason"], report["diff_lines"]) == ("differs", 0)
    assert "no worker is proven to run it" in report["detail"]
    assert report["method"] == "syn-drop"
    assert step.run(text).says("repaired", "not-activated", "syn-drop")


@pytest.mark.fault("F185")
def test_a_stopped_haproxy_and_no_live_file(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...]
) -> None:
    """All of the candidate is new; nothing would be reloaded."""
    step = ApplyStep(make_proxy(Style.SYSV))
    text = config(backends[0])
    report = checked(step, text)
    assert (report["would"], report["haproxy"]) == ("differs", "stopped")
    assert (report["md5_before"], report["method"]) == ("", "none")
    assert diff(report)[2] == f"@@ -0,0 +1,{text.count(chr(10))} @@"
    assert changed(report) == [f"+{line}" for line in text.splitlines()]
    step.host.write(CONFIG, text)
    assert checked(step, text)["would"] == "same"
    assert checked(step, config(*backends[:2]))["would"] == "differs"


@pytest.mark.fault("F185")
def test_it_waits_for_no_other_run(
    step: ApplyStep, backends: tuple[BackendHost, ...]
) -> None:
    """Which may be waiting for a minute itself."""
    with step.host.path(f"{STATE_DIR}/lock").open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert checked(step, config(*backends))["would"] == "differs"


@pytest.mark.fault("F185")
def test_it_writes_nothing_by_its_system_calls(
    step: ApplyStep, backends: tuple[BackendHost, ...], tmp_path: Path
) -> None:
    """But for its two files, which are gone afterwards, and those of the program that checks them."""
    events = tmp_path / "events"
    tracer = (*TRACER, "", "0", str(events))
    text = config(*backends, binds="bind :8081").replace("leastconn", "roundrobin")
    report = finish(step.start(text, tracer=tracer, Action="check"))
    assert report.says("checked", "differs"), report
    own = {"candidate.cfg", "binds.cfg", "candidate.cfg.new", "binds.cfg.new"}
    calls = [
        line.split() for line in events.read_text().splitlines() if "python" in line
    ]
    writing = [words for words in calls if words[1] not in {"connect", "send"}]
    assert writing
    assert {words[-1] for words in writing} <= own, writing


REFUSED: Mapping[str, Callable[[str], str]] = {
    "invalid-config": lambda text: f"{text}nonsense here\n",
    "missing-directory": lambda text: text.replace(
        "chroot /var/lib/haproxy", "chroot /var/lib/nowhere"
    ),
    "cannot-bind": lambda text: text.replace(
        "bind :80\n", "bind :80\n    bind 10.99.0.9:81\n"
    ),
}


@pytest.mark.fault("F186")
@pytest.mark.parametrize("reason", REFUSED)
def test_what_an_apply_would_refuse(
    step: ApplyStep, backends: tuple[BackendHost, ...], reason: str
) -> None:
    """With the same word and the same detail, and with the diff."""
    text = REFUSED[reason](config(*backends))
    report = checked(step, text)
    assert (report["would"], report["reason"]) == ("refused", reason)
    assert report["method"] == "none"
    assert [line for line in changed(report) if "app-3" in line]
    applied = step.run(text)
    assert (applied["outcome"], applied["reason"]) == ("failed", reason)
    names = (PLACE.downloads, "/etc/haproxy/.haproxy.cfg.haproxy-ec2-sync.new", "cfg")
    for word in applied["detail"].split():
        # HAProxy 2.2 says when, too: 330/092344.
        is_number = word.strip("()[]:").replace("/", "").isdecimal()
        told = is_number or any(name in word for name in names)
        assert told or word in report["detail"], word


@pytest.mark.fault("F186")
def test_another_stacks_host(
    step: ApplyStep, backends: tuple[BackendHost, ...]
) -> None:
    """It is told whose it is, and nobody is remembered as refused; by word it could be taken."""
    report = checked(step, config(*backends), Publisher=OTHER)
    assert (report["would"], report["reason"]) == ("refused", "other-publisher")
    assert report["publisher"] == STACK
    assert STACK in report["detail"]
    assert len(changed(report)) == 1
    assert "other_publisher" not in step.run(config(*backends[:2])).marker
    late = checked(
        step, config(*backends), Publisher=OTHER, Adopt="true", Generation="1"
    )
    assert late["reason"] == "older-generation"
    adopted = checked(step, config(*backends), Publisher=OTHER, Adopt="true")
    assert (adopted["would"], adopted["publisher"]) == ("differs", STACK)


@pytest.mark.fault("F186")
def test_haproxy_with_other_files(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...]
) -> None:
    """It would be left alone."""
    proxy = make_proxy(Style.SYSV)
    proxy.start(config(backends[0]))
    proxy.write("/etc/haproxy/other.cfg", config(backends[0]))
    step = ApplyStep(proxy)
    text = config(*backends[:2])
    report = checked(step, text, ConfigPath="/etc/haproxy/other.cfg")
    assert (report["would"], report["reason"]) == ("refused", "config-not-used")
    assert report["haproxy"] == "config-not-used"
    assert len(changed(report)) == 1


@pytest.mark.fault("F186")
def test_a_host_without_haproxy(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...]
) -> None:
    """It could not even check."""
    proxy = make_proxy(Style.SYSV)
    proxy.run(["rm", "/usr/sbin/haproxy"])
    report = checked(ApplyStep(proxy), config(backends[0]))
    assert (report["would"], report["reason"]) == ("refused", "no-haproxy")
    assert report["diff_lines"] > 3


@pytest.mark.fault("F186")
def test_a_full_disk(make_proxy: MakeProxy, backends: tuple[BackendHost, ...]) -> None:
    """Where the candidate would find no place, and where the state would not; nothing is tried."""
    proxy = make_proxy(Style.MASTER_WORKER, sizes={"/etc/haproxy": "64k"})
    proxy.start(config(backends[0]))
    step = ApplyStep(proxy)
    proxy.run(["sh", "-c", "cat /dev/zero >/etc/haproxy/filler"], check=False)
    report = checked(step, config(*backends))
    assert (report["would"], report["reason"]) == ("refused", "cannot-write")
    assert step.run(config(*backends))["detail"] == report["detail"]
    proxy.run(["rm", "/etc/haproxy/filler"])
    assert checked(step, config(*backends))["would"] == "differs"
    proxy.make_read_only("/etc/haproxy")
    assert checked(step, config(*backends))["reason"] == "cannot-write"


@pytest.mark.fault("F186")
def test_another_download_than_was_published(
    step: ApplyStep, backends: tuple[BackendHost, ...]
) -> None:
    """It is not shown: which of its lines are secret, nobody knows. Without a download there is nothing to say."""
    text = config(*backends)
    for digests in ({"Md5": "0" * 32}, {"Sha256": "0" * 64}):
        report = checked(step, text, **digests)
        assert (report["would"], report["reason"]) == ("refused", "checksum-mismatch")
        assert report["diff_lines"] == 0
    missing = step.run(None, Action="check")
    assert (missing.status, missing["outcome"]) == (14, "failed")
    assert "would" not in missing.marker


@pytest.mark.fault("F186")
def test_several_files(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...]
) -> None:
    """The candidate takes the place of one of them; what is wrong with it beside the other one is found."""
    proxy = make_proxy(Style.DAEMON)
    proxy.write(CONFIG, config(backends[0]))
    more = "/etc/haproxy/more.cfg"
    proxy.write(
        more, "frontend more\n    mode http\n    bind :8082\n    use_backend app\n"
    )
    proxy.run(["haproxy", "-D", "-f", CONFIG, "-f", more, "-p", "/run/haproxy.pid"])
    proxy.wait_until_ready()
    step = ApplyStep(proxy)
    after = config(*backends)
    report = checked(step, after, ReloadMethod="runtime")
    assert (report["would"], report["method"]) == ("differs", "seamless")
    renamed = after.replace("backend app", "backend apps")
    assert checked(step, renamed)["reason"] == "invalid-config"
    assert step.run(after, ReloadMethod="runtime").says("installed", method="seamless")


@pytest.mark.fault("F186")
@pytest.mark.parametrize("origin", ["config", '"config"', "'config'  # beside it"])
@pytest.mark.since("2.4", "`default-path`")
def test_relative_files_beside_the_live_one(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...], origin: str
) -> None:
    """They are looked for where an apply looks for them, not in the directory of the command."""
    proxy = make_proxy(Style.SYSV)
    proxy.start(config(backends[0]))
    step = ApplyStep(proxy)
    proxy.write("/etc/haproxy/lists/blocked", "/secret\n")
    text = config(*backends, extra=f"default-path {origin}").replace(
        "    bind :80\n",
        "    bind :80\n    http-request deny if { path -f lists/blocked }\n",
    )
    report = checked(step, text)
    assert report["would"] == "differs", report
    assert step.run(text).says("installed")
    absent = text.replace("lists/blocked", "lists/absent")
    assert checked(step, absent)["reason"] == "invalid-config"


RING = """\
ring events
    format raw
    maxlen 1200
    size 32764
    {} /var/lib/haproxy/events
"""


@pytest.mark.fault("F185")
@pytest.mark.parametrize(
    "keyword", ["backing-file", '"backing-file"', r"backing\x2dfile"]
)
@pytest.mark.since("2.6", "`backing-file`")
def test_what_haproxy_itself_would_make(
    step: ApplyStep, backends: tuple[BackendHost, ...], keyword: str
) -> None:
    """Its `-c` makes the file behind a ring anew, and puts the one that a worker writes to aside."""
    text = config(*backends) + RING.format(keyword)
    allowed = {"AllowUnsafeKeywords": "backing-file"}
    report = checked(step, text, **allowed)
    assert report["would"] == "differs", report
    assert f"+    {keyword} /var/lib/haproxy/events" in changed(report)
    assert step.run(text, **allowed).says("installed")
    ring = step.host.path("/var/lib/haproxy/events")
    assert ring.exists()
    report = checked(step, text.replace("1200", "1300"), **allowed)
    assert report["would"] == "differs", report


def variants(backends: tuple[BackendHost, ...]) -> Mapping[str, str]:
    """Configs, each to be reached from the one before it, by what that takes."""
    two, three = config(*backends[:2]), config(*backends)
    blind = unexposed(three)
    alone = blind.replace("global\n", "global\n    noreuseport\n", 1)
    return {
        "a server": two,
        "another server": three,
        "another balance": three.replace("roundrobin", "leastconn"),
        "a port": three.replace("bind :80\n", "bind :80\n    bind :8081\n"),
        "a comment": three + "# of no effect\n",
        "hands nothing over": blind,
        "a server, handing nothing over": blind.replace("app-3 ", "app-4 "),
        "cannot share": alone,
        "cannot share yet": alone.replace("roundrobin", "leastconn"),
        "shares again": three,
    }


@pytest.mark.fault("F187")
@pytest.mark.parametrize("method", ["seamless", "auto"])
@pytest.mark.parametrize("style", STYLES)
def test_the_method_is_the_one_that_an_apply_then_uses(
    make_proxy: MakeProxy,
    backends: tuple[BackendHost, ...],
    style: Style,
    method: str,
) -> None:
    """Whatever the change and the way to run HAProxy; more than one is tried."""
    proxy = make_proxy(style)
    proxy.start(config(backends[0]))
    step = ApplyStep(proxy)
    used = []
    for change, text in variants(backends).items():
        said = checked(step, text, ReloadMethod=method)
        applied = step.run(text, ReloadMethod=method)
        assert applied.says("installed"), (change, applied)
        assert said["method"] == applied["method"], change
        used.append(applied["method"])
    assert len(set(used)) > (style is not Style.MASTER_WORKER or method == "auto")


@pytest.mark.fault("F187")
def test_a_kernel_that_moves_nothing(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...]
) -> None:
    """The switch is looked at, and not switched."""
    proxy = make_proxy(Style.DAEMON)
    before, after = (unexposed(config(*hosts)) for hosts in (backends[:1], backends))
    proxy.run(["sysctl", "-w", "net.ipv4.tcp_migrate_req=0"])
    proxy.start(before)
    step = ApplyStep(proxy)
    other = after.replace("roundrobin", "leastconn")
    assert checked(step, other, ReloadMethod="auto")["method"] == "seamless"
    assert proxy.run(["cat", MIGRATES]).stdout == "0\n"
    proxy.run(["mount", "-t", "tmpfs", "none", "/proc/sys/net/ipv4"])
    report = step.run(other, Action="check", ReloadMethod="auto")
    assert report["method"] == "syn-drop"
    assert step.run(other, ReloadMethod="auto").says("installed", method="syn-drop")


@pytest.mark.fault("F188")
def test_a_diff_of_any_length(
    step: ApplyStep, backends: tuple[BackendHost, ...]
) -> None:
    """It is cut at whole lines; the last one says how many are missing."""
    servers = "".join(
        f"    server more-{number} 10.9.{number // 250}.{number % 250 + 1}:80\n"
        for number in range(3000)
    )
    report = checked(step, config(*backends) + servers)
    *shown, last = diff(report)
    missing = report["diff_lines"] - report["diff_shown"]
    assert report["diff_lines"] > 3000
    assert len(shown) == report["diff_shown"] < 3000
    assert last == f"... {missing} of {report['diff_lines']} lines are not shown"
    assert all(line[:1] in "+- @" for line in shown)
    assert shown[-1].endswith(":80")
    assert len(report.stdout) > MAX_OUTPUT - 2100


@pytest.mark.fault("F188")
def test_bytes_that_are_no_text(
    step: ApplyStep, backends: tuple[BackendHost, ...]
) -> None:
    """Each is told by its number, as is what a terminal would obey; all else is as it was."""
    live = config(*backends[:2]).encode() + b"# caf\xe9 na\xc3\xafve \x1b[31m\r\n"
    step.host.path(CONFIG).write_bytes(live)
    text = config(*backends[:2]).encode() + b"# caf\xc3\xa9\n"
    report = checked(step, text)
    assert changed(report) == [
        "-# caf\\xe9 na\u00efve \\x1b[31m\\x0d",
        "+# caf\u00e9",
    ]
    assert report["md5_before"] == digest(live)
    assert report["would"] == "differs"


SECRETS = {
    "stats auth": "    stats auth admin:{}\n",
    "an unknown keyword": "    http-request set-header X-Partner {}\n",
    "filtered": "    http-request set-header X-Signed prefix-{}-suffix\n",
    "authorization": "    http-request set-header Authorization 'Basic {}'\n",
    "alone": "    description {}\n",
}


def with_secrets(text: str, values: Mapping[str, str]) -> str:
    """The config with a line of each kind."""
    lines = "".join(line.format(values[kind]) for kind, line in SECRETS.items())
    return text.replace("backend app\n", f"backend app\n{lines}")


def secret_lines(text: str, values: Mapping[str, str]) -> str:
    """Where the secrets stand that no keyword tells, as the document's parameter names it."""
    told = {"stats auth": "stats auth", "authorization": "Authorization"}
    return ",".join(
        str(number)
        for number, line in enumerate(text.splitlines(), 1)
        for kind, value in values.items()
        if value in line and told.get(kind, "no keyword") not in line
    )


def values(prefix: str) -> dict[str, str]:
    """A secret of each kind."""
    return {kind: f"{prefix}{number}s3cret" for number, kind in enumerate(SECRETS)}


@pytest.mark.fault("F189")
@pytest.mark.parametrize("action", ["check", "apply"])
@pytest.mark.parametrize("reason", ["", *REFUSED])
def test_no_secret_is_printed(
    step: ApplyStep, backends: tuple[BackendHost, ...], reason: str, action: str
) -> None:
    """Neither those of the candidate nor those that they replace, whatever HAProxy quotes; the rest is."""
    old, new = values("old"), values("new")
    live = with_secrets(config(*backends[:2]), old)
    assert step.run(live, SecretLines=secret_lines(live, old)).says("installed")
    after = with_secrets(config(*backends), new)
    if reason:
        after = REFUSED[reason](after)
    if (
        reason == "invalid-config"
    ):  # HAProxy quotes the words of a line that it does not know
        after = after.replace(
            "http-request set-header X-Signed", "http-requests X-Signed"
        )
        after = after.replace("stats auth", "stats auht").replace(
            "description", "descr"
        )
    lines = secret_lines(after, new)
    report = step.run(after, SecretLines=lines, Action=action)
    assert report["reason"] in {reason, "differs", "changed"}
    said = report.stdout + report.stderr
    for secret in (*old.values(), *new.values()):
        assert secret not in said, report
    if action == "check":
        assert [line for line in changed(report) if "app-3" in line]
        assert "+    http-request ***" in changed(report)
        assert "-    http-request ***" in changed(report)
        is_known = reason != "invalid-config"
        assert ("+    stats auth ***" in changed(report)) == is_known
    if reason == "invalid-config":
        assert ".cfg" in report["detail"]
