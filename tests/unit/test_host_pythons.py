"""What runs on hosts is understood by the Pythons that hosts have, real ones."""

import subprocess
from pathlib import Path

import pytest

from haproxy_sync.rollout.program import Program
from tests.pythons import VERSIONS, real_python

COMPILE_AND_IMPORT = """
import importlib, sys, zipfile
print("%d.%d" % sys.version_info[:2])
sys.path.insert(0, sys.argv[1])
with zipfile.ZipFile(sys.argv[1]) as archive:
    for name in archive.namelist():
        compile(archive.read(name), name, "exec")
        importlib.import_module(name[:-len(".py")].replace("/", ".").replace(".__init__", ""))
        print(name)
"""


@pytest.mark.parametrize("version", VERSIONS)
def test_the_program_is_understood(version: str, tmp_path: Path) -> None:
    """Every module of the zip is compiled and imported, and any warning of the compiler is an error."""
    program = tmp_path / "haproxy_apply.zip"
    program.write_bytes(Program.packed().content)
    command = [str(real_python(version)), "-I", "-S", "-B", "-W", "error"]
    done = subprocess.run(
        [*command, "-c", COMPILE_AND_IMPORT, str(program)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    used, *names = done.stdout.splitlines()
    assert used == version
    assert {"haproxy_apply/__main__.py", "haproxy_sync/config/language.py"} < set(names)
    assert len(names) > len(list(Path("src/host/haproxy_apply").glob("*.py")))


def test_setup_provides_them() -> None:
    """`bin/setup` has the same list, the lowest of it is what the linters judge by, and launchers look for no older."""
    (line,) = (
        line
        for line in Path("bin/setup").read_text().splitlines()
        if line.startswith("pythons=(")
    )
    assert tuple(line.removeprefix("pythons=(").removesuffix(")").split()) == VERSIONS
    lowest = f'"py{VERSIONS[0].replace(".", "")}"'
    assert (
        f'"src/host/haproxy_apply/*.py" = {lowest}'
        in Path("pyproject.toml").read_text()
    )
    assert f"python{VERSIONS[0]} " in Path("document/launcher.sh").read_text()


def test_a_missing_one_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nobody has to guess what a test that needs it wants."""
    monkeypatch.setattr("tests.pythons._LINKS", tmp_path)
    with pytest.raises(
        FileNotFoundError, match=r"bin/setup pythons.*python3\.8 on your PATH"
    ):
        real_python("3.8")
