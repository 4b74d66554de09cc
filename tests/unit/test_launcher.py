"""The launcher of the document: runs the program that the document names, with the first Python that is new enough."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

import ssm_document
from haproxy_sync.rollout.reports import parse_marker

ZIP = "haproxy_apply.zip"
MAIN = """
import os, sys

def main(program: str, archive: str) -> int:
    os.chdir("/")
    from haproxy_apply import late  # what is imported late is found wherever the process is by then
    print(late.WORD, sys.flags.isolated, sys.flags.no_site, sys.dont_write_bytecode, flush=True)
    print(os.environ["LC_ALL"], os.environ["TZ"], oct(os.umask(0)), os.getpid())
    return 20
"""
KEPT = "def load(place): return place"
TAIL = ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
NAMES = ["python3", *(f"python3.{minor}" for minor in range(14, 7, -1))]
SHELLS = [path for name in ("sh", "bash", "dash") if (path := shutil.which(name))]


def zipped(**modules: str) -> bytes:
    """A program."""
    file = BytesIO()
    with ZipFile(file, "w") as archive:
        for name, text in {"__init__": "", **modules}.items():
            archive.writestr(f"haproxy_apply/{name}.py", text)
    return file.getvalue()


PROGRAM = zipped(__main__=MAIN, bytecode=KEPT, late='WORD = "ran"\n')


@dataclass(frozen=True, slots=True)
class Machine:
    """A directory with all tools that the host has, and one that the launcher starts in."""

    tools: Path
    downloads: Path

    @property
    def files(self) -> list[str]:
        """What lies where the launcher starts."""
        return sorted(path.name for path in self.downloads.iterdir())

    def install(self, name: str, version: str) -> None:
        """A Python that says it is of that version, and does nothing else."""
        status = int(tuple(map(int, version.split("."))) < (3, 8))
        self.script(name, f"echo {version}; exit {status}")

    def script(self, name: str, text: str) -> None:
        """A tool."""
        tool = self.tools / name
        tool.unlink(missing_ok=True)
        tool.write_text(f"#!/bin/sh\n{text}\n")
        tool.chmod(0o755)

    def link(self, name: str, target: str) -> None:
        """The real tool under that name."""
        self.script(name, f'exec {target} "$@"')

    def run(
        self, shell: str = "sh", **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run the launcher for `PROGRAM`; only its own directory of tools is on the path."""
        text = ssm_document.LAUNCHER.read_text()
        assert TAIL in text
        script = self.downloads.parent / "_script.sh"
        script.write_text(
            text.replace(TAIL, "").replace(
                ssm_document.PLACEHOLDER, sha256(PROGRAM).hexdigest()
            )
        )
        given = {"PATH": str(self.tools), "SSM_Generation": "1795316400"} | environment
        return subprocess.run(
            [shutil.which(shell) or shell, script],
            cwd=self.downloads,
            env=given,
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A host that has got the program, and has no Python at all."""
    made = Machine(tmp_path / "tools", tmp_path / "downloads")
    made.tools.mkdir()
    made.downloads.mkdir()
    for tool in ("sha256sum", "touch"):
        made.link(tool, str(shutil.which(tool)))
    (made.downloads / ZIP).write_bytes(PROGRAM)
    return made


def marker(done: subprocess.CompletedProcess[str]) -> Mapping[str, Any]:
    """What the launcher said, by the function's own parser; nothing follows it."""
    said = parse_marker(done.stdout)
    assert said, done
    assert done.stdout.count("\n") == 1
    return said


@pytest.mark.parametrize("shell", SHELLS)
def test_the_program_runs_alone(machine: Machine, shell: str) -> None:
    """Nothing of the machine's Python packages, nothing of the environment; its status is that of the step."""
    machine.link("python3", sys.executable)
    (machine.downloads / "os.py").write_text("raise SystemExit('not this one')")
    done = machine.run(shell, PYTHONPATH=str(machine.downloads), PYTHONSTARTUP="/x")
    assert (done.returncode, done.stderr) == (20, "")
    first, second = done.stdout.splitlines()
    assert first == "ran 1 1 True"
    assert second.split()[:3] == ["C", "UTC", "0o22"]
    assert machine.files == [ZIP, "os.py"]


@pytest.mark.parametrize("shell", SHELLS)
def test_a_program_that_did_not_arrive_is_not_run(machine: Machine, shell: str) -> None:
    """The step also runs after a download that timed out."""
    machine.link("python3", sys.executable)
    (machine.downloads / ZIP).unlink()
    done = machine.run(shell)
    assert done.returncode == 14
    assert marker(done)["reason"] == "program-missing"


@pytest.mark.fault("F98")
@pytest.mark.parametrize("shell", SHELLS)
def test_another_program_is_not_run(machine: Machine, shell: str) -> None:
    """Whoever swapped the object in the bucket; what was found is told."""
    machine.script("python3", "touch ran")
    other = zipped(__main__="def main(): print('taken over')")
    (machine.downloads / ZIP).write_bytes(other)
    done = machine.run(shell)
    assert done.returncode == 15
    assert marker(done)["reason"] == "program-mismatch"
    assert sha256(other).hexdigest() in marker(done)["detail"]
    assert machine.files == [ZIP]


@pytest.mark.fault("F98")
def test_without_a_tool_to_compare_nothing_is_run(machine: Machine) -> None:
    """No digest is not the right one."""
    machine.link("python3", sys.executable)
    (machine.tools / "sha256sum").unlink()
    assert marker(machine.run())["reason"] == "program-mismatch"


@pytest.mark.fault("F103")
@pytest.mark.parametrize("shell", SHELLS)
def test_without_python_it_says_so(machine: Machine, shell: str) -> None:
    """The host is as it was, and the marker is whole."""
    done = machine.run(shell)
    assert done.returncode == 16
    said = marker(done)
    assert (said["outcome"], said["reason"]) == ("failed", "no-python")
    assert said["detail"] == "it needs Python 3.8 or later, found: none"
    assert said["generation"] == 1795316400


@pytest.mark.fault("F103")
@pytest.mark.parametrize("shell", SHELLS)
def test_pythons_that_are_too_old_are_named(machine: Machine, shell: str) -> None:
    """As an administrator of RHEL 8 or Amazon Linux 2 needs it; one that does not start is one of them."""
    machine.install("python3", "3.6")
    machine.install("python3.9", "3.7")
    machine.script("python3.8", 'echo "\\"}"; exit 1')
    said = marker(machine.run(shell))
    assert said["reason"] == "no-python"
    assert said["detail"].endswith(
        "found: python3 is 3.6, python3.9 is 3.7, python3.8 is broken"
    )


@pytest.mark.parametrize("name", NAMES[1:])
def test_a_newer_python_beside_an_old_one_is_taken(machine: Machine, name: str) -> None:
    """The first that is new enough, from the newest on."""
    machine.install("python3", "3.6")
    machine.link(name, sys.executable)
    for older in NAMES[NAMES.index(name) + 1 :]:
        machine.script(older, "touch asked")
    assert machine.run().stdout.startswith("ran ")
    assert machine.files == [ZIP]


def test_the_platforms_own_python_is_the_last_resort() -> None:
    """RHEL's is on no path."""
    assert "/usr/libexec/platform-python; do" in ssm_document.LAUNCHER.read_text()


@pytest.mark.fault("F59")
@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("0", 0),
        ("0010", 10),
        ("999999999999999", 999999999999999),
        ("1000000000000000", 0),
        ("000", 0),
        ("", 0),
        ("-1", 0),
        ("1\n2", 0),
        ("\u0661", 0),
        ('1"; touch executed; "', 0),
        ("$(touch executed)", 0),
        ("`touch executed`", 0),
    ],
)
def test_a_generation_is_data(
    machine: Machine, shell: str, given: str, said: int
) -> None:
    """Whatever it says, the marker is JSON, and nothing of it is executed."""
    assert marker(machine.run(shell, SSM_Generation=given))["generation"] == said
    assert machine.files == [ZIP]


