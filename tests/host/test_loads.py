"""How long HAProxy takes to load a file, and what the program makes of that: it waits, and believes nothing too early.

Here a file in Lua makes a load long. Names that no resolver answers, certificates and maps do the same.
"""

import re
from collections.abc import Callable
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest

from haproxy_sync.rollout.program import RELEASE, Program
from local.agent.host import PRIVATE
from local.lab import BackendHost, Client, ProxyHost, Style, printed, wait_until
from local.lab.proxy import STATS_SOCKET
from tests.haproxies import is_at_least
from tests.host.apply_step import (
    CONFIG,
    PLACE,
    STYLES,
    ApplyStep,
    StepReport,
    config,
    digest,
    state_of,
)

type MakeProxy = Callable[..., ProxyHost]

SLOW = "/etc/haproxy/slow.lua"
LOADING = "/etc/haproxy/loading"
"""There once the first load of the slow file by a HAProxy that is to run has begun."""

SLEEPS = """\
local words = io.open("/proc/self/cmdline"):read("a")
local is_check = words:find("%z%-c%z") ~= nil
if not is_check then io.open("{loading}", "w"):close() end
os.execute("sleep " .. (is_check and "{check}" or "{load}"))
"""

USUAL_SECONDS = 15
"""What a load is waited for at least."""


def loading_lua(text: str) -> str:
    """The config with the file that makes its load long."""
    return text.replace("global\n", f"global\n    lua-load {SLOW}\n", 1)


def make_slow(proxy: ProxyHost, *, check: float = 0, load: float = 0) -> None:
    """Let a check and a load of the slow file take so many seconds from now on."""
    proxy.path(LOADING).unlink(missing_ok=True)
    proxy.write(SLOW, SLEEPS.format(loading=LOADING, check=check, load=load))


def run(step: ApplyStep, text: str, **parameters: str) -> StepReport:
    """Run the step for as long as the agent would let it."""
    process = step.start(text, **parameters)
    stdout, stderr = printed(process, timeout_seconds=180)
    return StepReport(process.returncode, stdout, stderr)


def servers(proxy: ProxyHost) -> set[str]:
    """Those that the worker has; 2.2 tells those of the master's own proxy, too."""
    return {name for name in state_of(proxy) if name.startswith("app-")}


def unasked(text: str) -> str:
    """The config without a stats socket."""
    return re.sub(r"\n *stats socket .*", "", text)


@pytest.mark.fault("F204")
@pytest.mark.parametrize("style", STYLES)
def test_a_load_is_waited_for_as_its_check_foretells(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...], style: Style
) -> None:
    """A check of half the usual limit foretells a load that takes longer than that limit."""
    proxy = make_proxy(style)
    proxy.start(config(backends[0]))
    make_slow(proxy, check=USUAL_SECONDS / 2, load=USUAL_SECONDS + 2)
    after = loading_lua(config(*backends))
    answer = run(ApplyStep(proxy), after, ReloadMethod="seamless")
    assert answer.says("installed"), answer
    assert answer["running_md5"] == digest(after)
    assert servers(proxy) == {"app-1", "app-2", "app-3"}


@pytest.mark.fault("F204")
def test_a_file_that_was_refused_for_its_load_does_not_run_later(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...], haproxy: dict[str, Any]
) -> None:
    """The master is still at it when the run gives up: what comes of that is undone before the run ends."""
    proxy = make_proxy(Style.MASTER_WORKER, **haproxy)
    before = config(backends[0])
    proxy.start(before)
    make_slow(proxy, load=USUAL_SECONDS + 5)
    step = ApplyStep(proxy)
    answer = run(step, loading_lua(config(*backends)), ReloadMethod="seamless")
    assert answer.says("rolled-back", "no-new-worker"), answer
    assert proxy.read(CONFIG) == before
    assert answer["running_md5"] == digest(before)
    assert_nothing_is_loading(proxy)
    assert servers(proxy) == {"app-1"}
    assert step.run(before).says("unchanged")
    assert len(proxy.workers()) == 1


