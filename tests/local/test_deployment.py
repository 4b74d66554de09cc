"""What is deployed locally is what `make build` built; running it as root leaves the project's folder alone."""

import os
from pathlib import Path

import pytest

from local import deployment, system

ANCIENT = 1.0


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project that was built after its sources were written."""
    folder = tmp_path / "project"
    files = (
        "template.yaml",
        "src/app.py",
        "src/host/document.json",
        "layers/deps/requirements.txt",
    )
    for name in (
        *files,
        ".aws-sam/build/Function/app.py",
        ".aws-sam/build/template.yaml",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    for name in files:
        os.utime(folder / name, (ANCIENT, ANCIENT))
    monkeypatch.setattr(deployment, "PROJECT", folder)
    monkeypatch.setattr(deployment, "SAM_BUILD", folder / ".aws-sam" / "build")
    monkeypatch.setattr(
        deployment, "DOCUMENT", folder / "src" / "host" / "document.json"
    )
    return folder


def test_a_copy_of_the_build_is_deployed(project: Path, tmp_path: Path) -> None:
    """With the document where the template's relative path finds it; nothing is written into the project."""
    before = sorted(project.rglob("*"))
    template = deployment.built(tmp_path / "run")
    assert template.read_text() == ".aws-sam/build/template.yaml"
    assert (template.parent / "Function" / "app.py").exists()
    assert (
        template.parent / "../../src/host/document.json"
    ).read_text() == "src/host/document.json"
    assert sorted(project.rglob("*")) == before


@pytest.mark.parametrize(
    "name", ["template.yaml", "src/app.py", "layers/deps/requirements.txt"]
)
def test_an_old_build_is_refused(project: Path, tmp_path: Path, name: str) -> None:
    """It would be tested in place of what stands in the sources."""
    (project / name).touch()
    os.utime(project / ".aws-sam" / "build" / "template.yaml", (ANCIENT, ANCIENT))
    with pytest.raises(
        deployment.NotBuilt, match=f"{name} is newer than .* run `make build`"
    ):
        deployment.built(tmp_path / "run")


def test_a_missing_build_is_refused(project: Path, tmp_path: Path) -> None:
    """With the command that makes one."""
    (project / ".aws-sam" / "build" / "template.yaml").unlink()
    with pytest.raises(deployment.NotBuilt, match="is missing: run `make build`"):
        deployment.built(tmp_path / "run")


def test_somebody_elses_folder_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anybody may make names in /tmp: root writes nothing where another user could swap it."""
    os.chown(tmp_path, 65534, 65534)
    monkeypatch.setattr(system, "FOLDERS", tmp_path)
    with pytest.raises(PermissionError, match="is not ours"):
        system.fresh_folder()
