"""Old workers: what a reload removes gets nothing from them any more, and they do not go on listening."""

import math
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from local.lab import (
    BackendHost,
    Client,
    Load,
    Network,
    ProxyHost,
    Style,
    self_signed,
    wait_until,
)
from tests.host import deafen
from tests.host.apply_step import (
    STATE_DIR,
    STYLES,
    ApplyStep,
    config,
    finish,
    let_age,
    sessions,
    state_of,
    stateful,
)
from tests.host.test_draining_pool import SITE, bundled
from tests.host.test_kill_sweep import TRACER

type MakeProxy = Callable[..., ProxyHost]

READY, MAINT, DRAIN = 0, 1, 8
NOT_TOLD = "old-workers-not-told"
# Whoever waits for a connection to a machine that is gone gives up before HAProxy does.
PATIENT = (
    "timeout connect 10s\n    timeout http-keep-alive 30s\n    option redispatch\n"
)
IMPATIENT_SECONDS = 5


@pytest.fixture
def leaver(network: Network) -> Iterator[BackendHost]:
    """A machine that is about to go."""
    with BackendHost(network, f"leaver-{len(network.hosts)}") as host:
        yield host


def lasting(
    proxy: ProxyHost, *hosts: BackendHost, more: str = "", **options: str
) -> str:
    """A config whose old workers keep their clients for a minute, and whose servers do for an hour.

    Where HAProxy does not know how (2.2), an old worker keeps each client for one more request.
    """
    text = stateful(*hosts, **options)
    if b"close-spread-time" in proxy.path("/usr/sbin/haproxy").read_bytes():
        text = text.replace("global\n", "global\n    close-spread-time 60s\n", 1)
    text = text.replace("timeout connect 2s\n", PATIENT)
    text = text.replace("client 10s", "client 1h").replace("server 10s", "server 1h")
    return text.replace("    balance roundrobin\n", f"    balance roundrobin\n{more}")


def admin_states(proxy: ProxyHost) -> dict[str, int]:
    """By server: 0 for one that is ready."""
    return {name: fields[2] for name, fields in state_of(proxy).items()}


@pytest.mark.fault("F198")
@pytest.mark.parametrize(
    ("style", "method"),
    [
        (Style.SYSV, "syn-drop"),
        (Style.SYSV, "seamless"),
        (Style.DAEMON, "syn-drop"),
        (Style.DAEMON, "seamless"),
        (Style.MASTER_WORKER, "syn-drop"),
        (Style.MASTER_WORKER, "seamless"),
    ],
)
@pytest.mark.parametrize(
    "more",
    [
        "",
        "    http-reuse always\n",
        "    stick-table type ip size 9\n    stick on src\n",
    ],
    ids=["plain", "pooled", "sticky"],
)
def test_nobody_waits_for_a_machine_that_was_removed(
    make_proxy: MakeProxy,
    backends: tuple[BackendHost, ...],
    leaver: BackendHost,
    client: Client,
    style: Style,
    method: str,
    more: str,
    haproxy: dict[str, Any],
) -> None:
    """Who has a connection to the old worker is served by another server at once, when the machine is gone too."""
    proxy = make_proxy(style, **haproxy)
    proxy.start(lasting(proxy, leaver, *backends[:2], more=more, options="check"))
    # Everybody knows the leaving one, and of those who stick to a server all to that.
    proxy.ask("set server app/app-1 state maint; set server app/app-2 state maint")
    assert client.get(str(proxy.ipv4)).headers["x-backend"] == leaver.name
    proxy.ask("set server app/app-1 state ready; set server app/app-2 state ready")
    load = Load(
        (str(proxy.ipv4),),
        keepalive=12,
        keepalive_interval_seconds=0.3,
        timeout_seconds=IMPATIENT_SECONDS,
    )
    with client.traffic(load) as traffic:
        wait_until(lambda: len(traffic.attempts) > 60)
        answer = ApplyStep(proxy).run(
            lasting(proxy, *backends[:2], more=more, options="check"),
            ReloadMethod=method,
        )
        before = len(traffic.attempts)
        leaver.vanish()
        wait_until(lambda: len(traffic.attempts) > before + 60)
    assert answer.says("installed", method=method), answer
    assert NOT_TOLD not in answer["notes"]
    assert traffic.failed == []
    assert {each.backend for each in traffic.attempts[before + 12 :]} <= {
        "app-1",
        "app-2",
    }


