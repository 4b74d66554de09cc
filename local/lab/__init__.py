"""Hosts on one machine: networks, HAProxy hosts, backends and clients in namespaces, with nothing to clean up.

with Network() as network:
    backends = [BackendHost(network, f"backend-{number}") for number in (1, 2)]
    proxy = ProxyHost(network, "proxy-1", Style.MASTER_WORKER)
    proxy.start(sample_config({backend.name: f"{backend.ipv4}:{backend.port}" for backend in backends}))
    client = Client(network, rtt_ms=40)
    with client.traffic(Load((str(proxy.ipv4), str(proxy.ipv6)), connections_per_second=100)) as traffic:
        proxy.run(["systemctl", "reload", "haproxy"])
    assert not traffic.failed
"""

from local.lab.backend import BackendHost
from local.lab.certificate import self_signed
from local.lab.client import Client, Response, Traffic
from local.lab.filter_watch import FilterWatch
from local.lab.namespaces import kill_group, printed
from local.lab.network import ENVIRONMENT, Host, Network
from local.lab.prompt import Prompt
from local.lab.proxy import ProxyHost, Style, sample_config
from local.lab.server_watch import ServerWatch
from local.lab.traffic import Attempt, Load
from local.lab.waiting import wait_until

__all__ = [
    "ENVIRONMENT",
    "Attempt",
    "BackendHost",
    "Client",
    "FilterWatch",
    "Host",
    "Load",
    "Network",
    "Prompt",
    "ProxyHost",
    "Response",
    "ServerWatch",
    "Style",
    "Traffic",
    "kill_group",
    "printed",
    "sample_config",
    "self_signed",
    "wait_until",
]
