"""One change of a proxy's config, by one method, under traffic."""

import csv
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.reload.firewall import watched_firewall
from benchmarks.reload.harm import Harm
from local.lab import BackendHost, Client, Load, Network, ProxyHost, Style
from tests.host.apply_step import CONFIG, ApplyStep

MASTER_WORKER = "/master-worker"
"""Ends the name of a method that is measured in this style; all others have the playbook's, an init script."""
METHODS = (
    "playbook",
    "plain",
    "syn-drop",
    "seamless",
    "runtime",
    "auto",
    *(f"{method}{MASTER_WORKER}" for method in ("syn-drop", "seamless", "runtime")),
)
SCENARIOS = ("alive", "dead", "unborn")

PLAYBOOK = (
    "iptables -I INPUT -p tcp -m multiport --dports 80,443 --syn -j DROP; sleep 0.5; "
    "/etc/init.d/haproxy reload; iptables -D INPUT -p tcp -m multiport --dports 80,443 --syn -j DROP"
)
"""The reload handler of the Ansible playbook this replaces (docs/decisions.md), as the shell sees it."""
PLAIN = "/etc/init.d/haproxy reload"

RTT_MS = 40
PATIENCE_SECONDS = 3
"""A client without an answer for so long has failed; a SYN's first retry comes after one."""
_FILE_AGE_SECONDS = 2.5
"""A worker that began this long after the file's last change has surely read it: our methods ask for that."""
_SETTLE_SECONDS = 15
_WARM_UP_SECONDS = 0.7
_LEAST_SECONDS = 4
_MOST_SECONDS = 16
_POLL_SECONDS = 0.2

_HEAD = """\
global
    chroot /var/lib/haproxy
    user haproxy
    group haproxy
    daemon
    stats socket /run/haproxy/admin.sock mode 660 level admin expose-fd listeners
    server-state-file /var/lib/haproxy-ec2-sync/server-state
    hard-stop-after 1h
    {close_spread}
defaults
    mode http
    option redispatch
    load-server-state-from-file global
    timeout connect 5s
    timeout http-request 10s
    timeout http-keep-alive 30s
    timeout client 1h
    timeout server 1h
frontend http
    bind 0.0.0.0:80
    bind :::80 v6only
    default_backend application
backend application
    balance roundrobin
"""


class Unmeasured(Exception):
    """The run did not measure what it should have."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """The servers before and after the change, and which of them answer."""

    before: Sequence[BackendHost]
    added: BackendHost
    dead: Sequence[BackendHost]


def stage(network: Network, scenario: str) -> Scenario:
    """Set up backends: three that are well, one that is `dead`, one to add, which does not listen yet if `unborn`."""
    well = [BackendHost(network, f"{scenario}-{number}") for number in (1, 2, 3)]
    added = BackendHost(network, f"{scenario}-new", starts=scenario != "unborn")
    dead = [BackendHost(network, "dead-gone")] if scenario == "dead" else []
    for backend in dead:
        backend.vanish()
    return Scenario((*well, *dead), added, dead)


def start_proxies(
    network: Network, scenarios: Mapping[str, Scenario]
) -> dict[str, dict[str, ProxyHost]]:
    """For each scenario and method a proxy with the config before the change, as Debian starts it."""
    proxies = {
        name: {
            method: ProxyHost(
                network, f"proxy-{name}-{in_a_name(method)}", _style(method)
            )
            for method in METHODS
        }
        for name in scenarios
    }
    every = [
        (scenarios[name], method, proxy)
        for name, of in proxies.items()
        for method, proxy in of.items()
    ]
    for scenario, method, proxy in every:
        proxy.path("/var/lib/haproxy-ec2-sync").mkdir(mode=0o700)
        proxy.write(CONFIG, config(method, scenario.before))
    time.sleep(_FILE_AGE_SECONDS)
    for _, _, proxy in every:
        proxy.start()
    return proxies


def in_a_name(method: str) -> str:
    """The method as part of a host's name."""
    return method.replace("/", "-")


def _style(method: str) -> Style:
    return Style.MASTER_WORKER if method.endswith(MASTER_WORKER) else Style.SYSV


def config(method: str, servers: Sequence[BackendHost]) -> str:
    """The bundled template's global section and defaults, the playbook's server lines.

    The files of the playbook and of the plain reload lack one line, `close-spread-time`.
    """
    close_spread = "" if method in ("playbook", "plain") else "close-spread-time 60s"
    lines = [
        f"    server {server.name} {server.ipv4}:{server.port} check observe layer7\n"
        for server in servers
    ]
    return _HEAD.format(close_spread=close_spread) + "".join(lines)


def _wait_until_settled(proxy: ProxyHost, scenario: Scenario) -> None:
    """Wait until the first checks are over: the dead server is out, all others are in. Raises Unmeasured."""
    wanted = {
        server.name: "DOWN" if server in scenario.dead else "UP"
        for server in scenario.before
    }
    deadline = time.monotonic() + _SETTLE_SECONDS
    while (seen := _states(proxy)) != wanted:
        if time.monotonic() > deadline:
            raise Unmeasured(f"{proxy.name}: servers are {seen}")
        time.sleep(_POLL_SECONDS)


def _states(proxy: ProxyHost) -> Mapping[str, str]:
    rows = csv.DictReader(proxy.ask("show stat").removeprefix("# ").splitlines())
    # A server that no check has reached yet has no check status and counts as neither.
    return {
        row["svname"]: row["status"] if row["check_status"] not in ("", "INI") else ""
        for row in rows
        if row["type"] == "2"
    }


def change(
    proxy: ProxyHost, client: Client, method: str, scenario: Scenario, load: Load
) -> Harm:
    """Bring the proxy to the config after the change while the client asks; what that did. Raises Unmeasured."""
    _wait_until_settled(proxy, scenario)
    after = config(method, (*scenario.before, scenario.added))
    for address in load.addresses:
        # Who asks first waits for a neighbour's hardware address as well.
        client.get(address)
    with client.traffic(load) as traffic, watched_firewall(proxy) as firewall:
        time.sleep(_WARM_UP_SECONDS)
        started = time.time()
        _apply(proxy, method, after)
        _wait_for_old_workers(proxy, started)
    if early := [
        attempt
        for attempt in traffic.failed
        if attempt.start + attempt.total_ms / 1000 < started
    ]:
        raise Unmeasured(
            f"{method}: {len(early)} requests failed before anything was done, first {early[0]}"
        )
    if scenario.added.name not in _states(proxy):
        raise Unmeasured(f"{method}: the new server is not in the running config")
    return Harm.of(
        [attempt for attempt in traffic.attempts if attempt.start >= started],
        firewall.drop_window_ms,
    )


def _apply(proxy: ProxyHost, method: str, after: str) -> None:
    if method in ("playbook", "plain"):
        proxy.write(CONFIG, after)
        proxy.run(["sh", "-c", PLAYBOOK if method == "playbook" else PLAIN])
        return
    asked = method.removesuffix(MASTER_WORKER)
    said = ApplyStep(proxy).run(after, ReloadMethod=asked)
    expected = {"auto": "runtime"}.get(asked, asked)
    if not said.says("installed", method=expected):
        raise Unmeasured(f"{method}: {said}")


def _wait_for_old_workers(proxy: ProxyHost, started: float) -> None:
    while time.time() < started + _LEAST_SECONDS or (
        len(proxy.workers()) > 1 and time.time() < started + _MOST_SECONDS
    ):
        time.sleep(_POLL_SECONDS)
