"""The reload benchmark, small: its file has the promised shape, and it sees what it has to see."""

import json
from collections.abc import Mapping

import pytest

from benchmarks.reload import __main__ as benchmark
from benchmarks.reload.change import METHODS, SCENARIOS
from benchmarks.reload.harm import METRICS, OURS

type Results = Mapping[str, Mapping[str, Mapping[str, float]]]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """What one quick run writes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(benchmark, "OUTPUT", tmp_path_factory.mktemp("bench") / "reload.json")
        benchmark.main(["--quick"])
        written: Results = json.loads(benchmark.OUTPUT.read_text())
        return written


def test_the_file_has_every_number(results: Results) -> None:
    """Each scenario, method and metric has a median and a range."""
    names = [*METRICS, *(f"{metric}_range" for metric in METRICS)]
    assert {
        scenario: {method: sorted(values) for method, values in methods.items()}
        for scenario, methods in results.items()
    } == {scenario: dict.fromkeys(METHODS, sorted(names)) for scenario in SCENARIOS}


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_our_methods_lose_no_request(results: Results, scenario: str) -> None:
    """No new connection or download fails while our methods change the config, whatever the backends do."""
    assert {method: results[scenario][method]["failed"] for method in OURS} == dict.fromkeys(OURS, 0)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_seed_hurts_more(results: Results, scenario: str) -> None:
    """The lab can see what the seed's line does, and our methods do less of it."""
    hurt = {method: values["failed"] + values["delayed"] for method, values in results[scenario].items()}
    assert hurt["seed"] > max(hurt[method] for method in OURS)
    assert hurt["plain"] > 0, "without a round-trip time a plain reload looks free"
    assert results[scenario]["seed"]["hold_ms"] >= 500
