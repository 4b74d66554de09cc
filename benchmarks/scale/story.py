"""What happens to a group of backends while clients ask: it grows, shrinks, is refreshed, and loses machines."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Self

from benchmarks.scale import playbook
from benchmarks.scale.look import Servers
from benchmarks.scale.tally import (
    PLAYBOOK,
    Killed,
    Logs,
    Tally,
    slow_start_ratio,
)
from local.groups import HOOKS, ScalingGroup, machines, make_group
from local.lab import Attempt, BackendHost, Load, Style, Traffic
from local.system import SERVER_NAME, Backend, LocalSystem, Proxy

LONG_SECONDS = 8
"""Longer than a drain takes where nobody holds it up."""
NOTICE_SECONDS = 30
"""Of the spot interruption; EC2's are 120."""
RAMP_SECONDS = 9
PARAMETERS = {
    "StartFrozen": "false",
    "DrainSeconds": "25",
    "SlowStartSeconds": str(RAMP_SECONDS),
    "DriftCheckMinutes": "2",
}
VARIABLES = "close_spread_time: 10s\ntimeout_http_keep_alive: 5s\n"
"""DrainSeconds has to be longer, as `plan` would say; with the bundled 60 s each drain could take minutes."""
PATIENCE_SECONDS = 30
"""A client without an answer for so long has failed."""
NEW_PER_SECOND, OPEN, DOWNLOADS = 12, 8, 2
"""Through each proxy: new connections, those that stay open, downloads at a time."""
PATHS = ("/", "/", "/", "/", f"/slow?{LONG_SECONDS}")
"""A fifth is long."""
FEW, MANY, WARM = 3, 10, 2
_SHOWN = 3
_WAITS = "Terminating:Wait"
NOBODY = Killed("", 0.0)

type Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Size:
    """Of the group: most of the time, and at its most; how many wait in its warm pool."""

    few: int = FEW
    many: int = MANY
    warm: int = WARM


def measure(method: str, say: Say, size: Size) -> Tally:
    """Tell the story with one method."""
    parameters = PARAMETERS
    parameters = (
        {**parameters, "StartFrozen": "true"}
        if method == PLAYBOOK
        else {**parameters, "ReloadMethod": method}
    )
    with LocalSystem(parameters, loses_power=True) as system:
        return Story(system, method, say, size).run()


