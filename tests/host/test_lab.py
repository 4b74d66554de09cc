"""The lab itself: its hosts are apart from the machine and from each other, its clients see what real ones would."""

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from local.lab import (
    BackendHost,
    Client,
    Host,
    Load,
    Network,
    Prompt,
    ProxyHost,
    Style,
    kill_group,
    sample_config,
    self_signed,
    wait_until,
)
from local.lab.proxy import PID_FILE, STATS_SOCKET
from tests.haproxies import series


@pytest.fixture(scope="module")
def lab() -> Iterator[Network]:
    """A network of its own, so that no other test's hosts are in the way."""
    with Network("10.78.0.0/24", "fd78::/64") as network:
        yield network


@pytest.fixture(scope="module")
def client(lab: Network) -> Client:
    """A client next door."""
    return Client(lab)


@pytest.fixture(scope="module")
def backend(lab: Network) -> BackendHost:
    """A backend that is well."""
    return BackendHost(lab, "well")


def test_networks_with_the_same_addresses_do_not_meet() -> None:
    """Tests that run at the same time can use the same addresses."""
    with Network() as one, Network() as other:
        for network, name in ((one, "one"), (other, "other")):
            BackendHost(network, name, ipv4="10.77.0.5")
        assert Client(one).get("10.77.0.5", port=8080).body == "one\n"
        assert Client(other).get("10.77.0.5", port=8080).body == "other\n"


def test_an_address_is_given_once(lab: Network, backend: BackendHost) -> None:
    """A second host with the same address is an error, and the first one stays on the network."""
    with pytest.raises(ValueError, match="already on this network"):
        Host(lab, "twin", ipv4=str(backend.ipv4))
    assert lab.hosts["well"] is backend


def test_a_name_is_given_once(lab: Network, backend: BackendHost) -> None:
    """A second host with the same name is an error too, and does not take the first one off the network."""
    with pytest.raises(ValueError, match="already on this network"):
        Host(lab, backend.name)
    assert lab.hosts["well"] is backend


def test_a_host_whose_cable_is_gone_keeps_no_other_from_being_closed() -> None:
    """As that of one that died by itself: the kernel took it, and closing the network ends all the others."""
    with Network() as network:
        cut, other = (
            Host(network, "cut", own_files=False),
            Host(network, "other", own_files=False),
        )
        namespace = Path(f"/proc/{other.pid}/ns/pid").readlink()
        cut.run(["ip", "link", "delete", "eth0"])
    assert not _processes_in(namespace)


def test_a_closed_host_no_longer_speaks_for_its_address(
    lab: Network, client: Client
) -> None:
    """The kernel takes a dead host's network apart when it finds the time: the next one has the address for itself."""
    address = str(lab.free_address())
    with Host(lab, "before", ipv4=address) as host:
        network = host.path("/proc/1/ns/net").open()
    with network, BackendHost(lab, "after", ipv4=address):
        bodies = {client.get(address, port=8080).body for _ in range(20)}
    assert bodies == {"after\n"}


def test_nothing_outlives_a_killed_process() -> None:
    """When the process that made the hosts is killed, the hosts and all that ran on them are gone."""
    program = """
from local.lab import Host, Network
host = Host(Network(), "orphan")
inner = host.popen(["sh", "-c", "setsid sleep 600 & echo started; wait"], stdout=-1)
inner.stdout.readline()
print(host.pid, flush=True)
input()
"""
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=pipe, stdout=pipe, text=True
    ) as maker:
        assert maker.stdout
        process_1 = int(maker.stdout.readline())
        namespace = Path(f"/proc/{process_1}/ns/pid").readlink()
        maker.send_signal(signal.SIGKILL)
    wait_until(lambda: not _processes_in(namespace))


def _processes_in(namespace: Path) -> list[str]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if (entry / "ns/pid").readlink() == namespace and "State:\tZ" not in (
                entry / "status"
            ).read_text():
                found.append(entry.name)
        except OSError:
            continue
    return found


