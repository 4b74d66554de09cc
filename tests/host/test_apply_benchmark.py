"""The benchmark of the step: it counts exactly, it measures what nobody waits for, and its file has the shape."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.apply import __main__ as benchmark
from benchmarks.apply import measure
from benchmarks.apply.measure import CASES, STYLES
from local.lab import ProxyHost


def test_a_quick_run_counts_both_programs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each style and case has the processes of each program that there is; a change starts more than no change."""
    monkeypatch.setattr(benchmark, "OUTPUT", tmp_path / "apply.json")
    benchmark.main(["--quick"])
    results = json.loads(benchmark.OUTPUT.read_text())
    assert set(results) == set(STYLES)
    for cases in results.values():
        assert set(cases) == set(CASES)
        for name in cases["unchanged"].keys() - {"ratio"}:
            counts = {case: of[name]["processes"] for case, of in cases.items()}
            assert 0 < counts["unchanged"] < counts["syn-drop"]


def test_without_history_the_present_program_stands_alone(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A shallow clone does not have the former one, which is said in one line."""
    monkeypatch.setattr(benchmark, "OUTPUT", tmp_path / "apply.json")
    monkeypatch.setattr(measure, "FORMER", "0" * 40)
    monkeypatch.setattr(measure, "STYLES", STYLES[:1])
    monkeypatch.setattr(benchmark, "STYLES", STYLES[:1])
    benchmark.main(["--quick"])
    assert "nothing to compare with" in capsys.readouterr().out
    results = json.loads(benchmark.OUTPUT.read_text())
    assert {name for of in results["sysv"].values() for name in of} == {"after"}


def test_every_process_is_counted_and_no_thread(tmp_path: Path) -> None:
    """Also those that leave the group and outlive the command; what is there before, a shell, is not."""
    thread = f"{sys.executable} -c 'import threading as t; a = t.Thread(target=print); a.start(); a.join()'"
    script = f"(:) & true | false; setsid sleep 3 & {thread}; wait %1; :"
    report = tmp_path / "report"
    counter = [sys.executable, "-m", "benchmarks.apply.count", str(report)]
    subprocess.run([*counter, "sh", "-c", script], check=True, stdout=subprocess.PIPE)
    programs = sorted(report.read_text().splitlines())
    assert programs == ["", "", "", "python", "setsid sleep"]


def test_the_meter_measures_what_nobody_waits_for(
    make_proxy: Callable[..., ProxyHost],
) -> None:
    """The time is the command's own; the CPU is also its orphans', if they end soon; a daemon holds nothing up."""
    proxy = make_proxy()
    busy = "i=0; while [ $i -lt 200000 ]; do i=$((i + 1)); done"
    for script, aftermath in (
        (f"({busy}) & exit 3", "60"),
        (f"({busy}); exit 3", "60"),
        ("exit 3", "60"),
        ("sleep 90 >/dev/null 2>&1 & exit 3", "0.2"),
    ):
        meter = [*measure.METER, "/run/report", aftermath]
        done = proxy.run([*meter, "sh", "-c", script], check=False)
        seconds, cpu_seconds = map(float, proxy.read("/run/report").split())
        assert done.returncode == 3
        assert seconds < 60
        assert (cpu_seconds > 0.05) == (busy in script)
