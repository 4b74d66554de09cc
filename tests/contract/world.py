"""A small world on moto and the Run Command stand-in: instances, proxies that behave as told, its own clock."""

import copyreg
import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from difflib import unified_diff
from functools import cache
from hashlib import md5, sha256
from threading import Condition, RLock
from types import MappingProxyType, SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from moto import mock_aws
from moto.core.base_backend import BackendDict
from moto.ec2.models import ec2_backends
from moto.s3.models import FakeKey, s3_backends
from moto.ssm.models import ParameterDict

import ssm_document
from haproxy_apply import ownership, report, request
from haproxy_apply.server_state import Backend
from haproxy_apply.state import State
from haproxy_sync import aws, handler
from haproxy_sync.aws import Clients
from haproxy_sync.config.render import Renderer
from haproxy_sync.fleet.model import NO_TAGS
from haproxy_sync.rollout import shipped
from haproxy_sync.rollout.program import Program
from haproxy_sync.rollout.progress import Progress
from haproxy_sync.settings import Settings
from haproxy_sync.state.model import EnvironmentState
from haproxy_sync.state.store import Store
from local import auto_scaling, moto_filters
from local.auto_scaling import AutoScaling, auto_scaling_on_moto
from local.cloud.document_text import submitted
from local.run_command import (
    Detail,
    DocumentResult,
    ManualClock,
    Order,
    RunCommand,
    ScriptedAgent,
    StepResult,
    attach,
    run_command_on_moto,
)
from tests.contract import answers, quick_moto

ACCOUNT = "123456789012"
REGION = "eu-west-1"
PARTITION = "aws"
BEGIN = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)
OUTPUT = 23_900
"""Characters that the program prints at most."""


def stack(name: str, number: int = 1) -> str:
    """The id of a stack; one that is deployed again under its name has another one."""
    return f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/{name}/{number:08x}-cbd5-11f0-8f2e-0a1b2c3d4e5f"


def _works(_parameters: Mapping[str, str]) -> None:
    return None


