"""What the kernel's packet filter is told on a host, in the kernel's own words: `nft monitor`, by netlink."""

import subprocess
import threading
from typing import Self

from local.lab.namespaces import kill_group
from local.lab.proxy import ProxyHost
from local.lab.waiting import wait_until

_TABLE = "haproxy_ec2_sync"
_SENTINEL = "lab_watch"


class FilterWatch:
    """A context manager: while it lasts, no drop rule of ours is missed, however short it is in force."""

    def __init__(self, host: ProxyHost) -> None:
        self.host = host
        self.drops = 0
        """Rules that were in force and are gone; for how long nobody says, as news come late on a busy machine."""
        self.is_dropping = False
        self._lines: list[str] = []

    def __enter__(self) -> Self:
        """Listen, and wait until the kernel is heard."""
        self._monitor = self.host.popen(
            ["nft", "monitor"], stdout=subprocess.PIPE, text=True
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        wait_until(self._is_heard, what=f"{self.host.name}: nft monitor")
        return self

    def __exit__(self, *_: object) -> None:
        """Stop listening."""
        kill_group(self._monitor)
        self._reader.join()

    def _is_heard(self) -> bool:
        self.host.run(
            ["nft", f"add table inet {_SENTINEL}; delete table inet {_SENTINEL}"]
        )
        return any(_SENTINEL in line for line in self._lines)

    def _read(self) -> None:
        for line in self._monitor.stdout or ():
            self._lines.append(line)
            if line.startswith(f"add rule inet {_TABLE} ") and " drop " in line:
                self.is_dropping = True
            elif line.startswith("delete rule inet " + _TABLE) and self.is_dropping:
                self.is_dropping = False
                self.drops += 1
