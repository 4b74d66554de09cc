"""The HAProxys of other releases: each is pinned, and another one is taken only where an update took its place."""

import os
import re
import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest

from tests import haproxies

LOCK = haproxies.PROJECT / "requirements/haproxies.txt"
NAMED = LOCK.with_suffix(".in")
LINE = re.compile(
    r"\d+\.\d+ [a-z]+ (?:amd64|arm64) [0-9][A-Za-z0-9.+:~-]* [0-9a-f]{64}"
)
PACKAGE = b"a package"
GONE = "9.8.6"
"""An update has taken its place."""

# As apt has it where the package is at hand, its libraries are not.
APT = f"""\
#!/bin/sh
case "$*" in
  *indextargets*) echo http://mirror.test/debian ;;
  *"download haproxy=9.8.7") printf '{PACKAGE.decode()}' >haproxy_9.8.7_amd64.deb ;;
  *"download haproxy") echo 'an update' >haproxy_9.8.8_amd64.deb ;;
  *download*) echo 'E: Version was not found' >&2; exit 100 ;;
esac
"""


def _lines(path: Path) -> list[list[str]]:
    text = path.read_text()
    return [line.split() for line in text.splitlines() if not line.startswith("#")]


@pytest.mark.fault("F223")
def test_the_lock_file_pins_each_version_for_each_machine() -> None:
    """A line is version, release, architecture, version of the package, digest; it names no host."""
    assert all(map(LINE.fullmatch, map(" ".join, _lines(LOCK))))
    assert [line[:3] for line in _lines(LOCK)] == [
        [version, suite, architecture]
        for version, suite, *_ in _lines(NAMED)
        if suite != "none"
        for architecture in ("amd64", "arm64")
    ]
    assert all(line[3].startswith(f"{line[0]}.") for line in _lines(LOCK))


@pytest.mark.fault("F223")
def test_every_version_of_the_makefile_is_pinned() -> None:
    """What `make test` cannot do without can be had; of what `make test-haproxies` tries, all but PyPI's is named."""
    text = (haproxies.PROJECT / "Makefile").read_text()
    needed = re.findall(r"^HAPROXIES := (.*)", text, re.MULTILINE)[0].split()
    assert {*needed} <= {line[0] for line in _lines(LOCK)}
    assert {*needed} < {*haproxies.VERSIONS}
    assert {line[0] for line in _lines(NAMED)} == {*haproxies.VERSIONS} - {"2.8"}
    assert haproxies.binary("2.8")
    printed = subprocess.run(
        ["make", "--dry-run", "test", "test-haproxies"],
        cwd=haproxies.PROJECT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    options = " ".join(f"--haproxy={version}" for version in needed)
    assert f"{options} tests/host" in printed
    assert "-m tests.haproxies" in printed


@pytest.mark.fault("F223")
@pytest.mark.parametrize(
    ("version", "package", "digest", "why"),
    [
        ("9.8", GONE, sha256(PACKAGE).hexdigest(), "lacks its libraries"),
        ("9.8", "9.8.7", "0" * 64, "has another SHA-256"),
        ("9.8", "9.8.7", sha256(PACKAGE).hexdigest(), "lacks its libraries"),
        ("9.7", "", "", "nobody has it"),
        ("9.6", "", "", "has none for this machine"),
    ],
)
def test_what_cannot_be_had_is_told(
    tmp_path: Path, version: str, package: str, digest: str, why: str
) -> None:
    """In one line, which stays where the tests look for the reason; nothing of it stays, and set-up goes on."""
    for folder in ("bin", "requirements", "path"):
        (tmp_path / folder).mkdir()
    shutil.copy(haproxies.PROJECT / "bin/haproxies", tmp_path / "bin")
    (tmp_path / "requirements/haproxies.in").write_text("9.7 none nobody has it\n")
    (tmp_path / "requirements/haproxies.txt").write_text(
        f"9.8 sid amd64 {package} {digest}\n"
    )
    stand_ins = {"apt-get": APT, "dpkg": "#!/bin/sh\necho amd64\n"}
    for name, script in stand_ins.items():
        (tmp_path / "path" / name).write_text(script)
        (tmp_path / "path" / name).chmod(0o755)
    done = subprocess.run(
        [tmp_path / "bin/haproxies", "fetch", version],
        env={"PATH": f"{tmp_path}/path:{os.environ['PATH']}"},
        check=True,
        capture_output=True,
        text=True,
    )
    left = tmp_path / ".tools/haproxies" / version
    assert why in (left / "missing").read_text()
    *before, last = done.stderr.splitlines()
    assert (
        last
        == f"setup: no HAProxy {version}: {(left / 'missing').read_text()}".rstrip()
    )
    updated = f"haproxy={package} is not in sid any more" if package == GONE else ""
    assert [line.split(": ")[1] for line in before] == [updated] * bool(updated)
    assert [path.name for path in left.iterdir()] == ["missing"]


@pytest.mark.fault("F224")
def test_each_version_has_its_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Passed, failed and skipped, one that cannot be had with its reason; green is what failed nowhere, and ran."""
    (tmp_path / "conftest.py").write_text(
        "def pytest_addoption(parser): parser.addoption('--haproxy')\n"
    )
    (tmp_path / "test_some.py").write_text(
        "import pytest\n"
        "def test_good(): pass\n"
        "def test_by_version(request): assert request.config.getoption('haproxy') == '3.0'\n"
        "def test_not_here(): pytest.skip('not here')\n"
    )

    def binary(version: str) -> Path:
        if version == "2.4":
            raise FileNotFoundError("nobody has it")
        return tmp_path

    monkeypatch.setattr(haproxies, "binary", binary)
    arguments = [str(tmp_path), f"--rootdir={tmp_path}", "-p", "no:randomly"]
    lines = {
        "2.4": "HAProxy 2.4: skipped: nobody has it",
        "2.8": "HAProxy 2.8: 1 passed, 1 failed, 1 skipped",
        "3.0": "HAProxy 3.0: 2 passed, 0 failed, 1 skipped",
    }
    cases = (("2.4", "3.0"), 0), (("2.4", "2.8", "3.0"), 1), (("2.4",), 1)
    for versions, status in cases:
        monkeypatch.setattr(haproxies, "VERSIONS", versions)
        assert haproxies.main(arguments) == status
        printed = capfd.readouterr().out.splitlines()
        assert printed[-len(versions) :] == [lines[version] for version in versions]


@pytest.mark.fault("F224")
def test_the_installed_one_need_not_be_on_the_path(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Debian's users do not have it there."""
    installed = haproxies.series("/usr/sbin/haproxy")
    path = os.environ["PATH"].split(":")
    without = ":".join(each for each in path if not (Path(each) / "haproxy").exists())
    monkeypatch.setenv("PATH", without)
    assert haproxies.binary.__wrapped__(installed) is None


@pytest.mark.fault("F224")
def test_a_version_that_is_missing_fails_where_it_is_needed() -> None:
    """`make test` never passes over it: each test says why it could not run."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "tests/host/test_lab.py"),
            *("--haproxy=1.0", "-p", "no:cacheprovider", "-k", "stand_in_remembers"),
        ],
        cwd=haproxies.PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stdout
    assert "no HAProxy 1.0: `bin/setup haproxies 1.0` brings it" in done.stdout
