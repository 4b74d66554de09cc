"""From a download to a running config: unchanged, installed, repaired, superseded, not running; what stays on disk."""

from collections.abc import Callable
from typing import Any

import pytest

from haproxy_apply.state import boot_id
from local.lab import BackendHost, ProxyHost, Style, wait_until
from tests.host.apply_step import (
    CONFIG,
    STYLES,
    ApplyStep,
    backups,
    config,
    digest,
    finish,
    installed,
    kill_when,
    leftovers,
    let_age,
    state_of,
)

type MakeProxy = Callable[..., ProxyHost]


@pytest.mark.fault("F91")
@pytest.mark.parametrize("style", STYLES)
def test_a_change_is_installed_and_runs(
    make_proxy: MakeProxy,
    backends: tuple[BackendHost, ...],
    style: Style,
    haproxy: dict[str, Any],
) -> None:
    """However HAProxy was started, whatever its version: file, new worker, its servers and the marker agree."""
    before, after = config(backends[0]), config(*backends[:2])
    proxy = make_proxy(style, **haproxy)
    proxy.start(before)
    worker = proxy.worker
    answer = ApplyStep(proxy).run(after)
    assert answer.says("installed", "changed", "syn-drop"), answer
    assert proxy.read(CONFIG) == after
    assert set(state_of(proxy)) == {"app-1", "app-2"}
    assert proxy.workers() == (proxy.worker,)
    assert proxy.worker != worker
    assert (answer["md5_before"], answer["md5_after"]) == (
        digest(before),
        digest(after),
    )
    assert answer["running_md5"] == digest(after)
    assert answer["style"] == (
        "master-worker" if style is Style.MASTER_WORKER else "daemon"
    )
    assert answer["haproxy_version"] in proxy.ask("show info")
    assert answer["generation"] == 1
    assert not proxy.firewall()


@pytest.mark.parametrize("style", STYLES)
def test_the_same_file_again_changes_nothing(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...], style: Style
) -> None:
    """A proven file is not installed, not backed up and not reloaded again: same worker, same inode."""
    proxy = make_proxy(style)
    step = installed(proxy, config(backends[0]), config(*backends))
    worker, inode, kept = proxy.worker, proxy.path(CONFIG).stat().st_ino, backups(proxy)
    answer = step.run(config(*backends))
    assert answer.says("unchanged", method="none"), answer
    assert answer["running_md5"] == digest(config(*backends))
    assert (proxy.worker, proxy.path(CONFIG).stat().st_ino, backups(proxy)) == (
        worker,
        inode,
        kept,
    )


def test_a_host_that_already_runs_the_file_is_adopted(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...]
) -> None:
    """A worker that began well after the file's last change runs it: the first run on such a host reloads nothing."""
    proxy = make_proxy(Style.MASTER_WORKER)
    proxy.write(CONFIG, config(*backends))
    let_age(proxy)
    proxy.start()
    worker = proxy.worker
    assert ApplyStep(proxy).run(config(*backends)).says("unchanged", method="none")
    assert proxy.worker == worker


@pytest.mark.fault("F78")
@pytest.mark.parametrize("style", STYLES)
def test_a_file_that_was_never_activated_is_activated(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...], style: Style
) -> None:
    """The wanted file lies there, but the worker is older than it: equal MD5 sums are no reason to do nothing."""
    proxy = make_proxy(style)
    proxy.start(config(backends[0]))
    proxy.write(CONFIG, config(*backends))
    answer = ApplyStep(proxy).run(config(*backends))
    assert answer.says("repaired", "not-activated"), answer
    assert set(state_of(proxy)) == {"app-1", "app-2", "app-3"}
    assert backups(proxy) == []


