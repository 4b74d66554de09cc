"""The whole system on one machine: small strict stand-ins for what AWS adds to the deployed application."""

import sys
from pathlib import Path

# `src` is the function's code, not an installed package; `python -m local...` finds it like the tests do.
sys.path.insert(0, str(Path(__file__).parents[1] / "src"))
