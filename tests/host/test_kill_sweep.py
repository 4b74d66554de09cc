"""SIGKILL after each state-changing system call of the step and of what it starts, in turn."""

import sys
from collections.abc import Callable, Iterator
from http import HTTPStatus
from pathlib import Path

import pytest

from local.lab import BackendHost, Client, ProxyHost, Style, wait_until
from tests.host.apply_step import (
    CACHE_DIR,
    CONFIG,
    STATE_DIR,
    ApplyStep,
    StepReport,
    digest,
    finish,
    leftovers,
    state_of,
    stateful,
)

type MakeProxy = Callable[..., ProxyHost]
type Point = tuple[str, int]

TRACER = (sys.executable, "-m", "tests.host.kill_at")
DROP_SECONDS = 3
READY = 0
"""Admin state of a server that is neither in maintenance nor draining."""
INSTALLED = " rename .haproxy.cfg.haproxy-ec#-sync.new"
"""How the event ends that makes the file live, whoever does it."""
WHOLE = (Style.SYSV, "syn-drop")
"""The cell that is swept from the first call on, on a host that has no state yet."""


class Sweep:
    """One proxy that is changed back and forth between two configs, killed each time at another point."""

    def __init__(
        self, proxy: ProxyHost, client: Client, method: str, events: Path
    ) -> None:
        """Take a proxy that runs."""
        self.proxy, self.client, self.method, self.events = (
            proxy,
            client,
            method,
            events,
        )
        self.step = ApplyStep(proxy)
        self.missed: list[Point] = []

    def traced(
        self, text: str, call: str = "", occurrence: int = 0
    ) -> tuple[StepReport, list[str]]:
        """Run the step under the tracer; what it said, and the calls it made until it was killed or ended."""
        tracer = (*TRACER, call, str(occurrence), str(self.events))
        report = finish(self.step.start(text, tracer=tracer, ReloadMethod=self.method))
        return report, self.events.read_text().splitlines()

    def calls(self, text: str, *, on_new_host: bool) -> list[str]:
        """All calls of a run that installs this text.

        Under the tracer, on a busy machine, a new worker may take longer than the step waits for it.
        """
        for _ in range(3):
            if on_new_host:
                self.forget()
            report, calls = self.traced(text)
            if report.says("installed"):
                break
        assert report.says("installed"), report
        return calls

    def forget(self) -> None:
        """Let the host be one on which the step never ran."""
        self.proxy.run(["rm", "-rf", STATE_DIR, CACHE_DIR])

    def kill(self, text: str, point: Point) -> None:
        """Kill a run that installs this text, and check what it left and what the next run makes of it."""
        before = self.proxy.read(CONFIG)
        if " mkdir " in point[0]:
            self.forget()
        _, calls = self.traced(text, *point)
        if calls.count(point[0]) < point[1]:
            self.missed.append(point)
        assert self.proxy.read(CONFIG) in {before, text}, f"half a file after {point}"
        self._wait_until_open(point)
        answer = self.step.run(text, ReloadMethod=self.method)
        assert answer.status == 0, (point, answer)
        assert answer["running_md5"] == digest(text), (point, answer)
        assert self.proxy.read(CONFIG) == text
        assert leftovers(self.proxy) == [], point
        assert not self.proxy.firewall(), point
        self._wait_for_one_worker(point)
        admin_states = {
            name: state[2]
            for name, state in state_of(self.proxy).items()
            if f"server {name} " in text
        }
        assert admin_states == dict.fromkeys(
            ("app-1", "app-2" if "app-2" in text else "app-3"), READY
        ), point

    def _wait_until_open(self, point: Point) -> None:
        """Ports answer within the stated limit; a second more is the client's own SYN timer."""

        def is_open() -> bool:
            try:
                return (
                    self.client.get(str(self.proxy.ipv4), timeout_seconds=1).status
                    == HTTPStatus.OK
                )
            except OSError:
                return False

        wait_until(is_open, DROP_SECONDS + 1, what=f"open ports after {point}")

    def _wait_for_one_worker(self, point: Point) -> None:
        wait_until(
            lambda: len(self.proxy.workers()) == 1,
            what=lambda: f"{self.proxy.workers()} after {point}",
        )


