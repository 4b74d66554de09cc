"""What proxies see while a story goes on: since when which server is up."""

import csv
import math
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from typing import Self

from benchmarks.scale.tally import Spell
from local.lab import Prompt
from local.lab.proxy import STATS_SOCKET
from local.system import Proxy

_POLL_SECONDS = 0.2


class Servers:
    """A context manager: while it lasts, each proxy is asked some times a second; it says what it saw so far."""

    def __init__(self, proxies: Sequence[Proxy]) -> None:
        """Look at these, whichever worker each has."""
        self.proxies = proxies
        self._spells: dict[tuple[str, str], list[Spell]] = {}
        self._up: dict[str, frozenset[str]] = {}
        self._stranded: set[int] = set()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="servers", daemon=True)
        self._watches: list[threading.Thread] = []

    def __enter__(self) -> Self:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop asking."""
        self._over.set()
        for thread in (self._thread, *self._watches):
            thread.join()

    @property
    def spells(self) -> list[Spell]:
        """All so far."""
        return [spell for each in list(self._spells.values()) for spell in each]

    def up(self) -> Mapping[str, frozenset[str]]:
        """By proxy: the servers that it sees up now, and that take new clients."""
        return dict(self._up)

    def watch_sessions(self, server: str) -> None:
        """From now on, look whose requests are with this server, too; with old workers as with the present one."""
        for proxy in self.proxies:
            thread = threading.Thread(
                target=self._watch_sessions, args=(proxy, server), daemon=True
            )
            self._watches.append(thread)
            thread.start()

    @property
    def stranded(self) -> frozenset[int]:
        """The ports of those clients."""
        return frozenset(self._stranded)

    def _watch(self) -> None:
        while not self._over.wait(_POLL_SECONDS):
            for proxy in self.proxies:
                self._look(proxy)

    def _watch_sessions(self, proxy: Proxy, server: str) -> None:
        with ExitStack() as closing:
            workers = _Workers(proxy, closing)
            while not self._over.wait(_POLL_SECONDS):
                for answer in workers.ask("show sess"):
                    self._stranded |= client_ports(answer, server)

    def _look(self, proxy: Proxy) -> None:
        try:
            answer = proxy.host.ask("show stat")
        except OSError:
            return  # between two workers
        now = time.time()
        up = taking_new(answer)
        if up is None:
            return
        before = self._up.get(proxy.address)
        for server in up - (before or frozenset()):
            began = -math.inf if before is None else now
            self._of(proxy, server).append(Spell(proxy.address, server, began))
        for server in (before or frozenset()) - up:
            spells = self._of(proxy, server)
            last = spells.pop()
            spells.append(Spell(last.proxy, last.server, last.began, now))
        self._up[proxy.address] = up

    def _of(self, proxy: Proxy, server: str) -> list[Spell]:
        return self._spells.setdefault((proxy.address, server), [])


class _Workers:
    """Of a proxy: those that served since it was first asked, also when they are old ones by now."""

    def __init__(self, proxy: Proxy, closing: ExitStack) -> None:
        self._proxy = proxy
        self._closing = closing
        self._prompts: dict[str, Prompt] = {}

    def ask(self, command: str) -> Iterator[str]:
        """What each of them answers that is still there."""
        with suppress(OSError):  # between two workers
            self._greet()
        for pid, prompt in list(self._prompts.items()):
            try:
                answer = prompt.ask(command)
            except OSError:  # it is gone; another one may have its number one day
                del self._prompts[pid]
            else:
                yield answer

    def _greet(self) -> None:
        """Meet the present one."""
        pid = _pid(self._proxy.host.ask("show info"))
        if pid and pid not in self._prompts:
            prompt = Prompt(self._proxy.host.path(STATS_SOCKET))
            self._closing.enter_context(prompt)
            self._prompts[_pid(prompt.ask("show info"))] = prompt


def _pid(info: str) -> str:
    """Of the worker that gave this answer to `show info`; empty if it gave none, as one that is about to go."""
    return next((line for line in info.splitlines() if line.startswith("Pid: ")), "")


def client_ports(answer: str, server: str) -> set[int]:
    """Of an answer to `show sess`: the ports of clients whose request has this server."""
    lines = (line.split() for line in answer.splitlines() if f" srv={server} " in line)
    words = (word for line in lines for word in line if word.startswith("src="))
    return {int(word.rpartition(":")[2]) for word in words}


def taking_new(answer: str) -> frozenset[str] | None:
    """The servers of an answer to `show stat` that are up with a weight; None where it has none."""
    rows = list(csv.DictReader(answer.removeprefix("# ").splitlines()))
    servers = [row for row in rows if row.get("type") == "2"]
    if not servers:
        return None
    return frozenset(
        row["svname"]
        for row in servers
        if row["status"].startswith(("UP", "no check")) and row["weight"] != "0"
    )
