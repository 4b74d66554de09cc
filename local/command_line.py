"""The command line as an operator types it, against the stack on this machine."""

import os
import subprocess
import sys
from pathlib import Path

from local.deployment import CONFIG_ENVIRONMENT, PROJECT

SECONDS = 120
COLUMNS = 110
# What a user's own AWS configuration says has nothing to do with what runs on this machine.
OWNER = {
    "AWS_ACCESS_KEY_ID": "owner",
    "AWS_SECRET_ACCESS_KEY": "owner",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}
NAME = "haproxy-ec2-sync"
COMMAND = Path(sys.executable).with_name(NAME)


def typed(
    endpoint: str, *words: str, is_coloured: bool = False
) -> subprocess.CompletedProcess[str]:
    """What the command with these words comes to: its exit code, and what it printed."""
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith("AWS_")
    }
    screen = {"COLUMNS": str(COLUMNS)} | ({"FORCE_COLOR": "1"} if is_coloured else {})
    return subprocess.run(
        [COMMAND, *words, "--env", CONFIG_ENVIRONMENT, "--endpoint-url", endpoint],
        cwd=PROJECT,
        env=inherited | OWNER | screen,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
