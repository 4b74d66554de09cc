"""What people have today: a cron job that looks, renders, installs and reloads."""

import hashlib
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from benchmarks.reload.change import PLAYBOOK as HANDLER
from local.system import CERTIFICATE, LocalSystem, Proxy

CONFIG = "/etc/haproxy/haproxy.cfg"
CRON_SECONDS = 10.0
"""A minute by the factor by which schedules tick here."""

# The bundled template's global section, defaults and frontends without what a playbook does not have: a state of the
# servers that is saved, and idle connections that end over time.
_HEAD = """\
global
    user haproxy
    group haproxy
    chroot /var/lib/haproxy
    daemon
    stats socket /run/haproxy/admin.sock mode 660 level admin
    hard-stop-after 1h
defaults
    mode http
    option redispatch
    timeout connect 5s
    timeout queue 30s
    timeout http-request 10s
    timeout http-keep-alive 30s
    timeout client 1h
    timeout server 1h
frontend http
    bind *:80
    http-request redirect scheme https code 301
frontend https
    bind *:443 ssl crt {certificate} alpn h2,http/1.1
    default_backend application
backend application
    balance roundrobin
"""


def rendered(names: Sequence[str]) -> str:
    """The template's loop over the group `backends`."""
    lines = [f"    server {name} {name}:8080 check observe layer7\n" for name in names]
    return _HEAD.format(certificate=CERTIFICATE) + "".join(lines)


def backends(system: LocalSystem) -> list[str]:
    """The inventory's group: running instances by tag, by the first label of their names."""
    running = system.stack.instances("running").values()
    return sorted(
        instance["PrivateDnsName"].partition(".")[0]
        for instance in running
        if _tags(instance).get("Type") == "tomcat"
    )


def _tags(instance: Any) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in instance.get("Tags", [])}


def play(system: LocalSystem, proxies: Sequence[Proxy]) -> None:
    """One run: on each proxy compare, install and call the handler if the file differs."""
    text = rendered(backends(system))
    for proxy in proxies:
        if _digest(proxy.host.read(CONFIG)) != _digest(text):
            proxy.host.write(CONFIG, text)
            # Whatever it ends with: nobody tries again, since the file is equal by then.
            proxy.host.run(["sh", "-c", HANDLER], check=False)


def _digest(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


@contextmanager
def cron(
    system: LocalSystem, proxies: Sequence[Proxy], say: Callable[[str], None]
) -> Iterator[None]:
    """Play again and again while this lasts."""
    over = threading.Event()

    def work() -> None:
        while not over.wait(CRON_SECONDS):
            try:
                play(system, proxies)
            except OSError as error:
                say(f"the playbook failed: {error}")

    thread = threading.Thread(target=work, name="cron")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
