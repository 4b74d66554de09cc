"""The README's commands for operators, typed as a person types them."""

import json
import os
import subprocess

from local.deployment import PROJECT, SAM, settings
from local.system import LocalSystem


def test_sam_remote_invoke_plans(system: LocalSystem) -> None:
    """`sam remote invoke --event-file events/plan.json` says that a settled fleet needs nothing."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    aws = {
        "AWS_ENDPOINT_URL": system.stack.endpoint,
        "AWS_ACCESS_KEY_ID": "owner",
        "AWS_SECRET_ACCESS_KEY": "owner",
        "SAM_CLI_TELEMETRY": "0",
    }
    stack = settings()
    where = ("--stack-name", stack["stack_name"], "--region", stack["region"])
    done = subprocess.run(
        [str(SAM), *["remote", "invoke", "--event-file", "events/plan.json"], *where],
        cwd=PROJECT,
        env=inherited | aws,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["changes"] is False
