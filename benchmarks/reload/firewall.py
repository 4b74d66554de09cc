"""How long a rule was in force, as the kernel tells it."""

import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from local.lab import Host, kill_group


class Firewall:
    """The changes of a host's nftables (iptables' own included) with their times."""

    def __init__(self) -> None:
        """Start with no change seen."""
        self.changes: list[tuple[float, str]] = []

    @property
    def drop_window_ms(self) -> float:
        """From the first rule that came to the last deletion after it; 0 if no rule came."""
        came = next(
            (
                at
                for at, change in self.changes
                if change.startswith(("add rule", "insert rule"))
            ),
            None,
        )
        if came is None:
            return 0
        return (
            max(at for at, change in self.changes if change.startswith("delete "))
            - came
        ) * 1000


@contextmanager
def watched_firewall(host: Host) -> Iterator[Firewall]:
    """Watch for as long as the block lasts."""
    firewall = Firewall()
    with host.popen(["nft", "monitor"], stdout=subprocess.PIPE, text=True) as monitor:
        assert monitor.stdout  # noqa: S101 - for the type checker
        lines = monitor.stdout
        reader = threading.Thread(
            target=lambda: firewall.changes.extend(
                (time.monotonic(), line) for line in lines
            )
        )
        reader.start()
        try:
            yield firewall
        finally:
            kill_group(monitor)
            reader.join()
