"""A stack deployed beside a fleet that is tagged already and serves somebody."""

from local.system import LocalSystem
from tests.end_to_end.conftest import Takeover, running


def test_no_proxy_is_touched_before_unfreeze(takeover: Takeover) -> None:
    """Same bytes, same process, although agents are online, backends are tagged and the schedule has fired."""
    assert takeover.left == takeover.found


def test_the_plan_says_what_unfreeze_would_do(takeover: Takeover) -> None:
    """Servers, proxies, and whose template."""
    plan = takeover.plan
    assert plan["verdict"] == "waits: frozen until unfreeze"
    assert set(plan["servers"]["added"]) == takeover.backends
    assert set(plan["proxies"]) == set(takeover.found)
    assert plan["template"]["origin"] == "bundled"


def test_unfreeze_takes_the_fleet_over(takeover: Takeover, system: LocalSystem) -> None:
    """Every proxy that was there runs what was planned."""
    now = running(system)
    for instance_id, (text, worker) in takeover.found.items():
        assert now[instance_id][0] != text
        assert now[instance_id][1] != worker
