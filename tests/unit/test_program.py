"""The program's zip: the same bytes wherever it is packed, and the bytes that the document admits."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from zipfile import ZIP_STORED, ZipFile

import pytest
import re2  # type: ignore[import-untyped]

import ssm_document
from haproxy_sync.errors import ProgramDiffers
from haproxy_sync.rollout.program import RELEASE, Program
from local import built_program

ANOTHER_PYTHON = """
import sys
sys.path.insert(0, sys.argv[1])
from haproxy_sync.rollout.program import Program
print(Program.packed().sha256, *sys.version_info[:2])
"""


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """A copy of what is deployed, with a document for its program."""
    for folder in ("haproxy_sync", "host"):
        shutil.copytree(RELEASE / folder, tmp_path / folder)
    write_document(tmp_path, Program.packed(tmp_path).sha256)
    return tmp_path


def write_document(release: Path, program: str) -> None:
    """The document that takes the program."""
    text = json.dumps(ssm_document.document(program))
    (release / "host/document.json").write_text(text)


def other_pythons() -> Iterator[str]:
    """Interpreters on this machine that are not ours; packing needs 3.10, which dataclasses with slots came with."""
    for name in ("/usr/bin/python3", *(f"python3.{minor}" for minor in range(10, 16))):
        found = shutil.which(name)
        if found and Path(found).resolve() != Path(sys.executable).resolve():
            yield found


def test_it_holds_the_package_and_what_it_shares_with_the_function() -> None:
    """In order, not compressed, all of one time and mode."""
    with ZipFile(BytesIO(Program.packed().content)) as archive:
        entries = archive.infolist()
    package = (RELEASE / "host/haproxy_apply").glob("*.py")
    assert [entry.filename for entry in entries] == [
        *sorted(f"haproxy_apply/{path.name}" for path in package),
        "haproxy_sync/__init__.py",
        "haproxy_sync/config/__init__.py",
        "haproxy_sync/config/keywords.py",
        "haproxy_sync/config/language.py",
        "haproxy_sync/config/readings.py",
        "haproxy_sync/config/unsafe.py",
        "haproxy_sync/secrets.py",
    ]
    assert {entry.compress_type for entry in entries} == {ZIP_STORED}
    assert {entry.date_time for entry in entries} == {(1980, 1, 1, 0, 0, 0)}
    assert {entry.external_attr >> 16 for entry in entries} == {0o100644}


def test_times_modes_and_stray_files_do_not_change_it(release: Path) -> None:
    """A build of another day, from another clone, makes the same bytes."""
    before = Program.packed(release)
    for path in (release / "host/haproxy_apply").glob("*.py"):
        path.touch()
        path.chmod(0o600)
    for stray in (
        "notes.txt",
        "apply (1).py",
        ".#apply.py",
        "apply.py.orig",
        "Apply.py",
    ):
        (release / "host/haproxy_apply" / stray).write_text("not shipped")
    cache = release / "host/haproxy_apply/__pycache__"
    cache.mkdir(exist_ok=True)
    (cache / "main.cpython-313.pyc").write_bytes(b"not shipped")
    assert Program.packed(release) == before


def test_every_python_packs_the_same_bytes() -> None:
    """The function's, a developer's, CI's: the digest in the document is right for all of them."""
    found = set()
    for python in other_pythons():
        command = [python, "-I", "-c", ANOTHER_PYTHON, str(RELEASE)]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode == 0:
            sha256, *version = done.stdout.split()
            assert sha256 == Program.packed().sha256, version
            found.add(tuple(version))
    if not found:
        pytest.skip("this machine has no other Python from 3.10 on")


def test_a_release_brings_the_program_that_its_document_names(release: Path) -> None:
    """As long as both were made from the same files."""
    assert Program.deployed(release) == Program.packed(release)


@pytest.mark.fault("F102")
def test_a_release_that_was_built_wrong_says_so(release: Path) -> None:
    """Both digests, and what to do; the program of neither is brought to any proxy."""
    named = Program.packed(release).sha256
    (release / "host/haproxy_apply/more.py").write_text(
        '"""Forgot `make document`."""\n'
    )
    packed = Program.packed(release).sha256
    with pytest.raises(ProgramDiffers, match="make document") as caught:
        Program.deployed(release)
    assert (caught.value.packed, caught.value.named) == (packed, named)
    assert packed in str(caught.value)
    assert named in str(caught.value)


@pytest.mark.fault("F102")
def test_such_a_build_ends_with_an_error(
    release: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """So that it is not found in production: one line, which says what to do."""
    assert built_program.main(release) == 0
    path = release / "host/haproxy_apply/errors.py"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert built_program.main(release) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "make document" in line


@pytest.mark.fault("F102")
def test_every_checkout_has_the_same_bytes() -> None:
    """Whatever a developer's git makes of line ends elsewhere."""
    attributes = (RELEASE.parent / ".gitattributes").read_text()
    assert "* text=auto eol=lf" in attributes.splitlines()
    files = (RELEASE / "host/haproxy_apply").glob("*.py")
    assert not any(b"\r\n" in path.read_bytes() for path in files)


GOOD = f"https://stack-bucket-1.s3.cn-north-1.amazonaws.com.cn/program/{'a' * 64}/haproxy_apply.zip"


@pytest.mark.fault("F98")
@pytest.mark.parametrize(
    "address",
    [
        GOOD.replace("a" * 64, "b" * 64),
        GOOD.replace("/program/", "/programs/"),
        GOOD.replace("https", "http"),
        GOOD.replace(".amazonaws.com.cn", ".example.com"),
        GOOD.replace(".amazonaws.com.cn", ".amazonaws.com.example.com"),
        GOOD.replace(".amazonaws.com.cn", ".amazonaws-com.cn"),
        f"{GOOD}?versionId=1",
        f"{GOOD}\n",
        f"x {GOOD}",
        GOOD.replace(".zip", "-zip"),
        "{{ssm:x}}",
        "",
    ],
)
def test_the_document_admits_one_program(address: str) -> None:
    """Whatever bucket it lies in; the pattern is the agent's own dialect, and there is no default to fall back on."""
    declaration = ssm_document.document("a" * 64)["parameters"]["ProgramUrl"]
    pattern = re2.compile(declaration["allowedPattern"])
    assert pattern.search(GOOD)
    assert not pattern.search(address)
    assert "default" not in declaration


@pytest.mark.fault("F98")
def test_the_launcher_names_the_same_program() -> None:
    """Its text is what is compared on the host: the address alone would trust the bucket."""
    made = ssm_document.document("a" * 64)
    (text,) = made["mainSteps"][-1]["inputs"]["runCommand"]
    assert text.count("a" * 64) == 1
    assert ssm_document.PLACEHOLDER not in text
    assert ssm_document.LAUNCHER.read_text().count(ssm_document.PLACEHOLDER) == 1


def test_the_document_is_small() -> None:
    """An agent reads each of its strings once per parameter, and logs all of it."""
    text = json.dumps(ssm_document.document("a" * 64))
    assert len(text) < 8 * 1024
    assert "{{" not in ssm_document.LAUNCHER.read_text()
