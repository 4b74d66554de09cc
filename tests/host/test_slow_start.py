"""Slow start on a real HAProxy: who comes up gets its share little by little, by every method, also over reloads."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from local.lab import (
    Attempt,
    BackendHost,
    Client,
    Load,
    ProxyHost,
    Style,
    wait_until,
)
from tests.host.apply_step import (
    STYLES,
    ApplyStep,
    method_that_adds,
    state_of,
    stateful,
)

type MakeProxy = Callable[..., ProxyHost]

RAMP = 12
OPTIONS = f"check inter 300ms slowstart {RAMP}s"
RATE = 80
STARTING, RUNNING = 1, 2
"""As HAProxy counts the states of a server."""
MOST = 0.34
"""Of a fair share, in the first third of a ramp."""


def ratio(attempts: Sequence[Attempt], name: str, servers: int, begin: float) -> float:
    """The share that a server had in the first third of its ramp, of a fair one."""
    first = [
        each.backend for each in attempts if begin <= each.start < begin + RAMP / 3
    ]
    assert len(first) > RATE * RAMP / 3 / 2
    return first.count(name) * servers / len(first)


def first_answer(attempts: Sequence[Attempt], name: str) -> float:
    """When a server was asked first."""
    return next(each.start for each in attempts if each.backend == name)


@pytest.mark.fault("F260")
@pytest.mark.parametrize("method", ["runtime", "seamless", "syn-drop", "auto"])
def test_a_new_server_ramps(
    make_proxy: MakeProxy,
    backends: tuple[BackendHost, ...],
    client: Client,
    method: str,
    haproxy: dict[str, Any],
) -> None:
    """By every method; the others, which were there before, go on as they were."""
    proxy = make_proxy(Style.MASTER_WORKER)
    proxy.start(stateful(*backends[:2], options=OPTIONS))
    step = ApplyStep(proxy)
    step.run(stateful(*backends[:2], options=OPTIONS), ReloadMethod="seamless")
    load = Load((str(proxy.ipv4),), connections_per_second=RATE)
    with client.traffic(load) as traffic:
        answer = step.run(stateful(*backends, options=OPTIONS), ReloadMethod=method)
        wait_until(lambda: "app-3" in {each.backend for each in traffic.attempts})
        begin = first_answer(traffic.attempts, "app-3")
        wait_until(lambda: traffic.attempts[-1].start > begin + RAMP / 3)
    added = method_that_adds(haproxy)
    did = {"runtime": added, "auto": added}.get(method, method)
    assert answer.says("installed", method=did), answer
    assert traffic.failed == []
    assert ratio(traffic.attempts, "app-3", 3, begin) <= MOST
    # Of the two others none ramps.
    assert abs(ratio(traffic.attempts, "app-1", 2, begin) - 1) < MOST


def weight(proxy: ProxyHost, server: str) -> int:
    """What a server weighs at the moment."""
    lines = (line.split(",") for line in proxy.ask("show stat").splitlines())
    return next(int(line[18]) for line in lines if line[1] == server)


def states(proxy: ProxyHost) -> dict[str, tuple[int, int]]:
    """By server: operational and admin state."""
    return {name: each[1:3] for name, each in state_of(proxy).items()}


@pytest.mark.fault("F261")
@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("method", ["seamless", "syn-drop"])
def test_a_reload_does_not_end_a_ramp(
    make_proxy: MakeProxy,
    backends: tuple[BackendHost, ...],
    style: Style,
    method: str,
) -> None:
    """Nor does it begin one: who is through with it has the whole weight all the while."""
    proxy = make_proxy(style)
    text = stateful(*backends, options=f"{OPTIONS} weight 100")
    proxy.start(text)
    assert [weight(proxy, each.name) for each in backends] == [100, 100, 100]
    come_up(proxy, "app-3")
    wait_until(lambda: weight(proxy, "app-3") >= 100 / 3)
    reached = weight(proxy, "app-3")
    answer = ApplyStep(proxy).run(text + "# changed\n", ReloadMethod=method)
    assert answer.says("installed"), answer
    assert states(proxy) == {
        "app-1": (RUNNING, 0),
        "app-2": (RUNNING, 0),
        "app-3": (STARTING, 0),
    }
    assert weight(proxy, "app-1") == weight(proxy, "app-2") == 100
    # HAProxy begins it anew. A step, and what goes by until the new worker is asked, are not much.
    assert weight(proxy, "app-3") <= reached + 300 / RAMP
    wait_until(lambda: weight(proxy, "app-3") == 100)
    assert states(proxy)["app-3"] == (RUNNING, 0)


def come_up(proxy: ProxyHost, *servers: str) -> None:
    """Let servers go down, all of them, and come up anew."""
    for health in ("down", "up"):
        commands = [f"set server app/{each} health {health}" for each in servers]
        proxy.ask("; ".join(commands))
    wait_until(lambda: {states(proxy)[each][0] for each in servers} == {STARTING})


@pytest.mark.fault("F261")
@pytest.mark.parametrize("method", ["seamless", "syn-drop"])
@pytest.mark.parametrize(
    "balance", ["roundrobin", "leastconn", "random", "source", "first"]
)
def test_a_whole_pool_that_ramps_refuses_nobody(
    make_proxy: MakeProxy,
    backends: tuple[BackendHost, ...],
    client: Client,
    balance: str,
    method: str,
) -> None:
    """At its first start, after it was down as a whole, and with all servers replaced by a reload."""
    proxy = make_proxy(Style.MASTER_WORKER)
    before, after = (
        stateful(*hosts, options=OPTIONS).replace(
            "balance roundrobin", f"balance {balance}"
        )
        for hosts in (backends[:2], backends[2:])
    )
    assert f"balance {balance}" in before
    load = Load((str(proxy.ipv4),), connections_per_second=RATE)
    proxy.start(before)
    with client.traffic(load) as traffic:
        wait_until(lambda: len(traffic.attempts) > RATE)
    assert traffic.failed == []
    assert {each for each, _admin in states(proxy).values()} == {RUNNING}
    come_up(proxy, "app-1", "app-2")
    with client.traffic(load) as traffic:
        wait_until(lambda: len(traffic.attempts) > RATE)
        answer = ApplyStep(proxy).run(after, ReloadMethod=method)
        asked = len(traffic.attempts)
        wait_until(lambda: len(traffic.attempts) > asked + RATE)
    assert answer.says("installed"), answer
    assert traffic.failed == []
    assert traffic.attempts[-1].backend == "app-3"


@pytest.mark.fault("F260")
@pytest.mark.parametrize(
    ("balance", "most"),
    [("leastconn", MOST), ("random", 1.5 * MOST)],  # who is drawn is chance
    ids=["leastconn", "random"],
)
def test_other_ways_to_share_ramp_too(
    make_proxy: MakeProxy,
    backends: tuple[BackendHost, ...],
    client: Client,
    balance: str,
    most: float,
) -> None:
    """`leastconn` under load: who has nothing to do is asked at once, whatever it weighs."""
    proxy = make_proxy(Style.MASTER_WORKER)
    text = stateful(*backends, options=OPTIONS).replace(
        "balance roundrobin", f"balance {balance}"
    )
    assert f"balance {balance}" in text
    proxy.start(text)
    for host in backends:
        host.delay_seconds = 0.2
    try:
        come_up(proxy, "app-3")
        begin = time.time()
        load = Load((str(proxy.ipv4),), connections_per_second=RATE)
        with client.traffic(load) as traffic:
            wait_until(
                lambda: (
                    len(traffic.attempts) > RATE
                    and traffic.attempts[-1].start > begin + RAMP / 3
                )
            )
    finally:
        for host in backends:
            host.delay_seconds = 0.0
    assert traffic.failed == []
    assert ratio(traffic.attempts, "app-3", 3, begin) <= most