@pytest.mark.fault("F198")
@pytest.mark.parametrize("options", ["", "on-marked-down shutdown-sessions"])
def test_a_download_from_a_server_that_leaves_comes_to_its_end(
    make_proxy: MakeProxy,
    backends: tuple[BackendHost, ...],
    leaver: BackendHost,
    client: Client,
    options: str,
) -> None:
    """Also where maintenance would end it."""
    proxy = make_proxy(Style.MASTER_WORKER)
    options = f"check inter 500ms {options}"
    proxy.start(lasting(proxy, leaver, *backends[:2], options=options))
    load = Load((str(proxy.ipv4),), downloads=6, download_seconds=15)
    with client.traffic(load) as traffic:
        wait_until(lambda: sessions(proxy)[leaver.name] > 1)
        answer = ApplyStep(proxy).run(
            lasting(proxy, *backends[:2], options=options), ReloadMethod="seamless"
        )
        reloaded = len(traffic.attempts)
    assert answer.says("installed", method="seamless"), answer
    assert traffic.failed == []
    assert leaver.name in {each.backend for each in traffic.attempts[reloaded:]}


@pytest.mark.fault("F198")
def test_an_old_worker_knows_drains_and_weights(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...], client: Client
) -> None:
    """A server that the new file drains or stops gets nothing more from the old worker's clients either."""
    proxy = make_proxy(Style.MASTER_WORKER)
    before = lasting(proxy, *backends)
    after = before.replace("10.77.1.1:8080", "10.77.1.1:8080 weight 0").replace(
        "10.77.1.2:8080", "10.77.1.2:8080 disabled"
    )
    proxy.start(before)
    load = Load((str(proxy.ipv4),), keepalive=9)
    with client.traffic(load) as traffic:
        wait_until(lambda: len(traffic.attempts) > 30)
        answer = ApplyStep(proxy).run(after, ReloadMethod="seamless")
        asked = len(traffic.attempts)
        wait_until(lambda: len(traffic.attempts) > asked + 60)
    assert answer.says("installed", method="seamless"), answer
    assert traffic.failed == []
    assert {each.backend for each in traffic.attempts[asked:]} == {"app-3"}
    assert state_of(proxy)["app-1"][2:] == (READY, 0)


@pytest.mark.fault("F198")
@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("method", ["syn-drop", "seamless", "auto"])
def test_a_client_that_stays_leaves_who_drains_by_the_bundled_template(
    make_proxy: MakeProxy,
    backends: tuple[BackendHost, ...],
    client: Client,
    style: Style,
    method: str,
    haproxy: dict[str, Any],
) -> None:
    """Its old worker asks the others from then on, whichever way HAProxy is reloaded."""
    proxy = make_proxy(style, **haproxy)
    proxy.write("/etc/haproxy/site.pem", self_signed(SITE))
    proxy.path(STATE_DIR).mkdir()
    version = re.search(r"version (\d+\.\d+)", proxy.run(["haproxy", "-v"]).stdout)
    assert version
    variables = {
        "haproxy_version": version[1],
        "certificates": "/etc/haproxy/site.pem",
        "log_target": "127.0.0.1:514",
    }
    drain = {"haproxy:drain": "true"}
    before, after = (
        bundled(backends, [own, {}, {}], "nnn", variables) for own in ({}, drain)
    )
    proxy.start(before)
    load = Load(
        (str(proxy.ipv4),),
        port=443,
        server_name=SITE,
        keepalive=9,
        keepalive_interval_seconds=0.3,
    )
    with client.traffic(load) as traffic:
        wait_until(lambda: {each.backend for each in traffic.attempts} == EVERYBODY)
        answer = ApplyStep(proxy).run(after, ReloadMethod=method)
        asked = len(traffic.attempts)
        wait_until(lambda: len(traffic.attempts) > asked + 60)
    assert answer.says("installed"), answer
    assert NOT_TOLD not in answer["notes"]
    assert traffic.failed == []
    served = {each.backend for each in traffic.attempts[asked + 9 :]}
    assert served == EVERYBODY - {"app-1"}


EVERYBODY = {"app-1", "app-2", "app-3"}


LOADED = "/run/loaded"
SLOW = f"""\
local until_then = os.time() + 3
while os.time() < until_then do end
io.open("{LOADED}", "w"):close()
"""


def slow(text: str) -> str:
    """A config whose load takes as long as its Lua file does."""
    return text.replace("global\n", "global\n    lua-load /etc/haproxy/slow.lua\n", 1)