LEAST_SECONDS = 3
"""What a load is waited for at least by the program in a hurry."""
RUN_SECONDS = 34
"""What a run of it may take."""


def hurried(step: ApplyStep, folder: Path) -> ApplyStep:
    """The step with a program that is the deployed one, but for how long it waits."""
    for part in ("host", "haproxy_sync"):
        copytree(RELEASE / part, folder / part)
    patience = folder / "host" / "haproxy_apply" / "patience.py"
    text = patience.read_text()
    for name, deployed, seconds in (
        ("LEAST_SECONDS", USUAL_SECONDS, LEAST_SECONDS),
        ("RUN_SECONDS", 165, RUN_SECONDS),
    ):
        assert f"\n{name} = {deployed}\n" in text
        text = text.replace(f"\n{name} = {deployed}\n", f"\n{name} = {seconds}\n")
    patience.write_text(text)
    program = Program.packed(folder)
    script = PLACE.script("apply")
    launcher = step.host.read(script).replace(Program.deployed().sha256, program.sha256)
    step.host.write(script, launcher, mode=PRIVATE)
    zipped = f"{PLACE.downloads}/haproxy_apply.zip"
    step.host.write(zipped, program.content, mode=PRIVATE)
    return step


@pytest.mark.fault("F229")
def test_a_config_whose_load_could_not_be_undone_in_time_is_refused(
    make_proxy: MakeProxy,
    backends: tuple[BackendHost, ...],
    tmp_path: Path,
    haproxy: dict[str, Any],
) -> None:
    """The check leaves less time than a load and its undoing take: file and worker stay."""
    proxy = make_proxy(Style.MASTER_WORKER, **haproxy)
    before = config(backends[0])
    proxy.start(before)
    worker = proxy.worker
    make_slow(proxy, check=12)
    step = hurried(ApplyStep(proxy), tmp_path)
    answer = run(step, loading_lua(config(*backends)))
    assert answer.says("failed", "slow-config"), answer
    assert answer.status == 17
    assert "haproxy -c took" in answer["detail"]
    assert proxy.read(CONFIG) == before
    assert proxy.worker == worker
    assert not proxy.path(LOADING).exists()


@pytest.mark.fault("F230")
def test_a_load_that_outlasts_the_rollback_is_told_and_repaired(
    make_proxy: MakeProxy,
    backends: tuple[BackendHost, ...],
    tmp_path: Path,
    haproxy: dict[str, Any],
) -> None:
    """The master is at the refused file when the time is over: nothing is proven, and the next run puts it right."""
    proxy = make_proxy(Style.MASTER_WORKER, **haproxy)
    before = config(backends[0])
    proxy.start(before)
    step = ApplyStep(proxy)
    assert step.run(before)["running_md5"] == digest(before)
    make_slow(proxy, load=10 * RUN_SECONDS)
    deployed = proxy.read(PLACE.script("apply"))
    hurried(step, tmp_path)
    answer = run(step, loading_lua(config(*backends)), ReloadMethod="seamless")
    assert answer.says("failed", "rollback-failed"), answer
    assert "no-new-worker" in answer["detail"]
    assert answer["running_md5"] == ""
    assert proxy.read(CONFIG) == before
    proxy.write(PLACE.script("apply"), deployed, mode=PRIVATE)
    program = Program.deployed().content
    proxy.write(f"{PLACE.downloads}/haproxy_apply.zip", program, mode=PRIVATE)
    proxy.run(["pkill", "sleep"])
    wait_until(lambda: not is_loading(proxy))
    answer = run(step, before, ReloadMethod="seamless")
    assert answer["outcome"] in {"repaired", "unchanged"}, answer
    assert answer["running_md5"] == digest(before)
    assert servers(proxy) == {"app-1"}
    assert_nothing_is_loading(proxy)


def is_loading(proxy: ProxyHost) -> bool:
    """Whether a HAProxy is at the slow file."""
    return "sleep" in proxy.run(["ps", "-eo", "comm"]).stdout.split()


