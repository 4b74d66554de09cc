"""Auto Scaling groups in the small world: their instances are EC2's, and change by the world's clock."""

from tests.contract.world import World


def test_a_group_of_a_world_comes_and_goes(running: World) -> None:
    """In a world that was made by copying another one, too: what it launches joins the pool, what ends leaves it."""
    before = running.act("status")["backends"]
    running.make_group(2)
    assert set(running.lifecycle_states().values()) == {"Pending"}
    running.pass_time(10)
    assert set(running.lifecycle_states().values()) == {"InService"}
    running.settle()
    joined = set(running.act("status")["backends"]) - set(before)
    assert joined == set(running.lifecycle_states())
    running.auto_scaling.set_desired_capacity(
        AutoScalingGroupName="web", DesiredCapacity=0
    )
    running.pass_time(10)
    assert running.lifecycle_states() == {}
