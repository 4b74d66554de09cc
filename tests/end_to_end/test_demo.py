"""`make demo` keeps its word."""

import subprocess
import sys

import pytest

from local.deployment import PROJECT


@pytest.mark.xdist_group("demo")
def test_demo_ends_by_itself_with_everything_done() -> None:
    """All steps happen under traffic, no request fails, and the exit status says so."""
    done = subprocess.run(
        [sys.executable, "-m", "local", "demo"], cwd=PROJECT, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "All of it happened" in done.stdout
