"""The Pythons that the host program is tried with: as old and as new as hosts have them."""

from pathlib import Path

VERSIONS = ("3.8", "3.11", "3.13")
_LINKS = Path(__file__).parents[1] / ".tools/pythons"


def real_python(version: str) -> Path:
    """The interpreter that `bin/setup pythons` found or downloaded. Raises FileNotFoundError, which says what to do."""
    link = _LINKS / version
    if not link.exists():
        raise FileNotFoundError(
            f"no Python {version}: `bin/setup pythons` found none and could not download it; "
            f"put a python{version} on your PATH and run it again"
        )
    return link.resolve()