def assert_nothing_is_loading(proxy: ProxyHost) -> None:
    """No HAProxy has a child that sleeps, and the master answers."""
    assert not is_loading(proxy)
    assert proxy.show_proc()


@pytest.mark.fault("F205")
@pytest.mark.parametrize("ask", [True, False], ids=["socket", "no-socket"])
@pytest.mark.parametrize("style", STYLES)
def test_a_worker_whose_load_began_before_the_file_changed_proves_nothing(
    make_proxy: MakeProxy,
    backends: tuple[BackendHost, ...],
    style: Style,
    *,
    ask: bool,
) -> None:
    """The file is replaced during a load; the worker appears seconds later and runs what was read before."""
    proxy = make_proxy(style)
    before, after = (loading_lua(config(*hosts)) for hosts in (backends[:1], backends))
    if not ask:
        before, after = map(unasked, (before, after))
    proxy.write(CONFIG, before)
    make_slow(proxy, load=5)
    starting = proxy.popen(["sh", "-c", start_command(proxy)])
    wait_until(proxy.path(LOADING).exists)
    proxy.write(f"{CONFIG}.other", after)
    proxy.run(["mv", f"{CONFIG}.other", CONFIG])
    starting.wait(timeout=30)
    proxy.wait_until_ready()
    make_slow(proxy)
    worker = proxy.worker
    answer = ApplyStep(proxy).run(after, ReloadMethod="seamless")
    assert answer.says("repaired", "not-activated"), answer
    assert proxy.worker != worker


def start_command(proxy: ProxyHost) -> str:
    """What starts HAProxy in this style."""
    match proxy.style:
        case Style.SYSV:
            return "/etc/init.d/haproxy start"
        case Style.MASTER_WORKER:
            return "systemctl start haproxy"
        case Style.DAEMON:
            return f"haproxy -D -f {CONFIG} -p /run/haproxy.pid"


@pytest.mark.fault("F205")
def test_a_load_of_the_file_before_is_not_taken_for_that_of_the_new_one(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...], haproxy: dict[str, Any]
) -> None:
    """Somebody's reload is under way when the file is installed: its worker is not the one that is awaited."""
    proxy = make_proxy(Style.MASTER_WORKER, **haproxy)
    before = loading_lua(config(backends[0]))
    make_slow(proxy)
    proxy.start(before)
    make_slow(proxy, load=4)
    proxy.run(["systemctl", "reload", "haproxy"])
    wait_until(proxy.path(LOADING).exists)
    answer = run(ApplyStep(proxy), config(*backends), ReloadMethod="seamless")
    assert answer.says("installed"), answer
    assert servers(proxy) == {"app-1", "app-2", "app-3"}


@pytest.mark.fault("F206")
@pytest.mark.parametrize("ask", [True, False], ids=["socket", "no-socket"])
def test_the_drop_window_is_no_longer_for_a_long_load(
    make_proxy: MakeProxy,
    backends: tuple[BackendHost, ...],
    haproxy: dict[str, Any],
    *,
    ask: bool,
) -> None:
    """From 3.1 on the new worker is there when the load begins; the window opens, and the run ends, at its end."""
    # More than the watch takes, so that a run which takes the worker for ready at once ends within the load.
    seconds = 5
    proxy = make_proxy(Style.MASTER_WORKER, **haproxy)
    if not ask and "version 2.2" in proxy.run(["haproxy", "-v"]).stdout:
        pytest.skip("2.2 hands over only what a stats socket exposes")
    before, after = (loading_lua(config(*hosts)) for hosts in (backends[:1], backends))
    if not ask:
        before, after = map(unasked, (before, after))
    make_slow(proxy)
    proxy.start(before)
    make_slow(proxy, load=seconds)
    answer = ApplyStep(proxy).run(after, ReloadMethod="syn-drop")
    assert answer.says("installed", method="syn-drop"), answer
    # None at all, where the worker is ready between two looks: the master hands the listeners over.
    assert answer["window_ms"] < seconds * 1000 / 2
    assert_nothing_is_loading(proxy)


