"""Changes of servers without a reload: same worker, no failed request, no lost keep-alive connection; else a reload."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from local.lab import BackendHost, Client, Load, ProxyHost, Style, wait_until
from tests.host.apply_step import (
    ADD_SERVER,
    CONFIG,
    ApplyStep,
    StepReport,
    config,
    digest,
    kill_when,
    sessions,
    state_of,
    stateful,
)

type MakeProxy = Callable[..., ProxyHost]


class Runtime:
    """A proxy that is proven to run a config, and changes at run time."""

    def __init__(self, proxy: ProxyHost, text: str) -> None:
        """Start it; the first run proves what it runs."""
        self.proxy = proxy
        self.step = ApplyStep(proxy)
        self.text = text
        proxy.start(text)
        first = self.step.run(text, ReloadMethod="seamless")
        assert first["running_md5"] == digest(text), first
        self.worker = proxy.worker

    def change(self, text: str, method: str = "runtime") -> StepReport:
        """Run the step and check that file and worker agree."""
        answer = self.step.run(text, ReloadMethod=method)
        assert answer["outcome"] == "installed", answer
        assert answer["running_md5"] == digest(text)
        assert self.proxy.read(CONFIG) == text
        return answer

    @property
    def has_same_worker(self) -> bool:
        """Whether no process was started."""
        return self.proxy.workers() == (self.worker,)


def idle_connections(proxy: ProxyHost, server: str) -> int:
    """How many connections to a server HAProxy keeps for later."""
    names, *lines = (
        line.split() for line in proxy.ask("show servers conn app").splitlines()
    )
    return next(
        int(line[names.index("idle_cur") - 1])
        for line in lines
        if line[0] == f"app/{server}"
    )


@pytest.fixture
def start(make_proxy: MakeProxy) -> Callable[..., Runtime]:
    """Start a proxy that runs this config."""

    def make(text: str, style: Style = Style.MASTER_WORKER, **options: Any) -> Runtime:
        return Runtime(make_proxy(style, **options), text)

    return make


@ADD_SERVER
@pytest.mark.parametrize("style", [Style.SYSV, Style.MASTER_WORKER])
def test_nobody_notices_servers_coming_and_going(
    start: Callable[..., Runtime],
    backends: tuple[BackendHost, ...],
    client: Client,
    style: Style,
    haproxy: dict[str, Any],
) -> None:
    """Added, removed, weight and address changed under traffic: nothing failed or late; a later reload agrees."""
    run = start(stateful(*backends[:2]), style, **haproxy)
    load = Load(
        (str(run.proxy.ipv4), str(run.proxy.ipv6)),
        connections_per_second=60,
        keepalive=8,
    )
    steps = [
        stateful(*backends),
        stateful(*backends[1:]),
        stateful(*backends[1:]).replace(
            "10.77.1.3:8080 check", "10.77.1.3:8080 check weight 9"
        ),
        stateful(*backends[1:]).replace("app-3 10.77.1.3", "app-3 10.77.1.1"),
    ]
    with client.traffic(load) as traffic:
        for text in steps:
            assert run.change(text).says("installed", method="runtime")
            asked = len(traffic.attempts)
            wait_until(lambda asked=asked: len(traffic.attempts) > asked + 60)  # type: ignore[misc]
    assert run.has_same_worker
    assert traffic.failed == []
    assert traffic.delayed() == []
    assert {attempt.backend for attempt in traffic.attempts} == {
        "app-1",
        "app-2",
        "app-3",
    }
    expected = {"app-2": "10.77.1.2:8080", "app-3": "10.77.1.1:8080"}
    in_use = {
        name: fields[0] for name, fields in state_of(run.proxy).items() if not fields[2]
    }
    assert in_use == expected
    assert run.change(steps[-1] + "# reload\n", "seamless").says(
        "installed", method="seamless"
    )
    assert {name: fields[0] for name, fields in state_of(run.proxy).items()} == expected


@ADD_SERVER
def test_a_server_that_is_not_well_gets_nothing(
    start: Callable[..., Runtime], backends: tuple[BackendHost, ...], client: Client
) -> None:
    """A server added at run time is DOWN until a check is good, and comes up by itself when it is."""
    run = start(config(*backends[:2]))
    backends[2].stop()
    try:
        with client.traffic(
            Load((str(run.proxy.ipv4),), connections_per_second=60)
        ) as traffic:
            answer = run.change(config(*backends))
            assert answer.says("installed", method="runtime"), answer
            assert "servers-not-up-yet" in answer["notes"].split()
        assert traffic.failed == []
    finally:
        backends[2].start()
    wait_until(lambda: state_of(run.proxy)["app-3"][1] == 2)
    assert run.has_same_worker


def test_drain_and_back(
    start: Callable[..., Runtime], backends: tuple[BackendHost, ...], client: Client
) -> None:
    """Weight 0 drains, `disabled` stops, and both end without a new process."""
    run = start(config(*backends))
    line = "app-2 10.77.1.2:8080 check inter 500ms"
    for change, expected in [
        (" weight 0", {"app-1", "app-3"}),
        (" disabled", {"app-1", "app-3"}),
    ]:
        assert run.change(config(*backends).replace(line, line + change)).says(
            "installed", method="runtime"
        )
        answers = {
            client.get(str(run.proxy.ipv4)).headers["x-backend"] for _ in range(9)
        }
        assert answers == expected
        assert run.change(config(*backends)).says("installed", method="runtime")
        answers = {
            client.get(str(run.proxy.ipv4)).headers["x-backend"] for _ in range(9)
        }
        assert answers == {"app-1", "app-2", "app-3"}
    assert run.has_same_worker


@ADD_SERVER
def test_what_default_server_says_holds_for_added_servers(
    start: Callable[..., Runtime], backends: tuple[BackendHost, ...]
) -> None:
    """The Runtime API takes nothing from `default-server`, so the program gives it all."""
    text = config(*backends[:1], options="").replace(
        "    balance",
        "    default-server check inter 300ms rise 1 maxconn 77\n    balance",
    )
    run = start(text)
    added = text + f"    server app-2 {backends[1].ipv4}:8080\n"
    assert run.change(added).says("installed", method="runtime")
    lines = {
        line.split(",")[1]: line.split(",")
        for line in run.proxy.ask("show stat").splitlines()
        if "app-" in line
    }
    assert lines["app-2"][6] == lines["app-1"][6] == "77"
    assert lines["app-2"][17] == "UP"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("    balance roundrobin", "    balance leastconn"),
        ("    bind :80\n", "    bind :80\n    bind :8081\n"),
        ("timeout server 10s", "timeout server 11s"),
        ("check inter 500ms", "check inter 501ms"),
        ("app-2 10.77.1.2:8080", "app-2 localhost:8080"),
        (
            "    server app-2 10.77.1.2:8080 check inter 500ms",
            "    server app-2 10.77.1.2:8080 check resolve-prefer ipv4",
        ),
    ],
    ids=[
        "balance",
        "bind",
        "timeout",
        "keywords",
        "name-instead-of-address",
        "keyword-for-files-only",
    ],
)
@pytest.mark.parametrize("method", ["runtime", "auto"])
def test_what_does_not_fit_is_reloaded(
    start: Callable[..., Runtime],
    backends: tuple[BackendHost, ...],
    old: str,
    new: str,
    method: str,
) -> None:
    """Anything but servers that the Runtime API can change takes a new worker, without a drop window."""
    run = start(config(*backends))
    changed = config(*backends).replace(old, new)
    assert changed != run.text
    assert run.change(changed, method).says("installed", method="seamless")
    assert not run.has_same_worker


def test_a_balance_that_takes_no_servers_is_reloaded(
    start: Callable[..., Runtime], backends: tuple[BackendHost, ...]
) -> None:
    """HAProxy refuses `add server` for static-rr; its answer is read, not its status."""
    before, after = (
        config(*hosts).replace("roundrobin", "static-rr")
        for hosts in (backends[:2], backends)
    )
    run = start(before)
    assert run.change(after, "auto").says("installed", method="seamless")
    assert set(state_of(run.proxy)) == {"app-1", "app-2", "app-3"}


def test_a_socket_without_admin_level_is_reloaded(
    start: Callable[..., Runtime], backends: tuple[BackendHost, ...]
) -> None:
    """The program does not try what the socket will not allow."""
    before, after = (
        config(*hosts).replace("level admin", "level operator")
        for hosts in (backends[:2], backends)
    )
    run = start(before)
    assert run.change(after, "runtime").says("installed", method="seamless")


def test_comments_need_no_reload(
    start: Callable[..., Runtime], backends: tuple[BackendHost, ...]
) -> None:
    """A file that differs in comments only is installed and that is all."""
    run = start(config(*backends))
    assert run.change("# written at noon\n" + config(*backends)).says(
        "installed", method="runtime"
    )
    assert run.has_same_worker


def test_a_server_that_is_still_busy_stays_in_maintenance_and_can_come_back(
    start: Callable[..., Runtime], backends: tuple[BackendHost, ...], client: Client
) -> None:
    """A download from a removed server goes on to its end; the same name later is no obstacle."""
    run = start(config(*backends))
    load = Load((str(run.proxy.ipv4),), downloads=3, download_seconds=15)
    with client.traffic(load) as traffic:
        wait_until(lambda: sessions(run.proxy)["app-1"])
        answer = run.change(config(*backends[1:]))
        assert answer.says("installed", method="runtime"), answer
        assert "servers-left-in-maintenance" in answer["notes"].split()
        assert {
            client.get(str(run.proxy.ipv4)).headers["x-backend"] for _ in range(6)
        } == {"app-2", "app-3"}
        assert run.change(config(*backends), "auto").says(
            "installed", method="seamless"
        )
    assert traffic.failed == []
    assert set(state_of(run.proxy)) == {"app-1", "app-2", "app-3"}


@ADD_SERVER
def test_what_stayed_in_maintenance_goes_with_the_next_change(
    start: Callable[..., Runtime], backends: tuple[BackendHost, ...], client: Client
) -> None:
    """A removed server that was busy is deleted by a later run, when it is idle."""
    options = "check inter 500ms pool-purge-delay 200ms"
    run = start(config(*backends, options=options))
    with client.traffic(Load((str(run.proxy.ipv4),), downloads=3, download_seconds=3)):
        wait_until(lambda: sessions(run.proxy)["app-1"])
        assert run.change(config(*backends[1:], options=options)).says(
            "installed", method="runtime"
        )
        assert "app-1" in state_of(run.proxy)
    wait_until(lambda: not idle_connections(run.proxy, "app-1"))
    assert run.change(config(*backends, options=options)).says(
        "installed", method="runtime"
    )
    assert state_of(run.proxy)["app-1"][2] == 0
    assert run.has_same_worker


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("app-1 10.77.1.1:8080", "app-1 10.77.1.2:8080"),
        ("app-1 10.77.1.1:8080", "app-1 10.77.1.1:8080 disabled"),
        ("app-1 10.77.1.1:8080", "app-1 10.77.1.1:8080 weight 0"),
    ],
    ids=["moved", "stopped", "drained"],
)
def test_a_move_that_leaves_no_server_up_is_reloaded(
    start: Callable[..., Runtime],
    backends: tuple[BackendHost, ...],
    client: Client,
    old: str,
    new: str,
) -> None:
    """What the same change does to the others counts: moved ones are all DOWN until a check is good."""
    text = stateful(*backends[:2])
    run = start(text)
    with client.traffic(
        Load((str(run.proxy.ipv4),), connections_per_second=60)
    ) as traffic:
        answer = run.change(
            text.replace(old, new).replace("app-2 10.77.1.2", "app-2 10.77.1.3"), "auto"
        )
        asked = len(traffic.attempts)
        wait_until(lambda: len(traffic.attempts) > asked + 60)
    assert traffic.failed == []
    assert answer.says("installed", method="seamless"), answer


def test_servers_that_are_never_checked_move_one_after_the_other(
    start: Callable[..., Runtime], backends: tuple[BackendHost, ...], client: Client
) -> None:
    """Each is ready again before the next one goes.

    On a busy machine a connection may outlast the wait for it, and its server cannot move: once of a few times it can.
    """
    text = config(*backends[:2], options="")
    run = start(text)
    after = text.replace("app-1 10.77.1.1", "app-1 10.77.1.2").replace(
        "app-2 10.77.1.2", "app-2 10.77.1.3"
    )
    with client.traffic(
        Load((str(run.proxy.ipv4),), connections_per_second=60)
    ) as traffic:
        for wanted in (after, text, after, text):
            answer = run.change(wanted)
            if answer["method"] == "runtime":
                break
            assert "still has connections" in answer.stdout, answer
    assert answer["method"] == "runtime", answer
    assert traffic.failed == []


def test_a_server_that_takes_no_new_sessions_does_not_stand_in_for_one_that_moves(
    start: Callable[..., Runtime], backends: tuple[BackendHost, ...], client: Client
) -> None:
    """The only other one answers its check with 404: nobody would be left."""
    head = (
        stateful(*backends).partition("    server app-1")[0]
        + "    option httpchk\n    http-check disable-on-404\n"
    )
    ends = "frontend ends\n    bind 127.0.0.1:84\n    http-request return status 404\nfrontend"
    text = (
        head.replace("frontend", ends, 1)
        + "    server app-1 10.77.1.1:8080 check inter 300ms addr 127.0.0.1 port 84\n"
    )
    text += "    server app-2 10.77.1.2:8080 check inter 2s\n"
    run = start(text)
    wait_until(
        lambda: [state[1] for state in state_of(run.proxy).values()] == [3, 2],
        what=lambda: state_of(run.proxy),
    )
    with client.traffic(
        Load((str(run.proxy.ipv4),), connections_per_second=60)
    ) as traffic:
        answer = run.change(text.replace("app-2 10.77.1.2", "app-2 10.77.1.3"), "auto")
        asked = len(traffic.attempts)
        wait_until(lambda: len(traffic.attempts) > asked + 60)
    assert traffic.failed == []
    assert answer.says("installed", method="seamless"), answer


def test_a_kill_in_the_middle_is_repaired(
    start: Callable[..., Runtime], backends: tuple[BackendHost, ...]
) -> None:
    """A worker that got half of a change is proven to run nothing, so the next run reloads."""
    run = start(config(backends[0]))
    backends[2].stop()
    try:
        kill_when(
            run.step.start(config(*backends), ReloadMethod="runtime"),
            lambda: "app-3" in state_of(run.proxy),
        )
    finally:
        backends[2].start()
    answer = run.step.run(config(*backends), ReloadMethod="runtime")
    assert answer.says("repaired", "not-activated", "seamless"), answer
    assert set(state_of(run.proxy)) == {"app-1", "app-2", "app-3"}


@pytest.mark.fault("F202")
def test_nobody_is_sent_to_where_a_server_was(
    start: Callable[..., Runtime],
    backends: tuple[BackendHost, ...],
    client: Client,
    haproxy: dict[str, Any],
) -> None:
    """A connection to the old place that is in use during the move is not kept for those who come later."""
    text = stateful(*backends[:2]).replace("global\n", "global\n    nbthread 1\n", 1)
    text = text.replace("roundrobin\n", "roundrobin\n    http-reuse always\n")
    run = start(text, **haproxy)
    after = text.replace("app-2 10.77.1.2", "app-2 10.77.1.3")
    with client.traffic(Load((str(run.proxy.ipv4),), downloads=4, download_seconds=4)):
        wait_until(lambda: sessions(run.proxy)["app-2"])
        answer = run.change(after, "auto")
    answers = {client.get(str(run.proxy.ipv4)).headers["x-backend"] for _ in range(12)}
    assert answers == {"app-1", "app-3"}, answer


@pytest.mark.fault("F203")
@pytest.mark.parametrize(
    "balance", ["random", "uri\n    hash-type consistent"], ids=["random", "hash"]
)
@pytest.mark.parametrize("before", [0, 1], ids=["empty", "one"])
def test_every_server_that_is_added_gets_its_share(
    start: Callable[..., Runtime],
    backends: tuple[BackendHost, ...],
    client: Client,
    haproxy: dict[str, Any],
    balance: str,
    before: int,
) -> None:
    """Where HAProxy shares the load wrongly with servers that it is given at run time, it reads them from the file."""

    def text(*hosts: BackendHost) -> str:
        other = "backend other\n    server z 10.77.1.1:8080\n"
        return config(*hosts, options="").replace("roundrobin", balance) + other

    run = start(text(*backends[:before]), **haproxy)
    run.change(text(*backends), "auto")
    paths = [f"/{number}" for number in range(90)]
    given = Counter(
        client.get(str(run.proxy.ipv4), path).headers["x-backend"] for path in paths
    )
    assert set(given) == {"app-1", "app-2", "app-3"}
    assert min(given.values()) >= 15, given


@ADD_SERVER
@pytest.mark.fault("F203")
@pytest.mark.parametrize("options", ["", "pool-max-conn 7", "pool-purge-delay 9s"])
def test_connections_to_an_added_server_are_kept_as_the_file_says(
    start: Callable[..., Runtime],
    backends: tuple[BackendHost, ...],
    client: Client,
    haproxy: dict[str, Any],
    options: str,
) -> None:
    """As many and as long as after a fresh start of the same file."""
    run = start(config(backends[0], options=options), **haproxy)
    text = config(*backends[:2], options=options)
    assert run.change(text).says("installed", method="runtime")
    with client.traffic(Load((str(run.proxy.ipv4),), keepalive=4)) as traffic:
        wait_until(lambda: len(traffic.attempts) > 60)
    row = stat_of(run.proxy, "app-2")
    assert int(row["reuse"]) > int(row["connect"])
    added = pool_of(run.proxy, "app-2")
    run.proxy.stop()
    run.proxy.start()
    assert added == pool_of(run.proxy, "app-2")


def stat_of(proxy: ProxyHost, server: str) -> dict[str, str]:
    """What `show stat` says of a server."""
    titles, *lines = (
        line.split(",")
        for line in proxy.ask("show stat").removeprefix("# ").splitlines()
    )
    return next(
        dict(zip(titles, line, strict=False)) for line in lines if line[1] == server
    )


def pool_of(proxy: ProxyHost, server: str) -> tuple[str, ...]:
    """How long idle connections to a server are kept, and how many."""
    titles, *lines = (
        line.split() for line in proxy.ask("show servers conn app").splitlines()
    )
    line = next(line for line in lines if line[0] == f"app/{server}")
    return tuple(line[titles.index(each) - 1] for each in ("purge_delay", "idle_lim"))