def test_an_old_agent_sets_no_generation(machine: Machine) -> None:
    """The marker has one all the same."""
    done = subprocess.run(
        [str(shutil.which("sh")), ssm_document.LAUNCHER],
        cwd=machine.tools,
        env={"PATH": str(machine.tools)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert marker(done)["generation"] == 0


def test_the_marker_has_every_field(machine: Machine) -> None:
    """Those that docs/architecture.md lists, as the program itself prints them; but what only that can find out."""
    section = Path("docs/architecture.md").read_text().split("## The marker")[1]
    table = section.split("| key | value |")[1].split("\n\n")[0]
    rows = [line for line in table.splitlines() if "absent" not in line]
    named = {name for line in rows for name in line.split("|")[1:2]}
    keys = {word.strip("` ") for cell in named for word in cell.split(",")} - {
        "",
        "---",
    }
    line = machine.run().stdout.removeprefix("haproxy-ec2-sync ")
    assert json.loads(line).keys() == keys
    assert len(line) < 2000


def test_few_processes_are_started_before_the_program(machine: Machine) -> None:
    """On a small proxy each costs a millisecond and more, beside its traffic: shell, sha256sum, Python twice."""
    machine.link("python3", sys.executable)
    (machine.tools / "sha256sum").unlink()
    (machine.tools / "sha256sum").symlink_to(str(shutil.which("sha256sum")))
    (machine.tools / "python3").unlink()
    (machine.tools / "python3").symlink_to("/usr/bin/python3")
    machine.run()  # writes the script
    trace = machine.downloads.parent / "trace"
    script = machine.downloads.parent / "_script.sh"
    subprocess.run(
        ["strace", "-f", "-o", trace, "-e", "trace=execve", "sh", script],
        cwd=machine.downloads,
        env={"PATH": f"{machine.tools}:{os.environ['PATH']}"},
        capture_output=True,
        check=False,
    )
    lines = trace.read_text().splitlines()
    assert len({line.split()[0] for line in lines}) <= 3
    assert sum(" = 0" in line and "execve(" in line for line in lines) <= 5