@pytest.mark.fault("F207")
@pytest.mark.parametrize("method", ["syn-drop", "seamless"])
def test_a_stats_socket_whose_file_is_gone_is_told_and_not_waited_for(
    make_proxy: MakeProxy,
    backends: tuple[BackendHost, ...],
    haproxy: dict[str, Any],
    method: str,
) -> None:
    """A cleaner removed it. The master hands the old socket over, so the new worker answers nobody either."""
    proxy = make_proxy(Style.MASTER_WORKER, **haproxy)
    proxy.start(config(backends[0]))
    proxy.path("/run/haproxy/admin.sock").unlink()
    worker = proxy.worker
    answer = ApplyStep(proxy).run(config(*backends), ReloadMethod=method)
    assert answer.says("installed", method=method), answer
    # 2.2 finds nobody to take the socket from, and makes it anew.
    is_back = proxy.path("/run/haproxy/admin.sock").exists()
    assert ("stats-socket-gone" in answer["notes"].split()) != is_back
    assert answer["window_ms"] < 1000
    assert proxy.worker != worker


@pytest.mark.fault("F207")
@pytest.mark.parametrize("style", [Style.SYSV, Style.DAEMON])
def test_a_daemon_makes_a_stats_socket_that_was_gone_anew(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...], style: Style
) -> None:
    """It binds it itself, so nothing is lost and nothing is said."""
    proxy = make_proxy(style)
    proxy.start(config(backends[0]))
    proxy.path("/run/haproxy/admin.sock").unlink()
    answer = ApplyStep(proxy).run(config(*backends), ReloadMethod="syn-drop")
    assert answer.says("installed"), answer
    assert "stats-socket-gone" not in answer["notes"].split()
    assert servers(proxy) == {"app-1", "app-2", "app-3"}


@pytest.mark.fault("F207")
def test_what_the_runbook_says_brings_the_stats_socket_back(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...], haproxy: dict[str, Any]
) -> None:
    """Another path in the template: the new worker binds that, in the reload that brings it."""
    proxy = make_proxy(Style.MASTER_WORKER, **haproxy)
    proxy.start(config(backends[0]))
    proxy.path("/run/haproxy/admin.sock").unlink()
    after = config(*backends).replace("/admin.sock", "/stats.sock")
    answer = ApplyStep(proxy).run(after)
    assert answer.says("installed"), answer
    assert "stats-socket-gone" not in answer["notes"].split()
    assert proxy.ask("show info", "/run/haproxy/stats.sock")


ONLY_THE_MASTER_FAILS = (
    'local words = io.open("/proc/self/cmdline"):read("a")\n'
    'if not words:find("%z%-c%z") then error("the map is gone") end\n'
)


@pytest.mark.fault("F208")
def test_why_a_master_did_not_load_the_file_is_told(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...], haproxy: dict[str, Any]
) -> None:
    """By the master, or by the journal of its unit where that version does not say it."""
    proxy = make_proxy(Style.MASTER_WORKER, **haproxy)
    proxy.start(config(backends[0]))
    proxy.write(SLOW, ONLY_THE_MASTER_FAILS)
    proxy.write("/usr/bin/journalctl", JOURNALCTL, mode=0o755)
    answer = ApplyStep(proxy).run(loading_lua(config(*backends)))
    assert answer.says("rolled-back", "reload-failed"), answer
    assert "the map is gone" in answer["detail"], answer
    assert "earlier" not in answer["detail"]


JOURNALCTL = """\
#!/bin/sh
# Stand-in for journalctl: what HAProxy wrote to standard error, and what is older unless it was told to leave that out.
case " $* " in *' --since='*) ;; *) echo '[ALERT] (1) : earlier' ;; esac
case " $* " in *haproxy.service*) cat /run/haproxy.log ;; esac
"""


