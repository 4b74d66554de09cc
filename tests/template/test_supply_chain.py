"""What is deployed: the same digests wherever it is built, an inventory that is complete, licences that fit."""

import json
import os
import subprocess
from hashlib import sha256
from pathlib import Path
from shutil import copytree, ignore_patterns

from local import deployment
from tests.template.test_requirements import pinned
from tests.template.translate import PROJECT

PACKAGES = ("ReconcileFunction", "DependencyLayer")
NOT_THE_SOURCE = ignore_patterns(
    ".git", ".venv*", ".tools", ".aws-sam", "build", ".*_cache", "__pycache__"
)
LAYER_LOCK = PROJECT / "layers" / "deps" / "requirements.txt"


def make(
    *arguments: str, folder: Path = PROJECT, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a target of the Makefile; what it is made from is there already."""
    return subprocess.run(
        ["make", "-s", "-o", "setup", "-o", "setup-supply", *arguments],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def digests(build: Path) -> dict[str, tuple[int, str]]:
    """Mode and SHA-256 of each file of the packages: what their keys in the bucket and their zips depend on."""
    return {
        str(path.relative_to(build)): (
            path.stat().st_mode,
            sha256(path.read_bytes()).hexdigest(),
        )
        for package in PACKAGES
        for path in (build / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def built(folder: Path, umask: int, modified_at: float) -> Path:
    """What a copy of the project in this folder makes, with nothing in a cache, for who has this umask."""
    copytree(PROJECT, folder, ignore=NOT_THE_SOURCE)
    for environment in PROJECT.glob(".venv*"):
        (folder / environment.name).symlink_to(environment)
    for path in (path for path in folder.rglob("*") if not path.is_symlink()):
        path.chmod((path.stat().st_mode | 0o666) & ~umask)
        os.utime(path, (modified_at, modified_at))
    before = os.umask(umask)
    try:
        done = make("build", folder=folder)
    finally:
        os.umask(before)
    assert done.returncode == 0, done.stderr
    return folder / ".aws-sam" / "build"


def made_before(folder: Path) -> Path:
    """What `make build` left, as `make test` has it do; one more of our own if a source is newer."""
    try:
        return deployment.built(folder).parent
    except deployment.NotBuilt:
        return built(folder / "two", umask=0o022, modified_at=1.7e9)


def test_reproducible_build(tmp_path: Path) -> None:
    """Two builds, in two places, at two times, by users with two umasks: the same files with the same modes."""
    one = digests(built(tmp_path / "one", umask=0o037, modified_at=1e9))
    two = digests(made_before(tmp_path / "other"))
    assert one == two
    assert {name.partition("/")[0] for name in one} == set(PACKAGES)


def sbom() -> bytes:
    """The inventory, written anew."""
    done = make("-o", "build", "sbom")
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return (PROJECT / "build" / "sbom.json").read_bytes()


def test_inventory() -> None:
    """It names what the layer's lock file pins, nothing else, each with a licence, and is the same when made again."""
    inventory = sbom()
    assert sbom() == inventory
    described = json.loads(inventory)
    assert described["bomFormat"] == "CycloneDX"
    assert described["metadata"]["component"]["name"] == "haproxy-ec2-sync"
    found = {each["purl"]: each["licenses"] for each in described["components"]}
    assert set(found) == {
        f"pkg:pypi/{name}@{version}" for name, version in pinned(LAYER_LOCK).items()
    }
    assert all(found.values())


def test_licenses() -> None:
    """Each dependency may be used by anybody."""
    done = make("licenses")
    assert done.returncode == 0, done.stderr
    assert set(pinned(LAYER_LOCK)) <= set(done.stdout.lower().replace("_", "-").split())


def test_foreign_license() -> None:
    """A licence that is not among those that are allowed is a failure."""
    done = make("licenses", "PERMISSIVE=ISC")
    assert done.returncode != 0
    assert "not in allow-only licenses" in done.stderr


def test_audit_that_nobody_answers() -> None:
    """What was not found out is no good news. Port 9 of this machine discards, if anybody listens there at all."""
    nowhere = "http://127.0.0.1:9"
    done = make("audit", HTTPS_PROXY=nowhere, https_proxy=nowhere)
    assert done.returncode != 0


def locks_checked(folder: Path) -> subprocess.CompletedProcess[str]:
    """What is wrong with the lock files there. It asks the package index, as the setup does."""
    return subprocess.run(
        ["bin/lock", "check"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_each_platform_finds_its_files() -> None:
    """The lock files do for Linux and macOS, on Intel and ARM."""
    done = locks_checked(PROJECT)
    assert done.returncode == 0, done.stderr


def test_a_file_without_its_hash_is_missed(tmp_path: Path) -> None:
    """Of one package the wheels of some platform, whichever that is."""
    for name in ("bin", "layers", "requirements"):
        copytree(PROJECT / name, tmp_path / name)
    (tmp_path / ".tools").symlink_to(PROJECT / ".tools")
    lock = tmp_path / LAYER_LOCK.relative_to(PROJECT)
    before, markupsafe, after = lock.read_text().partition("markupsafe==")
    _lost, kept = after.split("\n    --hash=", 2)[1:]
    version = after.partition("\n")[0]
    lock.write_text(f"{before}{markupsafe}{version}\n    --hash={kept}")
    done = locks_checked(tmp_path)
    assert done.returncode != 0
    assert "requirements.txt lacks hashes" in done.stderr
    assert "markupsafe" in done.stderr
