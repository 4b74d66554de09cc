"""The reload benchmark, small: its file has the promised shape, and it sees what it has to see."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from benchmarks.reload import __main__ as benchmark
from benchmarks.reload.change import METHODS, SCENARIOS
from benchmarks.reload.harm import METRICS, OURS

type Results = Mapping[str, Mapping[str, Mapping[str, float]]]


def test_a_quick_run_tells_the_playbook_from_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each scenario, method and metric has a median and a range; the playbook's handler hurts more than our methods."""
    monkeypatch.setattr(benchmark, "OUTPUT", tmp_path / "reload.json")
    os.chown(tmp_path, 65534, 65534)
    benchmark.main(["--quick"])
    assert benchmark.OUTPUT.stat().st_uid == 65534, (
        "root leaves a file of its own in the project of whoever called sudo"
    )
    results: Results = json.loads(benchmark.OUTPUT.read_text())
    names = sorted([*METRICS, *(f"{metric}_range" for metric in METRICS)])
    shape = {
        name: {method: sorted(values) for method, values in of.items()}
        for name, of in results.items()
    }
    assert shape == {scenario: dict.fromkeys(METHODS, names) for scenario in SCENARIOS}
    for scenario, methods in results.items():
        hurt = {
            method: values["failed"] + values["delayed"]
            for method, values in methods.items()
        }
        assert hurt["playbook"] > max(hurt[method] for method in OURS), (scenario, hurt)
        assert hurt["plain"] > 0, "without a round-trip time a plain reload looks free"
        assert methods["playbook"]["drop_window_ms"] >= 500
