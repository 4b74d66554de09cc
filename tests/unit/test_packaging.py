"""What is installed of this project is the command line alone; what is deployed has nothing of it."""

import ast
import importlib.metadata
import os
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

import haproxy_sync
from tests.pythons import real_python

PROJECT = Path(__file__).parents[2]
UV = PROJECT / ".tools/bin/uv"
NAME = "haproxy_ec2_sync"
PYTHONS = ("3.11", "3.13")
"""The oldest that operators have, and the one that the tests run with."""

VERSION = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["version"]
SECONDS = 120


def _run(*command: str | Path, **environment: str) -> str:
    """Without network; what it printed."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name not in {"PYTHONPATH", "VIRTUAL_ENV"}
    }
    done = subprocess.run(
        [*map(str, command)],
        cwd="/",
        env=inherited | {"UV_OFFLINE": "1"} | environment,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the source distribution, and the wheel that was made of that."""
    folder = tmp_path_factory.mktemp("dist")
    _run(UV, "build", "--quiet", "--out-dir", folder, PROJECT)
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    """The wheel."""
    (found,) = built.glob("*.whl")
    return found


def _sources() -> set[str]:
    folder = PROJECT / "cli"
    return {str(path.relative_to(folder)) for path in folder.rglob("*.py")}


def test_the_wheel_holds_the_command_line_alone(wheel: Path) -> None:
    """All of its modules, and nothing of the function or of what runs on hosts."""
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if not name.endswith("/")}
    information = f"{NAME}-{VERSION}.dist-info"
    described = {
        f"{information}/{name}"
        for name in ("METADATA", "WHEEL", "RECORD", "entry_points.txt")
    }
    license_ = f"{information}/licenses/LICENSE"
    assert names == _sources() | described | {license_}


def test_the_source_distribution_holds_what_a_wheel_needs(built: Path) -> None:
    """No environment, no build, no tests."""
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {each.name for each in archive.getmembers() if each.isfile()}
    top = {name.split("/")[1] for name in names}
    assert top <= {
        *("LICENSE", "README.md", "PKG-INFO", "cli"),
        *("pyproject.toml", "pyproject.toml.orig"),
    }


def test_what_it_needs_is_what_it_imports(wheel: Path) -> None:
    """The packages that the wheel asks for, and the standard library."""
    with zipfile.ZipFile(wheel) as archive:
        text = archive.read(f"{NAME}-{VERSION}.dist-info/METADATA").decode()
    wanted = Parser().parsestr(text).get_all("Requires-Dist") or []
    packages = {each.partition(">")[0] for each in wanted} | {"botocore", NAME}
    imported = {
        name.partition(".")[0]
        for path in (PROJECT / "cli").rglob("*.py")
        for name in _imports(path)
    }
    assert imported - sys.stdlib_module_names == packages


def _imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {each.name for each in node.names}
        if isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return found


@pytest.mark.parametrize("version", PYTHONS)
def test_it_runs_where_it_is_installed(
    version: str, wheel: Path, tmp_path: Path
) -> None:
    """In an environment of its own that knows no sources: its help, its version, its help on a command."""
    _run(UV, "venv", "--quiet", "--python", real_python(version), tmp_path / "venv")
    bin_ = tmp_path / "venv/bin"
    _run(
        *(UV, "pip", "install", "--quiet", "--no-deps"),
        *("--python", bin_ / "python", wheel),
    )
    # What it needs is pure Python: that of these tests will do.
    needs = {"PYTHONPATH": sysconfig.get_path("purelib")}
    command = bin_ / "haproxy-ec2-sync"
    assert "status" in _run(command, "--help", **needs)
    assert _run(command, "--version", **needs).split()[-1] == VERSION
    assert "--env" in _run(command, "doctor", "--help", **needs)
    where = _run(
        bin_ / "python", "-c", f"import {NAME}; print({NAME}.__file__)", **needs
    )
    assert where.startswith(str(tmp_path))


def test_there_is_one_version() -> None:
    """The project's: of what `make setup` installed, and of the function, which is deployed without its metadata."""
    assert importlib.metadata.version("haproxy-ec2-sync") == VERSION
    assert haproxy_sync.__version__ == VERSION
    assert [
        path
        for path in (PROJECT / "cli").rglob("*.py")
        if "__version__" in path.read_text()
    ] == []


def test_help_does_without_boto3() -> None:
    """Which takes longer to load than all else; nor does completion need it."""
    program = (
        "import sys; from haproxy_ec2_sync.app import run; "
        "assert run(['doctor', '--help']) == 0; assert run(['--help']) == 0; "
        "sys.exit(', '.join(sorted({'boto3', 'botocore'} & set(sys.modules))) or 0)"
    )
    _run(sys.executable, "-c", program, PYTHONPATH=str(PROJECT / "cli"))


def test_the_function_has_nothing_of_the_command_line() -> None:
    """Neither below its CodeUri, nor in its layer, nor in what it imports."""
    template = (PROJECT / "template.yaml").read_text()
    uris = [
        line.split(":", 1)[1].split("#")[0].strip()
        for line in template.splitlines()
        if line.strip().startswith(("CodeUri:", "ContentUri:"))
    ]
    assert uris == ["src/", "layers/deps"]
    packaged = [
        path
        for uri in uris
        for path in (PROJECT / uri).rglob("*")
        if path.suffix == ".py" or path.name == "requirements.txt"
    ]
    assert packaged
    assert [path for path in packaged if NAME in path.parts] == []
    named = {
        name
        for path in packaged
        if path.suffix == ".py"
        for name in _imports(path)
        if name.partition(".")[0] in {NAME, "click", "rich"}
    }
    assert named == set()


def test_make_clean_takes_the_installation_away() -> None:
    """With the environment that it is installed into, and what a build leaves; none of it is committed."""
    makefile = (PROJECT / "Makefile").read_text()
    removed = makefile.split("\nclean:", 1)[1].split("\n\n")[0].split()
    ignored = (PROJECT / ".gitignore").read_text().split()
    assert {".venv", "dist", "build"} <= set(removed)
    assert {".venv/", "dist/", "build/"} <= set(ignored)


def test_setup_installs_the_command() -> None:
    """A script in the environment that `make setup` makes, whatever is on the path."""
    workflow = (PROJECT / "bin/setup").read_text()
    assert "--no-deps --python .venv/bin/python --editable ." in workflow
    assert (PROJECT / ".venv/bin/haproxy-ec2-sync").exists()
