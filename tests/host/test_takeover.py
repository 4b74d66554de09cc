"""A host as the former program, a script in bash, left it: whatever it had proven, begun or been killed in holds on.

Nothing here runs that program: its files and rules are written down as it wrote them, byte for byte. An early release
did not keep `proven.model`; all else is the same in every release.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest

from local.lab import BackendHost, ProxyHost, Style, wait_until
from tests.host.apply_step import (
    CONFIG,
    STATE_DIR,
    ApplyStep,
    backups,
    digest,
    finish,
    leftovers,
    state_of,
    stateful,
)
from tests.host.test_drop_window import FIREWALLS, with_firewall

type MakeProxy = Callable[..., ProxyHost]

FENCE = 1700000000
SERVER_STATE = "/var/lib/haproxy/server-state"
CANDIDATE = "/etc/haproxy/.haproxy.cfg.haproxy-ec2-sync.new"
SAVED = "/etc/haproxy/.haproxy.cfg.haproxy-ec2-sync.old"

MODEL = """\
R	global
G	chroot	/var/lib/haproxy	-	-
R	chroot /var/lib/haproxy
R	user haproxy
R	group haproxy
R	daemon
G	socket	/run/haproxy/admin.sock	admin	expose
R	stats socket /run/haproxy/admin.sock mode 600 level admin expose-fd listeners
G	server-state-file	/var/lib/haproxy/server-state	-	-
R	server-state-file /var/lib/haproxy/server-state
R	defaults
G	load	global	-	-
R	load-server-state-from-file global
R	mode http
R	timeout connect 2s
R	timeout client 10s
R	timeout server 10s
R	frontend web
B	:80	-
R	bind :80
B	:::80	v6only
R	bind :::80 v6only
R	default_backend app
R	backend app
R	balance roundrobin
"""
"""What the program read in the config of these tests, up to the servers."""
SERVER = "S\tapp/{name}\t{address}\t8080\t{weight}\t2\t1\t0\tcheck inter 500ms\n"

BINDS = """\
defaults
 mode tcp
 timeout connect 1s
 timeout client 1s
 timeout server 1s
listen new-addresses
 bind unix@/dev/null/never
