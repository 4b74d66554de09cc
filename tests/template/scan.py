"""What checkov finds in the template is what the template says that it keeps: `python -m tests.template.scan` compares.

It gets the stack with references filled in, since it looks into no policy that is a text, and without the skips, since
it believes each: so one that is not true any more is told, too.
"""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from tests.template.shape_checks import skips
from tests.template.stack import Stack, deployed
from tests.template.translate import PROJECT, source

CHECKOV = PROJECT / ".venv-checkov/bin/checkov"
FILE = PROJECT / "build/template.deployed.json"

type Findings = set[tuple[str, str]]
"""Resources and the numbers of what is found in them."""


def complaints(stack: Stack, found: Findings) -> Iterator[str]:
    """What is found and not kept, and what is kept and not found."""
    for name, each in stack.resources.items():
        mine = {number for resource, number in found if resource == name}
        kept = {*skips(each)}
        yield from (
            f"{name}: {number} is found: mend it, or skip it there with the reason"
            for number in sorted(mine - kept)
        )
        yield from (
            f"{name}: {number} is skipped, but is not found any more"
            for number in sorted(kept - mine)
        )


def findings(stack: Stack) -> Findings:
    """All that checkov finds; a check of its own that broke, or a file that it did not read, is an error."""
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(json.dumps({"Resources": bare(stack)}, indent=2))
    options = ["--framework", "cloudformation", "--skip-download", "--soft-fail"]
    command = [str(CHECKOV), *options, "--output", "json", "--file", str(FILE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode or done.stderr:
        sys.exit(f"checkov ended with {done.returncode}: {done.stderr}{done.stdout}")
    report = json.loads(done.stdout)
    read = (report["summary"]["resource_count"], report["summary"]["parsing_errors"])
    if read != (len(stack.resources), 0):
        sys.exit(
            f"checkov read {read[0]} of {len(stack.resources)} resources of {FILE}"
        )
    return {
        (each["resource"].rpartition(".")[2], each["check_id"])
        for each in report["results"]["failed_checks"]
    }


def bare(stack: Stack) -> Mapping[str, Any]:
    """The resources without what silences the scanner."""
    return {
        name: {key: value for key, value in each.items() if key != "Metadata"}
        for name, each in stack.resources.items()
    }


if __name__ == "__main__":
    stack = deployed(source(), Environment="staging")
    said = list(complaints(stack, findings(stack)))
    sys.exit("\n".join(said) or None)
