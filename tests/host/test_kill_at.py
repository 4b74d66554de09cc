"""The tracer of the kill sweep: what it sees of a program, whoever wrote it, and that it kills right there."""

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.host.test_kill_sweep import TRACER, points

# What lists the sockets of the machine, signal 0 and a pipe change nothing.
PROGRAM = """
import os, socket, struct, subprocess, sys
os.chdir(sys.argv[1])
asked = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 4)
request = struct.pack("=BBBxI48x", socket.AF_INET, socket.IPPROTO_TCP, 0, 1 << 10)
asked.send(struct.pack("=IHHII", 16 + len(request), 20, 0x301, 1, 0) + request)
assert asked.recv(65536)
os.kill(os.getpid(), 0)
for number in (1, 2):
    with open("state.new", "w") as file:
        file.write(str(number))
        file.flush()
        os.fsync(file.fileno())
    os.replace("state.new", "state")
    with socket.socket(socket.AF_UNIX) as admin:
        admin.connect("admin.sock")
subprocess.run(["true"], check=True, stdout=subprocess.PIPE)
"""
ONCE = [
    "python open state.new",
    "python write state.new",
    "python fsync state.new",
    "python rename state.new",
    "python connect admin.sock",
]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A directory with a socket that answers, and a Python by another name."""
    (tmp_path / "platform-python").symlink_to(sys.executable)
    with socket.socket(socket.AF_UNIX) as admin:
        admin.bind(str(tmp_path / "admin.sock"))
        admin.listen()
        yield tmp_path


def traced(
    place: Path, event: str = "", occurrence: int = 0, program: str = PROGRAM
) -> tuple[int, list[str]]:
    """Run the program; how the tracer ended and what it saw."""
    python = [str(place / "platform-python"), "-I", "-B"]
    command = [
        *TRACER,
        event,
        str(occurrence),
        str(place / "events"),
        *python,
        "-c",
        program,
        str(place),
    ]
    done = subprocess.run(command, check=False, timeout=60)
    return done.returncode, (place / "events").read_text().splitlines()


def test_changes_are_seen_and_questions_are_not(place: Path) -> None:
    """Each change of a file and each socket that is reached, in order, whatever the program is called."""
    assert traced(place) == (0, ONCE * 2)
    assert list(points(ONCE * 2)) == [
        ("python open state.new", 1),
        ("python write state.new", 1),
        ("python fsync state.new", 1),
        ("python fsync state.new", 2),
        ("python rename state.new", 1),
        ("python rename state.new", 2),
        ("python connect admin.sock", 1),
        ("python connect admin.sock", 2),
    ]


@pytest.mark.parametrize(
    ("event", "files"),
    [
        ("python rename state.new", {"state": "2"}),
        ("python fsync state.new", {"state": "1", "state.new": "2"}),
    ],
)
def test_the_kill_comes_right_after_the_call(
    place: Path, event: str, files: dict[str, str]
) -> None:
    """What the call did is done, and nothing that comes after it."""
    status, events = traced(place, event, 2)
    assert status == signal.SIGKILL
    assert events == (ONCE * 2)[: -ONCE[::-1].index(event)]
    assert {path.name: path.read_text() for path in place.glob("state*")} == files


def test_all_that_does_the_same_has_one_name(place: Path) -> None:
    """A copy, a mode and a directory, by whichever system call a library takes."""
    program = """
import os, shutil, sys
os.chdir(sys.argv[1])
os.mkdir("new3", 0o700)
with open("live.cfg", "w") as file:
    print("text", file=file)
shutil.copyfile("live.cfg", "copy")
os.fchmod(os.open("copy", os.O_RDONLY), 0o600)
os.fsync(os.open("new3", os.O_RDONLY))
os.unlink("copy")
"""
    assert list(dict.fromkeys(traced(place, program=program)[1])) == [
        "python mkdir new#",
        "python open live.cfg",
        "python write live.cfg",
        "python open copy",
        "python write copy",
        "python chmod copy",
        "python fsync new#",
        "python unlink copy",
    ]
