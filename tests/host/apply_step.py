"""The document's step on a host of the lab, run as the agent runs it, and what it said."""

import json
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import md5, sha256
from pathlib import Path
from typing import Any

import pytest

from haproxy_sync.rollout.program import Program
from local.agent.host import PRIVATE
from local.agent.script import DATA, Place, script_command, script_text, variable
from local.lab import (
    ENVIRONMENT,
    BackendHost,
    ProxyHost,
    Style,
    kill_group,
    printed,
    sample_config,
    wait_until,
)
from tests.haproxies import is_at_least

DOCUMENT: Mapping[str, Any] = json.loads(Path("src/host/document.json").read_text())
PLACE = Place.of(DATA, "i-1", "command")
STATE_DIR = "/var/lib/haproxy-ec2-sync"
CACHE_DIR = "/var/cache/haproxy-ec2-sync"
CONFIG = "/etc/haproxy/haproxy.cfg"
MARKER = "haproxy-ec2-sync "
STACK = (
    "arn:aws:cloudformation:ap-southeast-2:123456789012:stack/haproxy-backends-staging/"
    "0f3c1a60-cbd5-11f0-8f2e-0a1b2c3d4e5f"
)
# By these the tests of other things make a load fail, or last.
LEVERS = "acl-file,errorfile,lua-load,map"
STYLES = tuple(Style)
# What HAProxys have since when; older ones skip the tests of it.
CONDITIONS = pytest.mark.since("2.4", "`.if`")
ADD_SERVER = pytest.mark.since("2.5", "`add server`")


@dataclass(frozen=True, slots=True)
class StepReport:
    """What a run of the step left behind; shown whole where an assertion about it fails."""

    status: int
    stdout: str
    stderr: str

    def __getitem__(self, name: str) -> Any:
        """A field of the marker."""
        return self.marker[name]

    @property
    def marker(self) -> Mapping[str, Any]:
        """The marker; an assertion fails where the first line is none."""
        line = self.stdout.partition("\n")[0]
        assert line.startswith(MARKER), self
        assert len(line.encode()) <= 2000, line
        fields: Mapping[str, Any] = json.loads(line.removeprefix(MARKER))
        return fields

    def says(self, outcome: str, reason: str = "", method: str = "") -> bool:
        """Whether the marker has this outcome, and this reason and method where given."""
        fields = self.marker
        return (
            fields["outcome"] == outcome
            and reason in {"", fields["reason"]}
            and method in {"", fields["method"]}
            and (self.status == 0) == (outcome not in {"failed", "rolled-back"})
        )


class ApplyStep:
    """The step on one host, in the surroundings that the agent gives it, without an agent."""

    def __init__(
        self,
        host: ProxyHost,
        document: Mapping[str, Any] = DOCUMENT,
        *,
        is_first: bool = False,
    ) -> None:
        """Put the launcher and the program where the agent would.

        Unless it is to be the first run of this program here, there is its bytecode, as an earlier run leaves it.
        """
        self.host = host
        self.generation = 0
        lines = next(step for step in document["mainSteps"] if step["name"] == "apply")[
            "inputs"
        ]["runCommand"]
        host.write(PLACE.script("apply"), script_text(lines), mode=PRIVATE)
        program = Program.deployed()
        host.write(f"{PLACE.downloads}/haproxy_apply.zip", program.content, PRIVATE)
        if not is_first:
            name, archive = _bytecode(program)
            host.write(f"{CACHE_DIR}/{name}", archive, PRIVATE)

    def start(
        self,
        config: str | bytes | None,
        tracer: Sequence[str] = (),
        meter: Sequence[str] = (),
        **parameters: str | None,
    ) -> "subprocess.Popen[str]":
        """Start the step for this download (None: it is missing), as a command of the next generation.

        `parameters` replace those that fit the download (None: unset); `tracer` is a command that starts the step
        from outside of the host, `meter` one that does it inside.
        """
        download = f"{PLACE.downloads}/haproxy.cfg"
        self.host.path(PLACE.downloads).mkdir(parents=True, exist_ok=True)
        self.host.path(download).unlink(missing_ok=True)
        if config is not None:
            self.host.write(download, config, mode=PRIVATE)
        self.generation += 1
        content = config if isinstance(config, bytes) else (config or "").encode()
        values: dict[str, str | None] = {
            "Md5": digest(content),
            "Sha256": sha256(content).hexdigest(),
            "Generation": str(self.generation),
            "ConfigPath": CONFIG,
            "ReloadMethod": "syn-drop",
            "ListenPorts": "80,443",
            "Publisher": STACK,
            "Adopt": "false",
            "Action": "apply",
            "SecretLines": "0",
            "AllowUnsafeKeywords": LEVERS,
            "Watch": "0",
            **parameters,
        }
        given = [
            f"{variable(name)}={value}"
            for name, value in values.items()
            if value is not None
        ]
        surroundings = ["env", f"--chdir={PLACE.downloads}", *given]
        command = [
            *tracer,
            *self.host.enter,
            *surroundings,
            *meter,
            *script_command(PLACE.script("apply")),
        ]
        pipe = subprocess.PIPE
        return subprocess.Popen(
            command,
            env=ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            stdout=pipe,
            stderr=pipe,
            text=True,
            start_new_session=True,
        )

    def run(self, config: str | bytes | None, **parameters: str | None) -> StepReport:
        """Run the step to its end."""
        return finish(self.start(config, (), (), **parameters))


