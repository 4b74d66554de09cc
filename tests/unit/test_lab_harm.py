"""From what clients saw to the benchmark's numbers."""

import pytest

from benchmarks.reload.harm import OURS, Harm, missed, summary
from local.lab import Attempt


def attempt(kind: str = "new", connect_ms: float = 40, result: str = "ok") -> Attempt:
    """What became of one request."""
    return Attempt(kind, 4, 0.0, connect_ms, connect_ms + 40, result, "a")


def harm(failed: int = 0, delayed: int = 0, keepalive_lost: int = 0) -> Harm:
    """One run's harm."""
    return Harm(failed, delayed, 50, 50, keepalive_lost, 0)


def test_each_kind_of_harm_is_counted_once() -> None:
    """Failures, delays and lost keep-alive requests are different things."""
    seen = Harm.of(
        [
            *[attempt()] * 997,
            attempt(connect_ms=200),
            attempt(connect_ms=201),
            Attempt(
                "new",
                4,
                0.0,
                connect_ms=3000,
                total_ms=3000,
                result="timeout",
                backend="",
            ),
            attempt("download", result="closed"),
            attempt("keep-alive", result="closed"),
        ],
        drop_window_ms=12.34,
    )
    assert seen == Harm(
        failed=2,
        delayed=1,
        connect_max_ms=3000,
        connect_p999_ms=201,
        keepalive_lost=1,
        drop_window_ms=12.3,
    )


def test_no_traffic_is_no_result() -> None:
    """A run without a client cannot say that nobody was harmed."""
    with pytest.raises(ValueError, match="no client"):
        Harm.of([attempt("keep-alive")], drop_window_ms=0)


def test_summary_has_medians_and_ranges() -> None:
    """One outlier moves the range, not the median."""
    values = summary({"alive": {"playbook": [harm(1), harm(9), harm(2)]}})["alive"][
        "playbook"
    ]
    assert values["failed"] == 2
    assert values["failed_range"] == (1, 9)


def methods(changes: dict[str, Harm]) -> dict[str, list[Harm]]:
    """All methods meet their targets but for the changes."""
    well = {method: [harm()] for method in OURS}
    others = {"playbook": [harm(2, 100, 20)], "plain": [harm(12, 0, 20)]}
    return well | others | {method: [run] for method, run in changes.items()}


@pytest.mark.parametrize(
    ("changes", "sentences"),
    [
        ({}, []),
        ({"syn-drop": harm(delayed=20, keepalive_lost=2)}, []),
        ({"syn-drop": harm(delayed=21)}, ["a fifth of the playbook's"]),
        (
            {"seamless": harm(failed=1, delayed=1)},
            ["no failed request", "no delayed connection"],
        ),
        ({"auto": harm(keepalive_lost=3)}, ["a tenth of the plain reload's"]),
        ({"runtime": harm(keepalive_lost=1)}, ["no lost keep-alive request"]),
        ({"syn-drop/master-worker": harm(delayed=21)}, ["a fifth of the playbook's"]),
    ],
)
def test_missed_targets_are_named(
    changes: dict[str, Harm], sentences: list[str]
) -> None:
    """Each target is judged by its own limit."""
    found = missed({"alive": methods(changes)})
    assert len(found) == len(sentences)
    assert all(
        sentence in line for sentence, line in zip(sentences, found, strict=True)
    )
