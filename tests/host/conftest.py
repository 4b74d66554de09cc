"""The document on a host of the lab, run as the agent runs it."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import md5, sha256
from pathlib import Path
from typing import Any

import pytest

from local.lab import BackendHost, Network, ProxyHost, Style, kill_group, sample_config

DOCUMENT: Mapping[str, Any] = json.loads(Path("src/host/document.json").read_text())
DOWNLOADS = "/var/lib/amazon/ssm/i-1/document/orchestration/command/downloads"
SCRIPT = "/var/lib/amazon/ssm/i-1/document/orchestration/command/apply/_script.sh"
STATE_DIR = "/var/lib/haproxy-ec2-sync"
CONFIG = "/etc/haproxy/haproxy.cfg"
MARKER = "haproxy-ec2-sync "


@dataclass(frozen=True, slots=True)
class Answer:
    """What a run of the apply step left behind."""

    status: int
    stdout: str
    stderr: str

    @property
    def marker(self) -> Mapping[str, Any]:
        """The marker; an assertion fails where the first line is none."""
        line = self.stdout.partition("\n")[0]
        assert line.startswith(MARKER), (self.status, self.stdout, self.stderr)
        assert len(line.encode()) <= 2000, line
        fields: Mapping[str, Any] = json.loads(line.removeprefix(MARKER))
        return fields

    @property
    def outcome(self) -> tuple[str, str, int]:
        """Outcome, reason and exit status, with everything said shown where a comparison fails."""
        return _Outcome((self.marker["outcome"], self.marker["reason"], self.status), self.stdout + self.stderr)


class _Outcome(tuple[str, str, int]):
    """A tuple that shows the log of its run in a failed assertion."""

    log: str

    def __new__(cls, values: tuple[str, str, int], log: str) -> "_Outcome":
        """Keep the log beside the values."""
        made = super().__new__(cls, values)
        made.log = log
        return made

    def __repr__(self) -> str:
        """Show values and log."""
        return f"{tuple(self)}\n{self.log}"


class Agent:
    """Runs the apply step on a host: script file, `sh -c`, own process group, downloads directory, parameters in SSM_*."""

    def __init__(self, host: ProxyHost) -> None:
        """Put the script where the agent would."""
        self.host = host
        self.generation = 0
        lines = next(step for step in DOCUMENT["mainSteps"] if step["name"] == "apply")["inputs"]["runCommand"]
        host.write(SCRIPT, "\n".join(lines) + "\n", mode=0o700)

    def start(self, config: str | None, command: tuple[str, ...] = (), **parameters: str | None) -> "subprocess.Popen[str]":
        """Start the step for this download (None: it is missing); `parameters` replace those that fit it (None: unset)."""
        self.host.path(DOWNLOADS).mkdir(parents=True, exist_ok=True)
        self.host.path(f"{DOWNLOADS}/haproxy.cfg").unlink(missing_ok=True)
        if config is not None:
            self.host.write(f"{DOWNLOADS}/haproxy.cfg", config, mode=0o700)
        self.generation += 1
        content = (config or "").encode()
        values: dict[str, str | None] = {
            "Md5": md5(content, usedforsecurity=False).hexdigest(),
            "Sha256": sha256(content).hexdigest(),
            "Generation": str(self.generation),
            "ConfigPath": CONFIG,
            "ReloadMethod": "syn-drop",
            "ListenPorts": "80,443",
            **parameters,
        }
        env = {f"SSM_{name}": value for name, value in values.items() if value is not None}
        return self.host.popen(
            [*command, "sh", "-c", SCRIPT],
            cwd=DOWNLOADS,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def apply(self, config: str | None, **parameters: str | None) -> Answer:
        """Run the step to its end, as a command of the next generation."""
        with self.start(config, **parameters) as process:
            try:
                stdout, stderr = process.communicate(timeout=100)
            except BaseException:
                kill_group(process)
                raise
        return Answer(process.returncode, stdout, stderr)


@pytest.fixture(scope="session")
def network() -> Iterator[Network]:
    """One network per test worker."""
    if os.geteuid() != 0:
        pytest.fail("tests/host make network namespaces and run HAProxy: run them as root")
    with Network() as made:
        yield made


@pytest.fixture(scope="session")
def backends(network: Network) -> tuple[BackendHost, ...]:
    """Two application servers."""
    return tuple(BackendHost(network, f"app-{number}", ipv4=f"10.77.1.{number}") for number in (1, 2))


@pytest.fixture
def make_proxy(network: Network) -> Iterator[Callable[..., ProxyHost]]:
    """Make proxies that are gone after the test."""
    made: list[ProxyHost] = []

    def make(style: Style = Style.SYSV, **options: Any) -> ProxyHost:
        proxy = ProxyHost(network, f"proxy-{len(network.hosts)}", style, **options)
        made.append(proxy)
        return proxy

    yield make
    for proxy in made:
        proxy.close()


def servers(*hosts: BackendHost) -> dict[str, str]:
    """Server lines of a sample config."""
    return {host.name: f"{host.ipv4}:{host.port}" for host in hosts}


def config(*hosts: BackendHost, **options: str) -> str:
    """The sample config with these backends."""
    return sample_config(servers(*hosts), **options)
