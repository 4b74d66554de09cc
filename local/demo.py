"""`make demo`: the main job, live, under traffic. Ends with a summary, and with 0 only if all of it happened."""

import shlex
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from local import command_line, deployment
from local.cloud import REGION, TRANSITION_SECONDS
from local.deployment import CONFIG_ENVIRONMENT, NotBuilt, SamFailed
from local.groups import HOOKS, ScalingGroup, machines, make_group
from local.kept import kept
from local.lab import FilterWatch, Load, Style, Traffic
from local.screen import Screen
from local.system import (
    IMAGE,
    LOCAL_PARAMETERS,
    SERVER_NAME,
    Backend,
    LocalSystem,
    Proxy,
)

CONNECTIONS_PER_SECOND = 20
LONG_SECONDS = 6
"""Of a long request: longer than it takes to tell proxies that a backend goes."""
LONG_PER_SECOND, DOWNLOADS = 2, 2
"""Through each proxy, while the group scales in."""
CONFIG = "/etc/haproxy/haproxy.cfg"
SPEED = 6
LAST_HINT = "Ctrl-C ends it all."
METHODS = {
    "auto": "the samconfig's choice",
    "syn-drop": "the template's default, the playbook's way",
}
PLAN_HAS_CHANGES = 2  # the exit code of `haproxy-ec2-sync plan`


class Unexpected(Exception):
    """Something happened that must not."""


