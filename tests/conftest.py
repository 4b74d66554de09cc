"""What every suite shares: one hypothesis profile for everybody, and an environment without anybody's credentials."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

# Read when moto is imported. It would make 1,296 images for each account and region, and search them at each launch.
os.environ["MOTO_EC2_LOAD_DEFAULT_AMIS"] = "false"

settings.register_profile(
    "ci",
    derandomize=True,  # the same examples on every machine: red is red for everybody
    max_examples=60,
    deadline=None,  # a busy machine is no fault
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("ci")


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
