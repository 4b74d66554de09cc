"""The agent of one host: runs the steps of orders under the document's flow control, five orders at once."""

import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Self

from local.agent.download import RETRIES, Downloader, DownloadFailed
from local.agent.host import Host
from local.agent.parameters import Refused, fill_in, resolve
from local.agent.script import DATA, Place, ScriptRunner, StepExit
from local.run_command import (
    NEW_AGENT,
    REJECTED,
    ROOM,
    WORKER_SECONDS,
    WORKERS,
    Clock,
    Detail,
    DocumentResult,
    Execution,
    Order,
    StepResult,
    after_worker_died,
    readable,
    wall_clock,
)

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

OUTPUT_BYTES = 24_000
_ENV_VAR_SINCE = (3, 3, 2746, 0)
_TRUNCATED = "--output truncated--"


@dataclass(slots=True)
class HostAgent:
    """Runs documents on a host; close it when done with it."""

    host: Host
    s3: "S3Client"
    """Acts with the role of the host."""
    version: str = NEW_AGENT
    """Below 3.3.2746.0 `interpolationType` is ignored and values are pasted."""
    region: str = "eu-west-1"
    data: str = DATA
    retries: Sequence[float] = RETRIES
    clock: Clock = wall_clock
    _workers: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(WORKERS, "agent")
    )
    _executions: dict[str, "_Running"] = field(default_factory=dict)
    closing: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        """Give the agent itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def close(self) -> None:
        """Kill what runs and wait for it."""
        self.closing.set()
        for execution in self._executions.values():
            execution.cancel()
        self._workers.shutdown()

    def start(self, order: Order) -> Execution:
        """Queue the order: five run, five wait, more are rejected. A command id that was seen is not run again."""
        if order.command_id not in self._executions:
            taken = self._executions.values()
            if sum(not each.future.done() for each in taken) >= ROOM:
                return _Rejected()
            run = _Run(self, order)
            self._executions[order.command_id] = _Running(
                run, self._workers.submit(run.document)
            )
        return self._executions[order.command_id]

    def kill_worker(self, command_id: str) -> None:
        """SIGKILL to the document worker, as by the OOM killer: its script goes on, and nobody hears what it says."""
        self._executions[command_id].lose_worker()

    @property
    def supports_env_var(self) -> bool:
        """Whether values can arrive as environment variables."""
        return tuple(map(int, self.version.split("."))) >= _ENV_VAR_SINCE


class _Rejected:
    """An order without room."""

    def steps(self) -> tuple[StepResult, ...]:
        return ()

    def result(self) -> DocumentResult:
        return REJECTED

    def cancel(self) -> None:
        """Nothing runs."""


@dataclass(slots=True)
class _Running:
    run: "_Run"
    future: "Future[DocumentResult]"
    told: tuple[StepResult, ...] = ()
    """The last that was told before the worker died."""
    worker_died: datetime | None = None

    def steps(self) -> tuple[StepResult, ...]:
        return self.told if self.worker_died else tuple(self.run.ended)

    def result(self) -> DocumentResult | None:
        if self.worker_died:
            return self._after_death(self.worker_died)
        return self.future.result() if self.future.done() else None

    def cancel(self) -> None:
        self.run.cancelled.set()

    def lose_worker(self) -> None:
        self.told, self.worker_died = self.steps(), self.run.agent.clock()

    def _after_death(self, died: datetime) -> DocumentResult | None:
        now = self.run.agent.clock()
        is_noticed = now >= died + timedelta(seconds=WORKER_SECONDS)
        return after_worker_died(self.run.order, now) if is_noticed else None


@dataclass(frozen=True, slots=True)
class _Run:
    """One order on its way through its steps."""

    agent: HostAgent
    order: Order
    cancelled: threading.Event = field(default_factory=threading.Event)
    ended: list[StepResult] = field(default_factory=list)
    """Steps that have ended, as they are told."""

    @property
    def place(self) -> Place:
        return Place.of(self.agent.data, self.order.instance_id, self.order.command_id)

    def document(self) -> DocumentResult:
        try:
            values = resolve(self.order, supports_env_var=self.agent.supports_env_var)
        except Refused:
            return REJECTED
        steps = fill_in(self.order.content["mainSteps"], values.text)
        environment = {**self._agent_variables(), **values.environment}
        scripts = ScriptRunner(self.agent.host, self.place, environment, self.cancelled)
        self._steps(steps, scripts)
        return DocumentResult(
            _summary([step.detail for step in self.ended]), tuple(self.ended)
        )

    def _agent_variables(self) -> Mapping[str, str]:
        return {
            "SSM_COMMAND_ID": self.order.command_id,
            "AWS_SSM_INSTANCE_ID": self.order.instance_id,
            "AWS_SSM_REGION_NAME": self.agent.region,
            "AWS_SSM_PLATFORM_NAME": "Debian GNU/Linux",
            "AWS_SSM_PLATFORM_VERSION": "12",
        }

    def _steps(self, steps: Sequence[Mapping[str, Any]], scripts: ScriptRunner) -> None:
        is_over = False
        for step in steps:
            started = self.agent.clock()
            ended = self._step(step, scripts, is_over=is_over)
            if _ends_document(ended, step["inputs"]):
                is_over, ended = True, _with_remark(ended)
            told = _reported(step["name"], ended, started, self.agent.clock())
            self.ended.append(told)

    def _step(
        self, step: Mapping[str, Any], scripts: ScriptRunner, *, is_over: bool
    ) -> StepExit:
        if self.cancelled.is_set():
            return StepExit(Detail.CANCELLED, 1)
        if is_over:
            return _skipped(step)
        if step["action"] == "aws:downloadContent":
            return self._download(step["inputs"])
        return scripts.run(step["name"], step["inputs"])

    def _download(self, inputs: Mapping[str, Any]) -> StepExit:
        agent = self.agent
        downloader = Downloader(
            agent.host, agent.s3, agent.retries, agent.clock, agent.closing
        )
        try:
            return StepExit(
                Detail.SUCCESS, 0, downloader.run(inputs, self.place.downloads)
            )
        except DownloadFailed as failure:
            return StepExit(Detail.FAILED, 1, "", str(failure))


def _skipped(step: Mapping[str, Any]) -> StepExit:
    """Skipped counts as success, which is why nobody may conclude anything from a success."""
    return StepExit(
        Detail.SUCCESS,
        0,
        f"Step {step['name']} skipped due to prior step with an exit condition",
    )


def _ends_document(ended: StepExit, inputs: Mapping[str, Any]) -> bool:
    """Only Failed counts: after a timeout the next step runs whatever `onFailure` says."""
    return ended.detail is Detail.FAILED and inputs.get("onFailure") == "exit"


def _with_remark(ended: StepExit) -> StepExit:
    remark = "\nStep was found to have onFailure property. Further document steps will be skipped."
    return StepExit(
        ended.detail, ended.code, ended.stdout + remark, ended.stderr + remark
    )


def _reported(
    name: str, ended: StepExit, started: datetime, finished: datetime
) -> StepResult:
    stdout, stderr = _cut(ended.stdout), _cut(ended.stderr)
    return StepResult(name, ended.detail, ended.code, stdout, stderr, started, finished)


def _cut(text: str) -> str:
    content = text.encode()
    if len(content) < OUTPUT_BYTES:
        return text
    return readable(content[: OUTPUT_BYTES - len(_TRUNCATED)]) + _TRUNCATED


def _summary(details: Sequence[Detail]) -> Detail:
    for worst in (Detail.FAILED, Detail.EXECUTION_TIMED_OUT, Detail.CANCELLED):
        if worst in details:
            return worst
    return Detail.SUCCESS