@dataclass(slots=True)
class Demo:
    """The story, told on a screen, in a system."""

    system: LocalSystem
    screen: Screen
    traffic: Mapping[str, Traffic] = field(default_factory=dict)
    started_at: float = 0.0
    seconds: float = 0.0
    """From the set-up to the end of the story."""
    event_to_traffic: float = 0.0
    methods: dict[str, Mapping[str, str]] = field(default_factory=dict)
    """By which reload method each proxy took each change, by its title and the proxy's instance."""
    long: list[Traffic] = field(default_factory=list)
    """The long requests that ran while the group scaled in."""

    def run(self) -> None:
        """Tell it. TimeoutError if something did not happen, or Unexpected."""
        with machines(self.system, self.screen.console.print):
            group = self._set_up()
            self.screen.footer = self._counts
            with self._clients():
                third = self._launch()
                self._scale_in(group)
                self._choose("syn-drop")
                with self._drop_rules_seen():
                    self._retag(third)
                self._choose("auto")
                self._repair()
        self.seconds = time.monotonic() - self.started_at

    @property
    def is_clean(self) -> bool:
        """Whether no request was lost meanwhile."""
        return not any(
            traffic.failed for traffic in (*self.traffic.values(), *self.long)
        )

    def _set_up(self) -> ScalingGroup:
        with self.screen.step(
            "launch two proxies, and two backends in an Auto Scaling group"
        ) as say:
            group = make_group(self.system, "app", 2, HOOKS)
            proxies = (
                self.system.launch_proxy(Style.SYSV),
                self.system.launch_proxy(Style.MASTER_WORKER, "ap-southeast-2b"),
            )
            own = [proxy.host.read(CONFIG) for proxy in proxies]
            self.system.wait_until(
                "the group in service",
                lambda: set(group.serving()) == self.system.backends.keys(),
            )
            self.system.wait_until("a look at all of them", self._is_seen)
            say(f"{len(own)} proxies with a config of their own")
        with self.screen.step(
            "a new environment is frozen: plan, then unfreeze"
        ) as say:
            plan = self.system.invoke({"action": "plan"})
            if [proxy.host.read(CONFIG) for proxy in proxies] != own:
                raise Unexpected("a proxy was touched before anybody had looked")
            if plan["verdict"] != "waits: frozen until unfreeze":
                raise Unexpected(
                    f"the plan of a frozen environment says {plan['verdict']}"
                )
            totals = self._planned()
            self.system.invoke({"action": "unfreeze"})
            seconds = self.system.wait_until_serving(*self._present())
            self._reported("unfreeze", 0)
            say(f"{totals} HTTPS through both proxies {seconds:.1f} s after unfreeze")
        self.started_at = time.monotonic()
        return group

    def _present(self) -> list[Backend]:
        return list(self.system.backends.values())

    def _launch(self) -> Backend:
        before = self._generation()
        with self.screen.step("launch a third backend") as say:
            launched = time.time()
            backend = self.system.launch_backend()
            self.system.wait_until_serving(*self._present())
            self.system.wait_until(
                "its clients' requests reach it",
                lambda: self._first_answer(backend),
            )
            self.event_to_traffic = (
                self._first_answer(backend) - launched - TRANSITION_SECONDS
            )
            say(
                f"{backend.name} has traffic through both proxies {self.event_to_traffic:.1f} s after its event"
            )
        self._rolls_out("launch", before)
        return backend

    def _scale_in(self, group: ScalingGroup) -> None:
        """From two instances to one, which loses its power as soon as EC2 has terminated it."""
        before = self._generation()
        with self.screen.step("the group scales in, under long requests") as say:
            with self._long_requests():
                self.system.wait_until("long requests everywhere", self._all_are_busy)
                before_it = len(self.system.backends)
                group.scale(1)
                seconds = self.system.wait_until(
                    "the end of a machine",
                    lambda: len(self.system.backends) == before_it - 1,
                )
                self.system.wait_until_serving(*self._present())
            say(f"drained and terminated after {seconds:.1f} s: {self._long_counts()}")
        self._rolls_out("scale in", before)

    @contextmanager
    def _long_requests(self) -> Iterator[None]:
        """Through each proxy answers that begin late, and downloads that take as long."""
        with ExitStack() as clients:
            self.long = [
                clients.enter_context(self.system.client.traffic(_long_load(proxy)))
                for proxy in self.system.proxies.values()
            ]
            yield

    def _all_are_busy(self) -> bool:
        """Whether each backend has had its answers to give for as long as they take."""
        answering = {each.backend for of in self.long for each in of.attempts}
        return answering >= {each.name for each in self._present()}

    def _long_counts(self) -> str:
        attempts = [each for of in self.long for each in of.attempts]
        cut = sum(not each.is_ok for each in attempts)
        return f"{len(attempts)} requests of {LONG_SECONDS} s, {cut} cut"

    def _retag(self, leaving: Backend) -> None:
        before = self._generation()
        with self.screen.step("change a tag: Type=batch") as say:
            self.system.tag({"Type": "batch"}, leaving.instance_id)
            staying = [each for each in self._present() if each is not leaving]
            seconds = self.system.wait_until_serving(*staying)
            say(f"no request reaches {leaving.name} any more after {seconds:.1f} s")
        self._rolls_out("retag", before)
        if {*self.methods["retag"].values()} != {"syn-drop"}:
            raise Unexpected(f"not reloaded by syn-drop: {self.methods['retag']}")

    def _choose(self, method: str) -> None:
        with self.screen.step(f"sam deploy with ReloadMethod={method}") as say:
            self.system.stack.deploy({"ReloadMethod": method})
            say(METHODS[method])

    @contextmanager
    def _drop_rules_seen(self) -> Iterator[None]:
        """Have the kernel of each proxy tell of its drop rules meanwhile. Unexpected without one, or if one is left."""
        with ExitStack() as watching:
            watches = [
                watching.enter_context(FilterWatch(proxy.host))
                for proxy in self.system.proxies.values()
            ]
            yield
            with self.screen.step("the drop rule, in the kernel of each proxy") as say:
                say(", ".join(map(_drop, watches)))

    def _repair(self) -> None:
        proxy = next(iter(self.system.proxies.values()))
        with self.screen.step(f"edit haproxy.cfg by hand on {proxy.host.name}") as say:
            good = proxy.host.read(CONFIG)
            proxy.host.write(CONFIG, good.replace("server ip-", "# server ip-"))
            seconds = self.system.wait_until(
                "the sweep repairs it",
                lambda: proxy.host.read(CONFIG) == good,
            )
            say(
                f"repaired by the sweep after {seconds:.1f} s (drift checks and sweeps come more often here)"
            )
        with self.screen.step("repair reported") as say:
            self.system.wait_until(
                "repair reported",
                lambda: self._outcome(proxy) == "repaired",
            )
            report = self.system.status()["proxies"][proxy.instance_id]
            self.methods["edit by hand"] = {proxy.instance_id: report["method"]}
            say(str(report["backup"]))

    def _rolls_out(self, change: str, before: int) -> None:
        """Wait until every proxy has proved a newer generation running."""
        with self.screen.step(
            "new generation installed and reloaded, as both proxies report"
        ) as say:
            methods = self._reported(change, before)
            say(f"generation {self._generation()}, by {_joined(methods.values())}")

    def _reported(self, change: str, before: int) -> Mapping[str, str]:
        """Wait for a generation after this one on every proxy; by which method each took it."""
        seen: dict[str, str] = {}

        def is_reported() -> bool:
            status = self.system.status()
            is_newer = int(status["generation"] or 0) > before
            if is_newer and self._is_converged(status):
                seen.update(
                    {key: each["method"] for key, each in status["proxies"].items()}
                )
            return bool(seen) and {*seen.values()}.isdisjoint({"", "none"})

        self.system.wait_until(f"a rollout of {change}", is_reported)
        self.methods[change] = seen
        return seen

    def _planned(self) -> str:
        """The totals of the plan, as the command line says them to an operator."""
        plan = command_line.typed(self.system.stack.endpoint, "plan")
        totals = [line for line in plan.stdout.splitlines() if line.startswith("Plan:")]
        if plan.returncode != PLAN_HAS_CHANGES or not totals:
            raise Unexpected(f"haproxy-ec2-sync plan: {plan.stdout}{plan.stderr}")
        return totals[0]

    def _is_seen(self) -> bool:
        """Whether every agent is online, and a look has seen every proxy and would take in every backend."""
        plan = self.system.invoke({"action": "plan"})
        seen = {*plan["servers"]["added"], *self.system.status()["proxies"]}
        return self.system.online() == {*self.system.proxies} and seen == {
            *self.system.backends,
            *self.system.proxies,
        }

    def _generation(self) -> int:
        return int(self.system.status()["generation"] or 0)

    def _outcome(self, proxy: Proxy) -> str:
        return str(self.system.status()["proxies"][proxy.instance_id]["outcome"])

    def _is_converged(self, status: Mapping[str, Any]) -> bool:
        proxies = status["proxies"].values()
        return len(proxies) == len(self.system.proxies) and all(
            proxy["desired"] and proxy["desired"] == proxy["running"]
            for proxy in proxies
        )

    @contextmanager
    def _clients(self) -> Iterator[None]:
        """Steady new HTTPS connections through each proxy."""
        with ExitStack() as clients:
            self.traffic = {
                proxy.instance_id: clients.enter_context(
                    self.system.client.traffic(_load(proxy))
                )
                for proxy in self.system.proxies.values()
            }
            yield

    def _first_answer(self, backend: Backend) -> float:
        """When a client got an answer of the backend through the last proxy to give one; 0 while one has not."""
        times = [
            min(
                (
                    attempt.start
                    for attempt in traffic.of("new")
                    if attempt.backend == backend.name
                ),
                default=0.0,
            )
            for traffic in self.traffic.values()
        ]
        return max(times) if all(times) else 0.0

    def _counts(self) -> str:
        sent = sum(len(traffic.attempts) for traffic in self.traffic.values())
        failed = sum(len(traffic.failed) for traffic in self.traffic.values())
        return (
            f"HTTPS requests through both proxies: {sent} sent, {failed} failed"
            if sent
            else ""
        )

    def _shown_status(self) -> str:
        """What an operator sees of it now."""
        shown = command_line.typed(
            self.system.stack.endpoint,
            "status",
            is_coloured=self.screen.console.is_terminal,
        )
        if shown.returncode:
            raise Unexpected(f"haproxy-ec2-sync status: {shown.stderr}")
        return shown.stdout

    def _shown_methods(self) -> Table:
        names = [proxy.host.name for proxy in self.system.proxies.values()]
        table = Table("change", *(f"reloaded on {name}" for name in names))
        for change, methods in self.methods.items():
            shown = (methods.get(each, "none") for each in self.system.proxies)
            table.add_row(change, *shown)
        return table

    def summarize(self) -> None:
        """What came of it, as the last lines: below the picture of the steps. Raises Unexpected."""
        status = self.system.status()
        table = Table("proxy", "requests", "failed", "last report", "running config")
        for instance_id, traffic in self.traffic.items():
            report, name = (
                status["proxies"][instance_id],
                self.system.proxies[instance_id].host.name,
            )
            sent, failed = len(traffic.attempts), len(traffic.failed)
            table.add_row(
                name,
                str(sent),
                str(failed),
                report["outcome"],
                f"md5 {report['running'][:8]}",
            )
        self.screen.console.print(table)
        self.screen.console.print(self._shown_methods())
        self.screen.console.print("\nhaproxy-ec2-sync status:", highlight=False)
        self.screen.console.print(Text.from_ansi(self._shown_status()))
        for failure in [
            attempt
            for traffic in (*self.traffic.values(), *self.long)
            for attempt in traffic.failed
        ][:10]:
            self.screen.console.print(f"failed: {failure}", markup=False)
        self.screen.console.print(
            f"From an instance's event to its traffic through both proxies: {self.event_to_traffic:.1f} s."
        )
        self.screen.console.print(f"While the group scaled in: {self._long_counts()}.")
        self.screen.console.print(
            f"All of it happened, in {self.seconds:.0f} s after set-up."
        )


