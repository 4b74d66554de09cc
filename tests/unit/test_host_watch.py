"""The watch of a new worker: it ends with one that is there, or says that it died."""

from collections.abc import Iterator
from itertools import chain, repeat
from types import SimpleNamespace
from typing import Any

import pytest

from haproxy_apply import load, units, watch
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


def watched(
    monkeypatch: pytest.MonkeyPatch, found: Iterator[Any], *, is_changing: bool
) -> Any:
    """What the watch of a worker ends with, in a unit which systemd starts or not, when these are found."""
    monkeypatch.setattr("haproxy_apply.watch.time.sleep", lambda _: None)
    monkeypatch.setattr(load, "said", lambda *_: "")
    monkeypatch.setattr(units, "is_changing", lambda _: is_changing)
    host: Any = SimpleNamespace(
        unit="haproxy.service", discovery=SimpleNamespace(find=lambda: next(found))
    )
    return watch.watch(host, MODEL, service(1), service(2))


@pytest.mark.fault("F240")
def test_a_worker_that_comes_late_is_the_one_that_is_watched(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However many looks found nobody meanwhile, while systemd starts it."""
    found = chain(repeat(NOBODY, 100), repeat(service(3)))
    after = watched(monkeypatch, found, is_changing=True)
    assert after.worker.start == 3


@pytest.mark.fault("F240")
@pytest.mark.parametrize("is_changing", [True, False])
def test_who_never_comes_has_died(
    monkeypatch: pytest.MonkeyPatch, *, is_changing: bool
) -> None:
    """A unit that systemd starts again and again is none that serves."""
    with pytest.raises(ReloadFailed, match="worker-died"):
        watched(monkeypatch, repeat(NOBODY), is_changing=is_changing)


def test_who_stays_has_lived(monkeypatch: pytest.MonkeyPatch) -> None:
    """And a single look that finds nobody is no death."""
    found = chain([NOBODY], repeat(service(2)))
    assert watched(monkeypatch, found, is_changing=False).worker.start == 2