"""
START_LOG = """\
[NOTICE]   (73) : haproxy version is 2.6.12-1+deb12u4
[NOTICE]   (73) : path to executable is /usr/sbin/haproxy
"""

NFT_RULES = """\
table inet haproxy_ec2_sync
delete table inet haproxy_ec2_sync
table inet haproxy_ec2_sync {
  set ports { type inet_service; flags timeout; elements = { 80 timeout 3s, 443 timeout 3s }; }
  chain input {
    type filter hook input priority -10; policy accept;
    iifname != "lo" tcp flags & (fin|syn|rst|ack) == syn tcp dport @ports counter drop comment "haproxy-ec2-sync"
  }
}
"""
IPTABLES_RULE = (
    "-w 2 -I INPUT ! -i lo -p tcp -m multiport --dports 80,443 --syn -m time --datestop 2026-01-01T00:00:03 "
    "-m comment --comment haproxy-ec2-sync -j DROP"
)


def model(hosts: Sequence[BackendHost], weight: int = 1) -> str:
    """What the program read in a config with these servers."""
    servers = (
        SERVER.format(name=host.name, address=host.ipv4, weight=weight)
        for host in hosts
    )
    return MODEL + "".join(servers)


@dataclass(frozen=True, slots=True)
class Former:
    """What the former program kept on a host."""

    proxy: ProxyHost
    has_proven_model: bool

    def worker(self) -> str:
        """The present worker as it was proven: process, start in clock ticks since the boot, boot."""
        pid = self.proxy.worker
        stat = self.proxy.read(f"/proc/{pid}/stat").rpartition(")")[2].split()
        boot = self.proxy.read("/proc/sys/kernel/random/boot_id").strip()
        return f"{pid} {stat[19]} {boot}"

    def keep(self, name: str, content: str) -> None:
        """A file of its directory, which is for root alone."""
        self.proxy.write(f"{STATE_DIR}/{name}", content)
        self.proxy.path(STATE_DIR).chmod(0o700)

    def state(self, installed: str, running: str) -> None:
        """The state, and what every run leaves beside it."""
        self.keep(
            "state", f"generation {FENCE}\ninstalled {installed}\nrunning {running}\n"
        )
        self.keep("lock", "")
        self.keep("binds.cfg", BINDS)
        self.keep("start.log", START_LOG)

    def proved(self, text: str, hosts: Sequence[BackendHost], weight: int = 1) -> None:
        """The worker runs this text: the last words of a good run."""
        proof = f"{digest(text)} {self.worker()}"
        self.state(digest(text), proof)
        self.keep("old.model", model(hosts[:1], weight))
        self.keep("new.model", model(hosts, weight))
        if self.has_proven_model:
            self.keep("proven.model", f"M\t{proof}\n{model(hosts, weight)}")

    def intended(self, before: str, after: str, running: str) -> None:
        """The text that is to replace another one: the first words of a change, whose backup is there already."""
        self.state(f"{digest(before)} {digest(after)}", running)
        self.proxy.write(f"{CONFIG}.20260102T030405Z.{digest(before)[:8]}.bak", before)

    def drop(self, firewall: str) -> None:
        """The rules of a drop window that has long ended, and the file that says that there are some."""
        self.keep("hold", "hold\n")
        if firewall == "nft":
            self.proxy.run(["nft", "-f", "-"], stdin=NFT_RULES)
        else:
            both = f"iptables {IPTABLES_RULE} && ip6tables {IPTABLES_RULE}"
            self.proxy.run(["sh", "-c", both])
        assert "haproxy-ec2-sync" in self.proxy.firewall()


@pytest.fixture(params=[False, True], ids=["early", "late"])
def former(
    request: pytest.FixtureRequest, make_proxy: MakeProxy
) -> Callable[..., Former]:
    """A proxy that runs a text, which only the former program's word proves: the file is younger than the worker."""

    def make(text: str, style: Style = Style.SYSV, **options: Any) -> Former:
        proxy = make_proxy(style, **options)
        proxy.start(text)
        proxy.write(CONFIG, text)
        return Former(proxy, request.param)

    return make


@pytest.mark.parametrize("style", [Style.SYSV, Style.MASTER_WORKER])
def test_what_was_proven_is_unchanged_at_once(
    former: Callable[..., Former], backends: tuple[BackendHost, ...], style: Style
) -> None:
    """No reload, no backup; what a killed run left hidden beside the file goes."""
    text = stateful(*backends)
    left = former(text, style)
    left.proved(text, backends)
    left.proxy.write(CANDIDATE, text[:100])
    left.proxy.write(SAVED, "", mode=0o600)
    worker = left.proxy.worker
    answer = ApplyStep(left.proxy).run(text, Generation=str(FENCE + 1))
    assert answer.says("unchanged", "same-digest", "none"), answer
    assert answer["running_md5"] == digest(text)
    assert left.proxy.workers() == (worker,)
    assert (backups(left.proxy), leftovers(left.proxy)) == ([], [])


@pytest.mark.parametrize("word", ["process", "start", "boot", "digest"])
def test_another_worker_is_not_proven_by_it(
    former: Callable[..., Former], backends: tuple[BackendHost, ...], word: str
) -> None:
    """Every word of the proof counts."""
    text = stateful(*backends)
    left = former(text)
    left.proved(text, backends)
    process, start, boot = left.worker().split()
    proof = {
        "process": f"{digest(text)} {process}0 {start} {boot}",
        "start": f"{digest(text)} {process} {int(start) - 1} {boot}",
        "boot": f"{digest(text)} {process} {start} {boot[::-1]}",
        "digest": f"{digest('other')} {process} {start} {boot}",
    }[word]
    left.state(digest(text), proof)
    answer = ApplyStep(left.proxy).run(text, Generation=str(FENCE))
    assert answer.says("repaired", "not-activated"), answer


