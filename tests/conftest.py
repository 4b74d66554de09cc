"""What every suite shares: one hypothesis profile, another one for `make fuzz`, and no credentials of anybody."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from haproxy_sync.config import render

# Read when moto is imported. It would make 1,296 images for each account and region, and search them at each launch.
os.environ["MOTO_EC2_LOAD_DEFAULT_AMIS"] = "false"

# A test types `make` as a person does; below the make that runs the tests it would print and do other things.
for name in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL"):
    os.environ.pop(name, None)

settings.register_profile(
    "ci",
    derandomize=True,  # the same examples on every machine: red is red for everybody
    max_examples=60,
    deadline=None,  # a busy machine is no fault
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("ci")  # `--hypothesis-profile` replaces it
settings.register_profile(
    "fuzz",  # of `make fuzz`
    derandomize=False,  # others each time; what was found once is kept in .hypothesis, and printed to be tried again
    print_blob=True,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)

LONGEST = (
    "tests/host/test_kill_sweep.py",
    "tests/host/test_lab_benchmark.py",
    "tests/oracle/",
    "tests/template/test_build.py",
    "tests/contract/test_protocol.py",
    "tests/end_to_end/test_sudo_user.py",
    "tests/end_to_end/test_demo.py",
)
"""A stage ends when its last worker does, so these begin first; all others keep the order that chance gave them."""


def pytest_configure(config: pytest.Config) -> None:
    """Make each worker a session of its own, and one that matters.

    Linux shares the processors between sessions (sched(7), "The autogroup feature"), and each client of the lab is one:
    the workers, who are the lab's backends, would have the share of a single client together, and answer too late.
    """
    if hasattr(config, "workerinput"):
        os.setsid()
        with suppress(OSError):  # only root may, and only where the kernel has it
            Path("/proc/self/autogroup").write_text("-10")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest first."""
    items.sort(key=lambda item: not item.nodeid.startswith(LONGEST))


@pytest.fixture(scope="module")
def rendered_here() -> Iterator[None]:
    """Renderings of this module in its own process: there are thousands, and a test's process is costly to fork."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(render, "bounded", lambda work, _file: work())
        yield


@pytest.fixture(scope="session", autouse=True)
def _no_real_account() -> Iterator[None]:
    """No test can reach an account, whatever is configured on the machine."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        patch.setenv("AWS_ACCESS_KEY_ID", "testing")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        patch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
        yield