def points(calls: list[str]) -> Iterator[Point]:
    """First and last occurrence of each call, and each answer of HAProxy's sockets."""
    for call in dict.fromkeys(calls):
        count = calls.count(call)
        what = call.split()[1]
        if what == "connect":
            yield from ((call, occurrence) for occurrence in range(1, count + 1))
        else:
            yield call, 1
            if what in {"rename", "fsync"} and count > 1:
                yield call, count


def is_telling(point: Point) -> bool:
    """Whether a kill here leaves another state than one at the next point.

    Of a file that is made to replace another one, only that differs before its rename: whether it is empty or whole.
    """
    what, _, name = point[0].partition(" ")[2].partition(" ")
    is_made = name.endswith((".new", ".old"))
    return not (is_made and what in {"chown", "chmod", "fsync"})


def is_any(_point: Point) -> bool:
    """All points."""
    return True


def is_alike(point: Point) -> bool:
    """The other points."""
    return not is_telling(point)


def cell(
    style: Style, method: str, parts: int, which: Callable[[Point], bool] = is_any
) -> Iterator[object]:
    """A sweep of one method on one style, in parts that can run side by side; `make test` has the telling points."""
    for part in range(parts):
        yield pytest.param(
            style,
            method,
            which,
            slice(part, None, parts),
            marks=[] if which is is_telling else pytest.mark.every_cell,
            id=f"{style}-{method}-{which.__name__[3:]}-{part + 1}-of-{parts}",
        )


@pytest.mark.fault("F62")
@pytest.mark.fault("F85")
@pytest.mark.parametrize(
    ("style", "method", "which", "part"),
    [
        *cell(Style.SYSV, "syn-drop", 4, is_telling),
        *cell(Style.SYSV, "syn-drop", 2, is_alike),
        *cell(Style.SYSV, "seamless", 4),
        *cell(Style.SYSV, "runtime", 2),
        *cell(Style.DAEMON, "syn-drop", 3),
        *cell(Style.DAEMON, "seamless", 4),
        *cell(Style.DAEMON, "runtime", 2),
        *cell(Style.MASTER_WORKER, "syn-drop", 2, is_telling),
        *cell(Style.MASTER_WORKER, "syn-drop", 1, is_alike),
        *cell(Style.MASTER_WORKER, "seamless", 2),
        *cell(Style.MASTER_WORKER, "runtime", 2, is_telling),
        *cell(Style.MASTER_WORKER, "runtime", 1, is_alike),
    ],
)
def test_a_kill_at_any_point_is_survived(
    make_proxy: MakeProxy,
    backends: tuple[BackendHost, ...],
    client: Client,
    tmp_path: Path,
    style: Style,
    method: str,
    which: Callable[[Point], bool],
    part: slice,
) -> None:
    """The file is wholly old or new, the ports open in time, the next run succeeds: one worker, every server ready."""
    proxy = make_proxy(style)
    texts = [
        stateful(*backends[:2]),
        stateful(*backends[:2]).replace("app-2 10.77.1.2", "app-3 10.77.1.3"),
    ]
    proxy.start(texts[1])
    sweep = Sweep(proxy, client, method, tmp_path / "events")
    assert sweep.step.run(texts[1], ReloadMethod="seamless").status == 0
    is_whole = (style, method) == WHOLE
    calls = sweep.calls(texts[0], on_new_host=is_whole)
    installed = [index for index, call in enumerate(calls) if call.endswith(INSTALLED)]
    assert len(installed) == 1, calls
    # Up to the rename the step does the same for all.
    swept = points(calls if is_whole else calls[installed[0] :])
    mine = list(filter(which, swept))[part]
    assert mine
    for number, point in enumerate(mine, start=1):
        sweep.kill(texts[number % 2], point)
    assert set(state_of(proxy)) >= {"app-1"}
    # Calls that depend on timing do not occur in every run. Where a daemon hands its sockets over, the stats socket is
    # one of both processes: whom the step reaches is chance, and so is how often it asks for the new one.
    asks_by_chance = method == "seamless" and style is not Style.MASTER_WORKER
    missed = [
        point
        for point in sweep.missed
        if not (asks_by_chance and " connect " in point[0])
    ]
    assert len(missed) <= len(mine) / 4, missed
