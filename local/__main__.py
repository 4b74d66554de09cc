"""`python -m local demo [--keep]`, and what is typed against the system that it keeps: `invoke --event=FILE`, ..."""

import argparse
import os
import sys


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
        "--event", default="", help="a JSON file, such as those in events/"
    )
    launch = commands.add_parser("launch", help="launch an instance, with its machine")
    launch.add_argument(
        "--type", dest="type_", default="tomcat", help="tomcat or haproxy"
    )
    terminate = commands.add_parser("terminate", help="terminate an instance")
    retag = commands.add_parser("retag", help="give an instance a tag")
    for command in (terminate, retag):
        command.add_argument("--instance", default="", help="its id or name")
    retag.add_argument("--tag", default="", help="key=value")
    options = vars(parser.parse_args(arguments))
    name = options.pop("command")
    return _demo(**options) if name == "demo" else _play(name, options)


def _demo(*, keep: bool) -> int:
    from local import demo as story  # noqa: PLC0415  # the others need none of it

    try:
        return story.run(keep=keep)
    except KeyboardInterrupt:
        return 130  # as shells say it


def _play(name: str, options: dict[str, str]) -> int:
    from local import play  # noqa: PLC0415  # the demo needs none of it

    try:
        print(play.COMMANDS[name](**options))
    except play.Refused as error:
        print(f"{name}: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    return 0


def _forget_account() -> None:
    """What runs on this machine is of no account: a profile, which root may not have, is none of its errors."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]


if __name__ == "__main__":
    _forget_account()
    sys.exit(main(sys.argv[1:]))
