"""The agent of one host: takes orders, five at once, and runs their steps under the document's flow control."""

import posixpath
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self

from local.agent.download import RETRIES, Downloader, DownloadFailed
from local.agent.host import Host
from local.agent.parameters import Refused, fill_in, resolve
from local.agent.script import EXIT_FAILED, EXIT_SUCCESS, REBOOT, Outcome, Place, ScriptRunner
from local.run_command import NEW_AGENT, Clock, Detail, DocumentResult, Order, StepResult, wall_clock

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

WORKERS = 5
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
    data: str = "/var/lib/amazon/ssm"
    parameter_store: Mapping[str, str] = field(default_factory=dict)
    reboot: Callable[[], None] = lambda: None
    """Called when a script exits 194; the step runs again afterwards."""
    retries: Sequence[float] = RETRIES
    clock: Clock = wall_clock
    _workers: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(WORKERS, "agent"))
    _executions: dict[str, "_Running"] = field(default_factory=dict)

    def __enter__(self) -> Self:
        """Give the agent itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def close(self) -> None:
        """Kill what runs and wait for it."""
        for execution in self._executions.values():
            execution.cancel()
        self._workers.shutdown()

    def start(self, order: Order) -> "_Running":
        """Queue the order. A command id that was seen before is not run again."""
        if order.command_id not in self._executions:
            cancelled = threading.Event()
            run = _Run(self, order, cancelled)
            self._executions[order.command_id] = _Running(cancelled, self._workers.submit(run.document))
        return self._executions[order.command_id]

    @property
    def knows_env_var(self) -> bool:
        """Whether values can arrive as environment variables."""
        return tuple(map(int, self.version.split("."))) >= _ENV_VAR_SINCE


@dataclass(frozen=True, slots=True)
class _Running:
    cancelled: threading.Event
    future: "Future[DocumentResult]"

    def result(self) -> DocumentResult | None:
        return self.future.result() if self.future.done() else None

    def cancel(self) -> None:
        self.cancelled.set()


@dataclass(frozen=True, slots=True)
class _Run:
    """One order on its way through its steps."""

    agent: HostAgent
    order: Order
    cancelled: threading.Event

    @property
    def place(self) -> Place:
        below = f"{self.order.instance_id}/document/orchestration/{self.order.command_id}"
        return Place(posixpath.join(self.agent.data, below))

    def document(self) -> DocumentResult:
        agent, order = self.agent, self.order
        try:
            values = resolve(order, agent.parameter_store, knows_env_var=agent.knows_env_var)
            steps = fill_in(order.content["mainSteps"], values.text, agent.parameter_store)
        except Refused as refusal:
            return DocumentResult(Detail.FAILED, trace=str(refusal))
        environment = {
            "SSM_COMMAND_ID": order.command_id,
            "AWS_SSM_INSTANCE_ID": order.instance_id,
            "AWS_SSM_REGION_NAME": agent.region,
            "AWS_SSM_PLATFORM_NAME": "Debian GNU/Linux",
            "AWS_SSM_PLATFORM_VERSION": "12",
            **values.environment,
        }
        scripts = ScriptRunner(agent.host, self.place, environment, self.cancelled)
        results = self._steps(steps, scripts)
        return DocumentResult(_summary([result.detail for result in results]), tuple(results))

    def _steps(self, steps: Sequence[Mapping[str, Any]], scripts: ScriptRunner) -> list[StepResult]:
        results: list[StepResult] = []
        is_over = False
        for step in steps:
            started = self.agent.clock()
            is_finally = step is steps[-1] and _is_true(step["inputs"].get("finallyStep"))
            if self.cancelled.is_set():
                outcome = Outcome(Detail.CANCELLED, 1)
            elif is_over and not is_finally:
                outcome = _skipped(step, "prior step with an exit condition")
            elif _is_for_another_platform(step):
                outcome = _skipped(step, "unsatisfied preconditions")
            else:
                outcome, ends = _flow(self._step(step, scripts), step["inputs"])
                is_over = is_over or ends
            results.append(_reported(step["name"], outcome, started, self.agent.clock()))
        return results

    def _step(self, step: Mapping[str, Any], scripts: ScriptRunner) -> Outcome:
        if step["action"] == "aws:downloadContent":
            downloader = Downloader(self.agent.host, self.agent.s3, self.agent.retries)
            try:
                return Outcome(Detail.SUCCESS, 0, downloader.run(step["inputs"], self.place.downloads))
            except DownloadFailed as failure:
                return Outcome(Detail.FAILED, 1, "", str(failure))
        outcome = scripts.run(step["name"], step["inputs"])
        while outcome.code == REBOOT and not self.cancelled.is_set():
            self.agent.reboot()
            outcome = scripts.run(step["name"], step["inputs"])
        return outcome


def _is_true(flag: Any) -> bool:
    return str(flag).lower() == "true"


def _is_for_another_platform(step: Mapping[str, Any]) -> bool:
    condition = step.get("precondition", {}).get("StringEquals", ["platformType", "Linux"])
    return sorted(map(str.lower, condition)) != ["linux", "platformtype"]


def _skipped(step: Mapping[str, Any], reason: str) -> Outcome:
    """Skipped counts as success, which is why nobody may conclude anything from a success."""
    return Outcome(Detail.SUCCESS, 0, f"Step {step['name']} skipped due to {reason}")


def _flow(outcome: Outcome, inputs: Mapping[str, Any]) -> tuple[Outcome, bool]:
    """The outcome after `onFailure` and `onSuccess`, and whether the rest of the document is skipped."""
    if outcome.code in {EXIT_SUCCESS, EXIT_FAILED}:
        return outcome, True
    if outcome.detail is Detail.SUCCESS and inputs.get("onSuccess") == "exit":
        return _noted(outcome, "onSuccess", outcome.detail, outcome.code), True
    # Only Failed counts: after a timeout the next step runs whatever `onFailure` says.
    if outcome.detail is Detail.FAILED and inputs.get("onFailure") == "exit":
        return _noted(outcome, "onFailure", outcome.detail, outcome.code), True
    if outcome.detail is Detail.FAILED and inputs.get("onFailure") == "successAndExit":
        return _noted(outcome, "onFailure", Detail.SUCCESS, EXIT_SUCCESS), True
    return outcome, False


def _noted(outcome: Outcome, modifier: str, detail: Detail, code: int) -> Outcome:
    note = f"\nStep was found to have {modifier} property. Further document steps will be skipped."
    return Outcome(detail, code, outcome.stdout + note, outcome.stderr + note)


def _reported(name: str, outcome: Outcome, started: datetime, finished: datetime) -> StepResult:
    stdout, stderr = _cut(outcome.stdout), _cut(outcome.stderr)
    return StepResult(name, outcome.detail, outcome.code, stdout, stderr, started, finished)


def _cut(text: str) -> str:
    content = text.encode()
    if len(content) < OUTPUT_BYTES:
        return text
    return content[: OUTPUT_BYTES - len(_TRUNCATED)].decode(errors="ignore") + _TRUNCATED


def _summary(details: Sequence[Detail]) -> Detail:
    for worst in (Detail.FAILED, Detail.EXECUTION_TIMED_OUT, Detail.CANCELLED):
        if worst in details:
            return worst
    return Detail.SUCCESS