def _load(proxy: Proxy) -> Load:
    return Load(
        (proxy.address,),
        443,
        server_name=SERVER_NAME,
        connections_per_second=CONNECTIONS_PER_SECOND,
    )


def _long_load(proxy: Proxy) -> Load:
    return Load(
        (proxy.address,),
        443,
        (f"/slow?{LONG_SECONDS}",),
        server_name=SERVER_NAME,
        connections_per_second=LONG_PER_SECOND,
        downloads=DOWNLOADS,
        download_seconds=LONG_SECONDS,
        timeout_seconds=3 * LONG_SECONDS,
    )


def _drop(watch: FilterWatch) -> str:
    """Raises Unexpected unless there was a rule, and nothing filters any more."""
    left = watch.host.firewall()
    if left or watch.is_dropping or not watch.drops:
        raise Unexpected(
            f"{watch.host.name}: {watch.drops} drop rules seen gone, now: {left}"
        )
    return f"{watch.host.name}: seen, then gone"


def _joined(words: Iterable[str]) -> str:
    return " and ".join(sorted({*words}))


def run(*, keep: bool) -> int:
    """The whole demo; the status to exit with."""
    console = Console(soft_wrap=True)
    with ExitStack() as closing:
        try:
            with Screen(console) as screen:
                system = closing.enter_context(_deployed(screen))
                demo = Demo(system, screen)
                demo.run()
            demo.summarize()
        except (
            TimeoutError,
            Unexpected,
            NotBuilt,
            SamFailed,
            PermissionError,
        ) as error:
            console.print(f"It did not happen: {error}", markup=False)
            return 1
        if keep:
            _keep(system, console)
        return 0 if demo.is_clean else 1