@pytest.mark.fault("F236")
@pytest.mark.parametrize("options", ["", "-S /run/haproxy-master.sock"])
def test_a_load_that_failed_is_seen_where_the_master_does_not_tell(
    make_proxy: MakeProxy,
    backends: tuple[BackendHost, ...],
    client: Client,
    haproxy: dict[str, Any],
    options: str,
) -> None:
    """No socket to ask it on, or a version that does not count: the old worker goes on, twice."""
    proxy = make_proxy(Style.MASTER_WORKER, **haproxy)
    if not re.search(r"version (2|3\.0)\.", proxy.run(["haproxy", "-v"]).stdout):
        pytest.skip("from 3.1 on a master does not execute itself to wait")
    proxy.write("/etc/default/haproxy", f'EXTRAOPTS="{options}"\n')
    # In the background of its own accord, where it is not built for systemd, it would say nothing to anybody.
    before, refused = (
        text.replace("    daemon\n", "")
        for text in (config(backends[0]), loading_lua(config(*backends)))
    )
    proxy.start(before)
    worker = proxy.worker
    proxy.write(SLOW, ONLY_THE_MASTER_FAILS)
    proxy.write("/usr/bin/journalctl", JOURNALCTL, mode=0o755)
    step = ApplyStep(proxy)
    for _attempt in range(2):
        answer = step.run(refused)
        assert answer.says("rolled-back", "reload-failed"), answer
        assert "the map is gone" in answer["detail"], answer
        assert proxy.read(CONFIG) == before
        assert proxy.workers() == (worker,)
        assert client.get(str(proxy.ipv4)).status == 200
    after = config(*backends)
    assert step.run(after).says("installed")
    assert servers(proxy) == {"app-1", "app-2", "app-3"}


@pytest.mark.fault("F241")
@pytest.mark.parametrize("has_failed", [False, True], ids=["first", "second"])
def test_a_load_that_is_good_is_not_taken_for_a_failed_one(
    make_proxy: MakeProxy,
    backends: tuple[BackendHost, ...],
    haproxy: dict[str, Any],
    *,
    has_failed: bool,
) -> None:
    """A master executes itself to wait after those, too: seen for seconds where the new worker cannot be asked."""
    if has_failed and is_at_least(haproxy, "3.1"):
        pytest.skip("from 3.1 on a master does not execute itself to wait")
    proxy = make_proxy(Style.MASTER_WORKER, **haproxy)
    proxy.write("/etc/default/haproxy", "EXTRAOPTS=\nNODE=admin\n")
    before, after = (
        text.replace("    daemon\n", "") for text in map(config, backends[:2])
    )
    proxy.start(before)
    step = ApplyStep(proxy)
    if has_failed:
        proxy.write(SLOW, ONLY_THE_MASTER_FAILS)
        answer = step.run(loading_lua(before))
        assert answer.says("rolled-back", "reload-failed"), answer
    # The same socket, by a name that only HAProxy knows.
    after = after.replace(STATS_SOCKET, '"/run/haproxy/${NODE}.sock"')
    answer = step.run(after)
    assert answer.says("installed"), answer
    assert servers(proxy) == {"app-2"}


@pytest.mark.fault("F208")
def test_a_secret_that_the_master_quotes_is_masked(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...], haproxy: dict[str, Any]
) -> None:
    """Its words go the way of those of `haproxy -c`."""
    proxy = make_proxy(Style.MASTER_WORKER, **haproxy)
    proxy.start(config(backends[0]))
    proxy.write("/usr/bin/journalctl", JOURNALCTL, mode=0o755)
    secret = "correct-horse-battery"  # noqa: S105 - of the test
    proxy.write(SLOW, ONLY_THE_MASTER_FAILS.replace("the map is gone", secret))
    after = loading_lua(config(*backends)) + f"    # {secret}\n"
    lines = str(len(after.splitlines()))
    answer = ApplyStep(proxy).run(after, SecretLines=lines)
    assert answer.says("rolled-back"), answer
    assert "ALERT" in answer["detail"], answer
    assert secret not in answer.stdout
