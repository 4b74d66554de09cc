"""`make demo` keeps its word, and what it leaves running is real."""

import os
import re
import shlex
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pytest

from haproxy_ec2_sync.desk import NAME
from local.demo import LAST_HINT, LONG_SECONDS
from local.deployment import PROJECT
from local.lab import wait_until
from local.stack import invoke
from local.system import IMAGE, newest
from tests import readme

LIMIT_SECONDS = 900
WAIT_SECONDS = 240
PAUSE_SECONDS = 0.5
ENDLESS = ("tail -f",)
ELSEWHERE = {
    "AWS_PROFILE": "nobody",
    "AWS_ENDPOINT_URL": "http://localhost:9",
    "AWS_DEFAULT_REGION": "eu-west-1",
    "AWS_SESSION_TOKEN": "token",
}
"""What whoever starts it may have in the environment."""


@dataclass
class Kept:
    """`make demo KEEP=1` on a terminal: what is on its screen, and what is typed in another one."""

    process: "subprocess.Popen[bytes]"
    terminal: int
    shown: str = ""
    exports: dict[str, str] = field(default_factory=dict)

    def read(self) -> None:
        """What it shows, until it ends."""
        try:
            while text := os.read(self.terminal, 65536):
                self.shown += text.decode(errors="replace")
        except OSError:  # the other side is closed
            pass

    @property
    def hints(self) -> list[str]:
        """What it says to type, without what is no command."""
        told = self.shown.rpartition("From another terminal")[2].splitlines()
        return [line.strip() for line in told if line.startswith("    ")]

    def type(self, command: str) -> subprocess.CompletedProcess[str]:
        """A command line in the project's folder, after the exports that were printed."""
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("AWS_")
        }
        # A fresh machine has neither of AWS's clients.
        folders = os.environ["PATH"].split(":")
        path = ":".join(each for each in folders if "/.venv" not in each)
        exports = [hint for hint in self.hints if hint.startswith("export ")]
        done = subprocess.run(
            ["bash", "-c", "\n".join((*exports, command))],
            cwd=PROJECT,
            env=inherited | {"PATH": path, "SAM_CLI_TELEMETRY": "0"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=WAIT_SECONDS,
            check=False,
        )
        # Carriage returns stay: what is written over is not seen.
        printed, failed = done.stdout.decode(), done.stderr.decode()
        return subprocess.CompletedProcess(command, done.returncode, printed, failed)

    def client(self, service: str) -> Any:
        """Boto3 with nothing but the printed exports."""
        session: Any = boto3.Session(
            self.exports["AWS_ACCESS_KEY_ID"],
            self.exports["AWS_SECRET_ACCESS_KEY"],
            region_name=self.exports["AWS_DEFAULT_REGION"],
        )
        return session.client(service, endpoint_url=self.exports["AWS_ENDPOINT_URL"])

    def make(self, target: str) -> str:
        """What a target prints. Fails unless it ends well."""
        done = self.type(f"make --no-print-directory {target}")
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def status(self) -> Mapping[str, Any]:
        """What the function knows."""
        return self.asked("status")

    def asked(self, action: str) -> Mapping[str, Any]:
        """What the function answers."""
        function = (newest() or {})["function"]
        answer: Mapping[str, Any] = invoke(
            self.exports["AWS_ENDPOINT_URL"], function, {"action": action}
        )
        return answer

    def answers(self, url: str) -> str:
        """What a client gets."""
        return self.type(f"curl -sk --max-time 5 {url}").stdout.strip()


@pytest.fixture(scope="module")
def kept() -> Iterator[Kept]:
    """The demo, told to its end; afterwards an interrupt at its terminal ends all of it."""
    ours, theirs = os.openpty()
    command = ["setsid", "--ctty", "env", "--default-signal=INT", sys.executable]
    command += ["-m", "local", "demo", "--keep"]
    with subprocess.Popen(
        command,
        cwd=PROJECT,
        env=os.environ | ELSEWHERE,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    ) as process:
        os.close(theirs)
        demo = Kept(process, ours)
        reader = threading.Thread(target=demo.read, daemon=True)
        reader.start()
        try:
            wait_until(
                lambda: LAST_HINT in demo.shown or process.poll() is not None,
                LIMIT_SECONDS,
                what=lambda: demo.shown,
                pause_seconds=PAUSE_SECONDS,
            )
            demo.exports = dict(
                pair.split("=", 1)
                for line in demo.hints
                if line.startswith("export ")
                for pair in shlex.split(line)[1:]
            )
            yield demo
            _ends(demo)
        finally:
            process.kill()


def _ends(kept: Kept) -> None:
    """With the machines, also those that were launched, and the endpoint."""
    holders = {
        pid
        for path in Path("/proc").glob("[0-9]*/stat")
        if (pid := path.parent.name) and _is_below(int(pid), kept.process.pid)
    }
    os.write(kept.terminal, b"\x03")
    assert kept.process.wait(WAIT_SECONDS) == 0, kept.shown[-2000:]
    assert len(holders) > 5
    wait_until(
        lambda: not [pid for pid in holders if Path("/proc", pid).exists()],
        WAIT_SECONDS,
    )
    done = kept.type("make --no-print-directory launch")
    assert done.returncode != 0
    # Systems of other tests may run, none of which is kept.
    words = ("start it with `make demo KEEP=1`", "the demo is still at it")
    assert any(each in done.stderr for each in words), done.stderr


def _is_below(pid: int, ancestor: int) -> bool:
    """Whether a process is a child of another one, or of its children."""
    while pid > 1 and pid != ancestor:
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except OSError:
            return False
        pid = int(stat.rpartition(")")[2].split()[1])
    return pid == ancestor


@pytest.mark.fault("F191")
def test_hints_are_the_last_lines_on_the_screen(kept: Kept) -> None:
    """Below the picture of the steps, which is not drawn again."""
    assert readme.is_shown("make demo KEEP=1", _plain(kept.shown)), kept.shown
    assert _plain(kept.shown).rstrip().endswith(LAST_HINT)


@pytest.mark.fault("F191")
def test_on_a_terminal_the_summary_stands_below_the_steps(kept: Kept) -> None:
    """As the README shows it, and as it stands where there is no terminal."""
    told = _plain(kept.shown).partition("\nFrom another terminal")[0]
    assert readme.is_shown("make demo", told), told[-3000:]


def test_no_long_request_is_cut_by_the_scale_in(kept: Kept) -> None:
    """There were some, and the summary says how many."""
    said = re.search(
        r"While the group scaled in: (\d+) requests of (\d+) s, (\d+) cut\.",
        _plain(kept.shown),
    )
    assert said
    requests, seconds, cut = map(int, said.groups())
    assert requests > 20
    assert seconds == LONG_SECONDS
    assert cut == 0


def _wait_until[T](condition: Callable[[], T]) -> T:
    """Each question is a request, or a process."""
    return wait_until(condition, WAIT_SECONDS, pause_seconds=PAUSE_SECONDS)


def _plain(shown: str) -> str:
    """Without colours and movements of the cursor."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown).replace("\r", "")


@pytest.mark.fault("F191")
def test_launched_and_terminated_machines_are_real(kept: Kept) -> None:
    """A backend answers and gets traffic, a proxy gives its clients the pool, and both are gone when terminated."""
    backend, direct = _launched(kept, "make launch")
    name = kept.answers(direct)
    assert name.startswith("ip-")
    proxy, url = _launched(kept, "make launch TYPE=haproxy")
    _wait_until(lambda: kept.answers(url) == name)
    retag = "make retag INSTANCE=ip-172-31-0-7 TAG=haproxy:weight=10"
    done = kept.type(f"make retag INSTANCE={name} TAG=haproxy:weight=10")
    assert readme.is_shown(retag, done.stdout), done.stdout
    done = kept.type(f"make retag INSTANCE={backend} TAG=Type=batch")
    assert done.stdout == f"{backend} {name} (tomcat) has the tag Type=batch\n"
    _wait_until(lambda: backend not in kept.status()["backends"])
    for instance in (name, proxy):
        done = kept.type(f"make terminate INSTANCE={instance}")
        assert done.stdout.endswith(" is gone\n"), done.stderr
    assert kept.answers(direct) == kept.answers(url) == ""
    _wait_until(lambda: proxy not in kept.status()["proxies"])


def _launched(kept: Kept, command: str) -> tuple[str, str]:
    """Instance and URL of what a command of the README launches."""
    done = kept.type(command)
    assert done.returncode == 0, done.stderr
    assert readme.is_shown(command, done.stdout), done.stdout
    found = re.match(r"(i-\w+) .*: curl (?:-k )?(\S+?),?(?: |$)", done.stdout)
    assert found
    return found[1], found[2]


def _does_something(kept: Kept) -> None:
    """A newer generation is published, and the weight is in the config that a proxy runs."""
    first, before = kept.hints[0], kept.status()["generation"]
    done = kept.type(first)
    assert done.returncode == 0, done.stderr
    _wait_until(lambda: kept.status()["generation"] > before)
    pid = re.search(r"--target=(\d+)", kept.shown)
    assert pid
    config = Path(f"/proc/{pid[1]}/root/etc/haproxy/haproxy.cfg")
    _wait_until(lambda: "weight 10" in config.read_text())


@pytest.mark.fault("F191")
def test_every_hint_is_right_as_it_stands_there(kept: Kept) -> None:
    """The first publishes a weight, which a proxy then runs; AWS's own clients included; endless ones are stopped."""
    _does_something(kept)
    for hint in kept.hints:
        if hint.startswith("export "):
            continue
        line = (
            f"timeout --preserve-status 3 {hint}" if hint.startswith(ENDLESS) else hint
        )
        allowed = {0, 143} if line != hint else {0}
        done = kept.type(line)
        assert done.returncode in allowed, f"{hint}: {done.stdout}{done.stderr}"
    assert any(hint.startswith("aws ") for hint in kept.hints)
    assert any(f"{NAME} status" in hint for hint in kept.hints)


@pytest.mark.fault("F191")
def test_an_instance_that_awss_own_client_runs_is_a_machine(kept: Kept) -> None:
    """Named by no subnet, it has an address of the network; stopped, it has no machine."""
    there = {**_urls()}
    ec2 = kept.client("ec2")
    ran = ec2.run_instances(ImageId=IMAGE, MinCount=1, MaxCount=1)["Instances"][0]
    url = _wait_until(lambda: _urls().get(ran["InstanceId"], ""))
    assert ran["InstanceId"] not in there
    assert kept.answers(url) == ran["PrivateDnsName"].partition(".")[0]
    ec2.stop_instances(InstanceIds=[ran["InstanceId"]])
    _wait_until(lambda: ran["InstanceId"] not in _urls())
    assert kept.answers(url) == ""


def _is_quiet(kept: Kept) -> bool:
    """Whether nothing is on its way, also of what other tests began: so the README's reader finds it."""
    plan = kept.asked("plan")
    return not plan["changes"] and not plan["rolling_out"]


def _urls() -> Mapping[str, str]:
    return (newest() or {})["urls"] or {}


@pytest.mark.fault("F191")
def test_the_printed_endpoint_serves_every_client_of_s3(kept: Kept) -> None:
    """Boto3 as it comes; and those that put the bucket before the name, which no address can have."""
    bucket = kept.client("s3").list_buckets()["Buckets"][-1]["Name"]
    host = kept.exports["AWS_ENDPOINT_URL"].removeprefix("http://")
    assert not host.startswith("127.")
    address = f"{bucket}.{host}:{host.rpartition(':')[2]}:127.0.0.1"
    listed = kept.type(
        f"curl -s --resolve {address.replace(host, host.partition(':')[0], 1)} http://{bucket}.{host}/"
    )
    assert f"<Name>{bucket}</Name>" in listed.stdout, listed.stdout


@pytest.mark.fault("F190")
@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("launch TYPE=nginx", "TYPE is tomcat or haproxy, not 'nginx'"),
        ("terminate", "which? make terminate INSTANCE=i-...; there are: i-"),
        ("terminate INSTANCE=i-1", "no instance 'i-1' here; there are: i-"),
        ("retag TAG=a=b", "which? make retag INSTANCE=i-... TAG=key=value"),
        ("retag INSTANCE=i-1 TAG=a", "TAG is key=value"),
        ("invoke EVENT=events/rollback.json", "no config is known that was current"),
    ],
)
def test_what_is_wrong_is_one_line(kept: Kept, typed: str, said: str) -> None:
    """It says what to do; make adds its own line."""
    done = kept.type(f"make --no-print-directory {typed}")
    assert said in readme.refusal(done)


