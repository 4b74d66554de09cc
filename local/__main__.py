"""`python -m local demo [--keep]` and `python -m local invoke EVENT.json`."""

import argparse
import json
import sys
from pathlib import Path


def main(arguments: list[str]) -> int:
    """Run a command; the status to exit with."""
    parser = argparse.ArgumentParser(prog="python -m local", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    demo = commands.add_parser("demo", help="the whole system on this machine, live")
    demo.add_argument(
        "--keep", action="store_true", help="leave it running to play with"
    )
    invoke = commands.add_parser("invoke", help="send an event to the system that runs")
    invoke.add_argument(
        "event", type=Path, help="a JSON file, such as those in events/"
    )
    options = parser.parse_args(arguments)
    if options.command == "invoke":
        return _invoke(options.event)
    from local import demo as story  # noqa: PLC0415  # invoke needs none of it

    try:
        return story.run(keep=options.keep)
    except KeyboardInterrupt:
        return 130  # as shells say it


def _invoke(path: Path) -> int:
    from local.stack import InvokeFailed, invoke  # noqa: PLC0415
    from local.system import newest  # noqa: PLC0415

    current = newest()
    if not current:
        print("nothing runs here: start it with `make demo KEEP=1`", file=sys.stderr)
        return 1
    try:
        answer = invoke(
            current["endpoint"], current["function"], json.loads(path.read_text())
        )
    except InvokeFailed as error:
        print(error, file=sys.stderr)
        return 1
    print(json.dumps(answer, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
