"""Stands for what the python3.13 runtime itself brings: its interface client and boto3, and nothing else.

The function must find all other packages in its own artifact and layer; those of the developer's environment are out
of its sight.
"""

import re
import sys
from functools import cache
from importlib.metadata import Distribution, distribution
from pathlib import Path

RUNTIME_PACKAGES = ("awslambdaric", "boto3")
REQUIREMENT = re.compile(r"[A-Za-z0-9._-]+")


def interpreter() -> str:
    """The interpreter below the virtual environment."""
    return str(
        Path(
            sys.base_prefix,
            "bin",
            f"python{sys.version_info.major}.{sys.version_info.minor}",
        )
    )


def link_runtime(folder: Path) -> None:
    """Fill a folder with links to the runtime's packages and to all that they require."""
    folder.mkdir(parents=True, exist_ok=True)
    for package in _closure(RUNTIME_PACKAGES):
        for top in {
            file.parts[0] for file in package.files or () if ".." not in file.parts
        }:
            link = folder / top
            if not link.exists():
                link.symlink_to(Path(str(package.locate_file(top))))


@cache
def runtime_versions() -> tuple[str, ...]:
    """The runtime's packages, each with its version."""
    return tuple(f"{each.name} {each.version}" for each in _closure(RUNTIME_PACKAGES))


def _closure(names: tuple[str, ...]) -> list[Distribution]:
    found: dict[str, Distribution] = {}
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found[name] = distribution(name)
        unconditional = [
            each for each in found[name].requires or () if "extra ==" not in each
        ]
        waiting += [
            match[0] for match in map(REQUIREMENT.match, unconditional) if match
        ]
    return list(found.values())
