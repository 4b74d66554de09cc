"""A line that the program reads comes, goes or changes: what holds of the old file is not mixed up with the new one."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import pytest

from local.lab import BackendHost, Client, Load, ProxyHost, Style
from tests.host.apply_step import CONDITIONS, CONFIG, ApplyStep, digest, stateful

type MakeProxy = Callable[..., ProxyHost]

USUAL = "stats socket /run/haproxy/admin.sock mode 600 level admin expose-fd listeners"
STATE = "server-state-file /var/lib/haproxy/server-state"
A = "stats socket /run/a.sock mode 600 level {}"
B = "stats socket /run/b.sock mode 600 level {}"
SOCKET = re.compile(r"stats socket (\S+) mode 600 level (\w+)")
PID_FILE = re.compile(r"pidfile (\S+)")
MASTER, OTHER = "master-worker", "/etc/haproxy/other.cfg"
OTHER_STATES = ("/run/a.state", "/run/b.state")
MIGRATES = "/proc/sys/net/ipv4/tcp_migrate_req"
SYSV, UNIT, DAEMON = Style.SYSV, Style.MASTER_WORKER, Style.DAEMON


@dataclass(frozen=True, slots=True)
class Line:
    """What stands in the place of a line of the usual config, by name; an empty text is no line."""

    usual: str
    values: dict[str, str]
    styles: Sequence[Style] = (SYSV, UNIT)

    def pairs(self) -> Iterator[tuple[str, str]]:
        """Each value before each other one."""
        return permutations(self.values, 2)

    def is_daily(self, style: Style, old: str, new: str) -> bool:
        """Whether it is one of the pairs of neighbours, which take turns with the styles; of two values all are."""
        values = tuple(self.values)
        if len(values) == 2:
            return True
        at = values.index(old)
        is_next = new == values[(at + 1) % len(values)]
        return is_next and style is self.styles[at % len(self.styles)]


LINES = {
    "level": Line(
        USUAL, {level: A.format(level) for level in ("user", "operator", "admin")}
    ),
    "exposure": Line(
        USUAL,
        {
            "without": A.format("admin"),
            "exposed": A.format("admin") + " expose-fd listeners",
        },
        (SYSV, UNIT, DAEMON),
    ),
    "sockets": Line(
        USUAL,
        {
            "absent": "",
            "A": A.format("admin"),
            "B": B.format("admin"),
            "AB": f"{A.format('user')}\n    {B.format('admin')}",
        },
    ),
    "state-file": Line(
        STATE,
        {
            "absent": "",
            "A": "server-state-file /run/a.state",
            "B": "server-state-file /run/b.state",
        },
    ),
    "pid-file": Line(
        "daemon",
        {
            "absent": "daemon",
            "A": "daemon\n    pidfile /run/a.pid",
            "B": "daemon\n    pidfile /run/b.pid",
        },
        (SYSV, UNIT, DAEMON),
    ),
    "chroot": Line(
        "chroot /var/lib/haproxy",
        {"absent": "", "A": "chroot /var/lib/haproxy", "B": "chroot /run/empty-root"},
    ),
    "user": Line(
        "user haproxy\n    group haproxy",
        {
            "absent": "",
            "A": "user haproxy\n    group haproxy",
            "B": "user nobody\n    group nogroup",
        },
    ),
    "master-worker": Line(
        "daemon",
        {"absent": "daemon", "A": "daemon\n    master-worker"},
        (SYSV, UNIT, DAEMON),
    ),
}
REFUSED = {("master-worker", SYSV, "A"), ("master-worker", DAEMON, "A")}
"""Nobody can take a master out of the processes that run: by line, style and old value."""


def cells() -> Iterator[Any]:
    """Every cell; of every run are those in which each value, each style, comes once as old and once as new."""
    for name, line in LINES.items():
        for style in line.styles:
            for old, new in line.pairs():
                daily = line.is_daily(style, old, new)
                yield pytest.param(
                    name,
                    style,
                    old,
                    new,
                    id=f"{name}-{style}-{old}-{new}",
                    marks=[] if daily else pytest.mark.every_cell,
                )


@pytest.mark.fault("F228")
@pytest.mark.parametrize(("name", "style", "old", "new"), list(cells()))
def test_a_line_of_the_old_file_is_none_of_the_new_one(
    make_proxy: MakeProxy,
    backends: tuple[BackendHost, ...],
    client: Client,
    name: str,
    style: Style,
    old: str,
    new: str,
) -> None:
    """The new file runs, alone, and HTTP was answered throughout; or it is refused, and nothing was touched.

    What happened to a server goes along, where the old file has a socket and the new one a file for it. The old worker
    is told of a server that leaves, where the old file lets anybody; it is asked for its listeners, where that has it.
    """
    line = LINES[name]
    before = stateful(*backends, options="").replace(line.usual, line.values[old], 1)
    after = stateful(*backends[:2], options="").replace(line.usual, line.values[new], 1)
    proxy = make_proxy(style)
    proxy.path("/run/empty-root").mkdir(parents=True)
    for path in filter(before.__contains__, OTHER_STATES):
        proxy.write(path, "1\n")
    start(proxy, before)
    is_told = drained_by_an_operator(proxy, before)
    proxy.run(["sysctl", "-w", "net.ipv4.tcp_migrate_req=0"])
    served = proxy.workers()
    step = ApplyStep(proxy)
    load = Load((str(proxy.ipv4),), connections_per_second=50)
    with client.traffic(load) as traffic:
        report = step.run(after, ReloadMethod="auto")
    assert not traffic.failed, report
    if (name, style, old) in REFUSED:
        assert report.says("failed", "not-replaceable"), report
        assert "master-worker" in report["detail"]
        assert proxy.read(CONFIG) == before
        assert proxy.workers() == served
        return
    assert report.says("installed", "changed"), report
    assert report["running_md5"] == digest(after)
    assert step.run(after, ReloadMethod="auto").says("unchanged"), report
    assert proxy.read(CONFIG) == after
    assert not set(proxy.workers()) & set(served)
    (root,) = masters_and_daemons(proxy)
    for path in named(SOCKET, after):
        assert f"Pid: {proxy.worker}\n" in proxy.ask("show info", path)
    for path in OTHER_STATES:
        assert proxy.path(path).exists() == (path in after)
    if style is DAEMON:
        assert [proxy.read(path) for path in named(PID_FILE, after)] == [
            f"{root}\n"
        ] * (name == "pid-file" and new != "absent")
    answers = {client.get(str(proxy.ipv4)).headers["x-backend"] for _ in range(6)}
    is_kept = is_told and "server-state-file" in after
    assert answers == {"app-2"} | (set() if is_kept else {"app-1"})
    assert ("old-workers-not-told" in report["notes"].split()) == (not is_told)
    needs_kernel = style is not UNIT and "expose-fd" not in before
    assert proxy.run(["cat", MIGRATES]).stdout == f"{int(needs_kernel)}\n"


@pytest.mark.fault("F228")
@pytest.mark.parametrize(
    "where",
    [
        pytest.param("taken", marks=CONDITIONS),
        pytest.param("not-taken", marks=CONDITIONS),
        "other-file",
        pytest.param("other-file-not-taken", marks=CONDITIONS),
    ],
)
def test_a_master_stays_one_where_haproxy_reads_its_line(
    make_proxy: MakeProxy,
    backends: tuple[BackendHost, ...],
    client: Client,
    where: str,
) -> None:
    """Under a condition that HAProxy decides, or in another of its files."""
    text = stateful(*backends, options="")
    if where == "other-file":
        before, after, other = text, text, f"global\n    {MASTER}\n"
    elif where == "other-file-not-taken":
        before, after = text.replace("daemon", f"daemon\n    {MASTER}", 1), text
        other = f"global\n.if defined(NEVER)\n    {MASTER}\n.endif\n"
    else:
        condition = "!defined(NEVER)" if where == "taken" else "defined(NEVER)"
        under = f".if {condition}\n    {MASTER}\n    .endif"
        before, after = (
            text.replace("daemon", f"daemon\n    {each}", 1) for each in (MASTER, under)
        )
        other = "global\n"
    proxy = make_proxy(DAEMON)
    proxy.write(OTHER, other)
    start(proxy, before, "-f", OTHER)
    served = proxy.workers()
    changed = after.replace("roundrobin", "leastconn")
    report = ApplyStep(proxy).run(changed, ReloadMethod="auto")
    if where.endswith("not-taken"):
        assert report.says("failed", "not-replaceable"), report
        assert proxy.workers() == served
    else:
        assert report.says("installed", "changed"), report
        assert proxy.worker not in served
    assert len(masters_and_daemons(proxy)) == 1
    assert client.get(str(proxy.ipv4)).status == 200


def start(proxy: ProxyHost, text: str, *arguments: str) -> None:
    """HAProxy with this file; by hand without `-p`, so that the file names the pid file."""
    if proxy.style is not DAEMON:
        proxy.start(text)
        return
    proxy.write(CONFIG, text)
    proxy.run(["haproxy", "-D", "-f", CONFIG, *arguments])
    proxy.wait_until_ready()


def drained_by_an_operator(proxy: ProxyHost, text: str) -> bool:
    """Whether there is a socket by which somebody could tell the worker that app-1 drains."""
    admin = [path for path, level in SOCKET.findall(text) if level == "admin"]
    for path in admin:
        proxy.ask("set server app/app-1 state drain", path)
    return bool(admin)


def named(keyword: "re.Pattern[str]", text: str) -> list[str]:
    """The files that such lines name."""
    return [match[1] for match in keyword.finditer(text)]


def masters_and_daemons(proxy: ProxyHost) -> list[int]:
    """The HAProxys of the machine, without their workers."""
    processes = proxy.processes()
    return [pid for pid, parent in processes.items() if parent not in processes]