@contextmanager
def _deployed(screen: Screen) -> Iterator[LocalSystem]:
    with ExitStack() as closing:
        with screen.step("sam deploy to an AWS stand-in on loopback") as say:
            system = closing.enter_context(LocalSystem(speed=SPEED, loses_power=True))
            say(
                f"schedules tick {SPEED} times as often as deployed, waits are short: {LOCAL_PARAMETERS}"
            )
        yield system


def _keep(system: LocalSystem, console: Console) -> None:
    """Keep the system for play until it is interrupted; what to type stands last on the screen."""

    def say(line: str) -> None:
        console.print(line, markup=False, highlight=False)

    # Whoever plays may end a machine that nobody drained, and would wait for an answer that was lost with it.
    system.loses_power = False
    with suppress(KeyboardInterrupt), kept(system, say) as urls:
        say(hints(system, urls))
        threading.Event().wait()


def _quoted_path() -> str:
    """Where all three of them are, before what is on the path by now."""
    folders = (command_line.COMMAND, deployment.SAM, deployment.AWS)
    return ":".join((*(shlex.quote(str(each.parent)) for each in folders), '"$PATH"'))


def hints(system: LocalSystem, urls: Mapping[str, str]) -> str:
    """What to type against the system; each line that is indented does something as it stands there."""
    backend, proxy = (
        system.status()["backends"][0],
        next(iter(system.proxies.values())),
    )
    tags = (
        "ResourceType=instance,"
        f"Tags=[{{Key=Environment,Value={system.environment}}},{{Key=Type,Value=tomcat}}]"
    )
    clients = [f"    curl -k {urls[each]}" for each in system.proxies]
    return "\n".join((
        "",
        "From another terminal, in this folder: a weight, a launch, an operator's question, a proxy's client.",
        f"    make retag INSTANCE={backend} TAG=haproxy:weight=10",
        "    make launch",
        "    make launch TYPE=haproxy",
        f"    make terminate INSTANCE={backend}",
        "    make invoke EVENT=events/status.json",
        *clients,
        "AWS itself, with any client (here our own, the AWS and SAM CLIs), and what follows within seconds:",
        f"    export AWS_ENDPOINT_URL={system.stack.endpoint} AWS_DEFAULT_REGION={REGION}",
        "    export AWS_ACCESS_KEY_ID=owner AWS_SECRET_ACCESS_KEY=owner",
        f"    export PATH={_quoted_path()}",
        f"    {command_line.NAME} status --env {CONFIG_ENVIRONMENT}",
        f"    aws ec2 run-instances --image-id {IMAGE} --tag-specifications '{tags}'",
        f"    aws s3 ls --recursive s3://{system.stack.outputs['BucketName']}",
        f"    sam remote invoke --config-env {CONFIG_ENVIRONMENT} --event-file events/plan.json",
        "A shell on a proxy (as root), and the function's log:",
        f"    {' '.join(proxy.host.enter)} bash",
        f"    tail -f {system.folder}/*/function.log",
        LAST_HINT,
    ))  # fmt: skip