@dataclass
class SimulatedProxy:
    """A proxy played in Python: keeps the promises of the host program, fails when told to."""

    world: "World"
    instance_id: str
    agent: ScriptedAgent = field(init=False)
    # What it remembers between commands, as the program does.
    memory: State = field(default_factory=State)
    refused: str = ""
    refused_at: float = 0.0
    inspections: int = 0
    checks: int = 0
    watch: str = "0"  # of the command that it answers
    # Why it would refuse a candidate, as reason and detail; none: it would not.
    refusal: tuple[str, str] | None = None
    servers: tuple[int, int] | None = (3, 0)  # up and down
    # How HAProxy is: running, stopped or config-not-used; None: it runs, and the program is too old to say so.
    haproxy: str | None = "running"
    # As its worker sees them, the worst first; None: it cannot be asked.
    backends: tuple[Backend, ...] | None = (Backend("backend", 3, 0),)
    more: dict[str, Any] = field(default_factory=dict)  # that its markers have
    # By endpoint: what still goes through it to a server, old workers included, and servers that do not come up there.
    connections: dict[str, int] = field(default_factory=dict)
    down: set[str] = field(default_factory=set)
    installed: str = ""
    running: str = ""
    reloads: int = 0
    programs: list[str] = field(default_factory=list)  # those that it ran
    # What it reports instead of working, as outcome, reason and perhaps detail; None: it works.
    breaks: Callable[[Mapping[str, str]], tuple[str, ...] | None] = _works

    def answer(self, order: Order) -> DocumentResult:
        """What the program would report."""
        parameters = {name: values[0] for name, values in order.parameters.items()}
        fence, digest = int(parameters["Generation"]), parameters["Md5"]
        before = self.installed
        self._look()
        if broken := self.breaks(parameters):
            return self._say(fence, before, *broken)
        self.watch = parameters.get("Watch", "0")
        program = sha256(self._downloaded(parameters["ProgramUrl"])).hexdigest()
        (script,) = order.content["mainSteps"][-1]["inputs"]["runCommand"]
        assert program in script
        self.programs.append(program)
        wanted = request.parse(
            {f"SSM_{name}": text for name, text in parameters.items()}
        )
        if parameters["Action"] == "check":
            return self._check(parameters, wanted)
        if wanted.inspects:
            self.inspections += 1
            return self._say(fence, before, "inspected", self.haproxy or "running")
        # Between two stacks and their fences the program itself decides.
        if refusal := ownership.refusal(wanted, self.memory):
            verdict = refusal.verdict
            if verdict.reason == ownership.OTHER_PUBLISHER:
                self.refused = wanted.publisher
                self.refused_at = self.world.now
            return self._say(
                fence, before, verdict.outcome, verdict.reason, verdict.detail
            )
        self.memory = ownership.taken(self.memory, wanted)
        text = self._downloaded(parameters["SourceUrl"])
        assert md5(text, usedforsecurity=False).hexdigest() == digest
        self.world.texts[digest] = text.decode()
        return self._say(fence, before, *self._install(digest))

    def _check(
        self, parameters: Mapping[str, str], wanted: request.Request
    ) -> DocumentResult:
        """What an apply would do, and the diff behind it; it remembers nothing."""
        self.checks += 1
        candidate = self._downloaded(parameters["SourceUrl"]).decode()
        live = self.world.texts.get(self.installed, "").splitlines()
        found = unified_diff(
            live, candidate.splitlines(), "live file", "candidate", lineterm=""
        )
        diff = tuple(found)
        would, reason, detail = "differs" if diff else "same", "", ""
        if refusal := ownership.refusal(wanted, self.memory):
            would, (_, _, reason, detail) = "refused", refusal.verdict
        elif self.refusal:
            would, (reason, detail) = "refused", self.refusal
        return self._say(
            wanted.fence,
            self.installed,
            "checked",
            reason or would,
            detail,
            would=would,
            method="runtime" if would == "differs" else "none",
            haproxy_version="2.8.5",
            style="master-worker",
            diff=diff,
            diff_lines=len(diff),
            diff_shown=len(diff),
        )

    def _watched(self) -> dict[str, str]:
        """What its worker says of the servers that it is asked about."""
        if self.watch == "0" or self.haproxy != "running":
            return {}
        words = (
            f"{self._state_of(each)}/{self.connections.get(each, 0)}"
            for each in self.watch.split(",")
        )
        return {"watched": " ".join(words)}

    def _state_of(self, endpoint: str) -> str:
        """By the config that it runs."""
        config = self.world.texts.get(self.running, "")
        found = re.search(
            rf"^ *server \S+ {re.escape(endpoint)}( .*)?$", config, re.MULTILINE
        )
        if found is None:
            return "gone"
        is_out = re.search(r" (weight 0|disabled)( |$)", found[1] or "")
        return "out" if is_out or endpoint in self.down else "up"

    def _install(self, digest: str) -> tuple[str, str]:
        """The file comes to run, as far as HAProxy does; outcome and reason."""
        if self.haproxy == "config-not-used":
            return "failed", self.haproxy
        if self.haproxy == "stopped":
            self.installed = digest
            return "not-running", self.haproxy
        if self.installed == self.running == digest:
            return "unchanged", ""
        is_drift = self.installed != self.running
        self.installed = self.running = digest
        self.reloads += 1
        return ("repaired", "hand-edit") if is_drift else ("installed", "")

    def _look(self) -> None:
        """A HAProxy that does not run the file proves nothing; one that was started since has read it."""
        if self.haproxy in {"stopped", "config-not-used"}:
            self.running = ""
        elif not self.running:
            self.running = self.installed

    def _downloaded(self, address: str) -> bytes:
        """What lies at an address of a stack's bucket."""
        place = urlsplit(address)
        key = place.path.removeprefix("/")
        bucket = place.netloc.partition(".")[0]
        answer = self.world.clients.s3.get_object(Bucket=bucket, Key=key)
        content: bytes = answer["Body"].read()
        return content

    def _say(
        self,
        fence: int,
        before: str,
        outcome: str,
        reason: str,
        detail: str = "",
        *,
        diff: tuple[str, ...] = (),
        **more: Any,
    ) -> DocumentResult:
        marker: dict[str, Any] = {
            "outcome": outcome,
            "reason": reason,
            "generation": fence,
            "md5_before": before,
            "md5_after": self.installed,
            "running_md5": self.running,
            "method": "runtime" if outcome == "installed" else "none",
            "window_ms": 0,
            "backup": f"/etc/haproxy/haproxy.cfg.{before[:8]}.bak"
            if outcome == "repaired"
            else "",
            "detail": detail,
            "publisher": self.memory.publisher,
        }
        if self.refused not in {"", self.memory.publisher}:
            marker |= {
                "other_publisher": self.refused,
                "other_publisher_at": int(self.refused_at),
            }
        if outcome == "inspected" and self.servers:
            up, down = self.servers
            names = " ".join(f"backend/s{number}" for number in range(down))
            marker |= {"servers_up": up, "servers_down": down, "down": names}
        if self.haproxy:
            marker["haproxy"] = self.haproxy
        if self.backends is not None and self.haproxy == "running":
            marker |= report.backends(self.backends)
        marker |= self._watched()
        is_bad = outcome in {"failed", "rolled-back"}
        ended = Detail.FAILED if is_bad else Detail.SUCCESS
        now = self.world.clock()
        output = printed(marker | self.more | more, diff)
        downloads = (
            StepResult(name, Detail.SUCCESS, 0, "Content downloaded", "", now, now)
            for name in ("download", "download-program")
        )
        return DocumentResult(
            ended,
            (
                *downloads,
                StepResult("apply", ended, 21 if is_bad else 0, output, "", now, now),
            ),
        )