_PYTHON = ("/usr/bin/env", "python3", "-I", "-S")


@cache
def _bytecode(program: Program) -> tuple[str, bytes]:
    """The archive that the program keeps with the Python that hosts have: its name, and the content."""
    keep = (
        "import sys; sys.path.insert(0, sys.argv[1]); from haproxy_apply import bytecode\n"
        "bytecode.keep(sys.argv[1], bytecode.load(sys.argv[2]))"
    )
    with tempfile.TemporaryDirectory() as place:
        packed, kept = Path(place, "program.zip"), Path(place, "kept")
        packed.write_bytes(program.content)
        subprocess.run(
            [*_PYTHON, "-c", keep, packed, kept / program.sha256],
            env=ENVIRONMENT,
            check=True,
        )
        (archive,) = kept.iterdir()
        return archive.name, archive.read_bytes()


def finish(process: "subprocess.Popen[str]") -> StepReport:
    """Wait for a step and give what it said; kills it after a minute."""
    stdout, stderr = printed(process)
    return StepReport(process.returncode, stdout, stderr)


def kill_when(
    process: "subprocess.Popen[str]", condition: Callable[[], object]
) -> None:
    """Kill a step as soon as something is so, which has to be before its end."""

    def is_so() -> bool:
        assert process.poll() is None, finish(process)
        return bool(condition())

    with process:
        try:
            wait_until(is_so)
        finally:
            kill_group(process)


def let_age(proxy: ProxyHost, path: str = CONFIG) -> None:
    """Wait until a worker that starts now is known to be younger than a file: two seconds, one for rounding."""
    wait_until(lambda: time.time() - proxy.path(path).lstat().st_ctime > 3)


def installed(
    proxy: ProxyHost, before: str, after: str, **parameters: str | None
) -> ApplyStep:
    """The step on a proxy that ran `before` and for which the first run installed `after`."""
    proxy.start(before)
    step = ApplyStep(proxy)
    assert step.run(after, **parameters).says("installed")
    return step


def method_that_adds(haproxy: Mapping[str, Any]) -> str:
    """What `runtime` comes to where servers are added, on a proxy with these options."""
    return "runtime" if is_at_least(haproxy, ADD_SERVER.args[0]) else "seamless"


def digest(text: str | bytes) -> str:
    """The MD5 that markers speak of."""
    content = text if isinstance(text, bytes) else text.encode()
    return md5(content, usedforsecurity=False).hexdigest()


def config(*hosts: BackendHost, **options: str) -> str:
    """The lab's sample config with these backends."""
    return sample_config(
        {host.name: f"{host.ipv4}:{host.port}" for host in hosts}, **options
    )


def unexposed(text: str) -> str:
    """The config of a HAProxy that hands its listeners to nobody."""
    return text.replace(" expose-fd listeners", "")


def stateful(*hosts: BackendHost, **options: str) -> str:
    """The same, with the two keywords that carry the state of servers over a reload."""
    text = config(
        *hosts, extra="server-state-file /var/lib/haproxy/server-state", **options
    )
    return text.replace(
        "defaults\n", "defaults\n    load-server-state-from-file global\n"
    )


def state_of(proxy: ProxyHost) -> dict[str, tuple[str, int, int, int]]:
    """By server: address and port, operational state (2: up), admin state (0: ready), weight, as the worker sees it.

    HAProxy 2.2 also has its processes there, as servers of the backend `MASTER`.
    """
    lines = [line.split() for line in proxy.ask("show servers state").splitlines()[2:]]
    lines = [words for words in lines if words[1] != "MASTER"]
    return {
        words[3]: (
            f"{words[4]}:{words[18]}",
            int(words[5]),
            int(words[6]),
            int(words[7]),
        )
        for words in lines
    }


def sessions(proxy: ProxyHost) -> dict[str, int]:
    """By server: how many requests it is answering."""
    lines = [line.split(",") for line in proxy.ask("show stat").splitlines()[1:]]
    return {
        words[1]: int(words[4])
        for words in lines
        if words[1] not in {"FRONTEND", "BACKEND"}
    }


def backups(proxy: ProxyHost) -> list[Path]:
    """The backups beside the live file, oldest first."""
    return sorted(proxy.path("/etc/haproxy").glob("haproxy.cfg.*.bak"))


def leftovers(proxy: ProxyHost) -> list[str]:
    """Files in the config directory that are neither the live file nor a backup."""
    return [path.name for path in proxy.path("/etc/haproxy").glob(".*")]