@dataclass(slots=True)
class Story:
    """One method's."""

    system: LocalSystem
    method: str
    say: Say
    size: Size
    killed: Killed = NOBODY
    traffic: Sequence[Traffic] = ()
    drains: "Drains" = field(init=False)
    group: ScalingGroup = field(init=False)
    servers: Servers = field(init=False)
    hosts: dict[str, BackendHost] = field(default_factory=dict)
    """By name, those that are gone included; a name that came again is the last one's."""

    @property
    def is_ours(self) -> bool:
        """Whether hooks and proxies are ours."""
        return self.method != PLAYBOOK

    def run(self) -> Tally:
        """Tell it; raises TimeoutError where something does not happen."""
        with ExitStack() as telling:
            telling.enter_context(machines(self.system, self.say))
            proxies, spot = self._set_up(telling)
            with self._clients(proxies):
                self._step("steady", lambda: time.sleep(LONG_SECONDS))
                self._step("warm pool fills", self._fill)
                self._step("out", lambda: self._scale(self.size.many))
                self._step("in", lambda: self._scale(self.size.few))
                self._step("refresh", self._refresh)
                self._step("spot notice", lambda: self._interrupt(spot))
                self._step("kill", self._kill)
        attempts = [each for of in self.traffic for each in of.attempts]
        ratio = slow_start_ratio(self.servers.spells, self._logs(), RAMP_SECONDS)
        return Tally.of(attempts, self.killed, ratio, self.drains.seconds)

    def _step(self, name: str, work: Callable[[], None]) -> None:
        before = len(self._unwell())
        began = time.monotonic()
        work()
        seconds, new = time.monotonic() - began, self._unwell()[before:]
        self.say(f"{self.method:9} {name:15} {seconds:5.1f} s, not well: {len(new)}")
        for each in new[:_SHOWN]:
            self.say(f"    {each}")

    def _unwell(self) -> list[Attempt]:
        """So far, in the order of their ends."""
        bad = [each for of in self.traffic for each in of.failed]
        return sorted(bad, key=lambda each: each.end)

    def _set_up(self, telling: ExitStack) -> tuple[tuple[Proxy, ...], Backend]:
        if self.is_ours:
            self._upload()
        spot = self.system.launch_backend("ap-southeast-2b", is_spot=True)
        self.group = make_group(
            self.system,
            f"app-{self.method}",
            self.size.few,
            HOOKS if self.is_ours else (),
        )
        styles = (Style.SYSV, Style.MASTER_WORKER if self.is_ours else Style.SYSV)
        proxies = tuple(
            self.system.launch_proxy(style, f"ap-southeast-2{zone}")
            for style, zone in zip(styles, "ab", strict=True)
        )
        self.system.wait_until("the group in service", self._is_in_service)
        if not self.is_ours:
            playbook.play(self.system, proxies)
            telling.enter_context(playbook.cron(self.system, proxies, self.say))
        self.servers = telling.enter_context(Servers(proxies))
        self.drains = telling.enter_context(Drains(self.group))
        self.system.wait_until("all proxies serve all", self._is_served)
        return proxies, spot

    def _upload(self) -> None:
        key = f"vars/{self.system.environment}.yml"
        bucket = self.system.stack.outputs["BucketName"]
        self.system.stack.s3.put_object(Bucket=bucket, Key=key, Body=VARIABLES.encode())

    @contextmanager
    def _clients(self, proxies: Sequence[Proxy]) -> Iterator[None]:
        with ExitStack() as clients:
            self.traffic = [
                clients.enter_context(self.system.client.traffic(_load(proxy)))
                for proxy in proxies
            ]
            yield

    def _is_in_service(self) -> bool:
        """All that the group wants, and nobody comes or goes."""
        states = self.group.states()
        wanted = self._wanted()
        return len(states) == wanted and set(states.values()) == {"InService"}

    def _wanted(self) -> int:
        described = self.group.client.describe_auto_scaling_groups(
            AutoScalingGroupNames=[self.group.name]
        )
        return int(described["AutoScalingGroups"][0]["DesiredCapacity"])

    def _is_served(self) -> bool:
        """Whether each proxy sends new clients to whom is there, and to nobody else."""
        self._keep_logs()
        names = {each.name for each in self._there()}
        up = self.servers.up()
        return len(up) == len(self.system.proxies) and set(up.values()) == {
            frozenset(names)
        }

    def _there(self) -> list[Backend]:
        alive = self.system.stack.instances("running")
        members = dict(self.system.backends)
        return [members[key] for key in alive if key in members]

    def _settle(self) -> None:
        self.system.wait_until("the group in service", self._is_in_service)
        self.system.wait_until("all proxies serve all", self._is_served)

    def _fill(self) -> None:
        client, name = self.group.client, self.group.name
        prepared = self.size.few + self.size.warm
        client.put_warm_pool(
            AutoScalingGroupName=name,
            MaxGroupPreparedCapacity=prepared,
            PoolState="Stopped",
        )

        def is_full() -> bool:
            pool = client.describe_warm_pool(AutoScalingGroupName=name)
            states = [each["LifecycleState"] for each in pool["Instances"]]
            return states == ["Warmed:Stopped"] * self.size.warm

        self.system.wait_until("the warm pool", is_full)

    def _scale(self, size: int) -> None:
        """Whoever is new has its whole share before it ends."""
        self.group.client.update_auto_scaling_group(
            AutoScalingGroupName=self.group.name, MaxSize=max(size, self.size.many)
        )
        self.group.scale(size)
        self._settle()
        time.sleep(RAMP_SECONDS)

    def _refresh(self) -> None:
        self.group.client.delete_warm_pool(
            AutoScalingGroupName=self.group.name, ForceDelete=True
        )
        old = set(self.group.states())
        self.group.refresh(min_healthy=100 * (self.size.few - 1) // self.size.few)
        self.system.wait_until(
            "all are replaced", lambda: not self.group.is_refreshing(), 300
        )
        self._settle()
        if old & set(self.group.states()):
            raise TimeoutError("a refresh that left somebody")

    def _interrupt(self, spot: Backend) -> None:
        self.group.interrupt(spot.instance_id, NOTICE_SECONDS)
        self.system.wait_until(
            "the end of the spot instance",
            lambda: spot.instance_id not in self.system.backends,
        )
        self._settle()

    def _kill(self) -> None:
        victim = self.system.backends[self.group.serving()[0]]
        self.drains.forget(victim.instance_id)
        self.servers.watch_sessions(victim.name)
        self.killed = Killed(victim.name, time.time())
        self.system.kill(victim)

        def is_replaced() -> bool:
            serving = self.group.serving()
            is_known = victim.instance_id not in serving
            return is_known and len(serving) == self._wanted() and self._is_served()

        self.system.wait_until("somebody in its place", is_replaced)
        self.killed = replace(self.killed, ports=self.servers.stranded)

    def _keep_logs(self) -> None:
        self.hosts |= {each.name: each.host for each in self.system.backends.values()}

    def _logs(self) -> Logs:
        logs: dict[tuple[str, str], list[float]] = {}
        for name, host in self.hosts.items():
            for asked in host.log:
                logs.setdefault((name, asked.client), []).append(asked.at)
        return logs


class Drains:
    """A context manager: while it lasts, it measures how long each instance of a group waits to terminate."""

    def __init__(self, group: ScalingGroup) -> None:
        self.group = group
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="drains", daemon=True)
        self._began: dict[str, float] = {}
        self._ended: dict[str, float] = {}
        self._forgotten: set[str] = set()

    def __enter__(self) -> Self:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End."""
        self._over.set()
        self._thread.join()

    @property
    def seconds(self) -> list[float]:
        """Of each that is over."""
        return [
            ended - self._began[key]
            for key, ended in self._ended.items()
            if key not in self._forgotten
        ]

    def forget(self, instance_id: str) -> None:
        """It has no machine that could drain."""
        self._forgotten.add(instance_id)

    def _watch(self) -> None:
        while not self._over.wait(0.3):
            states, now = self.group.states(), time.time()
            waiting = {key for key, state in states.items() if state == _WAITS}
            self._began = dict.fromkeys(waiting, now) | self._began
            over = self._began.keys() - waiting
            self._ended = dict.fromkeys(over, now) | self._ended


def _load(proxy: Proxy) -> Load:
    return Load(
        (proxy.address,),
        443,
        PATHS,
        server_name=SERVER_NAME,
        connections_per_second=NEW_PER_SECOND,
        keepalive=OPEN,
        keepalive_interval_seconds=0.5,
        downloads=DOWNLOADS,
        download_seconds=LONG_SECONDS,
        timeout_seconds=PATIENCE_SECONDS,
    )
