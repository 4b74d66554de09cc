"""`human_readable` and `human_to_bytes`: sizes as people write them."""

import re
from collections.abc import Mapping

from haproxy_sync.config.ansible.names import require

_PREFIXES: Mapping[str, str] = {
    "Y": "yotta",
    "Z": "zetta",
    "E": "exa",
    "P": "peta",
    "T": "tera",
    "G": "giga",
    "M": "mega",
    "K": "kilo",
    "B": "",
}
_FACTORS = {
    letter: 1 << 10 * power for power, letter in enumerate(reversed(tuple(_PREFIXES)))
}
_UNITS = {False: ("B", "byte", "Bytes"), True: ("b", "bit", "bits")}
_SIZE = re.compile(r"([0-9]*\.?[0-9]+)(?:\s*([A-Za-z]+))?\s*", re.ASCII)


def human_readable(size: float, isbits: bool = False, unit: str | None = None) -> str:
    """A number of bytes with the largest unit that leaves at least one, or with the given one."""
    require(
        isinstance(size, int | float), f"human_readable takes a number, not {size!r}"
    )
    short, _, whole = _UNITS[bool(isbits)]
    letter = _largest(size) if unit is None else unit.upper()
    factor = _FACTORS.get(letter, 1)
    return f"{size / factor:.2f} {whole if factor == 1 else letter + short}"


def _largest(size: float) -> str:
    return next((letter for letter in _PREFIXES if size >= _FACTORS[letter]), "B")


def human_to_bytes(
    size: object, default_unit: str | None = None, isbits: bool = False
) -> int:
    """How many bytes, or bits, a size says. Raises `ValueError` for what is no size, or has another unit."""
    match = _SIZE.fullmatch(str(size))
    if match is None:
        raise ValueError(f"human_to_bytes takes a size like 1.5 MB, not {size!r}")
    factor = _factor(match[2] or default_unit or "B", isbits=bool(isbits))
    return round(float(match[1]) * factor)


def _factor(unit: str, *, isbits: bool) -> int:
    letter = unit[0].upper()
    short, whole, _ = _UNITS[isbits]
    name = f"{_PREFIXES.get(letter)}{whole}"
    symbol = f"{letter.removesuffix('B')}{short}"
    known = dict.fromkeys((letter, letter.lower(), symbol), name)
    is_unit = name in (unit.lower(), known.get(unit))
    require(
        letter in _FACTORS and is_unit,
        f"human_to_bytes knows {', '.join(_FACTORS)} and units like M{short}, not {unit!r}",
    )
    return _FACTORS[letter]
