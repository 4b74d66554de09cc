"""A command asks about servers: how they are, and how much still goes through them in any process of HAProxy's."""

from collections.abc import Callable
from typing import Any

import pytest

from local.lab import BackendHost, Client, Load, ProxyHost, Style, wait_until
from tests.host.apply_step import STYLES, ApplyStep, sessions, stateful

type MakeProxy = Callable[..., ProxyHost]


def lasting(*hosts: BackendHost, **options: str) -> str:
    """A config whose connections last as long as somebody wants them."""
    text = stateful(*hosts, **options)
    return text.replace("client 10s", "client 1h").replace("server 10s", "server 1h")


def place(host: BackendHost) -> str:
    """As `Watch` has it."""
    return f"{host.ipv4}:{host.port}"


def asked(step: ApplyStep, *watch: str, **parameters: str | None) -> list[str]:
    """What an inspection says of servers."""
    report = step.run(None, Watch=",".join(watch), Action="inspect", **parameters)
    words: str = report["watched"]
    return words.split(" ")


@pytest.mark.parametrize("style", STYLES)
def test_each_server_is_told_in_the_order_of_the_question(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...], style: Style
) -> None:
    """By an apply and by an inspection; nobody asks, nobody is told."""
    proxy = make_proxy(style)
    text = lasting(*backends[:2])
    proxy.start(lasting(backends[0]))
    step = ApplyStep(proxy)
    watch = ",".join(map(place, (backends[2], backends[0], backends[1])))
    report = step.run(text, Watch=watch)
    assert report.says("installed")
    assert report["watched"] == "gone/0 up/0 up/0"
    assert step.run(text, Watch=watch)["watched"] == "gone/0 up/0 up/0"
    assert asked(step, place(backends[1]), place(backends[2])) == ["up/0", "gone/0"]
    assert "watched" not in step.run(text).marker
    assert "watched" not in step.run(text, Watch=watch, Action="check").marker


def test_a_download_counts_until_it_is_over(
    make_proxy: MakeProxy,
    backends: tuple[BackendHost, ...],
    client: Client,
    haproxy: dict[str, Any],
) -> None:
    """Of a server that drains."""
    proxy = make_proxy(Style.MASTER_WORKER, **haproxy)
    proxy.start(lasting(*backends[:2]))
    step = ApplyStep(proxy)
    load = Load((str(proxy.ipv4),), downloads=4, download_seconds=5)
    with client.traffic(load):
        wait_until(lambda: sessions(proxy)["app-1"] == 2)
        proxy.ask("set server app/app-1 state drain")
        state, _slash, count = asked(step, place(backends[0]))[0].partition("/")
    assert (state, int(count) >= 2) == ("out", True)
    wait_until(lambda: asked(step, place(backends[0])) == ["out/0"])
