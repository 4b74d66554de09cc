"""The look at new addresses, before a reload: it takes no connection of the HAProxy that serves there."""

import os
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from local.lab import BackendHost, Client, ProxyHost, Style, wait_until
from tests.host.apply_step import ApplyStep, config

type MakeProxy = Callable[..., ProxyHost]

CLIENTS = 6
SAME = "bind :8000"
CHANGES = {
    "list": "bind :8000,:8001",
    "range": "bind :8000-8002",
    "interface": "bind :8000 interface eth0",
    "spelling": "bind ipv4@0.0.0.0:08000",
    "variable": 'bind "$ANY:8000"',
    "specific": "bind {own}:8000",
}


def attempt(address: str, port: int) -> str:
    """One request on a connection of its own: `ok`, or what became of it."""
    try:
        with socket.create_connection((address, port), timeout=10) as connection:
            connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
            data = b"".join(iter(lambda: connection.recv(4096), b""))
    except OSError as error:
        return type(error).__name__
    return "ok" if b"200 OK" in data else "cut"


@contextmanager
def closed_loop(client: Client, address: str, port: int) -> Iterator[Counter[str]]:
    """Clients that each ask again as soon as they have an answer, and what became of it."""
    seen: Counter[str] = Counter()
    over = threading.Event()

    def ask() -> None:
        namespace = os.open(f"/proc/{client.pid}/ns/net", os.O_RDONLY)
        os.setns(namespace, os.CLONE_NEWNET)  # of this thread alone
        os.close(namespace)
        while not over.is_set():
            seen.update([attempt(address, port)])

    threads = [threading.Thread(target=ask, daemon=True) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        wait_until(lambda: seen.total() > 100)
        yield seen
    finally:
        over.set()
        for thread in threads:
            thread.join()


@pytest.mark.fault("F210")
def test_no_client_meets_a_bind_that_becomes_a_list(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...], client: Client
) -> None:
    """To a list, to a range and back, several times: every request is answered."""
    proxy = make_proxy(Style.MASTER_WORKER)
    before, *after = (
        config(*backends, binds=binds, options="")
        for binds in (SAME, CHANGES["list"], CHANGES["range"])
    )
    proxy.start(before)
    step = ApplyStep(proxy)
    with closed_loop(client, str(proxy.ipv4), 8000) as seen:
        for text in (after[0], after[1], before) * 2:
            answer = step.run(text, ReloadMethod="seamless")
            assert answer.says("installed"), answer
    assert set(seen) == {"ok"}, seen


@pytest.mark.fault("F210")
@pytest.mark.parametrize("what", CHANGES)
def test_no_client_meets_the_look_at_new_addresses(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...], client: Client, what: str
) -> None:
    """However the new file spells what is held; a check takes the same look, and does nothing else."""
    proxy = make_proxy(Style.MASTER_WORKER)
    proxy.start(config(*backends, binds=SAME, options=""))
    changed = CHANGES[what].format(own=proxy.ipv4)
    text = config(*backends, extra="setenv ANY 0.0.0.0", binds=changed, options="")
    step = ApplyStep(proxy)
    with closed_loop(client, str(proxy.ipv4), 8000) as seen:
        for _ in range(10):
            answer = step.run(text, Action="check")
            assert answer["would"] == "differs", answer
    assert set(seen) == {"ok"}, seen


@pytest.mark.fault("F210")
@pytest.mark.parametrize(
    ("binds", "named"),
    [
        ("bind :8000,10.88.0.5:8000", "10.88.0.5"),
        ("bind :8000,:8081", "8081"),
        ("bind :8079-8082", "8081"),
        ("bind ipv4@10.88.0.5:80", "10.88.0.5"),
    ],
    ids=["in-a-list", "taken-in-a-list", "taken-in-a-range", "held-elsewhere"],
)
def test_what_cannot_be_bound_is_found_all_the_same(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...], binds: str, named: str
) -> None:
    """An address that is not here, on a port that HAProxy holds; a taken port within a list or a range."""
    proxy = make_proxy(Style.MASTER_WORKER)
    proxy.start(config(*backends, binds=SAME))
    with proxy.beside(["socat", "TCP-LISTEN:8081,fork", "EXEC:true"], port=8081):
        answer = ApplyStep(proxy).run(config(*backends, binds=binds))
    assert answer.says("failed", "cannot-bind"), answer
    assert named in answer["detail"]
