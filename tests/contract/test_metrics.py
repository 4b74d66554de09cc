"""What CloudWatch gets: names and dimensions that alarms and the dashboard are built on."""

import json
from typing import Any

import pytest

from tests.contract.world import World, changed


def emitted(capsys: pytest.CaptureFixture[str]) -> dict[tuple[str, ...], float]:
    """The last value of each metric in the log, by name and the value of its own dimension."""
    values: dict[tuple[str, ...], float] = {}
    for line in capsys.readouterr().out.splitlines():
        entry: dict[str, Any] = json.loads(line)
        for block in entry.get("_aws", {}).get("CloudWatchMetrics", ()):
            assert block["Namespace"] == "haproxy-ec2-sync"
            (dimensions,) = block["Dimensions"]
            assert {"environment", "service"} <= set(dimensions)
            own = [
                str(entry[name])
                for name in dimensions
                if name not in {"environment", "service"}
            ]
            for metric in block["Metrics"]:
                values[metric["Name"], *own] = entry[metric["Name"]][-1]
    return values


def test_a_look_tells_the_state_of_the_environment(
    running: World, capsys: pytest.CaptureFixture[str]
) -> None:
    """Sizes, generation, what was skipped and why, and how long convergence is ago."""
    running.launch(tags={"haproxy:port": "0"})
    running.launch(tags={"haproxy:weight": "seven"})
    capsys.readouterr()
    running.sweep()
    values = emitted(capsys)
    publication = running.state.publication
    assert publication
    assert values["Looks",] == 1
    assert (values["Backends",], values["Proxies",], values["ProxiesUnsettled",]) == (
        4,
        3,
        3,
    )
    assert values["Generation",] == publication.generation
    assert (values["Publications",], values["ChangesFoundBySweep",]) == (1, 1)
    assert values["SkippedInstances", "bad-port"] == 1
    assert values["SkippedInstances", "bad-weight"] == 1
    assert values["SecondsSinceConvergence",] > 0
    assert (values["Holds",], values["Frozen",], values["TemplateErrors",]) == (0, 0, 0)


def test_a_rollout_tells_its_outcomes(
    running: World, capsys: pytest.CaptureFixture[str]
) -> None:
    """One metric per outcome; a change that an event brought is not the sweep's."""
    (bad, *_) = sorted(running.proxies)
    running.proxies[bad].breaks = lambda _: ("rolled-back", "bind-failed")
    running.launch()
    running.deliver(changed())
    running.pass_time(5)
    values = emitted(capsys)
    assert values["ProxyReports", "rolled-back"] == 1
    assert values["Rollouts", "stopped"] == 1
    assert values["ChangesFoundBySweep",] == 0
    running.act("freeze")
    assert emitted(capsys)["Frozen",] == 1


def test_a_rollout_that_reached_all_is_told_once(
    running: World, capsys: pytest.CaptureFixture[str]
) -> None:
    """Completed when the last proxy proved it, and not again while nothing changes."""
    running.launch()
    running.sweep()
    running.settle()
    assert emitted(capsys)["Rollouts", "completed"] == 1
    running.pass_time(60)
    running.sweep()
    assert ("Rollouts", "completed") not in emitted(capsys)


def test_what_becomes_of_a_batch_is_counted_once(
    running: World, capsys: pytest.CaptureFixture[str]
) -> None:
    """Covered by a look is coalesced; unrelated is neither that nor a look."""
    (other,) = running.launch(tags={"Environment": "production"})
    running.sweep()
    capsys.readouterr()
    running.deliver(changed(), sent_at=running.now - 5)
    assert emitted(capsys) == {("Coalesced",): 1}
    running.deliver(changed(other))
    assert emitted(capsys) == {}


def test_a_bad_day_is_told(running: World, capsys: pytest.CaptureFixture[str]) -> None:
    """A hold, a broken template and a broken state each have a metric of their own."""
    running.terminate(
        *[backend.instance_id for backend in running.state.backends or ()]
    )
    running.sweep()
    assert emitted(capsys)["Holds",] == 1
    s3 = running.clients.s3
    s3.put_object(
        Bucket="bucket", Key="templates/staging/haproxy.cfg.j2", Body=b"{% for %}"
    )
    running.pass_time(60)
    running.sweep()
    assert emitted(capsys)["TemplateErrors",] == 1
    s3.put_object(Bucket="bucket", Key="state/staging.json", Body=b"{")
    running.pass_time(60)
    running.sweep()
    assert emitted(capsys)["CorruptStates",] == 1
    running.deliver("rubbish")
    assert emitted(capsys)["BadEvents",] == 1


@pytest.mark.parametrize("backends", [0, 2])
def test_an_environment_that_never_converged_can_ring_an_alarm(
    world: World, capsys: pytest.CaptureFixture[str], backends: int
) -> None:
    """Whether there are no proxies or nothing to publish: the time counts from the beginning."""
    for _ in range(backends):
        world.launch()
    world.sweep()
    world.pass_time(600)
    capsys.readouterr()
    world.sweep()
    assert emitted(capsys)["SecondsSinceConvergence",] >= 600