@pytest.mark.fault("F199")
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("app-1 10.77.1.1:8080", "app-9 10.77.1.3:8080"),
        ("app-1 10.77.1.1:8080", "app-1 10.77.1.3:8080"),
        ("app-1 10.77.1.1:8080", "app-1 10.77.1.1:8080 weight 0"),
    ],
    ids=["replaced", "moved", "drained"],
)
def test_a_pool_serves_while_all_of_it_is_replaced(
    make_proxy: MakeProxy,
    backends: tuple[BackendHost, ...],
    client: Client,
    old: str,
    new: str,
) -> None:
    """Where no other server of the backend goes on, those that leave serve until the new worker does."""
    proxy = make_proxy(Style.MASTER_WORKER)
    proxy.write("/etc/haproxy/slow.lua", "")
    text = slow(stateful(backends[0]))
    proxy.start(text)
    proxy.write("/etc/haproxy/slow.lua", SLOW)
    load = Load((str(proxy.ipv4),), connections_per_second=60)
    with client.traffic(load) as traffic:
        answer = ApplyStep(proxy).run(text.replace(old, new), ReloadMethod="seamless")
        attempts = len(traffic.attempts)
    assert answer.says("installed", method="seamless"), answer
    assert attempts > 60
    # A pool that the file drains serves nobody afterwards; but until then it did.
    loaded = proxy.path(LOADED).stat().st_mtime if "weight 0" in new else math.inf
    ends = [each.start + each.total_ms / 1000 for each in traffic.failed]
    assert [end for end in ends if end < loaded] == []


@pytest.mark.fault("F199")
def test_a_backup_stands_in_for_nobody_who_leaves(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...], client: Client
) -> None:
    """A sorry server is not shown because all others are replaced."""
    proxy = make_proxy(Style.MASTER_WORKER)
    proxy.write("/etc/haproxy/slow.lua", "")
    sorry = f"    server sorry {backends[2].ipv4}:8080 backup\n"
    text = slow(stateful(backends[0], options="") + sorry)
    proxy.start(text)
    proxy.write("/etc/haproxy/slow.lua", SLOW)
    load = Load((str(proxy.ipv4),), connections_per_second=60)
    with client.traffic(load) as traffic:
        after = text.replace("app-1 10.77.1.1:8080", "app-2 10.77.1.2:8080")
        answer = ApplyStep(proxy).run(after, ReloadMethod="seamless")
    assert answer.says("installed", method="seamless"), answer
    assert {each.backend for each in traffic.attempts} == {"app-1", "app-2"}


@pytest.mark.fault("F227")
def test_many_servers_with_long_names_leave(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...], client: Client
) -> None:
    """The old worker is told of all of them, however much that is."""
    proxy = make_proxy(Style.MASTER_WORKER)
    after = lasting(proxy, backends[1])
    leaving = [
        f"    server {number}{'-' * 400} {backends[0].ipv4}:8080\n"
        for number in range(120)
    ]
    proxy.start(after + "".join(leaving))
    load = Load((str(proxy.ipv4),), keepalive=9)
    with client.traffic(load) as traffic:
        wait_until(lambda: len(traffic.attempts) > 30)
        answer = ApplyStep(proxy).run(after, ReloadMethod="seamless")
        asked = len(traffic.attempts)
        wait_until(lambda: len(traffic.attempts) > asked + 60)
    assert answer.says("installed", method="seamless"), answer
    assert NOT_TOLD not in answer["notes"].split()
    assert traffic.failed == []
    assert {each.backend for each in traffic.attempts[asked + 9 :]} == {"app-2"}


@pytest.mark.fault("F198")
def test_a_socket_that_may_not_is_told_of(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...]
) -> None:
    """The worker cannot be told: that is a note, and none where there is nothing to tell."""
    before, after = (
        stateful(*hosts).replace("level admin", "level operator")
        for hosts in (backends, backends[1:])
    )
    proxy = make_proxy(Style.MASTER_WORKER)
    proxy.start(before)
    step = ApplyStep(proxy)
    answer = step.run(before.replace("roundrobin", "leastconn"))
    assert answer.says("installed"), answer
    assert NOT_TOLD not in answer["notes"].split()
    answer = step.run(after)
    assert answer.says("installed"), answer
    assert NOT_TOLD in answer["notes"].split()