@pytest.mark.fault("F77")
def test_a_hand_edit_is_undone_kept_and_reported(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...]
) -> None:
    """The edit is kept as a backup; nobody reloaded it, so the worker already runs what is restored."""
    proxy = make_proxy(Style.MASTER_WORKER)
    step = installed(proxy, config(backends[0]), config(*backends))
    worker = proxy.worker
    edited = config(*backends).replace("roundrobin", "leastconn")
    proxy.write(CONFIG, edited)
    answer = step.run(config(*backends))
    assert answer.says("repaired", "hand-edit", "none"), answer
    assert proxy.read(CONFIG) == config(*backends)
    assert backups(proxy)[-1].read_text() == edited
    assert answer["backup"] == f"/etc/haproxy/{backups(proxy)[-1].name}"
    assert proxy.worker == worker


@pytest.mark.fault("F77")
@pytest.mark.parametrize("style", [Style.SYSV, Style.MASTER_WORKER])
def test_a_hand_edit_that_was_reloaded_is_undone_by_a_reload(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...], style: Style
) -> None:
    """The worker of the edit is not the proven one."""
    proxy = make_proxy(style)
    step = installed(proxy, config(backends[0]), config(*backends))
    worker = proxy.worker
    proxy.write(CONFIG, config(backends[1]))
    proxy.run(
        ["/etc/init.d/haproxy", "reload"]
        if style is Style.SYSV
        else ["systemctl", "reload", "haproxy"]
    )
    wait_until(lambda: proxy.worker != worker)
    answer = step.run(config(*backends))
    assert answer.says("repaired", "hand-edit", "syn-drop"), answer
    assert set(state_of(proxy)) == {"app-1", "app-2", "app-3"}


@pytest.mark.fault("F60")
def test_an_older_command_changes_nothing(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...]
) -> None:
    """A command that was delivered late is told that the host has a higher generation."""
    proxy = make_proxy()
    step = installed(
        proxy, config(backends[0]), config(*backends), Generation="1700000001"
    )
    worker = proxy.worker
    answer = step.run(config(backends[0]), Generation="1700000000")
    assert answer.says("superseded"), answer
    assert answer["running_md5"] == digest(config(*backends))
    assert proxy.read(CONFIG) == config(*backends)
    assert proxy.worker == worker


@pytest.mark.fault("F60")
def test_an_unchanged_file_raises_the_fence_too(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...]
) -> None:
    """A generation with the same text still makes every older command late."""
    proxy = make_proxy()
    step = installed(
        proxy, config(backends[0]), config(*backends), Generation="1700000001"
    )
    assert step.run(config(*backends), Generation="1700000003").says("unchanged")
    assert step.run(config(backends[0]), Generation="1700000002").says("superseded")


@pytest.mark.fault("F61")
@pytest.mark.parametrize("style", [Style.SYSV, Style.MASTER_WORKER])
def test_two_commands_at_once_take_turns(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...], style: Style
) -> None:
    """The second waits for the first; the newest generation is live at the end, in one worker."""
    proxy = make_proxy(style)
    proxy.start(config(backends[0]))
    first, second = ApplyStep(proxy), ApplyStep(proxy)
    answers = [
        finish(process)
        for process in [
            first.start(config(*backends[:2]), Generation="1700000001"),
            second.start(config(*backends), Generation="1700000002"),
            first.start(config(*backends), Generation="1700000002"),
        ]
    ]
    # One download directory serves all three here, so the first may find the text of the others.
    assert all(
        answer["outcome"] in {"installed", "unchanged", "superseded", "failed"}
        for answer in answers
    ), answers
    assert [answer["outcome"] for answer in answers].count("installed") == 1
    assert set(state_of(proxy)) == {"app-1", "app-2", "app-3"}
    assert len(proxy.workers()) == 1


@pytest.mark.fault("F61")
def test_what_a_run_starts_does_not_keep_its_lock(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...]
) -> None:
    """The daemon that a run started has not inherited the lock's descriptor."""
    proxy = make_proxy(Style.DAEMON)
    proxy.start(config(backends[0]))
    assert ApplyStep(proxy).run(config(*backends)).says("installed")
    assert (
        proxy.run(["flock", "-n", "/var/lib/haproxy-ec2-sync/lock", "true"]).returncode
        == 0
    )


