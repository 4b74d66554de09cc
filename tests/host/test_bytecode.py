"""What the program keeps of itself between two runs: it makes the next one shorter, and never another one."""

import io
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from haproxy_sync.rollout.program import Program
from local.lab import BackendHost, ProxyHost
from tests.host.apply_step import CACHE_DIR, ApplyStep, stateful

type MakeProxy = Callable[..., ProxyHost]

PLANTED = "import os\ndef main(bytecode):\n    os.write(1, b'planted')\n    return 0\n"


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


def planted(archive: Path) -> bytes:
    """An archive of this program that has a main of ours, to see whether it is the one that runs."""
    file = io.BytesIO()
    with zipfile.ZipFile(archive) as whole, zipfile.ZipFile(file, "w") as target:
        for name in whole.namelist():
            if not name.endswith("__main__.pyc"):
                target.writestr(name, whole.read(name))
        target.writestr("haproxy_apply/__main__.py", PLANTED)
    return file.getvalue()


def test_the_first_run_compiles_for_the_next(step: ApplyStep, text: str) -> None:
    """It is named by the program, root's alone, and what the next run loads."""
    assert step.run(text).status == 0
    (archive,) = kept(step)
    assert archive.name.startswith(Program.deployed().sha256)
    assert archive.stat().st_mode & 0o777 == 0o600
    assert archive.parent.stat().st_mode & 0o777 == 0o700
    written = archive.stat().st_mtime_ns
    assert step.run(text).says("unchanged")
    assert archive.stat().st_mtime_ns == written
    archive.write_bytes(planted(archive))
    assert step.run(text).stdout == "planted"


def test_a_torn_archive_is_passed_over_and_made_anew(
    step: ApplyStep, text: str
) -> None:
    """A disk that lost its end, or all of it, costs a compilation."""
    step.run(text)
    (archive,) = kept(step)
    whole = archive.read_bytes()
    for length in (0, 1, len(whole) // 2, len(whole) - 1):
        archive.write_bytes(whole[:length])
        answer = step.run(text)
        assert answer.says("unchanged"), answer
        assert len(archive.read_bytes()) == len(whole)


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


def test_what_earlier_releases_kept_goes_after_a_day(
    step: ApplyStep, text: str
) -> None:
    """Not at once: a run that still goes on loads from it."""
    host = step.host
    for name, age_seconds in (("old.zip", 90_000), ("young.zip", 3_600)):
        host.write(f"{CACHE_DIR}/{name}", "")
        then = host.path(CACHE_DIR).stat().st_mtime - age_seconds
        os.utime(host.path(f"{CACHE_DIR}/{name}"), (then, then))
    step.run(text)
    names = [path.name for path in kept(step)]
    assert len(names) == 2
    assert "young.zip" in names