def test_a_host_has_its_own_files(lab: Network) -> None:
    """What a host writes below /etc, /usr, /run and /var/lib stays on the host."""
    with Host(lab, "files") as host:
        for path in (
            "/etc/haproxy/x.cfg",
            "/etc/x",
            "/usr/bin/x",
            "/run/x",
            "/var/lib/x",
        ):
            host.run(["sh", "-c", f"echo mine > {path}"])
            assert host.read(path) == "mine\n"
            assert not Path(path).exists()


def test_a_host_lacks_hidden_tools(lab: Network) -> None:
    """A hidden tool is not there, for the host only."""
    with Host(lab, "bare", hidden=["socat", "nft"]) as host:
        for tool in ("socat", "nft"):
            assert (
                host.run(["sh", "-c", f"command -v {tool}"], check=False).returncode
                != 0
            )
            assert (
                Path(f"/usr/bin/{tool}").exists() or Path(f"/usr/sbin/{tool}").exists()
            )


def test_a_directory_can_be_small_or_read_only(lab: Network) -> None:
    """A full disk and a read-only one answer as real ones do."""
    with Host(lab, "small", sizes={"/etc/haproxy": "64k"}) as host:
        full = host.run(
            ["dd", "if=/dev/zero", "of=/etc/haproxy/big", "bs=1k", "count=128"],
            check=False,
        )
        assert "No space left on device" in full.stderr
        host.make_read_only("/var/lib/haproxy")
        refused = host.run(["touch", "/var/lib/haproxy/x"], check=False)
        assert "Read-only file system" in refused.stderr


def test_hosts_know_each_other_by_name(lab: Network, backend: BackendHost) -> None:
    """A host name in a config resolves, as in a VPC."""
    with Host(lab, "curious") as host:
        assert host.run(["getent", "hosts", "well"]).stdout.split() == [
            str(backend.ipv4),
            "well",
        ]


def test_a_killed_group_is_gone_inside_the_host_too(lab: Network) -> None:
    """Killing the process group of a command kills what it started on the host, and spares what left the group."""
    with Host(lab, "group", own_files=False) as host:
        # Who leaves says so itself: `setsid --fork` returns before its child has a session of its own.
        script = (
            "setsid --fork sh -c 'echo left; exec sleep 601'; sleep 602 & echo up; wait"
        )
        process = host.popen(["sh", "-c", script], stdout=subprocess.PIPE, text=True)
        assert process.stdout
        assert sorted(process.stdout.readline() for _ in range(2)) == ["left\n", "up\n"]
        wait_until(lambda: _sleeps(host) == {"sleep 601", "sleep 602"})
        kill_group(process)
        process.stdout.close()
        wait_until(lambda: "sleep 602" not in _sleeps(host))
        assert _sleeps(host) == {"sleep 601"}


def _sleeps(host: Host) -> set[str]:
    return set(
        host.run(["ps", "-C", "sleep", "-o", "args="], check=False).stdout.splitlines()
    )


@pytest.mark.parametrize("variant", ["nft", "legacy"])
def test_a_host_has_its_own_firewall(
    lab: Network, client: Client, variant: str
) -> None:
    """A rule of either iptables closes the port of that host only, and `firewall` shows it."""
    with (
        ProxyHost(lab, f"firewall-{variant}") as host,
        BackendHost(lab, "open") as other,
    ):
        host.use_iptables(variant)
        assert variant in host.run(["iptables", "-V"]).stdout.replace(
            "nf_tables", "nft"
        )
        assert not host.firewall()
        host.run(
            ["iptables", "-I", "INPUT", "-p", "tcp", "--dport", "80", "-j", "DROP"]
        )
        assert "--dport 80" in host.firewall()
        with pytest.raises(TimeoutError):
            client.get(str(host.ipv4), timeout_seconds=0.5)
        assert client.get(str(other.ipv4), port=8080).status == 200


