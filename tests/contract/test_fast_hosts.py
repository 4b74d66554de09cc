"""Hosts that are faster than Run Command's eventually consistent reading calls."""

from tests.contract.world import World, changed


def test_a_host_that_finishes_before_the_api_shows_it_needs_no_sweep(
    world: World,
) -> None:
    """The news that a command finished may outrun the command's own listing: we look again, soon and by ourselves."""
    world.launch()
    world.launch("haproxy", 2)
    for host in world.proxies.values():
        host.agent.seconds = 0.1
    assert world.deliver(changed()) == []
    for _ in range(100):
        world.pass_time(0.2)
    assert world.act("status")["converged"]
