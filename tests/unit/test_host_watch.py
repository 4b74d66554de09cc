"""The watch of a new worker: it ends with one that is there, or says that it died."""

from collections.abc import Iterator
from itertools import chain, repeat
from types import SimpleNamespace
from typing import Any

import pytest

from haproxy_apply import commands, load, patience, units, watch
from haproxy_apply.errors import ReloadFailed

NOBODY = SimpleNamespace(worker=None)
MODEL: Any = SimpleNamespace(stats_socket=SimpleNamespace(path="/run/haproxy.sock"))


def service(start: int) -> Any:
    """One whose worker began then, in ticks."""
    return SimpleNamespace(
        worker=SimpleNamespace(start=start),
        answers_on=lambda _path: True,
        has_new_worker=lambda before: before.worker.start != start,
    )


class Clock:
    """Time that passes only where somebody sleeps; at some time systemd is done."""

    def __init__(self, changes_for: float) -> None:
        """Let systemd start or stop the unit for so many seconds."""
        self.seconds = 0.0
        self.changes_for = changes_for

    def sleep(self, seconds: float) -> None:
        """Pass."""
        self.seconds += seconds

    def is_changing(self, _unit: str) -> bool:
        """What systemd says now."""
        return self.seconds < self.changes_for


def watched(
    monkeypatch: pytest.MonkeyPatch,
    found: Iterator[Any],
    clock: Clock,
    load_seconds: float = 15,
    check_seconds: float = 1,
    *,
    is_rollback: bool = False,
) -> Any:
    """What the watch of a worker ends with, in a unit which systemd starts or not, when these are found."""
    monkeypatch.setattr("haproxy_apply.watch.time.sleep", clock.sleep)
    monkeypatch.setattr("haproxy_apply.watch.time.monotonic", lambda: clock.seconds)
    monkeypatch.setattr(load, "said", lambda *_: "")
    monkeypatch.setattr(units, "is_changing", clock.is_changing)
    monkeypatch.setattr(patience, "left", lambda: 100 - clock.seconds)
    host: Any = SimpleNamespace(
        unit="haproxy.service",
        discovery=SimpleNamespace(find=lambda: next(found)),
        load_seconds=load_seconds,
        check_seconds=check_seconds,
        is_rollback=is_rollback,
    )
    return watch.watch(host, MODEL, service(1), service(2))


@pytest.mark.fault("F240")
def test_a_worker_that_comes_late_is_the_one_that_is_watched(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However many looks found nobody meanwhile, while systemd starts it; and some more until it is found."""
    found = chain(repeat(NOBODY, 200), repeat(service(3)))
    after = watched(monkeypatch, found, Clock(39.3), load_seconds=45)
    assert after.worker.start == 3


@pytest.mark.fault("F240")
@pytest.mark.fault("F254")
@pytest.mark.parametrize(("changes_for", "waits_for"), [(1000, 15), (0, 0), (4, 4)])
def test_who_never_comes_has_died(
    monkeypatch: pytest.MonkeyPatch, changes_for: float, waits_for: float
) -> None:
    """A unit that systemd starts again and again is none that serves; one that systemd does not start is dead."""
    clock = Clock(changes_for)
    with pytest.raises(ReloadFailed, match="worker-died"):
        watched(monkeypatch, repeat(NOBODY), clock)
    assert waits_for <= round(clock.seconds, 3) <= waits_for + 2


@pytest.mark.fault("F240")
def test_a_rollback_fits_behind_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """The old file's load takes as long as the check did."""
    clock = Clock(1000)
    with pytest.raises(ReloadFailed, match="worker-died"):
        watched(monkeypatch, repeat(NOBODY), clock, load_seconds=90, check_seconds=60)
    assert round(patience.for_last_load(patience.left()), 3) >= 60


@pytest.mark.fault("F240")
def test_a_rollback_itself_waits_as_long_as_its_load_may_take(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing comes behind it."""
    found = chain(repeat(NOBODY, 400), repeat(service(3)))
    times = {"load_seconds": 95, "check_seconds": 60}
    after = watched(monkeypatch, found, Clock(85), **times, is_rollback=True)
    assert after.worker.start == 3


def test_who_stays_has_lived(monkeypatch: pytest.MonkeyPatch) -> None:
    """And a single look that finds nobody is no death."""
    found = chain([NOBODY], repeat(service(2)))
    assert watched(monkeypatch, found, Clock(0)).worker.start == 2


@pytest.mark.fault("F254")
@pytest.mark.parametrize(
    ("active", "sub", "expected"),
    [
        ("activating", "start", True),
        ("deactivating", "stop-sigterm", True),
        ("activating", "auto-restart", False),
        ("activating", "auto-restart-queued", False),
        ("active", "running", False),
        ("failed", "failed", False),
    ],
)
def test_a_pause_after_a_death_is_no_start(
    monkeypatch: pytest.MonkeyPatch, active: str, sub: str, *, expected: bool
) -> None:
    """It is `activating` for systemd, too."""
    said = SimpleNamespace(output=f"ActiveState={active}\nSubState={sub}\n")
    monkeypatch.setattr(commands, "run", lambda _words: said)
    assert units.is_changing("haproxy.service") is expected