@pytest.mark.parametrize("style", list(Style))
def test_haproxy_serves_in_every_style(
    lab: Network,
    client: Client,
    backend: BackendHost,
    style: Style,
    haproxy: dict[str, Any],
) -> None:
    """HAProxy starts in each style and version and answers over IPv4, IPv6 and TLS."""
    with ProxyHost(lab, "proxy", style, **haproxy) as proxy:
        proxy.write("/etc/haproxy/site.pem", self_signed("www.example.test"))
        servers = {"well": f"{backend.ipv4}:8080"}
        proxy.start(
            sample_config(servers, binds="bind :443 ssl crt /etc/haproxy/site.pem")
        )
        said = series(haproxy.get("binary") or "haproxy")
        assert f"\nVersion: {said}." in proxy.ask("show info")
        assert client.get(str(proxy.ipv4)).headers["x-backend"] == "well"
        assert client.get(str(proxy.ipv6)).headers["x-backend"] == "well"
        assert (
            client.get(str(proxy.ipv4), port=443, server_name="www.example.test").body
            == "well\n"
        )
        assert len(proxy.workers()) == 1


def reloaded(proxy: ProxyHost) -> int:
    """Reload until another worker serves; the former one."""
    before = proxy.worker
    proxy.run(["systemctl", "reload", "haproxy.service"])
    wait_until(lambda: proxy.worker != before)
    return before


def test_systemctl_stand_in_reloads_into_a_new_worker(
    lab: Network, backend: BackendHost, haproxy: dict[str, Any]
) -> None:
    """`systemctl reload` brings a new worker under the same master, and refuses a config that HAProxy refuses."""
    config = sample_config({"well": f"{backend.ipv4}:8080"})
    with ProxyHost(lab, "unit", Style.MASTER_WORKER, **haproxy) as proxy:
        proxy.start(config)
        reloaded(proxy)
        assert f"{proxy.worker} " in proxy.show_proc()
        proxy.write("/etc/haproxy/haproxy.cfg", config + "nonsense\n")
        assert (
            proxy.run(["systemctl", "reload", "haproxy"], check=False).returncode == 1
        )
        main_pid = proxy.run(
            ["systemctl", "show", "--property=MainPID", "--value", "haproxy"]
        ).stdout.strip()
        assert proxy.processes()[proxy.worker] == int(main_pid)


def test_a_prompt_stays_with_its_worker(
    lab: Network, backend: BackendHost, haproxy: dict[str, Any]
) -> None:
    """After a reload it is the old one that answers, until nobody asks it any more."""
    config = sample_config({"well": f"{backend.ipv4}:8080"})
    with ProxyHost(lab, "unit", Style.MASTER_WORKER, **haproxy) as proxy:
        proxy.start(config)
        with Prompt(proxy.path(STATS_SOCKET)) as prompt:
            before = reloaded(proxy)
            info = wait_until(lambda: _stopping(prompt.ask("show info")))
            assert f"\nPid: {before}\n" in info
            assert "src=unix:" in prompt.ask("show sess")
            assert f"\nPid: {proxy.worker}\n" in proxy.ask("show info")
        wait_until(lambda: before not in proxy.processes())


def _stopping(info: str) -> str:
    """The answer, if it is that of an old worker."""
    return info if "\nStopping: 1\n" in info else ""


def test_a_prompt_whose_worker_is_gone_says_so(
    lab: Network, backend: BackendHost, haproxy: dict[str, Any]
) -> None:
    """Nobody waits for an answer that cannot come."""
    with ProxyHost(lab, "daemon", Style.DAEMON, **haproxy) as proxy:
        proxy.start(sample_config({"well": f"{backend.ipv4}:8080"}))
        with Prompt(proxy.path(STATS_SOCKET)) as prompt:
            proxy.run(["kill", "-KILL", str(proxy.worker)])
            wait_until(lambda: not proxy.processes())
            with pytest.raises(OSError, match=r"gone|reset|Broken pipe"):
                prompt.ask("show info")


def test_systemctl_stand_in_remembers_the_main_process(
    lab: Network, backend: BackendHost, haproxy: dict[str, Any]
) -> None:
    """As systemd does: HAProxy empties its pid file each time it executes itself anew, and is no less active."""
    with ProxyHost(lab, "remembered", Style.MASTER_WORKER, **haproxy) as proxy:
        proxy.start(sample_config({"well": f"{backend.ipv4}:8080"}))
        before = proxy.worker
        proxy.write(PID_FILE, "")
        proxy.run(["systemctl", "is-active", "haproxy"])
        proxy.run(["systemctl", "reload", "haproxy"])
        wait_until(lambda: proxy.worker != before)


