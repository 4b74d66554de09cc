"""The history and the log say what a publication changed in the config, not only whom."""

import pytest

from haproxy_sync.config.bounded import Bounds
from haproxy_sync.config.sources import deployed
from haproxy_sync.reconcile import changes
from haproxy_sync.reconcile.changes import MAX_LINES
from tests.contract.world import World

REPEATED = (
    "{% for i in range(60) %}{% for j in range(101) %}# {{ i * (j + groups.tomcat|length) % 101 }}\n"
    "{% endfor %}{% endfor %}"
)
"""Few texts in thousands of lines, in another order for each number of servers: what a comparison takes longest for."""


def test_the_history_says_what_changed_in_the_config(running: World) -> None:
    """A launched server, a changed keyword and a removed server, by section, name and instance id."""
    (launched,) = running.launch(tags={"haproxy:weight": "10"})
    _next_sweep(running)
    assert any(
        line.startswith("+ backend application/") and f"({launched})" in line
        for line in _newest(running)
    )
    weight = {"Key": "haproxy:weight", "Value": "20"}
    running.clients.ec2.create_tags(Resources=[launched], Tags=[weight])
    _next_sweep(running)
    (line,) = _newest(running)
    assert line.startswith("~ backend application/")
    assert line.endswith(f"({launched}) weight 10 -> 20")
    running.terminate(launched)
    _next_sweep(running)
    (line,) = _newest(running)
    assert line.startswith("- backend application/")


def test_the_log_says_it_too(running: World, caplog: pytest.LogCaptureFixture) -> None:
    """One line `published` with the same words."""
    running.launch()
    running.sweep()
    *_, published = [
        record for record in caplog.records if record.message == "published"
    ]
    assert vars(published)["diff"] == _newest(running)


def test_a_great_change_stays_small_in_the_state(running: World) -> None:
    """A hundred new servers are some lines and a count of the others."""
    running.launch(number=100)
    running.sweep()
    diff = _newest(running)
    assert len(diff) == MAX_LINES + 1
    assert diff[-1] == "... and 60 lines more"


@pytest.mark.fault("F41")
def test_a_change_that_is_hard_to_tell_is_published(
    running: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The comparison ends in time, whatever the template repeats, and history and `plan` say that it was too much."""
    monkeypatch.setattr(changes, "BOUNDS", Bounds(cpu_seconds=0.2))
    template = deployed()["haproxy.cfg.j2"] + REPEATED
    key = {"Bucket": "bucket", "Key": "templates/staging/haproxy.cfg.j2"}
    running.clients.s3.put_object(**key, Body=template.encode())
    _next_sweep(running)
    generation = running.state.generation
    running.launch()
    (planned,) = running.act("plan")["diff"]
    assert "differ by more than can be told" in planned["other"]
    _next_sweep(running)
    assert running.state.generation == generation + 1
    (line,) = _newest(running)
    assert line.startswith("~ these configs differ by more than can be told")
    assert running.act("status")["converged"]


def _next_sweep(world: World) -> None:
    world.pass_time(60)
    world.sweep()
    world.settle()


def _newest(world: World) -> tuple[str, ...]:
    return world.state.history[-1].lines
