"""Hosts on one machine: networks, HAProxy hosts, backends and clients in namespaces, with nothing to clean up.

with Network() as network:
    backends = [BackendHost(network, f"ip-10-77-0-{number}", ipv4=f"10.77.0.{number}") for number in (21, 22)]
    proxy = ProxyHost(network, "proxy-1", Style.MASTER_WORKER)
    proxy.start(sample_config({backend.name: f"{backend.ipv4}:{backend.port}" for backend in backends}))
    client = Client(network, "client", rtt_ms=40)
    with client.traffic(proxy, connections_per_second=100) as traffic:
        proxy.run(["systemctl", "reload", "haproxy"])
    assert not traffic.report.failed
"""

from local.lab.backend import BackendHost
from local.lab.namespaces import kill_group
from local.lab.network import ENVIRONMENT, Host, Network
from local.lab.proxy import ProxyHost, Style, sample_config

__all__ = ["ENVIRONMENT", "BackendHost", "Host", "Network", "ProxyHost", "Style", "kill_group", "sample_config"]
