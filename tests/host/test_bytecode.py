"""What the program keeps of itself between two runs: it makes the next one shorter, and never another one."""

import fcntl
import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from haproxy_sync.rollout.program import Program
from local.lab import BackendHost, ProxyHost, wait_until
from tests.host.apply_step import CACHE_DIR, STATE_DIR, ApplyStep, finish, stateful

type MakeProxy = Callable[..., ProxyHost]


@pytest.fixture
def text(backends: tuple[BackendHost, ...]) -> str:
    """A config with two servers."""
    return stateful(*backends[:2])


@pytest.fixture
def step(make_proxy: MakeProxy, text: str) -> ApplyStep:
    """A host that runs HAProxy, and on which the program never ran."""
    proxy = make_proxy()
    proxy.start(text)
    return ApplyStep(proxy, is_first=True)


def kept(step: ApplyStep) -> list[Path]:
    """The archives of all programs on this host."""
    return sorted(step.host.path(CACHE_DIR).glob("*"))


def is_taken(step: ApplyStep, text: str) -> bool:
    """Whether a run is content with what there is: else it writes its own, another file."""
    (before,) = (path for path in kept(step) if path.suffix == ".zip")
    inode = before.lstat().st_ino
    answer = step.run(text)
    assert answer.says("unchanged"), answer
    return before.lstat().st_ino == inode


def opened(archive: Path) -> bool:
    """Whether a process has it open."""
    inode = archive.stat().st_ino
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if link.stat().st_ino == inode:
                return True
        except OSError:
            continue
    return False


def test_the_first_run_compiles_for_the_next(step: ApplyStep, text: str) -> None:
    """It is named by the program and root's alone; the next run loads it, and does not write it again."""
    assert step.run(text).status == 0
    (archive,) = kept(step)
    assert archive.name.startswith(Program.deployed().sha256)
    assert archive.stat().st_mode & 0o777 == 0o600
    assert archive.parent.stat().st_mode & 0o777 == 0o700
    written = archive.stat().st_mtime_ns
    with step.host.path(f"{STATE_DIR}/lock").open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        process = step.start(text)
        wait_until(lambda: opened(archive), what="a run that loads it")
    assert finish(process).says("unchanged")
    assert archive.stat().st_mtime_ns == written


@pytest.mark.fault("F289")
def test_a_damaged_archive_is_passed_over_and_made_anew(
    step: ApplyStep, text: str
) -> None:
    """A disk that lost its end, or a bit anywhere, costs a compilation."""
    step.run(text)
    (archive,) = kept(step)
    whole = archive.read_bytes()
    chance = random.Random(7)
    places = [chance.randrange(len(whole)) for _ in range(4)]
    flipped = [
        whole[:place] + bytes([whole[place] ^ 1 << place % 8]) + whole[place + 1 :]
        for place in places
    ]
    for damaged in (b"", whole[: len(whole) // 2], whole[:-1], *flipped):
        archive.write_bytes(damaged)
        assert not is_taken(step, text)
    assert is_taken(step, text)


@pytest.mark.fault("F289")
def test_of_nobody_else_it_is_taken(step: ApplyStep, text: str) -> None:
    """Not from a user who could write it, nor through a link, nor under another program's name."""
    step.run(text)
    (archive,) = kept(step)
    whole = archive.read_bytes()
    other = archive.with_name("another")
    assert is_taken(step, text)
    archive.chmod(0o620)
    assert not is_taken(step, text)
    os.chown(archive, 65534, 0)
    assert not is_taken(step, text)
    archive.rename(other)
    archive.symlink_to(other)
    assert not is_taken(step, text)
    archive.write_bytes(whole.replace(b" ", b"x ", 1))
    assert not is_taken(step, text)
    assert is_taken(step, text)


@pytest.mark.fault("F289")
def test_a_run_goes_on_when_the_archive_goes(
    step: ApplyStep, backends: tuple[BackendHost, ...], text: str
) -> None:
    """What a run needs late, for a change, it still has."""
    step.run(text)
    (archive,) = kept(step)
    with step.host.path(f"{STATE_DIR}/lock").open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        process = step.start(stateful(*backends))
        wait_until(lambda: opened(archive), what="a run that loads it")
        archive.unlink()
    answer = finish(process)
    assert answer.says("installed"), answer
    assert answer.stderr == ""


@pytest.mark.fault("F289")
def test_without_a_place_for_it_each_run_compiles(
    step: ApplyStep, backends: tuple[BackendHost, ...], text: str
) -> None:
    """A full disk, or a file where the directory should be, is nobody's failure."""
    host = step.host
    host.path(CACHE_DIR).mkdir()
    host.run(["mount", "-t", "tmpfs", "-o", "size=16k", "cache", CACHE_DIR])
    answer = step.run(text)
    assert (answer.status, answer.stderr, kept(step)) == (0, "", [])
    host.run(["umount", CACHE_DIR])
    host.path(CACHE_DIR).rmdir()
    host.write(CACHE_DIR, "a file in its place")
    answer = step.run(stateful(*backends))
    assert answer.says("installed")
    assert answer.stderr == ""


@pytest.mark.parametrize("action", ["inspect", "check"])
def test_who_only_looks_leaves_nothing(step: ApplyStep, text: str, action: str) -> None:
    """A host that is asked before it is taken over stays as it was."""
    assert step.run(text, Action=action).status == 0
    assert kept(step) == []


def test_what_failed_leaves_nothing(step: ApplyStep) -> None:
    """A run that could not do its work is not one to be repeated fast."""
    assert step.run(None).status != 0
    assert kept(step) == []


def test_what_earlier_releases_kept_goes(step: ApplyStep, text: str) -> None:
    """With the first run of this one."""
    step.host.write(f"{CACHE_DIR}/{'0' * 64}-6f0d0d0a.zip", "")
    step.run(text)
    (archive,) = kept(step)
    assert archive.name.startswith(Program.deployed().sha256)