@pytest.mark.fault("F192")
@pytest.mark.parametrize(
    "command",
    [
        command
        for command in readme.typed()
        if command.startswith(
            ("aws cloudformation describe-stacks ", "aws s3 cp h", "make invoke ")
        )
    ],
)
def test_the_readmes_commands_print_what_it_shows(
    kept: Kept, command: str, tmp_path: Path
) -> None:
    """Against the printed endpoint, with the bucket that there is."""
    bucket = kept.client("s3").list_buckets()["Buckets"]
    names = [each["Name"] for each in bucket if "configbucket" in each["Name"]]
    template = PROJECT / "src/haproxy_sync/config/templates/haproxy.cfg.j2"
    (tmp_path / template.name).write_text(template.read_text())
    line = command.replace("<bucket>", names[0])
    _wait_until(lambda: _is_quiet(kept))
    folder = f"cd {tmp_path} && " if line.startswith("aws s3 cp ") else ""
    done = kept.type(f"{folder}{line}")
    assert done.returncode == 0, done.stderr
    assert readme.is_shown(command, done.stdout), done.stdout


@pytest.mark.fault("F191")
def test_sam_deploy_reaches_it_and_nothing_is_lost(kept: Kept) -> None:
    """A deploy with the printed exports updates the stack; an instance that is launched then joins the pool."""
    command = "sam deploy --config-env staging"
    done = kept.type(command)
    assert done.returncode == 0, done.stdout + done.stderr
    assert readme.is_shown(command, done.stdout), done.stdout
    backend, _ = _launched(kept, "make launch")
    _wait_until(lambda: backend in kept.status()["backends"])
