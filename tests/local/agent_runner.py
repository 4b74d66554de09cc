"""Runs documents on this machine through the agent stand-in."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from local.agent import Here, Host, HostAgent
from local.lab import wait_until
from local.run_command import DocumentResult, Execution, Order

NO_S3 = cast("Any", None)
"""For agents whose documents download nothing."""


def step(name: str, *lines: str, **inputs: Any) -> dict[str, Any]:
    """A script step."""
    return {
        "action": "aws:runShellScript",
        "name": name,
        "inputs": {"runCommand": list(lines), **inputs},
    }


def finished(execution: Execution) -> DocumentResult:
    """The report, waited for."""
    wait_until(lambda: execution.result() is not None, what="the agent's report")
    return cast("DocumentResult", execution.result())


class Runner:
    """Runs documents on this machine with the agent's files in a temporary directory."""

    def __init__(self, data: Path, host: Host | None = None, **options: Any) -> None:
        self.agent = HostAgent(host or Here(), NO_S3, data=str(data), **options)

    def start(
        self,
        *steps: dict[str, Any],
        parameters: Mapping[str, Any] | None = None,
        given: Mapping[str, Sequence[str]] | None = None,
        command_id: str = "command-1",
    ) -> Execution:
        """Start a document made of these steps."""
        content = {
            "schemaVersion": "2.2",
            "parameters": parameters or {},
            "mainSteps": list(steps),
        }
        values = {name: tuple(value) for name, value in (given or {}).items()}
        return self.agent.start(Order(command_id, "i-1", "Apply", content, values))

    def run(self, *steps: dict[str, Any], **options: Any) -> DocumentResult:
        """Run a document to its end."""
        return finished(self.start(*steps, **options))


def ended(result: DocumentResult) -> list[tuple[str, int]]:
    """Details and codes of the steps."""
    return [(step.detail.value, step.code) for step in result.steps]