GATE = 'if os.getenv("HAPROXY_MWORKER") or os.getenv("HAPROXY_MWORKER_REEXEC") then error("no") end'
AS_AN_OPERATOR_HAS_IT = {
    "app-1": ("10.77.1.1:8080", 2, READY, 5),
    "app-2": ("10.77.1.2:8080", 2, DRAIN, 1),
    "app-3": ("10.77.1.3:8080", 0, MAINT, 1),
    "keeps": ("10.77.1.1:8080", 2, READY, 1),
    "weighs": ("10.77.1.2:8080", 2, READY, 7),
}


def texts(*hosts: BackendHost) -> tuple[str, str]:
    """A file with servers on which somebody operates, and one from which they are gone."""
    text = (
        stateful()
        + "    server keeps 10.77.1.1:8080\n    server weighs 10.77.1.2:8080 weight 3\n"
    )
    lines = (
        f"    server {host.name} {host.ipv4}:8080 check inter 200ms\n" for host in hosts
    )
    return text + "".join(lines), text.replace("weight 3", "weight 9")


def operate(proxy: ProxyHost) -> None:
    """An operator drains, stops and weighs."""
    proxy.ask("set server app/app-1 weight 5; set server app/weighs weight 7")
    proxy.ask("set server app/app-2 state drain; set server app/app-3 state maint")
    assert state_of(proxy) == AS_AN_OPERATOR_HAS_IT


def wait_until_put_back(proxy: ProxyHost) -> None:
    """Every server is as the operator left it; a checked one needs a good check for that."""
    wait_until(
        lambda: state_of(proxy) == AS_AN_OPERATOR_HAS_IT, what=lambda: state_of(proxy)
    )


@pytest.mark.fault("F200")
def test_a_reload_that_fails_leaves_every_server_as_it_was(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...]
) -> None:
    """The operator's drain, maintenance and weight, too; and a good reload afterwards carries them over."""
    proxy = make_proxy(Style.MASTER_WORKER)
    before, after = texts(*backends)
    proxy.start(before)
    operate(proxy)
    proxy.write("/etc/haproxy/gate.lua", GATE)
    step = ApplyStep(proxy)
    gate = "global\n    lua-load /etc/haproxy/gate.lua\n"
    answer = step.run(after.replace("global\n", gate, 1), ReloadMethod="seamless")
    assert answer["outcome"] == "rolled-back", answer
    wait_until_put_back(proxy)
    assert step.run(before + "\n# once more\n", ReloadMethod="seamless").says(
        "installed"
    )
    assert state_of(proxy) == AS_AN_OPERATOR_HAS_IT


def traced(
    step: ApplyStep, text: str, events: Path, call: str = "", occurrence: int = 0
) -> list[str]:
    """The calls of a run until it was killed or ended."""
    tracer = (*TRACER, call, str(occurrence), str(events))
    finish(step.start(text, tracer=tracer, ReloadMethod="seamless"))
    return events.read_text().splitlines()


def telling(step: ApplyStep, text: str, events: Path) -> tuple[str, int]:
    """Where a run that installs this text has told the worker, and has not signalled anybody yet."""
    calls = traced(step, text, events)
    told = calls.index("python rename told.new")
    return "python send", calls[: calls.index("python send", told) + 1].count(
        "python send"
    )


@pytest.mark.fault("F200")
@pytest.mark.parametrize("is_old_wanted", [True, False], ids=["old", "new"])
def test_a_kill_in_between_leaves_every_server_as_it_was(
    make_proxy: MakeProxy,
    backends: tuple[BackendHost, ...],
    tmp_path: Path,
    is_old_wanted: bool,  # noqa: FBT001 - a parameter of pytest's
) -> None:
    """The next run undoes it, reload or not; what the killed one did is in no state that a new worker is given."""
    proxy = make_proxy(Style.MASTER_WORKER)
    before, after = texts(*backends)
    proxy.start(before)
    step = ApplyStep(proxy)
    point = telling(step, after, tmp_path / "events")
    assert step.run(before, ReloadMethod="seamless").status == 0
    operate(proxy)
    worker = proxy.worker
    traced(step, after, tmp_path / "events", *point)
    assert proxy.worker == worker
    assert proxy.path(f"{STATE_DIR}/told").exists()
    wanted = before if is_old_wanted else before.replace("roundrobin", "leastconn")
    answer = step.run(wanted, ReloadMethod="seamless")
    assert answer.status == 0, answer
    assert (proxy.worker == worker) == is_old_wanted
    wait_until_put_back(proxy)
    assert not proxy.path(f"{STATE_DIR}/told").exists()


