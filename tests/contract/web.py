"""An Auto Scaling group of backends in a world: what it is told, and what clients and machines see of it."""

import re
from typing import Any

from haproxy_sync.fleet.model import endpoint
from tests.contract.world import World

GROUP = "web"
HOOK = "haproxy-ec2-sync-drain"
LAUNCH_HOOK = "haproxy-ec2-sync-join"
DRAIN = 90
RETAIN = {"RetentionTriggers": {"TerminateHookAbandon": "retain"}}
TRANSITIONS = {
    HOOK: "autoscaling:EC2_INSTANCE_TERMINATING",
    LAUNCH_HOOK: "autoscaling:EC2_INSTANCE_LAUNCHING",
}


class Web:
    """A group of backends in a world with two proxies."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.client = world.auto_scaling

    def create(
        self, size: int, *hooks: str, is_spot: bool = False, **more: Any
    ) -> None:
        """With hooks by name, two proxies, and everybody in service and in the config."""
        self.make(size, *hooks, is_spot=is_spot, **more)
        self.world.launch("haproxy", 2)
        self.world.sweep()
        self.wait_for(lambda: len(self.served()) == size)
        self.world.settle()
        self.ended = self.world.state.ended_holds

    def make(self, size: int, *hooks: str, is_spot: bool = False, **more: Any) -> None:
        """The group alone, whose instances come as time passes."""
        market = {"InstanceMarketOptions": {"MarketType": "spot"}} if is_spot else {}
        self.world.make_group(size, GROUP, template=market, **more)
        for hook in hooks:
            self.hook(hook)

    def has_held(self) -> bool:
        """Whether somebody was, or is, held since then."""
        state = self.world.state
        return state.hold is not None or state.ended_holds != self.ended

    def hook(self, name: str, transition: str = "", seconds: int = 60) -> None:
        """Put a lifecycle hook."""
        self.client.put_lifecycle_hook(
            AutoScalingGroupName=GROUP,
            LifecycleHookName=name,
            LifecycleTransition=transition or TRANSITIONS[name],
            HeartbeatTimeout=seconds,
            DefaultResult="ABANDON",
        )

    def keep_warm(self, size: int) -> None:
        """So many more that run in a warm pool, once they do."""
        self.client.put_warm_pool(
            AutoScalingGroupName=GROUP,
            MinSize=size,
            MaxGroupPreparedCapacity=len(self.states()) + size,
            PoolState="Running",
        )
        self.wait_for(lambda: list(self.warm().values()) == ["Warmed:Running"] * size)

    def scale(self, size: int) -> None:
        """Another desired capacity."""
        self.client.set_desired_capacity(
            AutoScalingGroupName=GROUP, DesiredCapacity=size
        )

    def states(self) -> dict[str, str]:
        """Lifecycle state by instance; nothing of a group that is gone."""
        return self.world.lifecycle_states(GROUP)

    def warm(self) -> dict[str, str]:
        """The same of the warm pool."""
        answer = self.client.describe_warm_pool(AutoScalingGroupName=GROUP)
        return {
            each["InstanceId"]: each["LifecycleState"] for each in answer["Instances"]
        }

    def in_state(self, state: str) -> list[str]:
        """The instances in a lifecycle state."""
        return [key for key, each in self.states().items() if each == state]

    def leaving(self, size: int) -> str:
        """Scale in by one; who goes, once its action waits."""
        self.scale(size)
        self.wait_for(lambda: self.in_state("Terminating:Wait"))
        (leaver,) = self.in_state("Terminating:Wait")
        return leaver

    def lines(self) -> list[str]:
        """The server lines of what every proxy runs; none while they run several configs."""
        texts = {self.world.served(key) for key in self.world.proxies}
        text = texts.pop() if len(texts) == 1 else ""
        return re.findall(r"^ *server .*$", text, re.MULTILINE)

    def served(self) -> dict[str, str]:
        """By instance of the pool that proxies have: how its line ends."""
        lines = {line.split()[2]: line for line in self.lines()}
        return {
            each.instance_id: lines[endpoint(each)]
            for each in self.world.state.pool
            if endpoint(each) in lines
        }

    def draining(self) -> set[str]:
        """Who gets no new clients."""
        return {key for key, line in self.served().items() if " weight 0" in line}

    def connect(self, instance_id: str, connections: int) -> None:
        """So many connections go to it through the first proxy."""
        (server,) = [
            endpoint(each)
            for each in self.world.state.pool
            if each.instance_id == instance_id
        ]
        next(iter(self.world.proxies.values())).connections[server] = connections

    def wait_for(self, condition: Any, seconds: int = 60, step: float = 1.0) -> None:
        """Time passes until it is so."""
        for _ in range(round(seconds / step)):
            if condition():
                return
            self.world.pass_time(step)
        raise AssertionError(f"not within {seconds} s: {self.states()}")

    def ends(self, instance_id: str, seconds: float) -> bool:
        """Whether its machine ends within so many seconds."""
        begin = self.world.now
        while self.states().get(instance_id) == "Terminating:Wait":
            if self.world.now > begin + seconds:
                return False
            self.world.pass_time(1)
        return True

    def causes(self) -> dict[str, dict[str, Any]]:
        """The conditions of `status`."""
        return {each["cause"]: each for each in self.world.act("status")["conditions"]}
