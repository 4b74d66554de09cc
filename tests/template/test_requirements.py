"""The lock files: every package pinned and hashed, from nowhere in particular, and tested as deployed."""

import re
from pathlib import Path

import pytest

from tests.template.translate import PROJECT

LOCKS = sorted(
    [
        *{*PROJECT.glob("requirements/*.txt")}
        - {PROJECT / "requirements/haproxies.txt"},
        PROJECT / "layers" / "deps" / "requirements.txt",
    ]
)


def pinned(lock: Path) -> dict[str, str]:
    """Version by package."""
    return dict(
        re.findall(
            r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^ ;\\]+)",
            lock.read_text(),
            re.MULTILINE,
        )
    )


@pytest.mark.parametrize(
    "lock", LOCKS, ids=lambda path: f"{path.parent.name}-{path.stem}"
)
def test_pinned_and_hashed(lock: Path) -> None:
    """Each package has one version and its hashes; no line names a host."""
    entries = re.split(
        r"\n(?=[A-Za-z0-9])", lock.read_text().partition("make lock\n")[2]
    )
    assert entries
    assert all("==" in entry and "--hash=sha256:" in entry for entry in entries)
    assert "://" not in lock.read_text()


def test_tested_as_deployed() -> None:
    """The tests run on the very versions that the layer carries."""
    layer, tests = (
        pinned(PROJECT / "layers" / "deps" / "requirements.txt"),
        pinned(PROJECT / "requirements" / "dev.txt"),
    )
    assert layer
    assert {name: tests.get(name) for name in layer} == layer