@dataclass
class World:
    """Everything a reconcile touches."""

    settings: Settings
    clients: Clients
    clock: ManualClock
    service: RunCommand
    # Groups of instances, which the clock moves, too: their calls go by the client `auto_scaling`.
    groups: AutoScaling = field(init=False)
    proxies: dict[str, SimulatedProxy] = field(default_factory=dict)
    # Events on their way into the queue.
    inbox: list[dict[str, Any]] = field(default_factory=list)
    # Due, sent, our own message.
    delayed: list[tuple[float, float, dict[str, Any]]] = field(default_factory=list)
    renderer: Any = field(default_factory=Renderer)
    # Live files of proxies by MD5, as far as they are known.
    texts: dict[str, str] = field(default_factory=dict)
    # What the function brings; what its document takes is another thing.
    program: Program = field(default_factory=Program.packed)
    # The documents that were deployed with other programs, by the program.
    releases: dict[str, str] = field(default_factory=dict)
    function: tuple[str, str] = ("", "")  # whose process runs
    invocations: int = 0
    deploys: int = 0

    def __post_init__(self) -> None:
        """Auto Scaling has the world's clock."""
        self.groups = auto_scaling_on_moto(ACCOUNT, REGION, clock=self.clock)
        self.groups.machines.changed = _forget_instances

    @property
    def auto_scaling(self) -> Any:
        """A client of Auto Scaling."""
        return _auto_scaling()

    @property
    def now(self) -> float:
        """Unix seconds of the test's clock."""
        return self.clock().timestamp()

    def launch(
        self, kind: str = "tomcat", number: int = 1, tags: Mapping[str, str] = NO_TAGS
    ) -> list[str]:
        """Running instances; proxies come with an agent that is online."""
        every = {"Environment": self.settings.environment, "Type": kind} | dict(tags)
        answer = self.clients.ec2.run_instances(
            ImageId="ami-12345678",
            MinCount=number,
            MaxCount=number,
            TagSpecifications=[
                {
                    "ResourceType": "instance",
                    "Tags": [
                        {"Key": key, "Value": value} for key, value in every.items()
                    ],
                }
            ],
        )
        ids = [instance["InstanceId"] for instance in answer["Instances"]]
        for instance_id in ids:
            self.launched(instance_id, self.clock())
        if kind == "haproxy":
            for instance_id in ids:
                self.join(instance_id)
        return ids

    def launched(self, instance_id: str, at: datetime) -> None:
        """EC2 says that the instance was launched then, by the test's clock."""
        instance: Any = ec2_backends[ACCOUNT][REGION].get_instance(instance_id)
        instance.launch_time = at.replace(tzinfo=None)

    def boot(self, number: int = 1) -> list[str]:
        """Proxies that were launched just now: their agents have yet to register (`join`)."""
        ids = self.launch("haproxy", number)
        for instance_id in ids:
            self.service.deregister(instance_id)
        return ids

    def make_group(
        self,
        size: int,
        name: str = "web",
        kind: str = "tomcat",
        template: Mapping[str, Any] = MappingProxyType({}),
        **more: Any,
    ) -> None:
        """An Auto Scaling group of so many instances, which come as time passes.

        `template` is what its launch template has beside the image, `more` are members of the request.
        """
        tags = {"Environment": self.settings.environment, "Type": kind}
        self.clients.ec2.create_launch_template(
            LaunchTemplateName=name,
            LaunchTemplateData={
                "ImageId": "ami-12345678",
                "InstanceType": "t3.micro",
                **template,
            },
        )
        request = {
            "LaunchTemplate": {"LaunchTemplateName": name},
            "MinSize": 0,
            "MaxSize": 20,
            "AvailabilityZones": [f"{REGION}a", f"{REGION}b"],
            "Tags": [
                {"Key": key, "Value": value, "PropagateAtLaunch": True}
                for key, value in tags.items()
            ],
        }
        self.auto_scaling.create_auto_scaling_group(
            AutoScalingGroupName=name, DesiredCapacity=size, **request | more
        )

    def lifecycle_states(self, name: str = "web") -> dict[str, str]:
        """Of the instances that the group names."""
        answer = self.auto_scaling.describe_auto_scaling_groups(
            AutoScalingGroupNames=[name]
        )
        return {
            each["InstanceId"]: each["LifecycleState"]
            for group in answer["AutoScalingGroups"]
            for each in group["Instances"]
        }

    def join(self, instance_id: str) -> SimulatedProxy:
        """The proxy's agent registers with Run Command."""
        host = self.proxies.setdefault(instance_id, SimulatedProxy(self, instance_id))
        host.agent = ScriptedAgent(self.clock, host.answer)
        self.service.register(instance_id, host.agent)
        return host

    def terminate(self, *instance_ids: str) -> None:
        """For good."""
        self.clients.ec2.terminate_instances(InstanceIds=list(instance_ids))
        for instance_id in instance_ids:
            if self.proxies.pop(instance_id, None):
                self.service.deregister(instance_id)

    def update_document(self, program: Program | None = None, **changes: Any) -> str:
        """A deploy changes the document; gives its newest version, which is not made the default one."""
        self.deploys += 1  # no two versions may be equal
        named = {"description": f"deploy {self.deploys}"}
        brought = program or self.program
        content = document(brought) | named | changes
        self.releases[brought.sha256] = json.dumps(content)
        answer = self.clients.ssm.update_document(
            Content=submitted(content), Name="apply", DocumentVersion="$LATEST"
        )
        version: str = answer["DocumentDescription"]["DocumentVersion"]
        return version

    def deploy(self, program: Program) -> str:
        """A deploy brings another program: the document first, then the function; gives the document's version."""
        version = self.update_document(program)
        self.program = program
        return version

    def shipped(self) -> str:
        """The document that came with the function."""
        text = self.releases.get(self.program.sha256)
        return text or json.dumps(document(self.program))

    def _begin_process(self) -> None:
        """A function that was deployed since runs in another process, which knows nothing."""
        function = (self.program.sha256, self.releases.get(self.program.sha256, ""))
        if function != self.function:
            shipped.forget()
        self.function = function

    def act(self, action: str, **options: Any) -> dict[str, Any]:
        """An operator's action; the answer is one that docs/answers.schema.json describes."""
        answer = self.handle({"action": action, **options})
        assert answers.problems(answer) == []
        return answer

    def deliver(self, *bodies: object, sent_at: float | None = None) -> list[str]:
        """A batch of the queue through the real handler; the message ids that failed."""
        sent = self.now if sent_at is None else sent_at
        records = [
            record(f"m-{number}", json.dumps(body), sent)
            for number, body in enumerate(bodies)
        ]
        return self.invoke({"Records": records})

    def invoke(self, event: Mapping[str, Any]) -> list[str]:
        """A batch; the message ids that failed."""
        return [
            failure["itemIdentifier"]
            for failure in self.handle(event)["batchItemFailures"]
        ]

    def handle(self, event: Any) -> dict[str, Any]:
        """The real handler, in an invocation of its own."""
        self.invocations += 1
        self._begin_process()
        context = SimpleNamespace(
            invoked_function_arn=f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:reconcile",
            aws_request_id=f"request-{self.invocations}",
        )
        return handler.handler(event, context)

    def sweep(self) -> list[str]:
        """The schedule fires."""
        return self.deliver(SWEEP)

    def pass_time(self, seconds: float) -> None:
        """The clock moves, hosts work, and what they and we have sent arrives."""
        end = self.now + seconds
        while (
            due := min(
                [message[0] for message in self.delayed]
                + self._reports()
                + self._group_changes(),
                default=end,
            )
        ) < end:
            self._advance(max(0.0, due - self.now))
            self.deliver_events()
        self._advance(end - self.now)
        self.deliver_events()

    def _advance(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.service.tick()
        self.groups.tick()

    def _group_changes(self) -> list[float]:
        """When a group has something to do next, after what it has to do at once."""
        self.groups.tick()
        change = self.groups.next_change()
        return [change.timestamp()] if change else []

    def finish_unnoticed(self) -> None:
        """What the hosts are doing ends, and what their agents say of it arrives; no event does."""
        for _ in range(2):
            self._advance(1.5)

    def _reports(self) -> list[float]:
        """When what the agents have sent arrives, and when to ask those that work."""
        every = [
            invocation
            for command in self.service.commands
            for invocation in command.invocations
        ]
        asked = (
            [self.now + 1] if any(invocation.execution for invocation in every) else []
        )
        coming = [
            invocation.replies[0].arrives.timestamp()
            for invocation in every
            if invocation.replies
        ]
        # What is overdue waits for a connection.
        return asked + [arrives for arrives in coming if arrives > self.now]

    def deliver_events(self) -> None:
        """Whatever waits in the inbox, ten at a time, then our own messages that are due."""
        self.deliver_inbox()
        for message in sorted(self.delayed, key=lambda message: message[0]):
            due, sent, body = message
            if due <= self.now:
                self.delayed.remove(message)
                assert self.deliver(body, sent_at=sent) == []

    def deliver_inbox(self) -> None:
        """What agents have said, without our own messages."""
        while self.inbox:
            batch, self.inbox[:] = self.inbox[:10], self.inbox[10:]
            assert self.deliver(*batch) == []

    def settle(self, seconds: int = 120) -> None:
        """Let the rollout go on by its events alone until nothing is left to happen, with no sweep."""
        asked_after = None
        for _ in range(seconds):
            self.pass_time(1)
            if asked_after == self.invocations:
                continue  # the state is what it was a second ago
            asked_after = self.invocations
            state = self.state
            if Progress(state).is_converged and not state.commands:
                break
        self._check_status()

    def _check_status(self) -> None:
        """An operator's `status` says of the rollout what the state says."""
        status, state = self.act("status"), self.state
        state = replace(state, freeze=state.freeze_at(self.now))
        assert status["converged"] == Progress(state).is_converged
        in_flight = (*state.commands, *state.inspecting)
        assert len(status["rollout"]["commands"]) == len(in_flight)

    def orders(self) -> int:
        """How many commands the proxies were given, but those that only ask."""
        return sum(
            order.parameters["Action"] == ("apply",)
            for host in self.proxies.values()
            for order in host.agent.orders
        )

    def drift(self, instance_id: str, text: str = "edited by hand") -> None:
        """Somebody edits the live file."""
        digest = md5(text.encode(), usedforsecurity=False).hexdigest()
        self.texts[digest] = text
        self.proxies[instance_id].installed = digest

    @property
    def state(self) -> EnvironmentState:
        """The state as stored."""
        return Store.of(self.clients, self.settings).read().state

    def served(self, instance_id: str) -> str:
        """The config that the proxy runs, as text."""
        digest = self.proxies[instance_id].running
        state = self.state
        for change in state.history:
            for each in (
                change.assignment.shared,
                *change.assignment.by_proxy.values(),
            ):
                if each and each.md5 == digest:
                    text = Store.of(self.clients, self.settings).get_config(each.sha256)
                    return text or ""
        return ""


def printed(marker: dict[str, Any], diff: tuple[str, ...]) -> str:
    """What the program prints: its marker, and as many whole lines of the diff as there is room for."""
    text = "\n".join([f"haproxy-ec2-sync {json.dumps(marker)}", *diff, ""])
    if len(text) <= OUTPUT:
        return text
    shown = text[: OUTPUT - 100].count("\n") - 1
    marker |= {"diff_shown": shown}
    notice = f"... {len(diff) - shown} of {len(diff)} lines are not shown"
    lines = [f"haproxy-ec2-sync {json.dumps(marker)}", *diff[:shown], notice, ""]
    return "\n".join(lines)


def another_program(text: str = "another") -> Program:
    """That of another release."""
    content = text.encode()
    return Program(sha256(content).hexdigest(), content)


def document(program: Program) -> dict[str, Any]:
    """The document that is deployed with the program."""
    return ssm_document.document(program.sha256)


def record(message_id: str, body: str, sent_at: float) -> dict[str, Any]:
    """A message as Lambda gets it from the queue."""
    attributes = {
        "SentTimestamp": str(int(sent_at * 1000)),
        "ApproximateReceiveCount": "1",
    }
    return {
        "messageId": message_id,
        "body": body,
        "attributes": attributes,
        "eventSource": "aws:sqs",
    }


def event(
    source: str,
    detail_type: str,
    detail: Mapping[str, Any] | None = None,
    *resources: str,
) -> dict[str, Any]:
    """An EventBridge event of our account."""
    return {
        "version": "0",
        "id": "7bf73129-1428-4cd3-a780-95db273d1601",
        "source": source,
        "detail-type": detail_type,
        "account": ACCOUNT,
        "region": REGION,
        "time": "2026-11-22T03:04:05Z",
        "resources": list(resources),
        "detail": detail or {},
    }


SWEEP = event("aws.events", "Scheduled Event")


def changed(
    instance_id: str = "i-0a1b2c3d4e5f60001", state: str = "running"
) -> dict[str, Any]:
    """An EC2 state change."""
    arn = f"arn:aws:ec2:{REGION}:{ACCOUNT}:instance/{instance_id}"
    detail = {"instance-id": instance_id, "state": state}
    return event("aws.ec2", "EC2 Instance State-change Notification", detail, arn)


@contextmanager
def new_world(**changes: Any) -> Iterator[World]:
    """A world with an empty bucket, a queue and the document."""
    with mock_aws():
        moto_filters.install()
        clients = _clients()
        clients.s3.create_bucket(
            Bucket="bucket", CreateBucketConfiguration={"LocationConstraint": REGION}
        )
        queue_url = clients.sqs.create_queue(QueueName="queue")["QueueUrl"]
        clock = ManualClock(BEGIN)
        service = run_command_on_moto(ACCOUNT, REGION, clock=clock)
        settings = Settings(
            environment="staging",
            region=REGION,
            bucket="bucket",
            queue_url=queue_url,
            document_name="apply",
            publisher=stack("staging"),
            start_frozen=False,  # what happens before somebody has looked is test_first_freeze's
        )
        world = World(replace(settings, **changes), clients, clock, service)
        with _around(world):
            content = submitted(document(world.program))
            clients.ssm.create_document(
                Content=content, Name="apply", DocumentType="Command"
            )
            yield world


@contextmanager
def _around(world: World) -> Iterator[None]:
    """Run Command, the handler and the queue are this world's."""
    with attach(world.service), auto_scaling.attach(world.groups):
        world.service.on_event = lambda said: _announce(world, said)
        world.groups.on_event = lambda said: _announce_group(world, said)
        # moto's queue delays by the wall clock, we by the test's.
        with wired(world), _delayed(world):
            yield


# Python says of these that they cannot be copied. A lock that nobody holds is as good as a new one.
copyreg.pickle(MappingProxyType, lambda view: (MappingProxyType, (dict(view),)))
copyreg.pickle(type(RLock()), lambda _lock: (RLock, ()))
copyreg.pickle(Condition, lambda _condition: (Condition, ()))
copyreg.pickle(
    ParameterDict,
    lambda each: (_filled, (each.account_id, each.region_name, {**each}), vars(each)),
)


def _filled(account: str, region: str, known: dict[str, Any]) -> ParameterDict:
    made = ParameterDict(account, region)
    made.update(known)
    return made


@dataclass(frozen=True)
class Saved:
    """A world at some moment, with all that moto and the function's process knew: each copy of it has its own future.

    To copy one takes a small part of the time that it took to come that far.
    """

    world: World
    backends: tuple[tuple[Any, str, str, Any], ...]
    confirmed: frozenset[tuple[str, str, str]]

    @classmethod
    def of(cls, world: World) -> "Saved":
        """The world as it is now."""
        services: Any = BackendDict
        backends = tuple(
            (service, *place)
            for service in services._instances  # noqa: SLF001 # there is no other list of them
            for place in service.iter_backends()
        )
        seen = cls(world, backends, frozenset(shipped._confirmed))  # noqa: SLF001
        # moto empties every object that it knows of when a world ends.
        known: Any = FakeKey
        objects = [*known.instances_tracked]
        saved = seen.copy()
        known.instances_tracked = objects
        return saved

    def copy(self) -> "Saved":
        """What it shares with the first can have no state."""
        services = (service for service, *_ in self.backends)
        shared = [self.world.clients, *services]
        return deepcopy(self, {id(each): each for each in shared})

    @contextmanager
    def restored(self) -> Iterator[World]:
        """A copy, in the place of whatever moto knew."""
        with mock_aws():
            moto_filters.install()
            copied = self.copy()
            for service, account, region, backend in copied.backends:
                dict.__setitem__(service[account], region, backend)
            s3_backends.bucket_accounts["bucket"] = (PARTITION, ACCOUNT)
            shipped.forget()
            shipped._confirmed.update(copied.confirmed)  # noqa: SLF001
            with _around(copied.world):
                yield copied.world


@cache
def _clients() -> Clients:
    """Made once: reading EC2's model takes longer than a test."""
    return aws.clients(REGION)


@cache
def _auto_scaling() -> Any:
    return boto3.client("autoscaling", region_name=REGION)


@contextmanager
def _delayed(world: World) -> Iterator[None]:
    def delay(params: Mapping[str, Any], **_: Any) -> None:
        due = world.now + params["DelaySeconds"]
        world.delayed.append((due, world.now, json.loads(params["MessageBody"])))

    events = world.clients.sqs.meta.events
    events.register("provide-client-params.sqs.SendMessage", delay)
    yield
    events.unregister("provide-client-params.sqs.SendMessage", delay)


def _announce(world: World, said: dict[str, Any]) -> None:
    """The rule lets the end of a command through, as template.yaml's does."""
    is_command = said["detail-type"] == "EC2 Command Status-change Notification"
    if is_command and said["detail"]["status"] not in {"Pending", "InProgress"}:
        world.inbox.append(said)


def _announce_group(world: World, said: dict[str, Any]) -> None:
    """The rules let all pass but that an instance is pending, as template.yaml's do."""
    if said["detail"].get("state") != "pending":
        world.inbox.append(said)


def _forget_instances() -> None:
    quick_moto.forget(ACCOUNT, REGION)


@contextmanager
def wired(world: World) -> Iterator[None]:
    """The handler's cold start, with the world's clients and clock."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(handler, "settings", lambda: world.settings)
        patch.setattr(handler, "clients", lambda: world.clients)
        patch.setattr(handler, "renderer", lambda: world.renderer)
        patch.setattr(handler, "program", lambda: world.program)
        patch.setattr(shipped, "document", world.shipped)
        patch.setattr(handler, "time", SimpleNamespace(time=lambda: world.now))
        yield
