"""Fixtures of the tests of the local system's stand-ins for Run Command and its agent."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]  # ships no types

from local.run_command import Event, ManualClock, at_once, attach, run_command_on_moto
from tests.local import auto_scaling_bench
from tests.local.agent_runner import Runner
from tests.local.run_command_bench import DOCUMENT, Bench
from tests.local.stack_life import Life, lived

LOOK_AT_LIFE = ("test_stack_life.py", "test_deploying_user.py")


class OneLife(LoadScopeScheduling):  # type: ignore[misc]  # as above
    """The tests that look at the life of a stack run in one worker, which lives it once; all others run anywhere."""

    def _split_scope(self, nodeid: str) -> str:
        module = nodeid.partition("::")[0].rpartition("/")[2]
        return "life" if module in LOOK_AT_LIFE else nodeid


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> OneLife:
    """Pytest-xdist's own marks for groups do nothing with this pytest."""
    return OneLife(config, log)


@pytest.fixture(scope="session")
def life(tmp_path_factory: pytest.TempPathFactory) -> Life:
    """What was seen while a stack was deployed, changed and deleted."""
    return lived(tmp_path_factory.mktemp("account"))


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "eu-west-1",
    }.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def bench() -> Iterator[Bench]:
    """A bench with the sample document, whose agents report in one piece."""
    events: list[Event] = []
    clock = ManualClock(datetime(2026, 1, 1, tzinfo=UTC))
    with mock_aws():
        service = run_command_on_moto(
            clock=clock, on_event=events.append, delay=at_once
        )
        with attach(service):
            ssm = boto3.client("ssm", region_name="eu-west-1")
            ssm.create_document(
                Name="Apply", Content=json.dumps(DOCUMENT), DocumentType="Command"
            )
            yield Bench(ssm, service, clock, events)


@pytest.fixture
def scaling() -> Iterator[auto_scaling_bench.ScalingBench]:
    """A bench for groups."""
    with auto_scaling_bench.opened() as made:
        yield made


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[Runner]:
    """A runner with a present-day agent."""
    made = Runner(tmp_path / "ssm")
    with made.agent:
        yield made


@pytest.fixture
def old_runner(tmp_path: Path) -> Iterator[Runner]:
    """A runner whose agent is one release too old for ENV_VAR."""
    made = Runner(tmp_path / "ssm", version="3.3.2745.0")
    with made.agent:
        yield made
