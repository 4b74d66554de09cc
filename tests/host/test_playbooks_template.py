"""A template as the playbook's, whose servers have names for addresses: what it needs for a check before traffic."""

from collections.abc import Callable, Iterator

import pytest

from local.lab import BackendHost, Client, Load, Network, ProxyHost, Style, wait_until
from tests.host.apply_step import ADD_SERVER, ApplyStep, config, state_of, stateful

type MakeProxy = Callable[..., ProxyHost]


@pytest.fixture
def unborn(network: Network) -> Iterator[BackendHost]:
    """A machine whose application does not listen yet."""
    with BackendHost(network, f"unborn-{len(network.hosts)}", starts=False) as host:
        yield host


def with_names(text: str, *hosts: BackendHost) -> str:
    """The config with the playbook's server lines."""
    for host in hosts:
        text = text.replace(f" {host.ipv4}:{host.port}", f" {host.name}:{host.port}")
    return text.replace("check inter", "check observe layer7 inter")


def name(proxy: ProxyHost, *hosts: BackendHost) -> None:
    """Let the proxy know the names."""
    lines = [f"{host.ipv4} {host.name}\n" for host in hosts]
    proxy.write("/run/hosts", "127.0.0.1 localhost\n" + "".join(lines))
    proxy.run(["mount", "--bind", "/run/hosts", "/etc/hosts"])


@pytest.mark.fault("F264")
@pytest.mark.parametrize("method", ["seamless", "syn-drop", "auto"])
def test_the_two_lines_are_enough(
    make_proxy: MakeProxy,
    backends: tuple[BackendHost, ...],
    unborn: BackendHost,
    client: Client,
    method: str,
) -> None:
    """A server that is new in the file gets nothing before a good check, though its address is a name."""
    proxy = make_proxy(Style.MASTER_WORKER)
    name(proxy, *backends, unborn)
    every = (*backends, unborn)
    proxy.start(with_names(stateful(*backends[:2]), *every))
    with client.traffic(Load((str(proxy.ipv4),), connections_per_second=60)) as traffic:
        answer = ApplyStep(proxy).run(
            with_names(stateful(*every), *every), ReloadMethod=method
        )
        wait_until(lambda: "app-3" in {each.backend for each in traffic.attempts})
    assert answer.says("installed"), answer
    assert traffic.failed == []
    assert {each.backend for each in traffic.attempts} == {"app-1", "app-2", "app-3"}
    unborn.start()
    wait_until(lambda: state_of(proxy)[unborn.name][1] != 0, what="it never comes up")


@ADD_SERVER
@pytest.mark.parametrize("method", ["auto", "runtime"])
def test_a_change_at_run_time_needs_none(
    make_proxy: MakeProxy,
    backends: tuple[BackendHost, ...],
    unborn: BackendHost,
    client: Client,
    method: str,
) -> None:
    """With addresses in its lines, and a stats socket: nothing saves or loads a state."""
    proxy = make_proxy(Style.MASTER_WORKER)
    step = ApplyStep(proxy)
    proxy.start(config(*backends[:2]))
    step.run(config(*backends[:2]), ReloadMethod="seamless")
    with client.traffic(Load((str(proxy.ipv4),), connections_per_second=60)) as traffic:
        answer = step.run(config(*backends, unborn), ReloadMethod=method)
    assert answer.says("installed", method="runtime"), answer
    assert traffic.failed == []
    assert state_of(proxy)[unborn.name][1] == 0
