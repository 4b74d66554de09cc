"""How HAProxy's servers are while a test goes on, and when that changed: what a failure of the test is told by."""

import csv
import io
import threading
import time
from collections.abc import Iterable
from typing import Self

from local.lab.proxy import ProxyHost
from local.lab.traffic import Attempt

_POLL_SECONDS = 0.05
_MAX_LINES = 40
_SAID = ("status", "weight", "check_status", "check_duration", "last_chk")

type _Now = dict[str, str]
"""By server: its status and its latest check."""


class ServerWatch:
    """A context manager: while it lasts, whoever answers on the stats socket is asked, some twenty times a second."""

    def __init__(self, host: ProxyHost) -> None:
        """Look at a proxy, whichever worker it has."""
        self.host = host
        self._began = time.time()
        self._changes: list[tuple[float, str]] = []
        self._before: _Now = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="servers", daemon=True)

    def __enter__(self) -> Self:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop asking."""
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(_POLL_SECONDS):
            try:
                answer = self.host.ask("show info; show stat")
            except OSError as error:
                answer = f"nobody answers: {type(error).__name__}"
            self._take(_now(answer))

    def _take(self, now: _Now) -> None:
        at = time.time()
        news = [
            (at, f"{name}: {said}")
            for name, said in now.items()
            if self._before.get(name) != said
        ]
        self._changes += news
        self._before = now

    def beside(self, attempts: Iterable[Attempt]) -> str:
        """What these clients saw, and how the servers were before and meanwhile, in the order of time."""
        seen = [
            (each.start, f"{each.kind} {each.total_ms:.0f} ms: {each.result}")
            for each in attempts
        ]
        servers = [f"{at - self._began:+8.3f} s {said}" for at, said in self._changes]
        clients = [f"{at - self._began:+8.3f} s {said}" for at, said in sorted(seen)]
        left = f"of {len(clients)} clients and {len(servers)} changes"
        lines = [left, *clients[:_MAX_LINES], *clients[-1:], *servers[:_MAX_LINES]]
        return "\n".join([*lines, *servers[-_MAX_LINES:], self.host.log()])


def _now(answer: str) -> _Now:
    """An answer to `show info; show stat`; what is none stands for itself."""
    info, _, table = answer.partition("\n# ")
    pid = [line for line in info.splitlines() if line.startswith("Pid: ")]
    rows = csv.DictReader(io.StringIO(table))
    servers = {
        f"{row['pxname']}/{row['svname']}": " ".join(
            row.get(key) or "-" for key in _SAID
        )
        for row in rows
        if row["svname"] != "FRONTEND"
    }
    return {"worker": pid[0] if pid else answer[:200], **servers}
