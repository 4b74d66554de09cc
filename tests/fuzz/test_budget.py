"""`make fuzz` runs what it says."""

import importlib
from pathlib import Path

TOTAL = 20_000


def test_all_targets_together_have_so_many_examples() -> None:
    """Whoever adds a target decides which one gets fewer."""
    here = Path(__file__).parent
    modules = (
        importlib.import_module(f"tests.fuzz.{path.stem}")
        for path in here.glob("test_fuzz_*.py")
    )
    given = [
        found.__dict__["examples"]
        for module in modules
        for found in vars(module).values()
        if callable(found) and "examples" in getattr(found, "__dict__", {})
    ]
    assert sum(given) == TOTAL