@pytest.mark.fault("F225")
def test_a_run_that_finds_no_worker_forgets_nothing(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...], tmp_path: Path
) -> None:
    """After a kill one for another file comes first; the next right one still puts every server back."""
    proxy = make_proxy(Style.MASTER_WORKER)
    before, after = texts(*backends)
    proxy.start(before)
    step = ApplyStep(proxy)
    point = telling(step, after, tmp_path / "events")
    assert step.run(before, ReloadMethod="seamless").status == 0
    operate(proxy)
    traced(step, after, tmp_path / "events", *point)
    proxy.write("/etc/haproxy/other.cfg", before)
    answer = step.run(before, ConfigPath="/etc/haproxy/other.cfg")
    assert answer.says("failed", "config-not-used"), answer
    assert step.run(before, ReloadMethod="seamless").status == 0
    wait_until_put_back(proxy)
    assert not proxy.path(f"{STATE_DIR}/told").exists()


@pytest.mark.fault("F200")
def test_what_cannot_be_undone_is_carried_over_to_nobody(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...], tmp_path: Path
) -> None:
    """The socket over which the worker was told is gone; over another one it says what it was told."""
    proxy = make_proxy(Style.MASTER_WORKER)
    after = stateful(*backends)
    telling_socket = "/run/haproxy/telling.sock"
    line = f"    stats socket {telling_socket} mode 600 level admin\n"
    before = after.replace("global\n", f"global\n{line}", 1)
    killed = before.replace("10.77.1.2:8080", "10.77.1.2:8080 disabled")
    proxy.start(before)
    step = ApplyStep(proxy)
    point = telling(step, killed, tmp_path / "events")
    assert step.run(before, ReloadMethod="seamless").status == 0
    traced(step, killed, tmp_path / "events", *point)
    assert state_of(proxy)["app-2"][2] == MAINT
    proxy.path(telling_socket).unlink()
    answer = step.run(after, ReloadMethod="seamless")
    assert answer.says("installed"), answer
    assert admin_states(proxy) == {"app-1": READY, "app-2": READY, "app-3": READY}
    assert not proxy.path(f"{STATE_DIR}/told").exists()


@pytest.mark.fault("F201")
@pytest.mark.parametrize("style", STYLES)
def test_an_old_worker_that_missed_the_signal_is_told_again(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...], style: Style
) -> None:
    """It accepts nothing any more and ends; the marker has a note."""
    proxy = make_proxy(style)
    text = config(*backends, extra="nbthread 1")
    proxy.start(text)
    old = proxy.worker
    with deaf(proxy, old):
        answer = ApplyStep(proxy).run(
            text.replace("roundrobin", "leastconn"), ReloadMethod="seamless"
        )
    assert answer.says("installed"), answer
    assert "old-worker-signalled-again" in answer["notes"].split()
    wait_until(lambda: old not in proxy.workers(), what=proxy.workers)


@pytest.mark.fault("F201")
@pytest.mark.parametrize("style", STYLES)
def test_a_later_run_tells_an_old_worker_that_missed_every_signal(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...], style: Style
) -> None:
    """Also one that has nothing else to do."""
    proxy = make_proxy(style)
    text = config(*backends, extra="nbthread 1")
    proxy.start(text)
    old = proxy.worker
    # Who began with the present worker may be one of several of its kind.
    proxy.write("/run/started", "")
    let_age(proxy, "/run/started")
    step, after = ApplyStep(proxy), text.replace("roundrobin", "leastconn")
    with deaf(proxy, old, signals=2) as deafening:
        assert step.run(after, ReloadMethod="seamless").says("installed")
        assert deafening.wait() == 0
    assert old in proxy.workers()
    answer = step.run(after, ReloadMethod="seamless")
    assert answer.says("unchanged"), answer
    assert "old-worker-signalled-again" in answer["notes"].split()
    wait_until(lambda: old not in proxy.workers(), what=proxy.workers)
    assert step.run(after)["notes"].split().count("old-worker-signalled-again") == 0


def deaf(proxy: ProxyHost, pid: int, signals: int = 1) -> Any:
    """A context in which this process misses so many signals."""
    return proxy.beside([sys.executable, deafen.__file__, str(pid), str(signals)])
