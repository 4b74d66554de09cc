"""The rollback after a reload that failed: the old file runs again, whatever dies meanwhile."""

from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

from haproxy_apply import patience, rollback
from haproxy_apply.errors import ReloadFailed

BEFORE: Any = SimpleNamespace(worker="before")
CRASHING: Any = SimpleNamespace(worker="crashing")
STARTED: Any = SimpleNamespace(worker="started")


class Host(SimpleNamespace):
    """As much of a run as the rollback looks at."""

    def _replace(self, **changes: Any) -> "Host":
        return Host(**{**vars(self), **changes})


@pytest.mark.fault("F253")
@pytest.mark.parametrize("has_died", [True, False])
def test_one_that_dies_of_the_refused_file_once_more_is_started(
    monkeypatch: pytest.MonkeyPatch, *, has_died: bool
) -> None:
    """While it is told to reload; in the time that is left then. One that lives on without reloading is left alone."""
    seconds_left = iter([100.0, 40.0])
    looks = iter([CRASHING, None if has_died else CRASHING])
    given: list[float] = []

    def reload(host: Host, *_: Any) -> None:
        given.append(host.load_seconds)
        raise ReloadFailed("master-died")

    def start_again(host: Host, _before: Any) -> Any:
        given.append(host.load_seconds)
        return STARTED

    monkeypatch.setattr(rollback, "reload", reload)
    monkeypatch.setattr(rollback, "start_again", start_again)
    monkeypatch.setattr(patience, "left", lambda: next(seconds_left))
    host: Any = Host(
        discovery=SimpleNamespace(find=lambda: next(looks)), old="old", new="new"
    )
    failure = ReloadFailed("worker-died")
    back = partial(rollback._back_to_old, host, BEFORE, failure, is_half_changed=True)  # noqa: SLF001
    if has_died:
        assert back() is STARTED
        assert given == [patience.for_last_load(100), patience.for_last_load(40)]
    else:
        with pytest.raises(ReloadFailed, match="does not reload the old file"):
            back()
