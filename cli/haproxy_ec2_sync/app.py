"""The command `haproxy-ec2-sync`: its commands, and how each of them ends.

Exit codes: 0 done; 1 an error, a wrong use included; others are a command's own (`plan`: 2, there are changes).
"""

import sys
from collections.abc import Sequence

import click

from haproxy_ec2_sync import streams
from haproxy_ec2_sync.commands import (
    check,
    completion,
    diff,
    doctor,
    freeze,
    history,
    inspect,
    logs,
    plan,
    rollback,
    status,
    sync,
    unfreeze,
    verify,
    wait,
)
from haproxy_ec2_sync.desk import NAME, examples
from haproxy_ec2_sync.errors import one_line

INTERRUPTED = 130  # as shells say it


@click.group(
    NAME,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=examples("status --env staging", "plan --env staging"),
)
@click.version_option(package_name=NAME)
@click.pass_context
def app(context: click.Context) -> None:
    """Operate a stack of haproxy-ec2-sync."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


COMMANDS = (
    *(status, plan, check, history, diff),
    *(sync, verify, inspect, freeze, unfreeze, rollback, wait),
    *(logs, doctor, completion),
)

for module in COMMANDS:
    app.add_command(module.command)


def run(arguments: Sequence[str]) -> int:
    """Run one command; its exit code. Whatever goes wrong is said in one line."""
    try:
        return int(
            app.main(list(arguments), prog_name=NAME, standalone_mode=False) or 0
        )
    except click.Abort:
        return INTERRUPTED
    except click.ClickException as error:
        return _failed(_words(error))
    except Exception as error:  # noqa: BLE001 # AWS's own words, or a bug: a person gets one line of either
        return _failed(f"{type(error).__name__}: {error}")


def _failed(words: str) -> int:
    click.echo(f"{NAME}: {one_line(words)}", err=True)
    return 1


def _words(error: click.ClickException) -> str:
    """What is wrong, and where help on the command is."""
    message = error.format_message()
    if isinstance(error, click.UsageError) and error.ctx:
        return f"{message} See '{error.ctx.command_path} --help'."
    return message


def main() -> None:
    """The console script."""
    streams.escape()
    sys.exit(run(sys.argv[1:]))
