"""A HAProxy in the foreground, whose supervisor starts it again: there is never a second one beside it."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest

from local.lab import BackendHost, Client, ProxyHost, Style, kill_group, wait_until
from tests.host.apply_step import CONFIG, ApplyStep, config, digest, state_of

type MakeProxy = Callable[..., ProxyHost]
type Supervise = Callable[[ProxyHost, str], AbstractContextManager[None]]

DIES = "core.register_task(function() core.msleep(500) os.exit(1) end)\n"


def undaemonized(text: str) -> str:
    """The config of a HAProxy that stays where it was started, if its options do not say else."""
    return text.replace("    daemon\n", "")


@pytest.fixture
def supervised() -> Supervise:
    """A loop around a HAProxy with these options."""

    @contextmanager
    def supervise(proxy: ProxyHost, options: str) -> Iterator[None]:
        command = f"haproxy {options} -f {CONFIG}"
        script = f"#!/bin/sh\nwhile :; do {command}; sleep 0.5; done\n"
        proxy.write("/run/supervisor", script, mode=0o755)
        null: dict[str, Any] = {
            "stdout": subprocess.DEVNULL,
            "stderr": subprocess.DEVNULL,
        }
        supervisor = proxy.popen(["/run/supervisor"], **null)
        try:
            proxy.wait_until_ready()
            yield
        finally:
            kill_group(supervisor)

    return supervise


@pytest.mark.fault("F217")
@pytest.mark.parametrize("options", ["", "-db"])
@pytest.mark.parametrize("method", ["syn-drop", "seamless", "auto"])
def test_a_single_process_is_left_alone(
    make_proxy: MakeProxy,
    backends: tuple[BackendHost, ...],
    supervised: Supervise,
    options: str,
    method: str,
) -> None:
    """Refused before anything is touched; a check says so, an inspection how it runs, and no command starts another."""
    proxy = make_proxy(Style.DAEMON)
    form = (lambda text: text) if options else undaemonized
    before, after = form(config(*backends[:2])), form(config(*backends))
    proxy.write(CONFIG, before)
    with supervised(proxy, options):
        processes = proxy.processes()
        step = ApplyStep(proxy)
        answer = step.run(after, Action="check", ReloadMethod=method)
        assert (answer["would"], answer["reason"]) == ("refused", "not-replaceable")
        answer = step.run(None, Action="inspect")
        assert answer.says("inspected", "running"), answer
        assert answer["style"] == "foreground"
        assert "not-replaceable" in answer["notes"].split()
        assert "(supervisor)" in answer["detail"]
        for _ in range(2):
            answer = step.run(after, ReloadMethod=method)
            assert answer.says("failed", "not-replaceable"), answer
            assert "(supervisor)" in answer["detail"]
        assert proxy.processes() == processes
        assert proxy.read(CONFIG) == before
        # Who starts it anew by himself has it taken.
        proxy.write(CONFIG, after)
        proxy.run(["kill", "-KILL", str(proxy.worker)])
        wait_until(lambda: len(state_of_or_none(proxy)) == 3)
        assert len(proxy.processes()) == 1


def state_of_or_none(proxy: ProxyHost) -> dict[str, Any]:
    """The servers, or none while nobody answers."""
    try:
        return state_of(proxy)
    except OSError:
        return {}


@pytest.mark.fault("F217")
def test_one_that_another_program_left_is_not_doubled(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...], supervised: Supervise
) -> None:
    """Two serve already, one of them supervised: nobody can replace both."""
    proxy = make_proxy(Style.DAEMON)
    before = undaemonized(config(*backends[:2]))
    proxy.write(CONFIG, before)
    with supervised(proxy, ""):
        proxy.run(["haproxy", "-D", "-f", CONFIG])
        proxy.wait_until_ready()
        processes = proxy.processes()
        answer = ApplyStep(proxy).run(undaemonized(config(*backends)))
        assert answer.says("failed", "not-replaceable"), answer
        assert proxy.processes() == processes


@pytest.mark.fault("F217")
@pytest.mark.parametrize("method", ["syn-drop", "seamless"])
def test_a_master_reloads_under_its_supervisor(
    make_proxy: MakeProxy,
    backends: tuple[BackendHost, ...],
    supervised: Supervise,
    method: str,
) -> None:
    """It is still its child, again and again."""
    proxy = make_proxy(Style.MASTER_WORKER)
    proxy.write(CONFIG, config(backends[0]))
    with supervised(proxy, "-W -db -S /run/haproxy-master.sock"):
        (master, parent), *_ = proxy.processes().items()
        step = ApplyStep(proxy)
        for hosts in (backends[:2], backends):
            answer = step.run(config(*hosts), ReloadMethod=method)
            assert answer.says("installed", "changed", method), answer
            assert (answer["style"], answer["old_workers"]) == ("master-worker", 0)
            assert next(iter(proxy.processes().items())) == (master, parent)
        assert len(state_of(proxy)) == 3
        assert step.run(None, Action="inspect")["notes"] == ""


@pytest.mark.fault("F251")
def test_a_script_of_haproxys_name_is_no_haproxy(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...], haproxy: dict[str, Any]
) -> None:
    """It has the words of its command line, too, and waits for the master that it started: that one is reloaded."""
    proxy = make_proxy(Style.MASTER_WORKER, **haproxy)
    script = "/run/haproxy-run.sh"
    proxy.write(script, '#!/bin/sh\nhaproxy -W -f "$2" &\nwait\n', mode=0o755)
    proxy.write(CONFIG, undaemonized(config(*backends[:2])))
    nowhere: dict[str, Any] = {
        "stdout": subprocess.DEVNULL,
        "stderr": subprocess.DEVNULL,
    }
    running = proxy.popen([script, "-f", CONFIG], **nowhere)
    try:
        proxy.wait_until_ready()
        answer = ApplyStep(proxy).run(undaemonized(config(*backends)))
        assert answer.says("installed"), answer
        assert answer["style"] == "master-worker"
        assert {"app-1", "app-2", "app-3"} <= set(state_of(proxy))
    finally:
        kill_group(running)


@pytest.mark.fault("F217")
def test_a_master_that_dies_is_started_again_by_its_supervisor(
    make_proxy: MakeProxy,
    backends: tuple[BackendHost, ...],
    client: Client,
    supervised: Supervise,
) -> None:
    """The rollback brings the old file back, and waits: there is one HAProxy, the supervisor's."""
    proxy = make_proxy(Style.MASTER_WORKER)
    proxy.write("/etc/haproxy/dies.lua", DIES)
    before = config(*backends[:2])
    proxy.write(CONFIG, before)
    with supervised(proxy, "-W -db -S /run/haproxy-master.sock"):
        parent = next(iter(proxy.processes().values()))
        dying = config(*backends).replace(
            "global\n", "global\n    lua-load /etc/haproxy/dies.lua\n", 1
        )
        answer = ApplyStep(proxy).run(dying, ReloadMethod="seamless")
        assert answer.says("rolled-back"), answer
        assert answer["running_md5"] == digest(before)
        masters = [
            pid
            for pid, each in proxy.processes().items()
            if each not in proxy.processes()
        ]
        assert [proxy.processes()[pid] for pid in masters] == [parent]
        assert client.get(str(proxy.ipv4)).status == 200


@pytest.mark.fault("F217")
def test_a_unit_that_cannot_be_reloaded(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...]
) -> None:
    """A daemon of systemd's without `ExecReload`: refused at once."""
    proxy = make_proxy(Style.DAEMON)
    proxy.path("/run/systemd/system").mkdir(parents=True)
    said = 'echo "MainPID=$(cat /run/haproxy.pid)"; echo CanReload=no'
    proxy.write("/usr/bin/systemctl", f"#!/bin/sh\n{said}\n", mode=0o755)
    before = config(*backends[:2])
    proxy.start(before)
    worker = proxy.worker
    answer = ApplyStep(proxy).run(config(*backends))
    assert answer.says("failed", "not-replaceable"), answer
    assert (proxy.read(CONFIG), proxy.workers()) == (before, (worker,))
