"""An Auto Scaling group of backends: each instance has a machine for as long as EC2 says, and clients reach it."""

from local.groups import machines, make_group
from local.system import LocalSystem

TERMINATING = "autoscaling:EC2_INSTANCE_TERMINATING"


def test_a_group_has_machines(system: LocalSystem) -> None:
    """They come with the group's instances, serve while the hook waits, and end when EC2 says so."""
    hook = {"LifecycleHookName": "wait", "LifecycleTransition": TERMINATING}
    with machines(system, print):
        before = set(system.backends)
        group = make_group(system, "web", 2, [hook])
        system.wait_until("in service", lambda: len(group.serving()) == 2)
        joined = set(group.serving())
        system.wait_until("machines", lambda: set(system.backends) == before | joined)
        system.wait_until_serving(*system.backends.values())
        group.scale(0)
        system.wait_until(
            "the hook waits",
            lambda: set(group.states().values()) == {"Terminating:Wait"},
        )
        assert joined <= set(system.backends)
        for instance in joined:
            group.client.complete_lifecycle_action(
                AutoScalingGroupName=group.name,
                LifecycleHookName="wait",
                InstanceId=instance,
                LifecycleActionResult="CONTINUE",
            )
        system.wait_until("nobody is left", lambda: not group.states())
        system.wait_until("no machine is left", lambda: set(system.backends) == before)
        group.client.delete_auto_scaling_group(AutoScalingGroupName=group.name)
    system.wait_until_serving(*system.backends.values())