@pytest.mark.fault("F76")
def test_a_new_host_gets_its_first_file(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...]
) -> None:
    """Without a live file there is nothing to back up; a stopped HAProxy stays stopped."""
    proxy = make_proxy()
    answer = ApplyStep(proxy).run(config(*backends))
    assert answer.says("not-running"), answer
    assert (answer["md5_before"], answer["backup"], answer["running_md5"]) == (
        "",
        "",
        "",
    )
    assert proxy.read(CONFIG) == config(*backends)
    assert proxy.path(CONFIG).stat().st_mode & 0o777 == 0o644
    assert backups(proxy) == []


@pytest.mark.fault("F90")
@pytest.mark.parametrize("style", STYLES)
def test_a_stopped_haproxy_is_not_started(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...], style: Style
) -> None:
    """The file waits for whoever stopped HAProxy, and running it then is no change."""
    proxy = make_proxy(style)
    proxy.start(config(backends[0]))
    proxy.stop()
    step = ApplyStep(proxy)
    assert step.run(config(*backends)).says("not-running", "stopped")
    assert step.run(config(*backends)).says("not-running", "stopped")
    assert proxy.processes() == {}
    assert proxy.read(CONFIG) == config(*backends)
    assert len(backups(proxy)) == 1
    let_age(proxy)
    proxy.start()
    answer = step.run(config(*backends))
    assert answer.says("unchanged"), answer
    assert answer["running_md5"] == digest(config(*backends))


@pytest.mark.fault("F92")
def test_the_newest_five_backups_stay(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...]
) -> None:
    """Older ones of ours go; files of other people stay."""
    proxy = make_proxy()
    proxy.write(CONFIG, config(backends[0]))
    for second in range(7):
        proxy.write(f"{CONFIG}.20200101T00000{second}Z.00000000.bak", "old")
    proxy.write(f"{CONFIG}.bak", "somebody's")
    assert ApplyStep(proxy).run(config(*backends)).says("not-running")
    kept = [path.name for path in backups(proxy)]
    assert len(kept) == 5
    assert kept[:4] == [
        f"haproxy.cfg.20200101T00000{second}Z.00000000.bak" for second in range(3, 7)
    ]
    assert backups(proxy)[-1].read_text() == config(backends[0])
    assert proxy.read(f"{CONFIG}.bak") == "somebody's"


@pytest.mark.fault("F93")
def test_a_symlink_stays_one_and_its_target_keeps_owner_and_mode(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...]
) -> None:
    """The file behind the link is replaced, with the owner and the mode that it had."""
    proxy = make_proxy(Style.MASTER_WORKER)
    proxy.write("/etc/haproxy/real/live.cfg", config(backends[0]), mode=0o640)
    proxy.run(["chown", "root:haproxy", "/etc/haproxy/real/live.cfg"])
    proxy.run(["ln", "-s", "real/live.cfg", CONFIG])
    owner = proxy.path("/etc/haproxy/real/live.cfg").stat().st_gid
    proxy.start()
    answer = ApplyStep(proxy).run(config(*backends))
    assert answer.says("installed"), answer
    assert proxy.path(CONFIG).is_symlink()
    target = proxy.path("/etc/haproxy/real/live.cfg")
    assert target.read_text() == config(*backends)
    assert (target.stat().st_mode & 0o777, target.stat().st_gid) == (0o640, owner)
    assert backups(proxy)[0].read_text() == config(backends[0])