def test_an_older_command_is_superseded(
    former: Callable[..., Former], backends: tuple[BackendHost, ...]
) -> None:
    """The fence that the host had still holds."""
    text = stateful(*backends)
    left = former(text)
    left.proved(text, backends)
    step = ApplyStep(left.proxy)
    answer = step.run(stateful(backends[0]), Generation=str(FENCE - 1))
    assert answer.says("superseded", "older-generation"), answer
    assert answer["running_md5"] == digest(text)
    assert left.proxy.read(CONFIG) == text
    assert step.run(text, Generation=str(FENCE)).says("unchanged")


def test_a_run_that_was_killed_before_the_rename_is_done_again(
    former: Callable[..., Former], backends: tuple[BackendHost, ...]
) -> None:
    """The intention is written, the new file lies hidden beside the old one, which the worker is proven to run."""
    before, after = stateful(backends[0]), stateful(*backends)
    left = former(before)
    left.intended(before, after, f"{digest(before)} {left.worker()}")
    left.proxy.write(CANDIDATE, after)
    answer = ApplyStep(left.proxy).run(after, Generation=str(FENCE + 1))
    assert answer.says("installed", "changed"), answer
    assert set(state_of(left.proxy)) == {"app-1", "app-2", "app-3"}
    assert leftovers(left.proxy) == []


@pytest.mark.parametrize("style", [Style.SYSV, Style.MASTER_WORKER])
def test_a_run_that_was_killed_after_the_rename_is_repaired(
    former: Callable[..., Former], backends: tuple[BackendHost, ...], style: Style
) -> None:
    """The file is the new one, the worker is proven to run the old one, of which there is a backup."""
    before, after = stateful(backends[0]), stateful(*backends)
    left = former(before, style)
    left.intended(before, after, f"{digest(before)} {left.worker()}")
    left.proxy.write(CONFIG, after)
    worker = left.proxy.worker
    answer = ApplyStep(left.proxy).run(after, Generation=str(FENCE + 1))
    assert answer.says("repaired", "not-activated", "syn-drop"), answer
    assert answer["running_md5"] == digest(after)
    assert left.proxy.worker != worker
    assert set(state_of(left.proxy)) == {"app-1", "app-2", "app-3"}
    assert [path.read_text() for path in backups(left.proxy)] == [before]


def test_a_file_that_cannot_start_is_taken_back_to_the_backup(
    former: Callable[..., Former], backends: tuple[BackendHost, ...]
) -> None:
    """A run was killed after it made a file live whose address is taken: its own backup is what goes back."""
    before = stateful(backends[0])
    after = stateful(*backends, binds="bind :8081")
    left = former(before)
    left.intended(before, after, f"{digest(before)} {left.worker()}")
    left.proxy.write(CONFIG, after)
    listen = ["socat", "TCP-LISTEN:8081,fork", "EXEC:true"]
    with left.proxy.beside(listen, port=8081):
        answer = ApplyStep(left.proxy).run(after, Generation=str(FENCE + 1))
    assert answer.says("rolled-back", "cannot-bind"), answer
    assert left.proxy.read(CONFIG) == before


@pytest.mark.parametrize("firewall", FIREWALLS)
def test_a_drop_window_that_was_killed_is_swept(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...], firewall: str
) -> None:
    """Its rules have no effect any more, but they go; of two processes one stays; no state of then is believed."""
    before, after = stateful(*backends[:2]), stateful(*backends)
    proxy = with_firewall(make_proxy, firewall)
    left = Former(proxy, has_proven_model=False)
    proxy.start(before)
    proxy.write(CONFIG, after)
    proxy.run(["haproxy", "-D", "-f", CONFIG, "-p", "/run/haproxy.pid"])
    left.intended(before, after, "")
    left.keep("touched", "")
    drained = (
        "1\n# be_id ...\n3 app 1 app-1 10.77.1.1 2 8 1 1 9 6 3 4 6 0 0 0 - 8080 -\n"
    )
    proxy.write(SERVER_STATE, drained)
    proxy.write(f"{SERVER_STATE}.new", drained[:20])
    left.drop(firewall)
    assert len(proxy.workers()) == 2
    answer = ApplyStep(proxy).run(after, Generation=str(FENCE + 1))
    assert answer.says("repaired", "not-activated"), answer
    assert not proxy.firewall()
    assert not proxy.path(f"{STATE_DIR}/hold").exists()
    assert len(proxy.workers()) == 1
    assert {name: state[2] for name, state in state_of(proxy).items()} == {
        "app-1": 0,
        "app-2": 0,
        "app-3": 0,
    }


