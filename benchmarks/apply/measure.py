"""One run of the step on a host, by either program, and what it cost."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.lab import BackendHost, Network, ProxyHost, Style, wait_until
from tests.host.apply_step import DOCUMENT, ApplyStep, StepReport, finish, stateful

STYLES = (Style.SYSV, Style.MASTER_WORKER)
METHODS = ("syn-drop", "seamless", "runtime")
CASES = ("unchanged", *METHODS)

FORMER = "abdeb8e18ac31e5dc57b4fb96ac62d2fb471219e"
"""The last commit whose document holds the program in bash."""
WATCH_MS = 2000
"""The naps in which a new worker is watched, the same in both programs; a change at run time has none."""

_REPORT = "/run/meter"
_AFTERMATH_SECONDS = "0.2"
METER = ("python3", "-I", "-S", "-c", Path(__file__).with_name("meter.py").read_text())
_COUNTER = (sys.executable, "-m", "benchmarks.apply.count")


class Unmeasured(Exception):
    """The run did not do what was to be measured."""


def programs() -> dict[str, Mapping[str, Any]]:
    """The documents that hold them: `before`, where git knows it, and `after`."""
    # Whoever called sudo owns the repository.
    git = ["git", "-c", f"safe.directory={Path.cwd()}", "show"]
    former = subprocess.run(  # noqa: S603
        [*git, f"{FORMER}:src/host/document.json"], capture_output=True, check=False
    )
    before = {"before": json.loads(former.stdout)} if former.returncode == 0 else {}
    return {**before, "after": DOCUMENT}


@dataclass(slots=True)
class Subject:
    """A proxy that is proven to run a file, and one program on it."""

    step: ApplyStep
    proxy: ProxyHost
    style: Style
    backends: Sequence[BackendHost]
    changes: int = 0

    @classmethod
    def of(
        cls,
        network: Network,
        style: Style,
        name: str,
        document: Mapping[str, Any],
        backends: Sequence[BackendHost],
    ) -> "Subject":
        """Start one; its first run proves what it runs."""
        proxy = ProxyHost(network, f"{style}-{name}", style)
        subject = cls(ApplyStep(proxy, document), proxy, style, backends)
        proxy.start(subject.text)
        first = subject.step.run(subject.text, ReloadMethod="seamless")
        if first["running_md5"] != first["md5_after"]:
            raise Unmeasured(f"{proxy.name}: {first}")
        return subject

    @property
    def text(self) -> str:
        """The present file: each change takes one server away and adds another one.

        A check comes so often that the first one of an added server is over when the program first looks.
        """
        app = (self.backends[0], self.backends[1 + self.changes % 2])
        return stateful(*app, options="check inter 50ms")

    def count(self, case: str) -> dict[str, float]:
        """Run the case under the tracer: how many processes it started."""
        with tempfile.NamedTemporaryFile("r") as report:
            self._run(case, tracer=(*_COUNTER, report.name))
            return {"processes": len(report.readlines())}

    def time(self, case: str) -> dict[str, float]:
        """Run the case untraced: CPU of all processes, time without the watch, and how long the drop window was."""
        said = self._run(case, meter=(*METER, _REPORT, _AFTERMATH_SECONDS))
        seconds, cpu_seconds = map(float, self.proxy.read(_REPORT).split())
        watched = WATCH_MS if said["method"] in {"syn-drop", "seamless"} else 0
        return {
            "cpu_ms": round(cpu_seconds * 1000, 1),
            "wall_ms": round(seconds * 1000 - watched, 1),
            "window_ms": said["window_ms"],
        }

    def _run(
        self, case: str, tracer: Sequence[str] = (), meter: Sequence[str] = ()
    ) -> StepReport:
        """Raises Unmeasured where the program did something else."""
        wait_until(lambda: len(self.proxy.workers()) == 1)
        if case == "unchanged":
            outcome, method, asked = "unchanged", "none", "auto"
        else:
            self.changes += 1
            outcome, method, asked = "installed", case, case
        said = finish(self.step.start(self.text, tracer, meter, ReloadMethod=asked))
        if not said.says(outcome, method=method):
            raise Unmeasured(f"{self.proxy.name}, {case}: {said}")
        return said


@contextmanager
def subjects() -> Iterator[Mapping[Style, Mapping[str, Subject]]]:
    """A proxy for each style and program."""
    if os.geteuid() != 0:
        raise SystemExit("network namespaces and HAProxy need root")
    with Network() as network:
        backends = [BackendHost(network, f"app-{number}") for number in (1, 2, 3)]
        yield {
            style: {
                name: Subject.of(network, style, name, document, backends)
                for name, document in programs().items()
            }
            for style in STYLES
        }