@pytest.mark.fault("F91")
def test_each_host_judges_with_its_own_haproxy(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...], haproxy: dict[str, Any]
) -> None:
    """A keyword of HAProxy 2.8 is installed by a host that has it and refused by one that does not."""
    text = config(*backends, extra="tune.h2.be.initial-window-size 65535")
    proxy = make_proxy(**haproxy)
    proxy.start(config(backends[0]))
    proxy.write("/run/candidate.cfg", text)
    checked = proxy.run(["haproxy", "-c", "-f", "/run/candidate.cfg"], check=False)
    answer = ApplyStep(proxy).run(text)
    if checked.returncode == 0:
        assert answer.says("installed"), answer
    else:
        assert answer.says("failed", "invalid-config"), answer


def test_the_layout_of_rpm_distributions(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...]
) -> None:
    """No master socket, a second `-f` with a directory, variables in the environment, no stats socket."""
    after = config(*backends).replace(
        "timeout connect 2s", 'timeout connect "${CONNECT}"'
    )
    lines = [
        line for line in after.splitlines(keepends=True) if "stats socket" not in line
    ]
    text = "".join(lines)
    proxy = make_proxy(Style.MASTER_WORKER)
    proxy.write(
        "/etc/haproxy/conf.d/more.cfg",
        "frontend more\n    bind :8888\n    mode http\n    timeout client 1s\n",
    )
    proxy.write(
        "/etc/default/haproxy",
        'EXTRAOPTS="-f /etc/haproxy/conf.d"\nCONNECT=2s\n',
    )
    proxy.start(text.replace("roundrobin", "leastconn"))
    worker = proxy.worker
    answer = ApplyStep(proxy).run(text)
    assert answer.says("installed", method="syn-drop"), answer
    assert proxy.worker != worker
    assert proxy.run(["sh", "-c", "ss -ltnp | grep :8888"]).stdout.count("haproxy") >= 1


@pytest.mark.fault("F89")
def test_a_reboot_in_the_middle_is_finished_by_the_next_run(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...]
) -> None:
    """After a boot the worker reads the new file; what the state says of the process before the boot proves nothing."""
    proxy = make_proxy(Style.MASTER_WORKER)
    step = installed(proxy, config(backends[1]), config(backends[0]))
    kill_when(
        step.start(config(*backends)), lambda: proxy.read(CONFIG) == config(*backends)
    )
    proxy.stop()
    proxy.run(["sh", "-c", "nft flush ruleset"])
    state = proxy.path("/var/lib/haproxy-ec2-sync/state")
    boot = boot_id()
    assert boot in state.read_text()
    state.write_text(state.read_text().replace(boot, "0" * len(boot)))
    proxy.start()
    answer = step.run(config(*backends))
    assert answer["outcome"] in {"repaired", "unchanged"}
    assert answer["running_md5"] == digest(config(*backends))
    assert set(state_of(proxy)) == {"app-1", "app-2", "app-3"}
    assert leftovers(proxy) == []


def test_two_daemons_that_both_serve_become_one(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...]
) -> None:
    """Left by a run that was killed before it stopped the old one: the newer one alone is no reason to do nothing."""
    proxy = make_proxy(Style.SYSV)
    proxy.start(config(backends[0]))
    proxy.write(CONFIG, config(*backends))
    let_age(proxy)
    proxy.run(["haproxy", "-D", "-f", CONFIG, "-p", "/run/haproxy.pid"])
    assert len(proxy.workers()) == 2
    answer = ApplyStep(proxy).run(config(*backends))
    assert answer.says("repaired", "not-activated"), answer
    assert proxy.workers() == (proxy.worker,)


def test_the_config_may_be_a_link_to_another_filesystem(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...]
) -> None:
    """The backup stands beside the link."""
    proxy = make_proxy()
    proxy.write("/var/lib/shared/haproxy.cfg", config(backends[0]))
    proxy.run(["ln", "-s", "../../var/lib/shared/haproxy.cfg", CONFIG])
    proxy.start()
    report = ApplyStep(proxy).run(config(*backends[:2]))
    assert report.says("installed", "changed"), report
    assert proxy.path(report["backup"]).read_text() == config(backends[0])