@pytest.mark.parametrize("firewall", FIREWALLS)
def test_rules_of_a_killed_run_go_with_a_run_that_changes_nothing(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...], firewall: str
) -> None:
    """Nobody else would ever remove them."""
    text = stateful(*backends)
    proxy = with_firewall(make_proxy, firewall)
    proxy.start(text)
    left = Former(proxy, has_proven_model=True)
    left.proved(text, backends)
    left.drop(firewall)
    assert ApplyStep(proxy).run(text, Generation=str(FENCE)).says("unchanged")
    assert not proxy.firewall()
    assert not proxy.path(f"{STATE_DIR}/hold").exists()


def test_half_a_change_at_run_time_is_not_carried_over(
    former: Callable[..., Former], backends: tuple[BackendHost, ...]
) -> None:
    """The server that was being added is drained, which is no operator's wish; the one that an operator drained is."""
    before, after = stateful(*backends[:2]), stateful(*backends)
    left = former(before, Style.MASTER_WORKER)
    left.proved(before, backends[:2])
    left.intended(before, after, "")
    left.keep("touched", "app/app-3\n")
    left.proxy.write(CONFIG, after)
    left.proxy.ask("add server app/app-3 10.77.1.3:8080 weight 1 check inter 500ms")
    left.proxy.ask("set server app/app-3 state drain; set server app/app-2 state drain")
    answer = ApplyStep(left.proxy).run(
        after, Generation=str(FENCE + 1), ReloadMethod="auto"
    )
    assert answer.says("repaired", "not-activated", "seamless"), answer
    drained = {name: state[2] for name, state in state_of(left.proxy).items()}
    assert drained == {"app-1": 0, "app-2": 8, "app-3": 0}
    wait_until(lambda: state_of(left.proxy)["app-3"][1] == 2)


def test_what_a_later_change_left_in_maintenance_comes_back(
    former: Callable[..., Former], backends: tuple[BackendHost, ...]
) -> None:
    """A server that was busy when a good change at run time removed it: the name alone says that it was our doing."""
    text = stateful(*backends[:2])
    left = former(stateful(*backends), Style.MASTER_WORKER)
    left.proxy.write(CONFIG, text)
    left.proxy.ask("set server app/app-3 state maint")
    left.proved(text, backends[:2])
    left.keep("touched", "app/app-3\n")
    after = stateful(*backends).replace("roundrobin", "leastconn")
    answer = ApplyStep(left.proxy).run(
        after, Generation=str(FENCE + 1), ReloadMethod="seamless"
    )
    assert answer.says("installed", "changed", "seamless"), answer
    assert [state[2] for state in state_of(left.proxy).values()] == [0, 0, 0]


def test_a_change_at_run_time_goes_on_from_what_was_proven(
    former: Callable[..., Former], backends: tuple[BackendHost, ...]
) -> None:
    """The first change after the take-over needs no new process either."""
    left = former(stateful(*backends[:2]), Style.MASTER_WORKER)
    left.proved(stateful(*backends[:2]), backends[:2])
    worker = left.proxy.worker
    after = stateful(*backends[:2], options="check inter 500ms weight 9")
    answer = ApplyStep(left.proxy).run(
        after, Generation=str(FENCE + 1), ReloadMethod="runtime"
    )
    assert answer.says("installed", "changed", "runtime"), answer
    assert left.proxy.workers() == (worker,)