def test_a_worker_that_comes_during_a_look_is_seen(
    lab: Network,
    backend: BackendHost,
    haproxy: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A reload between the list of processes and the look at each: the old worker is gone, the new one not listed."""
    with ProxyHost(lab, "reloaded", Style.MASTER_WORKER, **haproxy) as proxy:
        proxy.start(sample_config({"well": f"{backend.ipv4}:8080"}))
        before = proxy.worker
        real, pending = Path.glob, ["systemctl reload haproxy"]

        def slow(path: Path, pattern: str) -> Iterator[Path]:
            entries = list(real(path, pattern))
            if pending:
                proxy.run(pending.pop().split())
                wait_until(lambda: not proxy.path(f"/proc/{before}").exists())
            return iter(entries)

        monkeypatch.setattr(Path, "glob", slow)
        workers = proxy.workers()  # not `worker`, which would wait for one
        assert workers
        assert before not in workers


def test_who_only_asks_for_the_version_does_not_serve(
    lab: Network, backend: BackendHost, haproxy: dict[str, Any]
) -> None:
    """As our program does in each run; here it waits for somebody to read what it says."""
    with ProxyHost(lab, "asked", Style.SYSV, **haproxy) as proxy:
        proxy.start(sample_config({"well": f"{backend.ipv4}:8080"}))
        serving = proxy.workers()
        read, write = os.pipe()
        os.set_blocking(write, False)
        with suppress(BlockingIOError):
            while True:
                os.write(write, bytes(4096))
        os.set_blocking(write, True)
        asking = proxy.popen(["haproxy", "-v"], stdout=write)
        wait_until(lambda: len(proxy.run(["pidof", "haproxy"]).stdout.split()) == 2)
        assert proxy.workers() == serving
        kill_group(asking)
        os.close(read)
        os.close(write)


def test_backends_can_be_dead_refuse_and_come_back(
    lab: Network, client: Client
) -> None:
    """A stopped backend refuses, a vanished one is silent, and both can come back."""
    with BackendHost(lab, "late", starts=False) as late:
        with pytest.raises(ConnectionRefusedError):
            client.get(str(late.ipv4), port=8080)
        late.start()
        assert client.get(str(late.ipv6), port=8080).body == "late\n"
        late.vanish()
        with pytest.raises(TimeoutError):
            client.get(str(late.ipv4), port=8080, timeout_seconds=0.5)
        late.come_back()
        late.is_healthy = False
        assert client.get(str(late.ipv4), "/health", port=8080).status == 503
        assert client.get(str(late.ipv4), port=8080).status == 200
        late.stop()
        with pytest.raises(ConnectionRefusedError):
            client.get(str(late.ipv4), port=8080)


def test_a_backend_that_is_held_up_drops_nobody_who_waits(lab: Network) -> None:
    """On a busy machine hundreds wait to be accepted; to HAProxy, whom the kernel drops is a server that is DOWN."""
    with BackendHost(lab, "busy") as busy:
        (listening,) = busy.run(["ss", "-Hltn"]).stdout.splitlines()
        _state, _waiting, at_most, *_ = listening.split()
        assert int(at_most) >= 1000


def test_a_backend_that_shuts_down_answers_what_was_asked(
    lab: Network, client: Client
) -> None:
    """A service stopped by its init system loses nobody's request, and takes no new one."""
    with BackendHost(lab, "leaving") as leaving:
        leaving.delay_seconds = 1
        address = str(leaving.ipv4)
        with ThreadPoolExecutor(1) as thread:
            asked = thread.submit(client.get, address, port=8080)
            wait_until(lambda: leaving.requests)
            leaving.shut_down()
            assert asked.result().body == "leaving\n"
        with pytest.raises(ConnectionRefusedError):
            client.get(address, port=8080)


def test_a_machine_without_its_network_cable_answers_nothing(
    lab: Network, client: Client
) -> None:
    """Nor does it send the rest of what it had begun."""
    with BackendHost(lab, "unplugged") as unplugged:
        address = str(unplugged.ipv4)
        assert client.get(address, port=8080).body == "unplugged\n"
        with ThreadPoolExecutor(1) as thread:
            asked = thread.submit(
                client.get, address, "/download?20", port=8080, timeout_seconds=1
            )
            wait_until(lambda: unplugged.requests == 2)
            unplugged.unplug()
            with pytest.raises(TimeoutError):
                asked.result()
        with pytest.raises(OSError, match=r"timed out|No route"):
            client.get(address, port=8080, timeout_seconds=1)


def test_clients_tell_an_answer_that_broke_off_from_one_that_never_began(
    lab: Network, client: Client
) -> None:
    """And by its log the backend knows them."""
    with BackendHost(lab, "torn") as torn:
        load = Load(
            (str(torn.ipv4),),
            8080,
            ("/slow?60",),
            connections_per_second=5,
            downloads=2,
            download_seconds=60,
        )
        with client.traffic(load) as traffic:
            wait_until(lambda: torn.requests >= 5)
            torn.stop()
            wait_until(lambda: traffic.of("new") and len(traffic.of("download")) >= 2)
        answered = {asked.client for asked in torn.log}
        assert answered == {str(client.ipv4)}
        begun = [each for each in traffic.failed if each.backend]
        never = [each for each in traffic.of("new") if each.port and not each.backend]
        assert [each.kind for each in begun] == ["download"] * 2
        assert {each.backend for each in begun} == {"torn"}
        assert len(never) >= 3
        assert len({each.port for each in begun + never}) == len(begun + never)


def test_a_link_has_the_round_trip_time_it_was_given(
    lab: Network, backend: BackendHost
) -> None:
    """No connection over a slow link is faster than its round trip."""
    load = Load(
        (str(backend.ipv4), str(backend.ipv6)), port=8080, connections_per_second=50
    )
    with Client(lab, "far", rtt_ms=40) as far:
        with far.traffic(load) as traffic:
            wait_until(
                lambda: {attempt.family for attempt in traffic.attempts} == {4, 6}
            )
        assert min(attempt.connect_ms for attempt in traffic.of("new")) >= 40
        assert min(attempt.total_ms for attempt in traffic.of("new")) >= 80


def test_clients_write_down_what_became_of_each_request(
    lab: Network, client: Client, haproxy: dict[str, Any]
) -> None:
    """Answers, errors and broken connections are told apart, for each kind of client."""
    with (
        BackendHost(lab, "moody") as moody,
        ProxyHost(lab, "front", **haproxy) as front,
    ):
        front.start(sample_config({"moody": f"{moody.ipv4}:8080"}, options=""))
        address = str(front.ipv4)
        load = Load(
            (address,),
            connections_per_second=50,
            keepalive=2,
            downloads=1,
            download_seconds=1,
        )
        with client.traffic(load) as traffic:
            wait_until(
                lambda: (
                    len(
                        {(attempt.kind, attempt.result) for attempt in traffic.attempts}
                    )
                    == 3
                )
            )
            assert not traffic.failed
            front.run(
                [
                    "iptables",
                    "-I",
                    "INPUT",
                    "-p",
                    "tcp",
                    "--syn",
                    "--dport",
                    "80",
                    "-j",
                    "DROP",
                ]
            )
            wait_until(
                lambda: (
                    " 0 DROP"
                    not in " ".join(
                        front.run(["iptables", "-nvxL", "INPUT"]).stdout.split()
                    )
                )
            )
            front.run(["iptables", "-F"])
            wait_until(traffic.delayed)
            moody.stop()
            wait_until(
                lambda: "http-503" in {attempt.result for attempt in traffic.attempts}
            )
            front.stop()
            wait_until(
                lambda: "refused" in {attempt.result for attempt in traffic.attempts}
            )
        results = Counter(
            (attempt.kind, attempt.result) for attempt in traffic.attempts
        )
        assert results["new", "ok"]
        assert results["keep-alive", "ok"]
        assert results["download", "ok"]
        assert results["new", "refused"]
