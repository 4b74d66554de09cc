"""From runs of the step to the benchmark's numbers."""

from benchmarks.apply.figures import medians, missed, summary


def timed(wall_ms: float, cpu_ms: float = 50) -> dict[str, float]:
    """A timed run."""
    return {"cpu_ms": cpu_ms, "wall_ms": wall_ms, "window_ms": 0}


def runs(
    before: float, after: float, processes: int = 8
) -> dict[str, dict[str, dict[str, list[dict[str, float]]]]]:
    """A run of every case by both programs, with these wall times."""
    case: dict[str, list[dict[str, float]]] = {
        "before": [{"processes": 80}, timed(before)],
        "after": [{"processes": processes}, timed(after, cpu_ms=25)],
    }
    return {
        "sysv": dict.fromkeys(("unchanged", "syn-drop", "seamless", "runtime"), case)
    }


def test_medians_are_of_the_runs_that_have_the_metric() -> None:
    """A traced run is not timed; a timed one does not count."""
    seen: list[dict[str, float]] = [
        {"processes": 12},
        timed(30),
        timed(10),
        timed(20, cpu_ms=60),
    ]
    assert medians(seen) == {
        "processes": 12,
        "cpu_ms": 50,
        "wall_ms": 20,
        "window_ms": 0,
    }


def test_ratios_are_after_divided_by_before() -> None:
    """What was 0 before has none."""
    of = summary(runs(40, 20))["sysv"]["syn-drop"]
    assert of["ratio"] == {"processes": 0.1, "cpu_ms": 0.5, "wall_ms": 0.5}
    assert (of["before"]["wall_ms"], of["after"]["wall_ms"]) == (40, 20)


def test_without_the_former_program_there_is_no_ratio() -> None:
    """Where git does not know it: the present one still has to keep to its own limits."""
    alone = {
        style: {case: {"after": of["after"]} for case, of in cases.items()}
        for style, cases in runs(40, 120).items()
    }
    results = summary(alone)
    assert set(results["sysv"]["runtime"]) == {"after"}
    assert missed(results) == [
        "sysv, unchanged: 120 wall_ms, but at most 100 ms on a quiet core (100)"
    ]


def test_each_missed_target_is_one_sentence() -> None:
    """Counts and limits of the present program, and that no change got slower."""
    assert missed(summary(runs(200, 100))) == []
    assert missed(summary(runs(90, 90.1, processes=26))) == [
        "sysv, unchanged: 26 processes, but at most 8 processes (8)",
        "sysv, syn-drop: 26 processes, but at most 25 processes (25)",
        "sysv, syn-drop: 90.1 wall_ms, but no slower than before (90)",
        "sysv, runtime: 90.1 wall_ms, but no slower than before (90)",
    ]


def test_a_time_that_is_chance_is_not_judged() -> None:
    """Of the two styles, only a master's seamless reload asks one process."""
    slower = {"seamless": {"before": [timed(40)], "after": [timed(50)]}}
    other = runs(40, 40)["sysv"]
    styles = ("sysv", "master-worker")
    results = summary({style: {**other, **slower} for style in styles})
    assert missed(results) == [
        "master-worker, seamless: 50 wall_ms, but no slower than before (40)"
    ]


def test_a_quick_run_misses_no_time() -> None:
    """It counts only."""
    counted = {"before": [{"processes": 80}], "after": [{"processes": 3}]}
    cases = dict.fromkeys(("unchanged", "syn-drop", "seamless", "runtime"), counted)
    assert missed(summary({"sysv": cases})) == []