def test_a_hand_edit_is_told_from_what_was_installed(
    former: Callable[..., Former], backends: tuple[BackendHost, ...]
) -> None:
    """The edit becomes a backup; the worker, which never read it, is the proven one."""
    text = stateful(*backends)
    left = former(text)
    left.proved(text, backends)
    worker = left.proxy.worker
    left.proxy.write(CONFIG, text + "# by hand\n")
    answer = ApplyStep(left.proxy).run(text, Generation=str(FENCE + 1))
    assert answer.says("repaired", "hand-edit", "none"), answer
    assert backups(left.proxy)[-1].read_text() == text + "# by hand\n"
    assert left.proxy.workers() == (worker,)


def test_what_the_worker_was_proven_to_run_is_read_after_a_hand_edit(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...]
) -> None:
    """The file said weight 20 at run time, an operator 7: the first goes with the file, the second stays.

    Neither the edited file nor HAProxy, which was started with weight 10, knows that.
    """

    def text(weight: int) -> str:
        return stateful(*backends, options=f"check inter 500ms weight {weight}")

    proxy = make_proxy(Style.MASTER_WORKER)
    proxy.start(text(10))
    proxy.ask("set server app/app-1 weight 20; set server app/app-2 weight 20")
    proxy.ask("set server app/app-3 weight 7")
    left = Former(proxy, has_proven_model=True)
    left.proved(text(20), backends, weight=20)
    proxy.write(CONFIG, text(20) + "# by hand\n")
    after = (
        text(20).replace("roundrobin", "leastconn").replace("weight 20", "weight 10", 1)
    )
    answer = ApplyStep(proxy).run(
        after, Generation=str(FENCE + 1), ReloadMethod="seamless"
    )
    assert answer.says("repaired", "hand-edit", "seamless"), answer
    assert [state[3] for state in state_of(proxy).values()] == [10, 20, 7]


def test_the_newest_five_backups_stay_whoever_made_them(
    former: Callable[..., Former], backends: tuple[BackendHost, ...]
) -> None:
    """The former program's count, the oldest go."""
    text = stateful(*backends[:2])
    left = former(text)
    left.proved(text, backends[:2])
    for second in range(6):
        left.proxy.write(f"{CONFIG}.20260102T03040{second}Z.e6ad59b1.bak", "old")
    answer = ApplyStep(left.proxy).run(stateful(*backends), Generation=str(FENCE + 1))
    assert answer.says("installed"), answer
    kept = backups(left.proxy)
    assert [path.name for path in kept[:-1]] == [
        f"haproxy.cfg.20260102T03040{second}Z.e6ad59b1.bak" for second in range(2, 6)
    ]
    assert kept[-1].read_text() == text


def test_either_program_waits_for_the_other(
    former: Callable[..., Former], backends: tuple[BackendHost, ...]
) -> None:
    """The lock is the same, of the same kind: a command of the former document may still be running."""
    text = stateful(*backends)
    left = former(stateful(backends[0]))
    left.proved(stateful(backends[0]), backends[:1])
    lock = f"{STATE_DIR}/lock"
    holds = "until [ -e /run/go ]; do sleep 0.05; done"
    with left.proxy.beside(["flock", "-o", lock, "sh", "-c", holds]):
        wait_until(lambda: having_open(left.proxy, lock) == 1)
        process = ApplyStep(left.proxy).start(text, Generation=str(FENCE + 1))
        wait_until(lambda: having_open(left.proxy, lock) > 1)
        time.sleep(0.5)
        assert left.proxy.read(CONFIG) != text
        left.proxy.write("/run/go", "")
        wait_until(lambda: left.proxy.read(CONFIG) == text)
        taken = left.proxy.run(["flock", "-n", lock, "true"], check=False).returncode
        assert finish(process).says("installed")
        assert taken == 1


def having_open(proxy: ProxyHost, path: str) -> int:
    """How many processes of the host have this file open."""
    found = 0
    for descriptors in proxy.path("/proc").glob("[0-9]*/fd"):
        with suppress(OSError):
            found += path in {str(link.readlink()) for link in descriptors.iterdir()}
    return found
