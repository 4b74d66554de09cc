"""The system kept for play: its machines follow EC2, and each has a port on loopback."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager

from local.follow import followed
from local.forward import forwarded
from local.system import HTTP, HTTPS, Backend, LocalSystem, Proxy


@contextmanager
def kept(
    system: LocalSystem, say: Callable[[str], None]
) -> Iterator[Mapping[str, str]]:
    """While this lasts, instances that anybody launches or terminates are machines; the URL of each, by instance.

    What cannot be done is said, once in the same words, and tried again.
    """
    with ExitStack() as closing:
        ports = _Ports(system)
        closing.callback(ports.close)
        ports.follow()
        system.publish(ports.urls)
        closing.enter_context(followed(system, say, ports.follow))
        yield ports.urls


class _Ports:
    """A port on loopback for each machine, published with the system."""

    def __init__(self, system: LocalSystem) -> None:
        self.system = system
        self.urls: dict[str, str] = {}
        self._open: dict[str, ExitStack] = {}

    def follow(self) -> None:
        """Open those of new machines, close those of machines that went."""
        members = self.system.members()
        gone, new = self.urls.keys() - members.keys(), members.keys() - self.urls.keys()
        for instance_id in gone:
            self._open.pop(instance_id).close()
            del self.urls[instance_id]
        for instance_id in sorted(new):
            self._add(members[instance_id])
        if gone or new:
            self.system.publish(self.urls)

    def _add(self, member: Backend | Proxy) -> None:
        scheme, port = ("https", HTTPS) if isinstance(member, Proxy) else ("http", HTTP)
        opened = self._open[member.instance_id] = ExitStack()
        address = opened.enter_context(
            forwarded(self.system.client, str(member.host.ipv4), port)
        )
        self.urls[member.instance_id] = f"{scheme}://{address}/"

    def close(self) -> None:
        """Close them all."""
        for opened in self._open.values():
            opened.close()
