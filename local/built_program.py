"""`python -m local.built_program`: whether the built function makes the very program that its document names.

What is wrong with that in a build is wrong on every host: it ends `make build`, and with it `make deploy`.
"""

import sys
from pathlib import Path

from haproxy_sync.errors import ProgramDiffers
from haproxy_sync.rollout.program import Program
from local.deployment import SAM_BUILD

FUNCTION = SAM_BUILD / "ReconcileFunction"


def main(release: Path = FUNCTION) -> int:
    """Compare; the status to exit with."""
    try:
        Program.deployed(release)
    except ProgramDiffers as error:
        print(f"{release}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
